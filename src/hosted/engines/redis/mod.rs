//! Redis: [`Redis`], pub/sub and streams.
//!
//! | | pub/sub | with a [stream](Redis::stream) |
//! |---|---|---|
//! | a publish is | [`Accepted`](Level::Accepted): the server has it and sends it to those that listen now | [`Accepted`](Level::Accepted): the server has it in memory. [`Stored`](Level::Stored) if the server has `appendonly yes` and `appendfsync always`: then it is on its disk before the answer |
//! | live subscriptions | yes | yes, read from the stream |
//! | durable subscriptions | no | yes: a group is a consumer group of the stream |
//! | wildcards | `*` and `>` become `?*`, which is wider: the core matcher decides | none at the server: each subscription reads the whole stream, and the core matcher decides |
//! | order | per publisher | per publisher; a retry or an ended lease changes it |
//! | a group | | members share the stream. What one publisher sends is spread over the members, and each has its part in order |
//! | acknowledged | | by [`Delivery::ack`](crate::hosted::Delivery::ack); `ack_async` waits for the server's answer |
//! | deduplication | no | by the id, at the server, within [a window](Redis::deduplicate) (2 minutes by default) |
//! | late answers | | refused by the server, in the same step in which it would apply them: a script compares the member, the delivery and the lease. A member has one name for new events and one for redelivered ones, so the script distinguishes the deliveries |
//! | an extension | | of any length, kept by the server |
//! | a lease | | each member's own, kept by the server |
//! | after a lost connection | [`Gap`](crate::hosted::Gap) `Reconnected` | continues where it was |
//! | events that the server has removed | | [`Gap`](crate::hosted::Gap) `Trimmed` |
//! | dead letters | | in a stream beside it, [if you say so](Redis::dead_letters) |
//! | the form | [JSON](crate::hosted::wire) on the channel of the subject | [fields](crate::hosted::wire) of an entry |
//!
//! # Traps
//!
//! - **Accepted** on a server with `appendonly yes` survives the end of your process. Without
//!   `appendfsync always`, a failure of the machine loses up to a second of it. So does `kill -9` of
//!   the server: while a slow disk syncs, up to two seconds of it are in its memory only. Without
//!   `appendonly`, a restart of the server loses what came after its last snapshot. A failover to a
//!   replica may lose what only the first server had. A durable subscription tells a gap, `Trimmed`, if
//!   an entry that it has received, or that its engine has published, is missing then. The engine asks for `appendfsync` when it
//!   connects: if you change it later, receipts say what was true then. A user who may not ask
//!   (`CONFIG GET`) never receives `Stored`.
//! - One engine has one stream, and one stream is one key: it does not spread over a Redis Cluster.
//!   All its keys have one hash slot, so name the node that has it. The engine does not follow `MOVED`,
//!   and asks no Sentinel: a name or an address must lead to the server that takes writes. The engine
//!   connects anew if that one has become a replica.
//! - A subscription to few of the subjects of a stream reads all of them. Give busy subjects an
//!   engine, and so a stream, of their own: a router does the rest.
//! - Each subscription has a connection of its own, on which it waits, so it never holds a publish
//!   up. [`pool_size`](Redis::pool_size) bounds them.
//! - The sequence of an event is the time in milliseconds and a number, in one: two that follow each
//!   other are not one apart. It exists until the year 2527.
//! - [`max_len`](Redis::max_len) removes whole blocks of entries, 100 by default: the stream keeps at
//!   least so many. Nothing else is ever removed: an acknowledged event stays.
//! - A gap knows how many events are missing only for a group with the pattern `>`. If a group that
//!   began in the middle of the stream has not caught up yet, the server cannot count for it: the gap
//!   then may come without a loss.
//! - All members of a group must have the same patterns: the engine refuses others. If the group is
//!   destroyed, a member creates it again at its last known position, at most one second back, and
//!   reports a gap. Attempts count from 1 again. Events that other members had open come again, and so
//!   do those after them.
//! - `ack` is refused at once if the lease is over by the clock of this process, less a twentieth of it.
//!   What only the server refuses, because it had no connection or is slow, `ack_async` tells and
//!   `ack` does not. The event comes again in both cases.
//! - An event with more than 3,900 headers is not deduplicated: a script cannot add it.
//! - Deduplication is a key for each id, for as long as the window: at 10,000 events a second and two
//!   minutes, that is about 150 MB of the server. Without memory (`noeviction`), a server refuses
//!   publishes. With another policy it may evict what it likes, the stream included.
//! - Pub/sub knows no databases: an engine on another `db` hears the same channels. Use a
//!   [`prefix`](Redis::prefix). Channels that begin with `__` are the server's own.
//! - A payload may have as many bytes as the server's `proto-max-bulk-len`: 512 MiB by default.
//! - A server cuts a pub/sub connection that does not read 32 MB: the engine reads always, and its
//!   buffers drop by their own rules.
//! - An entry of another program has the subject in its field `subject`, or else the name of the
//!   stream. One that cannot be an envelope is a gap, `Unreadable`, and is rejected.

