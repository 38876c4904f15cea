//! A fleet on one machine: devices, services and a game in processes of their own, over a server.
//!
//! ```sh
//! cargo run --features nats --example fleet
//! cargo run --features nats --example fleet -- --sample --seconds 10
//! ```
//!
//! It starts a NATS server if it finds one (`.ci/servers` installs one), else everything runs on the
//! engine in memory, in one process. The keys `1` and `2` kill a service as `kill -9` does, `g` the game
//! and `s` the server. Each is started again after a second. `q` ends, and then come the sums: what was
//! acknowledged and not delivered is lost, and that has to be 0. `-- --help` has the options.
//!
//! ```text
//! devices ── readings ──▶ services ── boosts, of each tenth reading ──▶ game
//!                           │   ▲                                        │
//!       broken readings ────┘   └──────────── frames, live ──────────────┘
//! ```
//!
//! No retry helps a reading of a broken sensor: it becomes a *dead letter*, and a handler of these takes
//! it. Readings and boosts are durable, and the sums follow each of them. Frames are live: a service shows
//! ten in a second and drops the others, which the column `dropped` counts.
//!
//! Each process reports its row of the table twice a second, so the table is up to half a second old. What
//! a killed process had not reported is missing from its row. It is not missing from the sums.
//!
//! | file | shows |
//! |---|---|
//! | `devices.rs` | how to publish so that a repeat counts once |
//! | `service.rs` | handlers: workers, order by key, retries, dead letters, and a live one that drops |
//! | `game.rs` | a tick with a `Link`, without an async main |
//! | `line.rs`, `crew.rs`, `server.rs` | processes that start, talk, are killed and start again |
//! | `sums.rs`, `table.rs` | what became of each event |

extern crate alloc;

mod conduct;
mod crew;
mod devices;
mod game;
mod line;
mod options;
mod screen;
mod server;
mod service;
mod sums;
mod table;

use alloc::sync::Arc;
use core::sync::atomic::AtomicBool;
use core::time::Duration;
use std::env;
use std::process::ExitCode;

use line::{Say, Told};
use options::{HELP, Request, Role};
use tickbus::hosted::{BoxError, Engine, Link, LinkOptions};

/// How long an event may stay unsettled: what a killed process had comes again after it.
const LEASE: Duration = Duration::from_secs(2);
/// How often a process says its numbers.
const REPORT: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let ended = match Request::parse(env::args().skip(1)) {
        Ok(Request::Help) => {
            println!("{}", HELP.trim_end());
            return ExitCode::SUCCESS;
        }
        Ok(Request::Conduct(options)) => conduct::run(&options),
        Ok(Request::Play { role, name, url }) => return play(role, &name, &url),
        Err(wrong) => Err(wrong),
    };
    match ended {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        // It could not begin.
        Err(wrong) => {
            eprintln!("fleet: {wrong}");
            ExitCode::from(2)
        }
    }
}

/// Runs one role in this process, which another one has started.
fn play(role: Role, name: &str, url: &str) -> ExitCode {
    let (say, told) = (Say::to_standard_output(), Told::from_standard_input());
    let run = || -> Result<(), BoxError> {
        let engine = engine(url)?;
        if let Role::Game = role {
            let link = Link::spawn(engine, LinkOptions::default())?;
            return game::run(link, name, &say, &told, &AtomicBool::new(false));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            engine.start().await?;
            match role {
                Role::Devices(count) => devices::run(engine, count, &say, told).await,
                _ => service::run(engine, &say, told).await,
            }
        })
    };
    if let Err(error) = run() {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

/// Returns the engine of each process of the fleet.
#[cfg(feature = "nats")]
fn engine(url: &str) -> Result<Arc<dyn Engine>, BoxError> {
    use tickbus::hosted::OnStart;
    use tickbus::hosted::engines::nats::{Nats, Provision};

    let nats = Nats::new(url).stream("FLEET").subjects(["device.>", "game.>", "dead.>"]);
    let nats = nats.provision(Provision::Create).timeout(Duration::from_secs(2));
    Ok(Arc::new(nats.on_start(OnStart::Wait(Duration::from_secs(60)))))
}

#[cfg(not(feature = "nats"))]
fn engine(_: &str) -> Result<Arc<dyn Engine>, BoxError> {
    Err("this build has no NATS: build it with `--features nats`".into())
}
