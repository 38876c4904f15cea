//! Envelopes in fixed memory: their bytes, their messages of MQTT 5, and that an `Envelope` says the same.
//! The first half needs no feature: `cargo test --test compact`.
#![cfg(not(tickbus_loom))]

use proptest::prelude::*;
use tickbus::Subject;
use tickbus::envelope::compact::{CompactEnvelope, DecodeError, EncodeError, Id, mqtt};

const ID: Id = Id::new([0, 0, 0, 7, 0, 0, 0, 212, 0, 0, 0, 0, 0, 0, 0, 1]);

fn reading() -> CompactEnvelope<'static> {
    CompactEnvelope::new(Subject::from_static("device.7.reading"))
}

fn full<'a>(headers: &'a [(&'a str, &'a str)]) -> CompactEnvelope<'a> {
    reading()
        .with_id("7-212-1")
        .with_time("2026-11-30T02:36:00.25Z")
        .with_source("/arena/1")
        .with_key("k")
        .with_headers(headers)
        .with_raw_payload("{\"by\": 3}")
}

#[track_caller]
fn same(one: &CompactEnvelope<'_>, other: &CompactEnvelope<'_>) {
    let all = |it: &CompactEnvelope<'_>| format!("{it:?} {:?}", it.payload_bytes());
    assert_eq!((all(one), one.payload()), (all(other), other.payload()));
}

// ---- Bytes -------------------------------------------------------------------------------------

/// A later version reads what this one has written into flash.
#[test]
fn the_bytes_are_those_of_version_1() {
    let golden = b"\x01\x01\
        \x10device.7.reading\
        \x077-212-1\
        \x172026-11-30T02:36:00.25Z\
        \x08/arena/1\
        \x01k\
        \x00\x00\
        \x02\x04unit\x02mC\x00\x00\
        \x09{\"by\": 3}";
    let headers = [("unit", "mC"), ("", "")];
    let envelope = full(&headers);
    let mut buffer = [0xaa; 128];
    assert_eq!(envelope.encode(&mut buffer).unwrap(), golden);
    assert_eq!(buffer[golden.len()..], [0xaa; 128][golden.len()..], "and no byte behind them");
    same(&CompactEnvelope::decode(golden).unwrap(), &envelope);

    let bare = CompactEnvelope::new(Subject::from_static("a"));
    let golden = b"\x01\x00\x01a\x00\x00\x00\x00\x00\x00\x00";
    assert_eq!(bare.encode(&mut [0; 11]).unwrap(), golden);
    same(&CompactEnvelope::decode(golden).unwrap(), &bare);

    let empty = b"\x01\x02\x01a\x00\x00\x00\x00\x00\x00\x00\x00";
    assert_eq!(bare.with_bytes(&[]).encode(&mut [0; 12]).unwrap(), empty);
    assert_eq!(CompactEnvelope::decode(empty).unwrap().bytes(), Some(&[][..]));
}

#[test]
fn a_length_has_7_bits_a_byte() {
    let bare = CompactEnvelope::new(Subject::from_static("a"));
    let zeros = [0; 20_000];
    for (len, of_length) in [
        (0, &[0][..]),
        (127, &[0x7f]),
        (128, &[0x80, 1]),
        (16_383, &[0xff, 0x7f]),
        (16_384, &[0x80, 0x80, 1]),
    ] {
        let envelope = bare.with_bytes(&zeros[..len]);
        let mut buffer = [0xff; 20_100];
        let bytes = envelope.encode(&mut buffer).unwrap();
        assert_eq!(&bytes[11..bytes.len() - len], of_length);
        same(&CompactEnvelope::decode(bytes).unwrap(), &envelope);
    }
}

#[test]
fn a_buffer_that_is_too_small_stays_and_says_what_is_needed() {
    let headers = [("unit", "mC")];
    let needed = full(&headers).encoded_len();
    for len in 0..needed {
        let mut buffer = [0xaa; 128];
        let error = full(&headers).encode(&mut buffer[..len]).unwrap_err();
        assert_eq!(error, EncodeError::TooSmall { needed });
        assert_eq!(buffer, [0xaa; 128]);
    }
    assert_eq!(full(&headers).encode(&mut [0; 128]).unwrap().len(), needed);
}

