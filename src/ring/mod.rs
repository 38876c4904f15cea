//! Storage: one folder or file for each algorithm. No handles, no policy by name. All `unsafe` of the crate
//! lives here.
//!
//! | ring | publishers | readers | a full one |
//! |---|---|---|---|
//! | [`queue`] | many | one takes | rejects, or displaces its oldest event |
//! | `sections`, in its place | the same, each step a critical section | | |
//! | [`spsc`] | one | one takes | rejects |
//! | [`broadcast`] | many, or one | each reads every event | overwrites its oldest event; with a [`gate`], rejects |
//! | [`latest`] | many | each reads the newest value | overwrites |
//!
//! [`waiter`] has the places for wakers, and [`link`] how a handle finds them; [`kept`] has what could not be handed
//! out, [`parts`] the copies that may race with a write.

#[cfg(all(feature = "alloc", not(tickbus_loom)))]
pub(crate) mod boxed;
pub(crate) mod broadcast;
mod capacity;
mod cell;
pub(crate) mod gate;
pub(crate) mod kept;
pub(crate) mod latest;
pub(crate) mod link;
mod parts;
// One or the other, by whether the steps of publishers are critical sections: see `crate::sync::SECTIONS`.
#[cfg(not(any(
    tickbus_sections,
    tickbus_short_sections,
    not(any(target_has_atomic = "ptr", tickbus_loom))
)))]
pub(crate) mod queue;
#[cfg(any(
    tickbus_sections,
    tickbus_short_sections,
    not(any(target_has_atomic = "ptr", tickbus_loom))
))]
#[path = "sections.rs"]
pub(crate) mod queue;
pub(crate) mod spsc;
pub(crate) mod waiter;

#[cfg(any(feature = "alloc", tickbus_loom))]
use alloc::vec::Vec;
use core::marker::PhantomData;

#[cfg(all(feature = "alloc", not(tickbus_loom)))]
pub(crate) use self::boxed::boxed;
pub use self::capacity::Capacity;
pub(crate) use self::cell::Cell;
use crate::sync::{AtomicWord, Relaxed, SignedWord, Word};

/// Whether `a` comes before `b` on the circle of words.
#[inline(always)]
const fn before(a: Word, b: Word) -> bool {
    (a.wrapping_sub(b) as SignedWord) < 0
}

/// How a ring meets an event for which it has no room.
pub(crate) trait Eviction: Sized {
    /// It gives its oldest event for the new one.
    const EVICTS: bool;
    /// Cells beside the `N`: one where it displaces, else none.
    type Spare<E>: Spare;
}

/// No cell, or one.
pub(crate) trait Spare {
    /// Without an event.
    #[cfg(not(tickbus_loom))]
    const EMPTY: Self;

    /// Without an event.
    #[cfg(tickbus_loom)]
    fn empty() -> Self;
}

impl<E> Spare for [Cell<E>; 0] {
    #[cfg(not(tickbus_loom))]
    const EMPTY: Self = [];

    #[cfg(tickbus_loom)]
    fn empty() -> Self {
        []
    }
}

impl<E> Spare for [Cell<E>; 1] {
    #[cfg(not(tickbus_loom))]
    const EMPTY: Self = [Cell::new()];

    #[cfg(tickbus_loom)]
    fn empty() -> Self {
        [Cell::new()]
    }
}

/// What one drain may take: the events before `end`. `freeze` has seen the commits of them all, so the events
/// themselves can be read.
///
/// The unsafe code of the taking side trusts a span to come from the ring that it is used on, and to be the
/// latest one of it. This crate guarantees that: a `Drain` keeps its span beside the `&mut` of its consumer, a
/// tick keeps it beside the `&mut` of its source, and no safe code outside can make or use one, since `Take`
/// is `pub(crate)`.
#[derive(Debug)]
pub(crate) struct Span {
    /// The head, where nothing is displaced. Elsewhere it was here when the span began.
    head: Word,
    end: Word,
}

