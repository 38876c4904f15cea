//! Connections: how they are made, and the one that everything but blocking reads shares.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use redis::aio::{MultiplexedConnection, PubSub};
use redis::{AsyncConnectionConfig, Cmd, ConnectionAddr, Pipeline, RedisConnectionInfo, Value};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::reply::{bytes, error, field, has_code, int, no_entry, text};
use super::scripts;
use super::settings::Settings;
use crate::hosted::engines::failed::{Failed, disconnected, no_answer, refused};
use crate::hosted::engines::tls;
use crate::hosted::{Health, Reason};
use crate::sync::Lock;

/// How many bytes a field may have if the server does not say.
const LIMIT: usize = 512 << 20;
/// The oldest server that counts what a stream had and a group has received.
const OLDEST: u32 = 7;
const LOGIN: &str = ": call `login` or `password`, or put the password into the URL";

pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Socket for S {}

/// Where a server is, and who we are there.
pub(super) struct Target {
    address: ConnectionAddr,
    login: RedisConnectionInfo,
    tls: Option<TlsConnector>,
    pub(super) timeout: Duration,
    pub(super) shown: String,
    needs_streams: bool,
}

/// Reads and writes for a connection, and ends it when it is dropped.
pub(super) struct Driver(JoinHandle<()>);

impl Driver {
    /// Waits until there is no connection any more.
    pub(super) async fn ended(&mut self) {
        let _ = (&mut self.0).await;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A connection of its own for a command that waits.
pub(super) struct Own {
    pub(super) connection: MultiplexedConnection,
    _driver: Driver,
    /// What the server calls it.
    pub(super) client: i64,
}

impl Own {
    /// Sends a command that does not wait. Returns an error if that is the answer.
    pub(super) async fn ask(&mut self, ask: &Cmd, patience: Duration) -> Result<Value, Reason> {
        let answer = timeout(patience, self.connection.send_packed_command(ask)).await;
        let answer = answer.map_err(|_| Reason::TimedOut)?;
        let answer = answer.map_err(|error| disconnected(error.to_string()))?;
        match error(&answer) {
            Some((_, why)) => Err(refused(why)),
            None => Ok(answer),
        }
    }
}

/// The connection that is shared, and what its server said.
#[derive(Clone)]
pub(super) struct Up {
    pub(super) connection: MultiplexedConnection,
    /// Whether the server has each write on its disk before it answers.
    pub(super) syncs: bool,
    /// How many bytes a field may have.
    pub(super) limit: usize,
    /// Which server it is, and since when.
    pub(super) server: Arc<str>,
}

impl Target {
    pub(super) fn new(settings: &Settings) -> Result<Self, Reason> {
        settings.check().map_err(refused)?;
        let info = settings.connection().ok_or_else(|| refused("the URL is not valid"))?;
        let address = info.addr().clone();
        if settings.is_unchecked(&address) {
            return Err(refused("the URL wants TLS without a check of the server: remove that"));
        }
        let tls = if settings.wants_tls(&address) {
            let client = settings.client_certificate.as_ref();
            let config = tls::config(&settings.certificates, client, true).map_err(refused)?;
            Some(TlsConnector::from(Arc::new(config)))
        } else {
            None
        };
        Ok(Self {
            shown: settings.shown_address(&address),
            address,
            login: info.redis_settings().clone(),
            tls,
            timeout: settings.timeout,
            needs_streams: settings.stream.is_some(),
        })
    }

    async fn socket(&self) -> Result<Box<dyn Socket>, Reason> {
        let lost =
            |error: &dyn core::fmt::Display| disconnected(format!("`{}`: {error}", self.shown));
        let (host, port) = match &self.address {
            ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
                (host, *port)
            }
            #[cfg(unix)]
            ConnectionAddr::Unix(path) => {
                let stream = tokio::net::UnixStream::connect(path).await;
                return Ok(Box::new(stream.map_err(|error| lost(&error))?));
            }
            _ => return Err(refused(format!("`{}` is not supported here", self.shown))),
        };
        let stream = TcpStream::connect((&**host, port)).await.map_err(|error| lost(&error))?;
        let _ = stream.set_nodelay(true);
        let Some(connector) = &self.tls else { return Ok(Box::new(stream)) };
        let name = ServerName::try_from(host.clone()).map_err(refused)?;
        match connector.connect(name, stream).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(error) => Err(tls::failed(&self.shown, &error)),
        }
    }

    async fn in_time<T>(&self, made: impl Future<Output = Result<T, Reason>>) -> Result<T, Reason> {
        match timeout(self.timeout, made).await {
            Ok(made) => made,
            Err(_) => Err(no_answer(&self.shown, self.tls.is_some())),
        }
    }

