//! An engine that does what a test needs of it, over one in memory.

use alloc::sync::Arc;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::{Mutex, mpsc};

use tickbus::Envelope;
use tickbus::hosted::{
    Capabilities, Capability, Clock, Delivery, DurableOptions, Engine, EngineError, EngineFuture,
    Gap, Lease, MemoryEngine, OpenError, Reason, Receipt, Receive, Settle, SettleError,
    ShutdownError, StartError, Verdict,
};

#[derive(Default)]
pub(crate) struct Switches {
    /// It does not pass on extensions, and says that it did.
    pub(crate) swallows_extensions: AtomicBool,
    /// It publishes, and says that it does not know.
    pub(crate) is_unsure: AtomicBool,
    /// It publishes nothing.
    pub(crate) refuses: AtomicBool,
    /// What it may say instead.
    pub(crate) is_full: AtomicBool,
    /// It panics when it is started.
    pub(crate) start_panics: AtomicBool,
    /// It panics when it opens a subscription.
    pub(crate) open_panics: AtomicBool,
}

#[derive(Clone)]
pub(crate) struct Wrap {
    pub(crate) inner: Arc<MemoryEngine>,
    pub(crate) switches: Arc<Switches>,
    pub(crate) without: Option<Capability>,
    /// Whether its events are there when the process has ended.
    pub(crate) outlives: bool,
    /// Until this says something, a subscription is being opened.
    pub(crate) opens: Option<Arc<Mutex<mpsc::Receiver<()>>>>,
}

impl Wrap {
    pub(crate) fn new(inner: &Arc<MemoryEngine>) -> Self {
        let switches = Arc::default();
        Self { inner: inner.clone(), switches, without: None, outlives: false, opens: None }
    }
}

pub(crate) fn on(switch: &AtomicBool) -> bool {
    switch.load(Ordering::Relaxed)
}

pub(crate) fn set(switch: &AtomicBool, to: bool) {
    switch.store(to, Ordering::Relaxed);
}

impl Engine for Wrap {
    fn name(&self) -> &Arc<str> {
        self.inner.name()
    }

    fn capabilities(&self) -> Capabilities {
        let all = self.inner.capabilities();
        self.without.map_or(all, |lacks| all.without(lacks))
    }

    fn start(&self) -> EngineFuture<'_, Result<(), StartError>> {
        assert!(!on(&self.switches.start_panics), "at its start");
        Engine::start(&*self.inner)
    }

    fn publish(&self, envelope: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        if on(&self.switches.refuses) {
            let full = on(&self.switches.is_full);
            let reason = if full { Reason::Full } else { Reason::TimedOut };
            return EngineFuture::ready(Err(EngineError::not_sent(self.name(), envelope, reason)));
        }
        if on(&self.switches.is_unsure) {
            return EngineFuture::new(async move {
                let _ = self.inner.publish(envelope.clone()).await;
                Err(EngineError::unknown(self.name(), envelope, Reason::TimedOut))
            });
        }
        Engine::publish(&*self.inner, envelope)
    }

    fn open_durable(
        &self,
        options: DurableOptions,
    ) -> EngineFuture<'_, Result<Box<dyn Receive>, OpenError>> {
        let switches = self.switches.clone();
        EngineFuture::new(async move {
            assert!(!on(&switches.open_panics), "at its opening");
            if let Some(gate) = &self.opens {
                let _ = gate.lock().unwrap().recv(); // it keeps its thread, and cannot be aborted
            }
            let inner = self.inner.open_durable(options).await?;
            Ok(Box::new(Received { inner, switches }) as Box<dyn Receive>)
        })
    }

    fn clock(&self) -> Arc<dyn Clock> {
        self.inner.clock()
    }

    fn outlives_process(&self) -> bool {
        self.outlives
    }

    fn shutdown(&self, deadline: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
        self.inner.shutdown(deadline)
    }
}

struct Received {
    inner: Box<dyn Receive>,
    switches: Arc<Switches>,
}

impl Receive for Received {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Delivery, Gap>>> {
        self.inner.poll_next(context).map(|next| {
            next.map(|next| {
                next.map(|delivery| {
                    let (envelope, attempt) = (delivery.envelope().clone(), delivery.attempt());
                    let sequence = delivery.sequence().unwrap();
                    let inner = Mutex::new(Some(delivery));
                    let settled = Settled { inner, switches: self.switches.clone() };
                    Delivery::new(envelope, settled).with_attempt(attempt).with_sequence(sequence)
                })
            })
        })
    }

    fn lag(&self) -> Option<u64> {
        self.inner.lag()
    }
}

struct Settled {
    inner: Mutex<Option<Delivery>>,
    switches: Arc<Switches>,
}

/// The memory engine never waits.
pub(crate) fn now<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(it) => it,
        Poll::Pending => panic!("it waits"),
    }
}

impl Settle for Settled {
    fn settle(&self, _: Lease, verdict: Verdict) -> Result<(), SettleError> {
        let mut inner = self.inner.lock().unwrap();
        match verdict {
            Verdict::Extend(_) if on(&self.switches.swallows_extensions) => Ok(()),
            Verdict::Extend(lease) => match &*inner {
                Some(delivery) => now(delivery.extend_async(lease)),
                None => Err(SettleError::Late),
            },
            verdict => match inner.take() {
                Some(delivery) => now(delivery.settle_async(verdict)),
                None => Err(SettleError::Late),
            },
        }
    }
}
