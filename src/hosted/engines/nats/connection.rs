//! One connection, which the client keeps up: how it is made, what it says of itself, how it ends.

use alloc::collections::BTreeMap;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::future::poll_fn;
use core::pin::{Pin, pin};
use core::task::{Context, Poll, Waker};
use core::time::Duration;
use std::sync::MutexGuard;

use async_nats::connection::State;
use async_nats::jetstream::{self, stream};
use async_nats::{
    Client, ConnectErrorKind, ConnectOptions, Event, ServerAddr, Subject, Subscriber,
};
use bytes::Bytes;
use futures_core::Stream;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, timeout};

use super::settings::{Login, Settings, without_login};
use crate::hosted::engines::failed::{disconnected, no_answer, refused};
use crate::hosted::engines::limits::{FOR_EVER, SHORTEST_HEARTBEAT};
use crate::hosted::engines::server::Connected;
use crate::hosted::engines::url::decoded;
use crate::hosted::engines::{filter, tls};
use crate::hosted::provision::Provision;
use crate::hosted::{Health, Reason};
use crate::sync::{Lock, Relaxed};

/// What the client has told since it was made.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Signal {
    /// How often it lost messages because a subscription was slow.
    pub(super) slow: u64,
    /// The engine is being shut down.
    pub(super) closed: bool,
    /// It is shut down.
    ended: bool,
    /// Changes with each event, to wake those that look at the connection.
    events: u64,
}

pub(super) struct Connection {
    pub(super) client: Client,
    /// What errors call the server.
    server: String,
    pub(super) context: jetstream::Context,
    pub(super) stream: Option<String>,
    pub(super) timeout: Duration,
    pub(super) heartbeat: Duration,
    pub(super) runtime: Handle,
    pub(super) signals: watch::Sender<Signal>,
    pub(super) settle: mpsc::UnboundedSender<Outgoing>,
    echoes: Arc<Echoes>,
    /// Hears the echoes. It keeps the client alive.
    hears: AbortHandle,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.hears.abort();
    }
}

/// Messages to ourselves that are on their way.
struct Echoes {
    inbox: Subject,
    waiting: Lock<(u64, BTreeMap<u64, oneshot::Sender<()>>)>,
}

impl Echoes {
    fn waiting(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, oneshot::Sender<()>>)> {
        self.waiting.lock()
    }

    fn expect(&self) -> (u64, oneshot::Receiver<()>) {
        let (echo, came) = oneshot::channel();
        let mut waiting = self.waiting();
        waiting.0 += 1;
        let number = waiting.0;
        waiting.1.insert(number, echo);
        (number, came)
    }

    fn forget(&self, number: u64) -> Option<oneshot::Sender<()>> {
        self.waiting().1.remove(&number)
    }

    async fn hear(self: Arc<Self>, mut inbound: Subscriber) {
        while let Some(message) = next(&mut inbound).await {
            let number = core::str::from_utf8(&message.payload).ok().and_then(|it| it.parse().ok());
            if let Some(echo) = number.and_then(|number| self.forget(number)) {
                let _ = echo.send(());
            }
        }
        // Those that wait are told by dropping their senders.
        self.waiting().1.clear();
    }
}

/// What goes to the server without an answer.
pub(super) enum Outgoing {
    /// An answer to a delivery. It is thrown away after its deadline.
    Settle { to: Subject, payload: Bytes, before: Instant },
    /// Everything before it has been handed to the client.
    Flush(oneshot::Sender<()>),
}

impl Connected for Connection {
    type Settings = Settings;

    async fn open(name: &Arc<str>, settings: &Settings) -> Result<Arc<Self>, Reason> {
        let signals = watch::Sender::new(Signal::default());
        let client = match &settings.client {
            Some(client) => client.clone(),
            None => connect(name, settings, &signals).await?,
        };
        let context = jetstream::context::ContextBuilder::new()
            .timeout(settings.timeout.min(FOR_EVER))
            .build(client.clone());
        let (settle, settlements) = mpsc::unbounded_channel();
        let inbox = Subject::from(client.new_inbox());
        let inbound = client.subscribe(inbox.clone()).await.map_err(disconnected)?;
        let echoes = Arc::new(Echoes { inbox, waiting: Lock::default() });
        let hears = tokio::spawn(echoes.clone().hear(inbound)).abort_handle();
        let server = match &settings.client {
            Some(client) => client.server_info().host,
            None => without_login(&settings.url),
        };
        let connection = Self {
            client,
            server,
            context,
            stream: settings.stream.clone(),
            timeout: settings.timeout.min(FOR_EVER),
            heartbeat: settings.heartbeat.max(SHORTEST_HEARTBEAT),
            runtime: Handle::current(),
            signals,
            settle,
            echoes,
            hears,
        };
        connection.provide(settings).await?;
        tokio::spawn(settle_all(connection.client.clone(), settlements));
        Ok(Arc::new(connection))
    }

