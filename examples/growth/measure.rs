//! Measures the costs in `costs.rs`, on real servers on this machine.
//!
//! Times are of the processor: what the kernel has booked for the threads of a process, in steps of
//! 10 ms. They hardly depend on what else the machine does. Memory is what the kernel keeps for a
//! process. Each figure is the median of several rounds.

use alloc::sync::Arc;
use core::hint::black_box;
use core::time::Duration;
use std::fs;
use std::path::Path;

use tickbus::Envelope;
use tickbus::hosted::engines::nats::{Nats, Provision};
use tickbus::hosted::{BoxError, Context, Engine, MemoryEngine, StartAt};
use tokio::runtime::Runtime;

use crate::cluster::Cluster;
use crate::devices::{Devices, message};
use crate::server::Server;

pub(crate) const ROUNDS: usize = 5;
pub(crate) const EVENTS: usize = 20_000;
const BATCH: usize = 256;
pub(crate) const PAYLOAD: usize = 100;

type Measured = Result<(), BoxError>;
/// The name of a part, and what measures it.
type Part = (&'static str, fn() -> Measured);

/// Prints each cost. A word leaves out those whose name does not have it.
pub(crate) fn run(word: &str) -> Measured {
    let all: [Part; 6] = [
        ("memory", engine_in_memory),
        ("client", client_and_server),
        ("devices", many_connections),
        ("idle", idle),
        ("cluster", cluster),
        ("engines", engines),
    ];
    for (name, measure) in all {
        if name.contains(word) {
            println!("{name}:");
            measure()?;
        }
    }
    Ok(())
}

pub(crate) fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

pub(crate) fn start_server() -> Result<Server, BoxError> {
    let binary = Server::find().ok_or("there is no nats-server: `.ci/servers` gets one")?;
    let server = Server::start(binary, None)?;
    println!("  {} with its data in {}", server.binary(), server.folder().display());
    Ok(server)
}

pub(crate) fn settings(url: impl Into<String>) -> Nats {
    let nats = Nats::new(url).stream("GROWTH").subjects(["device.>", "dead.>"]);
    nats.provision(Provision::Create)
}

pub(crate) fn envelope(device: usize) -> Envelope {
    let envelope = Envelope::new(&format!("device.{device}.reading")).expect("a subject");
    envelope.with_key(format!("device-{device}")).with_bytes([b'x'; PAYLOAD])
}

/// What the processor has worked for a process.
pub(crate) fn worked(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |at: usize| fields.get(at).and_then(|it| it.parse::<u64>().ok()).unwrap_or(0);
    Duration::from_millis((ticks(11) + ticks(12)) * 10)
}

pub(crate) fn ours() -> Duration {
    worked(std::process::id())
}

/// Bytes of memory that the kernel keeps for a process.
fn kept(process: u32) -> i64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
    line.trim().trim_end_matches(" kB").parse::<i64>().unwrap_or(0) * 1024
}

fn size(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| match entry.metadata() {
            Ok(data) if data.is_dir() => size(&entry.path()),
            Ok(data) => data.len(),
            Err(_) => 0,
        })
        .sum()
}

pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

pub(crate) fn show(name: &str, figure: f64) {
    println!("  {name} {figure:.0}");
}

/// Publishes events in batches, and waits until handlers of a group have them.
pub(crate) async fn publish(engine: &Arc<dyn Engine>, events: usize) {
    let mut left = events;
    while left > 0 {
        let batch = (0..BATCH.min(left)).map(|at| Arc::new(envelope(at))).collect::<Vec<_>>();
        left -= batch.len();
        for result in engine.publish_batch(batch).await {
            result.expect("it is stored");
        }
    }
}

