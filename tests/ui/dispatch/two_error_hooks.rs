//! What fails is told to one hook.
//~ E0080
//~ a table has one error hook

use tickbus::Dispatch;

tickbus::events! {
    enum Input {
        #[subject = "input.button"]
        Button,
        #[subject = "input.tilt"]
        Tilt,
    }
}

static HANDLERS: Dispatch<Input, u8, { Input::KINDS }, Result<(), u8>> =
    Dispatch::new().on_error(|_, _, _| {}).on_error(|_, _, _| {});

fn main() {
    let _ = HANDLERS.call(&mut 0, &Input::Tilt);
    let _ = Input::Button;
}
