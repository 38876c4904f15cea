//! Can a publisher, a receiver or a closer of the subject bus sleep for ever? Close, park and wake under
//! the model checker. Run with
//! `RUSTFLAGS="--cfg tickbus_loom" cargo test --profile models --features std --test loom_subjects`.
//!
//! A thread that is not woken blocks for ever, which loom reports as a deadlock. Each model runs with the roles
//! spawned in both orders, as in `loom.rs`.
#![cfg(all(tickbus_loom, feature = "std"))]

mod models;

use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use loom::sync::atomic::AtomicUsize as Shared;
use models::{Task, outcomes, run};
use tickbus::envelope::Timestamp;
use tickbus::subject_bus::{Observer, PublishError, Published, Recipient, RecvError};
use tickbus::wait::{Cancel, Wait};
use tickbus::{Envelope, Overrun, SubjectBus, Subscription};

/// With everything set that a bus would fill in: no clock and no randomness in a model.
fn event(id: &str) -> Envelope {
    let time = Timestamp::from_unix_nanos(0).unwrap();
    Envelope::unstamped("n").unwrap().with_id(id).with_time(time)
}

fn open(bus: &SubjectBus) -> Subscription {
    bus.subscribe("n").unwrap().capacity(1).overrun(Overrun::Block).open()
}

/// A bus, and a subscription that blocks and is full of `1`.
fn blocked() -> (Arc<SubjectBus>, Subscription) {
    let bus = Arc::new(SubjectBus::builder().route_cache(0).build());
    let subscription = open(&bus);
    bus.publish(event("1")).unwrap();
    (bus, subscription)
}

fn ids(subscription: &Subscription) -> String {
    subscription.drain().map(|envelope| envelope.id().to_owned()).collect::<Vec<_>>().join(" ")
}

/// What became of a publish of `id`, which waits as long as it takes.
fn published(bus: &SubjectBus, id: &str, wait: Wait<'_>) -> String {
    told(bus.publish_wait(event(id), wait))
}

/// The same, awaited; at first with a waker that wakes nothing.
fn awaited(bus: &SubjectBus, id: &str) -> String {
    let mut publish = pin!(bus.publish_async(event(id)));
    match publish.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(it) => told(it),
        Poll::Pending => told(loom::future::block_on(publish)),
    }
}

fn told(outcome: Result<Published, PublishError>) -> String {
    match outcome {
        Ok(it) => format!("{} enqueued, {} closed", it.enqueued, it.closed),
        Err(PublishError::Closed(_)) => "bus closed".to_owned(),
        Err(PublishError::Cancelled(_)) => "cancelled".to_owned(),
        Err(error) => error.to_string(),
    }
}

/// What a role saw, and the subscription if it still has it.
type Seen = (String, Option<Subscription>);

/// A publisher that is parked or awaits, or is about to, against the thread that is to wake it: what each saw.
fn parked(
    least: usize,
    expected: &[&str],
    other: impl Fn(Arc<SubjectBus>, Subscription) -> Seen + Clone + Send + Sync + 'static,
) {
    for (reverse, task) in [(false, false), (true, false), (false, true), (true, true)] {
        let other = other.clone();
        outcomes(3, least, expected.iter().map(|it| (*it).to_owned()), move || {
            let (bus, subscription) = blocked();
            let publisher = {
                let bus = bus.clone();
                let publish = move || match task {
                    false => published(&bus, "2", Wait::forever()),
                    true => awaited(&bus, "2"),
                };
                Box::new(move || (publish(), None)) as Task<Seen>
            };
            let (other, its_bus) = (other.clone(), bus.clone());
            let other = Box::new(move || other(its_bus, subscription)) as Task<_>;
            let mut results = run(vec![publisher, other], reverse);
            let (saw, subscription) = results.pop().unwrap();
            let left = subscription.map(|it| ids(&it)).unwrap_or_default();
            let stats = bus.stats().totals;
            let accounted = stats.received + stats.dropped_oldest + stats.abandoned + stats.pending;
            assert_eq!((stats.enqueued, stats.waiting), (accounted, 0), "{stats:?}");
            format!("{}; {saw}; left {left}", results[0].0)
        });
    }
}

