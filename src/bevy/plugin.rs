//! The plugin, and the schedules in which it drains.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::any::{TypeId, type_name};
use core::fmt;
use core::ptr::addr_eq;
use core::time::Duration;

use bevy_app::{App, First, MainScheduleOrder, Plugin, PreUpdate};
use bevy_ecs::message::Messages;
#[cfg(feature = "bevy_reflect")]
use bevy_ecs::reflect::AppTypeRegistry;
use bevy_ecs::schedule::{
    InternedScheduleLabel, IntoScheduleConfigs, Schedule, ScheduleLabel, Schedules,
    SingleThreadedExecutor, SystemSet,
};
use bevy_ecs::world::World;

use super::bus::{AnyBus, EventBus, Publish};
use super::buses::{Buses, Entry, drain_all};
use super::clock::{self, Clock};
use super::config::{BusConfig, EventBusConfig, FrameBudget, PausePolicy};
use super::delivery::Delivery;
use super::drain::Work;
use super::frame::EventBusState;
use super::intake::{Intake, Intakes};
use super::kinds::Kinds;
use super::route::Routes;
use super::share::MAX_BUSES;
use super::stats::{BusOverrun, BusStats, EventBusStats};
use super::steps::Steps;
use crate::event::Event;

/// The schedule that drains the buses of an app.
///
/// It runs once a frame, after `First` and before `PreUpdate`. Bevy has dropped old messages and
/// set its clocks by then. It runs on one thread, because a drain takes less time than handing it
/// to another. Use [`EventBusSystems`] to order your systems of this schedule before or after the
/// drain.
///
/// # Apps without a main schedule
///
/// An app made by [`App::empty`] runs this schedule in the update schedule that it has when you add
/// the plugin. Without an update schedule, the app runs it in `PreUpdate`. Order the systems that
/// read events in that schedule [`after`](IntoScheduleConfigs::after) [`EventBusSystems::Drain`].
#[derive(ScheduleLabel, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventBusDrain;

/// The schedule that delivers events in the fixed step that covers them.
///
/// It runs in each fixed step, after `FixedFirst`. It does nothing unless a bus is
/// [in fixed steps](EventBusPlugin::in_fixed_step). If the app has no `FixedMainScheduleOrder` when you add
/// the plugin, run this schedule yourself in each step.
#[derive(ScheduleLabel, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventBusFixedDrain;

/// The system sets of [`EventBusDrain`] and [`EventBusFixedDrain`], in this order.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventBusSystems {
    /// The drain: events leave the buses. Order a system before it to publish for this frame.
    Drain,
    /// Systems that report what the drain did, to diagnostics for example.
    Report,
}

/// Drains the buses of one event into the app, once a frame.
///
/// Add one plugin for each event type `E`, and call a method of
/// [`EventBusAppExt`](super::EventBusAppExt) for each delivery. The plugin leaves the capacity and
/// the policy of the bus as they are.
///
/// Publishers do not need Bevy: any thread, task or interrupt handler publishes to the `static`.
/// The next drain that begins after the publish delivers the event, in publish order.
///
/// Dropping the app gives the consumer of each bus back. Pending events stay on the bus, and the next app that
/// adds the bus delivers them.
///
/// # Panics
///
/// Adding the plugin panics if the app has a bus of `E` already, or if the bus has a consumer. The first
/// frame panics if the bus has no delivery: see [`EventBusAppExt`](super::EventBusAppExt).
///
/// # Examples
///
/// ```
/// use bevy_app::{App, Update};
/// use tickbus::Bus;
/// use tickbus::bevy::{BusFrame, EventBusAppExt, EventBusPlugin, FrameBudget, PausePolicy};
///
/// static URGENT: Bus<u32, 16> = Bus::new();
/// static USUAL: Bus<u32, 64> = Bus::new();
///
/// let mut app = App::new();
/// app.add_plugins(
///     EventBusPlugin::new(&URGENT)
///         .with_pause(PausePolicy::PassThrough)
///         .with_lower_priority(&USUAL)
///         .with_budget(FrameBudget::events(4)),
/// )
/// .add_bus_frame::<u32>()
/// .add_systems(Update, |mut frame: BusFrame<u32>| assert!(frame.read().len() <= 4));
///
/// for event in 0..6 {
///     USUAL.publish(event).unwrap();
/// }
/// URGENT.publish(100).unwrap();
/// app.update();
/// let frame = app.world().resource::<tickbus::bevy::EventBusState<u32>>().frame();
/// assert_eq!(frame, [100, 0, 1, 2]);
/// ```
pub struct EventBusPlugin<E: 'static> {
    /// The bus with the highest priority first.
    buses: Vec<(&'static dyn Publish<E>, PausePolicy)>,
    budget: FrameBudget,
    generations: usize,
    message_limit: Option<usize>,
    clock: Option<Clock>,
    keeps_pending: bool,
    kinds: Option<Kinds<E>>,
    steps: Option<Steps<E>>,
}

