//! Can a wake-up be lost? Those who wait against those who wake, under the model checker. Run with
//! `RUSTFLAGS="--cfg tickbus_loom" cargo test --profile models --test loom_wait`; with `--cfg tickbus_exchanges`
//! beside it, a publish wakes as on x86, without a fence; with `--features std`, threads wait too.
//!
//! A task that is not woken blocks for ever, and loom reports a deadlock. Each model runs with the roles
//! spawned in both orders, as in `loom.rs`.
#![cfg(tickbus_loom)]

mod models;

use core::future::{Future, poll_fn};
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;

use loom::sync::atomic::AtomicUsize as Shared;
use loom::thread;
use models::{Task, outcomes, run};
use tickbus::topic::Many;
use tickbus::{Bus, Feed, Full, GatedTopic, Lane, Latest, Reject, Topic, Waiters};

/// Runs a future on this thread of the model, which blocks while it waits. It lets others run in between:
/// who found a place changing hands is polled again at once, and again, until the place has changed.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loom::future::block_on(poll_fn(|context| {
        let poll = future.as_mut().poll(context);
        if poll.is_pending() {
            thread::yield_now();
        }
        poll
    }))
}

/// Polls once, with a waker that does nothing.
fn once<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// A flag that is raised with no ordering of its own: the table must do.
fn raised(flag: &Shared) -> Option<usize> {
    Some(flag.load(Ordering::Relaxed)).filter(|value| *value != 0)
}

#[test]
fn a_change_and_a_wake() {
    for reverse in [false, true] {
        outcomes(4, 4, [vec![1, 0]], move || {
            let shared = Arc::new((Shared::new(0), Waiters::<1>::new()));
            let (waits, wakes) = (Arc::clone(&shared), shared);
            run(
                vec![
                    Box::new(move || {
                        block_on(waits.1.wait_until(|| raised(&waits.0)))
                            .expect("one place, one waits")
                    }),
                    Box::new(move || {
                        wakes.0.store(1, Ordering::Relaxed);
                        wakes.1.wake();
                        0
                    }),
                ],
                reverse,
            )
        });
    }
}

#[test]
fn two_wait_and_one_wakes() {
    for reverse in [false, true] {
        outcomes(2, 100, [vec![1, 1, 0]], move || {
            let shared = Arc::new((Shared::new(0), Waiters::<2>::new()));
            let waits = || -> Task<usize> {
                let shared = Arc::clone(&shared);
                Box::new(move || {
                    block_on(shared.1.wait_until(|| raised(&shared.0)))
                        .expect("two places, two wait")
                })
            };
            let wakes = Arc::clone(&shared);
            let wake: Task<usize> = Box::new(move || {
                wakes.0.store(1, Ordering::Relaxed);
                wakes.1.wake();
                0
            });
            run(vec![waits(), waits(), wake], reverse)
        });
    }
}

/// Two wakes take the waker of one: one of them gets it, and either will do, since each comes after the
/// change it announces.
#[test]
fn one_waits_for_both_of_two() {
    for reverse in [false, true] {
        outcomes(3, 100, [vec![2, 0, 0]], move || {
            let shared = Arc::new((Shared::new(0), Waiters::<2>::new()));
            let wakes = || -> Task<usize> {
                let shared = Arc::clone(&shared);
                Box::new(move || {
                    shared.0.fetch_add(1, Ordering::Relaxed);
                    shared.1.wake();
                    0
                })
            };
            let waits = Arc::clone(&shared);
            let wait: Task<usize> = Box::new(move || {
                let both = || raised(&waits.0).filter(|count| *count == 2);
                block_on(waits.1.wait_until(both)).expect("one waits")
            });
            run(vec![wait, wakes(), wakes()], reverse)
        });
    }
}

