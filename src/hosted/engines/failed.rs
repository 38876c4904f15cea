//! Why a server has not done what it was asked for, and whether it may have.

use alloc::string::ToString;
use alloc::sync::Arc;

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

pub(in crate::hosted::engines) fn refused(error: impl Into<BoxError>) -> Reason {
    Reason::Refused(error.into())
}

pub(in crate::hosted::engines) fn disconnected(error: impl Into<BoxError>) -> Reason {
    Reason::Disconnected(error.into())
}
