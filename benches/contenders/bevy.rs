//! A bus in a Bevy app, beside what Bevy and its users have. Executors are single-threaded.

use core::hint::black_box;
use core::time::Duration;
use std::sync::Mutex;
use std::time::Instant;

use bevy_app::{App, First, MainScheduleOrder, PreUpdate, Update};
use bevy_ecs::prelude::*;
use bevy_ecs::schedule::{ScheduleLabel, SingleThreadedExecutor};
use tickbus::Bus;
use tickbus::bevy::{BusDrained, BusFrame, EventBusAppExt, EventBusPlugin};
use tickbus::bus::Capacity;

use super::{Contender, Row, leak};

/// The anchor's event: 16 bytes.
#[derive(Clone, Copy, Message, Event)]
struct Hit {
    key: u64,
    amount: f32,
    by: u32,
}

impl Hit {
    fn new(key: u64) -> Self {
        let key = black_box(key);
        Self { key, amount: 1.0, by: key as u32 }
    }

    fn fold(&self, sum: u64) -> u64 {
        sum.wrapping_add(self.key ^ u64::from(self.by) ^ u64::from(self.amount.to_bits()))
    }
}

#[derive(Resource, Default)]
struct Sum(u64);

/// What the frame itself costs shows best with few.
const FEW: u64 = 16;
const FRAME: u64 = 4096;
const BURST: u64 = 16_384;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row {
            name: "bevy, 4096 from any thread to Messages",
            elements: FRAME,
            contenders: vec![
                with_publish("tickbus", to_messages::<4096>(), FRAME),
                with_publish("crossbeam idiom", crossbeam(), FRAME),
                with_publish("tickbus, published in batches of 64", batches(), FRAME),
                with_publish("MessageWriter::write", writer(made()), FRAME),
            ],
        },
        Row {
            name: "bevy, 16 from any thread to Messages",
            elements: FEW,
            contenders: vec![
                with_publish("tickbus", to_messages::<4096>(), FEW),
                with_publish("crossbeam idiom", crossbeam(), FEW),
                with_publish("MessageWriter::write", writer(made()), FEW),
            ],
        },
        Row {
            name: "bevy, 4096 to a frame slice",
            elements: FRAME,
            contenders: vec![
                without_publish("tickbus", to_frame(), FRAME),
                without_publish("MessageWriter::write", writer(ready()), FRAME),
                without_publish("tickbus to Messages", to_messages::<4096>(), FRAME),
            ],
        },
        Row {
            name: "bevy, 4096 to one batch trigger",
            elements: FRAME,
            contenders: vec![
                without_publish("tickbus", to_batch_trigger(), FRAME),
                without_publish("commands.trigger", commands_trigger(ready()), FRAME),
            ],
        },
        Row {
            name: "bevy, 4096 to an observer each",
            elements: FRAME,
            contenders: vec![
                without_publish("tickbus", to_observer(), FRAME),
                without_publish("commands.trigger", commands_trigger(ready()), FRAME),
            ],
        },
        Row {
            name: "bevy, burst of 16384 to Messages",
            elements: BURST,
            contenders: vec![
                without_publish("tickbus", to_messages::<16384>(), BURST),
                without_publish("crossbeam idiom", crossbeam(), BURST),
            ],
        },
        Row {
            name: "bevy, idle, each of 64",
            elements: 64,
            contenders: vec![idle("tickbus", idle_buses), idle("message type", idle_messages)],
        },
        Row {
            name: "bevy, idle, the only one",
            elements: 1,
            contenders: vec![
                idle("tickbus", idle_bus::<0>),
                idle("message type", |app| {
                    app.add_message::<Idle<0>>();
                }),
                idle("drain system of the crossbeam idiom", idle_crossbeam),
                idle("schedule without a system", idle_schedule),
            ],
        },
    ]
}

/// An app, and what publishes to it.
struct Setup {
    app: App,
    /// Publishes so many events with this salt.
    publish: Box<dyn FnMut(u64, u64)>,
}

impl Setup {
    fn new(app: App, mut publish: impl FnMut(Hit) + 'static) -> Self {
        let publish = move |events, salt| (0..events).for_each(|key| publish(Hit::new(key ^ salt)));
        Self { app, publish: Box::new(publish) }
    }
}

