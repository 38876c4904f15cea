//! Envelopes to and from other processes, over an [`Engine`].

mod capabilities;
mod clock;
pub mod conformance;
mod counted;
mod counts;
mod delivery;
mod engine;
#[cfg(feature = "nats")]
pub mod engines;
mod future;
pub mod link;
mod memory;
mod subscribe;
pub mod wire;

pub use capabilities::{Capabilities, Capability, Mode};
pub use clock::{Clock, SystemClock, TestClock};
pub use counted::Counted;
pub use counts::{DeliveryStats, PublishStats};
pub use delivery::{Delivery, Gap, GapReason, Lease, Receive, Settle, SettleError, Verdict};
pub use engine::{
    BoxError, Engine, EngineError, Health, Level, Reason, Receipt, ShutdownError, StartError,
};
pub use future::EngineFuture;
pub use link::{Inbox, Link, LinkOptions, LinkState};
pub use memory::{DeadLetter, MemoryEngine, MemoryEngineBuilder};
pub use subscribe::{Deliveries, DurableOptions, LiveOptions, OpenError, StartAt, Subscribe};
pub use wire::stamped;
