//! Publish a frame, then drain it, on one thread.

use core::cell::RefCell;
use core::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use critical_section::Mutex;
use crossbeam_queue::ArrayQueue;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use heapless::Deque;
use thingbuf::ThingBuf;
use tickbus::{Bus, Lane};

use super::{BATCH, CAPACITY, Contender, FRAME, Row, Sample, Sums, frames, leak, sums};

pub(super) fn rows() -> Vec<Row> {
    vec![
        exclusive(),
        shared(),
        shared_in_batches(),
        single_publisher(),
        single_producer_to_vector(),
        empty(),
    ]
}

/// One context owns both ends.
fn exclusive() -> Row {
    let contenders = vec![
        frame(
            "tickbus Bus",
            Box::new(Bus::<Sample, CAPACITY>::new()),
            |bus, event| bus.publish_mut(event),
            |bus, sum| bus.drain().fold(sum, |sum, event| event.fold(sum)),
        ),
        array(),
        frame(
            "heapless Deque",
            Box::new(Deque::<Sample, CAPACITY>::new()),
            |deque, event| deque.push_back(event),
            |deque, mut sum| {
                while let Some(event) = deque.pop_front() {
                    sum = event.fold(sum);
                }
                sum
            },
        ),
    ];
    Row { name: "publish and drain, exclusive", elements: FRAME, contenders }
}

/// Any number of publishers; here one thread plays all of them.
fn shared() -> Row {
    let bus = leak(Bus::<Sample, CAPACITY>::new());
    let contenders = vec![
        frame(
            "tickbus Bus",
            bus.consumer().expect("the only consumer"),
            |_, event| bus.publish(event),
            |consumer, sum| consumer.drain().fold(sum, |sum, event| event.fold(sum)),
        ),
        {
            let (sender, receiver) = kanal::bounded(CAPACITY);
            frame(
                "kanal",
                (sender, receiver, Vec::with_capacity(CAPACITY)),
                |(sender, _, _), event| sender.try_send(event),
                |(_, receiver, events), sum| {
                    receiver.drain_into(events).expect("connected");
                    events.drain(..).fold(sum, |sum, event: Sample| event.fold(sum))
                },
            )
        },
        {
            #[expect(deprecated, reason = "the peer that most no_std code uses")]
            let queue = leak(heapless::mpmc::Queue::<Sample, CAPACITY>::new());
            shared_queue("heapless mpmc", |event| queue.enqueue(event), || queue.dequeue())
        },
        {
            let queue = leak(ArrayQueue::new(CAPACITY));
            shared_queue("ArrayQueue", |event| queue.push(event), || queue.pop())
        },
        {
            let queue = leak(ThingBuf::<Sample>::new(CAPACITY));
            shared_queue("thingbuf", |event| queue.push(event), || queue.pop())
        },
        {
            let channel = leak(Channel::<CriticalSectionRawMutex, Sample, CAPACITY>::new());
            shared_queue(
                "embassy Channel",
                |event| channel.try_send(event),
                || channel.try_receive().ok(),
            )
        },
        {
            let deque = leak(Mutex::new(RefCell::new(Deque::<Sample, CAPACITY>::new())));
            shared_queue(
                "Deque in a critical section",
                |event| critical_section::with(|cs| deque.borrow_ref_mut(cs).push_back(event)),
                || critical_section::with(|cs| deque.borrow_ref_mut(cs).pop_front()),
            )
        },
        {
            let (sender, receiver) = mpsc::sync_channel(CAPACITY);
            shared_queue(
                "sync_channel",
                move |event| sender.try_send(event),
                move || receiver.try_recv().ok(),
            )
        },
        array(),
    ];
    Row { name: "publish and drain, shared", elements: FRAME, contenders }
}

