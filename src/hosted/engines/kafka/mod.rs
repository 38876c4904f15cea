//! Kafka: [`Kafka`].
//!
//! | | |
//! |---|---|
//! | a publish is | [`Accepted`](Level::Accepted): all replicas in sync have it, in memory. [`Stored`](Level::Stored) if the topic has at least two replicas and `min.insync.replicas` of 2 or more, or `flush.messages=1` |
//! | live subscriptions | yes, each on a connection of its own, without a group |
//! | durable subscriptions | yes: a group is a consumer group, and each member has a connection of its own |
//! | wildcards | none at the server: each subscription reads its topics whole, and the core matcher decides. One engine has one topic, and more [by pattern](Kafka::topic_for) |
//! | order | per key, over the whole group: one member at a time has a partition, and the key decides which. Per publisher too if there is one topic of one partition. A retry or an ended lease changes it |
//! | the key | the ordering key, or else the subject |
//! | a group | members share the partitions. More members than partitions: some have nothing |
//! | acknowledged | by [`Delivery::ack`](crate::hosted::Delivery::ack). The engine commits the position of a partition [a moment later](Kafka::commit_interval), only as far as everything before it is done. `ack_async` waits for the commit, but not if an event before it is open |
//! | a retry, a lease, an extension | kept by this process, which gives the event out again. Others of the partition go on |
//! | late answers | refused by this process; and by the server, by generation, if the partition has gone to another member |
//! | attempts | not counted: the server does not know them |
//! | deduplication | no. The client numbers what it sends, so a repeat of its own has one effect |
//! | replay | by sequence if there is one topic of one partition, by time, and from the earliest |
//! | after a lost connection | continues where it was |
//! | events that the server has removed | [`Gap`](crate::hosted::Gap) `Trimmed` |
//! | dead letters | none: a rejected event is done |
//! | the form | [native headers](crate::hosted::wire), and the subject as `tb-subject` |
//!
//! # Traps
//!
//! - **Accepted**: a server writes to its disk when it likes. A failure of the one machine that is in
//!   sync loses what it had not written. The engine asks for the settings of the topic when it
//!   connects, and each [`heartbeat`](Kafka::heartbeat). A user who may not ask (`DescribeConfigs`)
//!   never receives `Stored`.
//! - A group has one position in each partition. An event that is retried or in work for long holds
//!   it: if the process ends then, the events behind it come again, those that you have acknowledged
//!   too. When 10,000 wait so, the partition rests until the event is settled.
//! - So do events that you have acknowledged within the last [`commit_interval`](Kafka::commit_interval).
//! - A member that comes or goes changes who has which partition. Until all members have joined again,
//!   they read nothing new. A member that does not answer [holds them up](Kafka::session_timeout).
//! - Before a member gives up a partition, it waits up to 5 s, and no longer than a lease, for what is in
//!   work. After that, the answer is late and the event comes again, elsewhere.
//! - A slow handler does not cost the member its place: the engine speaks to the server all the time.
//!   A process that stands still for the [`session_timeout`](Kafka::session_timeout) loses it. So does
//!   one that is killed, and until then nothing of its partitions is delivered.
//! - More partitions later change which keys have which partition: their order is lost at that
//!   moment. Choose enough at first.
//! - A subscription to few of the subjects of a topic reads all of it. Give busy subjects a topic of
//!   their own with [`topic_for`](Kafka::topic_for). With several topics, the events of one key may be
//!   in several: the engine then promises no order.
//! - All members of a group must have the same patterns: the engine refuses others as soon as a member
//!   has said which. The server keeps them beside the position. If they exceed its
//!   `offset.metadata.max.bytes`, the engine keeps the start time alone, or nothing, and then refuses no
//!   member.
//! - If an event of a batch is not handed over, the engine also holds back the later ones of its key.
//!   Publish all of them again, in their order. An event that can never be sent, for example a larger one
//!   than the topic takes, does not hold up the others.
//! - The server forgets a group without members after `offsets.retention.minutes`, a week by default. It
//!   then begins as a new one.
//! - A sequence is the partition, above 48 bits of the offset. One that does not exist yet stands for
//!   the next event.
//! - The engine writes the subject to the header `tb-subject`, and reads it there. A record of another
//!   program may have it in a header `subject`; without both, its subject is the name of the topic. It
//!   keeps its key. A record that cannot be an envelope is a gap, `Unreadable`, and is done.
//! - If a user loses the right to read a topic, and may still describe it, the client only retries:
//!   nothing comes, and the health stays `Up`.
//! - Compacted topics keep the last event of each key: what is gone so is not told.

