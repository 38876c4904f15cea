//! The ring of a bus whose steps are critical sections: many publishers, one consumer.
//!
//! It serves targets without compare-and-swap, and single-core parts whose binary asks for it with
//! `--cfg tickbus_short_sections`.
//!
//! Positions count up and wrap. `position % N` is an index. The events between the head and the tail are pending.
//!
//! **Small events** move inside the section, so a publish is one section: it looks for room, moves the event into the
//! cell of the tail, and moves the tail on. A publish that displaces first moves the oldest event out of that cell,
//! and moves the head on.
//!
//! **Larger events** move between two sections, so the length of a section does not depend on their size. *Claim*
//! gives the publisher a cell without an event. *Commit* writes that cell into the table of places, at the tail. A
//! publisher that is interrupted between the two owns a cell, but no place in the queue, so others proceed. The
//! table also names the free cells, in the order of their freeing: `places[alloc % N]` is the next one. To displace,
//! a claim moves the head on and takes the cell of the oldest event. Where events may be displaced, the consumer
//! leaves its spare cell in the table in exchange for that of the oldest event.
//!
//! A section is the same code for every capacity. Exclusive access (`&mut`) takes the same steps without a section.
//!
//! | field | written by | orderings, and what they pair |
//! |---|---|---|
//! | `State::tail` | publishers, in sections | Release → Acquire in `freeze`: the events before it are in, and their cells are named |
//! | `State::head` | consumer; publishers that displace, in sections | Release → Acquire in the steps of publishers: the event is out |
//! | `State::consumer` | consumers | Release → Acquire: what the last consumer did |
//! | others | in sections, or one side alone | Relaxed |

#[cfg(any(feature = "alloc", tickbus_loom))]
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ptr::NonNull;

use super::{Capacity, Cell, Counts, Eviction, Read, Side, Span, Spare as _, Tally, before};
use crate::sync::{
    Acquire, AtomicPlace, AtomicWord, Place, Relaxed, Release, SMALL_EVENT, Word, section,
};

/// Everything but cells and places. All zero at the start, so that a static ring lies in `.bss`.
#[derive(Debug)]
#[repr(C)]
struct State {
    /// The end of the pending events.
    tail: AtomicWord,
    /// The first pending event.
    head: AtomicWord,
    /// Events taken, where events may be displaced: the head has passed these and the displaced ones. Elsewhere the
    /// head counts them.
    taken: AtomicWord,
    /// Cells claimed. Only for larger events.
    alloc: AtomicWord,
    /// The consumer's spare cell, less `N`. Only for larger events that may be displaced.
    spare: AtomicWord,
    /// Whether the consumer is claimed.
    consumer: AtomicWord,
    /// Events that found no room.
    turned_away: AtomicWord,
    tally: Tally,
}

/// A ring of `N` slots.
#[repr(C)]
pub(crate) struct Ring<E, const N: usize, P: Eviction> {
    state: State,
    cells: [Cell<E>; N],
    spare: P::Spare<E>,
    places: [AtomicPlace; N],
}

// SAFETY: publishing moves an `E` in and taking moves it out, possibly on another thread, hence `E: Send`. No
// `&E` is ever shared between threads, so `E: Sync` is not needed.
unsafe impl<E: Send, const N: usize, P: Eviction> Sync for Ring<E, N, P> {}

// SAFETY: as for `Sync`: what a ring owns is its events.
unsafe impl<E: Send, const N: usize, P: Eviction> Send for Ring<E, N, P> {}

/// The ring without its `N`.
pub(crate) struct Core<'a, E> {
    /// The ring begins with its state, and this may reach all of it.
    ring: NonNull<State>,
    places: Places,
    borrowed: PhantomData<&'a [Cell<E>]>,
}

impl<E> Clone for Core<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Core<'_, E> {}

/// The table of a ring, without its length, which is `last + 1`.
#[derive(Clone, Copy)]
struct Places {
    first: NonNull<AtomicPlace>,
    last: Word,
}

impl Places {
    #[inline(always)]
    const fn index(self, position: Word) -> Word {
        position & self.last
    }

    /// # Safety
    ///
    /// The ring is alive for `'a`.
    #[inline(always)]
    unsafe fn at<'a>(self, index: Word) -> &'a AtomicPlace {
        // SAFETY: the table has `last + 1` places, and an index is at most `last`.
        let place = unsafe { self.first.add(index as usize) };
        // SAFETY: the caller guarantees it.
        unsafe { place.as_ref() }
    }

