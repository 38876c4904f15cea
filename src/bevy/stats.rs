//! What the drains did, and what they left.

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

use super::bus::EventBus;

/// The number of events, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "bevy_reflect", derive(Reflect), reflect(Default))]
pub struct BusCounts {
    /// Delivered to messages, observers or frames.
    pub delivered: usize,
    /// Taken off the bus, but delivered to nothing: the app has no delivery for the kind of the event, or no
    /// observer for the delivery that it has.
    pub unhandled: usize,
    /// Taken off the bus and dropped in a pause, by [`PausePolicy::Drop`](super::PausePolicy::Drop).
    pub discarded: usize,
    /// Dropped by the bus, by its policy.
    pub dropped: usize,
    /// Rejected by the full bus: `publish` returned the event.
    pub refused: usize,
    /// Delivered in a later fixed step than the one that covers the event, because that step was over. Part
    /// of `delivered`.
    pub late: usize,
}

impl BusCounts {
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

/// The numbers of one bus.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "bevy_reflect", derive(Reflect), reflect(Default))]
pub struct BusStats {
    /// The name of the event type.
    pub event: &'static str,
    /// The priority of the bus among those of its event. 0 is the highest.
    pub priority: usize,
    /// What has happened since the frame began.
    pub frame: BusCounts,
    /// What has happened since the app began.
    pub total: BusCounts,
    /// How many events the last drain left pending: on the bus, in [`EventBusState`](super::EventBusState),
    /// and for their fixed step.
    pub left: usize,
    /// The most events that have been pending on the bus.
    pub high_water: usize,
    /// `left` by kind, without the events that wait for their fixed step. The index is the kind. Empty
    /// without [`by_kind`](super::EventBusPlugin::by_kind).
    pub left_by_kind: Vec<usize>,
    /// `frame.discarded` by kind. The index is the kind. Empty without
    /// [`by_kind`](super::EventBusPlugin::by_kind).
    ///
    /// The kinds of dropped and refused events are unknown: the plugin never sees these events.
    pub discarded_by_kind: Vec<usize>,
}

/// What the drain of this frame did, bus by bus.
///
/// Each drain writes the numbers of its buses once. An idle bus writes nothing: its last write is
/// in the second drain after its last event. Replace the resource by a new value to count from
/// zero.
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
    /// Every bus, in the order in which the app added them. The buses of one event are neighbours,
    /// the one with the highest priority first.
    pub buses: Vec<BusStats>,
    /// The most generations that the buses of one event went through in the last drain.
    pub generations: usize,
    /// How long the last drains took, all events together. Zero without a clock.
    pub spent: Duration,
}

impl EventBusStats {
    /// Returns the sums over all buses since the frame began.
    #[must_use]
    pub fn frame(&self) -> BusCounts {
        self.sum(|bus| bus.frame)
    }

    /// Returns the sums over all buses since the app began.
    #[must_use]
    pub fn total(&self) -> BusCounts {
        self.sum(|bus| bus.total)
    }

    /// Returns how many events the last drains left pending, over all buses.
    #[must_use]
    pub fn left(&self) -> usize {
        self.buses.iter().map(|bus| bus.left).sum()
    }

    /// Returns the numbers of the buses of `E`, the one with the highest priority first.
    pub fn of<E>(&self) -> impl Iterator<Item = &BusStats> {
        self.buses.iter().filter(|bus| bus.event == core::any::type_name::<E>())
    }

    fn sum(&self, counts: fn(&BusStats) -> BusCounts) -> BusCounts {
        let mut sum = BusCounts::default();
        self.buses.iter().for_each(|bus| sum.add(counts(bus)));
        sum
    }
}

impl BusStats {
    /// Adds to the frame and to the total.
    pub(super) fn count(&mut self, counts: BusCounts) {
        self.frame.add(counts);
        self.total.add(counts);
    }
}

/// Reports that a bus could not keep up in this frame: the budget left events, or events were lost.
///
/// The plugin writes at most one message for each bus, kind and frame. One message may report many
/// events. Systems can read it for two frames, also in a pause.
///
/// Events that a pause holds do not count as an overrun, and neither do events that come after the
/// drain. Events that the bus drops or rejects meanwhile do count.
///
/// # Examples
///
/// ```
/// use bevy_ecs::prelude::*;
/// use tickbus::bevy::BusOverrun;
///
/// fn warn(mut overruns: MessageReader<BusOverrun>) {
///     for BusOverrun { event, left, dropped, refused, .. } in overruns.read() {
///         println!("{event}: {left} left, {dropped} dropped, {refused} refused");
///     }
/// }
/// # bevy_ecs::system::assert_is_system(warn);
/// ```
#[derive(Message, Clone, Copy, Debug, PartialEq, Eq)]
pub struct BusOverrun {
    /// The name of the event type.
    pub event: &'static str,
    /// The priority of the bus among those of its event. 0 is the highest.
    pub priority: usize,
    /// The subject of the kind, where the plugin counts [`by_kind`](super::EventBusPlugin::by_kind). `None`
    /// for lost events, whose kind is unknown.
    pub subject: Option<&'static str>,
    /// How many events the budget left.
    pub left: usize,
    /// How many events the bus has dropped since the last frame, by its policy.
    pub dropped: usize,
    /// How many events the full bus has rejected since the last frame.
    pub refused: usize,
}

/// Returns whether events of `E` are pending. Use it as a run condition.
///
/// Returns `false` if the app has no bus of `E`.
///
/// # Examples
///
/// ```
/// use bevy_app::{App, Update};
/// use bevy_ecs::prelude::*;
/// use tickbus::bevy::bus_has_pending;
///
/// fn show_hourglass() {}
/// App::new().add_systems(Update, show_hourglass.run_if(bus_has_pending::<u32>));
/// ```
#[must_use]
pub fn bus_has_pending<E: Send + Sync + 'static>(
    bus: Option<Res<EventBus<E>>>,
    stats: Option<Res<EventBusStats>>,
) -> bool {
    bus.is_some_and(|bus| !bus.is_empty())
        || stats.is_some_and(|stats| stats.of::<E>().any(|bus| bus.left > 0))
}

/// Returns whether a bus overran since the condition was last evaluated. Use it as a run condition.
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
