//! The place of one event, and the steps that move it in and out.

use core::mem::MaybeUninit;

use crate::sync::UnsafeCell;

/// The place of one event.
#[derive(Debug)]
#[repr(transparent)]
pub(crate) struct Cell<E>(pub(super) UnsafeCell<MaybeUninit<E>>);

impl<E> Cell<E> {
    #[cfg(not(tickbus_loom))]
    pub(super) const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    #[cfg(tickbus_loom)]
    pub(super) fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Moves an event in.
    ///
    /// # Safety
    ///
    /// The caller must own the cell by the protocol of the ring, and it must not hold an event.
    #[inline(always)]
    pub(super) unsafe fn write(&self, event: E) {
        self.0.with_mut(|cell| {
            // SAFETY: the caller owns the cell, so no other code reads or writes it.
            unsafe { cell.write(MaybeUninit::new(event)) }
        });
    }

    /// Looks at the event before it moves out: on its way through memory it is late. If `look` panics, the event
    /// is dropped after `pass`, which moves the head.
    ///
    /// # Safety
    ///
    /// As for [`read`](Self::read).
    #[inline(always)]
    pub(super) unsafe fn look<L>(&self, look: impl FnOnce(&E) -> L, pass: impl Fn()) -> L {
        struct Taken<'a, E, F: Fn()>(&'a Cell<E>, F);
        impl<E, F: Fn()> Drop for Taken<'_, E, F> {
            fn drop(&mut self) {
                // SAFETY: as in `look`, whose caller does not go on to read it.
                let event = unsafe { self.0.read() };
                (self.1)();
                drop(event);
            }
        }
        let taken = Taken(self, pass);
        let found = self.0.with(|cell| {
            // SAFETY: a cell is never null, and the caller owns it, so no other code writes it.
            let cell = unsafe { &*cell };
            // SAFETY: the caller says that the cell holds an event.
            look(unsafe { cell.assume_init_ref() })
        });
        core::mem::forget(taken);
        found
    }

    /// Moves the event out.
    ///
    /// # Safety
    ///
    /// The caller must own the cell by the protocol of the ring. It must hold an event, which must not be read again.
    #[inline(always)]
    pub(super) unsafe fn read(&self) -> E {
        self.0.with(|cell| {
            // SAFETY: the caller owns the cell, so no other code writes it.
            let event = unsafe { cell.read() };
            // SAFETY: the caller says that the cell holds an event.
            unsafe { event.assume_init() }
        })
    }
}

/// The most events that move out before their cells are freed for publishers. Rings in models are small.
#[cfg(any(feature = "alloc", tickbus_loom))]
pub(super) const CHUNK: usize = if cfg!(tickbus_loom) { 2 } else { 64 };

/// Moves the event of each cell to its place.
///
/// # Safety
///
/// As for [`Cell::read`], for each of the cells. There must be a place for each.
#[cfg(all(feature = "alloc", not(tickbus_loom)))]
#[inline(always)]
pub(super) unsafe fn move_all<E>(cells: &[Cell<E>], places: &mut [MaybeUninit<E>]) {
    let source = cells.as_ptr().cast::<MaybeUninit<E>>();
    // SAFETY: a cell is an event and nothing else, the caller owns all of them, and the places are borrowed.
    unsafe { source.copy_to_nonoverlapping(places.as_mut_ptr(), places.len()) };
}

#[cfg(tickbus_loom)]
pub(super) unsafe fn move_all<E>(cells: &[Cell<E>], places: &mut [MaybeUninit<E>]) {
    for (cell, place) in cells.iter().zip(places) {
        // SAFETY: the caller guarantees it.
        place.write(unsafe { cell.read() });
    }
}
