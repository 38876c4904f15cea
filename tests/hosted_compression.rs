//! Payloads that are compressed on the way, and what becomes of those that cannot be decompressed.
#![cfg(all(feature = "compression", not(tickbus_loom)))]

extern crate alloc;

use alloc::borrow::Cow;
use alloc::sync::Arc;
use core::time::Duration;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

use proptest::prelude::*;
use tickbus::Envelope;
use tickbus::hosted::wire::{
    NativeForm, from_fields, from_json, from_native, to_fields, to_native,
};
use tickbus::hosted::{
    BoxError, Compressed, Compression, Context, Engine, InvalidCompression, Link, LinkOptions,
    MemoryEngine, Reason, RetryPolicy, Router, decompress,
};

const MIB: usize = 1 << 20;
const CLOUD: NativeForm = NativeForm::LINES.cloud_events("ce-");
const ALL: Compression = Compression::above(0);

/// Runs a test. A test that waits for what never comes fails when the clock runs ahead.
fn paused<F: Future>(test: F) -> F::Output {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.unwrap().block_on(async {
        let limit = Duration::from_secs(10_000_000);
        tokio::time::timeout(limit, test).await.expect("the test waits for what never comes")
    })
}

/// The envelope behind the golden files.
fn map() -> Envelope {
    Envelope::unstamped("map.7.loaded")
        .unwrap()
        .with_id("21")
        .with_time("2026-11-30T02:36:00.25Z".parse().unwrap())
        .with_source("/arena/1")
        .with_key("map-7")
        .with_raw_payload(format!(
            r#"{{"tiles": "{}", "seed": 12345678901234567890123}}"#,
            ".#".repeat(200)
        ))
        .unwrap()
}

fn gzip_of(subject: &str, gzip: impl Into<Box<[u8]>>) -> Envelope {
    Envelope::new(subject).unwrap().with_bytes(gzip).header("content-encoding", "gzip")
}

/// A small message with a large payload.
fn bomb(bytes: usize) -> Envelope {
    ALL.compress(&Envelope::new("map.7.loaded").unwrap().with_bytes(vec![0; bytes])).unwrap()
}

// ---- On the wire -------------------------------------------------------------------------------

fn golden(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wire").join(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn unasked() -> String {
    panic!("only a foreign message has no id of its own")
}

/// Writes an envelope as lines, an empty line, and the payload.
fn lines(envelope: &Envelope, form: NativeForm) -> Vec<u8> {
    let native = to_native(envelope, form).unwrap();
    let mut headers: Vec<_> =
        native.headers.iter().map(|(key, value)| format!("{key}: {value}\n")).collect();
    if form == CLOUD {
        headers.sort(); // their order means nothing there
    }
    [headers.concat().as_bytes(), b"\n", &native.payload].concat()
}

fn read_lines(text: &[u8]) -> Envelope {
    let end = text.windows(2).position(|two| two == b"\n\n").unwrap();
    let head = str::from_utf8(&text[..end]).unwrap();
    let headers = head.lines().map(|line| line.split_once(": ").unwrap());
    let headers = headers.map(|(key, value)| (key, value.as_bytes()));
    from_native("map.7.loaded", headers, &text[end + 2..], unasked).unwrap()
}

fn fields(envelope: &Envelope) -> Vec<u8> {
    let line = |(name, value): &(_, Cow<'_, [u8]>)| {
        [format!("{name}: ").as_bytes(), value, b"\n"].concat()
    };
    to_fields(envelope).iter().flat_map(line).collect()
}