/// One is woken and goes away without looking. The other is woken all the same.
#[test]
fn a_cancelled_wait_takes_nothing_from_others() {
    for reverse in [false, true] {
        outcomes(2, 100, [vec![1, 0, 0]], move || {
            let shared = Arc::new((Shared::new(0), Waiters::<2>::new()));
            let (waits, wakes) = (Arc::clone(&shared), Arc::clone(&shared));
            let cancels = Arc::clone(&shared);
            run(
                vec![
                    Box::new(move || block_on(waits.1.wait_until(|| raised(&waits.0))).unwrap()),
                    Box::new(move || {
                        let mut wait = cancels.1.wait_until(|| None::<()>);
                        assert!(once(Pin::new(&mut wait)).is_pending());
                        drop(wait);
                        0
                    }),
                    Box::new(move || {
                        wakes.0.store(1, Ordering::Relaxed);
                        wakes.1.wake();
                        0
                    }),
                ],
                reverse,
            )
        });
    }
}

/// The place of one who gave up, taken by another while a wake is at it: his waker is not touched by
/// those who mean the first.
#[test]
fn a_place_changes_hands() {
    for reverse in [false, true] {
        outcomes(3, 100, [vec![1, 0]], move || {
            let shared = Arc::new((Shared::new(0), Waiters::<1>::new()));
            let (waits, wakes) = (Arc::clone(&shared), shared);
            run(
                vec![
                    Box::new(move || {
                        let mut first = waits.1.wait_until(|| None::<()>);
                        let _ = once(Pin::new(&mut first));
                        // Still held by the first, or freed by the wake, or just being freed.
                        let mut second = pin!(waits.1.wait_until(|| raised(&waits.0)));
                        drop(first);
                        block_on(second.as_mut()).expect("the first is gone")
                    }),
                    Box::new(move || {
                        wakes.1.wake();
                        wakes.0.store(1, Ordering::Relaxed);
                        wakes.1.wake();
                        0
                    }),
                ],
                reverse,
            )
        });
    }
}

/// Polled without having been woken, in the middle of being woken: the place just freed is taken again
/// before it has been counted as free.
#[test]
fn a_place_is_taken_again_at_once() {
    for reverse in [false, true] {
        outcomes(3, 20, [vec![true, true]], move || {
            let shared = Arc::new(Waiters::<2>::new());
            let (waits, wakes) = (Arc::clone(&shared), shared);
            run(
                vec![
                    Box::new(move || {
                        let mut wait = waits.wait_until(|| None::<()>);
                        (0..2).all(|_| once(Pin::new(&mut wait)).is_pending())
                    }),
                    Box::new(move || {
                        wakes.wake();
                        true
                    }),
                ],
                reverse,
            )
        });
    }
}

/// The ticket of a wait that was ended by a wake does not fit the wait of another at the same place.
#[test]
fn a_stale_ticket() {
    for reverse in [false, true] {
        outcomes(3, 20, [vec![1, 0, 0]], move || {
            let shared = Arc::new((Shared::new(0), Waiters::<1>::new()));
            let mut stale = Box::pin({
                let shared = Arc::clone(&shared);
                async move { shared.1.wait_until(|| None::<()>).await }
            });
            assert!(once(stale.as_mut()).is_pending());
            shared.1.wake();
            let (waits, wakes) = (Arc::clone(&shared), shared);
            run(
                vec![
                    Box::new(move || block_on(waits.1.wait_until(|| raised(&waits.0))).unwrap()),
                    Box::new(move || {
                        drop(stale);
                        0
                    }),
                    Box::new(move || {
                        wakes.0.store(1, Ordering::Relaxed);
                        wakes.1.wake();
                        0
                    }),
                ],
                reverse,
            )
        });
    }
}

/// With as many places as there are tasks, no task is ever told that there are too few.
#[test]
fn never_too_many_where_there_are_enough() {
    for reverse in [false, true] {
        outcomes(2, 100, [vec![true, true]], move || {
            let shared = Arc::new(Waiters::<2>::new());
            let comes_and_goes = |polls: usize| -> Task<bool> {
                let shared = Arc::clone(&shared);
                Box::new(move || {
                    (0..2).all(|_| {
                        let mut wait = shared.wait_until(|| None::<()>);
                        (0..polls).all(|_| once(Pin::new(&mut wait)).is_pending())
                    })
                })
            };
            run(vec![comes_and_goes(2), comes_and_goes(1)], reverse)
        });
    }
}

