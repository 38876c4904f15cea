//! An engine as the crate of a user has it: nothing of `tickbus` but its public names.
#![cfg(all(feature = "hosted", not(tickbus_loom)))]
#![expect(clippy::std_instead_of_alloc, clippy::std_instead_of_core, reason = "as there")]

mod own {
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll};
    use std::time::Duration;

    use tickbus::Envelope;
    use tickbus::hosted::{
        Capabilities, Capability, Delivery, Engine, EngineError, EngineFuture, Gap, Level,
        LiveOptions, OpenError, Reason, Receipt, Receive, ShutdownError, stamped,
    };
    use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

    type Subscriber = (LiveOptions, UnboundedSender<Arc<Envelope>>);

    /// Live subscriptions on unbounded channels. `None` once it is closed.
    #[derive(Debug)]
    pub(crate) struct Tiny {
        name: Arc<str>,
        subscribers: Mutex<Option<Vec<Subscriber>>>,
    }

    impl Tiny {
        pub(crate) fn new(name: &str) -> Self {
            Self { name: name.into(), subscribers: Mutex::new(Some(Vec::new())) }
        }
    }

    impl Engine for Tiny {
        fn name(&self) -> &Arc<str> {
            &self.name
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities::new()
                .level(Level::Accepted)
                .live([Capability::PublisherOrder, Capability::Headers])
        }

        fn publish(&self, it: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
            let it = stamped(it);
            let mut subscribers = self.subscribers.lock().unwrap();
            let Some(subscribers) = &mut *subscribers else {
                let error = EngineError::not_sent(&self.name, it, Reason::Closed);
                return EngineFuture::ready(Err(error));
            };
            subscribers.retain(|(options, to)| {
                !options.matches(it.subject()) || to.send(it.clone()).is_ok()
            });
            EngineFuture::ready(Ok(Receipt::new(&self.name, Level::Accepted)))
        }

        fn open_live(
            &self,
            options: LiveOptions,
        ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
            let (to, from) = unbounded_channel();
            EngineFuture::ready(match &mut *self.subscribers.lock().unwrap() {
                Some(subscribers) => {
                    subscribers.push((options, to));
                    Ok(Box::new(Channel(from)))
                }
                None => Err(OpenError::failed(&self.name, Reason::Closed)),
            })
        }

        fn shutdown(&self, _: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
            *self.subscribers.lock().unwrap() = None;
            EngineFuture::ready(Ok(()))
        }
    }

    struct Channel(UnboundedReceiver<Arc<Envelope>>);

    impl Receive for Channel {
        fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Delivery, Gap>>> {
            self.0.poll_recv(context).map(|next| next.map(|it| Ok(Delivery::live(it))))
        }
    }
}

use std::sync::Arc;
use std::time::Duration;

use own::Tiny;
use tickbus::Envelope;
use tickbus::Overrun;
use tickbus::hosted::conformance::{self, Outcome, Setup};
use tickbus::hosted::{
    Capability, Counted, Engine, EngineFuture, Level, Mode, OpenError, PublishStats, Reason,
    StartAt, StartError,
};

fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

#[test]
fn it_carries_envelopes_and_both_sides_are_counted() {
    run(async {
        let engine: Arc<dyn Engine> = Arc::new(Tiny::new("tiny"));
        let engine = Counted::new(engine);
        let mut hits = engine.subscribe("player.*.hit").unwrap().open().await.unwrap();

        let hit = Envelope::unstamped("player.7.hit").unwrap().with_key("7");
        let receipt = engine.publish(hit.into()).await.unwrap();
        assert_eq!((receipt.level, &*receipt.engine), (Level::Accepted, "tiny"));
        engine.publish(Envelope::new("player.7").unwrap().into()).await.unwrap();

        let hit = hits.next().await.unwrap().unwrap();
        assert_eq!((hit.envelope().key(), hit.engine()), ("7", "tiny"));
        assert!(!hit.envelope().id().is_empty(), "the publish fills it in");
        assert_eq!((hits.stats().received, hits.stats().pending, hits.stats().handled), (1, 1, 0));
        drop(hit);
        assert_eq!((hits.stats().received, hits.stats().pending, hits.stats().handled), (1, 0, 1));

        engine.shutdown(Duration::ZERO).await.unwrap();
        assert!(hits.next().await.is_none());
        let error = engine.publish(Envelope::new("player.8").unwrap().into()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "engine `tiny`: `player.8` was not sent: the engine is shut down"
        );
        assert!(matches!(error.reason(), Reason::Closed));
        assert_eq!(error.into_envelope().subject().as_str(), "player.8");

        let PublishStats { offered, accepted, refused, .. } = engine.stats();
        assert_eq!((offered, accepted, refused), (3, 2, 1));
        assert!(engine.stats().add_up() && hits.stats().add_up());
    });
}

