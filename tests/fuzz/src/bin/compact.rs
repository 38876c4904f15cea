//! Whatever is read as a compact envelope is written as the same bytes, and as a message of MQTT that reads
//! the same; a message of any properties is an envelope or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tickbus::envelope::compact::{CompactEnvelope, mqtt};
use tickbus::{Envelope, Subject};

fn all(envelope: &CompactEnvelope<'_>) -> String {
    format!("{envelope:?} {:?} {:?}", envelope.payload(), envelope.payload_bytes())
}

/// Bytes, and an envelope with an allocator.
fn stays(envelope: &CompactEnvelope<'_>, data: Option<&[u8]>) {
    let mut buffer = vec![0xff; envelope.encoded_len()];
    let Ok(bytes) = envelope.encode(&mut buffer) else {
        assert_eq!(data, None, "it was read");
        return;
    };
    assert!(data.is_none_or(|data| data == bytes));
    assert_eq!(all(&CompactEnvelope::decode(bytes).expect("it was written")), all(envelope));
    if let Ok(owned) = Envelope::from_compact(bytes) {
        let again = owned.to_compact().expect("it has not more headers");
        assert_eq!(Envelope::from_compact(&again).expect("it was written"), owned);
    }
}

/// A message of MQTT.
fn travels(envelope: &CompactEnvelope<'_>) {
    let Ok(properties) = envelope.properties() else { return };
    let properties: Vec<_> = properties.collect();
    let mut buffer = [0; 1100];
    let topic = mqtt::topic("a/b", envelope.subject(), &mut buffer).map(str::to_owned);
    let subject = topic.map_or(envelope.subject(), |topic| {
        let mut buffer = [0; 1024];
        let subject = mqtt::subject("a/b", &topic, &mut buffer).expect("a topic of a subject");
        assert_eq!(subject, envelope.subject());
        envelope.subject()
    });
    let (content_type, payload) = (envelope.content_type(), envelope.payload_bytes());
    let read = CompactEnvelope::from_properties(subject, &properties, content_type, payload);
    let read = read.expect("what was written can be read");
    let fields = |it: &CompactEnvelope<'_>| {
        let mut headers: Vec<_> = it.headers().map(|it| format!("{it:?}")).collect();
        headers.sort_unstable();
        let texts = [it.id(), it.time(), it.source(), it.key(), it.trace_id(), it.span_id()];
        format!("{texts:?} {headers:?} {:?} {:?}", it.payload(), it.bytes())
    };
    assert_eq!(fields(&read), fields(envelope));
}

fuzz_target!(|data: &[u8]| {
    if let Ok(envelope) = CompactEnvelope::decode(data) {
        stays(&envelope, Some(data));
        travels(&envelope);
    }
    // A topic, user properties line by line, a content type and a payload.
    let Ok(text) = std::str::from_utf8(data) else { return };
    let mut lines = text.split('\n');
    let mut buffer = [0; 1024];
    let subject = mqtt::subject("", lines.next().unwrap_or_default(), &mut buffer);
    let subject = subject.unwrap_or(Subject::from_static("a"));
    let content_type = lines.next().filter(|it| !it.is_empty());
    let payload = lines.next().unwrap_or_default();
    let properties: Vec<_> = lines.take(64).filter_map(|line| line.split_once('=')).collect();
    let read =
        CompactEnvelope::from_properties(subject, &properties, content_type, payload.as_bytes());
    if let Ok(envelope) = read {
        stays(&envelope, None);
        travels(&envelope);
    }
});
