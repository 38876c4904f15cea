//! How the system asks a played game to end: by a signal, also when its terminal is closed.

extern crate alloc;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::io;

#[cfg(unix)]
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Whether the system has asked the game to end.
pub(crate) struct Signals(Arc<AtomicBool>);

impl Signals {
    /// Takes SIGTERM, SIGHUP and SIGINT, which would end the program and leave the terminal raw.
    pub(crate) fn take() -> io::Result<Self> {
        let asked = Arc::new(AtomicBool::new(false));
        #[cfg(unix)]
        for signal in [SIGTERM, SIGHUP, SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&asked))?;
        }
        Ok(Self(asked))
    }

    pub(crate) fn ask_to_end(&self) -> bool {
        self.0.load(Relaxed)
    }
}
