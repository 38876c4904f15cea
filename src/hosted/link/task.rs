//! What runs beside the tick: it starts the engine, sends, receives, and looks after its health.

use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::panic::AssertUnwindSafe;
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::mpsc::Sender;

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::inbox::{Shared, Spec};
use super::outgoing::Outgoing;
use crate::envelope::Envelope;
use crate::hosted::capabilities::{Capability, Mode};
use crate::hosted::engine::{Engine, EngineError, Health, Reason};
use crate::hosted::subscribe::{Deliveries, OpenError, Subscribe};
use crate::subject::PatternBuf;
use crate::subject_bus::SubjectBus;
use crate::sync::Lock;
use crate::wait::panics::Panics;

/// How often the engine is asked how it is.
const LOOK: Duration = Duration::from_millis(100);
/// The first pause after a failure.
const PAUSE: Duration = Duration::from_millis(10);

/// How long tasks take to end that do not block.
const BRIEF: Duration = Duration::from_millis(20);
/// How many deliveries are handed to the tick together, at most.
const SOME: usize = 32;

/// What the tick asks for.
pub(super) enum Command {
    Inbox { spec: Spec, shared: Arc<Shared> },
    Feed { bus: SubjectBus, pattern: PatternBuf },
}

/// The task has ended, and the thread ends at once.
pub(super) struct Ended;

pub(super) struct Task {
    pub(super) engine: Arc<dyn Engine>,
    pub(super) outgoing: Arc<Outgoing>,
    pub(super) health: Arc<Lock<Health>>,
    pub(super) orders: mpsc::UnboundedReceiver<Command>,
    pub(super) ending: watch::Receiver<Option<std::time::Instant>>,
    pub(super) done: Sender<Ended>,
    pub(super) batch: usize,
    pub(super) retry: Duration,
    /// Whether the engine is shut down in the end.
    pub(super) owns: bool,
    pub(super) name: Arc<str>,
}

/// What a panic of the engine said. Set once.
#[derive(Clone, Default)]
struct Broken(Arc<Lock<Option<Arc<str>>>>);

impl Broken {
    fn set(&self, why: Arc<str>) {
        self.0.lock().get_or_insert(why);
    }

    fn get(&self) -> Option<Arc<str>> {
        self.0.lock().clone()
    }
}

/// What there is to do for a link.
enum Work {
    Order(Option<Command>),
    End,
    Broken(Arc<str>),
}

