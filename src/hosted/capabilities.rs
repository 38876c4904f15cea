//! What an engine says that it can do: [`Capabilities`].

use alloc::vec::Vec;
use core::fmt;

use super::engine::Level;

/// Something that one engine can do and another cannot.
///
/// A subscription may [demand](super::Subscribe::demand) it. The conformance kit proves it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Capability {
    /// Live subscriptions: they receive what is published from now on, without acknowledgement.
    Live,
    /// Durable subscriptions: a group shares them, and the engine keeps its position.
    Durable,
    /// Keys and values of headers arrive byte for byte.
    Headers,
    /// A second publish of one id has no effect.
    Deduplication,
    /// Each subscription receives the events of one publisher in the order of publishing.
    PublisherOrder,
    /// Each member of a group receives the events of one key in the order of publishing.
    KeyOrderPerMember,
    /// One member of the group at a time has events of one key. Includes
    /// [`KeyOrderPerMember`](Self::KeyOrderPerMember).
    KeyOrderAcrossGroup,
    /// A full buffer can let the publisher wait.
    Block,
    /// A publisher waits for a full buffer at most so long as its subscription says.
    BlockTimeout,
    /// A delivery that is not settled in time comes again, also if its member has died.
    Redelivery,
    /// The engine keeps the delay of `retry_after`.
    Delay,
    /// A delivery says how often it was delivered.
    Attempts,
    /// `extend` keeps a delivery for longer.
    Extend,
    /// The client's clock refuses an answer after the lease has ended.
    FencingLocal,
    /// The engine refuses an answer after the lease has ended. Includes
    /// [`FencingLocal`](Self::FencingLocal).
    FencingServer,
    /// A group continues where it stopped.
    Resume,
    /// A new group can begin with the oldest event that the engine keeps.
    StartEarliest,
    /// A new group can begin at a sequence.
    StartSequence,
    /// A new group can begin at a time.
    StartTime,
    /// The subscription receives a [`Gap`](super::Gap) in place of lost events.
    Gaps,
    /// The engine keeps a rejected delivery, or one out of attempts, as a dead letter.
    DeadLetters,
}

impl Capability {
    /// All capabilities.
    pub const ALL: [Self; 21] = [
        Self::Live,
        Self::Durable,
        Self::Headers,
        Self::Deduplication,
        Self::PublisherOrder,
        Self::KeyOrderPerMember,
        Self::KeyOrderAcrossGroup,
        Self::Block,
        Self::BlockTimeout,
        Self::Redelivery,
        Self::Delay,
        Self::Attempts,
        Self::Extend,
        Self::FencingLocal,
        Self::FencingServer,
        Self::Resume,
        Self::StartEarliest,
        Self::StartSequence,
        Self::StartTime,
        Self::Gaps,
        Self::DeadLetters,
    ];

