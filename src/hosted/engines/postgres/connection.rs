//! Connections to one database: a pool that makes them again, and attempts until a deadline.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use core::future::Future;
use core::ops::{Deref, DerefMut};
use core::time::Duration;

use deadpool_postgres::{Client, Manager, ManagerConfig, Pool, QueueMode, RecyclingMethod};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tokio_postgres::Config;
use tokio_postgres::Socket;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres_rustls::MakeRustlsConnect;

use super::super::tls;
use super::database::Database;
use super::error::{Failure, PostgresError};

/// How long it waits until it connects again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// What drives a connection outside the pool.
pub(super) type Driven =
    tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

#[derive(Clone)]
pub(super) struct Connection {
    pool: Pool,
    config: Config,
    tls: MakeRustlsConnect,
    /// What errors call the server: its hosts and the database.
    server: Box<str>,
    timeout: Duration,
}

impl Connection {
    /// Reads the settings. It connects when it is used.
    pub(super) fn new(database: &Database) -> Result<Self, PostgresError> {
        Self::with(database, "")
    }

    /// Reads the settings, with options for each session, as `postgres` takes them on its command line. Those
    /// of the URL come after them.
    pub(super) fn with(database: &Database, options: &str) -> Result<Self, PostgresError> {
        // What the client says of a URL may quote a password.
        let wrong = |what: &str| {
            PostgresError::Settings(alloc::format!("`{}` {what}", database.url).into())
        };
        if database.pool_size == 0 {
            let why = "a pool of 0 connections never answers: give it 1 or more";
            return Err(PostgresError::Settings(why.into()));
        }
        let url = database.url.expose().replace("sslmode=verify-full", "sslmode=require");
        let mut config: Config = url.parse().map_err(|error| wrong(&fault(&url, &error)))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(wrong("names no host"));
        }
        let is_login = |host: &Host| matches!(host, Host::Tcp(host) if host.contains('@'));
        if config.get_hosts().iter().any(is_login) {
            return Err(wrong("has an `@` in the name or the password: write it as `%40`"));
        }
        if let Some((user, password)) = &database.login {
            config.user(user).password(password.expose());
        }
        let wants_tls = database.tls || config.get_ssl_mode() == SslMode::Require;
        // Either it is encrypted and the server is known, or it is not.
        config.ssl_mode(if wants_tls { SslMode::Require } else { SslMode::Disable });
        config.connect_timeout(database.timeout).tcp_user_timeout(database.timeout);
        if config.get_application_name().is_none() {
            config.application_name("tickbus");
        }
        if !options.is_empty() {
            let all = alloc::format!("{options} {}", config.get_options().unwrap_or(""));
            config.options(all.trim_end());
        }
        let client = database.client_certificate.as_ref();
        let tls = tls::config(&database.certificates, client, wants_tls)
            .map(MakeRustlsConnect::new)
            .map_err(|error| PostgresError::Settings(error.to_string().into()))?;
        let recycling_method = RecyclingMethod::Fast;
        let manager =
            Manager::from_config(config.clone(), tls.clone(), ManagerConfig { recycling_method });
        // The session used last has its plans and pages in the caches.
        let pool = Pool::builder(manager).max_size(database.pool_size).queue_mode(QueueMode::Lifo);
        let pool = pool.build();
        let pool = pool.map_err(|error| PostgresError::Settings(error.to_string().into()))?;
        let server = shown(&config);
        Ok(Self { pool, config, tls, server, timeout: database.timeout })
    }

    pub(super) fn server(&self) -> &str {
        &self.server
    }

    pub(super) const fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Begins an operation, which has the time of the settings.
    pub(super) fn attempts(&self) -> Attempts<'_> {
        self.attempts_until(Instant::now() + self.timeout)
    }

    pub(super) const fn attempts_until(&self, deadline: Instant) -> Attempts<'_> {
        Attempts { connection: self, deadline, pause: FIRST_PAUSE, is_again: false }
    }

    /// Returns what an error of a connection says.
    pub(super) fn error(&self, error: &tokio_postgres::Error) -> PostgresError {
        match Failure::of(error, &self.server) {
            Failure::Passing(error) | Failure::Lasting(error) => error,
        }
    }

    /// Opens a connection that is not of the pool. The second part drives it, and has its messages.
    pub(super) async fn session(&self) -> Result<(tokio_postgres::Client, Driven), PostgresError> {
        match timeout(self.timeout, self.config.connect(self.tls.clone())).await {
            Ok(Ok(session)) => Ok(session),
            Ok(Err(error)) => Err(self.error(&error)),
            Err(_) => Err(PostgresError::TimedOut),
        }
    }

    pub(super) fn is_closed(&self) -> bool {
        self.pool.is_closed()
    }

    /// Ends the connections, those in use when they are given back.
    pub(super) fn close(&self) {
        self.pool.close();
    }
}

