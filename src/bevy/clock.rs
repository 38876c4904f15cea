//! The clocks of the drain: with Bevy's, and without.

use core::time::Duration;

use bevy_ecs::world::World;

/// A clock: the time since a moment of its own choice, never less than before.
pub(super) type Clock = fn() -> Duration;

/// The clock of the operating system.
#[cfg(all(feature = "std", not(all(target_family = "wasm", target_os = "unknown"))))]
pub(super) fn of_the_system() -> Option<Clock> {
    extern crate std;
    use std::sync::OnceLock;
    use std::time::Instant;

    static BEGIN: OnceLock<Instant> = OnceLock::new();
    Some(|| BEGIN.get_or_init(Instant::now).elapsed())
}

/// There is none. In a browser `Instant` exists and panics.
#[cfg(any(not(feature = "std"), all(target_family = "wasm", target_os = "unknown")))]
pub(super) fn of_the_system() -> Option<Clock> {
    None
}

/// The fixed clock as a frame finds it, before the steps of the frame.
pub(super) struct FixedTime {
    /// Where the first step that is not over begins.
    pub(super) begin: Duration,
    /// Where the frame ends.
    end: Duration,
    /// How fast the virtual clock goes.
    speed: f64,
}

impl FixedTime {
    /// Returns the fixed time of what happened `age` ago, by a clock at the speed of real time.
    pub(super) fn of(&self, age: Duration) -> Duration {
        // Exact at the usual speed, and at any other as exact as the virtual clock itself.
        let age = if self.speed == 1.0 { age } else { age.mul_f64(self.speed) };
        self.end.saturating_sub(age)
    }
}

#[cfg(feature = "bevy_time")]
mod bevys {
    use super::{Duration, FixedTime, World};
    use bevy_time::{Fixed, Time, Virtual};

    /// Returns whether the virtual clock stood still in this frame.
    pub(in crate::bevy) fn stands_still(world: &World) -> bool {
        world.get_resource::<Time<Virtual>>().is_some_and(|time| time.effective_speed_f64() == 0.0)
    }

    /// Returns whether Bevy drops no old messages now: it does so after fixed steps, and none come.
    pub(in crate::bevy) fn keeps_messages(world: &World, _paused: bool) -> bool {
        stands_still(world)
    }

    pub(in crate::bevy) fn fixed(world: &World, event: &str) -> FixedTime {
        let (Some(fixed), Some(virtual_time)) =
            (world.get_resource::<Time<Fixed>>(), world.get_resource::<Time<Virtual>>())
        else {
            panic!(
                "the bus of `{event}` delivers in fixed steps, and the app has none: add `TimePlugin`"
            )
        };
        let begin = fixed.elapsed();
        FixedTime {
            begin,
            end: begin + fixed.overstep() + virtual_time.delta(),
            speed: virtual_time.effective_speed_f64(),
        }
    }

    /// Returns the end of the fixed step that is about to run.
    pub(in crate::bevy) fn end_of_step(world: &World) -> Duration {
        world.get_resource::<Time<Fixed>>().map_or(Duration::MAX, Time::elapsed)
    }
}

#[cfg(not(feature = "bevy_time"))]
mod bevys {
    use super::{Duration, FixedTime, World};

    /// Not known.
    pub(in crate::bevy) fn stands_still(_: &World) -> bool {
        false
    }

    /// Not known: the app may have a clock all the same, and stop it in a pause.
    pub(in crate::bevy) fn keeps_messages(_: &World, paused: bool) -> bool {
        paused
    }

    /// There are no fixed steps.
    pub(in crate::bevy) fn fixed(_: &World, _: &str) -> FixedTime {
        FixedTime { begin: Duration::ZERO, end: Duration::ZERO, speed: 1.0 }
    }
}

pub(super) use bevys::*;
