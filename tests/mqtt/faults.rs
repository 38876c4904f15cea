//! Connections that die, servers that are killed or refuse, and publishes whose end is not known.

use core::time::Duration;
use std::thread;

use tickbus::Envelope;
use tickbus::hosted::{Engine, Gap, GapReason, Health, Reason};
use tokio::time::{sleep, timeout};

use crate::server::{Played, Server};
use crate::servers::Proxy;
use crate::{
    SOON, WHILE, delivery, envelope, next, number, on, publish, run, settings, started, subject,
    until, up, value,
};

#[test]
fn a_silent_connection_is_noticed_and_mended() {
    on("", async |server| {
        let proxy = Proxy::to(server.port());
        let url = format!("mqtt://127.0.0.1:{}", proxy.port());
        let mqtt = up(settings(&*url).timeout(Duration::from_secs(1))).await;
        let beside = up(settings(server.url()).client_id("beside")).await;
        let mut group = mqtt.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        let mut live = mqtt.subscribe("game.>").unwrap().open().await.unwrap();
        publish(&mqtt, "game.1").await;
        delivery(&mut group).await.ack_async().await.unwrap();
        drop(delivery(&mut live).await);
        proxy.hold(true);
        let error = mqtt.publish(envelope("game.2")).await.unwrap_err();
        assert!(error.is_unknown(), "it may have arrived: {error}");
        until("it is noticed", || mqtt.health() != Health::Up).await;
        let refused = mqtt.publish(envelope("game.3")).await.unwrap_err();
        assert!(!refused.is_unknown() && matches!(refused.reason(), Reason::Disconnected(_)));
        let results = mqtt.publish_batch(vec![envelope("game.3"), envelope("game.3")]).await;
        assert!(results.iter().all(|it| it.as_ref().is_err_and(|error| !error.is_unknown())));
        publish(&beside, "game.4").await;
        proxy.cut();
        proxy.hold(false);
        let mut come = Vec::new();
        while !come.contains(&"game.4".to_owned()) {
            let next = delivery(&mut group).await;
            come.push(subject(&next).to_owned());
            next.ack();
        }
        assert!(!come.contains(&"game.3".to_owned()));
        assert_eq!(next(&mut live).await.unwrap_err(), Gap::new(None, GapReason::Reconnected));
        until("it is mended", || mqtt.health() == Health::Up).await;
        publish(&mqtt, "game.5").await;
    });
}

#[test]
fn a_verdict_survives_a_lost_connection_and_the_event_does_not_come_again() {
    on("", async |server| {
        let proxy = Proxy::to(server.port());
        let mqtt = started(format!("mqtt://127.0.0.1:{}", proxy.port())).await;
        let beside = up(settings(server.url()).client_id("beside")).await;
        let mut group = mqtt.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        for at in 0..3 {
            beside.publish(number("game.1", at)).await.unwrap();
        }
        let (a, b) = (delivery(&mut group).await, delivery(&mut group).await);
        let c = delivery(&mut group).await;
        proxy.hold(true);
        a.ack(); // it is on its way, and does not arrive
        sleep(Duration::from_millis(50)).await;
        proxy.cut();
        b.ack();
        proxy.hold(false);
        c.ack_async().await.unwrap();
        beside.publish(number("game.1", 3)).await.unwrap();
        let come = delivery(&mut group).await;
        assert_eq!(value(&come), 3);
        come.ack_async().await.unwrap();
        // The server agrees.
        mqtt.shutdown(SOON).await.unwrap();
        let mqtt = started(server.url()).await;
        let mut group = mqtt.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        crate::nothing(&mut group).await;
    });
}