#[test]
fn what_it_lacks_is_refused_with_both_names() {
    run(async {
        let engine = Tiny::new("tiny");
        let refused = |subscribe: tickbus::hosted::Subscribe<'_>| match run_open(subscribe) {
            Err(OpenError::Missing { mode, capability, .. }) => (mode, capability),
            other => panic!("{other:?}"),
        };
        let any = || engine.subscribe(">").unwrap();
        assert_eq!(refused(any().group("g")), (Mode::Durable, Capability::Durable));
        assert_eq!(refused(any().overrun(Overrun::Block)), (Mode::Live, Capability::Block));
        assert_eq!(
            run_open(any().group("g")).unwrap_err().to_string(),
            "engine `tiny` has no groups as it is set up: give it what keeps its events (Redis, NATS: \
             `stream`; Kinesis: `leases`; MQTT: `client_id`; memory: `log`), or use another engine",
        );
        let timeout = any().block_timeout(Duration::from_secs(1));
        assert_eq!(
            run_open(timeout).unwrap_err().to_string(),
            "engine `tiny` does not have `block` for live subscriptions: \
             remove `block_timeout`, or use another engine",
        );
        let demand = any().demand(Capability::Gaps);
        assert_eq!(
            run_open(demand).unwrap_err().to_string(),
            "engine `tiny` does not have `gaps` for live subscriptions: \
             do not demand it, or use another engine",
        );
        assert!(run_open(any().demand(Capability::Headers)).is_ok());
    });
}

#[test]
fn a_setting_of_the_other_kind_is_refused() {
    let engine = Tiny::new("tiny");
    let any = || engine.subscribe(">").unwrap();
    let error = run_open(any().start_at(StartAt::Earliest)).unwrap_err().to_string();
    assert_eq!(error, "engine `tiny`: `start_at` is for durable subscriptions: name a `group`");
    let error = run_open(any().group("g").capacity(3)).unwrap_err().to_string();
    assert_eq!(error, "engine `tiny`: `capacity` is for live subscriptions: remove it, or `group`");
    for subscribe in [any().lease(Duration::MAX), any().in_flight(1), any().max_attempts(1)] {
        assert!(matches!(run_open(subscribe), Err(OpenError::WrongMode { mode: Mode::Live, .. })));
    }
    for subscribe in [any().capacity(0), any().group("")] {
        assert!(matches!(run_open(subscribe), Err(OpenError::Invalid { .. })));
    }
}

/// The futures of this engine are ready at once.
fn run_open(
    subscribe: tickbus::hosted::Subscribe<'_>,
) -> Result<tickbus::hosted::Deliveries, OpenError> {
    let mut open = std::pin::pin!(subscribe.open());
    match open.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(opened) => opened,
        std::task::Poll::Pending => panic!("it waits"),
    }
}

mod odd {
    use std::sync::Arc;
    use std::time::Duration;

    use tickbus::Envelope;
    use tickbus::hosted::{
        Capabilities, Engine, EngineError, EngineFuture, Level, Receipt, ShutdownError,
    };

    /// Panics, and returns more results than there were envelopes.
    pub(crate) struct Odd(pub(crate) Arc<str>);

    impl Engine for Odd {
        fn name(&self) -> &Arc<str> {
            &self.0
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities::new()
        }

