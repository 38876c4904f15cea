//! The router: rules, subscriptions on several engines, starts and ends, tenants, lifecycle, numbers.
#![cfg(all(feature = "hosted", not(tickbus_loom)))]

extern crate alloc;

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::Poll;
use core::time::Duration;
use std::sync::Mutex;

use tickbus::hosted::{
    Attached, BoxError, BuildError, Capabilities, Capability, Carrier, Clock, Context, Deliveries,
    Delivery, Dialect, DurableOptions, Engine, EngineError, EngineFuture, EngineStats, Gap,
    GapReason, Health, Level, Lifecycle, LifecycleEvent, LiveOptions, MemoryEngine, Mode, OnStart,
    OpenError, Policy, Reason, Receipt, Receive, RetryPolicy, Router, RouterBuilder, Rule,
    RulePattern, ShutdownError, ShutdownTimeout, StartAt, StartError, TenantError, TestClock,
    Warning, Workers,
};
use tickbus::subject::PatternBuf;
use tickbus::{Envelope, Overrun};
use tokio::time::{sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);
/// Longer than anything here takes that happens at all. It is paused time.
const SOON: Duration = Duration::from_secs(3600);

fn paused<F: Future>(future: F) -> F::Output {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async { timeout(100 * SOON, future).await.expect("it hangs") })
}

fn clock() -> TestClock {
    TestClock::new("2026-11-30T00:00:00Z".parse().unwrap())
}

fn memory() -> MemoryEngine {
    MemoryEngine::builder().clock(clock()).build()
}

fn event(subject: &str) -> Envelope {
    Envelope::new(subject).unwrap()
}

fn patterns(texts: &[&str]) -> Vec<PatternBuf> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// Engines `a`, `b`, `c` in memory.
fn three() -> RouterBuilder {
    Router::builder().engine("a", memory()).engine("b", memory()).engine("c", memory())
}

async fn started(builder: RouterBuilder) -> Router {
    let router = builder.build().unwrap();
    router.start().await.unwrap();
    router
}

async fn live(router: &Router, pattern: &str) -> Deliveries {
    router.subscribe(pattern).unwrap().open().await.unwrap()
}

/// What is there now, as `subject@engine`.
fn received(from: &mut Deliveries) -> Vec<String> {
    let mut all = Vec::new();
    while let Poll::Ready(Some(Ok(it))) = from.try_next() {
        all.push(format!("{}@{}", it.envelope().subject(), it.engine()));
        it.ack();
    }
    all
}

async fn next(from: &mut Deliveries) -> Result<Delivery, Gap> {
    timeout(SOON, from.next()).await.expect("something comes").expect("not the end")
}

fn names(of: &[Arc<str>]) -> Vec<&str> {
    of.iter().map(|name| &**name).collect()
}

fn text(of: &[PatternBuf]) -> Vec<&str> {
    of.iter().map(PatternBuf::as_str).collect()
}

// ---- An engine with faults ---------------------------------------------------------------------

/// A memory engine that does as it is told, and notes what is done with it.
struct Fake {
    inner: MemoryEngine,
    told: Arc<Told>,
}

#[derive(Default)]
struct Told {
    /// What each start returns. When there are no more, it starts.
    starts: Mutex<VecDeque<Start>>,
    health: Mutex<Option<Health>>,
    fails: AtomicUsize,
    level: Mutex<Option<Level>>,
    receipts: Mutex<Option<Level>>,
    notes: Mutex<Vec<String>>,
    /// Whether it opens subscriptions before it has started.
    opens_early: AtomicUsize,
    is_up: AtomicUsize,
    loses_capability: Mutex<Option<Capability>>,
    lag: Mutex<Option<u64>>,
    /// How long a shutdown takes.
    ends_in: Mutex<Duration>,
}

enum Start {
    Disconnected,
    Refused,
    Hangs,
}

impl Told {
    fn note(&self, note: impl Into<String>) {
        self.notes.lock().unwrap().push(note.into());
    }

    fn notes(&self) -> Vec<String> {
        self.notes.lock().unwrap().clone()
    }

    fn ends(&self) -> Vec<String> {
        let mut notes = self.notes();
        notes.retain(|note| note == "shutdown" || note == "ended");
        notes
    }

    fn starts(&self, starts: impl IntoIterator<Item = Start>) {
        self.starts.lock().unwrap().extend(starts);
    }

    fn is(&self, health: Health) {
        *self.health.lock().unwrap() = Some(health);
    }
}

fn fake() -> (Fake, Arc<Told>) {
    let told = Arc::new(Told::default());
    (Fake { inner: memory(), told: told.clone() }, told)
}

impl Fake {
    fn opening(&self) -> Result<(), OpenError> {
        let may = self.told.is_up.load(Relaxed) > 0 || self.told.opens_early.load(Relaxed) > 0;
        if may { Ok(()) } else { Err(OpenError::failed(self.name(), Reason::NotStarted)) }
    }
}

impl Engine for Fake {
    fn name(&self) -> &Arc<str> {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        let mut can = self.inner.capabilities();
        if let Some(level) = *self.told.level.lock().unwrap() {
            can = can.level(level);
        }
        match *self.told.loses_capability.lock().unwrap() {
            Some(lost) => can.without(lost),
            None => can,
        }
    }

    fn start(&self) -> EngineFuture<'_, Result<(), StartError>> {
        EngineFuture::new(async {
            let start = self.told.starts.lock().unwrap().pop_front();
            let reason = match start {
                None => {
                    self.told.note("start");
                    self.told.is_up.store(1, Relaxed);
                    return Ok(());
                }
                Some(Start::Disconnected) => Reason::Disconnected("no server".into()),
                Some(Start::Refused) => Reason::Refused("wrong password".into()),
                Some(Start::Hangs) => core::future::pending().await,
            };
            self.told.note("no start");
            Err(StartError::new(self.name(), reason))
        })
    }

    fn publish(&self, it: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        if self.told.fails.load(Relaxed) > 0 || self.told.is_up.load(Relaxed) == 0 {
            let reason = Reason::Disconnected("gone".into());
            return EngineFuture::ready(Err(EngineError::not_sent(self.name(), it, reason)));
        }
        let publish = Engine::publish(&self.inner, it);
        let level = *self.told.receipts.lock().unwrap();
        EngineFuture::new(async move {
            let mut receipt = publish.await?;
            receipt.level = level.unwrap_or(receipt.level);
            Ok(receipt)
        })
    }

    fn open_live(
        &self,
        options: LiveOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        EngineFuture::new(async {
            self.opening()?;
            self.told.note(format!("open {}", options.patterns[0]));
            let pattern = options.patterns[0].clone();
            let inner = self.inner.open_live(options).await?;
            Ok(Box::new(Noting { inner, told: self.told.clone(), pattern }) as Box<dyn Receive>)
        })
    }

    fn open_durable(
        &self,
        options: DurableOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        EngineFuture::new(async {
            self.opening()?;
            self.inner.open_durable(options).await
        })
    }

    fn health(&self) -> Health {
        match &*self.told.health.lock().unwrap() {
            Some(health) => health.clone(),
            None => self.inner.health(),
        }
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }

    fn lag(&self) -> Option<u64> {
        *self.told.lag.lock().unwrap()
    }

    fn outlives_process(&self) -> bool {
        self.inner.outlives_process()
    }

    fn shutdown(&self, deadline: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
        self.told.note("shutdown");
        EngineFuture::new(async move {
            let ends_in = *self.told.ends_in.lock().unwrap();
            if !ends_in.is_zero() {
                sleep(ends_in).await;
                self.told.note("ended");
            }
            self.inner.shutdown(deadline).await
        })
    }
}

/// Notes the end of a subscription.
struct Noting {
    inner: Box<dyn Receive>,
    told: Arc<Told>,
    pattern: PatternBuf,
}

impl Receive for Noting {
    fn poll_next(
        &mut self,
        context: &mut core::task::Context<'_>,
    ) -> Poll<Option<Result<Delivery, Gap>>> {
        self.inner.poll_next(context)
    }

    fn close(&mut self) {
        self.told.note(format!("close {}", self.pattern));
        self.inner.close();
    }

    fn lag(&self) -> Option<u64> {
        self.told.lag.lock().unwrap().or_else(|| self.inner.lag())
    }
}

impl Drop for Noting {
    fn drop(&mut self) {
        self.told.note(format!("drop {}", self.pattern));
    }
}

// ---- Rules -------------------------------------------------------------------------------------

#[test]
fn the_first_rule_that_matches_decides() {
    let router = three()
        .route(["match.*.score"], "b")
        .route(["match.>", "chat.*"], "c")
        .route(["chat.>"], "b")
        .build()
        .unwrap();
    for (subject, engine) in [
        ("match.7.score", "b"),
        ("match.7.ended", "c"),
        ("match.7.score.late", "c"),
        ("chat.hello", "c"),
        ("chat.hello.all", "b"),
        ("chat", "a"),
        ("game.started", "a"),
    ] {
        assert_eq!(&**router.engine_for(subject).unwrap(), engine, "{subject}");
    }
    assert!(router.engine_for("match.*").is_err(), "a pattern is not a subject");
}

#[test]
fn without_a_matching_rule_the_fallback_has_it_else_the_first_engine() {
    let engine = |router: &Router| router.engine_for("game.started").unwrap().to_string();
    assert_eq!(engine(&three().build().unwrap()), "a");
    assert_eq!(engine(&three().fallback("b").build().unwrap()), "b");
    assert_eq!(engine(&three().route(["x"], "c").build().unwrap()), "a");
    assert_eq!(engine(&three().route(["x"], "c").fallback("b").build().unwrap()), "b");
}

#[test]
fn a_star_alone_is_everything_as_a_prefix_and_one_segment_as_a_pattern() {
    let prefix = three().rule(Rule::new("b").prefix("*")).build().unwrap();
    let pattern = three().route(["*"], "b").build().unwrap();
    for (subject, as_prefix, as_pattern) in
        [("started", "b", "b"), ("game.started", "b", "a"), ("a.b.c", "b", "a")]
    {
        assert_eq!(&**prefix.engine_for(subject).unwrap(), as_prefix, "{subject}");
        assert_eq!(&**pattern.engine_for(subject).unwrap(), as_pattern, "{subject}");
    }
}

#[test]
fn a_prefix_is_every_subject_that_begins_so() {
    let router = three()
        .rule(Rule::new("b").prefix("user.*").prefix("ord*"))
        .rule(Rule::new("c").prefix("user"))
        .build()
        .unwrap();
    for (subject, engine) in [
        ("user.7", "b"),
        ("user.7.created", "b"),
        ("user", "c"),
        ("users", "a"),
        ("ord", "b"),
        ("orders.7", "b"),
        ("or", "a"),
    ] {
        assert_eq!(&**router.engine_for(subject).unwrap(), engine, "{subject}");
    }
}

#[test]
fn a_pattern_of_a_rule_says_its_dialect() {
    let pattern = RulePattern::try_from("user.*").unwrap();
    let prefix = RulePattern::prefix("user.*").unwrap();
    assert_eq!((pattern.dialect(), prefix.dialect()), (Dialect::Pattern, Dialect::Prefix));
    assert_eq!(
        (pattern.to_string(), prefix.to_string()),
        ("`user.*`".into(), "prefix `user.*`".into())
    );
    assert_ne!(pattern, prefix);
}