/// The same while one of them is woken and polled in the middle of the wake: it is not counted twice.
#[test]
fn never_too_many_while_one_is_woken() {
    for reverse in [false, true] {
        outcomes(2, 100, [vec![true, true, true]], move || {
            let shared = Arc::new(Waiters::<2>::new());
            let polls = |times: usize| -> Task<bool> {
                let shared = Arc::clone(&shared);
                Box::new(move || {
                    let mut wait = shared.wait_until(|| None::<()>);
                    let is_pending = (0..times).all(|_| once(Pin::new(&mut wait)).is_pending());
                    core::mem::forget(wait);
                    is_pending
                })
            };
            let wakes = Arc::clone(&shared);
            let wake: Task<bool> = Box::new(move || {
                wakes.wake();
                true
            });
            run(vec![polls(2), polls(1), wake], reverse)
        });
    }
}

#[test]
fn a_consumer_waits_for_a_publisher() {
    for reverse in [false, true] {
        outcomes(3, 20, [vec![vec![1, 2], vec![]]], move || {
            let bus = Arc::new(Bus::<u32, 2, Reject, Waiters<1>>::new());
            let (reads, publishes) = (Arc::clone(&bus), bus);
            run(
                vec![
                    Box::new(move || {
                        let mut events = reads.consumer().unwrap();
                        let first = block_on(events.next_async());
                        block_on(events.ready_async());
                        let second = events.drain().next().expect("it said so");
                        vec![first, second]
                    }),
                    Box::new(move || {
                        publishes.publish(1).unwrap();
                        publishes.publish(2).unwrap();
                        vec![]
                    }),
                ],
                reverse,
            )
        });
    }
}

/// What a batch commits, in one step.
#[test]
fn a_consumer_waits_for_a_batch() {
    for reverse in [false, true] {
        outcomes(3, 20, [vec![vec![1, 2], vec![]]], move || {
            let bus = Arc::new(Bus::<u32, 2, Reject, Waiters<1>>::new());
            let (reads, publishes) = (Arc::clone(&bus), bus);
            run(
                vec![
                    Box::new(move || {
                        let mut events = reads.consumer().unwrap();
                        block_on(events.ready_async());
                        events.drain().collect()
                    }),
                    Box::new(move || {
                        publishes.publish_batch(&[1, 2]).unwrap();
                        vec![]
                    }),
                ],
                reverse,
            )
        });
    }
}

/// One of which commits beside the other.
#[test]
fn a_consumer_waits_for_two_publishers() {
    for reverse in [false, true] {
        outcomes(1, 20, [vec![vec![1, 2], vec![], vec![]]], move || {
            let bus = Arc::new(Bus::<u32, 2, Reject, Waiters<1>>::new());
            let publish = |event| -> Task<Vec<u32>> {
                let bus = Arc::clone(&bus);
                Box::new(move || {
                    bus.publish(event).unwrap();
                    vec![]
                })
            };
            let publishes = [publish(1), publish(2)];
            let reads = bus;
            let mut tasks: Vec<Task<Vec<u32>>> = vec![Box::new(move || {
                let mut events = reads.consumer().unwrap();
                let mut taken: Vec<_> = (0..2).map(|_| block_on(events.next_async())).collect();
                taken.sort_unstable();
                taken
            })];
            tasks.extend(publishes);
            run(tasks, reverse)
        });
    }
}

/// A waker that counts how often it was taken from its place and woken.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Wake for Counter {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// By a task that tells itself to come again.
    fn wake_by_ref(self: &Arc<Self>) {}
}

