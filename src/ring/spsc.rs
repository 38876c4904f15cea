//! The ring of a lane: one publisher, one consumer, no entries and no read-modify-write.
//!
//! Position `p` lies in cell `p % N`. The consumer owns the cells from the head to the tail, and the publisher owns the
//! others. Each side moves its own end on when it is done with a cell, and reads the other end to see how far it may
//! go (Lamport, "Specifying Concurrent Program Modules", TOPLAS 1983). The publisher's handle keeps the head as it last
//! saw it, and loads it again only if that says "full".
//!
//! | field | written by | read by | orderings, and what they pair |
//! |---|---|---|---|
//! | `Front::tail` | publisher | all | Release → Acquire: the events before it are in |
//! | `Front::publisher` | publishers | publishers | Release → Acquire: what the last publisher did |
//! | `Back::taken` | consumer | all | Release → Acquire: the events before it are out |
//! | `Back::consumer` | consumers | consumers | Release → Acquire: what the last consumer did |
//! | counters | their owner | all | Relaxed: each is right by itself |

#[cfg(any(feature = "alloc", tickbus_loom))]
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ptr::NonNull;

use super::cell::Cell;
#[cfg(any(feature = "alloc", tickbus_loom))]
use super::cell::{CHUNK, move_all};
use super::{Capacity, Counts, Read, Side, Span, Tally};
use crate::sync::{Acquire, AtomicWord, CachePadded, Relaxed, Release, Word};

/// The words that the publisher writes.
#[derive(Debug)]
#[repr(C)]
struct Front {
    /// Events published.
    tail: AtomicWord,
    /// Events of the writer that found no room.
    refused: AtomicWord,
    /// Whether the publisher is claimed.
    publisher: AtomicWord,
    /// Events that were refused because they met a writer. Every context may count here.
    met: AtomicWord,
}

/// The words that the consumer writes.
#[derive(Debug)]
#[repr(C)]
struct Back {
    /// Events taken.
    taken: AtomicWord,
    /// Whether the consumer is claimed.
    consumer: AtomicWord,
    tally: Tally,
}

/// A ring; `C` is its cells, whose number handles do not know. All zero at the start, so that a static
/// one lies in `.bss`.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Body<C: ?Sized> {
    front: CachePadded<Front>,
    back: CachePadded<Back>,
    cells: C,
}

/// A ring of `N` cells.
pub(crate) struct Ring<E, const N: usize>(Body<[Cell<E>; N]>);

// SAFETY: publishing moves an `E` in and taking moves it out, possibly on another thread, hence `E: Send`. No
// `&E` is ever shared between threads, so `E: Sync` is not needed.
unsafe impl<E: Send, const N: usize> Sync for Ring<E, N> {}

// SAFETY: as for `Sync`: what a ring owns is its events.
unsafe impl<E: Send, const N: usize> Send for Ring<E, N> {}

impl<E, const N: usize> Ring<E, N> {
    #[cfg(not(tickbus_loom))]
    pub(crate) const fn new() -> Self
    where
        (): Capacity<N>,
    {
        Self(Body {
            front: CachePadded(Front {
                tail: AtomicWord::new(0),
                refused: AtomicWord::new(0),
                publisher: AtomicWord::new(0),
                met: AtomicWord::new(0),
            }),
            back: CachePadded(Back {
                taken: AtomicWord::new(0),
                consumer: AtomicWord::new(0),
                tally: Tally::new(),
            }),
            cells: [const { Cell::new() }; N],
        })
    }

    #[cfg(tickbus_loom)]
    pub(crate) fn new() -> Self
    where
        (): Capacity<N>,
    {
        Self(Body {
            front: CachePadded(Front {
                tail: AtomicWord::new(0),
                refused: AtomicWord::new(0),
                publisher: AtomicWord::new(0),
                met: AtomicWord::new(0),
            }),
            back: CachePadded(Back {
                taken: AtomicWord::new(0),
                consumer: AtomicWord::new(0),
                tally: Tally::new(),
            }),
            cells: core::array::from_fn(|_| Cell::new()),
        })
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
        *ring.0.front.0.tail.get_mut() = start;
        *ring.0.back.0.taken.get_mut() = start;
        ring
    }

    #[inline(always)]
    fn body(&self) -> &Body<[Cell<E>]> {
        &self.0
    }

