//! Size report: a heapless deque in a critical section.
#![no_std]
#![no_main]

mod parts;

use core::cell::RefCell;

use critical_section::Mutex;
use heapless::Deque;
use parts::{Context, Event, HANDLERS, SLOTS};
use tickbus::Event as _;

static QUEUE: Mutex<RefCell<Deque<Event, SLOTS>>> = Mutex::new(RefCell::new(Deque::new()));

#[cortex_m_rt::exception]
fn SysTick() {
    let event = parts::read_input();
    let _ = critical_section::with(|cs| QUEUE.borrow_ref_mut(cs).push_back(event));
}

#[cortex_m_rt::entry]
fn main() -> ! {
    let mut context = Context(0);
    loop {
        while let Some(event) = critical_section::with(|cs| QUEUE.borrow_ref_mut(cs).pop_front()) {
            HANDLERS[event.kind()](&mut context, &event);
        }
        cortex_m::asm::wfi();
    }
}