#[test]
fn what_cannot_be_read_is_not_written() {
    let mut buffer = [0; 128];
    let mut fault = |headers: &[(&str, &str)]| full(headers).encode(&mut buffer).err();
    assert!(matches!(fault(&[("a", ""), ("a", "b")]), Some(EncodeError::Header { index: 1, .. })));
    assert!(matches!(fault(&[("key", "b")]), Some(EncodeError::Header { index: 0, .. })));
    assert!(matches!(fault(&[("key", "")]), Some(EncodeError::Header { index: 0, .. })));
    assert_eq!(fault(&[("Key", "x"), ("A", "")]), None);
    let without_key = reading().with_headers(&[("key", "")]);
    assert!(without_key.encode(&mut [0; 64]).is_ok());
    let keys: Vec<_> = (0..256).map(|key| key.to_string()).collect();
    let many: Vec<_> = keys.iter().map(|key| (&**key, "")).collect();
    let mut buffer = [0; 2048];
    assert!(matches!(full(&many).encode(&mut buffer), Err(EncodeError::Header { index: 255, .. })));
    let bytes = full(&many[..255]).encode(&mut buffer).unwrap();
    assert_eq!(CompactEnvelope::decode(bytes).unwrap().headers().count(), 255);
    assert_eq!(reading().with_time("now").encode(&mut buffer), Err(EncodeError::Time));
}

#[test]
fn bytes_that_are_no_envelope_say_what_is_wrong() {
    use DecodeError::*;
    let headers = [("unit", "mC")];
    let mut buffer = [0; 128];
    let good = full(&headers).encode(&mut buffer).unwrap();
    for end in 0..good.len() {
        assert_eq!(CompactEnvelope::decode(&good[..end]).unwrap_err(), Ended, "{end} bytes");
    }
    let fault = |bytes: &[u8]| CompactEnvelope::decode(bytes).unwrap_err();
    assert_eq!(fault(&[good, &[0]].concat()), Rest);
    assert_eq!(fault(b"\x02\x00\x01a\0\0\0\0\0\0\0"), Version);
    assert_eq!(fault(b"\x01\x03\x01a\0\0\0\0\0\0\0"), Payload);
    assert_eq!(fault(b"\x01\x00\x00\0\0\0\0\0\0\0"), Subject);
    assert_eq!(fault(b"\x01\x00\x01*\0\0\0\0\0\0\0"), Subject);
    assert_eq!(fault(b"\x01\x00\x01\xff\0\0\0\0\0\0\0"), Text);
    assert_eq!(fault(b"\x01\x01\x01a\0\0\0\0\0\0\0\x01\xff"), Text);
    assert_eq!(fault(b"\x01\x00\x01a\0\x03now\0\0\0\0\0"), Time);
    assert_eq!(fault(b"\x01\x00\x01a\0\0\0\0\0\0\x02\x01k\0\x01k\0"), Header);
    assert_eq!(fault(b"\x01\x00\x01a\0\0\0\0\0\0\x01\x03key\x01k"), Header);
    assert_eq!(fault(b"\x01\x00\x01a\0\0\0\x01k\0\0\x01\x03key\0"), Header);
    // Longer than needed, 2 to the 32nd, and a length that never ends.
    assert_eq!(fault(b"\x01\x00\x81\x00a\0\0\0\0\0\0\0"), Length);
    assert_eq!(fault(b"\x01\x00\x80\x80\x80\x80\x10"), Length);
    assert_eq!(fault(b"\x01\x00\xff\xff\xff\xff\xff"), Length);
    assert_eq!(fault(b"\x01\x00\xff\xff\xff\xff\x0f"), Ended);
}

// ---- Ids and times -----------------------------------------------------------------------------

#[test]
fn an_id_is_the_digits_of_its_bytes() {
    assert_eq!(ID.as_str(), "00000007-0000-00d4-0000-000000000001");
    assert_eq!(Id::new([0xff; 16]).to_string(), "ffffffff-ffff-ffff-ffff-ffffffffffff");
    let bytes: Vec<u8> = (0..16).map(|it| it * 17).collect();
    let id = Id::new(bytes.try_into().unwrap());
    assert_eq!(id.as_str(), "00112233-4455-6677-8899-aabbccddeeff");
}