mod answer;
mod connection;
mod facts;
mod fault;
mod live;
mod member;
mod message;
mod publish;
mod settings;
mod start;
mod table;
mod topics;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

pub use self::settings::Mechanism;
pub use crate::hosted::provision::Provision;

use self::connection::Connection;
use self::settings::{Login, Settings};
use crate::hosted::engines::server::{on_a_server, setters};
use crate::hosted::engines::starting::Starting;
use crate::hosted::start::OnStart;
use crate::hosted::{
    Capabilities, Capability, DurableOptions, Engine, EngineFuture, Health, Level, LiveOptions,
    OpenError, Receive,
};

/// An engine on Kafka of version 3.9 or later, or on a server that speaks its protocol.
///
/// The settings say where and how to connect. [`start`](Engine::start) connects, on the runtime of
/// tokio that calls it, and everything in the background runs there. Build the runtime with
/// `enable_all`: without `enable_io`, `start` fails. After the start the engine reconnects by
/// itself, without a time limit.
///
/// [The module](self) has the table of what it can do.
///
/// # Examples
///
/// ```no_run
/// use tickbus::Envelope;
/// use tickbus::hosted::{Engine, StartAt};
/// use tickbus::hosted::engines::kafka::{Kafka, Provision};
///
/// # async fn run() -> Result<(), Box<dyn core::error::Error>> {
/// let fleet = Kafka::new("127.0.0.1:9092").topic("game").partitions(12).provision(Provision::Create);
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
pub struct Kafka {
    name: Arc<str>,
    settings: Settings,
    starting: Starting<Connection>,
}

impl Kafka {
    /// Returns the settings for the servers at `brokers`: `host:port`, with commas between several. One
    /// that answers names the others.
    #[must_use]
    pub fn new(brokers: impl Into<String>) -> Self {
        Self {
            name: "kafka".into(),
            settings: Settings {
                brokers: brokers.into(),
                topic: "eventbus".into(),
                topics: Vec::new(),
                partitions: None,
                replicas: None,
                group_prefix: None,
                provision: Provision::default(),
                login: None,
                tls: false,
                certificates: Vec::new(),
                client_certificate: None,
                on_start: OnStart::default(),
                timeout: Duration::from_secs(5),
                heartbeat: Duration::from_secs(5),
                session_timeout: Duration::from_secs(45),
                commit_interval: Duration::from_millis(100),
            },
            starting: Starting::new(),
        }
    }

    setters!(named "kafka");

    /// Sets the topic: `eventbus` by default.
    #[must_use]
    pub fn topic(mut self, name: impl Into<String>) -> Self {
        self.settings.topic = name.into();
        self
    }

    /// Publishes subjects that `pattern` matches to another topic. The first of several patterns
    /// decides. With such a topic, the engine states no order.
    #[must_use]
    pub fn topic_for(mut self, pattern: impl Into<String>, topic: impl Into<String>) -> Self {
        self.settings.topics.push((pattern.into(), topic.into()));
        self
    }

    /// Sets how many partitions a topic has that the engine creates: as the server says by default.
    #[must_use]
    pub const fn partitions(mut self, partitions: u16) -> Self {
        self.settings.partitions = Some(partitions);
        self
    }

