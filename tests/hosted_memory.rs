//! The memory engine, on a clock that stands still until a test waits.
#![cfg(all(feature = "hosted", not(tickbus_loom)))]

extern crate alloc;

use alloc::sync::Arc;
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Mutex;

use proptest::prelude::*;
use tickbus::envelope::Timestamp;
use tickbus::hosted::{
    Capability, Counted, DeadLetter, Deliveries, Delivery, Engine, Gap, GapReason, Health, Level,
    MemoryEngine, MemoryEngineBuilder, OpenError, Reason, SettleError, StartAt, TestClock, Verdict,
};
use tickbus::{Envelope, Overrun};
use tokio::time::{Instant, advance};

const SECOND: Duration = Duration::from_secs(1);

fn paused<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(future)
}

fn clock() -> TestClock {
    TestClock::new("2026-11-30T00:00:00Z".parse().unwrap())
}

fn builder() -> MemoryEngineBuilder {
    MemoryEngine::builder().clock(clock())
}

fn event(id: &str) -> Envelope {
    let time = Timestamp::from_unix_nanos(0).unwrap();
    Envelope::unstamped("a.b").unwrap().with_id(id).with_time(time)
}

async fn publish(engine: &MemoryEngine, ids: &str) {
    for id in ids.split(' ') {
        engine.publish(event(id)).await.unwrap();
    }
}

async fn open(engine: &MemoryEngine, group: &str) -> Deliveries {
    engine.subscribe("a.*").unwrap().group(group).lease(10 * SECOND).open().await.unwrap()
}

async fn next(deliveries: &mut Deliveries) -> Delivery {
    let next = tokio::time::timeout(1000 * SECOND, deliveries.next());
    next.await.expect("something comes in time").expect("it is open").expect("there is no gap")
}

fn none_now(deliveries: &mut Deliveries) -> bool {
    deliveries.try_next().is_pending()
}

fn gap(missed: u64) -> Option<Gap> {
    Some(Gap::new(Some(missed), GapReason::Trimmed))
}

/// The ids that are there now, each acknowledged; gaps as `-n`.
fn drain(deliveries: &mut Deliveries) -> String {
    let mut ids = Vec::new();
    while let Poll::Ready(Some(next)) = deliveries.try_next() {
        match next {
            Ok(delivery) => {
                ids.push(delivery.envelope().id().to_owned());
                delivery.ack();
            }
            Err(gap) => ids.push(gap.missed.map_or("-?".to_owned(), |missed| format!("-{missed}"))),
        }
    }
    ids.join(" ")
}

// ---- Live ----------------------------------------------------------------------------------------

#[test]
fn a_live_subscription_tells_of_what_it_lost() {
    paused(async {
        let engine = builder().build();
        publish(&engine, "0").await;
        for (overrun, expected) in [(Overrun::DropNewest, "1 2"), (Overrun::DropOldest, "-2 3 4")] {
            let live = engine.subscribe("a.*").unwrap().capacity(2).overrun(overrun);
            let mut live = live.open().await.unwrap();
            for id in ["1", "2", "3", "4"] {
                let event = event(&format!("{overrun}{id}"));
                engine.publish(event).await.unwrap();
            }
            assert_eq!(drain(&mut live).replace(overrun.label(), ""), expected);
            if overrun == Overrun::DropNewest {
                publish(&engine, "5").await;
                assert_eq!(drain(&mut live), "-2 5");
            }
            assert_eq!((live.stats().missed, live.stats().gaps), (2, 1));
        }

        // What was lost last has only the end behind it.
        let mut live = engine.subscribe("a.*").unwrap().capacity(1).open().await.unwrap();
        publish(&engine, "6 7 8").await;
        engine.shutdown(Duration::ZERO).await.unwrap();
        assert_eq!(drain(&mut live), "6 -2");
        assert!(live.next().await.is_none() && live.try_next().is_ready());
    });
}

#[test]
fn several_patterns_receive_an_event_once() {
    paused(async {
        let engine = builder().build();
        let both = || engine.subscribe("a.*").unwrap().or("*.b").unwrap();
        let mut live = both().open().await.unwrap();
        let mut durable = both().group("g").open().await.unwrap();
        publish(&engine, "1 2").await;
        engine.publish(Envelope::new("b.c").unwrap()).await.unwrap();
        assert_eq!((drain(&mut live), drain(&mut durable)), ("1 2".into(), "1 2".into()));
    });
}