#[test]
fn only_a_time_in_utc_is_a_time() {
    let mut buffer = [0; 128];
    let mut is_time = |text| reading().with_time(text).encode(&mut buffer).is_ok();
    for time in [
        "",
        "2026-08-01T12:30:00Z",
        "0000-02-29T23:59:59.123456789012Z",
        "2016-12-31T23:59:60Z",
        "2000-02-29T00:00:00.0Z",
    ] {
        assert!(is_time(time), "{time}");
    }
    for wrong in [
        "2026-08-01T12:30:00",
        "2026-08-01T12:30:00z",
        "2026-08-01 12:30:00Z",
        "2026-08-01T12:30:00+00:00",
        "2026-08-01T12:30:00.Z",
        "2026-08-01T12:30:00.aZ",
        "2026-08-01T12:30:00,5Z",
        "2026-02-29T00:00:00Z",
        "1900-02-29T00:00:00Z",
        "2026-04-31T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:60Z",
        "2016-12-31T23:59:61Z",
        "2026-0a-01T00:00:00Z",
    ] {
        assert!(!is_time(wrong), "{wrong}");
    }
}

// ---- MQTT 5 ------------------------------------------------------------------------------------

#[test]
fn topics_need_as_many_bytes_as_they_say() {
    let subject = Subject::from_static("a.grün.c");
    for (prefix, topic) in [("", "a/grün/c"), ("p", "p/a/grün/c"), ("p/q/", "p/q/a/grün/c")] {
        let mut buffer = [0; 32];
        for len in 0..topic.len() {
            let error = mqtt::topic(prefix, subject, &mut buffer[..len]).unwrap_err();
            assert_eq!(error, EncodeError::TooSmall { needed: topic.len() });
            assert_eq!(buffer, [0; 32]);
        }
        assert_eq!(mqtt::topic(prefix, subject, &mut buffer), Ok(topic));
        let mut back = [0; 9];
        assert_eq!(mqtt::subject(prefix, topic, &mut back), Ok(subject));
        let error = mqtt::subject(prefix, topic, &mut back[..8]).unwrap_err();
        assert_eq!(error, DecodeError::TooSmall { needed: 9 });
    }
    for prefix in ["/", "$SYS", "a//b", "a/+", "a\n"] {
        assert!(matches!(
            mqtt::topic(prefix, subject, &mut [0; 32]),
            Err(EncodeError::Topic { .. })
        ));
        assert_eq!(mqtt::subject(prefix, "a", &mut [0; 9]), Err(DecodeError::Subject));
    }
}

fn properties<'a>(envelope: &CompactEnvelope<'a>) -> Vec<(&'a str, &'a str)> {
    envelope.properties().unwrap().collect()
}

#[test]
fn a_content_type_of_yours_says_what_the_payload_is() {
    let headers = [("content-type", "image/png"), ("X", "")];
    let image = reading().with_headers(&headers).with_bytes(&[1]);
    assert_eq!(image.content_type(), Some("image/png"));
    assert_eq!(properties(&image), [("tb-v", "1"), ("tb-payload", "bytes"), ("X", "")]);

    let headers = [("Content-Type", "image/png")];
    let image = reading().with_headers(&headers).with_bytes(&[1]);
    assert_eq!(image.content_type(), None, "it is a user property");
    assert_eq!(
        properties(&image),
        [("tb-v", "1"), ("tb-payload", "bytes"), ("Content-Type", "image/png")]
    );
    assert_eq!((reading().content_type(), properties(&reading()).len()), (None, 1));
}

