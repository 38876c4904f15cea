//! One subscription on several engines: [`Joined`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::pin::Pin;
use core::task::{Context, Poll, Waker};

use tokio::task::JoinHandle;

use super::lifecycle::{Hub, LifecycleEvent};
use super::registry::{Attached, Policy, Registry};
use super::tenant::Scope;
use crate::error::InvalidPattern;
use crate::hosted::delivery::{Delivery, Gap, GapReason, Receive};
use crate::hosted::engine::{Engine, Reason};
use crate::hosted::future::EngineFuture;
use crate::hosted::subscribe::{DurableOptions, LiveOptions, OpenError, SubscriptionDefaults};
use crate::subject::PatternBuf;
use crate::sync::{PlainNumber, Relaxed};

/// What a subscription asks an engine for.
#[derive(Clone)]
pub(super) enum Ask {
    Live(LiveOptions),
    Durable(DurableOptions),
}

impl Ask {
    pub(super) fn patterns(&self) -> &[PatternBuf] {
        match self {
            Self::Live(options) => &options.patterns,
            Self::Durable(options) => &options.patterns,
        }
    }

    pub(super) fn policy(&self) -> Policy {
        match self {
            Self::Live(options) => {
                let LiveOptions { capacity, overrun, block_timeout, .. } = *options;
                Policy::Live { capacity, overrun, block_timeout }
            }
            Self::Durable(options) => Policy::Durable {
                group: options.group.clone(),
                lease: options.lease,
                max_attempts: options.max_attempts,
            },
        }
    }

    /// Returns it with the names that the engines know.
    pub(super) fn scoped(&self, scope: &Scope) -> Result<Self, InvalidPattern> {
        let mut ask = self.clone();
        let patterns = match &mut ask {
            Self::Live(options) => &mut options.patterns,
            Self::Durable(options) => {
                options.group = scope.group(&options.group);
                &mut options.patterns
            }
        };
        for pattern in patterns {
            *pattern = scope.pattern(pattern)?;
        }
        Ok(ask)
    }

    /// Returns it with what the subscriber does not say.
    pub(super) fn with(&self, defaults: SubscriptionDefaults) -> Self {
        let mut ask = self.clone();
        if let Self::Live(options) = &mut ask
            && !options.sets_capacity
            && let Some(capacity) = defaults.capacity
        {
            options.capacity = capacity;
            options.sets_capacity = true;
        }
        ask
    }

    pub(super) fn open(
        self,
        engine: &dyn Engine,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        match self {
            Self::Live(options) => engine.open_live(options),
            Self::Durable(options) => engine.open_durable(options),
        }
    }
}

/// The part of a subscription that is on one engine.
pub(super) struct Part {
    pub(super) engine: Arc<str>,
    pub(super) came: Arc<Came>,
    pub(super) state: Place,
}

/// Counts what came out of an engine, and what was lost there.
#[derive(Default)]
pub(super) struct Came {
    pub(super) received: PlainNumber,
    pub(super) missed: PlainNumber,
}

pub(super) type Opening = Pin<Box<dyn Future<Output = Result<Box<dyn Receive>, OpenError>> + Send>>;

/// A task that opens a subscription. It ends when this is dropped.
pub(super) struct InTask {
    task: JoinHandle<Result<Box<dyn Receive>, OpenError>>,
    engine: Arc<str>,
}

impl InTask {
    pub(super) fn new(
        task: JoinHandle<Result<Box<dyn Receive>, OpenError>>,
        engine: &Arc<str>,
    ) -> Self {
        Self { task, engine: engine.clone() }
    }
}

impl Future for InTask {
    type Output = Result<Box<dyn Receive>, OpenError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let opened = Pin::new(&mut self.task).poll(context);
        // Its runtime has ended, or the engine panicked.
        opened.map(|it| it.unwrap_or_else(|_| Err(OpenError::failed(&self.engine, Reason::Closed))))
    }
}

impl Drop for InTask {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) enum Place {
    Open(Box<dyn Receive>),
    /// Waits for the engine to come up.
    Opening(Opening),
    Ended,
}

/// What a subscription receives from all its engines, each in its turn.
pub(super) struct Joined {
    parts: Vec<Part>,
    /// Whose turn it is.
    turn: usize,
    scope: Scope,
    entry: Entry,
}