/// One frame: the time of publishing, where it counts, and of the update. No contender pays for making events
/// where publishing does not count, and each does where it does.
fn contender(name: &'static str, setup: Setup, events: u64, count_publish: bool) -> Contender {
    let Setup { mut app, mut publish } = setup;
    app.init_resource::<Sum>();
    let expected = |salt: u64| (0..events).fold(0, |sum, key| Hit::new(key ^ salt).fold(sum));
    let expected: Vec<u64> = (0..8).map(expected).collect();
    let mut salt = 0;
    // Buffers grow to their size.
    for _ in 0..4 {
        publish(events, 0);
        app.update();
    }
    let run = Box::new(move |iterations| {
        let mut time = Duration::ZERO;
        for _ in 0..iterations {
            app.world_mut().resource_mut::<Sum>().0 = 0;
            let begin = Instant::now();
            publish(events, salt);
            let published = Instant::now();
            app.update();
            let end = Instant::now();
            time += end - if count_publish { begin } else { published };
            let sum = app.world().resource::<Sum>().0;
            assert_eq!(sum, expected[salt as usize], "{name} computed something else");
            salt = (salt + 1) % 8;
        }
        time
    });
    Contender { name, run }
}

fn with_publish(name: &'static str, setup: Setup, events: u64) -> Contender {
    contender(name, setup, events, true)
}

fn without_publish(name: &'static str, setup: Setup, events: u64) -> Contender {
    contender(name, setup, events, false)
}

fn read_messages(mut hits: MessageReader<Hit>, mut sum: ResMut<Sum>) {
    sum.0 = hits.read().fold(sum.0, |sum, hit| hit.fold(sum));
}

fn bus<const N: usize>() -> (App, &'static Bus<Hit, N>)
where
    (): Capacity<N>,
{
    let bus = leak(Bus::<Hit, N>::new());
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus));
    (app, bus)
}

fn to_messages<const N: usize>() -> Setup
where
    (): Capacity<N>,
{
    let (mut app, bus) = bus::<N>();
    app.add_bus_message::<Hit>().add_systems(Update, read_messages);
    Setup::new(app, |hit| bus.publish(hit).unwrap())
}

fn batches() -> Setup {
    let (mut app, bus) = bus::<4096>();
    app.add_bus_message::<Hit>().add_systems(Update, read_messages);
    let publish = |events, salt| {
        for first in (0..events).step_by(64) {
            let batch: [Hit; 64] = core::array::from_fn(|at| Hit::new((first + at as u64) ^ salt));
            bus.publish_batch(&batch).unwrap();
        }
    };
    Setup { app, publish: Box::new(publish) }
}

fn to_frame() -> Setup {
    let (mut app, bus) = bus::<4096>();
    app.add_bus_frame::<Hit>().add_systems(
        Update,
        |mut hits: BusFrame<Hit>, mut sum: ResMut<Sum>| {
            sum.0 = hits.read().iter().fold(sum.0, |sum, hit| hit.fold(sum));
        },
    );
    Setup::new(app, |hit| bus.publish(hit).unwrap())
}

fn to_batch_trigger() -> Setup {
    let (mut app, bus) = bus::<4096>();
    app.add_observer(|hits: On<BusDrained<Hit>>, mut sum: ResMut<Sum>| {
        sum.0 = hits.iter().fold(sum.0, |sum, hit| hit.fold(sum));
    });
    Setup::new(app, |hit| bus.publish(hit).unwrap())
}

fn observer(hit: On<Hit>, mut sum: ResMut<Sum>) {
    sum.0 = hit.fold(sum.0);
}

fn to_observer() -> Setup {
    let (mut app, bus) = bus::<4096>();
    app.add_bus_event::<Hit>().add_observer(observer);
    Setup::new(app, |hit| bus.publish(hit).unwrap())
}

/// What users write today: an unbounded channel, drained into messages in `PreUpdate`.
fn crossbeam() -> Setup {
    let (sender, receiver) = crossbeam_channel::unbounded();
    #[derive(Resource)]
    struct Inbox(crossbeam_channel::Receiver<Hit>);
    let mut app = App::new();
    app.insert_resource(Inbox(receiver))
        .add_message::<Hit>()
        .add_systems(PreUpdate, |inbox: Res<Inbox>, mut hits: MessageWriter<Hit>| {
            hits.write_batch(inbox.0.try_iter());
        })
        .add_systems(Update, read_messages);
    Setup::new(app, move |hit| sender.send(hit).unwrap())
}