    fn close(&self) {
        self.signals.send_modify(|signal| signal.closed = true);
    }

    async fn finish(&self, deadline: Duration) -> Result<(), Reason> {
        let (done, flushed) = oneshot::channel();
        let _ = self.settle.send(Outgoing::Flush(done));
        let flush = async {
            let _ = flushed.await;
            self.check_connected()?;
            self.client.flush().await.map_err(disconnected)
        };
        let result = timeout(deadline, flush).await.unwrap_or(Err(Reason::TimedOut));
        self.signals.send_modify(|signal| signal.ended = true);
        // Ends the client, however the flush went.
        let _ = self.client.drain().await;
        result
    }
}

impl Connection {
    /// Sees to the stream, as the settings say.
    async fn provide(&self, settings: &Settings) -> Result<(), Reason> {
        let Some(name) = &settings.stream else { return Ok(()) };
        let stream = match settings.provision {
            Provision::Never => return Ok(()),
            Provision::Check => self.context.get_stream(name).await.map_err(refused)?,
            Provision::Create => {
                let config = stream::Config {
                    name: name.clone(),
                    subjects: settings.subjects.clone(),
                    num_replicas: settings.replicas,
                    max_age: settings.max_age.min(FOR_EVER),
                    storage: match settings.in_memory {
                        true => stream::StorageType::Memory,
                        false => stream::StorageType::File,
                    },
                    ..Default::default()
                };
                self.context.get_or_create_stream(config).await.map_err(refused)?
            }
        };
        let taken = &stream.cached_info().config.subjects;
        let missing = |subject: &&String| !taken.iter().any(|wide| filter::covers(wide, subject));
        match settings.subjects.iter().find(missing) {
            Some(subject) => Err(refused(alloc::format!(
                "the stream `{name}` takes {taken:?}, which does not cover `{subject}`"
            ))),
            None => Ok(()),
        }
    }

    /// Waits until the server has processed everything that was sent before: it reads the messages of
    /// one connection in their order, and sends this one back.
    pub(super) async fn confirm(&self) -> Result<(), Reason> {
        let (number, echo) = self.echoes.expect();
        let send = self.client.publish(self.echoes.inbox.clone(), number.to_string().into());
        let result = match send.await {
            Err(error) => Err(disconnected(error)),
            Ok(()) => match timeout(self.timeout, echo).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => Err(Reason::Closed),
                Err(_) => Err(Reason::TimedOut),
            },
        };
        self.echoes.forget(number);
        result
    }

    /// Confirms what was sent since there were so many connects. Another connection knows nothing of
    /// what the one before had not read.
    pub(super) async fn confirm_since(&self, connects: u64) -> Result<(), Reason> {
        self.confirm().await?;
        if self.connects() == connects {
            Ok(())
        } else {
            Err(self.lost(" before everything was confirmed"))
        }
    }

    /// Returns an error while there is no connection: the client would keep a message and send it
    /// later.
    pub(super) fn check(&self) -> Result<(), Reason> {
        if self.signals.borrow().closed {
            return Err(Reason::Closed);
        }
        match self.client.connection_state() {
            State::Connected => Ok(()),
            _ => Err(self.lost(", and is being made again")),
        }
    }

    fn lost(&self, what: &str) -> Reason {
        disconnected(alloc::format!("`{}`: it was lost{what}", self.server))
    }

    /// Returns how often the client has connected.
    pub(super) fn connects(&self) -> u64 {
        self.client.statistics().connects.load(Relaxed)
    }

    /// Hands an answer to the client, which has room for thousands; else it waits its turn.
    pub(super) fn say(&self, to: Subject, payload: Vec<u8>, before: Instant) -> Result<(), Reason> {
        let payload = Bytes::from(payload);
        {
            let mut publish = pin!(self.client.publish(to.clone(), payload.clone()));
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(said) = publish.as_mut().poll(&mut context) {
                return said.map_err(disconnected);
            }
        }
        let outgoing = Outgoing::Settle { to, payload, before };
        self.settle.send(outgoing).map_err(|_| Reason::Closed)
    }

    pub(super) fn health(&self) -> Health {
        match self.client.connection_state() {
            State::Connected => Health::Up,
            State::Pending => Health::Connecting,
            State::Disconnected => Health::Down("the connection was lost".into()),
        }
    }

    /// Returns an error if answers to deliveries can no longer leave, or not now.
    pub(super) fn check_connected(&self) -> Result<(), Reason> {
        if self.signals.borrow().ended {
            return Err(Reason::Closed);
        }
        match self.client.connection_state() {
            State::Connected => Ok(()),
            _ => Err(self.lost("")),
        }
    }
}

