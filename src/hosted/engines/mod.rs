//! Engines on servers. Each has a feature of its own name.
//!
//! | engine | live | durable | a publish is | order | wildcards | group | fencing | replay | feature |
//! |---|---|---|---|---|---|---|---|---|---|
//! | [`mqtt`] | yes | with a client id | accepted; buffered at quality of service 0 | per publisher | wider at the server, then the matcher | shared subscription, one session for each member | none | none | `mqtt` |
//! | [`nats`] | yes | with a stream | accepted; stored with a stream | per publisher | native | consumer | local | by sequence and time | `nats` |
//! | [`postgres`](postgres::log) | yes | yes | stored | by key over the group | exact at the server, then the matcher | lanes | server, by a version that is written once | by sequence and time | `postgres` |
//! | [`redis`] | yes | with a stream | accepted; stored if the server syncs each write | per publisher | wider at the server for pub/sub, none for a stream; then the matcher | consumer group | server, by a script | by sequence and time | `redis` |
//!
//! [`postgres`] has a store of records and an outbox too.

#[cfg(any(feature = "mqtt", feature = "nats", feature = "postgres", feature = "redis"))]
mod buffer;
#[cfg(any(feature = "mqtt", feature = "nats", feature = "postgres", feature = "redis"))]
mod failed;
#[cfg(any(feature = "mqtt", feature = "nats"))]
mod filter;
mod limits;
#[cfg(any(feature = "mqtt", feature = "nats", feature = "postgres", feature = "redis"))]
mod mailbox;
#[cfg(feature = "mqtt")]
pub mod mqtt;
#[cfg(feature = "nats")]
pub mod nats;
#[cfg(feature = "redis")]
pub mod redis;
#[cfg(any(feature = "mqtt", feature = "nats", feature = "postgres", feature = "redis"))]
mod server;
#[cfg(any(feature = "mqtt", feature = "nats", feature = "postgres", feature = "redis"))]
mod starting;
mod tls;
#[cfg(any(feature = "mqtt", feature = "nats"))]
mod url;

#[cfg(feature = "postgres")]
pub mod postgres;

#[cfg(feature = "mqtt")]
pub use self::mqtt::Mqtt;
#[cfg(feature = "nats")]
pub use self::nats::Nats;
#[cfg(feature = "postgres")]
pub use self::postgres::Postgres;
#[cfg(feature = "redis")]
pub use self::redis::Redis;