#[test]
fn a_receive_wakes_a_parked_publisher() {
    parked(
        10,
        &["1 enqueued, 0 closed; 1; left 2", "1 enqueued, 0 closed; 1 2; left "],
        |_, it| {
            let mut got = it.recv().unwrap().id().to_owned();
            if let Ok(second) = it.try_recv() {
                got = format!("{got} {}", second.id());
            }
            (got, Some(it))
        },
    );
}

#[test]
fn closing_the_subscription_wakes_a_parked_publisher() {
    // Closed before the publish looked: nothing matched.
    let expected = ["0 enqueued, 0 closed; closed; left 1", "0 enqueued, 1 closed; closed; left 1"];
    parked(10, &expected, |_, it| {
        it.close();
        ("closed".to_owned(), Some(it))
    });
}

#[test]
fn dropping_the_subscription_wakes_a_parked_publisher() {
    let expected = ["0 enqueued, 0 closed; dropped; left ", "0 enqueued, 1 closed; dropped; left "];
    parked(10, &expected, |_, it| {
        drop(it);
        ("dropped".to_owned(), None)
    });
}

/// The closer must not sleep for ever either: it waits for the publisher that it sends away.
#[test]
fn closing_the_bus_wakes_a_parked_publisher_and_waits_for_it() {
    parked(10, &["bus closed; closed; left 1"], |bus, it| {
        bus.close();
        assert!(it.is_closed());
        ("closed".to_owned(), Some(it))
    });
}

#[test]
fn two_closers_and_a_parked_publisher_all_come_back() {
    for reverse in [false, true] {
        outcomes(3, 10, ["bus closed".to_owned()], move || {
            let (bus, _subscription) = blocked();
            let (first, second, third) = (bus.clone(), bus.clone(), bus);
            let close = |bus: Arc<SubjectBus>| {
                Box::new(move || {
                    bus.close();
                    String::new()
                }) as Task<_>
            };
            let publisher =
                Box::new(move || published(&first, "2", Wait::forever())) as Task<String>;
            run(vec![publisher, close(second), close(third)], reverse).swap_remove(0)
        });
    }
}

#[test]
fn a_cancel_wakes_a_parked_publisher() {
    for reverse in [false, true] {
        let expected = ["cancelled; left 1".to_owned()];
        outcomes(3, 10, expected, move || {
            let (bus, subscription) = blocked();
            let cancel = Cancel::new();
            let publisher = {
                let cancel = cancel.clone();
                Box::new(move || published(&bus, "2", Wait::forever().until(&cancel))) as Task<_>
            };
            let canceller = Box::new(move || {
                cancel.cancel();
                String::new()
            }) as Task<_>;
            let results = run(vec![publisher, canceller], reverse);
            format!("{}; left {}", results[0], ids(&subscription))
        });
    }
}

/// Room and a cancellation at the same time: the envelope is in, or given back; never both, never
/// neither.
#[test]
fn a_receive_against_a_cancel() {
    for reverse in [false, true] {
        let expected = ["1 enqueued, 0 closed; left 2", "cancelled; left "];
        outcomes(3, 10, expected.map(str::to_owned), move || {
            let (bus, subscription) = blocked();
            let subscription = Arc::new(subscription);
            let cancel = Cancel::new();
            let (cancelled, receiving) = (cancel.clone(), subscription.clone());
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || published(&bus, "2", Wait::forever().until(&cancelled))),
                Box::new(move || receiving.recv().unwrap().id().to_owned()),
                Box::new(move || {
                    cancel.cancel();
                    String::new()
                }),
            ];
            let results = run(tasks, reverse);
            assert_eq!(results[1], "1");
            format!("{}; left {}", results[0], ids(&subscription))
        });
    }
}

/// What a receiver did before it made room, the publisher sees when it comes back from waiting.
#[test]
fn a_wait_that_is_over_is_after_the_receive() {
    for reverse in [false, true] {
        outcomes(3, 10, ["ok".to_owned()], move || {
            let (bus, subscription) = blocked();
            let done = Arc::new(Shared::new(0));
            let seen = done.clone();
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || {
                    bus.publish(event("2")).unwrap();
                    assert_eq!(seen.load(Ordering::Relaxed), 1);
                    "ok".to_owned()
                }),
                Box::new(move || {
                    done.store(1, Ordering::Relaxed);
                    drop(subscription.recv());
                    assert_eq!(subscription.recv().unwrap().id(), "2");
                    String::new()
                }),
            ];
            run(tasks, reverse).swap_remove(0)
        });
    }
}

