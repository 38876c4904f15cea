//! Spans of OpenTelemetry: [`Spans`].

use alloc::borrow::ToOwned;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::any::type_name;
use core::fmt;

use opentelemetry::global::{self, BoxedSpan, BoxedTracer};
use opentelemetry::trace::{
    FutureExt, Link, SpanBuilder, SpanContext, SpanKind, Status, TraceContextExt, Tracer,
};
use opentelemetry::{Context, InstrumentationScope, KeyValue, StringValue};

use crate::envelope::Envelope;
use crate::error::InvalidPattern;
use crate::hosted::delivery::Delivery;
use crate::hosted::engine::{EngineError, Reason, Receipt};
use crate::subject::PatternBuf;

/// What the names of these attributes mean.
const CONVENTIONS: &str = "https://opentelemetry.io/schemas/1.44.0";

/// An operation of the conventions: its name, and its type.
#[derive(Clone, Copy)]
pub(super) enum Operation {
    Create,
    Publish,
    Receive,
    Process,
}

impl Operation {
    const fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Publish => "publish",
            Self::Receive => "receive",
            Self::Process => "process",
        }
    }

    const fn kind(self) -> &'static str {
        match self {
            Self::Publish => "send",
            Self::Create | Self::Receive | Self::Process => self.name(),
        }
    }
}

/// Makes the spans of envelopes, after the conventions of OpenTelemetry for messaging.
///
/// You opt in: a program without `Spans` has no such span. The conventions are not stable yet, so
/// names and attributes may change in a minor release of tickbus. They are those of version 1.44.
///
/// | span | kind | parent | made by |
/// |---|---|---|---|
/// | `publish match.7.score` | producer | the current span, else that of the envelope | [`Traced`](super::Traced), whose envelopes then name the publish span |
/// | `create match.7.score`, in a `publish` of several envelopes | producer; the publish is a client | the same | the same |
/// | `receive match.7.score` | client, with a link to the sender | the current span | [`Traced`](super::Traced), for each delivery that comes out |
/// | `process match.7.score` | consumer, with a link to the sender | the sender | [`process`](Self::process) |
///
/// Install the tracer provider of the program first: see [`new`](Self::new).
///
/// # Examples
///
/// ```
/// use tickbus::Envelope;
/// use tickbus::hosted::export::{Spans, Traced};
/// use tickbus::hosted::{Context, Engine, MemoryEngine};
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let spans = Spans::new().template("match.*.score")?; // `publish match.*.score`
/// let engine = Traced::new(MemoryEngine::new(), spans.clone());
///
/// let ladder = engine.subscribe("match.*.score")?.group("ladder").workers(4);
/// let ladder = ladder
///     .handle(move |score: Context| {
///         let spans = spans.clone();
///         async move {
///             let work = async { score.envelope().decode::<u32>().map(drop) };
///             spans.process(&score, work).await
///         }
///     })
///     .await?;
/// engine.publish(Envelope::json("match.7.score", &3)?.into()).await?;
/// # ladder.shutdown(core::time::Duration::from_secs(5)).await?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Spans {
    tracer: Arc<BoxedTracer>,
    system: StringValue,
    templates: Vec<PatternBuf>,
}

impl Spans {
    /// Returns a maker of spans, with the tracer `tickbus` of the global tracer provider.
    ///
    /// If the program installs its provider later, these spans are never recorded.
    #[must_use]
    pub fn new() -> Self {
        let scope = InstrumentationScope::builder("tickbus")
            .with_version(env!("CARGO_PKG_VERSION"))
            .with_schema_url(CONVENTIONS)
            .build();
        Self {
            tracer: Arc::new(global::tracer_with_scope(scope)),
            system: StringValue::from("tickbus"),
            templates: Vec::new(),
        }
    }

    /// Sets the attribute `messaging.system`: `tickbus` by default.
    #[must_use]
    pub fn system(mut self, system: impl Into<String>) -> Self {
        self.system = system.into().into();
        self
    }

    /// Names the spans of all subjects that `pattern` matches after the pattern.
    ///
    /// Without a template the name has the whole subject. If ids are part of your subjects, there
    /// would be too many names. Of several templates the first that matches counts.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPattern`] if the text is not a [`Pattern`](crate::Pattern).
    pub fn template(mut self, pattern: &str) -> Result<Self, InvalidPattern> {
        self.templates.push(pattern.parse()?);
        Ok(self)
    }

    /// Runs `work`, which handles this event, in a span. An envelope that it makes belongs to the
    /// trace of the sender.
    ///
    /// The span begins when you first poll the future. If that returns an error, panics or is
    /// dropped before its end, the span says so.
    ///
    /// # Errors
    ///
    /// Returns the error of `work` from the future.
    pub fn process<P, F, T, E>(
        &self,
        event: &P,
        work: F,
    ) -> impl Future<Output = Result<T, E>> + use<P, F, T, E>
    where
        P: Processed,
        F: Future<Output = Result<T, E>>,
        E: fmt::Display,
    {
        let begin = self.processing(event);
        async move {
            let span = begin();
            let result = work.with_context(span.context.clone()).await;
            span.processed(&result);
            result
        }
    }

