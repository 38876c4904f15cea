//! The last envelopes of an engine, whatever became of them: [`HistoryLimits`].

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use crate::envelope::Envelope;
use crate::subject::Pattern;

/// Sets how much history a [`MemoryEngine`](super::MemoryEngine) keeps.
///
/// An engine without these keeps none. The oldest envelopes go first, whichever limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct HistoryLimits {
    per_subject: usize,
    events: usize,
    bytes: usize,
    retention: Duration,
}

impl HistoryLimits {
    /// Returns the defaults: 1000 envelopes of a subject, 100,000 envelopes and 64 MiB in all, and
    /// 7 days.
    pub const fn new() -> Self {
        Self {
            per_subject: 1000,
            events: 100_000,
            bytes: 64 << 20,
            retention: Duration::from_secs(7 * 24 * 3600),
        }
    }

    /// Sets how many envelopes of one subject are kept.
    pub const fn per_subject(mut self, envelopes: usize) -> Self {
        self.per_subject = envelopes;
        self
    }

    /// Sets how many envelopes are kept over all subjects.
    pub const fn max_history_events(mut self, envelopes: usize) -> Self {
        self.events = envelopes;
        self
    }

    /// Sets how many bytes are kept over all subjects: those of payloads, subjects, ids, sources
    /// and headers. A larger envelope is not kept.
    pub const fn max_history_bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Sets how long an envelope is kept after the engine accepted it. With 0, none is kept.
    pub const fn retention(mut self, age: Duration) -> Self {
        self.retention = age;
        self
    }
}

impl Default for HistoryLimits {
    fn default() -> Self {
        Self::new()
    }
}

pub(super) struct History {
    limits: HistoryLimits,
    /// By their numbers, which rise.
    kept: BTreeMap<u64, Kept>,
    subjects: HashMap<Box<str>, VecDeque<u64>, RandomState>,
    last: u64,
    bytes: usize,
}

struct Kept {
    envelope: Arc<Envelope>,
    at: Duration,
    bytes: usize,
}

fn size(envelope: &Envelope) -> usize {
    let payload = envelope.payload().map(str::as_bytes).or(envelope.bytes());
    let texts = [envelope.id(), envelope.subject().as_str(), envelope.source()];
    let headers = envelope.headers().iter().map(|(key, value)| key.len() + value.len());
    payload.map_or(0, <[u8]>::len)
        + texts.map(str::len).iter().sum::<usize>()
        + headers.sum::<usize>()
}

impl History {
    pub(super) fn new(limits: HistoryLimits) -> Self {
        let (kept, subjects) = (BTreeMap::new(), HashMap::default());
        Self { limits, kept, subjects, last: 0, bytes: 0 }
    }

    pub(super) fn add(&mut self, envelope: &Arc<Envelope>, now: Duration) {
        self.expire(now);
        let HistoryLimits { per_subject, events, bytes: most, retention } = self.limits;
        let bytes = size(envelope);
        if bytes > most || per_subject == 0 || events == 0 || retention.is_zero() {
            return;
        }
        self.last += 1;
        let subject = envelope.subject().as_str();
        if !self.subjects.contains_key(subject) {
            self.subjects.insert(subject.into(), VecDeque::new());
        }
        let Some(of) = self.subjects.get_mut(subject) else { return };
        of.push_back(self.last);
        let surplus = (of.len() > per_subject).then(|| of.pop_front()).flatten();
        if let Some(kept) = surplus.and_then(|number| self.kept.remove(&number)) {
            self.bytes -= kept.bytes;
        }
        self.bytes += bytes;
        self.kept.insert(self.last, Kept { envelope: envelope.clone(), at: now, bytes });
        while self.kept.len() > events || self.bytes > most {
            self.forget_oldest();
        }
    }

    fn expire(&mut self, now: Duration) {
        let retention = self.limits.retention;
        let old = |kept: &Kept| now.saturating_sub(kept.at) >= retention;
        while self.kept.first_key_value().is_some_and(|(_, kept)| old(kept)) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, kept)) = self.kept.pop_first() else { return };
        self.bytes -= kept.bytes;
        let subject = kept.envelope.subject().as_str();
        // The oldest of all is the oldest of its subject.
        let is_last = self.subjects.get_mut(subject).is_some_and(|of| {
            of.pop_front();
            of.is_empty()
        });
        if is_last {
            self.subjects.remove(subject);
        }
    }

    /// Returns the last ones that match and are not before `since`, the oldest first.
    pub(super) fn find(
        &mut self,
        pattern: Pattern<'_>,
        since: Duration,
        most: usize,
        now: Duration,
    ) -> Vec<Arc<Envelope>> {
        self.expire(now);
        let from = self.kept.values().rev().take_while(|kept| kept.at >= since);
        let matching = from.filter(|kept| pattern.matches(kept.envelope.subject()));
        let mut found: Vec<_> = matching.take(most).map(|kept| kept.envelope.clone()).collect();
        found.reverse();
        found
    }
}
