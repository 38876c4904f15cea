//! How the memory engine delivers: modes of full buffers, rotation, history, time to live, publishes that wait until all
//! is handled. On a clock that stands still until a test waits.
#![cfg(all(feature = "hosted", not(tickbus_loom)))]

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Mutex;

use proptest::prelude::*;
use tickbus::envelope::Timestamp;
use tickbus::hosted::{
    Capabilities, Capability, Counted, Deliveries, Delivery, Engine, EngineError, EngineFuture,
    GapReason, HistoryLimits, Level, MemoryEngine, MemoryEngineBuilder, Mode, OpenError, Reason,
    Receipt, ShutdownError, StartAt, Subscribe, TestClock,
};
use tickbus::wait::Cancel;
use tickbus::{Envelope, Overrun};
use tokio::time::{Instant, advance, timeout};

const SECOND: Duration = Duration::from_secs(1);

fn paused<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { timeout(100_000 * SECOND, future).await.expect("it hangs") })
}

const BEGIN: &str = "2026-11-30T00:00:00Z";

fn builder() -> MemoryEngineBuilder {
    MemoryEngine::builder().clock(TestClock::new(BEGIN.parse().unwrap()))
}

/// The time of day so long after the clock began.
fn after(begin: Duration) -> Timestamp {
    let begun: Timestamp = BEGIN.parse().unwrap();
    Timestamp::from_unix_nanos(begun.unix_nanos() + i128::try_from(begin.as_nanos()).unwrap())
        .unwrap()
}

fn event(id: &str) -> Envelope {
    on("a.b", id)
}

fn on(subject: &str, id: &str) -> Envelope {
    // Its own time is not that of the acceptance.
    let time = Timestamp::from_unix_nanos(0).unwrap();
    Envelope::unstamped(subject).unwrap().with_id(id).with_time(time)
}

async fn publish(engine: &MemoryEngine, ids: &str) {
    for id in ids.split(' ') {
        engine.publish(event(id)).await.unwrap();
    }
}

fn live(engine: &MemoryEngine) -> Subscribe<'_> {
    engine.subscribe("a.*").unwrap()
}

async fn full(engine: &MemoryEngine, id: &str) -> Deliveries {
    let one = live(engine).capacity(1).overrun(Overrun::Block).open().await.unwrap();
    publish(engine, id).await;
    one
}

/// The ids that are there now, each acknowledged; gaps as `-n`, those of old ones as `~n`.
fn drain(deliveries: &mut Deliveries) -> String {
    let mut ids = Vec::new();
    while let Poll::Ready(Some(next)) = deliveries.try_next() {
        ids.push(match next {
            Ok(delivery) => {
                let id = delivery.envelope().id().to_owned();
                delivery.ack();
                id
            }
            Err(gap) => {
                let missed = gap.missed.expect("the engine knows");
                format!("{}{missed}", if gap.reason == GapReason::Expired { "~" } else { "-" })
            }
        });
    }
    ids.join(" ")
}

async fn next(deliveries: &mut Deliveries) -> Delivery {
    deliveries.next().await.expect("it is open").expect("there is no gap")
}

fn poll<T>(future: Pin<&mut impl Future<Output = T>>) -> Poll<T> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

type Published<'a> = EngineFuture<'a, Result<Receipt, EngineError>>;

/// Waits with a publish, and does something meanwhile. Returns the result, and how long it took.
async fn meanwhile<T>(
    publish: Published<'_>,
    work: impl AsyncFnOnce() -> T,
) -> (Result<Receipt, EngineError>, Duration, T) {
    let begin = Instant::now();
    let (mut publish, mut work) = (pin!(publish), pin!(work()));
    assert!(poll(publish.as_mut()).is_pending(), "it does not wait");
    let mut done = None;
    let result = core::future::poll_fn(|context| {
        if done.is_none()
            && let Poll::Ready(it) = work.as_mut().poll(context)
        {
            done = Some(it);
        }
        publish.as_mut().poll(context)
    })
    .await;
    let took = begin.elapsed();
    (result, took, if let Some(done) = done { done } else { work.await })
}

// ---- Modes ---------------------------------------------------------------------------------------

#[test]
fn an_engine_says_what_full_buffers_do_unless_the_subscriber_does() {
    paused(async {
        let cases: [(MemoryEngineBuilder, &str); 4] = [
            (builder().capacity(2), "1 2"),
            (builder().capacity(2).overrun(Overrun::DropNewest), "1 2"),
            (builder().capacity(2).overrun(Overrun::DropOldest), "-2 3 4"),
            (builder().capacity(2).block_timeout(Duration::ZERO), "1 2"), // 0 is drop
        ];
        for (builder, expected) in cases {
            let engine = builder.build();
            let mut plain = live(&engine).open().await.unwrap();
            let own = live(&engine).capacity(3).overrun(Overrun::DropOldest);
            let mut own = own.open().await.unwrap();
            publish(&engine, "1 2 3 4").await;
            assert_eq!(drain(&mut plain), expected);
            assert_eq!(drain(&mut own), "-1 2 3 4", "the subscriber's settings come first");
            assert_eq!(engine.dropped().buffer_full, 3);
        }

        let engine = builder().capacity(1).overrun(Overrun::Block).build();
        let mut one = live(&engine).open().await.unwrap();
        publish(&engine, "1").await;
        let second = engine.publish(event("2"));
        let (result, ..) = meanwhile(second, async || assert_eq!(drain(&mut one), "1 2")).await;
        assert_eq!(result.unwrap().level, Level::Accepted);

        let engine = builder().capacity(1).overrun(Overrun::Block).block_timeout(SECOND).build();
        let _one = live(&engine).open().await.unwrap();
        publish(&engine, "1").await;
        let (result, took, ()) = meanwhile(engine.publish(event("2")), async || {}).await;
        assert!(result.is_ok() && took == SECOND);
    });
}

