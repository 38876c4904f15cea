//! What a user decides about an engine, and where it connects to.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use std::path::PathBuf;

use crate::hosted::engines::url::decoded;
use crate::hosted::start::OnStart;

/// The shortest time in which a connection must show that it is alive.
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_millis(200);
/// The longest one that the protocol can say.
const LONGEST_KEEP_ALIVE: Duration = Duration::from_secs(65_535);

/// The quality of service by which envelopes leave, and come to live subscriptions. Durable
/// subscriptions always have [`AtLeastOnce`](Self::AtLeastOnce).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Qos {
    /// 0: the server confirms nothing, and a publish is
    /// [`Buffered`](crate::hosted::Level::Buffered).
    AtMostOnce,
    /// 1: the server confirms each publish.
    #[default]
    AtLeastOnce,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) url: String,
    /// A name and a password. Each may be empty.
    pub(super) login: Option<(String, String)>,
    pub(super) client_id: Option<String>,
    pub(super) prefix: String,
    pub(super) qos: Qos,
    pub(super) keep_alive: Duration,
    pub(super) session_expiry: Duration,
    pub(super) timeout: Duration,
    pub(super) tls: bool,
    pub(super) certificates: Vec<PathBuf>,
    pub(super) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(super) on_start: OnStart,
}

/// The address of a server, and the login there.
pub(super) struct Place {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) login: Option<(String, String)>,
}

impl Settings {
    /// Returns where to connect to. `None` if the URL is not one of a server.
    pub(super) fn place(&self) -> Option<Place> {
        let url = self.url.trim();
        let (tls, rest) = match url.strip_prefix("mqtts://") {
            Some(rest) => (true, rest),
            None => (self.tls, url.strip_prefix("mqtt://")?),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (login, at) = match rest.rsplit_once('@') {
            Some((login, at)) => (Some(login), at),
            None => (None, rest),
        };
        if at.contains(['/', '?', '#']) {
            return None;
        }
        let (host, port) = match at.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
            }
            None => match at.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (at, None),
            },
        };
        if host.is_empty() {
            return None;
        }
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port > 0)?,
            None if tls => 8883,
            None => 1883,
        };
        let login = self.login.clone().or(login.map(|login| {
            let (user, password) = login.split_once(':').unwrap_or((login, ""));
            (decoded(user), decoded(password))
        }));
        Some(Place { tls, host: host.into(), port, login })
    }

    /// Returns where it connects to, without the login.
    pub(super) fn shown(&self) -> String {
        self.place().map_or_else(|| "not a URL of a server".into(), |place| place.shown())
    }

    pub(super) fn keep_alive(&self) -> Duration {
        self.keep_alive.clamp(SHORTEST_KEEP_ALIVE, LONGEST_KEEP_ALIVE)
    }

    /// Returns for how many seconds the server is to keep a session. The largest number is for
    /// ever.
    pub(super) fn session_seconds(&self) -> u32 {
        let whole = self.session_expiry.as_secs();
        let seconds = if self.session_expiry.subsec_nanos() > 0 { whole + 1 } else { whole };
        u32::try_from(seconds).unwrap_or(u32::MAX)
    }

    /// Returns the id of sessions, if durable subscriptions are wanted.
    pub(super) fn durable(&self) -> Option<&str> {
        self.client_id.as_deref().filter(|_| !self.session_expiry.is_zero())
    }
}

impl Place {
    pub(super) fn shown(&self) -> String {
        let scheme = if self.tls { "mqtts" } else { "mqtt" };
        match self.host.contains(':') {
            true => format!("{scheme}://[{}]:{}", self.host, self.port),
            false => format!("{scheme}://{}:{}", self.host, self.port),
        }
    }
}
