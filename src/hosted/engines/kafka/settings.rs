//! What a user decides about an engine, and the client by it.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;
use std::path::{Path, PathBuf};

use krafka::auth::{AuthConfig, TlsConfig};
use tokio::time::timeout;

use super::fault;
use crate::hosted::engines::failed::{no_answer, refused};
use crate::hosted::engines::limits::SHORTEST_HEARTBEAT;
use crate::hosted::provision::Provision;
use crate::hosted::{OnStart, Reason};

/// The longest time for a client or a server. They count milliseconds in 31 bits.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// The shortest time that a client waits for an answer: a read of new events lasts shorter.
const SHORTEST_TIMEOUT: Duration = Duration::from_millis(500);

/// How a name and a password are shown to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mechanism {
    /// As they are. Use it with TLS.
    Plain,
    /// By a challenge with SHA-256.
    ScramSha256,
    /// By a challenge with SHA-512.
    ScramSha512,
}

#[derive(Clone)]
pub(super) struct Login {
    pub(super) mechanism: Mechanism,
    pub(super) user: String,
    pub(super) password: String,
}

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) brokers: String,
    pub(super) topic: String,
    /// Patterns of subjects, and the topic of each.
    pub(super) topics: Vec<(String, String)>,
    pub(super) partitions: Option<u16>,
    pub(super) replicas: Option<u8>,
    pub(super) group_prefix: Option<String>,
    pub(super) provision: Provision,
    pub(super) login: Option<Login>,
    pub(super) tls: bool,
    pub(super) certificates: Vec<PathBuf>,
    pub(super) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(super) on_start: OnStart,
    pub(super) timeout: Duration,
    pub(super) heartbeat: Duration,
    pub(super) session_timeout: Duration,
    pub(super) commit_interval: Duration,
}

impl Settings {
    pub(super) fn timeout(&self) -> Duration {
        self.timeout.clamp(SHORTEST_TIMEOUT, LONGEST)
    }

    pub(super) fn heartbeat(&self) -> Duration {
        self.heartbeat.clamp(SHORTEST_HEARTBEAT, LONGEST)
    }

    pub(super) fn session_timeout(&self) -> Duration {
        self.session_timeout.clamp(SHORTEST_HEARTBEAT * 10, LONGEST)
    }

    /// Connects. Each subscription does so for itself: a server answers one request of a connection
    /// after the other, and a read waits for events.
    pub(super) async fn client(&self) -> Result<krafka::Kafka, Reason> {
        let patience = self.timeout();
        let client = krafka::Kafka::builder(self.brokers.trim())
            .client_id("tickbus")
            .request_timeout(patience)
            .connect_timeout(patience)
            .security(self.security()?);
        match timeout(patience, client.connect()).await {
            Ok(connected) => connected.map_err(|error| fault::reason(&error)),
            Err(_) => Err(no_answer(self.brokers.trim(), self.tls)),
        }
    }

    fn security(&self) -> Result<AuthConfig, Reason> {
        let security = match &self.login {
            None => AuthConfig::plaintext(),
            Some(Login { mechanism, user, password }) => match mechanism {
                Mechanism::Plain => AuthConfig::sasl_plain(user, password),
                Mechanism::ScramSha256 => AuthConfig::sasl_scram_sha256(user, password),
                Mechanism::ScramSha512 => AuthConfig::sasl_scram_sha512(user, password),
            },
        };
        if !self.tls {
            return Ok(security);
        }
        let mut tls = TlsConfig::new();
        if self.certificates.is_empty() {
            tls = tls.with_native_roots();
        } else {
            let mut all = Vec::new();
            for file in &self.certificates {
                all.extend(read(file)?);
                all.push(b'\n');
            }
            tls = tls.with_ca_cert_pem(all);
        }
        if let Some((certificate, key)) = &self.client_certificate {
            tls = tls.with_client_cert_pem(read(certificate)?, read(key)?);
        }
        Ok(match self.login {
            Some(_) => security.with_tls(tls),
            None => AuthConfig::ssl(tls),
        })
    }

    /// Returns what the server calls a group.
    pub(super) fn group(&self, name: &str) -> String {
        match &self.group_prefix {
            Some(prefix) => format!("{prefix}-{name}"),
            None => name.into(),
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, Reason> {
    std::fs::read(file).map_err(|error| refused(format!("`{}`: {error}", file.display())))
}