/// A receiver that is parked, or about to be.
fn receiving(
    least: usize,
    expected: &[&str],
    other: impl Fn(&SubjectBus, &Subscription) + Clone + Send + Sync + 'static,
) {
    for reverse in [false, true] {
        let other = other.clone();
        outcomes(3, least, expected.iter().map(|it| (*it).to_owned()), move || {
            let bus = Arc::new(SubjectBus::builder().route_cache(0).build());
            let subscription = Arc::new(open(&bus));
            let (receiver, other, its_bus) = (subscription.clone(), other.clone(), bus.clone());
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || {
                    receiver.recv().map_or("the end".to_owned(), |it| it.id().to_owned())
                }),
                Box::new(move || {
                    other(&its_bus, &subscription);
                    String::new()
                }),
            ];
            let got = run(tasks, reverse).swap_remove(0);
            drop(bus); // not before: its end would wake the receiver
            got
        });
    }
}

#[test]
fn a_publish_wakes_a_parked_receiver() {
    receiving(4, &["1"], |bus, _| drop(bus.publish(event("1"))));
}

#[test]
fn closing_wakes_a_parked_receiver() {
    receiving(4, &["the end"], |_, subscription| subscription.close());
    receiving(4, &["the end"], |bus, _| bus.close());
}

/// With room for both, and with a publisher that waits for room: the second one moves in with a receive.
#[test]
fn each_of_two_parked_receivers_gets_one() {
    for (reverse, capacity) in [(false, 2), (true, 2), (false, 1), (true, 1)] {
        let expected = ["1 2", "2 1"];
        outcomes(3, 10, expected.map(str::to_owned), move || {
            let bus = Arc::new(SubjectBus::builder().route_cache(0).build());
            let subscription = bus.subscribe("n").unwrap().capacity(capacity);
            let subscription = Arc::new(subscription.overrun(Overrun::Block).open());
            let receiver = || {
                let subscription = subscription.clone();
                Box::new(move || subscription.recv().unwrap().id().to_owned()) as Task<_>
            };
            let publishing = bus.clone();
            let publisher = Box::new(move || {
                publishing.publish(event("1")).unwrap();
                publishing.publish(event("2")).unwrap();
                String::new()
            }) as Task<_>;
            let results = run(vec![receiver(), receiver(), publisher], reverse);
            drop(bus); // not before: its end would wake them
            results[..2].join(" ")
        });
    }
}

/// A task that was woken for an envelope and is dropped before it looks leaves it to the other one.
#[test]
fn a_receiver_that_goes_away_passes_its_wake_up_on() {
    for reverse in [false, true] {
        outcomes(3, 10, ["1".to_owned()], move || {
            let bus = Arc::new(SubjectBus::builder().route_cache(0).build());
            let subscription = Arc::new(open(&bus));
            let (leaving, again, kept) = (subscription.clone(), bus.clone(), bus.clone());
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || subscription.recv().unwrap().id().to_owned()),
                Box::new(move || {
                    let mut stream = leaving.stream();
                    let recv = pin!(stream.recv());
                    if let Poll::Ready(it) = recv.poll(&mut Context::from_waker(Waker::noop())) {
                        again.publish(it.unwrap()).unwrap(); // it was faster than the other
                    }
                    String::new()
                }),
                Box::new(move || {
                    bus.publish(event("1")).unwrap();
                    String::new()
                }),
            ];
            let got = run(tasks, reverse).swap_remove(0);
            drop(kept); // not before: its end would wake the receiver
            got
        });
    }
}

struct Late(Arc<Shared>);

/// When `close` has returned, nothing is enqueued and no observer is called any more.
impl Observer for Late {
    fn on_deliver(&self, envelope: &Arc<Envelope>, _: Recipient<'_>) {
        assert!(envelope.id() == "1" || self.0.load(Ordering::Relaxed) == 0, "closed");
    }
}

