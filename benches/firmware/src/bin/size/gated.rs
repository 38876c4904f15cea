//! Size report: a gated topic with one gating subscriber.
#![no_std]
#![no_main]

mod parts;

use parts::{Context, Event, HANDLERS, SLOTS};
use tickbus::{Event as _, GatedTopic};

static TOPIC: GatedTopic<Event, SLOTS, 1> = GatedTopic::new();

#[cortex_m_rt::exception]
fn SysTick() {
    let _ = TOPIC.publish(parts::read_input());
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut context = Context(0);
    let Ok(mut events) = TOPIC.subscribe() else { cortex_m::asm::udf() };
    loop {
        for event in events.read().flatten() {
            HANDLERS[event.kind()](&mut context, &event);
        }
        cortex_m::asm::wfi();
    }
}
