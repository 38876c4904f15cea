//! A crossing with a traffic light, run by timers: `cargo run --example timers`.
//!
//! ```text
//!   button (interrupt) ──▶ BUS ─▶ main loop ──▶ after, every, cancel ──▶ timers
//!                           ▲                                              │
//!                           └───────────── what is due, once per tick ─────┘
//! ```
//!
//! A tick stands for 100 ms, but the program does not wait: it runs at once and prints the same every time.
//! Its counter starts shortly before it wraps. Timers do not mind.

use tickbus::timer::TimerId;
use tickbus::{Bus, Timers};

/// What can happen at the crossing.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Event {
    /// A contact of the button. One press bounces and makes several.
    Button,
    /// The button has been quiet for [`QUIET`] ticks: that was a press.
    Pressed,
    /// The light changes to its next colour.
    Next,
    /// The lamp that says "wait" blinks.
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

/// The ticks of quiet after which the bounces count as one press.
const QUIET: u32 = 3;
/// The ticks between two blinks.
const BLINK: u32 = 5;
/// The ticks from a press to amber, from amber to red, and from red to green.
const TO_AMBER: u32 = 20;
const TO_RED: u32 = 10;
const TO_GREEN: u32 = 30;

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

    fn after(&mut self, delay: u32, event: Event) -> TimerId {
        self.timers.after(delay, event).expect("room for one timer of each kind")
    }

    /// Handles an event and returns what it did, in words.
    fn handle(&mut self, event: Event) -> String {
        match event {
            // Each bounce postpones the press: cancel and schedule anew, both in constant time.
            Event::Button => {
                let earlier = self.debounce.and_then(|timer| self.timers.cancel(timer));
                self.debounce = Some(self.after(QUIET, Event::Pressed));
                match earlier {
                    Some(_) => format!("it bounces; the timer of {QUIET} ticks starts anew"),
                    None => format!("a timer of {QUIET} ticks starts, to see whether it bounces"),
                }
            }
            Event::Pressed if self.light == Light::Green && self.blinking.is_none() => {
                let blinking = self.timers.every(BLINK, Event::Blink);
                self.blinking = Some(blinking.expect("room for one timer of each kind"));
                self.after(TO_AMBER, Event::Next);
                format!("the lamp blinks every {BLINK} ticks, the light changes in {TO_AMBER}")
            }
            Event::Pressed => "the light is about to change already".to_owned(),
            Event::Blink => {
                self.blinks += 1;
                let late =
                    if self.blinking.is_none() { ": on the bus before the cancel" } else { "" };
                format!("blink {}{late}", self.blinks)
            }
            Event::Next => match self.light {
                Light::Green => {
                    self.light = Light::Amber;
                    self.after(TO_RED, Event::Next);
                    format!("the light is amber, for {TO_RED} ticks")
                }
                Light::Amber => {
                    self.light = Light::Red;
                    // A periodic timer runs until it is cancelled.
                    if let Some(blinking) = self.blinking.take() {
                        self.timers.cancel(blinking);
                    }
                    self.after(TO_GREEN, Event::Next);
                    format!("the light is red, for {TO_GREEN} ticks; the lamp is cancelled")
                }
                Light::Red => {
                    self.light = Light::Green;
                    "the light is green".to_owned()
                }
            },
        }
    }
}

fn main() {
    let start = u32::MAX - 15;
    let mut crossing = Crossing::new(start);
    let mut events = BUS.consumer().expect("main is the only consumer");

    println!("The light is green until you press the button. The counter wraps in tick 16.\n");
    println!("tick     counter  event    what happens");
    for tick in 0..120 {
        let now = start.wrapping_add(tick);

        // The interrupt: a press that bounces, and one more while the lamp blinks.
        if matches!(tick, 5 | 6 | 7 | 20) {
            BUS.publish(Event::Button).expect("four events fit in a tick");
        }
        // A pause freezes every timer. Each keeps the time that it has left.
        match tick {
            40 => {
                crossing.timers.pause();
                println!("{tick:4}  {now:10}           all timers pause");
            }
            60 => {
                crossing.timers.resume(now);
                println!("{tick:4}  {now:10}           all timers resume, 20 ticks later");
            }
            _ => {}
        }

        // What is due goes on the bus. What finds the bus full is due again in the next tick.
        let report = crossing.timers.tick(now, |event| BUS.publish(event));
        assert_eq!(report.left, 0, "three timers and one interrupt fit on a bus of four");

        for event in events.drain() {
            let what = crossing.handle(event);
            println!("{tick:4}  {now:10}  {:<7}  {what}", format!("{event:?}"));
        }
    }

    println!(
        "\nThe lamp blinked {} times: every {BLINK} ticks from tick 10 on, and the",
        crossing.blinks
    );
    println!(
        "pause moved the last blink from 40 to 61. {} timers still run.",
        crossing.timers.len()
    );
    // A cancelled timer publishes nothing more, but what it has published stays on the bus.
    assert_eq!((crossing.light, crossing.blinks), (Light::Green, 6));
    assert!(crossing.timers.is_empty());
}
