//! Fan-out: every subscriber reads every event, at its own cursor.
//!
//! | | publish | a subscriber that is N behind | what a subscriber costs a publisher |
//! |---|---|---|---|
//! | [`Topic`] | never fails | is told how much it missed | nothing |
//! | [`GatedTopic`] | [`Full`] | gates, or is told: its choice | nothing, until the topic seems full |
//! | [`Feed`] | never fails; one publisher | is told how much it missed | nothing |
//! | [`Latest`] | never fails | reads the newest value | nothing |
//!
//! Several types of topic and not one. A publisher that is alone needs no read-modify-write: 13 instructions
//! instead of 39 on a Cortex-M3. The gate costs a publisher something even where nobody gates:
//! 44 instructions instead of 39 on a Cortex-M3, three words and one for each place, and an answer that has
//! to be looked at. Where there is a gate, each subscriber chooses, which costs nothing more.

mod feed;
mod gated;
mod latest;
#[cfg(test)]
mod model;
mod selective;
mod subscriber;
mod waiting;

use core::fmt;

pub use self::feed::{Feed, Publisher};
pub use self::gated::{GatedTopic, Gating};
pub use self::latest::{Changed, Latest, Watcher};
pub use self::selective::{Selected, Selective};
pub use self::subscriber::{Subscriber, SubscriberStats, Unread};
use crate::bus::{Publish, Put, Single};
use crate::error::Full;
use crate::ring::broadcast::{self, Broadcast, Kind};
use crate::wait::{NoWaiters, Waits};

/// How many publish to a topic: [`Many`] to a [`Topic`] and a [`GatedTopic`], a [`Single`] one to a
/// [`Feed`]. A [`Subscriber`] has it in its type.
///
/// This trait is sealed.
#[expect(private_bounds, reason = "sealed: no path outside this crate names `Kind`")]
pub trait Publishers: Kind {}

/// The publishers of a [`Topic`]: any number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Many;

impl Publishers for Many {}
impl Publishers for Single {}

impl Kind for Many {
    type Ring<E: Copy> = broadcast::Ring<[broadcast::Slot<E>]>;
}

impl Kind for Single {
    type Ring<E: Copy> = broadcast::alone::Ring<[broadcast::alone::Slot<E>]>;
}

/// A topic: many publishers, any number of subscribers, the last `N` events.
///
/// Anybody who can see it may publish and subscribe: threads, tasks, interrupt handlers, whoever is just
/// reading it. Publishing never waits and never fails, and costs the same whatever the number of
/// subscribers; a subscriber that is more than `N` events behind is told how many it
/// [missed](crate::Lagged) and goes on with the oldest one kept.
///
/// `N` is a power of two and at least 2. A new topic is all zeros, so a `static` one lies in `.bss`. It
/// takes one word for each slot beside the event, and two for itself; a subscriber takes nothing on it.
///
/// # Waiting
///
/// With `W` = [`Waiters<K>`](crate::Waiters), a publish wakes the subscribers that wait, up to `K` at the same
/// time: see [`Subscriber::next_async`]. It panics if the waker of a task does; the event is published then.
///
/// # Interrupts
///
/// On targets with compare-and-swap no operation masks interrupts. On those without, a publish has two
/// critical sections of a few instructions, the same whatever `E`, `N` and the number of subscribers;
/// reading has none. Where Rust has no stable inline assembly either (AVR, MSP430, Xtensa), each word of an
/// event is copied in a critical section of its own, by publishers and by subscribers.
///
/// # Progress
///
/// A publisher that is interrupted halfway, at whatever instruction and for however long, keeps one
/// slot to itself: others publish, readers read what they publish, and nobody waits. It takes `N`
/// publishers that are all stopped halfway at the same moment to bring one more into trouble: its event
/// is lost, [counted](TopicStats::lost), and every subscriber is told. Publishing is lock-free: it
/// starts over only when another publisher has got ahead. Reading an event is wait-free.
///
/// # Order
///
/// Every subscriber sees the same order: that of one publisher's publishing, and of two events of which
/// one was published before the publishing of the other began. Between two that were under way at the
/// same time the topic decides.
///
/// # Safety limit
///
/// On targets without 64-bit atomics, at most 2^31 events may be published while a subscriber copies one
/// event: one that is interrupted for longer may take a mixture of two events for a whole one, which is
/// undefined behavior if such a mixture is not a valid `E`. And a subscriber must read at least once in
/// 2^31 events: one that is further behind finds nothing for as many more, and is not told what it missed.
/// At 1 kHz that many take 596 hours, at 1 MHz 36 minutes.
///
/// # Examples
///
/// ```
/// use tickbus::{Lagged, Topic};
///
/// static DAMAGE: Topic<u32, 4> = Topic::new();
///
/// DAMAGE.publish(1); // nobody subscribes: that is fine
/// let mut audio = DAMAGE.subscribe();
/// let mut score = DAMAGE.subscribe();
///
/// DAMAGE.publish(2);
/// assert!(audio.read().eq([Ok(2)]));
/// for amount in 3..=6 {
///     DAMAGE.publish(amount);
/// }
/// assert!(audio.read().flatten().eq(3..=6));
/// assert!(score.read().eq([Err(Lagged(1)), Ok(3), Ok(4), Ok(5), Ok(6)]));
/// ```
///
/// ```compile_fail,E0080
/// static TOPIC: tickbus::Topic<u8, 3> = tickbus::Topic::new(); // no power of two
/// ```
#[doc(alias = "broadcast")]
#[doc(alias = "pubsub")]
#[doc(alias = "mpmc")]
pub struct Topic<E, const N: usize, W: Waits = NoWaiters> {
    ring: Broadcast<E, N>,
    waiters: W,
}

