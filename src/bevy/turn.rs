//! What holds for one drain: the settings, a pause, and the time.

use core::time::Duration;

use bevy_ecs::world::World;

use super::clock::{self, Clock};
use super::config::{EventBusConfig, PausePolicy};
use super::share::MAX_BUSES;

/// What holds for one drain of the buses of an event.
pub(super) struct Turn {
    /// Which buses may deliver.
    pub(super) open: [bool; MAX_BUSES],
    /// Which buses drop what they have.
    pub(super) discards: [bool; MAX_BUSES],
    /// Whether the drain has to drop old messages because Bevy does not.
    pub(super) ages: bool,
    /// How many events the drain may deliver.
    pub(super) events: usize,
    pub(super) generations: usize,
    pub(super) message_limit: usize,
    /// The clock, and when the drain began.
    begin: Option<(Clock, Duration)>,
    /// When the drain has to end.
    end: Option<(Clock, Duration)>,
}

impl Turn {
    /// Begins the drain of `count` buses, whose settings are at `index`.
    pub(super) fn begin(world: &World, index: usize, count: usize, clock: Option<Clock>) -> Self {
        let begin = clock.map(|now| (now, now()));
        let config = world.resource::<EventBusConfig>();
        let settings = &config.buses[index];
        let paused = config.paused || clock::stands_still(world);
        let mut open = [true; MAX_BUSES];
        let mut discards = [false; MAX_BUSES];
        if paused {
            for (at, policy) in settings.pause.iter().enumerate().take(MAX_BUSES) {
                open[at] = *policy == PausePolicy::PassThrough;
                discards[at] = *policy == PausePolicy::Drop;
            }
        }
        let end = begin.zip(settings.budget.time);
        Self {
            open,
            discards,
            // Not in a pause by hand: fixed steps go on, and may not have read what Bevy keeps for them.
            ages: clock::keeps_messages(world, paused) && open[..count].contains(&true),
            events: settings.budget.events.max(1),
            generations: settings.generations.max(1),
            message_limit: settings.message_limit.max(1),
            begin,
            end: end.map(|((now, begin), time)| (now, begin.saturating_add(time))),
        }
    }

    /// Returns whether the budget has a time.
    pub(super) fn is_timed(&self) -> bool {
        self.end.is_some()
    }

    /// Returns whether the time of the budget is over.
    pub(super) fn is_late(&self) -> bool {
        self.end.is_some_and(|(now, end)| now() >= end)
    }

    /// Returns how long the drain has taken so far. Zero without a clock.
    pub(super) fn spent(&self) -> Duration {
        self.begin.map_or(Duration::ZERO, |(now, begin)| now().saturating_sub(begin))
    }
}
