//! Size report: the lane, for one publisher, drained by hand through a table by hand.
#![no_std]
#![no_main]

mod parts;

use parts::{Context, Event, HANDLERS, SLOTS};
use tickbus::{Event as _, Lane, Publisher};

static LANE: Lane<Event, SLOTS> = Lane::new();

#[cortex_m_rt::exception]
fn SysTick() {
    static mut PRODUCER: Option<Publisher<'static, Event>> = None;
    if PRODUCER.is_none() {
        *PRODUCER = LANE.publisher().ok();
    }
    if let Some(publisher) = PRODUCER {
        let _ = publisher.publish(parts::read_input());
    }
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut context = Context(0);
    let Ok(mut events) = LANE.consumer() else { cortex_m::asm::udf() };
    loop {
        for event in events.drain() {
            HANDLERS[event.kind()](&mut context, &event);
        }
        cortex_m::asm::wfi();
    }
}
