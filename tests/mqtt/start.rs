//! How an engine starts and ends, and what it says of itself.

use alloc::sync::Arc;
use core::time::Duration;
use std::net::TcpListener;
use std::thread;

use tickbus::Envelope;
use tickbus::hosted::engines::Mqtt;
use tickbus::hosted::engines::mqtt::Qos;
use tickbus::hosted::{
    Capability, Engine, Health, Level, Mode, OnStart, OpenError, Reason, StartAt,
};
use tokio::time::timeout;

use crate::server::{Played, Server};
use crate::servers::authority::Authority;
use crate::servers::free_port;
use crate::{
    SOON, WHILE, delivery, envelope, number, on, publish, run, settings, started, subject, until,
    up, value,
};

const PASSWORD: &str = "wordof/mine @:";

#[test]
fn a_start_that_fails_says_why_and_no_secret() {
    let Some(server) = Server::with_password("", "arena", PASSWORD) else { return };
    run(async {
        let right = up(settings(server.url()).login("arena", PASSWORD)).await;
        let encoded = server.url().replace("//", "//arena:wordof%2Fmine%20%40%3A@");
        let in_url = up(settings(encoded)).await;
        publish(&in_url, "game.1").await;
        let wrong = settings(server.url()).login("arena", "wrongword");
        let error = wrong.start().await.unwrap_err();
        assert!(matches!(error.reason, Reason::Refused(_)), "{error}");
        assert!(error.to_string().contains("not authorized (0x87)"), "{error}");
        assert!(matches!(wrong.health(), Health::Down(_)));
        let without = settings(server.url()).start().await.unwrap_err();
        assert!(matches!(without.reason, Reason::Refused(_)), "{without}");
        let what = ": call `login`, or put the name and the password into the URL";
        assert!(without.to_string().ends_with(what), "{without}");
        assert!(!error.to_string().ends_with(what), "{error}");
        let debug = format!("{right:?} {wrong:?} {in_url:?} {error:?} {error} {without:?}");
        assert!(!debug.contains("wordof") && !debug.contains("wrongword"), "{debug}");
        assert!(debug.contains("mqtt://127.0.0.1:"), "{debug}");
    });
}

#[test]
fn a_server_that_is_not_there_or_not_of_mqtt_5_is_said() {
    run(async {
        let port = free_port();
        let absent = Mqtt::new(format!("mqtt://arena:wordof@127.0.0.1:{port}"));
        let error = absent.publish(envelope("a")).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::NotStarted));
        let error = absent.start().await.unwrap_err();
        assert!(matches!(error.reason, Reason::Disconnected(_)), "{error}");
        let text = format!("{error} {error:?} {absent:?}");
        assert!(text.contains(&format!("`mqtt://127.0.0.1:{port}`")), "{text}");
        assert!(!text.contains("wordof") && !text.contains("arena"), "{text}");
        for url in ["mqtt://arena:wordof@:1", "wordof", "", "http://arena:wordof@h", "mqtt://h:x"] {
            let mqtt = Mqtt::new(url);
            let error = mqtt.start().await.unwrap_err();
            assert!(matches!(error.reason, Reason::Refused(_)), "{url}: {error}");
            let shown = format!("{error:?} {error} {mqtt:?}");
            assert!(!shown.contains("wordof") && !shown.contains("arena"), "{shown}");
        }
        for (setting, why) in [
            (settings("mqtt://h").prefix("a/+"), "the prefix of topics is not valid"),
            (settings("mqtt://h").client_id(""), "the client id is empty"),
        ] {
            let error = setting.start().await.unwrap_err();
            assert!(error.to_string().contains(why), "{error}");
        }
    });
    // A server of MQTT 3.1.1, one of another protocol, one that hangs up, and one that says
    // nothing.
    for (answer, why) in [
        (&[0x20, 2, 0, 1][..], "does not answer as a server of MQTT 5"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does it speak MQTT 5"),
        (b"INFO {}\r\n", "does it speak MQTT 5"),
        (b"\xd0\x00", "does not answer as a server of MQTT 5"),
        (b"", "does it speak MQTT 5, and without TLS?"),
    ] {
        let played = Played::new();
        let url = played.url();
        let server = thread::spawn(move || drop(played.accept(answer)));
        let error = run(async { settings(url).start().await.unwrap_err().to_string() });
        assert!(error.contains(why), "{error}");
        server.join().unwrap();
    }
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("mqtt://{}", silent.local_addr().unwrap());
    run(async {
        let shown = url.clone();
        let error = settings(url).timeout(Duration::from_millis(200)).start().await.unwrap_err();
        assert!(matches!(error.reason, Reason::Disconnected(_)), "{error}");
        let why = format!("`{shown}`: there was no answer in time");
        assert!(error.to_string().ends_with(&why), "{error}");
    });
    on("", async |server| {
        let url = server.url().replace("mqtt://", "mqtts://");
        let error = settings(&*url).start().await.unwrap_err().to_string();
        assert!(error.contains(&url) && error.contains("does the server speak TLS?"), "{error}");
    });
}

