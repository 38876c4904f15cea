//! The longest stretch with interrupts masked: what waiting adds.
#![no_std]
#![no_main]

use core::future::Future;
use core::hint::black_box;
use core::mem::ManuallyDrop;
use core::panic::PanicInfo;
use core::pin::{Pin, pin};
use core::task::{Context, Waker};

use instruments::host;
use instruments::masked::{Column, Kept, Operation, Payload, tell};
use instruments::renewable::Renewable;
use tickbus::topic::Many;
use tickbus::{Bus, Consumer, GatedTopic, Latest, Reject, Subscriber, Topic, Waiters, Watcher};

/// Polls once, and finds that it has to wait.
fn begin_to_wait<F: Future>(future: Pin<&mut F>) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.poll(&mut context).is_pending(), "it need not wait");
}

/// Begins to wait, and neither goes on nor gives up.
fn wait_for_ever<F: Future>(future: F) {
    let mut future = ManuallyDrop::new(future);
    // SAFETY: nothing points into the future, so that it need not be dropped: its place has its waker.
    begin_to_wait(unsafe { Pin::new_unchecked(&mut *future) });
}

fn is_ready<F: Future>(future: Pin<&mut F>) -> bool {
    future.poll(&mut Context::from_waker(Waker::noop())).is_ready()
}

macro_rules! operations {
    ($bytes:literal, $slots:literal) => {{
        type Event = Payload<{ $bytes / 4 }>;
        const EVENT: Event = Payload([7; $bytes / 4]);
        const SLOTS: usize = $slots;
        static BUS: Renewable<Bus<Event, SLOTS, Reject, Waiters<2>>> = Renewable::new(Bus::new());
        static CONSUMER: Kept<Consumer<'static, Event, Reject, Waiters<2>>> = Kept::new();
        static TOPIC: Renewable<Topic<Event, SLOTS, Waiters<2>>> = Renewable::new(Topic::new());
        static READER: Kept<Subscriber<'static, Event, Many, Waiters<2>>> = Kept::new();
        static GATED: Renewable<GatedTopic<Event, SLOTS, 1, Waiters<2>>> =
            Renewable::new(GatedTopic::new());
        static GATING: Kept<Subscriber<'static, Event, Many, Waiters<2>>> = Kept::new();
        static LATEST: Renewable<Latest<Event, Waiters<2>>> = Renewable::new(Latest::new());
        static WATCHER: Kept<Watcher<'static, Event, Waiters<2>>> = Kept::new();
        static WAITERS: Renewable<Waiters<2>> = Renewable::new(Waiters::new());

        fn open() {
            CONSUMER.forget();
            READER.forget();
            GATING.forget();
            WATCHER.forget();
            // SAFETY: the clock stands, and what had borrowed them is dropped or forgotten.
            unsafe {
                BUS.renew(Bus::new());
                TOPIC.renew(Topic::new());
                GATED.renew(GatedTopic::new());
                LATEST.renew(Latest::new());
                WAITERS.renew(Waiters::new());
            }
            CONSUMER.set(BUS.get().consumer().expect("there is no other"));
            READER.set(TOPIC.get().subscribe());
            GATING.set(GATED.get().subscribe().expect("there is a place"));
            WATCHER.set(LATEST.get().watch());
        }

        fn fill() {
            open();
            assert!(BUS.get().publish_batch(&[EVENT; SLOTS]).is_ok(), "no room");
            for _ in 0..SLOTS {
                assert!(GATED.get().publish(EVENT).is_ok(), "no room");
            }
        }

        fn readers_wait() {
            open();
            CONSUMER.with(|consumer| wait_for_ever(consumer.ready_async()));
            READER.with(|reader| wait_for_ever(reader.next_async()));
            GATING.with(|reader| wait_for_ever(reader.next_async()));
            WATCHER.with(|watcher| wait_for_ever(watcher.changed_async()));
            wait_for_ever(WAITERS.get().wait_until(|| None::<()>));
        }

        fn publishers_wait() {
            fill();
            wait_for_ever(BUS.get().publish_async(EVENT));
            wait_for_ever(GATED.get().publish_async(EVENT));
        }

        const OPERATIONS: &[Operation] = &[
            Operation::new("Bus: publish, no task waits", open, || {
                assert!(BUS.get().publish(EVENT).is_ok());
            }),
            Operation::new("Bus: publish, and wake", readers_wait, || {
                assert!(BUS.get().publish(EVENT).is_ok());
            }),
            Operation::new("Bus: publish_batch, and wake", readers_wait, || {
                assert!(BUS.get().publish_batch(&[EVENT; SLOTS]).is_ok());
            }),
            Operation::new("Bus: take, and wake", publishers_wait, || {
                assert!(CONSUMER.with(|consumer| black_box(consumer.drain().next()).is_some()));
            }),
            Operation::new("Bus: await an event", fill, || {
                CONSUMER.with(|consumer| assert!(is_ready(pin!(consumer.next_async()))));
            }),
            Operation::new("Bus: wait for an event, give up", open, || {
                CONSUMER.with(|consumer| begin_to_wait(pin!(consumer.ready_async())));
            }),
            Operation::new("Bus: wait for room, give up", fill, || {
                begin_to_wait(pin!(BUS.get().publish_async(EVENT)));
            }),
            Operation::new("Topic: publish, no task waits", open, || TOPIC.get().publish(EVENT)),
            Operation::new("Topic: publish, and wake", readers_wait, || {
                TOPIC.get().publish(EVENT);
            }),
            Operation::new("Topic: wait for an event, give up", open, || {
                READER.with(|reader| begin_to_wait(pin!(reader.next_async())));
            }),
            Operation::new("GatedTopic: publish, and wake", readers_wait, || {
                assert!(GATED.get().publish_with_margin(EVENT, 1).is_ok());
            }),
            Operation::new("GatedTopic: await an event, and wake", publishers_wait, || {
                GATING.with(|reader| assert!(is_ready(pin!(reader.next_async()))));
            }),
            Operation::new("GatedTopic: wait for an event, give up", open, || {
                GATING.with(|reader| begin_to_wait(pin!(reader.next_async())));
            }),
            Operation::new("GatedTopic: wait for room, give up", fill, || {
                begin_to_wait(pin!(GATED.get().publish_async(EVENT)));
            }),
            Operation::new("GatedTopic: drop the gate, and wake", publishers_wait, || {
                GATING.forget();
            }),
            Operation::new("Latest: publish, and wake", readers_wait, || {
                LATEST.get().publish(EVENT);
            }),
            Operation::new("Latest: wait for a change, give up", open, || {
                WATCHER.with(|watcher| begin_to_wait(pin!(watcher.changed_async())));
            }),
            Operation::new("Waiters: wake", readers_wait, || WAITERS.get().wake()),
            Operation::new("Waiters: wait, give up", open, || {
                begin_to_wait(pin!(WAITERS.get().wait_until(|| None::<()>)));
            }),
        ];
        Column { bytes: $bytes, slots: SLOTS, operations: OPERATIONS }
    }};
}

#[cortex_m_rt::entry]
fn main() -> ! {
    tell([
        operations!(8, 2),
        operations!(16, 2),
        operations!(64, 2),
        operations!(256, 2),
        operations!(8, 4),
        operations!(64, 4),
        operations!(8, 16),
    ])
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    host::fail(info)
}
