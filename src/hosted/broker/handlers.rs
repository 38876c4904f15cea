//! The handlers of a broker, by pattern.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::pin::Pin;

use super::error::BrokerError;
use crate::hosted::engine::BoxError;
use crate::hosted::store::EventRecord;
use crate::subject::{GlobPattern, Subject};
use crate::sync::Lock;

/// Names a handler of a broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SubscriptionId(u64);

impl fmt::Display for SubscriptionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sub-{}", self.0)
    }
}

/// The error is its text: what an error does when it is shown and dropped happens in here too.
pub(super) type Outcome = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;
pub(super) type Handler = Arc<dyn Fn(Arc<EventRecord>) -> Outcome + Send + Sync>;

#[derive(Default)]
pub(super) struct Handlers(Lock<All>);

#[derive(Default)]
struct All {
    last: u64,
    by_id: BTreeMap<u64, (String, Handler)>,
}

impl Handlers {
    pub(super) fn add<F, R, E>(
        &self,
        pattern: &str,
        handler: F,
    ) -> Result<SubscriptionId, BrokerError>
    where
        F: Fn(Arc<EventRecord>) -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError>,
    {
        GlobPattern::new(pattern).map_err(BrokerError::Pattern)?;
        let handler: Handler = Arc::new(move |record| {
            let outcome = handler(record);
            Box::pin(async move { outcome.await.map_err(|error| error.into().to_string()) })
        });
        let mut all = self.0.lock();
        all.last += 1;
        let id = all.last;
        all.by_id.insert(id, (pattern.into(), handler));
        Ok(SubscriptionId(id))
    }

    pub(super) fn remove(&self, id: SubscriptionId) -> Result<(), BrokerError> {
        let removed = self.0.lock().by_id.remove(&id.0);
        match removed {
            Some(_) => Ok(()), // dropped after the lock
            None => Err(BrokerError::NotSubscribed(id)),
        }
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().by_id.len()
    }

    /// The handlers of an event, in the order of subscribing.
    pub(super) fn of(&self, record: &EventRecord) -> Vec<Handler> {
        let subject = Subject::new(record.event_type());
        let matches = |pattern: &str| match (GlobPattern::new(pattern), subject) {
            (Ok(pattern), Ok(subject)) => pattern.matches(subject),
            _ => pattern == "*", // a type that is no subject
        };
        let all = self.0.lock();
        let handlers = all.by_id.values().filter(|(pattern, _)| matches(pattern));
        handlers.map(|(_, handler)| handler.clone()).collect()
    }
}
