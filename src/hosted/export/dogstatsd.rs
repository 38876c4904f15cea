//! Gauges for an agent of Datadog: [`DogStatsd`].

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::{self, Write};
use core::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use core::time::Duration;
use std::io;
use std::net::{ToSocketAddrs, UdpSocket};

use tokio::runtime::Handle;

use super::broker::Seconds;
use super::error::ExportError;
use super::exporter::Exporter;
use super::samples::{SERIES, Series, broker_samples, samples};
use crate::hosted::broker::BrokerMetrics;
use crate::hosted::stats::{ALL, EngineStats};

/// The name of the gauge with the number of tasks.
const TASKS: &str = "runtime.tasks";
const LONGEST_NUMBER: &str = "18446744073709551615";
/// What one datagram of IPv4 can carry.
const LARGEST: usize = 65_507;

/// Sends the numbers of engines to an agent of Datadog, as gauges by UDP.
///
/// | gauge | tags | number |
/// |---|---|---|
/// | `modular.eventbus.delivered_total` | `engine` | deliveries that a handler ran for |
/// | `modular.eventbus.dropped_total` | `engine` | deliveries that no handler finished |
/// | `modular.eventbus.` and each further name of [`Prometheus`](super::Prometheus) | the same | the same |
/// | `modular.eventbus.runtime.tasks` | | tasks of the runtime of tokio that are alive |
///
/// The sums of all engines have the tag `engine:_all`. A packet has as many lines as fit into it.
/// [`export`](super) explains the prefix. UDP is not confirmed: without an agent, the numbers are
/// lost.
///
/// # Examples
///
/// ```
/// use tickbus::hosted::EngineStats;
/// use tickbus::hosted::export::DogStatsd;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let stats = || vec![EngineStats::new("fast".into())]; // your engines
/// let exporter = DogStatsd::builder().tag("env:test").spawn(stats)?; // every 5 s
/// exporter.close().await; // sends for the last time
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct DogStatsd {
    socket: UdpSocket,
    agent: SocketAddr,
    settings: DogStatsdBuilder,
}

/// Makes a [`DogStatsd`] with other settings than the defaults: see [`DogStatsd::builder`].
#[derive(Clone, Debug)]
#[must_use]
pub struct DogStatsdBuilder {
    address: Box<str>,
    prefix: String,
    interval: Duration,
    packet: usize,
    per_engine: bool,
    runtime_tasks: bool,
    /// The tags that each line has, with a comma behind each.
    tags: String,
}

impl DogStatsdBuilder {
    /// Sets the address of the agent: `127.0.0.1:8125` by default. A name is looked up once.
    pub fn address(mut self, address: &str) -> Self {
        self.address = address.into();
        self
    }

    /// Sets what the names of gauges begin with: `modular.eventbus.` by default. A dot at its end
    /// may be left out.
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Sets the interval: 5 s by default.
    pub const fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Sets how many bytes a packet has at most: 1432 by default, which an Ethernet carries whole.
    pub const fn max_packet(mut self, bytes: usize) -> Self {
        self.packet = bytes;
        self
    }

    /// Sets whether each engine has gauges of its own: `true` by default. Without them there are
    /// only the sums.
    pub const fn per_engine(mut self, per_engine: bool) -> Self {
        self.per_engine = per_engine;
        self
    }

    /// Sets whether there is a gauge of the runtime's tasks: `true` by default.
    pub const fn runtime_tasks(mut self, runtime_tasks: bool) -> Self {
        self.runtime_tasks = runtime_tasks;
        self
    }

    /// Adds a tag to all gauges of engines and to that of the runtime, such as `env:test`.
    pub fn tag(mut self, tag: &str) -> Self {
        let _ = write!(self.tags, "{},", Tag(tag));
        self
    }

