//! A table without room for handlers is none.
//~ E0080
//~ needs room for at least one handler a kind
//~ no_room_for_handlers.rs:17

use tickbus::Dispatch;

tickbus::events! {
    enum Input {
        #[subject = "input.button"]
        Button,
        #[subject = "input.tilt"]
        Tilt,
    }
}

static HANDLERS: Dispatch<Input, u8, { Input::KINDS }, (), 0> = Dispatch::new();

fn main() {
    let _ = HANDLERS.call(&mut 0, &Input::Tilt);
    let _ = Input::Button;
}
