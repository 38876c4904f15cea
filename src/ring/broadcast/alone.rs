//! The ring of a feed: one publisher, many readers. Every event lies in its own slot, so there are no entries.
//!
//! Position `p` lies in slot `p % N`. To publish, the publisher stores `p + 1` in `writing`, which gives the event of
//! `p - N` away. Then it copies the event in, and stores `p + 1` in `published`. There is no compare-and-swap. An
//! interrupted publisher hides no event of another publisher, since there is none.
//!
//! To read published positions from `c` on, a reader copies as many events as it wants. The copies are whole if
//! `writing` is at most `c + N` after that, because only the write of `c + N` gives the slot of `c` away.
//!
//! | field | written by | orderings, and what they pair |
//! |---|---|---|
//! | `Ring::writing` | the publisher | with the fences: the parts |
//! | `Ring::published` | the publisher | Release → Acquire in `end`: the events are in; `publisher` |
//! | `Ring::claimed` | publishers | Release → Acquire: the next one continues where the last one ended |
//! | `Ring::refused` | all | Relaxed: it is right by itself |

use core::mem::MaybeUninit;

use super::{Shelf, before, hand_out};
use crate::ring::Capacity;
use crate::ring::parts::Parts;
use crate::sync::{Acquire, AtomicWord, CachePadded, Relaxed, Release, Word, fence};

/// One event, and nothing else.
#[derive(Debug)]
pub(crate) struct Slot<E>(Parts<E>);

/// The words that the publisher writes and readers load together.
#[derive(Debug)]
struct Ends {
    /// Positions that are published or being written.
    writing: AtomicWord,
    /// Positions that are published.
    published: AtomicWord,
}

/// A ring; `S` is its slots, whose number handles do not know.
#[derive(Debug)]
pub(crate) struct Ring<S: ?Sized> {
    ends: CachePadded<Ends>,
    /// Whether the publisher is claimed.
    claimed: AtomicWord,
    /// Events that were refused because the publisher was claimed.
    refused: AtomicWord,
    slots: S,
}

/// A ring of `N` slots.
pub(crate) struct Alone<E, const N: usize>(Ring<[Slot<E>; N]>);

// SAFETY: all access to a slot is atomic. Events are copied in on one thread and out on others, hence
// `E: Send`; no `&E` is ever shared.
unsafe impl<E: Copy + Send> Sync for Slot<E> {}

impl<E: Copy, const N: usize> Alone<E, N> {
    #[cfg(not(tickbus_loom))]
    pub(crate) const fn new() -> Self
    where
        (): Capacity<N>,
    {
        Self(Ring {
            ends: CachePadded(Ends { writing: AtomicWord::new(0), published: AtomicWord::new(0) }),
            claimed: AtomicWord::new(0),
            refused: AtomicWord::new(0),
            slots: [const { Slot(Parts::new()) }; N],
        })
    }

