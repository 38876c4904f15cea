//! The way from a handle to what lies beside its ring. The type of the pointer has no lifetime, so the handle is
//! covariant in its own.

use core::marker::PhantomData;
use core::ptr::NonNull;

/// The target of a [`Link`].
pub(crate) trait Linked: Sized + 'static {
    /// The pointer that finds it.
    type Pointer: Pointer<Self>;
}

/// A pointer, or nothing where every target is as good as any other.
pub(crate) trait Pointer<T>: Copy + Unpin {
    /// Points to `target`.
    fn to(target: &T) -> Self;

    /// Returns the target.
    ///
    /// # Safety
    ///
    /// The target must be alive for `'a`.
    unsafe fn follow<'a>(self) -> &'a T;
}

impl<T> Pointer<T> for NonNull<T> {
    #[inline(always)]
    fn to(target: &T) -> Self {
        Self::from(target)
    }

    #[inline(always)]
    unsafe fn follow<'a>(self) -> &'a T {
        // SAFETY: it was made from a reference, and the caller says that its target is alive.
        unsafe { self.as_ref() }
    }
}

/// No pointer: the target is [`Uniform`].
#[derive(Clone, Copy)]
pub(crate) struct Anywhere;

/// A type of which any value is as good as another.
pub(crate) trait Uniform: 'static {
    /// One of them.
    const ANY: &'static Self;
}

impl<T: Uniform> Pointer<T> for Anywhere {
    #[inline(always)]
    fn to(_: &T) -> Self {
        Self
    }

    #[inline(always)]
    unsafe fn follow<'a>(self) -> &'a T {
        T::ANY
    }
}

/// A reference for `'a`. It takes no room where the target is [`Uniform`].
pub(crate) struct Link<'a, T: Linked> {
    pointer: T::Pointer,
    borrowed: PhantomData<&'a ()>,
}

// SAFETY: a link gives the same access as a `&T`.
unsafe impl<T: Linked + Sync> Send for Link<'_, T> {}

// SAFETY: a link gives the same access as a `&T`.
unsafe impl<T: Linked + Sync> Sync for Link<'_, T> {}

impl<T: Linked> Clone for Link<'_, T> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: Linked> Copy for Link<'_, T> {}

impl<'a, T: Linked> Link<'a, T> {
    #[inline(always)]
    pub(crate) fn to(target: &'a T) -> Self {
        Self { pointer: T::Pointer::to(target), borrowed: PhantomData }
    }

    #[inline(always)]
    pub(crate) fn get(self) -> &'a T {
        // SAFETY: `to` borrows the target for `'a`, and a shorter `'a` is as good.
        unsafe { self.pointer.follow() }
    }
}