/// What a rule with `*` routes is what a subscription to `*` receives.
#[test]
fn rules_and_subscriptions_read_a_star_alike() {
    paused(async {
        let router = started(three().route(["*"], "b")).await;
        let mut one = live(&router, "*").await;
        let mut all = live(&router, ">").await;
        for subject in ["started", "game.started"] {
            router.publish(event(subject)).await.unwrap();
        }
        assert_eq!(received(&mut one), ["started@b"]);
        let mut everything = received(&mut all);
        everything.sort();
        assert_eq!(everything, ["game.started@a", "started@b"]);
    });
}

#[test]
fn what_cannot_work_is_refused_when_it_is_built() {
    let refused = |builder: RouterBuilder| builder.build().unwrap_err();
    let ok = || Router::builder().engine("a", memory());
    assert_eq!(refused(Router::builder()), BuildError::NoEngine);
    for (builder, text) in [
        (ok().engine("a", memory()), "two engines are named `a`: rename one"),
        (ok().engine("", memory()), "`` cannot name an engine: use another name"),
        (ok().engine("_all", memory()), "`_all` cannot name an engine: use another name"),
        (ok().route(["x"], "b"), "rule 1: the router has no engine `b`"),
        (ok().fallback("b"), "the fallback `b` is not an engine of the router"),
        (ok().route([], "a"), "rule 1: it has no pattern"),
        (
            ok().route(["x"], "a").route(["x.>.y"], "a"),
            "rule 2: `x.>.y`: the pattern goes on after `>`: make `>` the last segment, or use `*` for \
             one segment",
        ),
        (
            ok().require(Level::Stored),
            "`require` is about what was added before it, and nothing was",
        ),
        (
            Router::builder().on_start(OnStart::Fail).engine("a", memory()),
            "`on_start` is about what was added before it, and nothing was",
        ),
        (
            ok().route(["a.*"], "a").route(["a.b"], "a"),
            "rule 2: `a.b` decides nothing, because rule 1 has all its subjects: move it up, or \
             remove it",
        ),
        (
            // Neither covers it alone.
            ok().route(["a.*"], "a").route(["a.*.>"], "a").route(["a.>"], "a"),
            "rule 3: `a.>` decides nothing, because rules 1 and 2 have all its subjects: move it up, \
             or remove it",
        ),
        (
            ok().rule(Rule::new("a").prefix("us*")).route(["user.*", "use"], "a"),
            "rule 2: `user.*`, `use` decides nothing, because rule 1 has all its subjects: move it \
             up, or remove it",
        ),
        (
            ok().route(["a"], "a").route(["b"], "a").route(["c"], "a").route(["c", "a", "b"], "a"),
            "rule 4: `c`, `a`, `b` decides nothing, because rules 1, 2 and 3 have all its subjects: \
             move it up, or remove it",
        ),
    ] {
        assert_eq!(refused(builder).to_string(), text);
    }
}

#[test]
fn an_engine_without_a_rule_is_a_warning() {
    let warnings = |builder: RouterBuilder| -> Vec<String> {
        builder.build().unwrap().warnings().iter().map(Warning::to_string).collect()
    };
    assert_eq!(
        warnings(three().route(["x"], "b")),
        ["no event comes to engine `c`: name it in a rule, or remove it"],
    );
    assert_eq!(warnings(three().route(["x"], "b").fallback("c")).len(), 1);
    assert_eq!(
        warnings(three().route(["x"], "b").route([">"], "c")),
        ["no event comes to engine `a`: name it in a rule, or remove it"],
        "the fallback is behind a rule for everything"
    );
    assert_eq!(
        warnings(three().route(["a.*"], "b").route(["a.b", "c"], "c")),
        ["rule 2: `a.b` decides nothing, because rule 1 has all its subjects"],
    );
    assert_eq!(
        warnings(three().route(["a.*", "a.b"], "b").route(["c"], "c")),
        ["rule 1: `a.b` decides nothing, because patterns before it in the rule have all its \
             subjects"],
    );
    assert_eq!(warnings(three().route(["x"], "b").route(["y"], "c")), [""; 0]);
}

#[test]
fn deliveries_to_subscriptions_without_a_handler_are_counted_apart() {
    paused(async {
        let router = started(three().route(["b.>"], "b")).await;
        let handled = router.subscribe(">").unwrap().handle(async |_| Ok::<_, BoxError>(()));
        let _handled = handled.await.unwrap();
        let (mut raw, mut group) = (
            live(&router, ">").await,
            router.subscribe("b.*").unwrap().group("g").open().await.unwrap(),
        );
        for subject in ["a", "b.1", "b.2"] {
            router.publish(event(subject)).await.unwrap();
        }
        sleep(SECOND).await;
        assert_eq!((received(&mut raw).len(), received(&mut group).len()), (3, 2));
        let stats = router.stats();
        let of = |name: &str| {
            let engine = stats.engine(name).unwrap();
            (engine.handlers.received, engine.without_handler)
        };
        assert_eq!([of("a"), of("b"), of("c")], [(1, 1), (2, 4), (0, 0)]);
        let total = stats.total();
        assert_eq!((total.handlers.received, total.without_handler), (3, 5));
        drop((raw, group));
        assert_eq!(router.stats().total().without_handler, 5, "also when they have ended");
    });
}

/// The engine of the subject waits, under the router's names of things.
#[test]
fn a_router_waits_for_handlers_where_its_engine_can() {
    paused(async {
        let router = started(three().tenants(true)).await;
        let slow = router.subscribe("a").unwrap().handle(async |_| {
            sleep(SECOND).await;
            Ok::<_, BoxError>(())
        });
        let slow = slow.await.unwrap();
        let begin = tokio::time::Instant::now();
        Engine::publish_and_wait(&router, event("a").into()).await.unwrap();
        assert_eq!((begin.elapsed(), slow.stats().handled), (SECOND, 1));
        let red = router.tenant("red").unwrap();
        Engine::publish_and_wait(&red, event("a").into()).await.unwrap();
        assert_eq!((begin.elapsed(), slow.stats().handled), (2 * SECOND, 2));
        assert_eq!(router.stats().total().published.offered, 2);
    });
}

#[test]
fn explain_names_the_rule_the_engine_and_what_receives_it() {
    paused(async {
        let builder = three()
            .engine("d", MemoryEngine::builder().clock(clock()).max_payload(99).build())
            .route(["match.*.score", "chat.>"], "b")
            .rule(Rule::new("d").prefix("user.*").require(Level::Accepted))
            .route(["chat.hello", "news"], "c");
        let router = started(builder).await;
        let _screen = live(&router, "match.>").await;
        let ladder = router.subscribe("match.*.score").unwrap().group("ladder").max_attempts(3);
        let _ladder = ladder.lease(2 * SECOND).open().await.unwrap();
        let _other = live(&router, "chat.*").await;
        let _unfed = live(&router, "weather.*").await;
        let before = router.stats();

        let it = router.explain("match.7.score").unwrap();
        assert_eq!(
            (&*it.subject, &*it.engine, it.health.clone()),
            ("match.7.score", "b", Health::Up)
        );
        let rule = it.rule.clone().unwrap();
        assert_eq!((rule.rule, rule.pattern.as_str(), rule.requires), (1, "match.*.score", None));
        let ids: Vec<_> = it.subscriptions.iter().map(|it| &*it.id).collect();
        assert_eq!(ids, ["s1", "s2"]);
        assert_eq!(
            it.to_string(),
            "`match.7.score` goes to engine `b` (up), by rule 1: `match.*.score`\n\
             level: `accepted`\n\
             received by s1: `match.>`, live, a full buffer of 64: drop_newest, on a, b\n\
             received by s2: `match.*.score`, group `ladder`, comes again if it is not settled in 2s, at most 3 times, \
             on b\n\
             no rule but the fallback feeds s4: `weather.*`, live, a full buffer of 64: drop_newest, on a\n\
             warning: rule 3: `chat.hello` decides nothing, because rule 1 has all its subjects",
        );

        let it = router.explain("user.7.created").unwrap();
        let rule = it.rule.clone().unwrap();
        assert_eq!((rule.rule, rule.requires), (2, Some(Level::Accepted)));
        assert!(it.to_string().starts_with(
            "`user.7.created` goes to engine `d` (up), by rule 2: prefix `user.*`\n\
             level: `accepted`, the rule requires `accepted`, payloads of at most 99 bytes\n\
             no subscription receives it\n"
        ));

        let it = router.explain("weather.sunny").unwrap();
        assert_eq!((it.rule.clone(), &*it.engine), (None, "a"));
        assert!(it.to_string().contains("engine `a` (up), the fallback: no rule matches"));
        assert!(router.explain("weather.*").is_err());

        let unfed: Vec<_> = router.unfed().iter().map(|it| it.id.to_string()).collect();
        assert_eq!(unfed, ["s4"]);
        assert_eq!(router.stats(), before, "nothing was published");
    });
}

// ---- Levels ------------------------------------------------------------------------------------

#[test]
fn a_level_that_the_engine_cannot_reach_is_refused_when_it_is_built() {
    let builder = three().route(["order.>", "bill"], "b").require(Level::Stored);
    let error = builder.build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "rule 1: `order.>`, `bill` requires `stored`, and engine `b` reaches `accepted` at most",
    );
    let BuildError::Level { rule: 1, level: Level::Stored, reaches: Level::Accepted, .. } = error
    else {
        panic!("{error:?}")
    };
    assert!(three().route(["order.>"], "b").require(Level::Accepted).build().is_ok());
}

#[test]
fn a_level_that_shows_at_the_start_is_refused_there() {
    paused(async {
        let (engine, told) = fake();
        told.is(Health::Connecting); // it does not know yet what it can do
        let builder = Router::builder().engine("a", memory()).engine("b", engine);
        let router = builder.route(["order.>"], "b").require(Level::Stored).build().unwrap();
        let error = router.start().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "engine `b` did not start: it is `accepted`, and the rule requires `stored`",
        );
        assert_eq!(told.notes().last().unwrap(), "shutdown");

        let (engine, told) = fake();
        told.is(Health::Connecting);
        let builder = Router::builder().engine("b", engine);
        let router = builder.route(["order.>"], "b").require(Level::Stored).build().unwrap();
        *told.level.lock().unwrap() = Some(Level::Stored);
        router.start().await.unwrap();
    });
}

#[test]
fn a_receipt_below_the_level_of_the_rule_is_an_error_with_the_envelope() {
    paused(async {
        let (engine, told) = fake();
        *told.level.lock().unwrap() = Some(Level::Stored);
        let builder = Router::builder().engine("b", engine).route(["order.>"], "b");
        let router = started(builder.require(Level::Stored)).await;
        *told.receipts.lock().unwrap() = Some(Level::Stored);
        assert_eq!(router.publish(event("order.1")).await.unwrap().level, Level::Stored);

        *told.receipts.lock().unwrap() = Some(Level::Buffered);
        let error = router.publish(event("order.2").with_id("2")).await.unwrap_err();
        assert!(error.is_unknown());
        assert_eq!(
            error.to_string(),
            "engine `b`: `order.2` may have been sent: it is `buffered`, and the rule requires \
             `stored`",
        );
        assert_eq!(error.into_envelope().id(), "2");
        // Without the rule, it is what it is.
        assert_eq!(router.publish(event("chat")).await.unwrap().level, Level::Buffered);
    });
}

// ---- Subscriptions -----------------------------------------------------------------------------

