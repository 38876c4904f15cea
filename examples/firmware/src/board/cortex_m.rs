//! What all Cortex-M boards have: exceptions, PendSV as the flood interrupt, SysTick, sleep.

use cortex_m::asm;
use cortex_m::peripheral::scb::SystemHandler;
use cortex_m::peripheral::{NVIC, Peripherals, SCB};
use cortex_m_rt::exception;

/// Puts the flood interrupt below all others, so that they interrupt it as they interrupt `main`.
pub fn start_exceptions(core: &mut Peripherals) {
    // SAFETY: no critical section of this program is built on priorities.
    unsafe { core.SCB.set_priority(SystemHandler::PendSV, 0xFF) };
}

/// Lets SysTick interrupt every `clocks` of the core.
#[cfg(not(board = "microbit"))]
pub fn start_systick(syst: &mut cortex_m::peripheral::SYST, clocks: u32) {
    use cortex_m::peripheral::syst::SystClkSource;
    syst.set_clock_source(SystClkSource::Core);
    syst.set_reload(clocks - 1);
    syst.clear_current();
    syst.enable_interrupt();
    syst.enable_counter();
}

/// The number of a device interrupt.
#[derive(Clone, Copy)]
pub struct Irq(pub u16);

// SAFETY: the numbers that the boards give are those of their devices.
unsafe impl cortex_m::interrupt::InterruptNumber for Irq {
    fn number(self) -> u16 {
        self.0
    }
}

pub fn unmask(irq: Irq) {
    // SAFETY: no critical section of this program is built on masking single interrupts.
    unsafe { NVIC::unmask(irq) };
}

pub fn pend_flood() {
    SCB::set_pendsv();
    // The exception is taken before the next instruction.
    asm::dsb();
    asm::isb();
}

/// Sleeps until an interrupt comes, unless `busy`. Nothing can come between the question and the
/// sleep: interrupts are masked, and WFI wakes for a pending one all the same. It runs when the
/// critical section ends.
pub fn sleep_unless(busy: impl FnOnce() -> bool) {
    critical_section::with(|_| {
        if !busy() {
            asm::wfi();
        }
    });
}

#[cfg(not(board = "microbit"))]
#[exception]
fn SysTick() {
    crate::on_tick();
}

#[exception]
fn PendSV() {
    crate::on_flood();
}

/// Device interrupts come here, since the crates of the vendors, which name them, are not needed.
#[exception]
unsafe fn DefaultHandler(irq: i16) {
    super::chip::interrupt(irq);
}
