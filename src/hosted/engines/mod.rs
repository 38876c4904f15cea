//! Engines on servers. Each has a feature of its own name.
//!
//! | engine | durable | a publish is stored | wildcards | group | feature |
//! |---|---|---|---|---|---|
//! | [`mqtt`] | with a client id | never | wider at the server, then the matcher | shared subscription, one session for each member | `mqtt` |
//! | [`nats`] | with a stream | with a stream | native | consumer | `nats` |
//! | [`redis`] | with a stream | if the server syncs each write | wider at the server for pub/sub, none for a stream; then the matcher | consumer group | `redis` |
//!
//! [`postgres`] (feature `postgres`) has a store of records and an outbox, and no engine.
//!
#![doc = include_str!("capabilities.md")]

#[cfg(any(feature = "mqtt", feature = "nats", feature = "redis"))]
mod buffer;
#[cfg(any(feature = "mqtt", feature = "nats", feature = "redis"))]
mod failed;
#[cfg(any(feature = "mqtt", feature = "nats"))]
mod filter;
mod limits;
#[cfg(any(feature = "mqtt", feature = "nats", feature = "redis"))]
mod mailbox;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "mqtt", feature = "nats", feature = "redis"))]
mod server;
#[cfg(any(feature = "mqtt", feature = "nats", feature = "redis"))]
mod starting;
mod tls;
#[cfg(any(feature = "mqtt", feature = "nats"))]
mod url;

#[cfg(feature = "postgres")]
pub mod postgres;

pub use super::provision::Provision;

#[cfg(feature = "mqtt")]
pub use self::mqtt::Mqtt;
#[cfg(feature = "nats")]
pub use self::nats::Nats;
#[cfg(feature = "redis")]
pub use self::redis::Redis;