/// What has happened on a ring, as the bus tells it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) accepted: usize,
    pub(crate) handled: usize,
    pub(crate) pending: usize,
    pub(crate) displaced: usize,
    pub(crate) turned_away: usize,
    pub(crate) failed: usize,
    pub(crate) unhandled: usize,
    pub(crate) high_water: usize,
}

/// What the reading side counts.
#[derive(Debug)]
pub(crate) struct Tally {
    failed: AtomicWord,
    unhandled: AtomicWord,
    /// The most events that a drain or a reading of the counts has found waiting.
    high_water: AtomicWord,
    /// Losses that a tick has reported already.
    told: AtomicWord,
}

impl Tally {
    #[cfg(not(tickbus_loom))]
    const fn new() -> Self {
        Self {
            failed: AtomicWord::new(0),
            unhandled: AtomicWord::new(0),
            high_water: AtomicWord::new(0),
            told: AtomicWord::new(0),
        }
    }

    #[cfg(tickbus_loom)]
    fn new() -> Self {
        Self {
            failed: AtomicWord::new(0),
            unhandled: AtomicWord::new(0),
            high_water: AtomicWord::new(0),
            told: AtomicWord::new(0),
        }
    }

    /// Raises the high-water mark to so many events. Every context may.
    #[cold]
    fn raise_high_water(&self, events: Word) {
        self.high_water.fetch_max(events, Relaxed);
    }

    /// Takes note of how many events wait.
    #[inline(always)]
    fn mark_waiting(&self, events: Word) {
        if events > self.high_water.load(Relaxed) {
            self.raise_high_water(events);
        }
    }

    /// Counts a handled event of which a handler failed.
    #[cold]
    pub(crate) fn count_failed(&self) {
        Self::add(&self.failed, 1);
    }

    /// Counts a handled event that no handler wanted.
    #[cold]
    pub(crate) fn count_unhandled(&self) {
        Self::add(&self.unhandled, 1);
    }

    /// Adds on the consumer's side, where nothing else writes.
    #[inline(always)]
    fn add(counter: &AtomicWord, by: Word) {
        counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
    }

    /// How many of `lost` the last call did not know of. What the consumer knows to be lost never becomes less.
    #[inline]
    fn news(&self, lost: Word) -> usize {
        let news = lost.wrapping_sub(self.told.load(Relaxed));
        if news != 0 {
            self.told.store(lost, Relaxed);
        }
        news as usize
    }
}

/// The reading side of a ring, without the ring's `N` and its lifetime, so that a handle is covariant in its
/// own. It is a pointer, so it may always be moved.
///
/// # Safety
///
/// A reader may be sent and shared between threads whenever its events may be sent.
///
/// Its methods are unsafe: the ring must be alive, and this reader must be the one that has claimed its
/// consumer. A span must come from [`freeze`](Self::freeze) of this reader, with nothing taken since by
/// another span. [`Side`] guarantees the first two, the spans' owners the third: see [`Span`].
pub(crate) unsafe trait Read: Unpin {
    /// What is taken.
    type Event;

    /// What is on the ring at this moment: the start of a drain.
    unsafe fn freeze(&mut self) -> Span;

    /// Ends a span after so many of its events, if it does not end before.
    unsafe fn shorten(&self, span: &mut Span, most: usize);

    /// The next event, in order.
    unsafe fn take(&mut self, span: &mut Span) -> Option<Self::Event>;

    /// Hands at most `most` events to `each`. Returns how many that was.
    unsafe fn take_most(
        &mut self,
        span: &mut Span,
        most: usize,
        each: impl FnMut(Self::Event),
    ) -> usize;

    /// Shows at most `most` events to `look` and then to `each`, with what `look` has found, and drops them.
    /// Returns how many that was.
    unsafe fn show_most<L>(
        &mut self,
        span: &mut Span,
        most: usize,
        look: impl Fn(&Self::Event) -> L,
        each: impl FnMut(&Tally, L, &Self::Event),
    ) -> usize;

    /// Moves the events of a span to the end of `into`. Returns how many that was.
    #[cfg(any(feature = "alloc", tickbus_loom))]
    unsafe fn append(&mut self, span: &mut Span, into: &mut Vec<Self::Event>) -> usize;