#[test]
fn a_blocked_publisher_is_woken_by_unsubscribe() {
    paused(async {
        let engine = builder().build();
        let one = full(&engine, "1").await;
        let end = async || {
            tokio::time::sleep(SECOND).await;
            drop(one);
        };
        let (result, took, ()) = meanwhile(engine.publish(event("2")), end).await;
        assert!(result.is_ok() && took == SECOND);

        let mut one = full(&engine, "3").await;
        let (result, ..) = meanwhile(engine.publish(event("4")), async || one.close()).await;
        assert!(result.is_ok());
        assert_eq!(drain(&mut one), "3");
        assert!(one.next().await.is_none());
    });
}

#[test]
fn a_blocked_publisher_is_woken_by_stop() {
    paused(async {
        for log in [0, 10] {
            let engine = builder().log(log).build();
            let _one = full(&engine, "1").await;
            let stop = async || engine.shutdown(Duration::ZERO).await;
            let (result, took, stopped) = meanwhile(engine.publish(event("2")), stop).await;
            assert!(took.is_zero() && stopped.is_ok());
            match result {
                // The log has it.
                Ok(receipt) => assert_eq!((log, receipt.sequence), (10, Some(2))),
                Err(error) => {
                    assert!(log == 0 && error.is_unknown());
                    assert!(matches!(error.reason(), Reason::Closed));
                }
            }
        }
    });
}

#[test]
fn a_cancelled_publish_is_an_error() {
    paused(async {
        let engine = builder().build();
        let mut one = full(&engine, "1").await;
        let mut other = live(&engine).open().await.unwrap();
        let cancel = Cancel::new();
        let stop = async || {
            tokio::time::sleep(SECOND).await;
            cancel.cancel();
        };
        let second = engine.publish_until(event("2"), &cancel);
        let (result, took, ()) = meanwhile(second, stop).await;
        let error = result.unwrap_err();
        assert_eq!(took, SECOND);
        assert!(matches!(error.reason(), Reason::Cancelled) && error.is_unknown());
        assert_eq!(
            error.to_string(),
            "engine `memory`: `a.b` may have been sent: the wait was cancelled"
        );
        assert_eq!(error.into_envelope().id(), "2");
        assert_eq!(drain(&mut other), "2", "those with room have it");

        // Room wins, and cancelled already is cancelled.
        assert_eq!(drain(&mut one), "1");
        engine.publish_until(event("3"), &cancel).await.unwrap();
        let error = engine.publish_until(event("4"), &cancel).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::Cancelled));
        assert_eq!(drain(&mut one), "-1 3");
        publish(&engine, "5").await;
        assert_eq!(drain(&mut one), "-1 5");
    });
}

#[test]
fn a_publish_whose_future_is_dropped_leaves_no_trace_in_a_full_buffer() {
    paused(async {
        let engine = Counted::new(builder().build());
        let mut one = full(engine.get_ref(), "1").await;
        let mut second = engine.publish(event("2").into());
        assert!(poll(Pin::new(&mut second)).is_pending());
        drop(second);
        assert_eq!(drain(&mut one), "1");
        publish(engine.get_ref(), "3").await;
        assert_eq!(drain(&mut one), "-1 3");
        let stats = engine.stats();
        assert!((stats.offered, stats.unknown) == (1, 1) && stats.add_up());
    });
}

/// The publish begins with the call.
#[test]
fn a_publish_whose_future_is_never_polled_is_with_those_that_have_room() {
    paused(async {
        for ttl in [Duration::ZERO, 60 * SECOND] {
            let engine = builder().ttl(ttl).history(HistoryLimits::new()).build();
            let mut one = live(&engine).capacity(1).overrun(Overrun::Block).open().await.unwrap();
            let mut other = live(&engine).capacity(8).overrun(Overrun::Block).open().await.unwrap();
            let mut group = live(&engine).group("g").open().await.unwrap();
            drop(engine.publish(event("1")));
            drop(engine.publish(event("2"))); // no room in the first
            drop(engine.publish_and_wait(event("3")));
            drop(engine.publish_until(event("4"), &Cancel::new()));
            assert_eq!(drain(&mut one), "1");
            assert_eq!(drain(&mut other), "1 2 3 4");
            assert_eq!(drain(&mut group), "1 2 3 4");
            assert_eq!(history(&engine, ">"), "1 2 3 4");
            assert_eq!(engine.dropped().buffer_full, 3);

            // It waits for room as soon as it is called, and the engine ends without it.
            publish(&engine, "5").await;
            let sixth = engine.publish(event("6"));
            assert_eq!(drain(&mut one), "-3 5 6");
            assert!(sixth.await.is_ok());
            publish(&engine, "7").await;
            let eighth = engine.publish(event("8"));
            engine.shutdown(Duration::ZERO).await.unwrap_err();
            assert!(eighth.await.is_ok(), "the log has it");
            assert_eq!((drain(&mut one), drain(&mut other)), ("7".into(), "5 6 7 8".into()));
        }
    });
}

