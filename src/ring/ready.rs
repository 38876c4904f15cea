//! Whether there is something to take.

use super::{Policy, Reader};

impl<E> Reader<'_, E> {
    /// Whether a drain that began now would find an event. On a ring that displaces it may find none all
    /// the same, if every one is being displaced; it then moves past them, and this is `false`.
    #[inline]
    pub(crate) fn has_event<P: Policy>(&mut self) -> bool {
        let span = self.freeze::<P>();
        span.head != span.end
    }
}
