//! Events that wait until the program is ready for them: [`Hold`].

use core::fmt;

use crate::bus::{Bus, Consumer, Drain, DropNewest, Publish, Put, Stats};
use crate::error::{Claimed, Full};
use crate::sync::{Acquire, AtomicWord, Relaxed, Release};

/// What became of an event that was published to a [`Hold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// It comes out with the next drain.
    Live,
    /// It is kept until the hold is [started](Hold::start).
    Held,
}

/// A bus that keeps its events until it is started, and again while it is paused.
///
/// Drivers and systems publish while the program still sets itself up; nothing comes out. Once it is
/// [started](Self::start), the reader takes everything in the order of its publishing, and goes on with
/// what comes live. All events go through one bus, so that none overtakes another, whichever context
/// publishes, starts or pauses in the meantime.
///
/// The buffer has `N` slots, a power of two. While it is full, the newest event is dropped and counted,
/// and comes back to its publisher in [`Full`]; [`dropped_held`](Self::dropped_held) tells those that
/// were lost to holding from those that a live reader was too slow for.
///
/// To hold events back from several receivers, hand on what is drained: each receiver meets it with
/// its own overrun policy and counts its own losses. A bus without a hold pays nothing for it. A
/// new hold is not started, and all zeros.
///
/// # Interrupts
///
/// As for [`Bus`]: any context may publish, start and pause, and none waits. The count of what was lost
/// to holding is one more read-modify-write, made only then.
///
/// # Examples
///
/// ```
/// use tickbus::{Bus, Full, Hold};
/// use tickbus::hold::Delivery;
///
/// static BOOT: Hold<u8, 4> = Hold::new();
/// let mut events = BOOT.consumer().expect("main is the only consumer");
///
/// for event in 1..=4 {
///     assert_eq!(BOOT.publish(event), Ok(Delivery::Held));
/// }
/// assert_eq!(BOOT.publish(5), Err(Full(5)));
/// assert_eq!((events.drain().count(), BOOT.dropped_held()), (0, 1));
///
/// // The program is set up: replay to the receivers of this moment.
/// BOOT.start();
/// let (all, few) = (Bus::<u8, 4>::new(), Bus::<u8, 2>::new());
/// for event in events.drain() {
///     let _ = all.publish(event);
///     let _ = few.publish(event); // has a policy of its own: refuses 3 and 4
/// }
/// assert!(all.consumer().unwrap().drain().eq(1..=4));
/// assert_eq!(few.stats().refused, 2);
/// assert_eq!(BOOT.publish(6), Ok(Delivery::Live));
/// ```
pub struct Hold<E, const N: usize> {
    bus: Bus<E, N, DropNewest>,
    /// Whether events come out. The order is that of the bus.
    started: AtomicWord,
    dropped_held: AtomicWord,
}

impl<E, const N: usize> Hold<E, N> {
    /// An empty hold that is not started.
    #[cfg(not(tickbus_loom))]
    #[must_use]
    pub const fn new() -> Self {
        Self { bus: Bus::new(), started: AtomicWord::new(0), dropped_held: AtomicWord::new(0) }
    }

    /// An empty hold that is not started.
    #[cfg(tickbus_loom)]
    #[must_use]
    pub fn new() -> Self {
        Self { bus: Bus::new(), started: AtomicWord::new(0), dropped_held: AtomicWord::new(0) }
    }

    /// Publishes `event`, and tells whether it is held. Never blocks.
    ///
    /// The answer is of the moment at which the publishing began. An event that is published after a
    /// [pause](Self::pause) is held: no drain takes it before the next [start](Self::start).
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the event if all `N` slots are taken. It is counted as dropped.
    pub fn publish(&self, event: E) -> Result<Delivery, Full<E>> {
        let started = self.started.load(Relaxed) != 0;
        let delivery = if started { Delivery::Live } else { Delivery::Held };
        match self.bus.publish(event) {
            Ok(()) => Ok(delivery),
            Err(full) => {
                if delivery == Delivery::Held {
                    self.dropped_held.fetch_add(1, Relaxed);
                }
                Err(full)
            }
        }
    }

    /// Lets the events come out: what is held with the next drain, then what is published. No effect on
    /// a hold that is started.
    ///
    /// A reader that finds the hold [started](Self::is_started) finds what was published before.
    pub fn start(&self) {
        // Pairs with `is_started` and `live`.
        self.started.store(1, Release);
    }

