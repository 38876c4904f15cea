//! Whatever is read as an envelope is written as one that reads the same; so is one made of any texts.
#![no_main]

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use libfuzzer_sys::fuzz_target;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tickbus::{Envelope, Event, Subject};

tickbus::events! {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    enum Mixed {
        #[subject = "a"] Unit,
        #[subject = "b"] Newtype(Option<i128>),
        #[subject = "c"] Tuple(String, Vec<u8>, Option<char>),
        #[subject = "d"] Struct { #[serde(default)] x: i64, y: BTreeMap<String, bool> },
        #[subject = "e"] Nested(Result<Box<Mixed>, u8>),
    }
}

fn stays(envelope: &Envelope) {
    let text = envelope.to_json();
    let back = Envelope::from_json(&text).expect("what was written can be read");
    assert_eq!(back, *envelope);
    assert_eq!(back.to_json(), text);
    assert_eq!(serde_json::to_string(envelope).expect("it is JSON"), text);
}

/// What serde buffers of an envelope on the way.
#[derive(Serialize, Deserialize)]
#[serde(tag = "op")]
enum Op {
    Publish(Envelope),
}

/// Through a buffer an envelope comes back the same, but for the text of its payload: the same value, if it
/// can be buffered at all, as what is nested too deeply or out of range cannot.
fn stays_in_a_buffer(envelope: &Envelope) {
    let text = serde_json::to_string(&Op::Publish(envelope.clone())).expect("it is JSON");
    let payload = envelope.payload().map(serde_json::from_str::<Value>);
    let Ok(Op::Publish(back)) = serde_json::from_str(&text) else {
        let deep = text.bytes().filter(|byte| b"[{".contains(byte)).count() > 100;
        assert!(deep || matches!(payload, Some(Err(_))), "{text}");
        return;
    };
    assert_eq!(
        back.payload().map(serde_json::from_str::<Value>).map(Result::unwrap),
        payload.map(Result::unwrap)
    );
    assert_eq!(back.bytes(), envelope.bytes());
    let bare = |envelope: Envelope| envelope.with_bytes([]);
    assert_eq!(bare(back), bare(envelope.clone()));
}

/// An envelope whose payload, headers and ids are pieces of `text`.
fn made_of(text: &str) -> Option<Envelope> {
    let mut pieces = text.split('\n');
    let mut piece = || pieces.next().unwrap_or_default();
    let envelope = Envelope::unstamped(piece()).ok()?.with_id(piece()).with_source(piece());
    let envelope = envelope.header(piece(), piece()).header(piece(), piece());
    let envelope = match piece() {
        "" => envelope,
        time => envelope.with_time(time.parse().ok()?),
    };
    match piece() {
        "" => Some(envelope),
        payload => envelope.with_raw_payload(payload).ok(),
    }
}

/// Events of every kind that have pieces of `text` in them.
fn events_of(text: &str) -> [Mixed; 6] {
    let tuple = || {
        let first = text.chars().next();
        Mixed::Tuple(text.to_owned(), text.as_bytes().to_vec(), first)
    };
    let number = text.bytes().fold(0, |number: i128, byte| number << 8 ^ i128::from(byte));
    let names = text.split('\n').map(|name| (name.to_owned(), name.len() % 2 == 0));
    [
        Mixed::Unit,
        Mixed::Newtype(text.parse().ok()),
        Mixed::Newtype(Some(number)),
        tuple(),
        Mixed::Struct { x: number as i64, y: names.collect() },
        Mixed::Nested(if text.is_empty() { Err(7) } else { Ok(Box::new(tuple())) }),
    ]
}

fuzz_target!(|data: &[u8]| {
    if let Ok(envelope) = Envelope::from_json(data) {
        assert!(Subject::new(envelope.subject().as_str()).is_ok());
        // What is never looked into must be JSON all the same: numbers beyond every range, and halves of
        // surrogate pairs, are.
        let text = std::str::from_utf8(data).expect("JSON is UTF-8");
        let members: BTreeMap<String, &RawValue> =
            serde_json::from_str(text).expect("an envelope is an object");
        assert_eq!(members.get("payload").map(|raw| raw.get()), envelope.payload());
        let bytes = members.get("payload_base64").map(|raw| {
            let text: String = serde_json::from_str(raw.get()).expect("a text");
            STANDARD.decode(text).expect("base64")
        });
        assert_eq!(bytes.as_deref(), envelope.bytes());
        stays(&envelope);
        stays_in_a_buffer(&envelope);
        if let Ok(event) = envelope.decode_event::<Mixed>() {
            assert_eq!(event.subject(), envelope.subject().as_str());
            let sent = Envelope::event(&event).expect("what was read can be written");
            assert_eq!(sent.decode_event::<Mixed>().expect("and read"), event);
        }
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Some(envelope) = made_of(text) {
        stays(&envelope);
        stays_in_a_buffer(&envelope);
        let envelope = envelope.with_bytes(data);
        stays(&envelope);
        stays_in_a_buffer(&envelope);
    }
    let few = text.char_indices().nth(64).map_or(text, |(at, _)| &text[..at]);
    for event in events_of(few) {
        let sent = Envelope::unstamped_event(&event).expect("all of it is JSON");
        stays(&sent);
        assert_eq!(sent.decode_event::<Mixed>().expect("it was sent"), event);
    }
});