    async fn connect(&self) -> Result<(MultiplexedConnection, Driver), Reason> {
        // How long to wait is decided by each command.
        let config = AsyncConnectionConfig::new().set_response_timeout(None);
        let socket = self.socket().await?;
        let made = MultiplexedConnection::new_with_config(&self.login, socket, config).await;
        let (connection, driver) = made.map_err(|error| self.no_entry(&error))?;
        Ok((connection, Driver(tokio::spawn(driver))))
    }

    fn no_entry(&self, error: &redis::RedisError) -> Reason {
        let hint = if error.is_io_error() && self.tls.is_none() {
            // A server of TLS says nothing that can be read, and hangs up.
            format!("`{}`: {error}: does it want TLS, as in `rediss://`?", self.shown)
        } else {
            return no_entry(error);
        };
        disconnected(hint)
    }

    /// Connects for commands that wait.
    pub(super) async fn own(&self) -> Result<Own, Reason> {
        self.in_time(async {
            let (mut connection, driver) = self.connect().await?;
            let client = connection.send_packed_command(Cmd::new().arg("CLIENT").arg("ID")).await;
            let client = client.map_err(|error| no_entry(&error))?;
            // A user who may not ask does without.
            Ok(Own { connection, _driver: driver, client: int(&client).unwrap_or(-1) })
        })
        .await
    }

    /// Connects to hear what others publish.
    pub(super) async fn pub_sub(&self) -> Result<PubSub, Reason> {
        self.in_time(async {
            let made = PubSub::new(&self.login, self.socket().await?).await;
            made.map_err(|error| self.no_entry(&error))
        })
        .await
    }

    /// Connects for everything else, and asks the server what it can.
    pub(super) async fn shared(&self) -> Result<(Up, Driver), Reason> {
        self.in_time(async {
            let (mut connection, driver) = self.connect().await?;
            let mut ask = Pipeline::new();
            ask.cmd("INFO").arg("server").cmd("INFO").arg("persistence");
            ask.cmd("CONFIG").arg("GET").arg("appendfsync");
            ask.cmd("CONFIG").arg("GET").arg("proto-max-bulk-len").cmd("PING");
            for load in scripts::load() {
                ask.add_command(load);
            }
            let said = connection.send_packed_commands(&ask, 0, ask.len()).await;
            let said = said.map_err(|error| no_entry(&error))?;
            let [server, persistence, sync, bulk, ping, loaded @ ..] = &said[..] else {
                return Err(refused("it does not answer as a server of Redis does"));
            };
            if let Some((code, mut why)) = error(ping) {
                if code == "NOAUTH" {
                    why += LOGIN;
                }
                let starts = matches!(code, "LOADING" | "MASTERDOWN");
                return Err(if starts { disconnected(why) } else { refused(why) });
            }
            if self.needs_streams {
                if let Some(version) = line(server, "redis_version:")
                    && version.split('.').next().and_then(|it| it.parse().ok()) < Some(OLDEST)
                {
                    let why = format!("the server is of version {version}: a stream needs 7.0");
                    return Err(refused(why));
                }
                if let Some((_, why)) = loaded.iter().find_map(error) {
                    return Err(refused(why));
                }
            }
            let appends = line(persistence, "aof_enabled:").as_deref() == Some("1");
            let always = field(sync, "appendfsync").and_then(bytes) == Some(b"always");
            let limit = field(bulk, "proto-max-bulk-len").and_then(int);
            let limit = limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(LIMIT);
            // One that does not say is another one each time.
            let other = || uuid::Uuid::now_v7().simple().to_string();
            let server = line(server, "run_id:").unwrap_or_else(other).into();
            Ok((Up { connection, syncs: appends && always, limit, server }, driver))
        })
        .await
    }
}

/// Returns what follows a name in the lines of an answer.
fn line(value: &Value, name: &str) -> Option<String> {
    text(value).lines().find_map(|line| line.strip_prefix(name)).map(ToString::to_string)
}

/// The shared connection while it is there.
pub(super) struct Link {
    state: Lock<State>,
    /// Wakes the one that makes it anew: the server takes no writes any more.
    pub(super) demoted: Notify,
    /// Changes when the connection comes or goes.
    pub(super) changes: watch::Sender<u64>,
    timeout: Duration,
    /// What errors call the server.
    shown: String,
}

enum State {
    Up(Up),
    Down(Arc<str>),
    Ended,
}

impl Link {
    pub(super) fn new(up: Up, timeout: Duration, shown: String) -> Self {
        let changes = watch::Sender::new(0);
        let state = Lock::new(State::Up(up));
        Self { state, demoted: Notify::new(), changes, timeout, shown }
    }