/// D8: a wildcard is on every engine that can carry a matching subject, and on no other.
#[test]
fn a_subscription_is_on_every_engine_that_can_carry_a_matching_subject() {
    let router = three().route(["match.*.score"], "b").route(["*.7.>"], "c").build().unwrap();
    for (pattern, engines) in [
        ("match.7.score", &["b"][..]),
        ("match.*.score", &["b"]),
        ("match.7.*", &["b", "c"]),
        ("match.*.*", &["a", "b", "c"]),
        ("match.>", &["a", "b", "c"]),
        ("chat.7.hello", &["c"]),
        ("chat.8.hello", &["a"]),
        ("chat.*", &["a"]),
        (">", &["a", "b", "c"]),
        ("*.7.score.*", &["c"]),
    ] {
        assert_eq!(names(&router.engines_for(&patterns(&[pattern]))), engines, "{pattern}");
    }
    let both = router.engines_for(&patterns(&["match.7.score", "chat.8.hello"]));
    assert_eq!(names(&both), ["a", "b"]);
    // What an earlier rule has does not count.
    let router = three().route(["x.>"], "b").route(["*.y", "z"], "c").build().unwrap();
    assert_eq!(names(&router.engines_for(&patterns(&["x.y"]))), ["b"]);
}

#[test]
fn a_subscription_on_several_engines_counts_once_and_each_event_comes_once() {
    paused(async {
        let router = started(three().route(["match.*.score"], "b").route(["*.7.>"], "c")).await;
        let mut all = live(&router, "match.>").await;
        assert_eq!(router.subscriber_count("match.7.score"), 1);
        assert_eq!(router.subscriptions().len(), 1);
        assert_eq!(names(&router.subscriptions()[0].engines), ["a", "b", "c"]);
        for subject in ["match.7.score", "match.7.ended", "match.8.ended", "chat.7.hello"] {
            router.publish(event(subject)).await.unwrap();
        }
        let mut got = received(&mut all);
        got.sort();
        assert_eq!(got, ["match.7.ended@c", "match.7.score@b", "match.8.ended@a"]);
    });
}

#[test]
fn engines_of_one_subscription_take_turns() {
    paused(async {
        let router = started(three().route(["b"], "b").route(["c"], "c")).await;
        let mut all = live(&router, ">").await;
        for subject in ["a", "a", "a", "a", "b", "b", "c"] {
            router.publish(event(subject)).await.unwrap();
        }
        assert_eq!(received(&mut all), ["a@a", "b@b", "c@c", "a@a", "b@b", "a@a", "a@a"]);
    });
}

/// Receives while both wait, by the waker of either.
#[test]
fn a_waiting_receiver_is_woken_by_each_engine() {
    paused(async {
        let router = started(three().route(["b"], "b")).await;
        let mut all = router.subscribe(">").unwrap().group("g").open().await.unwrap();
        for subject in ["b", "a", "b"] {
            let publish = async {
                sleep(SECOND).await;
                router.publish(event(subject)).await.unwrap();
                core::future::pending::<()>().await;
            };
            let it = tokio_first(next(&mut all), publish).await.unwrap();
            assert_eq!(it.envelope().subject().as_str(), subject);
            it.ack_async().await.unwrap();
        }
        assert_eq!(all.lag(), Some(0));
    });
}

async fn tokio_first<T>(one: impl Future<Output = T>, other: impl Future<Output = ()>) -> T {
    let (mut one, mut other) = (core::pin::pin!(one), core::pin::pin!(other));
    core::future::poll_fn(|context| {
        let _ = other.as_mut().poll(context);
        one.as_mut().poll(context)
    })
    .await
}

#[test]
fn subscriptions_have_ids_patterns_as_given_and_a_mode() {
    paused(async {
        let router = started(three()).await;
        let one = router.subscribe("a.*").unwrap().or("b.>").unwrap();
        let one = one.capacity(7).overrun(Overrun::DropOldest).open().await.unwrap();
        let two = router.subscribe("a.*").unwrap().group("g").open().await.unwrap();
        let handled = router.subscribe("a.7").unwrap();
        let three = handled.handle(async |_| Ok::<_, BoxError>(())).await.unwrap();
        let all = router.subscriptions();
        let ids: Vec<&str> = all.iter().map(|it| &*it.id).collect();
        assert_eq!(ids, [one.id().unwrap(), two.id().unwrap(), three.id()]);
        let mut unique = ids.clone();
        unique.sort_unstable();
        unique.dedup();
        assert!(unique.len() == 3 && ids.iter().all(|id| !id.is_empty()), "{ids:?}");
        assert_eq!(text(&all[0].patterns), ["a.*", "b.>"]);
        assert_eq!(text(three.patterns()), ["a.7"]);
        let modes: Vec<_> = all.iter().map(|it| it.mode()).collect();
        assert_eq!(modes, [Mode::Live, Mode::Durable, Mode::Live]);
        assert!(matches!(
            all[0].policy,
            Policy::Live { capacity: 7, overrun: Overrun::DropOldest, .. }
        ));
        assert!(matches!(&all[1].policy, Policy::Durable { group, .. } if **group == *"g"));
        let four = router.subscribe("a").unwrap().block_timeout(SECOND).open().await.unwrap();
        let shown = router.subscriptions()[3].to_string();
        assert!(shown.contains("a full buffer of 64: block for at most 1s"), "{shown}");
        drop(four);
    });
}

#[test]
fn two_subscriptions_that_overlap_get_the_event_each() {
    paused(async {
        let router = started(three().route(["match.>"], "b")).await;
        let (mut one, mut two) = (live(&router, "match.*").await, live(&router, ">").await);
        let mut group = router.subscribe("match.7").unwrap().group("g").open().await.unwrap();
        router.publish(event("match.7")).await.unwrap();
        for from in [&mut one, &mut two, &mut group] {
            assert_eq!(received(from), ["match.7@b"]);
        }
    });
}

/// C10: one path removes a subscription, whatever ends it.
#[test]
fn topics_and_counts_are_right_after_unsubscribe_cancel_and_stop() {
    paused(async {
        let router = started(three().route(["match.>"], "b")).await;
        let counts = |topics: &[&str]| -> Vec<usize> {
            topics.iter().map(|topic| router.subscriber_count(topic)).collect()
        };
        let mut closed = live(&router, "match.*").await;
        let dropped = live(&router, "match.*").await;
        let unsubscribed = router.subscribe("match.7").unwrap();
        let unsubscribed = unsubscribed.handle(async |_| Ok::<_, BoxError>(())).await.unwrap();
        let cancelled = router.subscribe("chat").unwrap();
        let cancelled = cancelled.handle(async |_| Ok::<_, BoxError>(())).await.unwrap();
        let _stays = live(&router, ">").await;
        assert_eq!(text(&router.topics()), ["match.*", "match.7", "chat", ">"]);
        assert_eq!(
            counts(&["match.7", "match.8", "chat", "match.*", ">", "x.*"]),
            [4, 3, 2, 2, 1, 0]
        );

        closed.close();
        assert_eq!(text(&router.topics()), ["match.*", "match.7", "chat", ">"]);
        assert_eq!(counts(&["match.7", "match.*"]), [3, 1]);
        closed.close();
        drop(closed);
        assert_eq!(counts(&["match.7", "match.*"]), [3, 1], "once");
        drop(dropped);
        assert_eq!(text(&router.topics()), ["match.7", "chat", ">"]);
        unsubscribed.unsubscribe().await;
        unsubscribed.unsubscribe().await;
        drop(unsubscribed);
        assert_eq!(text(&router.topics()), ["chat", ">"]);
        drop(cancelled);
        sleep(SECOND).await; // its task ends
        assert_eq!(text(&router.topics()), [">"]);
        assert_eq!(counts(&["match.7", "chat"]), [1, 1]);
        router.shutdown(SECOND).await.unwrap();
        assert_eq!(text(&router.topics()), [""; 0]);
        assert_eq!((counts(&["chat", ">"]), router.subscriptions().len()), (vec![0, 0], 0));
    });
}

/// E6: a subscription ends on the engines that have it, once, and on no other.
#[test]
fn unsubscribe_is_on_the_engines_it_was_opened_on_once() {
    paused(async {
        let engines: Vec<_> = (0..3).map(|_| fake()).collect();
        let told: Vec<_> = engines.iter().map(|(_, told)| told.clone()).collect();
        let mut builder = Router::builder();
        for (name, (engine, _)) in ["a", "b", "c"].into_iter().zip(engines) {
            builder = builder.engine(name, engine);
        }
        let router = started(builder.route(["x.>"], "b").route(["y.>"], "c")).await;
        for _ in 0..50 {
            for it in &told {
                it.notes.lock().unwrap().clear();
            }
            let on_b = live(&router, "x.1").await;
            let mut on_two =
                router.subscribe("x.2").unwrap().or("y.2").unwrap().open().await.unwrap();
            let on_a = live(&router, "z").await;
            on_two.close();
            drop(on_b);
            drop(on_two);
            drop(on_a);
            assert_eq!(told[0].notes(), ["open z", "drop z"]);
            assert_eq!(
                told[1].notes(),
                ["open x.1", "open x.2", "close x.2", "drop x.1", "drop x.2"]
            );
            assert_eq!(told[2].notes(), ["open x.2", "close x.2", "drop x.2"]);
        }
    });
}

#[test]
fn no_handler_runs_after_unsubscribe() {
    paused(async {
        let router = started(three().route(["b"], "b")).await;
        let ran = Arc::new(AtomicUsize::new(0));
        let counting = ran.clone();
        let workers = router.subscribe(">").unwrap().workers(2);
        let workers = workers.handle(move |_| {
            counting.fetch_add(1, Relaxed);
            async { Ok::<_, BoxError>(()) }
        });
        let workers = workers.await.unwrap();
        for subject in ["a", "b"] {
            router.publish(event(subject)).await.unwrap();
        }
        sleep(SECOND).await;
        assert_eq!(ran.load(Relaxed), 2);
        for subject in ["a", "b"] {
            router.publish(event(subject)).await.unwrap();
        }
        workers.unsubscribe().await;
        let then = ran.load(Relaxed);
        for subject in ["a", "b"] {
            router.publish(event(subject)).await.unwrap();
        }
        sleep(SECOND).await;
        assert_eq!(ran.load(Relaxed), then);
    });
}

/// D9: everything that is listed is in the order of registration, also after one in the middle is gone.
#[test]
fn lists_are_in_the_order_of_registration() {
    paused(async {
        let router = started(three().engine("0", memory()).fallback("0")).await;
        let mut all: Vec<_> = Vec::new();
        for number in 0..40 {
            all.push(live(&router, &format!("t{}.*", (number * 17) % 40)).await);
        }
        let expected = |all: &[Deliveries]| -> Vec<String> {
            all.iter().map(|it| it.id().unwrap().to_owned()).collect()
        };
        let listed = || -> Vec<String> {
            router.subscriptions().iter().map(|it| it.id.to_string()).collect()
        };
        assert_eq!(listed(), expected(&all));
        for at in [20, 3, 0, 30] {
            drop(all.remove(at));
            assert_eq!(listed(), expected(&all));
        }
        let topics: Vec<_> =
            router.subscriptions().iter().map(|it| it.patterns[0].clone()).collect();
        assert_eq!(router.topics(), topics);
        let engines: Vec<_> =
            router.stats().engines.iter().map(|it| it.engine.to_string()).collect();
        assert_eq!(engines, ["a", "b", "c", "0"]);
        let engines: Vec<_> = router.engines().iter().map(|(name, _)| name.to_string()).collect();
        assert_eq!(engines, ["a", "b", "c", "0"]);
    });
}

