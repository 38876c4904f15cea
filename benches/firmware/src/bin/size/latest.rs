//! Size report: a latest value with one watcher.
#![no_std]
#![no_main]

mod parts;

use parts::{Context, Event, HANDLERS};
use tickbus::{Event as _, Latest};

static LATEST: Latest<Event> = Latest::new();

#[cortex_m_rt::exception]
fn SysTick() {
    LATEST.publish(parts::read_input());
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut context = Context(0);
    let mut newest = LATEST.watch();
    loop {
        if let Some(changed) = newest.changed() {
            HANDLERS[changed.value.kind()](&mut context, &changed.value);
        }
        cortex_m::asm::wfi();
    }
}
