//! Spans of publishes and deliveries, seen by a tracer of the test.

use alloc::borrow::Cow;
use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::{Context as TaskContext, Waker};
use std::sync::Once;
use std::time::SystemTime;

use opentelemetry::trace::{
    Link, Span, SpanBuilder, SpanContext, SpanId, SpanKind, Status, TraceContextExt, TraceFlags,
    TraceId, TraceState, Tracer, TracerProvider,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue, global};
use tickbus::Envelope;
use tickbus::envelope::TraceParent;
use tickbus::hosted::export::{Spans, Traced};
use tickbus::hosted::{Capabilities, EngineError, Level, Reason};
use tickbus::hosted::{Deliveries, Delivery, Engine, EngineFuture, MemoryEngine, Receipt};

use super::*;

/// A span that has ended.
#[derive(Clone, Debug)]
struct Seen {
    name: String,
    kind: SpanKind,
    id: SpanContext,
    parent: SpanContext,
    links: Vec<SpanContext>,
    attributes: Vec<(String, String)>,
    status: Status,
}

impl Seen {
    fn get(&self, key: &str) -> &str {
        let mut values = self.attributes.iter().filter(|(k, _)| k == key);
        let value = values.next().map_or("", |(_, value)| value);
        assert!(values.next().is_none(), "{key} is there twice");
        value
    }

    fn is_child_of(&self, parent: &SpanContext) -> bool {
        ids(&self.parent) == ids(parent) && self.id.trace_id() == parent.trace_id()
    }

    fn links_to(&self, other: &SpanContext) -> bool {
        self.links.iter().any(|link| ids(link) == ids(other))
    }
}

fn ids(span: &SpanContext) -> (TraceId, SpanId) {
    (span.trace_id(), span.span_id())
}

/// All spans of all tests, which run side by side.
static SEEN: Mutex<Vec<Seen>> = Mutex::new(Vec::new());
static NEXT: AtomicU64 = AtomicU64::new(1);

#[derive(Debug)]
struct TestSpan(Option<Seen>, SpanContext);

impl Span for TestSpan {
    fn add_event_with_timestamp<T>(&mut self, _: T, _: SystemTime, _: Vec<KeyValue>)
    where
        T: Into<Cow<'static, str>>,
    {
    }
    fn span_context(&self) -> &SpanContext {
        &self.1
    }
    fn is_recording(&self) -> bool {
        self.0.is_some()
    }
    fn set_attribute(&mut self, attribute: KeyValue) {
        let Some(seen) = &mut self.0 else { return };
        seen.attributes.push((attribute.key.to_string(), attribute.value.to_string()));
    }
    fn set_status(&mut self, status: Status) {
        let Some(seen) = &mut self.0 else { return };
        seen.status = status;
    }
    fn update_name<T: Into<Cow<'static, str>>>(&mut self, _: T) {}
    fn add_link(&mut self, link: SpanContext, _: Vec<KeyValue>) {
        let Some(seen) = &mut self.0 else { return };
        seen.links.push(link);
    }
    fn end_with_timestamp(&mut self, _: SystemTime) {
        if let Some(seen) = self.0.take() {
            SEEN.lock().unwrap().push(seen);
        }
    }
}

struct TestTracer;

impl Tracer for TestTracer {
    type Span = TestSpan;

    fn build_with_context(&self, builder: SpanBuilder, context: &Context) -> TestSpan {
        let parent = context.span().span_context().clone();
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let trace = match parent.is_valid() {
            true => parent.trace_id(),
            false => TraceId::from(u128::from(number) << 64),
        };
        let state = parent.trace_state().clone();
        let id = SpanContext::new(trace, number.into(), TraceFlags::SAMPLED, false, state);
        let text = |attribute: KeyValue| (attribute.key.to_string(), attribute.value.to_string());
        let links = builder.links.unwrap_or_default();
        let seen = Seen {
            name: builder.name.to_string(),
            kind: builder.span_kind.unwrap(),
            id: id.clone(),
            parent,
            links: links.into_iter().map(|Link { span_context, .. }| span_context).collect(),
            attributes: builder.attributes.unwrap_or_default().into_iter().map(text).collect(),
            status: Status::Unset,
        };
        TestSpan(Some(seen), id)
    }
}

struct TestProvider;

impl TracerProvider for TestProvider {
    type Tracer = TestTracer;

