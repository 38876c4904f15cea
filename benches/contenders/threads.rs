//! One or two producing threads, one consuming thread.

use core::cell::RefCell;
use core::hint;
use core::mem;
use core::sync::atomic::{AtomicUsize, Ordering};
use core::time::Duration;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use core_affinity::CoreId;
use crossbeam_queue::ArrayQueue;
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use heapless::Deque;
use thingbuf::ThingBuf;
use tickbus::{Bus, Full, Lane};

use super::{BATCH, CAPACITY, Contender, Row, Sample, leak};

/// Events of one iteration, from all publishers together.
pub(super) const EVENTS: u64 = 200_000;

/// The bit of a key that names the publisher.
const PRODUCER: u32 = 63;

pub(super) fn rows() -> Vec<Row> {
    vec![one_to_one(), one_to_one_in_batches(), two_to_one(), two_to_one_in_batches()]
}

fn one_to_one() -> Row {
    let contenders = vec![
        lanes("tickbus Lane", 1, |publisher, share| {
            share.each(|event| publisher.publish(event).is_ok());
        }),
        rtrb("rtrb, read in chunks", 1, |publisher, share| {
            share.each(|event| publisher.push(event).is_ok());
        }),
        {
            let (publisher, consumer) = rtrb::RingBuffer::new(CAPACITY);
            race(
                "rtrb",
                vec![publisher],
                consumer,
                |publisher, share| share.each(|event| publisher.push(event).is_ok()),
                |consumer, check| check.take_all(|| consumer.pop().ok()),
            )
        },
        {
            let queue = Box::leak(Box::new(heapless::spsc::Queue::<Sample, CAPACITY>::new()));
            let (publisher, consumer) = queue.split();
            race(
                "heapless spsc",
                vec![publisher],
                consumer,
                |publisher, share| share.each(|event| publisher.enqueue(event).is_ok()),
                |consumer, check| check.take_all(|| consumer.dequeue()),
            )
        },
        bus("tickbus Bus", 1),
        array_queue(1),
        kanal(1),
        sync_channel(1),
    ];
    Row { name: "threads, 1 to 1", elements: EVENTS, contenders }
}

fn one_to_one_in_batches() -> Row {
    let contenders = vec![
        lanes("tickbus Lane", 1, |publisher, share| {
            share.batches(|batch| match publisher.publish_batch(batch) {
                Ok(()) => batch.len(),
                Err(Full(rest)) => batch.len() - rest.len(),
            });
        }),
        rtrb("rtrb, in chunks", 1, |publisher, share| {
            share.batches(|batch| publisher.push_partial_slice(batch).0.len());
        }),
        bus_in_batches("tickbus Bus", 1),
    ];
    Row { name: "threads, 1 to 1, in batches of 64", elements: EVENTS, contenders }
}

fn two_to_one() -> Row {
    let contenders = vec![
        bus("tickbus Bus", 2),
        kanal(2),
        {
            let events = leak(Mutex::new(Vec::with_capacity(CAPACITY)));
            race(
                "Mutex<Vec>, swapped",
                vec![(); 2],
                Vec::with_capacity(CAPACITY),
                |(), share| {
                    share.each(|event| {
                        let mut events = events.lock().expect("no thread panics");
                        let fits = events.len() < CAPACITY;
                        if fits {
                            events.push(event);
                        }
                        fits
                    });
                },
                |taken, check| {
                    mem::swap(&mut *events.lock().expect("no thread panics"), taken);
                    taken.drain(..).for_each(|event| check.see(event));
                },
            )
        },
        {
            #[expect(deprecated, reason = "the peer that most no_std code uses")]
            let queue = leak(heapless::mpmc::Queue::<Sample, CAPACITY>::new());
            shared("heapless mpmc", 2, |event| queue.enqueue(event).is_ok(), || queue.dequeue())
        },
        array_queue(2),
        {
            let queue = leak(ThingBuf::<Sample>::new(CAPACITY));
            shared("thingbuf", 2, |event| queue.push(event).is_ok(), || queue.pop())
        },
        {
            let channel = leak(Channel::<CriticalSectionRawMutex, Sample, CAPACITY>::new());
            shared(
                "embassy Channel",
                2,
                |event| channel.try_send(event).is_ok(),
                || channel.try_receive().ok(),
            )
        },
        {
            let deque =
                leak(critical_section::Mutex::new(RefCell::new(Deque::<Sample, CAPACITY>::new())));
            shared(
                "Deque in a critical section",
                2,
                |event| {
                    critical_section::with(|cs| deque.borrow_ref_mut(cs).push_back(event).is_ok())
                },
                || critical_section::with(|cs| deque.borrow_ref_mut(cs).pop_front()),
            )
        },
        sync_channel(2),
        lanes("a tickbus Lane per publisher", 2, |publisher, share| {
            share.each(|event| publisher.publish(event).is_ok());
        }),
        rtrb("an rtrb per publisher", 2, |publisher, share| {
            share.each(|event| publisher.push(event).is_ok());
        }),
    ];
    Row { name: "threads, 2 to 1", elements: EVENTS, contenders }
}

