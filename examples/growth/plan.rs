//! What a fleet needs: servers, streams or partitions, and handlers, from what things cost.

use crate::costs::*;
use crate::queue::{Run, Station};

/// How busy anything may be as planned.
pub(crate) const TARGET: f64 = 0.6;

/// A fleet: how many devices, how many events each publishes a second, and how long a handler takes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fleet {
    pub(crate) devices: f64,
    pub(crate) rate: f64,
    pub(crate) handler_ns: f64,
}

/// Something that is needed, and why so many.
pub(crate) struct Need {
    pub(crate) what: &'static str,
    pub(crate) count: f64,
    /// Where the figures are from that it is computed from.
    pub(crate) from: &'static str,
    pub(crate) why: String,
}

/// What is needed, and the stations of one shard of it.
pub(crate) struct Plan {
    pub(crate) servers: Vec<Need>,
    pub(crate) other: Vec<Need>,
    /// How many streams, or partitions.
    pub(crate) shards: f64,
    pub(crate) handlers: f64,
    pub(crate) stations: Vec<Station>,
}

fn need(what: &'static str, exact: f64, from: &'static str, why: impl Into<String>) -> Need {
    Need { what, count: exact.ceil().max(1.0), from, why: why.into() }
}

/// A station of one shard, which has its part of `all`. A part that is not whole becomes so many servers
/// more, each slower: they are as busy.
fn station(name: &'static str, all: f64, shards: f64, ns: f64) -> Station {
    let part = all / shards;
    let servers = part.ceil().max(1.0);
    Station { name, servers: servers as usize, service: (ns * servers / part) as u64 }
}

impl Fleet {
    pub(crate) const MILLION: Self =
        Self { devices: 1e6, rate: 1e6, handler_ns: HANDLER_NS as f64 };

    /// Cores that are busy with work of so many nanoseconds for each event.
    fn cores(&self, ns: f64) -> f64 {
        self.rate * ns / 1e9
    }

    fn handlers(&self) -> f64 {
        (self.cores(self.handler_ns + CLIENT_CONSUME_NS) / TARGET).ceil()
    }

    /// What an event takes on all NATS servers together. Of a device, each comes alone.
    pub(crate) fn nats_ns(&self) -> f64 {
        let alone = (SERVER_DEVICE_PUBLISH_NS - SERVER_PUBLISH_NS).max(0.0);
        alone + CLUSTER_PUBLISH_NS + CLUSTER_CONSUME_NS
    }

    pub(crate) fn jetstream(&self) -> Plan {
        let each = self.nats_ns();
        let connections = self.devices * SERVER_CONNECTION_BYTES;
        // In: from the device, to the leader, to two copies, and to the server of the handler.
        let network = self.rate * (PUBLISH_BYTES + 4.0 * MESSAGE_BYTES);
        let disk = self.rate * 3.0 * DISK_BYTES;
        let servers = vec![
            need(
                "processor",
                self.cores(each) / TARGET / CORES,
                "measured, assumed",
                format!("{:.1} µs of a core an event, on all servers together", each / 1e3),
            ),
            need(
                "memory of connections",
                connections / (MEMORY / 2.0),
                "measured, assumed",
                format!("{:.1} GB, in half of the memory of a server", connections / 1e9),
            ),
            need(
                "network",
                network / NETWORK / TARGET,
                "measured, assumed",
                format!("{:.2} GB/s come in, on all servers together", network / 1e9),
            ),
            need(
                "disk",
                disk / DISK / TARGET,
                "measured, assumed",
                format!("{:.2} GB/s are written, three copies", disk / 1e9),
            ),
            need("copies", 3.0, "chosen", "each stream has three"),
        ];
        let count = most(&servers).count;
        let streams = (self.cores(LEADER_PUBLISH_NS) / TARGET).ceil().max(1.0);
        let streams = (streams as usize).next_power_of_two() as f64;
        // Each stream has as many as the others.
        let handlers = (self.handlers() / streams).ceil() * streams;
        let other = vec![
            need(
                "streams",
                streams,
                "measured",
                format!(
                    "one leader writes a stream: {:.1} µs an event; a power of two, for the shards",
                    LEADER_PUBLISH_NS / 1e3
                ),
            ),
            need(
                "connections to a server",
                self.devices / count,
                "computed",
                "as the devices choose",
            ),
            need(
                "handlers",
                handlers,
                "measured, assumed",
                format!(
                    "one thread each: {:.0} µs the handler, {:.1} µs the client",
                    self.handler_ns / 1e3,
                    CLIENT_CONSUME_NS / 1e3
                ),
            ),
        ];
        let stations = vec![
            station("servers", count * CORES, streams, each),
            Station { name: "stream", servers: 1, service: LEADER_PUBLISH_NS as u64 },
            station("handlers", handlers, streams, self.handler_ns + CLIENT_CONSUME_NS),
        ];
        Plan { servers, other, shards: streams, handlers, stations }
    }