    /// Returns the cell that the place of a position names.
    ///
    /// # Safety
    ///
    /// The ring is alive.
    #[inline(always)]
    unsafe fn named(self, position: Word) -> usize {
        let index = self.index(position);
        // SAFETY: the caller guarantees it.
        let place = unsafe { self.at(index) };
        usize::from(place.load(Relaxed)) ^ index as usize
    }

    /// Makes the place of a position name a cell.
    ///
    /// # Safety
    ///
    /// The ring is alive.
    #[inline(always)]
    unsafe fn name(self, position: Word, cell: usize) {
        let index = self.index(position);
        // SAFETY: the caller guarantees it.
        let place = unsafe { self.at(index) };
        place.store(cell as Place ^ index as Place, Relaxed);
    }
}

/// The ends of a ring.
struct Ends {
    head: Word,
    taken: Word,
    /// The end of the events that are pending or being written.
    claimed: Word,
}

impl Ends {
    /// Returns how many events are pending, those being published included.
    fn pending(&self, slots: Word) -> Word {
        self.claimed.wrapping_sub(self.head).min(slots)
    }

    /// Returns how many events were displaced.
    const fn displaced(&self) -> Word {
        self.head.wrapping_sub(self.taken)
    }
}

/// A cell that a publisher has claimed, in one register: the section would have to write a result in memory.
#[derive(Clone, Copy)]
struct Claim(usize);

impl Claim {
    /// Set if the cell still holds the oldest event, which this publisher displaces.
    const DISPLACES: usize = 1 << 16;
    /// All cells are taken.
    const NOTHING: Self = Self(usize::MAX);

    #[inline(always)]
    fn of(claimed: Option<(usize, usize)>) -> Self {
        match claimed {
            Some((cell, displaces)) => Self(cell | displaces),
            None => Self::NOTHING,
        }
    }

    #[inline(always)]
    const fn is_nothing(self) -> bool {
        self.0 == Self::NOTHING.0
    }

    #[inline(always)]
    const fn cell(self) -> usize {
        self.0 & (Self::DISPLACES - 1)
    }

    #[inline(always)]
    const fn displaces(self) -> bool {
        self.0 & Self::DISPLACES != 0
    }
}

/// The steps for larger events, for a section or for `&mut`, and the sections. A section is never inlined and does not
/// know the event's type, so it is the same code for every event and capacity.
impl State {
    /// Claims a cell. Returns it with [`Claim::DISPLACES`] if it still holds the oldest event, else with 0. Returns
    /// `None` if all cells are taken.
    #[inline(always)]
    fn claim_step<const EVICTS: bool>(&self, places: Places) -> Option<(usize, usize)> {
        let alloc = self.alloc.load(Relaxed);
        // Acquire: as in `put_step`.
        let head = self.head.load(if EVICTS { Relaxed } else { Acquire });
        let mut displaces = 0;
        if alloc.wrapping_sub(head) > places.last {
            if !EVICTS || self.tail.load(Relaxed) == head {
                return None;
            }
            self.head.store(head.wrapping_add(1), Relaxed);
            displaces = Claim::DISPLACES;
        }
        self.alloc.store(alloc.wrapping_add(1), Relaxed);
        // If the oldest event was displaced, this is its place.
        // SAFETY: the places are those of this ring, which is borrowed.
        let cell = unsafe { places.named(alloc) };
        Some((cell, displaces))
    }

    #[inline(never)]
    fn claim(&self, places: Places) -> Claim {
        Claim::of(section(|| self.claim_step::<false>(places)))
    }

    #[inline(never)]
    fn claim_or_displace(&self, places: Places) -> Claim {
        Claim::of(section(|| self.claim_step::<true>(places)))
    }

    /// Claims the cells from `first` to `next`, if `first` is still the next one.
    #[inline(never)]
    fn claim_up_to(&self, first: Word, next: Word) -> bool {
        section(|| {
            let is_next = self.alloc.load(Relaxed) == first;
            if is_next {
                self.alloc.store(next, Relaxed);
            }
            is_next
        })
    }

    /// Puts the cell of a claim at the end of the queue.
    #[inline(always)]
    fn commit_step(&self, places: Places, cell: usize) {
        let position = self.tail.load(Relaxed);
        // SAFETY: the places are those of this ring, which is borrowed.
        unsafe { places.name(position, cell) };
        // Release: pairs with the Acquire in `freeze`; the event is in, and its cell is named.
        self.tail.store(position.wrapping_add(1), Release);
    }

    #[inline(never)]
    fn commit(&self, places: Places, cell: usize) {
        section(|| self.commit_step(places, cell));
    }