// ---- Capabilities ------------------------------------------------------------------------------

#[test]
fn a_router_can_do_what_all_engines_of_a_pattern_can() {
    let small = MemoryEngine::builder().log(0).max_payload(10).build();
    let builder = Router::builder().engine("whole", memory()).engine("small", small);
    let router = builder.route(["x.>"], "small").build().unwrap();
    let whole = router.capabilities_for(&patterns(&["y"]));
    assert_eq!(whole, memory().capabilities());
    let part = router.capabilities_for(&patterns(&["x.>"]));
    assert_eq!(
        (part.payload_limit(), part.has(Mode::Durable, Capability::Durable)),
        (Some(10), false)
    );
    let both = router.capabilities_for(&patterns(&[">"]));
    assert_eq!(both.payload_limit(), Some(10));
    assert!(!both.has(Mode::Durable, Capability::Durable));
    assert!(both.has(Mode::Live, Capability::Block) && both.has(Mode::Live, Capability::Gaps));
    assert_eq!(Engine::capabilities(&router), both);
    // Each engine has an order of its own.
    assert!(part.has(Mode::Live, Capability::PublisherOrder));
    assert!(!both.has(Mode::Live, Capability::PublisherOrder));
}

#[test]
fn a_demand_that_one_engine_lacks_is_refused_with_both_names() {
    paused(async {
        let (engine, told) = fake();
        *told.loses_capability.lock().unwrap() = Some(Capability::Block);
        let router =
            started(Router::builder().engine("a", memory()).engine("b", engine).route(["x"], "b"))
                .await;
        let ask = |pattern| router.subscribe(pattern).unwrap().overrun(Overrun::Block).open();
        assert!(ask("y").await.is_ok());
        let error = ask(">").await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "engine `b` does not have `block` for live subscriptions: \
             remove `overrun(Block)`, or use another engine",
        );
        let at = router.subscribe(">").unwrap().group("g").start_at(StartAt::Sequence(3));
        assert_eq!(
            at.open().await.unwrap_err().to_string(),
            "engine `router` does not have `start_sequence` for durable subscriptions: \
             remove `start_at`, or use another engine",
            "no engine alone lacks it"
        );
        let at = router.subscribe("y").unwrap().group("g").start_at(StartAt::Sequence(3));
        assert!(at.open().await.is_ok());
        let order = router.subscribe(">").unwrap().demand(Capability::PublisherOrder).open().await;
        assert!(matches!(order, Err(OpenError::Missing { engine, .. }) if *engine == *"router"));
    });
}

#[test]
fn a_router_of_routers_works_and_names_its_own_engines() {
    paused(async {
        let inner = three().route(["x.>"], "b").build().unwrap();
        let outer = Router::builder().engine("near", memory()).engine("far", inner);
        let router = started(outer.route(["x.>", "y"], "far")).await;
        let mut all = live(&router, ">").await;
        for subject in ["x.1", "y", "z"] {
            let receipt = router.publish(event(subject)).await.unwrap();
            assert_eq!(&*receipt.engine, if subject == "z" { "near" } else { "far" });
        }
        let mut got = received(&mut all);
        got.sort();
        assert_eq!(got, ["x.1@far", "y@far", "z@near"]);
        router.shutdown(SECOND).await.unwrap();
        assert!(all.next().await.is_none());
    });
}

// ---- Starts and ends ---------------------------------------------------------------------------

#[test]
fn before_the_start_engines_are_not_started_and_no_event_says_that_they_are_down() {
    paused(async {
        let (engine, told) = fake();
        let router = Router::builder().engine("a", memory()).engine("b", engine);
        let router = router.route(["x"], "b").build().unwrap();
        let mut lifecycle = router.lifecycle();
        told.is(Health::Connecting); // as a client that has not been asked yet
        let text = router.explain("y").unwrap().to_string();
        assert!(text.starts_with("`y` goes to engine `a` (not started), the fallback"), "{text}");
        let health: Vec<_> = router.engines().into_iter().map(|(_, health)| health).collect();
        assert_eq!(health, [Health::NotStarted, Health::NotStarted]);
        assert!(lifecycle.try_next().is_pending());
        told.is(Health::Down("no server".into()));
        assert_eq!(router.engines()[1].1, Health::Down("no server".into()));

        told.is(Health::Up);
        router.start().await.unwrap();
        assert_eq!(router.explain("x").unwrap().health, Health::Up);
    });
}

#[test]
fn publish_and_subscribe_before_the_start_and_after_the_end_are_refused() {
    paused(async {
        let router = three().build().unwrap();
        let error = router.publish(event("a").with_id("7")).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::NotStarted) && !error.is_unknown());
        assert_eq!(error.into_envelope().id(), "7");
        let error = Engine::try_publish(&router, event("a").into()).unwrap_err();
        assert!(matches!(error.reason(), Reason::NotStarted));
        let batch = Engine::publish_batch(&router, vec![event("a").into()]).await;
        assert!(matches!(batch[0].as_ref().unwrap_err().reason(), Reason::NotStarted));
        let open = router.subscribe("a").unwrap().open().await.unwrap_err();
        assert!(matches!(open, OpenError::Failed { reason: Reason::NotStarted, .. }), "{open}");
        let handle = router.subscribe("a").unwrap().group("g");
        let handle = handle.handle(async |_| Ok::<_, BoxError>(())).await.unwrap_err();
        assert!(matches!(handle, OpenError::Failed { reason: Reason::NotStarted, .. }), "{handle}");
        assert_eq!(Engine::health(&router), Health::NotStarted);

        router.start().await.unwrap();
        assert_eq!(Engine::health(&router), Health::Up);
        router.publish(event("a")).await.unwrap();
        router.shutdown(SECOND).await.unwrap();
        assert_eq!(Engine::health(&router), Health::Closed);
        let error = router.publish(event("a")).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::Closed));
        let open = router.subscribe("a").unwrap().open().await.unwrap_err();
        assert!(matches!(open, OpenError::Failed { reason: Reason::Closed, .. }), "{open}");
    });
}

#[test]
fn starting_twice_and_stopping_twice_is_ok() {
    paused(async {
        let (engine, told) = fake();
        let router = Router::builder().engine("a", engine).build().unwrap();
        let (one, two) = (router.clone(), router.clone());
        let both = tokio::spawn(async move { one.start().await });
        two.start().await.unwrap();
        both.await.unwrap().unwrap();
        router.start().await.unwrap();
        assert_eq!(told.notes(), ["start"], "the engine was started once");
        router.shutdown(SECOND).await.unwrap();
        router.shutdown(Duration::ZERO).await.unwrap();
        let error = router.start().await.unwrap_err();
        assert!(matches!(error.reason, Reason::Closed), "{error}");
    });
}

#[test]
fn a_start_that_fails_leaves_none_running() {
    paused(async {
        let (first, of_first) = fake();
        let (second, of_second) = fake();
        of_second.starts([Start::Disconnected]);
        let (third, of_third) = fake();
        let builder = Router::builder().engine("a", first).engine("b", second).engine("c", third);
        let router = builder.build().unwrap();
        let error = router.start().await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "engine `b` did not start: there is no connection: no server",
        );
        assert_eq!(of_first.notes(), ["start", "shutdown"]);
        assert_eq!(of_second.notes(), ["no start", "shutdown"]);
        assert_eq!(of_third.notes(), ["start", "shutdown"]);
        assert_eq!(Engine::health(&router), Health::Closed);
        assert!(matches!(router.start().await.unwrap_err().reason, Reason::Closed));
        assert!(router.publish(event("a")).await.is_err());
    });
}

#[test]
fn a_start_that_is_dropped_leaves_none_running() {
    paused(async {
        let (first, of_first) = fake();
        let (second, of_second) = fake();
        of_second.starts([Start::Hangs]);
        let router = Router::builder().engine("a", first).engine("b", second).build().unwrap();
        assert!(timeout(SECOND, router.start()).await.is_err());
        assert_eq!(of_first.notes(), ["start", "shutdown"]);
        assert_eq!(of_second.notes(), ["shutdown"]);
        assert!(matches!(router.start().await.unwrap_err().reason, Reason::Closed));
        assert_eq!(Engine::health(&router), Health::Closed);
    });
}

#[test]
fn on_start_wait_tries_again_for_so_long() {
    paused(async {
        let lost = || (0..4).map(|_| Start::Disconnected);
        let build = |wait| {
            let (engine, told) = fake();
            told.starts(lost());
            let builder = Router::builder().engine("a", engine).on_start(OnStart::Wait(wait));
            (builder.build().unwrap(), told)
        };
        let begin = tokio::time::Instant::now();
        let (router, told) = build(10 * SECOND);
        router.start().await.unwrap();
        assert_eq!(told.notes(), ["no start", "no start", "no start", "no start", "start"]);
        assert_eq!(begin.elapsed(), Duration::from_millis(50 + 100 + 200 + 400));

        let (router, told) = build(Duration::from_millis(300));
        let error = router.start().await.unwrap_err();
        assert!(matches!(error.reason, Reason::Disconnected(_)), "{error}");
        assert_eq!(told.notes(), ["no start", "no start", "no start", "shutdown"]);

        // A refusal is not better in a second.
        let (router, told) = build(10 * SECOND);
        told.starts.lock().unwrap()[1] = Start::Refused;
        let error = router.start().await.unwrap_err();
        assert_eq!(error.to_string(), "engine `a` did not start: wrong password");
        assert_eq!(told.notes(), ["no start", "no start", "shutdown"]);

        // An engine that never answers does not take longer.
        let (router, told) = build(10 * SECOND);
        told.starts.lock().unwrap()[0] = Start::Hangs;
        let begin = tokio::time::Instant::now();
        let error = router.start().await.unwrap_err();
        assert!(matches!(error.reason, Reason::TimedOut), "{error}");
        assert_eq!((begin.elapsed(), told.notes()), (10 * SECOND, vec!["shutdown".to_owned()]));
    });
}

#[test]
fn on_start_background_goes_on_without_the_engine() {
    paused(async {
        let (engine, told) = fake();
        told.starts([Start::Disconnected, Start::Refused, Start::Disconnected]);
        let builder = Router::builder().engine("a", memory()).engine("b", engine);
        let builder = builder.on_start(OnStart::Background).route(["x.>"], "b");
        let begin = tokio::time::Instant::now();
        let router = started(builder).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        assert_eq!(router.engines()[1].1, Health::Connecting);
        assert_eq!(Engine::health(&router), Health::Connecting);

        // Subscriptions are open on the other engine, and wait for this one.
        let mut all = live(&router, ">").await;
        let mut group = router.subscribe(">").unwrap().group("g").open().await.unwrap();
        assert_eq!(names(&router.subscriptions()[0].engines), ["a", "b"]);
        let error = router.publish(event("x.1")).await.unwrap_err();
        assert_eq!((error.engine(), error.is_unknown()), ("b", false));
        router.publish(event("y")).await.unwrap();
        assert_eq!(next(&mut all).await.unwrap().engine(), "a");
        next(&mut group).await.unwrap().ack();

        // It comes up by itself, and so does the subscription, which says that it was not there.
        let gap = next(&mut all).await.unwrap_err();
        assert_eq!((gap.missed, gap.reason), (None, GapReason::Reconnected));
        assert_eq!(begin.elapsed(), Duration::from_millis(50 + 100 + 200));
        assert_eq!(Engine::health(&router), Health::Up);
        router.publish(event("x.2")).await.unwrap();
        let it = next(&mut all).await.unwrap();
        assert_eq!((it.envelope().subject().as_str(), it.engine()), ("x.2", "b"));
        // A group begins where it says: at what is new.
        router.publish(event("x.3")).await.unwrap();
        let subjects = [next(&mut group).await, next(&mut group).await];
        assert!(subjects.into_iter().all(|it| it.unwrap().engine() == "b"));
    });
}

