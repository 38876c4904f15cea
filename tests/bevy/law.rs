//! published = handled + dropped + pending, and handled = delivered + unhandled + discarded, at the end of
//! every frame, whatever is set and whatever is delivered to.

use core::cell::Cell;
use core::time::Duration;

use bevy_app::{App, PreUpdate, Update};
use bevy_ecs::prelude::*;
use bevy_time::{Time, TimePlugin, TimeUpdateStrategy, Virtual};
use proptest::collection::vec;
use proptest::prelude::*;
use tickbus::bevy::{
    AnyBus, BusDrained, BusFrame, BusPublisher, EventBus, EventBusAppExt, EventBusConfig,
    EventBusPlugin, EventBusState, EventBusSystems, FrameBudget, PausePolicy,
};
use tickbus::{Bus, DropNewest, DropOldest, Reject, Stats, Waiters};

use super::stats;

tickbus::events! {
    #[derive(Message, Event, Clone, Copy, Debug)]
    enum Kind {
        #[subject = "kind.a"] A(u32),
        #[subject = "kind.b"] B(u32),
        #[subject = "kind.c"] C(u32),
        #[subject = "kind.d"] D(u32),
    }
}

#[derive(Message)]
struct A;
#[derive(Event)]
struct B;
#[derive(Message)]
struct EvenC;

/// Deliveries, by their place in `Setting::deliveries`. Those before `FRAME` take disjoint kinds, those from
/// there on take all events.
const MESSAGE_A: usize = 0;
const EVENT_B: usize = 1;
const PICKED_C: usize = 2;
const FRAME: usize = 3;
const BATCH: usize = 4;
const MESSAGE: usize = 5;
const EVENT: usize = 6;

/// What readers and observers of each delivery have seen, and missed.
#[derive(Resource, Default)]
struct Counts {
    seen: [usize; 7],
    missed: usize,
    /// So many events of B are echoed by their observer, as a D.
    echoes: u32,
}

#[derive(Clone, Debug)]
struct Setting {
    buses: Vec<(u8, u8)>,
    budget: Option<usize>,
    time: bool,
    generations: usize,
    keeps: u8,
    fixed: bool,
    by_hand: bool,
    message_limit: Option<usize>,
    deliveries: [bool; 7],
    echoes: u32,
}

fn setting() -> impl Strategy<Value = Setting> {
    let delivered = (
        vec((0..4_u8, 0..3_u8), 1..4),
        proptest::option::of(1..9_usize),
        any::<bool>(),
        1..4_usize,
        0..3_u8,
        (any::<bool>(), prop::bool::weighted(0.2)),
        proptest::option::of(1..40_usize),
        (prop::array::uniform3(any::<bool>()), prop::array::uniform4(prop::bool::weighted(0.2))),
        0..20_u32,
    );
    delivered.prop_map(
        |(
            buses,
            budget,
            time,
            generations,
            keeps,
            (fixed, by_hand),
            message_limit,
            (some, all),
            echoes,
        )| {
            let mut deliveries = [some[0], some[1], some[2], all[0], all[1], all[2], all[3]];
            deliveries[MESSAGE_A] |= !deliveries.contains(&true); // one is needed
            let fixed = fixed && !by_hand;
            Setting {
                buses,
                budget,
                time,
                generations,
                keeps,
                fixed,
                by_hand,
                message_limit,
                deliveries,
                echoes,
            }
        },
    )
}

/// A frame: what is published before it, how long it is, and what pauses.
type Frame = (Vec<(u8, u8)>, u8, bool, bool);

fn frames() -> impl Strategy<Value = Vec<Frame>> {
    let published = vec((any::<u8>(), any::<u8>()), 0..20);
    let pauses = (prop::bool::weighted(0.2), prop::bool::weighted(0.2));
    vec((published, 0..60_u8, pauses), 1..20)
        .prop_map(|frames| frames.into_iter().map(|(p, l, (c, h))| (p, l, c, h)).collect())
}

