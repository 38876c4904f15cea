//! Events that wait until the program is ready for them: [`Hold`].

#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use alloc::boxed::Box;
use core::fmt;

use crate::bus::{Bus, Capacity, DropNewest, Publish, Put, Stats};
use crate::error::Full;
#[cfg(all(feature = "alloc", not(tickbus_loom)))]
use crate::ring::boxed;
use crate::sync::{AcqRel, Acquire, AtomicWord, Relaxed, Release, Word};

/// Says whether a hold has kept an event that was published to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Held {
    /// The hold handed the event to its target.
    No,
    /// The event is in the buffer until the hold is [started](Hold::start).
    Yes,
}

/// A buffer in front of a bus, a lane or a topic, its target. It keeps events until you start it, and while it is paused.
///
/// Drivers and systems publish to the hold while the program sets itself up. [`start`](Self::start) replays the events in
/// publish order. From then on, `publish` hands each event to the target at once. [`pause`](Self::pause) holds events back
/// again. No event overtakes an earlier one of its publisher.
///
/// `T` is the target: `&Bus`, `&Lane`, `&Topic`, `&GatedTopic` or `&Feed`. Read from the target as usual. The buffer has
/// `N` slots, a power of two; the default is 1024. [`limit`](Self::limit) keeps fewer events. A new hold is not started.
///
/// # Full
///
/// If the buffer is full, the hold drops the new event, counts it in [`Stats::dropped_newest`] of its own
/// [`stats`](Self::stats), and returns it in [`Full`]. If the target is full, its own policy applies, also to replayed
/// events. The statistics of the target count those.
///
/// # Interrupts
///
/// Any context may publish, start and pause, and none waits. A publish that ends during a replay may continue that replay,
/// and hand on up to `N` events. A publish to a started hold costs a load and a branch more than one to the target.
///
/// # Progress
///
/// An interrupted publisher delays its own event. The replay hands on the events of other publishers meanwhile. Until the
/// interrupted one proceeds, later events go through the buffer, which keeps their order.
///
/// # Examples
///
/// ```
/// use tickbus::hold::Held;
/// use tickbus::{Bus, Full, Hold};
///
/// static BUS: Bus<u8, 8> = Bus::new();
/// static BOOT: Hold<&Bus<u8, 8>, 4> = Hold::before(&BUS);
///
/// for event in 1..=4 {
///     assert_eq!(BOOT.publish(event), Ok(Held::Yes));
/// }
/// assert_eq!(BOOT.publish(5), Err(Full(5))); // the buffer is full
/// assert_eq!((BUS.pending(), BOOT.pending(), BOOT.stats().dropped()), (0, 4, 1));
///
/// BOOT.start(); // the program is set up
/// assert_eq!(BOOT.publish(6), Ok(Held::No));
/// assert!(BUS.consumer().unwrap().drain().eq([1, 2, 3, 4, 6]));
/// ```
pub struct Hold<T: Publish, const N: usize = 1024> {
    to: T,
    held: Bus<T::Event, N, DropNewest>,
    /// The most events that are held at once.
    limit: usize,
    /// How many events are held. Only kept where the limit is less than `N`.
    kept: AtomicWord,
    /// The phase, [`LEFT`], and the number of publishers on their way into the buffer, in steps of [`ENTERED`].
    state: AtomicWord,
}

/// The bits of the state that are the phase.
const PHASE: Word = 3;
/// Events are kept.
const HOLDING: Word = 0;
/// Events are kept, and a replay takes them out.
const REPLAYING: Word = 1;
/// The buffer is empty, and events go straight to the target.
const LIVE: Word = 2;
/// A publisher has left the way into the buffer since a replay has last begun to take events out.
const LEFT: Word = 4;
/// One publisher on its way into the buffer.
const ENTERED: Word = 8;

impl<T: Publish + Copy, const N: usize> Hold<T, N> {
    /// Creates an empty hold in front of `to`, not started.
    #[cfg(not(tickbus_loom))]
    #[must_use]
    pub const fn before(to: T) -> Self
    where
        (): Capacity<N>,
    {
        Self {
            to,
            held: Bus::new(),
            limit: N,
            kept: AtomicWord::new(0),
            state: AtomicWord::new(HOLDING),
        }
    }

    /// Creates an empty hold in front of `to`, not started.
    #[cfg(tickbus_loom)]
    #[must_use]
    pub fn before(to: T) -> Self
    where
        (): Capacity<N>,
    {
        Self {
            to,
            held: Bus::new(),
            limit: N,
            kept: AtomicWord::new(0),
            state: AtomicWord::new(HOLDING),
        }
    }

    /// Returns an empty hold before `to`, not started, on the heap, without room for it on the stack.
    ///
    /// Use it for holds that are too large for a stack: `Box::new(Hold::before(to))` moves the whole buffer.
    #[cfg(all(feature = "alloc", not(tickbus_loom)))]
    #[must_use]
    pub fn boxed(to: T) -> Box<Self>
    where
        (): Capacity<N>,
    {
        boxed! {
            zeroed: [held],
            each: [],
            to: to,
            limit: N,
            kept: AtomicWord::new(0),
            state: AtomicWord::new(HOLDING),
        }
    }

    /// Sets the most events that it keeps at once: any number up to `N`.
    #[must_use]
    pub const fn limit(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }

    /// Publishes `event`, and returns whether it is held. Never blocks.
    ///
    /// The result is true for the moment at which the publish began.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the event if it must be held and the buffer is full; then it counts as dropped. Also if the
    /// target has no room.
    pub fn publish(&self, event: T::Event) -> Result<Held, Full<T::Event>> {
        if !self.enter() {
            let mut to = self.to;
            return to.publish(event).map(|()| Held::No);
        }
        let kept = self.keep(event);
        self.leave();
        kept.map(|()| Held::Yes)
    }

