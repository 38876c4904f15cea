//! A service of matches on two engines, with all that it takes to run one.
//!
//! ```sh
//! cargo run --features yaml --example service
//! curl 'localhost:8080/explain?subject=match.7.score'
//! ```
//!
//! Ctrl-C drains it; a second one ends it at once. `bus.yaml` says which engine carries what, and one
//! line of it moves the matches to NATS (`--features yaml,nats`). `-- --help` has the arguments and the
//! exit codes.

extern crate alloc;

mod handlers;
mod http;

use alloc::sync::Arc;
use core::pin::pin;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use std::process::ExitCode;
use std::time::Instant;
use std::{env, io};

use handlers::Handlers;
use tickbus::Envelope;
use tickbus::hosted::config::{Config, Registry};
use tickbus::hosted::export::Prometheus;
use tickbus::hosted::{BoxError, Health, Router, ShutdownTimeout};
use tokio::time::{sleep, timeout};

const USAGE: &str = "\
usage: service [FILE [PORT [SECONDS]]]

FILE     the configuration: examples/service/bus.yaml by default
PORT     where it answers, on loopback: 8080 by default
SECONDS  how long it drains after Ctrl-C: 5 by default

exit codes
0  everything ended before the deadline
1  the deadline came first, or the service could not run
2  the arguments or the configuration are wrong";

/// What the arguments say.
struct Arguments {
    file: String,
    port: u16,
    deadline: Duration,
}

impl Arguments {
    /// Returns an error that says which argument is wrong.
    fn read(mut given: impl Iterator<Item = String>) -> Result<Self, String> {
        let file = given.next().unwrap_or_else(|| "examples/service/bus.yaml".into());
        if file.starts_with('-') {
            return Err(format!("unknown option `{file}`"));
        }
        let port = given.next().unwrap_or_else(|| "8080".into());
        let port = port.parse().map_err(|_| format!("PORT is 0 to 65535, not `{port}`"))?;
        let seconds = given.next().unwrap_or_else(|| "5".into());
        let seconds =
            seconds.parse().map_err(|_| format!("SECONDS is a number, not `{seconds}`"))?;
        match given.next() {
            Some(more) => Err(format!("unknown argument `{more}`")),
            None => Ok(Self { file, port, deadline: Duration::from_secs(seconds) }),
        }
    }
}

fn main() -> ExitCode {
    if env::args().any(|it| it == "--help" || it == "-h") {
        println!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let arguments = match Arguments::read(env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(wrong) => {
            eprintln!("service: {wrong}\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    let ended = router(&arguments.file).map_err(|error| (2, error)).and_then(|router| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let run = runtime.map_err(Into::into).and_then(|it| it.block_on(run(&router, &arguments)));
        run.map_err(|error| (1, error))
    });
    if let Err((code, error)) = ended {
        eprintln!("{error}");
        return ExitCode::from(code);
    }
    ExitCode::SUCCESS
}

/// Reads the file, and makes what it describes.
fn router(file: &str) -> Result<Router, BoxError> {
    let config = Config::from_file(file)?;
    let router = Registry::new().router(&config)?.build()?;
    router.warnings().iter().for_each(|warning| eprintln!("warning: {warning}"));
    Ok(router)
}

async fn run(router: &Router, arguments: &Arguments) -> Result<(), BoxError> {
    let port = arguments.port;
    let interrupted = interrupted()?;
    let address = http::serve(port, answers(router.clone()))
        .map_err(|error| format!("port {port}: {error}"))?;
    router.start().await?;
    let handlers = Handlers::start(router).await?;
    println!("http://{address}/metrics, /health, /explain?subject=match.7.score; Ctrl-C drains");

    let mut round = 0;
    while !interrupted.load(Relaxed) {
        round += 1;
        let scores = (1..=4).map(|game| format!("match.{game}.score"));
        for subject in scores.chain((round % 10 == 0).then(|| "mail.report".into())) {
            let event = Envelope::json(&subject, &round)?.with_key(subject);
            if let Err(error) = router.publish(event).await {
                eprintln!("{error}");
            }
        }
        sleep(Duration::from_millis(50)).await;
    }
    let drained = drain(router, arguments.deadline).await;
    handlers.print();
    println!("{}", router.stats());
    Ok(drained?)
}

/// Ends the router, and says each half second how far it is.
async fn drain(router: &Router, deadline: Duration) -> Result<(), ShutdownTimeout> {
    let (begin, before) = (Instant::now(), router.stats().total().handlers.handled);
    let mut shutdown = pin!(router.shutdown(deadline));
    let report = loop {
        if let Ok(report) = timeout(Duration::from_millis(500), &mut shutdown).await {
            break report?;
        }
        let all = router.stats().total();
        let left = deadline.saturating_sub(begin.elapsed()).as_secs_f32();
        let (handled, lag) = (all.handlers.handled - before, all.lag.unwrap_or(0));
        println!("draining: {handled} handled, {lag} to come, {left:.1} s left");
    };
    println!("drained: {report}");
    Ok(())
}

/// What the service answers to a path and a query.
fn answers(router: Router) -> impl Fn(&str, &str) -> http::Answer + Send + Sync {
    let prometheus = Prometheus::new();
    move |path, query| match path {
        "/metrics" => {
            ("200 OK", Prometheus::CONTENT_TYPE, prometheus.text(&router.stats().engines))
        }
        "/health" => {
            let engines = router.engines();
            let up = engines.iter().all(|(_, health)| *health == Health::Up);
            let status = if up { "200 OK" } else { "503 Service Unavailable" };
            let lines = engines.iter().map(|(name, health)| format!("{name}: {health}\n"));
            (status, http::TEXT, lines.collect())
        }
        "/explain" => {
            let mut pairs = form_urlencoded::parse(query.as_bytes());
            let subject = pairs.find(|(key, _)| key == "subject").unwrap_or_default().1;
            match router.explain(&subject) {
                Ok(explanation) => ("200 OK", http::TEXT, format!("{explanation}\n")),
                Err(invalid) => ("400 Bad Request", http::TEXT, format!("{invalid}\n")),
            }
        }
        _ => ("404 Not Found", http::TEXT, "/metrics /health /explain?subject=\n".into()),
    }
}

/// Returns a flag that Ctrl-C and `kill` set. A second signal ends the process.
fn interrupted() -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    for signal in signal_hook::consts::TERM_SIGNALS {
        signal_hook::flag::register_conditional_default(*signal, interrupted.clone())?;
        signal_hook::flag::register(*signal, interrupted.clone())?;
    }
    Ok(interrupted)
}
