//! All handlers of a table answer alike.
//~ E0308
//~ mismatched types

use tickbus::Dispatch;
use tickbus::bus::Flow;

tickbus::events! {
    enum Input {
        #[subject = "input.button"]
        Button,
        #[subject = "input.tilt"]
        Tilt,
    }
}

static HANDLERS: Dispatch<Input, u8, { Input::KINDS }, Flow> =
    Dispatch::new().on("input.tilt", |_, _| Ok::<(), u8>(()));

fn main() {
    let _ = HANDLERS.call(&mut 0, &Input::Tilt);
    let _ = Input::Button;
}
