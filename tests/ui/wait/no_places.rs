//! A table without a place is of no use.
//~ at least one place
//~ E0080

use tickbus::Waiters;

static NOBODY: Waiters<0> = Waiters::new();

fn main() {
    NOBODY.wake();
}
