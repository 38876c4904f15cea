//! BBC micro:bit, nRF51822 with a Cortex-M0: UART0, TIMER0, one LED of the matrix.

use super::TICKS_PER_SECOND;
use super::cortex_m::{Irq, start_exceptions, unmask};
use super::device::Device;

// SAFETY: UART0 of the nRF51; only this file uses it.
const UART: Device = unsafe { Device::at(0x4000_2000) };
const UART_IRQ: Irq = Irq(2);
const START_RECEIVER: usize = 0x000;
const START_TRANSMITTER: usize = 0x008;
const RECEIVED: usize = 0x108;
const SENT: usize = 0x11C;
const ENABLE: usize = 0x500;
const PIN_TRANSMIT: usize = 0x50C;
const PIN_RECEIVE: usize = 0x514;
const RECEIVE_DATA: usize = 0x518;
const SEND_DATA: usize = 0x51C;
const BAUD: usize = 0x524;
const BAUD_115200: u32 = 0x01D7_E000;

// SAFETY: TIMER0 of the nRF51; only this file uses it.
const TIMER: Device = unsafe { Device::at(0x4000_8000) };
const TIMER_IRQ: Irq = Irq(8);
const START: usize = 0x000;
const COMPARED: usize = 0x140;
const SHORTCUTS: usize = 0x200;
const WIDTH: usize = 0x508;
const PRESCALER: usize = 0x510;
const COMPARE: usize = 0x540;

// Both devices switch their interrupts by the bit of the event.
const INTERRUPT_ON: usize = 0x304;
const INTERRUPT_OFF: usize = 0x308;
const ON_RECEIVED: u32 = 1 << 2;
const ON_COMPARED: u32 = 1 << 16;

// SAFETY: the GPIO port of the nRF51; only this file uses it.
const PORT: Device = unsafe { Device::at(0x5000_0000) };
const OUT: usize = 0x504;
const OUT_SET: usize = 0x508;
const OUT_CLEAR: usize = 0x50C;
const OUTPUTS: usize = 0x518;
/// The LED in the corner lights when its row is high and its column, the only one in use, is low.
const ROW: u32 = 1 << 13;
const COLUMN: u32 = 1 << 4;

pub fn start() {
    let mut core = cortex_m::Peripherals::take().expect("the program starts once");
    PORT.write(OUTPUTS, ROW | COLUMN);
    PORT.write(OUT_CLEAR, ROW | COLUMN);

    UART.write(PIN_TRANSMIT, 24);
    UART.write(PIN_RECEIVE, 25);
    UART.write(BAUD, BAUD_115200);
    UART.write(ENABLE, 4);
    UART.write(START_RECEIVER, 1);
    UART.write(START_TRANSMITTER, 1);
    receive_interrupt(true);

    // 16 MHz / 2^4: the compare register is in microseconds, and clears the 32-bit counter.
    TIMER.write(WIDTH, 3);
    TIMER.write(PRESCALER, 4);
    TIMER.write(COMPARE, 1_000_000 / TICKS_PER_SECOND);
    TIMER.write(SHORTCUTS, 1);
    TIMER.write(INTERRUPT_ON, ON_COMPARED);
    TIMER.write(START, 1);

    start_exceptions(&mut core);
    unmask(UART_IRQ);
    unmask(TIMER_IRQ);
}

pub fn interrupt(irq: i16) {
    if irq == UART_IRQ.0 as i16 {
        crate::on_receive();
    } else if irq == TIMER_IRQ.0 as i16 {
        TIMER.write(COMPARED, 0);
        crate::on_tick();
    }
}

pub fn receive() -> Option<u8> {
    (UART.read(RECEIVED) != 0).then(|| {
        // Cleared before the byte is read: with another one behind it the event comes again.
        UART.write(RECEIVED, 0);
        UART.read(RECEIVE_DATA) as u8
    })
}

pub fn receive_interrupt(on: bool) {
    UART.write(if on { INTERRUPT_ON } else { INTERRUPT_OFF }, ON_RECEIVED);
}

pub fn send(byte: u8) {
    UART.write(SENT, 0);
    UART.write(SEND_DATA, byte.into());
    while UART.read(SENT) == 0 {}
}

pub fn set_led(on: bool) {
    PORT.write(if on { OUT_SET } else { OUT_CLEAR }, ROW);
}

pub fn led() -> bool {
    PORT.read(OUT) & ROW != 0
}