    /// Runs `work`, which blocks this thread, in a span: see [`process`](Self::process).
    ///
    /// # Errors
    ///
    /// Returns the error of `work`.
    pub fn process_blocking<P, T, E>(
        &self,
        event: &P,
        work: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E>
    where
        P: Processed,
        E: fmt::Display,
    {
        let span = self.processing(event)();
        let in_span = span.context.clone().attach();
        let result = work();
        drop(in_span);
        span.processed(&result);
        result
    }

    /// Returns what starts the span of the work for an event.
    fn processing<P: Processed>(&self, event: &P) -> impl FnOnce() -> Started + use<P> {
        let sender = event.envelope().carried_span();
        let links = sender.iter().map(|sender| Link::with_context(sender.clone())).collect();
        let mut builder = self
            .builder(Operation::Process, event.engine(), event.envelope())
            .with_kind(SpanKind::Consumer)
            .with_links(links);
        if let (attempt @ 1.., Some(attributes)) = (event.attempt(), &mut builder.attributes) {
            attributes.push(KeyValue::new("tickbus.attempt", i64::from(attempt)));
        }
        let tracer = self.tracer.clone();
        move || {
            let parent = match sender {
                Some(sender) => Context::current().with_remote_span_context(sender),
                None => Context::current(),
            };
            Started::new(&parent, tracer.build_with_context(builder, &parent))
        }
    }

    /// Starts the span of a publish. The envelope names it from then on.
    pub(super) fn publish(&self, engine: &str, envelope: &mut Arc<Envelope>) -> Started {
        self.send(Operation::Publish, engine, envelope)
    }

    /// Starts the span of a publish of several envelopes. Each names a span of its own.
    pub(super) fn publish_batch(&self, engine: &str, envelopes: &mut [Arc<Envelope>]) -> Started {
        let mut links = Vec::with_capacity(envelopes.len());
        for envelope in envelopes.iter_mut() {
            let created = self.send(Operation::Create, engine, envelope);
            links.push(Link::with_context(created.span_context()));
            created.end();
        }
        let mut names = envelopes.iter().map(|envelope| self.destination(envelope));
        let first = names.next().filter(|first| names.all(|name| name == *first));
        let name = match first {
            Some(name) => alloc::format!("{} {name}", Operation::Publish.name()),
            None => Operation::Publish.name().to_owned(),
        };
        let mut attributes = self.attributes(Operation::Publish, engine);
        let count = i64::try_from(envelopes.len()).unwrap_or(i64::MAX);
        attributes.push(KeyValue::new("messaging.batch.message_count", count));
        let builder = SpanBuilder::from_name(name)
            .with_kind(SpanKind::Client)
            .with_attributes(attributes)
            .with_links(links);
        let parent = Context::current();
        Started::new(&parent, self.tracer.build_with_context(builder, &parent))
    }

    /// Makes the span of a delivery that comes out.
    pub(super) fn receive(&self, engine: &str, group: Option<&str>, envelope: &Envelope) {
        let sender = envelope.carried_span();
        let mut builder = self
            .builder(Operation::Receive, engine, envelope)
            .with_kind(SpanKind::Client)
            .with_links(sender.into_iter().map(Link::with_context).collect());
        if let (Some(group), Some(attributes)) = (group, &mut builder.attributes) {
            attributes.push(KeyValue::new("messaging.consumer.group.name", group.to_owned()));
        }
        let parent = Context::current();
        Started::new(&parent, self.tracer.build_with_context(builder, &parent)).end();
    }

    fn send(&self, what: Operation, engine: &str, envelope: &mut Arc<Envelope>) -> Started {
        let mut builder = self.builder(what, engine, envelope).with_kind(SpanKind::Producer);
        let mut parent = Context::current();
        if let Some(creator) = envelope.carried_span() {
            let current = parent.span().span_context().clone();
            if !current.is_valid() {
                parent = parent.with_remote_span_context(creator);
            } else if (current.trace_id(), current.span_id())
                != (creator.trace_id(), creator.span_id())
            {
                builder = builder.with_links(alloc::vec![Link::with_context(creator)]);
            }
        }
        let span = Started::new(&parent, self.tracer.build_with_context(builder, &parent));
        let sender = span.span_context();
        if sender.is_valid() {
            Arc::make_mut(envelope).carry_span(&sender);
        }
        span
    }

    /// What the span of this envelope is named after: a template, or the subject.
    fn destination<'a>(&'a self, envelope: &'a Envelope) -> &'a str {
        let subject = envelope.subject();
        self.template_of(envelope).map_or(subject.as_str(), PatternBuf::as_str)
    }

    fn template_of(&self, envelope: &Envelope) -> Option<&PatternBuf> {
        self.templates.iter().find(|template| template.matches(envelope.subject()))
    }

    fn builder(&self, what: Operation, engine: &str, envelope: &Envelope) -> SpanBuilder {
        let mut attributes = self.attributes(what, engine);
        let mut text = |key, value: &str| attributes.push(KeyValue::new(key, value.to_owned()));
        text("messaging.destination.name", envelope.subject().as_str());
        if let Some(template) = self.template_of(envelope) {
            text("messaging.destination.template", template.as_str());
        }
        if !envelope.id().is_empty() {
            text("messaging.message.id", envelope.id());
        }
        SpanBuilder::from_name(alloc::format!("{} {}", what.name(), self.destination(envelope)))
            .with_attributes(attributes)
    }

    fn attributes(&self, what: Operation, engine: &str) -> Vec<KeyValue> {
        alloc::vec![
            KeyValue::new("messaging.system", self.system.clone()),
            KeyValue::new("messaging.operation.name", what.name()),
            KeyValue::new("messaging.operation.type", what.kind()),
            KeyValue::new("tickbus.engine", engine.to_owned()),
        ]
    }
}

impl Default for Spans {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans")
            .field("system", &self.system)
            .field("templates", &self.templates)
            .finish_non_exhaustive()
    }
}

