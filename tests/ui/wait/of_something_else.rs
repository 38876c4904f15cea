//! Whether something can be waited for is said by the two types of the crate, and the compiler names them.
//~ E0277
//~ `u8` does not say who may wait
//~ `NoWaiters` (the default) or `Waiters<K>`

use tickbus::{Bus, Reject};

fn main() {
    let bus: Bus<u8, 2, Reject, u8> = Bus::new();
    let _ = bus.publish(1);
}
