//! Envelopes: do they hold, write and read what their page says, to the byte?
#![cfg(all(feature = "std", feature = "json", not(tickbus_loom)))]

extern crate alloc;

use alloc::collections::BTreeMap;
use core::error::Error;
use std::collections::HashSet;
use std::thread;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tickbus::{
    Envelope, Headers, InvalidEnvelope, InvalidSubject, InvalidTraceParent, Timestamp, TraceParent,
};

fn read(json: &str) -> Envelope {
    Envelope::from_json(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[track_caller]
fn refused(json: &str, why: &str) {
    let error = Envelope::from_json(json).expect_err(json).to_string();
    assert!(error.contains(why), "{json}: {error}");
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap_or_else(|invalid| panic!("{text}: {invalid}"))
}

fn bare(subject: &str) -> Envelope {
    Envelope::unstamped(subject).unwrap().with_id("7").with_time(time("2026-08-01T12:30:00Z"))
}

// ---- New ---------------------------------------------------------------------------------------

#[test]
fn a_new_envelope_has_an_id_of_its_own() {
    let ids = |_| (0..2000).map(|_| Envelope::new("a").unwrap().id().to_owned()).collect();
    let threads: Vec<_> = (0..4).map(|n| thread::spawn(move || ids(n))).collect();
    let mut seen = HashSet::new();
    for thread in threads {
        let ids: Vec<String> = thread.join().unwrap();
        assert!(ids.is_sorted(), "later ids sort later");
        for id in ids {
            assert_eq!((id.len(), &id[14..15]), (36, "7"), "a UUIDv7");
            assert!(seen.insert(id));
        }
    }
    assert_eq!(seen.len(), 8000);
}

#[test]
fn a_new_envelope_has_the_time_of_now() {
    let before = Timestamp::now();
    let envelope = Envelope::new("a").unwrap();
    assert!((before..=Timestamp::now()).contains(&envelope.time().unwrap()));
}

#[test]
fn a_new_envelope_has_no_payload_which_is_not_null() {
    let envelope = Envelope::new("a").unwrap();
    assert_eq!(envelope.payload(), None);
    assert!(!envelope.to_json().contains("payload"));
    assert_eq!(envelope.with_payload(&()).unwrap().payload(), Some("null"));
}

#[test]
fn an_unstamped_envelope_has_neither_id_nor_time() {
    let envelope = Envelope::unstamped("a").unwrap();
    assert_eq!((envelope.id(), envelope.time()), ("", None));
    assert_eq!((envelope.source(), envelope.trace_id(), envelope.span_id()), ("", "", ""));
}

/// Panics when it is written.
struct Untouchable;

impl Serialize for Untouchable {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("the payload was looked at")
    }
}

#[test]
fn the_subject_is_validated_before_the_payload() {
    for subject in ["", "a..b", ".a", "a.", "a.*", ">", &"x".repeat(1025)] {
        let Err(InvalidEnvelope::Subject(text, invalid)) = Envelope::json(subject, &Untouchable)
        else {
            panic!("{subject} is no subject");
        };
        assert_eq!((&*text, Err(invalid)), (subject, Envelope::new(subject).map(drop)));
    }
    assert_eq!(Envelope::unstamped("").unwrap_err(), InvalidSubject::Empty);
}

#[test]
fn a_payload_that_cannot_be_json_is_an_error_that_names_the_subject() {
    let keys_are_no_texts = BTreeMap::from([((1, 2), 3)]);
    let error = Envelope::json("map.seen", &keys_are_no_texts).unwrap_err();
    assert!(matches!(error, InvalidEnvelope::Payload(_)));
    assert!(error.to_string().starts_with("the payload for `map.seen` is no JSON: "), "{error}");
    assert!(error.source().is_some());
}

#[test]
fn e11_raw_text_that_is_no_json_is_refused_at_construction() {
    for text in ["not json", "", " ", "{", "[1,]", "1 2", "{\"a\":1}}", "'a'", "nul", "01", "\u{0}"]
    {
        let error = bare("a.b").with_raw_payload(text).expect_err(text);
        assert!(error.to_string().contains("`a.b`"), "{error}");
    }
}

// ---- Payload -----------------------------------------------------------------------------------

const VERBATIM: [&str; 9] = [
    "123456789012345678901234567890",
    "1e400",
    "-0.0e-0",
    r#"{"z":1,"a":2,"z":3}"#,
    "{ \"a\" :\t[ 1 ,\n 2 ] }",
    r#""\u0041\/\ud800""#,
    "null",
    "false",
    "\"ü\u{2028}\"",
];

#[test]
fn e12_the_payload_is_kept_byte_for_byte() {
    for text in VERBATIM {
        let made = bare("a").with_raw_payload(text).unwrap();
        assert_eq!(made.payload(), Some(text));
        let json = made.to_json();
        assert!(json.ends_with(&format!(",\"payload\":{text}}}")), "{json}");
        assert_eq!(read(&json).payload(), Some(text));
        assert_eq!(read(&json), made);
        assert_eq!(read(&json).to_json(), json);
    }
}

#[test]
fn white_space_around_a_payload_is_not_part_of_it() {
    assert_eq!(bare("a").with_raw_payload(" \n[1] \t").unwrap().payload(), Some("[1]"));
    assert_eq!(read(r#"{"subject":"a","payload" :  7 }"#).payload(), Some("7"));
}

#[test]
fn a_payload_may_be_nested_as_deep_as_it_likes() {
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let made = bare("a").with_raw_payload(deep.clone()).unwrap();
    assert_eq!(read(&made.to_json()).payload(), Some(&*deep));
}

#[test]
fn no_payload_decodes_to_nothing() {
    assert_eq!(bare("a").decode::<u32>().unwrap(), None);
    assert_eq!(bare("a").decode::<Option<u32>>().unwrap(), None);
    let null = bare("a").with_raw_payload("null").unwrap();
    assert_eq!(null.decode::<Option<u32>>().unwrap(), Some(None));
    assert!(null.decode::<u32>().is_err());
}

#[test]
fn a_payload_of_the_wrong_type_is_an_error_that_names_the_subject() {
    let envelope = bare("order.7.paid").with_raw_payload(r#"{"amount":"x"}"#).unwrap();
    #[derive(Deserialize, Debug)]
    struct Paid {
        #[expect(dead_code, reason = "it is never read into")]
        amount: u32,
    }
    let error = envelope.decode::<Paid>().unwrap_err();
    assert_eq!(error.subject().as_str(), "order.7.paid");
    let text = error.to_string();
    assert!(text.starts_with("the payload of `order.7.paid` does not decode: "), "{text}");
    assert!(text.contains("column 13"), "{text}");
    assert!(error.source().is_some());
}

/// Valid to the eye of the raw text, and no text to whoever decodes it.
#[test]
fn a_malformed_text_in_a_payload_is_found_when_it_is_decoded() {
    let envelope = bare("a").with_raw_payload(r#""\ud800""#).unwrap();
    assert!(envelope.decode::<String>().is_err());
}

// ---- Headers -----------------------------------------------------------------------------------

#[test]
fn a_header_that_is_missing_is_empty() {
    let envelope = bare("a");
    let headers = envelope.headers();
    for value in [
        headers.run_id(),
        headers.node_id(),
        headers.actor_id(),
        headers.graph_id(),
        headers.tenant(),
        headers.get(""),
        headers.get("anything"),
    ] {
        assert_eq!(value, "");
    }
    assert!(headers.is_empty());
}

#[test]
fn the_well_known_headers_have_accessors() {
    let envelope = read(
        r#"{"subject":"a","headers":{"run_id":"1","node_id":"2","actor_id":"3","graph_id":"4","tenant":"5"}}"#,
    );
    let headers = envelope.headers();
    assert_eq!(
        [
            headers.run_id(),
            headers.node_id(),
            headers.actor_id(),
            headers.graph_id(),
            headers.tenant()
        ],
        ["1", "2", "3", "4", "5"]
    );
    let set = bare("a").header(Headers::TENANT, "x").header(Headers::RUN_ID, "y");
    assert_eq!((set.headers().tenant(), set.headers().run_id()), ("x", "y"));
}

#[test]
fn any_key_is_a_header() {
    let mut envelope = bare("a").header("", "empty").header("ü \n\"", "odd").header("k", "1");
    envelope.headers_mut().insert("k", "2");
    assert_eq!(envelope.headers().get(""), "empty");
    assert_eq!(envelope.headers().get("ü \n\""), "odd");
    assert_eq!(envelope.headers().get("k"), "2");
    assert_eq!(read(&envelope.to_json()), envelope);
    assert!(envelope.headers_mut().remove("k"));
    assert!(!envelope.headers_mut().remove("k"));
    assert_eq!(envelope.headers().len(), 2);
}

#[test]
fn e1_changing_a_copy_changes_no_other() {
    let sent = bare("a").header("k", "1");
    let mut copy = sent.clone();
    copy.headers_mut().insert("k", "2");
    assert_eq!((sent.headers().get("k"), copy.headers().get("k")), ("1", "2"));
}

// ---- JSON out ----------------------------------------------------------------------------------

#[test]
fn what_is_empty_is_left_out() {
    assert_eq!(
        bare("a.b").to_json(),
        r#"{"id":"7","subject":"a.b","time":"2026-08-01T12:30:00Z"}"#
    );
}

#[test]
fn members_and_header_keys_come_in_a_fixed_order() {
    let parent = TraceParent::new(0xab, 0xcd).unwrap();
    let envelope = bare("a.b")
        .with_raw_payload("{}")
        .unwrap()
        .header("b", "2")
        .header("B", "1")
        .header("a", "3")
        .with_trace_parent(parent)
        .with_source("s");
    assert_eq!(
        envelope.to_json(),
        concat!(
            r#"{"id":"7","subject":"a.b","time":"2026-08-01T12:30:00Z","source":"s","#,
            r#""trace_id":"000000000000000000000000000000ab","span_id":"00000000000000cd","#,
            r#""headers":{"B":"1","a":"3","b":"2"},"payload":{}}"#
        )
    );
    assert_eq!(read(&envelope.to_json()), envelope);
    assert_eq!(serde_json::to_string(&envelope).unwrap(), envelope.to_json());
}

#[test]
fn id_subject_and_time_are_always_written() {
    let json = Envelope::unstamped("a").unwrap().to_json();
    assert_eq!(json, r#"{"id":"","subject":"a","time":"0001-01-01T00:00:00Z"}"#);
    assert_eq!(read(&json), Envelope::unstamped("a").unwrap());
}

#[test]
fn the_time_that_stands_for_none_is_none() {
    let zero = "0001-01-01T00:00:00Z".parse().unwrap();
    let envelope = Envelope::unstamped("a").unwrap().with_time(zero);
    assert_eq!(envelope.time(), None);
    assert_eq!(read(&envelope.to_json()), envelope);
}

#[test]
fn texts_are_escaped() {
    let envelope = bare("a\n.\u{1}\"\\").with_source("\u{7f}é\u{2028}");
    assert!(envelope.to_json().contains(r#""subject":"a\n.\u0001\"\\""#));
    assert_eq!(read(&envelope.to_json()), envelope);
}

// ---- JSON in -----------------------------------------------------------------------------------

#[test]
fn unknown_members_are_ignored() {
    let envelope = read(r#" {"x":[1e999,{}],"subject":"a","id":"1","Subject":"b"} "#);
    assert_eq!((envelope.subject().as_str(), envelope.id()), ("a", "1"));
}

#[test]
fn wrong_types_are_refused() {
    for member in ["id", "time", "source", "trace_id", "span_id"] {
        for value in ["1", "null", "{}", "[]", "true"] {
            refused(&format!(r#"{{"subject":"a","{member}":{value}}}"#), "invalid type");
        }
    }
    for value in ["1", "null", "{}", "[]", "true"] {
        refused(&format!(r#"{{"subject":{value}}}"#), "invalid type");
    }
    for value in ["1", "null", "[]", r#""x""#, r#"{"a":1}"#, r#"{"a":null}"#, r#"{"a":["x"]}"#] {
        refused(&format!(r#"{{"subject":"a","headers":{value}}}"#), "invalid type");
    }
}

#[test]
fn what_is_no_object_is_refused() {
    for json in ["null", "1", r#""a""#, "[]", r#"["7","a.b","2026-08-01T12:30:00Z"]"#] {
        refused(json, "an envelope");
    }
}

#[test]
fn a_missing_or_invalid_subject_is_refused() {
    refused("{}", "missing field `subject`");
    refused(r#"{"subject":""}"#, "empty");
    refused(r#"{"subject":"a..b"}"#, "`a..b`: the subject has two dots");
    refused(r#"{"subject":"a.>"}"#, "wildcard");
}

#[test]
fn a_member_that_is_there_twice_is_refused() {
    refused(r#"{"subject":"a","subject":"b"}"#, "duplicate");
    refused(r#"{"subject":"a","payload":1,"payload":1}"#, "duplicate");
    // Who reads the first and who reads the last would see two tenants.
    refused(
        r#"{"subject":"a","headers":{"tenant":"x","b":"","t\u0065nant":"y"}}"#,
        "duplicate header `tenant`",
    );
}

#[test]
fn trailing_text_is_refused() {
    for rest in ["x", "{}", ",", "}", "\u{0}"] {
        refused(&format!(r#"{{"subject":"a"}}{rest}"#), "trailing");
    }
    read("{\"subject\":\"a\"} \n\t\r"); // white space is none
}

#[test]
fn a_bad_time_is_refused() {
    for text in [
        "",
        "now",
        "2026-08-01",
        "2026-08-01T12:30Z",
        "2026-08-01T12:30:00",
        "2026-08-01 12:30:00Z",
        "2026-08-01T12:30:00.Z",
        "2026-08-01T12:30:00,5Z",
        "2026-08-01T12:30:00.1234567891Z",
        "2026-08-01T12:30:00+0200",
        "2026-08-01T12:30:00+02",
        "2026-08-01T12:30:00+24:00",
        "2026-08-01T12:30:00-25:59",
        "2026-08-01T12:30:00+02:60",
        "2026-08-01T12:30:00Z[UTC]",
        "2026-08-01T12:30:00ZZ",
        "2026-13-01T12:30:00Z",
        "2026-02-29T12:30:00Z",
        "2026-08-01T24:00:00Z",
        "2026-08-01T12:60:00Z",
        "2026-08-01T12:30:61Z",
        "20260801T123000Z",
        "+002026-08-01T12:30:00Z",
        "-002026-08-01T12:30:00Z",
        "0000-01-01T00:00:00+00:01",
        "0000-01-01T00:00:59.5+00:01",
        "9999-12-31T00:00:00Z",
        "２026-08-01T12:30:00Z",
    ] {
        assert!(text.parse::<Timestamp>().is_err(), "{text}");
        refused(&format!(r#"{{"subject":"a","time":"{text}"}}"#), "RFC 3339");
    }
}

#[test]
fn invalid_utf_8_is_refused() {
    assert!(Envelope::from_json(b"{\"subject\":\"a\xff\"}").is_err());
    assert!(Envelope::from_json(b"{\"subject\":\"a\",\"payload\":\"\xff\"}").is_err());
    // In members that nobody looks into as well.
    let error = Envelope::from_json(b"{\"subject\":\"a\",\n\"x\":[\"\xff\"]}").unwrap_err();
    assert_eq!(error.to_string(), "invalid UTF-8 after 22 bytes");
}

#[test]
fn an_envelope_is_read_from_a_stream_too() {
    let json: &[u8] = br#"{"subject":"a\u002eb","time":"2026-08-01T12:30:00Z","payload":[ 1]}"#;
    let envelope: Envelope = serde_json::from_reader(json).unwrap();
    assert_eq!((envelope.subject().as_str(), envelope.payload()), ("a.b", Some("[ 1]")));
}

// ---- Time --------------------------------------------------------------------------------------

#[test]
fn a_time_has_up_to_nine_digits_without_trailing_zeros() {
    for (text, printed) in [
        ("2026-08-01T12:30:00Z", "2026-08-01T12:30:00Z"),
        ("2026-08-01T12:30:00.000000000Z", "2026-08-01T12:30:00Z"),
        ("2026-08-01T12:30:00.100Z", "2026-08-01T12:30:00.1Z"),
        ("2026-08-01T12:30:00.000000001Z", "2026-08-01T12:30:00.000000001Z"),
        ("2026-08-01T12:30:00.123456780Z", "2026-08-01T12:30:00.12345678Z"),
        ("2026-08-01t12:30:00z", "2026-08-01T12:30:00Z"),
        ("2026-08-01T12:30:00+02:00", "2026-08-01T10:30:00Z"),
        ("2026-08-01T12:30:00-00:00", "2026-08-01T12:30:00Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("0000-01-01T00:00:00Z", "0000-01-01T00:00:00Z"),
        ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.5Z"),
        ("9999-12-30T22:00:00.999999999Z", "9999-12-30T22:00:00.999999999Z"),
    ] {
        assert_eq!(time(text).to_string(), printed, "{text}");
        assert_eq!(serde_json::to_string(&time(text)).unwrap(), format!("\"{printed}\""));
    }
}

proptest! {
    #[test]
    fn a_time_reads_back(nanos in -62_167_219_200_000_000_000_i128..253_402_207_200_000_000_000) {
        let time = Timestamp::from_unix_nanos(nanos).unwrap();
        prop_assert_eq!(time.unix_nanos(), nanos);
        let text = time.to_string();
        prop_assert_eq!(text.parse(), Ok(time));
        prop_assert!(text.ends_with('Z') && !text.ends_with(".Z"));
        prop_assert!(!text.contains('.') || !text.ends_with("0Z"));
    }

    #[test]
    fn any_text_is_a_time_or_refused(text in "[0-9TtZz:.+-]{0,40}") {
        if let Ok(time) = text.parse::<Timestamp>() {
            prop_assert_eq!(time.to_string().parse(), Ok(time));
        }
    }
}

// ---- Trace -------------------------------------------------------------------------------------

const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

#[test]
fn a_traceparent_goes_in_and_out() {
    let parent: TraceParent = PARENT.parse().unwrap();
    assert_eq!(parent.to_string(), PARENT);
    let envelope = read(&bare("a").with_trace_parent(parent).to_json());
    assert_eq!(envelope.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    assert_eq!(envelope.span_id(), "00f067aa0ba902b7");
    assert_eq!(envelope.trace_parent(), Some(parent.with_flags(0)));
}

#[test]
fn a_malformed_traceparent_is_refused() {
    let long = |version: &str, rest: &str| format!("{version}{}{rest}", &PARENT[2..]);
    for text in [
        "",
        "00",
        &PARENT[..54],
        &PARENT.to_uppercase(),
        &PARENT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
        &PARENT.replace("00f067aa0ba902b7", &"0".repeat(16)),
        &PARENT.replace('-', "_"),
        &PARENT.replace("-01", "-0g"),
        &PARENT.replace("00f067aa0ba902b7", "+0f067aa0ba902b7"),
        &long("ff", ""),
        &long("00", "-x"),
        &long("01", "x"),
        &long("0", "0"),
        &PARENT.replacen("4bf92f3577b34da6", "ü4bf92f3577b34d", 1),
    ] {
        assert_eq!(text.parse::<TraceParent>(), Err(InvalidTraceParent), "{text}");
    }
}

#[test]
fn a_traceparent_of_a_later_version_is_read() {
    for rest in ["", "-", "-what the future brings"] {
        let text = format!("01{}{rest}", &PARENT[2..]);
        assert_eq!(text.parse::<TraceParent>().unwrap().to_string(), PARENT);
    }
}

#[test]
fn ids_of_another_form_make_no_traceparent() {
    for (trace, span) in [
        ("", ""),
        ("4bf92f3577b34da6a3ce929d0e0e4736", ""),
        ("", "00f067aa0ba902b7"),
        ("abc", "00f067aa0ba902b7"),
        ("4BF92F3577B34DA6A3CE929D0E0E4736", "00f067aa0ba902b7"),
        ("00000000000000000000000000000000", "00f067aa0ba902b7"),
        ("4bf92f3577b34da6a3ce929d0e0e4736", "0000000000000000"),
    ] {
        let json = format!(r#"{{"subject":"a","trace_id":"{trace}","span_id":"{span}"}}"#);
        assert_eq!(read(&json).trace_parent(), None, "{json}");
        assert_eq!((read(&json).trace_id(), read(&json).span_id()), (trace, span));
    }
}

#[cfg(feature = "opentelemetry")]
#[test]
fn a_new_envelope_names_the_current_span_both_ids_or_none() {
    use opentelemetry::trace::{
        SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState,
    };

    let outside = Envelope::new("a").unwrap();
    assert_eq!((outside.trace_id(), outside.span_id()), ("", ""));

    let enter = |trace: u128, span: u64| {
        let (trace, span) = (TraceId::from(trace), SpanId::from(span));
        let state = TraceState::default();
        let span = SpanContext::new(trace, span, TraceFlags::SAMPLED, false, state);
        opentelemetry::Context::new().with_remote_span_context(span).attach()
    };
    {
        let _span = enter(0xab, 0xcd);
        let inside = Envelope::new("a").unwrap();
        assert_eq!(inside.trace_parent(), TraceParent::new(0xab, 0xcd));
        assert_eq!(Envelope::json("a", &1).unwrap().trace_parent(), TraceParent::new(0xab, 0xcd));
    }
    for (trace, span) in [(0, 0), (0xab, 0), (0, 0xcd)] {
        let _span = enter(trace, span);
        let inside = Envelope::new("a").unwrap();
        assert_eq!((inside.trace_id(), inside.span_id()), ("", ""));
    }
}

#[cfg(feature = "opentelemetry")]
#[test]
fn a_received_span_can_be_the_parent() {
    use opentelemetry::trace::{SpanContext, TraceContextExt};

    let parent = TraceParent::new(0xab, 0xcd).unwrap().with_flags(TraceParent::SAMPLED);
    let span = SpanContext::from(parent);
    assert!(span.is_valid() && span.is_remote() && span.is_sampled());
    let _in = opentelemetry::Context::new().with_remote_span_context(span).attach();
    assert_eq!(Envelope::new("a").unwrap().trace_parent(), Some(parent.with_flags(0)));
}

proptest! {
    #[test]
    fn any_text_is_a_traceparent_or_refused(text in "[0-9a-f-]{0,60}") {
        if let Ok(parent) = text.parse::<TraceParent>() {
            prop_assert_eq!(parent.to_string().parse(), Ok(parent));
        }
    }

    #[test]
    fn a_traceparent_reads_back(trace in 1_u128.., span in 1_u64.., flags: u8) {
        let parent = TraceParent::new(trace, span).unwrap().with_flags(flags);
        prop_assert_eq!(parent.to_string().parse(), Ok(parent));
    }

    /// Whatever is put in comes back, and is written the same the second time.
    #[test]
    fn an_envelope_reads_back(
        id in ".*",
        subject in vec("[^.*>]{1,9}", 1..5),
        source in ".*",
        headers in btree_map(".*", ".*", 0..5),
        payload in proptest::option::of(vec(any::<i64>(), 0..5)),
        trace in proptest::option::of((1_u128.., 1_u64..)),
    ) {
        let mut envelope = Envelope::unstamped(&subject.join(".")).unwrap();
        envelope = envelope.with_id(id).with_source(source).with_time(time("2026-08-01T12:30:00Z"));
        for (key, value) in headers {
            envelope.headers_mut().insert(key, value);
        }
        if let Some(payload) = payload {
            envelope = envelope.with_payload(&payload).unwrap();
        }
        if let Some((trace, span)) = trace {
            envelope = envelope.with_trace_parent(TraceParent::new(trace, span).unwrap());
        }
        let back = read(&envelope.to_json());
        prop_assert_eq!(&back, &envelope);
        prop_assert_eq!(back.to_json(), envelope.to_json());
        prop_assert_eq!(serde_json::to_string(&envelope).unwrap(), envelope.to_json());
    }

    #[test]
    fn any_bytes_are_an_envelope_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Envelope::from_json(&bytes);
    }
}

// ---- The rest ----------------------------------------------------------------------------------

#[test]
fn equality_looks_at_every_field() {
    let one = || bare("a").with_raw_payload("1").unwrap();
    assert_eq!(one(), one());
    let parent = TraceParent::new(1, 2).unwrap();
    for other in [
        bare("a"),
        bare("b").with_raw_payload("1").unwrap(),
        one().with_id("8"),
        one().with_time(Timestamp::from_unix_nanos(0).unwrap()),
        one().with_source("s"),
        one().with_trace_parent(parent),
        one().header("k", ""),
        one().with_raw_payload("1.0").unwrap(),
    ] {
        assert_ne!(one(), other);
    }
    let spans = [1, 2].map(|span| one().with_trace_parent(TraceParent::new(1, span).unwrap()));
    assert_ne!(spans[0], spans[1]);
    let traces = [1, 2].map(|trace| one().with_trace_parent(TraceParent::new(trace, 1).unwrap()));
    assert_ne!(traces[0], traces[1]);
}

#[test]
fn debug_does_not_show_the_payload() {
    let text = format!("{:?}", bare("a").with_raw_payload("\"secret\"").unwrap());
    assert!(text.contains("payload_len: Some(8)") && !text.contains("secret"), "{text}");
}
