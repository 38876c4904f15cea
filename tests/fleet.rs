//! The example `fleet`: it counts what is lost, and answers bad arguments clearly. The example `growth`:
//! its queues are those of the textbook, and the page in the docs has the tables that it prints.
#![cfg(all(feature = "hosted", not(any(miri, tickbus_loom))))]

extern crate alloc;

#[path = "../examples/growth/costs.rs"]
mod costs;
#[path = "../examples/growth/plan.rs"]
mod plan;
#[path = "../examples/growth/queue.rs"]
mod queue;
#[path = "../examples/fleet/sums.rs"]
mod sums;
#[path = "../examples/growth/tables.rs"]
mod tables;
mod watch;

use std::env;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Command, Output};

use queue::{Kill, Run, SECOND, Station};
use sums::{Sums, Totals};
use watch::watchdog;

#[test]
fn the_sums_know_what_is_lost_unexpected_duplicated_and_recovered() {
    let mut sums = Sums::default();
    for id in 1..=5 {
        sums.note(id, |fate| fate.is_attempted = true);
    }
    for id in 1..=3 {
        sums.note(id, |fate| fate.is_acknowledged = true);
    }
    // 1 comes, 2 comes twice, 3 never; 4 was never acknowledged, 6 never attempted.
    for id in [1, 2, 2, 4, 6] {
        sums.note(id, |fate| fate.delivered += 1);
    }
    let expected = Totals {
        attempted: 5,
        acknowledged: 3,
        delivered: 4,
        lost: 1,
        unexpected: 1,
        duplicated: 1,
        recovered: 1,
    };
    assert_eq!(*sums.totals(), expected);
    // The lines of two processes may come in any order.
    sums.note(6, |fate| fate.is_attempted = true);
    assert_eq!(sums.totals().unexpected, 0);
}

fn fleet(arguments: &[&str]) -> Output {
    let test = env::current_exe().expect("the test has a path");
    let profile = test.ancestors().nth(2).expect("it lies in <profile>/deps");
    let program: PathBuf =
        profile.join("examples").join(format!("fleet{}", env::consts::EXE_SUFFIX));
    if !program.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--example", "fleet", "--features", "hosted"]);
        cargo.args(["--manifest-path", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")]);
        cargo.arg("--target-dir").arg(profile.parent().expect("a profile has a folder"));
        assert!(cargo.status().expect("cargo runs").success());
    }
    let mut command = Command::new(program);
    command.args(arguments).stdin(std::process::Stdio::null()).output().expect("it starts")
}

#[test]
fn bad_arguments_are_exit_code_2_and_say_what_is_possible() {
    let _watched = watchdog();
    let busy = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port().to_string();
    for (arguments, says) in [
        (&["--nope"][..], "unknown argument `--nope`"),
        (&["--engine", "kafka"], "--engine needs `nats` or `memory`, not `kafka`"),
        (&["--port", "0"], "--port needs a number from 1 to 65535, not `0`"),
        (&["--devices"], "--devices needs a number from 1 to 100000"),
        (&["--seconds", "9"], "--seconds is for a --sample"),
        (&["--engine", "memory", "--port", "4222"], "--server and --port are for NATS"),
        (&["service", "one"], "`service` takes two arguments"),
        (&[], "this is not a terminal: run it with --sample"),
        (&["--sample", "--server", "/nonexistent/server"], "/nonexistent/server does not start: "),
        (&["--sample", "--server", "true"], "true does not start: it ended at once"),
        (&["--sample", "--server", "true", "--port", &port], "choose another with --port"),
    ] {
        let output = fleet(arguments);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {errors}");
        // Whatever is wrong with its server, a build without NATS has none.
        let is_said = errors.contains(says)
            || arguments.contains(&"--server") && errors.contains("this build has no NATS");
        assert!(errors.starts_with("fleet: ") && is_said, "{arguments:?}: {errors}");
    }
}

fn one_station(rate: f64, servers: usize, service: u64, seconds: u64) -> Run {
    let station = Station { name: "station", servers, service };
    Run { rate, seconds, stations: vec![station], constant: 0, kill: None, seed: 1 }
}

/// Pollaczek and Khinchine: one server that takes as long for each waits `ρ / (2 (1 - ρ))` of it.
#[test]
fn a_queue_before_one_server_waits_as_long_as_the_formula_says() {
    for busy in [0.3, 0.6, 0.9] {
        let outcome = one_station(busy * 1000.0, 1, SECOND / 1000, 400).outcome();
        let mean = outcome.lags.iter().sum::<u64>() as f64 / outcome.lags.len() as f64 / 1e6;
        let formula = 1.0 + busy / (2.0 * (1.0 - busy));
        assert!((mean / formula - 1.0).abs() < 0.05, "busy {busy}: {mean} ms, not {formula} ms");
        assert!((outcome.busy[0] - busy).abs() < 0.01, "{:?}", outcome.busy);
    }
}

#[test]
fn too_much_for_a_station_is_handled_at_its_rate_and_the_lag_grows() {
    let outcome = one_station(2000.0, 1, SECOND / 1000, 10).outcome();
    assert!((outcome.throughput - 1000.0).abs() < 5.0, "{}", outcome.throughput);
    assert!(outcome.by_second[8].1 > 2 * outcome.by_second[3].1, "{:?}", outcome.by_second);
}

#[test]
fn what_a_killed_process_had_comes_when_its_lease_ends() {
    let mut run = one_station(1000.0, 8, SECOND / 1000, 8);
    let calm = run.outcome();
    let (lease, fetched) = (2 * SECOND, 50);
    run.kill = Some(Kill { at: 3 * SECOND, handlers: 4, fetched, lease, back_after: SECOND });
    let killed = run.outcome();
    assert_eq!(killed.lags.len(), calm.lags.len(), "none is lost, and none comes twice");
    let late = killed.lags.iter().filter(|lag| **lag > SECOND).count();
    assert_eq!(late, fetched);
    assert!(killed.by_second[5].1 > SECOND, "{:?}", killed.by_second);
}

#[test]
fn the_page_has_the_tables_that_the_simulation_prints() {
    let page = include_str!("../src/hosted/growth.md");
    let fresh = tables::fill(page).unwrap_or_else(|table| panic!("the page lacks `{table}`"));
    let changed = page.lines().zip(fresh.lines()).find(|(is, should)| is != should);
    assert_eq!(changed, None, "`cargo run --release --example growth -- write` writes them anew");
    assert_eq!(page, fresh);
}