/// A bus that is heard by [`Late`], and what to set when it is closed.
fn heard() -> (Arc<SubjectBus>, Arc<Shared>) {
    let closed = Arc::new(Shared::new(0));
    let bus = SubjectBus::builder().route_cache(0).observer(Arc::new(Late(closed.clone())));
    (Arc::new(bus.build()), closed)
}

fn close(bus: Arc<SubjectBus>, closed: Arc<Shared>) -> Task<String> {
    Box::new(move || {
        bus.close();
        closed.store(1, Ordering::Relaxed);
        String::new()
    })
}

#[test]
fn close_waits_for_a_publisher_under_way() {
    for reverse in [false, true] {
        let expected = ["1 enqueued, 0 closed; left 2", "bus closed; left "];
        outcomes(3, 10, expected.map(str::to_owned), move || {
            let (bus, closed) = heard();
            let subscription = open(&bus);
            let publishing = bus.clone();
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || published(&publishing, "2", Wait::forever())),
                close(bus, closed),
            ];
            let results = run(tasks, reverse);
            format!("{}; left {}", results[0], ids(&subscription))
        });
    }
}

/// It got its room, and is about to tell.
#[test]
fn close_waits_for_a_task_that_looks() {
    for reverse in [false, true] {
        outcomes(3, 2, ["1 enqueued, 0 closed; left 2".to_owned()], move || {
            let (bus, closed) = heard();
            let subscription = open(&bus);
            bus.publish(event("1")).unwrap();
            let publishing = bus.clone();
            let mut publish = Box::pin(async move { publishing.publish_async(event("2")).await });
            let mut context = Context::from_waker(Waker::noop());
            assert!(publish.as_mut().poll(&mut context).is_pending());
            assert!(subscription.try_recv().is_ok());
            let tasks: Vec<Task<String>> =
                vec![Box::new(move || told(loom::future::block_on(publish))), close(bus, closed)];
            let results = run(tasks, reverse);
            format!("{}; left {}", results[0], ids(&subscription))
        });
    }
}

#[test]
fn a_publish_against_the_close_of_the_bus_is_in_or_refused() {
    for reverse in [false, true] {
        let expected = ["1 enqueued, 0 closed; left 1", "bus closed; left "];
        outcomes(3, 4, expected.map(str::to_owned), move || {
            let bus = Arc::new(SubjectBus::builder().route_cache(0).build());
            let subscription = open(&bus);
            let (publishing, closing) = (bus.clone(), bus);
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || published(&publishing, "1", Wait::forever())),
                Box::new(move || {
                    closing.close();
                    String::new()
                }),
            ];
            let results = run(tasks, reverse);
            assert!(subscription.is_closed());
            let left = ids(&subscription);
            assert_eq!(subscription.try_recv(), Err(RecvError::Closed));
            format!("{}; left {left}", results[0])
        });
    }
}

/// A drain that stops early beside a receiver, while the bus is closed: each envelope once, in order, and the
/// end after all of them.
#[test]
fn the_end_comes_after_what_an_unfinished_drain_leaves() {
    for reverse in [false, true] {
        let expected = ["1; 2", "2; 1", "; 1 2"];
        outcomes(3, 10, expected.map(str::to_owned), move || {
            let bus = Arc::new(SubjectBus::builder().route_cache(0).build());
            let subscription = Arc::new(bus.subscribe("n").unwrap().open());
            ["1", "2"].iter().for_each(|id| drop(bus.publish(event(id))));
            let (draining, receiving) = (subscription.clone(), subscription);
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || {
                    let mut drain = draining.drain();
                    drain.next().map(|it| it.id().to_owned()).unwrap_or_default()
                }),
                Box::new(move || {
                    let got: Vec<_> = receiving.iter().map(|it| it.id().to_owned()).collect();
                    assert_eq!(receiving.stats().pending, 0);
                    assert_eq!(receiving.try_recv(), Err(RecvError::Closed));
                    got.join(" ")
                }),
                Box::new(move || {
                    bus.close();
                    String::new()
                }),
            ];
            run(tasks, reverse)[..2].join("; ")
        });
    }
}

// ---- Start and pause ---------------------------------------------------------------------------

