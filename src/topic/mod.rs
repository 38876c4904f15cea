//! Fan-out: every subscriber reads every event, at its own cursor.
//!
//! | | publish | a subscriber that is `N` behind | what a subscriber costs a publisher |
//! |---|---|---|---|
//! | [`Topic`] | never fails | learns how many events it missed | nothing |
//! | [`GatedTopic`] | returns [`Full`] | gates or lags, as it chose | nothing, until the topic seems full |
//! | [`Feed`] | never fails; one publisher | learns how many events it missed | nothing |
//! | [`Latest`] | never fails | reads the newest value | nothing |
//!
//! Why several types: a sole publisher needs no read-modify-write, and a gate costs every publisher something. On a
//! Cortex-M3 a publish takes 13 instructions on a `Feed`, 39 on a `Topic` and 44 on a `GatedTopic`. The gate
//! also takes three words, and one for each place.

mod feed;
mod gated;
mod history;
mod latest;
mod selective;
mod subscriber;
#[cfg(all(test, not(tickbus_loom)))]
mod tests;
mod waiting;

#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use alloc::boxed::Box;
use core::fmt;

pub use self::feed::{Feed, Publisher};
pub use self::gated::{GatedTopic, Gating};
pub use self::history::{History, Last};
pub use self::latest::{Changed, Latest, Watcher};
pub use self::selective::{Selected, Selective};
pub use self::subscriber::{Subscriber, SubscriberStats, Unread};
use crate::bus::{Capacity, Publish, Put, Single};
use crate::error::Full;
#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use crate::ring::boxed;
use crate::ring::broadcast::{self, Broadcast, Kind};
use crate::wait::{NoWaiters, Waits};

/// The number of publishers, in the type of a [`Subscriber`]: [`Many`] on a [`Topic`] and a [`GatedTopic`], [`Single`] on
/// a [`Feed`].
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

/// What a topic, a feed or a latest value can carry: any type that is `Copy`, because each reader gets a copy.
#[diagnostic::on_unimplemented(
    message = "a topic cannot carry `{Self}`: it is not `Copy`",
    label = "this is not `Copy`",
    note = "each reader gets a copy: publish a small value that is `Copy`, or use a `Bus`, which moves its events"
)]
pub trait TopicEvent: Copy {}

#[diagnostic::do_not_recommend]
impl<E: Copy> TopicEvent for E {}

/// A topic: many publishers, any number of subscribers, the last `N` events.
///
/// Threads, tasks and interrupt handlers may all publish and subscribe. Publishing never waits, never fails, and
/// costs the same for any number of subscribers.
///
/// # Lagging
///
/// A topic keeps the last `N` events. A subscriber that is further behind reads [`Lagged`](crate::Lagged) once, with
/// the number of events that it missed, and continues with the oldest event that is kept.
///
/// # Memory
///
/// `N` is a power of two and at least 2. A new topic is all zeros, so a `static` one lies in `.bss`. It takes one
/// word for each slot beside the event, and two words for itself. A subscriber takes no room on it.
///
/// # Waiting
///
/// With `W` = [`Waiters<K>`](crate::Waiters), a publish wakes the subscribers that wait, up to `K` at the same
/// time: see [`Subscriber::next_async`]. If the waker of a task panics, the publish panics too, and its event is
/// published.
///
/// # Interrupts
///
/// With compare-and-swap, no operation masks interrupts. Without it, a publish has two critical sections of a few
/// instructions, the same for every `E`, `N` and number of subscribers, and reading has none. On targets without
/// stable inline assembly (AVR, MSP430, Xtensa), each word of an event is copied in a critical section of its own.
///
/// # Progress
///
/// A publisher that is interrupted at any instruction, for any time, holds one slot. Others publish, and
/// subscribers read what they publish. If interrupted publishers hold all `N` slots, the next event is lost,
/// [counted](TopicStats::lost) and reported to every subscriber. Publishing is lock-free: it retries only if
/// another publish succeeded meanwhile. Reading an event is wait-free.
///
/// # Order
///
/// Every subscriber reads the same order. Events of one publisher keep their order. If one `publish` returned
/// before another began, its event comes first. For two that were in progress at the same time, the topic decides.
///
/// # Safety limit
///
/// This concerns targets without 64-bit atomics. At most 2^31 events may be published while a subscriber copies one
/// event. A copy that is interrupted for longer may mix two events, which is undefined behavior if the mixture
/// is not a valid `E`. A subscriber must also read at least once in 2^31 events. One that is further behind
/// finds nothing for as many more events, and does not learn what it missed. At 1 kHz, 2^31 events take
/// 596 hours; at 1 MHz, 36 minutes.
///
/// # Examples
///
/// ```
/// use tickbus::{Lagged, Topic};
///
/// static DAMAGE: Topic<u32, 4> = Topic::new();
///
/// DAMAGE.publish(1); // there is no subscriber yet: that is fine
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
/// ```compile_fail,E0277
/// static TOPIC: tickbus::Topic<u8, 3> = tickbus::Topic::new(); // not a power of two
/// ```
#[doc(alias = "broadcast")]
#[doc(alias = "pubsub")]
#[doc(alias = "mpmc")]
pub struct Topic<E: TopicEvent, const N: usize, W: Waits = NoWaiters> {
    ring: Broadcast<E, N>,
    waiters: W,
}