    fn tracer_with_scope(&self, scope: InstrumentationScope) -> TestTracer {
        assert_eq!((scope.name(), scope.version()), ("tickbus", Some(env!("CARGO_PKG_VERSION"))));
        assert_eq!(scope.schema_url(), Some("https://opentelemetry.io/schemas/1.44.0"));
        TestTracer
    }
}

fn spans() -> Spans {
    static INSTALL: Once = Once::new();
    INSTALL.call_once(|| global::set_tracer_provider(TestProvider));
    Spans::new()
}

/// The spans with this word in their names. Each test has a word of its own.
fn seen(word: &str) -> Vec<Seen> {
    SEEN.lock().unwrap().iter().filter(|seen| seen.name.contains(word)).cloned().collect()
}

fn names(seen: &[Seen]) -> Vec<&str> {
    seen.iter().map(|seen| &*seen.name).collect()
}

/// A span of the program, as a span of a web server is.
fn span_of_the_program(id: u64) -> SpanContext {
    let state = TraceState::from_key_value([("vendor", "x")]).unwrap();
    SpanContext::new((u128::from(id) + 7).into(), id.into(), TraceFlags::SAMPLED, false, state)
}

async fn next(deliveries: &mut Deliveries) -> Delivery {
    deliveries.next().await.expect("it is open").expect("there is no gap")
}

#[test]
fn publish_receive_and_process_follow_the_conventions_for_messaging() {
    paused(async {
        let spans = spans().system("memory");
        let engine = Traced::new(MemoryEngine::builder().name("fast").build(), spans.clone());
        let mut open = engine.subscribe("conv.>").unwrap().group("ladder").open().await.unwrap();
        let program = span_of_the_program(0xaa_0001);
        {
            let _in = Context::current().with_remote_span_context(program.clone()).attach();
            let envelope = Envelope::new("conv.score").unwrap().with_id("id-7");
            engine.try_publish(envelope.into()).unwrap();
        }
        let delivery = next(&mut open).await;
        let inside = spans
            .process(&delivery, async { Ok::<_, String>(Envelope::new("conv.answer").unwrap()) })
            .await
            .unwrap();
        delivery.ack();

        let seen = seen("conv.");
        assert_eq!(
            names(&seen),
            ["publish conv.score", "receive conv.score", "process conv.score"]
        );
        let [publish, receive, process] = &*seen else { unreachable!() };
        for (span, name, kind) in [
            (publish, "publish", "send"),
            (receive, "receive", "receive"),
            (process, "process", "process"),
        ] {
            assert_eq!(span.get("messaging.system"), "memory");
            assert_eq!(span.get("messaging.operation.name"), name);
            assert_eq!(span.get("messaging.operation.type"), kind);
            assert_eq!(span.get("messaging.destination.name"), "conv.score");
            assert_eq!(span.get("messaging.message.id"), "id-7");
            assert_eq!(span.get("tickbus.engine"), "fast");
            assert_eq!((span.get("error.type"), &span.status), ("", &Status::Unset));
        }
        assert_eq!(
            [&publish.kind, &receive.kind, &process.kind],
            [&SpanKind::Producer, &SpanKind::Client, &SpanKind::Consumer]
        );
        assert_eq!(receive.get("messaging.consumer.group.name"), "ladder");
        // The program, its publish, and the work for it are one trace. What receives links to it.
        assert!(publish.is_child_of(&program) && publish.links.is_empty());
        assert!(process.is_child_of(&publish.id) && process.links_to(&publish.id));
        assert!(!receive.parent.is_valid() && receive.links_to(&publish.id));
        assert_eq!(
            inside.span_id(),
            format!("{:016x}", u64::from_be_bytes(process.id.span_id().to_bytes()))
        );
    });
}

