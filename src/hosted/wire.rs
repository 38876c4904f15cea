//! How an envelope travels.

use alloc::sync::Arc;

use crate::envelope::Envelope;

/// Fills in the id and the time where they are missing. Copies the envelope where it is shared.
#[must_use]
pub fn stamped(mut envelope: Arc<Envelope>) -> Arc<Envelope> {
    if !envelope.is_stamped() {
        Arc::make_mut(&mut envelope).stamp();
    }
    envelope
}
