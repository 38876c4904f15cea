//! An RTIC task keeps the publisher of a lane as a local resource, and `idle` its consumer.
//!
//! `init` claims both and hands them over; no cell is needed. See `handlers` for firmware without RTIC.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use semihosting::{println, process};

#[rtic::app(device = lm3s6965)]
mod app {
    use cortex_m::peripheral::syst::SystClkSource;
    use semihosting::{println, process};
    use tickbus::bus::Single;
    use tickbus::{Consumer, Lane, Publisher};

    const EVENTS: u32 = 10;
    const CLOCKS_A_TICK: u32 = 12_500;

    static TICKS: Lane<u32, 4> = Lane::new();

    #[shared]
    struct Shared {}

    #[local]
    struct Local {
        publisher: Publisher<'static, u32>,
        events: Consumer<'static, u32, Single>,
    }

    #[init]
    fn init(cx: init::Context) -> (Shared, Local) {
        let mut syst = cx.core.SYST;
        syst.set_clock_source(SystClkSource::Core);
        syst.set_reload(CLOCKS_A_TICK - 1);
        syst.clear_current();
        syst.enable_interrupt();
        syst.enable_counter();
        let publisher = TICKS.publisher().expect("`init` runs once");
        let events = TICKS.consumer().expect("`init` runs once");
        (Shared {}, Local { publisher, events })
    }

    #[task(binds = SysTick, local = [publisher, number: u32 = 0])]
    fn tick(cx: tick::Context) {
        let tick::LocalResources { publisher, number, .. } = cx.local;
        if publisher.publish(*number + 1).is_ok() {
            *number += 1;
        }
    }

    #[idle(local = [events])]
    fn idle(cx: idle::Context) -> ! {
        let mut sum = 0;
        while TICKS.stats().handled < EVENTS as usize {
            sum += cx.local.events.drain().at_most(1).sum::<u32>();
            cortex_m::asm::wfi();
        }
        println!("an RTIC task has the publisher: {EVENTS} ticks, sum {sum}");
        process::exit(0)
    }
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    println!("FAILED: {info}");
    process::exit(1)
}