/// Every form of a compressed payload, as one version has written it. What another version of the
/// compressor makes of a payload may be other bytes; what is read is the same for ever.
#[test]
fn the_forms_of_a_compressed_payload_are_those_of_the_golden_files() {
    let native = golden("compressed.native");
    let sent = read_lines(&native);
    assert_eq!(decompress(&sent, MIB).unwrap().as_ref(), Some(&map()));

    assert_eq!(lines(&sent, NativeForm::LINES), native);
    let cloud = golden("compressed.cloud");
    assert_eq!(lines(&sent, CLOUD), cloud);
    let of_cloud = read_lines(&cloud);
    assert_eq!(decompress(&of_cloud, MIB).unwrap().as_ref(), Some(&map()));
    assert_eq!(fields(&sent), golden("compressed.fields"));
    let json = golden("compressed.json");
    assert_eq!(sent.to_json().as_bytes(), json);
    assert_eq!(from_json("other", &json, unasked).unwrap(), sent);

    let again = ALL.compress(&map()).unwrap();
    assert_eq!(again.headers(), sent.headers());
    assert_eq!(decompress(&again, MIB).unwrap(), Some(map()));
    assert_eq!(ALL.compress(&map()).unwrap(), again, "the same payload, the same bytes");
}

#[test]
fn another_program_sees_the_standard_headers() {
    let sent = ALL.compress(&map()).unwrap();
    let native = to_native(&sent, NativeForm::LINES).unwrap();
    for header in [("content-encoding", "gzip"), ("content-type", "application/json")] {
        assert!(native.headers.contains(&(header.0.into(), header.1.into())), "{native:?}");
    }
    assert!(native.payload.starts_with(&[0x1f, 0x8b, 8]), "gzip of RFC 1952");
    // Bytes, and a content type of the user.
    let text = Envelope::new("a").unwrap().with_bytes([b'x'; 500]);
    let sent = ALL.compress(&text).unwrap();
    assert!(
        lines(&sent, NativeForm::LINES).windows(24).any(|it| it == b"application/octet-stream")
    );
    let sent = ALL.compress(&text.header("Content-Type", "text/plain")).unwrap();
    let headers: Vec<_> = sent.headers().iter().collect();
    assert_eq!(headers, [("Content-Type", "text/plain"), ("content-encoding", "gzip")]);
}

#[test]
fn what_does_not_shrink_travels_as_it_is() {
    let above = |bytes, payload: &str| {
        let it = Envelope::new("a").unwrap().with_raw_payload(payload).unwrap();
        Compression::above(bytes).compress(&it).is_some()
    };
    let text = format!("\"{}\"", "x".repeat(998));
    assert_eq!((above(999, &text), above(1000, &text)), (true, false));
    assert!(!above(0, "[1,2,3]"), "gzip of a short text is longer");
    // Noise does not shrink.
    let mut state = 1_u64;
    let noise: Vec<u8> = (0..4096)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state.to_be_bytes()[0]
        })
        .collect();
    assert_eq!(ALL.compress(&Envelope::new("a").unwrap().with_bytes(noise)), None);
    assert_eq!(ALL.compress(&Envelope::new("a").unwrap()), None);
    // What the user has encoded is not encoded twice.
    assert_eq!(ALL.compress(&map().header("Content-Encoding", "br")), None);
}