#[test]
fn a_publisher_waits_at_most_so_long() {
    paused(async {
        let engine = builder().build();
        let brief = |seconds| live(&engine).capacity(1).block_timeout(seconds * SECOND).open();
        let (mut three, mut five) = (brief(3).await.unwrap(), brief(5).await.unwrap());
        let mut other = live(&engine).open().await.unwrap();
        publish(&engine, "1").await;

        // Each by its own: the one for 3 s has no room, the one for 5 s has it after 4.
        let work = async || {
            assert_eq!(drain(&mut other), "1 2", "those with room have it at once");
            tokio::time::sleep(4 * SECOND).await;
            assert_eq!(drain(&mut five), "1 2");
        };
        let (result, took, ()) = meanwhile(engine.publish(event("2")), work).await;
        assert!(result.is_ok() && took == 4 * SECOND, "{took:?}");
        assert_eq!(drain(&mut three), "1");

        // One that is always full, again and again.
        publish(&engine, "3").await;
        for id in 4..20 {
            let publish = engine.publish(event(&id.to_string()));
            let (result, took, ()) = meanwhile(publish, async || {}).await;
            assert!(result.is_ok() && took == 5 * SECOND);
        }
        assert_eq!(drain(&mut three), "-1 3");
        assert_eq!((engine.dropped().buffer_full, three.stats().missed), (33, 1));

        // Room, unsubscribe and stop end it before.
        publish(&engine, "20").await;
        drop(five);
        let (result, took, ()) = meanwhile(engine.publish(event("21")), async || drop(three)).await;
        assert!(result.is_ok() && took.is_zero());
        publish(&engine, "22 23").await;
    });
}

#[test]
fn a_timeout_needs_a_subscription_and_an_engine_that_can_wait() {
    paused(async {
        let engine = builder().build();
        let never = live(&engine).capacity(1).block_timeout(Duration::ZERO).open().await.unwrap();
        let mut publish = engine.publish(event("1"));
        assert!(poll(Pin::new(&mut publish)).is_ready());
        let mut publish = engine.publish(event("2"));
        assert!(poll(Pin::new(&mut publish)).is_ready(), "0 is drop");
        drop(never);

        let both = live(&engine).overrun(Overrun::DropOldest).block_timeout(SECOND).open().await;
        assert!(
            matches!(both, Err(OpenError::Invalid { setting: "block_timeout", .. })),
            "{both:?}"
        );
        let durable = live(&engine).group("g").block_timeout(SECOND).open().await;
        assert!(matches!(durable, Err(OpenError::WrongMode { setting: "block_timeout", .. })));
        let other = Other("other".into());
        let brief = other.subscribe("a").unwrap().block_timeout(SECOND).open().await.unwrap_err();
        assert!(matches!(
            brief,
            OpenError::Missing { mode: Mode::Live, capability: Capability::BlockTimeout, .. }
        ));
    });
}

/// An engine that can wait for room and nothing else.
struct Other(Arc<str>);

impl Engine for Other {
    fn name(&self) -> &Arc<str> {
        &self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().live([Capability::Block])
    }

    fn publish(&self, _: Arc<Envelope>) -> Published<'_> {
        EngineFuture::ready(Ok(Receipt::new(&self.0, Level::Buffered)))
    }

    fn shutdown(&self, _: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
        EngineFuture::ready(Ok(()))
    }
}

// ---- Rotation --------------------------------------------------------------------------------------

/// Writes down in which order it is woken.
struct Bell {
    number: usize,
    order: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.order.lock().unwrap().push(self.number);
    }
}

struct Bells {
    engine: MemoryEngine,
    open: Vec<(usize, Deliveries)>,
    order: Arc<Mutex<Vec<usize>>>,
    published: usize,
}

impl Bells {
    fn new(rotate: bool) -> Self {
        let engine = MemoryEngine::builder().rotate(rotate).build();
        Self { engine, open: Vec::new(), order: Arc::default(), published: 0 }
    }

    fn open(&mut self, number: usize, pattern: &str) {
        let open = self.engine.subscribe(pattern).unwrap().open();
        let Poll::Ready(Ok(live)) = poll(pin!(open)) else { panic!("it waits") };
        self.open.push((number, live));
    }

    /// Publishes, and returns who was woken, in that order.
    fn woken(&mut self, subject: &str) -> Vec<usize> {
        for (number, live) in &mut self.open {
            let bell = Bell { number: *number, order: self.order.clone() };
            let waker = Waker::from(Arc::new(bell));
            assert!(poll_next(live, &waker).is_pending());
        }
        self.published += 1;
        let event = on(subject, &self.published.to_string());
        self.engine.try_publish(event.into()).unwrap();
        let woken = core::mem::take(&mut *self.order.lock().unwrap());
        for (_, live) in &mut self.open {
            drain(live);
        }
        woken
    }
}

