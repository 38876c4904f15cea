//! The conformance kit: it proves the memory engine, and convicts an engine that is broken on purpose, once for
//! each behaviour and by its name.
#![cfg(all(feature = "hosted", not(tickbus_loom)))]

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::Mutex;

use tickbus::Envelope;
use tickbus::envelope::Timestamp;
use tickbus::hosted::conformance::{self, Outcome, Report, Setup};
use tickbus::hosted::{
    Capabilities, Capability, Carrier, Delivery, DurableOptions, Engine, EngineError, EngineFuture,
    Gap, Lease, Level, LiveOptions, MemoryEngine, Mode, OpenError, Reason, Receipt, Receive,
    Router, Settle, SettleError, ShutdownError, StartAt, StartError, TestClock, Verdict,
};

fn paused<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(future)
}

fn run(fault: &'static str) -> Report {
    paused(async {
        let clock = TestClock::new("2026-11-30T00:00:00Z".parse().unwrap());
        conformance::run(&Broken { fault, clock }).await
    })
}

/// Memory engines with a fault, which is the name of a behaviour, or none.
struct Broken {
    fault: &'static str,
    clock: TestClock,
}

impl Setup for Broken {
    type Engine = Faulty;

    fn connect(&self) -> EngineFuture<'_, Result<Faulty, StartError>> {
        let inner = MemoryEngine::builder().name("broken").clock(self.clock);
        let inner = inner.log(100).max_payload(LIMIT).build();
        let (fault, clock) = (self.fault, self.clock);
        let past = Mutex::default();
        let (opened, shutdowns) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let inner = Arc::new(inner);
        EngineFuture::ready(Ok(Faulty { inner, fault, clock, past, opened, shutdowns }))
    }

    fn kept(&self) -> Option<u64> {
        Some(100)
    }

    fn now(&self) -> Option<Timestamp> {
        Some(tickbus::hosted::Clock::wall(&self.clock))
    }

    fn dead_letters(&self, engine: &Faulty) -> Option<Vec<String>> {
        let dead = engine.inner.dead_letters();
        Some(dead.iter().map(|it| it.envelope.id().to_owned()).collect())
    }

    fn secrets(&self) -> Vec<String> {
        vec!["hunter2".into()]
    }
}

const LIMIT: usize = 2000;

struct Faulty {
    inner: Arc<MemoryEngine>,
    fault: &'static str,
    clock: TestClock,
    past: Mutex<Vec<Arc<Envelope>>>,
    opened: AtomicUsize,
    shutdowns: AtomicUsize,
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let password = if self.has("debug_shows_no_secret") { "hunter2" } else { "…" };
        f.debug_struct("Faulty").field("password", &password).finish()
    }
}

impl Faulty {
    fn has(&self, fault: &str) -> bool {
        self.fault == fault
    }

    /// Whether it is the subject that a behaviour uses alone.
    fn on(&self, patterns: &[tickbus::subject::PatternBuf], last: &str) -> bool {
        patterns[0].as_str().ends_with(last)
    }
}

impl Engine for Faulty {
    fn name(&self) -> &Arc<str> {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        let can = self.inner.capabilities();
        match self.fault {
            "oversized_payload_is_not_sent" => can.max_payload(LIMIT - 1000),
            "modest" | "takes_all_demands" => {
                can.without(Capability::Gaps).without(Capability::Extend)
            }
            _ => can,
        }
    }

