//! Events that may be read while they are written: copied part by part, each part one atomic load or
//! store. A reader that was overtaken gets a mixture, finds out and throws it away; that is no data
//! race, and no event until somebody has found it whole.
//!
//! Padding and pointers: an event may have bytes without a value and pointers with provenance, and an
//! integer has neither. So each part goes through an empty assembly block on its way in, which makes
//! integers of whatever is there, and on its way out, which may make pointers of integers. Neither
//! costs an instruction. Miri and architectures without stable inline assembly copy as is; there
//! padding is read as an integer, which the compilers for them do not take advantage of today.

#[cfg(tickbus_loom)]
pub(super) use self::model::Parts;
#[cfg(not(tickbus_loom))]
pub(super) use self::native::Parts;

#[cfg(not(tickbus_loom))]
mod native {
    use core::mem::MaybeUninit;

    use crate::sync::{AtomicPart, Relaxed, UnsafeCell};

    /// Room for an `E`, aligned and rounded up to whole parts.
    #[derive(Debug)]
    #[repr(C)]
    struct Rounded<E> {
        align: [usize; 0],
        event: MaybeUninit<E>,
    }

    impl<E> Rounded<E> {
        const PARTS: usize = size_of::<Self>() / size_of::<usize>();

        const fn uninit() -> Self {
            Self { align: [], event: MaybeUninit::uninit() }
        }
    }

    /// Room for one event.
    #[derive(Debug)]
    pub(in crate::ring) struct Parts<E>(UnsafeCell<Rounded<E>>);

    impl<E: Copy> Parts<E> {
        pub(in crate::ring) const fn new() -> Self {
            Self(UnsafeCell::new(Rounded::uninit()))
        }

        /// One part. Only `load` and `store` reach the memory, so all access to it is atomic.
        ///
        /// # Safety
        ///
        /// `index` must be less than `PARTS`.
        #[inline(always)]
        unsafe fn part(&self, index: usize) -> &AtomicPart {
            let first = self.0.with_mut(<*mut Rounded<E>>::cast::<usize>);
            // SAFETY: `PARTS` of them fit into a `Rounded`, says the caller.
            let part = unsafe { first.add(index) };
            // SAFETY: `part` is aligned, as `Rounded` is, lives as long as `self`, and is never reached
            // but through here.
            unsafe { AtomicPart::from_ptr(part) }
        }

        #[inline(always)]
        pub(in crate::ring) fn store(&self, event: E) {
            let source = Rounded { align: [], event: MaybeUninit::new(event) };
            let first = (&raw const source).cast::<MaybeUninit<usize>>();
            for index in 0..Rounded::<E>::PARTS {
                // SAFETY: as many parts as `PARTS` fit into a `Rounded`.
                let part = unsafe { first.add(index) };
                // SAFETY: `part` is aligned and within `source`; it may be without a value.
                let part = unsafe { part.read() };
                // SAFETY: the loop ends at `PARTS`.
                let target = unsafe { self.part(index) };
                target.store(integer(part), Relaxed);
            }
        }

        /// What is there, perhaps a mixture of several events: initialized only if no `store` has run
        /// meanwhile, and one has run before.
        #[inline(always)]
        pub(in crate::ring) fn load(&self) -> MaybeUninit<E> {
            let mut target = Rounded::<E>::uninit();
            let first = (&raw mut target).cast::<MaybeUninit<usize>>();
            for index in 0..Rounded::<E>::PARTS {
                // SAFETY: the loop ends at `PARTS`.
                let source = unsafe { self.part(index) };
                let part = maybe_pointer(source.load(Relaxed));
                // SAFETY: as many parts as `PARTS` fit into a `Rounded`.
                let place = unsafe { first.add(index) };
                // SAFETY: `place` is aligned and within `target`.
                unsafe { place.write(part) };
            }
            target.event
        }
    }

    /// Whatever the register holds, as an integer; provenance of pointers is exposed.
    #[cfg(all(
        not(miri),
        any(
            target_arch = "x86",
            target_arch = "x86_64",
            target_arch = "arm",
            target_arch = "aarch64",
            target_arch = "riscv32",
            target_arch = "riscv64",
            target_arch = "loongarch64"
        )
    ))]
    mod registers {
        use core::arch::asm;
        use core::mem::MaybeUninit;

        #[inline(always)]
        pub(super) fn integer(part: MaybeUninit<usize>) -> usize {
            let integer: usize;
            // SAFETY: there is no instruction in it. What it stands for is to expose the provenance of
            // `part`, if any, and to choose a value for bytes without one.
            unsafe {
                asm!("/* {0} */", inlateout(reg) part => integer, options(nomem, nostack, preserves_flags));
            }
            integer
        }

        #[inline(always)]
        pub(super) fn maybe_pointer(part: usize) -> MaybeUninit<usize> {
            let pointer: MaybeUninit<usize>;
            // SAFETY: there is no instruction in it. What it stands for is to make a pointer of an
            // address whose provenance has been exposed.
            unsafe {
                asm!("/* {0} */", inlateout(reg) part => pointer, options(nomem, nostack, preserves_flags));
            }
            pointer
        }
    }

    #[cfg(any(
        miri,
        not(any(
            target_arch = "x86",
            target_arch = "x86_64",
            target_arch = "arm",
            target_arch = "aarch64",
            target_arch = "riscv32",
            target_arch = "riscv64",
            target_arch = "loongarch64"
        ))
    ))]
    mod registers {
        use core::mem::MaybeUninit;

        #[inline(always)]
        pub(super) fn integer(part: MaybeUninit<usize>) -> usize {
            // SAFETY: true of events without padding and pointers; of others see the module
            // documentation.
            unsafe { part.assume_init() }
        }

        #[inline(always)]
        pub(super) fn maybe_pointer(part: usize) -> MaybeUninit<usize> {
            MaybeUninit::new(part)
        }
    }

    use registers::{integer, maybe_pointer};
}

#[cfg(tickbus_loom)]
mod model {
    extern crate alloc;

    use alloc::boxed::Box;
    use core::marker::PhantomData;
    use core::mem::MaybeUninit;

    use crate::sync::{AtomicWord, Relaxed, Word};

    /// Room for one event whose size is a whole number of words.
    #[derive(Debug)]
    pub(in crate::ring) struct Parts<E>(Box<[AtomicWord]>, PhantomData<E>);

    impl<E: Copy> Parts<E> {
        pub(in crate::ring) fn new() -> Self {
            assert_eq!(size_of::<E>() % size_of::<Word>(), 0, "models use whole words");
            let parts = (0..size_of::<E>() / size_of::<Word>()).map(|_| AtomicWord::new(0));
            Self(parts.collect(), PhantomData)
        }

        pub(in crate::ring) fn store(&self, event: E) {
            for (index, part) in self.0.iter().enumerate() {
                // SAFETY: the models' events are arrays of words.
                let word = unsafe { (&raw const event).cast::<Word>().add(index) };
                // SAFETY: the same.
                let word = unsafe { word.read_unaligned() };
                part.store(word, Relaxed);
            }
        }

        pub(in crate::ring) fn load(&self) -> MaybeUninit<E> {
            let mut event = MaybeUninit::<E>::uninit();
            for (index, part) in self.0.iter().enumerate() {
                let place = event.as_mut_ptr().cast::<Word>();
                // SAFETY: there are as many parts as words in an `E`.
                let place = unsafe { place.add(index) };
                // SAFETY: the same.
                unsafe { place.write_unaligned(part.load(Relaxed)) };
            }
            event
        }
    }
}