#[test]
fn gzip_of_another_program_is_decompressed_by_its_content_type() {
    // Of `gzip -n`: {"paid": true}
    let gzip: &[u8] = &[
        31, 139, 8, 0, 0, 0, 0, 0, 2, 3, 171, 86, 42, 72, 204, 76, 81, 178, 82, 40, 41, 42, 77,
        173, 5, 0, 14, 180, 47, 39, 14, 0, 0, 0,
    ];
    let read = |headers: &[(&str, &str)], payload: &[u8]| {
        let headers = headers.iter().map(|(key, value)| (*key, value.as_bytes()));
        let read = from_native("orders", headers, payload, || "S/1".into()).unwrap();
        decompress(&read, MIB).unwrap().unwrap()
    };
    let json = read(&[("Content-Encoding", "GZIP"), ("content-type", "application/json")], gzip);
    assert_eq!((json.payload(), json.id()), (Some(r#"{"paid": true}"#), "S/1"));
    let headers: Vec<_> = json.headers().iter().collect();
    assert_eq!(headers, [("content-type", "application/json")], "as without compression");
    let guessed = read(&[("content-encoding", "x-gzip")], gzip);
    assert_eq!(guessed.payload(), Some(r#"{"paid": true}"#));
    let text = read(&[("content-encoding", "gzip"), ("content-type", "text/plain")], gzip);
    assert_eq!(text.bytes(), Some(&br#"{"paid": true}"#[..]));
    // RFC 1952, 2.2: a file of several members is their contents one after the other.
    let twice = read(&[("content-encoding", "gzip")], &[gzip, gzip].concat());
    assert_eq!(twice.bytes(), Some(&br#"{"paid": true}{"paid": true}"#[..]));
    let cloud = [
        ("ce-specversion", "1.0"),
        ("ce-id", "1"),
        ("ce-source", "/s"),
        ("ce-type", "order.paid"),
        ("content-type", "application/json"),
        ("content-encoding", "gzip"),
    ];
    assert_eq!(read(&cloud, gzip).payload(), Some(r#"{"paid": true}"#));
}

#[test]
fn a_cloud_event_with_an_encoding_that_is_no_attribute_is_still_refused() {
    // JSON that claims an encoding would come back as bytes.
    let odd = map().header("content-encoding", "gzip");
    assert!(matches!(to_native(&odd, CLOUD), Err(Reason::Refused(_))));
}

fn any_envelope() -> impl Strategy<Value = Envelope> {
    let types = prop_oneof![
        Just("application/json"),
        Just("application/vnd.x+json; charset=utf-8"),
        Just("text/plain"),
        Just(""),
    ];
    let keys = prop_oneof![Just("content-type"), Just("Content-Type"), Just("datacontenttype")];
    let typed = proptest::option::of((keys, types));
    let payload = prop_oneof![
        ("[ -!#-~]{0,40}", 0..60_usize).prop_map(|(text, times)| {
            let text = text.replace(['\\', '"'], "x");
            Ok(format!("\"{}\"", text.repeat(times)))
        }),
        (0..1000_usize).prop_map(|zeros| Ok(format!("[{}1]", "0, ".repeat(zeros)))),
        (proptest::collection::vec(any::<u8>(), 0..40), 0..60_usize)
            .prop_map(|(bytes, times)| Err(bytes.repeat(times))),
        "[0-9]{1,300}".prop_map(|digits| Err(format!(" {digits}").into_bytes())),
    ];
    (typed, payload).prop_map(|(typed, payload)| {
        let it = Envelope::unstamped("a.b").unwrap().with_id("7").with_source("/x");
        let it = match typed {
            Some((key, value)) => it.header(key, value),
            None => it,
        };
        match payload {
            Ok(json) => it.with_raw_payload(json).unwrap(),
            Err(bytes) => it.with_bytes(bytes),
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn a_compressed_payload_comes_back_in_every_form(envelope in any_envelope()) {
        let Some(sent) = ALL.compress(&envelope) else { return Ok(()) };
        let back = |read: Envelope| decompress(&read, MIB).unwrap().unwrap();
        prop_assert_eq!(&back(sent.clone()), &envelope);
        prop_assert_eq!(&back(from_json("x", sent.to_json().as_bytes(), unasked).unwrap()), &envelope);
        let of_fields = to_fields(&sent);
        let of_fields = of_fields.iter().map(|(name, value)| (&**name, &**value));
        prop_assert_eq!(&back(from_fields("x", of_fields, unasked).unwrap()), &envelope);
        for form in [NativeForm::LINES, NativeForm::ANYTHING, CLOUD, NativeForm::ANYTHING.cloud_events("ce_")] {
            match to_native(&sent, form) {
                Ok(native) => {
                    let headers = native.headers.iter().map(|(key, value)| (&**key, value.as_bytes()));
                    let read = from_native("a.b", headers, &native.payload, unasked).unwrap();
                    let back = back(read);
                    let mut expected = envelope.clone();
                    let of_cloud = form != NativeForm::LINES && form != NativeForm::ANYTHING;
                    for (key, value) in envelope.headers().iter().filter(|_| of_cloud) {
                        // An empty attribute is none, and a content type that is the default says
                        // no more than none.
                        if ["", "application/json", "application/octet-stream"].contains(&value) {
                            expected.headers_mut().remove(key);
                        }
                    }
                    prop_assert_eq!(&back, &expected);
                }
                Err(error) => {
                    let own = envelope.headers().iter().any(|(key, _)| key.eq_ignore_ascii_case("content-type"));
                    prop_assert!(own, "refused {error}");
                }
            }
        }
    }

    /// Whatever comes, the decoder returns, and with no more than it may.
    #[test]
    fn any_bytes_are_a_payload_or_an_error(
        bytes in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..200),
            proptest::collection::vec(any::<u8>(), 0..200)
                .prop_map(|tail| [&[0x1f, 0x8b, 8, 4][..], &tail].concat()),
            proptest::collection::vec(any::<u8>(), 0..200)
                .prop_map(|tail| [&[0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255][..], &tail].concat()),
        ],
        limit in 0..300_usize,
    ) {
        if let Ok(Some(read)) = decompress(&gzip_of("a", bytes), limit) {
            prop_assert!(read.bytes().map_or(0, <[u8]>::len) <= limit);
        }
    }

    #[test]
    fn a_damaged_payload_is_the_same_or_an_error(at in 0..10_000_usize, flip in 1..=255_u8) {
        let sent = ALL.compress(&map()).unwrap();
        let mut gzip = sent.bytes().unwrap().to_vec();
        let at = at % gzip.len();
        gzip[at] ^= flip;
        // The checksum covers the payload. What comes before it says time, system and kind, and two
        // streams may say the same.
        match decompress(&sent.clone().with_bytes(gzip), MIB) {
            Ok(Some(read)) => {
                let text = read.payload().map(str::as_bytes).or(read.bytes()).unwrap();
                prop_assert!(text == map().payload().unwrap().as_bytes(), "byte {at} ^ {flip}");
            }
            Ok(None) => return Err(TestCaseError::fail("it is gzip")),
            Err(_) => {}
        }
    }
}

#[test]
fn a_payload_that_is_cut_off_is_an_error() {
    let sent = ALL.compress(&map()).unwrap();
    let gzip = sent.bytes().unwrap();
    for end in 0..gzip.len() {
        let cut = decompress(&sent.clone().with_bytes(&gzip[..end]), MIB);
        assert!(matches!(cut, Err(InvalidCompression::Corrupt(_))), "{end}: {cut:?}");
    }
    let longer = [gzip, b"more"].concat();
    let error = decompress(&sent.clone().with_bytes(longer), MIB).unwrap_err().to_string();
    assert!(error.starts_with("the payload is not gzip, as `content-encoding` says: "), "{error}");
}

#[test]
fn a_payload_is_decompressed_up_to_its_limit() {
    let sent = bomb(1000);
    assert!(decompress(&sent, 1000).unwrap().is_some());
    let error = decompress(&sent, 999).unwrap_err();
    assert!(matches!(error, InvalidCompression::TooLarge { limit: 999, .. }));
    assert_eq!(
        error.to_string(),
        "the payload has more than 999 bytes when it is decompressed: \
         raise `max_decoded` to receive it"
    );
    // A thousand small members are as large as one.
    let many = sent.bytes().unwrap().repeat(1000);
    let many = decompress(&gzip_of("a", many), MIB / 2);
    assert!(matches!(many, Err(InvalidCompression::TooLarge { .. })), "{many:?}");
    assert!(decompress(&sent, usize::MAX).unwrap().is_some());
}

// ---- Through engines ---------------------------------------------------------------------------

#[test]
fn a_subscription_decompresses_what_a_compressed_engine_sends() {
    paused(async {
        let memory = Arc::new(MemoryEngine::new());
        let engine = Arc::new(Compressed::new(memory.clone(), Compression::above(100)));
        let mut live = engine.subscribe("map.>").unwrap().open().await.unwrap();
        let mut raw = memory.subscribe("map.>").unwrap().max_decoded(0).open().await.unwrap();
        let small = Envelope::json("map.8.loaded", &1).unwrap();
        let sent = [map(), map().with_id("22"), small, map().with_id("23"), map().with_id("24")];

        engine.publish(sent[0].clone().into()).await.unwrap();
        engine.try_publish(sent[1].clone().into()).unwrap();
        engine.publish(sent[2].clone().into()).await.unwrap();
        let batch = sent[3..].iter().cloned().map(Arc::new).collect();
        assert!(engine.publish_batch(batch).await.iter().all(Result::is_ok));

        for envelope in &sent {
            let received = live.next().await.unwrap().unwrap();
            assert_eq!(&**received.envelope(), envelope);
            assert!(received.undecoded().is_none());
            let on_the_way = raw.next().await.unwrap().unwrap();
            let is_compressed = on_the_way.envelope().headers().get("content-encoding") == "gzip";
            assert_eq!(is_compressed, envelope.subject().as_str() == "map.7.loaded");
        }
    });
}

#[test]
fn an_error_of_a_publish_has_the_envelope_as_it_was_published() {
    paused(async {
        let memory = MemoryEngine::builder().max_payload(60).build();
        let engine = Compressed::new(memory, Compression::above(100));
        let large = Envelope::json("map.7.loaded", &"abcdefgh".repeat(1000)).unwrap();
        engine.publish(large.clone().into()).await.unwrap_err(); // not even compressed
        let check = |error: tickbus::hosted::EngineError| {
            assert!(matches!(error.reason(), Reason::TooLarge { limit: 60, .. }), "{error}");
            assert_eq!(*error.into_envelope(), large);
        };
        check(engine.publish(large.clone().into()).await.unwrap_err());
        check(engine.publish_and_wait(large.clone().into()).await.unwrap_err());
        check(engine.try_publish(large.clone().into()).unwrap_err());
        let batch = vec![Arc::new(large.clone()), Arc::new(large.clone())];
        engine.publish_batch(batch).await.into_iter().for_each(|it| check(it.unwrap_err()));
        // One that has no id gets it before it is compressed, and keeps it.
        let unstamped =
            Envelope::unstamped("map.1").unwrap().with_bytes(large.payload().unwrap().as_bytes());
        let error = engine.publish(unstamped.into()).await.unwrap_err();
        assert!(!error.into_envelope().id().is_empty());
    });
}

#[test]
fn a_router_compresses_for_one_of_its_engines() {
    paused(async {
        let fleet = Arc::new(MemoryEngine::builder().name("fleet").build());
        let router = Router::builder()
            .engine("fleet", Compressed::new(fleet.clone(), Compression::above(100)))
            .engine("local", MemoryEngine::builder().name("local").build())
            .route(["map.>"], "fleet")
            .fallback("local")
            .build()
            .unwrap();
        router.start().await.unwrap();
        let mut all = router.subscribe(">").unwrap().open().await.unwrap();
        let mut raw = fleet.subscribe(">").unwrap().max_decoded(0).open().await.unwrap();
        router.publish(map()).await.unwrap();
        let received = all.next().await.unwrap().unwrap();
        assert_eq!((&**received.envelope(), received.engine()), (&map(), "fleet"));
        let on_the_way = raw.next().await.unwrap().unwrap();
        assert!(on_the_way.envelope().bytes().unwrap().len() < 150);
    });
}

/// What cannot be read does not reach the handler, ends nothing, and is kept as it came.
#[test]
fn a_bomb_and_a_damaged_payload_become_dead_letters_at_once() {
    paused(async {
        let engine = Arc::new(MemoryEngine::new());
        let mut dead = engine.subscribe("dead.maps").unwrap().max_decoded(0).open().await.unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let handled = seen.clone();
        let maps = engine.subscribe("map.>").unwrap().group("maps").max_decoded(MIB);
        let maps = maps.dead_letter("dead.maps").handle(move |context: Context| {
            handled.lock().unwrap().push(context.envelope().id().to_owned());
            async { Ok::<_, BoxError>(()) }
        });
        let maps = maps.await.unwrap();

        let bomb = bomb(4 * MIB).with_id("bomb");
        assert!(bomb.bytes().unwrap().len() < 100_000);
        let damaged = gzip_of("map.7.loaded", *b"\x1f\x8b\x08 no").with_id("damaged");
        let foreign = gzip_of("map.7.loaded", *b"").with_id("empty");
        for event in [map(), bomb.clone(), damaged.clone(), foreign, map().with_id("after")] {
            engine.publish(event.into()).await.unwrap();
        }
        let mut letters = Vec::new();
        while letters.len() < 3 {
            letters.push(dead.next().await.unwrap().unwrap().envelope().clone());
        }
        maps.shutdown(Duration::from_secs(5)).await.unwrap();
        assert_eq!(*seen.lock().unwrap(), ["21", "after"]);
        let says = |at: usize, key| letters[at].headers().get(key).to_owned();
        assert_eq!(
            (says(0, "dead-id"), says(0, "dead-reason")),
            ("bomb".into(), "unreadable".into())
        );
        assert_eq!(says(0, "dead-attempts"), "1");
        assert!(says(0, "dead-last-error").contains("more than 1048576 bytes"), "{letters:?}");
        assert_eq!(says(0, "content-encoding"), "gzip");
        assert_eq!((letters[0].bytes(), letters[1].bytes()), (bomb.bytes(), damaged.bytes()));
        assert!(says(1, "dead-last-error").contains("is not gzip"), "{letters:?}");
        assert_eq!(says(2, "dead-id"), "empty");
    });
}

/// The engine takes the event only as it came.
#[test]
fn a_dead_letter_is_as_small_as_its_event() {
    paused(async {
        let engine = Arc::new(MemoryEngine::builder().max_payload(200).build());
        let mut dead = engine.subscribe("dead.maps").unwrap().open().await.unwrap();
        let maps = engine.subscribe("map.>").unwrap().group("maps").retry(RetryPolicy::none());
        let maps = maps.dead_letter("dead.maps").handle(async |context: Context| {
            assert_eq!(**context.envelope(), map());
            Err::<(), _>("no")
        });
        let maps = maps.await.unwrap();
        engine.publish(map().into()).await.unwrap_err();
        let sender = Compressed::new(engine.clone(), ALL);
        sender.publish(map().into()).await.unwrap();
        let letter = dead.next().await.unwrap().unwrap();
        assert_eq!(letter.envelope().headers().get("dead-last-error"), "no");
        assert_eq!(letter.envelope().payload(), map().payload());
        assert_eq!(letter.envelope().headers().get("content-encoding"), "");
        maps.shutdown(Duration::from_secs(5)).await.unwrap();
    });
}

#[test]
fn a_bomb_without_a_dead_letter_subject_is_rejected_with_the_reason() {
    paused(async {
        let engine = Arc::new(MemoryEngine::new());
        let live = engine.subscribe("map.>").unwrap().max_decoded(1000);
        let live = live.handle(async |_| Err::<(), _>("it was called")).await.unwrap();
        let group = engine.subscribe("map.>").unwrap().group("maps").max_decoded(1000);
        let group = group.handle(async |_| Err::<(), _>("it was called")).await.unwrap();
        engine.publish(bomb(2000).into()).await.unwrap();
        group.shutdown(Duration::from_secs(5)).await.unwrap();
        let stats = live.stats();
        live.shutdown(Duration::from_secs(5)).await.unwrap();
        assert_eq!((stats.failed, stats.calls, stats.retried), (1, 0, 0), "{stats:?}");
        let dead = engine.dead_letters();
        assert_eq!(dead.len(), 1);
        assert!(
            dead[0].reason.starts_with("unreadable after 1 attempt: the payload has more than")
        );
    });
}

#[test]
fn a_delivery_that_is_not_decompressed_says_why_and_is_as_it_came() {
    paused(async {
        let engine = MemoryEngine::new();
        let mut maps =
            engine.subscribe(">").unwrap().group("g").max_decoded(999).open().await.unwrap();
        let sent = bomb(1000);
        engine.publish(sent.clone()).await.unwrap();
        let received = maps.next().await.unwrap().unwrap();
        assert_eq!(**received.envelope(), sent);
        let why = received.undecoded().expect("it is too large");
        assert!(matches!(why, InvalidCompression::TooLarge { limit: 999, .. }));
        received.ack();
        assert!(maps.stats().add_up());
    });
}

#[test]
fn an_encoding_that_is_not_known_is_handed_over_with_its_header() {
    paused(async {
        let engine = MemoryEngine::new();
        let mut all = engine.subscribe(">").unwrap().open().await.unwrap();
        for encoding in ["br", "gzip, br", "identity", ""] {
            let sent =
                Envelope::new("a").unwrap().with_bytes(*b"?").header("Content-Encoding", encoding);
            engine.publish(sent.clone()).await.unwrap();
            let received = all.next().await.unwrap().unwrap();
            assert_eq!(**received.envelope(), sent);
            assert!(received.undecoded().is_none());
            let error = received.envelope().decode::<u32>().unwrap_err().to_string();
            let why = match encoding {
                "" => "it is bytes, not JSON".to_owned(),
                _ => format!("it is bytes with the `content-encoding` `{encoding}`, not JSON"),
            };
            assert_eq!(error, format!("the payload of `a` does not decode: {why}"));
        }
    });
}

/// A tenant's dead letters stay the tenant's, as small as they came, and can be published again.
#[test]
fn a_tenant_replays_its_compressed_dead_letters() {
    paused(async {
        let fleet = Arc::new(MemoryEngine::builder().name("fleet").log(64).build());
        let router = Router::builder()
            .engine("fleet", Compressed::new(fleet.clone(), Compression::above(100)))
            .tenants(true)
            .build()
            .unwrap();
        router.start().await.unwrap();
        let (ours, other) = (router.tenant("a").unwrap(), router.tenant("b").unwrap());
        let mut dead = ours.subscribe("dead.maps").unwrap().group("dead").open().await.unwrap();
        let mut foreign = other.subscribe(">").unwrap().open().await.unwrap();
        let mut raw = fleet.subscribe("a.dead.>").unwrap().max_decoded(0).open().await.unwrap();
        let mended = Arc::new(Mutex::new(false));
        let seen = mended.clone();
        let maps = ours.subscribe("map.>").unwrap().group("maps").retry(RetryPolicy::none());
        let maps = maps.dead_letter("dead.maps").handle(move |map: Context| {
            assert_eq!(map.envelope().payload(), self::map().payload());
            let is_mended = *seen.lock().unwrap();
            async move { if is_mended { Ok(()) } else { Err("not yet") } }
        });
        let maps = maps.await.unwrap();
        ours.publish(map()).await.unwrap();
        let letter = dead.next().await.unwrap().unwrap();
        let shown = letter.envelope();
        assert_eq!(shown.payload(), map().payload());
        assert_eq!(shown.headers().get("dead-subject"), "map.7.loaded");
        assert_eq!(shown.headers().get("content-encoding"), "");
        let on_the_way = raw.next().await.unwrap().unwrap();
        assert!(on_the_way.envelope().bytes().unwrap().len() < 150);
        *mended.lock().unwrap() = true;
        let mut again = Envelope::new("map.7.loaded").unwrap();
        again = again.with_raw_payload(shown.payload().unwrap()).unwrap();
        ours.publish(again).await.unwrap();
        letter.ack();
        while maps.stats().handled == 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!((maps.stats().failed, maps.stats().dead_lettered), (1, 1));
        assert!(foreign.try_next().is_pending(), "another tenant sees nothing of it");
        router.shutdown(Duration::from_secs(5)).await.unwrap();
    });
}

/// Sizes at the limit, in a chain of members and with something behind the end.
#[test]
fn members_count_together_and_what_is_behind_the_end_is_an_error() {
    let part = |bytes: usize| ALL.compress(&Envelope::new("a").unwrap().with_bytes(vec![7; bytes]));
    let part = |bytes: usize| part(bytes).unwrap().bytes().unwrap().to_vec();
    let two = gzip_of("a", [part(500), part(500)].concat());
    assert_eq!(decompress(&two, 1000).unwrap().unwrap().bytes().unwrap().len(), 1000);
    let error = decompress(&two, 999).unwrap_err();
    assert!(matches!(error, InvalidCompression::TooLarge { limit: 999, .. }), "{error}");
    for behind in [&b"\0"[..], b"tail", &[0x1f], &[0x1f, 0x8b], &part(500)[..10]] {
        let error = decompress(&gzip_of("a", [&part(500), behind].concat()), MIB).unwrap_err();
        assert!(matches!(error, InvalidCompression::Corrupt(_)), "{behind:?}: {error}");
    }
    // Members without a content cost a program nothing but their own bytes.
    let empty = gzip_of("a", part(500).repeat(1).into_iter().chain(*b"").collect::<Vec<_>>());
    assert!(decompress(&empty, 500).unwrap().is_some());
    // Compressed twice: each time says so, and only the outer one is taken off.
    let twice = ALL.compress(&gzip_of("a", part(5000).repeat(9))).map(|it| it.headers().len());
    assert_eq!(twice, None, "what has an encoding already travels as it is");
    for (above, size, shrinks) in [(0, 1, false), (999, 999, false), (999, 1000, true)] {
        let sent = Compression::above(above)
            .compress(&Envelope::new("a").unwrap().with_bytes(vec![7; size]));
        assert_eq!(sent.is_some(), shrinks, "{size} above {above}");
    }
}

#[test]
fn an_inbox_decompresses_as_much_as_it_is_told() {
    let engine = Arc::new(MemoryEngine::new());
    let link = Link::spawn(engine.clone(), LinkOptions::default()).unwrap();
    let mut small = link.inbox("map.>").unwrap().max_decoded(1000).group("small");
    let mut large = link.inbox("map.>").unwrap().group("large");
    let mut raw = link.inbox("map.>").unwrap().max_decoded(0).live();
    let wait = |mut done: Box<dyn FnMut() -> bool + '_>| {
        let began = Instant::now();
        while !done() {
            assert!(began.elapsed() < Duration::from_secs(30), "it does not come");
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    wait(Box::new(|| small.is_open() && large.is_open() && raw.is_open()));
    link.bus().try_publish(bomb(1001).into()).unwrap();
    wait(Box::new(|| small.pending() + large.pending() + raw.pending() == 3));
    for (inbox, size, is_refused) in
        [(&mut small, None, true), (&mut large, Some(1001), false), (&mut raw, None, false)]
    {
        let delivery = inbox.drain(1).next().unwrap();
        assert_eq!(delivery.undecoded().is_some(), is_refused);
        let bytes = delivery.envelope().bytes().unwrap().len();
        assert_eq!(size.unwrap_or(bytes), bytes);
        assert!(size.is_some() || bytes < 1001);
        delivery.ack();
    }
}
