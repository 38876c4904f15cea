//! A table has a row for each kind, no more and no less.
//~ E0080
//~ must be `{ E::KINDS }` of its event `E`: 2, not 3
//~ wrong_number_of_kinds.rs:17

use tickbus::Dispatch;

tickbus::events! {
    enum Input {
        #[subject = "input.button"]
        Button,
        #[subject = "input.tilt"]
        Tilt,
    }
}

static HANDLERS: Dispatch<Input, u8, 3> = Dispatch::new().on("input.tilt", |_, _| {});

fn main() {
    let _ = HANDLERS.call(&mut 0, &Input::Tilt);
    let _ = Input::Button;
}
