//! What the sweeps share: three contexts, the points at which one interrupts another, and what came of them.

use core::ops::AddAssign;

use semihosting::println;

use crate::host;
use crate::interrupt::Landing;

/// Contexts: `main`, PendSV above it, SysTick above both.
pub const LEVELS: usize = 3;
pub const MAIN: usize = 0;
pub const PENDSV: usize = 1;
pub const SYSTICK: usize = 2;

/// No publisher's number: what is read of an event that is torn.
pub const TORN: u32 = 999_999;

/// The events of a context tell who published them, and in which order.
pub const fn event(level: usize, number: u32) -> u32 {
    100 * (level as u32 + 1) + number
}

/// How many operations interrupt each other.
#[derive(Clone, Copy, PartialEq)]
pub enum Depth {
    Two,
    Three,
}

#[derive(Clone, Copy, Default)]
pub struct Tries {
    pub points: u32,
    pub landings: u32,
    pub failures: u32,
}

impl AddAssign for Tries {
    fn add_assign(&mut self, more: Self) {
        self.points += more.points;
        self.landings += more.landings;
        self.failures += more.failures;
    }
}

impl Tries {
    /// Says what came of it, and returns the failures.
    #[must_use]
    pub fn told(self, name: &str) -> u32 {
        let Self { points, landings, failures } = self;
        let verdict = if failures == 0 { "passed" } else { "FAILED" };
        println!("{name:<28} {verdict}: {points} points, {landings} landings");
        failures
    }

    /// Fails if it found nothing wrong with a broken object.
    pub fn convict(self, name: &str) {
        if self.failures == 0 {
            host::fail(format_args!("{name}: the sweep did not convict it"));
        }
        println!("{name}: convicted in {} cases, as it must be", self.failures);
    }
}

/// Interrupts after every instruction: those of `main`, and if it `is_nested` those of PendSV, which
/// interrupts each of them. `point` runs one and says whether it was right; the first that is not ends it.
pub fn every_point(
    is_nested: bool,
    mut point: impl FnMut(u32, u32) -> (Landing, Landing, bool),
) -> Tries {
    let mut tries = Tries::default();
    let mut last = None;
    for first in 1.. {
        let mut landed = Landing::After;
        for second in 1.. {
            let (one, two, is_right) = point(first, second);
            tries.points += 1;
            landed = one;
            let landing = if is_nested { two } else { one };
            if landing.is_inside() && Some(landing) != last {
                tries.landings += 1;
                last = Some(landing);
            }
            if !is_right {
                tries.failures += 1;
                return tries;
            }
            if !two.is_inside() {
                break;
            }
        }
        if !landed.is_inside() {
            break;
        }
    }
    tries
}
