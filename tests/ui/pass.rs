//! What the other cases get wrong, done right: a case fails for what it says and for nothing else.
//~ compiles

use core::cell::Cell;
use std::thread;

use tickbus::{Budget, Bus, Dispatch, DropOldest, Event, Flow, Lane, Pattern, Subject};

tickbus::events! {
    #[derive(Clone, Copy)]
    enum Input {
        #[subject = "input.button"]
        Button,
        #[subject = "input.tilt"]
        Tilt,
    }
}

const TILT: Subject = Subject::from_static("input.tilt");
const INPUTS: Pattern = Pattern::from_static("input.*");

static BUS: Bus<Input, 2, DropOldest> = Bus::new();
static SHARED: Bus<Cell<u8>, 2> = Bus::new();
static LANE: Lane<u8, 2> = Lane::new();
static HANDLERS: Dispatch<Input, u8, { Input::KINDS }, Flow> = Dispatch::new()
    .on("input.*", |count, _| {
        *count += 1;
        Flow::Continue
    })
    .on("input.tilt", |_, _| Flow::Stop)
    .otherwise(|_, _| Flow::Continue);

fn main() {
    let _ = INPUTS.matches(TILT);
    let _ = BUS.publish_batch(&[Input::Button, Input::Tilt]);
    let mut count = 0;
    if let Some(mut events) = BUS.consumer() {
        let _ = HANDLERS.tick(&mut count, &mut events, Budget::unlimited());
        events.drain().for_each(drop);
        events.drain().for_each(drop);
    }
    if let Some(mut producer) = LANE.producer() {
        let _ = producer.publish(1);
    }
    thread::scope(|scope| {
        scope.spawn(|| SHARED.publish(Cell::new(1)).is_ok());
    });
}
