//! `kill -9` of the server and of the client.

use tickbus::hosted::engines::Mqtt;
use tickbus::hosted::{Engine, GapReason, Subscribe};

use crate::server::Server;
use crate::servers::jepsen::{self, Gaps, Kill, Target};
use crate::{settings, up};

struct OnMqtt;

impl Target for OnMqtt {
    type Engine = Mqtt;

    /// The sessions of a server that is killed are as old as its file.
    const GAPS: Gaps = Gaps::WhereLost(GapReason::Trimmed);

    async fn start(url: String, client: String) -> Mqtt {
        up(settings(url).client_id(client)).await
    }

    fn member<'e>(engine: &'e Mqtt, group: &str) -> Subscribe<'e> {
        engine.subscribe("game.>").unwrap().group(group)
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

#[test]
fn what_a_killed_server_loses_is_where_the_gap_is() {
    let Some(mut server) = Server::start("max_queued_messages 0") else { return };
    jepsen::kill_the_server::<OnMqtt>("mqtt", &mut server);
}

#[test]
fn in_another_process() {
    jepsen::in_another_process::<OnMqtt>();
}

#[test]
fn nothing_acknowledged_is_lost_when_a_client_is_killed() {
    let Some(server) = Server::start("max_queued_messages 0") else { return };
    jepsen::kill_the_clients::<OnMqtt>("mqtt", &server.url());
}