    /// Claims the publishing side. Returns `None` while another is alive.
    pub(crate) fn writer(&self) -> Option<Writer<'_, E>> {
        self.body().writer()
    }

    /// Claims the reading side. Returns `None` while another is alive.
    pub(crate) fn reader(&self) -> Option<Side<'_, Reader<E>>> {
        let body = self.body();
        // Acquire: pairs with the Release in `release`; what the last consumer wrote is seen.
        body.back.0.consumer.compare_exchange(0, 1, Acquire, Relaxed).ok()?;
        // SAFETY: the consumer has just been claimed, and the ring is borrowed for as long as the side.
        Some(unsafe { Side::new(Reader(NonNull::from(body))) })
    }

    /// Counts an event that met a writer.
    #[cold]
    pub(crate) fn turn_away(&self) {
        self.0.front.0.met.fetch_add(1, Relaxed);
    }

    pub(crate) fn pending(&self) -> usize {
        self.body().pending() as usize
    }

    pub(crate) fn counts(&self) -> Counts {
        self.body().counts()
    }
}

impl<E> Body<[Cell<E>]> {
    #[inline(always)]
    fn slots(&self) -> Word {
        self.cells.len() as Word
    }

    #[inline(always)]
    fn index(&self, position: Word) -> usize {
        position as usize & (self.cells.len() - 1)
    }

    #[inline(always)]
    fn cell(&self, position: Word) -> &Cell<E> {
        // SAFETY: the number of cells is a power of two, so the index, masked with one less, is below it.
        unsafe { self.cells.get_unchecked(self.index(position)) }
    }

    fn writer(&self) -> Option<Writer<'_, E>> {
        let Self { front, back, .. } = self;
        // Acquire: pairs with the Release in `Writer::drop`; the last writer is done.
        front.0.publisher.compare_exchange(0, 1, Acquire, Relaxed).ok()?;
        let tail = front.0.tail.load(Relaxed);
        // Acquire: pairs with the Release of the takes; the events before are out.
        let head = back.0.taken.load(Acquire);
        Some(Writer { ring: self, tail, head, alone: PhantomData })
    }

    /// Loads the head and then the tail, which is not behind it then.
    fn ends(&self) -> (Word, Word) {
        // Acquire: pairs with the Release of the takes; a tail that is loaded later is not older.
        let head = self.back.0.taken.load(Acquire);
        // Acquire: pairs with the Release in `advance`; a head that is loaded later is not older.
        (head, self.front.0.tail.load(Acquire))
    }

    /// Returns how many events are pending, at most `N`. A reading while other contexts work may be out of date.
    fn pending(&self) -> Word {
        let (head, tail) = self.ends();
        tail.wrapping_sub(head).min(self.slots())
    }

    fn refused(&self) -> Word {
        let front = &self.front.0;
        front.refused.load(Relaxed).wrapping_add(front.met.load(Relaxed))
    }

    fn counts(&self) -> Counts {
        let tally = &self.back.0.tally;
        let (head, tail) = self.ends();
        let pending = tail.wrapping_sub(head).min(self.slots());
        let full = self.front.0.refused.load(Relaxed) != 0;
        if full {
            tally.mark_waiting(self.slots());
        } else if self.back.0.taken.load(Relaxed) == head {
            // So many were pending between the two loads.
            tally.mark_waiting(pending);
        }
        Counts {
            accepted: tail as usize,
            handled: tail.wrapping_sub(pending) as usize,
            pending: pending as usize,
            displaced: 0,
            turned_away: self.refused() as usize,
            failed: tally.failed.load(Relaxed) as usize,
            unhandled: tally.unhandled.load(Relaxed) as usize,
            high_water: tally.high_water.load(Relaxed) as usize,
        }
    }
}

impl<E, const N: usize> Drop for Ring<E, N> {
    fn drop(&mut self) {
        /// Drops the pending events, also if dropping one of them panics.
        struct Rest<'a, E>(Side<'a, Reader<E>>, Span);
        impl<E> Rest<'_, E> {
            fn run(&mut self) {
                while let Some(event) = self.0.take(&mut self.1) {
                    drop(event);
                }
            }
        }
        impl<E> Drop for Rest<'_, E> {
            fn drop(&mut self) {
                self.run();
            }
        }
        if core::mem::needs_drop::<E>() {
            let body = self.body();
            // SAFETY: `&mut self` says that no consumer is alive, and the ring is borrowed for as long.
            let mut side = unsafe { Side::new(Reader(NonNull::from(body))) };
            let span = side.freeze();
            Rest(side, span).run();
        }
    }
}

/// The one publisher.
pub(crate) struct Writer<'a, E> {
    ring: &'a Body<[Cell<E>]>,
    /// The value of `Front::tail`: only this writer moves it.
    tail: Word,
    /// The head, as this writer last saw it.
    head: Word,
    /// Publishing needs `&mut`, so a writer may be sent to another thread but not shared.
    alone: PhantomData<&'a mut E>,
}