/// Also on an engine that would take it before.
#[test]
fn an_engine_in_the_background_takes_nothing_before_it_is_up() {
    paused(async {
        let (engine, told) = fake();
        told.starts([Start::Disconnected]);
        told.is_up.store(1, Relaxed);
        let builder = Router::builder().engine("a", memory()).engine("b", engine);
        let router = started(builder.on_start(OnStart::Background).route(["x"], "b")).await;
        let mut events = router.lifecycle();
        let mut all = live(&router, ">").await;
        let mut errors = vec![
            router.publish(event("x").with_id("7")).await.unwrap_err(),
            Engine::publish_and_wait(&router, event("x").with_id("7").into()).await.unwrap_err(),
            Engine::try_publish(&router, event("x").with_id("7").into()).unwrap_err(),
        ];
        let batch = vec![event("y").into(), event("x").with_id("7").into(), event("z").into()];
        for result in Engine::publish_batch(&router, batch).await {
            match result {
                Ok(receipt) => assert_eq!(&*receipt.engine, "a"),
                Err(error) => errors.push(error),
            }
        }
        assert_eq!(errors.len(), 4);
        for error in errors {
            assert_eq!(
                error.to_string(),
                "engine `b`: `x` was not sent: there is no connection: it has not started yet",
            );
            assert!(matches!(error.reason(), Reason::Disconnected(_)) && !error.is_unknown());
            assert_eq!(error.into_envelope().id(), "7");
        }
        let published = router.stats().engines[1].published;
        assert_eq!((published.offered, published.refused), (4, 4));
        assert_eq!(received(&mut all), ["y@a", "z@a"]);
        let mut failed = 0;
        while let Poll::Ready(Some(it)) = events.try_next() {
            failed += usize::from(it.unwrap().name() == "message.failed");
        }
        assert_eq!(failed, 4);

        sleep(SECOND).await;
        router.publish(event("x")).await.unwrap();
        let gap = next(&mut all).await.unwrap_err();
        assert_eq!(gap.reason, GapReason::Reconnected);
        assert_eq!(received(&mut all), ["x@b"]);
    });
}

#[test]
fn an_engine_in_the_background_ends_with_the_router() {
    paused(async {
        for shut_down in [true, false] {
            let (engine, told) = fake();
            told.starts((0..1000).map(|_| Start::Disconnected));
            let builder = Router::builder().engine("b", engine).on_start(OnStart::Background);
            let router = started(builder).await;
            let mut all = live(&router, ">").await;
            sleep(SECOND).await;
            assert!(told.notes().len() > 3, "it tries");
            if shut_down {
                router.shutdown(SECOND).await.unwrap();
            }
            drop(router);
            assert!(all.next().await.is_none(), "what waits for it ends");
            let then = told.notes();
            sleep(SOON).await;
            assert_eq!(told.notes(), then);
            assert_eq!(Arc::strong_count(&told), 1, "nothing keeps the engine");
        }
    });
}

#[test]
fn one_engine_that_fails_does_not_affect_the_others() {
    paused(async {
        let (engine, told) = fake();
        let router = started(
            Router::builder().engine("a", memory()).engine("b", engine).route(["x.>"], "b"),
        )
        .await;
        let mut all = live(&router, ">").await;
        told.fails.store(1, Relaxed);
        let error = router.publish(event("x.1").with_id("1")).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "engine `b`: `x.1` was not sent: there is no connection: gone",
        );
        assert_eq!(error.into_envelope().id(), "1");
        router.publish(event("y")).await.unwrap();

        let batch = ["x.1", "y.1", "x.2", "y.2"].map(|subject| Arc::new(event(subject)));
        let results = Engine::publish_batch(&router, batch.into()).await;
        let engines: Vec<_> = results
            .iter()
            .map(|result| match result {
                Ok(receipt) => format!("ok {}", receipt.engine),
                Err(error) => format!("failed {}", error.engine()),
            })
            .collect();
        assert_eq!(engines, ["failed b", "ok a", "failed b", "ok a"]);
        assert_eq!(received(&mut all), ["y@a", "y.1@a", "y.2@a"]);

        told.fails.store(0, Relaxed);
        router.publish(event("x.3")).await.unwrap();
        assert_eq!(received(&mut all), ["x.3@b"], "the subscription goes on by itself");
        let stats = router.stats();
        assert_eq!(
            (stats.engines[1].published.refused, stats.engines[1].published.accepted),
            (3, 1)
        );
        assert!(stats.engines.iter().all(|it| it.published.add_up()));
    });
}

#[test]
fn a_batch_keeps_the_order_of_each_engine() {
    paused(async {
        let router = started(three().route(["b.>"], "b").route(["c.>"], "c")).await;
        let mut on_b = live(&router, "b.>").await;
        let subjects: Vec<_> = (0..30).map(|n| format!("{}.{n}", ["a", "b", "c"][n % 3])).collect();
        let batch = subjects.iter().map(|subject| Arc::new(event(subject))).collect();
        let results = Engine::publish_batch(&router, batch).await;
        assert_eq!(results.len(), 30);
        for (subject, result) in subjects.iter().zip(results) {
            assert!(subject.starts_with(&*result.unwrap().engine));
        }
        let expected: Vec<_> = (0..10).map(|n| format!("b.{}@b", 3 * n + 1)).collect();
        assert_eq!(received(&mut on_b), expected);
    });
}

#[test]
fn an_engine_that_goes_down_later_shows_in_health_and_lifecycle() {
    paused(async {
        let (engine, told) = fake();
        let router =
            started(Router::builder().engine("a", memory()).engine("b", engine).route(["x"], "b"))
                .await;
        let mut events = router.lifecycle();
        told.is(Health::Down("cable cut".into()));
        // Nothing is published: whoever listens has the engines asked.
        let event_ = event_of(&mut events).await;
        assert_eq!(event_.to_string(), "engine.down b: cable cut");
        assert_eq!(Engine::health(&router), Health::Down("engine `b`: cable cut".into()));
        let states: Vec<_> = router.engines().into_iter().map(|(_, health)| health).collect();
        assert_eq!(states, [Health::Up, Health::Down("cable cut".into())]);
        told.is(Health::Up);
        assert_eq!(event_of(&mut events).await.to_string(), "engine.up b");
        assert_eq!(Engine::health(&router), Health::Up);

        // A publish that fails tells at once.
        told.is(Health::Connecting);
        told.fails.store(1, Relaxed);
        let begin = tokio::time::Instant::now();
        let error = router.publish(event("x")).await.unwrap_err();
        assert_eq!(error.engine(), "b");
        assert_eq!(event_of(&mut events).await.to_string(), "engine.down b: connecting");
        assert_eq!(
            event_of(&mut events).await.to_string(),
            "message.failed x on b: there is no connection: gone",
        );
        assert_eq!(begin.elapsed(), Duration::ZERO);
    });
}

async fn event_of(from: &mut Lifecycle) -> LifecycleEvent {
    timeout(SOON, from.next()).await.expect("something comes").expect("not the end").unwrap()
}

// ---- Handlers that exist before the engines connect ----------------------------------------------

#[test]
fn a_handler_on_the_builder_exists_before_the_engine_connects() {
    paused(async {
        let (engine, told) = fake();
        told.opens_early.store(1, Relaxed);
        let ran = Arc::new(Mutex::new(Vec::new()));
        let seen = ran.clone();
        let builder = Router::builder().engine("a", engine).on("x.*", move |context: Context| {
            seen.lock().unwrap().push(context.subject().to_string());
            async { Ok::<_, BoxError>(()) }
        });
        let router = builder.build().unwrap();
        assert_eq!(router.subscriptions().len(), 0, "building opens nothing");
        router.start().await.unwrap();
        assert_eq!(told.notes(), ["open x.*", "start"]);
        assert_eq!(text(&router.topics()), ["x.*"]);
        router.publish(event("x.1")).await.unwrap();
        sleep(SECOND).await;
        assert_eq!(*ran.lock().unwrap(), ["x.1"]);
        assert_eq!(router.stats().engines[0].handlers.handled, 1);
    });
}

#[test]
fn a_handler_on_the_builder_is_opened_after_the_start_where_it_must_be() {
    paused(async {
        let (engine, told) = fake();
        let builder =
            Router::builder().engine("a", engine).engine("b", memory()).route(["x.2"], "b");
        let ran = Arc::new(AtomicUsize::new(0));
        let counting = ran.clone();
        let router = builder.on_with(
            "x.*",
            |it| it.group("g").workers(2),
            move |_| {
                counting.fetch_add(1, Relaxed);
                async { Ok::<_, BoxError>(()) }
            },
        );
        let router = started(router).await;
        assert_eq!(names(&router.subscriptions()[0].engines), ["a", "b"]);
        assert_eq!(told.notes(), ["start"]);
        for subject in ["x.1", "x.2"] {
            router.publish(event(subject)).await.unwrap(); // right after the start
        }
        let report = router.shutdown(SECOND).await.unwrap();
        assert_eq!((report.handled, ran.load(Relaxed)), (2, 2));
    });
}

#[test]
fn a_handler_on_the_builder_that_cannot_be_opened_fails_the_start() {
    paused(async {
        for (pattern, text) in [("x.>.y", "`x.>.y`"), ("x", "`capacity` is not valid: it is 0")] {
            let (engine, told) = fake();
            let builder = Router::builder().engine("a", engine);
            let builder =
                builder.on_with(pattern, |it| it.capacity(0), async |_| Ok::<_, BoxError>(()));
            let router = builder.build().unwrap();
            let error = router.start().await.unwrap_err().to_string();
            assert!(error.contains(text), "{error}");
            assert_eq!(told.notes().last().unwrap(), "shutdown");
        }
    });
}

// ---- Lifecycle ---------------------------------------------------------------------------------

#[test]
fn the_lifecycle_has_each_event_by_its_name_in_order() {
    paused(async {
        let router = three().route(["x.>"], "b").loaded_from("bus.yaml").build().unwrap();
        let mut events = router.lifecycle();
        router.start().await.unwrap();
        let mut one = live(&router, "x.*").await;
        let two = live(&router, "x.*").await;
        router.publish(event("x.1")).await.unwrap();
        let it = next(&mut one).await.unwrap();
        drop((it, two));
        one.close();
        drop(one);
        router.shutdown(SECOND).await.unwrap();
        let mut texts = Vec::new();
        while let Some(event) = events.next().await {
            let event = event.unwrap();
            assert!(event.to_string().starts_with(event.name()));
            texts.push(event.to_string());
        }
        assert_eq!(
            texts,
            [
                "config.loaded bus.yaml",
                "bus.started",
                "engine.up a",
                "engine.up b",
                "engine.up c",
                "topic.created x.*",
                "subscription.created s1 (live)",
                "subscription.created s2 (live)",
                "message.published x.1 on b (accepted)",
                "message.received x.1 from b by s1",
                "subscription.removed s2",
                "subscription.removed s1",
                "topic.deleted x.*",
                "engine.down a: closed",
                "engine.down b: closed",
                "engine.down c: closed",
                "bus.stopped",
            ],
        );
        assert!(router.lifecycle().next().await.is_none(), "nothing more comes");
    });
}