impl<E: Send + Sync + 'static> EventBusPlugin<E> {
    /// Creates a plugin that drains `bus`: a [`Bus`](crate::bus::Bus) of any capacity and policy, also one
    /// with [`Waiters`](crate::wait::Waiters), whose publishers may wait until a frame makes room.
    #[must_use]
    pub fn new(bus: &'static impl AnyBus<E>) -> Self {
        Self {
            buses: vec![(bus, PausePolicy::Hold)],
            budget: FrameBudget::unlimited(),
            generations: 1,
            message_limit: None,
            clock: clock::of_the_system(),
            keeps_pending: false,
            kinds: None,
            steps: None,
        }
    }

    /// Adds a bus of the same event, with a lower priority than the buses before.
    ///
    /// The first bus has priority 0, the next one priority 1, and so on. A frame delivers the
    /// events of a bus before those of the buses below. All buses share the budget. A bus gets what
    /// the buses above leave, but at least an eighth of the budget while it has pending events.
    /// Under a time limit it gets at least one batch.
    ///
    /// # Panics
    ///
    /// Panics if the plugin has eight buses already.
    #[must_use]
    pub fn with_lower_priority(mut self, bus: &'static impl AnyBus<E>) -> Self {
        assert!(self.buses.len() < MAX_BUSES, "an event has at most {MAX_BUSES} buses");
        self.buses.push((bus, PausePolicy::Hold));
        self
    }

    /// Sets what the bus added last does in a pause. The default is [`PausePolicy::Hold`].
    #[must_use]
    pub fn with_pause(mut self, policy: PausePolicy) -> Self {
        if let Some((_, pause)) = self.buses.last_mut() {
            *pause = policy;
        }
        self
    }

    /// Sets how much a frame may deliver. The default is [`FrameBudget::unlimited`].
    #[must_use]
    pub fn with_budget(mut self, budget: FrameBudget) -> Self {
        self.budget = budget;
        self
    }

    /// Sets how many generations of events a drain delivers.
    ///
    /// The first generation is the events that are pending when the drain begins. The second is the
    /// events that observers publish meanwhile, and so on. With the default of 1, those stay
    /// pending for the next frame. All generations share the budget. Events of later generations
    /// stay pending, and [`EventBusStats`] counts them as `left`.
    #[must_use]
    pub fn with_generations(mut self, count: usize) -> Self {
        self.generations = count.max(1);
        self
    }

    /// Sets the upper bound on unread messages; a frame stops delivering there.
    ///
    /// It limits unread messages where Bevy drops none, for example while no fixed step runs. The default is
    /// sixteen times the capacity of the buses. 0 means 1. A message stays for two frames, read or not: a
    /// limit below twice the budget slows the drain down.
    #[must_use]
    pub fn with_message_limit(mut self, count: usize) -> Self {
        self.message_limit = Some(count);
        self
    }

    /// Sets the clock of the [time budget](FrameBudget::and_time), instead of the operating system's.
    ///
    /// `now` returns the time since any fixed moment. It must never go back.
    #[must_use]
    pub fn with_clock(mut self, now: fn() -> Duration) -> Self {
        self.clock = Some(now);
        self
    }

    /// Moves the events that a frame leaves from the bus to [`EventBusState`], where a rollback can restore
    /// them.
    ///
    /// The state keeps at most as many events of a bus as the bus holds, and delivers them before newer ones.
    /// A bus that drops its oldest event therefore drops one that is newer than those in the state. The
    /// plugin drains such buses in every frame, also when they are idle.
    #[must_use]
    pub fn keep_pending(mut self) -> Self {
        self.keeps_pending = true;
        self
    }

    /// Counts by kind the events that a frame leaves, and those that a pause discards.
    ///
    /// [`BusStats`] and [`BusOverrun`] report the counts. The method includes
    /// [`keep_pending`](Self::keep_pending), because the plugin cannot look at the events on a bus.
    /// Counting takes time in proportion to the pending events.
    #[must_use]
    pub fn by_kind(mut self) -> Self
    where
        E: Event,
    {
        self.keeps_pending = true;
        self.kinds = Some(Kinds::of());
        self
    }

    /// Delivers each event in the fixed step that covers its stamp, instead of once a frame.
    ///
    /// `at` returns the stamp of an event, and `now` reads the clock of the stamps. Use any clock that runs at
    /// the speed of real time. The step that covers an event is the one during which it happened by Bevy's
    /// virtual clock, at that clock's speed. Within one step the bus with the highest priority comes first,
    /// each bus in publish order.
    ///
    /// # Late events
    ///
    /// If the step of an event is over, the next step delivers the event, and
    /// [`late`](super::BusCounts::late) counts it.
    ///
    /// # Frames without a step
    ///
    /// A frame without a step delivers nothing. For each bus, at most as many events as the bus holds wait for
    /// their step; further events stay on the bus. [Generations](Self::with_generations) have no effect.
    ///
    /// # Panics
    ///
    /// The first drain panics if the app has no `TimePlugin`.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use std::sync::LazyLock;
    /// use std::time::Instant;
    ///
    /// use bevy_app::{App, FixedUpdate};
    /// use bevy_ecs::prelude::*;
    /// use bevy_time::TimePlugin;
    /// use tickbus::Bus;
    /// use tickbus::bevy::{EventBusAppExt, EventBusPlugin};
    ///
    /// static BEGIN: LazyLock<Instant> = LazyLock::new(Instant::now);
    ///
    /// #[derive(Message, Clone, Copy)]
    /// struct Jump { at: Duration }
    ///
    /// static JUMPS: Bus<Jump, 64> = Bus::new();
    ///
    /// fn jump(mut jumps: MessageReader<Jump>) {
    ///     for jump in jumps.read() {
    ///         println!("jumped at {:?}", jump.at);
    ///     }
    /// }
    ///
    /// let mut app = App::new();
    /// app.add_plugins((
    ///     TimePlugin,
    ///     EventBusPlugin::new(&JUMPS).in_fixed_step(|| BEGIN.elapsed(), |jump| jump.at),
    /// ))
    /// .add_bus_message::<Jump>()
    /// .add_systems(FixedUpdate, jump);
    ///
    /// JUMPS.publish(Jump { at: BEGIN.elapsed() }).ok();
    /// app.update();
    /// ```
    #[cfg(feature = "bevy_time")]
    #[must_use]
    pub fn in_fixed_step(mut self, now: fn() -> Duration, at: fn(&E) -> Duration) -> Self {
        self.steps = Some(Steps { now, at });
        self
    }
}

