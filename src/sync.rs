//! The one file that names atomics and cells. All other code names `crate::sync`.
//!
//! | build | atomics | read-modify-write |
//! |---|---|---|
//! | targets with compare-and-swap | `core` | native |
//! | targets without (thumbv6m, riscv32imc) | `core`, plain loads and stores | in a critical section of constant length |
//! | `--cfg tickbus_loom` | loom | loom |
//! | `--cfg tickbus_loom --cfg tickbus_exchanges` | loom, with `SeqCst` accesses as on x86 | loom |
//!
//! A *word* holds a position or an entry. It has 64 bits where the target has 64-bit atomics and 32
//! elsewhere. `--cfg tickbus_narrow` makes it as narrow on a host, for tests.

#[cfg(tickbus_loom)]
mod imp {
    pub(crate) use loom::cell::UnsafeCell;
    #[cfg(not(tickbus_exchanges))]
    pub(crate) use loom::sync::atomic::{AtomicU64 as AtomicWord, fence};
    pub(crate) type Word = u64;
    pub(crate) type SignedWord = i64;

    #[cfg(tickbus_exchanges)]
    pub(crate) use super::exchanges::{AtomicWord, fence};
}

/// `SeqCst` accesses, which loom takes for AcqRel ones: as much of them as [`EXCHANGES_ARE_FENCES`] needs,
/// and no more.
///
/// C++ has one order `S` of all `SeqCst` accesses and fences. From it follow, for an exchange, a load and a
/// fence, all `SeqCst`:
///
/// - what a thread reads behind a fence that is after the exchange in `S` is not older than what the
///   exchange has written;
/// - a load that is after a fence in `S` is not older than what is written before the fence.
///
/// Nothing follows for other loads and stores beside the exchange or the load, as it would if they were
/// fences. So here an exchange only releases, by [`ORDER`], and a fence acquires that; and a load reads what is
/// newest, as a read-modify-write does, and acquires nothing.
#[cfg(all(tickbus_loom, tickbus_exchanges))]
mod exchanges {
    use core::sync::atomic::Ordering::{self, AcqRel, Acquire, Relaxed, Release, SeqCst};

    use loom::sync::atomic::AtomicU64;

    use super::Word;

    loom::lazy_static! {
        /// The order of exchanges and fences.
        static ref ORDER: AtomicU64 = AtomicU64::new(0);
    }

    pub(crate) fn fence(order: Ordering) {
        if order == SeqCst {
            ORDER.fetch_add(1, Acquire);
        }
        loom::sync::atomic::fence(order);
    }

    #[derive(Debug, Default)]
    pub struct AtomicWord(AtomicU64);

    impl AtomicWord {
        pub(crate) fn new(value: Word) -> Self {
            Self(AtomicU64::new(value))
        }

        pub(crate) fn load(&self, order: Ordering) -> Word {
            if order == SeqCst { self.0.fetch_add(0, Relaxed) } else { self.0.load(order) }
        }

        pub(crate) fn store(&self, value: Word, order: Ordering) {
            assert_ne!(order, SeqCst, "no such store is modelled");
            self.0.store(value, order);
        }

        pub(crate) fn compare_exchange(
            &self,
            current: Word,
            new: Word,
            success: Ordering,
            failure: Ordering,
        ) -> Result<Word, Word> {
            if success != SeqCst {
                return self.0.compare_exchange(current, new, success, failure);
            }
            let found = self.0.compare_exchange(current, new, AcqRel, failure)?;
            ORDER.fetch_add(1, Release);
            Ok(found)
        }

        pub(crate) fn compare_exchange_weak(
            &self,
            current: Word,
            new: Word,
            success: Ordering,
            failure: Ordering,
        ) -> Result<Word, Word> {
            self.compare_exchange(current, new, success, failure)
        }

        pub(crate) fn fetch_add(&self, value: Word, order: Ordering) -> Word {
            assert_ne!(order, SeqCst, "no such addition is modelled");
            self.0.fetch_add(value, order)
        }

        pub(crate) fn fetch_max(&self, value: Word, order: Ordering) -> Word {
            assert_ne!(order, SeqCst, "no such maximum is modelled");
            self.0.fetch_max(value, order)
        }
    }
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
    pub(crate) struct AtomicWord(AtomicU32);

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
/// A part of an event that may be read while it is written. Loads and stores only: every target has
/// them.
#[cfg(all(
    not(any(miri, tickbus_loom, tickbus_no_asm)),
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
pub(crate) use core::sync::atomic::AtomicUsize as AtomicPart;
#[cfg(not(any(
    tickbus_sections,
    tickbus_short_sections,
    not(any(target_has_atomic = "ptr", tickbus_loom))
)))]
use core::sync::atomic::Ordering;
pub(crate) use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
#[cfg(not(tickbus_loom))]
pub(crate) use core::sync::atomic::fence;
pub(crate) use imp::*;

