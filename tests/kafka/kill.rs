//! `kill -9` of clients, a server that stands still, and a client that does.

use core::time::Duration;
use std::env;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use tickbus::hosted::engines::Kafka;
use tickbus::hosted::{Engine, SettleError};
use tokio::time::{sleep, timeout};

use crate::server::{Server, Which};
use crate::servers::jepsen::{self, Kill, Target, between};
use crate::servers::process::{Process, say};
use crate::{SOON, client, delivery, group, number, position, run, settings, started, up, value};

/// How long a server waits for a member that was killed, and the others with it.
const SESSION: Duration = Duration::from_secs(6);

struct OnKafka;

impl Target for OnKafka {
    type Engine = Kafka;

    async fn start(url: String, _: String) -> Kafka {
        started(url).await
    }
}

/// It stands still. After `kill -9`, the servers here have lost what they had acknowledged: that is not
/// provable here.
impl Kill for Server {
    fn url(&self) -> String {
        self.brokers()
    }

    fn kill(&mut self) {
        self.freeze(true);
        // Publishes, reads and the group time out.
        thread::sleep(between(1200, 1800));
    }

    fn run(&mut self) {
        self.freeze(false);
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_stands_still() {
    let Some(mut server) = Server::start(Which::Noida) else { return };
    jepsen::kill_the_server::<OnKafka>("kafka", &mut server);
}

#[test]
fn in_another_process() {
    if env::var("TICKBUS_ROLE").is_ok_and(|role| role == "holder") {
        return run(hold(env::var("TICKBUS_URL").unwrap()));
    }
    jepsen::in_another_process::<OnKafka>();
}

#[test]
fn nothing_acknowledged_is_lost_when_a_client_is_killed() {
    // The other server waits for ever for a member that was killed.
    let Some(server) = Server::start(Which::Tansu) else { return };
    jepsen::kill_the_clients::<OnKafka>("kafka", &server.brokers());
}

/// Works on an event until the process has stood still, and acknowledges it then.
async fn hold(url: String) {
    let kafka = started(url).await;
    let mut all = group(&kafka, "game.>", "all").lease(SOON * 10).open().await.unwrap();
    say("joined");
    let held = delivery(&mut all).await;
    say(&format!("delivered {}", value(&held)));
    let mut last = Instant::now();
    while last.elapsed() < SESSION / 2 {
        last = Instant::now();
        sleep(Duration::from_millis(10)).await;
    }
    let is_late = matches!(held.ack_async().await, Err(SettleError::Late));
    say(&format!("late {is_late}"));
    sleep(SOON).await;
}

fn signal(process: &Process, signal: &str) {
    let sent = Command::new("kill").args([signal, &process.id().to_string()]).status();
    assert!(sent.expect("there is a `kill`").success());
}

#[test]
fn a_member_that_stood_still_is_refused_by_the_server() {
    let Some(server) = Server::start(Which::Tansu) else { return };
    let url = server.brokers();
    run(async {
        let kafka = up(settings(&*url).session_timeout(SESSION)).await;
        let variables = [("TICKBUS_ROLE", "holder".as_ref()), ("TICKBUS_URL", url.as_ref())];
        let mut holder = Process::start("kill::in_another_process", variables);
        let (lines, (said, hears)) = (holder.lines(), mpsc::channel());
        thread::spawn(move || {
            let of_it = |line: &String| {
                ["joined", "delivered ", "late "].iter().any(|word| line.starts_with(word))
            };
            lines.filter(of_it).try_for_each(|line| said.send(line))
        });
        let heard = |wanted: &str| {
            assert_eq!(hears.recv_timeout(SOON).expect("it says something"), wanted);
        };
        heard("joined");
        kafka.publish(number("game.shot", 7)).await.unwrap();
        heard("delivered 7");
        signal(&holder, "-STOP");
        let mut all = group(&kafka, "game.>", "all").open().await.unwrap();
        let come = delivery(&mut all).await;
        assert_eq!(value(&come), 7, "it comes to another member");
        signal(&holder, "-CONT");
        heard("late true");
        let admin = client(&url).await.admin();
        assert_eq!(position(&admin, "all", 0).await, Some(0), "it did nothing");
        come.ack();
        // It joins again, and the server takes no position while a group is joining.
        let told = async {
            while position(&admin, "all", 0).await != Some(1) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(SOON, told).await.expect("the member that has it is heard");
    });
}
