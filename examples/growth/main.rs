//! How a fleet grows: a simulation of devices, servers and consumers, with the costs that were measured.
//!
//! ```sh
//! cargo run --release --example growth                                  # prints the tables
//! cargo run --release --features nats --example growth -- measure       # measures the costs anew
//! ```

extern crate alloc;

mod costs;
mod queue;
#[cfg(feature = "nats")]
mod cluster;
#[cfg(feature = "nats")]
mod devices;
#[cfg(feature = "nats")]
mod measure;
#[cfg(feature = "nats")]
mod real;
#[cfg(feature = "nats")]
#[path = "../fleet/server.rs"]
mod server;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    #[cfg(feature = "nats")]
    let done = match words.first().map(String::as_str) {
        Some("real") => real::run(&[250, 1000, 2000, 3000, 4000, 6000]),
        _ => measure::run(words.get(1).map_or("", String::as_str)),
    };
    #[cfg(feature = "nats")]
    if let Err(error) = done {
        eprintln!("{error}");
    }
}
