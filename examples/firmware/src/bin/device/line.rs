//! The serial line, as the transport of the client for MQTT.
//!
//! The receive interrupt publishes each byte on a lane. When the lane is full, the interrupt is off until
//! there is room: what comes then waits in the UART, or in the line's other end.

use core::cell::{Cell, RefCell};
use core::fmt;
use core::future::poll_fn;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::Poll;

use embedded_io_async::{Error, ErrorKind, ErrorType, Read, Write};
use tickbus::{Consumer, Lane, Single};

use crate::{board, now};

/// How long the server may say nothing when it should, in ticks: 2 s.
const PATIENCE: u32 = 2 * board::TICKS_PER_SECOND;

static BYTES: Lane<u8, 256> = Lane::new();

/// A byte that found no room.
static HELD: AtomicU32 = AtomicU32::new(NOTHING_HELD);
const NOTHING_HELD: u32 = u32::MAX;

/// The receive interrupt.
pub fn on_receive() {
    while HELD.load(Ordering::Relaxed) == NOTHING_HELD
        && let Some(byte) = board::receive()
    {
        if BYTES.publish(byte).is_err() {
            HELD.store(byte.into(), Ordering::Relaxed);
            board::receive_interrupt(false);
        }
    }
}

/// The serial line. The server is at its other end, or will be again.
pub struct Line {
    bytes: RefCell<Consumer<'static, u8, Single>>,
    /// When the server was last heard, or first expected.
    heard: Cell<u32>,
    is_expected: Cell<bool>,
}

impl Line {
    /// Claims the line. There is one.
    pub fn claim() -> Self {
        let bytes = BYTES.consumer().expect("the line is claimed once");
        Self { bytes: bytes.into(), heard: Cell::new(0), is_expected: Cell::new(false) }
    }

    pub fn has_bytes(&self) -> bool {
        BYTES.stats().pending > 0
    }

    /// Says whether the server should say something now.
    pub fn expect(&self, is_expected: bool) {
        if !self.is_expected.replace(is_expected) {
            self.heard.set(now());
        }
    }

    /// Returns whether the server should have said something by now. Then a read fails.
    pub fn is_late(&self) -> bool {
        self.is_expected.get() && now().wrapping_sub(self.heard.get()) > PATIENCE
    }

    /// Throws away what has come.
    pub fn clear(&self) {
        while self.take().is_some() {}
    }

    fn take(&self) -> Option<u8> {
        let byte = self.bytes.borrow_mut().drain().next()?;
        if let Ok(held) = u8::try_from(HELD.load(Ordering::Relaxed)) {
            // Not every UART tells of a byte that came while its interrupt was off.
            critical_section::with(|_| {
                let _ = BYTES.publish(held);
                HELD.store(NOTHING_HELD, Ordering::Relaxed);
                board::receive_interrupt(true);
                on_receive();
            });
        }
        self.heard.set(now());
        Some(byte)
    }
}

/// The server is late.
#[derive(Debug)]
pub struct Late;

impl fmt::Display for Late {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the server says nothing")
    }
}

impl core::error::Error for Late {}

impl Error for Late {
    fn kind(&self) -> ErrorKind {
        ErrorKind::TimedOut
    }
}

impl ErrorType for &Line {
    type Error = Late;
}

impl Read for &Line {
    async fn read(&mut self, buffer: &mut [u8]) -> Result<usize, Late> {
        let first = poll_fn(|_| match self.take() {
            Some(byte) => Poll::Ready(Ok(byte)),
            None if self.is_late() => Poll::Ready(Err(Late)),
            None => Poll::Pending,
        });
        if buffer.is_empty() {
            return Ok(0);
        }
        buffer[0] = first.await?;
        let mut count = 1;
        while count < buffer.len()
            && let Some(byte) = self.take()
        {
            buffer[count] = byte;
            count += 1;
        }
        Ok(count)
    }
}

impl Write for &Line {
    /// Waits for the transmitter: 87 µs a byte at 115,200 baud.
    async fn write(&mut self, bytes: &[u8]) -> Result<usize, Late> {
        bytes.iter().copied().for_each(board::send);
        Ok(bytes.len())
    }

    async fn flush(&mut self) -> Result<(), Late> {
        Ok(())
    }
}
