//! Leases, acknowledgements and the end of the memory engine, and the queues of a link, under the model checker: is a
//! delivery settled by exactly one, and can a member, a closer or the thread of a link sleep for ever? Run with
//! `RUSTFLAGS="--cfg tickbus_loom" cargo test --profile models --features hosted --test loom_hosted`.
//!
//! A thread that is not woken blocks for ever, which loom reports as a deadlock.
#![cfg(all(tickbus_loom, feature = "hosted"))]

mod models;

use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Arc;

use loom::future::block_on;
use loom::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use models::{Task, outcomes, run};
use tickbus::Envelope;
use tickbus::envelope::Timestamp;
use tickbus::hosted::link::{LinkStats, models as link};
use tickbus::hosted::{
    Clock, Deliveries, Delivery, Engine, EngineFuture, Lease, MemoryEngine, Settle, SettleError,
    Verdict,
};

const LEASE: Duration = Duration::from_secs(10);

/// Seconds that a model sets. It wakes no thread: a model has no time.
#[derive(Clone, Debug)]
struct Seconds(Arc<AtomicUsize>);

impl Clock for Seconds {
    fn now(&self) -> Duration {
        Duration::from_secs(self.0.load(SeqCst) as u64)
    }

    fn wall(&self) -> Timestamp {
        Timestamp::from_unix_nanos(0).unwrap()
    }

    fn sleep_until(&self, _: Duration) -> EngineFuture<'static, ()> {
        EngineFuture::new(core::future::pending())
    }
}

fn engine() -> (Arc<MemoryEngine>, Seconds) {
    let seconds = Seconds(Arc::new(AtomicUsize::new(0)));
    (Arc::new(MemoryEngine::builder().clock(seconds.clone()).build()), seconds)
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = core::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(it) => it,
        Poll::Pending => panic!("it waits"),
    }
}

fn member(engine: &MemoryEngine) -> Deliveries {
    at_once(engine.subscribe("n").unwrap().group("g").lease(LEASE).open()).unwrap()
}

fn publish(engine: &MemoryEngine, id: &str, key: &str) {
    let time = Timestamp::from_unix_nanos(0).unwrap();
    let event = Envelope::unstamped("n").unwrap().with_id(id).with_time(time).with_key(key);
    engine.try_publish(event.into()).unwrap();
}

fn take(from: &mut Deliveries) -> Option<Delivery> {
    match from.try_next() {
        Poll::Ready(next) => next.map(|it| it.unwrap()),
        Poll::Pending => None,
    }
}

/// What a member that awaits its next delivery saw.
fn awaited(from: &mut Deliveries) -> String {
    match block_on(from.next()) {
        None => "end".to_owned(),
        Some(it) => {
            let it = it.unwrap();
            let seen = format!("{} attempt {}", it.envelope().id(), it.attempt());
            it.ack();
            seen
        }
    }
}

fn told(settled: Result<(), SettleError>) -> String {
    match settled {
        Ok(()) => "taken".to_owned(),
        Err(SettleError::Late) => "late".to_owned(),
        Err(_) => "closed".to_owned(),
    }
}

/// The lease ends while its holder acknowledges: either the holder is in time, or another has it.
#[test]
fn an_acknowledgement_against_the_end_of_its_lease() {
    for reverse in [false, true] {
        let expected = ["taken; nothing", "late; attempt 2"];
        outcomes(3, 10, expected.map(str::to_owned), move || {
            let (engine, seconds) = engine();
            let (mut one, mut two) = (member(&engine), member(&engine));
            publish(&engine, "1", "");
            let held = take(&mut one).unwrap();
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || told(at_once(held.ack_async()))),
                Box::new(move || {
                    seconds.0.store(10, SeqCst);
                    take(&mut two).map_or("nothing".to_owned(), |it| {
                        let attempt = format!("attempt {}", it.attempt());
                        it.ack();
                        attempt
                    })
                }),
            ];
            let seen = run(tasks, reverse).join("; ");
            let mut three = member(&engine);
            assert!(take(&mut three).is_none(), "exactly one has settled it");
            drop(one);
            seen
        });
    }
}

/// Two that settle what was once the same delivery: the one whose lease has ended does nothing.
#[test]
fn a_late_retry_against_the_acknowledgement_of_the_next() {
    for reverse in [false, true] {
        outcomes(3, 2, ["late; taken".to_owned()], move || {
            let (engine, seconds) = engine();
            let (mut one, mut two) = (member(&engine), member(&engine));
            publish(&engine, "1", "");
            let late = take(&mut one).unwrap();
            seconds.0.store(10, SeqCst);
            let held = take(&mut two).unwrap();
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || told(at_once(late.settle_async(Verdict::RetryAfter(LEASE))))),
                Box::new(move || told(at_once(held.ack_async()))),
            ];
            let seen = run(tasks, reverse).join("; ");
            assert_eq!(two.lag(), Some(0));
            seen
        });
    }
}

