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
