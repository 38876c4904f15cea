//! Where a database is, and how to connect: [`Database`].

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use std::path::PathBuf;

use crate::hosted::config::{Secret, ServerUrl};
use crate::hosted::engines::limits::FOR_EVER;
use crate::hosted::provision::Provision;

/// Says where a Postgres database is, and how to connect.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use tickbus::hosted::engines::postgres::{Database, Provision};
///
/// let database = Database::new("postgres://shop:secret@127.0.0.1/shop")
///     .provision(Provision::Create)
///     .timeout(Duration::from_secs(2));
/// assert!(!format!("{database:?}").contains("secret"));
/// ```
#[derive(Clone)]
#[must_use]
pub struct Database {
    pub(super) url: ServerUrl,
    pub(super) login: Option<(String, Secret)>,
    pub(super) tls: bool,
    pub(super) certificates: Vec<PathBuf>,
    pub(super) client_certificate: Option<(PathBuf, PathBuf)>,
    pub(super) pool_size: usize,
    pub(super) provision: Provision,
    pub(super) timeout: Duration,
}

impl Database {
    /// Returns the settings for the database at `url`, `postgres://user:password@host:port/database`.
    ///
    /// Name several hosts with commas between them. Pairs such as `host=/run/postgresql user=shop` are
    /// a URL too. Write characters such as `@` in a name or a password as `%40`.
    ///
    /// | `sslmode` | the connection |
    /// |---|---|
    /// | `require`, `verify-full` | by TLS, to a server whose certificate is trusted and is for the host in the URL: as [`tls`](Self::tls) |
    /// | none, `disable`, `prefer` | **without** TLS, unless you call [`tls`](Self::tls) |
    /// | another, such as `verify-ca` | an error |
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: ServerUrl::new(url.into()),
            login: None,
            tls: false,
            certificates: Vec::new(),
            client_certificate: None,
            pool_size: 4,
            provision: Provision::default(),
            timeout: Duration::from_secs(5),
        }
    }

    /// Logs in with this name and password, whatever the URL has.
    pub fn password(mut self, user: impl Into<String>, password: impl Into<String>) -> Self {
        self.login = Some((user.into(), Secret::new(password.into())));
        self
    }

    /// Connects by TLS or not at all, and trusts the authorities of the system. The certificate of the
    /// server must be for the host in the URL.
    pub const fn tls(mut self) -> Self {
        self.tls = true;
        self
    }

    /// Trusts the authorities in this PEM file, instead of those of the system. Connects by TLS or
    /// not at all.
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.certificates.push(path.into());
        self.tls()
    }

    /// Shows the server this certificate and its key, both PEM files. Connects by TLS or not at
    /// all.
    pub fn client_certificate(
        mut self,
        certificate: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        self.client_certificate = Some((certificate.into(), key.into()));
        self.tls()
    }

    /// Sets how many connections a store has at most: 4 by default. One is busy with writing, the
    /// others read.
    pub const fn pool_size(mut self, connections: usize) -> Self {
        self.pool_size = connections;
        self
    }

    /// Sets what a connect does about a missing table: [`Provision::Check`] by default.
    pub const fn provision(mut self, provision: Provision) -> Self {
        self.provision = provision;
        self
    }

    /// Sets how long an operation waits for the server, also while it restarts: 5 s by default.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout.min(FOR_EVER);
        self
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Database")
            .field("url", &self.url)
            .field("tls", &self.tls)
            .field("pool_size", &self.pool_size)
            .field("provision", &self.provision)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}
