//! A publish that waits borrows its bus.
//~ E0597
//~ `bus` does not live long enough

use tickbus::Bus;
use tickbus::wait::Awaited;

fn main() {
    let publish = {
        let bus: Awaited<Bus<u8, 2>, 1> = Awaited::new(Bus::new());
        bus.publish_wait(1)
    };
    let _ = publish.into_event();
}