    fn publish(&self, it: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        let subject = it.subject().as_str().to_owned();
        self.past.lock().unwrap().push(it.clone());
        if self.has("closed_engine_refuses") && self.shutdowns.load(Relaxed) > 0 {
            return EngineFuture::ready(Ok(Receipt::new(self.name(), Level::Accepted)));
        }
        if self.has("publish_survives_a_runtime_that_stops") && subject.ends_with("stops") {
            let inner = self.inner.clone();
            drop(tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(1)).await;
                inner.publish(it).await
            }));
            return EngineFuture::ready(Ok(Receipt::new(self.name(), Level::Accepted)));
        }
        let mut it = it;
        if self.has("durable_key_is_with_one_member") {
            // The engine does not know that it is a key.
            let key = it.key().to_owned();
            it = Arc::new((*it).clone().with_key("").header("hidden", key));
        }
        let engine = self.inner.publish(it);
        EngineFuture::new(async move {
            let mut receipt = engine.await?;
            match self.fault {
                "receipt_says_what_is_claimed" => receipt.level = Level::Buffered,
                "durable_same_id_has_one_effect" => receipt.duplicate = false,
                _ => {}
            }
            Ok(receipt)
        })
    }

    fn carriers(&self, patterns: &[tickbus::subject::PatternBuf]) -> Vec<Carrier> {
        match self.fault {
            "takes_all_demands" => self.inner.carriers(patterns),
            _ => vec![Carrier::new(self.name(), self.capabilities())],
        }
    }

    fn publish_batch(
        &self,
        mut all: Vec<Arc<Envelope>>,
    ) -> EngineFuture<'_, Vec<Result<Receipt, EngineError>>> {
        if self.has("batch_has_a_result_for_each") {
            all.pop();
        }
        self.inner.publish_batch(all)
    }

    fn open_live(
        &self,
        mut options: LiveOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        let mut tamper = Tamper::default();
        match self.fault {
            "live_patterns_are_those_of_the_matcher" => widen(&mut options.patterns),
            "live_begins_now" => {
                let past = self.past.lock().unwrap();
                let past = past.iter().filter(|it| options.matches(it.subject()));
                tamper.before = past.map(|it| Delivery::live(it.clone())).collect();
            }
            "live_keeps_the_order_of_a_publisher" => {
                tamper.swaps = self.on(&options.patterns, "order.*");
            }
            "live_subscriptions_have_all_each" if self.on(&options.patterns, "each") => {
                tamper.deaf = self.opened.fetch_add(1, Relaxed) > 0;
            }
            "live_tells_of_a_full_buffer" => tamper.no_gaps = true,
            "live_lets_the_publisher_wait" if self.on(&options.patterns, "wait") => {
                options.overrun = tickbus::Overrun::DropNewest;
            }
            "live_lets_the_publisher_wait_so_long" => options.block_timeout = None,
            "live_same_id_has_one_effect" => tamper.twice = self.on(&options.patterns, "same"),
            "shutdown_ends_live_subscriptions" => tamper.endless = true,
            "live_receives_exactly_what_was_published" => tamper.drops_header = true,
            "publish_fills_in_id_and_time" => tamper.drops_id = true,
            "durable_key_is_with_one_member" => tamper.shows_key = true,
            _ => {}
        }
        let open = self.inner.open_live(options);
        EngineFuture::new(async move { Ok(tamper.on(open.await?)) })
    }

    fn open_durable(
        &self,
        mut options: DurableOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        let mut tamper = Tamper { verdict: verdicts(self.fault), ..Tamper::default() };
        let nth = self.opened.fetch_add(1, Relaxed);
        let on = |last: &str| self.on(&options.patterns, last);
        match self.fault {
            "durable_group_shares" if on("share") => options.group = format!("g{nth}").into(),
            "durable_group_continues_where_it_stopped" if on("resume") => {
                options.group = format!("g{nth}").into();
            }
            "durable_groups_have_all_each" if on("each") => options.group = "one".into(),
            "durable_patterns_are_those_of_the_matcher" => widen(&mut options.patterns),
            "durable_receives_exactly_what_was_published" => tamper.drops_header = true,
            "durable_keeps_the_order_of_a_publisher" => tamper.swaps = on("order.*"),
            "durable_keeps_the_order_of_a_key" => tamper.swaps = on("key.*"),
            "durable_key_is_with_one_member" => tamper.shows_key = true,
            "durable_lease_ends" => options.lease = Duration::from_secs(1000),
            "durable_attempts_count" => tamper.first_attempt = true,
            "durable_attempts_are_bounded" => options.max_attempts = None,
            "durable_late_verdicts_are_refused" => tamper.takes_late = true,
            "durable_other_leases_are_kept_or_refused" if on("leases.*") => {
                options.lease = Duration::from_secs(1);
                tamper.takes_late = true;
            }
            "durable_begins_now_by_default" if options.start_at == StartAt::New => {
                options.start_at = StartAt::Earliest;
            }
            "durable_begins_with_the_earliest" if options.start_at == StartAt::Earliest => {
                options.start_at = StartAt::New;
            }
            "durable_begins_at_a_sequence" => {
                if let StartAt::Sequence(sequence) = options.start_at {
                    options.start_at = StartAt::Sequence(sequence - 1);
                }
            }
            "durable_begins_at_a_time_to_come" if on("later") => {
                options.start_at = StartAt::New;
            }
            "durable_begins_at_a_time" if on("old") => {
                if let StartAt::Time(_) = options.start_at {
                    options.start_at = StartAt::Earliest;
                }
            }
            "durable_tells_of_what_was_trimmed" => tamper.no_gaps = true,
            "shutdown_ends_durable_subscriptions" => tamper.endless = true,
            _ => {}
        }
        let open = self.inner.open_durable(options);
        EngineFuture::new(async move { Ok(tamper.on(open.await?)) })
    }

    fn shutdown(&self, deadline: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
        let again = self.shutdowns.fetch_add(1, Relaxed) > 0;
        if again && self.has("second_shutdown_is_ok") {
            return EngineFuture::ready(Err(ShutdownError::new(self.name(), Reason::Closed)));
        }
        let _ = self.clock;
        self.inner.shutdown(deadline)
    }
}

