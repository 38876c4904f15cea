//! Engines on servers. Each has a feature of its own name.
//!
//! | engine | durable | a publish is stored | wildcards | group | feature |
//! |---|---|---|---|---|---|
//! | [`kafka`] | yes | if two replicas must have it, or each message is flushed | none at the server, then the matcher | consumer group | `kafka` |
//! | [`kinesis`] | with a lease store | yes | none at the server, then the matcher | shards, shared by leases in the store | `kinesis` |
//! | [`mqtt`] | with a client id | never | wider at the server, then the matcher | shared subscription, one session for each member | `mqtt` |
//! | [`nats`] | with a stream | with a stream | native | consumer | `nats` |
//! | [`postgres`](postgres::log) | yes | yes | exact at the server, then the matcher | lanes | `postgres` |
//! | [`redis`] | with a stream | if the server syncs each write | wider at the server for pub/sub, none for a stream; then the matcher | consumer group | `redis` |
//!
//! [`postgres`] has a store of records and an outbox too.
//!
#![doc = include_str!("capabilities.md")]
#![cfg_attr(
    not(all(
        feature = "kafka",
        feature = "kinesis",
        feature = "mqtt",
        feature = "nats",
        feature = "postgres",
        feature = "redis"
    )),
    allow(dead_code, reason = "each engine uses a part of what they share")
)]

mod buffer;
mod failed;
mod filter;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "kinesis")]
pub mod kinesis;
mod limits;
mod mailbox;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "redis")]
pub mod redis;
mod server;
mod starting;
// The client of Kafka has its own.
#[cfg(any(
    feature = "kinesis",
    feature = "mqtt",
    feature = "nats",
    feature = "postgres",
    feature = "redis"
))]
mod tls;
mod troubles;
mod url;

#[cfg(feature = "postgres")]
pub mod postgres;

pub use super::provision::Provision;

#[cfg(feature = "kafka")]
pub use self::kafka::Kafka;
#[cfg(feature = "kinesis")]
pub use self::kinesis::Kinesis;
#[cfg(feature = "mqtt")]
pub use self::mqtt::Mqtt;
#[cfg(feature = "nats")]
pub use self::nats::Nats;
#[cfg(feature = "postgres")]
pub use self::postgres::Postgres;
#[cfg(feature = "redis")]
pub use self::redis::Redis;
