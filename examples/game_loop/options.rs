//! The command line.

use std::ffi::OsString;

/// What follows an error in the arguments.
pub(crate) const USAGE: &str = "usage: game_loop [--seed N] [--ticks N]; see `--help`\n";

/// What `--help` prints.
pub(crate) const HELP: &str = "\
A small arcade game on one event bus: dodge the rocks and the lightning, shoot, collect gems.

usage: game_loop [--seed N] [--ticks N]

  --seed N    choose the rocks and the weather (default: 1 with piped keys, else a new one each time)
  --ticks N   stop after N ticks of a 60th of a second
  --help      print this text

keys
  a d w s     steer, as the arrows do; the ship flies on until you steer back
  space       fire
  o           overload: two threads flood the bus; again to stop
  r           restart
  q, Ctrl-C   quit

signs
  /A\\         you; you have 3 lives (♥) and cannot be hit while you blink
  (O)  o      a big and a small rock: shoot it for 20 and 10 points, or dodge it
  ◆           a gem: fly into it for 50 points
  ┊ then ║    lightning: leave the column while the line is thin
  |           your shot
  ·           a spark of the overload; it does no harm

the lines above the field
  published   events that the bus has accepted: handled + dropped + pending
  handled     events that the game has taken from the bus
  dropped     events that the bus has lost: 0, since this bus gives back what does not fit
  pending     events that wait on the bus
  refused     events that the bus gave back to a thread, because it was full
  high water  the most events that waited at one time, of the 1024 that fit
  last tick   the events that the last tick handled, and what its budget left for the next one

If standard input is not a terminal, its bytes are the keys, one per tick ('.' and line ends let a
tick pass). The game then draws nothing, its threads take turns, and it prints how it ended. The same
keys and the same seed give the same output.
";

/// What the command line asks for.
pub(crate) enum Request {
    Play(Options),
    Help,
}

/// How to play.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) seed: Option<u64>,
    pub(crate) ticks: Option<u64>,
}

impl Request {
    /// Reads the arguments that follow the program's name, or returns what is wrong with them.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let mut options = Options::default();
        while let Some(argument) = arguments.next() {
            match argument.to_string_lossy().as_ref() {
                "--help" | "-h" => return Ok(Self::Help),
                "--seed" => options.seed = Some(number("--seed", arguments.next())?),
                "--ticks" => options.ticks = Some(number("--ticks", arguments.next())?),
                unknown => return Err(format!("unknown argument `{unknown}`")),
            }
        }
        Ok(Self::Play(options))
    }
}

fn number(option: &str, value: Option<OsString>) -> Result<u64, String> {
    let value = value.ok_or_else(|| format!("`{option}` needs a number"))?;
    let value = value.to_string_lossy();
    value.parse().map_err(|_| format!("`{option}` needs a whole number, not `{value}`"))
}