#[test]
fn a_publisher_waits_for_a_live_subscription_that_blocks() {
    paused(async {
        let engine = builder().build();
        let one = engine.subscribe("a.*").unwrap().capacity(1).overrun(Overrun::Block);
        let mut one = one.open().await.unwrap();
        publish(&engine, "1").await;
        let mut second = core::pin::pin!(engine.publish(event("2")));
        let mut context = Context::from_waker(Waker::noop());
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert_eq!(drain(&mut one), "1 2");
        assert!(second.as_mut().poll(&mut context).is_ready());

        // One that never waits drops it there.
        publish(&engine, "3").await;
        engine.try_publish(event("4").into()).unwrap();
        assert_eq!(drain(&mut one), "3");

        drop(one);
        publish(&engine, "5 6 7").await; // and now none lets it wait
    });
}

// ---- Groups, leases, attempts ----------------------------------------------------------------------

#[test]
fn members_share_and_groups_have_all() {
    paused(async {
        let engine = builder().build();
        let (mut one, mut two) = (open(&engine, "g").await, open(&engine, "g").await);
        let mut other = open(&engine, "h").await;
        publish(&engine, "1 2 3").await;
        let first = next(&mut one).await;
        assert_eq!((first.sequence(), first.attempt(), first.engine()), (Some(1), 1, "memory"));
        assert_eq!(drain(&mut two), "2 3");
        assert_eq!(drain(&mut other), "1 2 3");
        first.ack();
        assert!(none_now(&mut one) && one.lag() == Some(0));
    });
}

#[test]
fn what_is_not_settled_comes_again_when_its_lease_ends() {
    paused(async {
        let engine = builder().build();
        let (mut one, mut two) = (open(&engine, "g").await, open(&engine, "g").await);
        publish(&engine, "1").await;
        let held = next(&mut one).await;
        let begin = Instant::now();
        let again = next(&mut two).await;
        assert_eq!(begin.elapsed().as_secs(), 10);
        assert_eq!((again.envelope().id(), again.attempt()), ("1", 2));

        // Late, all four verbs: the event is in other hands.
        assert!(matches!(held.extend_async(SECOND).await, Err(SettleError::Late)));
        assert!(matches!(held.ack_async().await, Err(SettleError::Late)));
        assert_eq!((one.stats().refused, one.stats().pending), (1, 0));
        for verdict in [Verdict::RetryAfter(SECOND), Verdict::Reject("no".into()), Verdict::Ack] {
            let held = next_after_lease(&engine, &mut one).await;
            assert!(matches!(held.settle_async(verdict).await, Err(SettleError::Late)));
        }
        drop(again);
        assert!(engine.dead_letters().is_empty());
        assert!(one.stats().add_up() && two.stats().add_up());
    });
}

/// A delivery whose lease has ended, although it is in no other hands.
async fn next_after_lease(engine: &MemoryEngine, from: &mut Deliveries) -> Delivery {
    let id = engine.kept().end.to_string();
    publish(engine, &id).await;
    loop {
        let it = next(from).await;
        if it.envelope().id() == id {
            advance(10 * SECOND).await;
            return it;
        }
        it.ack();
    }
}

#[test]
fn a_lease_that_is_extended_holds() {
    paused(async {
        let engine = builder().build();
        let mut one = open(&engine, "g").await;
        publish(&engine, "1").await;
        let held = next(&mut one).await;
        for _ in 0..5 {
            advance(9 * SECOND).await;
            held.extend_async(10 * SECOND).await.unwrap();
        }
        assert!(none_now(&mut one));
        held.extend(SECOND); // also a shorter one
        advance(SECOND).await;
        assert_eq!(next(&mut one).await.attempt(), 2);
    });
}

#[test]
fn a_retry_waits_for_its_delay_and_the_rest_goes_on() {
    paused(async {
        let engine = builder().build();
        let mut one = open(&engine, "g").await;
        publish(&engine, "1 2").await;
        next(&mut one).await.retry_after(3 * SECOND);
        assert_eq!(drain(&mut one), "2");
        let begin = Instant::now();
        let again = next(&mut one).await;
        assert_eq!((begin.elapsed(), again.envelope().id(), again.attempt()), (3 * SECOND, "1", 2));
    });
}

