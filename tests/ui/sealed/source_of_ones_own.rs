//! A source is a bus or a consumer of the crate.
//~ E0277
//~ the trait bound `Mine: bus::drain::Take` is not satisfied

struct Mine;

impl tickbus::Source for Mine {
    type Event = u8;

    fn pending(&self) -> usize {
        0
    }

    fn stats(&self) -> tickbus::Stats {
        tickbus::Stats::default()
    }
}

fn main() {}