    /// Whether a drain that began now would find an event.
    unsafe fn has_event(&mut self) -> bool;

    /// Where a tick counts what became of an event.
    unsafe fn tally(&self) -> &Tally;

    /// How many events wait behind a span, and the losses since this was last asked.
    unsafe fn account(&mut self, span: &Span) -> (usize, usize);

    /// How many events wait, with those that are being published.
    unsafe fn pending(&self) -> usize;

    /// What has happened so far.
    unsafe fn counts(&self) -> Counts;

    /// Gives the consumer back.
    unsafe fn release(&mut self);
}

/// A reader that has claimed the consumer of a ring which is borrowed for `'a`. Dropping it gives the consumer
/// back.
pub(crate) struct Side<'a, R: Read> {
    reader: R,
    ring: PhantomData<&'a ()>,
}

// SAFETY: says `Read`.
unsafe impl<R: Read> Send for Side<'_, R> where R::Event: Send {}

// SAFETY: says `Read`.
unsafe impl<R: Read> Sync for Side<'_, R> where R::Event: Send {}

impl<R: Read> Side<'_, R> {
    /// # Safety
    ///
    /// `reader` has just claimed the consumer of its ring, which is borrowed for the lifetime of the side.
    #[inline(always)]
    unsafe fn new(reader: R) -> Self {
        Self { reader, ring: PhantomData }
    }

    #[inline(always)]
    pub(crate) fn freeze(&mut self) -> Span {
        // SAFETY: `new` says that the ring is alive and claimed by this reader.
        unsafe { self.reader.freeze() }
    }

    #[inline(always)]
    pub(crate) fn shorten(&self, span: &mut Span, most: usize) {
        // SAFETY: as in `take`.
        unsafe { self.reader.shorten(span, most) }
    }

    #[inline(always)]
    pub(crate) fn take(&mut self, span: &mut Span) -> Option<R::Event> {
        // SAFETY: as in `freeze`; `Span` says whose it is.
        unsafe { self.reader.take(span) }
    }

    #[inline(always)]
    pub(crate) fn take_most(
        &mut self,
        span: &mut Span,
        most: usize,
        each: impl FnMut(R::Event),
    ) -> usize {
        // SAFETY: as in `take`.
        unsafe { self.reader.take_most(span, most, each) }
    }

    #[inline(always)]
    pub(crate) fn show_most<L>(
        &mut self,
        span: &mut Span,
        most: usize,
        look: impl Fn(&R::Event) -> L,
        each: impl FnMut(&Tally, L, &R::Event),
    ) -> usize {
        // SAFETY: as in `take`.
        unsafe { self.reader.show_most(span, most, look, each) }
    }

    #[cfg(any(feature = "alloc", tickbus_loom))]
    #[inline(always)]
    pub(crate) fn append(&mut self, span: &mut Span, into: &mut Vec<R::Event>) -> usize {
        // SAFETY: as in `take`.
        unsafe { self.reader.append(span, into) }
    }

    #[inline(always)]
    pub(crate) fn has_event(&mut self) -> bool {
        // SAFETY: as in `freeze`.
        unsafe { self.reader.has_event() }
    }

    #[inline(always)]
    pub(crate) fn tally(&self) -> &Tally {
        // SAFETY: as in `freeze`.
        unsafe { self.reader.tally() }
    }

    #[inline(always)]
    pub(crate) fn account(&mut self, span: &Span) -> (usize, usize) {
        // SAFETY: as in `take`.
        unsafe { self.reader.account(span) }
    }

    pub(crate) fn pending(&self) -> usize {
        // SAFETY: as in `freeze`.
        unsafe { self.reader.pending() }
    }

    pub(crate) fn counts(&self) -> Counts {
        // SAFETY: as in `freeze`.
        unsafe { self.reader.counts() }
    }
}

impl<R: Read> Drop for Side<'_, R> {
    fn drop(&mut self) {
        // SAFETY: as in `freeze`, and nothing is read after this.
        unsafe { self.reader.release() }
    }
}
