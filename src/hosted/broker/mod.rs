//! Handles events, and keeps a record of each: [`Broker`].
//!
//! ```text
//! publish ──▶ Store: pending ──▶ queue ──▶ worker: processing ──▶ handlers, retries ──▶ completed or failed
//!                                  └─ inside this process, or an engine that a group of brokers shares
//! ```
//!
//! Use a broker if you have to look up what became of each event. To hand events to other programs
//! without a record of each, use [`handle`](crate::hosted::Subscribe::handle) on an engine or a
//! [`Router`](crate::hosted::Router).
//!
//! | job | type |
//! |---|---|
//! | publish, handle, start, stop | [`Broker`], [`BrokerBuilder`] |
//! | look up what became of events | [`Broker::store`], and the module [`store`](crate::hosted::store) |
//! | publish what happens to the rows of a table | [`Crud`] |
//! | count: in total, and by source and type | [`BrokerStats`], [`BrokerMetrics`] |
//! | one broker for the whole program | [`initialize`], [`publish`], [`subscribe`] |
//!
//! # One process
//!
//! Without an engine, a broker handles what it publishes. Events that are queued end with the
//! process; their records stay `pending` or `processing` in a store that outlives it.
//!
//! # A group of brokers
//!
//! With an [`engine`](BrokerBuilder::engine) and a [`group`](BrokerBuilder::group), records travel
//! over the engine. Each is handled by one broker of the group, in whatever process: its handlers
//! all run, and it writes the status. So all brokers of a group share a store, and register the same
//! handlers, before they start.
//!
//! ```
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! use std::sync::Arc;
//! use std::time::Duration;
//! use tickbus::hosted::MemoryEngine;
//! use tickbus::hosted::broker::Broker;
//! use tickbus::hosted::store::{EventRecord, EventSource, EventStatus, MemoryStore, Store};
//!
//! // Between processes: an engine on a server, and a store on one.
//! let (engine, store) = (Arc::new(MemoryEngine::new()), Arc::new(MemoryStore::default()));
//! let mut brokers = Vec::new();
//! for instance in ["shop-1", "shop-2"] {
//!     let broker = Broker::builder().store(store.clone()).instance_id(instance);
//!     let broker = broker.engine(engine.clone()).group("orders").build()?;
//!     broker.subscribe("*", |_: Arc<EventRecord>| async { Ok::<(), String>(()) })?;
//!     broker.start()?;
//!     broker.ready().await?; // the engine has the group
//!     brokers.push(broker);
//! }
//!
//! let order = EventRecord::new(EventSource::Frontend, "shop", "orders", "create");
//! let id = order.id.clone();
//! brokers[0].publish(order).await?;
//! for broker in &brokers {
//!     broker.stop(Duration::from_secs(60)).await?;
//! }
//! assert_eq!(store.get(&id).await?.status, EventStatus::Completed);
//! let processed: u64 = brokers.iter().map(|broker| broker.stats().total_processed).sum();
//! assert_eq!(processed, 1); // by one of the two
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | situation | what the group does |
//! |---|---|
//! | `publish` | stores the record as `pending`, and then gives it to the engine. If the engine refuses it, the broker deletes the record again |
//! | the outcome is unknown, or the publisher dies | the record stays `pending`: publish the same id again |
//! | the same id again | nothing, unless it has failed: then its handlers run again, and its retries count on |
//! | the handlers have ended | the broker stores the status, and then acknowledges. While the store fails, it asks again, and keeps the event |
//! | a broker dies in a handler | the engine gives the event to another one after the [`lease`](BrokerBuilder::lease). That counts as a retry. If no call is left, the record has failed |
//! | a broker is too late | where the engine [fences](crate::hosted::Capability::FencingLocal), and where another one has taken the record over, it writes nothing. Between that look and its write, it can still be too late |
//! | the record has ended | it is acknowledged, and not handled again: the store is the truth |
//! | `stop` | takes nothing more, and ends what runs. On [an engine that ends with the process](crate::hosted::Engine::outlives_process) it handles what is queued |
//! | `publish_sync` | handled here, and not sent over the engine |

mod builder;
mod crud;
mod error;
mod global;
mod handlers;
mod member;
mod metrics;
mod mode;
mod process;
mod run;
mod stats;

pub use self::builder::BrokerBuilder;
pub use self::crud::{Crud, CrudTarget};
pub use self::error::{BrokerError, InvalidBroker};
pub use self::global::{
    default_broker, initialize, is_initialized, publish, publish_async, publish_sync,
    register_shutdown, stats, subscribe, unsubscribe,
};
pub use self::handlers::SubscriptionId;
pub use self::metrics::{BUCKETS, BrokerMetrics, EventMetrics, Histogram, OTHER};
pub use self::mode::ProcessingMode;
pub use self::run::Broker;
pub use self::stats::BrokerStats;
