//! A console on the UART: interrupts publish, `main` sleeps until there is something and dispatches.
//!
//! | who | publishes |
//! |---|---|
//! | receive interrupt | every byte of the UART |
//! | timer interrupt | a tick, 100 times a second |
//! | flood interrupt | more events than fit, when the command `flood` pends it |
//!
//! The bytes become lines, and the lines commands: see `help`. Byte 4 (Ctrl-D) ends the input.
#![no_std]
#![no_main]

#[path = "../../board/mod.rs"]
mod board;
mod line;

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicU32, Ordering};

use heapless::Deque;
use line::{Line, Mistake};
use semihosting::process;
use tickbus::{Budget, Bus, Consumer, Dispatch, Event as _, Full, Stats};

const CAPACITY: usize = 64;

/// What the flood interrupt tries to publish: more than fits.
const FLOOD: u32 = 100;

tickbus::events! {
    /// What the interrupts tell `main`.
    #[derive(Clone, Copy, Debug)]
    pub enum Event {
        #[subject = "uart.received"]
        Received(u8),
        #[subject = "timer.tick"]
        Tick,
        #[subject = "flood.drop"]
        Drop(u32),
    }
}

tickbus::events! {
    /// What a line can ask for. Its words are the segments of the subject.
    #[derive(Clone, Copy, Debug)]
    pub enum Command {
        #[subject = "help"]
        Help,
        #[subject = "stats"]
        Stats,
        #[subject = "led.on"]
        LedOn,
        #[subject = "led.off"]
        LedOff,
        #[subject = "flood"]
        Flood,
        #[subject = "quit"]
        Quit,
    }
}

impl Command {
    const ALL: [Self; 6] =
        [Self::Help, Self::Stats, Self::LedOn, Self::LedOff, Self::Flood, Self::Quit];

    /// The commands that have the first word of a line.
    fn beginning_as(line: &str) -> impl Iterator<Item = Self> {
        let word = line.split_whitespace().next();
        Self::ALL.into_iter().filter(move |command| command.subject().split('.').next() == word)
    }
}

static BUS: Bus<Event, CAPACITY> = Bus::new();

static EVENTS: Dispatch<Event, Console, { Event::KINDS }, Result<(), Mistake>> = Dispatch::new()
    .on("uart.received", Console::received)
    .on("timer.tick", Console::tick)
    .on("flood.*", Console::drop)
    .on_error(Console::explain);

static COMMANDS: Dispatch<Command, Console, { Command::KINDS }> = Dispatch::new()
    .on("help", Console::help)
    .on("stats", Console::stats)
    .on("led.*", Console::led)
    .on("flood", Console::flood)
    .on("quit", Console::quit);

/// A byte that the full bus gave back to the receive interrupt. `main` publishes it when there is room;
/// until then the interrupt is off, and those behind it wait in the UART.
static HELD: AtomicU32 = AtomicU32::new(NOTHING_HELD);
const NOTHING_HELD: u32 = u32::MAX;

/// How much of the flood the bus took, and how much it gave back.
static FLOOD_PUBLISHED: AtomicU32 = AtomicU32::new(0);
static FLOOD_REFUSED: AtomicU32 = AtomicU32::new(0);

/// The receive interrupt: publishes what the UART has.
fn on_receive() {
    if HELD.load(Ordering::Relaxed) != NOTHING_HELD {
        // It was pending already when it was switched off.
        return;
    }
    while let Some(byte) = board::receive() {
        if BUS.publish(Event::Received(byte)).is_err() {
            HELD.store(byte.into(), Ordering::Relaxed);
            board::receive_interrupt(false);
            return;
        }
    }
}

/// The timer interrupt. A tick that finds the bus full counts as refused in the statistics.
fn on_tick() {
    let _ = BUS.publish(Event::Tick);
}

/// The flood interrupt.
fn on_flood() {
    let mut published = 0;
    for drop in 0..FLOOD {
        match BUS.publish(Event::Drop(drop)) {
            Ok(()) => published += 1,
            Err(Full(_)) => {}
        }
    }
    FLOOD_PUBLISHED.store(published, Ordering::Relaxed);
    FLOOD_REFUSED.store(FLOOD - published, Ordering::Relaxed);
}

