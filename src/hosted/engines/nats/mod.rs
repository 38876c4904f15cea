//! NATS: [`Nats`], core and `JetStream`.
//!
//! | | core | with a [stream](Nats::stream) |
//! |---|---|---|
//! | a publish is | [`Accepted`](Level::Accepted): a server has it and sends it to those that listen now | [`Stored`](Level::Stored): `JetStream` has confirmed it |
//! | live subscriptions | yes | yes, also of what others publish without the stream |
//! | durable subscriptions | no | yes: a group is a pull consumer of the stream |
//! | wildcards | native: `*` and `>` mean the same | native |
//! | order | per publisher | per publisher; a retry or an ended lease changes it |
//! | a group | | members share one consumer. What one publisher sends is spread over the members, and each has its part in order |
//! | acknowledged | | by [`Delivery::ack`](crate::hosted::Delivery::ack); `ack_async` waits for the server's answer |
//! | deduplication | no | by the id, within the stream's window (2 minutes by default) |
//! | late answers | | refused by the clock of this process: see below |
//! | an extension | | of any length: the engine repeats it, or gives the event back, by the clock of this process |
//! | after a lost connection | [`Gap`](crate::hosted::Gap) `Reconnected` | continues where the group was |
//! | events that the server has removed | | [`Gap`](crate::hosted::Gap) `Trimmed` |
//! | dead letters | | none: a rejected event is terminated, and stays in the stream |
//!
//! # Traps
//!
//! - **Stored** survives the end of any process, also by `kill -9`. A server writes to its disk at
//!   once but syncs it every two minutes by default, so the failure of *all* machines of a stream
//!   together may lose what was confirmed. Set `sync_interval: always` on the server if that matters.
//! - `JetStream` takes answers of any age. Each delivery therefore has a deadline in this process:
//!   the lease from its arrival, less a fifth of it and at most a second. The engine refuses a
//!   later answer with [`Late`](crate::hosted::SettleError::Late). Two cases can still settle an
//!   event that another member has received meanwhile: a delivery that lay in the socket for longer
//!   than this margin, and an answer that travels for longer.
//! - A server of 2.9 ignores the filters of a consumer if there are several. It also loses the
//!   position of a consumer that was moved shortly before `kill -9`: the events come again. The
//!   engine asks such a server for one filter that covers the patterns, and passes on what matches.
//! - The engine receives several patterns of one live subscription through one filter that covers
//!   them, so that their events keep their order. Only `>` covers `chat.>` and `match.*`: open two
//!   subscriptions if the server has much more traffic than that.
//! - The stream names the subjects that it takes. A publish of another subject is refused. A server
//!   takes no subject that begins with `*`: a router with tenants needs each tenant's, and `_.>`.
//! - Subjects with white space cannot travel, and neither can those that begin with `$` or `_`
//!   (but for a first segment that is `_` alone),
//!   which are the server's own. A live subscription never receives these.
//! - The user needs the right to publish and to subscribe to `_INBOX.>`. From a message to itself,
//!   the engine learns that the server has processed what was sent before.
//! - A purge of the stream moves its groups on, and the server does not report it. A member compares
//!   what is pending every five seconds, and then reports a gap. It does not see a purge of what was
//!   published since its last look, or of fewer events than were published since.
//! - The retention of the stream may remove events while a member works on them. The engine reports
//!   no gap for these: the answer finds nothing to settle.
//! - All members of a group must have the same patterns: the engine refuses others. If the consumer
//!   is deleted, a member makes it again where the group was, or up to five seconds earlier.
//! - `JetStream` extends by a whole lease. If you extend by less and then drop the delivery, or the
//!   process ends, the event comes again at the end of that lease.
//! - The lease is the group's: the engine refuses a member with another one. If you change it at the
//!   server, running members follow within five seconds. Until then, one that had a longer lease
//!   takes late answers for timely ones. A server of 2.9 lets two members that open a new group at
//!   the same moment both succeed: then the second sets the lease, and the first follows.
//! - The client ends a connection on which it receives a header that is not UTF-8. A stream sends
//!   that message again after each lease, until you delete it: do not let such headers in.

mod answer;
mod connection;
mod durable;
mod live;
mod publish;
mod queue;
mod settings;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::path::PathBuf;

pub use super::Provision;

use self::connection::Connection;
use self::settings::{Login, Settings, without_login};
use crate::hosted::engines::server::{on_a_server, setters};
use crate::hosted::engines::starting::Starting;
use crate::hosted::start::OnStart;
use crate::hosted::{
    Capabilities, Capability, DurableOptions, Engine, EngineFuture, Health, Level, LiveOptions,
    OpenError, Receive,
};

/// An engine on a NATS server, or on a cluster of them.
///
/// The settings say where and how to connect. [`start`](Engine::start) connects, on the runtime of
/// tokio that calls it, and everything in the background runs there. Build the runtime with
/// `enable_all`: without `enable_io`, `start` panics. After the start the engine reconnects by
/// itself, without a time limit.
///
/// Without a [`stream`](Self::stream) it is core NATS. [The module](self) has the table.
///
/// # Examples
///
/// ```no_run
/// use tickbus::Envelope;
/// use tickbus::hosted::{Engine, Level, StartAt};
/// use tickbus::hosted::engines::nats::{Nats, Provision};
///
/// # async fn run() -> Result<(), Box<dyn core::error::Error>> {
/// let fleet = Nats::new("nats://127.0.0.1:4222")
///     .stream("GAME")
///     .subjects(["match.>"])
///     .provision(Provision::Create);
/// fleet.start().await?;
///
/// let score = Envelope::json("match.7.score", &3)?;
/// let receipt = fleet.publish(score.into()).await?;
/// assert_eq!(receipt.level, Level::Stored);
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
pub struct Nats {
    name: Arc<str>,
    settings: Settings,
    starting: Starting<Connection>,
}