// SAFETY: a writer moves events of `E: Send` in, perhaps for a reader on another thread. Everything else that it
// reaches is atomic.
unsafe impl<E: Send> Send for Writer<'_, E> {}

// SAFETY: a shared writer gives access to nothing but counters.
unsafe impl<E: Send> Sync for Writer<'_, E> {}

impl<E> Writer<'_, E> {
    /// Returns how many cells are certainly free. Loads the head only if the known head leaves fewer than `wanted`.
    #[inline(always)]
    fn room(&mut self, wanted: usize) -> usize {
        let free =
            |head: Word| self.ring.slots().wrapping_sub(self.tail.wrapping_sub(head)) as usize;
        let room = free(self.head);
        if room >= wanted {
            return room;
        }
        // Acquire: pairs with the Release of the takes; the events before are out of their cells.
        let head = self.ring.back.0.taken.load(Acquire);
        let room = free(head);
        self.head = head;
        room
    }

    /// Puts `event` in. Returns it if there is no room.
    #[inline]
    pub(crate) fn publish(&mut self, event: E) -> Result<(), E> {
        if self.room(1) == 0 {
            return Err(event);
        }
        // SAFETY: there is room, so the consumer has emptied the cell, and there is no other writer.
        unsafe { self.ring.cell(self.tail).write(event) };
        self.advance(1);
        Ok(())
    }

    /// Puts in as many of `events` as fit. Returns how many it put in.
    #[inline]
    pub(crate) fn publish_batch(&mut self, events: &[E]) -> usize
    where
        E: Copy,
    {
        let count = events.len().min(self.room(events.len()));
        let (lap, wrapped) = self.ring.cells.split_at(self.ring.index(self.tail));
        for (cell, &event) in wrapped.iter().chain(lap).zip(&events[..count]) {
            // SAFETY: as in `publish`.
            unsafe { cell.write(event) };
        }
        self.advance(count);
        count
    }

    /// Puts in all of `events`, or gives them back.
    #[inline]
    pub(crate) fn publish_all<const M: usize>(&mut self, events: [E; M]) -> Result<(), [E; M]> {
        if self.room(M) < M {
            return Err(events);
        }
        for (at, event) in events.into_iter().enumerate() {
            // SAFETY: as in `publish`.
            unsafe { self.ring.cell(self.tail.wrapping_add(at as Word)).write(event) };
        }
        self.advance(M);
        Ok(())
    }

    #[inline(always)]
    fn advance(&mut self, by: usize) {
        self.tail = self.tail.wrapping_add(by as Word);
        // Release: pairs with the Acquire in `Reader::freeze`; the events are in.
        self.ring.front.0.tail.store(self.tail, Release);
    }

    /// Counts events that found no room.
    #[inline]
    pub(crate) fn turn_away(&mut self, events: usize) {
        Tally::add(&self.ring.front.0.refused, events as Word);
    }

    pub(crate) fn capacity(&self) -> usize {
        self.ring.cells.len()
    }
}

impl<E> Drop for Writer<'_, E> {
    fn drop(&mut self) {
        // Release: pairs with the Acquire in `writer`.
        self.ring.front.0.publisher.store(0, Release);
    }
}

/// The ring as the consumer's handle keeps it: without its lifetime.
pub(crate) struct Reader<E>(NonNull<Body<[Cell<E>]>>);

impl<E> Reader<E> {
    /// # Safety
    ///
    /// The ring is alive.
    #[inline(always)]
    unsafe fn ring(&self) -> &Body<[Cell<E>]> {
        // SAFETY: the caller guarantees it.
        unsafe { self.0.as_ref() }
    }

    /// # Safety
    ///
    /// The ring must be alive. `head` must be its head, and before the end of a span.
    #[inline(always)]
    unsafe fn take_at(&mut self, head: Word) -> E {
        // SAFETY: the caller guarantees it.
        let ring = unsafe { self.ring() };
        // SAFETY: the events before the end of a span are in, and moving the head makes this the last read.
        let event = unsafe { ring.cell(head).read() };
        // Release: pairs with the Acquire in `Writer::room`; the event is out.
        ring.back.0.taken.store(head.wrapping_add(1), Release);
        event
    }
}

// SAFETY: a reader moves events between threads, hence `E: Send`, and reaches the cells by the protocol of the
// module, which does not depend on the thread of either side.
unsafe impl<E> Read for Reader<E> {
    type Event = E;

    #[inline]
    unsafe fn freeze(&mut self) -> Span {
        // SAFETY: the caller guarantees it.
        let Body { front, back, .. } = unsafe { self.ring() };
        // Acquire: pairs with the Release in `Writer::advance`; the events before it are in.
        let end = front.0.tail.load(Acquire);
        let head = back.0.taken.load(Relaxed);
        back.0.tally.mark_waiting(end.wrapping_sub(head));
        Span { head, end }
    }