/// Publishes the byte that the receive interrupt could not, and lets the interrupt go on.
fn resume_receiver() {
    let Ok(byte) = u8::try_from(HELD.load(Ordering::Relaxed)) else { return };
    if BUS.publish(Event::Received(byte)).is_ok() {
        HELD.store(NOTHING_HELD, Ordering::Relaxed);
        board::receive_interrupt(true);
        // Not every UART tells of a byte that came while its interrupt was off.
        critical_section::with(|_| on_receive());
    }
}

/// What a command wants done at the next quiet moment: between two ticks no event is on its way.
#[derive(Clone, Copy)]
enum Wish {
    Stats,
    Flood,
}

/// A flood on its way: the statistics before it, and how many of its events have been handled.
struct Flood {
    before: Stats,
    handled: u32,
}

#[derive(Default)]
struct Console {
    line: Line,
    ticks: u32,
    wish: Option<Wish>,
    flood: Option<Flood>,
    /// What was typed before a wish was granted: by the end of the tick with the command, and of the
    /// next one with the flood. Twice a full bus is the most that can be.
    ahead: Deque<u8, { 2 * CAPACITY }>,
    ended: bool,
}

/// Handlers of events.
impl Console {
    fn received(&mut self, event: &Event) -> Result<(), Mistake> {
        let &Event::Received(byte) = event else { return Ok(()) };
        if self.is_busy() {
            return self.ahead.push_back(byte).map_err(|_| Mistake::TooMuchAhead);
        }
        self.typed(byte)
    }

    fn tick(&mut self, _: &Event) -> Result<(), Mistake> {
        self.ticks = self.ticks.wrapping_add(1);
        Ok(())
    }

    fn drop(&mut self, _: &Event) -> Result<(), Mistake> {
        if let Some(flood) = &mut self.flood {
            flood.handled += 1;
        }
        Ok(())
    }

    fn explain(&mut self, _: &Event, mistake: Mistake) {
        self.explain_mistake(mistake);
    }
}

/// Handlers of commands.
impl Console {
    fn help(&mut self, _: &Command) {
        answer(format_args!("help       this list"));
        answer(format_args!("stats      what went over the bus"));
        answer(format_args!("led on     switches the LED on"));
        answer(format_args!("led off    switches the LED off"));
        answer(format_args!("flood      publishes {FLOOD} events at once into {CAPACITY} slots"));
        answer(format_args!("quit       ends the program"));
    }

    fn led(&mut self, command: &Command) {
        board::set_led(matches!(command, Command::LedOn));
        answer(format_args!("led is {}", if board::led() { "on" } else { "off" }));
    }

    fn stats(&mut self, _: &Command) {
        self.wish = Some(Wish::Stats);
    }

    fn flood(&mut self, _: &Command) {
        self.wish = Some(Wish::Flood);
    }

    fn quit(&mut self, _: &Command) {
        self.ended = true;
    }
}

impl Console {
    fn is_busy(&self) -> bool {
        self.wish.is_some() || self.flood.is_some() || !self.ahead.is_empty()
    }

    /// Takes a byte of the input, and runs the line that it ends.
    fn typed(&mut self, byte: u8) -> Result<(), Mistake> {
        if self.ended {
            return Ok(());
        }
        if byte == line::END_OF_INPUT {
            if self.line.is_open() {
                // The last line was not ended. It runs, and then the input is at its end again.
                self.ahead.push_front(byte).map_err(|_| Mistake::TooMuchAhead)?;
                return self.typed(b'\n');
            }
            answer(format_args!("end of input"));
            self.ended = true;
            return Ok(());
        }
        let Some(text) = self.line.push(byte) else { return Ok(()) };
        let text = text?;
        let mut words = text.split_whitespace().peekable();
        if words.peek().is_some() {
            let asked = |command: &Command| command.subject().split('.').eq(words.clone());
            let Some(command) = Command::ALL.into_iter().find(asked) else {
                let is_known = Command::beginning_as(text).next().is_some();
                return Err(if is_known { Mistake::Usage } else { Mistake::Unknown });
            };
            COMMANDS.call(self, &command);
        }
        if self.wish.is_none() {
            self.prompt();
        }
        Ok(())
    }

