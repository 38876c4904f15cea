//! Envelopes as records, and back.

use alloc::format;
use alloc::sync::Arc;
use alloc::vec::Vec;

use bytes::Bytes;
use krafka::{ConsumerRecord, Record};

use crate::envelope::Envelope;
use crate::hosted::Reason;
use crate::hosted::wire::{self, InvalidMessage, NativeForm};

/// The header that has the subject.
const SUBJECT: &str = "tb-subject";
/// The header that has the subject in records of other programs.
const SUBJECT_OF_OTHERS: &str = "subject";
/// How many bytes a batch of one record has besides it.
const BATCH: usize = 61;

/// Returns the record of an envelope for a topic, and how many bytes it has on its way.
pub(super) fn write(topic: &str, envelope: &Envelope) -> Result<(Record, usize), Reason> {
    let native = wire::to_native(envelope, NativeForm::ANYTHING)?;
    let subject = envelope.subject().as_str();
    let key = envelope.key();
    // One allocation has all values.
    let values: usize = native.headers.iter().map(|(_, value)| value.len()).sum();
    let size = subject.len() + key.len() + values + native.payload.len();
    let mut all = Vec::with_capacity(size);
    for text in [subject, key].into_iter().chain(native.headers.iter().map(|(_, value)| &**value)) {
        all.extend_from_slice(text.as_bytes());
    }
    all.extend_from_slice(&native.payload);
    let mut all = Bytes::from(all);
    let subject = all.split_to(subject.len());
    let key = if key.is_empty() { subject.clone() } else { all.split_to(key.len()) };
    let mut headers = Vec::with_capacity(native.headers.len() + 1);
    headers.push((SUBJECT.into(), Some(subject)));
    for (key, value) in native.headers {
        headers.push((key.into_owned(), Some(all.split_to(value.len()))));
    }
    let mut record = Record::new(topic, all).key(key);
    record.headers = headers;
    let size = record.estimated_size() + BATCH;
    Ok((record, size))
}

/// Returns the key of an envelope in its topic.
pub(super) fn key(envelope: &Envelope) -> &str {
    if envelope.key().is_empty() { envelope.subject().as_str() } else { envelope.key() }
}

/// Reads an envelope. The subject is that of the header `tb-subject`, of the header `subject`, or else the
/// name of the topic. A record of another program keeps its key, and its place is the id.
pub(super) fn read(record: &ConsumerRecord) -> Result<Arc<Envelope>, InvalidMessage> {
    let headers = || {
        let headers = record.headers.iter();
        headers.map(|(key, value)| (&**key, value.as_deref().unwrap_or_default()))
    };
    let find = |wanted: &str| {
        let found = headers().find(|(key, _)| key.eq_ignore_ascii_case(wanted));
        found.map(|(key, value)| {
            core::str::from_utf8(value).map_err(|_| InvalidMessage::Header(key.into()))
        })
    };
    let subject = match find(SUBJECT).or_else(|| find(SUBJECT_OF_OTHERS)) {
        Some(subject) => subject?,
        None => &record.topic,
    };
    let others = headers().filter(|(key, _)| !key.eq_ignore_ascii_case(SUBJECT));
    let payload = record.value.as_deref().unwrap_or_default();
    let position = || format!("{}/{}/{}", record.topic, record.partition, record.offset);
    let mut envelope = wire::from_native(subject, others, payload, position)?;
    if find("tb-v").is_none() && envelope.key().is_empty() {
        let key = record.key.as_deref().and_then(|key| core::str::from_utf8(key).ok());
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            envelope = envelope.with_key(key);
        }
    }
    Ok(Arc::new(envelope))
}
