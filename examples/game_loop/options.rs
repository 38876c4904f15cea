//! The command line.

use std::ffi::OsString;

/// What `--help` prints, and what follows a complaint.
pub(crate) const USAGE: &str = "\
A small arcade game on one event bus: dodge the rocks and the lightning, shoot, collect gems.

usage: game_loop [--seed N] [--ticks N]

  --seed N    the seed of the spawner and the weather (piped: 1; played: another one each time)
  --ticks N   stop after N ticks, a 60th of a second each; piped keys may end earlier
  --help      this text

keys:  a d w s or the arrows: steer (the ship flies on; steer back to brake)   space: fire
       o: overload, every publisher floods the bus   r: restart   q or Ctrl-C: quit

If standard input is no terminal, its bytes are the keys, one per tick ('.' and line ends let a
tick pass). Nothing is drawn, the threads run in lockstep, and the final state is printed: the
same keys and the same seed give the same output.
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
    /// Reads the arguments that follow the program's name. `Err` says what is wrong with them.
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