    /// Whether the event at the head is pending and before `end`. It compares distances from the tail, so it stays
    /// right however many events were published since `end` was the tail.
    #[inline(always)]
    fn is_waiting(&self, head: Word, end: Word) -> bool {
        let tail = self.tail.load(Relaxed);
        tail.wrapping_sub(head) > tail.wrapping_sub(end)
    }

    /// Takes the cell of the oldest event in exchange for the spare one. Returns [`Claim::NOTHING`] if no event is
    /// pending before `end`.
    #[inline(always)]
    fn exchange_step(&self, places: Places, spare: usize, end: Word) -> Claim {
        let head = self.head.load(Relaxed);
        if !self.is_waiting(head, end) {
            return Claim::NOTHING;
        }
        self.head.store(head.wrapping_add(1), Relaxed);
        Tally::add(&self.taken, 1);
        // SAFETY: the places are those of this ring, which is borrowed.
        let oldest = unsafe { places.named(head) };
        // SAFETY: as above.
        unsafe { places.name(head, spare) };
        Claim(oldest)
    }

    #[inline(never)]
    fn exchange(&self, places: Places, spare: usize, end: Word) -> Claim {
        // The fifth argument comes on the stack. Without this, its load would lie inside the section.
        let end = core::hint::black_box(end);
        section(|| self.exchange_step(places, spare, end))
    }
}

impl<'a, E> Core<'a, E> {
    /// Whether events move inside a section.
    const SMALL: bool = size_of::<E>() <= SMALL_EVENT;

    /// Whether events move inside a section where a take does so too: at most 8 bytes, to keep it short.
    const SMALL_AND_DISPLACED: bool = Self::SMALL && size_of::<E>() <= 8;

    #[inline(always)]
    const fn is_small<P: Eviction>() -> bool {
        if P::EVICTS { Self::SMALL_AND_DISPLACED } else { Self::SMALL }
    }

