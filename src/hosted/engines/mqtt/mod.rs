//! MQTT 5: [`Mqtt`].
//!
//! | | |
//! |---|---|
//! | a publish is | [`Accepted`](Level::Accepted): the server has confirmed it. [`Buffered`](Level::Buffered) at [quality of service 0](Qos::AtMostOnce). Never stored |
//! | live subscriptions | yes, each on a connection of its own |
//! | durable subscriptions | yes, with a [client id](Mqtt::client_id): each member of a group has a session at the server, on a connection of its own, and shares the group's filter (`$share/<group>/…`) |
//! | wildcards | `*` becomes `+`, and `>` becomes `#`, which matches one level less too: the core matcher decides |
//! | order | per publisher. The standard promises it for each subject; `mosquitto` keeps it over all. A retry or an ended lease changes it |
//! | a group | what one publisher sends is spread over the members, and each has its part in order |
//! | acknowledged | by [`Delivery::ack`](crate::hosted::Delivery::ack), and at the server in the order of arrival, as the standard demands: behind one that is not settled, an answer waits in this process. `ack_async` waits until the server has read the acknowledgement, unless it has to wait so |
//! | a retry, a lease, an extension | kept by this process, which gives the event out again. The server sends an event again only when the session connects again |
//! | deduplication | no |
//! | late answers | refused by the clock of this process. No other client has the event, but for one that takes over the session (`fencing: None`) |
//! | attempts | not counted: the server says only that an event comes again |
//! | in flight | the receive maximum of the session: the server sends no more than so many that are not acknowledged. If it sends more, the rest waits in this process |
//! | replay | no: a new group begins with what is published from then on |
//! | after a lost connection | live: [`Gap`](crate::hosted::Gap) `Reconnected`. Durable: continues, and what is in work stays so. The engine remembers each acknowledgement until the server has read it, so an event that you have acknowledged does not come to this member again |
//! | a session that the server no longer has | [`Gap`](crate::hosted::Gap) `Trimmed` |
//! | dead letters | none: a rejected event is acknowledged |
//! | the form | [native headers](crate::hosted::wire) as user properties, and `content-type` as the property of that name |
//!
//! # Subjects
//!
//! `match.7.score` is the topic `match/7/score`, below the [prefix](Mqtt::prefix). A subject with
//! `/`, `+` or `#`, with a control character, or with one that Unicode never assigns, cannot
//! travel, and without a prefix one that begins with `$` cannot either. Headers and groups have
//! these limits too: a header is refused, and the name of a group is escaped. A topic with a `.` or
//! with an empty level is not a subject: subscriptions skip it.
//!
//! # Devices
//!
//! A device without an allocator writes and reads the same messages by
//! [`envelope::compact`](crate::envelope::compact::mqtt). `examples/firmware/run device` shows one on
//! a Cortex-M3. Its envelopes have no [`time`](crate::Envelope::time) if it has no clock.
//!
//! # Traps
//!
//! - **Accepted** means that the server has the event in memory. `mosquitto` writes its sessions to
//!   a file every 30 minutes by default, and at an orderly end. After `kill -9` it comes back with
//!   those of the last file, or with none. It has then lost what it had accepted since and not
//!   passed on. If the session is gone, the subscription says `Gap`; if it is an old one, no client
//!   can know, and events that were acknowledged since can come again.
//! - A member that is away keeps its share: its events wait in its session, and no other member
//!   receives them. They come when a member of this client id has its place again, with what it had
//!   not acknowledged. Give each process a client id of its own that it keeps, and open as many
//!   members as before. After [`session_expiry`](Mqtt::session_expiry) the server forgets the
//!   session and all that waits in it.
//! - `mosquitto` lets 1,000 events wait in a session by default and drops those behind them without
//!   a word (`max_queued_messages`): groups do not claim the capability `gaps`. It sends at most 20
//!   at a time (`max_inflight_messages`).
//! - `mosquitto` before 2.0.13 does not keep the receive maximum: each acknowledgement brings as many
//!   more events as may be in flight. The engine holds them and gives out no more than may be
//!   unsettled. A slow member can then have all events of its session in memory.
//! - The session belongs to the client id, the group and the patterns. Members with other patterns
//!   share nothing with these, and a session with the old patterns collects events until it
//!   expires.
//! - Two processes with one client id take the session from each other, again and again: events
//!   come twice. If the server says so, the engine waits 5 s before it takes the session back.
//!   `mosquitto` 2.0.11 does not.
//! - An event that is retried or in work for long holds the acknowledgements of those behind it.
//!   When as many are behind it as may be in flight, nothing more comes until it is settled. If the
//!   process ends before, all of them come again, those that you have acknowledged too.
//! - Without a connection the engine keeps a verdict, and tells it to the server when the session
//!   goes on.
//! - If you drop a subscription while you work on its events, the next member of the session waits
//!   for the verdicts, or for the end of the leases.
//! - `mosquitto` takes a subscription that its access list forbids, and passes nothing on to it: no
//!   client can know. A server that refuses it is an error of `open`.
//! - At quality of service 0 a publish returns when the message is in the buffer of the connection. If the
//!   connection is lost before it leaves, the message is lost. 64 KiB wait there: then a publish waits for room.
//! - A refused publish was not sent on: the error has the name of the server's reason. If the
//!   server ends the connection instead, the outcome is unknown.
//! - Retained messages: the engine retains nothing, and a subscription does not begin with what
//!   others have retained. It has no will. What other programs publish as a will is a message like
//!   others.
//! - A message of another program has no position, so its id is new each time: also if it comes
//!   again after this process has started anew. If its acknowledgement is lost with the connection,
//!   it comes again, as the engine cannot tell it from another one.
//! - What others publish at quality of service 0 comes to a group at most once.