#[test]
fn a_published_envelope_carries_the_span_of_its_publish_and_the_state_of_vendors() {
    paused(async {
        let engine = Traced::new(MemoryEngine::new(), spans());
        let mut open = engine.subscribe("carry.>").unwrap().open().await.unwrap();
        // Made in a span, and published where there is none: as a thread of a link does.
        let program = span_of_the_program(0xaa_0002);
        let envelope = {
            let _in = Context::current().with_remote_span_context(program.clone()).attach();
            Arc::new(Envelope::new("carry.it").unwrap())
        };
        engine.publish(envelope.clone()).await.unwrap();

        let seen = &seen("publish carry.")[0];
        assert!(seen.is_child_of(&program));
        let delivery = next(&mut open).await;
        let parent = delivery.envelope().trace_parent().unwrap();
        assert_eq!(parent.span_id().to_be_bytes(), seen.id.span_id().to_bytes());
        assert_eq!(parent.trace_id().to_be_bytes(), program.trace_id().to_bytes());
        assert!(parent.is_sampled());
        let header = delivery.envelope().headers().get("traceparent");
        assert_eq!(header.parse(), Ok(parent));
        assert_eq!(delivery.envelope().headers().get("tracestate"), "vendor=x");
        assert_eq!(delivery.envelope().id(), envelope.id());
        // The publisher's own envelope is as it was.
        assert_eq!(envelope.span_id(), format!("{:016x}", 0xaa_0002));
    });
}

#[test]
fn an_envelope_of_another_span_than_the_current_one_is_linked() {
    paused(async {
        let engine = Traced::new(MemoryEngine::new(), spans());
        let creator = TraceParent::new(5, 6).unwrap();
        let envelope = Envelope::new("linked.it").unwrap().with_trace_parent(creator);
        let program = span_of_the_program(0xaa_0003);
        let _in = Context::current().with_remote_span_context(program.clone()).attach();
        engine.try_publish(envelope.into()).unwrap();
        let seen = &seen("publish linked.")[0];
        assert!(seen.is_child_of(&program) && seen.links_to(&creator.into()));
    });
}

#[test]
fn names_of_spans_follow_templates() {
    paused(async {
        let spans = spans().template("tpl.*.score").unwrap().template("tpl.>").unwrap();
        let engine = Traced::new(MemoryEngine::new(), spans);
        for subject in ["tpl.7.score", "tpl.8.score", "tpl.7.other"] {
            engine.publish(Envelope::new(subject).unwrap().into()).await.unwrap();
        }
        let seen = seen("tpl.");
        let expected = ["publish tpl.*.score", "publish tpl.*.score", "publish tpl.>"];
        assert_eq!(names(&seen), expected);
        assert_eq!(seen[1].get("messaging.destination.template"), "tpl.*.score");
        assert_eq!(seen[1].get("messaging.destination.name"), "tpl.8.score");
        assert!(Spans::new().template("a.>.b").is_err());
    });
}

#[test]
fn a_batch_is_one_publish_with_a_link_to_each_of_its_envelopes() {
    paused(async {
        let engine = Traced::new(MemoryEngine::new(), spans().template("batch.*").unwrap());
        let mut open = engine.subscribe("batch.*").unwrap().open().await.unwrap();
        let batch = ["batch.1", "batch.2", "batch.3"];
        let batch = batch.map(|subject| Arc::new(Envelope::new(subject).unwrap())).to_vec();
        let results = engine.publish_batch(batch).await;
        assert!(results.len() == 3 && results.iter().all(Result::is_ok));

        let seen = seen(" batch.*");
        let create = "create batch.*";
        assert_eq!(names(&seen), [create, create, create, "publish batch.*"]);
        let (publish, created) = seen.split_last().unwrap();
        assert_eq!(publish.kind, SpanKind::Client);
        assert_eq!(publish.get("messaging.batch.message_count"), "3");
        assert_eq!(publish.get("messaging.message.id"), "");
        for created in created {
            assert_eq!(
                (&created.kind, created.get("messaging.operation.type")),
                (&SpanKind::Producer, "create")
            );
            assert!(publish.links_to(&created.id));
            let delivery = next(&mut open).await;
            let sender = delivery.envelope().trace_parent().unwrap().span_id();
            assert_eq!(sender.to_be_bytes(), created.id.span_id().to_bytes());
        }
    });
}

#[test]
fn a_batch_of_several_destinations_is_named_after_none() {
    let engine = Traced::new(MemoryEngine::new(), spans());
    let batch = ["mixed.1", "mixed.2"].map(|subject| Arc::new(Envelope::new(subject).unwrap()));
    let mut batch = pin!(engine.publish_batch(batch.to_vec()));
    let _ = batch.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
    let created = seen("create mixed.");
    assert_eq!(created.len(), 2);
    let publish = SEEN.lock().unwrap().iter().find(|seen| seen.links_to(&created[1].id)).cloned();
    assert_eq!(publish.unwrap().name, "publish");
}