    /// Starts or resumes the hold: replays the held events in order, and from then on hands each event to the target at
    /// once. Has no effect on a started hold.
    ///
    /// When it returns, the target has the events that were held. Exceptions: another context is replaying them already,
    /// or has paused the hold again. An event whose publisher is interrupted follows when that one proceeds.
    pub fn start(&self) {
        let replaying = |state| (state & PHASE == HOLDING).then_some(state & !PHASE | REPLAYING);
        if self.change(replaying).is_some() {
            self.replay();
        }
    }

    /// Holds events back again, from the next publish on. It stops a replay before its next event. The events in the
    /// buffer stay there, in order. Has no effect on a hold that is not started.
    pub fn pause(&self) {
        let holding = |state| (state & PHASE != HOLDING).then_some(state & !PHASE | HOLDING);
        self.change(holding);
    }

    /// Returns whether the hold is started.
    #[must_use]
    pub fn is_started(&self) -> bool {
        self.state.load(Relaxed) & PHASE != HOLDING
    }

    /// Returns how many events are held, those being published included.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.held.pending()
    }

    /// Returns whether no event is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }

    /// Returns how many events can be held at once.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        if self.limit < N { self.limit } else { N }
    }

    /// Returns what has happened in the buffer. Events that the hold handed on at once do not count here.
    ///
    /// `published` counts the events that came to the buffer, `handled` those that were replayed, and `dropped_newest`
    /// those that found it full.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.held.stats()
    }

    /// Enters the way into the buffer. Returns `false` if events go straight to the target.
    #[inline]
    fn enter(&self) -> bool {
        // Acquire: pairs with the Release in `replay`; what was replayed is with the target already.
        let mut state = self.state.load(Acquire);
        while state & PHASE != LIVE {
            let entered = state.wrapping_add(ENTERED);
            match self.state.compare_exchange(state, entered, Relaxed, Acquire) {
                Ok(_) => return true,
                Err(found) => state = found,
            }
        }
        false
    }

    /// Leaves the way into the buffer.
    fn leave(&self) {
        let left = |state: Word| Some(state.wrapping_sub(ENTERED) | LEFT);
        if self.change(left).unwrap_or_default() & PHASE == REPLAYING {
            self.replay();
        }
    }

    /// Puts the event into the buffer, if there is room within the limit.
    fn keep(&self, event: T::Event) -> Result<(), Full<T::Event>> {
        if self.limit >= N {
            return self.held.publish(event);
        }
        let mut kept = self.kept.load(Relaxed);
        loop {
            if kept as usize >= self.limit {
                return Err(self.held.turn_away(event));
            }
            match self.kept.compare_exchange(kept, kept.wrapping_add(1), Relaxed, Relaxed) {
                Ok(_) => return self.held.publish(event),
                Err(found) => kept = found,
            }
        }
    }

    /// Changes the state to what `next` returns, and returns the state before. If `next` returns `None`, it stays.
    fn change(&self, next: impl Fn(Word) -> Option<Word>) -> Option<Word> {
        let mut state = self.state.load(Relaxed);
        loop {
            // Release: pairs with the Acquire here, of another context's next change. What that one did to the
            // buffer and its claim before, we see; what we did, the next one sees.
            match self.state.compare_exchange(state, next(state)?, AcqRel, Relaxed) {
                Ok(_) => return Some(state),
                Err(found) => state = found,
            }
        }
    }

    /// Hands on the events of the buffer, and turns live when it is empty. If another context does so already, that one
    /// hands on ours, too.
    #[cold]
    fn replay(&self) {
        while let Ok(mut events) = self.held.consumer() {
            let mut is_paused = false;
            let pause = || {
                is_paused = self.state.load(Relaxed) & PHASE != REPLAYING;
                is_paused
            };
            self.change(|state| Some(state & !LEFT));
            for event in events.drain().until(pause) {
                if self.limit < N {
                    self.kept.fetch_add(Word::MAX, Relaxed);
                }
                self.hand_on(event);
            }
            // If the replay came to its end, and no publisher is on its way or has left since, the buffer is empty.
            // A hold that was paused meanwhile may be started again by now: then the next round goes on. Release:
            // pairs with the Acquire in `enter`; what was replayed is with the target. (No model notices: the targets
            // order two publishes by themselves.)
            if !is_paused {
                let _ = self.state.compare_exchange(REPLAYING, LIVE, Release, Relaxed);
            }
            drop(events);
            // A context that found the buffer claimed has left it to us: after its change, which we see here, or
            // before ours, which it would have seen. A publisher on its way replays when it leaves.
            let state = self.change(Some).unwrap_or_default();
            if state & PHASE != REPLAYING || state >= ENTERED {
                return;
            }
        }
    }

    /// Publishes to the target, which counts an event that it has no room for. Not inlined into the replay: that would
    /// leave a publish in a critical section too few registers.
    #[inline(never)]
    fn hand_on(&self, event: T::Event) {
        let mut to = self.to;
        let _ = to.publish(event);
    }
}

impl<T: Publish + Copy, const N: usize> fmt::Debug for Hold<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hold")
            .field("capacity", &self.capacity())
            .field("started", &self.is_started())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl<T: Publish + Copy, const N: usize> Publish for &Hold<T, N> {
    type Event = T::Event;

    #[inline]
    fn publish(&mut self, event: T::Event) -> Result<(), Full<T::Event>> {
        Hold::publish(self, event).map(|_| ())
    }
}

impl<T: Publish + Copy, const N: usize> Put for &Hold<T, N> {}