fn poll_next(live: &mut Deliveries, waker: &Waker) -> Poll<()> {
    pin!(live.next()).poll(&mut Context::from_waker(waker)).map(|_| ())
}

#[test]
fn with_rotation_subscriptions_take_turns_by_the_order_of_registration() {
    let mut bells = Bells::new(true);
    for number in 0..3 {
        bells.open(number, "a.*");
    }
    bells.open(3, "b");
    assert_eq!(bells.woken("a.b"), [0, 1, 2]);
    assert_eq!(bells.woken("a.b"), [1, 2, 0]);
    // One or none that match: the counter stays.
    assert_eq!(bells.woken("b"), [3]);
    assert!(bells.woken("c").is_empty());
    assert_eq!(bells.woken("a.c"), [2, 0, 1]);
    assert_eq!(bells.woken("a.b"), [0, 1, 2]);

    // The order of the others stays when one in the middle ends.
    drop(bells.open.remove(1));
    assert_eq!(bells.woken("a.b"), [0, 2], "4 mod 2");
    assert_eq!(bells.woken("a.b"), [2, 0], "5 mod 2");
    bells.open(7, "a.b");
    assert_eq!(bells.woken("a.b"), [0, 2, 7], "6 mod 3");
    assert_eq!(bells.woken("a.b"), [2, 7, 0], "7 mod 3");

    // More than are served under one lock.
    for number in 8..24 {
        bells.open(number, "many");
    }
    let mut expected: Vec<usize> = (8..24).collect();
    expected.rotate_left(8); // 8 mod 16
    assert_eq!(bells.woken("many"), expected);
}

#[test]
fn without_rotation_the_order_is_that_of_registration() {
    let mut bells = Bells::new(false);
    for number in 0..4 {
        bells.open(number, "a.*");
    }
    for _ in 0..5 {
        assert_eq!(bells.woken("a.b"), [0, 1, 2, 3]);
    }
    drop(bells.open.remove(1));
    assert_eq!(bells.woken("a.b"), [0, 2, 3]);
}

#[test]
fn with_rotation_full_buffers_and_waits_work_as_without() {
    paused(async {
        let engine = builder().rotate(true).build();
        let oldest = live(&engine).capacity(2).overrun(Overrun::DropOldest);
        let mut oldest = oldest.open().await.unwrap();
        let mut newest = live(&engine).capacity(2).open().await.unwrap();
        let mut block = live(&engine).capacity(2).block_timeout(SECOND).open().await.unwrap();
        publish(&engine, "1 2 3").await;
        let came = [&mut oldest, &mut newest, &mut block].map(drain);
        assert_eq!(came, ["-1 2 3", "1 2", "1 2"]);
        assert_eq!(engine.dropped().buffer_full, 3);
    });
}

// ---- History ---------------------------------------------------------------------------------------

fn ids(kept: &[Arc<Envelope>]) -> String {
    kept.iter().map(|it| it.id()).collect::<Vec<_>>().join(" ")
}

fn history(engine: &MemoryEngine, pattern: &str) -> String {
    ids(&engine.history(pattern).unwrap().all())
}

#[test]
fn history_is_off_until_it_is_set() {
    paused(async {
        let engine = builder().build();
        publish(&engine, "1 2").await;
        assert_eq!(history(&engine, ">"), "");
        assert!(engine.history("a*").is_err());
        let off = builder().history(HistoryLimits::new().retention(Duration::ZERO)).build();
        publish(&off, "1 2").await;
        assert_eq!(history(&off, ">"), "");
    });
}

#[test]
fn history_has_the_last_ones_those_since_a_time_and_those_of_a_pattern() {
    paused(async {
        for log in [0, 2] {
            let engine = builder().log(log).history(HistoryLimits::new()).build();
            for (id, subject) in ["a.b", "a.c", "b", "a.b", "b"].into_iter().enumerate() {
                advance(SECOND).await;
                engine.publish(on(subject, &(id + 1).to_string())).await.unwrap();
            }
            assert_eq!(history(&engine, ">"), "1 2 3 4 5");
            assert_eq!(history(&engine, "a.*"), "1 2 4");
            let of = |pattern| engine.history(pattern).unwrap();
            assert_eq!(ids(&of("a.*").last(2)), "2 4");
            assert_eq!(ids(&of(">").last(0)), "");
            // Since it was accepted: the times of the envelopes are all the same.
            assert_eq!(ids(&of(">").since(after(3 * SECOND)).all()), "3 4 5");
            assert_eq!(ids(&of("a.>").since(after(2 * SECOND)).last(1)), "4");
            assert_eq!(ids(&of(">").since(after(6 * SECOND)).all()), "");
            assert_eq!(
                ids(&of(">").since(Timestamp::from_unix_nanos(0).unwrap()).last(4)),
                "2 3 4 5"
            );
        }
    });
}