#[test]
fn attempts_are_bounded_and_end_as_dead_letters() {
    paused(async {
        let engine = builder().dead_letters(2).build();
        let one = engine.subscribe("a.*").unwrap().group("g").max_attempts(2).lease(SECOND);
        let mut one = one.open().await.unwrap();
        publish(&engine, "1 2 3").await;
        for id in ["1", "2"] {
            let it = next(&mut one).await;
            assert_eq!(it.envelope().id(), id);
            it.retry_after(Duration::ZERO);
            let it = next(&mut one).await;
            assert_eq!((it.envelope().id(), it.attempt()), (id, 2));
            if id == "1" {
                it.retry_after(Duration::ZERO);
            } else {
                drop(it); // counted as abandoned: its lease ends
                advance(SECOND).await;
            }
        }
        next(&mut one).await.reject("not for us");
        let dead = engine.dead_letters();
        let line = |it: &DeadLetter| {
            format!(
                "{} {} {} {} {}",
                it.envelope.id(),
                it.group,
                it.reason,
                it.attempts,
                it.sequence
            )
        };
        let dead: Vec<_> = dead.iter().map(line).collect();
        assert_eq!(dead, ["2 g attempts spent 2 2", "3 g not for us 1 3"]);
        assert_eq!(engine.dead_letters_lost(), 1);
        let stats = one.stats();
        assert_eq!((stats.retried, stats.rejected, stats.abandoned), (3, 1, 1));
        assert!(stats.add_up() && one.lag() == Some(0));
    });
}

#[test]
fn a_member_has_no_more_than_its_share_in_flight() {
    paused(async {
        let engine = builder().build();
        let one = engine.subscribe("a.*").unwrap().group("g").in_flight(2).open();
        let mut one = one.await.unwrap();
        publish(&engine, "1 2 3").await;
        let (first, second) = (next(&mut one).await, next(&mut one).await);
        assert!(none_now(&mut one));
        first.ack();
        assert_eq!(drain(&mut one), "3");
        second.ack();
    });
}

// ---- Keys ------------------------------------------------------------------------------------------

#[test]
fn a_key_is_in_the_hands_of_one_member_and_stays_in_order() {
    paused(async {
        let engine = builder().build();
        let (mut one, mut two) = (open(&engine, "g").await, open(&engine, "g").await);
        for (id, key) in [("1", "x"), ("2", "x"), ("3", "y"), ("4", ""), ("5", "x")] {
            engine.publish(event(id).with_key(key)).await.unwrap();
        }
        let first = next(&mut one).await;
        assert_eq!(drain(&mut two), "3 4", "x is not for this one");
        let second = next(&mut one).await;
        assert_eq!(second.envelope().id(), "2", "the same member may have more of it");

        // Given back, it holds its key for all but its owner.
        first.retry_after(SECOND);
        assert!(none_now(&mut one) && none_now(&mut two));
        second.ack();
        assert!(none_now(&mut one) && none_now(&mut two), "5 waits behind 1");
        assert_eq!(two.lag(), Some(2));
        let again = next(&mut two).await;
        assert_eq!((again.envelope().id(), again.attempt()), ("1", 2));
        assert!(none_now(&mut one), "and now it is the other's");
        again.ack();
        assert_eq!(drain(&mut one), "5");
    });
}

// ---- Positions -------------------------------------------------------------------------------------

#[test]
fn a_group_continues_where_it_stopped() {
    paused(async {
        let engine = builder().build();
        let mut one = open(&engine, "g").await;
        publish(&engine, "1 2").await;
        next(&mut one).await.ack();
        drop(one);
        publish(&engine, "3").await;
        let earliest = engine.subscribe("a.*").unwrap().group("g").start_at(StartAt::Earliest);
        assert_eq!(drain(&mut earliest.open().await.unwrap()), "2 3", "it is not new");
    });
}