/// A bus that holds `1` and `2`, and a subscription for which the lock is released between the envelopes.
fn paused() -> (Arc<SubjectBus>, Subscription) {
    let bus = Arc::new(SubjectBus::builder().route_cache(0).hold(4).build());
    let subscription = bus.subscribe("n").unwrap().filter(|_| true).open();
    for id in ["1", "2"] {
        assert!(bus.publish(event(id)).unwrap().held);
    }
    (bus, subscription)
}

#[test]
fn a_publish_does_not_overtake_what_is_replayed() {
    for reverse in [false, true] {
        let expected = ["held: 1 2 3", "1 enqueued: 1 2 3"];
        outcomes(3, 10, expected.map(str::to_owned), move || {
            let (bus, subscription) = paused();
            let (publishing, starting) = (bus.clone(), bus);
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || {
                    let published = publishing.publish(event("3")).unwrap();
                    let enqueued = format!("{} enqueued", published.enqueued);
                    if published.held { "held".to_owned() } else { enqueued }
                }),
                Box::new(move || {
                    starting.start();
                    String::new()
                }),
            ];
            let told = run(tasks, reverse).swap_remove(0);
            // The publisher that was told "held" came before the end of the replay, which took it along.
            format!("{told}: {}", ids(&subscription))
        });
    }
}

/// Whatever the pause leaves, the last start replays, in order.
#[test]
fn starts_and_a_pause_at_the_same_time_keep_the_order() {
    for reverse in [false, true] {
        outcomes(3, 10, ["1 2".to_owned()], move || {
            let (bus, subscription) = paused();
            let starts = [bus.clone(), bus.clone()].map(|bus| {
                Box::new(move || {
                    bus.start();
                    bus.pause();
                    bus.start();
                }) as Task
            });
            run(Vec::from(starts), reverse);
            assert!(bus.is_started());
            ids(&subscription)
        });
    }
}

#[test]
fn a_start_against_the_close_of_the_bus_loses_nothing_unaccounted() {
    for reverse in [false, true] {
        let expected = ["left , abandoned 2", "left 1, abandoned 1", "left 1 2, abandoned 0"];
        outcomes(3, 10, expected.map(str::to_owned), move || {
            let (bus, subscription) = paused();
            let (starting, closing) = (bus.clone(), bus.clone());
            let tasks: Vec<Task> =
                vec![Box::new(move || starting.start()), Box::new(move || closing.close())];
            run(tasks, reverse);
            let stats = bus.stats();
            assert_eq!((stats.published, stats.held, stats.closed), (2, 0, 0));
            format!("left {}, abandoned {}", ids(&subscription), stats.held_abandoned)
        });
    }
}

// ---- Groups ------------------------------------------------------------------------------------

fn group(bus: &SubjectBus) -> String {
    match bus.publish_all(["1", "2"].map(event)) {
        Ok(published) => format!("{} enqueued", published.enqueued),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_receiver_sees_all_of_a_group_or_nothing() {
    for reverse in [false, true] {
        outcomes(3, 4, ["; 1 2", "1 2; "].map(str::to_owned), move || {
            let bus = Arc::new(SubjectBus::builder().route_cache(0).build());
            let subscription = Arc::new(bus.subscribe("n").unwrap().open());
            let receiving = subscription.clone();
            let tasks: Vec<Task<String>> =
                vec![Box::new(move || ids(&receiving)), Box::new(move || group(&bus))];
            let results = run(tasks, reverse);
            assert_eq!(results[1], "2 enqueued");
            format!("{}; {}", results[0], ids(&subscription))
        });
    }
}

#[test]
fn a_group_and_another_publisher_for_the_last_room() {
    for reverse in [false, true] {
        let expected = [
            "2 enqueued; 0 enqueued; 1 2",
            "subscription 1 to `n` has no room for its part of the group; 1 enqueued; 3",
        ];
        outcomes(3, 4, expected.map(str::to_owned), move || {
            let bus = Arc::new(SubjectBus::builder().route_cache(0).build());
            // With a filter, the lock is released between the look and the envelope.
            let subscription = bus.subscribe("n").unwrap().capacity(2).filter(|_| true).open();
            let (publishing, grouping) = (bus.clone(), bus);
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || group(&grouping)),
                Box::new(move || {
                    let published = publishing.publish(event("3")).unwrap();
                    format!("{} enqueued", published.enqueued)
                }),
            ];
            let results = run(tasks, reverse);
            format!("{}; {}", results.join("; "), ids(&subscription))
        });
    }
}

