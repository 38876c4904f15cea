//! Stellaris LM3S6965 evaluation board, Cortex-M3: UART0, SysTick, LED on port F.

use super::TICKS_PER_SECOND;
use super::cortex_m::{Irq, start_exceptions, start_systick, unmask};
use super::device::Device;

/// After reset the internal oscillator drives the core.
const CORE_HZ: u32 = 12_500_000;

// SAFETY: system control of the LM3S6965; only `start` uses it.
const SYSTEM: Device = unsafe { Device::at(0x400F_E000) };
const CLOCK_GATES_1: usize = 0x104;
const CLOCK_GATES_2: usize = 0x108;
const GATE_UART0: u32 = 1 << 0;
const GATE_PORT_A: u32 = 1 << 0;
const GATE_PORT_F: u32 = 1 << 5;

// SAFETY: GPIO port A of the LM3S6965, whose pins 0 and 1 are those of UART0; only `start` uses it.
const PORT_A: Device = unsafe { Device::at(0x4000_4000) };
const ALTERNATE: usize = 0x420;
const DIGITAL: usize = 0x51C;

// SAFETY: UART0 of the LM3S6965; only this file uses it.
const UART: Device = unsafe { Device::at(0x4000_C000) };
const UART_IRQ: Irq = Irq(5);
const DATA: usize = 0x000;
const FLAGS: usize = 0x018;
const BAUD_INTEGER: usize = 0x024;
const BAUD_FRACTION: usize = 0x028;
const LINE: usize = 0x02C;
const CONTROL: usize = 0x030;
const MASK: usize = 0x038;
const RECEIVER_EMPTY: u32 = 1 << 4;
const TRANSMITTER_FULL: u32 = 1 << 5;
const RECEIVED: u32 = 1 << 4;
const EIGHT_BITS: u32 = 0b11 << 5;
const ENABLE_BOTH_WAYS: u32 = 1 << 0 | 1 << 8 | 1 << 9;

// SAFETY: GPIO port F of the LM3S6965, whose pin 0 is the LED; only this file uses it.
const PORT_F: Device = unsafe { Device::at(0x4002_5000) };
/// The data register seen through the mask of pin 0, which is a part of the address.
const PIN_0: usize = (1 << 0) << 2;
const DIRECTION: usize = 0x400;

pub fn start() {
    let mut core = cortex_m::Peripherals::take().expect("the program starts once");
    SYSTEM.write(CLOCK_GATES_1, GATE_UART0);
    SYSTEM.write(CLOCK_GATES_2, GATE_PORT_A | GATE_PORT_F);

    PORT_A.write(ALTERNATE, 0b11);
    PORT_A.write(DIGITAL, 0b11);
    PORT_F.write(DIRECTION, 1);
    PORT_F.write(DIGITAL, 1);

    // 115200 baud: 12.5 MHz / 16 / 115200 = 6 + 50/64.
    UART.write(BAUD_INTEGER, 6);
    UART.write(BAUD_FRACTION, 50);
    // The FIFO stays off: to switch it on would lose what has come already.
    UART.write(LINE, EIGHT_BITS);
    UART.write(CONTROL, ENABLE_BOTH_WAYS);
    receive_interrupt(true);

    start_exceptions(&mut core);
    start_systick(&mut core.SYST, CORE_HZ / TICKS_PER_SECOND);
    unmask(UART_IRQ);
}

pub fn interrupt(irq: i16) {
    if irq == UART_IRQ.0 as i16 {
        crate::on_receive();
    }
}

pub fn receive() -> Option<u8> {
    (UART.read(FLAGS) & RECEIVER_EMPTY == 0).then(|| UART.read(DATA) as u8)
}

pub fn receive_interrupt(on: bool) {
    UART.write(MASK, if on { RECEIVED } else { 0 });
}

pub fn send(byte: u8) {
    while UART.read(FLAGS) & TRANSMITTER_FULL != 0 {}
    UART.write(DATA, byte.into());
}

pub fn set_led(on: bool) {
    PORT_F.write(PIN_0, on.into());
}

pub fn led() -> bool {
    PORT_F.read(PIN_0) != 0
}