#[test]
fn a_new_group_begins_where_it_says() {
    paused(async {
        let whole = builder().build();
        let first = whole.subscribe("a.*").unwrap().group("g").start_at(StartAt::Sequence(0));
        publish(&whole, "1").await;
        assert_eq!(drain(&mut first.open().await.unwrap()), "1", "sequences begin with 1");

        let engine = MemoryEngine::builder().clock(clock()).log(4).build();
        let begin: Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
        for id in ["1", "2", "3", "4", "5"] {
            publish(&engine, id).await; // at 0 s, 1 s, …
            advance(SECOND).await;
        }
        assert_eq!(engine.kept(), 2..6);
        let at = |seconds: i128| {
            StartAt::Time(
                Timestamp::from_unix_nanos(begin.unix_nanos() + seconds * 1_000_000_000).unwrap(),
            )
        };
        let cases = [
            (StartAt::New, ""),
            (StartAt::Earliest, "2 3 4 5"),
            (StartAt::Sequence(4), "4 5"),
            (StartAt::Sequence(9), ""),
            (StartAt::Sequence(0), "-? 2 3 4 5"),
            (StartAt::Sequence(1), "-? 2 3 4 5"),
            (StartAt::Sequence(2), "2 3 4 5"),
            (at(3), "4 5"),
            (at(100), ""),
            (at(-100), "2 3 4 5"),
        ];
        for (number, (start_at, expected)) in cases.into_iter().enumerate() {
            let group = engine.subscribe("a.*").unwrap().group(number.to_string());
            let mut group = group.start_at(start_at).open().await.unwrap();
            assert_eq!(drain(&mut group), expected, "{start_at:?}");
        }
    });
}

#[test]
fn what_was_trimmed_is_a_gap_and_what_is_held_is_not_lost() {
    paused(async {
        let engine = builder().log(2).build();
        let gaps = Arc::new(Mutex::new(Vec::new()));
        let told = gaps.clone();
        let one = engine.subscribe("a.*").unwrap().group("g");
        let one = one.on_gap(move |gap| told.lock().unwrap().push(gap));
        let mut one = one.open().await.unwrap();
        publish(&engine, "1").await;
        let held = next(&mut one).await;
        engine.publish(Envelope::new("other").unwrap()).await.unwrap();
        publish(&engine, "2 3 4 5").await; // 1 is in hand, `other` is not for the group
        held.retry_after(Duration::ZERO);
        let mut got = Vec::new();
        while let Poll::Ready(Some(next)) = one.try_next() {
            got.push(next.map(|it| it.envelope().id().to_owned()));
        }
        let trimmed = Gap::new(Some(2), GapReason::Trimmed);
        assert_eq!(got, [Err(trimmed), Ok("1".into()), Ok("4".into()), Ok("5".into())]);
        assert_eq!(*gaps.lock().unwrap(), [trimmed]);
        assert_eq!(Some(trimmed), gap(2));
    });
}

#[test]
fn a_group_has_the_patterns_that_it_was_opened_with() {
    paused(async {
        let engine = builder().build();
        drop(open(&engine, "g").await);
        let error = engine.subscribe("a.>").unwrap().group("g").open().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "engine `memory`: `group` is not valid: a group of this name has other patterns",
        );
    });
}

// ---- Publishing ------------------------------------------------------------------------------------

#[test]
fn an_id_counts_once_within_the_window() {
    paused(async {
        let engine = Counted::new(builder().deduplicate(10 * SECOND, 3).build());
        let mut live = engine.subscribe("a.*").unwrap().open().await.unwrap();
        let mut durable = engine.subscribe("a.*").unwrap().group("g").open().await.unwrap();
        let send = async |id: &str| engine.publish(event(id).into()).await.unwrap();
        let first = send("1").await;
        assert_eq!(
            (first.level, first.duplicate, first.sequence),
            (Level::Accepted, false, Some(1))
        );
        let second = send("1").await;
        assert_eq!((second.duplicate, second.sequence), (true, Some(1)));
        advance(10 * SECOND).await;
        assert!(!send("1").await.duplicate, "the window has passed");
        for id in ["2", "3", "4"] {
            send(id).await;
        }
        assert!(!send("1").await.duplicate, "only three are known");
        assert!(send("4").await.duplicate);
        assert_eq!(drain(&mut live), "1 1 2 3 4 1");
        assert_eq!(drain(&mut durable), "1 1 2 3 4 1");
        let stats = engine.stats();
        assert_eq!((stats.offered, stats.accepted, stats.duplicate), (8, 6, 2));
        assert!(stats.add_up());
    });
}

