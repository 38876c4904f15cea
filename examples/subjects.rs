//! Reads envelopes, one JSON object per line, and routes them to subscriptions by pattern.
//!
//! ```sh
//! printf '{"subject":"player.7.hit","payload":12}\n' |
//!     cargo run --features std,json --example subjects -- 'player.*.hit' 'chat.>'
//! ```
//!
//! `--help` prints the options. Every 16 lines are a tick: each subscription then prints what it received.
//! A line that is not an envelope is reported with its number, and the program goes on.

use core::error::Error;
use std::env;
use std::ffi::OsString;
use std::io::{self, BufRead, IsTerminal, Write};
use std::process::ExitCode;

use tickbus::{Envelope, Overrun, SubjectBus, Subscription};

const HELP: &str = "\
Reads envelopes from standard input, one JSON object per line, and prints for each pattern the envelopes
whose subject it matches.

usage: subjects [--capacity N] [--overrun POLICY] [PATTERN ...]

  PATTERN           segments with dots between them; `*` is one segment, `>` one or more at the end;
                    quote it; without a pattern, `>` matches everything
  --capacity N      how many envelopes a subscription holds between two ticks of 16 lines (default: 64)
  --overrun POLICY  what a full subscription drops: drop_newest (default) or drop_oldest
  --help            print this text

An envelope needs a subject: {\"subject\":\"player.7.hit\",\"payload\":{\"amount\":12}}

exit status: 0 if each line is empty or an envelope; 1 if a line is not, which standard error names;
             2 if an argument is wrong, or if standard input or output fails
";

/// The lines of a tick.
const TICK: usize = 16;

enum Request {
    Help,
    Route(Options),
}

struct Options {
    capacity: usize,
    overrun: Overrun,
    patterns: Vec<String>,
}

impl Request {
    /// Reads the arguments that follow the program's name, or returns what is wrong with them.
    fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Self, String> {
        let mut options =
            Options { capacity: 64, overrun: Overrun::DropNewest, patterns: Vec::new() };
        let mut arguments = arguments.map(|argument| {
            argument.into_string().map_err(|bytes| format!("the argument {bytes:?} is not UTF-8"))
        });
        while let Some(argument) = arguments.next() {
            let argument = argument?;
            let mut value = |what| {
                arguments.next().unwrap_or_else(|| Err(format!("`{argument}` needs {what}")))
            };
            match &*argument {
                "--help" | "-h" => return Ok(Self::Help),
                "--capacity" => {
                    let value = value("a number")?;
                    options.capacity =
                        value.parse().ok().filter(|capacity| *capacity > 0).ok_or_else(|| {
                            format!("`--capacity` needs a number from 1, not `{value}`")
                        })?;
                }
                "--overrun" => {
                    options.overrun = match &*value("a policy")? {
                        "drop_newest" => Overrun::DropNewest,
                        "drop_oldest" => Overrun::DropOldest,
                        // `Block` would wait for ever: one thread publishes and receives.
                        other => {
                            return Err(format!(
                                "`--overrun` needs drop_newest or drop_oldest, not `{other}`"
                            ));
                        }
                    }
                }
                option if option.starts_with('-') => {
                    return Err(format!("unknown option `{option}`"));
                }
                _ => options.patterns.push(argument),
            }
        }
        if options.patterns.is_empty() {
            options.patterns.push(">".to_owned());
        }
        Ok(Self::Route(options))
    }
}

fn main() -> ExitCode {
    let options = match Request::parse(env::args_os().skip(1)) {
        Ok(Request::Route(options)) => options,
        Ok(Request::Help) => {
            return exit_code(io::stdout().write_all(HELP.as_bytes()).map(|()| 0));
        }
        Err(error) => return refuse(&error),
    };
    let bus = SubjectBus::new();
    let mut subscriptions = Vec::new();
    for pattern in &options.patterns {
        match bus.subscribe(pattern) {
            Ok(subscription) => subscriptions
                .push(subscription.capacity(options.capacity).overrun(options.overrun).open()),
            Err(error) => return refuse(&error.to_string()),
        }
    }
    exit_code(run(&bus, &subscriptions))
}

fn refuse(error: &str) -> ExitCode {
    eprintln!("subjects: {error}; see `--help`");
    ExitCode::from(2)
}

fn exit_code(bad_lines: io::Result<usize>) -> ExitCode {
    match bad_lines {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        // The reader of the output has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("subjects: {error}");
            ExitCode::from(2)
        }
    }
}