#[test]
fn history_has_what_was_accepted_once_whatever_became_of_it() {
    paused(async {
        for (log, expected) in [(10, "1 2"), (0, "1 1 2")] {
            let engine = builder().log(log).max_payload(3).history(HistoryLimits::new()).build();
            publish(&engine, "1 1 2").await;
            engine.publish(event("3").with_bytes(*b"long")).await.unwrap_err();
            engine.shutdown(Duration::ZERO).await.unwrap();
            engine.publish(event("4")).await.unwrap_err();
            assert_eq!(history(&engine, ">"), expected, "without a log, no id is known");
        }
    });
}

#[test]
fn history_is_bounded_by_subject_number_bytes_and_age() {
    paused(async {
        let engine = builder().history(HistoryLimits::new().per_subject(2)).build();
        publish(&engine, "1 2").await;
        engine.publish(on("b", "3")).await.unwrap();
        publish(&engine, "4").await;
        assert_eq!(history(&engine, ">"), "2 3 4");

        let engine = builder().history(HistoryLimits::new().max_history_events(3)).build();
        publish(&engine, "1 2 3 4 5").await;
        assert_eq!(history(&engine, ">"), "3 4 5");

        // 4 bytes of id and subject, and the payload.
        let engine = builder().history(HistoryLimits::new().max_history_bytes(30)).build();
        for (id, bytes) in [("1", 6), ("2", 6), ("3", 6), ("4", 10), ("5", 27)] {
            engine.publish(event(id).with_bytes(vec![0; bytes])).await.unwrap();
            if id == "3" {
                assert_eq!(history(&engine, ">"), "1 2 3");
            }
        }
        assert_eq!(history(&engine, ">"), "3 4", "what is larger than all is not kept");

        let engine = builder().history(HistoryLimits::new().retention(10 * SECOND)).build();
        for id in ["1", "2", "3"] {
            publish(&engine, id).await;
            advance(4 * SECOND).await;
        }
        assert_eq!(history(&engine, ">"), "2 3", "12, 8 and 4 seconds old");
        advance(2 * SECOND).await;
        assert_eq!(history(&engine, ">"), "3", "none is older than that");
        advance(4 * SECOND).await;
        assert_eq!(history(&engine, ">"), "");
    });
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The history against a list that is looked through each time.
    #[test]
    fn history_is_that_of_a_plain_list(
        events in proptest::collection::vec((0..4_usize, 0..20_usize, 0..4_u64), 0..60),
        (per_subject, most, bytes, age) in (0..6_usize, 0..12_usize, 0..150_usize, 0..20_u64),
    ) {
        paused(async {
            let limits = HistoryLimits::new().per_subject(per_subject).max_history_events(most);
            let limits = limits.max_history_bytes(bytes).retention(Duration::from_secs(age));
            let engine = builder().history(limits).build();
            // Id, subject, size, time.
            let mut list: VecDeque<(String, usize, usize, u64)> = VecDeque::new();
            let mut now = 0;
            for (at, (subject, payload, pause)) in events.into_iter().enumerate() {
                advance(Duration::from_secs(pause)).await;
                now += pause;
                let (id, name) = (at.to_string(), ["a.a", "a.b", "b", "c.c.c"][subject]);
                engine.publish(on(name, &id).with_bytes(vec![0; payload])).await.unwrap();
                let size = payload + id.len() + name.len();
                list.retain(|it| now - it.3 < age);
                if size <= bytes && per_subject > 0 && most > 0 && age > 0 {
                    list.push_back((id, subject, size, now));
                    let of = list.iter().filter(|it| it.1 == subject).count();
                    if of > per_subject {
                        let first = list.iter().position(|it| it.1 == subject).unwrap();
                        list.remove(first);
                    }
                    while list.len() > most || list.iter().map(|it| it.2).sum::<usize>() > bytes {
                        list.pop_front();
                    }
                }
                let all: Vec<&str> = list.iter().map(|it| &*it.0).collect();
                assert_eq!(history(&engine, ">"), all.join(" "));
                let some: Vec<&str> =
                    list.iter().filter(|it| it.1 < 2).map(|it| &*it.0).collect();
                assert_eq!(history(&engine, "a.*"), some.join(" "));
            }
        });
    }
}

// ---- Time to live ----------------------------------------------------------------------------------

#[test]
fn an_event_expires_by_its_age_since_the_engine_accepted_it() {
    paused(async {
        let engine = builder().ttl(10 * SECOND).build();
        let mut one = live(&engine).open().await.unwrap();
        let mut group = live(&engine).group("g").open().await.unwrap();
        publish(&engine, "1 2").await;
        advance(4 * SECOND).await;
        publish(&engine, "3").await;
        advance(5 * SECOND).await;
        assert_eq!(next(&mut one).await.envelope().id(), "1");
        next(&mut group).await.ack();
        advance(SECOND).await;
        assert_eq!((drain(&mut one), drain(&mut group)), ("~1 3".into(), "~1 3".into()));
        assert_eq!(engine.dropped().expired, 2);
        assert_eq!((one.stats().gaps, one.stats().missed), (1, 1));
        assert_eq!((group.lag(), one.lag()), (Some(0), Some(0)));

        // The last ones are told at once, with nothing behind them.
        publish(&engine, "4 5").await;
        advance(10 * SECOND).await;
        assert_eq!((drain(&mut one), drain(&mut group)), ("~2".into(), "~2".into()));
        publish(&engine, "6").await;
        assert_eq!((drain(&mut one), drain(&mut group)), ("6".into(), "6".into()));
        assert_eq!(engine.dropped().expired, 6);

        let never = builder().ttl(Duration::ZERO).build();
        let mut one = live(&never).open().await.unwrap();
        publish(&never, "1").await;
        advance(1000 * SECOND).await;
        assert_eq!(drain(&mut one), "1");
    });
}