    /// Returns the name in errors, tables and JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Durable => "durable",
            Self::Headers => "headers",
            Self::Deduplication => "deduplication",
            Self::PublisherOrder => "publisher_order",
            Self::KeyOrderPerMember => "key_order_per_member",
            Self::KeyOrderAcrossGroup => "key_order_across_group",
            Self::Block => "block",
            Self::BlockTimeout => "block_timeout",
            Self::Redelivery => "redelivery",
            Self::Delay => "delay",
            Self::Attempts => "attempts",
            Self::Extend => "extend",
            Self::FencingLocal => "fencing_local",
            Self::FencingServer => "fencing_server",
            Self::Resume => "resume",
            Self::StartEarliest => "start_earliest",
            Self::StartSequence => "start_sequence",
            Self::StartTime => "start_time",
            Self::Gaps => "gaps",
            Self::DeadLetters => "dead_letters",
        }
    }

    const fn bit(self) -> u64 {
        1 << self as u32
    }

    /// Those that this one includes, and itself.
    const fn bits(self) -> u64 {
        let included = match self {
            Self::KeyOrderAcrossGroup => Self::KeyOrderPerMember.bit(),
            Self::FencingServer => Self::FencingLocal.bit(),
            _ => 0,
        };
        self.bit() | included
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Whether a subscription is live or durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Mode {
    /// Receives what is published from now on, in a buffer of its own, at most once.
    Live,
    /// Receives as a member of a group, from a position that the engine keeps, at least once.
    Durable,
}

impl Mode {
    /// Returns `live` or `durable`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Durable => "durable",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// States what an engine can do, separately for live and for durable subscriptions.
///
/// # Examples
///
/// ```
/// use tickbus::hosted::{Capabilities, Capability, Level, Mode};
///
/// let engine = Capabilities::new()
///     .level(Level::Accepted)
///     .max_payload(1 << 20)
///     .live([Capability::PublisherOrder, Capability::Headers]);
///
/// assert!(engine.has(Mode::Live, Capability::Headers));
/// assert!(!engine.has(Mode::Durable, Capability::Headers)); // it has no durable subscriptions
/// assert!(format!("{engine:?}").contains(r#"live: ["live", "headers", "publisher_order"]"#));
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct Capabilities {
    level: Level,
    max_payload: Option<usize>,
    live: u64,
    durable: u64,
}

impl Capabilities {
    /// Returns the minimum: no subscriptions, and a publish is [`Level::Buffered`].
    pub const fn new() -> Self {
        Self { level: Level::Buffered, max_payload: None, live: 0, durable: 0 }
    }

    /// Sets the highest level that a receipt can have.
    pub const fn level(mut self, level: Level) -> Self {
        self.level = level;
        self
    }

    /// Sets how many bytes a payload may have.
    pub const fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = Some(bytes);
        self
    }

    /// States that there are live subscriptions, and what they can do.
    pub fn live(mut self, can: impl IntoIterator<Item = Capability>) -> Self {
        self.live |= Capability::Live.bit() | bits(can);
        self
    }

    /// States that there are durable subscriptions, and what they can do.
    pub fn durable(mut self, can: impl IntoIterator<Item = Capability>) -> Self {
        self.durable |= Capability::Durable.bit() | bits(can);
        self
    }

    /// Withdraws a capability, in both modes. Use it for a server that lacks what others of its
    /// kind have.
    pub const fn without(mut self, capability: Capability) -> Self {
        self.live &= !capability.bit();
        self.durable &= !capability.bit();
        self
    }

    /// Returns what both can do: the lower level, the smaller payload, and what neither lacks.
    pub fn weakest(mut self, other: Self) -> Self {
        self.level = self.level.min(other.level);
        self.max_payload = self.max_payload.into_iter().chain(other.max_payload).min();
        self.live &= other.live;
        self.durable &= other.durable;
        self
    }

    /// Returns whether subscriptions of this mode have the capability.
    #[must_use]
    pub const fn has(&self, mode: Mode, capability: Capability) -> bool {
        let stated = match mode {
            Mode::Live => self.live,
            Mode::Durable => self.durable,
        };
        stated & capability.bit() != 0
    }

    /// Returns the highest level that a receipt can have.
    #[must_use]
    pub const fn highest_level(&self) -> Level {
        self.level
    }

    /// Returns the size of the largest payload, in bytes. Returns `None` if any size is fine.
    #[must_use]
    pub const fn payload_limit(&self) -> Option<usize> {
        self.max_payload
    }

    /// Returns what subscriptions of this mode can do.
    pub fn of(&self, mode: Mode) -> impl Iterator<Item = Capability> + '_ {
        Capability::ALL.into_iter().filter(move |capability| self.has(mode, *capability))
    }
}

fn bits(of: impl IntoIterator<Item = Capability>) -> u64 {
    of.into_iter().fold(0, |bits, capability| bits | capability.bits())
}

impl fmt::Debug for Capabilities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |mode| self.of(mode).map(Capability::name).collect::<Vec<_>>();
        f.debug_struct("Capabilities")
            .field("level", &self.level)
            .field("max_payload", &self.max_payload)
            .field("live", &names(Mode::Live))
            .field("durable", &names(Mode::Durable))
            .finish()
    }
}

impl Default for Capabilities {
    fn default() -> Self {
        Self::new()
    }
}
