//! A wait for something of one thread stays there.
//~ E0277
//~ `Rc<Cell<bool>>` cannot be sent between threads safely

use std::cell::Cell;
use std::rc::Rc;

use tickbus::Waiters;

static WAITERS: Waiters<1> = Waiters::new();

fn spawn(task: impl Future + Send) {
    drop(task);
}

fn main() {
    let pressed = Rc::new(Cell::new(false));
    spawn(WAITERS.wait_until(move || pressed.get().then_some(())));
}