#[test]
fn a_payload_that_is_too_large_is_not_sent() {
    paused(async {
        let engine = builder().name("small").max_payload(3).build();
        assert_eq!(engine.capabilities().payload_limit(), Some(3));
        engine.publish(event("1").with_bytes([0; 3])).await.unwrap();
        let error = engine.publish(event("2").with_raw_payload("1234").unwrap()).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::TooLarge { bytes: 4, limit: 3 }));
        assert_eq!(
            error.to_string(),
            "engine `small`: `a.b` was not sent: the payload has 4 bytes, and may have 3",
        );
        assert_eq!(error.into_envelope().id(), "2");
        assert_eq!(engine.kept(), 1..2);
    });
}

#[test]
fn without_a_log_there_are_no_durable_subscriptions() {
    paused(async {
        let engine = builder().log(0).build();
        let error = engine.subscribe("a").unwrap().group("g").open().await.unwrap_err();
        assert!(matches!(error, OpenError::Missing { capability: Capability::Durable, .. }));
        let mut live = engine.subscribe("a.*").unwrap().open().await.unwrap();
        publish(&engine, "1 1").await;
        assert_eq!(drain(&mut live), "1 1", "nor are ids known");
    });
}

#[test]
fn a_publisher_needs_no_runtime() {
    let engine = Arc::new(MemoryEngine::new());
    let mut open = core::pin::pin!(engine.subscribe("a.*").unwrap().group("g").open());
    let mut context = Context::from_waker(Waker::noop());
    let Poll::Ready(Ok(mut group)) = open.as_mut().poll(&mut context) else { panic!("it waits") };
    let publisher = engine.clone();
    let publish = move || publisher.try_publish(event("1").into()).unwrap().level;
    assert_eq!(std::thread::spawn(publish).join().unwrap(), Level::Accepted);
    assert_eq!(drain(&mut group), "1");
}

// ---- The end -----------------------------------------------------------------------------------------

#[test]
fn shutdown_waits_for_what_is_pending() {
    paused(async {
        let engine = builder().build();
        let (mut one, mut live) =
            (open(&engine, "g").await, engine.subscribe("a.*").unwrap().open().await.unwrap());
        publish(&engine, "1 2").await;
        let begin = Instant::now();
        let work = async {
            let mut ids = String::new();
            while let Some(next) = one.next().await {
                tokio::time::sleep(SECOND).await;
                ids.push_str(next.as_ref().unwrap().envelope().id());
                next.unwrap().ack_async().await.unwrap();
            }
            ids
        };
        let (done, ids) = join(engine.shutdown(60 * SECOND), work).await;
        done.unwrap();
        assert_eq!((ids.as_str(), begin.elapsed()), ("12", 2 * SECOND));
        assert_eq!(drain(&mut live), "1 2", "pending ones can still be received");
        assert!(live.next().await.is_none() && one.next().await.is_none());

        assert_eq!(engine.health(), Health::Closed);
        let error = engine.publish(event("3")).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::Closed) && !error.is_unknown());
        let error = engine.subscribe("a").unwrap().open().await.unwrap_err();
        assert_eq!(error.to_string(), "engine `memory`: not subscribed: the engine is shut down");
        assert!(engine.subscribe("a").unwrap().group("g").open().await.is_err());
        engine.shutdown(SECOND).await.unwrap();
    });
}

#[test]
fn shutdown_gives_up_at_its_deadline() {
    paused(async {
        let engine = builder().build();
        let mut one = open(&engine, "g").await;
        publish(&engine, "1").await;
        let held = next(&mut one).await;
        let begin = Instant::now();
        let error = engine.shutdown(3 * SECOND).await.unwrap_err();
        assert_eq!(begin.elapsed(), 3 * SECOND);
        assert_eq!(
            error.to_string(),
            "engine `memory` did not finish: there was no answer in time"
        );
        assert!(matches!(held.ack_async().await, Err(SettleError::Failed(Reason::Closed))));
        assert!(one.next().await.is_none());
        engine.shutdown(Duration::ZERO).await.unwrap();
    });
}

