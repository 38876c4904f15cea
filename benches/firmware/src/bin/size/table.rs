//! Size report: the bus and its dispatch table.
#![no_std]
#![no_main]

mod parts;

use parts::{Context, Event, SLOTS};
use tickbus::{Budget, Bus, Dispatch};

static BUS: Bus<Event, SLOTS> = Bus::new();

static TABLE: Dispatch<Event, Context, { Event::KINDS }> = Dispatch::new()
    .on("part.first", parts::first)
    .on("part.second", parts::second)
    .on("part.third", parts::third)
    .on("part.fourth", parts::fourth)
    .on("part.fifth", parts::fifth)
    .on("part.sixth", parts::sixth)
    .on("part.seventh", parts::seventh)
    .on("part.eighth", parts::eighth);

#[cortex_m_rt::exception]
fn SysTick() {
    let _ = BUS.publish(parts::read_input());
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut context = Context(0);
    let Ok(mut events) = BUS.consumer() else { cortex_m::asm::udf() };
    loop {
        let _ = TABLE.tick(&mut context, &mut events, Budget::events(SLOTS));
        cortex_m::asm::wfi();
    }
}