/// Handles events with a group of eight workers by key, until there are none left.
async fn handle(engine: &Arc<dyn Engine>, events: u64) {
    let group = engine.subscribe("device.>").expect("a pattern").group("growth");
    let group = group.start_at(StartAt::Earliest).in_flight(512).workers(8).by_key();
    let workers = group.handle(async |context: Context| {
        black_box(context.envelope().bytes());
        Ok::<_, BoxError>(())
    });
    let workers = workers.await.expect("it opens");
    while workers.stats().handled < events {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    workers.shutdown(Duration::from_secs(5)).await.expect("it ends");
}

fn engine_in_memory() -> Measured {
    runtime().block_on(async {
        let mut both = Vec::new();
        for _ in 0..ROUNDS {
            let engine = MemoryEngine::builder().log(EVENTS * 10).build();
            let engine: Arc<dyn Engine> = Arc::new(engine);
            // Opened before, so that the log has the group.
            let group = engine.subscribe("device.>")?.group("growth").open().await?;
            drop(group);
            let before = ours();
            publish(&engine, EVENTS * 10).await;
            handle(&engine, EVENTS as u64 * 10).await;
            both.push((ours() - before).as_nanos() as f64 / (EVENTS * 10) as f64);
        }
        show("MEMORY_EVENT_NS", median(both));
        Ok(())
    })
}

fn client_and_server() -> Measured {
    let server = start_server()?;
    let names =
        ["CLIENT_PUBLISH_NS", "SERVER_PUBLISH_NS", "CLIENT_CONSUME_NS", "SERVER_CONSUME_NS"];
    let mut figures: [Vec<f64>; 4] = Default::default();
    runtime().block_on(async {
        let engine: Arc<dyn Engine> = Arc::new(settings(server.url()));
        engine.start().await?;
        let mut handled = 0;
        for round in 0..=ROUNDS {
            let before = (ours(), worked(server.process()));
            publish(&engine, EVENTS).await;
            let between = (ours(), worked(server.process()));
            handled += EVENTS as u64;
            handle(&engine, EVENTS as u64).await;
            let after = (ours(), worked(server.process()));
            let each = [
                between.0 - before.0,
                between.1 - before.1,
                after.0 - between.0,
                after.1 - between.1,
            ];
            // The first is to warm up.
            for (figures, it) in figures.iter_mut().zip(each).filter(|_| round > 0) {
                figures.push(it.as_nanos() as f64 / EVENTS as f64);
            }
        }
        for (name, figures) in names.into_iter().zip(figures) {
            show(name, median(figures));
        }
        show("DISK_BYTES", size(server.folder()) as f64 / handled as f64);
        Ok(())
    })
}

/// Devices with a connection each: the server reads each event for itself.
fn many_connections() -> Measured {
    let server = start_server()?;
    runtime().block_on(async { settings(server.url()).start().await })?;
    let mut devices = Devices::connect(server.port, 1000)?;
    let mut figures = Vec::new();
    for round in 0..=ROUNDS {
        let before = worked(server.process());
        for at in 0..EVENTS {
            devices.publish(at % 1000, &format!("{round}-{at}"), 0)?;
            if at % 500 == 0 {
                std::thread::sleep(Duration::from_millis(50)); // 10,000 a second at most
            }
        }
        let it = devices.settle(Duration::from_secs(10));
        assert!(it, "not all are acknowledged");
        let after = worked(server.process());
        if round > 0 {
            figures.push((after - before).as_nanos() as f64 / EVENTS as f64);
        }
    }
    show("SERVER_DEVICE_PUBLISH_NS", median(figures));
    let (sent, answered) = devices.bytes();
    let all = (EVENTS * (ROUNDS + 1)) as f64;
    show("PUBLISH_BYTES", sent as f64 / all);
    show("ANSWER_BYTES", answered as f64 / all);
    show("MESSAGE_BYTES", message(0, "0-0", 0, "GROWTH").len() as f64);
    Ok(())
}

/// What is there and does nothing.
fn idle() -> Measured {
    let settle = || std::thread::sleep(Duration::from_secs(3));
    let here = || kept(std::process::id());
    runtime().block_on(async {
        let (server, _engine) = stream().await?;
        settle();
        let before = kept(server.process());
        let devices = Devices::connect(server.port, 4000)?;
        settle();
        show("SERVER_CONNECTION_BYTES", (kept(server.process()) - before) as f64 / 4000.0);
        drop(devices);

        let (server, engine) = stream().await?;
        settle();
        let before = (kept(server.process()), here());
        let mut groups = Vec::new();
        for group in 0..500 {
            let group = engine.subscribe("device.*.reading")?.group(format!("group-{group}"));
            groups.push(group.open().await?);
        }
        settle();
        show("SERVER_GROUP_BYTES", (kept(server.process()) - before.0) as f64 / 500.0);
        show("CLIENT_GROUP_BYTES", (here() - before.1) as f64 / 500.0);

        let before = here();
        let mut clients = Vec::new();
        for _ in 0..200 {
            let client = settings(server.url());
            client.start().await?;
            clients.push(client);
        }
        show("CLIENT_CONNECTION_BYTES", (here() - before) as f64 / 200.0);

        // The same events, of one subject and of as many as there are events.
        let mut grown = Vec::new();
        for subjects in [1, 100_000] {
            let (server, engine) = stream().await?;
            publish(&engine, 1000).await;
            let before = kept(server.process());
            for at in (0..100_000).step_by(BATCH) {
                let batch = (at..at + BATCH).map(|at| Arc::new(envelope(at % subjects + 1000)));
                engine.publish_batch(batch.collect()).await;
            }
            settle();
            grown.push((kept(server.process()) - before) as f64 / 100_000.0);
        }
        show("SERVER_SUBJECT_BYTES", grown[1] - grown[0]);
        Ok::<_, BoxError>(())
    })?;
    in_memory()
}

/// A new server, and an engine on it.
async fn stream() -> Result<(Server, Arc<dyn Engine>), BoxError> {
    let server = start_server()?;
    let engine: Arc<dyn Engine> = Arc::new(settings(server.url()));
    engine.start().await?;
    Ok((server, engine))
}

/// The same of the engine in memory.
fn in_memory() -> Measured {
    let here = || kept(std::process::id());
    runtime().block_on(async {
        let engine = Arc::new(MemoryEngine::builder().log(0).build());
        let before = here();
        let mut all = Vec::new();
        for device in 0..20_000 {
            all.push(engine.subscribe(&format!("device.{device}.order"))?.open().await?);
        }
        show("MEMORY_LIVE_BYTES", (here() - before) as f64 / 20_000.0);

        let engine = Arc::new(MemoryEngine::new());
        let before = here();
        let mut groups = Vec::new();
        for device in 0..20_000 {
            let group = engine.subscribe(&format!("device.{device}.order"))?;
            groups.push(group.group(format!("group-{device}")).open().await?);
        }
        show("MEMORY_GROUP_BYTES", (here() - before) as f64 / 20_000.0);

        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::builder().log(1000).build());
        publish(&engine, 5000).await;
        let before = here();
        for at in 0..200_000 {
            engine.publish(Arc::new(envelope(at))).await?;
        }
        show("MEMORY_SUBJECT_BYTES", (here() - before) as f64 / 200_000.0);
        Ok(())
    })
}