    #[inline(always)]
    fn state(self) -> &'a State {
        // SAFETY: the ring begins with its state, and is borrowed for `'a`.
        unsafe { self.ring.as_ref() }
    }

    #[inline(always)]
    fn slots(self) -> Word {
        self.places.last + 1
    }

    #[inline(always)]
    fn index(self, position: Word) -> usize {
        self.places.index(position) as usize
    }

    /// # Safety
    ///
    /// `cell` must be below `N`, or `N` on a ring with a spare.
    #[inline(always)]
    unsafe fn cell(self, cell: usize) -> &'a Cell<E> {
        let offset = const { size_of::<State>().next_multiple_of(align_of::<Cell<E>>()) };
        // SAFETY: the cells follow the state, aligned, as `repr(C)` says.
        let first = unsafe { self.ring.byte_add(offset) }.cast::<Cell<E>>();
        // SAFETY: the caller says that there is such a cell.
        let cell = unsafe { first.add(cell) };
        // SAFETY: the ring is borrowed for `'a`, and a cell may be shared.
        unsafe { cell.as_ref() }
    }

    /// Returns the cell with the event of a committed position.
    #[inline(always)]
    fn cell_at<P: Eviction>(self, position: Word) -> &'a Cell<E> {
        let cell = if Self::is_small::<P>() {
            self.index(position)
        } else {
            // SAFETY: the ring is borrowed.
            unsafe { self.places.named(position) }
        };
        // SAFETY: an index is below `N`. Places name cells of the ring and nothing else: at the start each names its
        // own index, and what is written later is a cell that was read from another place, or the spare.
        unsafe { self.cell(cell) }
    }

    // ---- Steps, for a section or for `&mut` --------------------------------------------------------

    /// Publishes a small event.
    #[inline(always)]
    fn put_step<P: Eviction>(self, event: E) -> Result<Option<E>, E> {
        let state = self.state();
        let tail = state.tail.load(Relaxed);
        // Acquire: pairs with the Release of a take, which is outside a section where nothing is displaced; the event
        // is out.
        let head = state.head.load(if P::EVICTS { Relaxed } else { Acquire });
        let is_full = tail.wrapping_sub(head) > self.places.last;
        if is_full && !P::EVICTS {
            return Err(event);
        }
        // SAFETY: an index is below `N`.
        let cell = unsafe { self.cell(self.index(tail)) };
        let displaced = if P::EVICTS && is_full {
            state.head.store(head.wrapping_add(1), Relaxed);
            // SAFETY: the oldest event is in the cell of the position of a lap ago, and the head has moved past
            // it, so it is read once.
            Some(unsafe { cell.read() })
        } else {
            None
        };
        // SAFETY: the cell is free, or its event has been moved out, and only publishers write it, one after
        // the other.
        unsafe { cell.write(event) };
        // Release: pairs with the Acquire in `freeze`; the event is in.
        state.tail.store(tail.wrapping_add(1), Release);
        Ok(displaced)
    }

    /// Publishes all of the small `events`, or none. Only on a ring that does not displace.
    #[inline(always)]
    fn put_all_step<const M: usize>(self, events: [E; M]) -> Result<(), [E; M]> {
        let state = self.state();
        let tail = state.tail.load(Relaxed);
        // Acquire: as in `put_step`.
        let head = state.head.load(Acquire);
        if tail.wrapping_sub(head) > self.slots() - M as Word {
            return Err(events);
        }
        let mut end = tail;
        for event in events {
            // SAFETY: an index is below `N`.
            let cell = unsafe { self.cell(self.index(end)) };
            // SAFETY: as in `put_step`.
            unsafe { cell.write(event) };
            end = end.wrapping_add(1);
        }
        // Release: pairs with the Acquire in `freeze`; the events are in.
        state.tail.store(end, Release);
        Ok(())
    }

    /// Takes a small event that may be displaced. Returns `None` if no event is pending before `end`.
    #[inline(always)]
    fn take_step<P: Eviction>(self, end: Word) -> Option<E> {
        let state = self.state();
        let head = state.head.load(Relaxed);
        if !state.is_waiting(head, end) {
            return None;
        }
        state.head.store(head.wrapping_add(1), Relaxed);
        Tally::add(&state.taken, 1);
        // SAFETY: `is_waiting` says that the head is before the tail, so its event is in. The head has moved past it,
        // so it is read once.
        Some(unsafe { self.cell_at::<P>(head).read() })
    }

    // ---- The publishing side -----------------------------------------------------------------------

    /// Moves an event into a claimed cell. Returns the event that it displaces.
    ///
    /// # Safety
    ///
    /// The caller must call it once for each claim.
    #[inline(always)]
    unsafe fn fill(self, claim: Claim, event: E) -> Option<E> {
        // SAFETY: a claim has its cell from a place.
        let cell = unsafe { self.cell(claim.cell()) };
        // SAFETY: the claim made the cell ours with the event in it. The write below replaces that event, so it is
        // read once.
        let displaced = claim.displaces().then(|| unsafe { cell.read() });
        // SAFETY: the claim made the cell ours, and what was in it has been moved out.
        unsafe { cell.write(event) };
        displaced
    }

    #[inline]
    fn publish<P: Eviction>(self, event: E) -> Result<Option<E>, E> {
        if Self::is_small::<P>() {
            return section(|| self.put_step::<P>(event));
        }
        let Self { places, .. } = self;
        let state = self.state();
        let claim = if P::EVICTS { state.claim_or_displace(places) } else { state.claim(places) };
        if claim.is_nothing() {
            return Err(event);
        }
        // SAFETY: the claim is new.
        let displaced = unsafe { self.fill(claim, event) };
        state.commit(places, claim.cell());
        Ok(displaced)
    }

    /// Puts in all of `events`, or gives them back. Only on a ring that does not displace.
    #[inline]
    fn publish_all<P: Eviction, const M: usize>(self, events: [E; M]) -> Result<(), [E; M]> {
        if Self::is_small::<P>() {
            return section(|| self.put_all_step(events));
        }
        let Some(cells) = self.claim_all::<M>() else { return Err(events) };
        for (cell, event) in cells.into_iter().zip(events) {
            // SAFETY: the claim is new.
            unsafe { self.fill(Claim(cell), event) };
        }
        for cell in cells {
            self.state().commit(self.places, cell);
        }
        Ok(())
    }

    /// Claims `M` cells at once. `None`: there is no room for so many.
    #[inline(always)]
    fn claim_all<const M: usize>(self) -> Option<[usize; M]> {
        let State { alloc, head, .. } = self.state();
        loop {
            let first = alloc.load(Relaxed);
            // Acquire: pairs with the Release of a take, whose consumer had seen the commits of the positions a
            // lap ago; their cells are named, and the events are out.
            let head = head.load(Acquire);
            if first.wrapping_sub(head) > self.slots() - M as Word {
                // The head may have been read long after `alloc`.
                if alloc.load(Relaxed) == first {
                    return None;
                }
                continue;
            }
            // Outside of the section. They stay what they are until another publisher has claimed one of them.
            // SAFETY: the ring is borrowed.
            let cells = core::array::from_fn(|at| unsafe {
                self.places.named(first.wrapping_add(at as Word))
            });
            if self.state().claim_up_to(first, first.wrapping_add(M as Word)) {
                return Some(cells);
            }
        }
    }

    /// Counts events that found no room.
    #[cold]
    pub(crate) fn turn_away(self, events: usize) {
        self.state().turned_away.fetch_add(events as Word, Relaxed);
    }

    // ---- The taking side ---------------------------------------------------------------------------

    #[inline]
    fn freeze<P: Eviction>(self) -> Span {
        let state = self.state();
        // Acquire: pairs with the Release in `put_step` and `commit_step`; the events before it are in.
        let end = state.tail.load(Acquire);
        let mut head = state.head.load(Relaxed);
        if P::EVICTS && before(end, head) {
            // Publishers have moved the head past the end meanwhile.
            head = end;
        }
        state.tally.mark_waiting(end.wrapping_sub(head));
        Span { head, end }
    }

    /// Returns how many events are before the end of a span.
    #[inline]
    fn left<P: Eviction>(self, span: &Span) -> usize {
        let head = if P::EVICTS { self.state().head.load(Relaxed) } else { span.head };
        let left = if before(head, span.end) { span.end.wrapping_sub(head) } else { 0 };
        // At most the number of slots, also if publishers have lapped the drain by half of all positions.
        left.min(self.slots()) as usize
    }

    #[inline]
    fn shorten<P: Eviction>(self, span: &mut Span, most: usize) {
        let beyond = self.left::<P>(span).saturating_sub(most);
        span.end = span.end.wrapping_sub(beyond as Word);
    }

    /// Takes an event where nothing is displaced.
    ///
    /// # Safety
    ///
    /// `head` must be the head, and before the end of a span.
    #[inline(always)]
    unsafe fn take_at<P: Eviction>(self, head: Word) -> E {
        // SAFETY: the events before the end of a span are in, no publisher displaces them, and moving the head makes
        // this the last read.
        let event = unsafe { self.cell_at::<P>(head).read() };
        // Release: pairs with the Acquire in `put_step` and `claim_step`; the event is out.
        self.state().head.store(head.wrapping_add(1), Release);
        event
    }

    /// Returns the cell that the consumer leaves in exchange.
    #[inline(always)]
    fn spare(self) -> usize {
        self.state().spare.load(Relaxed).wrapping_add(self.slots()) as usize
    }

    /// Makes `cell` the spare one and moves its event out.
    ///
    /// # Safety
    ///
    /// `cell` must come from `exchange_step`.
    #[inline(always)]
    unsafe fn keep(self, cell: usize) -> E {
        self.state().spare.store((cell as Word).wrapping_sub(self.slots()), Relaxed);
        // SAFETY: a place named it.
        let cell = unsafe { self.cell(cell) };
        // SAFETY: no place names it now, so it is ours, and its event is not read again.
        unsafe { cell.read() }
    }

    #[inline]
    fn take<P: Eviction>(self, span: &mut Span) -> Option<E> {
        if P::EVICTS && Self::is_small::<P>() {
            return section(|| self.take_step::<P>(span.end));
        }
        if P::EVICTS {
            let oldest = self.state().exchange(self.places, self.spare(), span.end);
            // SAFETY: it comes from there.
            return (!oldest.is_nothing()).then(|| unsafe { self.keep(oldest.cell()) });
        }
        let Span { head, end } = *span;
        if head == end {
            return None;
        }
        span.head = head.wrapping_add(1);
        // SAFETY: the head is before the end of a span of this ring.
        Some(unsafe { self.take_at::<P>(head) })
    }

    /// Hands at most `most` events to `each`. Returns how many it handed out.
    #[inline]
    fn take_most<P: Eviction>(
        self,
        span: &mut Span,
        most: usize,
        mut each: impl FnMut(E),
    ) -> usize {
        if P::EVICTS {
            let mut count = 0;
            while count < most
                && let Some(event) = self.take::<P>(span)
            {
                count += 1;
                each(event);
            }
            return count;
        }
        let count = most.min(span.end.wrapping_sub(span.head) as usize);
        let end = span.head.wrapping_add(count as Word);
        while span.head != end {
            // SAFETY: the head is before the end of a span of this ring; `each` cannot reach the consumer.
            let event = unsafe { self.take_at::<P>(span.head) };
            span.head = span.head.wrapping_add(1);
            each(event);
        }
        count
    }

    /// [`take`](Self::take) without a section.
    #[inline]
    fn take_alone<P: Eviction>(self, span: &mut Span) -> Option<E> {
        if P::EVICTS && Self::is_small::<P>() {
            return self.take_step::<P>(span.end);
        }
        if P::EVICTS {
            let oldest = self.state().exchange_step(self.places, self.spare(), span.end);
            // SAFETY: it comes from there.
            return (!oldest.is_nothing()).then(|| unsafe { self.keep(oldest.cell()) });
        }
        self.take::<P>(span)
    }

    // ---- Counts ------------------------------------------------------------------------------------

    #[inline]
    fn ends<P: Eviction>(self) -> Ends {
        self.ends_from::<P>(self.state().head.load(Relaxed))
    }

    #[inline(always)]
    fn ends_from<P: Eviction>(self, head: Word) -> Ends {
        let state = self.state();
        Ends {
            head,
            taken: if P::EVICTS { state.taken.load(Relaxed) } else { head },
            claimed: if Self::is_small::<P>() { &state.tail } else { &state.alloc }.load(Relaxed),
        }
    }

    /// Returns how many events are pending, those being published included.
    #[inline]
    pub(crate) fn pending<P: Eviction>(self) -> usize {
        section(|| self.ends::<P>()).pending(self.slots()) as usize
    }

    /// Returns what has happened so far.
    pub(crate) fn counts<P: Eviction>(self) -> Counts {
        let state = self.state();
        let word = |counter: &AtomicWord| counter.load(Relaxed) as usize;
        let ends = section(|| self.ends::<P>());
        let pending = ends.pending(self.slots());
        let turned_away = word(&state.turned_away);
        if ends.displaced() != 0 || turned_away != 0 {
            state.tally.mark_waiting(self.slots());
        } else {
            state.tally.mark_waiting(pending);
        }
        Counts {
            accepted: ends.claimed as usize,
            handled: ends.taken as usize,
            pending: pending as usize,
            displaced: ends.displaced() as usize,
            turned_away,
            failed: word(&state.tally.failed),
            unhandled: word(&state.tally.unhandled),
            high_water: word(&state.tally.high_water),
        }
    }

    /// Returns how many events are pending behind a span, and the losses since the last call. Only for the consumer.
    #[inline]
    pub(crate) fn account<P: Eviction>(self, span: &Span) -> (usize, usize) {
        let state = self.state();
        let head = if P::EVICTS { state.head.load(Relaxed) } else { span.head };
        let ends = self.ends_from::<P>(head);
        let lost = state.turned_away.load(Relaxed).wrapping_add(ends.displaced());
        (ends.pending(self.slots()) as usize, state.tally.news(lost))
    }

    fn claim_consumer(self) -> bool {
        // Acquire: pairs with the Release in `release_consumer`; what the last consumer wrote is seen.
        self.state().consumer.compare_exchange(0, 1, Acquire, Relaxed).is_ok()
    }

    fn release_consumer(self) {
        // Release: pairs with the Acquire in `claim_consumer`.
        self.state().consumer.store(0, Release);
    }
}

