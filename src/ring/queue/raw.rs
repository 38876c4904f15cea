//! What a consumer's handle keeps of a queue.

#[cfg(any(feature = "alloc", tickbus_loom))]
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ptr::NonNull;

use super::take::{Reader, Seen};
use super::{Core, Eviction, Ring, State};
use crate::ring::cell::Cell;
use crate::ring::{Counts, Read, Side, Span, Tally};

/// A [`Core`] without its lifetime.
pub(crate) struct Raw<E, P> {
    state: NonNull<State>,
    cells: NonNull<Cell<E>>,
    /// What the consumer has seen, so far.
    seen: Seen,
    rules: PhantomData<fn() -> P>,
}

impl<E, P: Eviction> Raw<E, P> {
    /// What a consumer keeps that has just been claimed.
    #[inline(always)]
    pub(super) fn new(core: Core<'_, E>) -> Self {
        let Core { state, cells, .. } = core;
        Self { state: NonNull::from(state), cells, seen: core.seen::<P>(), rules: PhantomData }
    }

    /// # Safety
    ///
    /// The ring is alive, for `'r`.
    #[inline(always)]
    unsafe fn core<'r>(&self) -> Core<'r, E> {
        // SAFETY: the state is part of the ring.
        let state = unsafe { self.state.as_ref() };
        Core { state, cells: self.cells, borrowed: PhantomData }
    }

    /// # Safety
    ///
    /// As for [`core`](Self::core).
    #[inline(always)]
    unsafe fn reader(&mut self) -> Reader<'_, E> {
        // SAFETY: says the caller.
        Reader::new(unsafe { self.core() })
    }
}

impl<E, const N: usize, P: Eviction> Ring<E, N, P> {
    /// Claims the reading side. `None` while another is alive.
    pub(crate) fn reader(&self) -> Option<Side<'_, Raw<E, P>>> {
        let core = self.core();
        // SAFETY: the consumer has just been claimed, and the ring is borrowed for as long as the side.
        core.claim_consumer().then(|| unsafe { Side::new(Raw::new(core)) })
    }
}

// SAFETY: a reader moves events between threads, hence `E: Send`, and reaches the cells by the protocol of the
// module, which does not depend on the thread of either side.
unsafe impl<E, P: Eviction> Read for Raw<E, P> {
    type Event = E;

    #[inline]
    unsafe fn freeze(&mut self) -> Span {
        // SAFETY: says the caller, and the core is not used after this.
        let core = unsafe { self.core() };
        Reader::new(core).freeze::<P>(&mut self.seen)
    }

    #[inline]
    unsafe fn shorten(&self, span: &mut Span, most: usize) {
        // SAFETY: says the caller.
        Reader::new(unsafe { self.core() }).shorten::<P>(span, most);
    }

    #[inline]
    unsafe fn take(&mut self, span: &mut Span) -> Option<E> {
        // SAFETY: says the caller.
        unsafe { self.reader() }.take::<P>(span)
    }

    #[inline]
    unsafe fn take_most(&mut self, span: &mut Span, most: usize, each: impl FnMut(E)) -> usize {
        // SAFETY: says the caller.
        unsafe { self.reader() }.take_most::<P>(span, most, each)
    }

    #[inline]
    unsafe fn show_most(
        &mut self,
        span: &mut Span,
        most: usize,
        each: impl FnMut(&Tally, &E),
    ) -> usize {
        // SAFETY: says the caller.
        unsafe { self.reader() }.show_most::<P>(span, most, each)
    }

    #[cfg(any(feature = "alloc", tickbus_loom))]
    #[inline]
    unsafe fn append(&mut self, span: &mut Span, into: &mut Vec<E>) -> usize {
        // SAFETY: says the caller.
        unsafe { self.reader() }.append::<P>(span, into)
    }

    /// On a ring that displaces a drain may find none all the same, if every one is being displaced; it then
    /// moves past them, and this is `false`.
    #[inline]
    unsafe fn has_event(&mut self) -> bool {
        // SAFETY: says the caller.
        let span = unsafe { self.freeze() };
        span.head != span.end
    }

    #[inline]
    unsafe fn tally(&self) -> &Tally {
        // SAFETY: says the caller.
        &unsafe { self.core() }.state.tally
    }

    #[inline]
    unsafe fn account(&mut self) -> (usize, usize) {
        // SAFETY: says the caller.
        unsafe { self.core() }.account::<P>()
    }

    unsafe fn pending(&self) -> usize {
        // SAFETY: says the caller.
        unsafe { self.core() }.pending::<P>()
    }

    unsafe fn counts(&self) -> Counts {
        // SAFETY: says the caller.
        unsafe { self.core() }.counts::<P>()
    }

    unsafe fn release(&mut self) {
        // SAFETY: says the caller.
        unsafe { self.core() }.release_consumer();
    }
}