impl<E: Copy, const N: usize, W: Waits> Topic<E, N, W> {
    /// A topic without events.
    #[cfg(not(tickbus_loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self { ring: Broadcast::new(), waiters: W::NEW }
    }

    /// A topic without events.
    #[cfg(tickbus_loom)]
    #[must_use]
    pub fn new() -> Self {
        Self { ring: Broadcast::new(), waiters: W::fresh() }
    }

    #[cfg(all(test, not(tickbus_loom)))]
    pub(super) fn starting_before_wrap(back: usize) -> Self {
        Self { ring: Broadcast::starting_before_wrap(back), waiters: W::NEW }
    }

    /// Publishes `event` to every subscriber. Never blocks, never fails; constant time, unless a
    /// publisher has been stopped halfway.
    #[inline]
    pub fn publish(&self, event: E) {
        let ring = self.ring.view();
        if !ring.publish(event, |_| true) {
            ring.lose();
        }
        self.waiters.wake();
    }

    /// A subscriber that sees what is published from here on. There may be any number.
    pub fn subscribe(&self) -> Subscriber<'_, E, Many, W> {
        Subscriber::lagging(self.ring.view().shelf(), &self.waiters)
    }

    /// How many events are kept: `N`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> TopicStats {
        let ring = self.ring.view();
        let lost = ring.lost() as usize;
        TopicStats {
            published: (ring.claims() as usize).wrapping_add(lost),
            lost,
            ..TopicStats::default()
        }
    }
}

impl<E: Copy, const N: usize, W: Waits> Publish for &Topic<E, N, W> {
    type Event = E;

    #[inline]
    fn publish(&mut self, event: E) -> Result<(), Full<E>> {
        Topic::publish(self, event);
        Ok(())
    }
}

impl<E: Copy, const N: usize, W: Waits> Put for &Topic<E, N, W> {}

impl<E: Copy, const N: usize, W: Waits> Default for Topic<E, N, W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E: Copy, const N: usize, W: Waits> fmt::Debug for Topic<E, N, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Topic")
            .field("capacity", &N)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// What has happened on a topic since it was made. The counters are as wide as a pointer and wrap.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStats {
    /// Events published, the lost ones included.
    pub published: usize,
    /// Events that nobody could get, because `N` publishers had been stopped halfway.
    pub lost: usize,
    /// Events that came back: from a [`GatedTopic`] that was full, or from a [`Feed`] whose publisher was
    /// claimed. They are not among those published.
    pub refused: usize,
}

/// One line: `published 9, lost 0, refused 3`.
impl fmt::Display for TopicStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { published, lost, refused } = self;
        write!(f, "published {published}, lost {lost}, refused {refused}")
    }
}
