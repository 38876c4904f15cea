//! The tables of the page, as Markdown.

use core::fmt::Write as _;

use crate::costs::*;
use crate::plan::{Fleet, Plan, most};
use crate::queue::{Kill, Random, Run, SECOND, Station};

/// Each table by its name in the page.
pub(crate) fn all() -> Vec<(&'static str, String)> {
    vec![
        ("costs", costs()),
        ("limits", limits()),
        ("jetstream", needs(&Fleet::MILLION.jetstream(), "servers")),
        ("kafka", needs(&Fleet::MILLION.kafka(), "brokers")),
        ("growth", growth()),
        ("handlers", handlers()),
        ("load", load()),
        ("kill", kill()),
        ("shards", shards()),
        ("real", real()),
    ]
}

/// Puts the tables into a page, between their markers. Returns the name of a table that the page lacks.
pub(crate) fn fill(page: &str) -> Result<String, String> {
    let mut page = page.to_owned();
    for (name, table) in all() {
        let begin = format!("<!-- table: {name} -->\n");
        let start = page.find(&begin).ok_or(name)? + begin.len();
        let end = start + page[start..].find("<!-- end -->").ok_or(name)?;
        page.replace_range(start..end, &format!("\n{table}\n"));
    }
    Ok(page)
}

fn table(heads: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> String {
    let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    let mut text = line(heads);
    let rule = heads.iter().map(|head| if head.ends_with('#') { "--:" } else { "---" });
    let _ = writeln!(text, "|{}|", rule.collect::<Vec<_>>().join("|"));
    text = text.replace(" #", "");
    for row in rows {
        text += &line(&row.iter().map(String::as_str).collect::<Vec<_>>());
    }
    text
}

/// A number with its thousands apart.
fn grouped(number: f64) -> String {
    let digits = format!("{number:.0}");
    let parts: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    parts.join(",")
}

fn costs() -> String {
    let rows = COSTS.iter().map(|(what, value, unit, from)| {
        let from = match from {
            From::Measured(with) => format!("measured: `{with}`"),
            From::Source(url) => format!("<{url}>"),
            From::Assumed => "assumed".into(),
        };
        let figure = format!("{} {unit}", grouped(*value));
        vec![(*what).into(), figure.trim_end().into(), from]
    });
    table(&["what", "figure #", "from"], rows)
}

/// What one of each can take, the least first: so the bottlenecks come as the events become more.
fn limits() -> String {
    let cluster = Fleet::MILLION.nats_ns();
    let handler = HANDLER_NS as f64 + CLIENT_CONSUME_NS;
    let mut all = [
        ("a thread with a handler of 200 µs", 1e9 / handler),
        ("a thread with a handler that does nothing", 1e9 / CLIENT_CONSUME_NS),
        ("a stream of `JetStream` with three copies: its leader", 1e9 / LEADER_PUBLISH_NS),
        ("three NATS servers, three copies: their processors", 3.0 * CORES * 1e9 / cluster),
        ("three NATS servers, three copies: the disk of each", DISK / DISK_BYTES),
        (
            "three NATS servers: connections in half of their memory",
            1.5 * MEMORY / SERVER_CONNECTION_BYTES,
        ),
        ("a process that publishes in batches: its thread", 1e9 / CLIENT_PUBLISH_NS),
        ("a broker of Kafka", KAFKA_BROKER_RECORDS),
        ("the engine in memory, one thread", 1e9 / MEMORY_EVENT_NS),
    ];
    all.sort_by(|a, b| a.1.total_cmp(&b.1));
    let rows = all.map(|(what, most)| {
        // To three digits.
        let unit = 10_f64.powi(most.log10() as i32 - 2);
        vec![what.into(), grouped((most / unit).round() * unit)]
    });
    table(&["one of each", "events a second at most, or devices #"], rows)
}

fn needs(plan: &Plan, servers: &str) -> String {
    let decides = most(&plan.servers);
    let mut rows = vec![vec![
        format!("**{servers}**"),
        format!("**{}**", grouped(decides.count)),
        "computed".into(),
        format!("limit: {}", decides.what),
    ]];
    let row = |name: String, need: &crate::plan::Need| {
        vec![name, grouped(need.count), need.from.into(), need.why.clone()]
    };
    rows.extend(plan.servers.iter().map(|need| row(format!("… for {}", need.what), need)));
    rows.extend(plan.other.iter().map(|need| row(need.what.into(), need)));
    table(&["what", "how many #", "computed from", "because"], rows)
}

/// The station that is busiest, and how busy.
fn busiest(run: &Run) -> (String, f64) {
    let outcome = run.outcome();
    let station = outcome.bottleneck();
    (run.stations[station].name.into(), outcome.busy[station])
}

fn growth() -> String {
    let rows = [1e3, 1e4, 1e5, 1e6].map(|devices| {
        let fleet = Fleet { devices, rate: devices, ..Fleet::MILLION };
        let (jetstream, kafka) = (fleet.jetstream(), fleet.kafka());
        let first = |plan: &Plan| {
            let (name, busy) = busiest(&plan.run(&fleet, 1.0, 2));
            format!("{name}, {:.0} %", busy * 100.0)
        };
        vec![
            grouped(devices),
            grouped(most(&jetstream.servers).count),
            grouped(jetstream.shards),
            grouped(jetstream.handlers),
            first(&jetstream),
            grouped(most(&kafka.servers).count),
            grouped(kafka.handlers),
            first(&kafka),
        ]
    });
    let heads = [
        "devices, events a second #",
        "NATS servers #",
        "streams #",
        "handlers #",
        "busiest",
        "brokers #",
        "partitions #",
        "busiest of Kafka",
    ];
    table(&heads, rows)
}

fn handlers() -> String {
    let rows = [0.0, 50e3, 200e3, 1e6, 5e6].map(|handler_ns| {
        let fleet = Fleet { handler_ns, ..Fleet::MILLION };
        let (jetstream, kafka) = (fleet.jetstream(), fleet.kafka());
        let brokers = most(&kafka.servers);
        vec![
            format!("{:.0} µs", handler_ns / 1e3),
            grouped(jetstream.handlers),
            grouped(most(&jetstream.servers).count),
            grouped(kafka.handlers),
            format!("{}: {}", grouped(brokers.count), brokers.what),
        ]
    });
    let heads = [
        "a handler takes",
        "handlers #",
        "NATS servers #",
        "partitions #",
        "brokers, and what decides",
    ];
    table(&heads, rows)
}

fn load() -> String {
    let fleet = Fleet::MILLION;
    let mut rows = Vec::new();
    for (name, plan) in [("`JetStream`", fleet.jetstream()), ("Kafka", fleet.kafka())] {
        for load in [0.5, 1.0, 1.5, 1.8] {
            let run = plan.run(&fleet, load, 2);
            let outcome = run.outcome();
            let busy = run.stations.iter().zip(&outcome.busy);
            let busy = busy.map(|(it, busy)| format!("{} {:.0} %", it.name, busy * 100.0));
            rows.push(vec![
                name.into(),
                grouped(fleet.rate * load),
                // To three digits: the run is of one shard.
                grouped((outcome.throughput * plan.shards / 1e3).round() * 1e3),
                busy.collect::<Vec<_>>().join(", "),
                format!("{:.1}", outcome.millis(50)),
                format!("{:.1}", outcome.millis(99)),
                run.stations[outcome.bottleneck()].name.into(),
            ]);
        }
    }
    let heads = [
        "on",
        "events a second #",
        "handled #",
        "busy",
        "lag, median, ms #",
        "99th percentile #",
        "bottleneck",
    ];
    table(&heads, rows)
}

fn kill() -> String {
    let fleet = Fleet::MILLION;
    let plan = fleet.jetstream();
    let mut rows: Vec<Vec<String>> = (0..10).map(|second| vec![second.to_string()]).collect();
    for processes in [2, 4] {
        let mut run = plan.run(&fleet, 1.0, 10);
        let handlers = run.stations[2].servers / processes;
        run.kill = Some(Kill {
            at: 2 * SECOND,
            handlers,
            fetched: 64 * handlers,
            lease: 3 * SECOND,
            back_after: 4 * SECOND,
        });
        for (row, (handled, lag)) in rows.iter_mut().zip(run.outcome().by_second) {
            row.push(grouped((handled as f64 * plan.shards / 1e3).round() * 1e3));
            row.push(format!("{:.1}", lag as f64 / 1e6));
        }
    }
    let heads = [
        "second #",
        "1 of 2 killed: handled #",
        "99th percentile of the lag, ms #",
        "1 of 4 killed: handled #",
        "99th percentile, ms #",
    ];
    table(&heads, rows)
}

/// Which share of 100,000 keys moves when a cluster is added.
fn shards() -> String {
    let mut random = Random(1);
    let hashes: Vec<u64> = (0..100_000).map(|_| random.next()).collect();
    let moved = |from: &dyn Fn(u64) -> u64, to: &dyn Fn(u64) -> u64| {
        let moved = hashes.iter().filter(|hash| from(**hash) != to(**hash)).count();
        format!("{:.1} %", moved as f64 / hashes.len() as f64 * 100.0)
    };
    let rows = [2_u64, 4, 8, 16].map(|clusters| {
        let direct = moved(&|hash| hash % clusters, &|hash| hash % (clusters + 1));
        // Of 64 shards, the new cluster takes as many as make it equal: the last of each other one.
        let take = 64 / (clusters + 1);
        let before = |shard: u64| shard % clusters;
        let after = |shard: u64| if shard >= 64 - take { clusters } else { before(shard) };
        let fixed = moved(&|hash| before(hash % 64), &|hash| after(hash % 64));
        vec![clusters.to_string(), direct, fixed, take.to_string()]
    });
    let heads = [
        "clusters before #",
        "keys that move, hash % clusters #",
        "keys that move, 64 shards #",
        "rules that change #",
    ];
    table(&heads, rows)
}

/// The simulation beside what was measured.
fn real() -> String {
    let rows = REAL.iter().map(|real| {
        let outcome = real.simulated().outcome();
        let [p50, p99] = [50, 99].map(|percent| outcome.millis(percent));
        let error = |simulated: f64, measured: f64| {
            format!("{:+.0} %", (simulated / measured - 1.0) * 100.0)
        };
        let (real50, real99) = (real.p50_us as f64 / 1e3, real.p99_us as f64 / 1e3);
        vec![
            grouped(real.rate as f64),
            format!("{:.0} %", outcome.busy[1] * 100.0),
            grouped(real.throughput as f64),
            grouped(outcome.throughput),
            error(outcome.throughput, real.throughput as f64),
            format!("{real50:.1}"),
            format!("{p50:.1}"),
            error(p50, real50),
            format!("{real99:.1}"),
            format!("{p99:.1}"),
            error(p99, real99),
        ]
    });
    let heads = [
        "events a second #",
        "handler busy #",
        "handled, real #",
        "simulated #",
        "error #",
        "median lag, real, ms #",
        "simulated #",
        "error #",
        "99th percentile, real, ms #",
        "simulated #",
        "error #",
    ];
    table(&heads, rows)
}

impl Real {
    /// The run of the simulation with the same devices, at the same times.
    pub(crate) fn simulated(&self) -> Run {
        let server = SERVER_DEVICE_PUBLISH_NS + SERVER_CONSUME_NS;
        Run {
            rate: self.rate as f64,
            seconds: REAL_SECONDS,
            stations: vec![
                Station { name: "server", servers: 1, service: server as u64 },
                Station {
                    name: "handler",
                    servers: 1,
                    service: HANDLER_NS + CLIENT_CONSUME_NS as u64,
                },
            ],
            constant: CONSTANT_NS,
            kill: None,
            seed: self.rate,
        }
    }
}
