//! The ring of a topic: many publishers, many readers, each reader at a position of its own. Publishers overwrite the
//! oldest event. No operation waits.
//!
//! # The ring
//!
//! Positions count up and wrap. A slot has a *cell*, which is room for an event, and an *entry*, which names a cell,
//! usually the slot's own. The entry of position `p` is one word. It is `cell ^ (p + N)` once `p` is committed. As
//! long as it is `cell ^ p`, the slot has the event of `p - N`, or a publisher has claimed that event's cell for `p`.
//! A new ring is all zeros. To publish:
//!
//! 1. **claim**: read the number of claims, `p`, and the entry of its slot. One compare-and-swap of `p` to
//!    `p + 1` takes the cell of the event of `p - N`.
//! 2. Copy the event into the cell.
//! 3. **commit**: one compare-and-swap puts the cell into the entry of the *first position that is not
//!    committed*. That is `p`, unless a publisher was interrupted.
//!
//! So an interrupted publisher hides no event. The next publisher commits at its position. When the interrupted one
//! proceeds, it commits at the first free position. The positions that are claimed and not committed are the last
//! ones, one for each publish in progress.
//!
//! To read position `c`, a reader loads the entry. If it is `cell ^ (c + N)`, the reader copies the event in that cell.
//! The copy is whole if at most `c + N` positions are claimed after it, because only the claim of position `c + N`
//! gives the cell away. A reader writes nothing that other contexts read.
//!
//! # Why it is right
//!
//! **Ownership.** `p` is claimed before it is committed. So an entry that is `cell ^ p` while the number of claims is
//! `p` does not change before one publisher claims `p`. Each cell is either in the entry of a committed position or
//! owned by a publish in progress. Positions wrap after 2^BITS events: exactly that many during one publish would be
//! mistaken for none.
//!
//! **Room.** `p` is claimed only after `p - N` was committed, so at most `N` publishes are in progress. While `N`
//! publishers are interrupted, the next event is lost, counted and reported to every reader.
//!
//! **Order.** Positions are committed in order and without gaps. A publisher commits its next event after the one
//! before it, so at a later position.
//!
//! **No torn event.** The claim of `c + N` comes before the release fence, and that fence before the parts of
//! the new event. A reader loads the parts of the old event before the acquire fence, and the number of
//! claims after it. If any part was new, that number is new too. Numbers are compared on the circle of words, so
//! at most half of it may be claimed while a reader copies one event.
//!
//! # Progress
//!
//! Publishing is lock-free: a compare-and-swap fails only if another publish succeeded. While a publisher is
//! interrupted, a publish takes up to log2 N steps more to find its position. Reading an event is wait-free.
//!
//! | field | written by | orderings, and what they pair |
//! |---|---|---|
//! | `Ring::claims` | claims | Release → Acquire in `is_all_claimed`, `committed`: the commits before; with the fences: the parts |
//! | `Slot::entry` | commits | Release → Acquire in `publish`: the parts of the last event; in `read`: the event is in; in `committed`: the commits before |
//! | `Ring::lost` | publishers | Relaxed: it is right by itself |
//!
//! `tests/loom_topic.rs` has the models, and `tests/mutants/topic.list` the changes that they notice.

pub(crate) mod alone;

use core::mem::MaybeUninit;

use super::Capacity;
use super::parts::Parts;
use crate::sync::{
    AcqRel, Acquire, AtomicWord, CachePadded, Relaxed, Release, SignedWord, Word, fence,
};

/// A ring without its `N`, as a subscriber reads it.
pub(crate) trait Shelf<E> {
    /// Returns the number of slots.
    fn span(&self) -> Word;

    /// Returns how many positions publishers have claimed.
    fn claims(&self) -> Word;

    /// Returns where to stop reading.
    fn end(&self) -> Word;

    /// Returns how many positions are committed: an event published from now on has a later position.
    fn committed(&self) -> Word;

    /// Returns the number of events without a position, which no reader can get.
    fn lost(&self) -> Word;

    /// Returns the event of a position before `end`, if it is kept. Else `overwritten` says why not.
    fn read(&self, position: Word) -> Option<E>;

    /// Hands events from `position` on to `each`, with the position behind each one. It may end before `end`.
    fn read_run(&self, position: Word, end: Word, each: impl FnMut(Word, E));

    /// Returns how many events from `position` on were overwritten: zero if `position` is not committed yet.
    fn overwritten(&self, position: Word) -> Word;
}

