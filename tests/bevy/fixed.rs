//! Stamped events in the fixed step that covers them.

use core::cell::Cell;
use core::time::Duration;

use bevy_app::{App, FixedFirst, FixedMainScheduleOrder, FixedUpdate, Update};
use bevy_ecs::message::Messages;
use bevy_ecs::prelude::*;
use bevy_ecs::schedule::ScheduleLabel;
use bevy_time::{Fixed, Real, Time, TimePlugin, TimeUpdateStrategy, Virtual};
use tickbus::bevy::{
    BusFrame, BusOverrun, EventBusAppExt, EventBusConfig, EventBusFixedDrain, EventBusPlugin,
    EventBusState, FrameBudget, PausePolicy,
};
use tickbus::bus::Capacity;
use tickbus::{Bus, Reject};

use super::{leak, numbers, stats};

#[derive(Message, Clone, Copy, Debug, PartialEq)]
struct Stamped {
    number: u32,
    at: Duration,
}

thread_local! {
    /// The clock of the stamps: a test runs on its own thread.
    static NOW: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// What each fixed step has seen.
#[derive(Resource, Default)]
struct Steps(Vec<Vec<u32>>);

fn read_step(mut events: MessageReader<Stamped>, mut steps: ResMut<Steps>) {
    steps.0.push(events.read().map(|event| event.number).collect());
}

struct Game<const N: usize> {
    app: App,
    bus: &'static Bus<Stamped, N>,
    numbers: u32,
}

impl<const N: usize> Game<N>
where
    (): Capacity<N>,
{
    fn new(
        frame: Duration,
        with: impl FnOnce(EventBusPlugin<Stamped>) -> EventBusPlugin<Stamped>,
    ) -> Self {
        NOW.set(Duration::ZERO);
        let bus = leak::<Stamped, N, Reject>();
        let plugin = EventBusPlugin::new(bus).in_fixed_step(|| NOW.get(), |event| event.at);
        let mut app = App::new();
        app.add_plugins((TimePlugin, with(plugin)))
            .insert_resource(TimeUpdateStrategy::ManualDuration(frame))
            .add_bus_message::<Stamped>()
            .init_resource::<Steps>()
            .add_systems(FixedUpdate, read_step);
        // Bevy's first update only starts its clocks.
        app.update();
        NOW.set(app.world().resource::<Time<Real>>().elapsed());
        Self { app, bus, numbers: 0 }
    }

    fn publish(&mut self, at: Duration) {
        let number = self.numbers;
        self.numbers += 1;
        self.bus.publish(Stamped { number, at }).unwrap();
    }

    /// A frame that ends so much later.
    fn frame(&mut self, length: Duration) {
        self.app.insert_resource(TimeUpdateStrategy::ManualDuration(length));
        NOW.set(NOW.get() + length);
        self.app.update();
    }

    fn steps(&mut self) -> Vec<Vec<u32>> {
        core::mem::take(&mut self.app.world_mut().resource_mut::<Steps>().0)
    }

    fn counts(&mut self) -> Vec<usize> {
        self.steps().iter().map(Vec::len).collect()
    }
}

fn plain(plugin: EventBusPlugin<Stamped>) -> EventBusPlugin<Stamped> {
    plugin
}

/// The case that Bevy's messages put into the first step whole: 10, 0, 0, 0, 0, 0.
#[test]
fn ten_events_of_a_hundred_milliseconds_spread_over_six_steps() {
    let mut game = Game::<64>::new(ms(0), plain);
    let begin = NOW.get();
    for event in 0..10 {
        game.publish(begin + ms(10) * event);
    }
    game.frame(ms(100));
    assert_eq!(game.counts(), [2, 2, 1, 2, 1, 2]);
    assert_eq!(stats(&game.app).total().late, 0);
    game.frame(ms(100));
    assert_eq!(game.counts().iter().sum::<usize>(), 0);
}

/// Against the definition, for frames of many lengths: each event in the step that covers it, once.
#[test]
fn each_event_is_in_the_step_that_covers_it() {
    for frame in [1, 4, 7, 16, 33, 100, 249] {
        let mut game = Game::<1024>::new(ms(0), plain);
        let mut expected: Vec<Vec<u32>> = Vec::new();
        let mut number = 0;
        for _ in 0..40 {
            let begin = NOW.get();
            for event in 0..7 {
                let at = begin + ms(frame) * event / 7;
                let fixed = at; // virtual time runs like real time, from the same zero
                let step = (fixed.as_nanos() / 15_625_000) as usize;
                expected.resize(expected.len().max(step + 1), Vec::new());
                expected[step].push(number);
                number += 1;
                game.publish(at);
            }
            game.frame(ms(frame));
        }
        let steps = game.steps();
        let over = (40 * frame * 1_000_000 / 15_625_000) as usize;
        assert_eq!(steps.len(), over, "{frame} ms");
        expected.resize(expected.len().max(over), Vec::new());
        assert_eq!(steps[..], expected[..over], "{frame} ms");
        assert_eq!(stats(&game.app).total().late, 0, "{frame} ms");
    }
}

#[test]
fn an_event_between_steps_waits_in_the_world_and_in_the_numbers() {
    let mut game = Game::<64>::new(ms(0), plain);
    game.publish(NOW.get() + ms(2));
    game.frame(ms(4));
    assert_eq!(game.counts(), [0; 0]);
    assert!(game.bus.is_empty());
    assert_eq!(numbers(&game.app, 0).left, 1);
    assert_eq!(game.app.world().resource::<EventBusState<Stamped>>().pending(), 1);
    game.frame(ms(12));
    assert_eq!(game.counts(), [1]);
    assert_eq!(numbers(&game.app, 0).left, 0);
    assert_eq!(stats(&game.app).total().delivered, 1);
}

/// Its step is over: it goes to the next, and that is told.
#[test]
fn a_late_event_goes_to_the_next_step() {
    let mut game = Game::<64>::new(ms(0), plain);
    let begin = NOW.get();
    game.frame(ms(50)); // three steps, 3.125 ms over
    game.steps();
    game.publish(begin + ms(10)); // of the first step
    game.publish(begin + ms(49)); // of the fourth, which is still open
    game.frame(ms(50));
    assert_eq!(game.steps(), [vec![0, 1], vec![], vec![]]);
    assert_eq!(stats(&game.app).total().late, 1);
}

/// A clock of stamps may be older than the app, and so may what it has stamped.
#[test]
fn an_event_from_before_the_app_goes_to_the_next_step() {
    let mut game = Game::<64>::new(ms(0), plain);
    NOW.set(NOW.get() + ms(3_600_000));
    game.publish(ms(0));
    game.frame(ms(100));
    assert_eq!(game.counts(), [1, 0, 0, 0, 0, 0]);
    assert_eq!(stats(&game.app).total().late, 0); // no step was over yet
}

#[test]
fn the_release_has_its_own_place_after_fixed_first() {
    let game = Game::<64>::new(ms(0), plain);
    let labels = &game.app.world().resource::<FixedMainScheduleOrder>().labels;
    let at = |label| labels.iter().position(|found| *found == label).unwrap();
    assert_eq!(at(EventBusFixedDrain.intern()), at(FixedFirst.intern()) + 1);
}

/// A stamp of the future is one of now.
#[test]
fn a_stamp_ahead_of_the_clock_waits_no_longer_than_one_of_now() {
    let mut game = Game::<64>::new(ms(0), plain);
    game.publish(NOW.get() + ms(10_000));
    game.frame(ms(100));
    assert_eq!(game.counts().iter().sum::<usize>(), 0); // the seventh step covers the end of the frame
    game.frame(ms(100));
    assert_eq!(game.counts(), [1, 0, 0, 0, 0, 0]);
}

#[test]
fn half_the_speed_is_half_the_steps() {
    let mut game = Game::<64>::new(ms(0), plain);
    game.app.world_mut().resource_mut::<Time<Virtual>>().set_relative_speed(0.5);
    let begin = NOW.get();
    for event in 0..10 {
        game.publish(begin + ms(20) * event);
    }
    game.frame(ms(200)); // 100 ms of virtual time
    assert_eq!(game.counts(), [2, 2, 1, 2, 1, 2]);
}

/// Bevy gives a frame no more than 250 ms: the second shrinks, and its events with it.
#[test]
fn a_frame_that_is_cut_short_spreads_its_events_all_the_same() {
    let mut game = Game::<64>::new(ms(0), plain);
    let begin = NOW.get();
    for event in 0..10 {
        game.publish(begin + ms(100) * event);
    }
    game.frame(ms(1000));
    assert_eq!(game.counts(), [1, 1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 1, 1, 0, 1, 0]);
    assert_eq!(stats(&game.app).total().late, 0);
}

/// Publishers that are interrupted between stamp and publish come out of order; steps do not mind.
#[test]
fn events_out_of_order_find_their_steps() {
    let mut game = Game::<64>::new(ms(0), plain);
    let begin = NOW.get();
    for at in [90, 5, 40, 20, 70] {
        game.publish(begin + ms(at));
    }
    game.frame(ms(100));
    assert_eq!(game.steps(), [vec![1], vec![3], vec![2], vec![], vec![4], vec![0]]);
}

#[test]
fn frames_and_batches_come_step_by_step() {
    let mut game = Game::<64>::new(ms(0), plain);
    #[derive(Resource, Default)]
    struct Frames(Vec<usize>, u64);
    game.app.add_bus_frame::<Stamped>().init_resource::<Frames>().add_systems(
        FixedUpdate,
        |mut frame: BusFrame<Stamped>, mut frames: ResMut<Frames>| {
            frames.1 += frame.missed();
            let read = frame.read().len();
            frames.0.push(read);
        },
    );
    game.frame(ms(16)); // the system is there from now on
    let begin = NOW.get();
    for event in 0..10 {
        game.publish(begin + ms(10) * event);
    }
    game.frame(ms(100));
    let frames = game.app.world().resource::<Frames>();
    assert_eq!(frames.0.iter().sum::<usize>(), 10);
    assert!(frames.0.iter().all(|count| *count <= 2), "{:?}", frames.0);
    assert_eq!(frames.1, 0);
}

/// However long no step comes, no more than the bus holds waits for one.
#[test]
fn what_waits_for_a_step_is_bounded() {
    let mut game = Game::<16>::new(ms(0), plain);
    game.app.world_mut().resource_mut::<Time<Fixed>>().set_timestep(Duration::from_secs(3600));
    let mut accepted = 0;
    for number in 0..1000 {
        let at = NOW.get();
        accepted += usize::from(game.bus.publish(Stamped { number, at }).is_ok());
        game.frame(ms(1));
    }
    assert_eq!(game.app.world().resource::<EventBusState<Stamped>>().pending(), 16);
    assert_eq!((game.bus.pending(), accepted, numbers(&game.app, 0).left), (16, 32, 32));
    assert_eq!(stats(&game.app).total().refused, 1000 - 32);
}

#[test]
fn a_budget_holds_for_fixed_steps_too() {
    let mut game = Game::<64>::new(ms(0), |plugin| plugin.with_budget(FrameBudget::events(3)));
    let begin = NOW.get();
    for event in 0..10 {
        game.publish(begin + ms(10) * event);
    }
    game.frame(ms(100));
    assert_eq!(game.counts(), [2, 1, 0, 0, 0, 0]);
    assert_eq!(game.bus.pending(), 7);
    let overruns = game.app.world().resource::<Messages<BusOverrun>>();
    assert!(overruns.iter_current_update_messages().map(|told| told.left).eq([7]));
}

#[test]
fn a_pause_holds_steps_too() {
    let mut game = Game::<64>::new(ms(0), plain);
    game.publish(NOW.get() + ms(10));
    game.frame(ms(12)); // held for its step
    game.app.world_mut().resource_mut::<EventBusConfig>().paused = true;
    game.publish(NOW.get());
    game.frame(ms(100));
    assert_eq!(game.counts().iter().sum::<usize>(), 0);
    assert_eq!(numbers(&game.app, 0).left, 2);
    game.app.world_mut().resource_mut::<EventBusConfig>().paused = false;
    game.frame(ms(100));
    assert_eq!(game.counts().iter().sum::<usize>(), 2);
}

#[test]
fn a_pause_drops_what_waits_for_a_step() {
    let mut game = Game::<64>::new(ms(0), |plugin| plugin.with_pause(PausePolicy::Drop));
    game.publish(NOW.get() + ms(10));
    game.frame(ms(12));
    game.app.world_mut().resource_mut::<Time<Virtual>>().pause();
    game.publish(NOW.get());
    game.frame(ms(100));
    assert_eq!((stats(&game.app).total().discarded, stats(&game.app).left()), (2, 0));
}

/// Also where nothing new comes, and however long it has waited.
#[test]
fn a_pause_that_drops_needs_no_new_event() {
    let mut game = Game::<64>::new(ms(0), |plugin| plugin.with_pause(PausePolicy::Drop));
    game.publish(NOW.get() + ms(1));
    (0..10).for_each(|_| game.frame(ms(1)));
    assert_eq!(stats(&game.app).left(), 1);
    game.app.world_mut().resource_mut::<Time<Virtual>>().pause();
    game.frame(ms(100)); // Bevy's clock stands still from the next frame on
    game.frame(ms(100));
    assert_eq!((stats(&game.app).total().discarded, stats(&game.app).left()), (1, 0));
}

#[test]
#[should_panic(expected = "delivers in fixed steps, and the app has none: add `TimePlugin`")]
fn fixed_steps_without_a_clock_are_told() {
    let bus = leak::<Stamped, 4, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus).in_fixed_step(|| NOW.get(), |event| event.at))
        .add_bus_frame::<Stamped>();
    bus.publish(Stamped { number: 0, at: ms(0) }).unwrap();
    app.update();
}

