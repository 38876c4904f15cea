//! A bus that others see is ticked through its consumer.
//~ E0596
//~ cannot borrow immutable static item `BUS` as mutable

use tickbus::{Budget, Bus, Dispatch};

tickbus::events! {
    enum Input {
        #[subject = "input.button"]
        Button,
        #[subject = "input.tilt"]
        Tilt,
    }
}

static BUS: Bus<Input, 2> = Bus::new();
static HANDLERS: Dispatch<Input, u8, { Input::KINDS }> = Dispatch::new();

fn main() {
    let _ = HANDLERS.tick(&mut 0, &mut BUS, Budget::unlimited());
    let _ = (Input::Button, Input::Tilt);
}
