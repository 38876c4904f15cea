//! Why a server has not done what it was asked for, and whether it may have.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt::Display;

use crate::envelope::Envelope;
use crate::hosted::EngineError;
use crate::hosted::{BoxError, Reason};

/// Whether what was sent may have had an effect, and why that is not certain.
#[derive(Debug)]
pub(in crate::hosted::engines) enum Failed {
    NotSent(Reason),
    Unknown(Reason),
}

impl Failed {
    pub(in crate::hosted::engines) fn of(
        self,
        engine: &Arc<str>,
        envelope: Arc<Envelope>,
    ) -> EngineError {
        match self {
            Self::NotSent(reason) => EngineError::not_sent(engine, envelope, reason),
            Self::Unknown(reason) => EngineError::unknown(engine, envelope, reason),
        }
    }

    /// Returns the failure for another envelope of the same batch.
    pub(in crate::hosted::engines) fn again(&self) -> Self {
        match self {
            Self::NotSent(reason) => Self::NotSent(again(reason)),
            Self::Unknown(reason) => Self::Unknown(again(reason)),
        }
    }

    pub(in crate::hosted::engines) fn reason(self) -> Reason {
        match self {
            Self::NotSent(reason) | Self::Unknown(reason) => reason,
        }
    }
}

/// Returns a reason a second time.
pub(in crate::hosted::engines) fn again(reason: &Reason) -> Reason {
    match reason {
        Reason::TimedOut => Reason::TimedOut,
        Reason::Closed => Reason::Closed,
        Reason::Disconnected(error) => disconnected(error.to_string()),
        Reason::Refused(error) => refused(error.to_string()),
        other => refused(other.to_string()),
    }
}

/// Returns why there is no connection. The caller says that there is none.
pub(in crate::hosted::engines) fn cause(reason: &Reason) -> String {
    match reason {
        Reason::Disconnected(error) => error.to_string(),
        other => other.to_string(),
    }
}

/// Returns the reason of a connection that was not made in time to `server`.
///
/// A server without TLS may wait for the rest of what it takes for a command.
pub(in crate::hosted::engines) fn no_answer(server: impl Display, wants_tls: bool) -> Reason {
    let hint = if wants_tls { IS_TLS } else { "" };
    disconnected(format!("`{server}`: {}{hint}", Reason::TimedOut))
}

/// Asks what may be why a server said nothing to the start of a handshake.
pub(in crate::hosted::engines) const IS_TLS: &str =
    ": does the server speak TLS? If not, remove `tls`, and use the URL of a plain connection";

pub(in crate::hosted::engines) fn refused(error: impl Into<BoxError>) -> Reason {
    Reason::Refused(error.into())
}

pub(in crate::hosted::engines) fn disconnected(error: impl Into<BoxError>) -> Reason {
    Reason::Disconnected(error.into())
}