#[test]
fn a_failed_call_of_a_handler_is_an_event_of_the_lifecycle() {
    paused(async {
        let router = started(three().route(["b.>"], "b")).await;
        let mut events = router.lifecycle();
        let failed = Arc::new(AtomicUsize::new(0));
        let counting = failed.clone();
        let subscribe = router.subscribe("b.*").unwrap().retry(RetryPolicy::none());
        let subscribe = subscribe.on_failed(move |_| {
            counting.fetch_add(1, Relaxed);
        });
        let handle = subscribe.handle(async |_| Err::<(), BoxError>("no".into()));
        let _workers = handle.await.unwrap();
        router.publish(event("b.1")).await.unwrap();
        sleep(SECOND / 2).await;
        let mut texts = Vec::new();
        while let Poll::Ready(Some(event)) = events.try_next() {
            texts.push(event.unwrap().to_string());
        }
        assert_eq!(
            texts[2..],
            [
                "message.published b.1 on b (accepted)",
                "message.received b.1 from b by s1",
                "message.failed b.1 on b: `b.1` failed after 1 attempt: no",
            ]
        );
        assert_eq!(failed.load(Relaxed), 1, "yours is called too");
    });
}

#[test]
fn a_listener_that_is_behind_is_told_how_many_events_it_lost() {
    paused(async {
        let router = started(three()).await;
        let mut events = router.lifecycle();
        for _ in 0..256 {
            router.publish(event("a")).await.unwrap();
        }
        assert!(matches!(events.try_next(), Poll::Ready(Some(Ok(_)))), "256 are kept");
        for _ in 0..11 {
            router.publish(event("a")).await.unwrap();
        }
        let Poll::Ready(Some(Err(lost))) = events.try_next() else { panic!("none is lost") };
        assert_eq!(lost.0, 10);
        let mut left = 0;
        while let Poll::Ready(Some(event)) = events.try_next() {
            assert_eq!(event.unwrap().name(), "message.published");
            left += 1;
        }
        assert_eq!(left, 256);
        drop(router);
        assert!(matches!(events.try_next(), Poll::Ready(None)));
    });
}

#[test]
fn without_a_listener_no_envelope_is_kept() {
    paused(async {
        let router = started(three()).await;
        let kept = async |engine: &dyn Engine| {
            let envelope = Arc::new(event("a"));
            engine.publish(envelope.clone()).await.unwrap();
            Arc::strong_count(&envelope)
        };
        let by_engine = kept(&memory()).await;
        drop(router.lifecycle());
        assert_eq!(kept(&router).await, by_engine);
        let _events = router.lifecycle();
        assert_eq!(kept(&router).await, by_engine + 1);
    });
}

// ---- Numbers -----------------------------------------------------------------------------------

/// A handler that fails on the subject `*.bad`.
async fn picky(router: &Router, pattern: &str) -> Workers {
    let subscribe = router.subscribe(pattern).unwrap().retry(RetryPolicy::none());
    let handle = subscribe.handle(async |context: Context| match context.subject().as_str() {
        subject if subject.ends_with("bad") => Err::<(), BoxError>("bad".into()),
        _ => Ok(()),
    });
    handle.await.unwrap()
}

/// C6: every engine is in the sums, those of a user too.
#[test]
fn numbers_are_for_each_engine_and_in_total_for_engines_of_users_too() {
    paused(async {
        let (engine, _) = fake();
        let router = started(
            Router::builder().engine("a", memory()).engine("own", engine).route(["x.>"], "own"),
        )
        .await;
        let one = picky(&router, ">").await;
        let two = picky(&router, "x.*").await;
        let mut slow = router.subscribe("x.>").unwrap().capacity(2).open().await.unwrap();
        for subject in ["x.1", "x.2", "x.bad", "y", "bad", "x.3"] {
            router.publish(event(subject)).await.unwrap();
        }
        sleep(SECOND).await;
        // What a full buffer has dropped counts when the receiver comes to that place.
        while let Poll::Ready(Some(_)) = slow.try_next() {}
        slow.close();
        while let Poll::Ready(Some(_)) = slow.try_next() {}
        let stats = router.stats();
        let numbers = |it: &EngineStats| {
            let handlers = &it.handlers;
            (it.published.accepted, handlers.handled, handlers.failed, handlers.dropped.buffer_full)
        };
        assert_eq!(numbers(&stats.engines[0]), (2, 1, 1, 0));
        assert_eq!(numbers(&stats.engines[1]), (4, 6, 2, 2));
        let total = stats.total();
        assert_eq!((&*total.engine, numbers(&total)), ("_all", (6, 7, 3, 2)));
        assert!(total.handlers.add_up() && total.published.add_up());
        assert_eq!(stats.engine("own"), Some(&stats.engines[1]));
        assert_eq!(stats.engine("router"), None);

        // What has ended is still counted.
        one.unsubscribe().await;
        drop((one, two, slow));
        sleep(SECOND).await;
        assert_eq!(router.stats().total().handlers, total.handlers);
        router.shutdown(SECOND).await.unwrap();
        assert_eq!(router.stats().total().handlers, total.handlers);
    });
}

#[test]
fn numbers_count_through_an_engine_object_too() {
    paused(async {
        let router = started(three()).await;
        let engine: Arc<dyn Engine> = Arc::new(router.clone());
        let workers = engine.subscribe("a").unwrap().handle(async |_| Ok::<_, BoxError>(()));
        let _workers = workers.await.unwrap();
        engine.publish(event("a").into()).await.unwrap();
        sleep(SECOND).await;
        assert_eq!(router.stats().engines[0].handlers.handled, 1);
        drop(engine);
        assert_eq!(router.subscriber_count("a"), 1);
    });
}

#[test]
fn lag_is_what_an_engine_says() {
    paused(async {
        let (own, _) = fake();
        let router = started(
            Router::builder().engine("a", memory()).engine("own", own).route(["x.>"], "own"),
        )
        .await;
        let _group = router.subscribe("y.*").unwrap().group("g").open().await.unwrap();
        let mut live = live(&router, "y.1").await;
        for subject in ["y.1", "y.2", "z", "x.1"] {
            router.publish(event(subject)).await.unwrap();
        }
        let lag = || router.stats().engines.iter().map(|it| it.lag).collect::<Vec<_>>();
        assert_eq!(lag(), [Some(3), None]);
        assert_eq!(router.stats().total().lag, Some(3));
        received(&mut live);
        assert_eq!(lag(), [Some(2), None]);
    });
}

#[test]
fn lags_of_several_engines_do_not_overflow() {
    paused(async {
        let ((one, of_one), (two, of_two)) = (fake(), fake());
        let builder = Router::builder().engine("a", one).engine("b", two).route(["b"], "b");
        let router = started(builder).await;
        let all = live(&router, ">").await;
        assert_eq!((all.lag(), Engine::lag(&router)), (Some(0), None));
        *of_one.lag.lock().unwrap() = Some(u64::MAX);
        assert_eq!((all.lag(), Engine::lag(&router)), (Some(u64::MAX), Some(u64::MAX)));
        *of_two.lag.lock().unwrap() = Some(u64::MAX);
        assert_eq!((all.lag(), Engine::lag(&router)), (Some(u64::MAX), Some(u64::MAX)));
    });
}

// ---- The end -----------------------------------------------------------------------------------

/// A handler that takes a second.
async fn slow(router: &Router, group: Option<&str>, workers: usize) -> Workers {
    let subscribe = router.subscribe("a.>").unwrap().workers(workers);
    let subscribe = match group {
        Some(group) => subscribe.group(group),
        None => subscribe,
    };
    let handle = subscribe.handle(async |_| {
        sleep(SECOND).await;
        Ok::<_, BoxError>(())
    });
    handle.await.unwrap()
}

#[test]
fn shutdown_handles_what_memory_has_until_the_deadline() {
    paused(async {
        for group in [None, Some("g")] {
            let router = started(three().route(["a.b"], "b")).await;
            let workers = slow(&router, group, 1).await;
            for subject in ["a.1", "a.2", "a.b", "a.3"] {
                router.publish(event(subject)).await.unwrap();
            }
            let begin = tokio::time::Instant::now();
            let report = router.shutdown(10 * SECOND).await.unwrap();
            assert_eq!((report.handled, report.abandoned, report.running), (4, 0, 0), "{group:?}");
            assert_eq!(begin.elapsed(), 4 * SECOND);
            let stats = router.stats().total().handlers;
            assert_eq!((stats.handled, stats.in_flight), (4, 0));
            drop(workers);
        }
    });
}

#[test]
fn what_still_runs_at_the_deadline_is_an_error_with_the_report() {
    paused(async {
        let router = started(three()).await;
        let _workers = slow(&router, Some("g"), 1).await;
        for _ in 0..5 {
            router.publish(event("a.1")).await.unwrap();
        }
        let begin = tokio::time::Instant::now();
        let deadline = Duration::from_millis(2500);
        let ShutdownTimeout(report) = router.shutdown(deadline).await.unwrap_err();
        assert_eq!(begin.elapsed(), deadline);
        assert_eq!((report.handled, report.running), (2, 1));
        assert!(report.abandoned >= 1, "{report}");
        assert_eq!(report.engines, 1, "the engine has the rest: {report}");
        let stats = router.stats().total().handlers;
        assert!(stats.add_up() && stats.in_flight == 0, "{stats:?}");
        router.shutdown(deadline).await.unwrap();
    });
}

#[test]
fn shutdown_with_a_deadline_of_zero_begins_nothing() {
    paused(async {
        let router = started(three()).await;
        let ran = Arc::new(AtomicUsize::new(0));
        let counting = ran.clone();
        let workers = router.subscribe("a").unwrap().group("g").handle(move |_| {
            counting.fetch_add(1, Relaxed);
            async { Ok::<_, BoxError>(()) }
        });
        let _workers = workers.await.unwrap();
        for _ in 0..3 {
            router.publish(event("a")).await.unwrap();
        }
        let begin = tokio::time::Instant::now();
        let ended = router.shutdown(Duration::ZERO).await;
        assert_eq!(begin.elapsed(), Duration::ZERO);
        sleep(SOON).await;
        assert_eq!(ran.load(Relaxed), 0);
        let report = ended.unwrap_or_else(|timeout| timeout.0);
        assert_eq!((report.handled, report.running), (0, 0));
    });
}

#[test]
fn dead_letters_of_the_last_events_are_published_while_the_router_ends() {
    paused(async {
        let router = started(three().route(["dead.>"], "b")).await;
        let mut dead = router.subscribe("dead.>").unwrap().group("dead").open().await.unwrap();
        let workers = router.subscribe("a").unwrap().group("g").retry(RetryPolicy::none());
        let workers = workers.dead_letter("dead.a").handle(async |_| {
            sleep(SECOND).await;
            Err::<(), BoxError>("no".into())
        });
        let _workers = workers.await.unwrap();
        router.publish(event("a")).await.unwrap();
        let ended = tokio::spawn({
            let router = router.clone();
            async move { router.shutdown(10 * SECOND).await }
        });
        let letter = next(&mut dead).await.unwrap();
        assert_eq!((letter.envelope().subject().as_str(), letter.engine()), ("dead.a", "b"));
        letter.ack();
        let report = ended.await.unwrap().unwrap();
        assert_eq!((report.handled, report.abandoned), (1, 0));
        assert_eq!(router.stats().engines[0].handlers.dead_lettered, 1);
    });
}