        fn publish(&self, _: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
            panic!("at once")
        }

        fn try_publish(&self, _: Arc<Envelope>) -> Result<Receipt, EngineError> {
            panic!("at once")
        }

        fn publish_batch(
            &self,
            envelopes: Vec<Arc<Envelope>>,
        ) -> EngineFuture<'_, Vec<Result<Receipt, EngineError>>> {
            let result = |_| Ok(Receipt::new(&self.0, Level::Stored));
            EngineFuture::ready((0..=envelopes.len()).map(result).collect())
        }

        fn shutdown(&self, _: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
            EngineFuture::ready(Ok(()))
        }
    }
}

#[test]
fn an_engine_that_panics_or_miscounts_does_not_spoil_the_numbers() {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    let engine = Counted::new(odd::Odd("odd".into()));
    let envelope = || Arc::new(Envelope::new("a").unwrap());
    catch_unwind(AssertUnwindSafe(|| engine.try_publish(envelope()))).unwrap_err();
    catch_unwind(AssertUnwindSafe(|| drop(engine.publish(envelope())))).unwrap_err();
    assert_eq!(run(engine.publish_batch(vec![envelope(), envelope()])).len(), 3);
    let stats = engine.stats();
    assert_eq!((stats.offered, stats.unknown, stats.stored), (4, 2, 2));
    assert!(stats.add_up());
}

/// The kit proves what it claims, and that the rest is refused.
#[test]
fn the_kit_proves_it() {
    struct OfTiny;
    impl Setup for OfTiny {
        type Engine = Tiny;

        fn connect(&self) -> EngineFuture<'_, Result<Tiny, StartError>> {
            EngineFuture::ready(Ok(Tiny::new("tiny")))
        }
    }
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_time().start_paused(true).build().unwrap();
    let report = runtime.block_on(conformance::run(&OfTiny));
    assert!(report.is_proven(), "{report}");
    let names = |outcome| {
        let rows = report.rows.iter().filter(move |row| row.outcome == outcome);
        rows.map(|row| row.behaviour).collect::<Vec<_>>()
    };
    let skipped = ["oversized_payload_is_not_sent", "debug_shows_no_secret"];
    assert_eq!(names(Outcome::Skipped), skipped);
    assert_eq!(names(Outcome::Proven).len(), 10, "{report}");
    assert!(names(Outcome::Refused).contains(&"durable_group_shares"), "{report}");
    assert!(names(Outcome::Refused).contains(&"live_tells_of_a_full_buffer"), "{report}");
}

/// What a program spawns on a runtime of several threads.
#[test]
fn what_waits_goes_to_other_threads() {
    fn sent(_: impl Send) {}
    fn send_and_sync<T: Send + Sync>() {}
    send_and_sync::<Arc<dyn Engine>>();
    send_and_sync::<Counted>();
    send_and_sync::<tickbus::hosted::MemoryEngine>();
    send_and_sync::<tickbus::hosted::Delivery>();
    send_and_sync::<tickbus::hosted::EngineError>();
    send_and_sync::<OpenError>();
    let engine = Tiny::new("tiny");
    sent(engine.subscribe(">").unwrap().open());
    sent(engine.publish(Envelope::new("a").unwrap().into()));
    let mut all = run_open(engine.subscribe(">").unwrap()).unwrap();
    sent(all.next());
    run(engine.publish(Envelope::new("a").unwrap().into())).unwrap();
    let it = run(all.next()).unwrap().unwrap();
    sent(it.extend_async(Duration::ZERO));
    sent(it.ack_async());
    sent(all);
}

mod forwarded {
    use std::fs;
    use std::path::Path;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use tickbus::Envelope;
    use tickbus::hosted::{
        Capabilities, Capability, Carrier, Clock, Counted, DurableOptions, Engine, EngineError,
        EngineFuture, Health, LiveOptions, Mode, OpenError, Reason, Receipt, Receive,
        ShutdownError, StartError, TestClock,
    };
    use tickbus::subject::PatternBuf;