impl Task {
    pub(super) async fn run(self) {
        let Self { engine, outgoing, health, mut orders, ending, done, batch, retry, owns, name } =
            self;
        let (began, started) = watch::channel(false);
        let broken = Broken::default();
        // None of these ends, unless the engine panics.
        let mut tasks = JoinSet::new();
        // Kept here too: those that listen wait until they are aborted if the engine panics.
        tasks.spawn(contain(start(engine.clone(), health.clone(), retry, began.clone())));
        tasks.spawn(contain(look(engine.clone(), health.clone(), started.clone())));
        let sends = send(engine.clone(), outgoing.clone(), batch, retry, started.clone());
        tasks.spawn(contain(sends));
        let receiver = Receiver {
            engine: engine.clone(),
            retry,
            started,
            ending: ending.clone(),
            broken: broken.clone(),
            name,
        };
        let mut receivers = JoinSet::new();

        let mut end = ending;
        loop {
            let order = async { Work::Order(orders.recv().await) };
            let ends = async {
                let _ = end.wait_for(Option::is_some).await;
                Work::End
            };
            let breaks = async {
                match tasks.join_next().await {
                    Some(Ok(Err(why))) => Work::Broken(why),
                    _ => core::future::pending().await, // the runtime ends
                }
            };
            // Those that have ended leave their results behind.
            while receivers.try_join_next().is_some() {}
            match race(order, race(ends, breaks)).await {
                Work::Order(Some(Command::Inbox { spec, shared })) => {
                    receivers.spawn(receiver.clone().serve(spec, shared));
                }
                Work::Order(Some(Command::Feed { bus, pattern })) => {
                    let (receiver, outgoing) = (receiver.clone(), outgoing.clone());
                    receivers.spawn(async move {
                        let feed = receiver.feed(bus, pattern, outgoing.clone());
                        if contain(feed).await.is_err() {
                            outgoing.gap(); // and the subscription has ended
                        }
                    });
                }
                Work::Broken(why) => {
                    broken.set(why.clone());
                    *health.lock() = Health::Down(why);
                    outgoing.abandon();
                    receivers.abort_all();
                    break;
                }
                Work::Order(None) | Work::End => break,
            }
        }
        orders.close();
        while let Some(order) = orders.recv().await {
            if let Command::Inbox { shared, .. } = order {
                receiver.end(&shared);
            }
        }
        drop(receiver);

        let until = end.borrow().unwrap_or_else(std::time::Instant::now);
        let until = Instant::from_std(until);
        let _ = timeout_at(until, async { while receivers.join_next().await.is_some() {} }).await;
        let _ = timeout_at(until, async {
            while outgoing.stats().pending > 0 {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        // They have the engine too, which is dropped last.
        tasks.abort_all();
        receivers.abort_all();
        let _ = timeout(BRIEF, tasks.shutdown()).await;
        let _ = timeout(BRIEF, receivers.shutdown()).await;
        if owns && broken.get().is_none() {
            let left = until.saturating_duration_since(Instant::now());
            let shutdown = async { engine.shutdown(left).await };
            if let Ok(Err(why)) = timeout(left, contain(shutdown)).await {
                broken.set(why);
            }
        }
        outgoing.abandon();
        *health.lock() = broken.get().map_or(Health::Closed, Health::Down);
        // Before it says that it has ended, for the engine may block or panic here too.
        Panics::default().dispose(engine);
        let _ = done.send(Ended);
    }
}

/// Awaits `future`, and returns what a panic in it said.
async fn contain<T>(future: impl Future<Output = T>) -> Result<T, Arc<str>> {
    let mut future = pin!(Some(future));
    let result = poll_fn(|context| {
        let Some(future) = future.as_mut().as_pin_mut() else { return Poll::Pending };
        match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => {
                let text = panic.downcast_ref::<&str>().copied();
                let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
                let why =
                    alloc::format!("the engine panicked: {}", text.unwrap_or("without a text"));
                Panics::default().dispose(panic);
                Poll::Ready(Err(why.into()))
            }
        }
    })
    .await;
    if result.is_err() {
        Panics::default().run(|| future.set(None));
    }
    result
}

/// Waits for whichever comes first.
async fn race<T>(first: impl Future<Output = T>, second: impl Future<Output = T>) -> T {
    let (mut first, mut second) = (pin!(first), pin!(second));
    poll_fn(|context| match first.as_mut().poll(context) {
        Poll::Ready(value) => Poll::Ready(value),
        Poll::Pending => second.as_mut().poll(context),
    })
    .await
}

/// Starts the engine, however often it takes.
async fn start(
    engine: Arc<dyn Engine>,
    health: Arc<Lock<Health>>,
    retry: Duration,
    began: watch::Sender<bool>,
) {
    let mut pause = PAUSE;
    while let Err(error) = engine.start().await {
        *health.lock() = Health::Down(alloc::format!("{error}").into());
        sleep(pause).await;
        pause = (pause * 2).min(retry);
    }
    *health.lock() = engine.health();
    let _ = began.send(true);
    // The others listen until they end.
    core::future::pending::<()>().await;
}

async fn look(
    engine: Arc<dyn Engine>,
    health: Arc<Lock<Health>>,
    mut started: watch::Receiver<bool>,
) {
    let _ = started.wait_for(|started| *started).await;
    loop {
        let now = engine.health();
        *health.lock() = now;
        sleep(LOOK).await;
    }
}

/// Publishes what is in the queue, in its order, and again what may succeed later.
async fn send(
    engine: Arc<dyn Engine>,
    outgoing: Arc<Outgoing>,
    batch: usize,
    retry: Duration,
    mut started: watch::Receiver<bool>,
) {
    let _ = started.wait_for(|started| *started).await;
    let mut again: Vec<Arc<Envelope>> = Vec::new();
    let mut pause = PAUSE;
    loop {
        if again.is_empty() {
            outgoing.filled().await;
        }
        let mut envelopes = core::mem::take(&mut again);
        envelopes.extend(outgoing.take(batch.saturating_sub(envelopes.len())));
        let knows = engine.capabilities().has(Mode::Durable, Capability::Deduplication);
        let results = engine.publish_batch(envelopes).await;
        again = outgoing.sent(results, |error| is_worth_another(error, knows));
        if again.is_empty() {
            pause = PAUSE;
        } else {
            sleep(pause).await;
            pause = (pause * 2).min(retry).min(LOOK * 2);
        }
    }
}

/// Returns whether an envelope is to be sent again: its turn may come, and it has one effect.
fn is_worth_another(error: &EngineError, engine_knows_ids: bool) -> bool {
    if error.is_unknown() {
        return engine_knows_ids;
    }
    matches!(
        error.reason(),
        Reason::NotStarted
            | Reason::Disconnected(_)
            | Reason::TimedOut
            | Reason::Full
            | Reason::WouldWait
    )
}

/// What a subscription of the link needs.
#[derive(Clone)]
struct Receiver {
    engine: Arc<dyn Engine>,
    retry: Duration,
    started: watch::Receiver<bool>,
    ending: watch::Receiver<Option<std::time::Instant>>,
    broken: Broken,
    name: Arc<str>,
}

/// Ends an inbox, also where its task is aborted.
struct Ends(Receiver, Arc<Shared>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.end(&self.1);
    }
}

enum Step<T> {
    Come(T),
    GivenBack,
    Ending,
}

impl Receiver {
    /// Ends an inbox, and says why if the engine has panicked.
    fn end(&self, shared: &Shared) {
        if let Some(why) = self.broken.get() {
            self.fail(shared, &why);
        }
        shared.end();
    }