impl Counter {
    fn new() -> (Arc<Self>, Waker) {
        let counter = Arc::new(Self::default());
        (Arc::clone(&counter), Waker::from(counter))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A place that is known to be left, by whatever way, is not taken for one that is taken.
#[test]
fn a_place_that_was_left_is_found() {
    for reverse in [false, true] {
        outcomes(3, 4, [vec![true, true]], move || {
            let shared = Arc::new((Shared::new(0), Waiters::<1>::new()));
            let (leaves, comes) = (Arc::clone(&shared), shared);
            run(
                vec![
                    Box::new(move || {
                        let mut wait = leaves.1.wait_until(|| None::<()>);
                        let is_pending = once(Pin::new(&mut wait)).is_pending();
                        drop(wait);
                        leaves.0.store(1, Ordering::Relaxed);
                        is_pending
                    }),
                    Box::new(move || {
                        raised(&comes.0).is_none()
                            || once(pin!(comes.1.wait_until(|| None::<()>))).is_pending()
                    }),
                ],
                reverse,
            )
        });
    }
}

/// A consumer that waits no longer is not woken by later events.
#[test]
fn a_consumer_that_gave_up_is_not_woken() {
    for reverse in [false, true] {
        outcomes(3, 4, [vec![0, 0]], move || {
            let bus = Arc::new((Shared::new(0), Bus::<u32, 2, Reject, Waiters<1>>::new()));
            let (counter, waker) = Counter::new();
            let (waits, publishes) = (Arc::clone(&bus), bus);
            run(
                vec![
                    Box::new(move || {
                        let mut events = waits.1.consumer().unwrap();
                        let mut ready = events.ready_async();
                        let _ = Pin::new(&mut ready).poll(&mut Context::from_waker(&waker));
                        drop(ready);
                        waits.0.store(1, Ordering::Release);
                        core::mem::forget(events);
                        0
                    }),
                    Box::new(move || {
                        let has_left = publishes.0.load(Ordering::Acquire) != 0;
                        let before = counter.count();
                        publishes.1.publish(1).unwrap();
                        if has_left { counter.count() - before } else { 0 }
                    }),
                ],
                reverse,
            )
        });
    }
}

/// A publisher has the one place, and has not found yet that all was taken before. The consumer wakes it, for
/// it may have interrupted it: then it would come again for ever.
#[test]
fn a_consumer_takes_the_place_of_a_publisher() {
    for reverse in [false, true] {
        outcomes(3, 20, [vec![0, 0], vec![0, 1]], move || {
            let bus = Arc::new(Bus::<u32, 2, Reject, Waiters<1>>::new());
            bus.publish_batch(&[1, 2]).unwrap();
            let (counter, waker) = Counter::new();
            let (reads, publishes) = (Arc::clone(&bus), bus);
            run(
                vec![
                    Box::new(move || {
                        let mut publish = publishes.publish_async(3);
                        let _ = Pin::new(&mut publish).poll(&mut Context::from_waker(&waker));
                        core::mem::forget(publish);
                        0
                    }),
                    Box::new(move || {
                        let mut events = reads.consumer().unwrap();
                        let mut taken = Vec::new();
                        assert_eq!(events.drain().append_to(&mut taken), 2);
                        let woken = counter.count();
                        let next = once(pin!(events.next_async()));
                        // A consumer that has taken an event wakes the publisher for its room.
                        if next.is_pending() { counter.count() - woken } else { 0 }
                    }),
                ],
                reverse,
            )
        });
    }
}

#[test]
fn a_publisher_waits_for_a_consumer() {
    for reverse in [false, true] {
        let expected = [vec![vec![], vec![1, 2], vec![3]], vec![vec![], vec![1], vec![2, 3]]];
        // The second drain begins when the publisher is done.
        let all = move |outcome: Vec<Vec<u32>>| outcome.concat();
        let expected: Vec<Vec<u32>> = expected.into_iter().map(all).collect();
        outcomes(3, 20, expected, move || {
            let bus = Arc::new(Bus::<u32, 2, Reject, Waiters<1>>::new());
            bus.publish_batch(&[1, 2]).unwrap();
            let (drains, publishes) = (Arc::clone(&bus), Arc::clone(&bus));
            let mut taken = run(
                vec![
                    Box::new(move || {
                        block_on(publishes.publish_async(3)).expect("there is a place");
                        vec![]
                    }),
                    Box::new(move || drains.consumer().unwrap().drain().take(1).collect()),
                ],
                reverse,
            );
            taken.push(bus.consumer().unwrap().drain().collect());
            assert_eq!(bus.stats().refused, 0);
            taken.concat()
        });
    }
}

/// The same where the consumer takes all at once.
#[test]
fn a_publisher_waits_for_a_chunk() {
    for reverse in [false, true] {
        outcomes(3, 20, [vec![1, 2, 3]], move || {
            let bus = Arc::new(Bus::<u32, 2, Reject, Waiters<1>>::new());
            bus.publish_batch(&[1, 2]).unwrap();
            let (drains, publishes) = (Arc::clone(&bus), Arc::clone(&bus));
            let append = |bus: &Bus<u32, 2, Reject, Waiters<1>>| {
                let mut taken = Vec::new();
                bus.consumer().unwrap().drain().append_to(&mut taken);
                taken
            };
            let mut taken = run(
                vec![
                    Box::new(move || {
                        block_on(publishes.publish_async(3)).expect("there is a place");
                        vec![]
                    }),
                    Box::new(move || append(&drains)),
                ],
                reverse,
            );
            taken.push(append(&bus));
            taken.concat()
        });
    }
}

/// Both sides wait: a bus of two, and four events.
#[test]
fn both_sides_wait() {
    for reverse in [false, true] {
        outcomes(2, 100, [vec![vec![1, 2, 3, 4], vec![]]], move || {
            let bus = Arc::new(Bus::<u32, 2, Reject, Waiters<2>>::new());
            let (reads, publishes) = (Arc::clone(&bus), bus);
            run(
                vec![
                    Box::new(move || {
                        let mut events = reads.consumer().unwrap();
                        block_on(async {
                            let mut taken = Vec::new();
                            while taken.len() < 4 {
                                events.ready_async().await;
                                events.drain().for_each(|event| taken.push(event));
                            }
                            taken
                        })
                    }),
                    Box::new(move || {
                        block_on(async {
                            for event in 1..=4 {
                                publishes.publish_async(event).await.expect("there are two places");
                            }
                        });
                        vec![]
                    }),
                ],
                reverse,
            )
        });
    }
}

/// One place for two, which is one too few. The publisher may be told so; the consumer never is, and
/// neither is left behind.
#[test]
fn a_consumer_gets_a_place_before_publishers() {
    for reverse in [false, true] {
        outcomes(2, 100, [vec![vec![1, 2, 3], vec![]]], move || {
            let bus = Arc::new(Bus::<u32, 2, Reject, Waiters<1>>::new());
            bus.publish_batch(&[1, 2]).unwrap();
            let (reads, publishes) = (Arc::clone(&bus), bus);
            run(
                vec![
                    Box::new(move || {
                        let mut events = reads.consumer().unwrap();
                        (0..3).map(|_| block_on(events.next_async())).collect()
                    }),
                    Box::new(move || {
                        let mut event = 3;
                        while let Err(Full(back)) = block_on(publishes.publish_async(event)) {
                            event = back;
                            thread::yield_now();
                        }
                        vec![]
                    }),
                ],
                reverse,
            )
        });
    }
}

// ---- Lanes -------------------------------------------------------------------------------------

/// What is published one by one, and at once.
#[test]
fn the_consumer_of_a_lane_waits_for_its_publisher() {
    type Way = fn(tickbus::Publisher<'_, u32, Waiters<1>>);
    let ways: [Way; 2] = [
        |mut publisher| [1, 2].into_iter().for_each(|event| publisher.publish(event).unwrap()),
        |mut publisher| publisher.publish_batch(&[1, 2]).unwrap(),
    ];
    for (reverse, way) in [false, true].into_iter().flat_map(|each| ways.map(|way| (each, way))) {
        outcomes(3, 20, [vec![vec![1, 2], vec![]]], move || {
            let lane = Arc::new(Lane::<u32, 2, Waiters<1>>::new());
            let (reads, publishes) = (Arc::clone(&lane), lane);
            run(
                vec![
                    Box::new(move || {
                        let mut events = reads.consumer().unwrap();
                        let first = block_on(events.next_async());
                        block_on(events.ready_async());
                        let second = events.drain().next().expect("it said so");
                        vec![first, second]
                    }),
                    Box::new(move || {
                        way(publishes.publisher().unwrap());
                        vec![]
                    }),
                ],
                reverse,
            )
        });
    }
}

/// Both ends wait for the other, on a lane of two.
#[test]
fn both_ends_of_a_lane_wait() {
    for reverse in [false, true] {
        outcomes(2, 100, [vec![vec![1, 2, 3, 4], vec![]]], move || {
            let lane = Arc::new(Lane::<u32, 2, Waiters<2>>::new());
            let (reads, publishes) = (Arc::clone(&lane), lane);
            run(
                vec![
                    Box::new(move || {
                        let mut events = reads.consumer().unwrap();
                        (0..4).map(|_| block_on(events.next_async())).collect()
                    }),
                    Box::new(move || {
                        let mut publisher = publishes.publisher().unwrap();
                        for event in 1..=4 {
                            block_on(publisher.publish_async(event)).expect("there are two places");
                        }
                        vec![]
                    }),
                ],
                reverse,
            )
        });
    }
}

// ---- Topics and latest values ------------------------------------------------------------------

/// What all threads of one execution reach.
struct Reached<T: 'static>(Arc<T>);

impl<T> Reached<T> {
    fn new(value: T) -> Self {
        Self(Arc::new(value))
    }

    fn get(&self) -> &'static T {
        // SAFETY: all threads are joined before the owner goes out of scope, and each drops what borrows
        // before it ends.
        unsafe { &*Arc::as_ptr(&self.0) }
    }
}

#[test]
fn a_subscriber_waits_for_a_publisher() {
    for reverse in [false, true] {
        outcomes(3, 20, [vec![vec![1, 2], vec![]]], move || {
            let owner = Reached::new(Topic::<u64, 2, Waiters<1>>::new());
            let topic = owner.get();
            let mut subscriber = topic.subscribe();
            run(
                vec![
                    Box::new(move || {
                        let mut next = || block_on(subscriber.next_async()).expect("a place");
                        vec![next(), next()]
                    }),
                    Box::new(move || {
                        topic.publish(1);
                        topic.publish(2);
                        vec![]
                    }),
                ],
                reverse,
            )
        });
    }
}

#[test]
fn a_subscriber_waits_for_the_publisher_of_a_feed() {
    for reverse in [false, true] {
        outcomes(3, 20, [vec![vec![1, 2], vec![]]], move || {
            let owner = Reached::new(Feed::<u64, 2, Waiters<1>>::new());
            let feed = owner.get();
            let mut subscriber = feed.subscribe();
            run(
                vec![
                    Box::new(move || {
                        let mut next = || block_on(subscriber.next_async()).expect("a place");
                        vec![next(), next()]
                    }),
                    Box::new(move || {
                        let mut publisher = feed.publisher().unwrap();
                        publisher.publish(1);
                        publisher.publish(2);
                        vec![]
                    }),
                ],
                reverse,
            )
        });
    }
}

/// Two subscribers, of which one gives up: the other is woken all the same.
#[test]
fn subscribers_wait_for_a_publisher() {
    for reverse in [false, true] {
        outcomes(1, 100, [vec![Some(1), None, None]], move || {
            let owner = Reached::new(Topic::<u64, 2, Waiters<2>>::new());
            let topic = owner.get();
            let (mut waits, mut gives_up) = (topic.subscribe(), topic.subscribe());
            run(
                vec![
                    Box::new(move || Some(block_on(waits.next_async()).expect("a place"))),
                    Box::new(move || {
                        let _ = once(pin!(gives_up.next_async()));
                        None
                    }),
                    Box::new(move || {
                        topic.publish(1);
                        None
                    }),
                ],
                reverse,
            )
        });
    }
}

/// A publisher waits for a gate, which is opened by reading in either way, or by leaving; and a reader
/// that waits is woken by a publisher that had waited.
#[test]
fn a_publisher_waits_for_a_gate() {
    type Subscriber = tickbus::Subscriber<'static, u64, Many, Waiters<2>>;
    let ways: [(fn(Subscriber) -> Vec<u64>, &[u64]); 3] = [
        (
            |mut subscriber| {
                let next = |_| block_on(subscriber.next_async()).expect("a place");
                (0..3).map(next).collect()
            },
            &[1, 2, 3],
        ),
        (
            |mut subscriber| {
                let read = subscriber.read().flatten().take(1).collect();
                // To leave would open the gate too.
                core::mem::forget(subscriber);
                read
            },
            &[1],
        ),
        (
            |subscriber| {
                drop(subscriber);
                vec![]
            },
            &[],
        ),
    ];
    for reverse in [false, true] {
        for (way, read) in ways {
            outcomes(2, 20, [vec![vec![], read.to_vec()]], move || {
                let owner = Reached::new(GatedTopic::<u64, 2, 1, Waiters<2>>::new());
                let topic = owner.get();
                let subscriber = topic.subscribe().unwrap();
                topic.publish(1).unwrap();
                topic.publish(2).unwrap();
                run(
                    vec![
                        Box::new(move || {
                            block_on(topic.publish_async(3)).expect("there is a place");
                            vec![]
                        }),
                        Box::new(move || way(subscriber)),
                    ],
                    reverse,
                )
            });
        }
    }
}

/// Two subscribers at the gate read at the same time: one of them sees that there is room.
#[test]
fn a_publisher_waits_for_two_gates() {
    type Subscriber = tickbus::Subscriber<'static, u64, Many, Waiters<3>>;
    let ways: [fn(&mut Subscriber); 3] = [
        |gate| assert_eq!(gate.read().next(), Some(Ok(1))),
        |gate| assert_eq!(block_on(gate.next_async()), Ok(1)),
        |gate| assert_eq!(gate.read().flatten().sum::<u64>(), 3),
    ];
    for reverse in [false, true] {
        for (first, second) in [(0, 0), (1, 2)].map(|(first, second)| (ways[first], ways[second])) {
            outcomes(2, 20, [vec![(); 3]], move || {
                let owner = Reached::new(GatedTopic::<u64, 2, 2, Waiters<3>>::new());
                let topic = owner.get();
                let read = |way: fn(&mut Subscriber)| -> Task {
                    let mut gate = topic.subscribe().unwrap();
                    Box::new(move || {
                        way(&mut gate);
                        // To leave would open the gate too.
                        core::mem::forget(gate);
                    })
                };
                let reads = [read(first), read(second)];
                topic.publish(1).unwrap();
                topic.publish(2).unwrap();
                let publish: Task =
                    Box::new(|| block_on(topic.publish_async(3)).expect("there is a place"));
                let mut tasks = vec![publish];
                tasks.extend(reads);
                run(tasks, reverse)
            });
        }
    }
}

/// A subscriber shuts the gate at its first look, until it knows where it begins.
#[test]
fn a_publisher_waits_for_one_that_subscribes() {
    for reverse in [false, true] {
        outcomes(3, 20, [vec![(); 2]], move || {
            let owner = Reached::new(GatedTopic::<u64, 2, 1, Waiters<1>>::new());
            let topic = owner.get();
            run(
                vec![
                    Box::new(move || {
                        let subscriber = topic.subscribe().unwrap();
                        if topic.stats().published == 2 && subscriber.pending() == 0 {
                            // It begins behind the second event, so there is room. To leave would wake.
                            core::mem::forget(subscriber);
                        }
                    }),
                    Box::new(move || {
                        topic.publish(1).unwrap();
                        topic.publish(2).unwrap();
                        block_on(topic.publish_async(3)).expect("there is a place");
                    }),
                ],
                reverse,
            )
        });
    }
}

/// A reader that waits at a gate is woken by a plain publish.
#[test]
fn a_gating_subscriber_waits_for_a_publisher() {
    for reverse in [false, true] {
        outcomes(3, 4, [vec![1, 0]], move || {
            let owner = Reached::new(GatedTopic::<u64, 2, 1, Waiters<1>>::new());
            let topic = owner.get();
            let mut subscriber = topic.subscribe().unwrap();
            run(
                vec![
                    Box::new(move || block_on(subscriber.next_async()).expect("a place")),
                    Box::new(move || {
                        topic.publish(1).unwrap();
                        0
                    }),
                ],
                reverse,
            )
        });
    }
}

#[test]
fn a_watcher_waits_for_a_change() {
    for reverse in [false, true] {
        outcomes(3, 20, [vec![vec![1, 2], vec![]], vec![vec![2], vec![]]], move || {
            let owner = Reached::new(Latest::<u64, Waiters<1>>::new());
            let latest = owner.get();
            let mut watcher = latest.watch();
            run(
                vec![
                    Box::new(move || {
                        let mut seen = vec![];
                        while seen.last() != Some(&2) {
                            let changed = block_on(watcher.changed_async()).expect("a place");
                            assert_eq!(changed.skipped + seen.len() + 1, changed.value as usize);
                            seen.push(changed.value);
                        }
                        seen
                    }),
                    Box::new(move || {
                        latest.publish(1);
                        latest.publish(2);
                        vec![]
                    }),
                ],
                reverse,
            )
        });
    }
}

/// Threads that park, with `--features std`.
#[cfg(feature = "std")]
mod threads {
    use tickbus::wait::{Cancel, Wait, WaitError};

    use super::*;

    /// One place more than is waited at, so that none is found changing hands.
    type Pair = Bus<u32, 2, Reject, Waiters<2>>;

    #[test]
    fn a_thread_waits_for_a_publisher() {
        for reverse in [false, true] {
            outcomes(3, 10, [vec![vec![1, 2], vec![]]], move || {
                let bus = Arc::new(Pair::new());
                let (reads, publishes) = (Arc::clone(&bus), bus);
                run(
                    vec![
                        Box::new(move || {
                            let mut events = reads.consumer().unwrap();
                            let next = |_| events.next_wait(Wait::forever()).unwrap();
                            (0..2).map(next).collect()
                        }),
                        Box::new(move || {
                            publishes.publish(1).unwrap();
                            publishes.publish(2).unwrap();
                            vec![]
                        }),
                    ],
                    reverse,
                )
            });
        }
    }

    #[test]
    fn a_thread_waits_for_room() {
        for reverse in [false, true] {
            outcomes(3, 10, [vec![vec![], vec![1, 2, 3]]], move || {
                let bus = Arc::new(Pair::new());
                bus.publish_batch(&[1, 2]).unwrap();
                let (reads, publishes) = (Arc::clone(&bus), bus);
                run(
                    vec![
                        Box::new(move || {
                            publishes.publish_wait(3, Wait::forever()).unwrap();
                            vec![]
                        }),
                        Box::new(move || {
                            let mut events = reads.consumer().unwrap();
                            let next = |_| events.next_wait(Wait::forever()).unwrap();
                            (0..3).map(next).collect()
                        }),
                    ],
                    reverse,
                )
            });
        }
    }

    #[test]
    fn a_cancel_wakes_a_thread() {
        for reverse in [false, true] {
            outcomes(3, 10, [vec![true, true]], move || {
                let shared = Arc::new((Pair::new(), Cancel::new()));
                let (waits, cancels) = (Arc::clone(&shared), shared);
                run(
                    vec![
                        Box::new(move || {
                            let (bus, cancel) = &*waits;
                            let wait = Wait::forever().until(cancel);
                            let next = bus.consumer().unwrap().next_wait(wait);
                            next == Err(WaitError::Cancelled)
                        }),
                        Box::new(move || {
                            cancels.1.cancel();
                            true
                        }),
                    ],
                    reverse,
                )
            });
        }
    }

    /// What was there before the cancellation.
    #[test]
    fn an_event_and_room_win_over_a_cancellation() {
        for reverse in [false, true] {
            outcomes(2, 10, [vec![true, true, true]], move || {
                let shared = Arc::new((Pair::new(), Pair::new(), Cancel::new()));
                shared.1.publish_batch(&[1, 2]).unwrap();
                let (reads, publishes) = (Arc::clone(&shared), Arc::clone(&shared));
                run(
                    vec![
                        Box::new(move || {
                            let (bus, _, cancel) = &*reads;
                            let wait = Wait::forever().until(cancel);
                            bus.consumer().unwrap().next_wait(wait) == Ok(1)
                        }),
                        Box::new(move || {
                            let (_, bus, cancel) = &*publishes;
                            bus.publish_wait(3, Wait::forever().until(cancel)).is_ok()
                        }),
                        Box::new(move || {
                            let (empty, full, cancel) = &*shared;
                            empty.publish(1).unwrap();
                            let taken = full.consumer().unwrap().drain().next();
                            cancel.cancel();
                            taken == Some(1)
                        }),
                    ],
                    reverse,
                )
            });
        }
    }
}