#[test]
fn a_lost_and_an_expired_event_are_two_gaps() {
    paused(async {
        let engine = builder().ttl(10 * SECOND).build();
        let oldest = live(&engine).capacity(2).overrun(Overrun::DropOldest);
        let mut oldest = oldest.open().await.unwrap();
        publish(&engine, "1 2 3").await;
        advance(9 * SECOND).await;
        publish(&engine, "4").await;
        advance(SECOND).await;
        assert_eq!(drain(&mut oldest), "-2 ~1 4", "1 and 2 had to go, 3 was too old");
        let dropped = engine.dropped();
        assert_eq!((dropped.buffer_full, dropped.expired, dropped.total()), (2, 1, 3));
    });
}

#[test]
fn a_retry_that_comes_too_late_is_dropped() {
    paused(async {
        let engine = builder().ttl(10 * SECOND).build();
        let keyed = |id: &str| event(id).with_key("k");
        let mut group = live(&engine).group("g").lease(20 * SECOND).open().await.unwrap();
        engine.publish(keyed("1")).await.unwrap();
        next(&mut group).await.retry_after(4 * SECOND);
        advance(4 * SECOND).await;
        let again = next(&mut group).await;
        assert_eq!(again.attempt(), 2);
        engine.publish(keyed("2")).await.unwrap();
        again.retry_after(6 * SECOND);
        advance(6 * SECOND).await;
        assert_eq!(drain(&mut group), "~1 2", "its key goes on");
        assert!(engine.dead_letters().is_empty());

        // What is held when its time comes stays with its member.
        publish(&engine, "3").await;
        let held = next(&mut group).await;
        advance(11 * SECOND).await;
        held.ack_async().await.unwrap();
        assert_eq!(engine.dropped().expired, 1);
    });
}

#[test]
fn an_expires_header_is_a_time_of_day() {
    paused(async {
        for ttl in [Duration::ZERO, 100 * SECOND] {
            let engine = builder().ttl(ttl).build();
            let mut one = live(&engine).open().await.unwrap();
            let mut group = live(&engine).group("g").open().await.unwrap();
            let until =
                |id, seconds| event(id).header("expires", after(seconds * SECOND).to_string());
            for (id, seconds) in [("1", 5), ("2", 6), ("3", 1000)] {
                engine.publish(until(id, seconds)).await.unwrap();
            }
            publish(&engine, "4").await;
            advance(5 * SECOND).await;
            assert_eq!(
                (drain(&mut one), drain(&mut group)),
                ("~1 2 3 4".into(), "~1 2 3 4".into())
            );
            assert_eq!(engine.dropped().expired, 2);

            // The earlier of the two counts.
            engine.publish(until("5", 1000)).await.unwrap();
            advance(100 * SECOND).await;
            let expected = if ttl.is_zero() { "5" } else { "~1" };
            assert_eq!((drain(&mut one), drain(&mut group)), (expected.into(), expected.into()));
        }

        let engine = builder().build();
        let error = engine.publish(event("1").header("expires", "soon")).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::Header(key) if **key == *"expires"));
        assert!(!error.is_unknown() && engine.kept().is_empty());
    });
}

#[test]
fn one_envelope_may_be_published_again_while_its_age_counts() {
    paused(async {
        let engine = builder().log(0).ttl(10 * SECOND).build();
        let mut one = live(&engine).open().await.unwrap();
        let event = Arc::new(event("1"));
        for _ in 0..3 {
            engine.publish(event.clone()).await.unwrap();
            advance(4 * SECOND).await;
        }
        assert_eq!(drain(&mut one), "~1 1 1", "12, 8 and 4 seconds old");
    });
}

// ---- What is accepted is delivered or dropped --------------------------------------------------------

#[test]
fn what_was_accepted_was_delivered_or_dropped_over_unsubscribe_and_stop() {
    paused(async {
        let engine = builder().ttl(10 * SECOND).build();
        let mut early = live(&engine).capacity(4).open().await.unwrap();
        let mut oldest =
            live(&engine).capacity(3).overrun(Overrun::DropOldest).open().await.unwrap();
        let mut delivered = 0;
        for round in 0..6 {
            publish(&engine, &format!("{round}a {round}b {round}c")).await;
            if round % 2 == 1 {
                delivered += u64::from(early.next().await.is_some_and(|it| it.is_ok()));
                delivered += u64::from(oldest.next().await.is_some_and(|it| it.is_ok()));
            }
            advance(3 * SECOND).await;
        }
        drop(early); // with some in its buffer
        engine.shutdown(Duration::ZERO).await.unwrap();
        while let Some(next) = oldest.next().await {
            delivered += u64::from(next.is_ok());
        }
        drop(oldest);
        let dropped = engine.dropped();
        assert!(dropped.buffer_full > 0 && dropped.expired > 0 && dropped.unsubscribed > 0);
        assert_eq!(delivered + dropped.total(), 2 * 18, "{dropped:?}");
    });
}