/// A stamp that cannot be told costs no event: those of the batch go to the next step.
#[test]
fn a_stamp_that_panics_loses_no_event() {
    let mut game = Game::<8>::new(ms(16), |plugin| {
        plugin.in_fixed_step(
            || NOW.get(),
            |event| {
                assert!(event.number != 1, "a bomb");
                event.at
            },
        )
    });
    let now = NOW.get();
    (0..3).for_each(|_| game.publish(now));
    assert!(!super::panics::update(&mut game.app));
    for _ in 0..3 {
        game.frame(ms(16));
    }
    let mut delivered = game.steps().concat();
    delivered.sort_unstable();
    assert_eq!(delivered, [0, 1, 2]);
    assert_eq!((stats(&game.app).total().delivered, stats(&game.app).left()), (3, 0));
}

/// Without fixed steps on the bus: everything still arrives, and none of it twice.
#[test]
fn a_frame_reader_in_fixed_update_sees_each_event_once() {
    let bus = leak::<Stamped, 64, Reject>();
    #[derive(Resource, Default)]
    struct Read(Vec<u32>, u64);
    let mut app = App::new();
    app.add_plugins((TimePlugin, EventBusPlugin::new(bus)))
        .insert_resource(TimeUpdateStrategy::ManualDuration(ms(100)))
        .add_bus_frame::<Stamped>()
        .init_resource::<Read>()
        .add_systems(FixedUpdate, |mut frame: BusFrame<Stamped>, mut read: ResMut<Read>| {
            read.1 += frame.missed();
            read.0.extend(frame.read().iter().map(|event| event.number));
        })
        .add_systems(Update, || {});
    app.update();
    for number in 0..20 {
        bus.publish(Stamped { number, at: ms(0) }).unwrap();
        app.update(); // six steps each
    }
    let read = app.world().resource::<Read>();
    assert!(read.0.iter().copied().eq(0..20));
    assert_eq!(read.1, 0);
}

/// And as messages, with frames shorter than steps: Bevy keeps them until a step has come.
#[test]
fn messages_reach_fixed_update_whatever_the_frame() {
    for frame in [4, 16, 100] {
        let bus = leak::<Stamped, 64, Reject>();
        let mut app = App::new();
        app.add_plugins((TimePlugin, EventBusPlugin::new(bus)))
            .insert_resource(TimeUpdateStrategy::ManualDuration(ms(frame)))
            .add_bus_message::<Stamped>()
            .init_resource::<Steps>()
            .add_systems(FixedUpdate, read_step);
        for number in 0..200 {
            bus.publish(Stamped { number, at: ms(0) }).unwrap();
            app.update();
        }
        (0..10).for_each(|_| app.update());
        let steps = &app.world().resource::<Steps>().0;
        assert!(steps.iter().flatten().copied().eq(0..200), "{frame} ms");
        assert!(app.world().resource::<Messages<Stamped>>().len() < 64);
    }
}