#[test]
fn intake_stops_as_soon_as_the_router_ends() {
    paused(async {
        let router = started(three()).await;
        let _workers = slow(&router, None, 1).await;
        router.publish(event("a.1")).await.unwrap();
        let ended = tokio::spawn({
            let router = router.clone();
            async move { router.shutdown(10 * SECOND).await }
        });
        sleep(SECOND / 2).await;
        let error = router.publish(event("a.2")).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::Closed) && error.engine() == "router");
        assert!(router.subscribe("a").unwrap().open().await.is_err());
        assert_eq!(ended.await.unwrap().unwrap().handled, 1);
    });
}

#[test]
fn dropping_the_last_handle_ends_engines_and_wakes_what_waits() {
    paused(async {
        let (engine, told) = fake();
        let router =
            started(Router::builder().engine("a", engine).engine("b", memory()).route(["b"], "b"))
                .await;
        let mut waits = router.subscribe(">").unwrap().group("g").open().await.unwrap();
        let mut events = router.lifecycle();
        let workers = router.subscribe(">").unwrap().group("h").dead_letter("dead.a.x");
        let workers = router_handles(workers.or("b").unwrap()).await;
        let waiting = tokio::spawn(async move { waits.next().await.is_none() });
        sleep(SECOND).await;
        let clone = router.clone();
        drop(router);
        sleep(SECOND).await;
        assert!(!waiting.is_finished(), "a clone is left");
        drop(clone);
        assert!(timeout(SECOND, waiting).await.expect("it is woken").unwrap());
        sleep(SECOND).await;
        assert_eq!(Arc::strong_count(&told), 1, "neither a handler nor a subscription keeps it");
        while let Some(event) = timeout(SECOND, events.next()).await.expect("it ends") {
            event.unwrap();
        }
        drop(workers);
    });
}

async fn router_handles(subscribe: tickbus::hosted::Subscribe<'_>) -> Result<Workers, OpenError> {
    subscribe.handle(async |_| Ok::<_, BoxError>(())).await
}

#[test]
fn an_engine_that_cannot_end_in_time_is_reported() {
    struct Stuck(MemoryEngine);
    impl Engine for Stuck {
        fn name(&self) -> &Arc<str> {
            self.0.name()
        }
        fn capabilities(&self) -> Capabilities {
            self.0.capabilities()
        }
        fn publish(&self, it: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
            self.0.publish(it)
        }
        fn shutdown(&self, _: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
            EngineFuture::ready(Err(ShutdownError::new(self.name(), Reason::TimedOut)))
        }
    }
    paused(async {
        let router =
            started(Router::builder().engine("a", memory()).engine("b", Stuck(memory()))).await;
        let error = Engine::shutdown(&router, SECOND).await.unwrap_err();
        assert!(error.to_string().starts_with("engine `b` "), "{error}");
        let ShutdownTimeout(report) = router.shutdown(SECOND).await.unwrap_err();
        assert_eq!((report.engines, report.running), (1, 0));
        assert!(report.to_string().ends_with("1 engine not done"), "{report}");
    });
}

/// Never ends by itself.
const HANGS: Duration = Duration::MAX;

/// Panics when it is told to end: in the call, in the first poll, or later.
#[test]
fn an_engine_that_panics_at_its_end_is_reported_and_the_others_are_told() {
    struct Panics(MemoryEngine, u32);
    impl Engine for Panics {
        fn name(&self) -> &Arc<str> {
            self.0.name()
        }
        fn capabilities(&self) -> Capabilities {
            self.0.capabilities()
        }
        fn publish(&self, it: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
            Engine::publish(&self.0, it)
        }
        fn shutdown(&self, _: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
            assert!(self.1 > 0, "it does not end");
            EngineFuture::new(async {
                if self.1 > 1 {
                    sleep(SECOND).await;
                }
                panic!("it does not end")
            })
        }
    }
    for when in 0..3 {
        paused(async {
            let ((first, before), (last, after)) = (fake(), fake());
            let router = Router::builder()
                .engine("a", first)
                .engine("b", Panics(memory(), when))
                .engine("c", last);
            let router = started(router).await;
            let error = Engine::shutdown(&router, 5 * SECOND).await.unwrap_err();
            assert_eq!(
                error.to_string(),
                "engine `b` did not finish: the engine panicked: it does not end"
            );
            assert_eq!(
                (before.ends(), after.ends()),
                (vec!["shutdown".into()], vec!["shutdown".into()])
            );
            assert_eq!(Engine::health(&router), Health::Closed);
            router.shutdown(SECOND).await.map_err(|it| it.0.engines).unwrap_err();
        });
    }
}

#[test]
fn an_engine_that_hangs_at_its_end_does_not_hold_the_router_up() {
    paused(async {
        let ((engine, told), (other, of_other)) = (fake(), fake());
        *told.ends_in.lock().unwrap() = HANGS;
        *of_other.ends_in.lock().unwrap() = SECOND;
        let builder = Router::builder().engine("a", engine).engine("b", other).route(["b"], "b");
        let router = started(builder).await;
        let mut events = router.lifecycle();
        let begin = tokio::time::Instant::now();
        let ShutdownTimeout(report) = router.shutdown(SECOND).await.unwrap_err();
        assert_eq!((begin.elapsed(), report.engines), (2 * SECOND, 1));
        assert_eq!(of_other.notes(), ["start", "shutdown", "ended"]);
        assert_eq!(Engine::health(&router), Health::Closed);
        assert_eq!(last_of(&mut events), "bus.stopped");
        let error = Engine::shutdown(&router, SECOND).await.unwrap_err();
        assert!(error.to_string().starts_with("engine `a` "), "{error}");
        assert!(matches!(error.reason, Reason::TimedOut), "{error}");

        // Nor a start that fails.
        let ((engine, told), (other, of_other)) = (fake(), fake());
        *told.ends_in.lock().unwrap() = HANGS;
        of_other.starts([Start::Refused]);
        let builder = Router::builder().engine("a", engine).engine("b", other);
        let router = builder.build().unwrap();
        let begin = tokio::time::Instant::now();
        let error = router.start().await.unwrap_err();
        assert!(matches!(error.reason, Reason::Refused(_)), "{error}");
        assert_eq!(begin.elapsed(), SECOND);
    });
}

/// The name of the last event of a lifecycle that has ended.
fn last_of(events: &mut Lifecycle) -> &'static str {
    let mut last = "";
    loop {
        match events.try_next() {
            Poll::Ready(Some(it)) => last = it.unwrap().name(),
            Poll::Ready(None) => return last,
            Poll::Pending => panic!("it goes on behind {last}"),
        }
    }
}

#[test]
fn an_engine_that_hangs_at_its_start_does_not_survive_the_shutdown() {
    paused(async {
        for on_start in [OnStart::Fail, OnStart::Wait(SOON)] {
            let ((engine, told), (other, of_other)) = (fake(), fake());
            told.starts([Start::Hangs]);
            let builder = Router::builder().engine("a", other).engine("b", engine);
            let router = builder.on_start(on_start).build().unwrap();
            let starting = tokio::spawn({
                let router = router.clone();
                async move { router.start().await }
            });
            sleep(SECOND).await;
            let begin = tokio::time::Instant::now();
            router.shutdown(SECOND).await.unwrap();
            let error = starting.await.unwrap().unwrap_err();
            assert!(matches!(error.reason, Reason::Closed), "{error}");
            assert_eq!(begin.elapsed(), Duration::ZERO);
            assert_eq!((told.notes(), of_other.notes().len()), (vec!["shutdown".into()], 2));
            assert_eq!(Engine::health(&router), Health::Closed);

            // Nor if the shutdown is dropped.
            let (engine, told) = fake();
            told.starts([Start::Hangs]);
            let router = Router::builder().engine("b", engine).on_start(on_start).build().unwrap();
            let mut start = Box::pin(router.start());
            assert!(timeout(SECOND, &mut start).await.is_err());
            let mut events = router.lifecycle();
            let mut stop = Box::pin(router.shutdown(SECOND));
            let mut context = core::task::Context::from_waker(core::task::Waker::noop());
            let _ = stop.as_mut().poll(&mut context);
            drop(stop);
            assert!(matches!(start.await.unwrap_err().reason, Reason::Closed));
            sleep(SECOND).await;
            assert_eq!(told.notes(), ["shutdown"]);
            assert_eq!(last_of(&mut events), "bus.stopped");
        }
    });
}

#[test]
fn a_shutdown_in_a_handler_ends_the_router_although_it_ends_the_handler() {
    paused(async {
        for group in [None, Some("g")] {
            let (engine, told) = fake();
            *told.ends_in.lock().unwrap() = SECOND;
            let router = started(Router::builder().engine("a", engine)).await;
            let mut events = router.lifecycle();
            let ending = router.clone();
            let subscribe = router.subscribe("a").unwrap();
            let subscribe = group.into_iter().fold(subscribe, |it, group| it.group(group));
            let workers = subscribe.handle(move |_| {
                let router = ending.clone();
                async move { router.shutdown(10 * SECOND).await.map(drop).map_err(BoxError::from) }
            });
            let _workers = workers.await.unwrap();
            router.publish(event("a")).await.unwrap();
            sleep(30 * SECOND).await;
            assert_eq!(Engine::health(&router), Health::Closed);
            assert_eq!(told.ends(), ["shutdown", "ended"], "{group:?}");
            assert_eq!(last_of(&mut events), "bus.stopped");
        }
    });
}

