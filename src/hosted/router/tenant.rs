//! The handle of a tenant: [`Tenant`]. Which tenant a handle belongs to, and how that shows on an engine:
//! [`Scope`].

use alloc::boxed::Box;
use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use core::time::Duration;

use super::explain::Explanation;
use super::front::Router;
use crate::envelope::{Envelope, Headers};
use crate::error::{InvalidPattern, InvalidSubject};
use crate::hosted::delivery::Delivery;
use crate::hosted::engine::{Engine, EngineError, Reason, Receipt, ShutdownError};
use crate::hosted::forward::forward;
use crate::hosted::future::EngineFuture;
use crate::hosted::subscribe::Subscribe;
use crate::subject::{PatternBuf, Subject};

/// Stands for no tenant in a name on an engine.
const NO_TENANT: &str = "_";

/// Whose events a handle sees and publishes.
#[derive(Clone, Debug)]
pub(super) enum Scope {
    /// The router does not know of tenants.
    Off,
    /// All.
    All,
    /// Those of one tenant.
    One(Arc<str>),
}

/// A name cannot be that of a tenant, or the router keeps no tenants apart.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TenantError {
    /// The router was not built with `tenants(true)`.
    Off,
    /// The name is not one segment of a subject, is `_`, or has white space or control characters.
    /// It has the name.
    Name(Box<str>),
}

impl fmt::Display for TenantError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => {
                f.pad("the router does not keep tenants apart: build it with `tenants(true)`")
            }
            Self::Name(name) => write!(
                f,
                "`{}` cannot name a tenant: use one segment of a subject without white space, and \
                 not `_`",
                name.escape_debug()
            ),
        }
    }
}

impl Error for TenantError {}

/// Checks the name of a tenant.
pub(super) fn check(name: &str) -> Result<(), TenantError> {
    let is_blank = |it: char| it.is_whitespace() || it.is_control();
    if Subject::new(name).is_err()
        || name.contains('.')
        || name.contains(is_blank)
        || name == NO_TENANT
    {
        return Err(TenantError::Name(name.into()));
    }
    Ok(())
}

impl Scope {
    pub(super) const fn is_off(&self) -> bool {
        matches!(self, Self::Off)
    }

    pub(super) fn tenant(&self) -> Option<&Arc<str>> {
        match self {
            Self::One(tenant) => Some(tenant),
            Self::Off | Self::All => None,
        }
    }

    /// Returns the envelope as it is on the engine.
    pub(super) fn outgoing(&self, envelope: &Arc<Envelope>) -> Result<Arc<Envelope>, Reason> {
        let named = envelope.headers().tenant();
        let tenant = match self {
            Self::Off => return Ok(envelope.clone()),
            Self::One(own) if named.is_empty() || *named == **own => own,
            Self::One(own) => {
                let why =
                    format!("the envelope names tenant `{named}`, and the publisher is `{own}`");
                return Err(Reason::Tenant(why.into()));
            }
            Self::All if named.is_empty() => NO_TENANT,
            Self::All => {
                check(named).map_err(|error| Reason::Tenant(format!("{error}").into()))?;
                named
            }
        };
        let subject = format!("{tenant}.{}", envelope.subject());
        let subject = Subject::new(&subject)
            .map_err(|error| Reason::Subject(format!("with its tenant, {error}").into()))?;
        // An engine that knows ids must not take that of one tenant for that of another.
        let id = format!("{tenant}.{}", envelope.id());
        let mut on_engine = (**envelope).clone().with_subject(subject).with_id(id);
        if named.is_empty() && tenant != NO_TENANT {
            on_engine = on_engine.header(Headers::TENANT, tenant);
        }
        Ok(Arc::new(on_engine))
    }