/// Runs `copy`, of one word, while no other one runs: where events are copied without inline assembly, or
/// with `--cfg tickbus_no_asm`, for tests on a host.
#[cfg(all(
    not(tickbus_loom),
    any(
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
    )
))]
#[inline(always)]
pub(crate) fn alone<R>(copy: impl FnOnce() -> R) -> R {
    core::cfg_select! {
        // There is one thread, and nothing interrupts it.
        all(target_family = "wasm", not(target_feature = "atomics")) => copy(),
        // There are threads, and nothing interrupts one for good. (So nothing waits long here.)
        any(miri, target_family = "wasm") => {
            static TAKEN: AtomicWord = AtomicWord::new(0);
            // Acquire: pairs with the Release below; the copies before are done.
            while TAKEN.compare_exchange_weak(0, 1, Acquire, Relaxed).is_err() {
                core::hint::spin_loop();
            }
            let copied = copy();
            TAKEN.store(0, Release);
            copied
        }
        // There may be interrupts.
        _ => critical_section::with(|_| copy()),
    }
}

/// Whether the steps of a ring run in critical sections: the target has no compare-and-swap, or
/// `--cfg tickbus_sections` asks for it, for tests on a host.
pub(crate) const SECTIONS: bool = cfg!(any(
    tickbus_sections,
    tickbus_short_sections,
    not(any(target_has_atomic = "ptr", tickbus_loom))
));

#[cfg(any(
    tickbus_sections,
    tickbus_short_sections,
    not(any(target_has_atomic = "ptr", tickbus_loom))
))]
pub(crate) use sections::*;

/// What a ring needs whose steps are critical sections.
#[cfg(any(
    tickbus_sections,
    tickbus_short_sections,
    not(any(target_has_atomic = "ptr", tickbus_loom))
))]
mod sections {
    #[cfg(not(tickbus_loom))]
    pub(crate) use core::sync::atomic::AtomicU16 as AtomicPlace;

    #[cfg(tickbus_loom)]
    pub(crate) use loom::sync::atomic::AtomicU16 as AtomicPlace;

    /// The name of a cell.
    pub(crate) type Place = u16;

    /// Events of up to so many bytes move inside a section: two words where there is no compare-and-swap,
    /// four elsewhere. `--cfg tickbus_sections` moves all of them outside, for tests on a host.
    pub(crate) const SMALL_EVENT: usize = if cfg!(tickbus_short_sections) {
        16
    } else if cfg!(tickbus_sections) {
        0
    } else {
        8
    };

    /// Runs `step` while no other context runs one.
    #[inline(always)]
    pub(crate) fn section<R>(step: impl FnOnce() -> R) -> R {
        #[cfg(not(tickbus_loom))]
        return critical_section::with(|_| step());
        #[cfg(tickbus_loom)]
        {
            loom::lazy_static! {
                static ref SECTION: loom::sync::Mutex<()> = loom::sync::Mutex::new(());
            }
            let _section = SECTION.lock();
            step()
        }
    }
}

/// Whether a `SeqCst` exchange and a `SeqCst` load behind it cost no more than weaker ones: on x86. Where they
/// do, a fence between the two is cheaper. The model checker tries both.
pub(crate) const EXCHANGES_ARE_FENCES: bool = cfg!(any(
    all(any(target_arch = "x86", target_arch = "x86_64"), not(tickbus_loom)),
    all(tickbus_loom, tickbus_exchanges)
)) && !SECTIONS;

/// The ordering of an exchange that commits an event: `Release`, and `SeqCst` where that costs nothing.
#[cfg(not(any(
    tickbus_sections,
    tickbus_short_sections,
    not(any(target_has_atomic = "ptr", tickbus_loom))
)))]
pub(crate) const COMMIT: Ordering = if EXCHANGES_ARE_FENCES { SeqCst } else { Release };

/// Keeps what the publishers write off the cache line of what the consumer writes. Pads nothing
/// where the word has 32 bits: a microcontroller has no such lines and no RAM to spare.
#[derive(Debug, Default)]
#[cfg_attr(target_has_atomic = "64", repr(align(128)))]
pub(crate) struct CachePadded<T: ?Sized>(pub(crate) T);