/// Keeps a subscription in the registry.
pub(super) struct Entry {
    pub(super) attached: Arc<Attached>,
    pub(super) registry: Arc<Registry>,
    pub(super) hub: Arc<Hub>,
}

impl Entry {
    /// Does nothing a second time.
    fn remove(&self) {
        self.registry.remove(&self.hub, &self.attached);
    }
}

type Item = Option<Result<Delivery, Gap>>;

impl Part {
    fn poll(
        &mut self,
        context: &mut Context<'_>,
        take: impl FnOnce(&mut dyn Receive, &mut Context<'_>) -> Poll<Item>,
        entry: &Entry,
    ) -> Poll<Item> {
        if let Place::Opening(opening) = &mut self.state {
            match opening.as_mut().poll(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(receive)) => {
                    self.state = Place::Open(receive);
                    // What others have published there meanwhile did not come.
                    if matches!(entry.attached.policy, Policy::Live { .. }) {
                        return Poll::Ready(Some(Err(Gap::new(None, GapReason::Reconnected))));
                    }
                }
                Poll::Ready(Err(error)) => {
                    self.state = Place::Ended;
                    let (engine, why) = (self.engine.clone(), alloc::format!("{error}").into());
                    entry.hub.emit(|| LifecycleEvent::EngineDown { engine, why });
                }
            }
        }
        let Place::Open(receive) = &mut self.state else { return Poll::Ready(None) };
        let next = take(&mut **receive, context);
        if let Poll::Ready(None) = next {
            self.state = Place::Ended;
        }
        next
    }
}

impl Joined {
    pub(super) const fn new(parts: Vec<Part>, scope: Scope, entry: Entry) -> Self {
        Self { parts, turn: 0, scope, entry }
    }

    fn poll(
        &mut self,
        context: &mut Context<'_>,
        take: impl Fn(&mut dyn Receive, &mut Context<'_>) -> Poll<Item>,
    ) -> Poll<Item> {
        let Self { parts, turn, scope, entry } = self;
        let count = parts.len();
        let mut pending = false;
        for _ in 0..count {
            let part = &mut parts[*turn];
            *turn = if *turn + 1 == count { 0 } else { *turn + 1 };
            match part.poll(context, &take, entry) {
                Poll::Pending => pending = true,
                Poll::Ready(None) => {}
                Poll::Ready(Some(Err(gap))) => {
                    let missed = gap.missed.filter(|_| gap.reason == GapReason::Overflow);
                    let missed = usize::try_from(missed.unwrap_or(0)).unwrap_or(usize::MAX);
                    part.came.missed.fetch_add(missed, Relaxed);
                    return Poll::Ready(Some(Err(gap)));
                }
                Poll::Ready(Some(Ok(delivery))) => {
                    part.came.received.fetch_add(1, Relaxed);
                    let delivery = scope.incoming(delivery.of_engine(&part.engine));
                    entry.hub.emit(|| LifecycleEvent::MessageReceived {
                        engine: part.engine.clone(),
                        subscription: entry.attached.id.clone(),
                        envelope: delivery.envelope().clone(),
                    });
                    return Poll::Ready(Some(Ok(delivery)));
                }
            }
        }
        if pending {
            return Poll::Pending;
        }
        entry.remove();
        Poll::Ready(None)
    }
}

impl Receive for Joined {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Item> {
        self.poll(context, |receive, context| receive.poll_next(context))
    }

    fn try_next(&mut self) -> Poll<Item> {
        self.poll(&mut Context::from_waker(Waker::noop()), |receive, _| receive.try_next())
    }

    fn close(&mut self) {
        for part in &mut self.parts {
            match &mut part.state {
                Place::Open(receive) => receive.close(),
                state => *state = Place::Ended,
            }
        }
        self.entry.remove();
    }

    fn id(&self) -> Option<&str> {
        Some(&self.entry.attached.id)
    }

    fn lag(&self) -> Option<u64> {
        let lag = |part: &Part| match &part.state {
            Place::Open(receive) => receive.lag(),
            Place::Opening(_) => None,
            Place::Ended => Some(0),
        };
        self.parts.iter().map(lag).try_fold(0_u64, |sum, lag| Some(sum.saturating_add(lag?)))
    }
}

impl Drop for Joined {
    fn drop(&mut self) {
        self.parts.clear();
        self.entry.remove();
    }
}