    fn fail(&self, shared: &Shared, why: &str) {
        shared.failed(OpenError::failed(&self.name, Reason::Refused(why.into())));
    }

    /// Serves an inbox. A panic of the engine ends this one.
    fn serve(self, spec: Spec, shared: Arc<Shared>) -> impl Future<Output = ()> {
        // Even if it is aborted before its first poll.
        let ends = Ends(self.clone(), shared.clone());
        async move {
            let Ends(receiver, inbox) = &ends;
            if let Err(why) = contain(self.inbox(spec, shared)).await {
                receiver.fail(inbox, &why);
            }
        }
    }

    /// Waits until the link is to end.
    async fn ending(&mut self) {
        let _ = self.ending.wait_for(Option::is_some).await;
    }

    /// Waits until the engine has started. Returns whether the link is to end.
    async fn is_ending(&mut self) -> bool {
        let (mut started, mut ending) = (self.started.clone(), self.ending.clone());
        let end = async { ending.wait_for(Option::is_some).await.is_ok() };
        race(end, async { started.wait_for(|started| *started).await.is_err() }).await
    }

    async fn pause(&mut self, pause: Duration) {
        race(self.ending(), sleep(pause)).await;
    }

    async fn inbox(mut self, spec: Spec, shared: Arc<Shared>) {
        let mut pause = PAUSE;
        while !self.is_ending().await && !shared.is_dropped() {
            match open(&*self.engine, &spec).await {
                Ok(mut deliveries) => {
                    shared.opened();
                    let began = Instant::now();
                    if self.pass_on(&mut deliveries, &shared).await {
                        break;
                    }
                    if began.elapsed() > self.retry {
                        pause = PAUSE;
                    }
                }
                Err(error) => {
                    let stays = !matches!(
                        error,
                        OpenError::Failed { reason: ref why, .. } if !matches!(why, Reason::Closed)
                    );
                    shared.failed(error);
                    if stays {
                        break;
                    }
                }
            }
            self.pause(pause).await;
            pause = (pause * 2).min(self.retry);
        }
    }

