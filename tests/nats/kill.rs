//! `kill -9` of the server and of the client, with the sums of Jepsen: what was acknowledged and is
//! not delivered is lost, what was delivered and never attempted is unexpected.

use alloc::sync::Arc;
use core::time::Duration;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use tickbus::Envelope;
use tickbus::hosted::{Engine, StartAt};
use tokio::time::{sleep, timeout};

use crate::servers::{Nats as Server, TestServer};
pub(crate) use crate::sums::Sums;
use crate::sums::{between, rounds, until_acknowledged};
use crate::{SOON, run, settings, started, value};

/// Short, so that what a dead member had comes soon.
pub(crate) const LEASE: Duration = Duration::from_secs(1);

/// Publishes numbers until it is told to end. Each has its envelope, however often it is sent.
pub(crate) async fn publish(
    url: String,
    sums: Arc<Mutex<Sums>>,
    from: u32,
    end: Arc<tokio::sync::Notify>,
) {
    let nats = started(url).await;
    for number in from.. {
        let mut envelope: Arc<Envelope> = Envelope::json("game.shot", &number).unwrap().into();
        sums.lock().unwrap().attempted.insert(number);
        loop {
            match nats.publish(envelope).await {
                Ok(_) => {
                    sums.lock().unwrap().acknowledged.insert(number);
                    break;
                }
                Err(error) => envelope = error.into_envelope(),
            }
            if timeout(Duration::from_millis(20), end.notified()).await.is_ok() {
                return;
            }
        }
        if timeout(Duration::from_millis(1), end.notified()).await.is_ok() {
            return;
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed() {
    for nats in Server::BOTH {
        let Some(mut server) = TestServer::start(nats, "") else { continue };
        for round in 0..rounds() {
            let sums = Arc::new(Mutex::new(Sums::default()));
            let end = Arc::new(tokio::sync::Notify::new());
            let (url, ours, told) = (server.url(), sums.clone(), end.clone());
            let first = round * 1_000_000;
            let (ready, begins) = std::sync::mpsc::channel();
            let client = thread::spawn(move || {
                run(async {
                    let group = format!("round-{round}");
                    let nats = started(url.clone()).await;
                    let group = nats.subscribe("game.>").unwrap().group(group).lease(LEASE);
                    let mut deliveries = group.open().await.unwrap();
                    ready.send(()).unwrap();
                    let writes = tokio::spawn(publish(url, ours.clone(), first, told));
                    let mut ended = None::<Instant>;
                    loop {
                        let next = timeout(Duration::from_millis(100), deliveries.next()).await;
                        if let Ok(next) = next {
                            let Ok(next) = next.expect("it never ends") else { continue };
                            let number = value(&next);
                            // A server that forgot a position begins with the group's first.
                            ours.lock().unwrap().deliver(number);
                            next.ack();
                        } else if writes.is_finished() {
                            let ended = ended.get_or_insert_with(Instant::now);
                            if ours.lock().unwrap().has_all() || ended.elapsed() > SOON {
                                return;
                            }
                        }
                    }
                });
            });
            begins.recv().unwrap();
            until_acknowledged(20, || sums.lock().unwrap().acknowledged.len());
            thread::sleep(between(0, 500));
            server.kill();
            thread::sleep(between(50, 300));
            server.run();
            until_acknowledged(20, || sums.lock().unwrap().acknowledged.len());
            end.notify_one();
            client.join().unwrap();
            sums.lock().unwrap().check(&format!("{nats:?} server killed, round {round}"));
        }
    }
}

/// What the next test runs in other processes. Alone it does nothing.
#[test]
fn in_another_process() {
    let Ok(role) = env::var("TICKBUS_ROLE") else { return };
    let (role, first) = role.split_once(' ').unwrap();
    let say = |word: &str, number: u32| {
        // One write for a line: it is said before it is done, whatever ends this process.
        std::io::stdout().write_all(format!("\n{word} {number}\n").as_bytes()).unwrap();
    };
    let url = env::var("TICKBUS_URL").unwrap();
    run(async {
        let nats = started(url).await;
        if role == "publisher" {
            for number in first.parse().unwrap().. {
                say("attempted", number);
                let envelope = Envelope::json("game.shot", &number).unwrap();
                if nats.publish(envelope.into()).await.is_ok() {
                    say("acknowledged", number);
                }
            }
        }
        let group = nats.subscribe("game.>").unwrap().group("all").lease(LEASE);
        let mut deliveries = group.start_at(StartAt::Earliest).open().await.unwrap();
        while let Some(Ok(next)) = deliveries.next().await {
            say("delivered", value(&next));
            next.ack();
        }
    });
}

struct Process(Child);

impl Process {
    fn start(role: &str, first: u32, url: &str, sums: &Arc<Mutex<Sums>>) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "kill::in_another_process", "--nocapture"])
            .env("TICKBUS_ROLE", format!("{role} {first}"))
            .env("TICKBUS_URL", url)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (lines, sums) = (BufReader::new(child.stdout.take().unwrap()).lines(), sums.clone());
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Some((word, number)) = line.split_once(' ') else { continue };
                let Ok(number) = number.parse() else { continue };
                let mut sums = sums.lock().unwrap();
                match word {
                    "attempted" => drop(sums.attempted.insert(number)),
                    "acknowledged" => drop(sums.acknowledged.insert(number)),
                    "delivered" => sums.deliver(number),
                    _ => {}
                }
            }
        });
        Self(child)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn nothing_acknowledged_is_lost_when_a_client_is_killed() {
    for server in Server::BOTH {
        let Some(server) = TestServer::start(server, "") else { continue };
        let url = server.url();
        run(async { settings(url.clone()).start().await.unwrap() });
        let sums = Arc::new(Mutex::new(Sums::default()));
        for round in 0..rounds() {
            let publisher = Process::start("publisher", round * 1_000_000, &url, &sums);
            let member = Process::start("member", 0, &url, &sums);
            thread::sleep(between(200, 500));
            // Either first, and the other goes on.
            if round % 2 == 0 {
                drop(member);
                thread::sleep(between(50, 150));
                drop(publisher);
            } else {
                drop(publisher);
                thread::sleep(between(50, 150));
                drop(member);
            }
        }
        let _last = Process::start("member", 0, &url, &sums);
        run(async {
            let began = Instant::now();
            sleep(LEASE).await;
            while !sums.lock().unwrap().has_all() && began.elapsed() < SOON {
                sleep(Duration::from_millis(20)).await;
            }
        });
        sums.lock().unwrap().check("clients killed");
    }
}
