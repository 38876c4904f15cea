//! Envelopes inside a process, or to and from other processes, over an [`Engine`].
//!
//! ```text
//!  publish ──▶ Engine ── its patterns ──▶ Deliveries ──▶ you: ack, retry_after, reject
//!              memory, or one of a server, or yours
//! ```
//!
//! # Example
//!
//! ```
//! use std::sync::Arc;
//! use tickbus::Envelope;
//! use tickbus::hosted::{Counted, Engine, Level, MemoryEngine};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! // Any engine: the rest of the program does not know which.
//! let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::new());
//! let engine = Counted::new(engine);
//!
//! // Live: it receives what is published from now on, at most once.
//! // Durable, by a group: its members share the events, and settle each.
//! let mut screen = engine.subscribe("match.*.score")?.open().await?;
//! let mut ladder = engine.subscribe("match.*.score")?.group("ladder").open().await?;
//!
//! let score = Envelope::json("match.7.score", &3)?.with_key("match-7");
//! let receipt = engine.publish(score.into()).await?;
//! assert_eq!(receipt.level, Level::Accepted); // the engine has it, in memory
//!
//! let shown = screen.next().await.expect("the engine is open")?;
//! assert_eq!(shown.envelope().decode()?, Some(3));
//!
//! let counted = ladder.next().await.expect("the engine is open")?;
//! counted.ack(); // without it, the event comes again when its lease ends
//!
//! assert!(ladder.stats().add_up() && engine.stats().add_up()); // nothing is lost in silence
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which type
//!
//! | job | type |
//! |---|---|
//! | carry envelopes inside the process, or in a test | [`MemoryEngine`] |
//! | carry them over Kinesis | `engines::Kinesis` (feature `kinesis`) |
//! | carry them over MQTT 5 | `engines::Mqtt` (feature `mqtt`) |
//! | carry them over NATS | `engines::Nats` (feature `nats`) |
//! | carry them over Kafka | `engines::Kafka` (feature `kafka`) |
//! | carry them over Postgres | `engines::Postgres` (feature `postgres`) |
//! | carry them over Redis | `engines::Redis` (feature `redis`) |
//! | put several engines behind one bus, by rules | [`Router`], [`RouterBuilder`] |
//! | use an engine from a tick, without an async main | [`Link`], [`Inbox`] |
//! | write an engine of your own, and test it | [`Engine`], [`Receive`], [`Settle`]; [`conformance`] |
//! | set up a subscription | [`Engine::subscribe`], [`Subscribe`] |
//! | have events handled: workers, order by key, retries, dead letters | [`Subscribe::handle`], [`Workers`], [`Context`], [`RetryPolicy`] |
//! | receive, and learn of what is missing | [`Deliveries`], [`Delivery`], [`Gap`] |
//! | know what a publish means | [`Receipt`], [`Level`], [`EngineError`] |
//! | demand what an engine may lack | [`Subscribe::demand`], [`Capability`], [`Capabilities`] |
//! | count publishes and deliveries by outcome | [`Counted`], [`PublishStats`], [`DeliveryStats`] |
//! | send fewer bytes | `Compressed`, `Compression` (feature `compression`) |
//! | keep a record of each event, and handle it | [`broker::Broker`] |
//! | list what became of events | [`store::Store`], [`store::MemoryStore`], `engines::postgres::PostgresStore` (feature `postgres`) |
//! | show the numbers elsewhere: Prometheus, Datadog, `metrics`; make spans | [`export`] |
//! | read and write what travels | [`wire`] |
//! | set up engines, rules and a broker by a file | [`config`] |
//! | tests on their own time | [`TestClock`], [`Clock`] |
//! | plan for more devices: what things cost, and where the first bottleneck is | [`growth`] |
//!
//! # Live and durable
//!
//! | | live | durable |
//! |---|---|---|
//! | opened by | `subscribe(pattern)` | `subscribe(pattern).group(name)` |
//! | receives | what is published from now on | what the group has not received, from a kept
//! position |
//! | several of them | each receives every event | those of one group share the events |
//! | a full buffer | [`Overrun`](crate::Overrun) decides: it drops an event and reports the gap, or
//! publishers wait | there is no buffer: the engine keeps the events |
//! | at a crash | what was not handled is lost | what was not settled comes again |
//!
//! [`open`](Subscribe::open) fails if you set what only the other kind has, or demand what the engine
//! cannot do. The error names the engine, and the setting or the demand.
//!
//! # Runtime
//!
//! An engine on a server needs a runtime of tokio with `enable_io` and `enable_time`: `enable_all` has
//! both. Without `enable_io`, its `start` panics; that of Kafka fails.
//!
//! Everything else needs `enable_time`. Without it everything still works, on one extra thread. Tokio
//! then prints a panic message once per thread, and a program with `panic = "abort"` ends.
//!
//! # Guarantees
//!
//! - A publisher's `offered == buffered + accepted + stored + duplicate + refused + unknown`, and a
//!   subscription's `received == handled + retried + rejected + refused + abandoned + pending`.
//! - An error of a publish says whether the envelope may have arrived, and returns the envelope.
//!   Publish the returned one again. It has the same id, so an engine can recognise a duplicate.
//! - A gap is an item of [`Deliveries`], at the place where something is missing. An [`Inbox`] keeps
//!   its gaps beside the deliveries: see [`Inbox::take_gap`].
//! - `ack`, `retry_after`, `reject` and `extend` never wait. With [`Delivery::ack_async`] you wait
//!   for the engine's answer.

