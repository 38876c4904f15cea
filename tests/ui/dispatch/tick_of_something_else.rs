//! What is no bus is told what a tick takes.
//~ E0277
//~ events cannot be taken from
//~ a tick takes a `Consumer`, as `BUS.consumer()` gives it, or an exclusive `Bus`

use tickbus::{Budget, Dispatch};

tickbus::events! {
    enum Input {
        #[subject = "input.button"]
        Button,
        #[subject = "input.tilt"]
        Tilt,
    }
}

static HANDLERS: Dispatch<Input, u8, { Input::KINDS }> = Dispatch::new();

fn main() {
    let mut events = vec![Input::Button, Input::Tilt];
    let _ = HANDLERS.tick(&mut 0, &mut events, Budget::unlimited());
}
