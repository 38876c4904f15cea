//! A consumer borrows its bus.
//~ E0597
//~ `bus` does not live long enough

use tickbus::Bus;

fn main() {
    let mut events = {
        let bus: Bus<u8, 2> = Bus::new();
        bus.consumer().unwrap()
    };
    events.drain().for_each(drop);
}
