//! A handler answers with what a tick understands.
//~ E0277
//~ a handler cannot return `u32`
//~ return `()`, `Flow`, `Message<M>`, or a `Result` of one of them

use tickbus::Dispatch;

tickbus::events! {
    enum Input {
        #[subject = "input.button"]
        Button,
        #[subject = "input.tilt"]
        Tilt,
    }
}

static HANDLERS: Dispatch<Input, u8, { Input::KINDS }, u32> =
    Dispatch::new().on("input.tilt", |_, _| 1);

fn main() {
    let _ = HANDLERS.call(&mut 0, &Input::Tilt);
    let _ = Input::Button;
}
