//! A delivery of the memory engine allocates nothing once its buffers have their size: published, awaited, received,
//! settled. The envelopes are made before.
#![cfg(all(feature = "hosted", not(tickbus_loom)))]

extern crate alloc;

use alloc::sync::Arc;
use core::alloc::{GlobalAlloc, Layout};
use core::cell::Cell;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::alloc::System;

use tickbus::Envelope;
use tickbus::hosted::{Counted, Deliveries, Engine, MemoryEngine};

thread_local! {
    /// Calls of this thread alone: the harness allocates on others.
    static CALLS: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: hands every call on to the allocator of the system, unchanged. Counting allocates nothing:
// the counter is a constant without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: as above; `pointer` is from `System`, as all are.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        // SAFETY: as in `dealloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(it) => it,
        Poll::Pending => panic!("it waits"),
    }
}

/// Waits in vain, publishes, receives, settles. Returns whether something came.
fn turn(engine: &Counted<MemoryEngine>, from: &mut Deliveries, envelope: &Arc<Envelope>) -> bool {
    {
        let mut next = pin!(from.next());
        assert!(next.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    }
    at_once(engine.publish(envelope.clone())).unwrap();
    let Poll::Ready(Some(Ok(delivery))) = from.try_next() else { return false };
    at_once(delivery.ack_async()).unwrap();
    true
}

fn steady(durable: bool, key: &str) -> usize {
    let builder = MemoryEngine::builder().log(64).deduplicate(Duration::from_secs(60), 64);
    let engine = Counted::new(builder.build());
    let mut from = {
        let subscribe = engine.subscribe("a.*").unwrap();
        let subscribe = if durable { subscribe.group("g") } else { subscribe };
        at_once(subscribe.open()).unwrap()
    };
    let made =
        |id: u32| Arc::new(Envelope::new("a.b").unwrap().with_key(key).with_id(id.to_string()));
    // More than ids are known: each is new again when its turn comes.
    let envelopes: Vec<_> = (0..200).map(made).collect();
    for envelope in envelopes.iter().chain(&envelopes) {
        assert!(turn(&engine, &mut from, envelope));
    }
    let before = CALLS.get();
    for envelope in &envelopes {
        assert!(turn(&engine, &mut from, envelope));
    }
    CALLS.get() - before
}

/// Each engine hashes ids in its own way, so many of them are tried.
const ENGINES: usize = 48;

#[test]
fn a_live_delivery_allocates_nothing() {
    for _ in 0..ENGINES {
        assert_eq!(steady(false, ""), 0);
    }
}

#[test]
fn a_durable_delivery_allocates_nothing() {
    for _ in 0..ENGINES {
        assert_eq!(steady(true, ""), 0);
        assert_eq!(steady(true, "key"), 0);
    }
}

/// The counter counts.
#[test]
fn an_envelope_does_allocate() {
    let before = CALLS.get();
    drop(Envelope::new("a.b").unwrap());
    assert!(CALLS.get() > before);
}
