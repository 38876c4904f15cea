//! Orders of a shop, each with a record of what became of it.
//!
//! ```sh
//! cargo run --features hosted --example orders -- --sample
//! cargo run --features hosted --example orders < orders.jsonl
//! ```
//!
//! The handler is flaky: an order for another country fails twice before it succeeds, and an order for
//! an item without a price fails until you `fix` the price and `replay` the order. `--help` says the
//! rest. The records are in memory, or with `--postgres URL` in a database, where they outlive the
//! program.

extern crate alloc;

mod input;
mod options;
mod output;
mod shop;
mod store;

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use std::env;
use std::io::{self, IsTerminal};
use std::process::ExitCode;

use input::{Command, Line};
use options::{HELP, Options, Request, SAMPLE, USAGE};
use output::Output;
use shop::Shop;
use tickbus::hosted::BoxError;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// How long orders that are being handled may take when the program ends.
const DEADLINE: Duration = Duration::from_secs(10);
/// How often it looks whether you pressed Ctrl-C.
const LOOK: Duration = Duration::from_millis(50);

fn main() -> ExitCode {
    let mut output = Output::default();
    let options = match Request::parse(env::args_os().skip(1)) {
        Ok(Request::Run(options)) => options,
        Ok(Request::Help) => {
            output.say(HELP.trim_end());
            return ExitCode::SUCCESS;
        }
        Err(wrong) => {
            output.complain(format_args!("{wrong}\n{USAGE}"));
            return ExitCode::from(2);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let run = runtime.map_err(Into::into).and_then(|it| it.block_on(run(&options, &mut output)));
    match run {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            output.complain(error);
            ExitCode::FAILURE
        }
    }
}

/// Takes lines until they end. Returns whether each line was taken and each order is completed.
async fn run(options: &Options, output: &mut Output) -> Result<bool, BoxError> {
    let interrupted = interrupted()?;
    let mut shop = Shop::open(store::open(options.postgres.as_deref()).await?)?;
    let is_typed = !options.sample && io::stdin().is_terminal();
    if is_typed {
        output.say(options::WELCOME.trim_end());
    }
    let mut lines = if options.sample { input::sample(SAMPLE) } else { input::standard_input() };
    let mut all_well = true;
    while let Some(line) = next(&mut lines, &interrupted).await {
        if options.sample {
            output.say(format_args!("> {}", line.text.as_deref().unwrap_or_default()));
        }
        match serve(&mut shop, &line, is_typed, output).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                output.complain(format_args!("line {}: {error}", line.number));
                all_well = false;
            }
        }
    }
    if interrupted.load(Relaxed) {
        output.complain("interrupted: no more lines are taken");
        all_well = false;
    }
    if let Err(error) = shop.close(DEADLINE).await {
        output.complain(error);
    }
    Ok(shop.table(output).await? && all_well && output.is_whole())
}

/// Does what a line says. Returns whether more may follow.
async fn serve(
    shop: &mut Shop,
    line: &Line,
    is_typed: bool,
    output: &mut Output,
) -> Result<bool, BoxError> {
    match Command::parse(line)? {
        Command::Nothing => {}
        Command::Order(order) => {
            let id = order.id.clone();
            shop.take(order, line.number).await?;
            if is_typed {
                shop.tell(&id, output).await?;
            }
        }
        Command::Failed => shop.failed(output).await?,
        Command::Fix { item, cents } => {
            shop.fix(&item, cents).await;
            output.say(format_args!("{item} costs {}", shop::price(cents.into())));
        }
        Command::Replay(id) => shop.replay(id.as_deref(), output).await?,
        Command::Table => shop.table(output).await.map(drop)?,
        Command::Help => output.say(options::COMMANDS.trim_end()),
        Command::Quit => return Ok(false),
    }
    Ok(true)
}

/// Waits for a line. `None` at the end, and after Ctrl-C.
async fn next(lines: &mut Receiver<Line>, interrupted: &AtomicBool) -> Option<Line> {
    while !interrupted.load(Relaxed) {
        if let Ok(next) = timeout(LOOK, lines.recv()).await {
            return next;
        }
    }
    None
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
