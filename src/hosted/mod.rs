//! Envelopes to and from other processes, over an [`Engine`].
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
//! // Live: from now on, at most once. With a group: shared, settled, continued where it stopped.
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
//! | carry them over NATS | `engines::Nats` (feature `nats`) |
//! | use an engine from a tick, without an async main | [`Link`], [`Inbox`] |
//! | write an engine of your own | [`Engine`], [`Receive`], [`Settle`]; then prove it with [`conformance`] |
//! | set up a subscription | [`Engine::subscribe`], [`Subscribe`] |
//! | receive, and learn of what is missing | [`Deliveries`], [`Delivery`], [`Gap`] |
//! | know what a publish means | [`Receipt`], [`Level`], [`EngineError`] |
//! | demand what an engine may lack | [`Subscribe::demand`], [`Capability`], [`Capabilities`] |
//! | count what becomes of each publish and delivery | [`Counted`], [`PublishStats`], [`DeliveryStats`] |
//! | read and write what travels | [`wire`] |
//! | tests on their own time | [`TestClock`], [`Clock`] |
//!
//! # Live and durable
//!
//! | | live | durable |
//! |---|---|---|
//! | opened by | `subscribe(pattern)` | `subscribe(pattern).group(name)` |
//! | receives | what is published from now on | what the group has not received, from a position that is kept |
//! | several of them | have all each | share, if they are of one group |
//! | a full buffer | [`Overrun`](crate::Overrun): drops and tells, or lets publishers wait | there is none |
//! | at a crash | what was not handled is lost | what was not settled comes again |
//!
//! A setting of the other kind is an error of [`open`](Subscribe::open). So is a demand that the
//! engine cannot meet; the error names both.
//!
//! # Guarantees
//!
//! - A publisher's `offered == buffered + accepted + stored + duplicate + refused + unknown`, and a
//!   subscription's `received == handled + retried + rejected + refused + abandoned + pending`.
//! - An error of a publish says whether the envelope may have arrived, and returns it. Publish it
//!   again as it is: it keeps its id.
//! - A gap is an item of the stream, in its place.
//! - `ack`, `retry_after`, `reject` and `extend` never wait. With [`Delivery::ack_async`] you wait
//!   for the engine's answer.

mod capabilities;
mod clock;
pub mod conformance;
mod counted;
mod counts;
mod delivery;
mod engine;
#[cfg(all(feature = "nats", not(tickbus_loom)))]
pub mod engines;
mod future;
#[cfg(not(tickbus_loom))]
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
#[cfg(not(tickbus_loom))]
pub use link::{Inbox, Link, LinkOptions, LinkState};
pub use memory::{DeadLetter, MemoryEngine, MemoryEngineBuilder};
pub use subscribe::{Deliveries, DurableOptions, LiveOptions, OpenError, StartAt, Subscribe};
pub use wire::stamped;
