//! How envelopes travel: each form is pinned byte for byte in `tests/golden/wire`, and read back.
#![cfg(all(feature = "hosted", not(tickbus_loom)))]

use std::path::PathBuf;

use proptest::prelude::*;
use tickbus::Envelope;
use tickbus::envelope::{Timestamp, TraceParent};
use tickbus::hosted::Reason;
use tickbus::hosted::wire::{
    InvalidMessage, Native, NativeForm, from_fields, from_json, from_native, to_fields, to_native,
};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const CLOUD: NativeForm = NativeForm::LINES.cloud_events("ce-");

fn full() -> Envelope {
    Envelope::unstamped("match.7.score")
        .unwrap()
        .with_id("0193-7")
        .with_time("2026-11-30T02:36:00.25Z".parse().unwrap())
        .with_source("/arena/1")
        .with_trace_parent(TRACE.parse().unwrap())
        .with_key("match-7")
        .header("run_id", "r3")
        .header("colour", "röd")
        .with_raw_payload(r#"{"by": 3, "big": 12345678901234567890123}"#)
        .unwrap()
}

fn bare(subject: &str, id: &str) -> Envelope {
    let time = Timestamp::from_unix_nanos(0).unwrap();
    Envelope::unstamped(subject).unwrap().with_id(id).with_time(time)
}

fn bytes() -> Envelope {
    bare("camera.2.frame", "8")
        .header("Content-Type", "image/jpeg")
        .with_bytes([0xff, 0xd8, 0x00, b'\n'])
}

/// With the version of its payload.
fn versioned() -> Envelope {
    full().with_data_schema("https://arena.example/score/2")
}

fn unasked() -> String {
    panic!("only a foreign message has no id of its own")
}

/// Reads native headers and a payload back.
fn read(subject: &str, native: &Native<'_>) -> Result<Envelope, InvalidMessage> {
    let headers = native.headers.iter().map(|(key, value)| (&**key, value.as_bytes()));
    from_native(subject, headers, &native.payload, unasked)
}

/// A message of another program.
fn foreign(headers: &[(&str, &[u8])], payload: &[u8]) -> Result<Envelope, InvalidMessage> {
    from_native("their.subject", headers.iter().copied(), payload, || "GAME/17".into())
}

// ---- Golden files ------------------------------------------------------------------------------

fn in_every_form() -> [(&'static str, Envelope); 4] {
    [("full", full()), ("versioned", versioned()), ("bytes", bytes()), ("bare", bare("tick", "9"))]
}

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wire").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Lines of names and values, an empty line, and the rest.
fn lines(text: &[u8]) -> (Vec<(String, String)>, &[u8]) {
    let end = text.windows(2).position(|two| two == b"\n\n").unwrap();
    let head = core::str::from_utf8(&text[..end]).unwrap();
    let line = |line: &str| line.split_once(": ").map(|(a, b)| (a.to_owned(), b.to_owned()));
    (head.lines().map(|it| line(it).unwrap()).collect(), &text[end + 2..])
}

#[test]
fn native_headers_are_those_of_the_golden_files() {
    let cases = [
        ("full.native", full(), NativeForm::LINES),
        ("full.cloud", full(), CLOUD),
        ("versioned.native", versioned(), NativeForm::LINES),
        ("versioned.cloud", versioned(), CLOUD),
        ("bytes.native", bytes(), NativeForm::LINES),
        ("bare.native", bare("tick", "9"), NativeForm::LINES),
    ];
    for (name, envelope, form) in cases {
        let golden = golden(name);
        let (mut headers, payload) = lines(&golden);
        let native = to_native(&envelope, form).unwrap();
        let mut written: Vec<_> =
            native.headers.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        if form == CLOUD {
            // Their order means nothing there.
            headers.sort();
            written.sort();
        }
        assert_eq!(written, headers, "{name}");
        assert_eq!(&*native.payload, payload, "{name}");

        let read_headers = headers.iter().map(|(key, value)| (&**key, value.as_bytes()));
        let subject = envelope.subject().as_str();
        let read = from_native(subject, read_headers, payload, unasked).unwrap();
        assert_eq!(read, envelope, "{name}");
    }
}

#[test]
fn fields_are_those_of_the_golden_files() {
    for (name, envelope) in in_every_form() {
        let golden = golden(&format!("{name}.fields"));
        let (mut expected, last) = lines(&golden);
        let mut fields: Vec<(String, Vec<u8>)> =
            to_fields(&envelope).into_iter().map(|(a, b)| (a.into(), b.into())).collect();
        if let Some((kind, payload)) = last.split_first_chunk::<6>() {
            let (kind, payload) = if kind == b"json: " {
                ("json", payload)
            } else {
                ("bytes", &last["bytes: ".len()..])
            };
            assert_eq!(fields.pop().unwrap(), (kind.to_owned(), payload.to_vec()), "{name}");
        }
        // A header's key may have a colon.
        for (key, value) in &mut expected {
            if key == "h" {
                let (rest, value_of) = value.split_once(": ").unwrap();
                (*key, *value) = (format!("h:{rest}"), value_of.to_owned());
            }
        }
        let texts: Vec<_> =
            fields.into_iter().map(|(a, b)| (a, String::from_utf8(b).unwrap())).collect();
        assert_eq!(texts, expected, "{name}");

        let fields = to_fields(&envelope);
        let fields = fields.iter().map(|(name, value)| (&**name, &**value));
        assert_eq!(from_fields("other", fields, unasked).unwrap(), envelope, "{name}");
    }
}

#[test]
fn json_is_that_of_the_golden_files() {
    for (name, envelope) in in_every_form() {
        let golden = golden(&format!("{name}.json"));
        assert_eq!(envelope.to_json().as_bytes(), golden, "{name}");
        assert_eq!(from_json("other", &golden, unasked).unwrap(), envelope, "{name}");
    }
}

#[test]
fn a_structured_cloud_event_is_that_of_the_golden_file() {
    // `run_id` is renamed, the key too; the version of the payload has the name of the standard.
    let golden = golden("versioned.structured");
    assert_eq!(versioned().to_cloud_event().unwrap().as_bytes(), golden);
    let read = Envelope::from_cloud_event(&golden).unwrap();
    assert_eq!((&read, read.data_schema()), (&versioned(), "https://arena.example/score/2"));
}

#[test]
fn the_version_of_a_payload_is_read_from_what_others_write() {
    let read = foreign(&[("dataschema", b"/score/2")], b"{}").unwrap();
    assert_eq!(read.data_schema(), "/score/2");
    assert_eq!(full().data_schema(), "");
    assert_eq!(versioned().with_data_schema(""), full());
}

// ---- Everything comes back, or is refused --------------------------------------------------------

fn any_envelope() -> impl Strategy<Value = Envelope> {
    let text = || prop_oneof![Just(String::new()), "[ -~]{0,8}", any::<String>()];
    let key = prop_oneof![
        "[a-zA-Z-]{1,6}",
        Just("Content-Type".to_owned()),
        Just("content-type".to_owned()),
        Just("key".to_owned()),
        Just("subject".to_owned()),
        Just("v".to_owned()),
        Just("tb-x".to_owned()),
        any::<String>(),
    ];
    let payload = prop_oneof![
        Just(None),
        "[0-9]{1,30}".prop_map(|digits| Some(Ok(format!("[1{digits}]")))),
        proptest::collection::vec(any::<u8>(), 0..20).prop_map(|bytes| Some(Err(bytes))),
    ];
    let headers = proptest::collection::vec((key, text()), 0..4);
    let trace = proptest::option::of((1_u128.., 1_u64.., any::<u8>()));
    // Without one, it would get one where it is read.
    let id = text().prop_filter("an id", |id| !id.is_empty());
    (id, text(), any::<Option<u32>>(), headers, payload, trace).prop_map(
        |(id, source, seconds, headers, payload, trace)| {
            let mut it = Envelope::unstamped("a.b").unwrap().with_id(id).with_source(source);
            if let Some(seconds) = seconds {
                let nanos = i128::from(seconds) * 1_000_000_007;
                it = it.with_time(Timestamp::from_unix_nanos(nanos).unwrap());
            }
            for (key, value) in headers {
                it = it.header(key, value);
            }
            if let Some((trace, span, flags)) = trace {
                let parent = TraceParent::new(trace, span).unwrap().with_flags(flags);
                it = it.with_trace_parent(parent);
            }
            match payload {
                None => it,
                Some(Ok(json)) => it.with_raw_payload(json).unwrap(),
                Some(Err(bytes)) => it.with_bytes(bytes),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn native_headers_come_back_or_are_refused(envelope in any_envelope()) {
        for form in [NativeForm::LINES, NativeForm::TEXTS, NativeForm::ANYTHING] {
            match to_native(&envelope, form) {
                Ok(native) => prop_assert_eq!(&read("a.b", &native).unwrap(), &envelope),
                Err(Reason::Header(_)) => {}
                Err(other) => return Err(TestCaseError::fail(other.to_string())),
            }
        }
    }

    #[test]
    fn fields_come_back(envelope in any_envelope()) {
        let fields = to_fields(&envelope);
        let fields = fields.iter().map(|(name, value)| (&**name, &**value));
        prop_assert_eq!(&from_fields("x", fields, unasked).unwrap(), &envelope);
    }

    #[test]
    fn any_message_is_an_envelope_or_an_error(
        headers in proptest::collection::vec(
            (
                prop_oneof!["tb-[a-z-]{0,8}", "ce-[a-z]{0,8}", Just("tb-v".to_owned()), any::<String>()],
                prop_oneof![Just(b"1".to_vec()), proptest::collection::vec(any::<u8>(), 0..6)],
            ),
            0..5,
        ),
        payload in proptest::collection::vec(any::<u8>(), 0..8),
    ) {
        let headers: Vec<_> = headers.iter().map(|(key, value)| (&**key, &**value)).collect();
        if let Ok(envelope) = foreign(&headers, &payload) {
            let is_payload = envelope.bytes().unwrap_or(envelope.payload().unwrap_or("").as_bytes());
            let shorter = payload.len() - is_payload.len();
            prop_assert!(shorter == 0 || envelope.payload().is_some(), "white space around JSON");
        }
    }
}

#[test]
fn a_header_that_does_not_fit_is_refused_by_its_name() {
    let refused = |envelope: Envelope, form| match to_native(&envelope, form) {
        Err(Reason::Header(key)) => key.into_string(),
        other => panic!("{other:?}"),
    };
    let it = || bare("a", "1");
    assert_eq!(refused(it().header("a:b", ""), NativeForm::LINES), "a:b");
    assert_eq!(refused(it().header("a b", ""), NativeForm::LINES), "a b");
    assert_eq!(refused(it().header("", ""), NativeForm::LINES), "");
    assert_eq!(refused(it().header("a", "1\r\n2"), NativeForm::LINES), "a");
    assert_eq!(refused(it().header("a", " 1"), NativeForm::LINES), "a");
    assert_eq!(refused(it().with_source("x\n"), NativeForm::LINES), "tb-source");
    assert_eq!(refused(it().header("a", "\0"), NativeForm::TEXTS), "a");
    assert_eq!(refused(it().header("TB-v", "2"), NativeForm::ANYTHING), "TB-v");
    assert!(to_native(&it().header("a:b", " \0\n"), NativeForm::ANYTHING).is_ok());
    assert!(to_native(&it().header("a b", " \n"), NativeForm::TEXTS).is_ok());
}

#[test]
fn ids_that_are_not_of_the_w3c_have_headers_of_their_own() {
    let odd = r#"{"id":"1","subject":"a","trace_id":"t","headers":{"traceparent":"odd"}}"#;
    let odd = Envelope::from_json(odd).unwrap();
    let native = to_native(&odd, NativeForm::LINES).unwrap();
    assert!(native.headers.contains(&("tb-trace-id".into(), "t".into())), "{native:?}");
    let back = read("a", &native).unwrap();
    assert_eq!((back.trace_id(), back.span_id()), ("t", ""));
}

#[test]
fn keys_are_read_in_any_case() {
    let headers: [(&str, &[u8]); 4] = [
        ("TB-V", b"1"),
        ("Tb-Id", b"7"),
        ("Content-Type", b"application/json"),
        ("Colour", b"red"),
    ];
    let read = from_native("a.b", headers, b"12", unasked).unwrap();
    assert_eq!((read.id(), read.payload(), read.headers().len()), ("7", Some("12"), 1));
    assert_eq!(read.headers().get("Colour"), "red");
}

/// Those without one would be one event for all that compares ids: dead letters, deduplication.
#[test]
fn a_message_of_ours_without_an_id_has_its_position_as_one() {
    for id in [None, Some(("tb-id", &b""[..]))] {
        let headers = [("tb-v", &b"1"[..]), ("a", b"b")].into_iter().chain(id);
        let read = from_native("a.b", headers, b"x", || "GAME/17".into()).unwrap();
        assert_eq!((read.id(), read.headers().get("a")), ("GAME/17", "b"));
    }
    for id in [None, Some(("id", &b""[..]))] {
        let fields = [("v", &b"1"[..]), ("subject", b"a.b"), ("bytes", b"x")].into_iter().chain(id);
        let read = from_fields("other", fields, || "game/1-0".into()).unwrap();
        assert_eq!((read.id(), read.subject().as_str()), ("game/1-0", "a.b"));
        assert_eq!(read.bytes(), Some(&b"x"[..]));
    }
}

#[test]
fn what_is_not_true_is_an_error() {
    let ours = |headers: &[(&str, &[u8])], payload: &[u8]| {
        let headers: Vec<_> =
            [("tb-v", &b"1"[..])].into_iter().chain(headers.iter().copied()).collect();
        from_native("a.b", headers, payload, unasked).unwrap_err().to_string()
    };
    assert!(ours(&[("tb-time", b"noon")], b"").starts_with("not a time"));
    assert!(ours(&[("content-type", b"application/json")], b"{").contains("is not JSON"));
    assert!(ours(&[("tb-payload", b"none")], b"x").starts_with("`tb-payload`"));
    assert!(ours(&[("a", b"1"), ("a", b"2")], b"").starts_with("`a` is there twice"));
    assert!(ours(&[("tb-id", b"1"), ("TB-ID", b"2")], b"").starts_with("`TB-ID` is there twice"));
    assert!(ours(&[("a", b"\xff")], b"").starts_with("`a` is there twice, is not text"));
    // Few and many are compared in two ways.
    let many: Vec<String> = (0..20).map(|number| format!("tb-{number}")).collect();
    for count in [0, 12, 13, 14, 20] {
        let others = many[..count].iter().map(|key| (&**key, &b""[..]));
        for (first, again) in [("a", "a"), ("tb-id", "TB-ID"), ("TB-ID", "tb-id")] {
            let twice = others.clone().chain([(first, &b"1"[..]), (again, b"2")]);
            let error = ours(&twice.collect::<Vec<_>>(), b"");
            assert!(error.contains("` is there twice"), "{count}: {error}");
        }
        let once = [("tb-v", &b"1"[..]), ("tb-id", b"1"), ("A", b"1"), ("a", b"2")];
        let once = once.into_iter().chain(others);
        assert_eq!(from_native("a.b", once, b"", unasked).unwrap().headers().len(), 2, "{count}");
    }
    let version = from_native("a.b", [("tb-v", &b"2"[..])], b"", unasked).unwrap_err();
    assert!(version.to_string().contains("version `2`"), "{version}");
    assert!(matches!(
        from_native("a..b", [("tb-v", &b"1"[..])], b"", unasked),
        Err(InvalidMessage::Subject(_))
    ));
}

// ---- Foreign messages ----------------------------------------------------------------------------

#[test]
fn a_foreign_message_has_the_position_as_its_id() {
    let it =
        foreign(&[("colour", b"red"), ("traceparent", TRACE.as_bytes())], b"\x00\x01").unwrap();
    assert_eq!((it.id(), it.subject().as_str(), it.time()), ("GAME/17", "their.subject", None));
    assert_eq!((it.bytes(), it.headers().get("colour")), (Some(&[0, 1][..]), "red"));
    assert_eq!(it.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(it.trace_parent().unwrap().to_string(), TRACE);
}

#[test]
fn a_foreign_payload_is_json_if_it_says_so_or_is_an_object() {
    let payload = |headers: &[(&str, &[u8])], payload: &[u8]| {
        let it = foreign(headers, payload).unwrap();
        (it.payload().map(str::to_owned), it.bytes().map(<[u8]>::to_vec))
    };
    let json = |text: &str| (Some(text.to_owned()), None);
    let bytes = |bytes: &[u8]| (None, Some(bytes.to_vec()));
    assert_eq!(payload(&[], b"{\"a\": 1}"), json("{\"a\": 1}"));
    assert_eq!(payload(&[], b"12"), bytes(b"12"));
    assert_eq!(payload(&[("content-type", b"application/json")], b"12"), json("12"));
    assert_eq!(payload(&[("content-type", b"application/vnd.x+json")], b"12"), json("12"));
    assert_eq!(payload(&[("content-type", b"text/plain")], b"[1]"), bytes(b"[1]"));
    assert_eq!(payload(&[], b"{not json}"), bytes(b"{not json}"));
    assert_eq!(payload(&[], b""), (None, None));
    // With white space it would not come back the same.
    assert_eq!(payload(&[("content-type", b"application/json")], b" 12"), bytes(b" 12"));
}

#[test]
fn values_of_a_foreign_key_are_joined() {
    let it = foreign(&[("accept", b"a"), ("accept", b"b")], b"").unwrap();
    assert_eq!(it.headers().get("accept"), "a, b");
}

#[test]
fn foreign_fields_and_json_become_envelopes() {
    let fields: [(&str, &[u8]); 2] = [("colour", b"red"), ("data", b"\xff")];
    let it = from_fields("orders", fields, || "orders/1-0".into()).unwrap();
    assert_eq!(
        (it.id(), it.bytes(), it.headers().get("colour")),
        ("orders/1-0", Some(&[0xff][..]), "red")
    );
    // An object without an id is not an envelope of ours.
    let it = from_json("orders", br#"{"subject":"a"}"#, || "s/1".into()).unwrap();
    assert_eq!(
        (it.id(), it.subject().as_str(), it.payload()),
        ("s/1", "orders", Some(r#"{"subject":"a"}"#))
    );
    let twice: [(&str, &[u8]); 3] = [("v", b"1"), ("id", b"1"), ("id", b"2")];
    assert!(matches!(from_fields("a", twice, unasked), Err(InvalidMessage::Header(_))));
}

#[test]
fn cloud_events_of_others_are_read() {
    let headers: [(&str, &[u8]); 7] = [
        ("CE-SpecVersion", b"1.0"),
        ("ce-id", b"A%2034"),
        ("ce-source", b"/their/service"),
        ("ce-type", b"order.paid"),
        ("ce-subject", b"123"),
        ("content-type", b"application/json; charset=utf-8"),
        ("x-other", b"1"),
    ];
    let it = foreign(&headers, b"{\"total\":3}").unwrap();
    assert_eq!((it.id(), it.subject().as_str()), ("A 34", "order.paid"));
    assert_eq!((it.headers().get("subject"), it.headers().get("x-other")), ("123", "1"));
    assert_eq!(it.payload(), Some("{\"total\":3}"));
    let error = foreign(&headers[..2], b"").unwrap_err();
    assert_eq!(
        error.to_string(),
        "not a CloudEvent: line 1 column 33: the attribute `source` is missing"
    );
    assert!(foreign(&[("ce-specversion", b"1.0"), ("ce-id", b"%+4")], b"").is_err());
}

#[test]
fn cloud_events_of_kafka_are_not_escaped() {
    let envelope = bare("a.b", "A 34").with_source("/x").with_bytes(*b"\x00");
    let form = NativeForm::ANYTHING.cloud_events("ce_");
    let native = to_native(&envelope, form).unwrap();
    assert!(native.headers.contains(&("ce_id".into(), "A 34".into())), "{native:?}");
    assert_eq!(read("ignored", &native).unwrap(), envelope);
    // Without a source it cannot be one.
    assert!(matches!(to_native(&bare("a", "1"), form), Err(Reason::Refused(_))));
}
