//! The events of the device, and what they are on the wire: below `device.7`.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, Ordering};

use heapless::String;
use tickbus::{Bus, DropOldest, Event as _};

/// The id of an envelope. What is longer is cut.
pub type Id = String<36>;

tickbus::events! {
    /// What leaves.
    #[derive(Clone)]
    pub enum Outgoing {
        #[subject = "reading"]
        Reading { number: u32, millidegrees: u32 },
        #[subject = "answer"]
        Answer(Answer),
    }
}

tickbus::events! {
    /// What a command can ask for: its words are the segments of the subject. Each has the id of its
    /// envelope.
    #[derive(Clone)]
    pub enum Command {
        #[subject = "led.on"]
        LedOn(Id),
        #[subject = "led.off"]
        LedOff(Id),
        #[subject = "stats"]
        Stats(Id),
        #[subject = "pause"]
        Pause(Id),
        #[subject = "resume"]
        Resume(Id),
        #[subject = "unknown"]
        Unknown(Id),
    }
}

/// What waits to leave. Readings grow old, so a full bus drops the oldest.
pub static OUTGOING: Bus<Outgoing, 16, DropOldest> = Bus::new();

/// What has come. A command that finds no room is refused, and counted as that.
pub static COMMANDS: Bus<Command, 8> = Bus::new();

/// What the network counts beside the buses. Only `main` does.
pub struct Counts {
    pub acknowledged: Count,
    pub rejected: Count,
    pub in_flight: Count,
    pub connections: Count,
    pub malformed: Count,
}

pub static COUNTS: Counts = Counts {
    acknowledged: Count::new(),
    rejected: Count::new(),
    in_flight: Count::new(),
    connections: Count::new(),
    malformed: Count::new(),
};

pub struct Count(AtomicU32);

impl Count {
    const fn new() -> Self {
        Self(AtomicU32::new(0))
    }

    pub fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn set(&self, to: u32) {
        self.0.store(to, Ordering::Relaxed);
    }

    pub fn add(&self) {
        self.set(self.get().wrapping_add(1));
    }
}

/// What became of all that was published.
#[derive(Clone)]
pub struct Sums {
    published: u32,
    acknowledged: u32,
    dropped: u32,
    pending: u32,
    connections: u32,
    refused: u32,
    malformed: u32,
}

impl Sums {
    pub fn now() -> Self {
        // The timer interrupt publishes too.
        let bus = critical_section::with(|_| OUTGOING.stats());
        Self {
            published: bus.published as u32,
            acknowledged: COUNTS.acknowledged.get(),
            dropped: bus.dropped() as u32 + COUNTS.rejected.get(),
            pending: bus.pending as u32 + COUNTS.in_flight.get(),
            connections: COUNTS.connections.get(),
            refused: COMMANDS.stats().refused as u32,
            malformed: COUNTS.malformed.get(),
        }
    }
}

#[derive(Clone)]
pub struct Answer {
    /// The id of the command.
    pub to: Id,
    pub said: Said,
}

#[derive(Clone)]
pub enum Said {
    Led(bool),
    Paused(bool),
    Sums(Sums),
    Unknown,
}

impl Command {
    const ALL: [fn(Id) -> Self; 5] =
        [Self::LedOn, Self::LedOff, Self::Stats, Self::Pause, Self::Resume];

    /// Reads the text of a payload: `led on`, or `"led on"` as JSON has it.
    pub fn of(text: &str, id: Id) -> Self {
        let words = text.trim_matches(['"', ' ', '\n']);
        let all = Self::ALL.iter().map(|command| command(id.clone()));
        let mut named = all.filter(|command| command.subject().split('.').eq(words.split(' ')));
        named.next().unwrap_or(Self::Unknown(id))
    }

    pub fn id(&self) -> &Id {
        match self {
            Self::LedOn(id)
            | Self::LedOff(id)
            | Self::Stats(id)
            | Self::Pause(id)
            | Self::Resume(id)
            | Self::Unknown(id) => id,
        }
    }
}

/// Returns as much of the text as an id may have.
pub fn id_of(text: &str) -> Id {
    let mut id = Id::new();
    let _ = text.chars().try_for_each(|c| id.push(c));
    id
}

/// The payload, as JSON.
impl fmt::Display for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reading { number, millidegrees } => {
                write!(f, r#"{{"number":{number},"millidegrees":{millidegrees}}}"#)
            }
            Self::Answer(answer) => match &answer.said {
                Said::Led(is_on) => write!(f, r#"{{"led":{is_on}}}"#),
                Said::Paused(is_paused) => write!(f, r#"{{"paused":{is_paused}}}"#),
                Said::Unknown => f.write_str(r#"{"error":"unknown command"}"#),
                Said::Sums(sums) => {
                    f.write_char('{')?;
                    for (name, value) in [
                        ("published", sums.published),
                        ("acknowledged", sums.acknowledged),
                        ("dropped", sums.dropped),
                        ("pending", sums.pending),
                        ("connections", sums.connections),
                        ("refused", sums.refused),
                    ] {
                        write!(f, r#""{name}":{value},"#)?;
                    }
                    write!(f, r#""malformed":{}}}"#, sums.malformed)
                }
            },
        }
    }
}