mod answer;
mod connection;
mod link;
mod live;
mod member;
mod message;
mod packets;
mod reason;
mod settings;
mod table;
mod target;
mod topic;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

pub use self::settings::Qos;

use self::connection::Connection;
use self::settings::Settings;
use crate::hosted::engines::server::{on_a_server, setters};
use crate::hosted::engines::starting::Starting;
use crate::hosted::start::OnStart;
use crate::hosted::{
    Capabilities, Capability, DurableOptions, Engine, EngineFuture, Health, Level, LiveOptions,
    OpenError, Receive,
};

/// An engine on a server of MQTT 5.
///
/// The settings say where and how to connect. [`start`](Engine::start) connects, on the runtime of
/// tokio that calls it, and everything in the background runs there. Build the runtime with
/// `enable_all`: without `enable_io`, `start` panics. After the start the engine reconnects by
/// itself, without a time limit.
///
/// A durable subscription opens its session itself, and receives from the first moment of it: no
/// handler has to exist before the engine connects. [The module](self) has the table.
///
/// # Examples
///
/// ```no_run
/// use tickbus::Envelope;
/// use tickbus::hosted::{Engine, Level};
/// use tickbus::hosted::engines::Mqtt;
///
/// # async fn run() -> Result<(), Box<dyn core::error::Error>> {
/// let things = Mqtt::new("mqtt://127.0.0.1:1883").client_id("arena-3");
/// things.start().await?;
///
/// let mut ladder = things.subscribe("match.*.score")?.group("ladder").open().await?;
/// let score = Envelope::json("match.7.score", &3)?;
/// let receipt = things.publish(score.into()).await?;
/// assert_eq!(receipt.level, Level::Accepted);
///
/// while let Some(Ok(delivery)) = ladder.next().await {
///     println!("{:?}", delivery.envelope());
///     delivery.ack();
/// }
/// # Ok(())
/// # }
/// ```
pub struct Mqtt {
    name: Arc<str>,
    settings: Settings,
    starting: Starting<Connection>,
}

impl Mqtt {
    /// Returns the settings for the server at `url`: `mqtt://host:port`, or `mqtts://host:port` for
    /// TLS.
    ///
    /// A name and a password may stand in the URL.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            name: "mqtt".into(),
            settings: Settings {
                url: url.into(),
                login: None,
                client_id: None,
                prefix: String::new(),
                qos: Qos::default(),
                keep_alive: Duration::from_secs(30),
                session_expiry: Duration::from_secs(3600),
                timeout: Duration::from_secs(5),
                tls: false,
                certificates: Vec::new(),
                client_certificate: None,
                on_start: OnStart::default(),
            },
            starting: Starting::new(),
        }
    }

    setters!(named "mqtt");

    /// Sets what begins the client ids of this process. Durable subscriptions
    /// need it.
    ///
    /// It must be another one for each process, and the same when the process starts anew: the
    /// server finds the sessions of its groups by it.
    #[must_use]
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.settings.client_id = Some(id.into());
        self
    }

    /// Sets what stands before all topics, such as `fleet/1`: nothing by default.
    #[must_use]
    pub fn prefix(mut self, topic: impl Into<String>) -> Self {
        self.settings.prefix = topic.into();
        self
    }

    /// Sets the quality of service: [`Qos::AtLeastOnce`] by default.
    #[must_use]
    pub const fn qos(mut self, qos: Qos) -> Self {
        self.settings.qos = qos;
        self
    }

    /// Sets how long the server keeps the session of a member that is away: an hour by default.
    /// 0 switches durable subscriptions off.
    #[must_use]
    pub const fn session_expiry(mut self, time: Duration) -> Self {
        self.settings.session_expiry = time;
        self
    }

    /// Sets in which time each connection shows that it is alive: 30 s by default. The engine asks
    /// the server twice in this time, and connects again if it does not answer.
    #[must_use]
    pub const fn keep_alive(mut self, time: Duration) -> Self {
        self.settings.keep_alive = time;
        self
    }

    /// Logs in with a name and a password.
    #[must_use]
    pub fn login(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.settings.login = Some((user.into(), password.into()));
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
}

impl Engine for Mqtt {
    on_a_server!();

    fn capabilities(&self) -> Capabilities {
        use Capability as Can;
        let level = match self.settings.qos {
            Qos::AtMostOnce => Level::Buffered,
            Qos::AtLeastOnce => Level::Accepted,
        };
        let mut can = Capabilities::new().level(level);
        can = can.live([Can::Headers, Can::PublisherOrder, Can::Gaps]);
        let mut shares = self.settings.durable().is_some();
        if let Ok(connection) = self.starting.get() {
            can = can.level(connection.level());
            if let Ok(up) = connection.link.up() {
                can = can.max_payload(up.limits.packet);
                shares &= up.limits.shares && up.limits.confirms;
            }
        }
        if !shares {
            return can;
        }
        can.durable([
            Can::Headers,
            Can::PublisherOrder,
            Can::KeyOrderPerMember,
            Can::Redelivery,
            Can::Delay,
            Can::Extend,
            Can::Resume,
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
        self.starting.open(&self.name, |connection| member::open(connection, options))
    }

    fn health(&self) -> Health {
        self.starting.health(|it| it.troubles.of(it.link.health()))
    }
}

/// Says where and how, but no secret.
impl fmt::Debug for Mqtt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = self.settings.place().and_then(|place| place.login);
        let has_password = login.is_some_and(|(_, password)| !password.is_empty());
        f.debug_struct("Mqtt")
            .field("name", &self.name)
            .field("url", &self.settings.shown())
            .field("login", &if has_password { "password" } else { "none" })
            .field("client_id", &self.settings.client_id)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}