/// Where a system gets its events from without a queue. Like a bus, it has them made before the update where
/// publishing is not timed, and makes them itself where it is.
#[derive(Resource)]
struct Source(&'static Mutex<Supply>);

enum Supply {
    /// So many with this salt are to be made.
    Order(u64, u64),
    Made(Vec<Hit>),
}

impl Source {
    fn each(&self, mut each: impl FnMut(Hit)) {
        match &mut *self.0.lock().unwrap() {
            Supply::Order(events, salt) => (0..*events).for_each(|key| each(Hit::new(key ^ *salt))),
            Supply::Made(hits) => hits.drain(..).for_each(each),
        }
    }
}

/// Makes its events itself.
fn made() -> Setup {
    let supply = leak(Mutex::new(Supply::Order(0, 0)));
    let mut app = App::new();
    app.insert_resource(Source(supply));
    let publish = |events, salt| *supply.lock().unwrap() = Supply::Order(events, salt);
    Setup { app, publish: Box::new(publish) }
}

/// Has its events made for it.
fn ready() -> Setup {
    let supply = leak(Mutex::new(Supply::Made(Vec::with_capacity(FRAME as usize))));
    let mut app = App::new();
    app.insert_resource(Source(supply));
    let publish = |events, salt| {
        if let Supply::Made(hits) = &mut *supply.lock().unwrap() {
            hits.extend((0..events).map(|key| Hit::new(key ^ salt)));
        }
    };
    Setup { app, publish: Box::new(publish) }
}

fn writer(mut setup: Setup) -> Setup {
    setup
        .app
        .add_message::<Hit>()
        .add_systems(PreUpdate, |source: Res<Source>, mut hits: MessageWriter<Hit>| {
            source.each(|hit| {
                hits.write(hit);
            });
        })
        .add_systems(Update, read_messages);
    setup
}

fn commands_trigger(mut setup: Setup) -> Setup {
    setup
        .app
        .add_systems(PreUpdate, |source: Res<Source>, mut commands: Commands| {
            source.each(|hit| commands.trigger(hit));
        })
        .add_observer(observer);
    setup
}

/// What an update takes beyond that of an empty app: by the fastest of many short turns of each, for
/// the difference is small and whatever disturbs it is not.
fn idle(name: &'static str, add: fn(&mut App)) -> Contender {
    const TURNS: u64 = 64;
    const UPDATES: u32 = 64;
    let mut empty = App::new();
    let mut app = App::new();
    add(&mut app);
    let turn = |app: &mut App| {
        let begin = Instant::now();
        (0..UPDATES).for_each(|_| app.update());
        begin.elapsed()
    };
    let run = Box::new(move |iterations: u64| {
        let mut fastest = [Duration::MAX; 2];
        for _ in 0..TURNS {
            fastest[0] = fastest[0].min(turn(&mut empty));
            fastest[1] = fastest[1].min(turn(&mut app));
        }
        let beyond = fastest[1].saturating_sub(fastest[0]).max(Duration::from_nanos(1));
        beyond * iterations as u32 / UPDATES
    });
    Contender { name, run }
}

#[derive(Clone, Copy, Message)]
struct Idle<const K: usize>;

fn idle_bus<const K: usize>(app: &mut App) {
    let bus = leak(Bus::<Idle<K>, 16>::new());
    app.add_plugins(EventBusPlugin::new(bus)).add_bus_frame::<Idle<K>>();
}

fn idle_crossbeam(app: &mut App) {
    #[derive(Resource)]
    struct Inbox(crossbeam_channel::Receiver<Idle<0>>);
    let (sender, receiver) = crossbeam_channel::unbounded();
    leak(sender);
    app.insert_resource(Inbox(receiver)).add_message::<Idle<0>>().add_systems(
        PreUpdate,
        |inbox: Res<Inbox>, mut hits: MessageWriter<Idle<0>>| {
            hits.write_batch(inbox.0.try_iter());
        },
    );
}

/// What a place of its own in the frame costs, whatever is done there.
fn idle_schedule(app: &mut App) {
    #[derive(ScheduleLabel, Clone, Debug, PartialEq, Eq, Hash)]
    struct Empty;
    let mut schedule = Schedule::new(Empty);
    schedule.set_executor(SingleThreadedExecutor::new());
    app.add_schedule(schedule);
    app.world_mut().resource_mut::<MainScheduleOrder>().insert_after(First, Empty);
}

macro_rules! each_of_64 {
    ($app:ident, $add:ident) => {
        each_of_64!(@ $app, $add, 0 8 16 24 32 40 48 56)
    };
    (@ $app:ident, $add:ident, $($at:literal)*) => {$(
        $add::<{ $at }>($app);
        $add::<{ $at + 1 }>($app);
        $add::<{ $at + 2 }>($app);
        $add::<{ $at + 3 }>($app);
        $add::<{ $at + 4 }>($app);
        $add::<{ $at + 5 }>($app);
        $add::<{ $at + 6 }>($app);
        $add::<{ $at + 7 }>($app);
    )*};
}

fn idle_buses(app: &mut App) {
    each_of_64!(app, idle_bus);
}

fn idle_message<const K: usize>(app: &mut App) {
    app.add_message::<Idle<K>>();
}

fn idle_messages(app: &mut App) {
    each_of_64!(app, idle_message);
}
