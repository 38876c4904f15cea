//! One consumer waits for one thing at a time.
//~ E0499
//~ cannot borrow `events` as mutable more than once at a time

use tickbus::Bus;
use tickbus::wait::Awaited;

static BUS: Awaited<Bus<u8, 2>, 1> = Awaited::new(Bus::new());

fn main() {
    let mut events = BUS.consumer().unwrap();
    let first = events.next_event();
    let second = events.ready();
    drop((first, second));
}
