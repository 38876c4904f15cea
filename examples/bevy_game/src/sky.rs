//! The sky: one thread drops things in bursts, faster than frames take them; another one is the wind.

use core::f32::consts::TAU;
use core::time::Duration;
use std::sync::LazyLock;
use std::thread;
use std::time::Instant;

use tickbus::{Bus, DropOldest};

use crate::{Falls, Gust, What};

/// The bus of the rocks. Its priority is the higher one: no rock waits behind a burst of stars.
pub(crate) static ROCKS: Bus<Falls, 16> = Bus::new();
pub(crate) static STARS: Bus<Falls, 64> = Bus::new();
/// Only new wind is worth anything.
pub(crate) static GUSTS: Bus<Gust, 64, DropOldest> = Bus::new();

static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Returns the time since the sky has opened: the clock of the stamps.
pub(crate) fn clock() -> Duration {
    BEGIN.elapsed()
}

pub(crate) fn open() {
    thread::spawn(|| {
        let mut random = 0x2545_F491_4F6C_DD1D_u64;
        let mut next = || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        loop {
            for _ in 0..4 + next() % 20 {
                let at = 0.05 + (next() % 900) as f32 / 1000.0;
                // Full, in a long pause: the bus counts it.
                let _ = if next() % 5 == 0 {
                    ROCKS.publish(Falls { at, what: What::Rock })
                } else {
                    STARS.publish(Falls { at, what: What::Star })
                };
            }
            thread::sleep(Duration::from_millis(900));
        }
    });
    thread::spawn(|| {
        loop {
            let at = clock();
            let _ = GUSTS.publish(Gust { at, push: 0.003 * (at.as_secs_f32() * TAU / 6.0).sin() });
            thread::sleep(Duration::from_millis(30));
        }
    });
}
