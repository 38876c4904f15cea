//! A handler with another signature is told the one that is wanted, and its own.
//~ E0308
//~ expected fn pointer `for<'a, 'b> fn(&'a mut Game, &'b Input)`
//~ found fn item `for<'a> fn(&'a mut Game, Input) {Game::by_value}`
//~ found fn item `for<'a, 'b> fn(&'a Game, &'b Input) {Game::shared}`
//~ found fn item `for<'a, 'b> fn(&'a mut Game, &'b Input) -> u32 {Game::counts}`
//~ found fn item `for<'a, 'b> fn(&'a Input, &'b mut Game) {in_turn}`
//~ closure is expected to take 2 arguments, but it takes 1 argument
//~ closures can only be coerced to `fn` types if they do not capture any variables
//~ wrong_signature.rs:35:

use tickbus::Dispatch;

tickbus::events! {
    enum Input {
        #[subject = "input.tilt"]
        Tilt,
    }
}

struct Game;

impl Game {
    fn by_value(&mut self, _: Input) {}
    fn shared(&self, _: &Input) {}
    fn counts(&mut self, _: &Input) -> u32 {
        0
    }
}

fn in_turn(_: &Input, _: &mut Game) {}

type Table = Dispatch<Input, Game, { Input::KINDS }>;

static BY_VALUE: Table = Table::new().on("input.tilt", Game::by_value);
static SHARED: Table = Table::new().on("input.tilt", Game::shared);
static COUNTS: Table = Table::new().on("input.tilt", Game::counts);
static IN_TURN: Table = Table::new().on("input.tilt", in_turn);
static ONE_ARGUMENT: Table = Table::new().on("input.tilt", |_| {});

fn main() {
    let step = 1;
    let captures = Table::new().on("input.tilt", |_, _| drop(step));
    let _ = (BY_VALUE, SHARED, COUNTS, IN_TURN, ONE_ARGUMENT, captures, Input::Tilt);
}