// ---- Publish and wait ------------------------------------------------------------------------------

#[test]
fn publish_and_wait_ends_when_all_have_handled_it() {
    paused(async {
        for ttl in [Duration::ZERO, 1000 * SECOND] {
            let engine = builder().ttl(ttl).build();
            let (mut one, mut two) =
                (live(&engine).open().await.unwrap(), live(&engine).open().await.unwrap());
            let mut group = live(&engine).group("g").open().await.unwrap();
            let _absent = live(&engine).group("absent").open().await.unwrap();
            drop(_absent); // a group without members is not waited for
            let _other = engine.subscribe("b").unwrap().open().await.unwrap();

            let handled = AtomicUsize::new(0);
            let handle = async || {
                let delivery = next(&mut one).await;
                tokio::time::sleep(2 * SECOND).await;
                handled.fetch_add(1, Relaxed);
                drop(delivery);
                next(&mut group).await.retry_after(SECOND);
                tokio::time::sleep(SECOND).await;
                let again = next(&mut group).await;
                handled.fetch_add(1, Relaxed);
                again.ack();
                tokio::time::sleep(SECOND).await;
                handled.fetch_add(1, Relaxed);
                drop(next(&mut two).await);
                tokio::time::sleep(SECOND).await;
            };
            let (result, took, ()) = meanwhile(engine.publish_and_wait(event("1")), handle).await;
            assert_eq!((result.unwrap().sequence, took), (Some(1), 4 * SECOND));
            assert_eq!(handled.load(Relaxed), 3);

            // The same id again: handled already.
            let mut again = engine.publish_and_wait(event("1"));
            assert!(matches!(poll(Pin::new(&mut again)), Poll::Ready(Ok(it)) if it.duplicate));
        }
        let engine = builder().build();
        let receipt = engine.publish_and_wait(event("1")).await.unwrap();
        assert_eq!((receipt.level, receipt.sequence), (Level::Accepted, Some(1)));
    });
}

/// What ends the wait at a live subscription without handling the event.
#[test]
fn publish_and_wait_does_not_wait_for_what_is_lost() {
    paused(async {
        let engine = builder().build();
        let mut refused = live(&engine).capacity(1).open().await.unwrap();
        publish(&engine, "1").await;
        engine.publish_and_wait(event("2")).await.unwrap(); // no room
        assert_eq!(drain(&mut refused), "1");

        let wait = engine.publish_and_wait(event("3"));
        let (result, ..) = meanwhile(wait, async || drop(refused)).await; // in the buffer
        result.unwrap();

        let mut held = live(&engine).open().await.unwrap();
        let hold = async || {
            let delivery = next(&mut held).await;
            drop(held);
            tokio::time::sleep(SECOND).await;
            drop(delivery);
        };
        let (_, took, ()) = meanwhile(engine.publish_and_wait(event("4")), hold).await;
        assert_eq!(took, SECOND, "its delivery outlives the subscription");

        for patterns in [&["a.*"][..], &["a.*", "*.b"]] {
            let oldest = patterns[1..].iter().fold(live(&engine), |it, more| it.or(more).unwrap());
            let oldest = oldest.capacity(1).overrun(Overrun::DropOldest).open().await.unwrap();
            let id = patterns.len().to_string();
            let wait = engine.publish_and_wait(event(&format!("x{id}")));
            let displace = async || publish(&engine, &format!("y{id}")).await;
            meanwhile(wait, displace).await.0.unwrap();
            drop(oldest);
        }

        let engine = builder().ttl(SECOND).build();
        let mut old = live(&engine).open().await.unwrap();
        let mut group = live(&engine).group("g").open().await.unwrap();
        let expire = async || {
            advance(SECOND).await;
            assert_eq!((drain(&mut old), drain(&mut group)), ("~1".into(), "~1".into()));
        };
        meanwhile(engine.publish_and_wait(event("1")), expire).await.0.unwrap();
    });
}

#[test]
fn publish_and_wait_ends_with_a_group_its_members_and_the_engine() {
    paused(async {
        let engine = builder().log(2).build();
        let mut group = live(&engine).group("g").open().await.unwrap();
        let reject = async || next(&mut group).await.reject("no");
        meanwhile(engine.publish_and_wait(event("1")), reject).await.0.unwrap();
        let trim = async || publish(&engine, "3 4").await;
        meanwhile(engine.publish_and_wait(event("2")), trim).await.0.unwrap();
        let leave = async || drop(group);
        meanwhile(engine.publish_and_wait(event("5")), leave).await.0.unwrap();

        let mut last = live(&engine).group("g").max_attempts(1).lease(SECOND).open().await.unwrap();
        let _ = drain(&mut last);
        let spend = async || {
            let unsettled = next(&mut last).await;
            tokio::time::sleep(2 * SECOND).await;
            assert_eq!(drain(&mut last), ""); // looks, and finds that its attempts are spent
            drop(unsettled);
        };
        let (result, took, ()) = meanwhile(engine.publish_and_wait(event("6")), spend).await;
        assert!(result.is_ok() && took == 2 * SECOND);

        let _pending = live(&engine).open().await.unwrap();
        let stop = async || engine.shutdown(Duration::ZERO).await;
        let (result, _, stopped) = meanwhile(engine.publish_and_wait(event("7")), stop).await;
        assert!(stopped.is_err(), "the group has it still");
        let error = result.unwrap_err();
        assert!(matches!(error.reason(), Reason::Closed) && error.is_unknown());
        let error = engine.publish_and_wait(event("8")).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::Closed) && !error.is_unknown());
    });
}

