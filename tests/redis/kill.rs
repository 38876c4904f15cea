//! `kill -9` of the server and of the client.

use tickbus::hosted::engines::Redis;

use crate::server::Server;
use crate::servers::jepsen::{self, Kill, Target};
use crate::started;

struct OnRedis;

impl Target for OnRedis {
    type Engine = Redis;

    async fn start(url: String, _: String) -> Redis {
        started(url).await
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
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    // With `everysec` it acknowledges while a sync is under way what it writes only after that.
    let Some(mut server) = Server::start(&["--appendfsync", "always"]) else { return };
    jepsen::kill_the_server::<OnRedis>("redis", &mut server);
}

#[test]
fn in_another_process() {
    jepsen::in_another_process::<OnRedis>();
}

#[test]
fn nothing_acknowledged_is_lost_when_a_client_is_killed() {
    let Some(server) = Server::start(&[]) else { return };
    jepsen::kill_the_clients::<OnRedis>("redis", &server.url());
}