impl<E, const N: usize, P: Eviction> Ring<E, N, P> {
    pub(in crate::ring) const FITS: () = assert!(
        N <= 32768,
        "the capacity of a bus must be at most 32768 where its steps are critical sections"
    );

    #[cfg(not(tickbus_loom))]
    pub(crate) const fn new() -> Self
    where
        (): Capacity<N>,
    {
        const { Self::FITS };
        Self {
            state: State {
                tail: AtomicWord::new(0),
                head: AtomicWord::new(0),
                taken: AtomicWord::new(0),
                alloc: AtomicWord::new(0),
                spare: AtomicWord::new(0),
                consumer: AtomicWord::new(0),
                turned_away: AtomicWord::new(0),
                tally: Tally::new(),
            },
            cells: [const { Cell::new() }; N],
            spare: <P::Spare<E>>::EMPTY,
            places: [const { AtomicPlace::new(0) }; N],
        }
    }

    #[cfg(tickbus_loom)]
    pub(crate) fn new() -> Self
    where
        (): Capacity<N>,
    {
        const { Self::FITS };
        Self {
            state: State {
                tail: AtomicWord::new(0),
                head: AtomicWord::new(0),
                taken: AtomicWord::new(0),
                alloc: AtomicWord::new(0),
                spare: AtomicWord::new(0),
                consumer: AtomicWord::new(0),
                turned_away: AtomicWord::new(0),
                tally: Tally::new(),
            },
            cells: core::array::from_fn(|_| Cell::new()),
            spare: <P::Spare<E>>::empty(),
            places: core::array::from_fn(|_| AtomicPlace::new(0)),
        }
    }

