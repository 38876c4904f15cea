//! What you set for a handler, and what follows from it: [`Settings`], [`Plan`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::time::Duration;

use super::failure::{Failed, Handled, Heard, OnFailure};
use super::retry::RetryPolicy;
use crate::hosted::capabilities::{Capabilities, Capability, Mode};
use crate::hosted::delivery::Delivery;
use crate::hosted::engine::{Carrier, Engine, Level};
use crate::subject::{PatternBuf, Subject};
use crate::subject_bus::Overrun;

/// How many workers there may be.
const MOST_WORKERS: usize = 65_536;

/// How many events wait for a worker of a live subscription.
const QUEUE: usize = 1000;

pub(super) type Classify =
    Box<dyn Fn(&(dyn Error + Send + Sync + 'static)) -> OnFailure + Send + Sync>;
pub(super) type OnFailed = Box<dyn Fn(&Failed<'_>) + Send + Sync>;
pub(super) type OnHandled = Box<dyn Fn(&Handled<'_>) + Send + Sync>;
/// Is called for each failed call of a handler, and for each that returned a message.
pub(in crate::hosted) type Observer = Box<dyn Fn(&Heard<'_>) + Send + Sync>;

/// What is set on a subscription for its handler.
#[derive(Default)]
pub(in crate::hosted) struct Settings {
    pub(super) workers: Option<usize>,
    pub(super) pooled: bool,
    pub(super) by_key: bool,
    pub(super) queue: Option<usize>,
    pub(super) retry: Option<RetryPolicy>,
    pub(super) timeout: Option<Duration>,
    pub(super) dead_letter: Option<Box<str>>,
    pub(super) classify: Option<Classify>,
    pub(super) on_failed: Option<OnFailed>,
    pub(super) on_handled: Option<OnHandled>,
    /// That of the engine.
    pub(in crate::hosted) observer: Option<Observer>,
}

/// The rest of a subscription, as far as a handler needs it.
pub(in crate::hosted) struct Of<'a> {
    pub(in crate::hosted) engine: &'a dyn Engine,
    pub(in crate::hosted) publisher: Option<&'a Arc<dyn Engine>>,
    pub(in crate::hosted) mode: Mode,
    pub(in crate::hosted) patterns: &'a [PatternBuf],
    pub(in crate::hosted) group: Option<&'a str>,
    pub(in crate::hosted) overrun: Option<Overrun>,
    pub(in crate::hosted) lease: Duration,
    pub(in crate::hosted) in_flight: usize,
    #[cfg(feature = "compression")]
    pub(in crate::hosted) max_decoded: usize,
}

/// Where dead letters go.
pub(super) struct DeadLetters {
    pub(super) subject: Box<str>,
    pub(super) group: Box<str>,
    pub(super) publisher: Arc<dyn Engine>,
}

/// How deliveries are handled.
pub(super) struct Plan {
    pub(super) engine: Arc<str>,
    pub(super) mode: Mode,
    pub(super) workers: usize,
    /// One at a time: the next begins when the one before is done with.
    pub(super) in_order: bool,
    pub(super) by_key: bool,
    /// How many may wait on a live subscription.
    pub(super) queue: usize,
    pub(super) overrun: Overrun,
    /// How many may be held on a durable subscription.
    pub(super) held: usize,
    pub(super) lease: Duration,
    pub(super) can_extend: bool,
    pub(super) counts_attempts: bool,
    /// The engine can be given an event back for a while, and then knows how often it was tried.
    pub(super) engine_waits: bool,
    pub(super) keeps_dead_letters: bool,
    pub(super) outlives_process: bool,
    pub(super) retry: RetryPolicy,
    pub(super) timeout: Option<Duration>,
    pub(super) dead: Option<DeadLetters>,
    pub(super) classify: Option<Classify>,
    pub(super) on_failed: Option<OnFailed>,
    pub(super) on_handled: Option<OnHandled>,
    pub(super) observer: Option<Observer>,
    #[cfg(feature = "compression")]
    pub(super) max_decoded: usize,
}

impl Plan {
    /// Returns how often the engine has delivered the event, this time included.
    pub(super) fn attempt(&self, delivery: &Delivery) -> u32 {
        if self.counts_attempts { delivery.attempt().max(1) } else { 1 }
    }
}

fn weakest(carriers: &[Carrier]) -> Capabilities {
    let each = carriers.iter().map(|it| it.capabilities);
    each.reduce(Capabilities::weakest).unwrap_or_default()
}

/// What is wrong with the settings.
pub(in crate::hosted) enum Fault {
    Durable(&'static str),
    Live(&'static str),
    Invalid(&'static str, &'static str),
}

impl Settings {
    /// Returns the name of something that is set, and which only a handler has.
    pub(in crate::hosted) fn is_set(&self) -> Option<&'static str> {
        let set = [
            ("workers", self.workers.is_some()),
            ("pooled", self.pooled),
            ("by_key", self.by_key),
            ("queue", self.queue.is_some()),
            ("retry", self.retry.is_some()),
            ("timeout", self.timeout.is_some()),
            ("dead_letter", self.dead_letter.is_some()),
            ("classify", self.classify.is_some()),
            ("on_failed", self.on_failed.is_some()),
            ("on_handled", self.on_handled.is_some()),
        ];
        set.iter().find(|(_, is_set)| *is_set).map(|(name, _)| *name)
    }

    pub(super) fn plan(self, of: &Of<'_>) -> Result<Plan, Fault> {
        let carriers = of.engine.carriers(of.patterns);
        let can = weakest(&carriers);
        let has = |capability| can.has(of.mode, capability);
        let durable = of.mode == Mode::Durable;
        self.check(of, &can)?;
        let dead = match (self.dead_letter, of.publisher) {
            (None, _) => None,
            (Some(_), None) => {
                let why = "this engine is not shared: subscribe on a router or an `Arc` of it";
                return Err(Fault::Invalid("dead_letter", why));
            }
            (Some(subject), Some(publisher)) => {
                let to = subject.parse().into_iter().collect::<Vec<PatternBuf>>();
                if weakest(&publisher.carriers(&to)).highest_level() < Level::Accepted {
                    let why = "the engine does not confirm what is published";
                    return Err(Fault::Invalid("dead_letter", why));
                }
                let group = of.group.unwrap_or_default().into();
                Some(DeadLetters { subject, group, publisher: publisher.clone() })
            }
        };
        let pools = self.pooled || self.by_key || self.queue.is_some();
        let in_order = self.workers.is_none() && !pools;
        // Of the first engine: a handler has one set of workers.
        let defaults = carriers.first().map(|it| it.defaults).unwrap_or_default();
        let workers = self.workers.or(defaults.workers.filter(|_| pools)).unwrap_or(1);
        if workers > MOST_WORKERS {
            return Err(Fault::Invalid("workers", "it is more than 65536"));
        }
        // Without a key, what waits here could run on another member.
        let held = match (in_order, self.by_key) {
            (true, _) => 1,
            (false, true) => of.in_flight,
            (false, false) => of.in_flight.min(workers.saturating_mul(2)),
        };
        let unset = if durable { RetryPolicy::default() } else { RetryPolicy::none() };
        Ok(Plan {
            engine: of.engine.name().clone(),
            mode: of.mode,
            workers,
            in_order,
            by_key: self.by_key,
            queue: self.queue.or(defaults.queue).unwrap_or(QUEUE),
            overrun: of.overrun.or(defaults.overrun).unwrap_or_default(),
            held,
            lease: of.lease,
            can_extend: durable && has(Capability::Extend),
            counts_attempts: durable && has(Capability::Attempts),
            engine_waits: durable
                && [Capability::Redelivery, Capability::Delay, Capability::Attempts]
                    .into_iter()
                    .all(has),
            keeps_dead_letters: durable && has(Capability::DeadLetters),
            outlives_process: carriers.iter().all(|it| it.outlives_process),
            retry: self.retry.unwrap_or(unset),
            timeout: self.timeout,
            dead,
            classify: self.classify,
            on_failed: self.on_failed,
            on_handled: self.on_handled,
            observer: self.observer,
            #[cfg(feature = "compression")]
            max_decoded: of.max_decoded,
        })
    }

    /// What is wrong whatever the publisher.
    fn check(&self, of: &Of<'_>, can: &Capabilities) -> Result<(), Fault> {
        let durable = of.mode == Mode::Durable;
        if durable && self.queue.is_some() {
            return Err(Fault::Live("queue"));
        }
        if !durable && self.dead_letter.is_some() {
            return Err(Fault::Durable("dead_letter"));
        }
        for (setting, value) in [("workers", self.workers), ("queue", self.queue)] {
            if value == Some(0) {
                return Err(Fault::Invalid(setting, "it is 0"));
            }
        }
        if self.timeout == Some(Duration::ZERO) {
            return Err(Fault::Invalid("timeout", "it is 0"));
        }
        let extends = can.has(of.mode, Capability::Extend);
        if durable && !extends && self.timeout.is_some_and(|timeout| timeout > of.lease) {
            let why = "it is longer than the lease, and the engine cannot extend a lease";
            return Err(Fault::Invalid("timeout", why));
        }
        if let Some(subject) = &self.dead_letter {
            let Ok(subject) = Subject::new(subject) else {
                return Err(Fault::Invalid("dead_letter", "it is not a subject"));
            };
            if of.patterns.iter().any(|pattern| pattern.matches(subject)) {
                let why = "the subscription would receive its own dead letters";
                return Err(Fault::Invalid("dead_letter", why));
            }
        }
        Ok(())
    }
}