#[test]
fn what_mqtt_cannot_carry_is_refused() {
    let why = |headers: &[(&str, &str)]| match reading().with_headers(headers).properties() {
        Err(EncodeError::Header { index, why }) => Some((index, why)),
        Err(other) => panic!("{other}"),
        Ok(_) => None,
    };
    assert_eq!(why(&[("a", "b"), ("ü", "")]), None);
    for wrong in [("TB-x", ""), ("a", "\0"), ("a\n", ""), ("a", "\u{fffe}"), ("key", "7")] {
        assert_eq!(why(&[("b", ""), wrong]).unwrap().0, 1, "{wrong:?}");
    }
    assert_eq!(why(&[("a", "1"), ("a", "1")]), Some((1, "its key is there twice")));
    let long = "x".repeat(65_536);
    assert!(why(&[("a", &long)]).is_some());
    assert_eq!(why(&[("a", &long[1..])]), None);
    let text = |envelope: CompactEnvelope<'_>| envelope.properties().map(|_| ()).unwrap_err();
    assert_eq!(text(reading().with_id("\n")), EncodeError::Text { property: "tb-id" });
    assert_eq!(text(reading().with_source("\n")), EncodeError::Text { property: "tb-source" });
    assert_eq!(text(reading().with_key("\n")), EncodeError::Text { property: "tb-key" });
    assert_eq!(text(reading().with_time("\n")), EncodeError::Time);
}

#[test]
fn a_message_of_another_program_has_no_id() {
    let subject = Subject::from_static("device.7.command");
    let read = |properties, content_type, payload: &'static [u8]| {
        CompactEnvelope::from_properties(subject, properties, content_type, payload).unwrap()
    };
    let plain = read(&[("a", "1"), ("a", "2"), ("key", "k")], Some("text/plain"), b"led on");
    assert_eq!((plain.id(), plain.bytes(), plain.payload()), ("", Some(&b"led on"[..]), None));
    let all = [("a", "1"), ("a", "2"), ("key", "k"), ("content-type", "text/plain")];
    assert!(plain.headers().eq(all));
    let json = read(&[], Some("application/json; charset=utf-8"), b"3");
    assert_eq!(json.payload(), Some("3"));
    assert_eq!(read(&[], Some("application/json"), b"\xff").bytes(), Some(&b"\xff"[..]));
    assert_eq!(read(&[], None, b"").bytes(), None);
}

#[test]
fn a_message_that_is_not_what_it_says_is_refused() {
    let read = |properties: &[(&str, &str)], content_type, payload: &[u8]| {
        CompactEnvelope::from_properties(reading().subject(), properties, content_type, payload)
            .map(|_| ())
            .unwrap_err()
    };
    let v = ("tb-v", "1");
    assert_eq!(read(&[("tb-v", "2")], None, b""), DecodeError::Version);
    assert_eq!(read(&[v, ("tb-time", "now")], None, b""), DecodeError::Time);
    assert_eq!(read(&[v, ("tb-id", "1"), ("TB-Id", "2")], None, b""), DecodeError::Header);
    assert_eq!(read(&[v, ("a", "1"), ("a", "2")], None, b""), DecodeError::Header);
    assert_eq!(read(&[v, ("tb-key", "1"), ("key", "2")], None, b""), DecodeError::Header);
    let twice = [v, ("content-type", "a/b")];
    assert_eq!(read(&twice, Some("a/b"), b""), DecodeError::Header);
    assert_eq!(read(&[v], Some("application/json"), b"\xff"), DecodeError::Payload);
    assert_eq!(read(&[v, ("tb-payload", "none")], None, b"x"), DecodeError::Payload);
    assert_eq!(read(&[v, ("tb-payload", "xml")], None, b"x"), DecodeError::Payload);
}

// ---- Anything ----------------------------------------------------------------------------------

/// Texts that matter: of all lengths of a length, with all that a topic refuses.
fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-cé.*>/+#$ -]{0,12}",
        1 => any::<String>(),
        1 => "x{120,140}",
    ]
}

fn subject() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z$+#/é]{1,4}(\\.[a-z0-9/\u{1}]{1,3}){0,4}", "[a-z]{1,3}(\\.[a-z0-9]{1,3}){0,4}"]
}

fn time() -> impl Strategy<Value = String> {
    prop_oneof![
        Just(String::new()),
        "20[0-9][0-9]-(0[1-9]|1[0-2])-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,10})?Z",
    ]
}