/// Waits for the next message of a subscription. `None` is its end.
pub(super) async fn next(from: &mut Subscriber) -> Option<async_nats::Message> {
    poll_fn(|context| Pin::new(&mut *from).poll_next(context)).await
}

/// Hands to the client what must not wait where it was said.
async fn settle_all(client: Client, mut settlements: mpsc::UnboundedReceiver<Outgoing>) {
    while let Some(outgoing) = settlements.recv().await {
        match outgoing {
            Outgoing::Settle { to, payload, before } => {
                // The event may be in other hands by then, and comes again otherwise.
                if Instant::now() < before {
                    let _ = client.publish(to, payload).await;
                }
            }
            Outgoing::Flush(done) => drop(done.send(())),
        }
    }
}

async fn connect(
    name: &str,
    settings: &Settings,
    signals: &watch::Sender<Signal>,
) -> Result<Client, Reason> {
    let told = signals.clone();
    let client = settings.client_certificate.as_ref();
    let tls = tls::config(&settings.certificates, client, wants_tls(settings));
    let mut options = ConnectOptions::new()
        .name(name)
        .connection_timeout(settings.timeout.min(FOR_EVER))
        .request_timeout(Some(settings.timeout.min(FOR_EVER)))
        // The first sign of a connection that is silently dead. The second ends it.
        .ping_interval(settings.heartbeat.clamp(Duration::from_secs(1), FOR_EVER))
        .require_tls(settings.tls)
        .tls_client_config(tls.map_err(refused)?)
        .reconnect_delay_callback(|attempt| {
            let delay = Duration::from_millis(20) * (1 << attempt.min(6)) as u32;
            delay.min(Duration::from_secs(1))
        })
        .event_callback(move |event| {
            told.send_modify(|signal| {
                signal.events += 1;
                if let Event::SlowConsumer(_) = event {
                    signal.slow += 1;
                }
            });
            core::future::ready(())
        });
    let mut servers = Vec::new();
    for url in settings.url.split(',') {
        let server: ServerAddr = url.trim().parse().map_err(|_| {
            let url = without_login(&settings.url);
            refused(alloc::format!("`{url}` is not the URL of a server"))
        })?;
        servers.push(server);
    }
    options = match &settings.login {
        Login::Anonymous => match servers.iter().find_map(login_of) {
            Some((user, Some(password))) => options.user_and_password(user, password),
            Some((token, None)) => options.token(token),
            None => options,
        },
        Login::Password(user, password) => {
            options.user_and_password(user.clone(), password.clone())
        }
        Login::Token(token) => options.token(token.clone()),
        Login::Nkey(seed) => options.nkey(seed.clone()),
        Login::File(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                refused(alloc::format!("cannot read `{}`: {error}", path.display()))
            })?;
            // What is wrong with it may quote it.
            options
                .credentials(&text)
                .map_err(|_| refused("the file of credentials is not valid"))?
        }
    };
    let has_login = !matches!(settings.login, Login::Anonymous)
        || servers.iter().any(|it| it.username().is_some());
    options.connect(servers).await.map_err(|error| match error.kind() {
        ConnectErrorKind::TimedOut => no_answer(without_login(&settings.url), wants_tls(settings)),
        ConnectErrorKind::Io if is_of_tls(&error) && !wants_tls(settings) => {
            refused("it wants TLS: use a URL that begins with `tls://`, or call `tls`")
        }
        ConnectErrorKind::Io if is_of_tls(&error) => {
            let hint = io(&error).map_or("", tls::hint);
            refused(alloc::format!("`{}`: {error}{hint}", without_login(&settings.url)))
        }
        ConnectErrorKind::Io | ConnectErrorKind::Dns => {
            disconnected(alloc::format!("`{}`: {error}", without_login(&settings.url)))
        }
        ConnectErrorKind::AuthorizationViolation if !has_login => refused(alloc::format!(
            "{error}: call `password`, `token` or another login, or put it into the URL"
        )),
        _ => refused(error),
    })
}

/// What rustls says arrives as data that are not valid.
fn is_of_tls(error: &async_nats::ConnectError) -> bool {
    io(error).is_some_and(|error| error.kind() == std::io::ErrorKind::InvalidData)
}

fn io(error: &async_nats::ConnectError) -> Option<&std::io::Error> {
    core::error::Error::source(error).and_then(|source| source.downcast_ref())
}

/// Returns the login in a URL, which the client leaves alone: a name and a password, or a token.
fn login_of(server: &ServerAddr) -> Option<(String, Option<String>)> {
    Some((decoded(server.username()?), server.password().map(decoded)))
}

fn wants_tls(settings: &Settings) -> bool {
    settings.tls || settings.url.split(',').any(|url| url.trim().starts_with("tls://"))
}
