//! A group that can never fit does not compile.
//~ E0080
//~ a group must not have more events than the bus has room for

use tickbus::Bus;

static BUS: Bus<u8, 2> = Bus::new();

fn main() {
    let _ = BUS.publish_all([1, 2, 3]);
}