    /// An empty ring whose first position lies `back` positions before the end of the range. That many count
    /// as handled.
    #[cfg(test)]
    pub(crate) fn starting_before_wrap(back: usize) -> Self
    where
        (): Capacity<N>,
    {
        let mut ring = Self::new();
        let start = (back as Word).wrapping_neg();
        let State { tail, head, taken, alloc, .. } = &mut ring.state;
        for word in [tail, head, taken, alloc] {
            *word.get_mut() = start;
        }
        ring
    }

    /// Acts as if so many events had been published and displaced. It must be a multiple of `N`.
    #[cfg(all(test, not(tickbus_loom)))]
    fn pass(&self, events: Word) {
        let State { tail, head, alloc, .. } = &self.state;
        for word in [tail, head, alloc] {
            word.fetch_add(events, Relaxed);
        }
    }

    #[inline(always)]
    pub(crate) fn core(&self) -> Core<'_, E> {
        let ring = NonNull::from(self);
        // SAFETY: the places are within the ring.
        let first = unsafe { ring.byte_add(core::mem::offset_of!(Self, places)) }.cast();
        let places = Places { first, last: N as Word - 1 };
        Core { ring: ring.cast(), places, borrowed: PhantomData }
    }

    /// Claims the reading side. Returns `None` while another is alive.
    pub(crate) fn reader(&self) -> Option<Side<'_, Raw<E, P>>> {
        let core = self.core();
        // SAFETY: the consumer has just been claimed, and the ring is borrowed for as long as the side.
        core.claim_consumer().then(|| unsafe { Side::new(Raw::new(core)) })
    }

    /// Puts `event` in. Returns the event that it displaced, if any, or `event` if there is no room.
    #[inline]
    pub(crate) fn publish(&self, event: E) -> Result<Option<E>, E> {
        self.core().publish::<P>(event)
    }

    /// Puts in all of `events`, or gives them back. Only on a ring that does not displace.
    #[inline]
    pub(crate) fn publish_all<const M: usize>(&self, events: [E; M]) -> Result<(), [E; M]> {
        self.core().publish_all::<P, M>(events)
    }

    /// Puts in as many of `events` as there is room for. Returns how many it put in.
    #[inline]
    pub(crate) fn publish_batch(&self, events: &[E]) -> usize
    where
        E: Copy,
    {
        events.iter().take_while(|event| self.publish(**event).is_ok()).count()
    }
}

