//! What can be set: how much a frame may do, and what a pause means.

use alloc::vec::Vec;
use core::any::type_name;
use core::time::Duration;

use bevy_ecs::resource::Resource;
#[cfg(feature = "bevy_reflect")]
use {
    bevy_ecs::reflect::ReflectResource,
    bevy_reflect::{Reflect, std_traits::ReflectDefault},
};

/// How much of one bus a frame may deliver: a number of events, and a time.
///
/// What the budget leaves stays on the bus, in order, and is told by [`EventBusStats`] and
/// [`BusOverrun`]. The number is exact. The time is looked at after every 64 events, and bounds what
/// observers do with them; each lane that has events gets one batch of up to 64 however late it is.
/// A time makes a run depend on the machine: for lockstep and replay set a number alone.
///
/// It is plain data, so that [`EventBusConfig`] can change it between two frames; a
/// [`Budget`](crate::Budget) holds a closure.
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
/// assert_eq!(FrameBudget::events(0).events, 1); // a bus moves on
/// assert_eq!(FrameBudget::default(), FrameBudget::unlimited());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "bevy_reflect", derive(Reflect), reflect(Default))]
pub struct FrameBudget {
    /// At most so many events a frame. 0 is taken as 1.
    pub events: usize,
    /// After this time no further batch is begun.
    pub time: Option<Duration>,
}

impl FrameBudget {
    /// All that waits when the drain begins.
    #[must_use]
    pub const fn unlimited() -> Self {
        Self { events: usize::MAX, time: None }
    }

    /// At most `count` events, and at least one.
    #[must_use]
    pub const fn events(count: usize) -> Self {
        let events = if count == 0 { 1 } else { count };
        Self { events, time: None }
    }

    /// And no further batch after `time`. Adding a bus with a time and without a clock panics; a time that
    /// is set later has no effect there.
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

/// What a lane does while the app is paused.
///
/// The app is paused while [`EventBusConfig::paused`] is set, and with the feature `bevy_time` also
/// while Bevy's virtual clock stands still.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "bevy_reflect", derive(Reflect), reflect(Default))]
pub enum PausePolicy {
    /// Events wait on the bus. When it is full, its own policy decides. The default.
    #[default]
    Hold,
    /// Events are taken and dropped, counted as discarded.
    Drop,
    /// Events are delivered as ever: for menus and other things that a pause does not stop.
    PassThrough,
}

/// The settings of one bus.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "bevy_reflect", derive(Reflect))]
pub struct BusConfig {
    /// The name of the event type.
    pub event: &'static str,
    /// How much a frame may deliver.
    pub budget: FrameBudget,
    /// How many generations of events a drain handles. 0 is taken as 1.
    pub generations: usize,
    /// A frame delivers no more messages than bring those that wait to be read to this number. 0 is taken
    /// as 1.
    pub message_limit: usize,
    /// What each lane does in a pause.
    pub pause: Vec<PausePolicy>,
}

/// The settings of all buses of the app, to be changed at any time; they count from the next drain
/// on.
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
///     config.bus_mut::<Hit>().expect("it was added").budget = FrameBudget::events(8);
/// }
///
/// let mut app = App::new();
/// app.add_plugins(EventBusPlugin::new(&HITS)).add_bus_frame::<Hit>().add_systems(Update, slow_down);
/// app.update();
/// assert_eq!(app.world().resource::<EventBusConfig>().bus::<Hit>().unwrap().budget.events, 8);
/// ```
#[derive(Resource, Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "bevy_reflect", derive(Reflect), reflect(Resource, Default))]
pub struct EventBusConfig {
    /// Whether lanes do as their [`PausePolicy`] says, beside what Bevy's clock says.
    pub paused: bool,
    pub(super) buses: Vec<BusConfig>,
}

impl EventBusConfig {
    /// The settings of the bus of `E`. `None` if the app has no such bus.
    #[must_use]
    pub fn bus<E>(&self) -> Option<&BusConfig> {
        self.buses.iter().find(|bus| bus.event == type_name::<E>())
    }

    /// The settings of the bus of `E`, to change them. `None` if the app has no such bus.
    #[must_use]
    pub fn bus_mut<E>(&mut self) -> Option<&mut BusConfig> {
        self.buses.iter_mut().find(|bus| bus.event == type_name::<E>())
    }
}
