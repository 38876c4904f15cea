//! The one file that names atomics and cells; everything else says `crate::sync`.
//!
//! | build | atomics | read-modify-write |
//! |---|---|---|
//! | targets with compare-and-swap | `core` | native |
//! | targets without (thumbv6m, riscv32imc) | `core`, plain loads and stores | in a critical section of constant length |
//! | `--cfg tickbus_loom` | loom | loom |
//!
//! A *word* holds a position or an entry. It has 64 bits where the target has 64-bit atomics and 32
//! elsewhere, and where `--cfg tickbus_narrow` tries on a host what microcontrollers do.

#[cfg(tickbus_loom)]
mod imp {
    pub(crate) use loom::cell::UnsafeCell;
    pub(crate) use loom::sync::atomic::{AtomicU64 as AtomicWord, fence};
    pub(crate) type Word = u64;
    pub(crate) type SignedWord = i64;
}

#[cfg(all(not(tickbus_loom), target_has_atomic = "64", not(tickbus_narrow)))]
mod imp {
    pub(crate) use core::sync::atomic::AtomicU64 as AtomicWord;
    pub(crate) type Word = u64;
    pub(crate) type SignedWord = i64;
}

#[cfg(all(
    not(tickbus_loom),
    any(not(target_has_atomic = "64"), tickbus_narrow),
    target_has_atomic = "ptr"
))]
mod imp {
    pub(crate) use core::sync::atomic::AtomicU32 as AtomicWord;
    pub(crate) type Word = u32;
    pub(crate) type SignedWord = i32;
}

#[cfg(all(not(tickbus_loom), not(target_has_atomic = "ptr")))]
mod imp {
    use core::sync::atomic::{AtomicU32, Ordering};

    pub(crate) type Word = u32;
    pub(crate) type SignedWord = i32;

    /// An `AtomicU32` whose read-modify-write steps run in a critical section. Each is a load, at
    /// most one comparison and a store: constant length, whatever the event and the capacity.
    #[derive(Debug, Default)]
    #[repr(transparent)]
    pub struct AtomicWord(AtomicU32);

    impl AtomicWord {
        pub(crate) const fn new(value: Word) -> Self {
            Self(AtomicU32::new(value))
        }

        #[inline]
        pub(crate) fn get_mut(&mut self) -> &mut Word {
            self.0.get_mut()
        }

        #[inline]
        pub(crate) fn load(&self, order: Ordering) -> Word {
            self.0.load(order)
        }

        #[inline]
        pub(crate) fn store(&self, value: Word, order: Ordering) {
            self.0.store(value, order);
        }

        // Never inlined, so that the critical section is the same code for every event and capacity.
        #[inline(never)]
        pub(crate) fn compare_exchange(
            &self,
            current: Word,
            new: Word,
            _success: Ordering,
            _failure: Ordering,
        ) -> Result<Word, Word> {
            // The section keeps other sections out; the orderings are for loads outside of one.
            critical_section::with(|_| {
                let found = self.0.load(Ordering::Acquire);
                if found == current {
                    self.0.store(new, Ordering::Release);
                    Ok(found)
                } else {
                    Err(found)
                }
            })
        }

        #[inline]
        pub(crate) fn compare_exchange_weak(
            &self,
            current: Word,
            new: Word,
            success: Ordering,
            failure: Ordering,
        ) -> Result<Word, Word> {
            self.compare_exchange(current, new, success, failure)
        }

        #[inline(never)]
        pub(crate) fn fetch_max(&self, value: Word, _order: Ordering) -> Word {
            critical_section::with(|_| {
                let found = self.0.load(Ordering::Relaxed);
                if found < value {
                    self.0.store(value, Ordering::Relaxed);
                }
                found
            })
        }

        #[inline(never)]
        pub(crate) fn fetch_add(&self, value: Word, _order: Ordering) -> Word {
            critical_section::with(|_| {
                let found = self.0.load(Ordering::Relaxed);
                self.0.store(found.wrapping_add(value), Ordering::Relaxed);
                found
            })
        }
    }
}

#[cfg(not(tickbus_loom))]
mod cell {
    /// `core`'s cell behind the interface of loom's.
    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct UnsafeCell<T>(core::cell::UnsafeCell<T>);

    impl<T> UnsafeCell<T> {
        pub(crate) const fn new(value: T) -> Self {
            Self(core::cell::UnsafeCell::new(value))
        }

        #[inline(always)]
        pub(crate) fn with<R>(&self, read: impl FnOnce(*const T) -> R) -> R {
            read(self.0.get())
        }

        #[inline(always)]
        pub(crate) fn with_mut<R>(&self, write: impl FnOnce(*mut T) -> R) -> R {
            write(self.0.get())
        }
    }
}

#[cfg(not(tickbus_loom))]
pub(crate) use cell::UnsafeCell;
pub(crate) use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
/// A part of an event that may be read while it is written. Loads and stores only: every target has
/// them.
#[cfg(not(tickbus_loom))]
pub(crate) use core::sync::atomic::{AtomicUsize as AtomicPart, fence};
pub(crate) use imp::*;

/// Whether the steps of a ring run in critical sections: the target has no compare-and-swap, or
/// `--cfg tickbus_sections` tries on a host how that goes.
pub(crate) const SECTIONS: bool =
    cfg!(any(tickbus_sections, not(any(target_has_atomic = "ptr", tickbus_loom))));

/// Runs `step` while nobody else runs one. Only where there are [`SECTIONS`].
#[inline(always)]
pub(crate) fn section<R>(step: impl FnOnce() -> R) -> R {
    #[cfg(all(not(tickbus_loom), any(tickbus_sections, not(target_has_atomic = "ptr"))))]
    return critical_section::with(|_| step());
    #[cfg(all(tickbus_loom, tickbus_sections))]
    {
        loom::lazy_static! {
            static ref SECTION: loom::sync::Mutex<()> = loom::sync::Mutex::new(());
        }
        let _section = SECTION.lock();
        step()
    }
    #[cfg(not(any(tickbus_sections, not(any(target_has_atomic = "ptr", tickbus_loom)))))]
    step()
}

/// Keeps what the publishers write off the cache line of what the consumer writes. Pads nothing
/// where the word has 32 bits: a microcontroller has no such lines and no RAM to spare.
#[derive(Debug, Default)]
#[cfg_attr(target_has_atomic = "64", repr(align(128)))]
pub(crate) struct CachePadded<T: ?Sized>(pub(crate) T);

/// What a publisher does before it tries again: nothing, or on hosts, where the one who got ahead runs
/// on another core, a pause of fixed length that lets go of the cache line. Waits for nobody.
#[inline(always)]
pub(crate) fn pause() {
    #[cfg(all(not(tickbus_loom), target_has_atomic = "64"))]
    for _ in 0..8 {
        core::hint::spin_loop();
    }
}
