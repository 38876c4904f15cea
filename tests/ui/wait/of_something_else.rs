//! What can be awaited is stated.
//~ E0599
//~ no method named `publish` found for struct `Awaited<Vec<u8>, 1>`
//~ `Awaited<Bus<E, N, P>, W>`

use tickbus::wait::Awaited;

fn main() {
    let list: Awaited<Vec<u8>, 1> = Awaited::new(Vec::new());
    list.publish(1);
}
