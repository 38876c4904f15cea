//! A clock that counts instructions.
//!
//! Under `-icount shift=10` QEMU lets 1024 ns pass with every instruction, and reading SysTick sees the
//! time of that very instruction. SysTick runs at 12.5 MHz and more, so one instruction is at least 12
//! of its ticks: counts are exact, and the same in every run.

use core::arch::naked_asm;
use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;

const FULL: u32 = 0x00FF_FFFF;

/// Ticks of a thousand instructions, as calibrated.
static TICKS_PER_THOUSAND: AtomicU32 = AtomicU32::new(0);

/// Starts SysTick without its interrupt and measures how many ticks an instruction takes.
pub fn start(syst: &mut SYST) {
    syst.set_clock_source(SystClkSource::Core);
    syst.set_reload(FULL);
    syst.clear_current();
    syst.enable_counter();
    // The longer slide less the shorter one: what surrounds both falls out.
    let long = ticks(|_, ()| two_thousand_nops(), &mut (), ()).0;
    let short = ticks(|_, ()| one_thousand_nops(), &mut (), ()).0;
    TICKS_PER_THOUSAND.store(long - short, Ordering::Relaxed);
}

/// Lets SysTick count again, without its interrupt, after it has served [`crate::interrupt`].
pub fn resume() {
    // SAFETY: SysTick belongs to this file and to `interrupt`, and neither runs now.
    let syst = unsafe { &*SYST::PTR };
    // SAFETY: any reload value is fine, and so is any current value.
    unsafe {
        syst.rvr.write(FULL);
        syst.cvr.write(0);
        syst.csr.write(0b101);
    }
}

#[unsafe(naked)]
extern "C" fn one_thousand_nops() {
    naked_asm!(".rept 1000", "nop", ".endr", "bx lr")
}

#[unsafe(naked)]
extern "C" fn two_thousand_nops() {
    naked_asm!(".rept 2000", "nop", ".endr", "bx lr")
}

/// Ticks of a thousand instructions.
pub fn ticks_per_thousand() -> u32 {
    TICKS_PER_THOUSAND.load(Ordering::Relaxed)
}

/// Ticks to whole instructions.
pub fn instructions(ticks: u32) -> u32 {
    let thousand = ticks_per_thousand();
    (ticks * 1000 + thousand / 2) / thousand
}

/// Calls `operation` and returns its result with the instructions between two readings of the clock:
/// the operation, its call and its return. An empty operation tells what those two cost.
pub fn count<H, E, R>(operation: fn(&mut H, E) -> R, handle: &mut H, event: E) -> (u32, R) {
    let (ticks, result) = ticks(operation, handle, event);
    (instructions(ticks), result)
}

#[inline(never)]
fn ticks<H, E, R>(operation: fn(&mut H, E) -> R, handle: &mut H, event: E) -> (u32, R) {
    let operation = black_box(operation);
    let before = SYST::get_current();
    let result = operation(handle, event);
    let after = SYST::get_current();
    (before.wrapping_sub(after) & FULL, result)
}
