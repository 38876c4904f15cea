//! Envelopes as `CloudEvents`: the examples of the specification, its rules, and nothing lost on the way.
#![cfg(all(feature = "std", feature = "json", not(tickbus_loom)))]

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde_json::Value;
use tickbus::Envelope;
use tickbus::envelope::{Headers, InvalidCloudEvent, Timestamp, TraceParent};

fn read(json: &str) -> Envelope {
    Envelope::from_cloud_event(json).unwrap_or_else(|error| panic!("{json}: {error}"))
}

#[track_caller]
fn refused(json: &str, why: &str) {
    let error = Envelope::from_cloud_event(json).expect_err(json);
    let begin = format!("line {} column {}: {why}", error.line(), error.column());
    assert!(error.line() > 0 && error.to_string().starts_with(&begin), "{json}: {error}");
}

/// A valid event with these members beside the required ones.
fn event(members: &str) -> String {
    format!(r#"{{"specversion":"1.0","id":"7","source":"/a","type":"a.b"{members}}}"#)
}

fn bare() -> Envelope {
    Envelope::unstamped("a.b").unwrap().with_id("7").with_source("/a")
}

fn written(envelope: &Envelope) -> Value {
    serde_json::from_str(&envelope.to_cloud_event().unwrap()).unwrap()
}

// ---- The examples of "JSON Event Format for CloudEvents", version 1.0.2 --------------------------

const JSON_DATA: &str = r#"{
    "specversion" : "1.0",
    "type" : "com.example.someevent",
    "source" : "/mycontext",
    "subject": null,
    "id" : "C234-1234-1234",
    "time" : "2018-04-05T17:31:00Z",
    "comexampleextension1" : "value",
    "comexampleothervalue" : 5,
    "datacontenttype" : "application/json",
    "data" : {
        "appinfoA" : "abc",
        "appinfoB" : 123,
        "appinfoC" : true
    }
}"#;

#[test]
fn the_example_with_an_object_as_data() {
    let envelope = read(JSON_DATA);
    assert_eq!(envelope.subject().as_str(), "com.example.someevent");
    assert_eq!((envelope.id(), envelope.source()), ("C234-1234-1234", "/mycontext"));
    assert_eq!(envelope.time(), Some("2018-04-05T17:31:00Z".parse().unwrap()));
    assert!(envelope.headers().iter().eq([
        ("comexampleextension1", "value"),
        ("comexampleothervalue", "5"),
        ("datacontenttype", "application/json"),
    ]));
    let data: Value = envelope.decode().unwrap().unwrap();
    assert_eq!(data, serde_json::json!({"appinfoA": "abc", "appinfoB": 123, "appinfoC": true}));

    // Written again: an unset attribute is left out, an extension is a text.
    let mut expected: Value = serde_json::from_str(JSON_DATA).unwrap();
    expected["comexampleothervalue"] = "5".into();
    expected.as_object_mut().unwrap().remove("subject");
    assert_eq!(written(&envelope), expected);
    assert_eq!(read(&envelope.to_cloud_event().unwrap()), envelope);
}

#[test]
fn the_example_with_xml_as_data() {
    let envelope = read(
        r#"{
        "specversion" : "1.0",
        "type" : "com.example.someevent",
        "source" : "/mycontext",
        "id" : "B234-1234-1234",
        "time" : "2018-04-05T17:31:00Z",
        "comexampleextension1" : "value",
        "comexampleothervalue" : 5,
        "unsetextension": null,
        "datacontenttype" : "application/xml",
        "data" : "<much wow=\"xml\"/>"
    }"#,
    );
    assert_eq!(envelope.headers().get("datacontenttype"), "application/xml");
    assert_eq!(envelope.headers().len(), 3, "the unset one is none");
    assert_eq!(envelope.decode::<String>().unwrap().unwrap(), r#"<much wow="xml"/>"#);
    assert_eq!(read(&envelope.to_cloud_event().unwrap()), envelope);
}