/// An engine that refuses everything, or that never answers.
struct Broken(Arc<str>);

impl Engine for Broken {
    fn name(&self) -> &Arc<str> {
        &self.0
    }
    fn capabilities(&self) -> Capabilities {
        Capabilities::new()
    }
    fn publish(&self, envelope: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        if envelope.subject().as_str().ends_with("silent") {
            return EngineFuture::new(core::future::pending());
        }
        let name = self.0.clone();
        EngineFuture::new(async move {
            tokio::time::sleep(SECOND).await;
            Err(EngineError::unknown(&name, envelope, Reason::TimedOut))
        })
    }
    fn shutdown(
        &self,
        _: Duration,
    ) -> EngineFuture<'_, Result<(), tickbus::hosted::ShutdownError>> {
        EngineFuture::ready(Ok(()))
    }
}

#[test]
fn a_failed_publish_says_why_and_the_returned_envelope_keeps_its_id() {
    paused(async {
        let engine = Traced::new(Broken("far".into()), spans());
        let envelope = Envelope::new("broken.it").unwrap().with_id("id-9");
        let error = engine.publish(envelope.into()).await.unwrap_err();
        let text = error.to_string();
        let returned = error.into_envelope();
        let seen = seen("publish broken.");
        let [span] = &*seen else { panic!("{seen:?}") };
        assert_eq!(span.get("error.type"), "timeout");
        assert_eq!(span.status, Status::error(text));
        assert_eq!(returned.id(), "id-9");

        // In its repeat, the first publish is the parent.
        let repeat = engine.publish(returned).await.unwrap_err();
        drop(repeat);
        let repeats = self::seen("publish broken.");
        assert!(repeats.len() == 2 && repeats[1].is_child_of(&span.id));
        assert!(engine.try_publish(Envelope::new("broken.try").unwrap().into()).is_err());
        assert_eq!(self::seen("broken.try")[0].get("error.type"), "would_wait");
    });
}

#[test]
fn a_publish_that_is_dropped_before_its_end_says_so() {
    let engine = Traced::new(Broken("far".into()), spans());
    let publish = engine.publish(Envelope::new("dropped.silent").unwrap().into());
    assert_eq!(seen("dropped.").len(), 0);
    drop(publish);
    assert_eq!(seen("dropped.")[0].get("error.type"), "cancelled");
}

#[test]
fn a_handler_that_fails_panics_or_is_dropped_is_an_error_of_its_span() {
    paused(async {
        let spans = spans();
        let delivery = Delivery::live(Envelope::new("bad.handler").unwrap());
        let process = spans.process(&delivery, async { Err::<(), _>("no such match") });
        process.await.unwrap_err();

        let panics = spans.process(&delivery, async {
            assert!(delivery.envelope().id().is_empty(), "the handler panics");
            Ok::<_, String>(())
        });
        let mut panics = Box::pin(panics);
        let poll = core::panic::AssertUnwindSafe(|| {
            let _ = panics.as_mut().poll(&mut TaskContext::from_waker(Waker::noop()));
        });
        std::panic::catch_unwind(poll).unwrap_err();

        let never = spans.process(&delivery, core::future::pending::<Result<(), String>>());
        assert!(tokio::time::timeout(SECOND, never).await.is_err());
        let third = Delivery::live(Envelope::new("bad.handler").unwrap()).with_attempt(3);
        let blocking = spans.process_blocking(&third, || {
            assert_ne!(Envelope::new("a").unwrap().span_id(), ""); // in its span
            Err::<(), _>(3)
        });
        blocking.unwrap_err();
        // Never polled: there was nothing to process.
        drop(spans.process(&delivery, async { Ok::<_, String>(()) }));

        let seen = seen("bad.handler");
        let kinds: Vec<_> = seen.iter().map(|span| span.get("error.type")).collect();
        assert_eq!(kinds, ["&str", "panic", "cancelled", "i32"]);
        assert_eq!((seen[0].get("tickbus.attempt"), seen[3].get("tickbus.attempt")), ("", "3"));
        assert_eq!(seen[0].status, Status::error("no such match"));
    });
}

