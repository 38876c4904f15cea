//! Size report: the bus, drained by hand through a table by hand.
#![no_std]
#![no_main]

mod parts;

use parts::{Context, Event, HANDLERS, SLOTS};
use tickbus::{Bus, Event as _};

static BUS: Bus<Event, SLOTS> = Bus::new();

#[cortex_m_rt::exception]
fn SysTick() {
    let _ = BUS.publish(parts::read_input());
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut context = Context(0);
    let Ok(mut events) = BUS.consumer() else { cortex_m::asm::udf() };
    loop {
        for event in events.drain() {
            HANDLERS[event.kind()](&mut context, &event);
        }
        cortex_m::asm::wfi();
    }
}
