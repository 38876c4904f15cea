//! Three NATS servers on loopback that form a cluster.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::{env, fs, thread};

use tickbus::hosted::BoxError;

use crate::server::Server;

/// The servers end with this value, and their data with them.
pub(crate) struct Cluster {
    folder: PathBuf,
    ports: [u16; 3],
    nodes: Vec<Child>,
}

impl Cluster {
    pub(crate) fn start() -> Result<Self, BoxError> {
        let binary = Server::find().ok_or("there is no nats-server: `.ci/servers` gets one")?;
        let folder = env::temp_dir().join(format!("tickbus-cluster-{}", std::process::id()));
        // All at once, so that no two are the same.
        let bound: Vec<_> = (0..6).map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
        let mut ports = [0; 6];
        for (port, listener) in ports.iter_mut().zip(bound) {
            *port = listener?.local_addr()?.port();
        }
        let routes: Vec<_> = ports[3..].iter().map(|it| format!("nats://127.0.0.1:{it}")).collect();
        let mut cluster = Self { folder, ports: [ports[0], ports[1], ports[2]], nodes: Vec::new() };
        for node in 0..3 {
            let data = cluster.folder.join(node.to_string());
            fs::create_dir_all(&data)?;
            let child = Command::new(&binary)
                .args(["-a", "127.0.0.1", "-p", &ports[node].to_string(), "-js", "-sd"])
                .arg(data)
                .args(["-n", &format!("n{node}"), "--cluster_name", "growth"])
                .args(["--cluster", &routes[node], "--routes", &routes.join(",")])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()?;
            cluster.nodes.push(child);
        }
        thread::sleep(Duration::from_secs(8)); // they elect a leader
        Ok(cluster)
    }

    pub(crate) fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.ports[0])
    }

    pub(crate) fn processes(&self) -> [u32; 3] {
        core::array::from_fn(|node| self.nodes[node].id())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            let _ = node.kill();
            let _ = node.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}
