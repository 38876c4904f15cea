//! Routes envelopes, one JSON object per line of the standard input, to subscriptions by pattern.
//!
//! ```sh
//! cargo run --example subjects --features std,json -- 'player.*.hit' 'chat.>' < envelopes.jsonl
//! ```
//!
//! `--help` explains the arguments. Every tick, here every 16 lines, each subscription prints what it
//! received. The program reports a line that is not an envelope with its number on the standard error,
//! and continues. It ends with a summary, and with the exit status 1 if there was such a line.

use core::error::Error;
use std::env;
use std::io::{self, BufRead, Write};
use std::process::ExitCode;

use tickbus::{Envelope, Overrun, SubjectBus, Subscription};

/// How many lines make a tick.
const TICK: usize = 16;

const HELP: &str = "\
usage: subjects [--capacity N] [--overrun POLICY] [PATTERN]...

Reads envelopes, one JSON object a line, from the standard input, and routes each to a subscription
for every PATTERN that matches its subject: `*` is one segment, `>` is one or more, last. Without a
PATTERN there is one subscription, to `>`, which matches everything.

  --capacity N       how many envelopes a subscription holds between two ticks of 16 lines (64)
  --overrun POLICY   what a full one does: drop_newest (the default) or drop_oldest
  --help             prints this
";

struct Options {
    capacity: usize,
    overrun: Overrun,
    patterns: Vec<String>,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, Box<dyn Error>> {
        let mut options = Self { capacity: 0, overrun: Overrun::DropNewest, patterns: vec![] };
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().ok_or(format!("`{argument}` needs a value"));
            match &*argument {
                "--capacity" => {
                    let value = value()?;
                    let capacity = value.parse();
                    options.capacity =
                        capacity.map_err(|_| format!("`{value}` is not a capacity"))?;
                }
                "--overrun" => {
                    options.overrun = match &*value()? {
                        "drop_newest" => Overrun::DropNewest,
                        "drop_oldest" => Overrun::DropOldest,
                        // The program receives on the thread that publishes.
                        other => {
                            return Err(
                                format!("`{other}` is not drop_newest or drop_oldest").into()
                            );
                        }
                    }
                }
                other if other.starts_with("--") => {
                    return Err(format!("unknown option `{other}`; see `--help`").into());
                }
                _ => options.patterns.push(argument),
            }
        }
        if options.patterns.is_empty() {
            options.patterns.push(">".to_owned());
        }
        Ok(options)
    }
}

fn main() -> ExitCode {
    if env::args().any(|argument| argument == "--help") {
        print!("{HELP}");
        return ExitCode::SUCCESS;
    }
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        // The reader has had enough, as `head` does.
        Err(error) if is_broken_pipe(&*error) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("subjects: {error}");
            ExitCode::from(2)
        }
    }
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    let error = error.downcast_ref::<io::Error>();
    error.is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

/// Returns how many lines were not envelopes.
fn run() -> Result<usize, Box<dyn Error>> {
    let options = Options::read(env::args().skip(1))?;
    let bus = SubjectBus::new();
    let mut subscriptions = Vec::new();
    for pattern in &options.patterns {
        let subscription = bus.subscribe(pattern)?.capacity(options.capacity);
        subscriptions.push(subscription.overrun(options.overrun).open());
    }

    let mut output = io::stdout().lock();
    let (mut bad, mut lines, mut unmatched) = (0, 0, 0);
    let mut line = Vec::new();
    let mut input = io::stdin().lock();
    while input.read_until(b'\n', &mut line)? > 0 {
        lines += 1;
        if !line.trim_ascii().is_empty() {
            match Envelope::from_json(&line) {
                Ok(envelope) => {
                    let published = bus.publish(envelope)?;
                    unmatched += usize::from(published.enqueued + published.dropped == 0);
                }
                Err(error) => {
                    bad += 1;
                    // The parser counts the lines of what it is given, which is one.
                    let (text, column) = (error.to_string(), error.column());
                    let place = format!("line {} column {column}: ", error.line());
                    let why = text.strip_prefix(&place).unwrap_or(&text);
                    eprintln!("line {lines}: {why} at column {column}");
                }
            }
        }
        line.clear();
        if lines % TICK == 0 {
            print(&mut output, &subscriptions)?;
        }
    }
    bus.close();
    print(&mut output, &subscriptions)?;
    for subscription in &subscriptions {
        let stats = subscription.stats();
        let (pattern, dropped) = (subscription.pattern(), stats.dropped());
        writeln!(output, "{pattern}: received {}, dropped {dropped}", stats.received)?;
    }
    let published = bus.stats().published;
    writeln!(output, "{lines} lines: {published} published, {unmatched} unmatched, {bad} bad")?;
    output.flush()?;
    Ok(bad)
}

fn print(output: &mut impl Write, subscriptions: &[Subscription]) -> io::Result<()> {
    for subscription in subscriptions {
        for envelope in subscription.drain() {
            if subscription.missed() > 0 {
                writeln!(output, "{}: missed {}", subscription.pattern(), subscription.missed())?;
            }
            let payload = envelope.payload().unwrap_or("without payload");
            writeln!(output, "{}: {} {payload}", subscription.pattern(), envelope.subject())?;
        }
    }
    Ok(())
}