fn headers() -> impl Strategy<Value = Vec<(String, String)>> {
    let key = prop_oneof![
        4 => text(),
        1 => "(tb-|TB-)?(v|id|key|payload|content-type)",
        1 => "(C|c)ontent-(T|t)ype",
        1 => "key",
    ];
    let value = prop_oneof![3 => text(), 1 => "(application|image)/(json|x\\+json|png)"];
    prop::collection::vec((key, value), 0..5)
}

proptest! {
    #[test]
    fn no_bytes_make_decode_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(envelope) = CompactEnvelope::decode(&bytes) {
            let mut buffer = [0; 200];
            prop_assert_eq!(envelope.encode(&mut buffer).unwrap(), &bytes[..]);
        }
    }

    /// Bytes that nearly are an envelope: one that was encoded, with some of them changed.
    #[test]
    fn no_changed_bytes_make_decode_panic(
        changes in prop::collection::vec((0..90_usize, any::<u8>()), 1..4),
    ) {
        let headers = [("unit", "mC"), ("", "")];
        let mut buffer = [0; 128];
        let len = full(&headers).encode(&mut buffer).unwrap().len();
        for (at, byte) in changes {
            buffer[at % len] = byte;
        }
        if let Ok(envelope) = CompactEnvelope::decode(&buffer[..len]) {
            let mut again = [0; 128];
            prop_assert_eq!(envelope.encode(&mut again).unwrap(), &buffer[..len]);
        }
    }

    #[test]
    fn what_is_encoded_decodes_as_it_was(
        (subject, id, time) in (subject(), text(), time()),
        (source, key, headers) in (text(), text(), headers()),
        payload in prop::option::of(prop::collection::vec(any::<u8>(), 0..300)),
    ) {
        let headers: Vec<_> = headers.iter().map(|(key, value)| (&**key, &**value)).collect();
        let envelope = CompactEnvelope::new(Subject::new(&subject).unwrap())
            .with_id(&id).with_time(&time).with_source(&source).with_key(&key)
            .with_headers(&headers);
        let envelope = match &payload {
            None => envelope,
            Some(bytes) => match core::str::from_utf8(bytes) {
                Ok(text) => envelope.with_raw_payload(text),
                Err(_) => envelope.with_bytes(bytes),
            },
        };
        let mut buffer = [0; 4096];
        match envelope.encode(&mut buffer) {
            Ok(bytes) => same(&CompactEnvelope::decode(bytes).unwrap(), &envelope),
            Err(EncodeError::TooSmall { needed }) => prop_assert!(needed > 4096),
            Err(_) => {}
        }
    }
}

// ---- What an `Envelope` says -------------------------------------------------------------------

#[cfg(feature = "json")]
mod owned {
    use super::{headers, subject, text, time};
    use proptest::prelude::*;
    use tickbus::Envelope;
    use tickbus::envelope::Timestamp;
    use tickbus::envelope::compact::{CompactEnvelope, DecodeError};

