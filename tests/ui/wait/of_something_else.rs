//! Two types say whether a bus can be waited for, and the compiler names them.
//~ E0277
//~ `u8` is neither `NoWaiters` nor `Waiters<K>`
//~ is `NoWaiters` (the default) or `Waiters<K>`

use tickbus::{Bus, Reject};

fn main() {
    let bus: Bus<u8, 2, Reject, u8> = Bus::new();
    let _ = bus.publish(1);
}