impl<E: Send + Sync + 'static> Plugin for EventBusPlugin<E> {
    /// Returns `false`: one app may have several of these plugins. [`build`](Self::build) panics if two have
    /// the same event.
    fn is_unique(&self) -> bool {
        false
    }

    fn build(&self, app: &mut App) {
        let name = type_name::<E>();
        assert!(
            self.budget.time.is_none() || self.clock.is_some(),
            "the bus of `{name}` has a time budget and no clock: give it one by `with_clock`"
        );
        let update = app.main().update_schedule;
        let world = app.world_mut();
        set_up(world, update);
        let buses = world.resource::<Buses>();
        if buses.entries.iter().any(|entry| entry.of == TypeId::of::<E>()) {
            let known = world.get_resource::<EventBus<E>>();
            let known = known.map_or(&[][..], |bus| &bus.buses);
            assert!(
                !known.iter().any(|known| self.buses.iter().any(|(bus, _)| addr_eq(*known, *bus))),
                "this bus of `{name}` was added to the app already: add one `EventBusPlugin` for it, once"
            );
            panic!(
                "the app has a bus of `{name}` already: add the second one to the same plugin by \
                 `with_lower_priority`, or give it an event type of its own"
            );
        }
        for (at, (bus, _)) in self.buses.iter().enumerate() {
            assert!(
                !self.buses[..at].iter().any(|(other, _)| addr_eq(*other, *bus)),
                "bus {at} of `{name}` is in the plugin already: give each priority a bus of its own"
            );
        }
        let kinds = self.kinds.map_or(0, |kinds| kinds.subjects.len());
        let capacity: usize = self.buses.iter().map(|(bus, _)| bus.capacity()).sum();
        let buses: Vec<_> = self
            .buses
            .iter()
            .map(|(bus, _)| {
                let reader = bus.claim().unwrap_or_else(|_| {
                    panic!(
                        "a bus of `{name}` has a consumer already, by `consumer()` or in another app: drop \
                         that consumer or that app before you add the plugin, or use a second bus"
                    )
                });
                Intake::new(reader, bus.capacity(), kinds)
            })
            .collect();

        let mut state = world.get_resource_or_init::<EventBusState<E>>();
        state.make_room(buses.len());
        world.insert_resource(EventBus { buses: self.buses.iter().map(|(bus, _)| *bus).collect() });

        let index = world.resource::<Buses>().entries.len();
        let settings = BusConfig {
            event: name,
            budget: self.budget,
            generations: self.generations,
            message_limit: self.message_limit.unwrap_or(capacity.saturating_mul(16)),
            pause: self.buses.iter().map(|(_, pause)| *pause).collect(),
        };
        let first = world.resource::<Buses>().pending.len();
        let numbers = (0..buses.len()).map(|priority| BusStats {
            event: name,
            priority,
            left_by_kind: vec![0; kinds],
            discarded_by_kind: vec![0; kinds],
            ..BusStats::default()
        });

        let routes = Routes { kinds: self.kinds, ..Routes::default() };
        let work = Work {
            index,
            intakes: Intakes { buses, first, keeps_pending: self.keeps_pending, kinds: self.kinds },
            delivery: Delivery::new(routes, capacity.min(self.budget.events)),
            clock: self.clock,
            steps: self.steps,
            started: false,
            messages: Vec::new(),
            linger: 0,
        };
        let mut buses = world.resource_mut::<Buses>();
        buses.busy = true; // so that the first drain finds out if it has no delivery
        buses.made.0.buses.push(settings);
        buses.made.1.buses.extend(numbers);
        buses.pending.extend(self.buses.iter().map(|(bus, _)| bus.as_pending()));
        buses.entries.push(Entry { of: TypeId::of::<E>(), bus: Some(Box::new(work)) });
        Buses::begin_anew(world);
    }

    fn finish(&self, app: &mut App) {
        let update = app.main().update_schedule.unwrap_or(PreUpdate.intern());
        let buses = app.world().get_resource::<Buses>();
        assert!(
            buses.and_then(|buses| buses.by_hand).is_none_or(|drained| drained == update),
            "the buses of the app are drained in another schedule than its updates run: set the update schedule \
             of the app before you add the first `EventBusPlugin`"
        );
    }
}