/// The most events that are copied before the first of them is handed out. A core that works on several instructions
/// at once hides the check behind the copies.
const AHEAD: usize = match Word::BITS {
    _ if cfg!(tickbus_loom) => 2,
    64 => 4,
    _ => 1,
};

/// Events of so many bytes are copied one by one.
const LARGE: usize = 128;

/// Hands the events of `slots` to `each`, with the position behind each one. `first` is the position of the first.
/// Ends at the first event that `copy` does not give or that is not kept. Returns whether it reached the end.
///
/// # Safety
///
/// `copy` must give events, except for cells that were given away meanwhile. If `is_kept(p)` is true afterwards, no
/// cell from position `p` on was given away before.
#[inline(always)]
unsafe fn hand_out<E: Copy, S>(
    slots: &[S],
    first: Word,
    copy: impl Fn(&S) -> Option<MaybeUninit<E>>,
    is_kept: impl Fn(Word) -> bool,
    each: impl FnMut(Word, E),
) -> bool {
    if size_of::<E>() < LARGE {
        // SAFETY: the caller guarantees it.
        unsafe { hand_out_ahead::<_, _, AHEAD>(slots, first, copy, is_kept, each) }
    } else {
        // SAFETY: the caller guarantees it.
        unsafe { hand_out_ahead::<_, _, 1>(slots, first, copy, is_kept, each) }
    }
}

/// `hand_out` that copies so many events ahead.
///
/// # Safety
///
/// As for `hand_out`.
#[inline(always)]
unsafe fn hand_out_ahead<E: Copy, S, const AHEAD: usize>(
    slots: &[S],
    first: Word,
    copy: impl Fn(&S) -> Option<MaybeUninit<E>>,
    is_kept: impl Fn(Word) -> bool,
    mut each: impl FnMut(Word, E),
) -> bool {
    let mut position = first;
    let mut each_of = |copies: &[MaybeUninit<E>]| {
        // Acquire: pairs with the Release fence of the publisher; a reader that has seen a part of a newer event sees
        // that the cell was given away.
        fence(Acquire);
        let is_kept = is_kept(position);
        if is_kept {
            for event in copies {
                position = position.wrapping_add(1);
                // SAFETY: neither this cell nor those behind it were given away, so it is an event.
                each(position, unsafe { event.assume_init() });
            }
        }
        is_kept
    };
    let (chunks, rest) = slots.as_chunks::<AHEAD>();
    for chunk in chunks {
        let mut copies = [const { MaybeUninit::uninit() }; AHEAD];
        for (place, slot) in copies.iter_mut().zip(chunk) {
            let Some(event) = copy(slot) else { return false };
            *place = event;
        }
        if !each_of(&copies) {
            return false;
        }
    }
    rest.iter().all(|slot| copy(slot).is_some_and(|event| each_of(&[event])))
}

/// How many contexts publish to a ring.
pub(crate) trait Kind {
    /// The ring that its subscribers read.
    type Ring<E: Copy>: Shelf<E> + ?Sized;
}

/// One place in the ring.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Slot<E> {
    /// The cell with the event of this slot's position, and the lap of that position.
    entry: AtomicWord,
    /// Room for the event of the slot whose entry names it.
    cell: Parts<E>,
}

/// A ring; `S` is its slots, whose number handles do not know.
#[derive(Debug)]
pub(crate) struct Ring<S: ?Sized> {
    /// How many positions have been claimed.
    claims: CachePadded<AtomicWord>,
    /// Events that found every slot claimed by a publish in progress.
    lost: AtomicWord,
    slots: S,
}

/// A ring of `N` slots.
pub(crate) struct Broadcast<E, const N: usize>(Ring<[Slot<E>; N]>);

/// The ring without its `N`. Handles borrow it.
pub(crate) struct View<'a, E>(&'a Ring<[Slot<E>]>);

// SAFETY: all access to a slot is atomic. Events are copied in on one thread and out on others, hence
// `E: Send`; no `&E` is ever shared.
unsafe impl<E: Copy + Send> Sync for Slot<E> {}

impl<E> Clone for View<'_, E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for View<'_, E> {}

/// Whether `a` comes before `b` on the circle of words.
#[inline(always)]
pub(crate) const fn before(a: Word, b: Word) -> bool {
    (a.wrapping_sub(b) as SignedWord) < 0
}

