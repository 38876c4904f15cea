//! Size report: a pub-sub channel of embassy-sync with one subscriber.
#![no_std]
#![no_main]

mod parts;

use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pubsub::PubSubChannel;
use parts::{Context, Event, HANDLERS, SLOTS};
use tickbus::Event as _;

static CHANNEL: PubSubChannel<CriticalSectionRawMutex, Event, SLOTS, 1, 1> = PubSubChannel::new();

#[cortex_m_rt::exception]
fn SysTick() {
    CHANNEL.immediate_publisher().publish_immediate(parts::read_input());
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut context = Context(0);
    let Ok(mut events) = CHANNEL.subscriber() else { cortex_m::asm::udf() };
    loop {
        while let Some(event) = events.try_next_message_pure() {
            HANDLERS[event.kind()](&mut context, &event);
        }
        cortex_m::asm::wfi();
    }
}
