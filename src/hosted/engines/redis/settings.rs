//! What a user decides about an engine, and where it connects to.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use std::path::PathBuf;

use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use crate::hosted::provision::Provision;
use crate::hosted::start::OnStart;

/// Begins a URL of TLS.
const OF_TLS: &str = "rediss://";
const OF_TCP: [&str; 3] = ["redis", "rediss", "valkey"];
const OF_UNIX: [&str; 3] = ["unix", "redis+unix", "valkey+unix"];
const FORM: &str = "it is `redis://user:password@host:port/db`, `rediss://` for TLS, or `unix:path`. Write \
                    `@`, `/`, `?`, `#` and `%` in a password as `%40`, `%2F`, `%3F`, `%23` and `%25`";

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) url: String,
    pub(super) login: Option<(Option<String>, String)>,
    pub(super) db: Option<u32>,
    pub(super) pool_size: usize,
    pub(super) tls: bool,
    pub(super) certificates: Vec<PathBuf>,
    pub(super) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(super) stream: Option<String>,
    pub(super) prefix: String,
    pub(super) max_len: u64,
    pub(super) window: Duration,
    pub(super) dead_letters: u64,
    pub(super) provision: Provision,
    pub(super) on_start: OnStart,
    pub(super) timeout: Duration,
    pub(super) heartbeat: Duration,
    pub(super) client: Option<ConnectionInfo>,
}

impl Settings {
    /// Returns where to connect to, and as whom. `None` if the URL is not one of a server.
    pub(super) fn connection(&self) -> Option<ConnectionInfo> {
        let info = match &self.client {
            Some(info) => info.clone(),
            // The client knows this scheme only with its own TLS.
            None => match self.url.trim().strip_prefix(OF_TLS) {
                Some(rest) => format!("redis://{rest}").into_connection_info().ok()?,
                None => self.url.trim().into_connection_info().ok()?,
            },
        };
        let mut redis = info.redis_settings().clone();
        if let Some((user, password)) = &self.login {
            redis = redis.set_password(password);
            if let Some(user) = user {
                redis = redis.set_username(user);
            }
        }
        if let Some(db) = self.db {
            redis = redis.set_db(db.into());
        }
        Some(info.set_redis_settings(redis))
    }

    /// Returns an error if the settings are not possible.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.pool_size == 0 {
            return Err("a pool of 0 connections never answers: give it 1 or more".into());
        }
        if self.stream.is_some() && !self.prefix.is_empty() {
            return Err("`prefix` is for pub/sub, and `stream` is set: remove one of them".into());
        }
        let fault = if self.client.is_none() { self.fault() } else { None };
        fault.map_or(Ok(()), |fault| Err(format!("the URL is not valid: {fault}: {FORM}")))
    }

    /// Returns what is wrong with the URL. A part of it that may be secret is not in the text.
    fn fault(&self) -> Option<String> {
        let url = self.url.trim();
        let is_valid = self.connection().is_some();
        let scheme = url.split(':').next().unwrap_or_default();
        let is_unix = OF_UNIX.contains(&scheme);
        let rest = url[scheme.len()..].trim_start_matches(':').trim_start_matches("//");
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let query = query.split('#').next().unwrap_or_default();
        let (place, path) = rest.split_once('/').unwrap_or((rest, ""));
        if !is_valid {
            if !is_unix && !OF_TCP.contains(&scheme) {
                return Some("the scheme is another one".into());
            }
            if path.contains('@') || query.contains('@') || place.contains('#') {
                return Some("the name or the password has a `/`, a `?` or a `#`".into());
            }
            let host = place.rsplit('@').next().unwrap_or_default();
            let (host, port) = match host.rsplit_once(':') {
                Some((host, port)) if !port.ends_with(']') => (host, port),
                _ => (host, ""),
            };
            if !port.is_empty() && port.parse::<u16>().is_err() {
                return Some("the port is not a number up to 65535".into());
            }
            if !is_unix && host.is_empty() {
                return Some("there is no host".into());
            }
            if !is_unix && !path.is_empty() && path.trim_matches('/').parse::<i64>().is_err() {
                return Some("the database is not a number".into());
            }
        }
        let known: &[&str] =
            if is_unix { &["db", "user", "pass", "protocol"] } else { &["protocol"] };
        let keys = query.split('&').filter_map(|pair| pair.split('=').next());
        match keys.filter(|key| !key.is_empty()).find(|key| !known.contains(key)) {
            Some(_) if query.contains('@') => Some("the name or the password has a `?`".into()),
            Some(key) => Some(format!("there is no key `{key}`, but {}", known.join(", "))),
            None if is_valid => None,
            None => Some("a part of it is not possible".into()),
        }
    }

    /// Returns whether the URL or the client wants TLS without a check of the server.
    pub(super) fn is_unchecked(&self, address: &ConnectionAddr) -> bool {
        let of_url = self.url.split_once('#').is_some_and(|(_, rest)| rest.contains("insecure"));
        of_url || matches!(address, ConnectionAddr::TcpTls { insecure: true, .. })
    }

    /// Returns whether the connection is by TLS.
    pub(super) fn wants_tls(&self, address: &ConnectionAddr) -> bool {
        let of_url = self.client.is_none() && self.url.trim().starts_with(OF_TLS);
        self.tls || of_url || matches!(address, ConnectionAddr::TcpTls { .. })
    }

    /// Returns where it connects to, without the login.
    pub(super) fn shown(&self) -> String {
        match self.connection() {
            Some(info) => self.shown_address(info.addr()),
            None => "not a URL of a server".into(),
        }
    }

    pub(super) fn shown_address(&self, address: &ConnectionAddr) -> String {
        let scheme = if self.wants_tls(address) { "rediss" } else { "redis" };
        match address {
            ConnectionAddr::Unix(path) => format!("unix:{}", path.display()),
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                format!("{scheme}://{host}:{port}")
            }
            _ => scheme.into(),
        }
    }
}

/// The names of what belongs to a stream on a server. They are in the slot of the stream.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) stream: String,
    /// The patterns of each group.
    pub(super) groups: String,
    pub(super) dead: String,
    /// The server that counts for each group.
    pub(super) servers: String,
    base: String,
}

impl Keys {
    pub(super) fn new(stream: &str) -> Self {
        let has_tag = stream
            .split_once('{')
            .is_some_and(|(_, rest)| rest.split_once('}').is_some_and(|(tag, _)| !tag.is_empty()));
        let base = if has_tag { stream.into() } else { format!("{{{stream}}}") };
        let (groups, dead) = (format!("{base}:groups"), format!("{base}:dead"));
        let servers = format!("{base}:servers");
        Self { stream: stream.into(), groups, dead, servers, base }
    }

    /// When the deliveries of a group come again that do not come by their lease.
    pub(super) fn due(&self, group: &str) -> String {
        format!("{}:due:{group}", self.base)
    }

    /// What says that an id is known.
    pub(super) fn id(&self, id: &str) -> String {
        format!("{}:id:{id}", self.base)
    }
}