    #[inline]
    unsafe fn shorten(&self, span: &mut Span, most: usize) {
        let beyond = (span.end.wrapping_sub(span.head) as usize).saturating_sub(most);
        span.end = span.end.wrapping_sub(beyond as Word);
    }

    #[inline]
    unsafe fn take(&mut self, span: &mut Span) -> Option<E> {
        let Span { head, end } = *span;
        if head == end {
            return None;
        }
        span.head = head.wrapping_add(1);
        // SAFETY: the caller guarantees it, and the head is before the end of a span of this ring.
        Some(unsafe { self.take_at(head) })
    }

    #[inline]
    unsafe fn take_most(&mut self, span: &mut Span, most: usize, mut each: impl FnMut(E)) -> usize {
        let count = most.min(span.end.wrapping_sub(span.head) as usize);
        let end = span.head.wrapping_add(count as Word);
        while span.head != end {
            // SAFETY: as in `take`; `each` cannot reach this reader.
            let event = unsafe { self.take_at(span.head) };
            span.head = span.head.wrapping_add(1);
            each(event);
        }
        count
    }

    #[inline]
    unsafe fn show_most<L>(
        &mut self,
        span: &mut Span,
        most: usize,
        look: impl Fn(&E) -> L,
        mut each: impl FnMut(&Tally, L, &E),
    ) -> usize {
        let ring = self.0;
        // SAFETY: the caller guarantees it.
        let ring = unsafe { ring.as_ref() };
        let Back { taken, tally, .. } = &ring.back.0;
        let count = most.min(span.end.wrapping_sub(span.head) as usize);
        let end = span.head.wrapping_add(count as Word);
        while span.head != end {
            let cell = ring.cell(span.head);
            // Release: pairs with the Acquire in `Writer::room`; the event is out.
            let pass = || taken.store(span.head.wrapping_add(1), Release);
            // SAFETY: as in `take_at`.
            let found = unsafe { cell.look(&look, pass) };
            // Not by `take_at`: the event that it returns would be copied twice.
            // SAFETY: as in `take_at`; `each` cannot reach this reader.
            let event = unsafe { cell.read() };
            span.head = span.head.wrapping_add(1);
            // Release: pairs with the Acquire in `Writer::room`; the event is out.
            taken.store(span.head, Release);
            each(tally, found, &event);
        }
        count
    }

    #[cfg(any(feature = "alloc", tickbus_loom))]
    #[inline]
    unsafe fn append(&mut self, span: &mut Span, into: &mut Vec<E>) -> usize {
        // SAFETY: the caller guarantees it.
        let ring = unsafe { self.ring() };
        let before = into.len();
        let count = span.end.wrapping_sub(span.head) as usize;
        // Before the first event moves: this may panic.
        into.reserve(count);
        let mut places = into.spare_capacity_mut();
        while span.head != span.end {
            let first = ring.index(span.head);
            let left = span.end.wrapping_sub(span.head) as usize;
            let (chunk, others) =
                places.split_at_mut(left.min(ring.cells.len() - first).min(CHUNK));
            places = others;
            let cells = &ring.cells[first..first + chunk.len()];
            // SAFETY: the events before the end of a span are in, and moving the head makes this the last read.
            unsafe { move_all(cells, chunk) };
            span.head = span.head.wrapping_add(chunk.len() as Word);
            // Release: pairs with the Acquire in `Writer::room`; the events are out.
            ring.back.0.taken.store(span.head, Release);
        }
        // SAFETY: the vector had room for `count` more events, and the chunks have filled that room.
        unsafe { into.set_len(before + count) };
        count
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
        &unsafe { self.ring() }.back.0.tally
    }

    #[inline]
    unsafe fn account(&mut self, span: &Span) -> (usize, usize) {
        // SAFETY: the caller guarantees it.
        let ring = unsafe { self.ring() };
        let waiting = ring.front.0.tail.load(Relaxed).wrapping_sub(span.head);
        (waiting as usize, ring.back.0.tally.news(ring.refused()))
    }

    unsafe fn pending(&self) -> usize {
        // SAFETY: the caller guarantees it.
        unsafe { self.ring() }.pending() as usize
    }

    unsafe fn counts(&self) -> Counts {
        // SAFETY: the caller guarantees it.
        unsafe { self.ring() }.counts()
    }

    unsafe fn release(&mut self) {
        // Release: pairs with the Acquire in `Ring::reader`.
        // SAFETY: the caller guarantees it.
        unsafe { self.ring() }.back.0.consumer.store(0, Release);
    }
}

#[cfg(all(test, not(tickbus_loom)))]
mod tests;
