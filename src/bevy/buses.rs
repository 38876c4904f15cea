//! The buses of an app, and the order in which a frame drains them.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::TypeId;
use core::time::Duration;

use bevy_app::FixedMainScheduleOrder;
use bevy_ecs::message::Messages;
use bevy_ecs::resource::Resource;
use bevy_ecs::schedule::InternedScheduleLabel;
use bevy_ecs::world::World;

use super::bus::Pending;
#[cfg(feature = "bevy_time")]
use super::clock;
use super::config::EventBusConfig;
use super::route::MessageType;
use super::stats::{BusOverrun, EventBusStats};

/// The buses of an app.
#[derive(Resource, Default)]
pub(super) struct Buses {
    /// The buses of each event.
    pub(super) entries: Vec<Entry>,
    /// Events with a delivery, until the next drain has checked that each has a bus.
    pub(super) wanted: Vec<(TypeId, &'static str)>,
    /// The types of messages that the buses deliver.
    pub(super) messages: Vec<MessageType>,
    /// Where the buses are drained if the app has no main schedule. Only the drain ends the life of messages
    /// then.
    pub(super) by_hand: Option<InternedScheduleLabel>,
    /// Every bus.
    pub(super) pending: Vec<&'static dyn Pending>,
    /// The settings and the numbers, as the plugins made them.
    pub(super) made: (EventBusConfig, EventBusStats),
    /// Whether a drain has to come even if nothing is pending.
    pub(super) busy: bool,
    /// Whether there are overruns to forget.
    pub(super) overrun: bool,
}

/// The buses of one event.
pub(super) struct Entry {
    pub(super) of: TypeId,
    /// `None` while they are drained.
    pub(super) bus: Option<Box<dyn Drained>>,
}

/// The buses of one event, without the type of the event.
pub(super) trait Drained: Send + Sync {
    /// Returns whether a drain would find nothing and change nothing.
    fn is_idle(&self) -> bool;

    /// Takes over new routes, and marks the types of messages whose old messages have to go.
    fn begin(&mut self, world: &mut World);

    fn drain(&mut self, world: &mut World);

    /// Delivers the events that the fixed step covers that ends at `end`.
    #[cfg(feature = "bevy_time")]
    fn release(&mut self, world: &mut World, end: Duration);

    #[cfg(feature = "bevy_time")]
    fn is_fixed(&self) -> bool;
}

impl Buses {
    /// Returns whether there is anything to drain.
    fn any_work(&self) -> bool {
        self.busy || self.pending.iter().any(|bus| bus.is_pending())
    }

    /// Adds the settings and the numbers that are missing: those of a bus that was just added, and those of
    /// all buses where one of these resources was removed or replaced by a new one.
    pub(super) fn begin_anew(world: &mut World) {
        world.init_resource::<EventBusConfig>();
        world.init_resource::<EventBusStats>();
        let (config, stats) = &world.resource::<Self>().made;
        let (known, told) = (
            world.resource::<EventBusConfig>().buses.len(),
            world.resource::<EventBusStats>().buses.len(),
        );
        if known < config.buses.len() || told < stats.buses.len() {
            let buses = config.buses.get(known..).unwrap_or_default().to_vec();
            let numbers = stats.buses.get(told..).unwrap_or_default().to_vec();
            world.resource_mut::<EventBusConfig>().buses.extend(buses);
            world.resource_mut::<EventBusStats>().buses.extend(numbers);
        }
    }
}

pub(super) fn drain_all(world: &mut World) {
    // Here and not as a run condition, which would be a second system.
    if !world.resource::<Buses>().any_work() {
        return;
    }
    // Not `MainScheduleOrder`, which Bevy takes out of the world while the main schedule runs.
    let main = world.contains_resource::<FixedMainScheduleOrder>();
    assert!(
        !(main && world.resource::<Buses>().by_hand.is_some()),
        "the app has got its main schedule after its buses, which are now drained at the wrong time: add \
         `MainSchedulePlugin` before the first `EventBusPlugin`"
    );
    let mut buses = world.resource_mut::<Buses>();
    buses.busy = true; // until all has gone well
    for (of, name) in core::mem::take(&mut buses.wanted) {
        assert!(
            buses.entries.iter().any(|entry| entry.of == of),
            "events of `{name}` are to be delivered, but no bus carries them: add an \
             `EventBusPlugin` with a bus of `{name}`"
        );
    }
    if core::mem::take(&mut buses.overrun) {
        let mut overruns = world.get_resource_or_init::<Messages<BusOverrun>>();
        overruns.update();
        let any = !overruns.is_empty();
        world.resource_mut::<Buses>().overrun = any;
    }
    Buses::begin_anew(world);
    let mut stats = world.resource_mut::<EventBusStats>();
    stats.generations = 0;
    stats.spent = Duration::ZERO;
    let mut busy = false;
    for at in 0..world.resource::<Buses>().entries.len() {
        with_bus(world, at, |bus, world| bus.begin(world));
    }
    // For all buses at once, before the first delivers: several may deliver one type.
    let mut messages = core::mem::take(&mut world.resource_mut::<Buses>().messages);
    messages.iter_mut().for_each(|messages| messages.end_frame(world));
    world.resource_mut::<Buses>().messages = messages;
    for at in 0..world.resource::<Buses>().entries.len() {
        with_bus(world, at, |bus, world| {
            if !bus.is_idle() {
                bus.drain(world);
            }
            busy |= !bus.is_idle();
        });
    }
    let mut buses = world.resource_mut::<Buses>();
    buses.busy = busy || buses.overrun;
}

#[cfg(feature = "bevy_time")]
pub(super) fn release_all(world: &mut World) {
    let end = clock::end_of_step(world);
    for at in 0..world.resource::<Buses>().entries.len() {
        let bus = world.resource::<Buses>().entries[at].bus.as_ref();
        if bus.is_some_and(|bus| bus.is_fixed()) {
            with_bus(world, at, |bus, world| bus.release(world, end));
        }
    }
}

/// Takes the buses of an event out of the world while they work on it, and puts them back also when an
/// observer panics.
pub(super) fn with_bus(
    world: &mut World,
    at: usize,
    work: impl FnOnce(&mut dyn Drained, &mut World),
) {
    struct PutBack<'w> {
        world: &'w mut World,
        at: usize,
        bus: Box<dyn Drained>,
    }

    impl Drop for PutBack<'_> {
        fn drop(&mut self) {
            let bus = core::mem::replace(&mut self.bus, Box::new(Nothing));
            if let Some(mut buses) = self.world.get_resource_mut::<Buses>() {
                buses.entries[self.at].bus = Some(bus);
            }
        }
    }

    let Some(bus) = world.resource_mut::<Buses>().entries[at].bus.take() else { return };
    let mut out = PutBack { world, at, bus };
    work(&mut *out.bus, out.world);
}

/// Stands in for buses that go back. Allocates nothing.
struct Nothing;

impl Drained for Nothing {
    fn is_idle(&self) -> bool {
        true
    }

    fn begin(&mut self, _: &mut World) {}

    fn drain(&mut self, _: &mut World) {}

    #[cfg(feature = "bevy_time")]
    fn release(&mut self, _: &mut World, _: Duration) {}

    #[cfg(feature = "bevy_time")]
    fn is_fixed(&self) -> bool {
        false
    }
}
