//! Engines on servers. Each has a feature of its own name.
//!
//! | engine | live | durable | a publish is | order | wildcards | group | fencing | replay | feature |
//! |---|---|---|---|---|---|---|---|---|---|
//! | [`nats`] | yes | with a stream | accepted; stored with a stream | per publisher | native | consumer | local | by sequence and time | `nats` |
//!
//! [`postgres`] (feature `postgres`) has a store of records and an outbox, and no engine.

#[cfg(feature = "nats")]
pub mod nats;

#[cfg(feature = "postgres")]
pub mod postgres;

#[cfg(feature = "nats")]
pub use nats::Nats;