    #[cfg(tickbus_loom)]
    pub(crate) fn new() -> Self
    where
        (): Capacity<N>,
    {
        Self(Ring {
            ends: CachePadded(Ends { writing: AtomicWord::new(0), published: AtomicWord::new(0) }),
            claimed: AtomicWord::new(0),
            refused: AtomicWord::new(0),
            slots: core::array::from_fn(|_| Slot(Parts::new())),
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
        *ring.0.ends.0.writing.get_mut() = start;
        *ring.0.ends.0.published.get_mut() = start;
        ring
    }

    #[inline(always)]
    pub(crate) const fn ring(&self) -> &Ring<[Slot<E>]> {
        &self.0
    }
}

impl<E: Copy> Ring<[Slot<E>]> {
    #[inline(always)]
    fn writing(&self) -> Word {
        self.ends.0.writing.load(Relaxed)
    }

    #[inline(always)]
    fn published(&self) -> Word {
        // Acquire: pairs with the Release in `Writer::publish`; the events are in.
        self.ends.0.published.load(Acquire)
    }

    #[inline(always)]
    fn slot(&self, position: Word) -> &Parts<E> {
        let index = position as usize & (self.slots.len() - 1);
        // SAFETY: the number of slots is a power of two, so `index`, masked with one less, is below it.
        let slot = unsafe { self.slots.get_unchecked(index) };
        &slot.0
    }

    /// Whether the slot of `position` was not given away before its parts were loaded. Not valid if half of all
    /// positions or more were published since.
    #[inline(always)]
    pub(crate) fn is_kept(&self, position: Word) -> bool {
        !before(position.wrapping_add(self.slots.len() as Word), self.writing())
    }

    /// As if so many had been published.
    #[cfg(all(test, not(tickbus_loom)))]
    pub(crate) fn pass(&self, events: Word) {
        self.ends.0.writing.fetch_add(events, Relaxed);
        self.ends.0.published.fetch_add(events, Release);
    }

    /// Returns how many events have been published.
    pub(crate) fn count(&self) -> Word {
        self.ends.0.published.load(Relaxed)
    }

    /// Claims the publisher. Returns `None` while another writer is alive.
    pub(crate) fn writer(&self) -> Option<Writer<'_, E>> {
        // Acquire: pairs with the Release in `Writer::drop`; the last writer is done.
        self.claimed.compare_exchange(0, 1, Acquire, Relaxed).ok()?;
        Some(Writer { ring: self })
    }

    /// Counts an event that met a writer.
    #[cold]
    pub(crate) fn refuse(&self) {
        self.refused.fetch_add(1, Relaxed);
    }

    /// Returns how many events met a writer.
    pub(crate) fn refused(&self) -> Word {
        self.refused.load(Relaxed)
    }
}

/// The one publisher.
pub(crate) struct Writer<'a, E: Copy> {
    ring: &'a Ring<[Slot<E>]>,
}

impl<E: Copy> Writer<'_, E> {
    #[inline]
    pub(crate) fn publish(&mut self, event: E) {
        let Ends { writing, published } = &self.ring.ends.0;
        let position = published.load(Relaxed);
        let next = position.wrapping_add(1);
        writing.store(next, Relaxed);
        // Release: pairs with the Acquire fence in `read`; a reader that sees a part of the event sees that the slot
        // was given away.
        fence(Release);
        self.ring.slot(position).store(event);
        // Release: pairs with the Acquire in `published`; the event is in.
        published.store(next, Release);
    }

    pub(crate) fn capacity(&self) -> usize {
        self.ring.slots.len()
    }
}

impl<E: Copy> Drop for Writer<'_, E> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `Ring::writer`.
        self.ring.claimed.store(0, Release);
    }
}

impl<E: Copy> Shelf<E> for Ring<[Slot<E>]> {
    #[inline(always)]
    fn span(&self) -> Word {
        self.slots.len() as Word
    }

    #[inline(always)]
    fn claims(&self) -> Word {
        self.writing()
    }

    #[inline(always)]
    fn end(&self) -> Word {
        self.published()
    }

    #[inline(always)]
    fn committed(&self) -> Word {
        self.published()
    }

    #[inline(always)]
    fn lost(&self) -> Word {
        0
    }

    #[inline(always)]
    fn read(&self, position: Word) -> Option<E> {
        let event: MaybeUninit<E> = self.slot(position).load();
        // Acquire: pairs with the Release fence in `Writer::publish`.
        fence(Acquire);
        if !self.is_kept(position) {
            return None;
        }
        // SAFETY: the caller says that the position is published. The next event of its slot was not being written
        // when the last part was copied, so the event is whole.
        Some(unsafe { event.assume_init() })
    }

    #[inline(always)]
    fn read_run(&self, position: Word, end: Word, mut each: impl FnMut(Word, E)) {
        let span = self.span();
        let mut position = position;
        while before(position, end) {
            let start = position & (span - 1);
            let run = end.wrapping_sub(position).min(span - start);
            let slots = &self.slots[start as usize..(start + run) as usize];
            let is_kept = |first: Word| self.is_kept(first);
            // SAFETY: every position before `end` is published, and `writing` says which slots were given away, as in
            // `read`. Those behind are given away later.
            if !unsafe { hand_out(slots, position, |slot| Some(slot.0.load()), is_kept, &mut each) }
            {
                return;
            }
            position = position.wrapping_add(run);
        }
    }

    #[cold]
    #[inline(never)]
    fn overwritten(&self, position: Word) -> Word {
        let oldest = self.writing().wrapping_sub(self.span());
        if before(position, oldest) { oldest.wrapping_sub(position) } else { 0 }
    }
}

#[cfg(all(test, not(tickbus_loom)))]
mod tests;
