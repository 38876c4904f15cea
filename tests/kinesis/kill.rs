//! `kill -9` of the server and of clients.

use core::time::Duration;

use tickbus::hosted::engines::Kinesis;

use crate::server::Server;
use crate::servers::jepsen::{self, Kill, Target};
use crate::{settings, started, up};

/// How long a process that has just begun may wait for an answer.
const SLOW: Duration = Duration::from_secs(10);

struct OnKinesis;

impl Target for OnKinesis {
    type Engine = Kinesis;

    async fn start(url: String, _: String) -> Kinesis {
        let Some((url, leases)) = url.split_once('|') else { return started(url).await };
        // A process that a slow machine fails is not started again.
        let slowly = settings(url).shards(2).timeout(SLOW);
        up(with_leases(slowly, leases)).await
    }
}

/// Keeps the leases in a database, which has a table for them.
#[cfg(feature = "postgres")]
pub(crate) fn with_leases(kinesis: Kinesis, url: &str) -> Kinesis {
    use tickbus::hosted::engines::postgres::{Database, PostgresLeases, Provision};

    let database = Database::new(url).provision(Provision::Create);
    kinesis.lease_store(PostgresLeases::new(&database, "leases").unwrap())
}

#[cfg(not(feature = "postgres"))]
pub(crate) fn with_leases(kinesis: Kinesis, _: &str) -> Kinesis {
    kinesis.lease_store(tickbus::hosted::engines::kinesis::MemoryLeases::new())
}

impl Kill for Server {
    fn url(&self) -> String {
        self.url()
    }

    fn kill(&mut self) {
        self.kill();
    }

    fn run(&mut self) {
        self.run();
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let Some(mut server) = Server::start() else { return };
    jepsen::kill_the_server::<OnKinesis>("kinesis", &mut server);
}

#[test]
fn in_another_process() {
    jepsen::in_another_process::<OnKinesis>();
}

/// The group continues where it stopped, by leases in a database.
#[cfg(feature = "postgres")]
#[test]
fn nothing_acknowledged_is_lost_when_a_client_is_killed() {
    let (Some(server), Some(postgres)) = (Server::start(), crate::postgres::Postgres::start(&[]))
    else {
        return;
    };
    let url = format!("{}|{}", server.url(), postgres.url());
    jepsen::kill_the_clients::<OnKinesis>("kinesis", &url);
}