/// As a server does whose filter is too wide, behind which nothing is checked.
fn widen(patterns: &mut [tickbus::subject::PatternBuf]) {
    for pattern in patterns {
        if let Some(start) = pattern.as_str().strip_suffix(".a.*") {
            *pattern = format!("{start}.a.>").parse().unwrap();
        }
    }
}

type OfVerdicts = fn(Verdict) -> Verdict;

fn verdicts(fault: &str) -> OfVerdicts {
    const LEASE: Duration = Duration::from_secs(1);
    match fault {
        "durable_retry_comes_again" => |verdict| match verdict {
            Verdict::RetryAfter(_) => Verdict::Extend(LEASE),
            other => other,
        },
        "durable_retry_keeps_its_delay" => |verdict| match verdict {
            Verdict::RetryAfter(_) => Verdict::RetryAfter(Duration::ZERO),
            other => other,
        },
        "durable_acknowledged_never_comes_again" => |verdict| match verdict {
            Verdict::Ack => Verdict::Extend(LEASE * 3 / 2),
            other => other,
        },
        "durable_extend_holds" => |verdict| match verdict {
            Verdict::Extend(LEASE) => Verdict::Extend(LEASE / 100),
            other => other,
        },
        "durable_extend_ends" => |verdict| match verdict {
            Verdict::Extend(time) => Verdict::Extend(time.max(LEASE)),
            other => other,
        },
        "durable_rejected_never_comes_again" => |verdict| match verdict {
            Verdict::Reject(_) => Verdict::RetryAfter(LEASE),
            other => other,
        },
        "durable_rejected_is_a_dead_letter" => |verdict| match verdict {
            Verdict::Reject(_) => Verdict::Ack,
            other => other,
        },
        _ => |verdict| verdict,
    }
}

/// What is done to what is received.
#[derive(Clone)]
struct Tamper {
    before: VecDequeOf,
    swaps: bool,
    deaf: bool,
    no_gaps: bool,
    twice: bool,
    endless: bool,
    drops_header: bool,
    drops_id: bool,
    shows_key: bool,
    first_attempt: bool,
    takes_late: bool,
    verdict: OfVerdicts,
}

/// Deliveries are not `Clone`; those of the past are made once.
#[derive(Default)]
struct VecDequeOf(VecDeque<Delivery>);

