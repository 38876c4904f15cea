//! While a consumer waits it does not drain.
//~ E0499
//~ cannot borrow `events` as mutable more than once at a time

use tickbus::Bus;
use tickbus::wait::Awaited;

static BUS: Awaited<Bus<u8, 2>, 1> = Awaited::new(Bus::new());

fn main() {
    let mut events = BUS.consumer().unwrap();
    let wait = events.ready();
    events.drain().for_each(drop);
    drop(wait);
}
