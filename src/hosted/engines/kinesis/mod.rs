//! Amazon Kinesis: [`Kinesis`], a stream of shards.
//!
//! | | |
//! |---|---|
//! | a publish is | [`Stored`](Level::Stored): the server has answered, and has it in several places. Without a sequence: that of Kinesis is a number of 56 digits, of its shard alone |
//! | live subscriptions | yes: each reads all shards from now on, in a buffer of its own |
//! | durable subscriptions | with a [lease store](Kinesis::lease_store): Kinesis itself keeps neither who reads a shard nor how far |
//! | wildcards | none at the server: each subscription reads the whole stream, and the core matcher decides |
//! | order | by key: events of one key are on one shard, in the order in which they arrived. Without a key, the subject decides about the shard, and the events of a batch may change places |
//! | a group | its members share the shards. One member at a time has a shard, and so a key, also while shards are split and merged: a child begins when everything of its parents is settled |
//! | acknowledged | by [`Delivery::ack`](crate::hosted::Delivery::ack), at the member. The position of a shard moves when everything before it is settled, and is kept once in [a while](Kinesis::checkpoint_interval) |
//! | deduplication | no |
//! | a retry | in place, by the member: Kinesis gives nothing back. The events of its key wait, others go on |
//! | late answers | refused by the member's clock, as those of a shard that it has lost. The lease store refuses a position of a member whose shard another one has claimed |
//! | an extension | of any length, kept by the member |
//! | a lease | each member's own, kept by the member. That of a [shard](Kinesis::shard_lease) is another one, in the lease store |
//! | start | at new, earliest, or a time. Not at a sequence |
//! | after a lost connection | continues where it was. [`Gap`](crate::hosted::Gap) `Reconnected` on a live subscription whose stream is another one by then |
//! | events that the server has removed | [`Gap`](crate::hosted::Gap) `Trimmed`: the position is older than the retention of the stream, or not one of it |
//! | dead letters | no: set [`dead_letter`](crate::hosted::Subscribe::dead_letter) on the handler |
//! | the form | [JSON](crate::hosted::wire) in a record; the partition key is the ordering key, or else the subject |
//!
//! # Traps
//!
//! - **Without a lease store there are no groups.** With [`MemoryLeases`] a group is of one process: its
//!   members share the shards, and when the process ends, the position is gone and the group begins as a
//!   new one. Two processes with a store in memory each have everything, as two groups do. With
//!   `postgres::PostgresLeases` a group is of all processes, and continues where it stopped.
//! - What was settled after the last kept position comes again when a member is killed: up to a
//!   [`checkpoint_interval`](Kinesis::checkpoint_interval) of it, and everything behind an event that is
//!   not settled, at most 10,000 events of a shard. `ack_async` waits for the member only.
//! - How often an event was delivered is known to its member only: after a kill, or in the hands of another
//!   member, it counts from 1 again. So `max_attempts` does not stop an event that kills the process.
//! - One shard takes 1 MiB and 1,000 records a second, and gives 2 MiB in five requests a second to **all**
//!   subscriptions together: each live one, and each group, asks once in a
//!   [`poll_interval`](Kinesis::poll_interval). A refusal for that is waited out; a publish waits for at
//!   most the [`timeout`](Kinesis::timeout), and then is not sent.
//! - A shard takes what has its keys: one key, or one subject without keys, never has more than one shard's
//!   throughput. There are as many busy members as shards; others wait for their turn.
//! - In a batch, the events of one key leave one after the other, each in a request of its own: Kinesis may
//!   take one record of a request and refuse the one before it. Batches are fast with many keys, or none.
//! - A record has at most 1 MiB with its key, or what the stream says. The form is JSON: bytes take a third
//!   more there.
//! - A partition key has at most 256 characters. Of a longer key the beginning decides about the shard.
//! - By default, a new group begins with what arrives after `open`. If its first member ends before anything has come
//!   from a shard, the next one begins up to a second earlier there. The clocks of the program and the
//!   server must not be further apart than that.
//! - Kinesis does not say how many events are missing, so a gap `Trimmed` has no number. It comes as well
//!   when nothing was lost, if a group was away for longer than the retention.
//! - If you delete a stream and make it again, its groups are those of the old one: the engine refuses them
//!   at the start, and a member that runs tells a gap.
//! - All members of a group must have the same patterns: the engine refuses others.
//! - The lag is known while everything that there is was read; else it is not, because the server counts
//!   time and not events.
//! - A record of another program is an envelope with the name of the stream as its subject. One that the
//!   Kinesis Producer Library has aggregated stays one event, with bytes.

