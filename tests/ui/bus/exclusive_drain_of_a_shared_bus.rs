//! While there is a consumer, the bus is not exclusive.
//~ E0502
//~ cannot borrow `bus` as mutable because it is also borrowed as immutable

use tickbus::Bus;

fn main() {
    let mut bus: Bus<u8, 2> = Bus::new();
    let mut events = bus.consumer().unwrap();
    bus.drain().for_each(drop);
    events.drain().for_each(drop);
}
