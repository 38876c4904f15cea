//! The patterns of a table are checked like any other pattern.
//~ E0080
//~ `input.>.tilt`: the pattern goes on after `>`

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
    Dispatch::new().on("input.>.tilt", |_, _| {});

fn main() {
    let _ = HANDLERS.call(&mut 0, &Input::Tilt);
    let _ = Input::Button;
}
