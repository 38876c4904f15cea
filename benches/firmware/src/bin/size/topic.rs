//! Size report: a topic with one subscriber.
#![no_std]
#![no_main]

mod parts;

use parts::{Context, Event, HANDLERS, SLOTS};
use tickbus::{Event as _, Topic};

static TOPIC: Topic<Event, SLOTS> = Topic::new();

#[cortex_m_rt::exception]
fn SysTick() {
    TOPIC.publish(parts::read_input());
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut context = Context(0);
    let mut events = TOPIC.subscribe();
    loop {
        for event in events.read().flatten() {
            HANDLERS[event.kind()](&mut context, &event);
        }
        cortex_m::asm::wfi();
    }
}