#[test]
fn the_example_with_a_string_as_data() {
    let envelope = read(
        r#"{
        "specversion" : "1.0",
        "type" : "com.example.someevent",
        "source" : "/mycontext",
        "subject": null,
        "id" : "D234-1234-1234",
        "time" : "2018-04-05T17:31:00Z",
        "comexampleextension1" : "value",
        "comexampleothervalue" : 5,
        "data" : "I'm just a string"
    }"#,
    );
    assert_eq!(envelope.payload(), Some(r#""I'm just a string""#));
    assert_eq!(read(&envelope.to_cloud_event().unwrap()), envelope);
}

#[test]
fn the_example_with_binary_data() {
    let example = r#"{
        "specversion" : "1.0",
        "type" : "com.example.someevent",
        "source" : "/mycontext",
        "id" : "A234-1234-1234",
        "time" : "2018-04-05T17:31:00Z",
        "comexampleextension1" : "value",
        "comexampleothervalue" : 5,
        "datacontenttype" : "application/vnd.apache.thrift.binary",
        "data_base64" : "... base64 encoded string ..."
    }"#;
    refused(example, "not bytes in base64: ");
    let envelope = read(&example.replace("... base64 encoded string ...", "/wB+"));
    assert_eq!((envelope.bytes(), envelope.payload()), (Some(&[0xff, 0x00, 0x7e][..]), None));
    assert_eq!(written(&envelope)["data_base64"], "/wB+");
    assert_eq!(read(&envelope.to_cloud_event().unwrap()), envelope);
}

/// From the specification itself.
#[test]
fn the_example_with_a_subject() {
    let envelope = read(
        r#"{
        "specversion" : "1.0",
        "type" : "com.github.pull_request.opened",
        "source" : "https://github.com/cloudevents/spec/pull",
        "subject" : "123",
        "id" : "A234-1234-1234",
        "time" : "2018-04-05T17:31:00Z",
        "comexampleextension1" : "value",
        "comexampleothervalue" : 5,
        "datacontenttype" : "text/xml",
        "data" : "<much wow=\"xml\"/>"
    }"#,
    );
    assert_eq!(envelope.headers().get("subject"), "123");
    assert_eq!(written(&envelope)["subject"], "123");
}

#[test]
fn the_sources_of_the_specification_are_sources() {
    for source in [
        "https://github.com/cloudevents",
        "mailto:cncf-wg-serverless@lists.cncf.io",
        "urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66",
        "/cloudevents/spec/pull/123",
        "/sensors/tn-1234567/alerts",
        "1-555-123-4567",
        "http://[::1]:80/a?b=c&d=%20#e",
    ] {
        let envelope = bare().with_source(source);
        assert_eq!(written(&envelope)["source"], source);
        assert_eq!(read(&envelope.to_cloud_event().unwrap()), envelope);
    }
    for source in ["game server", "a%2", "a%zz", "100%", "grün", "a\\b", "<a>", "a\"b"] {
        let error = bare().with_source(source).to_cloud_event().unwrap_err();
        assert_eq!(error, InvalidCloudEvent::Source(source.into()));
    }
}

// ---- Reading -----------------------------------------------------------------------------------

#[test]
fn what_is_required_is_required() {
    for name in ["specversion", "id", "source", "type"] {
        let whole: Value = serde_json::from_str(&event("")).unwrap();
        let missing = format!("the attribute `{name}` is missing");
        for value in [None, Some(Value::Null), Some("".into())] {
            let mut event = whole.clone();
            event.as_object_mut().unwrap().remove(name);
            value.into_iter().for_each(|value| event[name] = value);
            refused(&event.to_string(), &missing);
        }
        for value in [Value::from(7), true.into()] {
            let mut event = whole.clone();
            event[name] = value;
            refused(&event.to_string(), &format!("the attribute `{name}` is not a text"));
        }
    }
    refused(&event("").replace("1.0", "0.3"), "`specversion` is `0.3`, not `1.0`");
    refused(&event("").replace("a.b", "a.*"), "`a.*`: the subject has a wildcard");
}