    /// Sets how many servers keep a topic that the engine creates: as the server says by default.
    #[must_use]
    pub const fn replicas(mut self, replicas: u8) -> Self {
        self.settings.replicas = Some(replicas);
        self
    }

    /// Sets what stands before the name of a group at the server, and a hyphen: nothing by default.
    #[must_use]
    pub fn group_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.group_prefix = Some(prefix.into());
        self
    }

    /// Sets what the engine does about a missing topic: [`Provision::Check`] by default.
    #[must_use]
    pub const fn provision(mut self, provision: Provision) -> Self {
        self.settings.provision = provision;
        self
    }

    /// Logs in with a name and a password (SASL).
    #[must_use]
    pub fn login(
        mut self,
        mechanism: Mechanism,
        user: impl Into<String>,
        password: impl Into<String>,
    ) -> Self {
        let (user, password) = (user.into(), password.into());
        self.settings.login = Some(Login { mechanism, user, password });
        self
    }

    setters!(tls);

    setters!(on_start);

    /// Sets how long the engine waits for an answer of the server: 5 s by default. It is at least half
    /// a second.
    #[must_use]
    pub const fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = timeout;
        self
    }

    /// Sets how often the engine asks whether the server is there, and how many partitions a topic
    /// has: 5 s by default.
    #[must_use]
    pub const fn heartbeat(mut self, heartbeat: Duration) -> Self {
        self.settings.heartbeat = heartbeat;
        self
    }

    /// Sets how long the server waits for a silent member before it gives its partitions to others: 45 s
    /// by default. Servers have bounds for it, 6 s to 30 min by default. A member that does not join
    /// again holds up its group as long, and at least 10 s.
    #[must_use]
    pub const fn session_timeout(mut self, timeout: Duration) -> Self {
        self.settings.session_timeout = timeout;
        self
    }

    /// Sets how often a member tells the server what is acknowledged: 100 ms by default. 0 is at once.
    #[must_use]
    pub const fn commit_interval(mut self, interval: Duration) -> Self {
        self.settings.commit_interval = interval;
        self
    }
}

impl Engine for Kafka {
    on_a_server!();

    fn capabilities(&self) -> Capabilities {
        use Capability as Can;
        let connection = self.starting.get();
        let facts = connection.as_ref().map(|it| it.all_facts()).unwrap_or_default();
        let level = facts.iter().map(|facts| facts.level).min();
        let mut can = Capabilities::new().level(level.unwrap_or(Level::Accepted));
        if let Some(limit) = facts.iter().map(|facts| facts.limit).min() {
            can = can.max_payload(limit);
        }
        can = can.live([Can::Headers, Can::Gaps]).durable([
            Can::Headers,
            Can::Redelivery,
            Can::Delay,
            Can::Extend,
            Can::FencingServer,
            Can::Resume,
            Can::StartEarliest,
            Can::StartTime,
            Can::Gaps,
        ]);
        if self.settings.topics.is_empty() {
            can = can.durable([Can::KeyOrderAcrossGroup]);
        }
        match (&facts[..], connection) {
            ([one], Ok(connection)) if connection.topics.is_one() && one.partitions == 1 => {
                can.live([Can::PublisherOrder]).durable([Can::PublisherOrder, Can::StartSequence])
            }
            _ => can,
        }
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
        self.starting.health(Connection::health)
    }

    fn lag(&self) -> Option<u64> {
        self.starting.get().ok()?.lag()
    }
}

/// Says where and how, but no secret.
impl fmt::Debug for Kafka {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = self.settings.login.as_ref().map(|login| (login.mechanism, &login.user));
        f.debug_struct("Kafka")
            .field("name", &self.name)
            .field("brokers", &self.settings.brokers)
            .field("login", &login)
            .field("topic", &self.settings.topic)
            .field("topics", &self.settings.topics)
            .field("health", &self.health())
            .finish_non_exhaustive()
    }
}