#[test]
fn a_member_that_waits_is_woken_by_the_end() {
    paused(async {
        let engine = builder().build();
        let mut one = open(&engine, "g").await;
        let (end, ()) = join(one.next(), async { drop(engine) }).await;
        assert!(end.is_none());
    });
}

#[test]
fn a_member_that_waits_is_woken_for_what_another_left() {
    paused(async {
        let engine = builder().build();
        let (mut one, mut two) = (open(&engine, "g").await, open(&engine, "g").await);
        let work = async {
            publish(&engine, "1").await;
            let Poll::Ready(Some(Ok(first))) = one.try_next() else { panic!("it is there") };
            tokio::time::sleep(SECOND).await;
            first.retry_after(SECOND);
            drop(one);
        };
        let begin = Instant::now();
        let (again, ()) = join(next(&mut two), work).await;
        assert_eq!((again.attempt(), begin.elapsed()), (2, 2 * SECOND));
    });
}

#[test]
fn a_member_that_waits_is_woken_for_what_was_given_back() {
    paused(async {
        let engine = builder().build();
        let (mut one, mut two) = (open(&engine, "g").await, open(&engine, "g").await);
        publish(&engine, "1").await;
        let held = next(&mut one).await;
        let work = async {
            tokio::time::sleep(SECOND).await;
            held.retry_after(Duration::ZERO);
        };
        let begin = Instant::now();
        let (again, ()) = join(next(&mut two), work).await;
        assert_eq!((again.attempt(), begin.elapsed()), (2, SECOND));
    });
}

/// A lease that ends before all others begins while a member waits for the end of another.
#[test]
fn a_member_that_waits_learns_of_a_shorter_lease() {
    paused(async {
        let engine = builder().build();
        let mut one = open(&engine, "g").await;
        let two = engine.subscribe("a.*").unwrap().group("g").in_flight(1).lease(100 * SECOND);
        let mut two = two.open().await.unwrap();
        publish(&engine, "1").await;
        let held = next(&mut two).await;
        let work = async {
            publish(&engine, "2").await;
            tokio::time::sleep(SECOND).await;
            let Poll::Ready(Some(Ok(second))) = one.try_next() else { panic!("it is there") };
            drop(second);
            held.ack();
        };
        let begin = Instant::now();
        let (again, ()) = join(next(&mut two), work).await;
        assert_eq!((again.envelope().id(), again.attempt()), ("2", 2));
        assert_eq!(begin.elapsed(), 11 * SECOND);
    });
}

#[test]
fn a_publish_that_is_dropped_is_counted_as_unknown() {
    paused(async {
        let engine = Counted::new(builder().build());
        let one = engine.subscribe("a.*").unwrap().capacity(1).overrun(Overrun::Block);
        let _full = one.open().await.unwrap();
        engine.publish(event("1").into()).await.unwrap();
        let brief = tokio::time::timeout(SECOND, engine.publish(event("2").into()));
        assert!(brief.await.is_err());
        let batch = [event("3").into(), event("4").into()].into();
        assert!(tokio::time::timeout(SECOND, engine.publish_batch(batch)).await.is_err());
        let stats = engine.stats();
        assert_eq!((stats.offered, stats.accepted, stats.unknown), (4, 1, 3));
        assert!(stats.add_up());
    });
}