/// What a program processes in a span: a [`Delivery`], or the context of a handler.
#[expect(private_bounds, reason = "the trait is sealed")]
pub trait Processed: Event {}

impl<P: Event> Processed for P {}

pub(crate) trait Event {
    fn engine(&self) -> &str;
    fn envelope(&self) -> &Envelope;
    /// 0 if it is not known.
    fn attempt(&self) -> u32;
}

impl Event for crate::hosted::handle::Context {
    fn engine(&self) -> &str {
        self.engine()
    }

    fn envelope(&self) -> &Envelope {
        self.envelope()
    }

    fn attempt(&self) -> u32 {
        self.attempt()
    }
}

impl Event for Delivery {
    fn engine(&self) -> &str {
        self.engine()
    }

    fn envelope(&self) -> &Envelope {
        self.envelope()
    }

    fn attempt(&self) -> u32 {
        self.attempt()
    }
}

/// A span that has begun. Dropping it says that its operation was interrupted.
pub(super) struct Started {
    /// A context whose span is this one.
    pub(super) context: Context,
    ended: bool,
}

impl Started {
    fn new(parent: &Context, span: BoxedSpan) -> Self {
        Self { context: parent.with_span(span), ended: false }
    }

    fn span_context(&self) -> SpanContext {
        self.context.span().span_context().clone()
    }

    pub(super) fn end(mut self) {
        self.ended = true;
        self.context.span().end();
    }

    pub(super) fn fail(mut self, kind: &'static str, error: String) {
        self.ended = true;
        self.failed(kind, error);
    }

    fn processed<T, E: fmt::Display>(self, result: &Result<T, E>) {
        match result {
            Ok(_) => self.end(),
            Err(error) => self.fail(type_name::<E>(), error.to_string()),
        }
    }

    /// Ends the span of a publish.
    pub(super) fn published(self, result: &Result<Receipt, EngineError>) {
        match result {
            Ok(_) => self.end(),
            Err(error) => self.fail(kind(error.reason()), error.to_string()),
        }
    }

    /// Ends the span of a publish of several envelopes. It has the first error.
    pub(super) fn published_all(self, results: &[Result<Receipt, EngineError>]) {
        match results.iter().find(|result| result.is_err()) {
            Some(error) => self.published(error),
            None => self.end(),
        }
    }

    fn failed(&self, kind: &'static str, error: String) {
        let span = self.context.span();
        span.set_attribute(KeyValue::new("error.type", kind));
        span.set_status(Status::error(error));
        span.end();
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        if self.ended {
            return;
        }
        if std::thread::panicking() {
            self.failed("panic", "it panicked".into());
        } else {
            self.failed("cancelled", "it was dropped before its end".into());
        }
    }
}

/// The value of `error.type`. The conventions have `_OTHER` for what has no name.
const fn kind(reason: &Reason) -> &'static str {
    match reason {
        Reason::NotStarted => "not_started",
        Reason::Closed => "closed",
        Reason::TooLarge { .. } => "too_large",
        Reason::Full => "full",
        Reason::WouldWait => "would_wait",
        Reason::TimedOut => "timeout",
        Reason::Level { .. } => "level",
        Reason::Tenant(_) => "tenant",
        Reason::Cancelled => "cancelled",
        Reason::Unsupported(_) => "unsupported",
        Reason::Disconnected(_) => "disconnected",
        Reason::Refused(_) => "refused",
        Reason::Panicked(_) => "panic",
        _ => "_OTHER",
    }
}
