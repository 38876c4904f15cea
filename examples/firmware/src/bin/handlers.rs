//! Two ways in which an interrupt handler keeps the publisher of a lane.
//!
//! | handler | who claims the publisher | where the handler keeps it |
//! |---|---|---|
//! | SysTick | the handler, at its first call | in a `static mut` of its own, which cortex-m-rt gives it as `&mut` |
//! | PendSV | `main`, which hands it over in a cell | PendSV alone, after it has taken it out of the cell |
//!
//! A third way is a resource of RTIC: see `rtic_lane`. A handler that keeps no publisher calls `Lane::publish`,
//! which claims the lane for one event at a time.
#![no_std]
#![no_main]

use core::cell::RefCell;
use core::panic::PanicInfo;

use cortex_m::peripheral::SCB;
use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::{entry, exception};
use critical_section::Mutex;
use semihosting::{println, process};
use tickbus::{Lane, Publisher};

const EVENTS: u32 = 10;
const CLOCKS_A_TICK: u32 = 12_500;

static TICKS: Lane<u32, 4> = Lane::new();
static SWITCHES: Lane<u32, 4> = Lane::new();

/// What `main` hands over to PendSV.
static FOR_PENDSV: Mutex<RefCell<Option<Publisher<'static, u32>>>> = Mutex::new(RefCell::new(None));

/// Claims its publisher itself: nothing is handed over.
#[exception]
fn SysTick() {
    static mut PUBLISHER: Option<Publisher<'static, u32>> = None;
    static mut NUMBER: u32 = 0;

    if PUBLISHER.is_none() {
        *PUBLISHER = TICKS.publisher().ok();
    }
    if let Some(publisher) = PUBLISHER
        && publisher.publish(*NUMBER + 1).is_ok()
    {
        *NUMBER += 1;
    }
}

/// Takes what `main` has handed over at its first call; all others need no critical section.
#[exception]
fn PendSV() {
    static mut PUBLISHER: Option<Publisher<'static, u32>> = None;
    static mut NUMBER: u32 = 0;

    if PUBLISHER.is_none() {
        *PUBLISHER = critical_section::with(|cs| FOR_PENDSV.borrow_ref_mut(cs).take());
    }
    if let Some(publisher) = PUBLISHER {
        *NUMBER += 1;
        // The statistics of the lane say what found no room.
        let _ = publisher.publish(*NUMBER);
    }
}

#[entry]
fn main() -> ! {
    let mut core = cortex_m::Peripherals::take().expect("main runs once");
    let mut ticks = TICKS.consumer().expect("main is the only consumer");
    let mut switches = SWITCHES.consumer().expect("main is the only consumer");

    let publisher = SWITCHES.publisher().expect("main claims it before any other");
    critical_section::with(|cs| FOR_PENDSV.borrow_ref_mut(cs).replace(publisher));

    core.SYST.set_clock_source(SystClkSource::Core);
    core.SYST.set_reload(CLOCKS_A_TICK - 1);
    core.SYST.clear_current();
    core.SYST.enable_interrupt();
    core.SYST.enable_counter();

    let (mut first, mut second) = (0, 0);
    while TICKS.stats().handled < EVENTS as usize {
        SCB::set_pendsv();
        first += ticks.drain().at_most(1).sum::<u32>();
        second += switches.drain().count() as u32;
    }
    assert_eq!(first, EVENTS * (EVENTS + 1) / 2, "ticks came twice, or not at all");
    let stats = SWITCHES.stats();
    assert!(second >= EVENTS && stats.handled == second as usize && stats.refused == 0);
    println!("SysTick claimed its publisher: {EVENTS} ticks, sum {first}");
    println!("PendSV was handed its publisher: a switch for each turn of main");
    process::exit(0)
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    println!("FAILED: {info}");
    process::exit(1)
}