pub mod broker;
mod capabilities;
mod clock;
#[cfg(feature = "compression")]
mod compressed;
#[cfg(feature = "compression")]
mod compression;
pub mod config;
pub mod conformance;
mod counted;
mod counts;
mod delivery;
mod engine;
#[cfg(all(
    any(
        feature = "kafka",
        feature = "kinesis",
        feature = "mqtt",
        feature = "nats",
        feature = "postgres",
        feature = "redis"
    ),
    not(tickbus_loom)
))]
pub mod engines;
#[cfg(not(tickbus_loom))]
pub mod export;
mod forward;
mod future;
pub mod growth {
    #![doc = include_str!("growth.md")]
}
mod handle;
pub mod link;
mod memory;
mod provision;
mod router;
mod start;
mod stats;
pub mod store;
mod subscribe;
pub mod wire;

pub use capabilities::{Capabilities, Capability, Mode};
pub use clock::{Clock, SystemClock, TestClock};
#[cfg(feature = "compression")]
pub use compressed::Compressed;
#[cfg(feature = "compression")]
pub use compression::{Compression, InvalidCompression, decompress};
pub use counted::Counted;
pub use counts::{DeliveryStats, PublishStats};
pub use delivery::{Delivery, Gap, GapReason, Lease, Receive, Settle, SettleError, Verdict};
pub use engine::{
    BoxError, Carrier, Engine, EngineError, Health, Level, Reason, Receipt, ShutdownError,
    StartError,
};
pub use future::EngineFuture;
pub use handle::{
    Context, Failed, Handled, HandlerPanicked, HandlerTimedOut, InvalidRetryPolicy, OnFailure,
    RetryPolicy, ShutdownReport, ShutdownTimeout, Workers,
};
pub use link::{Inbox, Link, LinkOptions, LinkState};
pub use memory::{DeadLetter, HistoryLimits, HistoryQuery, MemoryEngine, MemoryEngineBuilder};
pub use provision::Provision;
pub use router::{
    Attached, BuildError, Dialect, ExplainedRule, Explanation, Lifecycle, LifecycleEvent, Policy,
    Router, RouterBuilder, RouterStats, Rule, RulePattern, Tenant, TenantError, Warning,
};
pub use start::OnStart;
pub use stats::{Dropped, EngineStats, HandlerStats};
pub use subscribe::{
    Deliveries, DurableOptions, LiveOptions, OpenError, Owner, StartAt, Subscribe,
    SubscriptionDefaults,
};
pub use wire::stamped;
