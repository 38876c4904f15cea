//! The buffer of a hold has the capacity of a bus.
//~ E0277
//~ `1000` is not a capacity: it must be a power of two, at least 2
//~ tests/ui/bus/capacity_of_a_hold.rs:9:

use tickbus::{Bus, Hold};

static BUS: Bus<u8, 2> = Bus::new();
static HOLD: Hold<&Bus<u8, 2>, 1000> = Hold::before(&BUS);

fn main() {
    let _ = HOLD.publish(1);
}