#[test]
fn an_engine_publishes_inside_the_span_of_its_publish() {
    /// Publishes a second event, as a client with spans of its own would make one.
    struct Asks(MemoryEngine);
    impl Engine for Asks {
        fn name(&self) -> &Arc<str> {
            Engine::name(&self.0)
        }
        fn capabilities(&self) -> Capabilities {
            Engine::capabilities(&self.0)
        }
        fn publish(&self, _: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
            let span = Envelope::new("a").unwrap().span_id().to_string();
            EngineFuture::new(async move {
                tokio::task::yield_now().await;
                assert_eq!(span, Envelope::new("a").unwrap().span_id());
                Ok(Receipt::new(&span.into(), Level::Accepted))
            })
        }
        fn shutdown(
            &self,
            _: Duration,
        ) -> EngineFuture<'_, Result<(), tickbus::hosted::ShutdownError>> {
            EngineFuture::ready(Ok(()))
        }
    }
    paused(async {
        let engine = Traced::new(Asks(MemoryEngine::new()), spans());
        let receipt = engine.publish(Envelope::new("asks.it").unwrap().into()).await.unwrap();
        let span = u64::from_be_bytes(seen("publish asks.")[0].id.span_id().to_bytes());
        assert_eq!(&*receipt.engine, format!("{span:016x}"));
        assert_eq!(Envelope::new("a").unwrap().span_id(), ""); // and nothing after it
    });
}

#[test]
fn an_engine_with_spans_can_do_what_it_could_do_without() {
    paused(async {
        let clock = tickbus::hosted::TestClock::new("2026-11-30T00:00:00Z".parse().unwrap());
        let engine = MemoryEngine::builder().name("fast").clock(clock).build();
        let engine = Traced::new(engine, spans());
        let inner = engine.get_ref();
        let durable = engine.subscribe("able.>").unwrap().group("g").open().await.unwrap();
        let receipt = engine.publish_and_wait(Envelope::new("unheard").unwrap().into()).await;
        assert_eq!(&*receipt.unwrap().engine, "fast"); // by default, an engine refuses it
        assert_eq!(names(&seen("unheard")), ["publish unheard"]);
        engine.publish(Envelope::new("able.it").unwrap().into()).await.unwrap();

        assert_eq!((engine.lag(), durable.lag()), (inner.lag(), Some(1)));
        assert_eq!(engine.clock().wall(), inner.clock().wall());
        assert_eq!(engine.capabilities(), inner.capabilities());
        assert!(!engine.outlives_process()); // the default is `true`
        let carriers = format!("{:?}", engine.carriers(&[]));
        assert_eq!(carriers, format!("{:?}", inner.carriers(&[])));
        drop(durable);
        engine.shutdown(Duration::ZERO).await.ok();
        assert_eq!(engine.health(), inner.health());
    });
}

#[test]
fn each_attempt_of_a_handler_is_a_span_in_the_trace_of_the_publisher() {
    paused(async {
        let spans = spans();
        let engine = Traced::new(MemoryEngine::builder().name("fast").build(), spans.clone());
        let handler = engine.subscribe("tried.>").unwrap().group("ladder").workers(2);
        let (send, mut done) = tokio::sync::mpsc::unbounded_channel();
        let handler = handler
            .handle(move |event: tickbus::hosted::Context| {
                let (spans, send) = (spans.clone(), send.clone());
                async move {
                    let work = async {
                        if event.attempt() == 1 {
                            return Err("not now");
                        }
                        send.send(Envelope::new("a").unwrap().span_id().to_string()).unwrap();
                        Ok(())
                    };
                    spans.process(&event, work).await
                }
            })
            .await
            .unwrap();
        engine.publish(Envelope::new("tried.it").unwrap().into()).await.unwrap();
        let inside = done.recv().await.unwrap();
        handler.shutdown(10 * SECOND).await.unwrap();

        let publish = seen("publish tried.").remove(0);
        let process = seen("process tried.");
        let tries: Vec<_> = process
            .iter()
            .map(|span| {
                assert!(span.is_child_of(&publish.id) && span.links_to(&publish.id));
                assert_eq!(span.get("tickbus.engine"), "fast");
                (span.get("tickbus.attempt"), span.get("error.type"))
            })
            .collect();
        assert_eq!(tries, [("1", "&str"), ("2", "")]);
        let last = u64::from_be_bytes(process[1].id.span_id().to_bytes());
        assert_eq!(inside, format!("{last:016x}"));
    });
}