/// Both, polled in turn.
async fn join<A: Future, B: Future>(a: A, b: B) -> (A::Output, B::Output) {
    let (mut a, mut b) = (core::pin::pin!(a), core::pin::pin!(b));
    let (mut of_a, mut of_b) = (None, None);
    core::future::poll_fn(|context| {
        if of_a.is_none()
            && let Poll::Ready(it) = a.as_mut().poll(context)
        {
            of_a = Some(it);
        }
        if of_b.is_none()
            && let Poll::Ready(it) = b.as_mut().poll(context)
        {
            of_b = Some(it);
        }
        if of_a.is_some() && of_b.is_some() { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (of_a.unwrap(), of_b.unwrap())
}

// ---- Against a plain model -----------------------------------------------------------------------------

const MEMBERS: usize = 2;
const IN_FLIGHT: usize = 2;
const LOG: usize = 4;
const MOST: u32 = 3;

#[derive(Clone, Debug)]
enum Step {
    Publish {
        id: u8,
        key: &'static str,
    },
    Next(usize),
    /// The nth of those in hand, oldest first.
    Settle(usize, Verdict),
    Advance(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let verdict = prop_oneof![
        4 => Just(Verdict::Ack),
        2 => (0..4_u32).prop_map(|it| Verdict::RetryAfter(it * SECOND)),
        1 => Just(Verdict::Reject("no".into())),
        1 => (1..6_u32).prop_map(|it| Verdict::Extend(it * SECOND)),
    ];
    let key = prop_oneof![Just(""), Just("x"), Just("y")];
    let step = prop_oneof![
        5 => (any::<u8>(), key).prop_map(|(id, key)| Step::Publish { id, key }),
        6 => (0..MEMBERS).prop_map(Step::Next),
        4 => (0..4_usize, verdict).prop_map(|(at, verdict)| Step::Settle(at, verdict)),
        2 => (1..5_u64).prop_map(Step::Advance),
    ];
    proptest::collection::vec(step, 1..60)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    Ready { due: u64, attempts: u32 },
    Held { member: usize, until: u64, attempt: u32, number: usize },
    Done,
    Dead,
    Missed,
}

/// The group as a list of all events, walked from the start each time.
#[derive(Default)]
struct Model {
    now: u64,
    events: Vec<(u8, &'static str, State)>,
    /// Looked at: in the log alone until then.
    cursor: usize,
    missed: u64,
    deliveries: usize,
}

impl Model {
    fn expire(&mut self) {
        for (.., state) in &mut self.events {
            if let State::Held { until, attempt, .. } = *state
                && until <= self.now
            {
                *state = if attempt == MOST {
                    State::Dead
                } else {
                    State::Ready { due: self.now, attempts: attempt }
                };
            }
        }
    }

    fn publish(&mut self, id: u8, key: &'static str) -> bool {
        if self.events.iter().any(|(other, ..)| *other == id) {
            return false;
        }
        self.events.push((id, key, State::Ready { due: 0, attempts: 0 }));
        if self.events.len() > LOG {
            let trimmed = self.events.len() - LOG - 1;
            if trimmed >= self.cursor {
                self.events[trimmed].2 = State::Missed;
                self.missed += 1;
                self.cursor = trimmed + 1;
            }
        }
        true
    }

    /// `Err` is a gap.
    fn next(&mut self, member: usize) -> Option<Result<(u8, u32, usize), u64>> {
        self.expire();
        if self.missed > 0 {
            return Some(Err(core::mem::take(&mut self.missed)));
        }
        let held =
            |state: &State, by: usize| matches!(state, State::Held { member, .. } if *member == by);
        if self.events.iter().filter(|(.., state)| held(state, member)).count() == IN_FLIGHT {
            return None;
        }
        for at in 0..self.events.len() {
            let (id, key, state) = self.events[at];
            if at >= self.cursor {
                self.cursor = at + 1;
            }
            let State::Ready { due, attempts } = state else { continue };
            let blocked = !key.is_empty()
                && self.events.iter().enumerate().any(|(other, (_, its_key, its))| {
                    *its_key == key
                        && match its {
                            State::Ready { .. } => other < at,
                            State::Held { member: holder, .. } => *holder != member,
                            _ => false,
                        }
                });
            if due > self.now || blocked {
                continue;
            }
            self.deliveries += 1;
            let (attempt, number) = (attempts + 1, self.deliveries);
            self.events[at].2 = State::Held { member, until: self.now + 5, attempt, number };
            return Some(Ok((id, attempt, number)));
        }
        None
    }

    /// Returns whether it was in time.
    fn settle(&mut self, number: usize, verdict: &Verdict) -> bool {
        self.expire();
        let now = self.now;
        let found = self.events.iter_mut().find_map(|(.., state)| match *state {
            State::Held { member, attempt, number: its, .. } if its == number => {
                Some((state, member, attempt))
            }
            _ => None,
        });
        let Some((state, member, attempt)) = found else { return false };
        *state = match verdict {
            Verdict::Ack => State::Done,
            Verdict::RetryAfter(_) if attempt == MOST => State::Dead,
            Verdict::RetryAfter(delay) => {
                State::Ready { due: now + delay.as_secs(), attempts: attempt }
            }
            Verdict::Reject(_) => State::Dead,
            Verdict::Extend(lease) => {
                State::Held { member, until: now + lease.as_secs(), attempt, number }
            }
            other => panic!("{other:?}"),
        };
        true
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn a_group_does_what_the_model_does(steps in steps()) {
        paused(async move {
            let engine = Counted::new(builder().log(LOG).build());
            let (mut offered, mut duplicate) = (0, 0);
            let mut members = Vec::new();
            for _ in 0..MEMBERS {
                let member = engine.subscribe("a.*").unwrap().group("g").in_flight(IN_FLIGHT);
                members.push(member.lease(5 * SECOND).max_attempts(MOST).open().await.unwrap());
            }
            let mut model = Model::default();
            let mut in_hand: Vec<(usize, Delivery)> = Vec::new();
            // The last one looks at what has ended by then.
            for step in steps.into_iter().chain([Step::Next(0)]) {
                match step {
                    Step::Publish { id, key } => {
                        let event = event(&id.to_string()).with_key(key);
                        let receipt = engine.publish(event.into()).await.unwrap();
                        offered += 1;
                        duplicate += u64::from(receipt.duplicate);
                        prop_assert_eq!(!receipt.duplicate, model.publish(id, key));
                    }
                    Step::Next(member) => {
                        let next = match members[member].try_next() {
                            Poll::Ready(next) => next,
                            Poll::Pending => None,
                        };
                        match (next, model.next(member)) {
                            (None, None) => {}
                            (Some(Err(told)), Some(Err(missed))) => {
                                prop_assert_eq!(Some(told), gap(missed));
                            }
                            (Some(Ok(it)), Some(Ok((id, attempt, number)))) => {
                                prop_assert_eq!(it.envelope().id(), id.to_string());
                                prop_assert_eq!(it.attempt(), attempt);
                                in_hand.push((number, it));
                            }
                            (it, expected) => prop_assert!(false, "{:?}, not {:?}", it, expected),
                        }
                    }
                    Step::Settle(at, verdict) if at < in_hand.len() => {
                        let (number, it) = in_hand.remove(at);
                        let expected = model.settle(number, &verdict);
                        let taken = if let Verdict::Extend(lease) = verdict {
                            let taken = it.extend_async(lease).await.is_ok();
                            in_hand.insert(at, (number, it));
                            taken
                        } else {
                            it.settle_async(verdict).await.is_ok()
                        };
                        prop_assert_eq!(taken, expected);
                    }
                    Step::Settle(..) => {}
                    Step::Advance(seconds) => {
                        model.now += seconds;
                        advance(Duration::from_secs(seconds)).await;
                    }
                }
                for member in &members {
                    prop_assert!(member.stats().add_up(), "{:?}", member.stats());
                }
            }
            // Nothing is lost: what is not done, dead or missed is held or still to come.
            let count = |wanted: fn(&State) -> bool| {
                model.events.iter().filter(|it| wanted(&it.2)).count() as u64
            };
            let ready = count(|it| matches!(it, State::Ready { .. }));
            let missed = count(|it| *it == State::Missed);
            prop_assert_eq!(members[0].lag(), Some(ready));
            prop_assert_eq!(engine.get_ref().dead_letters().len() as u64, count(|it| *it == State::Dead));
            let told: u64 = members.iter().map(|it| it.stats().missed).sum();
            prop_assert_eq!(told + model.missed, missed);
            let handled: u64 = members.iter().map(|it| it.stats().handled).sum();
            prop_assert_eq!(handled, count(|it| *it == State::Done));
            let sent = engine.stats();
            prop_assert!(sent.add_up());
            prop_assert_eq!((sent.offered, sent.duplicate), (offered, duplicate));
            prop_assert_eq!(sent.accepted, model.events.len() as u64);
            Ok(())
        })?;
    }
}

#[test]
fn what_waits_for_another_attempt_holds_nothing_else_up() {
    paused(async {
        let engine = builder().build();
        let mut all = open(&engine, "all").await;
        for at in 0..1100 {
            publish(&engine, &at.to_string()).await;
            next(&mut all).await.retry_after(3600 * SECOND);
        }
        publish(&engine, "last").await;
        assert_eq!(next(&mut all).await.envelope().id(), "last");
        advance(3600 * SECOND).await;
        assert_eq!(next(&mut all).await.envelope().id(), "0");
    });
}
