//! The settings: how much a frame may do, and what a pause means.

use alloc::vec::Vec;
use core::any::type_name;
use core::time::Duration;

use bevy_ecs::resource::Resource;
#[cfg(feature = "bevy_reflect")]
use {
    bevy_ecs::reflect::ReflectResource,
    bevy_reflect::{Reflect, std_traits::ReflectDefault},
};

/// How much a frame may deliver of one event: a number of events, and a time.
///
/// Events beyond the budget stay on the bus, in order. [`EventBusStats`] and [`BusOverrun`] report
/// them.
///
/// The number of events is exact. The drain checks the time after every 64 events, and stops when
/// the time is over. Even then, each bus with pending events delivers one batch of up to 64. With a
/// time, the result of a frame depends on the machine: set only a number for lockstep and replay.
///
/// A budget is plain data, so that [`EventBusConfig`] can change it between two frames. It differs
/// in that from a [`Budget`](crate::bus::Budget), which holds a closure.
///
/// [`EventBusStats`]: super::EventBusStats
/// [`BusOverrun`]: super::BusOverrun
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use tickbus::bevy::FrameBudget;
///
/// let budget = FrameBudget::events(2048).and_time(Duration::from_micros(300));
/// assert_eq!(budget.events, 2048);
/// assert_eq!(FrameBudget::events(0).events, 1); // at least one
/// assert_eq!(FrameBudget::default(), FrameBudget::unlimited());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "bevy_reflect", derive(Reflect), reflect(Default))]
pub struct FrameBudget {
    /// The most events that a frame delivers. 0 means 1.
    pub events: usize,
    /// The time after which a frame begins no further batch.
    pub time: Option<Duration>,
}

impl FrameBudget {
    /// Returns a budget for all events that are pending when the drain begins.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { events: usize::MAX, time: None }
    }

    /// Returns a budget for at most `count` events, and at least one.
    #[must_use]
    pub const fn events(count: usize) -> Self {
        let events = if count == 0 { 1 } else { count };
        Self { events, time: None }
    }

    /// Adds a time after which a frame begins no further batch.
    ///
    /// A time needs a clock. Without one, adding the plugin panics, and a time that you set later has no
    /// effect. Add a clock by [`with_clock`](super::EventBusPlugin::with_clock).
    #[must_use]
    pub const fn and_time(self, time: Duration) -> Self {
        Self { events: self.events, time: Some(time) }
    }
}

impl Default for FrameBudget {
    fn default() -> Self {
        Self::unlimited()
    }
}

/// What a bus does while the app is paused.
///
/// The app is paused while [`EventBusConfig::paused`] is set, and with the feature `bevy_time` also
/// while Bevy's virtual clock stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "bevy_reflect", derive(Reflect), reflect(Default))]
pub enum PausePolicy {
    /// Events stay on the bus. If it is full, its own policy decides. The default.
    #[default]
    Hold,
    /// The drain drops the events, and counts them as discarded.
    Drop,
    /// The drain delivers the events as usual: for menus and other things that a pause does not stop.
    PassThrough,
}

/// The settings of the buses of one event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "bevy_reflect", derive(Reflect))]
pub struct BusConfig {
    /// The name of the event type.
    pub event: &'static str,
    /// How much a frame may deliver.
    pub budget: FrameBudget,
    /// How many generations of events a drain delivers. 0 means 1.
    pub generations: usize,
    /// The most unread messages: a frame stops delivering there. 0 means 1.
    pub message_limit: usize,
    /// What each bus does in a pause. The index is the priority.
    pub pause: Vec<PausePolicy>,
}

/// The settings of all buses of the app.
///
/// Change them at any time. The next drain uses the new values.
///
/// # Examples
///
/// ```
/// use bevy_app::{App, Update};
/// use bevy_ecs::prelude::*;
/// use tickbus::Bus;
/// use tickbus::bevy::{EventBusAppExt, EventBusConfig, EventBusPlugin, FrameBudget};
///
/// #[derive(Clone, Copy)]
/// struct Hit;
/// static HITS: Bus<Hit, 64> = Bus::new();
///
/// fn slow_down(mut config: ResMut<EventBusConfig>) {
///     config.of_mut::<Hit>().expect("it was added").budget = FrameBudget::events(8);
/// }
///
/// let mut app = App::new();
/// app.add_plugins(EventBusPlugin::new(&HITS)).add_bus_frame::<Hit>().add_systems(Update, slow_down);
/// app.update();
/// assert_eq!(app.world().resource::<EventBusConfig>().of::<Hit>().unwrap().budget.events, 8);
/// ```
#[derive(Resource, Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "bevy_reflect", derive(Reflect), reflect(Resource, Default))]
pub struct EventBusConfig {
    /// Pauses the buses, each by its [`PausePolicy`]. They also pause with Bevy's virtual clock.
    pub paused: bool,
    pub(super) buses: Vec<BusConfig>,
}

impl EventBusConfig {
    /// Returns the settings of the buses of `E`. Returns `None` if the app has none.
    #[must_use]
    pub fn of<E>(&self) -> Option<&BusConfig> {
        self.buses.iter().find(|bus| bus.event == type_name::<E>())
    }

    /// Returns the settings of the buses of `E`, to change them. Returns `None` if the app has none.
    #[must_use]
    pub fn of_mut<E>(&mut self) -> Option<&mut BusConfig> {
        self.buses.iter_mut().find(|bus| bus.event == type_name::<E>())
    }
}
