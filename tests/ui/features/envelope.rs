//! Envelopes need a feature, and name it.
//~ the item is gated behind the `alloc` feature
//~ pub use envelope::Envelope;

use tickbus::Envelope;

fn main() {
    let _ = Envelope::from_json("{}");
}