impl Clone for VecDequeOf {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl FromIterator<Delivery> for VecDequeOf {
    fn from_iter<I: IntoIterator<Item = Delivery>>(from: I) -> Self {
        Self(from.into_iter().collect())
    }
}

impl Default for Tamper {
    fn default() -> Self {
        Self {
            before: VecDequeOf::default(),
            swaps: false,
            deaf: false,
            no_gaps: false,
            twice: false,
            endless: false,
            drops_header: false,
            drops_id: false,
            shows_key: false,
            first_attempt: false,
            takes_late: false,
            verdict: |verdict| verdict,
        }
    }
}

impl Tamper {
    fn on(self, inner: Box<dyn Receive>) -> Box<dyn Receive> {
        Box::new(Tampered { inner, tamper: self, queue: VecDeque::new() })
    }
}

struct Tampered {
    inner: Box<dyn Receive>,
    tamper: Tamper,
    queue: VecDeque<Delivery>,
}

impl Tampered {
    fn changed(&self, it: Delivery) -> Delivery {
        let tamper = &self.tamper;
        let mut envelope = (**it.envelope()).clone();
        if tamper.drops_header {
            envelope.headers_mut().remove("empty");
        }
        if tamper.drops_id && envelope.subject().as_str().ends_with("bare") {
            envelope = envelope.with_id("");
        }
        if tamper.shows_key {
            let key = envelope.headers().get("hidden").to_owned();
            envelope.headers_mut().remove("hidden");
            envelope = envelope.with_key(key);
        }
        if !it.is_durable() {
            return Delivery::live(envelope);
        }
        let (sequence, attempt) = (it.sequence().unwrap(), it.attempt());
        let attempt = if tamper.first_attempt { 1 } else { attempt };
        let (verdict, takes_late) = (tamper.verdict, tamper.takes_late);
        let settle = Proxy { inner: Mutex::new(Some(it)), verdict, takes_late };
        Delivery::new(envelope, settle).with_sequence(sequence).with_attempt(attempt)
    }
}

impl Receive for Tampered {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Delivery, Gap>>> {
        if let Some(it) = self.tamper.before.0.pop_front().or_else(|| self.queue.pop_front()) {
            return Poll::Ready(Some(Ok(it)));
        }
        let next = self.inner.poll_next(context);
        match next {
            Poll::Ready(Some(Ok(_))) if self.tamper.deaf => self.poll_next(context),
            Poll::Ready(Some(Err(_))) if self.tamper.no_gaps => self.poll_next(context),
            Poll::Ready(None) if self.tamper.endless => Poll::Pending,
            Poll::Ready(Some(Ok(it))) => {
                let first = self.changed(it);
                if self.tamper.twice {
                    self.queue.push_back(Delivery::live(first.envelope().clone()));
                }
                if self.tamper.swaps
                    && let Poll::Ready(Some(Ok(second))) = self.inner.poll_next(context)
                {
                    self.queue.push_back(first);
                    return Poll::Ready(Some(Ok(self.changed(second))));
                }
                Poll::Ready(Some(Ok(first)))
            }
            other => other,
        }
    }
}

/// Hands verdicts on to the delivery of the engine below, changed.
struct Proxy {
    inner: Mutex<Option<Delivery>>,
    verdict: OfVerdicts,
    takes_late: bool,
}

impl Settle for Proxy {
    fn settle(&self, _: Lease, verdict: Verdict) -> Result<(), SettleError> {
        let verdict = (self.verdict)(verdict);
        let mut inner = self.inner.lock().unwrap();
        let settled = match verdict {
            Verdict::Extend(lease) => at_once(inner.as_ref().unwrap().extend_async(lease)),
            verdict => at_once(inner.take().unwrap().settle_async(verdict)),
        };
        match settled {
            Err(SettleError::Late) if self.takes_late => Ok(()),
            other => other,
        }
    }
}

fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = core::pin::pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(it) => it,
        Poll::Pending => panic!("memory does not wait here"),
    }
}

#[test]
fn the_memory_engine_is_proven() {
    let report = run("none");
    assert!(report.is_proven(), "{report}");
    let proven = report.count(Outcome::Proven);
    assert_eq!(proven, report.rows.len(), "nothing is skipped: {report}");
    assert_eq!(proven, conformance::behaviours().len());
    assert!(proven >= 40, "{proven}");
}

