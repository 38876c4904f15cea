//! A game that ticks, and a service in another process, over NATS.
//!
//! ```sh
//! nats-server -a 127.0.0.1 -js &      # `.ci/servers` installs one
//! cargo run --features nats --example link -- service &
//! cargo run --features nats --example link
//! ```
//!
//! End the service, the game or the server at any time, also by `kill -9`: what was stored comes
//! when all are back, once. `NATS_URL` names another server. Without one, game and service share an
//! engine in memory.

extern crate alloc;

use alloc::sync::Arc;
use core::error::Error;
use core::time::Duration;
use std::{env, process, thread};

use tickbus::bridge::BridgeOut;
use tickbus::hosted::engines::nats::{Nats, Provision};
use tickbus::hosted::{Engine, Link, LinkOptions, LinkState, MemoryEngine, OnStart, StartAt};
use tickbus::{Budget, Envelope, Topic};

tickbus::events! {
    #[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
    enum Game { #[subject = "arena.hit"] Hit { amount: u32 } }
}

static SAID: Topic<Game, 64> = Topic::new();
const HITS: u32 = 40;

/// The service: answers each hit with its points, and is done with a hit when the answer is stored.
async fn serve(engine: Arc<dyn Engine>) -> Result<(), Box<dyn Error + Send + Sync>> {
    engine.start().await?;
    let hits = engine.subscribe("arena.hit")?.group("service").start_at(StartAt::Earliest);
    let mut hits = hits.open().await?;
    println!("the service is ready");
    while let Some(next) = hits.next().await {
        let Ok(hit) = next else { continue }; // a gap
        let Ok(Game::Hit { amount }) = hit.envelope().decode_event() else {
            hit.reject("not a hit");
            continue;
        };
        // A hit that comes again gets the answer of the same id: the engine takes it once.
        let points = Envelope::json("arena.points", &(amount * 10))?
            .with_id(format!("points/{}", hit.envelope().id()))
            .with_key(hit.envelope().source());
        match engine.publish(points.into()).await {
            Ok(_) => hit.ack(),
            Err(error) => {
                println!("{error}");
                hit.retry_after(Duration::from_millis(500));
            }
        }
    }
    Ok(())
}

fn run(engine: Arc<dyn Engine>) -> Result<(), Box<dyn Error + Send + Sync>> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(serve(engine))
}

fn tick() {
    thread::sleep(Duration::from_millis(20));
}

fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let url = env::var("NATS_URL").unwrap_or_else(|_| "nats://127.0.0.1:4222".into());
    let nats = Nats::new(url).stream("ARENA").subjects(["arena.>"]).provision(Provision::Create);
    if env::args().any(|argument| argument == "service") {
        return run(Arc::new(nats.on_start(OnStart::Wait(Duration::from_secs(60)))));
    }
    let mut link = Link::spawn(nats, LinkOptions::default())?;
    while link.state() == LinkState::Connecting {
        tick();
    }
    if link.state() == LinkState::Down {
        println!(
            "{}\nGet one: `.ci/servers`, then `nats-server -js`. In memory now:",
            link.health()
        );
        let engine = Arc::new(MemoryEngine::new());
        link = Link::spawn(engine.clone(), LinkOptions::default())?;
        thread::spawn(|| run(engine));
    }
    let me = format!("game-{}", process::id());
    let (mut said, mut outward) = (SAID.subscribe(), BridgeOut::new(link.bus(), &*me));
    let mut points = link.inbox("arena.points")?.group("game");
    let (mut at, mut answers, mut sum) = (0, 0, 0);
    while answers < HITS {
        if let Some(error) = points.error() {
            println!("{error}"); // it tries again
        }
        for answer in points.drain(16) {
            if answer.envelope().key() == me {
                answers += 1;
                sum += answer.envelope().decode::<u32>()?.unwrap_or_default();
                println!("{sum} points for {answers} hits ({:?})", link.state());
            }
            answer.ack();
        }
        if at < HITS && points.is_open() {
            SAID.publish(Game::Hit { amount: at });
            at += 1;
        }
        let _ = outward.pump(&mut said, Budget::events(16), Envelope::event);
        tick();
    }
    println!("{:?}", link.shutdown(Duration::from_secs(1)));
    assert_eq!(sum, (0..HITS).map(|amount| amount * 10).sum::<u32>());
    Ok(())
}