#[test]
fn a_server_of_tls_is_trusted_by_its_authority_only() {
    let (Some(ours), Some(other)) = (Authority::new(), Authority::new()) else { return };
    ours.sign("server");
    ours.sign("game");
    other.sign("game");
    let of = |name: &str| ours.path(name).display().to_string();
    let lines = format!(
        "certfile {}\nkeyfile {}\ncafile {}\nrequire_certificate true",
        of("server.pem"),
        of("server.key"),
        of("ca.pem"),
    );
    on(&lines, async |server| {
        let url = server.url().replace("mqtt://", "mqtts://");
        let with = |certificate: &Authority, ca: &Authority| {
            settings(&*url)
                .ca_file(ca.path("ca.pem"))
                .client_certificate(certificate.path("game.pem"), certificate.path("game.key"))
        };
        let mqtt = up(with(&ours, &ours)).await;
        let mut group = mqtt.subscribe("game.>").unwrap().group("g").open().await.unwrap();
        publish(&mqtt, "game.started").await;
        delivery(&mut group).await.ack_async().await.unwrap();
        for wrong in [with(&ours, &other), settings(&*url)] {
            let error = wrong.start().await.unwrap_err();
            assert!(matches!(error.reason, Reason::Refused(_)), "{error}");
        }
        assert!(with(&other, &ours).start().await.is_err(), "the server trusts it not");
        let error = settings(server.url()).start().await.unwrap_err().to_string();
        assert!(error.contains("and without TLS?"), "{error}");
    });
}

#[test]
fn a_start_waits_or_goes_on_as_it_is_told() {
    let Some(mut server) = Server::start("") else { return };
    run(async {
        server.kill();
        let waits = settings(server.url()).on_start(OnStart::Wait(SOON));
        let later = settings(server.url()).on_start(OnStart::Background);
        later.start().await.unwrap();
        let error = later.publish(envelope("a")).await.unwrap_err();
        assert!(!error.is_unknown() && matches!(error.reason(), Reason::Disconnected(_)));
        let start = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            server.run();
        };
        let (waited, ()) = tokio::join!(waits.start(), start);
        waited.unwrap();
        until("it is up", || later.health() == Health::Up).await;
        publish(&later, "a").await;
        waits.start().await.unwrap();
    });
}

#[test]
fn what_the_server_lacks_is_not_claimed_and_refused() {
    // No shared subscriptions, a small packet; then: quality of service 0 only.
    let limited = b"\x20\x0a\0\0\x07\x2a\0\x27\0\0\x01\0".to_vec();
    let weak = b"\x20\x05\0\0\x02\x24\0".to_vec();
    for (answer, level) in [(limited, Level::Accepted), (weak, Level::Buffered)] {
        let played = Played::new();
        let url = played.url();
        let (done, wait) = std::sync::mpsc::channel::<()>();
        let server = thread::spawn(move || {
            let client = played.accept(&answer);
            let _ = wait.recv();
            drop(client);
        });
        run(async {
            let mqtt = settings(url);
            assert!(mqtt.capabilities().has(Mode::Durable, Capability::Durable));
            mqtt.start().await.unwrap();
            let can = mqtt.capabilities();
            assert!(!can.has(Mode::Durable, Capability::Durable));
            assert_eq!(can.highest_level(), level);
            let open = mqtt.subscribe("a").unwrap().group("g").open().await;
            assert!(matches!(open, Err(OpenError::Missing { .. })));
            if level == Level::Accepted {
                assert_eq!(can.payload_limit(), Some(256));
                let large = Envelope::new("a").unwrap().with_bytes(vec![0; 250]);
                let error = mqtt.publish(large.into()).await.unwrap_err();
                assert!(matches!(error.reason(), Reason::TooLarge { limit: 256, .. }), "{error}");
            } else {
                let receipt = mqtt.publish(envelope("a")).await.unwrap();
                assert_eq!(receipt.level, Level::Buffered);
            }
        });
        drop(done);
        server.join().unwrap();
    }
}

#[test]
fn durable_subscriptions_need_a_client_id_and_sessions_and_begin_now() {
    on("", async |server| {
        for without in
            [Mqtt::new(server.url()), settings(server.url()).session_expiry(Duration::ZERO)]
        {
            let mqtt = up(without).await;
            let open = mqtt.subscribe("a").unwrap().group("g").open().await.unwrap_err();
            assert!(matches!(open, OpenError::Missing { capability: Capability::Durable, .. }));
        }
        let mqtt = started(server.url()).await;
        for (at, capability) in [
            (StartAt::Earliest, Capability::StartEarliest),
            (StartAt::Sequence(1), Capability::StartSequence),
        ] {
            let open = mqtt.subscribe("a").unwrap().group("g").start_at(at).open().await;
            let error = open.unwrap_err();
            assert!(
                matches!(&error, OpenError::Missing { capability: it, .. } if *it == capability),
                "{error}"
            );
        }
        let counted = mqtt.subscribe("a").unwrap().group("g").max_attempts(3).open().await;
        assert!(matches!(counted, Err(OpenError::Missing { .. })));
    });
}

