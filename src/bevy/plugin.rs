//! The plugin, and when it drains.

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

use super::bus::AnyBus;
use super::bus::Publish;
use super::buses::{Buses, Entry, drain_all};
use super::clock::{self, Clock};
use super::drain::{Kinds, Lane, Steps, Work};
use super::route::{BusDrained, Routes};
use super::share::MAX_LANES;
use super::{
    BusConfig, BusOverrun, EnvelopeBus, EventBusConfig, EventBusState, EventBusStats, FrameBudget,
    LaneStats, PausePolicy,
};
use crate::event::Event;

/// The schedule that drains the buses of an app.
///
/// It runs once a frame, after `First`, so after Bevy has dropped old messages and set its clocks,
/// and before `PreUpdate`; on one thread, for a drain is shorter than handing it to another. Systems
/// before and after the drain order themselves by [`EventBusSystems`].
///
/// An app without Bevy's main schedule, as [`App::empty`] makes it, runs it in the update schedule
/// that it has when the plugin is added, else in `PreUpdate`. Systems of that schedule that read events
/// come [`after`](IntoScheduleConfigs::after) [`EventBusSystems::Drain`].
#[derive(ScheduleLabel, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventBusDrain;

/// The schedule that releases events in the fixed step that covers them: runs in each step, after
/// `FixedFirst`.
///
/// Releases nothing unless a bus is [in fixed steps](EventBusPlugin::in_fixed_step). An app that has no
/// `FixedMainScheduleOrder` when the plugin is added runs it by itself.
#[derive(ScheduleLabel, Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct EventBusFixedDrain;

/// What happens in [`EventBusDrain`] and [`EventBusFixedDrain`], in this order.
#[derive(SystemSet, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventBusSystems {
    /// Events leave the buses and are delivered. Systems that publish what this frame shall see come
    /// before.
    Drain,
    /// What the drain did is passed on, to diagnostics for example.
    Report,
}

/// Drains a bus into the app, once a frame.
///
/// `E` is the event; capacity and policy are the bus's own business. Add one plugin for each event
/// type, and say with [`EventBusAppExt`](super::EventBusAppExt) what to deliver to.
///
/// Publishers need no Bevy: any thread, task or interrupt handler publishes to the `static`. What they
/// publish is delivered in the next frame whose drain begins afterwards, in publish order.
///
/// Dropping the app gives the consumer of each bus back. What nobody took stays, and the next app that
/// adds the bus takes it.
///
/// # Panics
///
/// Adding it panics if the app has a bus of `E` already, or if something else consumes the bus. The first
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
///         .with_lane(&USUAL)
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
    lanes: Vec<(&'static dyn Publish<E>, PausePolicy)>,
    budget: FrameBudget,
    generations: usize,
    message_limit: Option<usize>,
    clock: Option<Clock>,
    keeps_backlog: bool,
    kinds: Option<Kinds<E>>,
    steps: Option<Steps<E>>,
}

