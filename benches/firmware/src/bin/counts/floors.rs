//! The floor: rings written by hand that do what a row needs and nothing more.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::event::Event;
use crate::queue::{Queue, SLOTS};

/// A ring for one publisher and one consumer: two positions that only grow.
struct Ring {
    written: AtomicUsize,
    read: AtomicUsize,
    slots: [UnsafeCell<MaybeUninit<Event>>; SLOTS],
}

// SAFETY: one context publishes and one takes, and the positions tell them apart.
unsafe impl Sync for Ring {}

impl Ring {
    const fn new() -> Self {
        Self {
            written: AtomicUsize::new(0),
            read: AtomicUsize::new(0),
            slots: [const { UnsafeCell::new(MaybeUninit::uninit()) }; SLOTS],
        }
    }

    fn slot(&self, position: usize) -> *mut MaybeUninit<Event> {
        self.slots[position % SLOTS].get()
    }

    #[inline(always)]
    fn publish(&self, event: Event) -> bool {
        let written = self.written.load(Ordering::Relaxed);
        if written.wrapping_sub(self.read.load(Ordering::Acquire)) == SLOTS {
            return false;
        }
        // SAFETY: the slot is empty, and this is the only publisher.
        unsafe { self.slot(written).write(MaybeUninit::new(event)) };
        self.written.store(written.wrapping_add(1), Ordering::Release);
        true
    }

    #[inline(always)]
    fn take(&self) -> Option<Event> {
        let read = self.read.load(Ordering::Relaxed);
        if read == self.written.load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: the slot holds an event, and this is the only consumer.
        let event = unsafe { self.slot(read).read().assume_init() };
        self.read.store(read.wrapping_add(1), Ordering::Release);
        Some(event)
    }

    /// Only while no other context takes.
    #[inline(always)]
    fn displace(&self, event: Event) -> bool {
        let written = self.written.load(Ordering::Relaxed);
        let read = self.read.load(Ordering::Relaxed);
        if written.wrapping_sub(read) == SLOTS {
            self.read.store(read.wrapping_add(1), Ordering::Relaxed);
        }
        // SAFETY: the slot is empty, and no other context uses the ring.
        unsafe { self.slot(written).write(MaybeUninit::new(event)) };
        self.written.store(written.wrapping_add(1), Ordering::Relaxed);
        true
    }
}

static SINGLE: Ring = Ring::new();
static GUARDED: Ring = Ring::new();

pub struct SinglePublisher(());

impl SinglePublisher {
    pub fn open() -> Self {
        Self(())
    }
}

impl Queue for SinglePublisher {
    const NAME: &str = "floor: ring for one publisher";

    #[inline(always)]
    fn publish(&mut self, event: Event) -> bool {
        SINGLE.publish(event)
    }

    #[inline(always)]
    fn take(&mut self) -> Option<Event> {
        SINGLE.take()
    }
}

pub struct Guarded(());

impl Guarded {
    pub fn open() -> Self {
        Self(())
    }
}

impl Queue for Guarded {
    const NAME: &str = "floor: ring in a critical section";
    const DISPLACES: bool = true;

    #[inline(always)]
    fn publish(&mut self, event: Event) -> bool {
        critical_section::with(|_| GUARDED.publish(event))
    }

    #[inline(always)]
    fn take(&mut self) -> Option<Event> {
        critical_section::with(|_| GUARDED.take())
    }

    #[inline(always)]
    fn displace(&mut self, event: Event) -> bool {
        critical_section::with(|_| GUARDED.displace(event))
    }
}