/// Three servers that each keep a copy.
fn cluster() -> Measured {
    let cluster = Cluster::start()?;
    let mut figures: [Vec<f64>; 3] = Default::default();
    let mut largest = Vec::new();
    runtime().block_on(async {
        let engine: Arc<dyn Engine> = Arc::new(settings(cluster.url()).replicas(3));
        engine.start().await?;
        let now = || cluster.processes().map(worked);
        let since = |before: [Duration; 3]| {
            let after = now();
            core::array::from_fn::<f64, 3, _>(|at| {
                (after[at] - before[at]).as_nanos() as f64 / EVENTS as f64
            })
        };
        for round in 0..=ROUNDS {
            let before = now();
            publish(&engine, EVENTS).await;
            let published = since(before);
            let before = now();
            handle(&engine, EVENTS as u64).await;
            let consumed = since(before);
            if round > 0 {
                figures[0].push(published.iter().sum());
                figures[1].push(consumed.iter().sum());
                largest.push(published.iter().copied().fold(0.0, f64::max));
            }
        }
        let [published, consumed, _] = figures;
        show("CLUSTER_PUBLISH_NS", median(published));
        show("CLUSTER_CONSUME_NS", median(consumed));
        show("LEADER_PUBLISH_NS", median(largest));
        Ok(())
    })
}

#[cfg(all(feature = "mqtt", feature = "redis"))]
use crate::engines::run as engines;

#[cfg(not(all(feature = "mqtt", feature = "redis")))]
fn engines() -> Measured {
    Err("build it with `--features mqtt,nats,redis` for the other engines".into())
}