    pub(crate) fn kafka(&self) -> Plan {
        // A gateway reads what devices send, as a NATS server does, and publishes it in batches.
        let each = (SERVER_DEVICE_PUBLISH_NS - SERVER_PUBLISH_NS).max(0.0) + CLIENT_PUBLISH_NS;
        let connections = self.devices * SERVER_CONNECTION_BYTES;
        let network = self.rate * 3.0 * MESSAGE_BYTES;
        let disk = self.rate * 3.0 * MESSAGE_BYTES;
        let gateways = [
            need("processor", self.cores(each) / TARGET / CORES, "measured, assumed", ""),
            need("memory of connections", connections / (MEMORY / 2.0), "measured, assumed", ""),
        ];
        let gateways = most(&gateways).count;
        let handlers = self.handlers();
        let servers = vec![
            need(
                "records",
                self.rate / KAFKA_BROKER_RECORDS / TARGET,
                "source",
                format!(
                    "a broker of {KAFKA_BROKER_CORES} cores takes {:.0} records a second",
                    KAFKA_BROKER_RECORDS
                ),
            ),
            need(
                "partitions",
                handlers * 3.0 / KAFKA_BROKER_PARTITIONS,
                "source",
                format!(
                    "{:.0} with their copies, {KAFKA_BROKER_PARTITIONS:.0} on a broker",
                    handlers * 3.0
                ),
            ),
            need(
                "network",
                network / NETWORK / TARGET,
                "measured, assumed",
                format!("{:.2} GB/s come in, copies included", network / 1e9),
            ),
            need(
                "disk",
                disk / DISK / TARGET,
                "measured, assumed",
                format!("{:.2} GB/s are written, three copies", disk / 1e9),
            ),
            need("copies", 3.0, "chosen", "each partition has three"),
        ];
        let count = most(&servers).count;
        let other = vec![
            need(
                "partitions",
                handlers,
                "computed",
                "one for each handler: a partition has one member of a group",
            ),
            need(
                "gateways",
                gateways,
                "measured, source",
                format!(
                    "{:.0} connections fit to the brokers: devices connect to a gateway",
                    count * KAFKA_BROKER_CONNECTIONS
                ),
            ),
            need(
                "connections to a gateway",
                self.devices / gateways,
                "computed",
                "as the devices choose",
            ),
            need(
                "handlers",
                handlers,
                "measured, assumed",
                "as with `JetStream`: the same handler",
            ),
        ];
        // A shard has 16 partitions, and so 16 handlers, one for each.
        let shards = (handlers / 16.0).ceil();
        let broker = KAFKA_BROKER_CORES * 1e9 / KAFKA_BROKER_RECORDS;
        let stations = vec![
            station("gateways", gateways * CORES, shards, each),
            station("brokers", count * KAFKA_BROKER_CORES, shards, broker),
            station("handlers", handlers, shards, self.handler_ns + CLIENT_CONSUME_NS),
        ];
        Plan { servers, other, shards, handlers, stations }
    }
}

/// Returns the need that decides how many there are.
pub(crate) fn most(needs: &[Need]) -> &Need {
    let most = needs.iter().reduce(|most, it| if it.count > most.count { it } else { most });
    most.expect("there is one")
}

impl Plan {
    /// A run of one shard, at a part of the planned rate.
    pub(crate) fn run(&self, fleet: &Fleet, load: f64, seconds: u64) -> Run {
        Run {
            rate: fleet.rate / self.shards * load,
            seconds,
            stations: self.stations.clone(),
            constant: CONSTANT_NS,
            kill: None,
            seed: 7,
        }
    }
}