    /// Holds events back again, from the next drain on. What has not been drained stays, in order. No
    /// effect on a hold that is not started.
    pub fn pause(&self) {
        self.started.store(0, Relaxed);
    }

    /// Whether events come out.
    #[must_use]
    pub fn is_started(&self) -> bool {
        // Pairs with `start`.
        self.started.load(Acquire) != 0
    }

    /// Claims the reading end.
    ///
    /// # Errors
    ///
    /// Returns [`Claimed`] while another [`HoldConsumer`] of this hold is alive. Dropping that one gives the
    /// end back.
    pub fn consumer(&self) -> Result<HoldConsumer<'_, E>, Claimed> {
        self.bus.consumer().map(|consumer| HoldConsumer { consumer, started: &self.started })
    }

    /// How many events have been dropped because the buffer was full while they were held. Part of
    /// [`Stats::dropped_newest`].
    #[must_use]
    pub fn dropped_held(&self) -> usize {
        self.dropped_held.load(Relaxed) as usize
    }

    /// How many events wait, held or live.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.bus.pending()
    }

    /// Whether no event waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bus.is_empty()
    }

    /// How many events fit: `N`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.bus.stats()
    }
}

impl<E, const N: usize> Publish for &Hold<E, N> {
    type Event = E;

    fn publish(&mut self, event: E) -> Result<(), Full<E>> {
        Hold::publish(self, event).map(drop)
    }
}

impl<E, const N: usize> Put for &Hold<E, N> {}

impl<E, const N: usize> Default for Hold<E, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E, const N: usize> fmt::Debug for Hold<E, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("capacity", &N)
            .field("started", &self.is_started())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

/// The one reading end of a [`Hold`].
#[must_use = "a consumer that is dropped is given back"]
pub struct HoldConsumer<'a, E> {
    consumer: Consumer<'a, E, DropNewest>,
    started: &'a AtomicWord,
}

impl<'a, E> HoldConsumer<'a, E> {
    /// The consumer of the bus, unless events are held: for a [`Dispatch`](crate::Dispatch) table.
    ///
    /// Call it for each tick: a pause counts from the next call on.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Budget, Dispatch, Hold};
    ///
    /// tickbus::events! { enum Input { #[subject = "key"] Key(char) } }
    /// static HANDLERS: Dispatch<Input, String, { Input::KINDS }> =
    ///     Dispatch::new().on("key", |text, Input::Key(key)| text.push(*key));
    /// static INPUT: Hold<Input, 8> = Hold::new();
    ///
    /// let mut events = INPUT.consumer().unwrap();
    /// let mut text = String::new();
    /// let mut tick = |events: &mut tickbus::hold::HoldConsumer<Input>| {
    ///     if let Some(events) = events.live() {
    ///         let _ = HANDLERS.tick(&mut text, events, Budget::unlimited());
    ///     }
    ///     text.len()
    /// };
    ///
    /// INPUT.publish(Input::Key('a')).unwrap();
    /// assert_eq!(tick(&mut events), 0);
    /// INPUT.start();
    /// assert_eq!(tick(&mut events), 1);
    /// ```
    #[must_use]
    pub fn live(&mut self) -> Option<&mut Consumer<'a, E, DropNewest>> {
        // Pairs with `start`.
        (self.started.load(Acquire) != 0).then_some(&mut self.consumer)
    }

    /// Takes the events that are queued at this moment, oldest first; none while they are held.
    ///
    /// As [`Consumer::drain`]: dropping it leaves the rest. A pause does not end a drain that has begun.
    pub fn drain(&mut self) -> Drain<'_, Consumer<'a, E, DropNewest>> {
        // The end first: what was published after a pause is then either not in it, or the pause is known.
        let (drain, most) = (self.consumer.drain(), most(self.started));
        drain.at_most(most)
    }

    /// How many events wait, held or live.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.consumer.pending()
    }
}

/// How many events come out.
fn most(started: &AtomicWord) -> usize {
    if started.load(Relaxed) != 0 { usize::MAX } else { 0 }
}

impl<E> fmt::Debug for HoldConsumer<'_, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HoldConsumer")
            .field("started", &(self.started.load(Relaxed) != 0))
            .field("pending", &self.pending())
            .finish_non_exhaustive()
    }
}
