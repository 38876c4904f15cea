//! What the publishers may know of the game.

use core::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};

/// The way back from the game to the publishers: state to look at, not events to handle.
pub(crate) static CONTROL: Control = Control {
    running: AtomicBool::new(true),
    paused: AtomicBool::new(false),
    overload: AtomicBool::new(false),
    level: AtomicU32::new(1),
};

/// See [`CONTROL`].
///
/// `Relaxed` throughout: each value stands alone and does not announce that another one is ready.
pub(crate) struct Control {
    running: AtomicBool,
    paused: AtomicBool,
    overload: AtomicBool,
    level: AtomicU32,
}

impl Control {
    pub(crate) fn is_running(&self) -> bool {
        self.running.load(Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.running.store(false, Relaxed);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused.load(Relaxed)
    }

    pub(crate) fn set_paused(&self, paused: bool) {
        self.paused.store(paused, Relaxed);
    }

    pub(crate) fn is_overloaded(&self) -> bool {
        self.overload.load(Relaxed)
    }

    pub(crate) fn toggle_overload(&self) {
        self.overload.fetch_not(Relaxed);
    }

    pub(crate) fn set_level(&self, level: u32) {
        self.level.store(level, Relaxed);
    }

    pub(crate) fn level(&self) -> u32 {
        self.level.load(Relaxed)
    }
}
