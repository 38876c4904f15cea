//! Size report: no queue. The interrupt calls the handlers.
#![no_std]
#![no_main]

mod parts;

use tickbus::Event as _;

use parts::{Context, HANDLERS};

#[cortex_m_rt::exception]
fn SysTick() {
    static mut CONTEXT: Context = Context(0);
    let event = parts::read_input();
    HANDLERS[event.kind()](CONTEXT, &event);
}

#[cortex_m_rt::entry]
fn main() -> ! {
    loop {
        cortex_m::asm::wfi();
    }
}