    fn payload() -> impl Strategy<Value = Option<Result<String, Vec<u8>>>> {
        prop::option::of(prop_oneof![
            "[0-9]{1,9}".prop_map(|digits| Ok(format!("[{digits:?}, null]"))),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Err),
        ])
    }

    prop_compose! {
        pub(super) fn envelope()(
            (subject, id, time) in (subject(), text(), time()),
            (source, key, headers) in (text(), text(), headers()),
            (payload, parent, flags) in (payload(), any::<Option<(u128, u64)>>(), any::<u8>()),
        ) -> Envelope {
            use tickbus::envelope::TraceParent;
            let mut envelope = Envelope::unstamped(&subject).unwrap().with_id(id).with_source(source);
            if let Ok(time) = time.parse() {
                envelope = envelope.with_time(time);
            }
            for (key, value) in headers {
                envelope.headers_mut().insert(key, value);
            }
            if !key.is_empty() {
                envelope = envelope.with_key(key);
            }
            if let Some(parent) = parent.and_then(|(trace, span)| TraceParent::new(trace, span)) {
                envelope = envelope.with_trace_parent(parent.with_flags(flags));
            }
            match payload {
                None => envelope,
                Some(Ok(json)) => envelope.with_raw_payload(json.as_str()).unwrap(),
                Some(Err(bytes)) => envelope.with_bytes(bytes),
            }
        }
    }

    #[test]
    fn a_payload_that_only_claims_to_be_json_is_refused() {
        let compact = CompactEnvelope::new(tickbus::Subject::from_static("a"));
        let read = |json| Envelope::try_from(compact.with_raw_payload(json));
        assert_eq!(read("{").unwrap_err(), DecodeError::Payload);
        assert_eq!(read("[1]").unwrap().payload(), Some("[1]"));
    }

    proptest! {
        #[test]
        fn every_envelope_comes_back_from_its_bytes(envelope in envelope()) {
            let bytes = envelope.to_compact().unwrap();
            prop_assert_eq!(Envelope::from_compact(&bytes).unwrap(), envelope);
        }

        /// A device calls a time what `Timestamp` reads, if it is in UTC.
        #[test]
        fn times_are_those_of_timestamps(
            text in "([0-9]{3,4}|2000)-[0-2][0-9]-[0-3][0-9]T[0-2][0-9]:[0-6][0-9]:(59|60|[0-6][0-9])(\\.[0-9]{0,10})?Z?",
        ) {
            let compact = CompactEnvelope::new(tickbus::Subject::from_static("a")).with_time(&text);
            let wanted = text.ends_with('Z') && text.parse::<Timestamp>().is_ok();
            prop_assert_eq!(compact.encode(&mut [0; 64]).is_ok(), wanted);
        }
    }
}

#[cfg(feature = "hosted")]
mod hosted {
    use super::owned::envelope;
    use super::{headers, properties, text};
    use proptest::prelude::*;
    use tickbus::envelope::compact::{CompactEnvelope, mqtt};
    use tickbus::hosted::wire::{self, NativeForm};
    use tickbus::{Envelope, Subject};

    /// Reads as the engine for MQTT does.
    fn of_message(
        subject: &str,
        properties: &[(&str, &str)],
        content_type: Option<&str>,
        payload: &[u8],
    ) -> Result<Envelope, wire::InvalidMessage> {
        let typed = content_type.map(|value| ("content-type", value.as_bytes()));
        let headers = properties.iter().map(|(key, value)| (*key, value.as_bytes())).chain(typed);
        wire::from_native(subject, headers, payload, || "position".into())
    }

    /// The golden files are what the engine for MQTT writes.
    #[test]
    fn a_device_writes_what_the_engine_writes() {
        for (name, subject) in
            [("full", "match.7.score"), ("bare", "game.started"), ("bytes", "chat.grün.7")]
        {
            let golden = format!("{}/tests/golden/wire/{name}.native", env!("CARGO_MANIFEST_DIR"));
            let golden = std::fs::read(golden).unwrap();
            let at = golden.windows(2).position(|two| two == b"\n\n").unwrap();
            let (lines, payload) = (&golden[..at], &golden[at + 2..]);
            let lines = core::str::from_utf8(lines).unwrap().lines();
            let mut wanted: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
            let types = wanted.iter().position(|(key, _)| *key == "content-type");
            let content_type = types.map(|at| wanted.remove(at).1);
            let subject = Subject::new(subject).unwrap();
            let read =
                CompactEnvelope::from_properties(subject, &wanted, content_type, payload).unwrap();
            let mut written = properties(&read);
            // The place of `traceparent` differs, since it is a header.
            let mut wanted = wanted.clone();
            written.sort_unstable();
            wanted.sort_unstable();
            assert_eq!((written, read.content_type()), (wanted, content_type), "{name}");
            assert_eq!(read.payload_bytes(), payload);
        }
    }

    /// An engine gives an event without an id that of its position.
    fn with_position(envelope: Envelope) -> Envelope {
        if envelope.id().is_empty() { envelope.with_id("position") } else { envelope }
    }

