//! QEMU's RISC-V board `virt`: 16550 UART behind the PLIC, timer and software interrupt of the CLINT.

use core::sync::atomic::{AtomicBool, Ordering};

use riscv::asm;
use riscv::interrupt::Interrupt;
use riscv::register::{mie, mstatus};
use riscv_rt::core_interrupt;

use super::TICKS_PER_SECOND;
use super::device::Device;

// SAFETY: the UART of the board; only this file uses it.
const UART: Device = unsafe { Device::at(0x1000_0000) };
const UART_IRQ: u32 = 10;
const DATA: usize = 0;
const INTERRUPT_ON: usize = 1;
const LINE: usize = 3;
const STATE: usize = 5;
const RECEIVED: u8 = 1 << 0;
const TRANSMITTER_EMPTY: u8 = 1 << 5;
const EIGHT_BITS: u8 = 0b11;

// SAFETY: the interrupt controller of the board; only this file uses it.
const PLIC: Device = unsafe { Device::at(0x0C00_0000) };
const PRIORITIES: usize = 0x00_0000;
const ENABLED: usize = 0x00_2000;
const THRESHOLD: usize = 0x20_0000;
const CLAIM: usize = 0x20_0004;

// SAFETY: timer and software interrupt of the hart; only this file uses them.
const CLINT: Device = unsafe { Device::at(0x0200_0000) };
const SOFTWARE: usize = 0x0000;
const COMPARE: usize = 0x4000;
const TIME: usize = 0xBFF8;
const TIME_HZ: u32 = 10_000_000;

/// The board has no LED, so this is one.
static LED: AtomicBool = AtomicBool::new(false);

pub fn start() {
    // The FIFO stays off: to switch it on would lose what has come already.
    UART.write_byte(LINE, EIGHT_BITS);
    receive_interrupt(true);

    PLIC.write(PRIORITIES + 4 * UART_IRQ as usize, 1);
    PLIC.write(ENABLED, 1 << UART_IRQ);
    PLIC.write(THRESHOLD, 0);
    next_tick();

    // SAFETY: no critical section of this program is built on masking single interrupts.
    unsafe { mie::set_msoft() };
    // SAFETY: as above.
    unsafe { mie::set_mtimer() };
    // SAFETY: as above.
    unsafe { mie::set_mext() };
    // SAFETY: no critical section is open.
    unsafe { mstatus::set_mie() };
}

fn next_tick() {
    let time = u64::from(CLINT.read(TIME)) | u64::from(CLINT.read(TIME + 4)) << 32;
    let next = time + u64::from(TIME_HZ / TICKS_PER_SECOND);
    // The high half is never below the final value with a low half that is.
    CLINT.write(COMPARE, u32::MAX);
    CLINT.write(COMPARE + 4, (next >> 32) as u32);
    CLINT.write(COMPARE, next as u32);
}

#[core_interrupt(Interrupt::MachineTimer)]
fn timer() {
    next_tick();
    crate::on_tick();
}

#[core_interrupt(Interrupt::MachineExternal)]
fn external() {
    let irq = PLIC.read(CLAIM);
    if irq == UART_IRQ {
        crate::on_receive();
    }
    PLIC.write(CLAIM, irq);
}

#[core_interrupt(Interrupt::MachineSoft)]
fn software() {
    CLINT.write(SOFTWARE, 0);
    crate::on_flood();
}

pub fn pend_flood() {
    CLINT.write(SOFTWARE, 1);
    // The store has reached the device, which interrupts at once.
    asm::fence();
    while CLINT.read(SOFTWARE) != 0 {}
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

pub fn receive() -> Option<u8> {
    (UART.read_byte(STATE) & RECEIVED != 0).then(|| UART.read_byte(DATA))
}

pub fn receive_interrupt(on: bool) {
    UART.write_byte(INTERRUPT_ON, on.into());
}

pub fn send(byte: u8) {
    while UART.read_byte(STATE) & TRANSMITTER_EMPTY == 0 {}
    UART.write_byte(DATA, byte);
}

pub fn set_led(on: bool) {
    LED.store(on, Ordering::Relaxed);
}

pub fn led() -> bool {
    LED.load(Ordering::Relaxed)
}