/// The same in batches. All contenders but the array by event stage a batch and hand it over.
fn shared_in_batches() -> Row {
    let bus = leak(Bus::<Sample, CAPACITY>::new());
    let contenders = vec![
        batches(
            "tickbus Bus",
            bus.consumer().expect("the only consumer"),
            |_, batch| bus.publish_batch(batch).is_ok(),
            |consumer, sum| consumer.drain().fold(sum, |sum, event| event.fold(sum)),
        ),
        array(),
        batches(
            "array in batches",
            Box::new(Array::new()),
            |array, batch| array.extend(batch),
            |array, sum| array.drain(sum),
        ),
        {
            let (publisher, consumer) = rtrb::RingBuffer::new(CAPACITY);
            batches(
                "rtrb (single publisher)",
                (publisher, consumer),
                |(publisher, _), batch| publisher.push_entire_slice(batch).is_ok(),
                |(_, consumer), sum| rtrb_fold(consumer, sum),
            )
        },
    ];
    Row { name: "publish in batches of 64 and drain, shared", elements: FRAME, contenders }
}

/// One declared publisher and one consumer.
fn single_publisher() -> Row {
    let lane = leak(Lane::<Sample, CAPACITY>::new());
    let publisher = lane.publisher().expect("the only publisher");
    let consumer = lane.consumer().expect("the only consumer");
    let contenders = vec![
        frame(
            "tickbus Lane",
            (publisher, consumer),
            |(publisher, _), event| publisher.publish(event),
            |(_, consumer), sum| consumer.drain().fold(sum, |sum, event| event.fold(sum)),
        ),
        {
            let (publisher, consumer) = rtrb::RingBuffer::new(CAPACITY);
            frame(
                "rtrb",
                (publisher, consumer),
                |(publisher, _), event| publisher.push(event),
                |(_, consumer), mut sum| {
                    while let Ok(event) = consumer.pop() {
                        sum = Sample::fold(event, sum);
                    }
                    sum
                },
            )
        },
        {
            let (publisher, consumer) = rtrb::RingBuffer::new(CAPACITY);
            frame(
                "rtrb, read as a chunk",
                (publisher, consumer),
                |(publisher, _), event| publisher.push(event),
                |(_, consumer), sum| rtrb_fold(consumer, sum),
            )
        },
        {
            let queue = Box::leak(Box::new(heapless::spsc::Queue::<Sample, CAPACITY>::new()));
            frame(
                "heapless spsc",
                queue.split(),
                |(publisher, _), event| publisher.enqueue(event),
                |(_, consumer), mut sum| {
                    while let Some(event) = consumer.dequeue() {
                        sum = event.fold(sum);
                    }
                    sum
                },
            )
        },
        array(),
    ];
    Row { name: "publish and drain, single publisher", elements: FRAME, contenders }
}

/// What is drained goes to the end of a vector, and is folded there.
fn single_producer_to_vector() -> Row {
    let fold = |events: &mut Vec<Sample>, sum| {
        let sum = events.iter().fold(sum, |sum, event| event.fold(sum));
        events.clear();
        sum
    };
    let lane = leak(Lane::<Sample, CAPACITY>::new());
    let publisher = lane.publisher().expect("the only publisher");
    let consumer = lane.consumer().expect("the only consumer");
    let contenders = vec![
        frame(
            "tickbus Lane, append_to",
            (publisher, consumer, Vec::with_capacity(CAPACITY)),
            |(publisher, ..), event| publisher.publish(event),
            move |(_, consumer, events), sum| {
                consumer.drain().append_to(events);
                fold(events, sum)
            },
        ),
        {
            let (publisher, consumer) = rtrb::RingBuffer::new(CAPACITY);
            frame(
                "rtrb, read in chunks",
                (publisher, consumer, Vec::with_capacity(CAPACITY)),
                |(publisher, ..), event| publisher.push(event),
                move |(_, consumer, events), sum| {
                    let chunk = consumer.read_chunk(consumer.slots()).expect("counted");
                    let (first, second) = chunk.as_slices();
                    events.extend_from_slice(first);
                    events.extend_from_slice(second);
                    chunk.commit_all();
                    fold(events, sum)
                },
            )
        },
    ];
    Row { name: "publish and append to a vector, single publisher", elements: FRAME, contenders }
}

