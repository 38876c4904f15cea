//! What can be seen of a bus at work.

use alloc::sync::Arc;
use core::fmt;

use crate::envelope::Envelope;
use crate::subject::Pattern;

/// What a subscription does with an envelope for which it has no room.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "std")] {
/// use tickbus::{Envelope, SubjectBus, Overrun};
///
/// let bus = SubjectBus::new();
/// let first = bus.subscribe(">")?.capacity(1).open(); // DropNewest
/// let last = bus.subscribe(">")?.capacity(1).overrun(Overrun::DropOldest).open();
/// for subject in ["lap.1", "lap.2", "lap.3"] {
///     bus.publish(Envelope::new(subject)?)?;
/// }
///
/// assert_eq!((first.recv().unwrap().subject().as_str(), first.dropped()), ("lap.1", 2));
/// assert_eq!((last.recv().unwrap().subject().as_str(), last.dropped()), ("lap.3", 2));
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "json", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Overrun {
    /// Drops the new envelope. The default.
    #[default]
    DropNewest,
    /// Drops the oldest envelope that waits; the new one is last.
    DropOldest,
    /// The publisher waits for room. One that receives on the same thread waits for ever: see
    /// `Wait`.
    Block,
}

impl Overrun {
    /// `drop_newest`, `drop_oldest` or `block`: the name in metrics and JSON.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::DropNewest => "drop_newest",
            Self::DropOldest => "drop_oldest",
            Self::Block => "block",
        }
    }
}

impl fmt::Display for Overrun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// Why a subscription did not get an envelope that it matched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DropReason {
    /// There was no room for it, or for the newer ones.
    BufferFull,
    /// The subscription had ended, or ended while the publisher waited for room.
    Closed,
}

impl DropReason {
    /// `buffer_full` or `closed`: the name in metrics.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::Closed => "closed",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.label())
    }
}

/// The subscription that an observer hears of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Recipient<'a> {
    /// Its number, unique on its bus.
    pub id: u64,
    /// What it subscribed to.
    pub pattern: Pattern<'a>,
    /// What it does when it is full.
    pub when_full: Overrun,
}

/// Sees what a bus does; changes nothing.
///
/// It is called on the publisher's thread, outside of all locks, so it may use the bus. Under the feature
/// `std`, a panic in it goes on to the publisher after every subscription that matches has the envelope or
/// has counted it as lost, and after the other observers were told.
///
/// For each publish: first `on_publish`, then for each subscription that matches one `on_deliver` or
/// one `on_drop`, in its turn; one whose handle is dropped before that does not match any more. An
/// envelope that gave way to a newer one ([`DropOldest`](Overrun::DropOldest)) was delivered before, and
/// is now told as dropped, by whoever published the newer one. Of a publish that is awaited, nothing more
/// is told once the bus is closed: what became of it since its last poll, its future and the numbers say.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "std")] {
/// use std::sync::{Arc, Mutex};
/// use tickbus::{Envelope, SubjectBus};
/// use tickbus::subject_bus::{DropReason, Observer, Recipient};
///
/// #[derive(Default)]
/// struct Losses(Mutex<Vec<String>>);
///
/// impl Observer for Losses {
///     fn on_drop(&self, envelope: &Arc<Envelope>, recipient: Recipient<'_>, reason: DropReason) {
///         let loss = format!("{} {} {reason}", recipient.pattern, envelope.subject());
///         self.0.lock().unwrap().push(loss);
///     }
/// }
///
/// let losses = Arc::new(Losses::default());
/// let bus = SubjectBus::builder().observer(losses.clone()).build();
/// let _laps = bus.subscribe("lap.*")?.capacity(1).open();
/// bus.publish(Envelope::new("lap.1")?)?;
/// bus.publish(Envelope::new("lap.2")?)?;
///
/// assert_eq!(*losses.0.lock().unwrap(), ["lap.* lap.2 buffer_full"]);
/// # }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
pub trait Observer: Send + Sync {
    /// An envelope is being published; nobody has it yet.
    fn on_publish(&self, envelope: &Arc<Envelope>) {
        let _ = envelope;
    }

    /// The recipient has it in its buffer.
    fn on_deliver(&self, envelope: &Arc<Envelope>, recipient: Recipient<'_>) {
        let _ = (envelope, recipient);
    }

    /// The recipient does not get it.
    fn on_drop(&self, envelope: &Arc<Envelope>, recipient: Recipient<'_>, reason: DropReason) {
        let _ = (envelope, recipient, reason);
    }
}