mod answer;
mod channels;
mod connection;
mod durable;
mod glob;
mod id;
mod link;
mod live;
mod publish;
mod queue;
mod reply;
mod scripts;
mod settings;
mod settle;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

pub use super::Provision;

use self::connection::Connection;
use self::settings::Settings;
use crate::hosted::engines::server::{on_a_server, setters};
use crate::hosted::engines::starting::Starting;
use crate::hosted::start::OnStart;
use crate::hosted::{
    Capabilities, Capability, DurableOptions, Engine, EngineFuture, Health, Level, LiveOptions,
    OpenError, Receive,
};

/// An engine on a Redis server of version 7.0 or later.
///
/// The settings say where and how to connect. [`start`](Engine::start) connects, on the runtime of
/// tokio that calls it, and everything in the background runs there. Build the runtime with
/// `enable_all`: without `enable_io`, `start` panics. After the start the engine reconnects by
/// itself, without a time limit.
///
/// Without a [`stream`](Self::stream) it is pub/sub. [The module](self) has the table.
///
/// # Examples
///
/// ```no_run
/// use tickbus::Envelope;
/// use tickbus::hosted::{Engine, StartAt};
/// use tickbus::hosted::engines::redis::{Provision, Redis};
///
/// # async fn run() -> Result<(), Box<dyn core::error::Error>> {
/// let fleet = Redis::new("redis://127.0.0.1:6379")
///     .stream("game")
///     .max_len(1_000_000)
///     .provision(Provision::Create);
/// fleet.start().await?;
///
/// let score = Envelope::json("match.7.score", &3)?;
/// let receipt = fleet.publish(score.into()).await?;
/// assert!(receipt.sequence.is_some());
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
pub struct Redis {
    name: Arc<str>,
    settings: Settings,
    starting: Starting<Connection>,
}

impl Redis {
    /// Returns the settings for the server at `url`: `redis://host:port/db`, `rediss://host:port` for
    /// TLS, or `unix:path`.
    ///
    /// A name and a password may stand in the URL.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            name: "redis".into(),
            settings: Settings {
                url: url.into(),
                login: None,
                db: None,
                pool_size: 10,
                tls: false,
                certificates: Vec::new(),
                client_certificate: None,
                stream: None,
                prefix: String::new(),
                max_len: 0,
                window: Duration::from_secs(120),
                dead_letters: 0,
                provision: Provision::default(),
                on_start: OnStart::default(),
                timeout: Duration::from_secs(5),
                heartbeat: Duration::from_secs(5),
                client: None,
            },
            starting: Starting::new(),
        }
    }

    setters!(named "redis");

    /// Publishes to this stream, and reads all subscriptions from it.
    #[must_use]
    pub fn stream(mut self, key: impl Into<String>) -> Self {
        self.settings.stream = Some(key.into());
        self
    }

    /// Sets what stands before the subject in the name of a channel: nothing by default. For pub/sub
    /// only.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.prefix = prefix.into();
        self
    }

    /// Sets how many entries the stream keeps at least, if it has more: all by default. 0 is all.
    #[must_use]
    pub const fn max_len(mut self, entries: u64) -> Self {
        self.settings.max_len = entries;
        self
    }

    /// Sets how long the server knows the id of an event, so that a second publish has no effect: 2
    /// minutes by default. 0 is without deduplication, and a publish is then a plain `XADD`.
    #[must_use]
    pub const fn deduplicate(mut self, window: Duration) -> Self {
        self.settings.window = window;
        self
    }

    /// Keeps at least the last so many rejected events, and those out of attempts, in a stream of their
    /// own: none by default. 0 is none.
    ///
    /// For the stream `game` it is `{game}:dead`. The events have the headers `dead-reason`,
    /// `dead-attempts`, `dead-group` and `dead-entry`. Another engine can read them. A dead letter keeps
    /// at most 3,900 headers. The header `dead-cut` says how many are missing.
    #[must_use]
    pub const fn dead_letters(mut self, entries: u64) -> Self {
        self.settings.dead_letters = entries;
        self
    }

    /// Sets what the engine does about a missing stream: [`Provision::Check`] by default.
    #[must_use]
    pub const fn provision(mut self, provision: Provision) -> Self {
        self.settings.provision = provision;
        self
    }

    /// Sets the number of the database: that of the URL by default, or else 0.
    #[must_use]
    pub const fn db(mut self, db: u32) -> Self {
        self.settings.db = Some(db);
        self
    }

    /// Sets how many connections there are at most: 10 by default. One is for publishing, and each
    /// subscription has one.
    #[must_use]
    pub const fn pool_size(mut self, connections: usize) -> Self {
        self.settings.pool_size = connections;
        self
    }

    /// Logs in with a password, as the user `default`.
    #[must_use]
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.settings.login = Some((None, password.into()));
        self
    }

    /// Logs in with a name and a password.
    #[must_use]
    pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.settings.login = Some((Some(user.into()), password.into()));
        self
    }

    setters!(tls);

    setters!(on_start);

    /// Sets how long the engine waits for an answer of the server: 5 s by default.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Sets how often a connection on which nothing happens must show that it is alive: 5 s by
    /// default. If it does not, the engine makes it again.
    #[must_use]
    pub const fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.settings.heartbeat = heartbeat;
        self
    }
}

