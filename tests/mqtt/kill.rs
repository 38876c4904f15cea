//! `kill -9` of the server and of the client, with the sums of Jepsen.

use alloc::collections::BTreeSet;
use alloc::sync::Arc;
use core::time::Duration;
use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use tickbus::Envelope;
use tickbus::hosted::{Engine, Gap, GapReason};
use tokio::time::{sleep, timeout};

use crate::server::Server;
use crate::sums::{Sums, between, rounds, until_acknowledged};
use crate::{SOON, run, settings, started, up, value};

#[derive(Default)]
struct Killed {
    attempted: BTreeSet<u32>,
    /// In the order of the answers.
    acknowledged: BTreeSet<u32>,
    /// What came, or `None` where the subscription said that something is missing.
    come: Vec<Option<u32>>,
}

impl Killed {
    fn delivered(&self) -> BTreeSet<u32> {
        self.come.iter().flatten().copied().collect()
    }

    /// A server that is killed loses what it had in memory. That is never silent: what is missing
    /// is missing where the gap is.
    fn check(&self, what: &str) {
        let delivered = self.delivered();
        let lost: Vec<u32> = self.acknowledged.difference(&delivered).copied().collect();
        let unexpected: Vec<_> = delivered.difference(&self.attempted).collect();
        println!(
            "{what}: attempted {}, acknowledged {}, delivered {}, lost where a gap says so {}, \
             unexpected {}, duplicated {}, recovered {}",
            self.attempted.len(),
            self.acknowledged.len(),
            delivered.len(),
            lost.len(),
            unexpected.len(),
            self.come.iter().flatten().count() - delivered.len(),
            delivered.difference(&self.acknowledged).count(),
        );
        assert!(unexpected.is_empty(), "unexpected {unexpected:?}");
        let gap = self.come.iter().position(Option::is_none);
        let gap = gap.expect("the session was not in the file of the server");
        let before = self.come[..gap].iter().flatten().max().copied();
        let after = self.come[gap..].iter().flatten().min().copied().expect("it went on");
        let silent: Vec<_> = lost
            .iter()
            .filter(|number| before.is_some_and(|it| **number < it) || **number > after)
            .collect();
        assert!(silent.is_empty(), "lost without a word: {silent:?} of {lost:?}");
        assert!(self.acknowledged.len() > 20, "too little happened to say anything");
    }
}

#[test]
fn what_a_killed_server_loses_is_where_the_gap_is() {
    let Some(mut server) = Server::start("max_queued_messages 0") else { return };
    for round in 0..rounds() {
        let sums = Arc::new(Mutex::new(Killed::default()));
        let (url, ours) = (server.url(), sums.clone());
        let (end, mut told) = tokio::sync::watch::channel(false);
        let (ready, begins) = std::sync::mpsc::channel();
        let client = thread::spawn(move || {
            run(async {
                let mqtt = Arc::new(up(settings(url).client_id(format!("round-{round}"))).await);
                // The member of the round before is away, and keeps its share.
                let group = mqtt.subscribe("game.>").unwrap().group(format!("g{round}"));
                let mut group = group.open().await.unwrap();
                ready.send(()).unwrap();
                let (publisher, sums) = (mqtt.clone(), ours.clone());
                let writes = tokio::spawn(async move {
                    for number in 0.. {
                        if *told.borrow_and_update() {
                            return;
                        }
                        sums.lock().unwrap().attempted.insert(number);
                        let envelope = Envelope::json("game.shot", &number).unwrap();
                        // One that may have arrived is not sent again: the numbers stay in their
                        // order.
                        if publisher.publish(envelope.into()).await.is_ok() {
                            sums.lock().unwrap().acknowledged.insert(number);
                        } else {
                            sleep(Duration::from_millis(20)).await;
                        }
                        sleep(Duration::from_millis(1)).await;
                    }
                });
                let mut ended = None::<Instant>;
                loop {
                    let Ok(next) = timeout(Duration::from_millis(100), group.next()).await else {
                        if writes.is_finished()
                            && ended.get_or_insert_with(Instant::now).elapsed()
                                > Duration::from_millis(500)
                        {
                            return;
                        }
                        continue;
                    };
                    let come = match next.expect("it never ends") {
                        Ok(next) => {
                            let number = value(&next);
                            next.ack();
                            Some(number)
                        }
                        Err(gap) => {
                            assert_eq!(gap, Gap::new(None, GapReason::Trimmed));
                            None
                        }
                    };
                    ours.lock().unwrap().come.push(come);
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
        end.send(true).unwrap();
        client.join().unwrap();
        sums.lock().unwrap().check(&format!("mqtt server killed, round {round}"));
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
        let mqtt = up(settings(url).client_id(role)).await;
        if role == "publisher" {
            for number in first.parse().unwrap().. {
                say("attempted", number);
                let envelope = Envelope::json("game.shot", &number).unwrap();
                if mqtt.publish(envelope.into()).await.is_ok() {
                    say("acknowledged", number);
                }
            }
        }
        let mut group = mqtt.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        while let Some(next) = group.next().await {
            let next = next.expect("the session is never lost");
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
    let Some(server) = Server::start("max_queued_messages 0") else { return };
    let url = server.url();
    run(async {
        // The session is there before anything is published.
        let mqtt = up(settings(&*url).client_id("member")).await;
        drop(mqtt.subscribe("game.>").unwrap().group("all").open().await.unwrap());
        mqtt.shutdown(SOON).await.unwrap();
        drop(started(url.clone()).await);
    });
    let sums = Arc::new(Mutex::new(Sums::default()));
    for round in 0..rounds() {
        let publisher = Process::start("publisher", round * 1_000_000, &url, &sums);
        let member = Process::start("member", 0, &url, &sums);
        thread::sleep(between(300, 600));
        // Either first, and the other goes on.
        let (first, second) =
            if round % 2 == 0 { (member, publisher) } else { (publisher, member) };
        drop(first);
        thread::sleep(between(50, 150));
        drop(second);
    }
    let _last = Process::start("member", 0, &url, &sums);
    run(async {
        let began = Instant::now();
        sleep(Duration::from_millis(500)).await;
        while !sums.lock().unwrap().has_all() && began.elapsed() < SOON {
            sleep(Duration::from_millis(20)).await;
        }
    });
    sums.lock().unwrap().check("mqtt clients killed");
}
