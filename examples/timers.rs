//! A crossing with a traffic light, run by timers: `cargo run --example timers`.
//!
//! ```text
//!   button (interrupt) ──▶ BUS ─▶ main loop ──▶ after, every, cancel ──▶ timers
//!                           ▲                                              │
//!                           └───────────── what is due, once per tick ─────┘
//! ```
//!
//! A tick is 100 ms of pretended time, so it runs at once and prints the same every time. The counter starts
//! shortly before it wraps, to show that nobody notices.

use tickbus::timer::TimerId;
use tickbus::{Bus, Timers};

/// What may happen at the crossing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    /// Somebody leans on the button: it bounces.
    Button,
    /// The button has been quiet for as long as a real press takes.
    Pressed,
    /// The light goes on to its next colour.
    Next,
    /// The lamp for those who wait blinks.
    Blink,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Light {
    #[default]
    Green,
    Amber,
    Red,
}

/// Interrupts publish here, and so do the timers.
static BUS: Bus<Event, 4> = Bus::new();

/// Ticks of quiet that make a press of many bounces.
const QUIET: u32 = 3;

/// Room for one timer of each kind.
type CrossingTimers = Timers<Event, 4>;

struct Crossing {
    light: Light,
    timers: CrossingTimers,
    debounce: Option<TimerId>,
    blinking: Option<TimerId>,
    blinks: u32,
}

impl Crossing {
    fn new(now: u32) -> Self {
        Self {
            light: Light::default(),
            timers: Timers::starting_at(now),
            debounce: None,
            blinking: None,
            blinks: 0,
        }
    }

    /// One timer of each kind at most, so there is always room.
    fn after(&mut self, delay: u32, event: Event) -> TimerId {
        self.timers.after(delay, event).expect("room for one of each kind")
    }

    fn handle(&mut self, event: Event) {
        match event {
            // Every bounce puts the press off: cancel and schedule anew, both in constant time.
            Event::Button => {
                if let Some(earlier) = self.debounce {
                    self.timers.cancel(earlier);
                }
                self.debounce = Some(self.after(QUIET, Event::Pressed));
            }
            Event::Pressed if self.light == Light::Green && self.blinking.is_none() => {
                self.blinking =
                    Some(self.timers.every(5, Event::Blink).expect("room for one of each kind"));
                self.after(20, Event::Next);
            }
            Event::Pressed => {} // is waiting already
            Event::Blink => self.blinks += 1,
            Event::Next => {
                self.light = match self.light {
                    Light::Green => Light::Amber,
                    Light::Amber => Light::Red,
                    Light::Red => Light::Green,
                };
                match self.light {
                    Light::Amber => drop(self.after(10, Event::Next)),
                    Light::Red => {
                        // Those who waited may go: an endless timer ends by its id.
                        if let Some(blinking) = self.blinking.take() {
                            self.timers.cancel(blinking);
                        }
                        self.after(30, Event::Next);
                    }
                    Light::Green => {}
                }
            }
        }
    }
}

fn main() {
    let start = u32::MAX - 15;
    let mut crossing = Crossing::new(start);
    let mut events = BUS.consumer().expect("main is the only consumer");

    for tick in 0..120 {
        let now = start.wrapping_add(tick);

        // The interrupt: presses that bounce, of which one comes while the first is being served.
        if matches!(tick, 5 | 6 | 7 | 20) {
            BUS.publish(Event::Button).expect("four fit in a tick");
        }
        // Somebody works on the lamp: what is left of every timer stays what it is.
        match tick {
            40 => crossing.timers.pause(),
            60 => crossing.timers.resume(now),
            _ => {}
        }

        // What is due goes on the bus. What finds it full is due again at the next tick.
        let report = crossing.timers.tick(now, |event| BUS.publish(event));
        assert_eq!(report.left, 0, "three timers and one interrupt fit in a bus of four");

        for event in events.drain() {
            let before = crossing.light;
            crossing.handle(event);
            if event == Event::Pressed || before != crossing.light {
                println!("tick {tick:3}, counter {now:10}: {event:?}, {:?}", crossing.light);
            }
        }
    }

    println!(
        "the lamp blinked {} times; {} timers are left",
        crossing.blinks,
        crossing.timers.len()
    );
    // The sixth was on the bus when its timer was cancelled: what is handed out is out of reach.
    assert_eq!((crossing.light, crossing.blinks), (Light::Green, 6));
    assert!(crossing.timers.is_empty());
}