    /// Between two ticks: grants the wish of a command, then goes on with what was typed meanwhile.
    fn settle(&mut self) {
        loop {
            match self.wish.take() {
                Some(Wish::Stats) => self.show_stats(),
                Some(Wish::Flood) => self.start_flood(),
                None => {}
            }
            if self.flood.as_ref().is_some_and(Flood::is_over) {
                self.end_flood();
            }
            if self.flood.is_some() {
                return;
            }
            let Some(byte) = self.ahead.pop_front() else { return };
            if let Err(mistake) = self.typed(byte) {
                self.explain_mistake(mistake);
            }
        }
    }

    fn show_stats(&self) {
        let stats = quiet_stats();
        answer(format_args!(
            "published {}, handled {}, dropped {}, refused {}, pending {}",
            stats.published,
            stats.handled,
            stats.dropped(),
            stats.refused,
            stats.pending
        ));
        answer(format_args!(
            "failed {}, unhandled {}, high water {} of {CAPACITY}, timer ticks {}",
            stats.failed, stats.unhandled, stats.high_water, self.ticks
        ));
        answer_conservation(&stats);
        self.prompt();
    }

    fn start_flood(&mut self) {
        let before = quiet_stats();
        board::pend_flood();
        self.flood = Some(Flood { before, handled: 0 });
    }

    fn end_flood(&mut self) {
        let Some(flood) = self.flood.take() else { return };
        let stats = quiet_stats();
        answer(format_args!(
            "flood of {FLOOD}: published {}, handled {}, dropped {}, refused {}",
            FLOOD_PUBLISHED.load(Ordering::Relaxed),
            flood.handled,
            stats.dropped() - flood.before.dropped(),
            FLOOD_REFUSED.load(Ordering::Relaxed)
        ));
        answer_conservation(&stats);
        self.prompt();
    }

    fn explain_mistake(&self, mistake: Mistake) {
        match mistake {
            Mistake::Unknown => {
                answer(format_args!("error: unknown command \"{}\", try help", self.line.text()))
            }
            Mistake::Usage => {
                let mut before = "usage:";
                for command in Command::beginning_as(self.line.text()) {
                    print(format_args!("{before}"));
                    command.subject().split('.').for_each(|word| print(format_args!(" {word}")));
                    before = ", or";
                }
                answer(format_args!(""));
            }
            other => answer(format_args!("error: {other}")),
        }
        self.prompt();
    }

    fn prompt(&self) {
        if !self.ended {
            print(format_args!("> "));
        }
    }
}

impl Flood {
    fn is_over(&self) -> bool {
        self.handled == FLOOD_PUBLISHED.load(Ordering::Relaxed)
    }
}

/// Returns the statistics of one moment: with interrupts masked, no handler publishes between two counters.
fn quiet_stats() -> Stats {
    critical_section::with(|_| BUS.stats())
}

fn answer_conservation(stats: &Stats) {
    let Stats { published, handled, pending, .. } = *stats;
    let dropped = stats.dropped();
    let holds = published == handled.wrapping_add(dropped).wrapping_add(pending);
    answer(format_args!(
        "conservation {}: {published} = {handled} + {dropped} + {pending}",
        if holds { "holds" } else { "BROKEN" }
    ));
}

/// Sends a line.
fn answer(text: fmt::Arguments) {
    print(text);
    print(format_args!("\r\n"));
}

fn print(text: fmt::Arguments) {
    struct Uart;

    impl Write for Uart {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            text.bytes().for_each(board::send);
            Ok(())
        }
    }

    // The UART takes everything.
    let _ = Uart.write_fmt(text);
}

fn run(mut events: Consumer<'_, Event>) {
    let mut console = Console::default();
    answer(format_args!("tickbus console, try help"));
    console.prompt();
    while !console.ended || console.is_busy() {
        let report = EVENTS.tick(&mut console, &mut events, Budget::events(CAPACITY));
        console.settle();
        resume_receiver();
        // What was left by the budget or published by the flood is there already.
        if report.left == 0 {
            board::sleep_unless(|| events.pending() > 0);
        }
    }
}

#[cfg_attr(target_arch = "arm", cortex_m_rt::entry)]
#[cfg_attr(target_arch = "riscv32", riscv_rt::entry)]
fn main() -> ! {
    let events = BUS.consumer().expect("main is the only consumer");
    board::start();
    run(events);
    process::exit(0)
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    answer(format_args!("{info}"));
    process::exit(101)
}
