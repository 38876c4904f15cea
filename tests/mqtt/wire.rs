//! What is published: its form, what other programs write, and what cannot travel.

use std::path::Path;
use std::thread;

use rumqttc::mqttbytes::v5::{Packet, PublishProperties};
use tickbus::Envelope;
use tickbus::hosted::{Engine, Gap, GapReason, Reason, wire};

use crate::server::Played;
use crate::{
    SOON, delivery, envelope, next, nothing, number, on, publish, run, settings, started, subject,
    up, value,
};

const NAMES: [(&str, &str); 3] =
    [("full", "match.7.score"), ("bare", "game.started"), ("bytes", "chat.grün.7")];

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wire");
    std::fs::read(folder.join(name)).unwrap()
}

/// The headers and the payload of a golden file.
fn native(name: &str) -> (Vec<(String, String)>, Vec<u8>) {
    let golden = golden(name);
    let at = golden.windows(2).position(|two| two == b"\n\n").unwrap();
    let line = |line: &str| {
        let (key, value) = line.split_once(": ").unwrap();
        (key.to_owned(), value.to_owned())
    };
    let headers = core::str::from_utf8(&golden[..at]).unwrap().lines().map(line).collect();
    (headers, golden[at + 2..].to_vec())
}

fn of_golden(name: &str, subject: &str) -> Envelope {
    let (headers, payload) = native(&format!("{name}.native"));
    let headers = headers.iter().map(|(key, value)| (&**key, value.as_bytes()));
    wire::from_native(subject, headers, &payload, || panic!("ours")).unwrap()
}

/// A packet is pinned byte for byte, has what the native form has, and is read by each later
/// version.
#[test]
fn packets_are_those_of_the_golden_files() {
    let played = Played::new();
    let url = played.url();
    let server = thread::spawn(move || {
        let mut publisher = played.accept(&[0x20, 3, 0, 0, 0]);
        let mut live = played.accept(&[0x20, 3, 0, 0, 0]);
        assert_eq!(live.read().unwrap()[0], 0x82, "it subscribes");
        live.write(&[0x90, 4, 0, 1, 0, 1]);
        for (name, _) in NAMES {
            let packet = publisher.read().unwrap();
            publisher.write(&[0x40, 2, 0, 1]);
            assert_eq!(packet, golden(&format!("{name}.mqtt")), "{name}: {packet:02x?}");
            live.write(&packet);
            assert_eq!(live.read().unwrap(), [0x40, 2, 0, 1]);
        }
        (publisher, live)
    });
    run(async {
        let mqtt = up(settings(url).prefix("fleet/1")).await;
        let mut live = mqtt.subscribe(">").unwrap().open().await.unwrap();
        for (name, subject) in NAMES {
            let envelope = of_golden(name, subject);
            mqtt.publish(envelope.clone().into()).await.unwrap();
            assert_eq!(**delivery(&mut live).await.envelope(), envelope, "{name}");
        }
    });
    drop(server.join().unwrap());
    for (name, subject) in NAMES {
        let mut bytes = bytes::BytesMut::from(&*golden(&format!("{name}.mqtt")));
        let Packet::Publish(packet) = Packet::read(&mut bytes, None).unwrap() else { panic!() };
        let topic = format!("fleet/1/{}", subject.replace('.', "/"));
        assert_eq!(packet.topic, topic.as_bytes());
        let (headers, payload) = native(&format!("{name}.native"));
        assert_eq!(packet.payload, payload);
        let (of_type, others): (Vec<_>, Vec<_>) =
            headers.into_iter().partition(|(key, _)| key == "content-type");
        let properties = PublishProperties {
            user_properties: others,
            content_type: of_type.into_iter().next().map(|(_, value)| value),
            ..Default::default()
        };
        assert_eq!(packet.properties, Some(properties), "{name}");
    }
}

#[test]
fn an_envelope_comes_back_the_same() {
    on("", async |server| {
        let mqtt = up(settings(server.url()).prefix("fleet/1")).await;
        let mut durable = mqtt.subscribe("game.>").unwrap().group("g").open().await.unwrap();
        let mut live = mqtt.subscribe("game.>").unwrap().open().await.unwrap();
        let plain = || Envelope::new("game.hit").unwrap();
        let sent = [
            plain(),
            Envelope::json("game.grün.7 ?[a-b]^\\$", &["a", "b"]).unwrap(),
            plain().with_bytes([0, 13, 10, 255]).header("colour", "blue").header("X ", "ü: €"),
            plain().header("", "").header("Content-Type", "image/png").with_bytes([1]),
            plain().with_key("7").with_source("arena").with_trace_parent(
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap(),
            ),
        ];
        for envelope in &sent {
            mqtt.publish(envelope.clone().into()).await.unwrap();
        }
        for envelope in &sent {
            let come = delivery(&mut durable).await;
            assert_eq!((&**come.envelope(), come.engine()), (envelope, "mqtt"));
            assert_eq!((come.sequence(), come.attempt()), (None, 0));
            come.ack_async().await.unwrap();
            assert_eq!(&**delivery(&mut live).await.envelope(), envelope);
        }
        assert!(durable.stats().add_up() && durable.stats().handled == 5);
    });
}

