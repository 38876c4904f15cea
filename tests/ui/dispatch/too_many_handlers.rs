//! A table has room for two handlers a kind, unless it says otherwise.
//~ E0080
//~ `>` is handler 3 of `input.tilt`, but the table has room for 2 a kind
//~ raise its last parameter, as in `Dispatch<E, C, { E::KINDS }, (), 3>`
//~ too_many_handlers.rs:19

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
    Dispatch::new().on("input.tilt", |_, _| {}).on("input.*", |_, _| {}).on(">", |_, _| {});

fn main() {
    let _ = HANDLERS.call(&mut 0, &Input::Tilt);
    let _ = Input::Button;
}
