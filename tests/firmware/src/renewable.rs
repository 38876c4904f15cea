//! Statics that every point of a measurement finds in the same state.

use core::cell::UnsafeCell;

/// A static that is made new between two points.
pub struct Renewable<T>(UnsafeCell<T>);

// SAFETY: `get` shares a `T: Sync`, and `renew` is called when nobody else is at it.
unsafe impl<T: Sync> Sync for Renewable<T> {}

impl<T> Renewable<T> {
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    pub fn get(&self) -> &T {
        // SAFETY: `renew` is called when nobody holds what this returns.
        unsafe { &*self.0.get() }
    }

    /// # Safety
    ///
    /// Nobody holds a reference, and no interrupt is on its way that would take one.
    pub unsafe fn renew(&self, value: T) {
        // SAFETY: the caller sees to it that nobody else is at it.
        unsafe { *self.0.get() = value };
    }
}
