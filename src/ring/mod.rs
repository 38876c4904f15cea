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
//! [`waiter`] has the places for wakers, and [`link`] the way from a handle to them. [`kept`] has a place for an event
//! that could not be handed out, and [`parts`] the copies that may race with a write.

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

/// What a full ring does with the next event.
pub(crate) trait Eviction: Sized {
    /// Whether it displaces its oldest event. Else it rejects the new one.
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

/// The events that one drain may take: those before `end`. `freeze` has seen the commits of all of them, so they can
/// be read.
///
/// The unsafe code of the taking side relies on two facts: a span comes from the ring that it is used on, and it is the
/// latest span of that ring. This crate guarantees both. A `Drain` keeps its span beside the `&mut` of its consumer, and
/// a tick beside the `&mut` of its source. Safe code outside this crate can neither make nor use a span, since `Take` is
/// `pub(crate)`.
#[derive(Debug)]
pub(crate) struct Span {
    /// The head. Where events may be displaced: the head when the span began.
    head: Word,
    end: Word,
}

/// The counts of a ring, as the bus reports them.
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

/// The counters of the reading side.
#[derive(Debug)]
pub(crate) struct Tally {
    failed: AtomicWord,
    unhandled: AtomicWord,
    /// The most pending events that a drain or a reading of the counts has found.
    high_water: AtomicWord,
    /// The losses that ticks have reported so far.
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

    /// Raises the high-water mark to so many events. Every context may call it.
    #[cold]
    fn raise_high_water(&self, events: Word) {
        self.high_water.fetch_max(events, Relaxed);
    }

    /// Raises the high-water mark if more events than that are pending.
    #[inline(always)]
    fn mark_waiting(&self, events: Word) {
        if events > self.high_water.load(Relaxed) {
            self.raise_high_water(events);
        }
    }

    /// Counts a handled event whose handler failed.
    #[cold]
    pub(crate) fn count_failed(&self) {
        Self::add(&self.failed, 1);
    }

    /// Counts a handled event that no handler wanted.
    #[cold]
    pub(crate) fn count_unhandled(&self) {
        Self::add(&self.unhandled, 1);
    }

    /// Adds to a counter that only this side writes.
    #[inline(always)]
    fn add(counter: &AtomicWord, by: Word) {
        counter.store(counter.load(Relaxed).wrapping_add(by), Relaxed);
    }

    /// Returns how many of `lost` the last call did not report. The losses that a consumer knows of only grow.
    #[inline]
    fn news(&self, lost: Word) -> usize {
        let news = lost.wrapping_sub(self.told.load(Relaxed));
        if news != 0 {
            self.told.store(lost, Relaxed);
        }
        news as usize
    }
}

/// The reading side of a ring, without the ring's `N` and its lifetime, so a handle is covariant in its own lifetime.
/// It is a pointer, so it may always be moved.
///
/// # Safety
///
/// A reader may be sent and shared between threads whenever its events may be sent.
///
/// Its methods are unsafe: the ring must be alive, and this reader must be the one that has claimed its
/// consumer. A span must come from [`freeze`](Self::freeze) of this reader, with nothing taken since by
/// another span. [`Side`] guarantees the first two, the spans' owners the third: see [`Span`].
pub(crate) unsafe trait Read: Unpin {
    /// The events of the ring.
    type Event;

    /// Returns the events that are pending at this moment: a drain begins with this.
    unsafe fn freeze(&mut self) -> Span;

    /// Shortens a span to at most `most` events.
    unsafe fn shorten(&self, span: &mut Span, most: usize);

    /// Takes the next event, in order.
    unsafe fn take(&mut self, span: &mut Span) -> Option<Self::Event>;

    /// Hands at most `most` events to `each`. Returns how many it handed out.
    unsafe fn take_most(
        &mut self,
        span: &mut Span,
        most: usize,
        each: impl FnMut(Self::Event),
    ) -> usize;

    /// Shows at most `most` events to `look` and then to `each`, with what `look` has found, and drops them. Returns
    /// how many it showed.
    unsafe fn show_most<L>(
        &mut self,
        span: &mut Span,
        most: usize,
        look: impl Fn(&Self::Event) -> L,
        each: impl FnMut(&Tally, L, &Self::Event),
    ) -> usize;

    /// Moves the events of a span to the end of `into`. Returns how many it moved.
    #[cfg(any(feature = "alloc", tickbus_loom))]
    unsafe fn append(&mut self, span: &mut Span, into: &mut Vec<Self::Event>) -> usize;

    /// Whether a drain that began now would find an event.
    unsafe fn has_event(&mut self) -> bool;

    /// Returns the counters of this side.
    unsafe fn tally(&self) -> &Tally;

    /// Returns how many events are pending behind a span, and the losses since the last call.
    unsafe fn account(&mut self, span: &Span) -> (usize, usize);

    /// Returns how many events are pending, those being published included.
    unsafe fn pending(&self) -> usize;

    /// Returns what has happened so far.
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

// SAFETY: `Read` requires it.
unsafe impl<R: Read> Send for Side<'_, R> where R::Event: Send {}

// SAFETY: `Read` requires it.
unsafe impl<R: Read> Sync for Side<'_, R> where R::Event: Send {}

impl<R: Read> Side<'_, R> {
    /// # Safety
    ///
    /// `reader` must have just claimed the consumer of its ring, and the ring must be borrowed for the lifetime of the
    /// side.
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
