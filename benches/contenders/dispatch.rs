//! A frame of events in eight kinds, in turn, each handled by its kind.

use core::hint::black_box;

use bevy_ecs::message::{Message, MessageReader, MessageRegistry, MessageWriter};
use bevy_ecs::prelude::{IntoScheduleConfigs, Res, ResMut, Resource, Schedule, World};
use crossbeam_queue::ArrayQueue;
use heapless::Deque;
use tickbus::{Budget, Bus, Dispatch, Event, Lane};

use super::{CAPACITY, Contender, FRAME, Row, Sample, Sums, frames, leak, sums};

/// What the handlers change: a word per kind and player, indexed, so that it stays in memory as a
/// game's state does and no compiler keeps it in registers.
#[derive(Clone, Debug, Default, Resource)]
struct Game {
    state: [[u64; 4]; 8],
}

impl Game {
    /// What happens to an event of `KIND`, for every contender the same.
    #[inline(always)]
    fn apply<const KIND: usize>(&mut self, by: u32, amount: u64) {
        let player = &mut self.state[KIND][(by / 8) as usize % 4];
        let (state, by) = (*player, u64::from(by));
        *player = match KIND {
            0 => state.wrapping_add(amount),
            1 => (state ^ amount).wrapping_add(by),
            2 => state.rotate_left(7).wrapping_add(amount),
            3 => state.wrapping_mul(3) ^ by,
            4 => state.max(amount),
            5 => state.wrapping_sub(amount) ^ by,
            6 => state.rotate_right(9) ^ amount,
            _ => state.wrapping_add(amount >> 3).wrapping_sub(by),
        };
    }

    fn sum(&self) -> u64 {
        self.state.iter().flatten().fold(0, |sum, state| sum.rotate_left(5).wrapping_add(*state))
    }
}

macro_rules! kinds {
    ($($kind:ident $handler:ident $number:literal $subject:tt),* $(,)?) => {
        tickbus::events! {
            #[derive(Clone, Copy, Debug)]
            enum Input {
                $(#[subject = $subject] $kind { by: u32, amount: u64 }),*
            }
        }

        impl Game {
            $(
                fn $handler(&mut self, input: &Input) {
                    if let Input::$kind { by, amount } = *input {
                        self.apply::<$number>(by, amount);
                    }
                }
            )*

            /// The floor of dispatch: a `match` written by hand.
            #[inline(always)]
            fn handle(&mut self, input: &Input) {
                match *input {
                    $(Input::$kind { by, amount } => self.apply::<$number>(by, amount)),*
                }
            }
        }

        static TABLE: Dispatch<Input, Game, { Input::KINDS }> =
            Dispatch::new()$(.on($subject, Game::$handler))*;

        static HANDLERS: [fn(&mut Game, &Input); Input::KINDS] = [$(Game::$handler),*];

        /// Publishes a frame of these kinds, in this order.
        #[inline(always)]
        fn publish_kinds<R>(kinds: &Kinds, salt: u64, mut publish: impl FnMut(Input) -> R) {
            for (key, kind) in (0..).zip(kinds) {
                let Sample { key, value } = Sample::new(key, salt);
                let (by, amount) = (key as u32, value);
                publish(match kind {
                    $($number => Input::$kind { by, amount },)*
                    _ => unreachable!("eight kinds"),
                });
            }
        }

        /// Publishes a frame. The publisher of each kind knows what it publishes.
        #[inline(always)]
        fn publish<R>(salt: u64, mut publish: impl FnMut(Input) -> R) {
            for step in 0..FRAME / 8 {
                $({
                    let Sample { key, value } = Sample::new(step * 8 + $number, salt);
                    publish(Input::$kind { by: key as u32, amount: value });
                })*
            }
        }

        mod messages {
            use super::Message;

            $(
                #[derive(Message)]
                pub(super) struct $kind {
                    pub(super) by: u32,
                    pub(super) amount: u64,
                }
            )*
        }

        #[expect(clippy::too_many_arguments, reason = "a writer per message type")]
        fn write(salt: Res<Salt>, $(mut $handler: MessageWriter<messages::$kind>),*) {
            for step in 0..FRAME / 8 {
                $({
                    let Sample { key, value } = Sample::new(step * 8 + $number, salt.0);
                    $handler.write(messages::$kind { by: key as u32, amount: value });
                })*
            }
        }

        mod systems {
            use super::{Game, MessageReader, ResMut, messages};

            $(
                pub(super) fn $handler(
                    mut game: ResMut<Game>,
                    mut reader: MessageReader<messages::$kind>,
                ) {
                    let game = &mut *game;
                    for message in reader.read() {
                        game.apply::<$number>(message.by, message.amount);
                    }
                }
            )*
        }

        /// A world with a message type and a system per kind.
        fn bevy() -> (World, Schedule) {
            let (mut world, mut schedule) = (World::new(), Schedule::default());
            world.init_resource::<Game>();
            world.init_resource::<Salt>();
            $(MessageRegistry::register_message::<messages::$kind>(&mut world);)*
            let update = bevy_ecs::message::message_update_system;
            schedule.add_systems((update, write, $(systems::$handler),*).chain());
            (world, schedule)
        }
    };
}

kinds! {
    Pressed pressed 0 "input.button.pressed",
    Released released 1 "input.button.released",
    Tilt tilt 2 "input.tilt",
    Hit hit 3 "player.hit",
    Healed healed 4 "player.healed",
    Spawned spawned 5 "world.spawned",
    Removed removed 6 "world.removed",
    Tick tick 7 "clock.tick",
}

/// What makes a frame's events differ from the last frame's.
#[derive(Default, Resource)]
struct Salt(u64);

pub(super) fn rows() -> Vec<Row> {
    vec![exclusive(), shared(), at_random()]
}

/// The kind of each event of a frame.
type Kinds = [u8; FRAME as usize];

/// A frame for each salt, so that no branch predictor learns the order by heart.
fn random_kinds() -> &'static [Kinds; 8] {
    let mut random = 0x9E37_79B9_7F4A_7C15_u64;
    let mut kind = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 32) as u8 % 8
    };
    leak(core::array::from_fn(|_| core::array::from_fn(|_| kind())))
}

