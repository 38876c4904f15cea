//! Can it race? Topics and latest values under the model checker, each model with the exact set of
//! outcomes it must have. Run with
//! `RUSTFLAGS="--cfg tickbus_loom" cargo test --profile models --test loom_topic`.
//!
//! As in `loom.rs`, each model runs with its threads spawned in both orders, the main thread only
//! joins, and a model that explores too little fails.
#![cfg(tickbus_loom)]

mod models;

use core::ops::Deref;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicBool;
use models::{outcomes, run};
use tickbus::topic::Publishers;
use tickbus::{Feed, Full, GatedTopic, Lagged, Latest, Single, Subscriber, Topic};

/// What all threads of one execution reach, subscribers included.
struct Shared<T: 'static>(Arc<T>);

impl<T> Shared<T> {
    fn new(value: T) -> Self {
        Self(Arc::new(value))
    }

    fn reach(&self) -> &'static T {
        // SAFETY: every thread is joined before the owner goes out of scope, and the main thread drops
        // what borrows before that.
        unsafe { &*Arc::as_ptr(&self.0) }
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

/// Two words that must belong together.
type Event = [u64; 2];

fn event(number: u64) -> Event {
    [number, !number]
}

#[track_caller]
fn number(event: Event) -> u64 {
    assert_eq!(event[1], !event[0], "torn");
    event[0]
}

/// What a subscriber found: numbers of events, and how many were missed in between, negative.
type Seen = Vec<i64>;

fn found(item: Result<Event, Lagged>) -> i64 {
    match item {
        Ok(event) => number(event) as i64,
        Err(Lagged(missed)) => -(missed as i64),
    }
}

/// Item by item.
fn read<P: Publishers>(subscriber: &mut Subscriber<'_, Event, P>) -> Seen {
    let mut unread = subscriber.read();
    core::iter::from_fn(|| unread.next()).map(found).collect()
}

/// All at once, which takes another way.
fn read_all<P: Publishers>(subscriber: &mut Subscriber<'_, Event, P>) -> Seen {
    let mut seen = Seen::new();
    subscriber.read().for_each(|item| seen.push(found(item)));
    seen
}

/// How many events a subscriber knows of.
fn accounted(seen: &Seen) -> i64 {
    seen.iter().map(|found| if *found < 0 { -found } else { 1 }).sum()
}

fn of(seen: &Seen, publisher: i64) -> Seen {
    seen.iter().copied().filter(|found| *found > 0 && found / 10 == publisher).collect()
}

fn put<T>(slot: &Arc<Mutex<T>>) -> impl FnOnce(T) + Send + use<T>
where
    T: Send + 'static,
{
    let slot = Arc::clone(slot);
    move |value| *slot.lock().unwrap() = value
}

fn take<T: Default>(slot: &Arc<Mutex<T>>) -> T {
    std::mem::take(&mut slot.lock().unwrap())
}

/// The topic goes on as a new one would, on every lap: all cells are there, each once.
fn still_works(topic: &Topic<Event, 2>) {
    for lap in 0..3 {
        let mut subscriber = topic.subscribe();
        for number in [1000, 1001] {
            topic.publish(event(number + lap));
        }
        let (first, second) = (1000 + lap as i64, 1001 + lap as i64);
        assert_eq!(read(&mut subscriber), [first, second], "a slot is lost");
        topic.publish(event(2000));
        topic.publish(event(2001));
        topic.publish(event(2002));
        assert_eq!(read(&mut subscriber), [-1, 2001, 2002]);
    }
}

#[test]
fn one_publisher_laps_one_reader() {
    for (reverse, read) in
        [(false, read as fn(&mut _) -> _), (true, read), (false, read_all), (true, read_all)]
    {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        outcomes(3, 50, [()], {
            let seen = Arc::clone(&seen);
            move || {
                let topic = Shared::new(Topic::<Event, 2>::new());
                let found = Arc::default();
                let (t, put) = (topic.reach(), put(&found));
                let mut subscriber = t.subscribe();
                run(
                    vec![
                        Box::new(move || {
                            for number in 1..=3 {
                                t.publish(event(number));
                            }
                        }),
                        Box::new(move || {
                            let during = read(&mut subscriber);
                            put((during, Some(subscriber)));
                        }),
                    ],
                    reverse,
                );
                let (during, subscriber): (Seen, Option<Subscriber<'_, Event>>) = take(&found);
                let mut subscriber = subscriber.unwrap();
                let after = read(&mut subscriber);
                assert_eq!(accounted(&during) + accounted(&after), 3);
                let stats = subscriber.stats();
                assert_eq!((stats.published, stats.pending), (3, 0));
                seen.lock().unwrap().insert((during, after));
                drop(subscriber);
                still_works(&topic);
            }
        });
        let expected: [(Seen, Seen); 6] = [
            (vec![], vec![-1, 2, 3]),
            (vec![-1], vec![2, 3]),
            (vec![-1, 2], vec![3]),
            (vec![-1, 2, 3], vec![]),
            (vec![1], vec![2, 3]),
            (vec![1, 2], vec![3]),
        ];
        assert_eq!(*seen.lock().unwrap(), expected.into_iter().collect());
    }
}

/// Two publishers, of which each may be stopped in the middle of the other, and a reader meanwhile.
#[test]
fn two_publishers_and_a_reader() {
    for reverse in [false, true] {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        outcomes(2, 500, [()], {
            let seen = Arc::clone(&seen);
            move || {
                let topic = Shared::new(Topic::<Event, 4>::new());
                let found = Arc::default();
                let (t, put) = (topic.reach(), put(&found));
                let mut subscriber = t.subscribe();
                run(
                    vec![
                        Box::new(move || {
                            t.publish(event(10));
                            t.publish(event(11));
                        }),
                        Box::new(move || t.publish(event(20))),
                        Box::new(move || {
                            let during = read(&mut subscriber);
                            put((during, Some(subscriber)));
                        }),
                    ],
                    reverse,
                );
                let (mut all, subscriber): (Seen, Option<Subscriber<'_, Event>>) = take(&found);
                let during = all.clone();
                all.extend(read(&mut subscriber.unwrap()));
                // Nothing is lapped on four slots: every event once, in the order of its publisher.
                assert_eq!((of(&all, 1), of(&all, 2), all.len()), (vec![10, 11], vec![20], 3));
                seen.lock().unwrap().insert(during);
            }
        });
        let expected: [Seen; 9] = [
            vec![],
            vec![10],
            vec![20],
            vec![10, 11],
            vec![10, 20],
            vec![20, 10],
            vec![10, 11, 20],
            vec![10, 20, 11],
            vec![20, 10, 11],
        ];
        assert_eq!(*seen.lock().unwrap(), expected.into_iter().collect());
    }
}

/// An interrupted publisher hides no event: what another has published can be read at once.
#[test]
fn an_interrupted_publisher_hides_no_event() {
    for reverse in [false, true] {
        let expected: [Seen; 3] = [vec![10, 20, 21], vec![20, 10, 21], vec![20, 21, 10]];
        outcomes(3, 500, expected, move || {
            let topic = Shared::new(Topic::<Event, 4>::new());
            let found = Arc::default();
            let (t, put) = (topic.reach(), put(&found));
            let mut subscriber = t.subscribe();
            run(
                vec![
                    Box::new(move || t.publish(event(10))),
                    Box::new(move || {
                        let mut all = Seen::new();
                        for number in [20, 21] {
                            t.publish(event(number));
                            let now = read(&mut subscriber);
                            assert!(now.contains(&(number as i64)), "a false empty: {now:?}");
                            all.extend(now);
                        }
                        put((all, Some(subscriber)));
                    }),
                ],
                reverse,
            );
            let (mut all, subscriber): (Seen, Option<Subscriber<'_, Event>>) = take(&found);
            all.extend(read(&mut subscriber.unwrap()));
            all
        });
    }
}

/// As above, for laps: the cell that the stopped publisher has is not used, all others are, and in the
/// end every cell is there.
#[test]
fn a_stopped_publisher_keeps_one_slot() {
    for reverse in [false, true] {
        outcomes(if reverse { 2 } else { 3 }, 300, [()], move || {
            let topic = Shared::new(Topic::<Event, 2>::new());
            let t = topic.reach();
            run(
                vec![
                    Box::new(move || t.publish(event(10))),
                    Box::new(move || {
                        let mut subscriber = t.subscribe();
                        let mut accounts = 0;
                        for number in 20..24 {
                            t.publish(event(number));
                            let now = read(&mut subscriber);
                            assert!(now.contains(&(number as i64)), "a false empty: {now:?}");
                            accounts += accounted(&now);
                        }
                        assert!((4..=5).contains(&accounts), "{accounts}");
                    }),
                ],
                reverse,
            );
            assert_eq!((topic.stats().published, topic.stats().lost), (5, 0));
            still_works(&topic);
        });
    }
}

/// A publisher that finds all slots held by others loses its event, and every reader learns it.
#[test]
fn more_publishers_under_way_than_slots() {
    for reverse in [false, true] {
        outcomes(2, 500, [0, 1], move || {
            let topic = Shared::new(Topic::<Event, 2>::new());
            let t = topic.reach();
            let mut subscriber = t.subscribe();
            run(
                vec![
                    Box::new(move || t.publish(event(10))),
                    Box::new(move || t.publish(event(20))),
                    Box::new(move || t.publish(event(30))),
                ],
                reverse,
            );
            // An event that is lost is pending until it is told.
            let stats = subscriber.stats();
            assert_eq!((stats.published, stats.received + stats.missed, stats.pending), (3, 0, 3));
            let all = read(&mut subscriber);
            assert_eq!(accounted(&all), 3, "{all:?}");
            let stats = subscriber.stats();
            assert_eq!((stats.published, stats.received + stats.missed, stats.pending), (3, 3, 0));
            assert_eq!(topic.stats().published, 3);
            drop(subscriber);
            still_works(&topic);
            topic.stats().lost
        });
    }
}

/// A reader that knows that an event has been published finds it, also if the one before it came from a
/// publisher that it knows nothing of.
#[test]
fn who_sees_an_event_sees_those_before() {
    for reverse in [false, true] {
        outcomes(
            3,
            200,
            [None, Some(vec![10, 20]), Some(vec![20]), Some(vec![20, 10])],
            move || {
                let topic = Shared::new(Topic::<Event, 4>::new());
                let found = Arc::default();
                let (t, put) = (topic.reach(), put(&found));
                let told = Arc::new(AtomicBool::new(false));
                let tell = Arc::clone(&told);
                let mut subscriber = t.subscribe();
                run(
                    vec![
                        Box::new(move || t.publish(event(10))),
                        Box::new(move || {
                            t.publish(event(20));
                            tell.store(true, Ordering::Release);
                        }),
                        Box::new(move || {
                            put(told.load(Ordering::Acquire).then(|| {
                                let seen = read(&mut subscriber);
                                assert!(seen.contains(&20), "a false empty: {seen:?}");
                                seen
                            }));
                        }),
                    ],
                    reverse,
                );
                take::<Option<Seen>>(&found)
            },
        );
    }
}

/// A subscriber that joins while a publisher goes round the ring finds what it publishes after that, or is told
/// that it was overtaken: it does not begin behind a position that is still to be committed.
#[test]
fn joining_while_another_laps() {
    for reverse in [false, true] {
        outcomes(2, 100, [None, Some(0), Some(1)], move || {
            let topic = Shared::new(Topic::<Event, 2>::new());
            let found = Arc::default();
            let (t, put) = (topic.reach(), put(&found));
            run(
                vec![
                    Box::new(move || (10..13).for_each(|number| t.publish(event(number)))),
                    Box::new(move || {
                        let mut subscriber = t.subscribe();
                        t.publish(event(20));
                        put(read(&mut subscriber));
                    }),
                ],
                reverse,
            );
            let found: Seen = take(&found);
            let is_overtaken = found.iter().any(|found| *found < 0);
            assert!(is_overtaken || found.contains(&20), "a false empty: {found:?}");
            // How many events it got before its own.
            found.iter().filter(|found| **found > 0).position(|found| *found == 20)
        });
    }
}

// ---- Feed --------------------------------------------------------------------------------------

/// What one thread does after another, for no other reason than what is modelled: loom tells if the two
/// are not ordered.
struct Work(UnsafeCell<u32>);

// SAFETY: loom looks after it.
unsafe impl Sync for Work {}

impl Work {
    fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    fn write(&self) {
        // SAFETY: loom fails the model if another thread is at it.
        self.0.with_mut(|work| unsafe { *work += 1 });
    }

    fn read(&self) -> u32 {
        // SAFETY: loom fails the model if another thread writes meanwhile.
        self.0.with(|work| unsafe { *work })
    }
}

/// A publisher laps a reader, which reads in both ways.
#[test]
fn the_publisher_of_a_feed_laps_a_reader() {
    type Way = fn(&mut Subscriber<'_, Event, Single>) -> Seen;
    let ways = [(false, read as Way, false), (true, read, false)];
    let ways = ways.into_iter().chain([(false, read_all as Way, true), (true, read_all, true)]);
    for (reverse, way, is_ahead) in ways {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        outcomes(3, 50, [()], {
            let seen = Arc::clone(&seen);
            move || {
                let feed = Shared::new(Feed::<Event, 2>::new());
                let found = Arc::default();
                let (f, put) = (feed.reach(), put(&found));
                let mut subscriber = f.subscribe();
                run(
                    vec![
                        Box::new(move || {
                            let mut publisher = f.publisher().unwrap();
                            (1..=4).for_each(|number| publisher.publish(event(number)));
                        }),
                        Box::new(move || {
                            let during = way(&mut subscriber);
                            put((during, Some(subscriber)));
                        }),
                    ],
                    reverse,
                );
                let (during, subscriber): (Seen, Option<Subscriber<'_, Event, Single>>) =
                    take(&found);
                let mut subscriber = subscriber.unwrap();
                let after = read(&mut subscriber);
                assert_eq!(accounted(&during) + accounted(&after), 4);
                let stats = subscriber.stats();
                assert_eq!((stats.published, stats.pending), (4, 0));
                seen.lock().unwrap().insert(during);
            }
        });
        let found = seen.lock().unwrap().clone();
        println!("{found:?}");
        // Up to what was published when it began to read; in between it is overtaken.
        let mut expected = BTreeSet::from([
            vec![],
            vec![1],
            vec![1, 2],
            vec![-1],
            vec![-1, 2],
            vec![-1, 2, 3],
            vec![-1, -1],
            vec![-1, -1, 3],
            vec![-2],
            vec![-2, 3],
            vec![-2, 3, 4],
        ]);
        // Two that are copied together are overtaken together.
        if !is_ahead {
            expected.insert(vec![1, -1]);
        }
        assert_eq!(found, expected);
    }
}

/// A reader of an event finds what was done before it was published.
#[test]
fn a_feed_orders_what_its_publisher_did() {
    for reverse in [false, true] {
        outcomes(3, 10, [0, 1], move || {
            let feed = Shared::new((Feed::<Event, 2>::new(), Work::new()));
            let found = Arc::default();
            let (f, put) = (feed.reach(), put(&found));
            let mut subscriber = f.0.subscribe();
            run(
                vec![
                    Box::new(move || {
                        let mut publisher = f.0.publisher().unwrap();
                        f.1.write();
                        publisher.publish(event(1));
                    }),
                    Box::new(move || {
                        let is_there = !read(&mut subscriber).is_empty();
                        put(if is_there { f.1.read() } else { 0 });
                    }),
                ],
                reverse,
            );
            take(&found)
        });
    }
}

/// Two want to publish: one after the other, or only one.
#[test]
fn the_publisher_of_a_feed_changes_hands() {
    for reverse in [false, true] {
        outcomes(3, 10, [1, 2], move || {
            let feed = Shared::new((Feed::<Event, 4>::new(), Work::new()));
            let f = feed.reach();
            let mut subscriber = f.0.subscribe();
            let publish = |number: u64| {
                move || {
                    if let Ok(mut publisher) = f.0.publisher() {
                        f.1.write();
                        publisher.publish(event(number));
                    }
                }
            };
            run(vec![Box::new(publish(1)), Box::new(publish(2))], reverse);
            let seen = read(&mut subscriber);
            assert_eq!(f.0.stats().published, seen.len(), "{seen:?}");
            assert_eq!(f.1.read() as usize, seen.len());
            seen.len()
        });
    }
}

/// Two publish to a feed without a handle: each event arrives or is counted as refused.
#[test]
fn publishing_to_a_feed_without_a_handle() {
    for reverse in [false, true] {
        outcomes(3, 10, [1, 2], move || {
            let feed = Shared::new(Feed::<Event, 4>::new());
            let f = feed.reach();
            let mut subscriber = f.subscribe();
            let publish = |number: u64| {
                move || {
                    let _ = f.publish(event(number));
                }
            };
            run(vec![Box::new(publish(1)), Box::new(publish(2))], reverse);
            let seen = read(&mut subscriber).len();
            let stats = f.stats();
            assert_eq!((stats.published, stats.refused), (seen, 2 - seen));
            assert!(f.publisher().is_ok(), "the end is given back");
            seen
        });
    }
}

// ---- History -----------------------------------------------------------------------------------

/// What a history shows beside a publisher that laps it: events that follow each other, whole, up to the last one that
/// was there. A read in an interrupt is one of these: its publisher goes on when it has ended (row 004.23).
#[test]
fn a_history_of_a_topic_beside_its_publisher() {
    for reverse in [false, true] {
        let expected = [vec![], vec![1], vec![2], vec![1, 2], vec![2, 3]];
        outcomes(3, 100, expected, move || {
            let topic = Shared::new(Topic::<Event, 2>::new());
            let found = Arc::default();
            let (t, put) = (topic.reach(), put(&found));
            run(
                vec![
                    Box::new(move || (1..=3).for_each(|number| t.publish(event(number)))),
                    Box::new(move || {
                        put(t.history().all().map(number).map(|n| n as i64).collect())
                    }),
                ],
                reverse,
            );
            let found: Seen = take(&found);
            assert!(topic.history().last(1).map(number).eq([3]));
            assert!(topic.history().all().map(number).eq([2, 3]));
            found
        });
    }
}

/// The same on a feed.
#[test]
fn a_history_of_a_feed_beside_its_publisher() {
    for reverse in [false, true] {
        let expected = [vec![], vec![1], vec![2], vec![1, 2], vec![2, 3]];
        outcomes(3, 100, expected, move || {
            let feed = Shared::new(Feed::<Event, 2>::new());
            let found = Arc::default();
            let (f, put) = (feed.reach(), put(&found));
            run(
                vec![
                    Box::new(move || {
                        let mut publisher = f.publisher().unwrap();
                        (1..=3).for_each(|number| publisher.publish(event(number)));
                    }),
                    Box::new(move || {
                        put(f.history().all().map(number).map(|n| n as i64).collect())
                    }),
                ],
                reverse,
            );
            let found: Seen = take(&found);
            assert!(feed.history().all().map(number).eq([2, 3]));
            found
        });
    }
}

/// An interrupted publisher hides no later event from a history, and what it has not put in is not shown.
#[test]
fn a_history_beside_a_late_publisher() {
    for reverse in [false, true] {
        let expected = [vec![2], vec![1, 2], vec![2, 1]];
        outcomes(3, 20, expected, move || {
            let topic = Shared::new(Topic::<Event, 2>::new());
            let found = Arc::default();
            let (t, put) = (topic.reach(), put(&found));
            run(
                vec![
                    Box::new(move || t.publish(event(1))),
                    Box::new(move || {
                        t.publish(event(2));
                        put(t.history().all().map(number).map(|n| n as i64).collect());
                    }),
                ],
                reverse,
            );
            take::<Seen>(&found)
        });
    }
}

// ---- Gated -------------------------------------------------------------------------------------

/// Nothing is lost to a subscriber that gates; "full" is told only while it has N unread.
#[test]
fn a_gating_reader_is_never_lapped() {
    for reverse in [false, true] {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        outcomes(3, 100, [()], {
            let seen = Arc::clone(&seen);
            move || {
                let topic = Shared::new(GatedTopic::<Event, 2, 1>::new());
                let found = Arc::default();
                let full = Arc::default();
                let (t, put, put_full) = (topic.reach(), put(&found), put(&full));
                let mut subscriber = t.subscribe().unwrap();
                run(
                    vec![
                        Box::new(move || {
                            t.publish(event(1)).unwrap();
                            t.publish(event(2)).unwrap();
                            put_full(t.publish(event(3)) == Err(Full(event(3))));
                        }),
                        Box::new(move || {
                            let during = read(&mut subscriber);
                            put((during, Some(subscriber)));
                        }),
                    ],
                    reverse,
                );
                let (during, subscriber): (Seen, Option<Subscriber<'_, Event>>) = take(&found);
                let mut subscriber = subscriber.unwrap();
                let full = take(&full);
                let mut all = during.clone();
                all.extend(read(&mut subscriber));
                assert_eq!(all, if full { vec![1, 2] } else { vec![1, 2, 3] });
                // Whatever happened, there is room for two now, and for no more.
                for number in [4, 5] {
                    topic.publish(event(number)).expect("a false full");
                }
                assert_eq!(topic.publish(event(6)), Err(Full(event(6))));
                assert_eq!(read(&mut subscriber), [4, 5]);
                seen.lock().unwrap().insert((during.len(), full));
            }
        });
        // How many it read while the other published, and whether the third found no room.
        let expected = [(0, true), (1, false), (1, true), (2, false), (2, true)];
        assert_eq!(*seen.lock().unwrap(), expected.into_iter().collect());
    }
}

/// A group finds room for all of it, or comes back: no slot of a gating reader is given away for a part of it (row
/// 000.20).
#[test]
fn a_group_is_published_whole_or_not_at_all() {
    for reverse in [false, true] {
        // Whether it was published, what the reader saw beside it, and what was left.
        let expected = [(false, vec![1], vec![]), (true, vec![1], vec![2, 3])];
        outcomes(3, 20, expected, move || {
            let topic = Shared::new(GatedTopic::<Event, 2, 1>::new());
            let (found, published) = (Arc::default(), Arc::default());
            let (t, put, put_published) = (topic.reach(), put(&found), put(&published));
            let mut subscriber = t.subscribe().unwrap();
            t.publish(event(1)).unwrap();
            run(
                vec![
                    Box::new(move || {
                        let group = [event(2), event(3)];
                        let result = t.publish_all(group);
                        assert!(result.is_ok() || result == Err(Full(group)));
                        put_published(result.is_ok());
                    }),
                    Box::new(move || {
                        let during = read(&mut subscriber);
                        put((during, Some(subscriber)));
                    }),
                ],
                reverse,
            );
            let (during, subscriber): (Seen, Option<Subscriber<'_, Event>>) = take(&found);
            let rest = read(&mut subscriber.unwrap());
            assert_eq!(topic.stats().published + topic.stats().refused, 3);
            (take(&published), during, rest)
        });
    }
}

/// A group beside another publisher: it keeps its order, and an event that is published at the same time may come
/// before, within or behind it. When its publish returns, a reader finds it, also behind an interrupted publisher.
#[test]
fn a_group_beside_a_publisher() {
    for reverse in [false, true] {
        outcomes(3, 100, [vec![9, 1, 2], vec![1, 9, 2], vec![1, 2, 9]], move || {
            let topic = Shared::new(GatedTopic::<Event, 4, 1>::new());
            let found = Arc::default();
            let (t, put) = (topic.reach(), put(&found));
            let mut subscriber = t.subscribe().unwrap();
            run(
                vec![
                    Box::new(move || {
                        t.publish_all([event(1), event(2)]).unwrap();
                        let during = read(&mut subscriber);
                        assert!(during.contains(&1) && during.contains(&2), "a false empty");
                        put((during, Some(subscriber)));
                    }),
                    Box::new(move || t.publish(event(9)).unwrap()),
                ],
                reverse,
            );
            let (mut all, subscriber): (Seen, Option<Subscriber<'_, Event>>) = take(&found);
            let mut subscriber = subscriber.unwrap();
            all.extend(read(&mut subscriber));
            t.publish(event(10)).unwrap();
            assert_eq!(read(&mut subscriber), [10]);
            all
        });
    }
}

/// A group takes the slots of events that have been read, and whose cells have changed places.
#[test]
fn a_group_takes_slots_that_another_gave_back() {
    for reverse in [false, true] {
        outcomes(2, 100, [()], move || {
            let topic = Shared::new(GatedTopic::<Event, 2, 1>::new());
            let found = Arc::default();
            let (t, put) = (topic.reach(), put(&found));
            let mut subscriber = t.subscribe().unwrap();
            run(
                vec![
                    Box::new(move || _ = t.publish(event(1))),
                    Box::new(move || {
                        t.publish(event(2)).unwrap();
                        let mut all = read(&mut subscriber);
                        let _ = t.publish_all([event(3), event(4)]);
                        all.extend(read(&mut subscriber));
                        put((all, Some(subscriber)));
                    }),
                ],
                reverse,
            );
            let (mut all, subscriber): (Seen, Option<Subscriber<'_, Event>>) = take(&found);
            let mut subscriber = subscriber.unwrap();
            all.extend(read(&mut subscriber));
            assert!(all.iter().filter(|number| **number > 1).is_sorted(), "{all:?}");
            all.sort_unstable();
            assert!([vec![1, 2], vec![2, 3, 4], vec![1, 2, 3, 4]].contains(&all), "{all:?}");
            assert_eq!(all.len(), topic.stats().published);
            assert_eq!(topic.publish_all([event(5), event(6)]), Ok(()));
            assert_eq!(read(&mut subscriber), [5, 6]);
        });
    }
}

/// Events of a group are whole when a subscriber finds them.
#[test]
fn a_group_is_read_beside_its_publisher() {
    for reverse in [false, true] {
        outcomes(3, 20, [vec![], vec![1], vec![1, 2]], move || {
            let topic = Shared::new(GatedTopic::<Event, 2, 1>::new());
            let found = Arc::default();
            let (t, put) = (topic.reach(), put(&found));
            let mut subscriber = t.subscribe().unwrap();
            run(
                vec![
                    Box::new(move || t.publish_all([event(1), event(2)]).unwrap()),
                    Box::new(move || put(read(&mut subscriber))),
                ],
                reverse,
            );
            take::<Seen>(&found)
        });
    }
}

/// A subscriber that lags finds no mixture of an event and one of a group.
#[test]
fn a_group_laps_one_who_lags() {
    for reverse in [false, true] {
        // The claim of the group gives both of the events before away.
        let expected = [vec![1, 2], vec![1, -1], vec![-2], vec![-2, 3], vec![-2, 3, 4]];
        outcomes(3, 100, expected, move || {
            let topic = Shared::new(GatedTopic::<Event, 2, 1>::new());
            let found = Arc::default();
            let (t, put) = (topic.reach(), put(&found));
            let mut subscriber = t.subscribe_lagging();
            t.publish_all([event(1), event(2)]).unwrap();
            run(
                vec![
                    Box::new(move || t.publish_all([event(3), event(4)]).unwrap()),
                    Box::new(move || put(read(&mut subscriber))),
                ],
                reverse,
            );
            take::<Seen>(&found)
        });
    }
}

/// A subscriber that begins to gate while others publish gets everything from then on.
#[test]
fn joining_while_others_publish() {
    for reverse in [false, true] {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        outcomes(3, 300, [()], {
            let seen = Arc::clone(&seen);
            move || {
                let topic = Shared::new(GatedTopic::<Event, 2, 1>::new());
                let found = Arc::default();
                let published = Arc::default();
                let (t, put, put_published) = (topic.reach(), put(&found), put(&published));
                run(
                    vec![
                        Box::new(move || {
                            let taken = |number: &u64| t.publish(event(*number)).is_ok();
                            put_published((1..=4).take_while(taken).count() as i64);
                        }),
                        Box::new(move || put(Some(t.subscribe().unwrap()))),
                    ],
                    reverse,
                );
                let mut subscriber: Subscriber<'_, Event> = take(&found).unwrap();
                let published = take(&published);
                // There is room for as many as it has not read, and for no more.
                let taken = |number: &i64| topic.publish(event(*number as u64)).is_ok();
                let more = (published + 1..).take_while(taken).count() as i64;
                // Without a gap, up to the last.
                let last = published + more;
                assert_eq!(read(&mut subscriber), [last - 1, last], "of {published}");
                seen.lock().unwrap().insert((published, 2 - more));
            }
        });
        let found = seen.lock().unwrap().clone();
        println!("{found:?}");
        // How many were published and how many of them it got. "Full" at the third means that the reader
        // had begun to join before the first.
        let expected = [(2, 0), (2, 1), (2, 2), (3, 0), (3, 1), (3, 2), (4, 0), (4, 1), (4, 2)];
        assert_eq!(found, expected.into_iter().collect());
    }
}

/// The same while a publisher is interrupted: what it has claimed is not published, so a reader that joins
/// begins before it, and the gate may not be behind it.
#[test]
fn joining_while_one_is_stopped() {
    for reverse in [false, true] {
        outcomes(3, 300, [()], move || {
            let topic = Shared::new(GatedTopic::<Event, 2, 1>::new());
            let found = Arc::default();
            let (t, put) = (topic.reach(), put(&found));
            run(
                vec![
                    Box::new(move || _ = t.publish(event(1))),
                    Box::new(move || {
                        // No publisher may come that near to the gate, so it is looked for anew.
                        assert!(t.publish_with_margin(event(2), 2).is_err());
                        let subscriber = t.subscribe().unwrap();
                        let _ = (3..).find(|number| t.publish(event(*number)).is_err());
                        put(Some(subscriber));
                    }),
                ],
                reverse,
            );
            let mut subscriber: Subscriber<'_, Event> = take(&found).unwrap();
            let all = read(&mut subscriber);
            assert!(all.len() == 2 && all.iter().all(|found| *found > 0), "{all:?}");
        });
    }
}

/// The same while another one reads on: the gate may not be where that one is, but where it was when the
/// places were looked at, for who joins later begins there.
#[test]
fn joining_while_another_reader_reads_on() {
    for reverse in [false, true] {
        outcomes(1, 100, [()], move || {
            let topic = Shared::new(GatedTopic::<Event, 2, 2>::new());
            let found = Arc::default();
            let (t, put) = (topic.reach(), put(&found));
            let mut first = t.subscribe().unwrap();
            // With a margin the gate is looked for anew, without one it is not: loom forgets a load of the
            // reader's place if the thread that stores it has loaded it, too.
            t.publish(event(1)).unwrap();
            assert_eq!(read(&mut first), [1]);
            run(
                vec![
                    Box::new(move || {
                        let _ = t.publish_with_margin(event(10), 1);
                        let _ = t.publish(event(11));
                    }),
                    Box::new(move || {
                        let second = t.subscribe().unwrap();
                        let _ = t.publish(event(20));
                        let _ = read(&mut first);
                        put(Some((first, second)));
                    }),
                ],
                reverse,
            );
            let both: Option<(Subscriber<'_, Event>, Subscriber<'_, Event>)> = take(&found);
            let (mut first, mut second) = both.unwrap();
            for subscriber in [&mut first, &mut second] {
                let all = read(subscriber);
                assert!(all.iter().all(|found| *found > 0), "the gate did not hold: {all:?}");
            }
        });
    }
}

/// A publisher that looks for the gate may be overtaken by another one and by the reader: then the gate is
/// ahead of the position that it wanted, and there is room.
#[test]
fn a_publisher_that_is_overtaken_is_not_told_full() {
    for reverse in [false, true] {
        outcomes(3, 20, [()], move || {
            let topic = Shared::new(GatedTopic::<Event, 2, 1>::new());
            let t = topic.reach();
            let mut subscriber = t.subscribe().unwrap();
            t.publish(event(1)).unwrap();
            t.publish(event(2)).unwrap();
            assert_eq!(read(&mut subscriber), [1, 2]);
            run(
                vec![
                    Box::new(move || t.publish(event(10)).expect("a false full")),
                    Box::new(move || {
                        t.publish(event(20)).expect("a false full");
                        let _ = read(&mut subscriber);
                        core::mem::forget(subscriber);
                    }),
                ],
                reverse,
            );
            assert_eq!(topic.stats().published, 4);
        });
    }
}

/// A subscriber that joins has nothing unread, so it does not make the topic full.
#[test]
fn joining_fills_no_topic() {
    for reverse in [false, true] {
        outcomes(3, 20, [()], move || {
            let topic = Shared::new(GatedTopic::<Event, 2, 1>::new());
            let t = topic.reach();
            for number in [1, 2] {
                t.publish(event(number)).unwrap();
            }
            run(
                vec![
                    Box::new(move || core::mem::forget(t.subscribe().unwrap())),
                    Box::new(move || t.publish(event(3)).expect("a false full")),
                ],
                reverse,
            );
        });
    }
}

/// Two readers want the last place; and who leaves frees the gate.
#[test]
fn a_place_changes_hands() {
    for reverse in [false, true] {
        outcomes(3, 20, [1, 2], move || {
            let topic = Shared::new(GatedTopic::<Event, 2, 1>::new());
            let t = topic.reach();
            let got = Arc::new(AtomicUsize::new(0));
            let join = |got: &Arc<AtomicUsize>| {
                let got = Arc::clone(got);
                move || {
                    if let Ok(subscriber) = t.subscribe() {
                        got.fetch_add(1, Ordering::Relaxed);
                        assert!(t.gate().is_some());
                        drop(subscriber);
                    }
                }
            };
            run(vec![Box::new(join(&got)), Box::new(join(&got))], reverse);
            assert_eq!(topic.gate(), None);
            for number in 0..5 {
                topic.publish(event(number)).expect("no subscriber gates");
            }
            assert!(topic.subscribe().is_ok());
            got.load(Ordering::Relaxed)
        });
    }
}

/// What a reader has done with an event before it moves on, or leaves, comes before what a publisher does
/// that found room behind it: also a publisher that did not look for itself, but at what another one had
/// found, whatever became of that one.
#[test]
fn a_gate_orders_what_its_reader_did() {
    for (reverse, leaves) in [(false, false), (true, false), (false, true), (true, true)] {
        let mut expected = vec![(2, false), (3, false), (4, false), (4, true)];
        if leaves {
            expected.push((5, true));
        }
        outcomes(2, 100, expected, move || {
            let topic = Shared::new((GatedTopic::<Event, 2, 1>::new(), Work::new()));
            let told = Arc::default();
            let (t, put) = (topic.reach(), put(&told));
            let mut subscriber = t.0.subscribe().unwrap();
            t.0.publish(event(1)).unwrap();
            t.0.publish(event(2)).unwrap();
            run(
                vec![
                    Box::new(move || {
                        assert_eq!(subscriber.read().next().map(found), Some(1));
                        t.1.write();
                        if !leaves {
                            assert_eq!(subscriber.read().next().map(found), Some(2));
                            core::mem::forget(subscriber);
                        }
                    }),
                    Box::new(move || {
                        let _ = t.0.publish(event(3));
                    }),
                    Box::new(move || {
                        let publish = |number| {
                            // The fourth event finds room only behind the second one.
                            let is_fourth = t.0.stats().published >= 3;
                            let is_published = t.0.publish(event(number)).is_ok();
                            if is_fourth && is_published {
                                assert_eq!(t.1.read(), 1);
                            }
                            is_fourth && is_published
                        };
                        put(publish(4) | publish(5));
                    }),
                ],
                reverse,
            );
            (t.0.stats().published, take(&told))
        });
    }
}

/// A publisher that learns from the gate how far its reader is sees what the reader has done before.
#[test]
fn a_gate_tells_what_its_reader_did() {
    for reverse in [false, true] {
        outcomes(3, 4, [0, 1], move || {
            let topic = Shared::new((GatedTopic::<Event, 2, 1>::new(), Work::new()));
            let told = Arc::default();
            let (t, put) = (topic.reach(), put(&told));
            let mut subscriber = t.0.subscribe().unwrap();
            t.0.publish(event(1)).unwrap();
            run(
                vec![
                    Box::new(move || {
                        t.1.write();
                        assert_eq!(read(&mut subscriber), [1]);
                        core::mem::forget(subscriber);
                    }),
                    Box::new(move || {
                        let pending = t.0.gate().unwrap().pending;
                        if pending == 0 {
                            assert_eq!(t.1.read(), 1);
                        }
                        put(pending);
                    }),
                ],
                reverse,
            );
            take::<usize>(&told)
        });
    }
}

/// Who gets a place comes after all that was done by the one who had it before.
#[test]
fn a_place_orders_those_who_have_it() {
    for reverse in [false, true] {
        outcomes(3, 20, [1, 2], move || {
            let topic = Shared::new((GatedTopic::<Event, 2, 1>::new(), Work::new()));
            let t = topic.reach();
            let join = || {
                if let Ok(subscriber) = t.0.subscribe() {
                    t.1.write();
                    drop(subscriber);
                }
            };
            run(vec![Box::new(join), Box::new(join)], reverse);
            t.1.read()
        });
    }
}

// ---- Latest ------------------------------------------------------------------------------------

/// Two publishers and a watcher: never half a value, never an older one of the same publisher.
#[test]
fn latest_with_two_publishers_and_a_watcher() {
    for reverse in [false, true] {
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        outcomes(2, 500, [()], {
            let seen = Arc::clone(&seen);
            move || {
                let latest = Shared::new(Latest::<Event>::new());
                let found = Arc::default();
                let (l, put) = (latest.reach(), put(&found));
                let mut watcher = l.watch();
                run(
                    vec![
                        Box::new(move || {
                            l.publish(event(10));
                            l.publish(event(11));
                        }),
                        Box::new(move || l.publish(event(20))),
                        Box::new(move || {
                            let one = watcher.changed();
                            put((
                                one.map(|changed| (number(changed.value), changed.skipped)),
                                Some(watcher),
                            ));
                        }),
                    ],
                    reverse,
                );
                let (first, watcher): (Option<(u64, usize)>, Option<tickbus::Watcher<'_, Event>>) =
                    take(&found);
                let mut watcher = watcher.unwrap();
                let last = number(latest.get().unwrap());
                assert!(last == 11 || last == 20, "an older value: {last}");
                let told = first.map_or(0, |(_, skipped)| skipped + 1);
                match watcher.changed() {
                    Some(changed) => {
                        assert_eq!(number(changed.value), last);
                        assert_eq!(told + changed.skipped + 1, 3);
                    }
                    None => assert_eq!((told, first.map(|(value, _)| value)), (3, Some(last))),
                }
                assert_eq!((latest.lost(), watcher.changed()), (0, None));
                seen.lock().unwrap().insert(first);
            }
        });
        let expected = [
            None,
            Some((10, 0)),
            Some((10, 1)),
            Some((11, 1)),
            Some((11, 2)),
            Some((20, 0)),
            Some((20, 1)),
            Some((20, 2)),
        ];
        assert_eq!(*seen.lock().unwrap(), expected.into_iter().collect());
    }
}

/// A reader that is overtaken again and again, while the cells are used again: also until the generation
/// is the same, which it is after four in a model.
#[test]
fn latest_overtakes_its_watcher() {
    for reverse in [false, true] {
        let values = (0..=4).map(Some).collect::<Vec<_>>();
        let seen = Arc::new(Mutex::new(BTreeSet::new()));
        outcomes(1, 50, [()], {
            let seen = Arc::clone(&seen);
            move || {
                let latest = Shared::new(Latest::<Event>::new());
                let l = latest.reach();
                l.publish(event(0));
                let found = Arc::default();
                let put = put(&found);
                run(
                    vec![
                        Box::new(move || (1..=4).for_each(|value| l.publish(event(value)))),
                        Box::new(move || put(l.get().map(number))),
                    ],
                    reverse,
                );
                assert_eq!((latest.lost(), latest.get().map(number)), (0, Some(4)));
                seen.lock().unwrap().insert(take(&found));
            }
        });
        assert_eq!(*seen.lock().unwrap(), values.into_iter().collect());
    }
}
