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
