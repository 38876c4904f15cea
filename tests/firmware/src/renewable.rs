//! Statics that every point of a measurement finds in the same state.

use core::cell::UnsafeCell;

/// A static that is made new between two points.
pub struct Renewable<T>(UnsafeCell<T>);

// SAFETY: `get` shares a `T: Sync`, and `renew` is called while no other context uses it.
unsafe impl<T: Sync> Sync for Renewable<T> {}

impl<T> Renewable<T> {
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    pub fn get(&self) -> &T {
        // SAFETY: `renew` is called while no reference that this returned is alive.
        unsafe { &*self.0.get() }
    }

    /// # Safety
    ///
    /// No reference is alive, and no interrupt takes one meanwhile.
    pub unsafe fn renew(&self, value: T) {
        // SAFETY: the caller guarantees that no other context uses it.
        unsafe { *self.0.get() = value };
    }
}
