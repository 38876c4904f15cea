//! What needs a feature names it.
//~ the item is gated behind the `alloc` feature
//~ pub use subject_bus::{Overrun, SubjectBus, Subscription};

fn main() {
    let _ = tickbus::SubjectBus::new();
}