impl<E: Copy, const N: usize, W: Waits> Topic<E, N, W> {
    /// Creates a topic without events.
    #[cfg(not(tickbus_loom))]
    #[must_use]
    pub const fn new() -> Self
    where
        (): Capacity<N>,
    {
        Self { ring: Broadcast::new(), waiters: W::NEW }
    }

    /// Creates a topic without events.
    #[cfg(tickbus_loom)]
    #[must_use]
    pub fn new() -> Self
    where
        (): Capacity<N>,
    {
        Self { ring: Broadcast::new(), waiters: W::fresh() }
    }

    /// Returns a topic without events on the heap, without room for it on the stack.
    ///
    /// Use it for topics that are too large for a stack: `Box::new(Topic::new())` moves the whole value.
    #[cfg(all(feature = "alloc", not(tickbus_loom)))]
    #[must_use]
    pub fn boxed() -> Box<Self>
    where
        (): Capacity<N>,
    {
        boxed! { zeroed: [ring], each: [], waiters: W::NEW, }
    }

    #[cfg(all(test, not(tickbus_loom)))]
    pub(super) fn starting_before_wrap(back: usize) -> Self
    where
        (): Capacity<N>,
    {
        Self { ring: Broadcast::starting_before_wrap(back), waiters: W::NEW }
    }

    /// Publishes `event` to every subscriber. Never blocks and never fails. Takes constant time, and up to log2 `N`
    /// steps more while another publisher is interrupted.
    #[inline]
    pub fn publish(&self, event: E) {
        let ring = self.ring.view();
        if !ring.publish(event, |_| true) {
            ring.lose();
        }
        self.waiters.wake();
    }

    /// Subscribes: the subscriber reads every event that is published from now on. There may be any number.
    pub fn subscribe(&self) -> Subscriber<'_, E, Many, W> {
        Subscriber::lagging(self.ring.view().shelf(), &self.waiters)
    }

    /// Returns the last events, to be read without taking them.
    pub fn history(&self) -> History<'_, E> {
        History::of(self.ring.view().shelf())
    }

    /// Returns how many events are kept: `N`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// Returns what has happened so far.
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

impl<E: Copy, const N: usize, W: Waits> Default for Topic<E, N, W>
where
    (): Capacity<N>,
{
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

/// Counts what has happened on a topic since it was made. The counters are as wide as a pointer and wrap.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct TopicStats {
    /// Published events, the lost ones included.
    pub published: usize,
    /// Events that no subscriber received, because interrupted publishers held all `N` slots.
    pub lost: usize,
    /// Events that a full [`GatedTopic`] gave back, or a [`Feed`] whose publisher was claimed. Not part of `published`.
    pub refused: usize,
}

/// One line: `published 9, lost 0, refused 3`.
impl fmt::Display for TopicStats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { published, lost, refused } = self;
        write!(f, "published {published}, lost {lost}, refused {refused}")
    }
}