#[test]
fn attributes_have_names_and_types() {
    refused(&event(r#","myExtension":1"#), "`myExtension`: an attribute has lower-case letters");
    refused(&event(r#","my_extension":1"#), "`my_extension`: ");
    refused(&event(r#","":1"#), "``: ");
    refused(&event(r#","x":{}"#), "the attribute `x` is an object or an array");
    refused(&event(r#","x":[1]"#), "the attribute `x` is an object or an array");
    refused(&event(r#","x":1.5"#), "the attribute `x` is a number that is not an integer");
    refused(&event(r#","x":1e3"#), "the attribute `x` is a number that is not an integer");
    refused(&event(r#","x":1,"x":1"#), "the attribute `x` is there twice");
    refused(&event(r#","x":null,"x":1"#), "the attribute `x` is there twice");
    refused(&event(r#","id":"8""#), "the attribute `id` is there twice");
    refused(&event(r#","data":1,"data":1"#), "duplicate field `data`");
    refused(&event(r#","time":"noon""#), "`time`: not a time: ");
    refused(&event(r#","subject":5"#), "the attribute `subject` is not a text");
    refused(&event(r#","x":"\ud800""#), "the attribute `x` is not a text in Unicode");
    refused(&event(r#","x":"a\nb""#), "the attribute `x` has a control character in it");
    refused(&event(r#","X":null,"Y":1"#), "`Y`: ");
}

#[test]
fn what_is_no_object_is_no_event() {
    for json in ["", "null", "7", "[]", "\"a\"", "{", &format!("{} x", event("")), "\u{feff}{}"] {
        assert!(Envelope::from_cloud_event(json).is_err(), "{json}");
    }
    assert!(Envelope::from_cloud_event(b"{\"id\":\"\xff\"}").is_err());
    let error = Envelope::from_cloud_event("{\n\"id\": 7}").unwrap_err();
    assert_eq!(error.line(), 2, "{error}");
}

#[test]
fn numbers_and_booleans_are_texts_as_headers() {
    let members = r#","a":true,"b":false,"c":-2147483648,"d":null,"e":"","f":"x y""#;
    let envelope = read(&event(members));
    let headers = [("a", "true"), ("b", "false"), ("c", "-2147483648"), ("f", "x y")];
    assert!(envelope.headers().iter().eq(headers));
}

#[test]
fn the_time_that_stands_for_none_is_none() {
    let envelope = read(&event(r#","time":"0001-01-01T01:00:00+01:00""#));
    assert_eq!(envelope.time(), None);
    assert!(written(&envelope).get("time").is_none());
}

#[test]
fn no_data_is_no_payload_and_null_is_null() {
    assert_eq!(read(&event("")).payload(), None);
    assert_eq!(read(&event(r#","data":null"#)).payload(), Some("null"));
    for payload in ["null", "1e400", r#"{"z":1,"a":123456789012345678901234567890}"#] {
        let envelope = bare().with_raw_payload(payload).unwrap();
        let text = envelope.to_cloud_event().unwrap();
        assert!(text.ends_with(&format!(",\"data\":{payload}}}")), "{text}");
        assert_eq!(read(&text).payload(), Some(payload));
    }
}

#[test]
fn data_that_is_not_json_is_text() {
    let error = "the data is not a text, and `text/xml` is not JSON";
    refused(&event(r#","data":{},"datacontenttype":"text/xml""#), error);
    refused(&event(r#","datacontenttype":"text/xml","data":null"#), error);
    for json in ["application/json", "text/json; charset=utf-8", "application/vnd.a+json", "a/JSON"]
    {
        read(&event(&format!(r#","data":{{}},"datacontenttype":"{json}""#)));
    }
    for other in ["json", "application/xml", "application/jsonx", "application/json+xml"] {
        let header = bare().header("datacontenttype", other);
        assert_eq!(read(&header.to_cloud_event().unwrap()), header, "without data, anything goes");
        let error = header.with_payload(&1).unwrap().to_cloud_event().unwrap_err();
        assert_eq!(error, InvalidCloudEvent::Data(other.into()));
    }
}

#[test]
fn what_is_null_is_not_there_but_for_data() {
    let all = r#","subject":null,"time":null,"datacontenttype":null,"dataschema":null,"traceparent":null,
        "x":null,"My-Extension":null,"data_base64":null"#;
    assert_eq!(read(&event(all)), read(&event("")));
    for name in ["specversion", "id", "source", "type"] {
        let mut event: Value = serde_json::from_str(&event("")).unwrap();
        event[name] = Value::Null;
        refused(&event.to_string(), &format!("the attribute `{name}` is missing"));
    }
    assert_eq!(read(&event(r#","data":{},"data_base64":null"#)).payload(), Some("{}"));
    assert_eq!(read(&event(r#","data":null,"data_base64":null"#)).payload(), Some("null"));
    assert_eq!(read(&event(r#","data":null,"data_base64":"AA==""#)).bytes(), Some(&[0][..]));
    let picture = event(r#","datacontenttype":"image/png","data":null,"data_base64":"AA==""#);
    assert_eq!(read(&picture).bytes(), Some(&[0][..]));
}

#[test]
fn a_dataschema_is_a_uri_reference_or_not_written() {
    for uri in ["https://arena.example/score/2", "urn:score:2", "/score/2", "#"] {
        let read = read(&event(&format!(r#","dataschema":"{uri}""#)));
        assert_eq!((read.data_schema(), &read), (uri, &bare().with_data_schema(uri)));
    }
    let why =
        "the dataschema `score 2` is not a URI: write it as in `https://arena.example/score/2`";
    let error = bare().with_data_schema("score 2").to_cloud_event().unwrap_err();
    assert_eq!(error.to_string(), why);
    refused(&event(r#","dataschema":"score 2""#), why);
}

#[test]
fn binary_data_comes_and_goes() {
    for (text, bytes) in [
        ("", &[][..]),
        ("AA==", &[0]),
        ("AAE=", &[0, 1]),
        ("AAEC", &[0, 1, 2]),
        ("+/+/", &[0xfb, 0xff, 0xbf]),
    ] {
        let envelope = read(&event(&format!(r#","data_base64":"{text}""#)));
        assert_eq!((envelope.bytes(), envelope.payload()), (Some(bytes), None));
        assert_eq!(envelope, bare().with_bytes(bytes));
        assert_eq!(written(&envelope)["data_base64"], text);
        assert_eq!(written(&envelope).get("data"), None);
    }
    // Of any content type, JSON included.
    for kind in ["application/json", "image/png", "text/plain"] {
        let envelope = bare().header("datacontenttype", kind).with_bytes(*b"\x89PNG");
        assert_eq!(read(&envelope.to_cloud_event().unwrap()), envelope);
    }
    for value in ["1", "true", "[]", "{}"] {
        refused(&event(&format!(r#","data_base64":{value}"#)), "invalid type: ");
    }
    for text in ["A", "AA", "AA=", "AAE", "AAA-", "AA==AA==", " AA==", "AA\\n=="] {
        refused(&event(&format!(r#","data_base64":"{text}""#)), "not bytes in base64: ");
    }
    refused(&event(r#","data_base64":"","data_base64":"""#), "duplicate field `data_base64`");
    refused(&event(r#","data":1,"data_base64":"AA==""#), "both `data` and `data_base64` are there");
}

#[test]
fn a_source_that_is_no_uri_reference_is_refused_on_both_ways() {
    for source in ["game server", "a%2", "100%", "grün", "<a>"] {
        refused(
            &event("").replace("/a", source),
            &format!("the source `{source}` is not a URI reference"),
        );
    }
}

#[test]
fn the_last_time_of_all_goes_through() {
    let never = "9999-12-31T23:59:59.999999999Z";
    let envelope = read(&event(&format!(r#","time":"{never}""#)));
    assert_eq!(envelope.time(), Some(never.parse().unwrap()));
    assert_eq!(written(&envelope)["time"], never);
}

// ---- Writing -----------------------------------------------------------------------------------

#[test]
fn an_envelope_is_written_to_the_byte() {
    let envelope = bare()
        .with_time("2026-08-01T12:30:00.250Z".parse().unwrap())
        .header(Headers::TENANT, "t")
        .header(Headers::GRAPH_ID, "g")
        .header("nothing", "")
        .header("subject", "a/b")
        .with_payload("x")
        .unwrap();
    assert_eq!(
        envelope.to_cloud_event().unwrap(),
        r#"{"specversion":"1.0","id":"7","source":"/a","type":"a.b","time":"2026-08-01T12:30:00.25Z","graphid":"g","subject":"a/b","tenant":"t","data":"x"}"#,
    );
}

#[test]
fn what_an_event_must_have_an_envelope_must_have() {
    let envelope = Envelope::unstamped("a.b").unwrap();
    assert_eq!(envelope.to_cloud_event(), Err(InvalidCloudEvent::Missing("id")));
    assert_eq!(envelope.with_id("7").to_cloud_event(), Err(InvalidCloudEvent::Missing("source")));
}

#[test]
fn a_header_that_can_be_no_attribute_is_told() {
    for key in [
        "Match",
        "my-key",
        "my_key",
        "ü",
        "",
        "id",
        "source",
        "type",
        "time",
        "specversion",
        "data",
        "data_base64",
        "runid",
        "nodeid",
        "actorid",
        "graphid",
    ] {
        let error = bare().header(key, "x").to_cloud_event().unwrap_err();
        assert_eq!(error, InvalidCloudEvent::Header(key.into()));
        assert!(
            error.to_string().starts_with(&format!("the header `{key}` cannot be an attribute"))
        );
    }
}

#[test]
fn a_character_that_no_attribute_has_is_told() {
    for text in ["a\nb", "\u{0}", "\u{7f}", "\u{85}", "\u{fdd0}", "\u{ffff}", "\u{1fffe}"] {
        let error = |envelope: Envelope| envelope.to_cloud_event().unwrap_err();
        let character = |name: &str| InvalidCloudEvent::Character(name.into());
        assert_eq!(error(bare().with_id(text)), character("id"));
        assert_eq!(error(bare().header("x", text)), character("x"));
        let subject = Envelope::unstamped(text).unwrap().with_id("7").with_source("/a");
        assert_eq!(error(subject), character("type"));
    }
    read(&bare().header("x", "ü 🚪 \u{fffd} \u{fdcf}").to_cloud_event().unwrap());
}

// ---- Traces ------------------------------------------------------------------------------------

const PLAIN: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00";
const SAMPLED: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
const OTHER: &str = "00-0af7651916cd43dd8448eb211c80319c-b9c7c989f97918e1-01";

#[test]
fn the_span_is_the_extension_for_distributed_tracing() {
    let parent: TraceParent = PLAIN.parse().unwrap();
    let envelope = bare().with_trace_parent(parent);
    assert_eq!(written(&envelope)["traceparent"], PLAIN);
    assert_eq!(read(&envelope.to_cloud_event().unwrap()), envelope);

    // Flags are kept, in the header.
    let sampled: TraceParent = SAMPLED.parse().unwrap();
    let text = event(&format!(r#","traceparent":"{SAMPLED}","tracestate":"rojo=1""#));
    let envelope = read(&text);
    assert_eq!(envelope.trace_parent(), Some(sampled));
    assert_eq!(envelope.headers().get("traceparent"), SAMPLED);
    assert_eq!(written(&envelope)["traceparent"], SAMPLED);
    assert_eq!(written(&envelope)["tracestate"], "rojo=1");
    assert_eq!(read(&envelope.to_cloud_event().unwrap()), envelope);
    assert_eq!(Envelope::from_json(&envelope.to_json()).unwrap(), envelope);

    // An envelope that went on in another span says so.
    let envelope = envelope.with_trace_parent(OTHER.parse().unwrap());
    assert_eq!(written(&envelope)["traceparent"], OTHER);
    let envelope = envelope.with_trace_parent(parent);
    assert_eq!(written(&envelope)["traceparent"], PLAIN);

    // A header has its name in any case, an attribute in lower case.
    let envelope = bare().header("Traceparent", SAMPLED);
    assert_eq!(written(&envelope)["traceparent"], SAMPLED);
    assert_eq!(read(&envelope.to_cloud_event().unwrap()).trace_parent(), Some(sampled));

    // A header of another span is not this one's.
    let envelope = bare().with_trace_parent(parent).header("traceparent", OTHER);
    assert_eq!(envelope.trace_parent(), Some(parent));
    assert_eq!(written(&envelope)["traceparent"], PLAIN);
}

#[test]
fn a_traceparent_of_a_later_version_goes_through_as_it_came() {
    let later = format!("cc{}-what-the-future-will-be-like", &SAMPLED[2..]);
    let envelope = read(&event(&format!(r#","traceparent":"{later}""#)));
    assert_eq!(envelope.trace_parent(), Some(SAMPLED.parse().unwrap()));
    assert_eq!(written(&envelope)["traceparent"], *later);
    assert_eq!(read(&envelope.to_cloud_event().unwrap()), envelope);
}

#[test]
fn ids_of_another_form_are_told() {
    for ids in [r#""trace_id":"t 1","span_id":"9""#, r#""trace_id":"t""#, r#""span_id":"s""#] {
        let json = format!(r#"{{"id":"7","subject":"a.b","source":"/a",{ids}}}"#);
        let envelope = Envelope::from_json(&json).unwrap();
        assert_eq!(envelope.to_cloud_event(), Err(InvalidCloudEvent::Trace));
    }
    // As extensions they are headers like others.
    let envelope = read(&event(&format!(r#","traceid":"t","traceparent":"{PLAIN}""#)));
    assert_eq!(envelope.headers().get("traceid"), "t");
    assert_eq!(written(&envelope)["traceid"], "t");
}

#[test]
fn a_traceparent_that_is_none_stays_a_header() {
    let envelope = read(&event(r#","traceparent":"hello""#));
    assert_eq!((envelope.trace_parent(), envelope.headers().get("traceparent")), (None, "hello"));
    assert_eq!(read(&envelope.to_cloud_event().unwrap()), envelope);
}

// ---- There and back ----------------------------------------------------------------------------

fn envelope() -> impl Strategy<Value = Envelope> {
    let key = prop_oneof![
        "[a-z0-9]{1,3}",
        Just("run_id".to_owned()),
        Just("actor_id".to_owned()),
        Just("tenant".to_owned()),
        Just("subject".to_owned()),
    ];
    (
        "[a-zü ]{1,4}(\\.[a-z]{1,4}){0,3}",
        "[^\\p{Cc}]{1,8}",
        "[a-z/:?#%20]{1,12}",
        option::of(-60_000_000_000_000_000_000..250_000_000_000_000_000_000_i128),
        btree_map(key, "[^\\p{Cc}]{0,8}", 0..5),
        option::of(prop_oneof![
            "\\PC{0,8}".prop_map(Value::from),
            any::<i64>().prop_map(Value::from)
        ]),
        option::of((any::<u128>(), any::<u64>(), any::<u8>())),
        option::of(vec(any::<u8>(), 0..9)),
    )
        .prop_map(|(subject, id, source, time, headers, payload, ids, bytes)| {
            let mut envelope =
                Envelope::unstamped(&subject).unwrap().with_id(id).with_source(source);
            if let Some(time) = time {
                envelope = envelope.with_time(Timestamp::from_unix_nanos(time).unwrap());
            }
            for (key, value) in headers {
                envelope = envelope.header(key, value);
            }
            if let Some(payload) = payload {
                envelope = envelope.with_payload(&payload).unwrap();
            }
            if let Some(bytes) = bytes {
                envelope = envelope.with_bytes(bytes);
            }
            let parent =
                |(trace, span, flags)| Some(TraceParent::new(trace, span)?.with_flags(flags));
            if let Some(parent) = ids.and_then(parent) {
                envelope = envelope.with_trace_parent(parent);
            }
            envelope
        })
}

proptest! {
    #[test]
    fn what_is_written_comes_back(envelope in envelope()) {
        let text = match envelope.to_cloud_event() {
            Ok(text) => text,
            Err(InvalidCloudEvent::Source(source)) => {
                prop_assert!(source.contains('%'));
                return Ok(());
            }
            Err(InvalidCloudEvent::Character(_)) => return Ok(()), // a non-character
            Err(error) => return Err(TestCaseError::fail(error.to_string())),
        };
        let back = Envelope::from_cloud_event(&text).unwrap();
        let mut sent = envelope;
        let empty: Vec<_> = sent.headers().iter().filter(|(_, value)| value.is_empty())
            .map(|(key, _)| key.to_owned()).collect();
        empty.iter().for_each(|key| assert!(sent.headers_mut().remove(key)));
        prop_assert_eq!(back.payload(), sent.payload());
        prop_assert_eq!(back.bytes(), sent.bytes());
        prop_assert_eq!(back, sent);
    }

    /// Attributes of every kind and name, set or not.
    #[test]
    fn what_is_read_can_be_written(
        members in btree_map(
            prop_oneof![
                "[a-z0-9]{1,2}",
                "[A-Za-z_]{1,3}",
                "subject|time|datacontenttype|dataschema|traceparent|runid|tenant|data|data_base64",
            ],
            prop_oneof![
                Just(Value::Null),
                any::<i64>().prop_map(Value::from),
                any::<bool>().prop_map(Value::from),
                ".{0,6}".prop_map(Value::from),
                Just(Value::from("AAE=")),
                Just(Value::from("text/plain")),
                Just(Value::from("2026-08-01T12:30:00Z")),
                Just(Value::from(SAMPLED)),
                Just(Value::from(PLAIN)),
            ],
            0..6,
        ),
        source in "[a-z/:?#%20 ü]{1,4}",
        id in ".{1,4}",
    ) {
        let mut event = serde_json::json!({"specversion": "1.0", "type": "a.b"});
        event["id"] = id.into();
        event["source"] = source.into();
        members.into_iter().for_each(|(name, value)| event[&*name] = value);
        let Ok(envelope) = Envelope::from_cloud_event(&event.to_string()) else { return Ok(()) };
        let text = envelope.to_cloud_event().unwrap();
        prop_assert_eq!(Envelope::from_cloud_event(&text).unwrap(), envelope);
    }
}

#[test]
fn an_error_shows_a_text_on_one_line_and_no_more_of_it_than_a_subject_may_have() {
    let long = "x".repeat(1 << 20);
    for more in [
        format!(r#","{long}":"a","{long}":"b""#),
        format!(r#","{long}":[]"#),
        format!(r#","{long}_":1"#),
        format!(r#","datacontenttype":"{long}","data":1"#),
    ] {
        let error = Envelope::from_cloud_event(&event(&more)).unwrap_err().to_string();
        assert!(error.len() < 400 && error.contains("xx…`"), "{error}");
    }
    let error = bare().header("a\nb", "1").to_cloud_event().unwrap_err().to_string();
    assert!(error.starts_with(r"the header `a\nb` cannot be an attribute"), "{error}");
    for source in [format!("{long} "), "a\nb".into()] {
        let error = bare().with_source(source).to_cloud_event().unwrap_err().to_string();
        assert!(error.len() < 400 && !error.contains('\n'), "{error}");
    }
}