/// Whether others run on other cores, at a distance of cache lines that are worth a pause.
#[cfg(not(any(
    tickbus_sections,
    tickbus_short_sections,
    not(any(target_has_atomic = "ptr", tickbus_loom))
)))]
pub(crate) const PAUSES: bool = cfg!(all(not(tickbus_loom), target_has_atomic = "64"));

/// Pauses before a retry, where that is of use: gives the core so many hints that it may let go of the
/// cache line.
#[cfg(not(any(
    tickbus_sections,
    tickbus_short_sections,
    not(any(target_has_atomic = "ptr", tickbus_loom))
)))]
#[inline(always)]
pub(crate) fn pause(hints: u32) {
    if PAUSES {
        // An interpreter lets another thread run at the first one, and takes long for the others.
        for _ in 0..if cfg!(miri) { 1 } else { hints } {
            core::hint::spin_loop();
        }
    }
}

/// A number that orders no other access, so the model checker need not know it.
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub(crate) use core::sync::atomic::AtomicUsize as PlainNumber;

/// What several change, one after the other. No user code runs under it, so one that is poisoned is as
/// good as any.
#[cfg(feature = "std")]
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(host::Mutex<T>);

/// A [`Lock`] that is held.
#[cfg(feature = "std")]
pub(crate) type Guard<'a, T> = host::MutexGuard<'a, T>;

#[cfg(feature = "std")]
impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(host::Mutex::new(value))
    }

    #[inline]
    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Returns `None` if it is held.
    #[cfg(feature = "hosted")]
    pub(crate) fn try_lock(&self) -> Option<Guard<'_, T>> {
        match self.0.try_lock() {
            Ok(guard) => Some(guard),
            Err(std::sync::TryLockError::Poisoned(guard)) => Some(guard.into_inner()),
            Err(std::sync::TryLockError::WouldBlock) => None,
        }
    }
}

/// The same without threads. Not `Sync`.
#[cfg(all(feature = "alloc", target_has_atomic = "ptr", not(feature = "std")))]
#[derive(Debug, Default)]
pub(crate) struct Lock<T>(core::cell::RefCell<T>);

/// A [`Lock`] that is held.
#[cfg(all(feature = "alloc", target_has_atomic = "ptr", not(feature = "std")))]
pub(crate) type Guard<'a, T> = core::cell::RefMut<'a, T>;

#[cfg(all(feature = "alloc", target_has_atomic = "ptr", not(feature = "std")))]
impl<T> Lock<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(core::cell::RefCell::new(value))
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        self.0.borrow_mut()
    }
}

/// Threads that park.
#[cfg(feature = "std")]
pub(crate) mod host {
    use alloc::sync::Arc;
    use alloc::task::Wake;
    use core::task::Waker;

    #[cfg(tickbus_loom)]
    pub(crate) use loom::{
        sync::{Mutex, MutexGuard},
        thread::{Thread, current},
        thread_local,
    };
    #[cfg(not(tickbus_loom))]
    pub(crate) use std::{
        sync::{Mutex, MutexGuard},
        thread::{Thread, current, park, park_timeout},
        thread_local,
    };

    struct Unpark(Thread);

    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }

        fn wake_by_ref(self: &Arc<Self>) {
            self.0.unpark();
        }
    }

    fn unpark_this_thread() -> Waker {
        Arc::new(Unpark(current())).into()
    }

    /// Wakes this thread from [`park`].
    pub(crate) fn this_thread() -> Waker {
        #[cfg(not(tickbus_loom))]
        {
            std::thread_local! {
                static WAKER: Waker = unpark_this_thread();
            }
            // A thread that is ending may have none any more.
            WAKER.try_with(Waker::clone).unwrap_or_else(|_| unpark_this_thread())
        }
        #[cfg(tickbus_loom)]
        unpark_this_thread() // the model's threads share what is local to a thread
    }

    /// loom 0.7 takes a parked thread for one that waits for the lock it had last, and a release of that
    /// lock for its wake-up. So the last thing this thread does is something else.
    #[cfg(tickbus_loom)]
    pub(crate) fn park() {
        loom::sync::atomic::AtomicUsize::new(0).load(super::Relaxed);
        loom::thread::park();
    }

    /// A model knows no time: there, no wait ends by itself.
    #[cfg(tickbus_loom)]
    pub(crate) fn park_timeout(_: core::time::Duration) {
        park();
    }
}
