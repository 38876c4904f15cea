//! Engines on servers. Each has a feature of its own name.
//!
//! | engine | live | durable | a publish is | order | wildcards | group | fencing | replay | feature |
//! |---|---|---|---|---|---|---|---|---|---|
//! | [`kinesis`] | yes | with a lease store | stored | by key | none at the server, then the matcher | shards, shared by leases in the store | local; positions by the lease store | by time | `kinesis` |
//! | [`mqtt`] | yes | with a client id | accepted; buffered at quality of service 0 | per publisher | wider at the server, then the matcher | shared subscription, one session for each member | none | none | `mqtt` |
//! | [`nats`] | yes | with a stream | accepted; stored with a stream | per publisher | native | consumer | local | by sequence and time | `nats` |
//! | [`redis`] | yes | with a stream | accepted; stored if the server syncs each write | per publisher | wider at the server for pub/sub, none for a stream; then the matcher | consumer group | server, by a script | by sequence and time | `redis` |
//!
//! [`postgres`] (feature `postgres`) has a store of records and an outbox, and no engine.

#[cfg(any(feature = "kinesis", feature = "mqtt", feature = "nats", feature = "redis"))]
mod buffer;
#[cfg(any(feature = "kinesis", feature = "mqtt", feature = "nats", feature = "redis"))]
mod failed;
#[cfg(any(feature = "mqtt", feature = "nats"))]
mod filter;
#[cfg(feature = "kinesis")]
pub mod kinesis;
mod limits;
#[cfg(any(feature = "kinesis", feature = "mqtt", feature = "nats", feature = "redis"))]
mod mailbox;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "kinesis", feature = "mqtt", feature = "nats", feature = "redis"))]
mod server;
#[cfg(any(feature = "kinesis", feature = "mqtt", feature = "nats", feature = "redis"))]
mod starting;
mod tls;
#[cfg(any(feature = "mqtt", feature = "nats"))]
mod url;

#[cfg(feature = "postgres")]
pub mod postgres;

#[cfg(feature = "kinesis")]
pub use self::kinesis::Kinesis;
#[cfg(feature = "mqtt")]
pub use self::mqtt::Mqtt;
#[cfg(feature = "nats")]
pub use self::nats::Nats;
#[cfg(feature = "redis")]
pub use self::redis::Redis;