    fn set(&self, state: State) {
        let mut own = self.state.lock();
        if let State::Ended = *own {
            return;
        }
        let before = core::mem::replace(&mut *own, state);
        drop(own);
        drop(before);
        self.changes.send_modify(|changes| *changes += 1);
    }

    pub(super) fn is_up(&self, up: Up) {
        self.set(State::Up(up));
    }

    pub(super) fn is_down(&self, why: &str) {
        let why = match why.contains(&self.shown) {
            true => why.into(),
            false => format!("`{}`: {why}", self.shown).into(),
        };
        self.set(State::Down(why));
    }

    pub(super) fn end(&self) {
        self.set(State::Ended);
    }

    pub(super) fn up(&self) -> Result<Up, Reason> {
        match &*self.state.lock() {
            State::Up(up) => Ok(up.clone()),
            State::Down(why) => {
                Err(disconnected(format!("it was lost, and is being made again: {why}")))
            }
            State::Ended => Err(Reason::Closed),
        }
    }

    /// Returns which server it is. Empty while there is none.
    pub(super) fn server(&self) -> Arc<str> {
        match &*self.state.lock() {
            State::Up(up) => up.server.clone(),
            State::Down(_) | State::Ended => "".into(),
        }
    }

    /// Returns an error if nothing can be sent now.
    pub(super) fn check(&self) -> Result<(), Reason> {
        match &*self.state.lock() {
            State::Up(_) => Ok(()),
            State::Down(why) => Err(disconnected(format!("it was lost: {why}"))),
            State::Ended => Err(Reason::Closed),
        }
    }

    pub(super) fn health(&self) -> Health {
        match &*self.state.lock() {
            State::Up(_) => Health::Up,
            State::Down(why) => Health::Down(why.clone()),
            State::Ended => Health::Closed,
        }
    }

    /// Sends one command, and waits for its answer.
    pub(super) async fn send(&self, command: Cmd) -> Result<Value, Failed> {
        let mut up = self.up().map_err(Failed::NotSent)?;
        let answer = timeout(self.timeout, up.connection.send_packed_command(&command)).await;
        match answer {
            Ok(Ok(value)) if has_code(&value, "NOSCRIPT") => {
                let mut one = Pipeline::with_capacity(1);
                one.add_command(command);
                let values = self.send_all(one).await?;
                values.into_iter().next().ok_or(Failed::Unknown(Reason::TimedOut))
            }
            Ok(Ok(value)) => {
                self.check_role(&value);
                Ok(value)
            }
            Ok(Err(error)) => Err(Failed::Unknown(disconnected(error.to_string()))),
            Err(_) => Err(Failed::Unknown(Reason::TimedOut)),
        }
    }

    /// Sends several commands at once, and waits for the answer to each.
    pub(super) async fn send_all(&self, commands: Pipeline) -> Result<Vec<Value>, Failed> {
        let mut up = self.up().map_err(Failed::NotSent)?;
        let mut values = self.pipeline(&mut up, &commands).await?;
        values.iter().for_each(|value| self.check_role(value));
        let lacks = |value: &Value| has_code(value, "NOSCRIPT");
        if values.iter().any(lacks) {
            // The server has forgotten the scripts.
            let mut again = Pipeline::new();
            for load in scripts::load() {
                again.add_command(load);
            }
            let loads = again.len();
            for (command, _) in commands.cmd_iter().zip(&values).filter(|(_, it)| lacks(it)) {
                again.add_command(command.clone());
            }
            let repeated = self.pipeline(&mut up, &again).await?;
            let lacking = values.iter_mut().filter(|value| lacks(value));
            for (value, repeated) in lacking.zip(repeated.into_iter().skip(loads)) {
                *value = repeated;
            }
        }
        Ok(values)
    }

    /// After a failover, another server may have the name of this one.
    fn check_role(&self, value: &Value) {
        if has_code(value, "READONLY") {
            self.demoted.notify_one();
        }
    }

    async fn pipeline(&self, up: &mut Up, commands: &Pipeline) -> Result<Vec<Value>, Failed> {
        let answer = up.connection.send_packed_commands(commands, 0, commands.len());
        match timeout(self.timeout, answer).await {
            Ok(Ok(values)) if values.len() == commands.len() => Ok(values),
            Ok(Ok(_)) => Err(Failed::Unknown(disconnected("some answers are missing"))),
            Ok(Err(error)) => Err(Failed::Unknown(disconnected(error.to_string()))),
            Err(_) => Err(Failed::Unknown(Reason::TimedOut)),
        }
    }
}
