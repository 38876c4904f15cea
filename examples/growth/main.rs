//! How a fleet grows: a simulation of devices, servers and consumers, with costs that were measured.
//!
//! ```sh
//! cargo run --release --example growth                                  # prints the tables
//! cargo run --release --example growth -- write                         # writes them into the page
//! cargo run --release --features mqtt,nats,redis --example growth -- measure   # measures the costs anew
//! cargo run --release --features nats --example growth -- real 1000     # one real run at a rate
//! ```
//!
//! The page is `tickbus::hosted::growth`. `costs.rs` has what was measured, `plan.rs` what a fleet needs,
//! `queue.rs` the simulation and what it assumes, `tables.rs` what the page shows.

extern crate alloc;

#[cfg(feature = "nats")]
mod cluster;
mod costs;
#[cfg(feature = "nats")]
mod devices;
#[cfg(all(feature = "mqtt", feature = "nats", feature = "redis"))]
mod engines;
#[cfg(feature = "nats")]
mod measure;
mod plan;
mod queue;
#[cfg(feature = "nats")]
mod real;
#[cfg(feature = "nats")]
#[path = "../fleet/server.rs"]
mod server;
mod tables;

use core::error::Error;
use std::process::ExitCode;
use std::{env, fs};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/hosted/growth.md");

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let done = match *words {
        [] => {
            tables::all().iter().for_each(|(name, table)| println!("{name}\n\n{table}"));
            Ok(())
        }
        ["write"] => write(),
        ["measure", ..] | ["real", ..] => measured(&words),
        _ => Err("usage: growth [write | measure [PART] | real [RATE...]]".into()),
    };
    if let Err(error) = done {
        eprintln!("growth: {error}");
        return ExitCode::from(2);
    }
    ExitCode::SUCCESS
}

fn write() -> Result<(), Box<dyn Error + Send + Sync>> {
    let page = fs::read_to_string(PAGE)?;
    let page =
        tables::fill(&page).map_err(|table| format!("the page lacks the table `{table}`"))?;
    Ok(fs::write(PAGE, page)?)
}

#[cfg(feature = "nats")]
fn measured(words: &[&str]) -> Result<(), Box<dyn Error + Send + Sync>> {
    if words[0] == "measure" {
        return measure::run(words.get(1).copied().unwrap_or_default());
    }
    let rates = words[1..].iter().map(|it| it.parse()).collect::<Result<Vec<u32>, _>>()?;
    real::run(if rates.is_empty() { &[250, 1000, 2000, 3000, 4000, 6000] } else { &rates })
}

#[cfg(not(feature = "nats"))]
fn measured(_: &[&str]) -> Result<(), Box<dyn Error + Send + Sync>> {
    Err("this build has no NATS: build it with `--features nats`".into())
}
