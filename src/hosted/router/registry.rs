//! Which subscriptions a router has: [`Attached`], [`Registry`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use super::lifecycle::{Hub, LifecycleEvent};
use crate::hosted::capabilities::Mode;
use crate::subject::{PatternBuf, Subject};
use crate::subject_bus::Overrun;
use crate::sync::Lock;

/// One open subscription of a router.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Attached {
    /// Its id: unique in the router, and not empty.
    pub id: Arc<str>,
    /// Its patterns, as they were given.
    pub patterns: Vec<PatternBuf>,
    /// Whether it is live or durable, and what that does.
    pub policy: Policy,
    /// The tenant whose events it receives. `None` if it receives those of all.
    pub tenant: Option<Arc<str>>,
    /// The engines that it is attached to, in the order of the builder.
    pub engines: Vec<Arc<str>>,
}

/// What an open subscription does with its events.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Policy {
    /// It is live.
    #[non_exhaustive]
    Live {
        /// How many envelopes fit into its buffer, on each engine.
        capacity: usize,
        /// What a full buffer does.
        overrun: Overrun,
        /// How long a publisher waits for room. `None` means without a limit.
        block_timeout: Option<Duration>,
    },
    /// It is durable.
    #[non_exhaustive]
    Durable {
        /// The group.
        group: Box<str>,
        /// How long a delivery may stay unsettled before it comes again.
        lease: Duration,
        /// How often an event is delivered. `None` means without a limit.
        max_attempts: Option<u32>,
    },
}

impl Attached {
    /// Returns whether the subscription receives `subject`.
    #[must_use]
    pub fn matches(&self, subject: Subject<'_>) -> bool {
        self.patterns.iter().any(|pattern| pattern.matches(subject))
    }

    /// Returns whether it is live or durable.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        match self.policy {
            Policy::Live { .. } => Mode::Live,
            Policy::Durable { .. } => Mode::Durable,
        }
    }
}

impl fmt::Display for Attached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.id)?;
        for pattern in &self.patterns {
            write!(f, " `{pattern}`")?;
        }
        match &self.policy {
            Policy::Live { capacity, overrun, block_timeout } => {
                write!(f, ", live, a full buffer of {capacity}: {}", overrun.label())?;
                if let Some(timeout) = block_timeout {
                    write!(f, " for at most {timeout:?}")?;
                }
            }
            Policy::Durable { group, lease, max_attempts } => {
                write!(f, ", group `{group}`, comes again if it is not settled in {lease:?}")?;
                if let Some(attempts) = max_attempts {
                    write!(f, ", at most {attempts} times")?;
                }
            }
        }
        if let Some(tenant) = &self.tenant {
            write!(f, ", tenant `{tenant}`")?;
        }
        write!(f, ", on {}", self.engines.join(", "))
    }
}

/// The open subscriptions, in the order in which they were opened.
#[derive(Default)]
pub(super) struct Registry(Lock<State>);

#[derive(Default)]
struct State {
    opened: u64,
    closed: bool,
    attached: Vec<Arc<Attached>>,
}

impl State {
    fn count(&self, topic: &str) -> usize {
        self.attached.iter().filter(|it| has(it, topic)).count()
    }
}

fn has(attached: &Attached, topic: &str) -> bool {
    attached.patterns.iter().any(|pattern| pattern.as_str() == topic)
}

impl Registry {
    /// Enters a subscription, and gives it an id. `None` if the router is shut down.
    pub(super) fn add(
        &self,
        hub: &Hub,
        attached: impl FnOnce(Arc<str>) -> Attached,
    ) -> Option<Arc<Attached>> {
        let mut state = self.0.lock();
        if state.closed {
            return None;
        }
        state.opened += 1;
        let attached = Arc::new(attached(alloc::format!("s{}", state.opened).into()));
        let is_new = |pattern: &&PatternBuf| state.count(pattern.as_str()) == 0;
        let mut topics: Vec<Arc<str>> =
            attached.patterns.iter().filter(is_new).map(|it| it.as_str().into()).collect();
        topics.dedup();
        state.attached.push(attached.clone());
        drop(state);
        for topic in topics {
            hub.emit(|| LifecycleEvent::TopicCreated { topic });
        }
        let (id, mode) = (attached.id.clone(), attached.mode());
        hub.emit(|| LifecycleEvent::SubscriptionCreated { id, mode });
        Some(attached)
    }

    /// Removes a subscription. Does nothing if it is removed already.
    pub(super) fn remove(&self, hub: &Hub, attached: &Arc<Attached>) {
        let mut state = self.0.lock();
        let Some(at) = state.attached.iter().position(|it| Arc::ptr_eq(it, attached)) else {
            return;
        };
        state.attached.remove(at);
        let is_gone = |pattern: &&PatternBuf| state.count(pattern.as_str()) == 0;
        let mut topics: Vec<Arc<str>> =
            attached.patterns.iter().filter(is_gone).map(|it| it.as_str().into()).collect();
        topics.dedup();
        drop(state);
        let id = attached.id.clone();
        hub.emit(|| LifecycleEvent::SubscriptionRemoved { id });
        for topic in topics {
            hub.emit(|| LifecycleEvent::TopicDeleted { topic });
        }
    }

    /// Takes no more in, and removes all.
    pub(super) fn close(&self, hub: &Hub) {
        let attached = {
            let mut state = self.0.lock();
            state.closed = true;
            state.attached.clone()
        };
        for attached in attached {
            self.remove(hub, &attached);
        }
    }

    pub(super) fn all(&self) -> Vec<Arc<Attached>> {
        self.0.lock().attached.clone()
    }

    /// Each pattern once, in the order in which they were first subscribed to.
    pub(super) fn topics(&self) -> Vec<PatternBuf> {
        let mut topics: Vec<PatternBuf> = Vec::new();
        for pattern in self.0.lock().attached.iter().flat_map(|it| &it.patterns) {
            if !topics.contains(pattern) {
                topics.push(pattern.clone());
            }
        }
        topics
    }

    /// How many receive a subject, or have exactly this pattern.
    pub(super) fn subscribers(&self, topic: &str) -> usize {
        let state = self.0.lock();
        match Subject::new(topic) {
            Ok(subject) => state.attached.iter().filter(|it| it.matches(subject)).count(),
            Err(_) => state.count(topic),
        }
    }
}
