//! Generic code is told which bound it needs.
//~ E0277
//~ `N` is not a capacity: it must be a power of two, at least 2
//~ tests/ui/bus/capacity_in_generic_code.rs:10:
//~ in code that is generic over the capacity, add the bound `(): tickbus::bus::Capacity<N>`

use tickbus::Bus;

fn inbox<const N: usize>() -> Bus<u8, N> {
    Bus::new()
}

fn main() {
    let _ = inbox::<2>().publish(1);
}
