//! A table has room for two handlers a kind, unless it says otherwise.
//~ E0080
//~ a kind has more handlers than the table has room for
//~ raise its last parameter

use tickbus::{Dispatch, Event};

tickbus::events! {
    enum Input {
        #[subject = "input.button"]
        Button,
        #[subject = "input.tilt"]
        Tilt,
    }
}

static HANDLERS: Dispatch<Input, u8, { Input::KINDS }> =
    Dispatch::new().on("input.tilt", |_, _| {}).on("input.*", |_, _| {}).on(">", |_, _| {});

fn main() {
    let _ = HANDLERS.call(&mut 0, &Input::Tilt);
    let _ = Input::Button;
}
