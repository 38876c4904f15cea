//! A source is a bus or a consumer of the crate.
//~ E0277
//~ the trait bound `Mine: bus::consumer::Take` is not satisfied

struct Mine;

impl tickbus::Source for Mine {
    type Event = u8;
}

fn main() {}