/// `mosquitto` 2.0.11 sends more than the member says, so more acknowledgements can be lost.
#[test]
fn no_acknowledged_event_comes_again_however_many_acknowledgements_are_lost() {
    on("", async |server| {
        let proxy = Proxy::to(server.port());
        let mqtt = started(format!("mqtt://127.0.0.1:{}", proxy.port())).await;
        let beside = up(settings(server.url()).client_id("beside")).await;
        let group = mqtt.subscribe("game.>").unwrap().group("all").in_flight(16);
        let mut group = group.open().await.unwrap();
        for at in 0..100 {
            beside.publish(number("game.1", at)).await.unwrap();
        }
        for expected in 0..5 {
            let come = delivery(&mut group).await;
            assert_eq!(value(&come), expected);
            come.ack_async().await.unwrap();
        }
        proxy.hold(true);
        let mut expected = 5;
        while let Ok(come) = timeout(WHILE, delivery(&mut group)).await {
            assert_eq!(value(&come), expected);
            expected += 1;
            come.ack(); // it does not arrive
        }
        proxy.cut();
        proxy.hold(false);
        for expected in expected..100 {
            let come = delivery(&mut group).await;
            assert_eq!(value(&come), expected);
            come.ack();
        }
        crate::nothing(&mut group).await;
        // The server agrees.
        mqtt.shutdown(SOON).await.unwrap();
        let mqtt = started(server.url()).await;
        let mut group = mqtt.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        crate::nothing(&mut group).await;
    });
}

#[test]
fn what_the_server_refuses_is_not_sent_and_named() {
    let Some(server) = Server::start("message_size_limit 1000") else { return };
    run(async {
        let mqtt = started(server.url()).await;
        let mut live = mqtt.subscribe("game.>").unwrap().open().await.unwrap();
        let large = Envelope::new("game.1").unwrap().with_bytes(vec![0; 2000]);
        let error = mqtt.publish(large.into()).await.unwrap_err();
        assert!(error.to_string().contains("packet too large (0x95)"), "{error}");
        // The connection is still there, or again.
        until("it is up", || mqtt.health() == Health::Up).await;
        publish(&mqtt, "game.2").await;
        assert_eq!(subject(&delivery(&mut live).await), "game.2");
    });
    let folder = crate::servers::folder();
    let rights = folder.join("rights");
    std::fs::write(&rights, "topic readwrite game/#\n").unwrap();
    on(&format!("acl_file {}", rights.display()), async |server| {
        let mqtt = started(server.url()).await;
        publish(&mqtt, "game.1").await;
        let error = mqtt.publish(envelope("chat.1")).await.unwrap_err();
        assert!(!error.is_unknown(), "{error}");
        assert!(error.to_string().contains("not authorized (0x87)"), "{error}");
        let results = mqtt.publish_batch(vec![envelope("chat.1"), envelope("game.1")]).await;
        assert!(results[0].is_err() && results[1].is_ok());
    });
    let _ = std::fs::remove_dir_all(folder);
}

/// The server takes a filter at first, and refuses it after the connection was lost.
#[test]
fn rights_that_a_subscription_loses_are_said_by_the_health() {
    const TAKEN: &[u8] = &[0x20, 3, 0, 0, 0];
    for group in [None, Some("all")] {
        let played = Played::new();
        let url = played.url();
        let (ended, end) = std::sync::mpsc::channel::<()>();
        let server = thread::spawn(move || {
            let _shared = played.accept(TAKEN);
            let answer = |code: u8| {
                let mut subscription = played.accept(TAKEN);
                assert_eq!(subscription.read().unwrap()[0], 0x82);
                subscription.write(&[0x90, 4, 0, 1, 0, code]);
                subscription
            };
            drop(answer(1));
            let refused = answer(0x87);
            thread::sleep(Duration::from_millis(200));
            drop(refused);
            let _taken = answer(1);
            let _ = end.recv_timeout(SOON);
        });
        run(async {
            let mqtt = up(settings(url).keep_alive(SOON)).await;
            let subscribe = mqtt.subscribe("game.>").unwrap();
            let open = match group {
                Some(group) => subscribe.group(group).open().await,
                None => subscribe.open().await,
            };
            let open = open.unwrap();
            until("it is said", || match mqtt.health() {
                Health::Down(why) => why.contains("not authorized (0x87)"),
                _ => false,
            })
            .await;
            until("it is over", || mqtt.health() == Health::Up).await;
            drop(open);
            let _ = ended.send(());
        });
        server.join().unwrap();
    }
}

/// The id in the bytes of a publish.
fn packet_id(publish: &[u8]) -> [u8; 2] {
    let head = 1 + publish[1..].iter().take_while(|byte| **byte & 0x80 != 0).count() + 1;
    let topic = usize::from(u16::from_be_bytes([publish[head], publish[head + 1]]));
    [publish[head + 2 + topic], publish[head + 3 + topic]]
}

