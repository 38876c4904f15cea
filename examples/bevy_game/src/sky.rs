//! The sky: a thread that publishes in bursts, faster than frames take.

use core::time::Duration;
use std::thread;

use tickbus::Bus;

use crate::{Falls, What};

pub(crate) static SKY: Bus<Falls, 64> = Bus::new();

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
            for _ in 0..next() % 24 {
                let what = if next() % 4 == 0 { What::Rock } else { What::Star };
                let at = 0.05 + (next() % 900) as f32 / 1000.0;
                // Full, in a long pause: the bus counts it.
                let _ = SKY.publish(Falls { at, what });
            }
            thread::sleep(Duration::from_millis(400));
        }
    });
}
