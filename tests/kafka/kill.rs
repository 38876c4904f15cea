//! `kill -9` of clients, a server that ends, and a client that stands still, with the sums of Jepsen.

use alloc::sync::Arc;
use core::time::Duration;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use tickbus::Envelope;
use tickbus::hosted::{Engine, SettleError, StartAt};
use tokio::time::{sleep, timeout};

use crate::server::{Server, Which};
use crate::sums::{Sums, between, rounds, until_acknowledged};
use crate::{SOON, client, delivery, group, number, position, run, settings, started, up, value};

const LEASE: Duration = Duration::from_secs(1);
/// How long a server waits for a member that was killed, and the others with it.
const SESSION: Duration = Duration::from_secs(6);

/// Publishes numbers until it is told to end. Each has its envelope, however often it is sent.
async fn publish(url: String, sums: Arc<Mutex<Sums>>, from: u32, end: Arc<tokio::sync::Notify>) {
    let kafka = up(settings(url).timeout(Duration::from_secs(1))).await;
    for number in from.. {
        let mut envelope: Arc<Envelope> = Envelope::json("game.shot", &number).unwrap().into();
        sums.lock().unwrap().attempted.insert(number);
        loop {
            match kafka.publish(envelope).await {
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
fn nothing_acknowledged_is_lost_when_the_server_stands_still() {
    // After `kill -9` the servers here have lost what they had acknowledged: that is not provable here.
    let Some(server) = Server::start(Which::Noida) else { return };
    for round in 0..rounds() {
        let sums = Arc::new(Mutex::new(Sums::default()));
        let end = Arc::new(tokio::sync::Notify::new());
        let (url, ours, told) = (server.brokers(), sums.clone(), end.clone());
        let first = round * 1_000_000;
        let (ready, begins) = std::sync::mpsc::channel();
        let client = thread::spawn(move || {
            run(async {
                let group = format!("round-{round}");
                let kafka = started(url.clone()).await;
                let group = kafka.subscribe("game.>").unwrap().group(group).lease(LEASE);
                let mut deliveries = group.open().await.unwrap();
                ready.send(()).unwrap();
                let writes = tokio::spawn(publish(url, ours.clone(), first, told));
                let mut ended = None::<Instant>;
                loop {
                    let next = timeout(Duration::from_millis(100), deliveries.next()).await;
                    if let Ok(next) = next {
                        let next = next.expect("it never ends");
                        let next = next.expect("nothing was removed");
                        ours.lock().unwrap().deliver(value(&next));
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
        server.freeze(true);
        // Publishes, reads and the group time out.
        thread::sleep(between(1200, 1800));
        server.freeze(false);
        until_acknowledged(20, || sums.lock().unwrap().acknowledged.len());
        end.notify_one();
        client.join().unwrap();
        sums.lock().unwrap().check(&format!("kafka server stood still, round {round}"));
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
        let kafka = started(url).await;
        if role == "publisher" {
            for number in first.parse().unwrap().. {
                say("attempted", number);
                let envelope = Envelope::json("game.shot", &number).unwrap();
                if kafka.publish(envelope.into()).await.is_ok() {
                    say("acknowledged", number);
                }
            }
        }
        if role == "holder" {
            return hold(&kafka, say).await;
        }
        let group = kafka.subscribe("game.>").unwrap().group("all").lease(LEASE);
        let mut deliveries = group.start_at(StartAt::Earliest).open().await.unwrap();
        while let Some(Ok(next)) = deliveries.next().await {
            say("delivered", value(&next));
            next.ack();
        }
    });
}

/// Works on an event until the process has stood still, and acknowledges it then.
async fn hold(kafka: &tickbus::hosted::engines::Kafka, say: impl Fn(&str, u32)) {
    let mut all = group(kafka, "game.>", "all").lease(SOON * 10).open().await.unwrap();
    say("joined", 0);
    let held = delivery(&mut all).await;
    say("delivered", value(&held));
    let mut last = Instant::now();
    while last.elapsed() < SESSION / 2 {
        last = Instant::now();
        sleep(Duration::from_millis(10)).await;
    }
    say("late", u32::from(matches!(held.ack_async().await, Err(SettleError::Late))));
    sleep(SOON).await;
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
    // The other server waits for ever for a member that was killed.
    let Some(server) = Server::start(Which::Tansu) else { return };
    let url = server.brokers();
    run(async { drop(started(url.clone()).await) });
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
    sums.lock().unwrap().check("kafka clients killed");
}

fn signal(process: &Child, signal: &str) {
    let sent = Command::new("kill").args([signal, &process.id().to_string()]).status();
    assert!(sent.expect("there is a `kill`").success());
}

#[test]
fn a_member_that_stood_still_is_refused_by_the_server() {
    let Some(server) = Server::start(Which::Tansu) else { return };
    let url = server.brokers();
    run(async {
        let kafka = up(settings(&*url).session_timeout(SESSION)).await;
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "kill::in_another_process", "--nocapture"])
            .env("TICKBUS_ROLE", "holder 0")
            .env("TICKBUS_URL", &url)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let (said, hears) = std::sync::mpsc::channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let Some((word, number)) = line.split_once(' ') else { continue };
                if ["joined", "delivered", "late"].contains(&word) {
                    let _ = said.send((word.to_owned(), number.to_owned()));
                }
            }
        });
        let child = Process(child);
        let heard = |word: &str, number: &str| {
            let line = hears.recv_timeout(SOON).expect("it says something");
            assert_eq!((&*line.0, &*line.1), (word, number));
        };
        heard("joined", "0");
        kafka.publish(number("game.shot", 7)).await.unwrap();
        heard("delivered", "7");
        signal(&child.0, "-STOP");
        let mut all = group(&kafka, "game.>", "all").open().await.unwrap();
        let come = delivery(&mut all).await;
        assert_eq!(value(&come), 7, "it comes to another member");
        signal(&child.0, "-CONT");
        heard("late", "1");
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
