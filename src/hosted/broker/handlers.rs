//! The handlers of a broker, by pattern.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::future::Future;
use core::pin::Pin;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

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
    /// What was found for a type, as long as no handler comes or goes.
    by_type: ByType,
}

type ByType = HashMap<Box<str>, Arc<[Handler]>, RandomState>;

/// For how many types it keeps what it found.
const TYPES: usize = 1024;

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
        let stale = core::mem::take(&mut all.by_type);
        drop(all); // before it drops handlers, which are code of users
        drop(stale);
        Ok(SubscriptionId(id))
    }

    pub(super) fn remove(&self, id: SubscriptionId) -> Result<(), BrokerError> {
        let mut all = self.0.lock();
        let removed = all.by_id.remove(&id.0).ok_or(BrokerError::NotSubscribed(id))?;
        let stale = core::mem::take(&mut all.by_type);
        drop(all);
        drop((removed, stale));
        Ok(())
    }

    pub(super) fn count(&self) -> usize {
        self.0.lock().by_id.len()
    }

    /// The handlers of an event, in the order of subscribing.
    pub(super) fn of(&self, record: &EventRecord) -> Arc<[Handler]> {
        let event_type = record.event_type();
        let mut all = self.0.lock();
        if let Some(handlers) = all.by_type.get(event_type) {
            return handlers.clone();
        }
        let subject = Subject::new(event_type);
        let matches = |pattern: &str| match (GlobPattern::new(pattern), subject) {
            (Ok(pattern), Ok(subject)) => pattern.matches(subject),
            _ => pattern == "*", // a type that is no subject
        };
        let matching = all.by_id.values().filter(|(pattern, _)| matches(pattern));
        let handlers: Arc<[Handler]> = matching.map(|(_, handler)| handler.clone()).collect();
        let is_full = all.by_type.len() >= TYPES;
        let stale = if is_full { core::mem::take(&mut all.by_type) } else { ByType::default() };
        all.by_type.insert(event_type.into(), handlers.clone());
        drop(all);
        drop(stale);
        handlers
    }
}