    /// Answers nothing as a default does, and notes which methods were called.
    #[derive(Clone)]
    struct Spy {
        name: Arc<str>,
        clock: TestClock,
        called: Arc<Mutex<Vec<&'static str>>>,
    }

    impl Spy {
        fn note(&self, method: &'static str) {
            self.called.lock().unwrap().push(method);
        }

        fn refuse(&self, it: Arc<Envelope>) -> Result<Receipt, EngineError> {
            Err(EngineError::not_sent(&self.name, it, Reason::Closed))
        }
    }

    impl Engine for Spy {
        fn name(&self) -> &Arc<str> {
            &self.name
        }

        fn capabilities(&self) -> Capabilities {
            Capabilities::new().max_payload(7).live([]).durable([])
        }

        fn start(&self) -> EngineFuture<'_, Result<(), StartError>> {
            self.note("start");
            EngineFuture::ready(Ok(()))
        }

        fn publish(&self, it: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
            self.note("publish");
            EngineFuture::ready(self.refuse(it))
        }

        fn try_publish(&self, it: Arc<Envelope>) -> Result<Receipt, EngineError> {
            self.note("try_publish");
            self.refuse(it)
        }

        fn publish_batch(
            &self,
            all: Vec<Arc<Envelope>>,
        ) -> EngineFuture<'_, Vec<Result<Receipt, EngineError>>> {
            self.note("publish_batch");
            EngineFuture::ready(all.into_iter().map(|it| self.refuse(it)).collect())
        }

        fn publish_and_wait(
            &self,
            it: Arc<Envelope>,
        ) -> EngineFuture<'_, Result<Receipt, EngineError>> {
            self.note("publish_and_wait");
            EngineFuture::ready(self.refuse(it))
        }

        fn open_live(
            &self,
            _: LiveOptions,
        ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
            self.note("open_live");
            EngineFuture::ready(Err(OpenError::missing(&self.name, Mode::Live, Capability::Gaps)))
        }

        fn open_durable(
            &self,
            _: DurableOptions,
        ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
            self.note("open_durable");
            EngineFuture::ready(Err(OpenError::missing(&self.name, Mode::Live, Capability::Gaps)))
        }

        fn health(&self) -> Health {
            Health::NotStarted
        }

        fn carriers(&self, _: &[PatternBuf]) -> Vec<Carrier> {
            ["one", "two"].map(|name| Carrier::new(&name.into(), self.capabilities())).into()
        }

        fn lag(&self) -> Option<u64> {
            Some(7)
        }

        fn clock(&self) -> Arc<dyn Clock> {
            Arc::new(self.clock)
        }

        fn outlives_process(&self) -> bool {
            false
        }

        fn shutdown(&self, _: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
            self.note("shutdown");
            EngineFuture::ready(Ok(()))
        }
    }

    /// Uses all of an engine that has a [`Spy`] inside.
    async fn is_that_of(spy: &Spy, engine: impl Engine) {
        let it = || Arc::new(Envelope::new("a").unwrap());
        spy.called.lock().unwrap().clear();
        engine.start().await.unwrap();
        engine.publish(it()).await.unwrap_err();
        engine.try_publish(it()).unwrap_err();
        assert_eq!(engine.publish_batch(vec![it(), it()]).await.len(), 2);
        engine.publish_and_wait(it()).await.unwrap_err();
        engine.subscribe("a").unwrap().open().await.unwrap_err();
        engine.subscribe("a").unwrap().group("g").open().await.unwrap_err();
        engine.shutdown(Duration::ZERO).await.unwrap();
        let called = core::mem::take(&mut *spy.called.lock().unwrap());
        let all = [
            "start",
            "publish",
            "try_publish",
            "publish_batch",
            "publish_and_wait",
            "open_live",
            "open_durable",
            "shutdown",
        ];
        assert_eq!(called, all);
        assert!(Arc::ptr_eq(engine.name(), spy.name()));
        assert_eq!(engine.capabilities(), spy.capabilities());
        assert_eq!(engine.health(), spy.health());
        assert_eq!(engine.carriers(&[]), spy.carriers(&[]));
        assert_eq!((engine.lag(), engine.outlives_process()), (Some(7), false));
        assert_eq!(engine.clock().wall(), spy.clock.wall());
    }

    #[test]
    fn engines_around_an_engine_have_all_its_methods() {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(all_methods());
    }

    async fn all_methods() {
        let clock = TestClock::new("2026-11-30T00:00:00Z".parse().unwrap());
        let spy = Spy { name: "spy".into(), clock, called: Arc::default() };
        is_that_of(&spy, Arc::new(spy.clone())).await;
        is_that_of(&spy, Arc::new(spy.clone()) as Arc<dyn Engine>).await;
        is_that_of(&spy, Counted::new(spy.clone())).await;
        #[cfg(feature = "compression")]
        {
            use tickbus::hosted::{Compressed, Compression};
            is_that_of(&spy, Compressed::new(spy.clone(), Compression::above(1024))).await;
        }
        #[cfg(feature = "opentelemetry")]
        {
            use tickbus::hosted::export::{Spans, Traced};
            is_that_of(&spy, Traced::new(spy.clone(), Spans::new())).await;
        }
    }

    fn src() -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("src/hosted")
    }

    /// The names behind `fn ` on lines of one step.
    fn functions(text: &str) -> Vec<&str> {
        let lines = text.lines().filter_map(|line| line.strip_prefix("    fn "));
        lines.filter_map(|line| line.split(['(', '<']).next()).collect()
    }

    /// What begins so, to the end of the item.
    fn item<'t>(text: &'t str, start: &str) -> Option<&'t str> {
        let rest = &text[text.find(start)?..];
        Some(&rest[..rest.find("\n}\n")?])
    }

    /// The methods of the trait that this wrapper neither writes nor forwards.
    fn forgotten<'t>(trait_text: &'t str, wrapper: &str) -> Vec<&'t str> {
        let forwarded = wrapper.find("forward!(").map_or("", |at| {
            let rest = &wrapper[at..];
            &rest[..rest.find(");").expect("the end of the list")]
        });
        let list = forwarded.split(|c: char| !(c.is_alphanumeric() || c == '_'));
        let list: Vec<_> = list.chain(functions(wrapper)).collect();
        functions(trait_text).into_iter().filter(|name| !list.contains(name)).collect()
    }

    /// A default that is not forwarded is silently not that of the engine inside.
    #[test]
    fn a_method_that_a_wrapper_forgets_is_found() {
        let read = |file: &str| fs::read_to_string(src().join(file)).unwrap();
        let engine = read("engine.rs");
        let the_trait = item(&engine, "pub trait Engine: ").unwrap();
        assert!(functions(the_trait).len() >= 16, "{:?}", functions(the_trait));
        let more = format!("{the_trait}\n    fn brand_new(&self) {{}}\n");
        for file in ["engine.rs", "counted.rs", "compressed.rs", "export/traced.rs"] {
            let text = read(file);
            let starts = text.match_indices("impl<E: Engine").map(|(at, _)| &text[at..]);
            let mut starts = starts.filter(|it| it.lines().next().unwrap().contains("Engine for "));
            let wrapper = item(starts.next().expect(file), "impl").unwrap();
            // A subscription that you start on a wrapper is one of the wrapper.
            let own = |name: &&str| *name != "subscribe";
            let of = |text| forgotten(text, wrapper).into_iter().filter(own).collect::<Vec<_>>();
            assert_eq!(of(the_trait), [""; 0], "{file}");
            assert_eq!(of(&more), ["brand_new"], "{file}");
        }
    }

    /// A wrapper that is new is known above.
    #[test]
    fn all_wrappers_are_known() {
        fn count(folder: &Path) -> usize {
            let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
            entries
                .map(|path| match path.is_dir() {
                    true => count(&path),
                    false => {
                        let text = fs::read_to_string(path).unwrap();
                        let lines = text.lines().filter(|line| line.starts_with("impl<E: Engine"));
                        lines.filter(|line| line.contains("Engine for ")).count()
                    }
                })
                .sum()
        }
        assert_eq!(count(&src()), 4);
    }
}