impl<E: Send + Sync + 'static> EventBusPlugin<E> {
    /// Drains `bus`: a [`Bus`](crate::Bus) of any capacity and policy; or
    /// one with [`Waiters`](crate::Waiters), whose publishers may wait until a frame makes room.
    #[must_use]
    pub fn new(bus: &'static impl AnyBus<E>) -> Self {
        Self {
            lanes: vec![(bus, PausePolicy::Hold)],
            budget: FrameBudget::unlimited(),
            generations: 1,
            message_limit: None,
            clock: clock::of_the_system(),
            keeps_backlog: false,
            kinds: None,
            steps: None,
        }
    }

    /// Adds a bus of the same event below those before: a lane of lower priority.
    ///
    /// All lanes share the budget. A lane gets what the lanes above leave, but never less than an
    /// eighth of the budget while it has events; under a time, never less than a batch. So a frame
    /// delivers the first lane first, and the last is late but not forgotten.
    ///
    /// # Panics
    ///
    /// If there are eight lanes already.
    #[must_use]
    pub fn with_lane(mut self, bus: &'static impl AnyBus<E>) -> Self {
        assert!(self.lanes.len() < MAX_LANES, "an event has at most {MAX_LANES} lanes");
        self.lanes.push((bus, PausePolicy::Hold));
        self
    }

    /// What the lane named last does in a pause. [`PausePolicy::Hold`] unless set.
    #[must_use]
    pub fn with_pause(mut self, policy: PausePolicy) -> Self {
        if let Some((_, pause)) = self.lanes.last_mut() {
            *pause = policy;
        }
        self
    }

    /// How much a frame may deliver. Unlimited unless set.
    #[must_use]
    pub fn with_budget(mut self, budget: FrameBudget) -> Self {
        self.budget = budget;
        self
    }

    /// How many generations of events a drain handles: the first is what waits when it begins, the
    /// second is what observers have published meanwhile, and so on. 1 unless set, so that what
    /// observers publish waits for the next frame. The budget is for all generations together; what is
    /// left is [told](super::EventBusStats), never recursed.
    #[must_use]
    pub fn with_generations(mut self, count: usize) -> Self {
        self.generations = count.max(1);
        self
    }

    /// How many messages may wait to be read before the drain leaves further events on the bus: the
    /// bound where nothing makes Bevy drop old messages, as with fixed steps that do not come.
    /// Sixteen times the capacity of the lanes unless set. 0 is taken as 1; and a message waits for two
    /// frames, read or not, so that a limit below twice the budget slows the drain down.
    #[must_use]
    pub fn with_message_limit(mut self, count: usize) -> Self {
        self.message_limit = Some(count);
        self
    }

    /// The clock of the [time budget](FrameBudget::and_time), instead of the operating system's. It
    /// tells the time since a moment of its own choice and never goes back.
    #[must_use]
    pub fn with_clock(mut self, now: fn() -> Duration) -> Self {
        self.clock = Some(now);
        self
    }

    /// Keeps what a frame leaves in [`EventBusState`], where a rollback can restore it, instead of on
    /// the bus.
    ///
    /// The pending takes at most as much as a bus holds, and is delivered before anything newer. So a
    /// bus whose policy drops the oldest event drops among those that came later than the pending. Such
    /// a bus is drained in every frame, idle or not.
    #[must_use]
    pub fn with_backlog(mut self) -> Self {
        self.keeps_backlog = true;
        self
    }

    /// Tells what a frame leaves, and what a pause discards, by the kind of event: in [`LaneStats`] and
    /// [`BusOverrun`].
    ///
    /// Includes [`with_backlog`](Self::with_backlog), for a bus does not show its events. Counting
    /// takes time in proportion to the pending.
    #[must_use]
    pub fn by_kind(mut self) -> Self
    where
        E: Event,
    {
        self.keeps_backlog = true;
        self.kinds = Some(Kinds::of());
        self
    }

    /// Delivers each event in the fixed step that covers its stamp, instead of once a frame.
    ///
    /// `at` is the stamp of an event, by the clock that `now` reads: any clock of yours that runs at
    /// the speed of real time. The step that covers an event is the one during which it happened, by
    /// Bevy's virtual clock, with its speed taken into account. An event whose step is over goes to
    /// the next one, counted as [late](super::LaneCounts::late). Within one step the order is that of
    /// the lanes, and of publishing.
    ///
    /// Per lane, at most as many events as its bus holds wait for their step; the rest stays on the
    /// bus. A frame that brings no step delivers nothing. Generations do not apply.
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
    /// For Bevy. A second bus of one event is refused all the same, with more to say about it.
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
        if buses.buses.iter().any(|entry| entry.of == TypeId::of::<E>()) {
            let known = world.get_resource::<EnvelopeBus<E>>();
            let known = known.map_or(&[][..], |bus| &bus.lanes);
            assert!(
                !known.iter().any(|known| self.lanes.iter().any(|(bus, _)| addr_eq(*known, *bus))),
                "this bus of `{name}` was added to the app already: add one `EventBusPlugin` for it, once"
            );
            panic!(
                "the app has a bus of `{name}` already: add the second one to the same plugin by \
                 `with_lane`, or give it an event type of its own"
            );
        }
        for (at, (bus, _)) in self.lanes.iter().enumerate() {
            assert!(
                !self.lanes[..at].iter().any(|(other, _)| addr_eq(*other, *bus)),
                "lane {at} of `{name}` is a bus that is a lane of the plugin already: give each lane a bus of \
                 its own"
            );
        }
        let kinds = self.kinds.map_or(0, |kinds| kinds.subjects.len());
        let capacity: usize = self.lanes.iter().map(|(lane, _)| lane.capacity()).sum();
        let lanes: Vec<_> = self
            .lanes
            .iter()
            .map(|(bus, _)| {
                let reader = bus.claim().unwrap_or_else(|_| {
                    panic!(
                        "a bus of `{name}` has a consumer already, by `consumer()` or in another app: drop \
                         that consumer or that app before you add the plugin, or use a second bus"
                    )
                });
                Lane::new(reader, bus.capacity(), kinds)
            })
            .collect();

        let mut state = world.get_resource_or_init::<EventBusState<E>>();
        state.make_lanes(lanes.len());
        world.insert_resource(EnvelopeBus {
            lanes: self.lanes.iter().map(|(bus, _)| *bus).collect(),
        });

        let index = world.resource::<Buses>().buses.len();
        let settings = BusConfig {
            event: name,
            budget: self.budget,
            generations: self.generations,
            message_limit: self.message_limit.unwrap_or(capacity.saturating_mul(16)),
            pause: self.lanes.iter().map(|(_, pause)| *pause).collect(),
        };
        let first_lane = world.resource::<Buses>().lanes.len();
        let numbers = (0..lanes.len()).map(|lane| LaneStats {
            event: name,
            lane,
            left_by_kind: vec![0; kinds],
            discarded_by_kind: vec![0; kinds],
            ..LaneStats::default()
        });

        let batch = Vec::with_capacity(capacity.min(self.budget.events));
        let mut buses = world.resource_mut::<Buses>();
        buses.busy = true; // so that the first drain finds out if it has no delivery
        buses.made.0.buses.push(settings);
        buses.made.1.lanes.extend(numbers);
        buses.lanes.extend(self.lanes.iter().map(|(bus, _)| bus.as_pending()));
        buses.buses.push(Entry {
            of: TypeId::of::<E>(),
            bus: Some(Box::new(Work {
                index,
                first_lane,
                lanes,
                keeps_backlog: self.keeps_backlog,
                kinds: self.kinds,
                clock: self.clock,
                steps: self.steps,
                routes: Routes::default(),
                started: false,
                messages: Vec::new(),
                batch: BusDrained { events: batch },
                in_batch: [0; MAX_LANES],
                taken: Vec::new(),
                told: Vec::new(),
                observed: 0,
                announced: false,
                linger: 0,
            })),
        });
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
    // Not registered with Bevy, which would keep every one of them in a pause.
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
            .field("lanes", &self.lanes.len())
            .field("budget", &self.budget)
            .field("generations", &self.generations)
            .finish_non_exhaustive()
    }
}
