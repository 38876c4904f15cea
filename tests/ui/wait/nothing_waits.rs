//! Without waiters there is no way to wait.
//~ E0599
//~ no method named `publish_async` found for struct `Bus<u8, 2>`

use tickbus::Bus;

static BUS: Bus<u8, 2> = Bus::new();

fn main() {
    drop(BUS.publish_async(1));
}