/// A router over one memory engine.
struct Routed(TestClock);

impl Setup for Routed {
    type Engine = Router;

    fn connect(&self) -> EngineFuture<'_, Result<Router, StartError>> {
        EngineFuture::new(async {
            let memory = MemoryEngine::builder().clock(self.0).log(100).max_payload(LIMIT).build();
            let router = Router::builder().engine("fast", memory).build().unwrap();
            router.start().await.map(|()| router)
        })
    }

    fn kept(&self) -> Option<u64> {
        Some(100)
    }

    fn now(&self) -> Option<Timestamp> {
        Some(tickbus::hosted::Clock::wall(&self.0))
    }
}

#[test]
fn a_router_over_the_memory_engine_is_proven() {
    let report = paused(async {
        let clock = TestClock::new("2026-11-30T00:00:00Z".parse().unwrap());
        conformance::run(&Routed(clock)).await
    });
    assert!(report.is_proven(), "{report}");
    let skipped = report.rows.iter().filter(|row| row.outcome != Outcome::Proven);
    let skipped: Vec<_> = skipped.map(|row| (row.behaviour, row.outcome)).collect();
    assert_eq!(
        skipped,
        [
            ("durable_rejected_is_a_dead_letter", Outcome::Skipped),
            ("debug_shows_no_secret", Outcome::Skipped),
        ],
        "{report}"
    );
}

/// What the fault of a behaviour breaks beside it.
fn beside(fault: &str) -> &'static [&'static str] {
    match fault {
        "durable_retry_comes_again" => &["durable_retry_keeps_its_delay"],
        "durable_lease_ends" => &["durable_attempts_count", "durable_late_verdicts_are_refused"],
        "durable_late_verdicts_are_refused" => &["durable_extend_ends"],
        "durable_acknowledged_never_comes_again" => &["durable_late_verdicts_are_refused"],
        "durable_rejected_never_comes_again" => &["durable_rejected_is_a_dead_letter"],
        _ => &[],
    }
}

#[test]
fn each_fault_is_convicted_by_name() {
    for fault in conformance::behaviours() {
        let report = run(fault);
        let mut failed: Vec<_> = report.failed().map(|row| row.behaviour).collect();
        let mut expected: Vec<_> =
            [fault].into_iter().chain(beside(fault).iter().copied()).collect();
        failed.sort_unstable();
        expected.sort_unstable();
        assert_eq!(failed, expected, "fault {fault}: {report}");
    }
}

#[test]
fn what_is_not_claimed_is_refused() {
    let report = run("modest");
    assert!(report.is_proven(), "{report}");
    let refused = report.rows.iter().filter(|row| row.outcome == Outcome::Refused);
    let refused: Vec<_> = refused.map(|row| (row.behaviour, row.claimed)).collect();
    assert_eq!(
        refused,
        [
            ("live_tells_of_a_full_buffer", false),
            ("durable_extend_holds", false),
            ("durable_extend_ends", false),
            ("durable_tells_of_what_was_trimmed", false),
        ],
    );
}

/// What the report says of a capability: whether it is claimed, the outcome, and the reason.
fn claim(report: &Report, mode: Mode, capability: Capability) -> (bool, Outcome, &str) {
    let is_it =
        |it: &&conformance::Claim| (it.mode, it.capability) == (mode.name(), capability.name());
    let claim = report.claims.iter().find(is_it).unwrap();
    (claim.claimed, claim.outcome, &claim.why)
}

#[test]
fn each_capability_is_proven_refused_or_not_provable() {
    let report = run("modest");
    assert_eq!(report.claims.len(), 2 * Capability::ALL.len());
    assert_eq!(report.level, "accepted");
    let of = |mode, capability| claim(&report, mode, capability);
    assert_eq!(of(Mode::Durable, Capability::Delay), (true, Outcome::Proven, ""));
    assert_eq!(of(Mode::Durable, Capability::Extend), (false, Outcome::Refused, ""));
    assert_eq!(of(Mode::Live, Capability::Gaps), (false, Outcome::Refused, ""));
    let (claimed, outcome, why) = of(Mode::Durable, Capability::FencingServer);
    assert_eq!((claimed, outcome), (true, Outcome::Skipped));
    assert!(why.starts_with("a late answer is refused by either fencing"), "{why}");

    let report = run("durable_retry_keeps_its_delay");
    let (claimed, outcome, why) = claim(&report, Mode::Durable, Capability::Delay);
    assert_eq!((claimed, outcome), (true, Outcome::Failed));
    assert!(why.starts_with("durable_retry_keeps_its_delay: it came again after"), "{why}");
}

