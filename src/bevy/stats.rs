//! What the drain did, and what it left.

use alloc::vec::Vec;
use core::time::Duration;

use bevy_ecs::message::{Message, MessageReader};
use bevy_ecs::resource::Resource;
use bevy_ecs::system::Res;
#[cfg(feature = "bevy_reflect")]
use {
    bevy_ecs::reflect::ReflectResource,
    bevy_reflect::{Reflect, std_traits::ReflectDefault},
};

use super::EnvelopeBus;

/// Events by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "bevy_reflect", derive(Reflect), reflect(Default))]
pub struct LaneCounts {
    /// Handed to messages, observers and frames.
    pub delivered: usize,
    /// Taken off the bus, and then no message was made of it, nothing observed it and no frame kept it:
    /// no delivery was added for its kind, or nothing observes what was.
    pub unhandled: usize,
    /// Taken and dropped in a pause: [`PausePolicy::Drop`](super::PausePolicy::Drop).
    pub discarded: usize,
    /// Lost by the bus: its policy dropped the oldest or the newest.
    pub dropped: usize,
    /// Given back to their publishers by a full bus.
    pub refused: usize,
    /// Released in a later fixed step than the one that covers them, because that one was over when
    /// they came. Part of `delivered`.
    pub late: usize,
}

impl LaneCounts {
    /// Sums that wrap, as the counters of a bus do.
    fn add(&mut self, other: Self) {
        self.delivered = self.delivered.wrapping_add(other.delivered);
        self.unhandled = self.unhandled.wrapping_add(other.unhandled);
        self.discarded = self.discarded.wrapping_add(other.discarded);
        self.dropped = self.dropped.wrapping_add(other.dropped);
        self.refused = self.refused.wrapping_add(other.refused);
        self.late = self.late.wrapping_add(other.late);
    }
}

/// The numbers of one lane of one bus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "bevy_reflect", derive(Reflect), reflect(Default))]
pub struct LaneStats {
    /// The name of the event type.
    pub event: &'static str,
    /// The lane: 0 is the first, and the highest.
    pub lane: usize,
    /// Since the frame began.
    pub frame: LaneCounts,
    /// Since the app began.
    pub total: LaneCounts,
    /// Events that wait now: on the bus, in the pending, and for their fixed step.
    pub left: usize,
    /// The most events that have waited on the bus.
    pub high_water: usize,
    /// `left` by kind, for a bus that was added [`by_kind`](super::EventBusPlugin::by_kind); otherwise
    /// empty. The index is the kind. Events that wait for their fixed step are not in it.
    pub left_by_kind: Vec<usize>,
    /// `frame.discarded` by kind, likewise. What a bus drops or gives back is of no known kind, for it
    /// has gone before anybody takes it.
    pub discarded_by_kind: Vec<usize>,
}

/// What the drain of this frame did, lane by lane. Written once per frame and bus, and not at all
/// while a bus is idle: the second drain after the last event is the last that writes.
///
/// A new value in its place counts from zero.
///
/// # Examples
///
/// ```
/// use bevy_app::App;
/// use tickbus::Bus;
/// use tickbus::bevy::{EventBusAppExt, EventBusPlugin, EventBusStats, FrameBudget};
///
/// static ORDERS: Bus<u32, 4> = Bus::new();
/// let mut app = App::new();
/// app.add_plugins(EventBusPlugin::new(&ORDERS).with_budget(FrameBudget::events(3)))
///     .add_bus_frame::<u32>();
///
/// for order in 0..5 {
///     let _ = ORDERS.publish(order); // the last one finds no room
/// }
/// app.update();
///
/// let stats = app.world().resource::<EventBusStats>();
/// assert_eq!((stats.frame().delivered, stats.left(), stats.frame().refused), (3, 1, 1));
/// ```
#[derive(Resource, Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "bevy_reflect", derive(Reflect), reflect(Resource, Default))]
pub struct EventBusStats {
    /// Every lane of every bus, in the order in which they were added.
    pub lanes: Vec<LaneStats>,
    /// The most generations of events that a bus went through in the last drain.
    pub generations: usize,
    /// How long the last drain took. Zero where there is no clock.
    pub spent: Duration,
}

