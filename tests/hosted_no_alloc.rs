//! A delivery of the memory engine allocates nothing once its buffers have their size: published, awaited, received,
//! settled; and handled by workers, but for the future of the handler. The envelopes are made before.
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
use tickbus::hosted::broker::Broker;
use tickbus::hosted::store::{EventRecord, EventSource, MemoryStore};
use tickbus::hosted::{BoxError, Context as Event, Counted, Deliveries, Engine, MemoryEngine};

thread_local! {
    /// Calls of this thread alone: the harness allocates on others.
    static CALLS: Cell<usize> = const { Cell::new(0) };
    /// Bytes that this thread has, but for those that others have freed.
    static BYTES: Cell<usize> = const { Cell::new(0) };
}

fn has(more: usize, less: usize) {
    BYTES.set(BYTES.get().wrapping_add(more).wrapping_sub(less));
}

struct Counting;

// SAFETY: hands every call on to the allocator of the system, unchanged. Counting allocates nothing:
// the counter is a constant without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        has(layout.size(), 0);
        // SAFETY: the caller keeps the contract of `alloc`, which is the same here.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        CALLS.set(CALLS.get() + 1);
        has(0, layout.size());
        // SAFETY: as above; `pointer` is from `System`, as all are.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        CALLS.set(CALLS.get() + 1);
        has(size, layout.size());
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

/// Publishes by four, and lets the workers handle them. Returns the calls of the allocator.
fn handled(durable: bool, pool: bool, by_key: bool) -> usize {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let builder = MemoryEngine::builder().log(64).deduplicate(Duration::from_secs(60), 64);
        let engine = builder.build();
        let subscribe = engine.subscribe("a.*").unwrap().timeout(Duration::from_secs(5));
        let subscribe = if durable { subscribe.group("g") } else { subscribe };
        let subscribe = if pool { subscribe.workers(4) } else { subscribe };
        let subscribe = if by_key { subscribe.by_key() } else { subscribe };
        let workers = subscribe.handle(async |event: Event| {
            assert!(event.key().len() < 2);
            Ok::<(), BoxError>(())
        });
        let workers = workers.await.unwrap();
        let made = |id: u32| {
            let event = Envelope::new("a.b").unwrap().with_key((id % 3).to_string());
            Arc::new(event.with_id(id.to_string()))
        };
        let envelopes: Vec<_> = (0..200).map(made).collect();
        let turns = async || {
            for envelopes in envelopes.chunks(4) {
                for envelope in envelopes {
                    engine.publish(envelope.clone()).await.unwrap();
                }
                for _ in 0..20 {
                    tokio::task::yield_now().await;
                }
            }
        };
        turns().await;
        turns().await;
        let before = CALLS.get();
        turns().await;
        let calls = CALLS.get() - before;
        assert_eq!(workers.stats().handled, 600);
        calls
    })
}

#[test]
fn a_live_event_is_handled_without_an_allocation() {
    assert_eq!(handled(false, false, false), 0, "in order");
    assert_eq!(handled(false, true, false), 0, "by workers");
    assert_eq!(handled(false, true, true), 0, "by key");
}

#[test]
fn a_durable_event_is_handled_without_an_allocation() {
    assert_eq!(handled(true, false, false), 0, "in order");
    assert_eq!(handled(true, true, false), 0, "by workers");
    assert_eq!(handled(true, true, true), 0, "by key");
}

/// Publishes records of three types at a broker that has them already, and lets its worker handle them.
/// Returns the calls of the allocator.
fn recorded(metric_types: usize) -> usize {
    const RECORDS: usize = 128;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let store = Arc::new(MemoryStore::new(RECORDS));
        let broker = Broker::builder().store(store).instance_id("1").workers(1).buffer(RECORDS);
        let broker = broker.metric_types(metric_types).build().unwrap();
        let handler = |_: Arc<EventRecord>| core::future::ready(Ok::<(), BoxError>(()));
        broker.subscribe("*", handler).unwrap();
        broker.start().unwrap();
        let made = |id: usize| {
            let operation = ["create", "update", "delete"][id % 3];
            let mut record = EventRecord::new(EventSource::System, "a", "b", operation);
            (record.id, record.instance_id) = (id.to_string(), "1".into());
            record
        };
        let mut calls = 0;
        for turn in 0..20 {
            let records: Vec<_> = (0..RECORDS).map(made).collect();
            let before = CALLS.get();
            for record in records {
                broker.publish_async(record).await.unwrap();
            }
            while broker.stats().in_progress > 0 {
                tokio::task::yield_now().await;
            }
            calls = CALLS.get() - before;
            assert_eq!(broker.stats().total_processed, (turn + 1) * RECORDS as u64);
        }
        calls
    })
}

#[test]
fn what_a_broker_measures_allocates_nothing() {
    let (measured, plain) = (recorded(1000), recorded(0));
    assert_eq!(measured, plain);
    assert!(plain > 0);
}

/// A queue of small messages with large payloads does not fill the memory.
#[cfg(feature = "compression")]
#[test]
fn what_waits_for_a_worker_stays_compressed() {
    use tickbus::hosted::{Compressed, Compression};
    use tokio::sync::Semaphore;

    const MIB: usize = 1 << 20;
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let engine = Compressed::new(MemoryEngine::new(), Compression::above(1024));
        let gate = Arc::new(Semaphore::new(0));
        let opens = gate.clone();
        let handler = engine.subscribe("map.*").unwrap().workers(2).queue(64).capacity(64);
        let handler = handler.handle(move |map: Event| {
            let gate = opens.clone();
            async move {
                drop(gate.acquire().await);
                assert_eq!(map.envelope().bytes().map(<[u8]>::len), Some(MIB));
                Ok::<(), BoxError>(())
            }
        });
        let workers = handler.await.unwrap();
        let before = BYTES.get();
        for _ in 0..32 {
            let map = Envelope::new("map.loaded").unwrap().with_bytes(vec![7; MIB]);
            engine.publish(map.into()).await.unwrap();
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
        }
        assert_eq!((workers.stats().received, workers.stats().in_flight), (32, 32));
        let held = BYTES.get().wrapping_sub(before);
        assert!((2 * MIB..4 * MIB).contains(&held), "{held} bytes");
        gate.add_permits(1);
        while workers.stats().handled < 32 {
            tokio::task::yield_now().await;
        }
    });
}

/// The counter counts.
#[test]
fn an_envelope_does_allocate() {
    let before = CALLS.get();
    drop(Envelope::new("a.b").unwrap());
    assert!(CALLS.get() > before);
}
