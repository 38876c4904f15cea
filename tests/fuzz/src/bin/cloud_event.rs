//! Whatever is read as a CloudEvent or an envelope comes back from a CloudEvent, or it is told why not.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;
use tickbus::Envelope;

/// The attributes as texts: all but the time, which is written in one form, and those that are none.
fn attributes(json: &[u8]) -> BTreeMap<String, String> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_slice(json).expect("an object");
    let text = |value: &RawValue| match serde_json::from_str::<Value>(value.get()) {
        Ok(Value::String(text)) => text,
        Ok(Value::Null) => String::new(),
        _ => value.get().to_owned(),
    };
    let all = members.into_iter().filter(|(name, _)| !matches!(&**name, "time" | "data"));
    all.map(|(name, value)| (name, text(value))).filter(|(_, text)| !text.is_empty()).collect()
}

fuzz_target!(|data: &[u8]| {
    if let Ok(envelope) = Envelope::from_cloud_event(data) {
        let text = envelope.to_cloud_event().expect("what was read can be written");
        assert_eq!(attributes(text.as_bytes()), attributes(data));
        let back = Envelope::from_cloud_event(&text).expect("what was written can be read");
        assert_eq!(back, envelope);
        assert_eq!(back.to_cloud_event(), Ok(text));
    }
    if let Ok(mut envelope) = Envelope::from_json(data)
        && let Ok(text) = envelope.to_cloud_event()
    {
        let back = Envelope::from_cloud_event(&text).expect("what was written can be read");
        let parent = envelope.trace_parent();
        // An empty header is none, and a trace stands where traces stand.
        let keys: Vec<_> = envelope.headers().iter().map(|(key, _)| key.to_owned()).collect();
        for key in keys {
            if envelope.headers().get(&key).is_empty() || key.eq_ignore_ascii_case("traceparent") {
                envelope.headers_mut().remove(&key);
            }
        }
        let mut same = back.clone();
        same.headers_mut().remove("traceparent");
        assert_eq!(same.headers(), envelope.headers());
        assert_eq!((back.id(), back.source()), (envelope.id(), envelope.source()));
        assert_eq!((back.subject(), back.time()), (envelope.subject(), envelope.time()));
        assert_eq!((back.payload(), back.bytes()), (envelope.payload(), envelope.bytes()));
        if parent.is_some() {
            assert_eq!(back.trace_parent(), parent);
        } else {
            assert_eq!((envelope.trace_id(), envelope.span_id()), ("", ""));
        }
    }
});
