//! What an error of the client means.

use core::error::Error;

use krafka::KrafkaError;
use krafka::error::ErrorCode;

use crate::hosted::Reason;
use crate::hosted::engines::failed::{Failed, disconnected, refused};

/// Returns why something was not done.
pub(super) fn reason(error: &KrafkaError) -> Reason {
    match error {
        KrafkaError::Network(_) if is_login(error) => refused(error.clone()),
        KrafkaError::Network(_) => disconnected(error.clone()),
        KrafkaError::Timeout { .. } | KrafkaError::DeliveryTimeout { .. } => Reason::TimedOut,
        KrafkaError::Closed { .. } => Reason::Closed,
        _ => refused(error.clone()),
    }
}

/// Returns whether no server let the client in, for which it found none.
fn is_login(error: &KrafkaError) -> bool {
    let mut source = error.source();
    while let Some(error) = source {
        if let Some(KrafkaError::Auth { .. }) = error.downcast_ref::<KrafkaError>() {
            return true;
        }
        // An error of the system has its own cause inside.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        source = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    false
}

/// Returns what became of a record that was on its way.
pub(super) fn failed(error: &KrafkaError) -> Failed {
    match error {
        KrafkaError::DeliveryTimeout { possibly_written: false, .. } => {
            Failed::NotSent(Reason::TimedOut)
        }
        KrafkaError::Config { .. }
        | KrafkaError::Serialization { .. }
        | KrafkaError::Compression { .. }
        | KrafkaError::UnknownTopic { .. }
        | KrafkaError::Auth { .. } => Failed::NotSent(reason(error)),
        KrafkaError::Broker { code, .. } if is_refusal(*code) => Failed::NotSent(reason(error)),
        _ => Failed::Unknown(reason(error)),
    }
}

/// Returns whether a server says so before it writes anything.
const fn is_refusal(code: ErrorCode) -> bool {
    use ErrorCode as Code;
    matches!(
        code,
        Code::MessageTooLarge
            | Code::RecordListTooLarge
            | Code::InvalidTopic
            | Code::UnknownTopicOrPartition
            | Code::NotEnoughReplicas
            | Code::TopicAuthorizationFailed
            | Code::ClusterAuthorizationFailed
            | Code::InvalidTimestamp
            | Code::InvalidRecord
            | Code::UnsupportedForMessageFormat
            | Code::UnsupportedCompressionType
            | Code::PolicyViolation
    )
}

/// Returns whether the topic is missing.
pub(super) const fn is_missing(error: &KrafkaError) -> bool {
    matches!(
        error,
        KrafkaError::UnknownTopic { .. }
            | KrafkaError::Broker { code: ErrorCode::UnknownTopicOrPartition, .. }
    )
}

/// Returns whether the server refused the metadata of a commit as too large.
pub(super) const fn says_too_much(error: &KrafkaError) -> bool {
    matches!(error, KrafkaError::Broker { code: ErrorCode::OffsetMetadataTooLarge, .. })
}

/// Returns whether the group goes on without this member: another one may have what it had.
pub(super) const fn is_fenced(error: &KrafkaError) -> bool {
    use ErrorCode as Code;
    match error {
        KrafkaError::Broker { code, .. } => matches!(
            code,
            Code::IllegalGeneration
                | Code::UnknownMemberId
                | Code::FencedInstanceId
                | Code::FencedMemberEpoch
                | Code::StaleMemberEpoch
        ),
        // The client knows that it has no place in the group now.
        KrafkaError::IllegalState { .. } => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use krafka::KrafkaError;
    use krafka::error::ErrorCode;

    use super::{failed, is_fenced, is_missing};
    use crate::hosted::engines::failed::Failed;

    #[test]
    fn only_what_certainly_was_not_written_is_not_sent() {
        let broker = |code| KrafkaError::broker(code, "no");
        let not_sent = |error| matches!(failed(&error), Failed::NotSent(_));
        assert!(not_sent(broker(ErrorCode::MessageTooLarge)));
        assert!(not_sent(broker(ErrorCode::NotEnoughReplicas)));
        assert!(not_sent(KrafkaError::delivery_timeout(false, "no")));
        assert!(!not_sent(broker(ErrorCode::NotEnoughReplicasAfterAppend)));
        assert!(!not_sent(broker(ErrorCode::RequestTimedOut)));
        assert!(!not_sent(KrafkaError::delivery_timeout(true, "no")));
        assert!(!not_sent(KrafkaError::closed("no")));
    }

    #[test]
    fn a_member_of_an_older_generation_is_fenced() {
        assert!(is_fenced(&KrafkaError::broker(ErrorCode::IllegalGeneration, "no")));
        assert!(!is_fenced(&KrafkaError::broker(ErrorCode::RebalanceInProgress, "wait")));
        assert!(is_missing(&KrafkaError::broker(ErrorCode::UnknownTopicOrPartition, "no")));
    }
}