impl EventBusStats {
    /// The sums over all lanes since the frame began.
    #[must_use]
    pub fn frame(&self) -> LaneCounts {
        self.sum(|lane| lane.frame)
    }

    /// The sums over all lanes since the app began.
    #[must_use]
    pub fn total(&self) -> LaneCounts {
        self.sum(|lane| lane.total)
    }

    /// How many events wait now, over all lanes.
    #[must_use]
    pub fn left(&self) -> usize {
        self.lanes.iter().map(|lane| lane.left).sum()
    }

    /// The lanes of the bus of `E`.
    pub fn bus<E>(&self) -> impl Iterator<Item = &LaneStats> {
        self.lanes.iter().filter(|lane| lane.event == core::any::type_name::<E>())
    }

    fn sum(&self, counts: fn(&LaneStats) -> LaneCounts) -> LaneCounts {
        let mut sum = LaneCounts::default();
        self.lanes.iter().for_each(|lane| sum.add(counts(lane)));
        sum
    }
}

impl LaneStats {
    /// Adds to the frame and to the total.
    pub(super) fn count(&mut self, counts: LaneCounts) {
        self.frame.add(counts);
        self.total.add(counts);
    }
}

/// A lane could not keep up in this frame: the budget left events, or events were lost.
///
/// At most one for each lane and kind and frame, however many events it is about. It can be read for
/// two frames, paused or not. A pause that holds a lane back is no overrun, and neither is what comes
/// after the drain; what gets lost meanwhile is.
///
/// # Examples
///
/// ```
/// use bevy_ecs::prelude::*;
/// use tickbus::bevy::BusOverrun;
///
/// fn warn(mut overruns: MessageReader<BusOverrun>) {
///     for BusOverrun { event, left, dropped, refused, .. } in overruns.read() {
///         println!("{event}: {left} left, {dropped} dropped, {refused} given back");
///     }
/// }
/// # bevy_ecs::system::assert_is_system(warn);
/// ```
#[derive(Message, Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusOverrun {
    /// The name of the event type.
    pub event: &'static str,
    /// The lane.
    pub lane: usize,
    /// The kind, by its subject, where the bus was added
    /// [`by_kind`](super::EventBusPlugin::by_kind). Losses are of no known kind.
    pub subject: Option<&'static str>,
    /// Events that the budget left.
    pub left: usize,
    /// Events that the bus dropped since the last frame, by its policy.
    pub dropped: usize,
    /// Events that the full bus gave back to their publishers since the last frame.
    pub refused: usize,
}

/// A run condition: whether events of `E` wait on a lane of its bus.
///
/// False where the app has no such bus.
///
/// # Examples
///
/// ```
/// use bevy_app::{App, Update};
/// use bevy_ecs::prelude::*;
/// use tickbus::bevy::bus_has_backlog;
///
/// fn show_hourglass() {}
/// App::new().add_systems(Update, show_hourglass.run_if(bus_has_backlog::<u32>));
/// ```
#[must_use]
pub fn bus_has_backlog<E: Send + Sync + 'static>(
    bus: Option<Res<EnvelopeBus<E>>>,
    stats: Option<Res<EventBusStats>>,
) -> bool {
    bus.is_some_and(|bus| !bus.is_empty())
        || stats.is_some_and(|stats| stats.bus::<E>().any(|lane| lane.left > 0))
}

/// A run condition: whether a lane overran since it was last asked.
///
/// # Examples
///
/// ```
/// use bevy_app::{App, Update};
/// use bevy_ecs::prelude::*;
/// use tickbus::bevy::on_bus_overrun;
///
/// fn blink() {}
/// App::new().add_systems(Update, blink.run_if(on_bus_overrun));
/// ```
#[must_use]
pub fn on_bus_overrun(overruns: Option<MessageReader<BusOverrun>>) -> bool {
    overruns.is_some_and(|mut overruns| overruns.read().count() > 0)
}
