//! A game that ticks: it never waits for the engine, and acknowledges what a tick has applied.

use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use std::thread;
use std::time::Instant;

use tickbus::bridge::BridgeOut;
use tickbus::hosted::{BoxError, Inbox, Link, StartAt};
use tickbus::{Budget, Envelope, Topic};

use crate::line::{Flow, Line, Numbers, Say, Told};
use crate::{LEASE, REPORT};

tickbus::events! {
    #[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
    enum Game { #[subject = "game.frame"] Frame { tick: u64, energy: u64 } }
}

static SAID: Topic<Game, 64> = Topic::new();
const TICK: Duration = Duration::from_millis(20);

/// Ticks until the conductor ends or kills it.
pub(crate) fn run(
    link: Link,
    name: &str,
    say: &Say,
    told: &Told,
    killed: &AtomicBool,
) -> Result<(), BoxError> {
    let (mut said, mut outward) = (SAID.subscribe(), BridgeOut::new(link.bus(), name));
    let boosts = link.inbox("game.boost")?.start_at(StartAt::Earliest).lease(LEASE);
    let mut boosts = boosts.group("game");
    let (mut world, mut redelivered, mut is_ready) = (World::default(), 0, false);
    let mut reported = Instant::now();
    while !told.is_over() {
        if killed.load(Relaxed) {
            return Ok(());
        }
        for boost in boosts.drain(64) {
            let Ok(Some((id, steps))) = boost.envelope().decode::<(u64, u64)>() else {
                boost.reject("not a boost");
                continue;
            };
            redelivered += u64::from(boost.attempt() > 1);
            world.energy += steps;
            say.say(Line::Delivered(Flow::Boosts, id));
            boost.ack();
        }
        world.tick += 1;
        SAID.publish(Game::Frame { tick: world.tick, energy: world.energy });
        // A frame that finds no room is dropped and counted: the game goes on.
        let _ = outward.pump(&mut said, Budget::events(16), Envelope::event);

        if !is_ready && boosts.is_open() {
            is_ready = true;
            say.say(Line::Ready);
        }
        if reported.elapsed() > REPORT {
            reported = Instant::now();
            say.say(Line::Numbers(numbers(&link, &boosts, redelivered)));
        }
        thread::sleep(TICK);
    }
    say.say(Line::Numbers(numbers(&link, &boosts, redelivered)));
    drop(boosts);
    link.shutdown(Duration::from_secs(1));
    say.say(Line::Ended);
    Ok(())
}

#[derive(Default)]
struct World {
    tick: u64,
    energy: u64,
}

fn numbers(link: &Link, boosts: &Inbox, redelivered: u64) -> Numbers {
    let (out, back) = (link.stats(), boosts.stats());
    Numbers {
        published: out.buffered + out.accepted + out.stored,
        handled: back.handled,
        lag: boosts.pending() as u64,
        retried: out.retried,
        redelivered,
        dead_letters: 0,
        dropped: (out.full > 0).then(|| ("link_full".into(), out.full)).into_iter().collect(),
    }
}
