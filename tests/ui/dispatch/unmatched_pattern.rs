//! A handler for nothing is a typo.
//~ E0080
//~ `input.titl` matches no subject of the event, which has `input.tilt`, `input.button`
//~ unmatched_pattern.rs:18

use tickbus::Dispatch;

tickbus::events! {
    enum Input {
        #[subject = "input.button"]
        Button,
        #[subject = "input.tilt"]
        Tilt,
    }
}

static HANDLERS: Dispatch<Input, u8, { Input::KINDS }> =
    Dispatch::new().on("input.titl", |_, _| {});

fn main() {
    let _ = HANDLERS.call(&mut 0, &Input::Tilt);
    let _ = Input::Button;
}