fn at_random() -> Row {
    let kinds = random_kinds();
    let expected = || {
        sums(|salt| {
            let mut game = Game::default();
            publish_kinds(&kinds[salt as usize], salt, |input| game.handle(&input));
            game.sum()
        })
    };
    let lane = || {
        let lane = leak(Lane::<Input, CAPACITY>::new());
        let publisher = lane.publisher().expect("the only publisher");
        (publisher, lane.consumer().expect("the only consumer"))
    };
    let contenders = vec![
        frame_of("tickbus Lane, tick", expected(), lane(), |(publisher, consumer), game, salt| {
            publish_kinds(&kinds[salt as usize], salt, |input| publisher.publish(input));
            let report = TABLE.tick(game, consumer, Budget::events(CAPACITY));
            assert_eq!(report.handled, FRAME as usize);
        }),
        frame_of("rtrb + [fn; 8]", expected(), rtrb::RingBuffer::new(CAPACITY), {
            |(publisher, consumer), game, salt| {
                publish_kinds(&kinds[salt as usize], salt, |input| publisher.push(input));
                let chunk = consumer.read_chunk(consumer.slots()).expect("counted");
                let (first, second) = chunk.as_slices();
                let inputs = first.iter().chain(second);
                inputs.for_each(|input: &Input| HANDLERS[input.kind()](game, input));
                chunk.commit_all();
            }
        }),
        frame_of(
            "tickbus Lane + match",
            expected(),
            lane(),
            |(publisher, consumer), game, salt| {
                publish_kinds(&kinds[salt as usize], salt, |input| publisher.publish(input));
                consumer.drain().for_each(|input| game.handle(&input));
            },
        ),
        frame_of(
            "tickbus Bus, exclusive, tick",
            expected(),
            Box::new(Bus::<Input, CAPACITY>::new()),
            |bus, game, salt| {
                publish_kinds(&kinds[salt as usize], salt, |input| bus.publish_mut(input));
                let report = TABLE.tick(game, &mut **bus, Budget::events(CAPACITY));
                assert_eq!(report.handled, FRAME as usize);
            },
        ),
    ];
    Row { name: "frame of 1000 in 8 kinds at random", elements: FRAME, contenders }
}