    /// Returns the delivery as a subscriber sees it. The name on the engine decides on the tenant.
    pub(super) fn incoming(&self, delivery: Delivery) -> Delivery {
        if self.is_off() {
            return delivery;
        }
        let on_engine = delivery.envelope().clone();
        let Some((tenant, subject)) = on_engine.subject().as_str().split_once('.') else {
            return delivery;
        };
        let Ok(subject) = Subject::new(subject) else { return delivery };
        let mut envelope = (*on_engine).clone().with_subject(subject);
        // What was not published by a router has an id of its own.
        let own = on_engine.id().strip_prefix(tenant).and_then(|rest| rest.strip_prefix('.'));
        if let Some(id) = own.filter(|id| !id.is_empty()) {
            envelope = envelope.with_id(id);
        }
        if tenant == NO_TENANT {
            envelope.headers_mut().remove(Headers::TENANT);
        } else if envelope.headers().tenant() != tenant {
            envelope.headers_mut().insert(Headers::TENANT, tenant);
        }
        delivery.seen_as(Arc::new(envelope))
    }

    /// Returns the pattern as it is on the engine.
    pub(super) fn pattern(&self, pattern: &PatternBuf) -> Result<PatternBuf, InvalidPattern> {
        match self {
            Self::Off => Ok(pattern.clone()),
            Self::All => format!("*.{pattern}").parse(),
            Self::One(tenant) => format!("{tenant}.{pattern}").parse(),
        }
    }

    /// Returns the name of a group as it is on the engine. A tenant has no dot, so no two tenants
    /// have one name.
    pub(super) fn group(&self, group: &str) -> Box<str> {
        match self {
            Self::Off => group.into(),
            Self::All => format!("{NO_TENANT}.{group}").into(),
            Self::One(tenant) => format!("{tenant}.{group}").into(),
        }
    }
}

/// A router as one tenant has it: see [`Router::tenant`].
///
/// It is an engine that publishes and subscribes for this tenant only. It neither starts the router
/// nor shuts it down.
#[derive(Clone)]
pub struct Tenant(pub(super) Router);

impl Tenant {
    /// Returns the name of the tenant.
    #[must_use]
    pub fn tenant(&self) -> &str {
        self.0.scope.tenant().map_or("", |tenant| tenant)
    }

    /// Publishes `envelope` for the tenant, with the tenant as a header: see [`Router::publish`].
    ///
    /// # Errors
    ///
    /// Returns [`EngineError`] as [`Router::publish`] does, and if the envelope names another tenant.
    pub fn publish(
        &self,
        envelope: impl Into<Arc<Envelope>>,
    ) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        self.0.publish(envelope)
    }

    /// Starts a subscription to events of the tenant: see [`Router::subscribe`].
    ///
    /// # Errors
    ///
    /// Returns [`InvalidPattern`] if the text is not a [`Pattern`](crate::Pattern).
    pub fn subscribe(&self, pattern: &str) -> Result<Subscribe<'_>, InvalidPattern> {
        Subscribe::new(self, pattern)
    }

    /// Returns what would become of an event of the tenant: see [`Router::explain`].
    ///
    /// It has the subscriptions of this tenant only, and no warnings.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidSubject`] if the text is not a [`Subject`].
    pub fn explain(&self, subject: &str) -> Result<Explanation, InvalidSubject> {
        self.0.explain(subject)
    }
}

impl Engine for Tenant {
    forward!(|self| self.0 =>
        name, capabilities, open_live, open_durable, health, carriers, owner, clock, outlives_process);

    fn publish(&self, envelope: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        self.0.publish(envelope)
    }

    fn publish_and_wait(
        &self,
        envelope: Arc<Envelope>,
    ) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        self.0.publish_and_wait(envelope)
    }

    fn try_publish(&self, envelope: Arc<Envelope>) -> Result<Receipt, EngineError> {
        self.0.try_publish(envelope)
    }

    fn publish_batch(
        &self,
        envelopes: Vec<Arc<Envelope>>,
    ) -> EngineFuture<'_, Vec<Result<Receipt, EngineError>>> {
        self.0.publish_batch(envelopes)
    }

    /// Refuses: the router is shut down by its own handles.
    fn shutdown(&self, _: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
        let why = Reason::Refused("a tenant cannot shut the router down".into());
        EngineFuture::ready(Err(ShutdownError::new(self.name(), why)))
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenant")
            .field("tenant", &self.tenant())
            .field("router", self.0.name())
            .finish_non_exhaustive()
    }
}