fn two_to_one_in_batches() -> Row {
    let contenders = vec![
        bus_in_batches("tickbus Bus", 2),
        rtrb("an rtrb per publisher", 2, |publisher, share| {
            share.batches(|batch| publisher.push_partial_slice(batch).0.len());
        }),
    ];
    Row { name: "threads, 2 to 1, in batches of 64", elements: EVENTS, contenders }
}

fn bus(name: &'static str, publishers: usize) -> Contender {
    let bus = leak(Bus::<Sample, CAPACITY>::new());
    race(
        name,
        vec![(); publishers],
        bus.consumer().expect("the only consumer"),
        |(), share| share.each(|event| bus.publish(event).is_ok()),
        |consumer, check| consumer.drain().for_each(|event| check.see(event)),
    )
}

fn bus_in_batches(name: &'static str, publishers: usize) -> Contender {
    let bus = leak(Bus::<Sample, CAPACITY>::new());
    race(
        name,
        vec![(); publishers],
        bus.consumer().expect("the only consumer"),
        |(), share| {
            share.batches(|batch| match bus.publish_batch(batch) {
                Ok(()) => batch.len(),
                Err(Full(rest)) => batch.len() - rest.len(),
            });
        },
        |consumer, check| consumer.drain().for_each(|event| check.see(event)),
    )
}

fn lanes(
    name: &'static str,
    publishers: usize,
    produce: impl Fn(&mut tickbus::Publisher<'static, Sample>, Share) + Sync + 'static,
) -> Contender {
    let (publishers, consumers) = (0..publishers)
        .map(|_| leak(Lane::<Sample, CAPACITY>::new()))
        .map(|lane| {
            let publisher = lane.publisher().expect("the only publisher");
            (publisher, lane.consumer().expect("the only consumer"))
        })
        .collect::<(Vec<_>, Vec<_>)>();
    race(name, publishers, consumers, produce, |consumers, check| {
        for consumer in consumers {
            consumer.drain().for_each(|event| check.see(event));
        }
    })
}

fn rtrb(
    name: &'static str,
    publishers: usize,
    produce: impl Fn(&mut rtrb::Producer<Sample>, Share) + Sync + 'static,
) -> Contender {
    let (publishers, consumers) =
        (0..publishers).map(|_| rtrb::RingBuffer::new(CAPACITY)).collect::<(Vec<_>, Vec<_>)>();
    race(name, publishers, consumers, produce, |consumers, check| {
        for consumer in consumers {
            let chunk = consumer.read_chunk(consumer.slots()).expect("counted");
            let (first, second) = chunk.as_slices();
            first.iter().chain(second).for_each(|event| check.see(*event));
            chunk.commit_all();
        }
    })
}

fn array_queue(publishers: usize) -> Contender {
    let queue = leak(ArrayQueue::new(CAPACITY));
    shared("ArrayQueue", publishers, |event| queue.push(event).is_ok(), || queue.pop())
}

fn kanal(publishers: usize) -> Contender {
    let (sender, receiver) = kanal::bounded(CAPACITY);
    race(
        "kanal",
        vec![sender; publishers],
        (receiver, Vec::with_capacity(CAPACITY)),
        |sender, share| share.each(|event| sender.try_send(event).expect("connected")),
        |(receiver, events), check| {
            receiver.drain_into(events).expect("connected");
            events.drain(..).for_each(|event| check.see(event));
        },
    )
}

fn sync_channel(publishers: usize) -> Contender {
    let (sender, receiver) = mpsc::sync_channel(CAPACITY);
    race(
        "sync_channel",
        vec![sender; publishers],
        receiver,
        |sender, share| share.each(|event| sender.try_send(event).is_ok()),
        |receiver, check| check.take_all(|| receiver.try_recv().ok()),
    )
}

fn shared(
    name: &'static str,
    publishers: usize,
    publish: impl Fn(Sample) -> bool + Sync + 'static,
    take: impl Fn() -> Option<Sample> + Sync + 'static,
) -> Contender {
    race(
        name,
        vec![(); publishers],
        (),
        move |(), share| share.each(&publish),
        move |(), check| check.take_all(&take),
    )
}

/// Runs the consumer and every publisher on threads of their own, from a common start until the last
/// event is in. Each thread is pinned, to a core of its own while there are cores: on one core they
/// would take turns and never meet. A consumer that polls has a core to itself. This thread stays free, for a spawned one inherits its pin.
fn race<P: Send + 'static, C: Send + 'static>(
    name: &'static str,
    publishers: Vec<P>,
    consumer: C,
    produce: impl Fn(&mut P, Share) + Sync + 'static,
    consume: impl Fn(&mut C, &mut Check) + Sync + 'static,
) -> Contender {
    race_at(Pace::Ticks, name, publishers, consumer, produce, consume)
}

/// When the consumer asks again.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Pace {
    /// Lets something pile up, as a tick does: one who asks again at once takes event by event what is
    /// published meanwhile, and both sides then wait for cache lines only.
    Ticks,
    /// At once, and after a spin hint when nothing came.
    Polls,
}

