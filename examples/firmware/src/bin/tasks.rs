//! Two tasks of embassy-executor and an interrupt.
//!
//! SysTick publishes samples. `measure` awaits them and sends three reports for every four, through a bus
//! with room for two: so it waits for room with each third. `report` awaits the reports and prints them
//! through a table of handlers. When no task has work, the core sleeps.
#![no_std]
#![no_main]

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::syst::SystClkSource;
use cortex_m_rt::exception;
use embassy_executor::Spawner;
use semihosting::{println, process};
use tickbus::{Budget, Bus, Dispatch, Reject, Waiters};

tickbus::events! {
    #[derive(Clone, Copy)]
    pub enum Report {
        #[subject = "report.least"] Least(u32),
        #[subject = "report.most"] Most(u32),
        #[subject = "report.sum"] Sum(u32),
    }
}

const SAMPLES_IN_ALL: u32 = 12;
const SAMPLES_A_REPORT: u32 = 4;
const CLOCKS_A_SAMPLE: u32 = 12_500;

static SAMPLES: Bus<u32, 16, Reject, Waiters<1>> = Bus::new();
static REPORTS: Bus<Report, 2, Reject, Waiters<2>> = Bus::new();

static HANDLERS: Dispatch<Report, u32, { Report::KINDS }> =
    Dispatch::new().on("report.*", count).on("report.sum", last);

fn count(reports: &mut u32, report: &Report) {
    *reports += 1;
    match report {
        Report::Least(value) => println!("least {value}"),
        Report::Most(value) => println!("most {value}"),
        Report::Sum(value) => println!("sum {value}"),
    }
}

fn last(reports: &mut u32, _: &Report) {
    if *reports < SAMPLES_IN_ALL / SAMPLES_A_REPORT * 3 {
        return;
    }
    let samples = SAMPLES.stats();
    println!("samples: published {}, handled {}", samples.published, samples.handled);
    let stats = REPORTS.stats();
    println!(
        "reports: published {}, handled {}, refused {}, high water {} of {}",
        stats.published,
        stats.handled,
        stats.refused,
        stats.high_water,
        REPORTS.capacity()
    );
    process::exit(0);
}

#[exception]
fn SysTick() {
    static LAST: AtomicU32 = AtomicU32::new(0);

    // A sample that finds no room is measured again at the next tick.
    let sample = LAST.load(Ordering::Relaxed) + 1;
    if sample <= SAMPLES_IN_ALL && SAMPLES.publish(sample).is_ok() {
        LAST.store(sample, Ordering::Relaxed);
    }
}

#[embassy_executor::task]
async fn measure() {
    let mut samples = SAMPLES.consumer().expect("this task is the only consumer");
    loop {
        let (mut least, mut most, mut sum) = (u32::MAX, 0, 0);
        for _ in 0..SAMPLES_A_REPORT {
            let sample = samples.next_async().await;
            least = least.min(sample);
            most = most.max(sample);
            sum += sample;
        }
        for report in [Report::Least(least), Report::Most(most), Report::Sum(sum)] {
            REPORTS
                .publish_async(report)
                .await
                .expect("there is a place for each of the two tasks");
        }
    }
}

#[embassy_executor::task]
async fn report() {
    let mut reports = 0;
    let mut events = REPORTS.consumer().expect("this task is the only consumer");
    loop {
        events.ready_async().await;
        let report = HANDLERS.tick(&mut reports, &mut events, Budget::events(2));
        assert_eq!(report.left, 0, "there is room for two");
    }
}

#[embassy_executor::main]
async fn main(spawner: Spawner) {
    let mut core = cortex_m::Peripherals::take().expect("main runs once");
    core.SYST.set_clock_source(SystClkSource::Core);
    core.SYST.set_reload(CLOCKS_A_SAMPLE - 1);
    core.SYST.clear_current();
    core.SYST.enable_interrupt();
    core.SYST.enable_counter();
    spawner.spawn(measure().expect("spawned once"));
    spawner.spawn(report().expect("spawned once"));
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    println!("FAILED: {info}");
    process::exit(1)
}