impl Engine for Redis {
    on_a_server!();

    fn capabilities(&self) -> Capabilities {
        use Capability as Can;
        let mut can = Capabilities::new().level(Level::Accepted);
        let up = self.starting.get().and_then(|connection| connection.link.up());
        if let Ok(up) = &up {
            can = can.max_payload(up.limit);
        }
        can = can.live([Can::Headers, Can::PublisherOrder, Can::Gaps]);
        if self.settings.stream.is_none() {
            return can;
        }
        if up.is_ok_and(|up| up.syncs) {
            can = can.level(Level::Stored);
        }
        can = can.durable([
            Can::Headers,
            Can::PublisherOrder,
            Can::KeyOrderPerMember,
            Can::Redelivery,
            Can::Delay,
            Can::Attempts,
            Can::Extend,
            Can::FencingServer,
            Can::Resume,
            Can::StartEarliest,
            Can::StartSequence,
            Can::StartTime,
            Can::Gaps,
        ]);
        if !self.settings.window.is_zero() {
            can = can.live([Can::Deduplication]).durable([Can::Deduplication]);
        }
        if self.settings.dead_letters > 0 {
            can = can.durable([Can::DeadLetters]);
        }
        can
    }

    fn open_live(
        &self,
        options: LiveOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        self.starting.open(&self.name, |connection| async move {
            match connection.keys.clone() {
                Some(keys) => live::open(connection, keys, options).await,
                None => channels::open(connection, options).await,
            }
        })
    }

    fn open_durable(
        &self,
        options: DurableOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        self.starting.open(&self.name, |connection| durable::open(connection, options))
    }

    fn health(&self) -> Health {
        self.starting.health(|it| it.troubles.of(it.link.health()))
    }

    fn lag(&self) -> Option<u64> {
        self.starting.get().ok()?.lag()
    }
}

/// Says where and how, but no secret.
impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let has_login = self
            .settings
            .connection()
            .is_some_and(|info| info.redis_settings().password().is_some());
        f.debug_struct("Redis")
            .field("name", &self.name)
            .field("url", &self.settings.shown())
            .field("login", &if has_login { "password" } else { "none" })
            .field("stream", &self.settings.stream)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

/// Items outside the promise of stable versions: they use the types of the client.
pub mod unstable {
    use super::Redis;

    /// Returns the settings of an engine that connects where, and as, this client does.
    ///
    /// TLS is that of the engine.
    #[must_use]
    pub fn from_client(client: &redis::Client) -> Redis {
        let mut redis = Redis::new("");
        redis.settings.client = Some(client.get_connection_info().clone());
        redis
    }
}
