//! `kill -9` of the server and of the client.

use tickbus::Envelope;
use tickbus::hosted::engines::Postgres;

use super::started;
use crate::server::Postgres as Server;
use crate::servers::jepsen::{self, Kill, Target};

struct OnPostgres;

impl Target for OnPostgres {
    type Engine = Postgres;

    const PROCESS: &str = "log::kill::in_another_process";

    async fn start(url: String, _: String) -> Postgres {
        started(url).await
    }

    /// Keys have several lanes.
    fn envelope(number: u32) -> Envelope {
        let envelope = Envelope::json("game.shot", &number).unwrap();
        envelope.with_key(format!("k{}", number % 7))
    }
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

/// The server syncs each commit, as one does that is not of a test.
#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    let Some(mut server) = Server::start(&["fsync=on"]) else { return };
    jepsen::kill_the_server::<OnPostgres>("postgres", &mut server);
}

#[test]
fn in_another_process() {
    jepsen::in_another_process::<OnPostgres>();
}

#[test]
fn nothing_acknowledged_is_lost_when_a_client_is_killed() {
    let Some(server) = Server::start(&[]) else { return };
    jepsen::kill_the_clients::<OnPostgres>("postgres", &server.url());
}
