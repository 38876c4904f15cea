//! A firmware in 40 lines, with a thread in place of the interrupt: `cargo run --example quickstart`.

use tickbus::{Budget, Bus, Dispatch};

tickbus::events! {
    #[derive(Clone, Copy, Debug)]
    enum Input {
        #[subject = "input.button.pressed"] Pressed,
        #[subject = "input.button.released"] Released,
        #[subject = "input.tilt"] Tilt(i16), // degrees
    }
}

static BUS: Bus<Input, 64> = Bus::new(); // room for 64 events, without an allocator
static HANDLERS: Dispatch<Input, Board, { Input::KINDS }> = Dispatch::new()
    .on("input.button.*", |board: &mut Board, _| board.changes += 1) // `*`: any one segment
    .on("input.tilt", |board, event| board.is_steep = matches!(event, Input::Tilt(20..)));

#[derive(Debug, Default)]
struct Board {
    changes: u32,
    is_steep: bool,
}

fn interrupt() {
    for event in [Input::Pressed, Input::Tilt(30), Input::Released] {
        let _ = BUS.publish(event); // never waits: a full bus returns `Full(event)` and counts it
    }
}

fn main() {
    let mut board = Board::default();
    let mut events = BUS.consumer().expect("main is the only consumer");
    std::thread::spawn(interrupt).join().unwrap();
    while BUS.stats().pending > 0 {
        let report = HANDLERS.tick(&mut board, &mut events, Budget::events(2)); // two per tick
        println!("handled {}, left {}, refused {}", report.handled, report.left, report.refused);
    }
    println!("{board:?}");
}
