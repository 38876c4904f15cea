//! Finds the longest stretch of instructions for which an operation keeps interrupts waiting.
//!
//! An interrupt is made to land after every instruction of the operation in turn. Those that come while
//! interrupts are masked all land on the same instruction: as many as do that is the length. For the bus, fan-out
//! and waits it has a bound, and depends neither on the capacity nor on the size of an event that is larger than
//! two words.

use core::cell::UnsafeCell;

use semihosting::println;
use tickbus::Event;

use crate::interrupt::{self, Landing, Levels};
use crate::{clock, host};

/// The most that the bus may take: nothing where its steps are not critical sections.
pub const BOUND: u32 =
    if cfg!(all(target_has_atomic = "ptr", not(tickbus_short_sections))) { 0 } else { 20 };

/// An event of so many words.
#[derive(Clone, Copy)]
pub struct Payload<const WORDS: usize>(pub [u32; WORDS]);

impl<const WORDS: usize> Event for Payload<WORDS> {
    const SUBJECTS: &'static [&'static str] = &["payload"];

    fn kind(&self) -> usize {
        0
    }
}

/// A handle between two operations. No critical section guards it: that would be found.
pub struct Kept<T>(UnsafeCell<Option<T>>);

// SAFETY: only `main` reaches it.
unsafe impl<T: Send> Sync for Kept<T> {}

impl<T> Kept<T> {
    #[expect(clippy::new_without_default, reason = "for statics")]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(None))
    }

    pub fn set(&self, value: T) {
        // SAFETY: only `main` comes here, and not while it is in `with`.
        unsafe { *self.0.get() = Some(value) };
    }

    pub fn forget(&self) {
        // SAFETY: as in `set`.
        unsafe { *self.0.get() = None };
    }

    pub fn with<R>(&self, work: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: only `main` comes here, and `work` does not use this object.
        let kept = unsafe { &mut *self.0.get() };
        work(kept.as_mut().expect("set before"))
    }
}

/// An operation, and what makes everything ready for it: the same way each time, or instructions that
/// belong together would not be counted together.
#[derive(Clone, Copy)]
pub struct Operation {
    name: &'static str,
    /// It is an operation of the bus, and bound.
    is_bound: bool,
    prepare: fn(),
    run: fn(),
}

impl Operation {
    pub const fn new(name: &'static str, prepare: fn(), run: fn()) -> Self {
        Self { name, is_bound: true, prepare, run }
    }

    /// One that stands beside for comparison.
    pub const fn of_a_peer(name: &'static str, prepare: fn(), run: fn()) -> Self {
        Self { name, is_bound: false, prepare, run }
    }

    /// The most instructions for which it holds off an interrupt.
    fn longest_masked(&self) -> u32 {
        let levels = Levels { main: self.run, pendsv: None, systick: || () };
        let mut longest = 0;
        let mut length = 0;
        let mut last = None;
        for k in 1.. {
            (self.prepare)();
            let (landing, _) = interrupt::run(levels, k, 1);
            if landing == Landing::After {
                break;
            }
            if last == Some(landing) {
                length += 1;
                longest = longest.max(length);
            } else {
                length = 0;
                last = Some(landing);
            }
        }
        longest
    }
}

/// The same operations for one size of events and one capacity.
pub struct Column {
    pub bytes: usize,
    pub slots: usize,
    pub operations: &'static [Operation],
}

/// Tells the longest stretch of every operation, and ends the program: in failure if one is too long, or is not
/// the same for all larger events and their capacities.
pub fn tell<const COLUMNS: usize>(columns: [Column; COLUMNS]) -> ! {
    let mut core = cortex_m::Peripherals::take().expect("this is called once");
    clock::start(&mut core.SYST);
    interrupt::start(&mut core.SCB);

    semihosting::print!("{:<52}", "longest masked, for bytes x slots");
    for Column { bytes, slots, .. } in &columns {
        semihosting::print!(" {:>7}", Size(*bytes, *slots));
    }
    println!();
    let mut failures = 0;
    for (index, operation) in columns[0].operations.iter().enumerate() {
        let masked = columns.each_ref().map(|column| column.operations[index].longest_masked());
        let is_same = |which: fn(usize) -> bool| {
            let mut some = columns.iter().zip(masked).filter(|(column, _)| which(column.bytes));
            let first = some.next().map(|(_, masked)| masked);
            some.all(|(_, masked)| Some(masked) == first)
        };
        // Small events move inside of a section, which is compiled for each capacity; larger ones outside.
        let is_right = masked.iter().all(|length| *length <= BOUND) && is_same(|bytes| bytes > 16);
        semihosting::print!("{:<52}", operation.name);
        for length in masked {
            semihosting::print!(" {length:>7}");
        }
        println!(
            "{}",
            match (operation.is_bound, is_right) {
                (true, true) => "",
                (true, false) => "  WRONG",
                (false, _) => "  (a peer)",
            }
        );
        failures += u32::from(operation.is_bound && !is_right);
    }
    if failures > 0 {
        host::fail(format_args!(
            "{failures} operations mask more than {BOUND} instructions, or not the same for all larger events and \
             their capacities"
        ));
    }
    println!("no operation masks more than {BOUND}, whatever the event and the capacity");
    host::done()
}

/// Bytes and slots, as one word.
struct Size(usize, usize);

impl core::fmt::Display for Size {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut text = heapless::String::<16>::new();
        let _ = core::fmt::Write::write_fmt(&mut text, format_args!("{}x{}", self.0, self.1));
        f.pad(&text)
    }
}
