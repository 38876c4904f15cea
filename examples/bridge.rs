//! A game that runs in ticks, and a service around it that speaks envelopes.
//!
//! ```sh
//! cargo run --example bridge --features std,json
//! ```
//!
//! The game publishes on a topic and takes commands from a bus; neither knows of JSON. A bridge each way
//! carries both to and from a subject bus, so many a tick. The service reads what is said there, sends a
//! command now and then, and one that does not decode. At the end every event is accounted for.

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

/// What a bridge has done so far.
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
        println!("  {way}: {forwarded} crossed, {left} left, {failed} bad, {dropped} lost");
        if let Some(error) = report.error {
            println!("  {way}: {error}");
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
    for tick in 0..12 {
        // The service.
        match tick {
            1 => {
                for count in [1, 1, 2] {
                    service.publish(Envelope::event(&Command::Spawn { count })?)?;
                }
                service.publish(Envelope::json("command.arena.spawn", &"many")?)?;
                sent += 4;
            }
            8 => {
                service.publish(Envelope::event(&Command::Calm)?)?;
                sent += 1;
            }
            _ => {}
        }

        // The game. Only two commands fit on its bus: the third waits for the next tick.
        println!("tick {tick}");
        let decode = |found: &Envelope| found.decode_event();
        let budget = Budget::events(4);
        back.add("in", inward.pump(budget, decode, |command| COMMANDS.publish(command)));
        let report = HANDLERS.tick(&mut arena, &mut commands, Budget::events(16));
        assert_eq!((report.left, report.failed), (0, 0));
        arena.fight(tick);
        out.add("out", outward.pump(&mut said, Budget::events(3), Envelope::event));

        // The service again.
        for envelope in screen.drain() {
            println!("  {} {}", envelope.subject(), envelope.payload().unwrap_or_default());
        }
    }

    println!("{}", service.info());
    println!(
        "out: {} of {} crossed, {} lost, {} left",
        out.forwarded, arena.said, out.dropped, out.left
    );
    println!("in: {} of {sent} crossed, {} bad", back.forwarded, back.failed);
    assert_eq!((out.all(), back.all()), (arena.said, sent));
    assert_eq!((back.forwarded, back.failed, back.left), (4, 1, 0));
    assert!(out.dropped > 0, "six fighters were too many for three events a tick");
    // Each was on its way as JSON, and comes out as the event that it was.
    let amounts = ledger.drain().map(|found| match found.decode_event()? {
        Said::Hit { amount, .. } => Ok(amount),
        Said::WaveOver(_) => Ok(0),
    });
    let amounts = amounts.collect::<Result<Vec<u32>, tickbus::envelope::InvalidEvent>>()?;
    assert_eq!(amounts.len(), out.forwarded);
    println!("ledger: {} events, {} damage", amounts.len(), amounts.iter().sum::<u32>());
    Ok(())
}
