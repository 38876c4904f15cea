//! Arm MPS2 boards: AN386 (Cortex-M4F) and AN505 (Cortex-M33). The same devices at other addresses.

use super::TICKS_PER_SECOND;
use super::cortex_m::{Irq, start_exceptions, start_systick, unmask};
use super::device::Device;

#[cfg(board = "mps2-an386")]
mod map {
    pub const CORE_HZ: u32 = 25_000_000;
    pub const UART: usize = 0x4000_4000;
    pub const UART_IRQ: u16 = 0;
    pub const LEDS: usize = 0x4002_8000;
}

#[cfg(board = "mps2-an505")]
mod map {
    pub const CORE_HZ: u32 = 20_000_000;
    pub const UART: usize = 0x5020_0000;
    pub const UART_IRQ: u16 = 32;
    pub const LEDS: usize = 0x5030_2000;
}

// SAFETY: UART0 of the board; only this file uses it.
const UART: Device = unsafe { Device::at(map::UART) };
const UART_IRQ: Irq = Irq(map::UART_IRQ);
const DATA: usize = 0x00;
const STATE: usize = 0x04;
const CONTROL: usize = 0x08;
const PENDING: usize = 0x0C;
const BAUD_DIVISOR: usize = 0x10;
const TRANSMITTER_FULL: u32 = 1 << 0;
const RECEIVER_FULL: u32 = 1 << 1;
const ENABLE_BOTH_WAYS: u32 = 1 << 0 | 1 << 1;
const INTERRUPT_ON_RECEIVED: u32 = 1 << 3;
const RECEIVED: u32 = 1 << 1;

// SAFETY: the user LEDs and buttons of the board; only this file uses them.
const LEDS: Device = unsafe { Device::at(map::LEDS) };
const LED: usize = 0x00;

pub fn start() {
    let mut core = cortex_m::Peripherals::take().expect("the program starts once");
    UART.write(BAUD_DIVISOR, map::CORE_HZ / 115_200);
    receive_interrupt(true);

    start_exceptions(&mut core);
    start_systick(&mut core.SYST, map::CORE_HZ / TICKS_PER_SECOND);
    unmask(UART_IRQ);
}

pub fn interrupt(irq: i16) {
    if irq == UART_IRQ.0 as i16 {
        UART.write(PENDING, RECEIVED);
        crate::on_receive();
    }
}

pub fn receive() -> Option<u8> {
    (UART.read(STATE) & RECEIVER_FULL != 0).then(|| UART.read(DATA) as u8)
}

pub fn receive_interrupt(on: bool) {
    UART.write(CONTROL, ENABLE_BOTH_WAYS | if on { INTERRUPT_ON_RECEIVED } else { 0 });
}

pub fn send(byte: u8) {
    while UART.read(STATE) & TRANSMITTER_FULL != 0 {}
    UART.write(DATA, byte.into());
}

pub fn set_led(on: bool) {
    LEDS.write(LED, on.into());
}

pub fn led() -> bool {
    LEDS.read(LED) & 1 != 0
}