/// Exclusive access: the same steps without sections.
#[cfg(not(tickbus_loom))]
impl<E, const N: usize, P: Eviction> Ring<E, N, P> {
    #[inline]
    pub(crate) fn publish_mut(&mut self, event: E) -> Result<Option<E>, E> {
        let core = self.core();
        if Core::<E>::is_small::<P>() {
            return core.put_step::<P>(event);
        }
        let Core { places, .. } = core;
        let state = &self.state;
        let claimed = if P::EVICTS {
            state.claim_step::<true>(places)
        } else {
            state.claim_step::<false>(places)
        };
        let claim = Claim::of(claimed);
        if claim.is_nothing() {
            return Err(event);
        }
        // SAFETY: the claim is new.
        let displaced = unsafe { core.fill(claim, event) };
        state.commit_step(places, claim.cell());
        Ok(displaced)
    }

    #[inline]
    pub(crate) fn freeze_mut(&mut self) -> Span {
        self.core().freeze::<P>()
    }

    #[inline]
    pub(crate) fn shorten_mut(&mut self, span: &mut Span, most: usize) {
        self.core().shorten::<P>(span, most);
    }

    #[inline]
    pub(crate) fn take_mut(&mut self, span: &mut Span) -> Option<E> {
        self.core().take_alone::<P>(span)
    }

    #[inline]
    pub(crate) fn take_all_mut(&mut self, span: &mut Span, mut each: impl FnMut(E)) {
        while let Some(event) = self.take_mut(span) {
            each(event);
        }
    }

    #[inline]
    pub(crate) fn show_most_mut<L>(
        &mut self,
        span: &mut Span,
        most: usize,
        look: impl Fn(&E) -> L,
        mut each: impl FnMut(&Tally, L, &E),
    ) -> usize {
        let mut count = 0;
        while count < most
            && let Some(event) = self.take_mut(span)
        {
            count += 1;
            each(&self.state.tally, look(&event), &event);
        }
        count
    }

    #[cfg(feature = "alloc")]
    #[inline]
    pub(crate) fn append_mut(&mut self, span: &mut Span, into: &mut Vec<E>) -> usize {
        let before = into.len();
        // Before the first event moves: this may panic.
        into.reserve(self.core().left::<P>(span));
        self.take_all_mut(span, |event| into.push(event));
        into.len() - before
    }

    /// Returns the counters of this side.
    #[cfg(feature = "parallel")]
    pub(crate) fn tally(&self) -> &Tally {
        &self.state.tally
    }

    pub(crate) fn turn_away_mut(&mut self, events: usize) {
        let turned_away = self.state.turned_away.get_mut();
        *turned_away = turned_away.wrapping_add(events as Word);
    }
}