impl Nats {
    /// Returns the settings for the server at `url`: `nats://host:port`, or `tls://host:port`.
    ///
    /// Name several servers of a cluster with commas between them. A name and a password may stand
    /// in the URL.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            name: "nats".into(),
            settings: Settings {
                url: url.into(),
                login: Login::Anonymous,
                tls: false,
                certificates: Vec::new(),
                client_certificate: None,
                stream: None,
                subjects: Vec::new(),
                provision: Provision::default(),
                replicas: 1,
                max_age: Duration::ZERO,
                in_memory: false,
                on_start: OnStart::default(),
                timeout: Duration::from_secs(5),
                heartbeat: Duration::from_secs(5),
                client: None,
            },
            starting: Starting::new(),
        }
    }

    setters!(named "nats");

    /// Publishes to this stream of `JetStream`, and reads durable subscriptions from it.
    #[must_use]
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.settings.stream = Some(name.into());
        self
    }

    /// Names patterns of subjects that the stream has to take. [`Provision`] says how it uses them.
    #[must_use]
    pub fn subjects<S: Into<String>>(mut self, subjects: impl IntoIterator<Item = S>) -> Self {
        self.settings.subjects = subjects.into_iter().map(Into::into).collect();
        self
    }

    /// Sets what the engine does about the stream at its start: [`Provision::Check`] by default.
    #[must_use]
    pub const fn provision(mut self, provision: Provision) -> Self {
        self.settings.provision = provision;
        self
    }

    /// Sets how many servers keep a stream that the engine creates: 1 by default.
    #[must_use]
    pub const fn replicas(mut self, replicas: usize) -> Self {
        self.settings.replicas = replicas;
        self
    }

    /// Sets how long a stream that the engine creates keeps an event: for ever by default.
    #[must_use]
    pub const fn max_age(mut self, age: Duration) -> Self {
        self.settings.max_age = age;
        self
    }

    /// Lets servers keep a stream that the engine creates in memory, instead of on disk. What they
    /// have confirmed is lost when all of them end.
    #[must_use]
    pub const fn in_memory(mut self) -> Self {
        self.settings.in_memory = true;
        self
    }

    /// Logs in with a name and a password.
    #[must_use]
    pub fn password(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.settings.login = Login::Password(user.into(), password.into());
        self
    }

    /// Logs in with a token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.settings.login = Login::Token(token.into());
        self
    }

    /// Logs in with the seed of an nkey.
    #[must_use]
    pub fn nkey(mut self, seed: impl Into<String>) -> Self {
        self.settings.login = Login::Nkey(seed.into());
        self
    }

    /// Logs in with a file of credentials: a token and the seed of an nkey.
    #[must_use]
    pub fn credentials_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.settings.login = Login::File(path.into());
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

    /// Sets how often the server sends a heartbeat while a durable subscription has nothing to
    /// receive: 5 s by default. After two missing heartbeats, the engine asks again.
    #[must_use]
    pub const fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.settings.heartbeat = heartbeat;
        self
    }
}

impl Engine for Nats {
    on_a_server!();

    fn capabilities(&self) -> Capabilities {
        use Capability as Can;
        let mut can = Capabilities::new().level(Level::Accepted);
        if let Ok(connection) = self.starting.get() {
            can = can.max_payload(connection.client.max_payload());
        }
        can = can.live([Can::Headers, Can::PublisherOrder, Can::Gaps]);
        if self.settings.stream.is_none() {
            return can;
        }
        can.level(Level::Stored).durable([
            Can::Headers,
            Can::Deduplication,
            Can::PublisherOrder,
            Can::KeyOrderPerMember,
            Can::Redelivery,
            Can::Delay,
            Can::Attempts,
            Can::Extend,
            Can::FencingLocal,
            Can::Resume,
            Can::StartEarliest,
            Can::StartSequence,
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
}

/// Says where and how, but no secret.
impl fmt::Debug for Nats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = match &self.settings.login {
            Login::Anonymous => "none",
            Login::Password(..) => "password",
            Login::Token(_) => "token",
            Login::Nkey(_) => "nkey",
            Login::File(_) => "file",
        };
        f.debug_struct("Nats")
            .field("name", &self.name)
            .field("url", &without_login(&self.settings.url))
            .field("login", &login)
            .field("stream", &self.settings.stream)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}

/// Items outside the promise of stable versions: they use the types of the client.
pub mod unstable {
    use super::Nats;

    /// Returns the settings of an engine on a connected client.
    ///
    /// The URL, the login and TLS are the client's. [`shutdown`](crate::hosted::Engine::shutdown)
    /// drains and closes the client.
    #[must_use]
    pub fn from_client(client: async_nats::Client) -> Nats {
        let mut nats = Nats::new("");
        nats.settings.client = Some(client);
        nats
    }
}