#[test]
fn publish_and_wait_may_be_given_up_and_waits_for_room_first() {
    paused(async {
        let engine = builder().build();
        let mut one = full(&engine, "1").await;
        let mut second = engine.publish_and_wait(event("2"));
        assert!(poll(Pin::new(&mut second)).is_pending());
        drop(second);
        assert_eq!(drain(&mut one), "1");
        let mut third = engine.publish_and_wait(event("3"));
        assert!(poll(Pin::new(&mut third)).is_pending());
        drop(third);
        assert_eq!(drain(&mut one), "-1 3");
        publish(&engine, "4").await;
        let work = async || {
            assert_eq!(next(&mut one).await.envelope().id(), "4");
            assert_eq!(next(&mut one).await.envelope().id(), "5");
        };
        meanwhile(engine.publish_and_wait(event("5")), work).await.0.unwrap();
    });
}

#[test]
fn publish_and_wait_is_unsupported_on_other_engines() {
    paused(async {
        let engine: Arc<dyn Engine> = Arc::new(Other("other".into()));
        let engine = Counted::new(engine);
        let error = engine.publish_and_wait(event("1").into()).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::Unsupported("publish_and_wait")));
        assert_eq!(
            error.to_string(),
            "engine `other`: `a.b` was not sent: the engine does not have `publish_and_wait`"
        );
        assert!(engine.stats().refused == 1 && engine.stats().add_up());

        // Through all that wraps an engine.
        let engine: Arc<dyn Engine> = Arc::new(builder().build());
        let engine = Counted::new(engine);
        let mut one = engine.subscribe("a.*").unwrap().open().await.unwrap();
        let wait = engine.publish_and_wait(event("1").into());
        meanwhile(wait, async || drop(next(&mut one).await)).await.0.unwrap();
        assert!(engine.stats().accepted == 1 && engine.stats().add_up());
    });
}

// ---- Where a group begins, and by which time it waits ------------------------------------------------

#[test]
fn a_group_that_begins_in_the_future_begins_then() {
    paused(async {
        let engine = builder().build();
        publish(&engine, "1").await;
        let later = live(&engine).group("g").start_at(StartAt::Time(after(10 * SECOND)));
        let mut later = later.open().await.unwrap();
        publish(&engine, "2").await;
        advance(10 * SECOND - Duration::from_nanos(1)).await;
        publish(&engine, "3").await;
        assert_eq!((later.lag(), drain(&mut later)), (Some(0), String::new()));
        advance(Duration::from_nanos(1)).await;
        publish(&engine, "4 5").await;
        assert_eq!((later.lag(), drain(&mut later)), (Some(2), "4 5".into()));

        // Another member, and what is trimmed before it begins.
        let engine = builder().log(2).build();
        let open = || live(&engine).group("g").start_at(StartAt::Time(after(20 * SECOND))).open();
        drop(open().await.unwrap());
        publish(&engine, "1 2 3 4").await;
        advance(20 * SECOND).await;
        let mut again = open().await.unwrap();
        publish(&engine, "5").await;
        assert_eq!(drain(&mut again), "5", "no gap: these were not for it");
        publish(&engine, "6 7 8").await;
        assert_eq!(drain(&mut again), "-1 7 8");
    });
}

/// A member waits for the end of a lease in a runtime without time, and without a runtime.
#[test]
fn a_durable_subscription_waits_without_the_time_of_a_runtime() {
    let wait = async || {
        let engine = MemoryEngine::new();
        let brief = live(&engine).group("g").lease(Duration::from_millis(30));
        let mut brief = brief.open().await.unwrap();
        engine.publish(event("1")).await.unwrap();
        let unsettled = brief.next().await.unwrap().unwrap();
        let again = brief.next().await.unwrap().unwrap();
        assert_eq!((unsettled.attempt(), again.attempt()), (1, 2));

        let _full = live(&engine).capacity(1).block_timeout(Duration::from_millis(5)).open().await;
        engine.publish(event("2")).await.unwrap();
        engine.publish(event("3")).await.unwrap();
    };
    let timeless = tokio::runtime::Builder::new_current_thread().build().unwrap();
    timeless.block_on(async { tokio::spawn(wait()).await.unwrap() });
    std::thread::spawn(move || block_on(wait())).join().unwrap();
}

/// Runs a future on this thread, without a runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Thread(std::thread::Thread);
    impl Wake for Thread {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Thread(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}
