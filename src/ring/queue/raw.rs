//! A queue as the consumer's handle keeps it.

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
    /// The end of the consumer's last look.
    seen: Seen,
    rules: PhantomData<fn() -> P>,
}

impl<E, P: Eviction> Raw<E, P> {
    /// The state of a consumer that has just been claimed.
    #[inline(always)]
    pub(super) fn new(core: Core<'_, E>) -> Self {
        let Core { state, cells, .. } = core;
        Self { state: NonNull::from(state), cells, seen: core.seen::<P>(), rules: PhantomData }
    }

    /// # Safety
    ///
    /// The ring must be alive for `'r`.
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
        // SAFETY: the caller guarantees it.
        Reader::new(unsafe { self.core() })
    }
}

impl<E, const N: usize, P: Eviction> Ring<E, N, P> {
    /// Claims the reading side. Returns `None` while another is alive.
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
        // SAFETY: the caller guarantees it, and the core is not used after this.
        let core = unsafe { self.core() };
        Reader::new(core).freeze::<P>(&mut self.seen)
    }

    #[inline]
    unsafe fn shorten(&self, span: &mut Span, most: usize) {
        // SAFETY: the caller guarantees it.
        Reader::new(unsafe { self.core() }).shorten::<P>(span, most);
    }

    #[inline]
    unsafe fn take(&mut self, span: &mut Span) -> Option<E> {
        // SAFETY: the caller guarantees it.
        unsafe { self.reader() }.take::<P>(span)
    }

    #[inline]
    unsafe fn take_most(&mut self, span: &mut Span, most: usize, each: impl FnMut(E)) -> usize {
        // SAFETY: the caller guarantees it.
        unsafe { self.reader() }.take_most::<P>(span, most, each)
    }

    #[inline]
    unsafe fn show_most<L>(
        &mut self,
        span: &mut Span,
        most: usize,
        look: impl Fn(&E) -> L,
        each: impl FnMut(&Tally, L, &E),
    ) -> usize {
        // SAFETY: the caller guarantees it.
        unsafe { self.reader() }.show_most::<P, _>(span, most, look, each)
    }

    #[cfg(any(feature = "alloc", tickbus_loom))]
    #[inline]
    unsafe fn append(&mut self, span: &mut Span, into: &mut Vec<E>) -> usize {
        // SAFETY: the caller guarantees it.
        unsafe { self.reader() }.append::<P>(span, into)
    }

    /// On a ring that displaces, this may be `true` and a drain find no event, if publishers are displacing all of
    /// them. The drain moves the head past them, and this is `false` then.
    #[inline]
    unsafe fn has_event(&mut self) -> bool {
        // SAFETY: the caller guarantees it.
        let span = unsafe { self.freeze() };
        span.head != span.end
    }

    #[inline]
    unsafe fn tally(&self) -> &Tally {
        // SAFETY: the caller guarantees it.
        &unsafe { self.core() }.state.tally
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