#[test]
fn a_shutdown_whose_future_is_dropped_ends_the_router() {
    paused(async {
        // While the engine ends: it has the rest of its time.
        let (engine, told) = fake();
        *told.ends_in.lock().unwrap() = 2 * SECOND;
        let router = started(Router::builder().engine("a", engine)).await;
        let mut events = router.lifecycle();
        assert!(timeout(SECOND, router.shutdown(10 * SECOND)).await.is_err());
        assert_eq!(Engine::health(&router), Health::Closed);
        assert_eq!(told.ends(), ["shutdown"]);
        sleep(2 * SECOND).await;
        assert_eq!(told.ends(), ["shutdown", "ended"]);
        assert_eq!(last_of(&mut events), "bus.stopped");

        // While handlers run: no more begin, and the engine ends.
        let (engine, told) = fake();
        *told.ends_in.lock().unwrap() = SECOND;
        let router = started(Router::builder().engine("a", engine)).await;
        let workers = slow(&router, None, 1).await;
        for _ in 0..5 {
            router.publish(event("a.1")).await.unwrap();
        }
        let mut events = router.lifecycle();
        let brief = timeout(SECOND / 2, router.shutdown(10 * SECOND));
        assert!(brief.await.is_err());
        assert_eq!(Engine::health(&router), Health::Closed);
        assert_eq!(told.ends(), ["shutdown"], "at once");
        sleep(2 * SECOND).await;
        assert_eq!(told.ends(), ["shutdown", "ended"]);
        assert_eq!(last_of(&mut events), "bus.stopped");
        assert_eq!((workers.stats().handled, workers.stats().in_flight), (1, 0));

        // Unless another shutdown is in progress.
        let (engine, told) = fake();
        let router = started(Router::builder().engine("a", engine)).await;
        let workers = slow(&router, None, 1).await;
        for _ in 0..3 {
            router.publish(event("a.1")).await.unwrap();
        }
        let brief = timeout(SECOND, router.shutdown(10 * SECOND));
        let both = join(router.shutdown(10 * SECOND), brief).await;
        assert!(both.0.is_ok() && both.1.is_err());
        assert_eq!((workers.stats().handled, told.ends().len()), (3, 1));
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

/// Also where there is no runtime that could go on.
#[test]
fn a_shutdown_needs_no_runtime() {
    let (engine, told) = fake();
    let router = Router::builder().engine("a", engine).build().unwrap();
    let mut context = core::task::Context::from_waker(core::task::Waker::noop());
    let mut start = Box::pin(router.start());
    assert!(start.as_mut().poll(&mut context).is_ready());
    let mut events = router.lifecycle();
    let mut stop = Box::pin(router.shutdown(SECOND));
    assert!(stop.as_mut().poll(&mut context).is_ready());
    assert_eq!((told.notes().len(), last_of(&mut events)), (2, "bus.stopped"));
}

// ---- Tenants -----------------------------------------------------------------------------------

/// What a subscription receives, as `tenant/subject`.
fn of_tenants(from: &mut Deliveries) -> Vec<String> {
    let mut all = Vec::new();
    while let Poll::Ready(Some(it)) = from.try_next() {
        let it = it.unwrap();
        let envelope = it.envelope();
        all.push(format!("{}/{}", envelope.headers().tenant(), envelope.subject()));
        it.ack();
    }
    all
}

/// D10: what one tenant publishes comes to no other, by no pattern and no group.
#[test]
fn a_tenant_sees_its_own_events_only() {
    paused(async {
        let router = started(three().route(["order.>"], "b").tenants(true)).await;
        let (red, blue) = (router.tenant("red").unwrap(), router.tenant("blue").unwrap());
        let mut reds = red.subscribe(">").unwrap().open().await.unwrap();
        let mut blues = blue.subscribe(">").unwrap().open().await.unwrap();
        let mut curious =
            blue.subscribe("red.>").unwrap().or("*.order.*").unwrap().open().await.unwrap();
        let mut red_group = red.subscribe("order.*").unwrap().group("g").open().await.unwrap();
        let mut blue_group = blue.subscribe("order.*").unwrap().group("g").open().await.unwrap();
        let mut all = live(&router, "order.*").await;

        let receipt = red.publish(event("order.1")).await.unwrap();
        assert_eq!(&*receipt.engine, "b", "rules see the logical subject");
        blue.publish(event("order.2")).await.unwrap();
        router.publish(event("order.3")).await.unwrap();
        router.publish(event("order.4").header("tenant", "red")).await.unwrap();

        assert_eq!(of_tenants(&mut reds), ["red/order.1", "red/order.4"]);
        assert_eq!(of_tenants(&mut blues), ["blue/order.2"]);
        assert_eq!(of_tenants(&mut curious), [""; 0]);
        assert_eq!(of_tenants(&mut red_group), ["red/order.1", "red/order.4"]);
        assert_eq!(of_tenants(&mut blue_group), ["blue/order.2"]);
        assert_eq!(
            of_tenants(&mut all),
            ["red/order.1", "blue/order.2", "/order.3", "red/order.4"]
        );
    });
}

#[test]
fn a_tenant_cannot_publish_as_another() {
    paused(async {
        let router = started(three().tenants(true)).await;
        let red = router.tenant("red").unwrap();
        let mut all = live(&router, ">").await;
        let error =
            red.publish(event("a").header("tenant", "blue").with_id("7")).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "engine `a`: `a` was not sent: the envelope names tenant `blue`, and the publisher is `red`",
        );
        let back = error.into_envelope();
        assert_eq!(
            (back.id(), back.subject().as_str(), back.headers().tenant()),
            ("7", "a", "blue")
        );
        let error = router.publish(event("a").header("tenant", "blue.sky")).await.unwrap_err();
        assert!(error.to_string().contains("`blue.sky` cannot name a tenant"), "{error}");
        assert_eq!(of_tenants(&mut all), [""; 0]);
        red.publish(event("a").header("tenant", "red")).await.unwrap();
        assert_eq!(of_tenants(&mut all), ["red/a"]);
        let results = Engine::publish_batch(
            &red,
            vec![event("a").header("tenant", "blue").into(), event("b").into()],
        );
        let results: Vec<_> = results.await.iter().map(Result::is_ok).collect();
        assert_eq!(results, [false, true]);
        assert!(Engine::try_publish(&red, event("a").header("tenant", "blue").into()).is_err());
    });
}

#[test]
fn the_name_on_the_engine_begins_with_the_tenant() {
    paused(async {
        let engine = Arc::new(memory());
        let router = started(Router::builder().engine("a", engine.clone()).tenants(true)).await;
        let mut on_engine = engine.subscribe(">").unwrap().open().await.unwrap();
        let red = router.tenant("red").unwrap();
        red.publish(event("order.1")).await.unwrap();
        router.publish(event("order.2")).await.unwrap();
        assert_eq!(received(&mut on_engine), ["red.order.1@memory", "_.order.2@memory"]);
        // What others write there is the tenant's that the name says.
        let mut all = live(&router, ">").await;
        engine.publish(event("blue.order.3").header("tenant", "red").into()).await.unwrap();
        engine.publish(event("_.order.4").header("tenant", "red").into()).await.unwrap();
        assert_eq!(of_tenants(&mut all), ["blue/order.3", "/order.4"]);
        assert_eq!(red.explain("order.1").unwrap().on_engine.as_deref(), Some("red.order.1"));
        // A name that gets too long by it.
        let long = "x".repeat(1023);
        let error = red.publish(event(&long)).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::Subject(_)), "{error}");
        assert_eq!(error.into_envelope().subject().as_str(), long);
        assert!(matches!(red.subscribe(&long).unwrap().open().await, Err(OpenError::Pattern(_))));
    });
}

#[test]
fn tenants_may_use_the_same_ids() {
    paused(async {
        let engine = Arc::new(memory());
        let router = started(Router::builder().engine("a", engine.clone()).tenants(true)).await;
        let (red, blue) = (router.tenant("red").unwrap(), router.tenant("blue").unwrap());
        let mut on_engine = engine.subscribe(">").unwrap().open().await.unwrap();
        let mut all = live(&router, ">").await;
        let mut group = blue.subscribe(">").unwrap().group("g").open().await.unwrap();
        let seven = || event("a").with_id("7");
        let is_duplicate = |receipt: Receipt| receipt.duplicate;
        assert!(!red.publish(seven()).await.map(is_duplicate).unwrap());
        assert!(!blue.publish(seven()).await.map(is_duplicate).unwrap());
        assert!(!router.publish(event("a").with_id("red.7")).await.map(is_duplicate).unwrap());
        assert!(blue.publish(seven()).await.map(is_duplicate).unwrap());
        assert!(router.publish(seven().header("tenant", "red")).await.unwrap().duplicate);

        let ids = |from: &mut Deliveries| {
            let mut ids = Vec::new();
            while let Poll::Ready(Some(Ok(it))) = from.try_next() {
                ids.push(it.envelope().id().to_owned());
                it.ack();
            }
            ids
        };
        assert_eq!(ids(&mut on_engine), ["red.7", "blue.7", "_.red.7"]);
        assert_eq!(ids(&mut all), ["7", "7", "red.7"]);
        assert_eq!(ids(&mut group), ["7"]);
        // What others write there keeps its id.
        for id in ["8", "blue.", "bluer.8"] {
            engine.publish(event("blue.a").with_id(id).into()).await.unwrap();
        }
        assert_eq!(ids(&mut group), ["8", "blue.", "bluer.8"]);
    });
}

#[test]
fn a_tenant_learns_nothing_of_the_subscriptions_of_others() {
    paused(async {
        let router = three().route(["x.>", "y"], "b").route(["y", "z"], "c").tenants(true);
        let router = started(router).await;
        let (red, blue) = (router.tenant("red").unwrap(), router.tenant("blue").unwrap());
        let _own = red.subscribe("order.*").unwrap().open().await.unwrap();
        let _other = blue.subscribe("order.*").unwrap().group("hush").open().await.unwrap();
        let _unfed = blue.subscribe("secret.project.*").unwrap().open().await.unwrap();
        let _all = live(&router, "order.paid").await;

        let ids = |of: &[Arc<Attached>]| of.iter().map(|it| it.id.to_string()).collect::<Vec<_>>();
        let it = red.explain("order.paid").unwrap();
        assert_eq!(
            (ids(&it.subscriptions), ids(&it.unfed)),
            (vec!["s1".into()], vec!["s1".into()])
        );
        assert_eq!(
            it.to_string(),
            "`order.paid` goes to engine `a` (up), the fallback: no rule matches, as `red.order.paid`\n\
             level: `accepted`\n\
             received by s1: `order.*`, live, a full buffer of 64: drop_newest, tenant `red`, on a\n\
             no rule but the fallback feeds s1: `order.*`, live, a full buffer of 64: drop_newest, \
             tenant `red`, on a",
        );
        let it = router.explain("order.paid").unwrap();
        assert_eq!((ids(&it.subscriptions), it.unfed.len()), (vec!["s4".into()], 4));
        assert_eq!(it.warnings.len(), 1);
    });
}

#[test]
fn a_router_without_tenants_refuses_their_handles() {
    let router = three().build().unwrap();
    assert_eq!(router.tenant("red").unwrap_err(), TenantError::Off);
    let router = three().tenants(true).build().unwrap();
    for name in ["", "_", "a.b", "*", ">", " ", "a\n", "a b", "a\u{a0}", "\0", "a\u{7f}"] {
        let error = router.tenant(name).unwrap_err();
        assert_eq!(error, TenantError::Name(name.into()));
    }
    assert_eq!(router.tenant("red").unwrap().tenant(), "red");
}

#[test]
fn handlers_and_dead_letters_of_a_tenant_stay_inside() {
    paused(async {
        let router = started(three().tenants(true)).await;
        let (red, blue) = (router.tenant("red").unwrap(), router.tenant("blue").unwrap());
        let mut red_dead = red.subscribe("dead.>").unwrap().open().await.unwrap();
        let mut blue_dead = blue.subscribe("dead.>").unwrap().open().await.unwrap();
        let workers = red.subscribe("order.*").unwrap().group("g").retry(RetryPolicy::none());
        let workers = workers.dead_letter("dead.order");
        let _workers = workers.handle(async |_| Err::<(), BoxError>("no".into())).await.unwrap();
        red.publish(event("order.1")).await.unwrap();
        blue.publish(event("order.1")).await.unwrap();
        sleep(SECOND).await;
        assert_eq!(of_tenants(&mut red_dead), ["red/dead.order"]);
        assert_eq!(of_tenants(&mut blue_dead), [""; 0]);
        assert_eq!(router.stats().engines[0].handlers.failed, 1);
        let tenants: Vec<_> =
            router.subscriptions().iter().map(|it: &Arc<Attached>| it.tenant.clone()).collect();
        assert_eq!(tenants[0].as_deref(), Some("red"));
        let error = Engine::shutdown(&red, SECOND).await.unwrap_err();
        assert!(matches!(error.reason, Reason::Refused(_)));
        red.publish(event("order.2")).await.unwrap();
    });
}

#[test]
fn a_carrier_names_an_engine_and_what_it_can_do() {
    let router = three().route(["x"], "b").build().unwrap();
    let carriers: Vec<Carrier> = router.carriers(&patterns(&["x"]));
    assert_eq!(carriers.len(), 1);
    assert_eq!((&*carriers[0].engine, carriers[0].outlives_process), ("b", false));
}
