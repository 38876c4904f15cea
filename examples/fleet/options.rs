//! What the arguments say.

use core::time::Duration;
use std::path::PathBuf;

pub(crate) const HELP: &str = "\
usage: fleet [OPTIONS]

--engine NAME   `nats` or `memory`; else NATS if a server is found and the build has it
--server PATH   the nats-server to start; else one of target/servers, then the one on the PATH
--port N        the port of the server, on loopback; else a free one
--devices N     how many devices publish, each once a second: 1000 by default
--sample        without a terminal: no keys, kills at set moments, prints the table each second
--seconds N     how long a sample takes: 6 by default

exit codes
0  nothing that was acknowledged is lost
1  something is lost, or a process did not come back
2  the arguments are wrong, or the fleet cannot start

the processes start themselves: fleet service|game NAME URL, fleet devices COUNT URL; one by itself ends
with 1 when its input does
";

/// What to do.
pub(crate) enum Request {
    Help,
    Conduct(Options),
    /// Play a role in a fleet that another process conducts.
    Play {
        role: Role,
        name: String,
        url: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Devices(u32),
    Service,
    Game,
}

/// How to conduct a fleet.
pub(crate) struct Options {
    /// `None` takes what there is.
    pub(crate) engine: Option<Wanted>,
    pub(crate) server: Option<PathBuf>,
    pub(crate) port: Option<u16>,
    pub(crate) devices: u32,
    /// How long a sample takes, if it is one.
    pub(crate) sample: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    Nats,
    Memory,
}

impl Request {
    pub(crate) fn parse(given: impl Iterator<Item = String>) -> Result<Self, String> {
        let given: Vec<String> = given.collect();
        let words: Vec<&str> = given.iter().map(String::as_str).collect();
        match *words {
            [role @ ("service" | "game" | "devices"), name, url] => {
                let role = match role {
                    "service" => Role::Service,
                    "game" => Role::Game,
                    _ => Role::Devices(number("devices", Some(name), 1..=100_000)?),
                };
                Ok(Self::Play { role, name: name.into(), url: url.into() })
            }
            [role @ ("service" | "game" | "devices"), ..] => {
                Err(format!("`{role}` takes two arguments; see --help"))
            }
            _ if words.contains(&"--help") || words.contains(&"-h") => Ok(Self::Help),
            _ => Options::parse(&words).map(Self::Conduct),
        }
    }
}

impl Options {
    fn parse(words: &[&str]) -> Result<Self, String> {
        let (mut engine, mut server, mut port) = (None, None, None);
        let (mut devices, mut sample, mut seconds) = (1000, false, None);
        let mut words = words.iter().copied();
        while let Some(word) = words.next() {
            match word {
                "--engine" => {
                    engine = match words.next() {
                        Some("nats") => Some(Wanted::Nats),
                        Some("memory") => Some(Wanted::Memory),
                        other => return Err(wrong("--engine", "`nats` or `memory`", other)),
                    };
                }
                "--server" => {
                    let path = words.next().ok_or_else(|| wrong("--server", "a path", None))?;
                    server = Some(path.into());
                }
                "--port" => port = Some(number("--port", words.next(), 1..=65535)? as u16),
                "--devices" => devices = number("--devices", words.next(), 1..=100_000)?,
                "--sample" => sample = true,
                "--seconds" => seconds = Some(number("--seconds", words.next(), 4..=86_400)?),
                other => return Err(format!("unknown argument `{other}`; see --help")),
            }
        }
        if seconds.is_some() && !sample {
            return Err("--seconds is for a --sample: without it, `q` ends".into());
        }
        if engine == Some(Wanted::Memory) && (server.is_some() || port.is_some()) {
            return Err("--server and --port are for NATS, and you chose the memory engine".into());
        }
        let sample = sample.then(|| Duration::from_secs(seconds.unwrap_or(6).into()));
        Ok(Self { engine, server, port, devices, sample })
    }
}

fn number(
    option: &str,
    given: Option<&str>,
    range: core::ops::RangeInclusive<u32>,
) -> Result<u32, String> {
    let number = given.and_then(|it| it.parse().ok()).filter(|it| range.contains(it));
    let wanted = format!("a number from {} to {}", range.start(), range.end());
    number.ok_or_else(|| wrong(option, &wanted, given))
}

fn wrong(option: &str, wanted: &str, given: Option<&str>) -> String {
    match given {
        Some(given) => format!("{option} needs {wanted}, not `{given}`; see --help"),
        None => format!("{option} needs {wanted}; see --help"),
    }
}