/// Asking a bus that has nothing.
fn empty() -> Row {
    let bus = leak(Bus::<Sample, CAPACITY>::new());
    let mut consumer = bus.consumer().expect("the only consumer");
    bus.publish(Sample::default()).expect("there is room");
    assert_eq!(consumer.drain().count(), 1);
    let queue = leak(ArrayQueue::<Sample>::new(CAPACITY));
    #[expect(deprecated, reason = "the peer that most no_std code uses")]
    let mpmc = leak(heapless::mpmc::Queue::<Sample, CAPACITY>::new());
    let (_, mut rtrb) = rtrb::RingBuffer::<Sample>::new(CAPACITY);
    let [head, tail] = [(); 2].map(|()| leak(AtomicUsize::new(1)));
    let contenders = vec![
        nothing("tickbus Bus", move || consumer.drain().next()),
        nothing("two loads", || {
            let tail = tail.load(Ordering::Acquire);
            (head.load(Ordering::Relaxed) != tail).then(Sample::default)
        }),
        nothing("ArrayQueue", || queue.pop()),
        nothing("heapless mpmc", || mpmc.dequeue()),
        nothing("rtrb", move || rtrb.pop().ok()),
    ];
    Row { name: "drain of an empty bus", elements: FRAME, contenders }
}

/// The floor: a plain array with a length.
struct Array {
    events: [Sample; CAPACITY],
    len: usize,
}

impl Array {
    const fn new() -> Self {
        Self { events: [Sample { key: 0, value: 0 }; CAPACITY], len: 0 }
    }

    fn push(&mut self, event: Sample) {
        if let Some(slot) = self.events.get_mut(self.len) {
            *slot = event;
            self.len += 1;
        }
    }

    fn extend(&mut self, batch: &[Sample]) -> bool {
        let start = self.len;
        self.events.get_mut(start..start + batch.len()).is_some_and(|slots| {
            slots.copy_from_slice(batch);
            self.len += batch.len();
            true
        })
    }

    fn drain(&mut self, sum: u64) -> u64 {
        let sum = self.events[..self.len].iter().fold(sum, |sum, event| event.fold(sum));
        self.len = 0;
        sum
    }
}

fn array() -> Contender {
    frame(
        "array",
        Box::new(Array::new()),
        |array, event| array.push(event),
        |array, sum| array.drain(sum),
    )
}

fn expected() -> Sums {
    sums(|salt| (0..FRAME).fold(0, |sum, key| Sample::new(key, salt).fold(sum)))
}

/// What `publish` answers is not looked at: a lost event shows in the sum.
fn frame<S: 'static, R>(
    name: &'static str,
    mut state: S,
    publish: impl Fn(&mut S, Sample) -> R + 'static,
    drain: impl Fn(&mut S, u64) -> u64 + 'static,
) -> Contender {
    frames(name, expected(), move |salt| {
        for key in 0..FRAME {
            publish(&mut state, Sample::new(key, salt));
        }
        drain(&mut state, 0)
    })
}

fn shared_queue<R>(
    name: &'static str,
    publish: impl Fn(Sample) -> R + 'static,
    take: impl Fn() -> Option<Sample> + 'static,
) -> Contender {
    frame(
        name,
        (),
        move |(), event| publish(event),
        move |(), mut sum| {
            while let Some(event) = take() {
                sum = event.fold(sum);
            }
            sum
        },
    )
}

fn batches<S: 'static>(
    name: &'static str,
    mut state: S,
    publish: impl Fn(&mut S, &[Sample]) -> bool + 'static,
    drain: impl Fn(&mut S, u64) -> u64 + 'static,
) -> Contender {
    let mut batch = Box::new([Sample::default(); BATCH]);
    frames(name, expected(), move |salt| {
        let mut key = 0;
        while key < FRAME {
            let len = BATCH.min((FRAME - key) as usize);
            for slot in &mut batch[..len] {
                *slot = Sample::new(key, salt);
                key += 1;
            }
            assert!(publish(&mut state, &batch[..len]), "{name} has room");
        }
        drain(&mut state, 0)
    })
}

fn rtrb_fold(consumer: &mut rtrb::Consumer<Sample>, sum: u64) -> u64 {
    let chunk = consumer.read_chunk(consumer.slots()).expect("counted");
    let (first, second) = chunk.as_slices();
    let sum = first.iter().chain(second).fold(sum, |sum, event| event.fold(sum));
    chunk.commit_all();
    sum
}

fn nothing(name: &'static str, mut take: impl FnMut() -> Option<Sample> + 'static) -> Contender {
    frames(name, [0; 8], move |_| {
        (0..FRAME).fold(0, |sum, _| take().map_or(sum, |event| event.fold(sum + 1)))
    })
}
