//! What went wrong at a database: [`PostgresError`].

use alloc::boxed::Box;
use alloc::string::String;
use core::error::Error;
use core::fmt;

use deadpool_postgres::PoolError;
use tokio_postgres::error::SqlState;

use crate::hosted::store::StoreError;

/// A database did not do what you asked. No text of it has a password.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostgresError {
    /// The settings are not possible. The text says why.
    Settings(Box<str>),
    /// The connection failed. The text says to what, and why.
    Disconnected(Box<str>),
    /// There was no answer in time. A change may have been made.
    TimedOut,
    /// The server refused.
    #[non_exhaustive]
    Refused {
        /// The code of the reason, five characters: `SQLSTATE`.
        code: Box<str>,
        /// What the server says.
        message: Box<str>,
    },
    /// The table is missing, or has other columns. The text says which.
    Table(Box<str>),
    /// This field has the character NUL, which Postgres cannot keep.
    Nul(&'static str),
    /// The server answered what the client does not understand.
    Answer(Box<str>),
    /// The store or the relay is closed.
    Closed,
}

impl fmt::Display for PostgresError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(why) | Self::Table(why) => f.pad(why),
            Self::Disconnected(why) => write!(f, "there is no connection to {why}"),
            Self::TimedOut => f.pad("Postgres did not answer in time"),
            Self::Refused { code, message } => write!(f, "Postgres refused: {message} ({code})"),
            Self::Nul(field) => {
                write!(f, "Postgres cannot keep the character NUL, which `{field}` has")
            }
            Self::Answer(why) => write!(f, "Postgres answered what is not understood: {why}"),
            Self::Closed => f.pad("it is closed"),
        }
    }
}

impl Error for PostgresError {}

impl From<PostgresError> for StoreError {
    fn from(error: PostgresError) -> Self {
        match error {
            PostgresError::Closed => Self::Closed,
            other => Self::Failed(Box::new(other)),
        }
    }
}

/// An error of the client, and what can be done about it.
pub(super) enum Failure {
    /// The connection is lost, or the server had to give up: another attempt may succeed.
    Passing(PostgresError),
    /// The same again would fail again.
    Lasting(PostgresError),
}

impl Failure {
    /// Sorts an error of a connection to `server`.
    pub(super) fn of(error: &tokio_postgres::Error, server: &str) -> Self {
        if let Some(refused) = error.as_db_error() {
            let error = refusal(refused);
            return if passes(refused.code()) {
                Self::Passing(error)
            } else {
                Self::Lasting(error)
            };
        }
        let text = with_sources(error);
        if text.contains("server does not support TLS") {
            let why = "the server does not speak TLS: remove `tls` or `sslmode`";
            return Self::Lasting(PostgresError::Settings(
                alloc::format!("{server}: {why}").into(),
            ));
        }
        if text.contains("password missing") {
            let why = "the server wants a password: call `login` of the log or `password` of the \
                       database, or put it into the URL";
            return Self::Lasting(PostgresError::Settings(
                alloc::format!("{server}: {why}").into(),
            ));
        }
        if error.is_closed() || is_io(error) {
            Self::Passing(PostgresError::Disconnected(alloc::format!("{server}: {text}").into()))
        } else {
            Self::Lasting(PostgresError::Answer(text.into()))
        }
    }

    /// Sorts an error of the pool.
    pub(super) fn of_pool(error: PoolError, server: &str) -> Self {
        match error {
            PoolError::Backend(error) => Self::of(&error, server),
            PoolError::Timeout(_) => Self::Lasting(PostgresError::TimedOut),
            PoolError::Closed => Self::Lasting(PostgresError::Closed),
            other => Self::Lasting(PostgresError::Settings(alloc::format!("{other}").into())),
        }
    }
}

fn refusal(refused: &tokio_postgres::error::DbError) -> PostgresError {
    let mut message = String::from(refused.message());
    if let Some(detail) = refused.detail() {
        message = alloc::format!("{message}: {detail}");
    }
    if message.contains("no encryption") {
        message.push_str(" (it wants TLS: call `tls`)");
    }
    PostgresError::Refused { code: refused.code().code().into(), message: message.into() }
}

/// Whether a refusal is of this moment: a connection that ends, a server that starts or stops, another
/// transaction in the way.
fn passes(code: &SqlState) -> bool {
    code.code().starts_with("08")
        || [
            SqlState::ADMIN_SHUTDOWN,
            SqlState::CRASH_SHUTDOWN,
            SqlState::CANNOT_CONNECT_NOW,
            SqlState::TOO_MANY_CONNECTIONS,
            SqlState::T_R_SERIALIZATION_FAILURE,
            SqlState::T_R_DEADLOCK_DETECTED,
        ]
        .contains(code)
}

/// Whether a refusal is of one of several rows: their sizes, their texts.
pub(super) fn is_of_a_row(error: &PostgresError) -> bool {
    match error {
        PostgresError::Refused { code, .. } => {
            ["22", "23", "54"].iter().any(|class| code.starts_with(class))
        }
        PostgresError::Nul(_) => true,
        _ => false,
    }
}

/// Errors of TLS are none: rustls says by `InvalidData` that it refuses the server.
fn is_io(error: &tokio_postgres::Error) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<std::io::Error>() {
            return error.kind() != std::io::ErrorKind::InvalidData;
        }
        source = error.source();
    }
    false
}

/// The client says what kind of error it is, and its sources say the rest.
fn with_sources(error: &dyn Error) -> String {
    let mut text = alloc::format!("{error}");
    let mut source = error.source();
    while let Some(error) = source {
        text = alloc::format!("{text}: {error}");
        source = error.source();
    }
    text
}