pub(super) fn race_at<P: Send + 'static, C: Send + 'static>(
    pace: Pace,
    name: &'static str,
    mut publishers: Vec<P>,
    mut consumer: C,
    produce: impl Fn(&mut P, Share) + Sync + 'static,
    consume: impl Fn(&mut C, &mut Check) + Sync + 'static,
) -> Contender {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let mut race = move || {
        let line = &StartLine::new(publishers.len() + 1, &cores);
        let events = EVENTS / publishers.len() as u64;
        let cores = cores.len();
        let (produce, consume, consumer) = (&produce, &consume, &mut consumer);
        thread::scope(|scope| {
            for (number, publisher) in publishers.iter_mut().enumerate() {
                // One that polls never lets its core go, so the publishers share the others.
                let others = match pace {
                    Pace::Ticks => usize::MAX,
                    Pace::Polls => cores.saturating_sub(1).max(1),
                };
                scope.spawn(move || {
                    line.wait(1 + number % others);
                    produce(publisher, Share { first: (number as u64) << PRODUCER, events });
                });
            }
            let consumer = scope.spawn(move || {
                line.wait(0);
                let start = Instant::now();
                let mut check = Check::default();
                let mut idle = 0_u32;
                while check.seen() < EVENTS {
                    let before = check.seen();
                    consume(consumer, &mut check);
                    let taken = check.seen() - before;
                    if pace == Pace::Ticks && taken < BATCH as u64 {
                        wait(start);
                    } else if taken == 0 {
                        hint::spin_loop();
                        idle += 1;
                        assert!(idle != 1 << 31, "the other side has stopped");
                    }
                }
                let elapsed = start.elapsed();
                assert_eq!(check.wrong, 0, "{name} lost, repeated, reordered or tore events");
                elapsed
            });
            consumer.join().expect("the check has passed")
        })
    };
    Contender { name, run: Box::new(move |iterations| (0..iterations).map(|_| race()).sum()) }
}

/// What one publisher publishes.
pub(super) struct Share {
    first: u64,
    events: u64,
}

impl Share {
    pub(super) fn each(self, mut publish: impl FnMut(Sample) -> bool) {
        let start = Instant::now();
        for key in self.first..self.first + self.events {
            let event = Sample::new(key, 0);
            while !publish(event) {
                wait(start);
            }
        }
    }

    /// `publish` says how many of the batch it took.
    fn batches(self, mut publish: impl FnMut(&[Sample]) -> usize) {
        let (start, mut batch) = (Instant::now(), [Sample::default(); BATCH]);
        let (mut key, end) = (self.first, self.first + self.events);
        while key < end {
            let len = BATCH.min((end - key) as usize);
            for slot in &mut batch[..len] {
                *slot = Sample::new(key, 0);
                key += 1;
            }
            let mut rest = &batch[..len];
            while !rest.is_empty() {
                let taken = publish(rest);
                rest = &rest[taken..];
                if taken == 0 {
                    wait(start);
                }
            }
        }
    }
}

/// What the consumer has seen: the next key of each publisher, and any bit that was ever wrong.
pub(super) struct Check {
    next: [u64; 2],
    wrong: u64,
}

impl Default for Check {
    fn default() -> Self {
        Self { next: [0, 1 << PRODUCER], wrong: 0 }
    }
}

impl Check {
    pub(super) fn see(&mut self, event: Sample) {
        let next = &mut self.next[(event.key >> PRODUCER) as usize];
        self.wrong |= (event.key ^ *next) | (event.value ^ Sample::value(event.key));
        *next += 1;
    }

    pub(super) fn take_all(&mut self, mut take: impl FnMut() -> Option<Sample>) {
        while let Some(event) = take() {
            self.see(event);
        }
    }

    fn seen(&self) -> u64 {
        self.next[0] + (self.next[1] - (1 << PRODUCER))
    }
}

/// Waits for the other side: spins a little, then lets the core go, for there may be more threads
/// than cores. Gives up when a race takes far too long, as it does when an event is lost.
fn wait(start: Instant) {
    (0..64).for_each(|_| hint::spin_loop());
    thread::yield_now();
    assert!(start.elapsed() < Duration::from_secs(60), "the other side has stopped");
}

/// Puts each thread on its core, then lets all go at the same moment, without sleeping.
pub(super) struct StartLine<'a> {
    missing: AtomicUsize,
    cores: &'a [CoreId],
}

impl<'a> StartLine<'a> {
    pub(super) const fn new(threads: usize, cores: &'a [CoreId]) -> Self {
        Self { missing: AtomicUsize::new(threads), cores }
    }

    pub(super) fn wait(&self, thread: usize) {
        if let Some(core) = self.cores.iter().cycle().nth(thread) {
            core_affinity::set_for_current(*core);
        }
        self.missing.fetch_sub(1, Ordering::AcqRel);
        while self.missing.load(Ordering::Acquire) > 0 {
            thread::yield_now();
        }
    }
}