#[test]
fn what_another_program_publishes_is_an_envelope() {
    on("", async |server| {
        // It is retained before the subscriptions are there.
        server.publish(&["-t", "game/old", "-m", "x", "-r", "-q", "1"]);
        let mqtt = started(server.url()).await;
        let mut live = mqtt.subscribe(">").unwrap().open().await.unwrap();
        let mut group = mqtt.subscribe("game.>").unwrap().group("g").open().await.unwrap();
        let typed = ["-D", "publish", "content-type", "application/json"];
        let twice = ["-D", "publish", "user-property", "k"];
        let json = ["-t", "game/a", "-q", "1", "-m", " {\"by\":3}", "-r"];
        let twice = [&twice[..], &["v"], &twice, &["w"]].concat();
        server.publish(&[&json[..], &typed, &twice].concat());
        server.publish(&["-t", "game/b", "-q", "0", "-m", "at most once"]);
        server.publish(&["-t", "game/b", "-q", "2", "-m", ""]);
        // Not a subject, or not below the pattern.
        for topic in ["game//c", "game/c.d", "/game", "game", "$x/game"] {
            server.publish(&["-t", topic, "-q", "1", "-m", "other"]);
        }
        server.publish(&["-t", "game/d", "-m", "x", "-D", "publish", "user-property", "tb-v", "9"]);
        for from in [&mut live, &mut group] {
            let json = delivery(from).await;
            assert_eq!(subject(&json), "game.a");
            assert_eq!(json.envelope().bytes(), Some(&b" {\"by\":3}"[..]), "byte for byte");
            let headers = json.envelope().headers();
            assert!(headers.iter().eq([("content-type", "application/json"), ("k", "v, w")]));
            assert!(!json.envelope().id().is_empty() && json.envelope().time().is_none());
            json.ack();
            let once = delivery(from).await;
            assert_eq!(once.envelope().bytes(), Some(&b"at most once"[..]));
            once.ack();
            let empty = delivery(from).await;
            assert_eq!((empty.envelope().payload(), empty.envelope().bytes()), (None, None));
            empty.ack();
        }
        assert_eq!(subject(&delivery(&mut live).await), "game");
        for from in [&mut live, &mut group] {
            // Of a version to come.
            assert_eq!(next(from).await.unwrap_err(), Gap::new(Some(1), GapReason::Unreadable));
            nothing(from).await;
        }
        // All of it is acknowledged.
        mqtt.shutdown(SOON).await.unwrap();
        let mqtt = started(server.url()).await;
        let mut group = mqtt.subscribe("game.>").unwrap().group("g").open().await.unwrap();
        nothing(&mut group).await;
    });
}

/// What the server would end the connection for is refused here.
#[test]
fn what_mqtt_cannot_carry_is_not_sent() {
    on("", async |server| {
        let mqtt = started(server.url()).await;
        for wrong in ["a/b", "a.+", "a.#b", "$SYS.a", "a.\n", "a.\0", "a.\u{9f}", "a.\u{ffff}"] {
            let error = mqtt.publish(envelope(wrong)).await.unwrap_err();
            assert!(!error.is_unknown() && matches!(error.reason(), Reason::Subject(_)), "{error}");
        }
        let long = "y".repeat(70_000);
        for (key, value) in [("a", "\0"), ("a\u{1}", ""), ("a", "\u{fdd0}"), ("a", &*long)] {
            let wrong = Envelope::new("a").unwrap().header(key, value);
            let error = mqtt.publish(wrong.into()).await.unwrap_err();
            assert!(matches!(error.reason(), Reason::Header(it) if **it == *key), "{error}");
        }
        for wrong in ["a/b.>", "+.a", "$share.g.>", "a.\u{7f}"] {
            for open in [mqtt.subscribe(wrong), mqtt.subscribe(wrong).map(|it| it.group("g"))] {
                let error = open.unwrap().open().await.unwrap_err().to_string();
                assert!(error.contains("cannot carry this subject"), "{error}");
            }
        }
        // With what is left, the connection lives.
        let mut live = mqtt.subscribe(">").unwrap().open().await.unwrap();
        for right in ["a. ", "a.\u{fffd}", "a.$b", "_.%2F.~"] {
            publish(&mqtt, right).await;
            assert_eq!(subject(&delivery(&mut live).await), right);
        }
        let batch = vec![number("a", 1), envelope("a/b"), number("a", 2)];
        let results = mqtt.publish_batch(batch).await;
        assert!(results.iter().map(Result::is_ok).eq([true, false, true]));
        for expected in [1, 2] {
            assert_eq!(value(&delivery(&mut live).await), expected);
        }
        let results = mqtt.publish_batch((0..500).map(|at| number("b", at)).collect()).await;
        assert!(results.iter().all(Result::is_ok));
    });
}