#[test]
fn close_waits_for_a_group_that_is_told() {
    for reverse in [false, true] {
        let expected = ["2 enqueued; left 1 2", "the bus is closed; left "];
        outcomes(3, 10, expected.map(str::to_owned), move || {
            let (bus, closed) = heard();
            let subscription = bus.subscribe("n").unwrap().open();
            let grouping = bus.clone();
            let tasks: Vec<Task<String>> =
                vec![Box::new(move || group(&grouping)), close(bus, closed)];
            let results = run(tasks, reverse);
            format!("{}; left {}", results[0], ids(&subscription))
        });
    }
}

/// On a bus that is not started: held and then abandoned as a whole, or given back.
#[test]
fn a_group_is_held_or_given_back_when_the_bus_closes() {
    for reverse in [false, true] {
        let expected = ["held, abandoned 2", "the bus is closed, abandoned 0"];
        outcomes(3, 4, expected.map(str::to_owned), move || {
            let bus = Arc::new(SubjectBus::builder().route_cache(0).hold(2).build());
            let (grouping, closing) = (bus.clone(), bus.clone());
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || match grouping.publish_all(["1", "2"].map(event)) {
                    Ok(published) => if published.held { "held" } else { "live" }.to_owned(),
                    Err(error) => error.to_string(),
                }),
                Box::new(move || {
                    closing.close();
                    String::new()
                }),
            ];
            let told = run(tasks, reverse).swap_remove(0);
            let stats = bus.stats();
            assert_eq!((stats.published, stats.held), (stats.held_abandoned, 0));
            format!("{told}, abandoned {}", stats.held_abandoned)
        });
    }
}

#[test]
fn a_group_wakes_a_parked_receiver() {
    receiving(4, &["1"], |bus, _| drop(bus.publish_all([event("1")])));
}

// ---- Requests ----------------------------------------------------------------------------------

/// A caller that waits for one of two answers, as long as it takes, against another thread.
fn asking(
    least: usize,
    expected: &[&str],
    other: impl Fn(&SubjectBus, &Subscription, &Cancel) + Clone + Send + Sync + 'static,
) {
    for reverse in [false, true] {
        let other = other.clone();
        outcomes(3, least, expected.iter().map(|it| (*it).to_owned()), move || {
            let bus = Arc::new(SubjectBus::builder().route_cache(0).build());
            let subscription = bus.subscribe("n").unwrap().open();
            let cancel = Cancel::new();
            let (other, its_bus, its_cancel) = (other.clone(), bus.clone(), cancel.clone());
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || {
                    let request = bus.request(event("q"), ["a", "b"]).at_least(1);
                    match request.timeout(Duration::MAX).until(&cancel).wait() {
                        Ok(gathered) => format!("{} of 2", gathered.arrived.len()),
                        Err(error) => error.to_string(),
                    }
                }),
                Box::new(move || {
                    other(&its_bus, &subscription, &its_cancel);
                    let late = its_bus.answer(&event("q"), "b", event("late"));
                    if late.is_ok() { "counted".to_owned() } else { "late".to_owned() }
                }),
            ];
            run(tasks, reverse).swap_remove(0)
        });
    }
}

#[test]
fn an_answer_wakes_its_caller() {
    asking(10, &["1 of 2", "2 of 2"], |bus, subscription, _| {
        let question = subscription.recv().unwrap();
        bus.answer(&question, "a", event("1")).unwrap();
    });
}

#[test]
fn closing_the_bus_wakes_a_caller() {
    let expected = [
        "`n`: the bus is closed",
        "the bus was closed, without an answer of a, b",
        "1 of 2", // after the close, before the caller looked
    ];
    asking(10, &expected, |bus, _, _| bus.close());
}

#[test]
fn a_cancel_wakes_a_caller() {
    let expected = ["the request was cancelled, without an answer of a, b", "1 of 2"];
    asking(10, &expected, |_, _, cancel| cancel.cancel());
}