thread_local! {
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// A clock that moves whenever it is read.
fn now() -> Duration {
    NOW.set(NOW.get() + Duration::from_micros(100));
    NOW.get()
}

fn stamp(event: &Kind) -> Duration {
    let (Kind::A(number) | Kind::B(number) | Kind::C(number) | Kind::D(number)) = event;
    NOW.get().saturating_sub(Duration::from_millis(u64::from(number % 50)))
}

/// What a test needs of a bus of any type.
/// How to read the numbers of a bus.
struct Numbers {
    pending: Box<dyn Fn() -> usize>,
    stats: Box<dyn Fn() -> Stats>,
}

fn with_bus(plugin: Option<EventBusPlugin<Kind>>, kind: u8) -> (EventBusPlugin<Kind>, Numbers) {
    fn add<B: AnyBus<Kind>>(
        plugin: Option<EventBusPlugin<Kind>>,
        bus: &'static B,
    ) -> EventBusPlugin<Kind> {
        match plugin {
            Some(plugin) => plugin.with_lower_priority(bus),
            None => EventBusPlugin::new(bus),
        }
    }
    macro_rules! numbers {
        ($bus:expr) => {{
            let bus = &*Box::leak(Box::new($bus));
            let (pending, stats) = (Box::new(|| bus.pending()), Box::new(|| bus.stats()));
            (add(plugin, bus), Numbers { pending, stats })
        }};
    }
    match kind {
        0 => numbers!(Bus::<Kind, 16, Reject>::new()),
        1 => numbers!(Bus::<Kind, 8, DropOldest>::new()),
        2 => numbers!(Bus::<Kind, 16, DropNewest>::new()),
        _ => numbers!(Bus::<Kind, 8, Reject, Waiters<1>>::new()),
    }
}

fn app(setting: &Setting) -> (App, Vec<Numbers>) {
    let mut plugin = None;
    let mut buses = Vec::new();
    for (kind, pause) in &setting.buses {
        let (added, numbers) = with_bus(plugin, *kind);
        let policies = [PausePolicy::Hold, PausePolicy::Drop, PausePolicy::PassThrough];
        plugin = Some(added.with_pause(policies[usize::from(*pause)]));
        buses.push(numbers);
    }
    let mut plugin = plugin.expect("there is a bus").with_generations(setting.generations);
    let mut budget = setting.budget.map_or(FrameBudget::unlimited(), FrameBudget::events);
    if setting.time {
        budget = budget.and_time(Duration::from_micros(250));
    }
    plugin = plugin.with_clock(now).with_budget(budget);
    plugin = match setting.keeps {
        0 => plugin,
        1 => plugin.keep_pending(),
        _ => plugin.by_kind(),
    };
    if setting.fixed {
        plugin = plugin.in_fixed_step(|| NOW.get(), stamp);
    }
    if let Some(limit) = setting.message_limit {
        plugin = plugin.with_message_limit(limit);
    }

    let mut app = if setting.by_hand { App::empty() } else { App::new() };
    if !setting.by_hand {
        app.add_plugins(TimePlugin);
    }
    app.add_plugins(plugin).insert_resource(Counts { echoes: setting.echoes, ..Counts::default() });
    let delivers = |delivery: usize| setting.deliveries[delivery];
    if delivers(MESSAGE_A) {
        app.add_bus_message_for("kind.a", |_: &Kind| Some(A));
        read(&mut app, setting.by_hand, |mut all: MessageReader<A>, mut counts: ResMut<Counts>| {
            counts.seen[MESSAGE_A] += all.read().count();
        });
    }
    if delivers(EVENT_B) {
        app.add_bus_event_for("kind.b", |_: &Kind| Some(B)).add_observer(
            |_: On<B>, mut counts: ResMut<Counts>, bus: BusPublisher<Kind>| {
                counts.seen[EVENT_B] += 1;
                if counts.echoes > 0 {
                    counts.echoes -= 1;
                    let _ = bus.publish(Kind::D(counts.echoes));
                }
            },
        );
    }
    if delivers(PICKED_C) {
        app.add_bus_message_with(|event: &Kind| match event {
            Kind::C(number) if number.is_multiple_of(2) => Some(EvenC),
            _ => None,
        });
        let count = |mut all: MessageReader<EvenC>, mut counts: ResMut<Counts>| {
            counts.seen[PICKED_C] += all.read().count();
        };
        read(&mut app, setting.by_hand, count);
    }
    if delivers(FRAME) {
        app.add_bus_frame::<Kind>();
        read(&mut app, setting.by_hand, |mut all: BusFrame<Kind>, mut counts: ResMut<Counts>| {
            counts.missed += all.missed() as usize;
            counts.seen[FRAME] += all.read().len();
        });
    }
    if delivers(BATCH) {
        app.add_observer(|batch: On<BusDrained<Kind>>, mut counts: ResMut<Counts>| {
            counts.seen[BATCH] += batch.len();
        });
    }
    if delivers(MESSAGE) {
        app.add_bus_message::<Kind>();
        let count = |mut all: MessageReader<Kind>, mut counts: ResMut<Counts>| {
            counts.seen[MESSAGE] += all.read().count();
        };
        read(&mut app, setting.by_hand, count);
    }
    if delivers(EVENT) {
        app.add_bus_event::<Kind>().add_observer(|_: On<Kind>, mut counts: ResMut<Counts>| {
            counts.seen[EVENT] += 1;
        });
    }
    (app, buses)
}

fn read<M>(app: &mut App, by_hand: bool, system: impl IntoSystem<(), (), M> + 'static) {
    if by_hand {
        app.add_systems(PreUpdate, system.after(EventBusSystems::Drain));
    } else {
        app.add_systems(Update, system);
    }
}

/// The law, for the buses together and from the numbers of the buses.
fn check(app: &App, buses: &[Numbers]) {
    let sum = |number: fn(&Stats) -> usize| buses.iter().map(|bus| number(&(bus.stats)())).sum();
    let (published, dropped): (usize, usize) =
        (sum(|stats| stats.published), sum(|stats| stats.dropped()));
    let pending: usize = buses.iter().map(|bus| (bus.pending)()).sum();
    let in_state = app.world().resource::<EventBusState<Kind>>().pending();
    let total = stats(app).total();
    let handled = total.delivered + total.unhandled + total.discarded;
    assert_eq!(published, handled + dropped + pending + in_state, "{total:?}");

    let counts = app.world().resource::<Counts>();
    for delivery in [BATCH, MESSAGE, EVENT] {
        assert!([0, total.delivered].contains(&counts.seen[delivery]), "{delivery}, {total:?}");
    }
    if counts.seen[FRAME] > 0 {
        assert!(counts.seen[FRAME] + counts.missed <= total.delivered);
    }
}

fn run(setting: &Setting, frames: Vec<Frame>) {
    NOW.set(Duration::from_secs(100));
    let (mut app, buses) = app(setting);
    let update = |app: &mut App, length: u64, clock: bool, hand: bool| {
        let length = Duration::from_millis(length);
        NOW.set(NOW.get() + length);
        app.world_mut().resource_mut::<EventBusConfig>().paused = hand;
        if setting.by_hand {
            app.world_mut().run_schedule(PreUpdate);
        } else {
            app.insert_resource(TimeUpdateStrategy::ManualDuration(length));
            let mut time = app.world_mut().resource_mut::<Time<Virtual>>();
            if clock {
                time.pause();
            } else {
                time.unpause();
            }
            app.update();
        }
        check(app, &buses);
    };
    update(&mut app, 0, false, false);
    let bus = app.world().resource::<EventBus<Kind>>().clone();
    for (number, (published, length, clock, hand)) in frames.into_iter().enumerate() {
        for (priority, kind) in published {
            let number = number as u32 + u32::from(kind);
            let event = [Kind::A, Kind::B, Kind::C, Kind::D][usize::from(kind) % 4](number);
            let _ = bus.publish_to(usize::from(priority) % buses.len(), event);
        }
        update(&mut app, u64::from(length), clock, hand);
    }
    for _ in 0..2000 {
        update(&mut app, 20, false, false);
        if bus.is_empty() && app.world().resource::<EventBusState<Kind>>().pending() == 0 {
            break;
        }
    }
    (0..3).for_each(|_| update(&mut app, 20, false, false));

    // Nothing is left; what was taken was seen, and what was seen was counted.
    let total = stats(&app).total();
    assert_eq!((stats(&app).left(), bus.pending()), (0, 0));
    let of = |number: fn(&Stats) -> usize| buses.iter().map(|bus| number(&(bus.stats)())).sum();
    assert_eq!((total.dropped, total.refused), (of(Stats::dropped), of(|stats| stats.refused)));
    let counts = app.world().resource::<Counts>();
    if setting.deliveries[FRAME..].contains(&true) {
        assert_eq!(total.unhandled, 0);
        for delivery in [BATCH, MESSAGE, EVENT] {
            let expected = if setting.deliveries[delivery] { total.delivered } else { 0 };
            assert_eq!(counts.seen[delivery], expected, "{delivery}");
        }
        if setting.deliveries[FRAME] {
            assert_eq!(counts.seen[FRAME] + counts.missed, total.delivered);
            assert!(setting.fixed || counts.missed == 0);
        }
    } else {
        assert_eq!(counts.seen.iter().sum::<usize>(), total.delivered);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_event_is_accounted_for_at_the_end_of_every_frame(
        setting in setting(),
        frames in frames(),
    ) {
        run(&setting, frames);
    }
}