fn exclusive() -> Row {
    let contenders = vec![
        frame("tickbus tick", Box::new(Bus::<Input, CAPACITY>::new()), |bus, game, salt| {
            publish(salt, |input| bus.publish_mut(input));
            let report = TABLE.tick(game, &mut **bus, Budget::events(CAPACITY));
            assert_eq!(report.handled, FRAME as usize);
        }),
        frame("array + match", array(), |inputs, game, salt| {
            fill(inputs, salt);
            inputs.iter().for_each(|input| game.handle(input));
        }),
        frame("array + [fn; 8]", array(), |inputs, game, salt| {
            fill(inputs, salt);
            inputs.iter().for_each(|input| HANDLERS[input.kind()](game, input));
        }),
        frame("heapless Deque + match", Box::new(Deque::<Input, CAPACITY>::new()), {
            |deque, game, salt| {
                publish(salt, |input| deque.push_back(input));
                while let Some(input) = deque.pop_front() {
                    game.handle(&input);
                }
            }
        }),
        frames("Bevy Messages x 8 with systems", expected(), {
            let (mut world, mut schedule) = bevy();
            move |salt| {
                *world.resource_mut::<Game>() = Game::default();
                world.resource_mut::<Salt>().0 = salt;
                schedule.run(&mut world);
                world.resource::<Game>().sum()
            }
        }),
    ];
    Row { name: "frame of 1000 in 8 kinds, exclusive", elements: FRAME, contenders }
}

fn shared() -> Row {
    let bus = leak(Bus::<Input, CAPACITY>::new());
    let queue = leak(ArrayQueue::new(CAPACITY));
    #[expect(deprecated, reason = "the peer that most no_std code uses")]
    let mpmc = leak(heapless::mpmc::Queue::<Input, CAPACITY>::new());
    let contenders = vec![
        frame(
            "tickbus tick",
            bus.consumer().expect("the only consumer"),
            |consumer, game, salt| {
                publish(salt, |input| bus.publish(input));
                let report = TABLE.tick(game, consumer, Budget::events(CAPACITY));
                assert_eq!(report.handled, FRAME as usize);
            },
        ),
        frame("ArrayQueue + match", (), |(), game, salt| {
            publish(salt, |input| queue.push(input));
            while let Some(input) = queue.pop() {
                game.handle(&input);
            }
        }),
        frame("heapless mpmc + match", (), |(), game, salt| {
            publish(salt, |input| mpmc.enqueue(input));
            while let Some(input) = mpmc.dequeue() {
                game.handle(&input);
            }
        }),
    ];
    Row { name: "frame of 1000 in 8 kinds, shared", elements: FRAME, contenders }
}

fn array() -> Box<[Input; FRAME as usize]> {
    Box::new([Input::Tick { by: 0, amount: 0 }; FRAME as usize])
}

#[inline(always)]
fn fill(inputs: &mut [Input; FRAME as usize], salt: u64) {
    let mut len = 0;
    publish(salt, |input| {
        if let Some(slot) = inputs.get_mut(len) {
            *slot = input;
            len += 1;
        }
    });
}

fn expected() -> Sums {
    sums(|salt| {
        let mut game = Game::default();
        publish(salt, |input| game.handle(&input));
        game.sum()
    })
}

/// A frame that starts from a new game. The compiler must not keep the game in registers.
fn frame<S: 'static>(
    name: &'static str,
    queue: S,
    frame: impl Fn(&mut S, &mut Game, u64) + 'static,
) -> Contender {
    frame_of(name, expected(), queue, frame)
}

fn frame_of<S: 'static>(
    name: &'static str,
    expected: Sums,
    mut queue: S,
    frame: impl Fn(&mut S, &mut Game, u64) + 'static,
) -> Contender {
    let mut game = Box::new(Game::default());
    frames(name, expected, move |salt| {
        *game = Game::default();
        frame(&mut queue, black_box(&mut *game), salt);
        game.sum()
    })
}