mod balance;
mod connection;
mod durable;
mod error;
mod group;
mod leases;
mod ledger;
mod live;
mod member;
mod position;
mod publish;
mod reader;
mod settings;
mod shards;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::path::PathBuf;

pub use self::leases::{Claimed, LeaseStore, MemoryLeases, Opened, Renewal, ShardLease};
pub use crate::hosted::provision::Provision;

use self::connection::Connection;
use self::settings::{Login, Settings};
use crate::hosted::config::{Secret, ServerUrl};
use crate::hosted::engines::server::{on_a_server, setters};
use crate::hosted::engines::starting::Starting;
use crate::hosted::start::OnStart;
use crate::hosted::{
    Capabilities, Capability, DurableOptions, Engine, EngineFuture, Health, Level, LiveOptions,
    OpenError, Receive,
};

/// An engine on a stream of Amazon Kinesis.
///
/// The settings say which stream, and how to reach it. [`start`](Engine::start) sees to the stream, on the
/// runtime of tokio that calls it, and everything in the background runs there. Build the runtime with
/// `enable_all`: without `enable_io`, `start` panics. Each request is complete in
/// itself: after a failure the engine asks again, without a time limit.
///
/// [The module](self) has the table.
///
/// # Examples
///
/// ```no_run
/// use tickbus::Envelope;
/// use tickbus::hosted::{Engine, StartAt};
/// use tickbus::hosted::engines::kinesis::{Kinesis, MemoryLeases, Provision};
///
/// # async fn run() -> Result<(), Box<dyn core::error::Error>> {
/// // Credentials are those of the environment.
/// let fleet = Kinesis::new("game")
///     .region("eu-central-1")
///     .shards(4)
///     .provision(Provision::Create)
///     .lease_store(MemoryLeases::new());
/// fleet.start().await?;
///
/// let score = Envelope::json("match.7.score", &3)?.with_key("match-7");
/// fleet.publish(score.into()).await?;
///
/// let ladder = fleet.subscribe("match.*.score")?.group("ladder").start_at(StartAt::Earliest);
/// let mut ladder = ladder.open().await?;
/// while let Some(Ok(delivery)) = ladder.next().await {
///     println!("{:?}", delivery.envelope());
///     delivery.ack();
/// }
/// # Ok(())
/// # }
/// ```
pub struct Kinesis {
    name: Arc<str>,
    settings: Settings,
    starting: Starting<Connection>,
}

impl Kinesis {
    /// Returns the settings for this stream.
    ///
    /// The region and the credentials are those of the environment, unless you set them: the variables
    /// `AWS_REGION`, `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`. For profiles,
    /// roles and what else there is, see [`unstable::from_config`].
    #[must_use]
    pub fn new(stream: impl Into<String>) -> Self {
        Self {
            name: "kinesis".into(),
            settings: Settings {
                stream: stream.into(),
                region: None,
                endpoint: None,
                login: None,
                token: None,
                certificates: Vec::new(),
                shards: 1,
                provision: Provision::default(),
                on_start: OnStart::default(),
                timeout: Duration::from_secs(5),
                heartbeat: Duration::from_secs(10),
                poll: Duration::from_secs(1),
                checkpoint: Duration::from_secs(1),
                shard_lease: Duration::from_secs(10),
                leases: None,
                config: None,
            },
            starting: Starting::new(),
        }
    }

    setters!(named "kinesis");