/// The answers of a server, one for each publish, and what the publisher makes of them.
#[test]
fn the_reason_of_an_answer_decides() {
    let played = Played::new();
    let url = played.url();
    let server = thread::spawn(move || {
        // At most two at a time.
        let mut client = played.accept(&[0x20, 6, 0, 0, 3, 0x21, 0, 2]);
        for code in [&[][..], &[0x10], &[0x97, 0], &[0xee]] {
            let publish = client.read().unwrap();
            assert_eq!(publish[0], 0x32);
            let id = &packet_id(&publish);
            let length = u8::try_from(2 + code.len()).unwrap();
            client.write(&[&[0x40, length][..], id, code].concat());
        }
        // Two come, the third waits for its place.
        let (one, two) = (client.read().unwrap(), client.read().unwrap());
        assert_ne!(packet_id(&one), packet_id(&two));
        thread::sleep(Duration::from_millis(100));
        client.write(&[0xe0, 2, 0x8b, 0]);
        drop(client);
        let mut client = played.accept(&[0x20, 3, 0, 0, 0]);
        let publish = client.read().unwrap();
        client.write(&[&[0x40, 2][..], &packet_id(&publish)].concat());
        assert_eq!(client.read().unwrap()[0], 0xe0, "it says goodbye");
    });
    run(async {
        let mqtt = started(url).await;
        publish(&mqtt, "a").await;
        publish(&mqtt, "a").await; // without a subscriber
        for why in ["quota exceeded (0x97)", "unknown reason (0xee)"] {
            let error = mqtt.publish(envelope("a")).await.unwrap_err();
            assert!(!error.is_unknown() && error.to_string().contains(why), "{error}");
        }
        let three = vec![envelope("a"), envelope("a"), envelope("a")];
        let results = mqtt.publish_batch(three).await;
        let errors: Vec<_> = results.into_iter().map(Result::unwrap_err).collect();
        let unknown: Vec<_> = errors.iter().map(|error| error.is_unknown()).collect();
        assert_eq!(unknown, [true, true, false], "{errors:?}");
        assert!(errors[0].to_string().contains("server shutting down (0x8b)"), "{}", errors[0]);
        until("it is up", || mqtt.health() == Health::Up).await;
        publish(&mqtt, "a").await;
        mqtt.shutdown(SOON).await.unwrap();
        tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap();
    });
}

#[test]
fn a_server_that_stops_answering_is_left_and_found_again() {
    on("", async |server| {
        let mqtt = up(settings(server.url()).timeout(Duration::from_millis(700))).await;
        publish(&mqtt, "a").await;
        server.signal("-STOP");
        let error = mqtt.publish(envelope("a")).await.unwrap_err();
        assert!(error.is_unknown(), "{error}");
        until("it is noticed", || mqtt.health() != Health::Up).await;
        server.signal("-CONT");
        until("it is up", || mqtt.health() == Health::Up).await;
        publish(&mqtt, "a").await;
    });
}

#[test]
fn a_live_subscription_goes_on_after_its_server_was_killed() {
    let Some(mut server) = Server::start("") else { return };
    run(async {
        let mqtt = started(server.url()).await;
        let mut live = mqtt.subscribe("game.>").unwrap().open().await.unwrap();
        publish(&mqtt, "game.1").await;
        assert_eq!(subject(&delivery(&mut live).await), "game.1");
        server.kill();
        until("it is noticed", || mqtt.health() != Health::Up).await;
        let error = mqtt.publish(envelope("game.1")).await.unwrap_err().to_string();
        let lost =
            "there is no connection: it was lost, and is being made again: `mqtt://127.0.0.1:";
        assert!(error.contains(lost), "{error}");
        server.run();
        until("it is up", || mqtt.health() == Health::Up).await;
        publish(&mqtt, "game.2").await;
        assert_eq!(next(&mut live).await.unwrap_err(), Gap::new(None, GapReason::Reconnected));
        assert_eq!(subject(&delivery(&mut live).await), "game.2");
    });
}
