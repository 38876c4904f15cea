//! Size report: a channel of embassy-sync.
#![no_std]
#![no_main]

mod parts;

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::channel::Channel;
use parts::{Context, Event, HANDLERS, SLOTS};
use tickbus::Event as _;

static QUEUE: Channel<CriticalSectionRawMutex, Event, SLOTS> = Channel::new();

#[cortex_m_rt::exception]
fn SysTick() {
    let _ = QUEUE.try_send(parts::read_input());
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut context = Context(0);
    loop {
        while let Ok(event) = QUEUE.try_receive() {
            HANDLERS[event.kind()](&mut context, &event);
        }
        cortex_m::asm::wfi();
    }
}
