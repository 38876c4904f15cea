//! A cluster of three servers, each in a network namespace of its own, of which one is cut off.

use alloc::sync::Arc;
use core::time::Duration;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use tickbus::hosted::Engine;
use tokio::time::{sleep, timeout};

use crate::kill::OnNats;
use crate::servers::jepsen::{LEASE, Sums, publish};
use crate::servers::{Nats as Server, folder, skip};
use crate::{SOON, run, settings, started, value};

struct Cluster {
    /// Names the bridge and, with the number of a node, what belongs to it.
    name: String,
    net: String,
    folder: PathBuf,
    nodes: Vec<Child>,
}

/// Runs `ip`. Returns whether it could.
fn ip(arguments: &str) -> bool {
    let ip = Command::new("ip").args(arguments.split(' ')).stderr(Stdio::null()).status();
    ip.is_ok_and(|status| status.success())
}

impl Cluster {
    fn start(server: Server) -> Option<Self> {
        let Some(binary) = server.binary() else {
            skip("no nats-server: `.ci/servers` installs it");
            return None;
        };
        let process = std::process::id();
        let name = format!("tb{}", process % 100_000);
        let net = format!("10.213.{}", process % 250);
        let mut cluster = Self { name, net, folder: folder(), nodes: Vec::new() };
        let Self { name, net, folder, nodes } = &mut cluster;
        let mut made = ip(&format!("link add {name} type bridge"))
            && ip(&format!("addr add {net}.254/24 dev {name}"))
            && ip(&format!("link set {name} up"));
        for node in 1..=3 {
            let inside = format!("{name}-{node}");
            made = made
                && ip(&format!("netns add {inside}"))
                && ip(&format!("link add {inside} type veth peer name eth0 netns {inside}"))
                && ip(&format!("link set {inside} master {name} up"))
                && ip(&format!("-n {inside} addr add {net}.{node}/24 dev eth0"))
                && ip(&format!("-n {inside} link set eth0 up"));
        }
        if !made {
            skip("no network namespaces: the test needs `ip` and the rights of root");
            return None;
        }
        let routes: Vec<_> = (1..=3).map(|node| format!("nats://{net}.{node}:6222")).collect();
        for node in 1..=3 {
            let log = std::fs::File::create(folder.join(format!("log{node}"))).unwrap();
            let child = Command::new("ip")
                .args(["netns", "exec", &format!("{name}-{node}")])
                .arg(&binary)
                .args(["-a", &format!("{net}.{node}"), "-p", "4222", "-js", "-sd"])
                .arg(folder.join(node.to_string()))
                .args(["-n", &format!("n{node}"), "--cluster_name", "tickbus"])
                .args(["--cluster", &routes[node - 1], "--routes", &routes.join(",")])
                .stdout(Stdio::null())
                .stderr(log)
                .spawn();
            nodes.push(child.unwrap());
        }
        Some(cluster)
    }

    fn url(&self) -> String {
        let urls: Vec<_> = (1..=3).map(|node| format!("nats://{}.{node}:4222", self.net)).collect();
        urls.join(",")
    }

    fn cut(&self, node: &str, cut: bool) {
        let number = node.strip_prefix('n').unwrap();
        let way = if cut { "down" } else { "up" };
        assert!(ip(&format!("link set {}-{number} {way}", self.name)));
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for child in &mut self.nodes {
            let _ = child.kill();
            let _ = child.wait();
        }
        for node in 1..=3 {
            ip(&format!("link del {}-{node}", self.name));
            ip(&format!("netns del {}-{node}", self.name));
        }
        ip(&format!("link del {}", self.name));
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// The leader of the stream, and another.
async fn roles(context: &async_nats::jetstream::Context) -> Option<(String, String)> {
    let stream = context.get_stream("GAME").await.ok()?;
    let cluster = stream.cached_info().cluster.clone()?;
    Some((cluster.leader?, cluster.replicas.first()?.name.clone()))
}

#[test]
fn a_cluster_loses_nothing_acknowledged_when_a_follower_and_the_leader_are_cut_off() {
    let Some(cluster) = Cluster::start(Server::New) else { return };
    let url = cluster.url();
    run(async {
        let nats = settings(url.clone()).replicas(3);
        let began = Instant::now();
        while let Err(error) = nats.start().await {
            assert!(began.elapsed() < SOON * 3, "the cluster does not form: {error}");
            sleep(Duration::from_millis(200)).await;
        }
        let servers: Vec<_> = url.split(',').collect();
        let client = async_nats::ConnectOptions::new()
            .ping_interval(Duration::from_secs(1))
            .connect(&servers[..])
            .await
            .unwrap();
        let mut context = async_nats::jetstream::new(client);
        context.set_timeout(Duration::from_secs(1));

        let sums = Arc::new(Mutex::new(Sums::default()));
        let end = Arc::new(tokio::sync::Notify::new());
        let group = nats.subscribe("game.>").unwrap().group("all").lease(LEASE);
        let mut deliveries = group.open().await.unwrap();
        let ours = sums.clone();
        let reads = tokio::spawn(async move {
            while let Some(next) = deliveries.next().await {
                let Ok(next) = next else { continue };
                ours.lock().unwrap().deliver(value(&next));
                next.ack();
            }
        });
        let writes =
            tokio::spawn(publish::<OnNats>(started(url).await, sums.clone(), 0, end.clone()));
        let acknowledged = || sums.lock().unwrap().acknowledged.len();

        for leads in [false, true] {
            sleep(Duration::from_millis(500)).await;
            let roles = async {
                loop {
                    match roles(&context).await {
                        Some(roles) => break roles,
                        None => sleep(Duration::from_millis(100)).await,
                    }
                }
            };
            let (leader, follower) = timeout(SOON, roles).await.expect("a leader");
            let cut = if leads { leader } else { follower };
            cluster.cut(&cut, true);
            // Two of three go on, after an election if the leader is gone, and after a new
            // connection if it was this server's.
            let (began, before) = (Instant::now(), acknowledged());
            while acknowledged() < before + 30 {
                assert!(began.elapsed() < SOON * 2, "nothing is stored without `{cut}`");
                sleep(Duration::from_millis(20)).await;
            }
            println!("without {cut}, stored again after {:?}", began.elapsed());
            cluster.cut(&cut, false);
        }
        sleep(Duration::from_millis(500)).await;
        end.notify_one();
        writes.await.unwrap();
        let began = Instant::now();
        while !sums.lock().unwrap().has_all() && began.elapsed() < SOON * 2 {
            sleep(Duration::from_millis(50)).await;
        }
        reads.abort();
        sums.lock().unwrap().check("cluster");
    });
}
