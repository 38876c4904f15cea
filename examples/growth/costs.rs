//! What things cost: the one place with figures that were measured, read elsewhere, or assumed.
//!
//! `cargo run --release --features nats --example growth -- measure` prints those with a name in capitals
//! anew, and `-- real` the runs at the end.

/// Where a figure is from.
pub(crate) enum From {
    /// By the part of `growth -- measure` with this name.
    Measured(&'static str),
    Source(&'static str),
    Assumed,
}

// The engine in memory: from a publish to what a handler of a group has acknowledged.
pub(crate) const MEMORY_EVENT_NS: f64 = 1400.0;
pub(crate) const MEMORY_LIVE_BYTES: f64 = 904.0;
pub(crate) const MEMORY_GROUP_BYTES: f64 = 744.0;
pub(crate) const MEMORY_SUBJECT_BYTES: f64 = 0.0;

// NATS with one server: what the process publishes in batches, and handles.
pub(crate) const CLIENT_PUBLISH_NS: f64 = 6000.0;
pub(crate) const SERVER_PUBLISH_NS: f64 = 12_000.0;
pub(crate) const CLIENT_CONSUME_NS: f64 = 8000.0;
pub(crate) const SERVER_CONSUME_NS: f64 = 12_500.0;
/// With a connection for each device, which sends one event at a time.
pub(crate) const SERVER_DEVICE_PUBLISH_NS: f64 = 34_000.0;

// NATS with three servers and three copies, all three together; and the busiest of them.
pub(crate) const CLUSTER_PUBLISH_NS: f64 = 47_500.0;
pub(crate) const CLUSTER_CONSUME_NS: f64 = 22_500.0;
pub(crate) const LEADER_PUBLISH_NS: f64 = 21_000.0;

// Redis with streams and MQTT with one server: an event published, handled and acknowledged.
pub(crate) const CLIENT_REDIS_NS: f64 = 10_500.0;
pub(crate) const SERVER_REDIS_NS: f64 = 23_000.0;
pub(crate) const CLIENT_MQTT_NS: f64 = 10_500.0;
pub(crate) const SERVER_MQTT_NS: f64 = 12_000.0;

// Bytes of an event: what a device sends and gets as an answer, what a server passes on and keeps.
pub(crate) const PUBLISH_BYTES: f64 = 331.0;
pub(crate) const ANSWER_BYTES: f64 = 50.0;
pub(crate) const MESSAGE_BYTES: f64 = 318.0;
pub(crate) const DISK_BYTES: f64 = 399.0;

// Bytes of memory of what does nothing.
pub(crate) const SERVER_CONNECTION_BYTES: f64 = 49_016.0;
pub(crate) const SERVER_GROUP_BYTES: f64 = 66_159.0;
pub(crate) const SERVER_SUBJECT_BYTES: f64 = 267.0;
pub(crate) const CLIENT_CONNECTION_BYTES: f64 = 47_043.0;
pub(crate) const CLIENT_GROUP_BYTES: f64 = 19_898.0;

/// What an event takes on the way when nothing waits: from `growth -- real` at 250 events a second.
pub(crate) const CONSTANT_NS: u64 = 346_500;

// A server of the plan.
pub(crate) const CORES: f64 = 16.0;
pub(crate) const MEMORY: f64 = 64e9;
pub(crate) const NETWORK: f64 = 1.25e9;
pub(crate) const DISK: f64 = 500e6;

const KAFKA: &str = "https://support.huaweicloud.com/eu/kafka_faq/kafka-faq-200426025.html";
pub(crate) const KAFKA_BROKER_CORES: f64 = 12.0;
pub(crate) const KAFKA_BROKER_RECORDS: f64 = 200_000.0;
pub(crate) const KAFKA_BROKER_PARTITIONS: f64 = 1500.0;
pub(crate) const KAFKA_BROKER_CONNECTIONS: f64 = 4000.0;

/// How long a handler takes: in the plan, and in the real runs.
pub(crate) const HANDLER_NS: u64 = 200_000;
pub(crate) const REAL_SECONDS: u64 = 8;

/// What a real run came to.
pub(crate) struct Real {
    pub(crate) rate: u64,
    pub(crate) throughput: u64,
    pub(crate) p50_us: u64,
    pub(crate) p99_us: u64,
}

/// The medians of three rounds of `growth -- real`.
pub(crate) const REAL: [Real; 6] = [
    Real { rate: 250, throughput: 261, p50_us: 601, p99_us: 1022 },
    Real { rate: 1000, throughput: 994, p50_us: 560, p99_us: 1264 },
    Real { rate: 2000, throughput: 2020, p50_us: 579, p99_us: 3516 },
    Real { rate: 3000, throughput: 2998, p50_us: 640, p99_us: 4816 },
    Real { rate: 4000, throughput: 4003, p50_us: 1050, p99_us: 12_398 },
    Real { rate: 6000, throughput: 4417, p50_us: 994_450, p99_us: 2_060_090 },
];

type Row = (&'static str, f64, &'static str, From);

/// Nanoseconds that a part of `growth -- measure` has found.
const fn ns(what: &'static str, cost: f64, part: &'static str) -> Row {
    (what, cost, "ns", From::Measured(part))
}

/// Bytes that a part of `growth -- measure` has found.
const fn bytes(what: &'static str, cost: f64, part: &'static str) -> Row {
    (what, cost, "bytes", From::Measured(part))
}

/// The costs as the page shows them.
pub(crate) const COSTS: &[Row] = &[
    ns("in memory: an event, published, handled and acknowledged", MEMORY_EVENT_NS, "memory"),
    bytes("in memory: a live subscription", MEMORY_LIVE_BYTES, "idle"),
    bytes("in memory: a group with one member", MEMORY_GROUP_BYTES, "idle"),
    bytes("in memory: a subject that was published to", MEMORY_SUBJECT_BYTES, "idle"),
    ns("NATS: an event, our process, published in batches of 256", CLIENT_PUBLISH_NS, "client"),
    ns("NATS: … the server, which stores it", SERVER_PUBLISH_NS, "client"),
    ns(
        "NATS: … the server, each event from a connection of its own",
        SERVER_DEVICE_PUBLISH_NS,
        "devices",
    ),
    ns(
        "NATS: an event, our process, received, handled and acknowledged",
        CLIENT_CONSUME_NS,
        "client",
    ),
    ns("NATS: … the server, which delivers it", SERVER_CONSUME_NS, "client"),
    ns(
        "Redis, a stream: an event, our process, published, handled, acknowledged",
        CLIENT_REDIS_NS,
        "engines",
    ),
    ns("Redis: … the server, syncing each second", SERVER_REDIS_NS, "engines"),
    ns(
        "MQTT, mosquitto: an event, our process, published, handled, acknowledged",
        CLIENT_MQTT_NS,
        "engines",
    ),
    ns("MQTT: … the server, which keeps it in memory", SERVER_MQTT_NS, "engines"),
    ns("NATS, three copies: an event stored, all servers", CLUSTER_PUBLISH_NS, "cluster"),
    ns("NATS, three copies: … the busiest server", LEADER_PUBLISH_NS, "cluster"),
    ns("NATS, three copies: an event delivered, all servers", CLUSTER_CONSUME_NS, "cluster"),
    bytes("NATS: an event from a device, on its connection", PUBLISH_BYTES, "devices"),
    bytes("NATS: … the answer", ANSWER_BYTES, "devices"),
    bytes("NATS: an event on disk, one copy", DISK_BYTES, "client"),
    bytes("NATS: an idle connection, the server", SERVER_CONNECTION_BYTES, "idle"),
    bytes("NATS: … our process", CLIENT_CONNECTION_BYTES, "idle"),
    bytes("NATS: an idle group with one member, the server", SERVER_GROUP_BYTES, "idle"),
    bytes("NATS: … our process", CLIENT_GROUP_BYTES, "idle"),
    bytes("NATS: a subject of a stream, the server", SERVER_SUBJECT_BYTES, "idle"),
    (
        "Kafka: a broker with 12 cores",
        KAFKA_BROKER_RECORDS,
        "records a second",
        From::Source(KAFKA),
    ),
    ("Kafka: … partitions, copies included", KAFKA_BROKER_PARTITIONS, "", From::Source(KAFKA)),
    ("Kafka: … connections", KAFKA_BROKER_CONNECTIONS, "", From::Source(KAFKA)),
    ("a server: cores", CORES, "", From::Assumed),
    ("a server: memory", MEMORY / 1e9, "GB", From::Assumed),
    ("a server: network, each way", NETWORK / 1e6, "MB/s", From::Assumed),
    ("a server: disk, written", DISK / 1e6, "MB/s", From::Assumed),
];