impl<E: Copy, const N: usize> Broadcast<E, N> {
    #[cfg(not(tickbus_loom))]
    pub(crate) const fn new() -> Self
    where
        (): Capacity<N>,
    {
        Self(Ring {
            claims: CachePadded(AtomicWord::new(0)),
            lost: AtomicWord::new(0),
            slots: [const { Slot { entry: AtomicWord::new(0), cell: Parts::new() } }; N],
        })
    }

    #[cfg(tickbus_loom)]
    pub(crate) fn new() -> Self
    where
        (): Capacity<N>,
    {
        Self(Ring {
            claims: CachePadded(AtomicWord::new(0)),
            lost: AtomicWord::new(0),
            slots: core::array::from_fn(|_| Slot { entry: AtomicWord::new(0), cell: Parts::new() }),
        })
    }

    /// A ring whose first position lies `back` positions before the end of the range.
    #[cfg(all(test, not(tickbus_loom)))]
    pub(crate) fn starting_before_wrap(back: usize) -> Self
    where
        (): Capacity<N>,
    {
        let mut ring = Self::new();
        let start = (back as Word).wrapping_neg();
        *ring.0.claims.0.get_mut() = start;
        for (index, slot) in ring.0.slots.iter_mut().enumerate() {
            let index = index as Word;
            // The slot's next position, with the slot's own cell.
            let next = start.wrapping_add(index.wrapping_sub(start) & (N as Word - 1));
            *slot.entry.get_mut() = index ^ next;
        }
        ring
    }

    #[inline(always)]
    pub(crate) const fn view(&self) -> View<'_, E> {
        View(&self.0)
    }

    /// Acts as if so many events had been published, each after the one before.
    #[cfg(all(test, not(tickbus_loom)))]
    pub(crate) fn pass(&self, events: Word) {
        let end = self.0.claims.0.fetch_add(events, Release).wrapping_add(events);
        for (index, slot) in self.0.slots.iter().enumerate() {
            let index = index as Word;
            let next = end.wrapping_add(index.wrapping_sub(end) & (N as Word - 1));
            slot.entry.store(index ^ next, Release);
        }
    }
}

impl<E: Copy> Shelf<E> for Ring<[Slot<E>]> {
    #[inline(always)]
    fn span(&self) -> Word {
        View(self).span()
    }

    #[inline(always)]
    fn claims(&self) -> Word {
        View(self).claims()
    }

    #[inline(always)]
    fn end(&self) -> Word {
        View(self).claims()
    }

    #[inline]
    fn committed(&self) -> Word {
        View(self).committed()
    }

    #[inline(always)]
    fn lost(&self) -> Word {
        View(self).lost()
    }

    #[inline(always)]
    fn read(&self, position: Word) -> Option<E> {
        View(self).read(position)
    }

    #[inline(always)]
    fn read_run(&self, position: Word, end: Word, each: impl FnMut(Word, E)) {
        View(self).read_run(position, end, each);
    }

    #[inline]
    fn overwritten(&self, position: Word) -> Word {
        View(self).overwritten(position)
    }
}

