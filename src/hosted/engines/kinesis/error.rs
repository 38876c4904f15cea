//! What a server answers that is not what was asked for.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::error::Error;

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

use crate::envelope::Envelope;
use crate::hosted::engines::failed::{again, disconnected, refused};
use crate::hosted::{EngineError, Reason};

/// Why a request failed.
#[derive(Debug)]
pub(super) enum Failed {
    /// The request had no effect.
    NotSent(Reason),
    /// It may have had one.
    Unknown(Reason),
    /// It had no effect, and may have one later.
    Throttled(String),
    /// The stream or the shard is missing.
    Missing(String),
    /// The iterator is too old.
    Expired,
    /// The position is none of the shard.
    Invalid(String),
}

impl Failed {
    pub(super) fn of(self, engine: &Arc<str>, envelope: Arc<Envelope>) -> EngineError {
        match self {
            Self::Unknown(reason) => EngineError::unknown(engine, envelope, reason),
            other => EngineError::not_sent(engine, envelope, other.reason()),
        }
    }

    /// Returns the failure for another envelope of the same batch.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::NotSent(reason) => Self::NotSent(again(reason)),
            Self::Unknown(reason) => Self::Unknown(again(reason)),
            Self::Throttled(why) => Self::Throttled(why.clone()),
            Self::Missing(why) => Self::Missing(why.clone()),
            Self::Expired => Self::Expired,
            Self::Invalid(why) => Self::Invalid(why.clone()),
        }
    }

    pub(super) fn reason(self) -> Reason {
        match self {
            Self::NotSent(reason) | Self::Unknown(reason) => reason,
            Self::Throttled(why) => refused(format!("the limit of throughput is reached: {why}")),
            Self::Missing(why) | Self::Invalid(why) => refused(why),
            Self::Expired => refused("the iterator has expired"),
        }
    }
}

/// Returns what became of a request.
pub(super) fn failed<E>(error: SdkError<E, HttpResponse>) -> Failed
where
    E: ProvideErrorMetadata + Error + Send + Sync + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            let code = answer.err().code().unwrap_or_default();
            let text = shown(code, answer.err().message().unwrap_or_default());
            of_code(code, text, answer.raw().status().as_u16())
        }
        SdkError::TimeoutError(_) => Failed::Unknown(Reason::TimedOut),
        SdkError::DispatchFailure(failure) => {
            let Some(error) = failure.as_connector_error() else {
                return Failed::Unknown(disconnected("the request failed"));
            };
            let why = disconnected(chain(error));
            if is_of_connecting(error) { Failed::NotSent(why) } else { Failed::Unknown(why) }
        }
        SdkError::ResponseError(answer) => {
            let status = answer.raw().status().as_u16();
            let why = refused(format!("status {status}, and an answer that is not understood"));
            if (400..500).contains(&status) { Failed::NotSent(why) } else { Failed::Unknown(why) }
        }
        SdkError::ConstructionFailure(_) => {
            let why = error.into_source().map(|source| chain(&*source));
            Failed::NotSent(refused(why.unwrap_or_else(|_| "the request was not made".into())))
        }
        _ => Failed::Unknown(refused("the client failed in a way that is not known")),
    }
}

fn of_code(code: &str, text: String, status: u16) -> Failed {
    match code {
        "ProvisionedThroughputExceededException"
        | "KMSThrottlingException"
        | "LimitExceededException"
        | "RequestLimitExceeded"
        | "Throttling"
        | "ThrottlingException" => Failed::Throttled(text),
        "ResourceNotFoundException" => Failed::Missing(text),
        "ExpiredIteratorException" => Failed::Expired,
        "InvalidArgumentException" => Failed::Invalid(text),
        _ if status >= 500 => Failed::Unknown(refused(text)),
        _ => Failed::NotSent(refused(text)),
    }
}

/// Returns whether the code of one record of several says that it is worth another attempt, and whether it
/// is certain that the record is not there.
pub(super) fn of_record(code: &str, message: &str) -> Failed {
    let text = shown(code, message);
    match code {
        "InternalFailure" => Failed::Unknown(refused(text)),
        _ => of_code(code, text, 400),
    }
}

/// A server that refuses a signature may repeat the request, with the token in it, behind these words.
fn shown(code: &str, message: &str) -> String {
    let message = message.split("The Canonical String").next().unwrap_or_default();
    let message = message.lines().next().unwrap_or_default().trim();
    match (code, message) {
        ("", "") => "an answer without a reason".into(),
        ("", message) => message.into(),
        (code, "") => code.into(),
        (code, message) => format!("{code}: {message}"),
    }
}

/// Returns the texts of an error and of what is behind it.
fn chain(error: &(dyn Error + 'static)) -> String {
    let (mut text, mut next) = (error.to_string(), error.source());
    while let Some(error) = next {
        let more = error.to_string();
        if !text.ends_with(&more) {
            text = format!("{text}: {more}");
        }
        next = error.source();
    }
    text
}

/// Returns whether there was no connection, so that nothing has left.
fn is_of_connecting(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
            return error.is_connect();
        }
        next = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::{Failed, of_code, of_record, shown};

    #[test]
    fn a_refused_signature_shows_no_request() {
        let message = "The request signature we calculated does not match.\n\nThe Canonical String \
                       for this request should have been 'POST\nx-amz-security-token:token";
        let shown = shown("InvalidSignatureException", message);
        assert_eq!(
            shown,
            "InvalidSignatureException: The request signature we calculated does not match."
        );
    }

    #[test]
    fn what_may_have_had_an_effect_is_unknown() {
        let of = |code: &str, status| of_code(code, "why".into(), status);
        assert!(matches!(of("InternalFailure", 500), Failed::Unknown(_)));
        assert!(matches!(of("", 503), Failed::Unknown(_)));
        assert!(matches!(of("AccessDeniedException", 400), Failed::NotSent(_)));
        assert!(matches!(of("ProvisionedThroughputExceededException", 400), Failed::Throttled(_)));
        assert!(matches!(of_record("InternalFailure", ""), Failed::Unknown(_)));
    }
}
