//! The plugin needs a feature, and names it.
//~ the item is gated behind the `bevy` feature
//~ pub mod bevy;

use tickbus::bevy::EventBusPlugin;

fn main() {
    let _ = EventBusPlugin::new;
}
