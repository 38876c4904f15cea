//! The boards: what the console and the device need of one, the same on each.
//!
//! | function | what it does |
//! |---|---|
//! | `start` | starts the UART, the timer and their interrupts |
//! | `receive` | the next received byte, if there is one |
//! | `receive_interrupt` | switches the interrupt of the receiver |
//! | `send` | sends a byte, waiting for the transmitter |
//! | `set_led`, `led` | switches the LED and reads its pin back |
//! | `pend_flood` | asks for the flood interrupt, which runs as soon as it may |
//! | `sleep_unless` | waits for an interrupt, unless there is work to do |
//!
//! Their interrupts call `on_receive`, `on_tick` and `on_flood` of the program.

mod device;

#[cfg(target_arch = "arm")]
mod cortex_m;

#[cfg_attr(board = "lm3s6965evb", path = "lm3s6965evb.rs")]
#[cfg_attr(board = "microbit", path = "microbit.rs")]
#[cfg_attr(any(board = "mps2-an386", board = "mps2-an505"), path = "mps2.rs")]
#[cfg_attr(board = "virt", path = "virt.rs")]
mod chip;

pub use chip::{led, receive, receive_interrupt, send, set_led, start};

#[cfg(target_arch = "arm")]
pub use cortex_m::{pend_flood, sleep_unless};

#[cfg(target_arch = "riscv32")]
pub use chip::{pend_flood, sleep_unless};

/// Timer interrupts a second.
pub const TICKS_PER_SECOND: u32 = 100;
