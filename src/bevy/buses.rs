//! The buses of an app, and their turns.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::any::TypeId;
use core::time::Duration;

use bevy_ecs::message::Messages;
use bevy_ecs::resource::Resource;
use bevy_ecs::world::World;

use super::bus::Pending;
#[cfg(feature = "bevy_time")]
use super::clock;
use super::{BusOverrun, EventBusConfig, EventBusStats};

/// Every bus of an app.
#[derive(Resource, Default)]
pub(super) struct Buses {
    pub(super) buses: Vec<Entry>,
    /// Events that somebody wants delivered, and that nobody has looked for yet.
    pub(super) wanted: Vec<(TypeId, &'static str)>,
    /// Nobody but the drain ends the life of messages: the app has no main schedule.
    pub(super) by_hand: bool,
    /// Every lane of every bus.
    pub(super) lanes: Vec<&'static dyn Pending>,
    /// The settings and the numbers as the plugins made them.
    pub(super) made: (EventBusConfig, EventBusStats),
    /// Whether a drain has to come even if nothing is pending.
    pub(super) busy: bool,
    /// Whether there are overruns to forget.
    pub(super) overrun: bool,
}

/// One bus, and what it is a bus of.
pub(super) struct Entry {
    pub(super) of: TypeId,
    /// `None` while it is drained.
    pub(super) bus: Option<Box<dyn Drained>>,
}

/// A bus without its event.
pub(super) trait Drained: Send + Sync {
    /// Whether a drain would find nothing and change nothing.
    fn is_idle(&self) -> bool;

    fn drain(&mut self, world: &mut World);

    /// Delivers what the fixed step covers that ends at `end`.
    #[cfg(feature = "bevy_time")]
    fn release(&mut self, world: &mut World, end: Duration);

    #[cfg(feature = "bevy_time")]
    fn is_fixed(&self) -> bool;
}

impl Buses {
    /// Whether there is anything to drain.
    fn any_work(&self) -> bool {
        self.busy || self.lanes.iter().any(|lane| lane.is_pending())
    }

    /// Adds the settings and the numbers that are missing: those of a bus that was just added, and of all
    /// buses where somebody has put a new resource, which knows none, in the place of one of these.
    pub(super) fn begin_anew(world: &mut World) {
        let (config, stats) = &world.resource::<Self>().made;
        let (known, told) = (
            world.resource::<EventBusConfig>().buses.len(),
            world.resource::<EventBusStats>().lanes.len(),
        );
        if known < config.buses.len() || told < stats.lanes.len() {
            let buses = config.buses.get(known..).unwrap_or_default().to_vec();
            let lanes = stats.lanes.get(told..).unwrap_or_default().to_vec();
            world.resource_mut::<EventBusConfig>().buses.extend(buses);
            world.resource_mut::<EventBusStats>().lanes.extend(lanes);
        }
    }
}

pub(super) fn drain_all(world: &mut World) {
    // Here and not as a run condition, which would be a second system.
    if !world.resource::<Buses>().any_work() {
        return;
    }
    let mut buses = world.resource_mut::<Buses>();
    buses.busy = true; // until all has gone well
    for (of, name) in core::mem::take(&mut buses.wanted) {
        assert!(
            buses.buses.iter().any(|entry| entry.of == of),
            "events of `{name}` are to be delivered, but no bus carries them: add an \
             `EventBusPlugin` with a bus of `{name}`"
        );
    }
    if core::mem::take(&mut buses.overrun) {
        let mut overruns = world.resource_mut::<Messages<BusOverrun>>();
        overruns.update();
        let any = !overruns.is_empty();
        world.resource_mut::<Buses>().overrun = any;
    }
    Buses::begin_anew(world);
    let mut stats = world.resource_mut::<EventBusStats>();
    stats.generations = 0;
    stats.spent = Duration::ZERO;
    let mut busy = false;
    for at in 0..world.resource::<Buses>().buses.len() {
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
    for at in 0..world.resource::<Buses>().buses.len() {
        let bus = world.resource::<Buses>().buses[at].bus.as_ref();
        if bus.is_some_and(|bus| bus.is_fixed()) {
            with_bus(world, at, |bus, world| bus.release(world, end));
        }
    }
}

/// Takes a bus out of the world for as long as it works on the world, and puts it back also when an
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
                buses.buses[self.at].bus = Some(bus);
            }
        }
    }

    let Some(bus) = world.resource_mut::<Buses>().buses[at].bus.take() else { return };
    let mut out = PutBack { world, at, bus };
    work(&mut *out.bus, out.world);
}

/// What stands in for a bus that goes back. Allocates nothing.
struct Nothing;

impl Drained for Nothing {
    fn is_idle(&self) -> bool {
        true
    }

    fn drain(&mut self, _: &mut World) {}

    #[cfg(feature = "bevy_time")]
    fn release(&mut self, _: &mut World, _: Duration) {}

    #[cfg(feature = "bevy_time")]
    fn is_fixed(&self) -> bool {
        false
    }
}