impl<'a, E: Copy> View<'a, E> {
    /// Returns the ring as subscribers keep it.
    #[inline(always)]
    pub(crate) const fn shelf(self) -> &'a Ring<[Slot<E>]> {
        self.0
    }

    /// Returns the number of slots.
    #[inline(always)]
    pub(crate) const fn span(self) -> Word {
        self.0.slots.len() as Word
    }

    #[inline(always)]
    fn at(self, index: Word) -> &'a Slot<E> {
        let index = index as usize & (self.0.slots.len() - 1);
        // SAFETY: the number of slots is a power of two, so `index`, masked with one less, is below it.
        unsafe { self.0.slots.get_unchecked(index) }
    }

    /// # Panics
    ///
    /// Never: an entry gave `index`, and the caller has checked that it is less than `span`.
    #[inline(always)]
    fn cell(self, index: Word) -> &'a Parts<E> {
        debug_assert!(index < self.span());
        // SAFETY: the caller has checked that `index` is less than the number of slots.
        let slot = unsafe { self.0.slots.get_unchecked(index as usize) };
        &slot.cell
    }

    /// Returns how many positions have been claimed.
    #[inline(always)]
    pub(crate) fn claims(self) -> Word {
        self.0.claims.0.load(Relaxed)
    }

    /// Returns the number of events that no reader can get, because every slot belonged to a publish in progress.
    #[inline(always)]
    pub(crate) fn lost(self) -> Word {
        self.0.lost.load(Relaxed)
    }

    #[cold]
    pub(crate) fn lose(self) {
        self.0.lost.fetch_add(1, Relaxed);
    }

    /// Publishes, if `has_room` accepts the position and a slot is free. Returns whether it did.
    #[inline]
    pub(crate) fn publish(self, event: E, mut has_room: impl FnMut(Word) -> bool) -> bool {
        let span = self.span();
        let claims = &self.0.claims.0;
        loop {
            let position = claims.load(Relaxed);
            if !has_room(position) {
                return false;
            }
            let previous = position.wrapping_sub(1);
            let slot = self.at(position);
            let entry = slot.entry.load(Relaxed);
            let is_in_turn = self.at(previous).entry.load(Relaxed) ^ previous >= span;
            // Acquire: pairs with the Release of the commit of `entry`; the last event is in the cell before we
            // overwrite it. On a gated topic it also pairs with the Release of the gate. No model notices: loom
            // orders stores as they were executed.
            // Release: makes the claim below pair with the Acquire in `is_all_claimed` and
            // `committed`.
            fence(AcqRel);
            let cell = entry ^ position;
            if cell >= span {
                if self.is_all_claimed() {
                    return false;
                }
                continue;
            }
            let next = position.wrapping_add(1);
            if claims.compare_exchange_weak(position, next, Relaxed, Relaxed).is_err() {
                continue;
            }
            // Release: pairs with the Acquire fence in `read`; a reader that sees a part of the event sees
            // the claim.
            fence(Release);
            self.cell(cell).store(event);
            let new = cell ^ position.wrapping_add(span);
            // Release: pairs with the Acquire in `read`; the event is in the cell.
            if !is_in_turn || slot.entry.compare_exchange(entry, new, Release, Relaxed).is_err() {
                self.commit_out_of_turn(cell);
            }
            return true;
        }
    }

    /// Publishes all of `events` by one claim, if `has_room` agrees to the position of the last one. It may only if
    /// the position a lap before that is committed. `M` is 1 to the number of slots.
    #[inline]
    pub(crate) fn publish_all<const M: usize>(
        self,
        events: &[E; M],
        mut has_room: impl FnMut(Word) -> bool,
    ) -> bool {
        let span = self.span();
        let claims = &self.0.claims.0;
        let (first, entries, is_in_turn) = loop {
            let first = claims.load(Relaxed);
            let next = first.wrapping_add(M as Word);
            let previous = first.wrapping_sub(1);
            if !has_room(next.wrapping_sub(1)) {
                return false;
            }
            let position = |at: usize| first.wrapping_add(at as Word);
            let entries: [Word; M] =
                core::array::from_fn(|at| self.at(position(at)).entry.load(Relaxed));
            let is_in_turn = self.at(previous).entry.load(Relaxed) ^ previous >= span;
            // Acquire and Release: as in `publish`.
            fence(AcqRel);
            let is_free = |at: usize| entries[at] ^ position(at) < span;
            // Else they are of before: what is a lap behind a position with room has been committed, and the fence
            // lets the next look see it.
            if (0..M).all(is_free)
                && claims.compare_exchange_weak(first, next, Relaxed, Relaxed).is_ok()
            {
                break (first, entries, is_in_turn);
            }
        };
        // Release: as in `publish`.
        fence(Release);
        for (at, event) in events.iter().enumerate() {
            self.cell(entries[at] ^ first.wrapping_add(at as Word)).store(*event);
        }
        let mut is_in_turn = is_in_turn;
        for (at, &entry) in entries.iter().enumerate() {
            let position = first.wrapping_add(at as Word);
            let cell = entry ^ position;
            let new = cell ^ position.wrapping_add(span);
            let entry_now = &self.at(position).entry;
            // Release: as in `publish`.
            is_in_turn =
                is_in_turn && entry_now.compare_exchange(entry, new, Release, Relaxed).is_ok();
            if !is_in_turn {
                self.commit_out_of_turn(cell);
            }
        }
        true
    }

    /// Commits `cell` at the first position that is not committed.
    #[cold]
    #[inline(never)]
    fn commit_out_of_turn(self, cell: Word) {
        let span = self.span();
        let mut position = self.committed();
        loop {
            let slot = self.at(position);
            // Relaxed: a reader that sees our commit sees the commits that we have seen before it. We do not use the
            // cell of an entry that is not committed.
            let entry = slot.entry.load(Relaxed);
            if entry ^ position >= span {
                position = position.wrapping_add(1);
                continue;
            }
            let new = cell ^ position.wrapping_add(span);
            // Release: as in `publish`.
            if slot.entry.compare_exchange(entry, new, Release, Relaxed).is_ok() {
                return;
            }
        }
    }

    /// Returns how many positions are committed: an event published from now on has a later position. While a publisher
    /// is interrupted, this is less than `claims`.
    pub(crate) fn committed(self) -> Word {
        // Acquire: pairs with the Release of the claims; what is committed before `low` is seen.
        let mut low = self.0.claims.0.load(Acquire).wrapping_sub(self.span());
        let mut length = self.span();
        while length > 0 {
            let half = length / 2;
            let middle = low.wrapping_add(half);
            // Acquire: as in `publish`.
            if self.at(middle).entry.load(Acquire) ^ middle < self.span() {
                length = half;
            } else {
                low = middle.wrapping_add(1);
                length -= half + 1;
            }
        }
        low
    }

    /// Whether every slot belongs to a publish in progress.
    #[cold]
    #[inline(never)]
    fn is_all_claimed(self) -> bool {
        // Acquire: pairs with the Release of the claims; what their publishers had committed is seen, also by a
        // relaxed load.
        let position = self.0.claims.0.load(Acquire);
        let oldest = position.wrapping_sub(self.span());
        self.at(position).entry.load(Relaxed) ^ oldest < self.span()
    }

    /// Returns the event of `position`, if it is committed and kept. Else `overwritten` says why not.
    #[inline(always)]
    pub(crate) fn read(self, position: Word) -> Option<E> {
        let span = self.span();
        let given_away = position.wrapping_add(span);
        // Acquire: pairs with the Release of the commit; the event is in the cell.
        let cell = self.at(position).entry.load(Acquire) ^ given_away;
        if cell >= span {
            return None;
        }
        let event: MaybeUninit<E> = self.cell(cell).load();
        // Acquire: pairs with the Release fence in `publish`.
        fence(Acquire);
        if !self.is_kept(position) {
            return None;
        }
        // SAFETY: the cell was committed with an event. `position + N`, whose claim gives the cell away, was not
        // claimed when the last part of the event was copied, so the event is whole.
        Some(unsafe { event.assume_init() })
    }

    /// Whether the cell of `position` was not given away before its parts were loaded. Not valid if half of all
    /// positions or more were claimed since.
    #[inline(always)]
    pub(crate) fn is_kept(self, position: Word) -> bool {
        !before(position.wrapping_add(self.span()), self.claims())
    }

    /// Hands events from `position` on to `each`, with the position behind each one. Ends at the first that is not
    /// committed, not kept, or not in the cell of its own slot. Only an interrupted publisher moves events to other
    /// cells.
    #[inline(always)]
    pub(crate) fn read_run(self, position: Word, end: Word, mut each: impl FnMut(Word, E)) {
        let span = self.span();
        let mut position = position;
        // Run by run: within one lap, the entries of such events are equal.
        while before(position, end) {
            let start = position & (span - 1);
            let run = end.wrapping_sub(position).min(span - start);
            let own = position.wrapping_add(span) & span.wrapping_neg();
            let slots = &self.0.slots[start as usize..(start + run) as usize];
            // Acquire: as in `read`.
            let copy = |slot: &Slot<E>| (slot.entry.load(Acquire) == own).then(|| slot.cell.load());
            let is_kept = |first: Word| self.is_kept(first);
            // SAFETY: an entry of this lap with the slot's own cell names an event, and `claims` says whether the cell
            // was given away, as in `read`. Those behind it are given away later.
            if !unsafe { hand_out(slots, position, copy, is_kept, &mut each) } {
                return;
            }
            position = position.wrapping_add(run);
        }
    }

    /// Returns how many events from `position` on were overwritten: zero if `position` is not committed yet.
    #[cold]
    #[inline(never)]
    pub(crate) fn overwritten(self, position: Word) -> Word {
        let span = self.span();
        let entry = self.at(position).entry.load(Relaxed);
        // The slot's next position. The one a lap before was committed, so it was claimed.
        let next = (entry & span.wrapping_neg()) | (position & (span - 1));
        let least = next.wrapping_sub(span).wrapping_add(1);
        let claims = self.claims();
        let claims = if before(claims, least) { least } else { claims };
        let oldest = claims.wrapping_sub(span);
        if before(position, oldest) { oldest.wrapping_sub(position) } else { 0 }
    }
}
