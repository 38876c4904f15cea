//! Handles events, and keeps a record of each: [`Broker`].
//!
//! ```text
//! publish ──▶ Store: pending ──▶ queue ──▶ worker: processing ──▶ handlers, retries ──▶ completed or failed
//! ```

mod builder;
mod crud;
mod error;
mod global;
mod handlers;
mod process;
mod run;
mod stats;

pub use self::builder::BrokerBuilder;
pub use self::crud::Crud;
pub use self::error::{BrokerError, InvalidBroker};
pub use self::global::{
    default_broker, initialize, is_initialized, publish, register_shutdown, subscribe,
};
pub use self::handlers::SubscriptionId;
pub use self::run::{Broker, ProcessingMode};
pub use self::stats::BrokerStats;