    /// Passes deliveries to the tick, and back to the engine. Returns whether that is all.
    async fn pass_on(&mut self, deliveries: &mut Deliveries, shared: &Shared) -> bool {
        let (mut spare, mut some) = (Vec::new(), Vec::with_capacity(SOME));
        loop {
            let room = shared.room();
            let come = async {
                if room > 0 {
                    Step::Come(deliveries.next().await)
                } else {
                    core::future::pending().await
                }
            };
            let back = async {
                shared.given_back().await;
                Step::GivenBack
            };
            let end = async {
                self.ending().await;
                Step::Ending
            };
            let step = race(come, race(back, end)).await;
            shared.settle_all(&mut spare);
            let ended = match step {
                Step::Come(Some(come)) => {
                    some.push(come);
                    // What is there already comes along, under one lock.
                    while some.len() < room.min(SOME)
                        && let Poll::Ready(Some(come)) = deliveries.try_next()
                    {
                        some.push(come);
                    }
                    shared.push(some.drain(..));
                    None
                }
                Step::Come(None) => Some(false),
                Step::Ending => Some(true),
                Step::GivenBack => shared.is_dropped().then_some(true),
            };
            shared.count(deliveries.stats());
            if let Some(ended) = ended {
                return ended;
            }
        }
    }

    /// Publishes what comes in on a bus of one subscription, until that is dropped.
    async fn feed(mut self, bus: SubjectBus, pattern: PatternBuf, outgoing: Arc<Outgoing>) {
        while !self.is_ending().await && !bus.subscriptions().is_empty() {
            let open = async { Subscribe::new(&*self.engine, pattern.as_str())?.open().await };
            if let Ok(mut live) = open.await {
                loop {
                    let retry = self.retry;
                    let ending = async {
                        self.ending().await;
                        Err(())
                    };
                    let next = async { Ok(timeout(retry, live.next()).await) };
                    match race(next, ending).await {
                        Ok(Ok(Some(Ok(delivery)))) => {
                            let published = bus.try_publish(delivery.envelope().clone());
                            // Also where events come without a pause.
                            if published.is_ok_and(|it| it.enqueued == 0)
                                && bus.subscriptions().is_empty()
                            {
                                return;
                            }
                        }
                        Ok(Ok(Some(Err(_)))) => outgoing.gap(),
                        Ok(Ok(None)) => break,
                        Ok(Err(_)) if bus.subscriptions().is_empty() => return,
                        Ok(Err(_)) => {}
                        Err(()) => return,
                    }
                }
            }
            self.pause(self.retry.min(LOOK)).await;
        }
    }
}

async fn open(engine: &dyn Engine, spec: &Spec) -> Result<Deliveries, OpenError> {
    let [first, others @ ..] = &*spec.patterns else { unreachable!("an inbox has a pattern") };
    let mut subscribe = Subscribe::new(engine, first.as_str())?;
    for pattern in others {
        subscribe = subscribe.or(pattern.as_str())?;
    }
    subscribe = match &spec.group {
        Some(group) => subscribe.group(group.clone()).in_flight(spec.capacity),
        None => subscribe.capacity(spec.capacity),
    };
    if let Some(start_at) = spec.start_at {
        subscribe = subscribe.start_at(start_at);
    }
    if let Some(lease) = spec.lease {
        subscribe = subscribe.lease(lease);
    }
    if let Some(attempts) = spec.max_attempts {
        subscribe = subscribe.max_attempts(attempts);
    }
    #[cfg(feature = "compression")]
    if let Some(bytes) = spec.max_decoded {
        subscribe = subscribe.max_decoded(bytes);
    }
    subscribe.open().await
}
