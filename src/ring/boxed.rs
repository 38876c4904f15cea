//! How a type that is too large for a stack is constructed on the heap.

use super::broadcast::Broadcast;
use super::broadcast::alone::Alone;
use super::gate::Gate;
use super::latest::Cells;
use super::{Eviction, queue, spsc};

/// A type of which all zeros are the new value, the one that `new` returns.
///
/// # Safety
///
/// All bytes zero must be a valid value, and a new one.
pub(crate) unsafe trait Zeroed {
    /// What `new` asserts of the parameters.
    const VALID: () = ();
}

// SAFETY: `new` sets every word to zero, and a cell needs no value.
unsafe impl<E, const N: usize, P: Eviction> Zeroed for queue::Ring<E, N, P> {
    const VALID: () = Self::FITS;
}

// SAFETY: `new` sets every word to zero, and a cell needs no value.
unsafe impl<E, const N: usize> Zeroed for spsc::Ring<E, N> {}

// SAFETY: `new` sets every word to zero, and parts need no value.
unsafe impl<E, const N: usize> Zeroed for Broadcast<E, N> {}

// SAFETY: `new` sets every word to zero, and parts need no value.
unsafe impl<E, const N: usize> Zeroed for Alone<E, N> {}

// SAFETY: `new` sets every word to zero.
unsafe impl<const S: usize> Zeroed for Gate<S> {
    const VALID: () = Self::VALID;
}

// SAFETY: `new` sets every word to zero, and parts need no value.
unsafe impl<E> Zeroed for Cells<E> {}

/// Checks what `new` would have checked.
pub(crate) const fn check<T: Zeroed>(_: *const T) {
    const { T::VALID }
}

/// Returns where the elements of an array begin, and how many there are.
pub(crate) const fn elements<T, const N: usize>(array: *mut [T; N]) -> (*mut T, usize) {
    (array.cast(), N)
}

/// Makes a type [`Zeroed`] whose fields are. A field that is left out does not compile.
macro_rules! zeroed {
    ([$($parameters:tt)*] $type:ty { $($field:ident: $of:ty),* }) => {
        // SAFETY: the fields are all that there is, and each of them is `Zeroed`.
        unsafe impl<$($parameters)*> $crate::ring::boxed::Zeroed for $type {
            const VALID: () = {
                let _all_fields = |Self { $($field),* }: &Self| {
                    $(let _: &$of = $field;)*
                };
                $(let () = <$of as $crate::ring::boxed::Zeroed>::VALID;)*
            };
        }
    };
}
pub(crate) use zeroed;

/// Constructs a `Self` on the heap, field by field, so that no stack has room for a whole one.
///
/// `zeroed` fields are of a [`Zeroed`] type, `each` names an array and what each of its elements is, and the
/// others are moved in. `within` names the fields of a field in the same way. A field that is left out does not
/// compile.
macro_rules! boxed {
    (
        zeroed: [$($zeroed:ident),*],
        each: [$($array:ident: $element:expr),*],
        $($field:ident: $value:expr,)*
    ) => {{
        let _all_fields = |Self { $($zeroed: _,)* $($array: _,)* $($field: _,)* }: &Self| ();
        let mut place = alloc::boxed::Box::<Self>::new_zeroed();
        let this = place.as_mut_ptr();
        $(
            // SAFETY: `this` is allocated, so each of its fields is.
            $crate::ring::boxed::check(unsafe { &raw const (*this).$zeroed });
        )*
        $($crate::ring::boxed::boxed!(@each (*this).$array, $element);)*
        $($crate::ring::boxed::boxed!(@move (*this).$field, $value);)*
        // SAFETY: all fields are named above. Those that were not written are `Zeroed`, and are zero.
        unsafe { place.assume_init() }
    }};
    (
        within $inner:ident: $of:ident {
            each: [$($array:ident: $element:expr),*],
            $($part:ident: $first:expr,)*
        },
        $($field:ident: $value:expr,)*
    ) => {{
        let _all_fields =
            |Self { $inner: $of { $($array: _,)* $($part: _,)* }, $($field: _,)* }: &Self| ();
        let mut place = alloc::boxed::Box::<Self>::new_zeroed();
        let this = place.as_mut_ptr();
        $($crate::ring::boxed::boxed!(@each (*this).$inner.$array, $element);)*
        $($crate::ring::boxed::boxed!(@move (*this).$inner.$part, $first);)*
        $($crate::ring::boxed::boxed!(@move (*this).$field, $value);)*
        // SAFETY: all fields are named above, and written.
        unsafe { place.assume_init() }
    }};
    (@each $array:expr, $element:expr) => {{
        // SAFETY: what this is a field of is allocated.
        let (first, count) = $crate::ring::boxed::elements(unsafe { &raw mut $array });
        for index in 0..count {
            // SAFETY: the array has `count` elements.
            let element = unsafe { first.add(index) };
            // SAFETY: `element` is allocated and aligned, and has no value to drop.
            unsafe { element.write($element) };
        }
    }};
    (@move $field:expr, $value:expr) => {{
        // SAFETY: what this is a field of is allocated.
        let field = unsafe { &raw mut $field };
        // SAFETY: `field` is allocated and aligned, and has no value to drop.
        unsafe { field.write($value) };
    }};
}
pub(crate) use boxed;
