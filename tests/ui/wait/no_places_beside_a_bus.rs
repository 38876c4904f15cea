//! A bus that can be awaited has a place at least for its consumer.
//~ at least one place
//~ E0080

use tickbus::Bus;
use tickbus::wait::Awaited;

fn main() {
    let bus: Awaited<Bus<u8, 2>, 0> = Awaited::new(Bus::new());
    let _ = bus.publish(1);
}