#[test]
fn an_engine_that_takes_a_demand_for_what_it_does_not_claim_is_convicted() {
    let report = run("takes_all_demands");
    assert!(!report.is_proven());
    let (claimed, outcome, why) = claim(&report, Mode::Durable, Capability::Extend);
    assert_eq!((claimed, outcome), (false, Outcome::Failed));
    assert_eq!(why, "`extend` is not claimed, and demanding it is not refused");
    let line = format!("durable extend: {why}");
    assert!(report.to_string().lines().any(|it| it == line), "{report}");
}

#[test]
fn a_capability_that_the_setup_cannot_try_is_not_provable() {
    let report = paused(async {
        let clock = TestClock::new("2026-11-30T00:00:00Z".parse().unwrap());
        conformance::run(&Blind(clock)).await
    });
    assert!(report.is_proven(), "{report}");
    let why = "the setup does not show dead letters";
    let dead = claim(&report, Mode::Durable, Capability::DeadLetters);
    assert_eq!(dead, (true, Outcome::Skipped, why));
    let why = "the setup does not say what time it is";
    let time = claim(&report, Mode::Durable, Capability::StartTime);
    assert_eq!(time, (true, Outcome::Skipped, why));
    let delay = claim(&report, Mode::Durable, Capability::Delay);
    assert_eq!(delay, (true, Outcome::Skipped, "it has no clock"));
    assert_eq!(report.rows.iter().filter(|row| row.why == "it has no clock").count(), 1);
}

/// A memory engine of which the kit sees nothing but what it receives.
struct Blind(TestClock);

impl Setup for Blind {
    type Engine = MemoryEngine;

    fn connect(&self) -> EngineFuture<'_, Result<MemoryEngine, StartError>> {
        EngineFuture::ready(Ok(MemoryEngine::builder().clock(self.0).log(100).build()))
    }

    fn now(&self) -> Option<Timestamp> {
        None
    }

    fn cannot_try(&self, behaviour: &str) -> Option<&'static str> {
        (behaviour == "durable_retry_keeps_its_delay").then_some("it has no clock")
    }
}

#[test]
fn the_table_is_printed_and_json() {
    let report = run("durable_extend_holds");
    let text = report.to_string();
    let (proven, all) = (report.count(Outcome::Proven), report.rows.len());
    assert_eq!(proven + 1, all);
    let head = format!("engine `broken`: {proven} proven, 0 refused, 1 failed, 0 skipped");
    assert_eq!(text.lines().next(), Some(&*head));
    let line = text.lines().find(|line| line.starts_with("durable_extend_holds")).unwrap();
    let words: Vec<_> = line.split_whitespace().collect();
    assert_eq!(words[1..4], ["durable", "claimed", "failed"]);
    assert!(line.ends_with("it came again while it was extended"), "{line}");

    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    let row = json["rows"].as_array().unwrap().iter().find(|it| it["outcome"] == "failed").unwrap();
    assert_eq!(
        (&row["behaviour"], &row["claimed"]),
        (&"durable_extend_holds".into(), &true.into())
    );
    assert_eq!(row["needs"], serde_json::json!(["durable", "redelivery", "extend"]));
}

#[test]
#[should_panic(expected = "the kit has no behaviour `nothing`")]
fn an_unknown_behaviour_is_named() {
    let clock = paused(async { TestClock::new(Timestamp::from_unix_nanos(0).unwrap()) });
    paused(conformance::run_one(&Broken { fault: "none", clock }, "nothing"));
}