impl<E, const N: usize, P: Eviction> Drop for Ring<E, N, P> {
    fn drop(&mut self) {
        /// Drops the pending events, also if dropping one of them panics.
        struct Rest<'a, E, P: Eviction>(Core<'a, E>, Span, PhantomData<P>);
        impl<E, P: Eviction> Rest<'_, E, P> {
            fn run(&mut self) {
                while let Some(event) = self.0.take_alone::<P>(&mut self.1) {
                    drop(event);
                }
            }
        }
        impl<E, P: Eviction> Drop for Rest<'_, E, P> {
            fn drop(&mut self) {
                self.run();
            }
        }
        if core::mem::needs_drop::<E>() {
            let core = self.core();
            Rest::<E, P>(core, core.freeze::<P>(), PhantomData).run();
        }
    }
}

/// A ring as the consumer's handle keeps it: a [`Core`] without its lifetime.
pub(crate) struct Raw<E, P> {
    core: Core<'static, ()>,
    kind: PhantomData<(fn(E) -> E, fn() -> P)>,
}

impl<E, P: Eviction> Raw<E, P> {
    #[inline(always)]
    fn new(core: Core<'_, E>) -> Self {
        let Core { ring, places, .. } = core;
        Self { core: Core { ring, places, borrowed: PhantomData }, kind: PhantomData }
    }

    /// # Safety
    ///
    /// The ring is alive.
    #[inline(always)]
    unsafe fn core(&self) -> Core<'_, E> {
        let Core { ring, places, .. } = self.core;
        Core { ring, places, borrowed: PhantomData }
    }
}

// SAFETY: a reader moves events between threads, hence `E: Send`, and reaches the cells by the protocol of the
// module, which does not depend on the thread of either side.
unsafe impl<E, P: Eviction> Read for Raw<E, P> {
    type Event = E;

    #[inline]
    unsafe fn freeze(&mut self) -> Span {
        // SAFETY: the caller guarantees it.
        unsafe { self.core() }.freeze::<P>()
    }

    #[inline]
    unsafe fn shorten(&self, span: &mut Span, most: usize) {
        // SAFETY: the caller guarantees it.
        unsafe { self.core() }.shorten::<P>(span, most);
    }

    #[inline]
    unsafe fn take(&mut self, span: &mut Span) -> Option<E> {
        // SAFETY: the caller guarantees it.
        unsafe { self.core() }.take::<P>(span)
    }

    #[inline]
    unsafe fn take_most(&mut self, span: &mut Span, most: usize, each: impl FnMut(E)) -> usize {
        // SAFETY: the caller guarantees it.
        unsafe { self.core() }.take_most::<P>(span, most, each)
    }

    #[inline]
    unsafe fn show_most<L>(
        &mut self,
        span: &mut Span,
        most: usize,
        look: impl Fn(&E) -> L,
        mut each: impl FnMut(&Tally, L, &E),
    ) -> usize {
        // SAFETY: the caller guarantees it.
        let core = unsafe { self.core() };
        let each = |event| each(&core.state().tally, look(&event), &event);
        core.take_most::<P>(span, most, each)
    }

    #[cfg(any(feature = "alloc", tickbus_loom))]
    unsafe fn append(&mut self, span: &mut Span, into: &mut Vec<E>) -> usize {
        // SAFETY: the caller guarantees it.
        let core = unsafe { self.core() };
        let before = into.len();
        // Before the first event moves: this may panic.
        into.reserve(core.left::<P>(span));
        while let Some(event) = core.take::<P>(span) {
            into.push(event);
        }
        into.len() - before
    }

    #[inline]
    unsafe fn has_event(&mut self) -> bool {
        // SAFETY: the caller guarantees it.
        let span = unsafe { self.freeze() };
        span.head != span.end
    }

    #[inline]
    unsafe fn tally(&self) -> &Tally {
        // SAFETY: the caller guarantees it.
        &unsafe { self.core() }.state().tally
    }

    #[inline]
    unsafe fn account(&mut self, span: &Span) -> (usize, usize) {
        // SAFETY: the caller guarantees it.
        unsafe { self.core() }.account::<P>(span)
    }

    unsafe fn pending(&self) -> usize {
        // SAFETY: the caller guarantees it.
        unsafe { self.core() }.pending::<P>()
    }

    unsafe fn counts(&self) -> Counts {
        // SAFETY: the caller guarantees it.
        unsafe { self.core() }.counts::<P>()
    }

    unsafe fn release(&mut self) {
        // SAFETY: the caller guarantees it.
        unsafe { self.core() }.release_consumer();
    }
}

#[cfg(all(test, not(tickbus_loom)))]
#[path = "sections/tests.rs"]
mod tests;