#[test]
fn without_confirmation_a_publish_is_buffered() {
    on("", async |server| {
        let mqtt = up(settings(server.url()).qos(Qos::AtMostOnce)).await;
        assert_eq!(mqtt.capabilities().highest_level(), Level::Buffered);
        let mut live = mqtt.subscribe("game.>").unwrap().open().await.unwrap();
        let mut group = mqtt.subscribe("game.>").unwrap().group("g").open().await.unwrap();
        for _ in 0..3 {
            let receipt = mqtt.publish(envelope("game.1")).await.unwrap();
            assert_eq!(receipt.level, Level::Buffered);
        }
        for _ in 0..3 {
            assert_eq!(subject(&delivery(&mut live).await), "game.1");
            delivery(&mut group).await.ack_async().await.unwrap();
        }
        assert!(group.stats().add_up());
        let last = mqtt.publish(envelope("game.2")).await;
        last.unwrap();
        mqtt.shutdown(SOON).await.unwrap();
    });
}

/// More than the connection buffers, and the last of it while the engine ends.
#[test]
fn without_confirmation_all_leaves_in_order_before_the_end() {
    on("max_queued_messages 0", async |server| {
        let mqtt = up(settings(server.url()).qos(Qos::AtMostOnce)).await;
        let beside = up(settings(server.url()).client_id("beside").qos(Qos::AtMostOnce)).await;
        let live = beside.subscribe("game.>").unwrap().capacity(4096);
        let mut live = live.open().await.unwrap();
        for at in 0..2000 {
            mqtt.publish(number("game.1", at)).await.unwrap();
        }
        mqtt.shutdown(SOON).await.unwrap();
        for at in 0..2000 {
            assert_eq!(value(&delivery(&mut live).await), at);
        }
        let late = mqtt.publish(envelope("game.1")).await.unwrap_err();
        assert!(matches!(late.reason(), Reason::Closed));
    });
}

/// Nothing gives way to the task that carries, before the runtime ends.
#[test]
fn without_confirmation_all_has_left_when_the_runtime_ends() {
    on("", async |server| {
        let beside = up(settings(server.url()).client_id("beside").qos(Qos::AtMostOnce)).await;
        let mut live = beside.subscribe("game.>").unwrap().open().await.unwrap();
        let url = server.url();
        let publishes = move || {
            run(async {
                let mqtt = up(settings(url).qos(Qos::AtMostOnce)).await;
                for at in 0..50 {
                    mqtt.publish(number("game.1", at)).await.unwrap();
                }
                mqtt.shutdown(SOON).await.unwrap();
            });
        };
        tokio::task::spawn_blocking(publishes).await.unwrap();
        for at in 0..50 {
            assert_eq!(value(&delivery(&mut live).await), at);
        }
    });
}

#[test]
fn without_confirmation_nothing_is_taken_when_the_runtime_has_ended() {
    on("", async |server| {
        let mqtt = settings(server.url()).qos(Qos::AtMostOnce);
        let started = tokio::task::spawn_blocking(|| run(up(mqtt))).await;
        let mqtt = started.unwrap();
        let error = timeout(WHILE, mqtt.publish(envelope("a"))).await.expect("at once");
        let error = error.unwrap_err();
        assert!(!error.is_unknown() && matches!(error.reason(), Reason::Disconnected(_)));
        timeout(WHILE, mqtt.shutdown(SOON)).await.expect("at once").unwrap();
    });
}

#[test]
fn without_confirmation_a_publish_waits_for_room_and_not_for_ever() {
    on("", async |server| {
        // It is not the ping that notices.
        let mqtt = settings(server.url()).qos(Qos::AtMostOnce).keep_alive(8 * SOON);
        let mqtt = up(mqtt.timeout(Duration::from_millis(500))).await;
        server.signal("-STOP");
        let large: Arc<Envelope> =
            Envelope::new("game.1").unwrap().with_bytes(vec![0; 60 << 10]).into();
        let fill = async {
            loop {
                if let Err(error) = mqtt.publish(large.clone()).await {
                    return error;
                }
            }
        };
        let error = timeout(SOON, fill).await.expect("the buffers are bounded");
        assert!(!error.is_unknown() && matches!(error.reason(), Reason::TimedOut), "{error}");
        server.signal("-CONT");
        until("there is room again", || mqtt.health() == Health::Up).await;
        mqtt.publish(large).await.unwrap();
        mqtt.shutdown(SOON).await.unwrap();
    });
}