#[test]
fn a_publish_wakes_a_member_that_waits() {
    for reverse in [false, true] {
        outcomes(3, 10, ["1 attempt 1; ".to_owned()], move || {
            let (engine, _) = engine();
            let mut one = member(&engine);
            let publisher = engine.clone(); // dropping the last one would be the end
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || awaited(&mut one)),
                Box::new(move || {
                    publish(&publisher, "1", "");
                    String::new()
                }),
            ];
            let seen = run(tasks, reverse).join("; ");
            drop(engine);
            seen
        });
    }
}

/// One event for two members that wait, one of which leaves: the other must not sleep for ever.
#[test]
fn a_member_that_leaves_takes_no_wake_up_along() {
    for reverse in [false, true] {
        outcomes(2, 10, ["1 attempt 1; ; ".to_owned()], move || {
            let (engine, _) = engine();
            let (mut one, mut two) = (member(&engine), member(&engine));
            let publisher = engine.clone();
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || awaited(&mut one)),
                Box::new(move || {
                    publish(&publisher, "1", "");
                    String::new()
                }),
                Box::new(move || {
                    {
                        // It waits, is woken perhaps, and never looks.
                        let mut next = core::pin::pin!(two.next());
                        let mut context = Context::from_waker(Waker::noop());
                        if let Poll::Ready(Some(Ok(taken))) = next.as_mut().poll(&mut context) {
                            taken.retry_after(Duration::ZERO);
                        }
                    }
                    drop(two);
                    String::new()
                }),
            ];
            // Taken and given back, it comes for a second time.
            let seen = run(tasks, reverse).join("; ").replace("attempt 2", "attempt 1");
            drop(engine);
            seen
        });
    }
}

#[test]
fn an_acknowledgement_wakes_the_member_that_waits_for_its_key() {
    for reverse in [false, true] {
        outcomes(3, 10, ["2 attempt 1; taken".to_owned()], move || {
            let (engine, _) = engine();
            let (mut one, mut two) = (member(&engine), member(&engine));
            publish(&engine, "1", "key");
            publish(&engine, "2", "key");
            let held = take(&mut one).unwrap();
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || awaited(&mut two)),
                Box::new(move || told(at_once(held.ack_async()))),
            ];
            let seen = run(tasks, reverse).join("; ");
            drop(one);
            seen
        });
    }
}

#[test]
fn the_end_wakes_a_member_that_waits() {
    for reverse in [false, true] {
        outcomes(3, 10, ["end; ".to_owned()], move || {
            let (engine, _) = engine();
            let mut one = member(&engine);
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || awaited(&mut one)),
                Box::new(move || {
                    drop(engine);
                    String::new()
                }),
            ];
            run(tasks, reverse).join("; ")
        });
    }
}

/// A closer that waits for the last acknowledgement, and a member that waits for the end.
#[test]
fn the_last_acknowledgement_wakes_the_closer_and_the_member() {
    for reverse in [false, true] {
        outcomes(2, 10, ["closed; taken; end".to_owned()], move || {
            let (engine, _) = engine();
            let (mut one, mut two) = (member(&engine), member(&engine));
            publish(&engine, "1", "");
            let held = take(&mut one).unwrap();
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || match block_on(engine.shutdown(LEASE)) {
                    Ok(()) => "closed".to_owned(),
                    Err(error) => error.to_string(),
                }),
                Box::new(move || told(at_once(held.ack_async()))),
                Box::new(move || awaited(&mut two)),
            ];
            let seen = run(tasks, reverse).join("; ");
            drop(one);
            seen
        });
    }
}

/// The same where no member waits: the acknowledgement alone wakes the closer.
#[test]
fn the_last_acknowledgement_wakes_the_closer() {
    for reverse in [false, true] {
        outcomes(3, 10, ["closed; taken".to_owned()], move || {
            let (engine, _) = engine();
            let mut one = member(&engine);
            publish(&engine, "1", "");
            let held = take(&mut one).unwrap();
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || match block_on(engine.shutdown(LEASE)) {
                    Ok(()) => "closed".to_owned(),
                    Err(error) => error.to_string(),
                }),
                Box::new(move || told(at_once(held.ack_async()))),
            ];
            let seen = run(tasks, reverse).join("; ");
            drop(one);
            seen
        });
    }
}

/// A publish against the end: it is refused, or what it published can still be received.
#[test]
fn a_publish_against_a_shutdown() {
    for reverse in [false, true] {
        let expected = ["accepted; 1 attempt 1", "refused; end"];
        outcomes(2, 10, expected.map(str::to_owned), move || {
            let (engine, _) = engine();
            let mut one = member(&engine);
            let publisher = engine.clone();
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || {
                    let time = Timestamp::from_unix_nanos(0).unwrap();
                    let event = Envelope::unstamped("n").unwrap().with_id("1").with_time(time);
                    let sent = publisher.try_publish(event.into());
                    if sent.is_ok() { "accepted" } else { "refused" }.to_owned()
                }),
                Box::new(move || awaited(&mut one)),
                Box::new(move || {
                    block_on(engine.shutdown(LEASE)).unwrap();
                    String::new()
                }),
            ];
            run(tasks, reverse)[..2].join("; ")
        });
    }
}

