//! What an event becomes that is not tried again: [`Notice`].

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;

use super::failure::Attempts;
use super::settings::DeadLetters;
use crate::envelope::Envelope;
use crate::hosted::delivery::Delivery;

/// The header that says until when an event is worth anything.
pub(super) const EXPIRES: &str = "expires";

/// How many bytes of an error a header has.
const LONGEST: usize = 1024;

/// Why an event is a dead letter.
#[derive(Debug)]
pub(super) struct Notice {
    pub(super) reason: &'static str,
    pub(super) attempts: u32,
    pub(super) first: Box<str>,
    pub(super) last: Box<str>,
    /// How often publishing it has failed.
    pub(super) failed: u32,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} after {}: {}", self.reason, Attempts(self.attempts), self.last)
    }
}

impl Notice {
    /// Returns the dead letter: the payload, key and headers of the event but `expires`, and why. Its id
    /// is always the same, so an engine that deduplicates takes it once.
    pub(super) fn letter(&self, to: &DeadLetters, delivery: &Delivery) -> Option<Envelope> {
        // Compressed if it was: decompressed, it may be more than the engine takes.
        let event = delivery.as_it_came();
        let mut letter = Envelope::new(&to.subject).ok()?;
        letter = letter.with_id(format!("{}.dead.{}", event.id(), to.group));
        letter = letter.with_source(event.source());
        if let Some(parent) = event.trace_parent() {
            letter = letter.with_trace_parent(parent);
        }
        // A dead letter stays, however late the event is.
        for (key, value) in event.headers().iter().filter(|(key, _)| *key != EXPIRES) {
            letter.headers_mut().insert(key, value);
        }
        letter = match (event.payload(), event.bytes()) {
            (Some(json), _) => letter.with_raw_payload(json).ok()?,
            (None, Some(bytes)) => letter.with_bytes(bytes),
            (None, None) => letter,
        };
        let mut says = alloc::vec![
            ("dead-reason", self.reason.to_string()),
            ("dead-attempts", self.attempts.to_string()),
            ("dead-first-error", plain(&self.first)),
            ("dead-last-error", plain(&self.last)),
            ("dead-id", event.id().to_string()),
            ("dead-subject", event.subject().to_string()),
            ("dead-group", to.group.to_string()),
            ("dead-engine", delivery.engine().to_string()),
        ];
        says.extend(delivery.sequence().map(|at| ("dead-sequence", at.to_string())));
        for (key, value) in says {
            letter.headers_mut().insert(key, value);
        }
        Some(letter)
    }
}

/// As every engine takes it in a header: one line, not too long.
fn plain(error: &str) -> String {
    let mut end = error.len().min(LONGEST);
    while !error.is_char_boundary(end) {
        end -= 1;
    }
    error[..end].chars().map(|it| if it.is_control() { ' ' } else { it }).collect()
}

/// Returns the letter, shared.
pub(super) fn letter(
    notice: &Notice,
    to: &DeadLetters,
    delivery: &Delivery,
) -> Option<Arc<Envelope>> {
    notice.letter(to, delivery).map(Arc::new)
}