    proptest! {
        /// From an engine to a device and back, nothing changes.
        #[test]
        fn an_envelope_comes_through_a_device(envelope in envelope()) {
            let Ok(native) = wire::to_native(&envelope, NativeForm::TEXTS) else { return Ok(()) };
            let content_type = native.headers.iter().find(|(key, _)| key == "content-type");
            let content_type = content_type.map(|(_, value)| &**value);
            let others = native.headers.iter().filter(|(key, _)| key != "content-type");
            let sent: Vec<_> = others.map(|(key, value)| (&**key, &**value)).collect();
            let device =
                CompactEnvelope::from_properties(envelope.subject(), &sent, content_type, &native.payload)
                    .unwrap();
            prop_assert_eq!(device.id(), envelope.id());
            prop_assert_eq!(device.key(), envelope.key());
            prop_assert_eq!(device.payload(), envelope.payload());
            prop_assert_eq!(device.bytes(), envelope.bytes());
            // By MQTT.
            if let Ok(properties) = device.properties() {
                let properties: Vec<_> = properties.collect();
                prop_assert_eq!(device.content_type(), content_type);
                let back = of_message(
                    envelope.subject().as_str(),
                    &properties,
                    device.content_type(),
                    device.payload_bytes(),
                );
                prop_assert_eq!(back.unwrap(), with_position(envelope.clone()));
            }
            // By bytes, and then by MQTT.
            let mut buffer = [0; 4096];
            let kept = CompactEnvelope::decode(device.encode(&mut buffer).unwrap()).unwrap();
            if let (Ok(sent), Ok(kept)) = (device.properties(), kept.properties()) {
                prop_assert!(sent.eq(kept));
            }
        }

        /// Whatever a device sends, the engine receives as the same envelope.
        #[test]
        fn what_a_device_sends_an_engine_receives(
            (id, source, key, headers) in (text(), text(), text(), headers()),
            payload in prop::collection::vec(any::<u8>(), 0..20), kind in 0..3,
        ) {
            let headers: Vec<_> = headers.iter().map(|(key, value)| (&**key, &**value)).collect();
            let device = CompactEnvelope::new(Subject::from_static("device.7.reading"))
                .with_id(&id).with_source(&source).with_key(&key).with_headers(&headers);
            let device = match kind {
                0 => device,
                1 => device.with_raw_payload("[1, 2]"),
                _ => device.with_bytes(&payload),
            };
            let Ok(properties) = device.properties() else { return Ok(()) };
            let properties: Vec<_> = properties.collect();
            let subject = device.subject().as_str();
            let content_type = device.content_type();
            let got = of_message(subject, &properties, content_type, device.payload_bytes()).unwrap();
            prop_assert_eq!(got, with_position(Envelope::try_from(device).unwrap()));
        }

        /// A device and an engine agree on what a message is. A device also refuses a time that is not in
        /// UTC, and two keys; it does not read JSON.
        #[test]
        fn a_device_and_an_engine_read_the_same(
            headers in headers(), content_type in prop::option::of("application/(json|x)"),
            payload in "[\\[{]?[0-9a]{0,3}[\\]}]?",
        ) {
            let mut headers: Vec<_> = headers.iter().map(|(key, value)| (&**key, &**value)).collect();
            headers.push(("tb-v", "1"));
            let (subject, payload) = (Subject::from_static("a"), payload.as_bytes());
            let typed = content_type.as_deref();
            let device = CompactEnvelope::from_properties(subject, &headers, typed, payload);
            let device = device.and_then(Envelope::try_from);
            let engine = of_message("a", &headers, typed, payload);
            match (device, engine) {
                (Ok(device), Ok(engine)) => prop_assert_eq!(with_position(device), engine),
                (Ok(device), Err(error)) => prop_assert!(false, "{device:?}, {error}"),
                (Err(_), Err(_)) => {}
                (Err(error), Ok(_)) => {
                    let has = |key: &str| headers.iter().any(|it| it.0.eq_ignore_ascii_case(key));
                    prop_assert!(has("tb-key") && has("key"), "{error}");
                }
            }
        }

        #[test]
        fn topics_are_those_of_subjects(subject in super::subject(), prefix in "([a-c]/?){0,2}") {
            let subject = Subject::new(&subject).unwrap();
            let (mut topic, mut back) = ([0; 128], [0; 128]);
            if let Ok(topic) = mqtt::topic(&prefix, subject, &mut topic) {
                prop_assert_eq!(mqtt::subject(&prefix, topic, &mut back).unwrap(), subject);
            }
        }
    }
}
