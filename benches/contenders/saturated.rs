//! Publish into a ring that is full: overwrite the oldest event, or be refused.

use std::time::Instant;

use crossbeam_queue::ArrayQueue;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pubsub::{PubSubChannel, WaitResult};
use heapless::{Deque, HistoryBuf};
use tickbus::{Bus, DropOldest, Feed, Lane};

use super::{CAPACITY, Contender, FRAME, Row, Sample, frames, leak, sums};

pub(super) fn rows() -> Vec<Row> {
    vec![
        drop_oldest_exclusive(),
        drop_oldest_shared(),
        kept(),
        refused_exclusive(),
        refused_shared(),
        refused_single(),
    ]
}

fn drop_oldest_exclusive() -> Row {
    let contenders = vec![
        overwrite(
            "tickbus Bus",
            Box::new(Bus::<Sample, CAPACITY, DropOldest>::new()),
            |bus, event| bus.publish_mut(event),
            |bus| bus.drain().collect(),
        ),
        overwrite(
            "HistoryBuf",
            Box::new(HistoryBuf::<Sample, CAPACITY>::new()),
            |history, event| history.write(event),
            |history| history.oldest_ordered().copied().collect(),
        ),
        overwrite(
            "array at a running index",
            (Box::new([Sample::default(); CAPACITY]), 0_usize),
            |(events, next), event| {
                events[*next % CAPACITY] = event;
                *next += 1;
            },
            |(events, next)| (0..CAPACITY).map(|i| events[(*next + i) % CAPACITY]).collect(),
        ),
    ];
    Row { name: "drop-oldest on a full ring, exclusive", elements: FRAME, contenders }
}

fn drop_oldest_shared() -> Row {
    let bus = leak(Bus::<Sample, CAPACITY, DropOldest>::new());
    let queue = leak(ArrayQueue::new(CAPACITY));
    let channel = leak(PubSubChannel::<CriticalSectionRawMutex, Sample, CAPACITY, 1, 1>::new());
    let publisher = channel.immediate_publisher();
    let contenders = vec![
        overwrite(
            "tickbus Bus",
            bus.consumer().expect("the only consumer"),
            |_, event| bus.publish(event),
            |consumer| consumer.drain().collect(),
        ),
        overwrite(
            "ArrayQueue::force_push",
            (),
            |(), event| queue.force_push(event),
            |()| core::iter::from_fn(|| queue.pop()).collect(),
        ),
        overwrite(
            "embassy publish_immediate",
            channel.subscriber().expect("the only subscriber"),
            move |_, event| publisher.publish_immediate(event),
            |subscriber| {
                core::iter::from_fn(|| subscriber.try_next_message())
                    .filter_map(|result| match result {
                        WaitResult::Message(event) => Some(event),
                        WaitResult::Lagged(_) => None,
                    })
                    .collect()
            },
        ),
    ];
    Row { name: "drop-oldest on a full ring, shared", elements: FRAME, contenders }
}

/// What keeping the last events costs, read at the end as a history.
fn kept() -> Row {
    let feed = leak(Feed::<Sample, CAPACITY>::new());
    let contenders = vec![
        overwrite(
            "tickbus Feed",
            feed.publisher().expect("the only publisher"),
            |publisher, event| publisher.publish(event),
            |_| feed.history().all().collect(),
        ),
        overwrite(
            "HistoryBuf",
            Box::new(HistoryBuf::<Sample, CAPACITY>::new()),
            |history, event| history.write(event),
            |history| history.oldest_ordered().copied().collect(),
        ),
    ];
    Row { name: "history: keep one event", elements: FRAME, contenders }
}

fn refused_exclusive() -> Row {
    let contenders = vec![
        refused("tickbus Bus", Box::new(Bus::<Sample, CAPACITY>::new()), |bus, event| {
            bus.publish_mut(event).err().map(|full| full.0)
        }),
        refused("heapless Deque", Box::new(Deque::<Sample, CAPACITY>::new()), |deque, event| {
            deque.push_back(event).err()
        }),
    ];
    Row { name: "refused publish, exclusive", elements: FRAME, contenders }
}

fn refused_shared() -> Row {
    let bus = leak(Bus::<Sample, CAPACITY>::new());
    let queue = leak(ArrayQueue::new(CAPACITY));
    #[expect(deprecated, reason = "the peer that most no_std code uses")]
    let mpmc = leak(heapless::mpmc::Queue::<Sample, CAPACITY>::new());
    let contenders = vec![
        refused("tickbus Bus", (), |(), event| bus.publish(event).err().map(|full| full.0)),
        refused("ArrayQueue", (), |(), event| queue.push(event).err()),
        refused("heapless mpmc", (), |(), event| mpmc.enqueue(event).err()),
    ];
    Row { name: "refused publish, shared", elements: FRAME, contenders }
}

fn refused_single() -> Row {
    let lane = leak(Lane::<Sample, CAPACITY>::new());
    let (rtrb, held) = rtrb::RingBuffer::new(CAPACITY);
    leak(held);
    let contenders = vec![
        refused(
            "tickbus Lane",
            lane.publisher().expect("the only publisher"),
            |publisher, event| publisher.publish(event).err().map(|full| full.0),
        ),
        refused("rtrb", rtrb, |publisher, event| match publisher.push(event) {
            Ok(()) => None,
            Err(rtrb::PushError::Full(event)) => Some(event),
        }),
    ];
    Row { name: "refused publish, single publisher", elements: FRAME, contenders }
}

/// Publishes into a full ring; after each run, what is left must be the newest events in order.
fn overwrite<S: 'static, R>(
    name: &'static str,
    mut state: S,
    publish: impl Fn(&mut S, Sample) -> R + 'static,
    take_all: impl Fn(&mut S) -> Vec<Sample> + 'static,
) -> Contender {
    let mut next = 0;
    let run = Box::new(move |iterations| {
        for _ in 0..CAPACITY {
            publish(&mut state, Sample::new(next, 0));
            next += 1;
        }
        let start = Instant::now();
        for _ in 0..iterations {
            for key in next..next + FRAME {
                publish(&mut state, Sample::new(key, 0));
            }
            next += FRAME;
        }
        let elapsed = start.elapsed();
        let newest = (next - CAPACITY as u64..next).map(|key| Sample::new(key, 0));
        assert!(newest.eq(take_all(&mut state)), "{name} kept something else than the newest");
        elapsed
    });
    Contender { name, run }
}

/// Publishes into a full ring that gives every event back.
fn refused<S: 'static>(
    name: &'static str,
    mut state: S,
    publish: impl Fn(&mut S, Sample) -> Option<Sample> + 'static,
) -> Contender {
    for key in 0..CAPACITY as u64 {
        assert_eq!(publish(&mut state, Sample::new(key, 0)), None, "{name} has room for all");
    }
    let expected = sums(|salt| (0..FRAME).fold(0, |sum, key| Sample::new(key, salt).fold(sum)));
    frames(name, expected, move |salt| {
        let mut sum = 0;
        for key in 0..FRAME {
            if let Some(event) = publish(&mut state, Sample::new(key, salt)) {
                sum = event.fold(sum);
            }
        }
        sum
    })
}