/// Routes the lines of standard input and returns how many of them are not envelopes.
fn run(bus: &SubjectBus, subscriptions: &[Subscription]) -> io::Result<usize> {
    let mut output = io::stdout().lock();
    let mut input = io::stdin().lock();
    if input.is_terminal() {
        eprintln!("subjects: type one envelope per line, Ctrl-D ends; see `--help`");
    }
    let (mut lines, mut empty, mut bad, mut unmatched) = (0, 0, 0, 0);
    let mut line = Vec::new();
    let end = loop {
        line.clear();
        // A failure may come in the middle of a line. What was published before must still come out.
        match input.read_until(b'\n', &mut line) {
            Ok(0) => break Ok(()),
            Ok(_) => {}
            Err(error) => break Err(error),
        }
        lines += 1;
        match publish(bus, &line) {
            Ok(Line::Empty) => empty += 1,
            Ok(Line::Unmatched) => unmatched += 1,
            Ok(Line::Matched) => {}
            Err(error) => {
                bad += 1;
                eprintln!("line {lines}{error}");
            }
        }
        if lines % TICK == 0 {
            print(&mut output, subscriptions)?;
        }
    };
    bus.close();
    print(&mut output, subscriptions)?;
    for subscription in subscriptions {
        let stats = subscription.stats();
        let (pattern, received, dropped) =
            (subscription.pattern(), stats.received, stats.dropped());
        writeln!(output, "{pattern}: received {received}, dropped {dropped}")?;
    }
    let published = bus.stats().published;
    writeln!(
        output,
        "{lines} lines: {published} published ({unmatched} without a match), {bad} bad, {empty} empty"
    )?;
    output.flush()?;
    let cannot_read =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot read the input: {error}"));
    end.map(|()| bad).map_err(cannot_read)
}

enum Line {
    Empty,
    Matched,
    Unmatched,
}

/// Publishes the envelope of a line. An error begins with the column, if it is about one.
fn publish(bus: &SubjectBus, line: &[u8]) -> Result<Line, Box<dyn Error>> {
    // The parser must not count the line feed at the end as the beginning of another line.
    let line = line.trim_ascii_end();
    if line.is_empty() {
        return Ok(Line::Empty);
    }
    let envelope = Envelope::from_json(line).map_err(|error| {
        let (text, column) = (error.to_string(), error.column());
        let why = text.strip_prefix(&format!("line {} column {column}: ", error.line()));
        let place = if column > 0 { format!(" column {column}") } else { String::new() };
        format!("{place}: {}", why.unwrap_or(&text))
    })?;
    let published = bus.publish(envelope).map_err(|error| format!(": {error}"))?;
    let matches = published.enqueued + published.dropped;
    Ok(if matches == 0 { Line::Unmatched } else { Line::Matched })
}

fn print(output: &mut impl Write, subscriptions: &[Subscription]) -> io::Result<()> {
    for subscription in subscriptions {
        let pattern = subscription.pattern();
        for envelope in subscription.drain() {
            if subscription.missed() > 0 {
                writeln!(output, "{pattern}: missed {}", subscription.missed())?;
            }
            write!(output, "{pattern}: {} ", envelope.subject())?;
            match (envelope.payload(), envelope.bytes()) {
                (Some(payload), _) => writeln!(output, "{payload}")?,
                (None, Some(bytes)) => writeln!(output, "with {} bytes", bytes.len())?,
                (None, None) => writeln!(output, "without payload")?,
            }
        }
    }
    Ok(())
}
