//! The plugin's state is plain data: run twice, or roll back and run again, and the hash is the same.

use alloc::collections::VecDeque;
use core::hash::{Hash, Hasher};
use std::hash::DefaultHasher;

use bevy_app::{App, Update};
use bevy_ecs::prelude::*;
use tickbus::bevy::{BusFrame, EventBusAppExt, EventBusPlugin, EventBusState, FrameBudget};
use tickbus::{Bus, Reject};

use super::leak;

tickbus::events! {
    #[derive(Clone, Copy, Debug, Hash)]
    enum Input {
        #[subject = "input.move"] Move(i32),
        #[subject = "input.fire"] Fire(u32),
    }
}

/// The game: everything that happened has left its mark.
#[derive(Resource, Clone, Default, Hash)]
struct Game {
    position: i64,
    shots: u64,
    log: u64,
    missed: u64,
}

fn play(mut inputs: BusFrame<Input>, mut game: ResMut<Game>) {
    game.missed += inputs.missed();
    for input in inputs.read() {
        match *input {
            Input::Move(by) => game.position += i64::from(by),
            Input::Fire(power) => game.shots += u64::from(power),
        }
        let mut hasher = DefaultHasher::new();
        (game.log, *input).hash(&mut hasher);
        game.log = hasher.finish();
    }
}

/// Runs in every third tick only: its cursor lags.
fn sample(mut inputs: BusFrame<Input>, mut game: ResMut<Game>) {
    game.missed = game.missed.rotate_left(7) ^ inputs.missed();
    game.shots += inputs.read().len() as u64;
}

/// The tick that is run.
#[derive(Resource, Clone, Default)]
struct Tick(u64);

struct Match {
    app: App,
    high: &'static Bus<Input, 64>,
    low: &'static Bus<Input, 64>,
}

impl Match {
    /// Two buses and a budget that is too small: pending, credit and cursors all take part.
    fn new() -> Self {
        let (high, low) = (leak::<Input, 64, Reject>(), leak::<Input, 64, Reject>());
        let mut app = App::new();
        app.add_plugins(
            EventBusPlugin::new(high)
                .with_lower_priority(low)
                .with_budget(FrameBudget::events(5))
                .by_kind(),
        )
        .add_bus_frame::<Input>()
        .init_resource::<Game>()
        .init_resource::<Tick>()
        .add_systems(
            Update,
            (play, sample.run_if(|tick: Res<Tick>| tick.0.is_multiple_of(3))).chain(),
        );
        Self { app, high, low }
    }

    /// Publishes the inputs of the tick, the same at every call, and runs it.
    fn tick(&mut self, tick: u64) {
        let mut random = tick.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut next = |below: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % below
        };
        for _ in 0..next(9) {
            let bus = if next(2) == 0 { self.high } else { self.low };
            let input = if next(2) == 0 {
                Input::Move(next(100) as i32 - 50)
            } else {
                Input::Fire(next(10) as u32)
            };
            let _ = bus.publish(input);
        }
        self.app.insert_resource(Tick(tick));
        self.app.update();
    }

    fn hash(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.app.world().resource::<Game>().hash(&mut hasher);
        let state = self.app.world().resource::<EventBusState<Input>>();
        state.frame().hash(&mut hasher);
        state.pending().hash(&mut hasher);
        hasher.finish()
    }

    fn save(&self) -> (Game, EventBusState<Input>) {
        let world = self.app.world();
        (world.resource::<Game>().clone(), world.resource::<EventBusState<Input>>().clone())
    }

    fn restore(&mut self, (game, state): (Game, EventBusState<Input>)) {
        self.app.insert_resource(game).insert_resource(state);
    }
}

#[test]
fn two_runs_of_the_same_inputs_are_the_same() {
    let (mut one, mut other) = (Match::new(), Match::new());
    for tick in 0..500 {
        one.tick(tick);
        other.tick(tick);
        assert_eq!(one.hash(), other.hash(), "tick {tick}");
    }
    let game = one.app.world().resource::<Game>();
    assert!(game.shots > 0 && game.missed > 0 && game.position != 0);
}

/// As the sync test of GGRS: after every tick, go back so many and run them again.
#[test]
fn a_rollback_comes_to_the_same_state() {
    const BACK: usize = 7;
    let mut game = Match::new();
    let mut history: VecDeque<(u64, (Game, EventBusState<Input>))> = VecDeque::new();
    let mut pending = 0;
    for tick in 0..300 {
        history.push_back((tick, game.save()));
        game.tick(tick);
        let expected = game.hash();
        pending = pending.max(game.app.world().resource::<EventBusState<Input>>().pending());
        if history.len() == BACK {
            let (first, snapshot) = history.pop_front().unwrap();
            game.restore(snapshot);
            for again in first..=tick {
                game.tick(again);
            }
            assert_eq!(game.hash(), expected, "back from tick {tick} to {first}");
        }
    }
    assert!(pending > 10, "the pending took no part: {pending}");
}

/// The test can fail: without the bus's own state the result is another.
#[test]
fn a_rollback_without_the_state_of_the_bus_is_seen() {
    let mut game = Match::new();
    let mut differs = false;
    for tick in 0..50 {
        let (saved, _) = game.save();
        game.tick(tick);
        let expected = game.hash();
        game.app.insert_resource(saved);
        game.tick(tick);
        differs |= game.hash() != expected;
    }
    assert!(differs);
}

/// A frame that was restored ends with the next drain, also where nothing new comes.
#[test]
fn a_restored_frame_ends_when_it_should() {
    let bus = leak::<u32, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus).keep_pending()).add_bus_frame::<u32>();
    bus.publish(7).unwrap();
    app.update();
    let saved = app.world().resource::<EventBusState<u32>>().clone();
    (0..5).for_each(|_| app.update());
    app.insert_resource(saved);
    app.update();
    assert_eq!(app.world().resource::<EventBusState<u32>>().frame(), [0; 0]);
}

/// A state from before a system was there serves it all the same.
#[test]
fn a_state_older_than_its_readers_serves_them() {
    #[derive(Resource, Default)]
    struct Read(Vec<u32>);
    let bus = leak::<u32, 8, Reject>();
    let mut app = App::new();
    app.add_plugins(EventBusPlugin::new(bus).keep_pending())
        .add_bus_frame::<u32>()
        .init_resource::<Read>()
        .add_systems(Update, |mut frame: BusFrame<u32>, mut read: ResMut<Read>| {
            assert_eq!(frame.missed(), 0);
            read.0.extend(frame.read());
        });
    let saved = app.world().resource::<EventBusState<u32>>().clone();
    for round in 0..3 {
        bus.publish(round).unwrap();
        app.update();
        app.insert_resource(saved.clone());
    }
    assert_eq!(app.world().resource::<Read>().0, [0, 1, 2]);
}