    /// Sets the region, such as `eu-central-1`.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.settings.region = Some(region.into());
        self
    }

    /// Sets the URL of the server: that of the region by default.
    #[must_use]
    pub fn endpoint(mut self, url: impl Into<String>) -> Self {
        self.settings.endpoint = Some(ServerUrl::new(url.into()));
        self
    }

    /// Logs in with this key.
    #[must_use]
    pub fn credentials(mut self, key_id: impl Into<String>, secret: impl Into<String>) -> Self {
        let secret = Secret::new(secret.into());
        self.settings.login = Some(Login { id: key_id.into(), secret });
        self
    }

    /// Sets the token of the session that [`credentials`](Self::credentials) are of.
    #[must_use]
    pub fn session_token(mut self, token: impl Into<String>) -> Self {
        self.settings.token = Some(Secret::new(token.into()));
        self
    }

    /// Trusts the authorities in this PEM file, instead of those of the system.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.certificates.push(path.into());
        self
    }

    /// Sets how many shards a stream has that the engine creates: 1 by default.
    ///
    /// # Panics
    ///
    /// Panics if it is 0.
    #[must_use]
    pub const fn shards(mut self, shards: u32) -> Self {
        assert!(shards > 0, "a stream without shards takes nothing: give it 1 or more");
        self.settings.shards = shards;
        self
    }

    /// Sets what the engine does about a missing stream: [`Provision::Check`] by default.
    #[must_use]
    pub const fn provision(mut self, provision: Provision) -> Self {
        self.settings.provision = provision;
        self
    }

    /// Sets what keeps who reads which shard, and how far. Without it there are no durable subscriptions.
    #[must_use]
    pub fn lease_store(mut self, store: impl LeaseStore) -> Self {
        self.settings.leases = Some(Arc::new(store));
        self
    }

    /// Sets how long a member has a shard without a sign of life: 10 s by default. When a member is killed,
    /// its shards stand still for at most so long.
    #[must_use]
    pub const fn shard_lease(mut self, lease: Duration) -> Self {
        self.settings.shard_lease = lease;
        self
    }

    /// Sets how often the position of a shard is kept: at most once in 1 s by default.
    #[must_use]
    pub const fn checkpoint_interval(mut self, interval: Duration) -> Self {
        self.settings.checkpoint = interval;
        self
    }

    /// Sets how often each subscription asks each shard for events: once in 1 s by default, and at once
    /// while there are more.
    #[must_use]
    pub const fn poll_interval(mut self, interval: Duration) -> Self {
        self.settings.poll = interval;
        self
    }

    setters!(on_start);

    /// Sets how long the engine waits for an answer of the server: 5 s by default. A publish that the
    /// server refuses for its throughput is tried again for so long.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Sets after how long without an answer the engine asks whether the server is there: 10 s by default.
    #[must_use]
    pub const fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.settings.heartbeat = heartbeat;
        self
    }
}

impl Engine for Kinesis {
    on_a_server!();

    fn capabilities(&self) -> Capabilities {
        use Capability as Can;
        let can = Capabilities::new().level(Level::Stored).live([Can::Headers, Can::Gaps]);
        let can = match self.starting.get() {
            Ok(connection) => can.max_payload(connection.limit()),
            Err(_) => can,
        };
        if self.settings.leases.is_none() {
            return can;
        }
        can.durable([
            Can::Headers,
            Can::KeyOrderAcrossGroup,
            Can::Redelivery,
            Can::Delay,
            Can::Attempts,
            Can::Extend,
            Can::FencingLocal,
            Can::Resume,
            Can::StartEarliest,
            Can::StartTime,
            Can::Gaps,
        ])
    }

    fn open_live(
        &self,
        options: LiveOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        self.starting.open(&self.name, |connection| live::open(connection, options))
    }

    fn open_durable(
        &self,
        options: DurableOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        self.starting.open(&self.name, |connection| durable::open(connection, options))
    }

    fn health(&self) -> Health {
        self.starting.health(Connection::health)
    }

    fn lag(&self) -> Option<u64> {
        self.starting.get().ok()?.lag()
    }

    fn outlives_process(&self) -> bool {
        self.settings.leases.as_ref().is_none_or(|leases| leases.outlives_process())
    }
}

/// Says where and how, but no secret.
impl fmt::Debug for Kinesis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = match (&self.settings.config, &self.settings.login) {
            (Some(_), _) => "a client's",
            (None, Some(_)) => "a key",
            (None, None) => "the environment's",
        };
        f.debug_struct("Kinesis")
            .field("name", &self.name)
            .field("stream", &self.settings.stream)
            .field("region", &self.settings.region)
            .field("endpoint", &self.settings.endpoint)
            .field("login", &login)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

/// Items outside the promise of stable versions: they use the types of the client.
pub mod unstable {
    use alloc::boxed::Box;
    use alloc::string::String;

    use super::Kinesis;

    /// Returns the settings of an engine that reaches the server, and logs in there, as this
    /// configuration of the client says, such as one of `aws-config`.
    ///
    /// TLS is that of the configuration. The settings of the engine about the region, the endpoint, the
    /// credentials and certificates have no effect. How often the client tries again is the engine's
    /// decision.
    #[must_use]
    pub fn from_config(config: aws_sdk_kinesis::Config, stream: impl Into<String>) -> Kinesis {
        let mut kinesis = Kinesis::new(stream);
        kinesis.settings.config = Some(Box::new(config));
        kinesis
    }
}
