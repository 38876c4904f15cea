//! Handles events, and keeps a record of each: [`Broker`].
//!
//! ```text
//! publish ──▶ Store: pending ──▶ queue ──▶ worker: processing ──▶ handlers, retries ──▶ completed or failed
//! ```
//!
//! Use a broker if you have to look up what became of each event. It works inside one process and is
//! not connected to engines: use [`handle`](crate::hosted::Subscribe::handle) on an engine or a
//! [`Router`](crate::hosted::Router) for events of other processes.

mod builder;
mod crud;
mod error;
mod global;
mod handlers;
mod process;
mod run;
mod stats;

pub use self::builder::BrokerBuilder;
pub use self::crud::{Crud, CrudTarget};
pub use self::error::{BrokerError, InvalidBroker};
pub use self::global::{
    default_broker, initialize, is_initialized, publish, register_shutdown, subscribe,
};
pub use self::handlers::SubscriptionId;
pub use self::run::{Broker, ProcessingMode};
pub use self::stats::BrokerStats;
