//! Several engines behind one bus: [`Router`].
//!
//! ```text
//!  publish ──▶ first rule that matches ──▶ engine ──▶ receipt, by the router's names
//!  subscribe ──▶ every engine that can carry a subject of its patterns ──▶ Joined ──▶ Deliveries
//! ```

mod attach;
mod builder;
mod engines;
mod error;
mod explain;
mod front;
mod futures;
mod launch;
mod lifecycle;
mod overlap;
mod pattern;
mod publish;
mod registry;
mod rules;
mod shared;
mod stats;
mod tenant;
mod warning;

pub use builder::{RouterBuilder, Rule};
pub use error::BuildError;
pub use explain::{ExplainedRule, Explanation};
pub use front::Router;
pub use lifecycle::{Lifecycle, LifecycleEvent};
pub use pattern::{Dialect, RulePattern};
pub use registry::{Attached, Policy};
pub use stats::RouterStats;
pub use tenant::{Tenant, TenantError};
pub(super) use warning::Have;
pub use warning::Warning;
