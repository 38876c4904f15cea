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
use serde_json::value::RawValue;
use tickbus::Envelope;
use tickbus::envelope::{Headers, InvalidEnvelope, InvalidTraceParent, Timestamp, TraceParent};
use tickbus::error::SubjectFault;

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
        let Err(InvalidEnvelope::Subject(invalid)) = Envelope::json(subject, &Untouchable) else {
            panic!("{subject} is not a subject");
        };
        assert_eq!(Err(invalid), Envelope::new(subject).map(drop));
    }
    assert_eq!(Envelope::unstamped("").unwrap_err().fault(), SubjectFault::Empty);
}

#[test]
fn a_payload_that_cannot_be_json_is_an_error_that_names_the_subject() {
    let keys_are_no_texts = BTreeMap::from([((1, 2), 3)]);
    let error = Envelope::json("map.seen", &keys_are_no_texts).unwrap_err();
    assert!(matches!(error, InvalidEnvelope::Payload(_)));
    assert!(error.to_string().starts_with("the payload for `map.seen` is not JSON: "), "{error}");
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

/// Valid as raw text, and not a text when it is decoded.
#[test]
fn a_malformed_text_in_a_payload_is_found_when_it_is_decoded() {
    let envelope = bare("a").with_raw_payload(r#""\ud800""#).unwrap();
    assert!(envelope.decode::<String>().is_err());
}

// ---- Bytes -------------------------------------------------------------------------------------

#[test]
fn bytes_come_back_the_same() {
    for (bytes, text) in [
        (&[][..], ""),
        (b"f", "Zg=="),
        (b"fo", "Zm8="),
        (b"foo", "Zm9v"),
        (b"foob", "Zm9vYg=="),
        (b"fooba", "Zm9vYmE="),
        (b"foobar", "Zm9vYmFy"),
        (&[0xfb, 0xff, 0xbf], "+/+/"),
    ] {
        let made = bare("a").with_bytes(bytes);
        assert_eq!((made.bytes(), made.payload()), (Some(bytes), None));
        let json = made.to_json();
        assert!(json.ends_with(&format!(r#"Z","payload_base64":"{text}"}}"#)), "{json}");
        assert_eq!(read(&json), made);
        assert_eq!(serde_json::to_string(&made).unwrap(), json);
    }
    let all: Vec<u8> = (0..=255).cycle().take(100_000).collect();
    let made = bare("a").with_bytes(all.clone());
    assert_eq!(read(&made.to_json()).bytes(), Some(&*all));
}

#[test]
fn a_payload_is_json_or_bytes() {
    let bytes = bare("a").with_raw_payload("1").unwrap().with_bytes([1]);
    assert_eq!((bytes.bytes(), bytes.payload()), (Some(&[1][..]), None));
    assert_ne!(bytes, bare("a").with_bytes([2]));
    assert_ne!(bytes, bare("a"));
    let json = bytes.with_payload(&1).unwrap();
    assert_eq!((json.bytes(), json.payload()), (None, Some("1")));
    assert_ne!(bare("a").with_bytes([]), bare("a"), "no bytes are not no payload");
    refused(
        r#"{"subject":"a","payload":null,"payload_base64":""}"#,
        "both `payload` and `payload_base64` are there",
    );
    refused(r#"{"subject":"a","payload_base64":"","payload_base64":""}"#, "duplicate");
}

#[test]
fn bytes_do_not_decode_and_the_error_names_the_subject() {
    let error = bare("order.7.scan").with_bytes(*b"1").decode::<u32>().unwrap_err();
    assert_eq!(error.subject().as_str(), "order.7.scan");
    let why = "the payload of `order.7.scan` does not decode: it is bytes, not JSON";
    assert_eq!(error.to_string(), why);
}

#[test]
fn what_is_no_base64_is_refused() {
    for value in ["1", "null", "[]", "{}", "true"] {
        refused(&format!(r#"{{"subject":"a","payload_base64":{value}}}"#), "invalid type");
    }
    for text in
        ["Z", "Zg", "Zg=", "Zm8", "Zm9v====", "Zm9-", "Zh==", " Zg==", "Zg==Zg==", "Zg\\n=="]
    {
        let json = format!(r#"{{"subject":"a","payload_base64":"{text}"}}"#);
        refused(&json, "not bytes in base64: ");
    }
}

// ---- What comes back ---------------------------------------------------------------------------

#[track_caller]
fn comes_back<T: Serialize + serde::de::DeserializeOwned + PartialEq + core::fmt::Debug>(value: T) {
    let sent = Envelope::json("a", &value).unwrap();
    assert_eq!(read(&sent.to_json()).decode::<T>().unwrap().unwrap(), value);
}

#[track_caller]
fn does_not_go<T: Serialize + core::fmt::Debug>(value: T, why: &str) {
    let error = bare("a").with_payload(&value).expect_err(why).to_string();
    assert!(error.starts_with("the payload for `a` is not JSON: "), "{value:?}: {error}");
    assert!(error.contains(why), "{value:?}: {error}");
    assert!(Envelope::json("a", &value).is_err());
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
struct New<T>(T);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
enum Each<T> {
    Unit,
    New(T),
    Two(T, T),
    Named { it: T },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unit;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Two<T>(T, T);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Named<T> {
    it: T,
}

#[test]
fn a_float_that_is_no_number_is_an_error_not_null() {
    for n in [f64::NAN, -f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let why = "NaN or infinite";
        does_not_go(n, why);
        does_not_go(n as f32, why);
        does_not_go(Some(n), why);
        does_not_go([0.5, n], why);
        does_not_go(vec![n], why);
        does_not_go((1, n), why);
        does_not_go(New(New(n)), why);
        does_not_go(Two(0.5, n), why);
        does_not_go(Named { it: Some(n) }, why);
        does_not_go(BTreeMap::from([("a", n)]), why);
        does_not_go(Each::New(n), why);
        does_not_go(Each::Two(0.5, n), why);
        does_not_go(Each::Named { it: n }, why);
        does_not_go(vec![BTreeMap::from([("a", Some(Each::New([n])))])], why);
    }
}

#[test]
fn a_some_that_would_come_back_as_none_is_an_error() {
    let why = "a `Some` of what is `null`";
    does_not_go(Some(()), why);
    does_not_go(Some(Unit), why);
    does_not_go(Some(None::<u8>), why);
    does_not_go(Some(Some(())), why);
    does_not_go(Some(New(New(None::<u8>))), why);
    does_not_go(Some(serde_json::Value::Null), why);
    let raw = |text: &str| RawValue::from_string(text.into()).unwrap();
    for value in
        [Envelope::json("a", &Some(raw("null"))), Envelope::json("a", &[Some(raw(" null"))])]
    {
        assert!(value.unwrap_err().to_string().contains(why));
    }
    for text in ["1", "[null]", "\"null\""] {
        assert_eq!(Envelope::json("a", &Some(raw(text))).unwrap().payload(), Some(text));
    }
    assert_eq!(Envelope::json("a", &raw("null")).unwrap().payload(), Some("null"));
    comes_back(Some("null".to_string()));
    does_not_go([Named { it: Some(()) }], why);
    does_not_go(Each::New(Some(None::<u8>)), why);
    for value in [None, Some(None), Some(Some(1))].map(|it: Option<Option<u8>>| (it, [it])) {
        match value {
            (Some(None), _) => does_not_go(value, why),
            _ => comes_back(value),
        }
    }
    comes_back(Some([(), ()]));
    comes_back(Some((None::<u8>,)));
    comes_back(Some(Named { it: None::<u8> }));
    comes_back(Some(Each::<()>::Unit));
    comes_back(Some(Each::New(None::<u8>)));
    comes_back(Some(BTreeMap::from([(1, None::<u8>)])));
}

#[test]
fn every_other_value_comes_back_as_it_was() {
    comes_back(());
    comes_back(Unit);
    comes_back(None::<u8>);
    comes_back([u64::MAX, 0]);
    comes_back([i64::MIN, i64::MAX]);
    comes_back([u128::MAX, u128::from(u64::MAX) + 1]);
    comes_back([i128::MIN, i128::MAX]);
    comes_back(New(New(u128::MAX)));
    comes_back(['\0', 'ü', '"', '\u{10ffff}']);
    comes_back("\0\u{7f}\u{2028}\\\"/".to_owned());
    comes_back(b"\x00\xff".to_vec());
    comes_back(BTreeMap::<u8, u8>::new());
    comes_back((Vec::<u8>::new(), String::new(), [BTreeMap::<char, ()>::new()]));
    for it in [Each::Unit, Each::New(1), Each::Two(1, 2), Each::Named { it: 3 }] {
        comes_back(Some(it.clone()));
        comes_back(Two(Named { it: it.clone() }, Named { it }));
    }
    comes_back(Ok::<(), String>(()));
    comes_back(core::time::Duration::MAX);
    comes_back(core::net::IpAddr::from([0, 0, 0, 1]));
    // Keys that are no texts are written as texts.
    comes_back(BTreeMap::from([(u128::MAX, 1), (0, 2)]));
    comes_back(BTreeMap::from([(i128::MIN, 1), (-1, 2)]));
    comes_back(BTreeMap::from([(true, 1), (false, 2)]));
    comes_back(BTreeMap::from([('ü', 1), ('\0', 2)]));
    comes_back(BTreeMap::from([(Some(3), 1), (Some(4), 2)]));
    comes_back(BTreeMap::from([(New(3), 1)]));
    comes_back(BTreeMap::from([(Each::<u8>::Unit, 1)]));
    does_not_go(BTreeMap::from([((1, 2), 3)]), "key must be a string");
    does_not_go(BTreeMap::from([(None::<u8>, 3)]), "key must be a string");
    does_not_go(BTreeMap::from([(Each::New(1), 3)]), "key must be a string");
    does_not_go(BTreeMap::from([((), 3)]), "key must be a string");
}

proptest! {
    /// To the bit: a replay of what was recorded must not drift.
    #[test]
    fn every_float_that_is_a_number_comes_back(
        bits: u64, single: u32, decimal in "-?[0-9]{1,20}\\.[0-9]{1,20}e-?[0-9]{1,2}",
    ) {
        let it = (f64::from_bits(bits), f32::from_bits(single));
        if it.0.is_finite() && it.1.is_finite() {
            let sent = bare("a").with_payload(&it).unwrap();
            let back: (f64, f32) = sent.decode().unwrap().unwrap();
            prop_assert_eq!((back.0.to_bits(), back.1.to_bits()), (bits, single));
        } else {
            prop_assert!(bare("a").with_payload(&it).is_err());
        }
        let sent = bare("a").with_raw_payload(decimal.trim_start_matches("-0").trim_start_matches('0'));
        if let Ok(sent) = sent {
            let text = sent.payload().unwrap();
            prop_assert_eq!(sent.decode::<f64>().unwrap().unwrap(), text.parse::<f64>().unwrap());
        }
    }
}

// ---- In types that serde buffers ---------------------------------------------------------------

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Tagged {
    Publish(Envelope),
    Both { first: Envelope, second: Option<Box<Envelope>> },
    Close,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "op", content = "of")]
enum Adjacent {
    Publish(Envelope),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u32),
    One(Envelope),
    Many(Vec<Envelope>),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Flat {
    #[serde(flatten)]
    envelope: Envelope,
    retries: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Rest {
    retries: u32,
    #[serde(flatten)]
    tagged: Tagged,
}

#[track_caller]
fn survives<T>(value: &T)
where
    T: Serialize + serde::de::DeserializeOwned + PartialEq + core::fmt::Debug,
{
    let text = serde_json::to_string(value).unwrap();
    assert_eq!(serde_json::from_str::<T>(&text).expect(&text), *value, "{text}");
    assert_eq!(serde_json::from_reader::<_, T>(text.as_bytes()).expect(&text), *value, "{text}");
}

#[track_caller]
fn survives_in_all(envelope: &Envelope) {
    let it = || envelope.clone();
    survives(envelope);
    survives(&Tagged::Publish(it()));
    survives(&Tagged::Both { first: it(), second: Some(Box::new(it())) });
    survives(&Tagged::Both { first: it(), second: None });
    survives(&Adjacent::Publish(it()));
    survives(&Untagged::One(it()));
    survives(&Untagged::Many(vec![it(), it()]));
    survives(&Flat { envelope: it(), retries: 3 });
    survives(&Rest { retries: 3, tagged: Tagged::Publish(it()) });
    survives(&Some(Named { it: it() }));
    survives(&BTreeMap::from([("a".to_owned(), it())]));
}

#[test]
fn an_envelope_reads_back_from_what_serde_buffers() {
    let whole = bare("a.b")
        .with_source("s")
        .header("k", "v")
        .with_trace_parent(TraceParent::new(1, 2).unwrap().with_flags(1));
    survives_in_all(&Envelope::unstamped("a").unwrap());
    survives_in_all(&whole);
    survives_in_all(&whole.clone().with_bytes([]));
    survives_in_all(&whole.clone().with_bytes([0, 0xff, 0xfb]));
    for number in [5e-324, f64::MAX, f64::MIN_POSITIVE, -0.0, 0.1, 2.5e-7] {
        survives_in_all(&whole.clone().with_payload(&[number]).unwrap());
    }
    for payload in [
        "null",
        "true",
        "false",
        "0",
        "-1",
        "18446744073709551615",
        "-9223372036854775808",
        "1.5",
        r#""""#,
        r#""a\"\\\n\u0001ü""#,
        "[]",
        "[[],[null,[1]],{}]",
        "{}",
        r#"{"z":1,"a":{"":null,"\n":[{}]},"z":2}"#,
        r#"{"subject":"other","payload":{"payload":1},"op":"close"}"#,
    ] {
        survives_in_all(&whole.clone().with_raw_payload(payload).unwrap());
    }
}

#[test]
fn what_was_buffered_is_written_anew() {
    let hundred = if keeps_digits() { "1e+2" } else { "100.0" };
    for (payload, anew) in [
        ("{ \"a\" :\t[ 1 ,\n 2 ] }", r#"{"a":[1,2]}"#),
        (r#""\u0041\/""#, r#""A/""#),
        (r#"{"z":1,"a":2,"z":3}"#, r#"{"z":1,"a":2,"z":3}"#),
        ("1e2", hundred),
    ] {
        let json = format!(r#"{{"op":"publish","subject":"a","payload":{payload}}}"#);
        let Tagged::Publish(envelope) = serde_json::from_str(&json).unwrap() else { panic!() };
        assert_eq!(envelope.payload(), Some(anew), "{payload}");
    }
}

/// Whether `serde_json` was built to keep the digits of numbers, as some crates ask it to.
fn keeps_digits() -> bool {
    serde_json::from_str::<serde_json::Number>("1e999").is_ok()
}

/// Never another number in silence: a type that holds it exactly gets it, or an error.
#[test]
fn a_number_of_many_digits_that_was_buffered_is_told_or_kept() {
    let digits = "123456789012345678901234567890";
    let json = format!(r#"{{"op":"publish","subject":"a","payload":[{digits}]}}"#);
    let Tagged::Publish(envelope) = serde_json::from_str(&json).unwrap() else { panic!() };
    match envelope.decode::<[u128; 1]>() {
        Ok(number) => assert_eq!(number.unwrap()[0].to_string(), digits),
        Err(error) => assert!(error.to_string().starts_with("the payload of `a` does not decode")),
    }
    assert_eq!(envelope.payload().unwrap().contains(digits), keeps_digits());
    let json = r#"{"op":"publish","subject":"a","payload":1e400}"#;
    match serde_json::from_str::<Tagged>(json) {
        Ok(Tagged::Publish(envelope)) => {
            assert_eq!((envelope.payload(), keeps_digits()), (Some("1e+400"), true));
        }
        other => assert!(other.unwrap_err().to_string().contains("number out of range")),
    }
}

#[test]
fn what_is_wrong_is_wrong_in_what_serde_buffers_too() {
    let not_base64 = [r#""subject":"a","payload_base64":"#, r#""Zg""#].concat();
    for members in [
        r#""subject":"a..b""#,
        r#""id":"7""#,
        r#""subject":"a","time":"noon""#,
        r#""subject":"a","id":7"#,
        r#""subject":"a","source":null"#,
        r#""subject":"a","headers":{"k":1}"#,
        r#""subject":"a","headers":{"k":"1","k":"2"}"#,
        r#""subject":"a","payload":1,"payload_base64":"""#,
        r#""subject":"a","payload":1,"payload":2"#,
        &not_base64,
    ] {
        assert!(
            serde_json::from_str::<Tagged>(&format!(r#"{{"op":"publish",{members}}}"#)).is_err()
        );
        assert!(serde_json::from_str::<Untagged>(&format!("{{{members}}}")).is_err());
        assert!(serde_json::from_str::<Flat>(&format!(r#"{{"retries":1,{members}}}"#)).is_err());
    }
    // A name that stands for raw text inside of serde_json brings no JSON in that is none.
    for text in ["1,2", "}", "1}}", "", "\\\"", "nul"] {
        let raw = format!(r#"{{"$serde_json::private::RawValue":"{text}"}}"#);
        let json = format!(r#"{{"op":"publish","subject":"a","payload":{raw}}}"#);
        assert!(serde_json::from_str::<Tagged>(&json).is_err(), "{json}");
    }
}

/// A value of `serde_json`, and formats that hand out maps and nothing else.
#[test]
fn an_envelope_reads_back_from_values_too() {
    for payload in ["null", "1", r#"{"a":[1,{"b":"c"}],"b":-0.5}"#, "\"x\"", "[]"] {
        let envelope = bare("a").with_raw_payload(payload).unwrap();
        let value = serde_json::to_value(&envelope).unwrap();
        assert_eq!(serde_json::from_value::<Envelope>(value.clone()).unwrap(), envelope);
        assert_eq!(Envelope::deserialize(&value).unwrap(), envelope);
        let tagged = serde_json::to_value(Tagged::Publish(envelope.clone())).unwrap();
        assert_eq!(serde_json::from_value::<Tagged>(tagged).unwrap(), Tagged::Publish(envelope));
    }
}

// ---- Errors say where --------------------------------------------------------------------------

#[test]
fn an_error_of_json_begins_with_its_place() {
    for (json, begin) in [
        ("", "line 1 column 1: EOF while parsing"),
        ("7", "line 1 column 1: invalid type: integer `7`"),
        ("true", "line 1 column 4: invalid type: boolean `true`"),
        ("null", "line 1 column 4: invalid type: null"),
        (r#""door""#, "line 1 column 6: invalid type: string"),
        ("[1, 2]", "line 1 column 1: invalid type: sequence"),
        ("\n\n7", "line 3 column 1: invalid type: integer `7`"),
        ("{\n", "line 2 column 1: EOF while parsing"),
        ("{", "line 1 column 1: EOF while parsing"),
        ("nul", "line 1 column 3: "),
        (r#"{"subject":"a"} x"#, "line 1 column 17: trailing characters"),
        (r#"{"subject":"a","id":7}"#, "line 1 column 21: invalid type: integer `7`"),
        (
            "{\"id\":\"7\",\n \"subject\":\"a..b\"\n}",
            "line 3 column 1: `a..b`: the subject has two",
        ),
        ("{}", "line 1 column 2: missing field `subject`"),
        (r#"{"id":"7","subject":"a","time":"yesterday"}"#, "line 1 column 42: not a time: "),
        (
            r#"{"subject":"a","headers":{"k":"1","k":"2"}}"#,
            "line 1 column 42: duplicate header `k`",
        ),
        // A text that looks like a place is none.
        (r#"{"subject":"a.. at line 7 column 8"}"#, "line 1 column 36: `a.. at line 7 column 8`: "),
    ] {
        let error = Envelope::from_json(json).expect_err(json);
        assert!(error.to_string().starts_with(begin), "{json}: {error}");
        assert!(!error.to_string().contains(" at line 1"), "once is enough: {error}");
        let place = format!("line {} column {}: ", error.line(), error.column());
        assert!(begin.starts_with(&place), "{json}: {place}");
        assert!(error.source().is_some());
    }
    let error = bare("a").with_raw_payload("[1,\n?]").unwrap_err().to_string();
    assert_eq!(error, "the payload for `a` is not JSON: line 2 column 1: expected value");
    let envelope = bare("a").with_raw_payload("[1,\n-2]").unwrap();
    let error = envelope.decode::<Vec<u8>>().unwrap_err().to_string();
    assert!(error.starts_with("the payload of `a` does not decode: line 2 column 2: "), "{error}");
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
    // A reader of the first and a reader of the last would see two tenants.
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
        "9999-12-31T23:59:59-00:01",
        "9999-12-31T23:59:59.999999999-23:59",
        "10000-01-01T00:00:00+01:00",
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
    // Also in members that are ignored.
    let error = Envelope::from_json(b"{\"subject\":\"a\",\n\"x\":[\"\xff\"]}").unwrap_err();
    assert_eq!((error.line(), error.column()), (2, 7));
    assert_eq!(error.to_string(), "line 2 column 7: invalid UTF-8");
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
        ("9999-12-31T23:59:59.999999999Z", "9999-12-31T23:59:59.999999999Z"),
        ("9999-12-31T23:59:59.9999999999999999Z", "9999-12-31T23:59:59.999999999Z"),
        ("0000-01-01T00:00:00.0000000009Z", "0000-01-01T00:00:00Z"),
    ] {
        assert_eq!(time(text).to_string(), printed, "{text}");
        assert_eq!(serde_json::to_string(&time(text)).unwrap(), format!("\"{printed}\""));
    }
}

/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59.999999999Z.
const FIRST: i128 = -62_167_219_200_000_000_000;
const LAST: i128 = 253_402_300_799_999_999_999;

#[test]
fn every_year_of_four_digits_is_a_time_from_its_first_to_its_last_nanosecond() {
    for (nanos, text) in [(FIRST, "0000-01-01T00:00:00Z"), (LAST, "9999-12-31T23:59:59.999999999Z")]
    {
        let made = Timestamp::from_unix_nanos(nanos).unwrap();
        assert_eq!((made.to_string(), made.unix_nanos()), (text.to_owned(), nanos));
        assert_eq!(time(text), made);
        let sent = bare("a").with_time(made);
        assert_eq!((sent.time(), read(&sent.to_json()).time()), (Some(made), Some(made)));
        let sent = sent.with_source("/a");
        let event = sent.to_cloud_event().unwrap();
        assert_eq!(Envelope::from_cloud_event(&event).unwrap().time(), Some(made));
        let json = serde_json::to_string(&made).unwrap();
        assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), made);
    }
    for nanos in [FIRST - 1, LAST + 1, i128::MIN, i128::MAX, i64::MIN.into(), -i128::MAX] {
        let made = Timestamp::from_unix_nanos(nanos);
        assert_eq!(made.is_ok(), (FIRST..=LAST).contains(&nanos), "{nanos}");
    }
    // The same, seen from elsewhere.
    for (text, utc) in [
        ("0000-01-01T23:59:00+23:59", "0000-01-01T00:00:00Z"),
        ("9999-12-31T00:00:59.999999999-23:59", "9999-12-31T23:59:59.999999999Z"),
        ("9999-12-31T23:59:59.999999999+23:59", "9999-12-31T00:00:59.999999999Z"),
        ("9999-12-31T23:59:59.999999999+00:00", "9999-12-31T23:59:59.999999999Z"),
    ] {
        assert_eq!(time(text).to_string(), utc, "{text}");
    }
}

/// The examples of RFC 3339, section 5.8, the grammar of 5.6 piece by piece, and the cases of the test suite
/// of JSON Schema.
#[test]
fn rfc_3339_case_by_case() {
    for (text, utc) in [
        // 5.8
        ("1985-04-12T23:20:50.52Z", Some("1985-04-12T23:20:50.52Z")),
        ("1996-12-19T16:39:57-08:00", Some("1996-12-20T00:39:57Z")),
        ("1990-12-31T23:59:60Z", Some("1990-12-31T23:59:59Z")),
        ("1990-12-31T15:59:60-08:00", Some("1990-12-31T23:59:59Z")),
        ("1937-01-01T12:00:27.87+00:20", Some("1937-01-01T11:40:27.87Z")),
        // 5.6: letters of either case, but no space for the `T`.
        ("1985-04-12t23:20:50.52z", Some("1985-04-12T23:20:50.52Z")),
        ("1985-04-12t23:20:50.52-00:00", Some("1985-04-12T23:20:50.52Z")),
        ("1985-04-12 23:20:50.52Z", None),
        ("1985-04-12_23:20:50.52Z", None),
        ("1985-04-1223:20:50.52Z", None),
        ("1985-04-12T23:20:50.52 Z", None),
        (" 1985-04-12T23:20:50.52Z", None),
        ("1985-04-12T23:20:50.52Z ", None),
        ("1985-04-12T23:20:50.52Z\n", None),
        // 5.6: two digits each, four for the year, one or more for the fraction.
        ("985-04-12T23:20:50.52Z", None),
        ("01985-04-12T23:20:50.52Z", None),
        ("1985-4-12T23:20:50.52Z", None),
        ("1985-04-2T23:20:50.52Z", None),
        ("1985-04-12T3:20:50.52Z", None),
        ("1985-04-12T23:20:5.52Z", None),
        ("1985-04-12T23:20Z", None),
        ("1985-04-12T23:20:50.Z", None),
        ("1985-04-12T23:20:50.5Z", Some("1985-04-12T23:20:50.5Z")),
        ("1985-04-12T23:20:50.1234567894999Z", Some("1985-04-12T23:20:50.123456789Z")),
        ("1985-04-12T00:59:59.999999999999999Z", Some("1985-04-12T00:59:59.999999999Z")),
        ("1985-04-12T00:59:59.1234567890+00:01", Some("1985-04-12T00:58:59.123456789Z")),
        ("1985-04-12T00:59:59.000000000000000000000000000001Z", Some("1985-04-12T00:59:59Z")),
        ("1985-04-12T00:59:59.000000000x00Z", None),
        ("1985-04-12T00:59:59.12345678901", None),
        // 5.6: an offset that is whole.
        ("1985-04-12T23:20:50.52", None),
        ("1985-04-12T23:20:50.52+", None),
        ("1985-04-12T23:20:50.52+01", None),
        ("1985-04-12T23:20:50.52+0100", None),
        ("1985-04-12T23:20:50.52+1:00", None),
        ("1985-04-12T23:20:50.52+01:00Z", None),
        ("1985-04-12T23:20:50.52+01:00:00", None),
        ("1985-04-12T23:20:50.52UTC", None),
        ("1985-04-12T23:20:50.52\u{2212}01:00", None),
        ("1985-04-12T23:20:50.52+23:59", Some("1985-04-11T23:21:50.52Z")),
        ("1985-04-12T23:20:50.52-23:59", Some("1985-04-13T23:19:50.52Z")),
        // 5.7
        ("1985-00-12T23:20:50Z", None),
        ("1985-13-12T23:20:50Z", None),
        ("1985-04-00T23:20:50Z", None),
        ("1985-04-31T23:20:50Z", None),
        ("1985-02-29T23:20:50Z", None),
        ("1900-02-29T23:20:50Z", None),
        ("2000-02-29T23:20:50Z", Some("2000-02-29T23:20:50Z")),
        ("1984-02-29T23:20:50Z", Some("1984-02-29T23:20:50Z")),
        ("1985-04-12T24:00:00Z", None),
        ("1985-04-12T23:60:00Z", None),
        ("1985-04-12T23:20:50+24:00", None),
        ("1985-04-12T23:20:50+10:60", None),
        // 5.7: a leap second ends a month, in UTC.
        ("1972-06-30T23:59:60Z", Some("1972-06-30T23:59:59Z")),
        ("1998-12-31T15:59:60.123-08:00", Some("1998-12-31T23:59:59.123Z")),
        ("1999-01-01T00:59:60+01:00", Some("1998-12-31T23:59:59Z")),
        ("1998-12-31T23:59:60+01:00", None),
        ("1998-12-31T23:59:61Z", None),
        ("1998-12-31T23:58:60Z", None),
        ("1998-12-31T22:59:60Z", None),
        ("1998-12-30T23:59:60Z", None),
        ("9999-12-31T23:59:60Z", Some("9999-12-31T23:59:59Z")),
        // Other forms of ISO 8601, other digits, other texts.
        ("2013-350T01:01:01Z", None),
        ("2013-W50-1T01:01:01Z", None),
        ("20130612T010101Z", None),
        ("1963-06-1\u{9ea}T00:00:00Z", None),
        ("1963-06-11T0\u{9ea}:00:00Z", None),
        ("+11963-06-19T08:30:06.283185Z", None),
        ("06/19/1963 08:30:06 PST", None),
        ("", None),
        ("Z", None),
    ] {
        let read = text.parse::<Timestamp>().ok().map(|time| time.to_string());
        assert_eq!(read.as_deref(), utc, "{text}");
    }
}

proptest! {
    #[test]
    fn a_time_reads_back(nanos in FIRST..=LAST) {
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
    assert_eq!(envelope.trace_parent(), Some(parent));
}

const TRACE: &str = "12345678901234567890123456789012";

/// The cases of the test suite of the W3C, in its order, and what is written of each.
#[test]
fn w3c_trace_context_case_by_case() {
    const SAME: &str = "00-12345678901234567890123456789012-1234567890123456-01";
    const PLAIN: &str = "00-12345678901234567890123456789012-1234567890123456-00";
    for (text, written) in [
        ("00-12345678901234567890123456789012-1234567890123456-01", Some(SAME)),
        ("00-12345678901234567890123456789012-1234567890123456-00", Some(PLAIN)),
        // Version 00 ends after the flags.
        ("00-12345678901234567890123456789012-1234567890123456-01.", None),
        ("00-12345678901234567890123456789012-1234567890123456-01-", None),
        (
            "00-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like",
            None,
        ),
        // A later version may go on, after a dash.
        ("cc-12345678901234567890123456789012-1234567890123456-01", Some(SAME)),
        ("cc-12345678901234567890123456789012-1234567890123456-01-", Some(SAME)),
        (
            "cc-12345678901234567890123456789012-1234567890123456-01-what-the-future-will-be-like",
            Some(SAME),
        ),
        (
            "cc-12345678901234567890123456789012-1234567890123456-01.what-the-future-will-be-like",
            None,
        ),
        ("01-12345678901234567890123456789012-1234567890123456-01-\u{fc}", Some(SAME)),
        ("fe-12345678901234567890123456789012-1234567890123456-00", Some(PLAIN)),
        ("ff-12345678901234567890123456789012-1234567890123456-01", None),
        ("ff-12345678901234567890123456789012-1234567890123456-01-more", None),
        // The version.
        (".0-12345678901234567890123456789012-1234567890123456-01", None),
        ("0.-12345678901234567890123456789012-1234567890123456-01", None),
        ("CC-12345678901234567890123456789012-1234567890123456-01", None),
        ("000-12345678901234567890123456789012-1234567890123456-01", None),
        ("0000-12345678901234567890123456789012-1234567890123456-01", None),
        ("0-12345678901234567890123456789012-1234567890123456-01", None),
        ("-12345678901234567890123456789012-1234567890123456-01", None),
        // The trace.
        ("00-00000000000000000000000000000000-1234567890123456-01", None),
        ("00-.2345678901234567890123456789012-1234567890123456-01", None),
        ("00-1234567890123456789012345678901.-1234567890123456-01", None),
        ("00-A2345678901234567890123456789012-1234567890123456-01", None),
        ("00-123456789012345678901234567890123-1234567890123456-01", None),
        ("00-1234567890123456789012345678901-1234567890123456-01", None),
        // The span.
        ("00-12345678901234567890123456789012-0000000000000000-01", None),
        ("00-12345678901234567890123456789012-.234567890123456-01", None),
        ("00-12345678901234567890123456789012-123456789012345.-01", None),
        ("00-12345678901234567890123456789012-A234567890123456-01", None),
        ("00-12345678901234567890123456789012-12345678901234567-01", None),
        ("00-12345678901234567890123456789012-123456789012345-01", None),
        // The flags. Those that version 00 does not define are not written.
        ("00-12345678901234567890123456789012-1234567890123456-.0", None),
        ("00-12345678901234567890123456789012-1234567890123456-0.", None),
        ("00-12345678901234567890123456789012-1234567890123456-0A", None),
        ("00-12345678901234567890123456789012-1234567890123456-001", None),
        ("00-12345678901234567890123456789012-1234567890123456-1", None),
        ("00-12345678901234567890123456789012-1234567890123456-", None),
        ("00-12345678901234567890123456789012-1234567890123456", None),
        ("00-12345678901234567890123456789012-1234567890123456-ff", Some(SAME)),
        ("00-12345678901234567890123456789012-1234567890123456-fe", Some(PLAIN)),
        ("00-12345678901234567890123456789012-1234567890123456-03", Some(SAME)),
        ("cc-12345678901234567890123456789012-1234567890123456-09-x", Some(SAME)),
        // White space of the header.
        (" 00-12345678901234567890123456789012-1234567890123456-01", Some(SAME)),
        ("\t00-12345678901234567890123456789012-1234567890123456-01", Some(SAME)),
        ("00-12345678901234567890123456789012-1234567890123456-01 ", Some(SAME)),
        ("00-12345678901234567890123456789012-1234567890123456-01\t", Some(SAME)),
        ("\t 00-12345678901234567890123456789012-1234567890123456-01 \t", Some(SAME)),
        ("00-12345678901234567890123456789012-1234567890123456-01\n", None),
        ("00 -12345678901234567890123456789012-1234567890123456-01", None),
    ] {
        let read = text.parse::<TraceParent>();
        assert_eq!(read.map(|parent| parent.to_string()).ok().as_deref(), written, "{text:?}");
        let Ok(parent) = read else { continue };
        assert_eq!(parent.is_sampled(), written == Some(SAME), "{text:?}");
        // In an envelope: made of it, and with it in the header alone.
        for envelope in [bare("a").with_trace_parent(parent), bare("a").header("traceparent", text)]
        {
            assert_eq!(envelope.trace_parent(), Some(parent), "{text:?}");
            assert_eq!(self::read(&envelope.to_json()).trace_parent(), Some(parent), "{text:?}");
        }
    }
}

#[test]
fn an_envelope_keeps_the_sampled_flag_of_its_own_span_alone() {
    let sampled = TraceParent::new(0xab, 0xcd).unwrap().with_flags(TraceParent::SAMPLED);
    let plain = sampled.with_flags(0);
    let envelope = bare("a").with_trace_parent(sampled);
    assert_eq!(envelope.headers().get("traceparent"), sampled.to_string());
    assert_eq!(read(&envelope.to_json()), envelope);
    assert_eq!(serde_json::from_str::<Envelope>(&envelope.to_json()).unwrap(), envelope);

    let not = envelope.clone().with_trace_parent(plain);
    assert_eq!((not.trace_parent(), not.headers().is_empty()), (Some(plain), true));
    // The header of another span, or of none, says nothing about this one.
    let other = TraceParent::new(0xab, 0xce).unwrap().with_flags(TraceParent::SAMPLED);
    for header in [other.to_string(), String::new(), "x".to_owned()] {
        let envelope = not.clone().header("traceparent", header);
        assert_eq!(envelope.trace_parent(), Some(plain));
        assert_eq!(read(&envelope.to_json()).trace_parent(), Some(plain));
    }
    // The name of a header has any case, and no other letters.
    for (key, found) in [
        ("TraceParent", true),
        ("TrAcEpArEnT", true),
        ("TRACEPARENT", true),
        ("trace-parent", false),
        ("trace.parent", false),
        ("traceparent ", false),
    ] {
        let envelope = bare("a").header(key, sampled.to_string());
        assert_eq!(envelope.trace_parent(), found.then_some(sampled), "{key}");
        assert_eq!(
            not.clone().header(key, sampled.to_string()).trace_parent().unwrap().is_sampled(),
            found
        );
        assert_eq!(envelope.with_trace_parent(plain).trace_parent(), Some(plain), "{key}");
    }
    let two = bare("a")
        .header("Traceparent", plain.to_string())
        .header("traceparent", sampled.to_string());
    assert_eq!(two.trace_parent(), Some(sampled));
    // One id of two is none, whatever the header says.
    let json =
        format!(r#"{{"subject":"a","trace_id":"{TRACE}","headers":{{"traceparent":"{other}"}}}}"#);
    assert_eq!(read(&json).trace_parent(), None);
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
        let state = TraceState::from_key_value([("rojo", "1"), ("congo", "2")]).unwrap();
        let span = SpanContext::new(trace, span, TraceFlags::SAMPLED, false, state);
        opentelemetry::Context::new().with_remote_span_context(span).attach()
    };
    {
        let _span = enter(0xab, 0xcd);
        let inside = Envelope::new("a").unwrap();
        let sampled = TraceParent::new(0xab, 0xcd).unwrap().with_flags(TraceParent::SAMPLED);
        assert_eq!(inside.trace_parent(), Some(sampled));
        assert_eq!(inside.headers().get("tracestate"), "rojo=1,congo=2");
        assert_eq!(Envelope::json("a", &1).unwrap().trace_parent(), Some(sampled));
    }
    for (trace, span) in [(0, 0), (0xab, 0), (0, 0xcd)] {
        let _span = enter(trace, span);
        let inside = Envelope::new("a").unwrap();
        assert_eq!((inside.trace_id(), inside.span_id()), ("", ""));
        assert!(inside.headers().is_empty());
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
    let answer = Envelope::new("a").unwrap();
    assert_eq!((answer.trace_parent(), answer.headers().len()), (Some(parent), 1));
    let _in = opentelemetry::Context::new()
        .with_remote_span_context(SpanContext::from(parent.with_flags(0)))
        .attach();
    let answer = Envelope::new("a").unwrap();
    assert_eq!((answer.trace_parent(), answer.headers().len()), (Some(parent.with_flags(0)), 0));
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
        trace in proptest::option::of((1_u128.., 1_u64.., any::<u8>())),
        bytes in proptest::option::of(vec(any::<u8>(), 0..9)),
    ) {
        let mut envelope = Envelope::unstamped(&subject.join(".")).unwrap();
        envelope = envelope.with_id(id).with_source(source).with_time(time("2026-08-01T12:30:00Z"));
        for (key, value) in headers {
            envelope.headers_mut().insert(key, value);
        }
        if let Some(payload) = payload {
            envelope = envelope.with_payload(&payload).unwrap();
        }
        if let Some(bytes) = bytes {
            envelope = envelope.with_bytes(bytes);
        }
        if let Some((trace, span, flags)) = trace {
            let parent = TraceParent::new(trace, span).unwrap().with_flags(flags);
            envelope = envelope.with_trace_parent(parent);
            prop_assert_eq!(envelope.trace_parent(), Some(parent));
        }
        let back = read(&envelope.to_json());
        prop_assert_eq!(&back, &envelope);
        prop_assert_eq!(back.trace_parent(), envelope.trace_parent());
        prop_assert_eq!(back.bytes(), envelope.bytes());
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
        one().with_bytes(*b"1"),
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
    for envelope in
        [bare("a").with_raw_payload("\"secret\"").unwrap(), bare("a").with_bytes(*b"-secret-")]
    {
        let text = format!("{envelope:?}");
        assert!(text.contains("payload_len: Some(8)") && !text.contains("secret"), "{text}");
    }
}

#[test]
fn an_error_shows_a_text_on_one_line_and_only_its_beginning_where_it_is_long() {
    let long = "ä".repeat(1 << 19);
    let error = Envelope::json(&long, &1).unwrap_err().to_string();
    assert!(error.starts_with(&format!("`{}…`: the subject is longer", "ä".repeat(30))), "{error}");
    for json in [
        format!(r#"{{"subject":"{long}"}}"#),
        format!(r#"{{"subject":"a","headers":{{"{long}":"1","{long}":"2"}}}}"#),
    ] {
        let error = Envelope::from_json(&json).unwrap_err().to_string();
        assert!(error.len() < 400 && error.contains("ää…`"), "{error}");
    }
    let whole = "a".repeat(1024);
    let error = Envelope::unstamped(&whole).unwrap().with_raw_payload("?").unwrap_err().to_string();
    assert!(error.starts_with(&format!("the payload for `{whole}` is not JSON")), "{error}");

    let error = Envelope::from_json(r#"{"subject":"a\nb..\u001b[2J"}"#).unwrap_err().to_string();
    assert!(error.contains(r"`a\nb..\u{1b}[2J`: the subject has two dots"), "{error}");
    let error = Envelope::unstamped("a\nb").unwrap().with_raw_payload("?").unwrap_err().to_string();
    assert!(error.starts_with(r"the payload for `a\nb` is not JSON"), "{error}");
}
