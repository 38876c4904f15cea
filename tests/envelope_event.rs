//! Events of the program as envelopes: does each come back as what it was, and nothing as what it is not?
#![cfg(all(feature = "std", feature = "json", not(tickbus_loom)))]

extern crate alloc;

use alloc::collections::BTreeMap;
use core::fmt::Debug;
use core::time::Duration;

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tickbus::envelope::{InvalidEnvelope, InvalidEvent};
use tickbus::error::SubjectFault;
use tickbus::wait::Cancel;
use tickbus::{Bus, Dispatch, Envelope, Event, SubjectBus, events};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Button {
    id: u8,
    label: String,
}

events! {
    #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "snake_case")]
    enum Input {
        #[subject = "input.started"] Started,
        #[subject = "input.pressed"] Pressed(Button),
        #[subject = "input.moved"] Moved(i16, i16),
        #[cfg(any())]
        #[subject = "input.never"] Never(u8),
        #[subject = "input.tilt"] Tilt { x: i16, #[serde(rename = "Y", default)] y: i128 },
        #[subject = "input.picked"] #[serde(rename = "p")] Picked(Option<u64>),
        #[subject = "input.nested"] Nested(Choice),
        #[subject = "input.waited"] Waited(Duration),
        #[subject = "input.named"] Named { names: BTreeMap<String, Option<bool>> },
        #[subject = "input.empty.fields"] Empty {},
        #[subject = "input.empty.tuple"] Nothing(),
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Choice {
    Yes,
    No { why: String },
}

fn payload_of(event: &(impl Event + Serialize)) -> Option<String> {
    Envelope::event(event).unwrap().payload().map(str::to_owned)
}

#[track_caller]
fn comes_back<E: Event + Serialize + DeserializeOwned + PartialEq + Debug>(event: &E) {
    let sent = Envelope::event(event).unwrap();
    assert_eq!(sent.subject().as_str(), event.subject());
    let received = Envelope::from_json(&sent.to_json()).unwrap();
    assert_eq!(received.decode_event::<E>().unwrap(), *event);
}

fn decode(subject: &str, payload: Option<&str>) -> Result<Input, InvalidEvent> {
    let envelope = Envelope::unstamped(subject).unwrap();
    let envelope = match payload {
        Some(payload) => envelope.with_raw_payload(payload).unwrap(),
        None => envelope,
    };
    envelope.decode_event()
}

// ---- The form ----------------------------------------------------------------------------------

#[test]
fn the_payload_is_the_fields() {
    let why = "it rains".to_owned();
    let names = BTreeMap::from([("a".to_owned(), None), ("b".to_owned(), Some(true))]);
    for (event, payload) in [
        (Input::Started, None),
        (Input::Pressed(Button { id: 7, label: "A".to_owned() }), Some(r#"{"id":7,"label":"A"}"#)),
        (Input::Moved(3, -4), Some("[3,-4]")),
        (Input::Tilt { x: 1, y: i128::MAX }, Some(&*format!(r#"{{"x":1,"Y":{}}}"#, i128::MAX))),
        (Input::Picked(Some(u64::MAX)), Some("18446744073709551615")),
        (Input::Picked(None), None),
        (Input::Nested(Choice::Yes), Some(r#""Yes""#)),
        (Input::Nested(Choice::No { why }), Some(r#"{"No":{"why":"it rains"}}"#)),
        (Input::Named { names }, Some(r#"{"names":{"a":null,"b":true}}"#)),
        (Input::Empty {}, Some("{}")),
        (Input::Nothing(), Some("[]")),
    ] {
        assert_eq!(payload_of(&event).as_deref(), payload, "{event:?}");
        comes_back(&event);
    }
}

#[test]
fn a_new_one_is_stamped_and_an_unstamped_one_is_not() {
    let event = Envelope::event(&Input::Started).unwrap();
    assert!(event.id().len() == 36 && event.time().is_some());
    let event = Envelope::unstamped_event(&Input::Moved(1, 2)).unwrap();
    assert_eq!((event.id(), event.time(), event.payload()), ("", None, Some("[1,2]")));
}

#[test]
fn no_payload_and_null_are_the_same() {
    for payload in [None, Some("null")] {
        assert_eq!(decode("input.started", payload).unwrap(), Input::Started);
        assert_eq!(decode("input.picked", payload).unwrap(), Input::Picked(None));
        assert!(decode("input.pressed", payload).is_err());
    }
}

#[test]
fn unknown_members_are_ignored() {
    let found = decode("input.tilt", Some(r#"{"z":[1,{"a":2}],"x":5}"#)).unwrap();
    assert_eq!(found, Input::Tilt { x: 5, y: 0 });
}

// ---- What is wrong -----------------------------------------------------------------------------

#[test]
fn a_subject_of_no_kind_is_an_error_that_names_it() {
    for subject in ["input", "input.start", "input.started.now", "Input.started", "input.never"] {
        let error = decode(subject, None).unwrap_err();
        assert_eq!(error.to_string(), format!("no such event has the subject `{subject}`"));
        assert_eq!(error.subject().as_str(), subject);
        assert!(matches!(error, InvalidEvent::Subject(_)));
    }
}

#[test]
fn a_wrong_payload_is_an_error_that_names_the_subject() {
    for (subject, payload, why) in [
        ("input.started", "7", "invalid type: integer `7`, expected unit"),
        ("input.pressed", "[]", "invalid length 0, expected struct Button"),
        ("input.pressed", r#"{"id":256,"label":""}"#, "invalid value: integer `256`, expected u8"),
        ("input.moved", "[1]", "invalid length 1, expected tuple variant Input::Moved"),
        ("input.moved", "[1,2,3]", "trailing characters"),
        ("input.moved", "{}", "invalid type: map, expected tuple variant Input::Moved"),
        ("input.tilt", "{}", "missing field `x`"),
        ("input.tilt", r#"{"x":1,"x":2}"#, "duplicate field `x`"),
        // As other formats of serde have it.
        ("input.tilt", r#"{"tilt":{"x":1}}"#, "missing field `x`"),
        ("input.nested", r#""Maybe""#, "unknown variant `Maybe`, expected `Yes` or `No`"),
    ] {
        let error = decode(subject, Some(payload)).unwrap_err();
        assert_eq!(error.subject().as_str(), subject);
        let text = error.to_string();
        let begin = format!("the payload of `{subject}` does not decode: line 1 column ");
        assert!(text.starts_with(&begin), "{subject} {payload}: {text}");
        assert!(text.contains(&format!(": {why}")), "{subject} {payload}: {text}");
        assert!(matches!(error, InvalidEvent::Payload(_)));
        assert!(core::error::Error::source(&error).is_some());
    }
}

#[test]
fn what_is_no_json_is_an_error_that_names_the_subject() {
    events! {
        #[derive(Serialize)]
        enum Odd {
            #[subject = "odd.map"] Map(BTreeMap<(u8, u8), u8>),
        }
    }
    let error = Envelope::event(&Odd::Map(BTreeMap::from([((1, 2), 3)]))).unwrap_err();
    assert!(matches!(error, InvalidEnvelope::Payload(_)));
    assert!(error.to_string().starts_with("the payload for `odd.map` is not JSON: "), "{error}");
}

#[test]
fn a_float_that_is_no_number_is_an_error_wherever_it_is() {
    events! {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        enum Level {
            #[subject = "level.one"] One(f64),
            #[subject = "level.some"] Some(Option<f32>),
            #[subject = "level.two"] Two(f32, f64),
            #[subject = "level.named"] Named { x: f64, y: Option<f64> },
            #[subject = "level.many"] Many(BTreeMap<String, Vec<f32>>),
        }
    }
    for n in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let many = BTreeMap::from([("a".to_owned(), vec![0.5, n as f32])]);
        for event in [
            Level::One(n),
            Level::Some(Some(n as f32)),
            Level::Two(n as f32, 0.5),
            Level::Two(0.5, n),
            Level::Named { x: n, y: None },
            Level::Named { x: 0.5, y: Some(n) },
            Level::Many(many),
        ] {
            let error = Envelope::event(&event).unwrap_err();
            assert!(matches!(error, InvalidEnvelope::Payload(_)), "{event:?}");
            let begin = format!("the payload for `{}` is not JSON: a float", event.subject());
            assert!(error.to_string().starts_with(&begin), "{event:?}: {error}");
            assert!(Envelope::unstamped_event(&event).is_err());
        }
    }
    let many = BTreeMap::from([("a".to_owned(), vec![0.1, f32::MIN_POSITIVE, -0.0])]);
    for event in [
        Level::One(f64::MAX),
        Level::Some(None),
        Level::Some(Some(f32::MAX)),
        Level::Two(0.1, 5e-324),
        Level::Named { x: -0.0, y: None },
        Level::Many(many),
    ] {
        comes_back(&event);
    }
}

#[test]
fn a_some_that_would_come_back_as_none_is_an_error() {
    events! {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        enum Odd {
            #[subject = "odd.unit"] Unit(()),
            #[subject = "odd.some"] Some(Option<()>),
            #[subject = "odd.nested"] Nested(Option<Option<u8>>),
            #[subject = "odd.named"] Named { at: Option<Option<u8>> },
        }
    }
    for event in [Odd::Some(Some(())), Odd::Nested(Some(None)), Odd::Named { at: Some(None) }] {
        let error = Envelope::event(&event).unwrap_err().to_string();
        let begin = format!("the payload for `{}` is not JSON: a `Some`", event.subject());
        assert!(error.starts_with(&begin), "{event:?}: {error}");
    }
    for event in [
        Odd::Unit(()),
        Odd::Some(None),
        Odd::Nested(None),
        Odd::Nested(Some(Some(7))),
        Odd::Named { at: None },
        Odd::Named { at: Some(Some(0)) },
    ] {
        comes_back(&event);
    }
}

#[test]
fn a_payload_of_bytes_is_no_event() {
    for subject in ["input.started", "input.picked", "input.moved"] {
        let envelope = Envelope::unstamped(subject).unwrap().with_bytes(*b"null");
        let error = envelope.decode_event::<Input>().unwrap_err();
        assert_eq!(error.subject().as_str(), subject);
        let why = format!("the payload of `{subject}` does not decode: it is bytes, not JSON");
        assert_eq!(error.to_string(), why);
    }
}

// ---- Events by hand ----------------------------------------------------------------------------

/// Two kinds of one struct.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Key {
    code: u8,
    down: bool,
}

impl Event for Key {
    const SUBJECTS: &'static [&'static str] = &["key.up", "key.down"];

    fn kind(&self) -> usize {
        usize::from(self.down)
    }
}

#[test]
fn a_struct_travels_whole_and_must_be_of_the_kind_of_its_subject() {
    comes_back(&Key { code: 7, down: true });
    comes_back(&Key { code: 7, down: false });
    let text = payload_of(&Key { code: 7, down: true }).unwrap();
    assert_eq!(text, r#"{"code":7,"down":true}"#);

    let envelope = Envelope::unstamped("key.up").unwrap().with_raw_payload(text).unwrap();
    let error = envelope.decode_event::<Key>().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the payload of `key.up` does not decode: it is that of `key.down`"
    );
}

macro_rules! by_hand {
    ($($type:ty: $subjects:expr, $kind:expr;)*) => {
        $(impl Event for $type {
            const SUBJECTS: &'static [&'static str] = &$subjects;

            fn kind(&self) -> usize {
                let kind: fn(&Self) -> usize = $kind;
                kind(self)
            }
        })*
    };
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Tagged {
    A { n: u8 },
    B,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "t", content = "c")]
enum Beside {
    A(u8),
    B,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u8),
    Text(String),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Ping;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Wrapped(Duration);

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
struct Transparent {
    text: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Lumped {
    Circle(u8),
    Square(u8),
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Unnamed(u8);

by_hand! {
    Tagged: ["tagged"], |_| 0;
    Beside: ["beside"], |_| 0;
    Untagged: ["untagged"], |_| 0;
    Ping: ["ping"], |_| 0;
    Wrapped: ["wrapped"], |_| 0;
    Transparent: ["transparent"], |_| 0;
    Lumped: ["shape"], |_| 0;
    Unnamed: ["a..b"], |_| 0;
}

#[test]
fn what_is_no_plain_enum_travels_whole() {
    comes_back(&Tagged::A { n: 3 });
    comes_back(&Tagged::B);
    comes_back(&Beside::A(3));
    comes_back(&Beside::B);
    comes_back(&Untagged::Number(3));
    comes_back(&Untagged::Text("x".to_owned()));
    comes_back(&Ping);
    comes_back(&Wrapped(Duration::from_millis(1500)));
    comes_back(&Transparent { text: "x".to_owned() });
    assert_eq!(payload_of(&Tagged::A { n: 3 }).unwrap(), r#"{"type":"A","n":3}"#);
    assert_eq!(payload_of(&Wrapped(Duration::ZERO)).unwrap(), r#"{"secs":0,"nanos":0}"#);
    assert_eq!(payload_of(&Ping), None);
}

/// Left out, the name of the variant would be lost, and a square come back as a circle.
#[test]
fn an_enum_whose_kinds_are_not_its_variants_is_refused() {
    comes_back(&Lumped::Circle(1));
    let error = Envelope::event(&Lumped::Square(1)).unwrap_err().to_string();
    assert_eq!(
        error,
        "the payload for `shape` is not JSON: `Lumped::Square` is the variant 1 and of the kind 0, \
         which have to be the same"
    );
}

#[test]
fn a_skipped_variant_does_not_shift_the_others_into_each_other() {
    events! {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        enum Skipping {
            #[subject = "s.a"] #[serde(skip)] A(u8),
            #[subject = "s.b"] B(u8),
            #[subject = "s.c"] C(u8),
        }
    }
    assert!(Envelope::event(&Skipping::A(1)).is_err());
    for event in [Skipping::B(1), Skipping::C(1)] {
        let error = Envelope::event(&event).unwrap().decode_event::<Skipping>().unwrap_err();
        assert_eq!(error.subject().as_str(), event.subject(), "told, not mistaken");
    }
}

#[test]
fn a_subject_by_hand_that_is_none_is_told() {
    let error = Envelope::event(&Unnamed(1)).unwrap_err();
    assert!(
        matches!(&error, InvalidEnvelope::Subject(invalid) if invalid.fault() == SubjectFault::DoubleDot),
        "{error}"
    );
    assert!(Envelope::unstamped_event(&Unnamed(1)).is_err());
}

/// A type of another crate has no subject of its own.
#[test]
fn a_foreign_type_is_given_a_subject() {
    let sent = Envelope::json("lag.spike", &Duration::from_millis(40)).unwrap();
    assert_eq!(sent.decode::<Duration>().unwrap(), Some(Duration::from_millis(40)));
    comes_back(&Input::Waited(Duration::from_millis(40)));
}

// ---- Across the tiers --------------------------------------------------------------------------

#[test]
fn one_enum_is_dispatched_by_a_table_and_travels_as_an_envelope() {
    static BUS: Bus<Input, 8> = Bus::new();
    static HANDLERS: Dispatch<Input, Vec<Input>, { Input::KINDS }> =
        Dispatch::new().on("input.pressed", record).on("input.empty.*", record);

    fn record(seen: &mut Vec<Input>, event: &Input) {
        seen.push(event.clone());
    }

    let bus = SubjectBus::new();
    let inputs = bus.subscribe("input.>").unwrap().open();
    let pressed = Input::Pressed(Button { id: 1, label: "x".to_owned() });
    for event in [pressed.clone(), Input::Empty {}] {
        bus.publish(Envelope::event(&event).unwrap()).unwrap();
    }
    for envelope in inputs.drain() {
        BUS.publish(envelope.decode_event().unwrap()).unwrap();
    }
    let mut seen = Vec::new();
    let mut events = BUS.consumer().unwrap();
    let report = HANDLERS.tick(&mut seen, &mut events, tickbus::Budget::unlimited());
    assert_eq!((seen, report.handled), (vec![pressed, Input::Empty {}], 2));
}

/// Typed by their subjects, of one type or of several, in one order; the subscription ends with its `Cancel`.
#[test]
fn subscriptions_to_the_events_of_types_get_those_alone_and_end_with_their_cancel() {
    events! {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        enum Chat {
            #[subject = "chat.said"] Said(String),
        }
    }
    fn of<E: Event>(envelope: &Envelope) -> bool {
        E::SUBJECTS.contains(&envelope.subject().as_str())
    }
    let (bus, cancel) = (SubjectBus::new(), Cancel::new());
    let typed = bus.subscribe(">").unwrap().filter(of::<Input>).until(&cancel).open();
    let both = bus.subscribe(">").unwrap().until(&cancel);
    let both = both.filter(|it| of::<Input>(it) || of::<Chat>(it)).open();
    let said = || Chat::Said("hello".to_owned());
    bus.publish(Envelope::event(&Input::Started).unwrap()).unwrap();
    bus.publish(Envelope::event(&said()).unwrap()).unwrap();
    bus.publish(Envelope::new("input.unheard.of").unwrap()).unwrap();
    bus.publish(Envelope::event(&Input::Moved(1, 2)).unwrap()).unwrap();
    cancel.cancel();
    bus.publish(Envelope::event(&Input::Started).unwrap()).unwrap();

    let got: Vec<Input> = typed.iter().map(|it| it.decode_event().unwrap()).collect();
    assert_eq!(got, [Input::Started, Input::Moved(1, 2)]);
    assert_eq!(both.recv().unwrap().decode_event::<Input>().unwrap(), Input::Started);
    assert_eq!(both.recv().unwrap().decode_event::<Chat>().unwrap(), said());
    assert_eq!(both.recv().unwrap().decode_event::<Input>().unwrap(), Input::Moved(1, 2));
    assert_eq!(both.recv(), None);
}

fn input() -> impl Strategy<Value = Input> {
    let choice = prop_oneof![Just(Choice::Yes), ".*".prop_map(|why| Choice::No { why })];
    prop_oneof![
        Just(Input::Started),
        (any::<u8>(), ".*").prop_map(|(id, label)| Input::Pressed(Button { id, label })),
        any::<(i16, i16)>().prop_map(|(x, y)| Input::Moved(x, y)),
        any::<(i16, i128)>().prop_map(|(x, y)| Input::Tilt { x, y }),
        any::<Option<u64>>().prop_map(Input::Picked),
        choice.prop_map(Input::Nested),
        any::<Duration>().prop_map(Input::Waited),
        btree_map(".*", option::of(any::<bool>()), 0..4).prop_map(|names| Input::Named { names }),
        Just(Input::Empty {}),
        Just(Input::Nothing()),
    ]
}

proptest! {
    #[test]
    fn every_event_comes_back(event in input()) {
        comes_back(&event);
    }

    /// However it was made up, a payload is read as the kind of its subject, or not at all.
    #[test]
    fn a_payload_of_another_kind_is_not_mistaken(event in input(), other in input()) {
        let envelope = Envelope::unstamped(other.subject()).unwrap();
        let envelope = match payload_of(&event) {
            Some(payload) => envelope.with_raw_payload(payload).unwrap(),
            None => envelope,
        };
        if let Ok(found) = envelope.decode_event::<Input>() {
            prop_assert_eq!(found.subject(), other.subject());
        }
    }

    #[test]
    fn several_in_a_row_keep_their_order(events in vec(input(), 0..20)) {
        let bus = SubjectBus::new();
        let all = bus.subscribe(">").unwrap().open();
        for event in &events {
            bus.publish(Envelope::event(event).unwrap()).unwrap();
        }
        let back: Vec<Input> = all.drain().map(|found| found.decode_event().unwrap()).collect();
        prop_assert_eq!(back, events);
    }
}
