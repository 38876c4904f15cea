//! A table without a place is of no use.
//~ at least one place
//~ E0080

use tickbus::Waiters;

static EMPTY: Waiters<0> = Waiters::new();

fn main() {
    EMPTY.wake();
}