fn event(id: &str) -> Arc<Envelope> {
    let time = Timestamp::from_unix_nanos(0).unwrap();
    Envelope::unstamped("n").unwrap().with_id(id).with_time(time).into()
}

/// The thread of a link sends what the tick publishes, in its order, and is woken for each.
#[test]
fn a_publish_wakes_the_thread_of_a_link() {
    for reverse in [false, true] {
        outcomes(3, 10, ["; 1 2".to_owned()], move || {
            let (bus, sender) = link::outgoing(2);
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || {
                    for id in ["1", "2"] {
                        assert_eq!(bus.try_publish(event(id)).unwrap().enqueued, 1);
                    }
                    String::new()
                }),
                Box::new(move || {
                    let mut ids = Vec::new();
                    while ids.len() < 2 {
                        let sent = block_on(sender.send(8));
                        ids.extend(sent.iter().map(|it| it.id().to_owned()));
                    }
                    assert_eq!((sender.stats().accepted, sender.stats().pending), (2, 0));
                    ids.join(" ")
                }),
            ];
            run(tasks, reverse).join("; ")
        });
    }
}

/// A queue of one, and an end: each envelope is sent, or counted as full, abandoned or refused.
#[test]
fn a_link_counts_every_envelope_up_to_its_end() {
    for reverse in [false, true] {
        let expected = [
            "accepted 1, full 0, abandoned 0, closed 1",
            "accepted 0, full 1, abandoned 1, closed 0",
            "accepted 0, full 0, abandoned 0, closed 2",
            "accepted 0, full 0, abandoned 1, closed 1",
            "accepted 1, full 0, abandoned 1, closed 0",
            "accepted 1, full 1, abandoned 0, closed 0",
            "accepted 2, full 0, abandoned 0, closed 0",
        ];
        outcomes(3, 10, expected.map(str::to_owned), move || {
            let (bus, sender) = link::outgoing(1);
            let sender = Arc::new(sender);
            let sends = sender.clone();
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || {
                    let closed = ["1", "2"].map(|id| bus.try_publish(event(id)).is_err());
                    closed.into_iter().filter(|closed| *closed).count().to_string()
                }),
                Box::new(move || {
                    for _ in 0..2 {
                        let mut send = core::pin::pin!(sends.send(1));
                        let _ = send.as_mut().poll(&mut Context::from_waker(Waker::noop()));
                    }
                    sends.abandon();
                    String::new()
                }),
            ];
            let closed = run(tasks, reverse).remove(0);
            let stats = sender.stats();
            assert!(stats.add_up() && stats.pending == 0, "{stats:?}");
            let LinkStats { accepted, full, abandoned, .. } = stats;
            format!("accepted {accepted}, full {full}, abandoned {abandoned}, closed {closed}")
        });
    }
}

/// Counts how often each delivery is settled.
struct Settled(Arc<AtomicUsize>);

impl Settle for Settled {
    fn settle(&self, _: Lease, _: Verdict) -> Result<(), SettleError> {
        self.0.fetch_add(1, SeqCst);
        Ok(())
    }
}

/// A tick acknowledges two deliveries: the thread of the link is woken until both are settled.
#[test]
fn what_a_tick_gives_back_is_settled() {
    for reverse in [false, true] {
        outcomes(3, 10, ["; ".to_owned()], move || {
            let (mut inbox, feeder) = link::inbox(2);
            let settled = [(); 2].map(|()| Arc::new(AtomicUsize::new(0)));
            for count in &settled {
                feeder.push(Delivery::new(event("1"), Settled(count.clone())));
            }
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || {
                    // One within the drain, and one after it.
                    let mut drained: Vec<_> = inbox.drain(1).collect();
                    for delivery in inbox.drain(1) {
                        delivery.ack();
                    }
                    drained.remove(0).ack();
                    core::mem::forget(inbox); // dropping it would wake the thread, too
                    String::new()
                }),
                Box::new(move || {
                    while settled.iter().any(|count| count.load(SeqCst) == 0) {
                        block_on(feeder.settle());
                    }
                    assert!(settled.iter().all(|count| count.load(SeqCst) == 1));
                    String::new()
                }),
            ];
            run(tasks, reverse).join("; ")
        });
    }
}

/// The end of a link against a tick that acknowledges: the delivery is settled once.
#[test]
fn what_a_tick_gives_back_at_the_end_is_settled_once() {
    for reverse in [false, true] {
        outcomes(3, 2, ["1".to_owned()], move || {
            let (mut inbox, feeder) = link::inbox(1);
            let settled = Arc::new(AtomicUsize::new(0));
            feeder.push(Delivery::new(event("1"), Settled(settled.clone())));
            let tasks: Vec<Task<String>> = vec![
                Box::new(move || {
                    for delivery in inbox.drain(1) {
                        delivery.ack();
                    }
                    String::new()
                }),
                Box::new(move || {
                    feeder.end();
                    String::new()
                }),
            ];
            run(tasks, reverse);
            settled.load(SeqCst).to_string()
        });
    }
}