/// Makes the schedules, once.
pub(super) fn set_up(world: &mut World, update: Option<InternedScheduleLabel>) {
    if world.contains_resource::<EventBusStats>() {
        return;
    }
    world.init_resource::<Buses>();
    world.init_resource::<EventBusStats>();
    world.init_resource::<EventBusConfig>();
    // Not registered with Bevy, which would keep all of these messages in a pause.
    world.init_resource::<Messages<BusOverrun>>();
    #[cfg(feature = "bevy_reflect")]
    if let Some(types) = world.get_resource::<AppTypeRegistry>() {
        let mut types = types.write();
        types.register::<EventBusStats>();
        types.register::<EventBusConfig>();
    }

    let mut schedules = world.get_resource_or_init::<Schedules>();
    let drain = single_threaded(&mut schedules, EventBusDrain);
    drain.add_systems(drain_all.in_set(EventBusSystems::Drain));

    if let Some(mut order) = world.get_resource_mut::<MainScheduleOrder>() {
        let first = order.labels.iter().position(|label| *label == First.intern());
        order.labels.insert(first.map_or(0, |first| first + 1), EventBusDrain.intern());
    } else {
        let label = update.unwrap_or(PreUpdate.intern());
        world.resource_mut::<Buses>().by_hand = Some(label);
        let mut schedules = world.get_resource_or_init::<Schedules>();
        schedules.add_systems(label, run_drain.in_set(EventBusSystems::Drain));
    }
    #[cfg(feature = "bevy_time")]
    set_up_fixed(world);
}

#[cfg(feature = "bevy_time")]
fn set_up_fixed(world: &mut World) {
    use super::buses::release_all;
    use bevy_app::{FixedFirst, FixedMainScheduleOrder};

    let mut schedules = world.get_resource_or_init::<Schedules>();
    let release = single_threaded(&mut schedules, EventBusFixedDrain);
    release.add_systems(release_all.in_set(EventBusSystems::Drain));
    if let Some(mut order) = world.get_resource_mut::<FixedMainScheduleOrder>() {
        let first = order.labels.iter().position(|label| *label == FixedFirst.intern());
        order.labels.insert(first.map_or(0, |first| first + 1), EventBusFixedDrain.intern());
    }
}

/// The schedule of a label, with the systems that it has already.
fn single_threaded(schedules: &mut Schedules, label: impl ScheduleLabel) -> &mut Schedule {
    let schedule = schedules.entry(label);
    schedule.set_executor(SingleThreadedExecutor::new());
    schedule.configure_sets((EventBusSystems::Drain, EventBusSystems::Report).chain());
    schedule
}

fn run_drain(world: &mut World) {
    world.run_schedule(EventBusDrain);
}

impl<E: 'static> fmt::Debug for EventBusPlugin<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventBusPlugin")
            .field("event", &type_name::<E>())
            .field("buses", &self.buses.len())
            .field("budget", &self.budget)
            .field("generations", &self.generations)
            .finish_non_exhaustive()
    }
}
