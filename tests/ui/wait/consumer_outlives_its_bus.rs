//! A consumer that waits borrows its bus, and a place for its waker.
//~ E0597
//~ `bus` does not live long enough

use tickbus::Bus;
use tickbus::wait::Awaited;

fn main() {
    let mut events = {
        let bus: Awaited<Bus<u8, 2>, 1> = Awaited::new(Bus::new());
        bus.consumer().unwrap()
    };
    events.drain().for_each(drop);
}
