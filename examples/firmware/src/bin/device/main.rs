//! A thermometer on a serial line, which is a device of a fleet: it speaks MQTT 5 with a server.
//!
//! | who | publishes | on the wire |
//! |---|---|---|
//! | timer interrupt | a reading, 20 times a second | `device.7.reading` |
//! | network | what comes as `device.7.command` | |
//! | handlers of commands | an answer | `device.7.answer` |
//!
//! The readings and answers wait on a bus of 16, which drops the oldest when it is full. The network
//! takes them from there, and keeps up to 4 until the server has acknowledged them. A lost connection is
//! made anew, and what was not acknowledged is sent again with its id. So at each quiet moment
//! `published == acknowledged + dropped + pending`: the command `stats` says it.
//!
//! Nothing here allocates. `main` polls the network, runs the handlers and sleeps.
#![no_std]
#![no_main]

#[path = "../../board/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the console needs more of a board")]
mod board;
mod events;
mod line;
mod network;

use core::panic::PanicInfo;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};

use events::{Answer, COMMANDS, Command, OUTGOING, Outgoing, Said, Sums};
use line::{Line, on_receive};
use semihosting::{println, process};
use tickbus::{Budget, Dispatch, Event as _};

/// Ticks of the timer between two readings.
const TICKS_A_READING: u32 = 5;

static TICKS: AtomicU32 = AtomicU32::new(0);
static PAUSED: AtomicBool = AtomicBool::new(false);

/// Returns the ticks of the timer since the start.
fn now() -> u32 {
    TICKS.load(Ordering::Relaxed)
}

/// The timer interrupt. A full bus drops its oldest event and counts it.
fn on_tick() {
    static READINGS: AtomicU32 = AtomicU32::new(0);

    let now = now().wrapping_add(1);
    TICKS.store(now, Ordering::Relaxed);
    if now.is_multiple_of(TICKS_A_READING) && !PAUSED.load(Ordering::Relaxed) {
        let number = READINGS.load(Ordering::Relaxed) + 1;
        READINGS.store(number, Ordering::Relaxed);
        let _ = OUTGOING.publish(Outgoing::Reading { number, millidegrees: sensor(number) });
    }
}

/// What a thermometer would say.
fn sensor(number: u32) -> u32 {
    21_000 + number * 37 % 1000
}

/// The boards have it for the console.
fn on_flood() {}

static HANDLERS: Dispatch<Command, Device, { Command::KINDS }> = Dispatch::new()
    .on("led.*", Device::led)
    .on("stats", Device::stats)
    .on("pause", Device::readings)
    .on("resume", Device::readings)
    .on("unknown", Device::unknown);

struct Device;

impl Device {
    fn led(&mut self, command: &Command) {
        board::set_led(matches!(command, Command::LedOn(_)));
        answer(command, Said::Led(board::led()));
    }

    fn stats(&mut self, command: &Command) {
        answer(command, Said::Sums(Sums::now()));
    }

    fn readings(&mut self, command: &Command) {
        let is_paused = matches!(command, Command::Pause(_));
        PAUSED.store(is_paused, Ordering::Relaxed);
        answer(command, Said::Paused(is_paused));
    }

    fn unknown(&mut self, command: &Command) {
        answer(command, Said::Unknown);
    }
}

fn answer(command: &Command, said: Said) {
    println!("command {}", command.subject());
    let _ = OUTGOING.publish(Outgoing::Answer(Answer { to: command.id().clone(), said }));
}

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let line = Line::claim();
    let mut commands = COMMANDS.consumer().expect("main is the only consumer");
    board::start();
    // Everything is polled again after the next interrupt, so wakers have nothing to do.
    let mut network = pin!(network::run(&line));
    let mut context = Context::from_waker(Waker::noop());
    loop {
        let Poll::Pending = network.as_mut().poll(&mut context);
        let report = HANDLERS.tick(&mut Device, &mut commands, Budget::events(4));
        board::sleep_unless(|| report.handled > 0 || line.has_bytes());
    }
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    println!("FAILED: {info}");
    process::exit(1)
}