    /// Makes a sender, whose [`send`](DogStatsd::send) you call yourself.
    ///
    /// # Errors
    ///
    /// Returns [`ExportError`] if the prefix cannot begin the name of a gauge, if the numbers of
    /// [`ALL`] may not fit into a packet or a packet not into a datagram, or if there
    /// is no such address.
    pub fn build(mut self) -> Result<DogStatsd, ExportError> {
        let of_a_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
        let is_valid = self.prefix.starts_with(|c: char| c.is_ascii_alphabetic())
            && self.prefix.chars().all(of_a_name)
            && !self.prefix.contains("..");
        if !is_valid {
            let allowed = "letters of ASCII, digits, `_` and single dots, and a letter first";
            return Err(ExportError::prefix(&self.prefix, allowed));
        }
        if !self.prefix.ends_with('.') {
            self.prefix.push('.');
        }
        let sums = [EngineStats::new(ALL.into())];
        let longest = self.lines(&sums, self.runtime_tasks.then_some(0));
        // Any number may become the longest one.
        let longest = longest.iter().map(|line| line.len() + LONGEST_NUMBER.len() - 1).max();
        if longest > Some(self.packet) {
            let why = "the prefix, the tags and a number do not fit into it";
            return Err(ExportError::Setting { setting: "max_packet", why });
        }
        if self.packet > LARGEST {
            let why = "a datagram carries 65507 bytes";
            return Err(ExportError::Setting { setting: "max_packet", why });
        }
        let address = |error| ExportError::Address { address: self.address.clone(), error };
        let agent = self.address.to_socket_addrs().map_err(address)?.next();
        let agent = agent.ok_or_else(|| address(io::ErrorKind::AddrNotAvailable.into()))?;
        let own: SocketAddr = match agent {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let open = || {
            let socket = UdpSocket::bind(own)?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        };
        let socket = open().map_err(address)?;
        Ok(DogStatsd { socket, agent, settings: self })
    }

    /// Starts a task that sends what `stats` returns, at the interval and when you close it.
    ///
    /// A failure of the system is ignored. To see it, [`build`](Self::build) the sender, and call
    /// its [`send`](DogStatsd::send) from an [`Exporter`] of your own.
    ///
    /// # Errors
    ///
    /// Returns [`ExportError`] as [`build`](Self::build) does, and if the interval is 0, or if this
    /// thread is not in a runtime.
    pub fn spawn(
        self,
        stats: impl Fn() -> Vec<EngineStats> + Send + 'static,
    ) -> Result<Exporter, ExportError> {
        let interval = self.interval;
        let sender = self.build()?;
        Exporter::spawn(interval, stats, move |engines| {
            let _ = sender.send(engines);
        })
    }

    fn lines(&self, samples: &[EngineStats], tasks: Option<usize>) -> Vec<String> {
        let (prefix, tags) = (&self.prefix, &self.tags);
        let mut lines = Vec::with_capacity(samples.len() * SERIES.len() + 1);
        for sample in samples {
            let engine = Tag(&sample.engine);
            for Series { name, label, value, .. } in SERIES {
                let Some(value) = value(sample) else { continue };
                let mut line = alloc::format!("{prefix}{name}:{value}|g|#{tags}engine:{engine}");
                if let Some((key, label)) = label {
                    let _ = write!(line, ",{key}:{label}");
                }
                lines.push(line);
            }
        }
        if let Some(tasks) = tasks {
            let tags = tags.trim_end_matches(',');
            let mark = if tags.is_empty() { "" } else { "|#" };
            lines.push(alloc::format!("{prefix}{TASKS}:{tasks}|g{mark}{tags}"));
        }
        lines
    }
}

impl DogStatsd {
    /// Returns a builder with the defaults.
    pub fn builder() -> DogStatsdBuilder {
        DogStatsdBuilder {
            address: "127.0.0.1:8125".into(),
            prefix: "modular.eventbus.".into(),
            interval: Duration::from_secs(5),
            packet: 1432,
            per_engine: true,
            runtime_tasks: true,
            tags: String::new(),
        }
    }

    /// Sends the numbers of these engines once. Never waits.
    ///
    /// # Errors
    ///
    /// Returns the first error if the system refuses a packet, or if the line of an engine does not
    /// fit into one. The others are sent nevertheless.
    pub fn send(&self, engines: &[EngineStats]) -> io::Result<()> {
        let settings = &self.settings;
        let samples = samples(engines);
        let from = if settings.per_engine { 0 } else { samples.len() - 1 };
        let runtime = settings.runtime_tasks.then(Handle::try_current).and_then(Result::ok);
        let tasks = runtime.map(|runtime| runtime.metrics().num_alive_tasks());
        self.send_lines(settings.lines(&samples[from..], tasks))
    }

    /// Sends what a broker has measured once, as gauges with the names and labels of
    /// [`BrokerPrometheus`](super::BrokerPrometheus). Never waits. Of the histogram, it sends the
    /// count and the sum.
    ///
    /// The names begin with the prefix of this sender: give it
    /// [`prefix("eventbroker.")`](DogStatsdBuilder::prefix).
    ///
    /// # Errors
    ///
    /// Returns the first error if the system refuses a packet, or if a line does not fit into one.
    /// The others are sent nevertheless.
    pub fn send_broker(&self, metrics: &BrokerMetrics) -> io::Result<()> {
        let DogStatsdBuilder { prefix, tags, .. } = &self.settings;
        let line = |sample: &super::samples::BrokerSample<'_>| {
            let mut line = alloc::format!("{prefix}{}:", sample.name);
            let _ = match sample.is_time {
                true => write!(line, "{}", Seconds(sample.value)),
                false => write!(line, "{}", sample.value),
            };
            let mut all = tags.clone();
            if let Some(of) = sample.of {
                let _ = write!(all, "source:{},type:{},", of.source, Tag(&of.event_type));
            }
            if let Some(status) = sample.status {
                let _ = write!(all, "status:{status},");
            }
            let all = all.trim_end_matches(',');
            let mark = if all.is_empty() { "" } else { "|#" };
            let _ = write!(line, "|g{mark}{all}");
            line
        };
        self.send_lines(broker_samples(metrics).iter().map(line).collect())
    }

    /// Sends lines in as few packets as carry them.
    fn send_lines(&self, lines: Vec<String>) -> io::Result<()> {
        let settings = &self.settings;
        let mut result = Ok(());
        let mut packet = String::with_capacity(settings.packet);
        for line in lines {
            if line.len() > settings.packet {
                let error = "a line does not fit into a packet";
                result = result.and(Err(io::Error::new(io::ErrorKind::InvalidInput, error)));
                continue;
            }
            if !packet.is_empty() && packet.len() + 1 + line.len() > settings.packet {
                result = result.and(self.send_packet(&packet));
                packet.clear();
            }
            if !packet.is_empty() {
                packet.push('\n');
            }
            packet.push_str(&line);
        }
        if packet.is_empty() { result } else { result.and(self.send_packet(&packet)) }
    }

    fn send_packet(&self, packet: &str) -> io::Result<()> {
        self.socket.send_to(packet.as_bytes(), self.agent).map(|_| ())
    }
}

/// A text as a tag: what ends a tag or a line is `_`.
struct Tag<'a>(&'a str);

impl fmt::Display for Tag<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let escaped = |c: char| if c == ',' || c == '|' || c.is_control() { '_' } else { c };
        self.0.chars().try_for_each(|c| f.write_char(escaped(c)))
    }
}