/// The attempts of one operation: each on a connection that works, until one is answered.
pub(super) struct Attempts<'a> {
    connection: &'a Connection,
    deadline: Instant,
    pause: Duration,
    is_again: bool,
}

impl Attempts<'_> {
    /// Returns whether an attempt before this one may have succeeded.
    pub(super) const fn is_again(&self) -> bool {
        self.is_again
    }

    /// Waits for a connection.
    pub(super) async fn client(&mut self) -> Result<Lent, PostgresError> {
        let mut last = PostgresError::TimedOut;
        loop {
            match timeout_at(self.deadline, self.connection.pool.get()).await {
                Ok(Ok(client)) => return Ok(Lent(Some(client))),
                Ok(Err(error)) => match Failure::of_pool(error, &self.connection.server) {
                    Failure::Passing(error) => last = error,
                    Failure::Lasting(error) => return Err(error),
                },
                Err(_) => return Err(last),
            }
            self.pause(&last).await?;
        }
    }

    /// Waits for the answer to a question on `client`. Returns `None` if it is worth another attempt.
    pub(super) async fn answer<T>(
        &mut self,
        question: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<Option<T>, PostgresError> {
        let error = match timeout_at(self.deadline, question).await {
            Ok(Ok(answer)) => return Ok(Some(answer)),
            Ok(Err(error)) => error,
            Err(_) => return Err(PostgresError::TimedOut),
        };
        match Failure::of(&error, &self.connection.server) {
            Failure::Passing(error) => {
                self.is_again = true;
                self.pause(&error).await?;
                Ok(None)
            }
            Failure::Lasting(error) => Err(error),
        }
    }

    async fn pause(&mut self, error: &PostgresError) -> Result<(), PostgresError> {
        if Instant::now() + self.pause >= self.deadline {
            return Err(error.clone());
        }
        sleep(self.pause).await;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        Ok(())
    }
}

/// A connection of the pool. Dropped without [`give_back`](Self::give_back), it ends: it may be busy with an
/// answer for which the client does not wait any more.
pub(super) struct Lent(Option<Client>);

impl Lent {
    /// Gives it back to the pool, if the answer has come.
    pub(super) fn give_back<T>(mut self, answer: &Result<T, PostgresError>) {
        if !matches!(answer, Err(PostgresError::TimedOut)) {
            drop(self.0.take());
        }
    }
}

impl Deref for Lent {
    type Target = Client;

    fn deref(&self) -> &Client {
        self.0.as_ref().expect("it is taken when this ends")
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Client {
        self.0.as_mut().expect("it is taken when this ends")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(client) = self.0.take() {
            drop(Client::take(client));
        }
    }
}

/// Returns what is wrong with a URL. A part of it that may be secret is not in the text.
fn fault(url: &str, error: &tokio_postgres::Error) -> String {
    let of_postgres = ["postgres://", "postgresql://"].iter().any(|it| url.starts_with(it));
    let why = core::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    // A password with an `@` may go on in what is taken for a key.
    let is_clear = of_postgres && url.matches('@').count() < 2;
    let why = match why {
        _ if !of_postgres && url.contains("://") => "the scheme is not `postgres`".into(),
        why if why.starts_with("invalid value") || why.starts_with("unknown") && is_clear => why,
        _ => "see `Database::new`".into(),
    };
    alloc::format!("is not the URL of a Postgres database: {why}")
}

fn shown(config: &Config) -> Box<str> {
    let mut shown = String::new();
    for (at, host) in config.get_hosts().iter().enumerate() {
        let port = config.get_ports();
        let port = port.get(at).or(port.first()).copied().unwrap_or(5432);
        let comma = if at == 0 { "" } else { "," };
        shown += &match host {
            Host::Tcp(host) => alloc::format!("{comma}{host}:{port}"),
            Host::Unix(path) => alloc::format!("{comma}{}", path.display()),
        };
    }
    if let Some(name) = config.get_dbname() {
        shown += &alloc::format!("/{name}");
    }
    alloc::format!("`{shown}`").into()
}
