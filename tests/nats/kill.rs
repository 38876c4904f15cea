//! `kill -9` of the server and of the client.

use tickbus::hosted::engines::Nats;

use crate::servers::jepsen::{self, Gaps, Kill, Target};
use crate::servers::{Nats as Server, TestServer};
use crate::started;

pub(crate) struct OnNats;

impl Target for OnNats {
    type Engine = Nats;

    /// A server that forgot a position begins with the group's first.
    const GAPS: Gaps = Gaps::WithoutLoss;

    async fn start(url: String, _: String) -> Nats {
        started(url).await
    }
}

impl Kill for TestServer {
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
    for nats in Server::BOTH {
        let Some(mut server) = TestServer::start(nats, "") else { continue };
        jepsen::kill_the_server::<OnNats>(&format!("{nats:?}"), &mut server);
    }
}

#[test]
fn in_another_process() {
    jepsen::in_another_process::<OnNats>();
}

#[test]
fn nothing_acknowledged_is_lost_when_a_client_is_killed() {
    for nats in Server::BOTH {
        let Some(server) = TestServer::start(nats, "") else { continue };
        jepsen::kill_the_clients::<OnNats>(&format!("{nats:?}"), &server.url());
    }
}
