//! Room for an event that may be read while it is written.
//!
//! An event is copied part by part. Each part is one atomic load or store, so the copies are not a data race. A reader
//! that was overtaken gets a mixture of events. It finds that out and throws the mixture away before it becomes an
//! event.
//!
//! An event may have padding, whose bytes have no value, and pointers, which have provenance. Integers have neither. So
//! each part goes through an empty assembly block: on the way in it becomes an integer, and on the way out it may
//! become a pointer again. The block costs no instruction.
//!
//! Targets without stable inline assembly (WebAssembly, AVR, Xtensa, MSP430, MIPS and a few more), and Miri, have no
//! integer for a byte without a value, and no atomic that may be without one. There each part is copied as it is, while
//! no other part is copied. So the copies do not race, and a mixture is found out as above. One such copy is as long as
//! a word, for every event.

#[cfg(tickbus_loom)]
pub(super) use self::model::Parts;
#[cfg(not(tickbus_loom))]
pub(super) use self::native::Parts;

#[cfg(not(tickbus_loom))]
mod native {
    use core::mem::MaybeUninit;

    use crate::sync::UnsafeCell;

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

        /// Returns where a part is. Only `load` and `store` reach the memory, by `put` and `get`.
        ///
        /// # Safety
        ///
        /// `index` must be less than `PARTS`.
        #[inline(always)]
        unsafe fn part(&self, index: usize) -> *mut MaybeUninit<usize> {
            let first = self.0.with_mut(<*mut Rounded<E>>::cast::<MaybeUninit<usize>>);
            // SAFETY: the caller says that `index` is less than `PARTS`, and so many parts fit into a `Rounded`.
            unsafe { first.add(index) }
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
                // SAFETY: `target` is aligned, as `Rounded` is, lives as long as `self`, and is reached by
                // `put` and `get` only.
                unsafe { put(target, part) };
            }
        }

        /// Copies what is there, perhaps a mixture of several events. It is initialized only if a `store` has run before,
        /// and none has run meanwhile.
        #[inline(always)]
        pub(in crate::ring) fn load(&self) -> MaybeUninit<E> {
            let mut target = Rounded::<E>::uninit();
            let first = (&raw mut target).cast::<MaybeUninit<usize>>();
            for index in 0..Rounded::<E>::PARTS {
                // SAFETY: the loop ends at `PARTS`.
                let source = unsafe { self.part(index) };
                // SAFETY: as in `store`.
                let part = unsafe { get(source) };
                // SAFETY: as many parts as `PARTS` fit into a `Rounded`.
                let place = unsafe { first.add(index) };
                // SAFETY: `place` is aligned and within `target`.
                unsafe { place.write(part) };
            }
            target.event
        }
    }

    // The same list as in `sync` and in the manifest.
    #[cfg(all(
        not(any(miri, tickbus_no_asm)),
        any(
            target_arch = "x86",
            target_arch = "x86_64",
            target_arch = "arm",
            target_arch = "aarch64",
            target_arch = "arm64ec",
            target_arch = "riscv32",
            target_arch = "riscv64",
            target_arch = "loongarch32",
            target_arch = "loongarch64",
            target_arch = "powerpc",
            target_arch = "powerpc64",
            target_arch = "s390x"
        )
    ))]
    mod one {
        use core::arch::asm;
        use core::mem::MaybeUninit;

        use crate::sync::{AtomicPart, Relaxed};

        /// Copies a part to `place`.
        ///
        /// # Safety
        ///
        /// `place` must be aligned and live, and other code may reach it by `put` and `get` only.
        #[inline(always)]
        pub(super) unsafe fn put(place: *mut MaybeUninit<usize>, part: MaybeUninit<usize>) {
            let integer: usize;
            // SAFETY: the block has no instruction. It stands for exposing the provenance of `part`, if any, and for
            // choosing a value for bytes without one.
            unsafe {
                asm!("/* {0} */", inlateout(reg) part => integer, options(nomem, nostack, preserves_flags));
            }
            // SAFETY: the caller says that `place` is aligned and live, and that all access to it is atomic.
            let place = unsafe { AtomicPart::from_ptr(place.cast()) };
            place.store(integer, Relaxed);
        }

        /// Copies the part at `place`.
        ///
        /// # Safety
        ///
        /// As for `put`.
        #[inline(always)]
        pub(super) unsafe fn get(place: *mut MaybeUninit<usize>) -> MaybeUninit<usize> {
            // SAFETY: as in `put`; `put` and the zeroes at the start leave no byte without a value.
            let place = unsafe { AtomicPart::from_ptr(place.cast()) };
            let integer = place.load(Relaxed);
            let part: MaybeUninit<usize>;
            // SAFETY: the block has no instruction. It stands for making a pointer of an address whose provenance has
            // been exposed.
            unsafe {
                asm!("/* {0} */", inlateout(reg) integer => part, options(nomem, nostack, preserves_flags));
            }
            part
        }
    }

    #[cfg(any(
        miri,
        tickbus_no_asm,
        not(any(
            target_arch = "x86",
            target_arch = "x86_64",
            target_arch = "arm",
            target_arch = "aarch64",
            target_arch = "arm64ec",
            target_arch = "riscv32",
            target_arch = "riscv64",
            target_arch = "loongarch32",
            target_arch = "loongarch64",
            target_arch = "powerpc",
            target_arch = "powerpc64",
            target_arch = "s390x"
        ))
    ))]
    mod one {
        use core::mem::MaybeUninit;

        use crate::sync::alone;

        /// Copies a part to `place`.
        ///
        /// # Safety
        ///
        /// `place` must be aligned and live, and other code may reach it by `put` and `get` only.
        #[inline(always)]
        pub(super) unsafe fn put(place: *mut MaybeUninit<usize>, part: MaybeUninit<usize>) {
            // SAFETY: `place` is aligned and live, and nothing else reaches it meanwhile: `put` and `get` do so
            // alone.
            alone(|| unsafe { place.write(part) });
        }

        /// Copies the part at `place`.
        ///
        /// # Safety
        ///
        /// As for `put`.
        #[inline(always)]
        pub(super) unsafe fn get(place: *mut MaybeUninit<usize>) -> MaybeUninit<usize> {
            // SAFETY: as in `put`.
            alone(|| unsafe { place.read() })
        }
    }

    use one::{get, put};
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
