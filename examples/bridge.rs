//! A game that runs in ticks, and a service around it that speaks envelopes.
//!
//! ```sh
//! cargo run --example bridge --features std,json
//! ```
//!
//! ```text
//!   game ──▶ SAID (topic) ──▶ BridgeOut ──▶ arena.*          ──▶ service: ledger, screen
//!   game ◀── COMMANDS (bus) ◀── BridgeIn ◀── command.arena.* ◀── service
//! ```
//!
//! The game publishes what it says on a topic and takes commands from a bus. It knows nothing of JSON. Each
//! bridge carries a few events per tick and reports what crossed, what is left and what was lost. One
//! command of the service is not valid. At the end each event is accounted for.

use tickbus::bridge::{BridgeIn, BridgeOut, Bridged};
use tickbus::{Budget, Bus, Dispatch, Envelope, Overrun, SubjectBus, Topic};

tickbus::events! {
    #[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
    enum Said {
        #[subject = "arena.hit"] Hit { by: u32, amount: u32 },
        #[subject = "arena.wave.over"] WaveOver(u32),
    }

    #[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
    enum Command {
        #[subject = "command.arena.spawn"] Spawn { count: u32 },
        #[subject = "command.arena.calm"] Calm,
    }
}

static SAID: Topic<Said, 16> = Topic::new();
static COMMANDS: Bus<Command, 2> = Bus::new();
static HANDLERS: Dispatch<Command, Arena, { Command::KINDS }> = Dispatch::new()
    .on("command.arena.spawn", Arena::spawn)
    .on("command.arena.calm", |arena, _| arena.fighters = 0);

#[derive(Default)]
struct Arena {
    fighters: u32,
    said: usize,
}

impl Arena {
    fn spawn(&mut self, command: &Command) {
        if let Command::Spawn { count } = command {
            self.fighters += count;
        }
    }

    fn say(&mut self, event: Said) {
        SAID.publish(event);
        self.said += 1;
    }

    fn fight(&mut self, tick: u32) {
        for by in 0..self.fighters {
            self.say(Said::Hit { by, amount: tick + by });
        }
        if tick % 4 == 3 {
            self.say(Said::WaveOver(tick / 4));
        }
    }
}

/// What a bridge has carried so far.
#[derive(Default)]
struct Crossed {
    forwarded: usize,
    failed: usize,
    dropped: usize,
    left: usize,
}

impl Crossed {
    fn add<X: core::fmt::Display>(&mut self, way: &str, report: Bridged<X>) {
        let Bridged { forwarded, failed, dropped, left, .. } = report;
        if forwarded + failed + dropped + left > 0 {
            let way = format!("{way}:");
            println!("  {way:<4} {forwarded} crossed, {left} left, {failed} bad, {dropped} lost");
        }
        if let Some(error) = report.error {
            println!("       the bad one: {error}");
        }
        self.forwarded += forwarded;
        self.failed += failed;
        self.dropped += dropped;
        self.left = left;
    }

    fn all(&self) -> usize {
        self.forwarded + self.failed + self.dropped + self.left
    }
}

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let service = SubjectBus::new();
    let ledger = service.subscribe("arena.>")?.capacity(256).open();
    let screen = service.subscribe("arena.hit")?.capacity(2).overrun(Overrun::DropOldest).open();

    let mut outward = BridgeOut::new(&service, "arena-1");
    let mut inward = BridgeIn::new(service.subscribe("command.arena.*")?.open());
    let (mut out, mut back) = (Crossed::default(), Crossed::default());

    let mut said = SAID.subscribe();
    let mut commands = COMMANDS.consumer().expect("the game is the only consumer");
    let mut arena = Arena { fighters: 2, said: 0 };
    let mut sent = 0;
    println!("In each tick, two fighters hit once each, and later six. `out` carries 3 of these");
    println!("events per tick to the service. The others are left on the topic of the game, which");
    println!("keeps 16; then the oldest are lost. `in` carries the commands of the service, whose");
    println!("screen keeps two hits.\n");
    for tick in 0..12 {
        println!("tick {tick}");
        // The service.
        match tick {
            1 => {
                println!(
                    "  the service sends: spawn 1, spawn 1, spawn 2, and \"many\", which is not valid"
                );
                for count in [1, 1, 2] {
                    service.publish(Envelope::event(&Command::Spawn { count })?)?;
                }
                service.publish(Envelope::json("command.arena.spawn", &"many")?)?;
                sent += 4;
            }
            8 => {
                println!("  the service sends: calm");
                service.publish(Envelope::event(&Command::Calm)?)?;
                sent += 1;
            }
            _ => {}
        }

        // The game. Only two commands fit on its bus: the third waits for the next tick.
        let decode = |found: &Envelope| found.decode_event();
        let budget = Budget::events(4);
        back.add("in", inward.pump(budget, decode, |command| COMMANDS.publish(command)));
        let report = HANDLERS.tick(&mut arena, &mut commands, Budget::events(16));
        assert_eq!((report.left, report.failed), (0, 0));
        arena.fight(tick);
        out.add("out", outward.pump(&mut said, Budget::events(3), Envelope::event));

        // The service again.
        for envelope in screen.drain() {
            println!("  screen: {} {}", envelope.subject(), envelope.payload().unwrap_or_default());
        }
    }

    println!("\nThe subject bus of the service:\n{}", service.info());
    println!(
        "out: the game said {}; {} crossed, {} were lost on the full topic, {} are left there",
        arena.said, out.forwarded, out.dropped, out.left
    );
    println!(
        "in:  the service sent {sent}; {} crossed, {} was not valid, {} are left",
        back.forwarded, back.failed, back.left
    );
    assert_eq!((out.all(), back.all()), (arena.said, sent));
    assert_eq!((back.forwarded, back.failed, back.left), (4, 1, 0));
    assert!(out.dropped > 0, "six fighters were too many for three events a tick");
    // Each envelope carries its event as JSON, and decodes to the event that it was.
    let amounts = ledger.drain().map(|found| match found.decode_event()? {
        Said::Hit { amount, .. } => Ok(amount),
        Said::WaveOver(_) => Ok(0),
    });
    let amounts = amounts.collect::<Result<Vec<u32>, tickbus::envelope::InvalidEvent>>()?;
    assert_eq!(amounts.len(), out.forwarded);
    println!(
        "ledger: received all {} that crossed, with {} damage in sum",
        amounts.len(),
        amounts.iter().sum::<u32>()
    );
    Ok(())
}
