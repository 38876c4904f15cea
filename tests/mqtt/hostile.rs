//! What servers and other clients do to an engine on purpose.

use core::time::Duration;
use std::thread;

use std::fs;

use tickbus::Envelope;
use tickbus::hosted::{Engine, Gap, GapReason, Health, Reason};
use tokio::time::sleep;

use crate::server::{Played, Server};
use crate::servers::authority::Authority;
use crate::small_disk::Disk;
use crate::{
    SOON, delivery, envelope, next, nothing, number, on, publish, run, settings, started, subject,
    until, up, value,
};

const TAKEN: &[u8] = &[0x20, 3, 0, 0, 0];
const SUBSCRIBED: &[u8] = &[0x90, 4, 0, 1, 0, 1];

/// How long this thread has computed.
#[cfg(target_os = "linux")]
fn computed() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    Duration::from_nanos(text.split(' ').next().unwrap().parse().unwrap())
}

/// The time of a retry has come, and nothing gives it out any more.
#[cfg(target_os = "linux")]
#[test]
fn a_member_that_leaves_waits_for_what_is_in_work_without_computing() {
    on("", async |server| {
        let mqtt = started(server.url()).await;
        let mut group = mqtt.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        publish(&mqtt, "game.1").await;
        publish(&mqtt, "game.2").await;
        let (held, back) = (delivery(&mut group).await, delivery(&mut group).await);
        back.retry_after(Duration::from_millis(50));
        drop(group);
        let before = computed();
        sleep(Duration::from_secs(1)).await;
        let spent = computed() - before;
        assert!(spent < Duration::from_millis(300), "it has computed for {spent:?}");
        held.ack_async().await.unwrap();
    });
}

/// As over a slow network: the answer to a ping stands behind the message.
#[test]
fn a_message_that_comes_slowly_is_no_silence() {
    let played = Played::new();
    let url = played.url();
    let server = thread::spawn(move || {
        let _publishes = played.accept(TAKEN);
        let mut live = played.accept(TAKEN);
        assert_eq!(live.read().unwrap()[0], 0x82, "it subscribes");
        live.write(SUBSCRIBED);
        // A message of 1,000 bytes, in ten parts, while a ping is not answered.
        live.write(&[0x30, 0xeb, 0x07, 0, 1, b'a', 0]);
        for _ in 0..10 {
            thread::sleep(Duration::from_millis(150));
            live.write(&[7; 100]);
        }
        live.write(&[0xd0, 0]);
        thread::sleep(Duration::from_millis(200));
    });
    run(async {
        let mqtt = up(settings(url).timeout(Duration::from_millis(500))).await;
        let mut live = mqtt.subscribe("a").unwrap().open().await.unwrap();
        let come = delivery(&mut live).await;
        assert_eq!(come.envelope().bytes().unwrap().len(), 999);
        tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap();
    });
}

#[test]
fn a_certificate_for_another_machine_or_of_yesterday_is_not_trusted() {
    let Some(ours) = Authority::new() else { return };
    for (name, machine, days) in
        [("other", "IP:127.0.0.2,DNS:example.org", 2), ("old", "IP:127.0.0.1", -1)]
    {
        ours.sign_for(name, machine, days);
        let of = |it: &str| ours.path(&format!("{name}.{it}")).display().to_string();
        let lines = format!("certfile {}\nkeyfile {}", of("pem"), of("key"));
        on(&lines, async |server| {
            let url = server.url().replace("mqtt://", "mqtts://arena:wordof@");
            let mqtt = settings(url).ca_file(ours.path("ca.pem"));
            let error = mqtt.start().await.unwrap_err();
            assert!(matches!(error.reason, Reason::Refused(_)), "{name}: {error}");
            let told = format!("{error} {error:?} {mqtt:?}");
            assert!(told.contains("certificate") && !told.contains("wordof"), "{told}");
        });
    }
}

#[test]
fn a_server_that_is_frozen_for_long_loses_nothing() {
    on("", async |server| {
        let mqtt = up(settings(server.url()).timeout(Duration::from_secs(1))).await;
        let beside = up(settings(server.url()).client_id("beside")).await;
        let group = mqtt.subscribe("game.>").unwrap().group("all").lease(SOON);
        let mut group = group.open().await.unwrap();
        publish(&beside, "game.1").await;
        let held = delivery(&mut group).await;
        server.signal("-STOP");
        let error = mqtt.publish(envelope("game.2")).await.unwrap_err();
        assert!(error.is_unknown(), "{error}");
        held.ack(); // it is kept until the session goes on
        until("it is noticed", || mqtt.health() != Health::Up).await;
        sleep(Duration::from_millis(1200)).await;
        server.signal("-CONT");
        until("it is up", || mqtt.health() == Health::Up).await;
        while beside.publish(envelope("game.3")).await.is_err() {} // on a slow machine
        let mut come = Vec::new();
        while !come.contains(&"game.3".to_owned()) {
            let next = delivery(&mut group).await;
            come.push(subject(&next).to_owned());
            next.ack_async().await.unwrap();
        }
        assert!(!come.contains(&"game.1".to_owned()), "{come:?}");
        nothing(&mut group).await;
        assert!(group.stats().add_up());
    });
}

#[test]
fn a_packet_of_the_largest_size_passes_and_one_byte_more_is_not_sent() {
    on("max_packet_size 2000", async |server| {
        let mqtt = started(server.url()).await;
        let mut group = mqtt.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        let of = |bytes| {
            let plain = Envelope::unstamped("game.1").unwrap().with_id("1");
            plain.with_time("2026-11-30T02:36:00Z".parse().unwrap()).with_bytes(vec![7; bytes])
        };
        let Err(error) = mqtt.publish(of(2000).into()).await else { panic!() };
        let Reason::TooLarge { bytes, limit: 2000 } = *error.reason() else { panic!("{error}") };
        let fits = 2000 - (bytes - 2000);
        let error = mqtt.publish(of(fits + 1).into()).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::TooLarge { bytes: 2001, .. }), "{error}");
        let far = mqtt.publish(of(10 << 20).into()).await.unwrap_err();
        assert!(matches!(far.reason(), Reason::TooLarge { .. }) && !far.is_unknown(), "{far}");
        mqtt.publish(of(fits).into()).await.unwrap();
        let come = delivery(&mut group).await;
        assert_eq!(come.envelope().bytes().map(<[u8]>::len), Some(fits));
        come.ack_async().await.unwrap();
        assert_eq!(mqtt.health(), Health::Up);
    });
}

#[test]
fn a_server_that_lets_one_message_be_on_its_way_takes_them_one_by_one() {
    on("max_inflight_messages 1\nmax_queued_messages 0", async |server| {
        let mqtt = started(server.url()).await;
        let mut group = mqtt.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        let batch = (0..100).map(|at| number("game.1", at)).collect();
        assert!(mqtt.publish_batch(batch).await.iter().all(Result::is_ok));
        for at in 0..100 {
            let come = delivery(&mut group).await;
            assert_eq!(value(&come), at);
            come.ack();
        }
    });
}

/// Each property that a publish may have, and headers of ours that are not right.
#[test]
fn foreign_messages_of_all_kinds_are_events_or_gaps_and_none_comes_again() {
    on("", async |server| {
        let mqtt = started(server.url()).await;
        let mut live = mqtt.subscribe(">").unwrap().open().await.unwrap();
        let mut group = mqtt.subscribe(">").unwrap().group("all").open().await.unwrap();
        let say = |properties: &[&[&str]], payload: &[&str]| {
            let properties = properties.iter().flat_map(|it| ["-D", "publish"].iter().chain(*it));
            let words = ["-t", "a", "-q", "1"].iter().chain(payload).chain(properties);
            server.publish(&words.copied().collect::<Vec<_>>());
        };
        let ours = |key, value| ["user-property", key, value];
        // With what is not ours, each is an event.
        say(
            &[
                &["payload-format-indicator", "1"],
                &["message-expiry-interval", "60"],
                &["response-topic", "b/c"],
                &["correlation-data", "x"],
                &["content-type", "x"],
                &ours("", ""),
                &ours("tb-", "x"),
                &ours("TB-V", "1"),
            ],
            &["-m", ""],
        );
        let long = "y".repeat(60_000);
        say(&[&ours("k", &long), &ours(&long, "v")], &["-m", &long]);
        for from in [&mut live, &mut group] {
            for _ in 0..2 {
                let come = delivery(from).await;
                assert!(!come.envelope().id().is_empty());
                come.ack();
            }
        }
        // An id that is there, and no sense.
        let mut gaps = 0;
        let wrong = [
            &[ours("tb-v", "1")][..],
            &[ours("tb-v", "1"), ours("tb-id", "")],
            &[ours("tb-v", "1"), ours("tb-id", "a"), ours("tb-time", "yesterday")],
            &[ours("tb-v", "1"), ours("tb-id", "a"), ours("tb-time", &long)],
            &[ours("tb-v", "0"), ours("tb-id", "a")],
            &[ours("tb-v", "18446744073709551616"), ours("tb-id", "a")],
            &[ours("tb-v", ""), ours("tb-id", "a")],
            &[ours("tb-v", "1"), ours("tb-id", "a"), ours("traceparent", "00-0-0-00")],
            &[ours("tb-v", "1"), ours("tb-id", &long), ours("tb-id", "b")],
        ];
        for headers in wrong {
            let headers: Vec<&[&str]> = headers.iter().map(|it| &it[..]).collect();
            say(&headers, &["-m", "{"]);
        }
        publish(&mqtt, "end").await;
        for from in [&mut live, &mut group] {
            let mut events = 0;
            loop {
                match next(from).await {
                    Ok(come) if subject(&come) == "end" => {
                        come.ack();
                        break;
                    }
                    Ok(come) => {
                        events += 1;
                        come.ack();
                    }
                    Err(Gap { missed: Some(missed), reason: GapReason::Unreadable, .. }) => {
                        gaps += missed;
                    }
                    Err(gap) => panic!("{gap}"),
                }
            }
            println!("{events} events, {gaps} gaps");
            assert_eq!(events + core::mem::take(&mut gaps), wrong.len() as u64);
            nothing(from).await;
        }
        // The server has an acknowledgement of each.
        mqtt.shutdown(SOON).await.unwrap();
        let mqtt = started(server.url()).await;
        let mut group = mqtt.subscribe(">").unwrap().group("all").open().await.unwrap();
        nothing(&mut group).await;
    });
}

/// `mosquitto` writes its sessions at the end, and goes on in memory if it cannot.
#[test]
fn a_server_that_could_not_write_its_sessions_is_a_gap() {
    let Some(disk) = Disk::new() else { return };
    let lines = format!("persistence_location {}/\nautosave_interval 1", disk.folder());
    let Some(mut server) = Server::start(&lines) else { return };
    run(async {
        let mqtt = started(server.url()).await;
        disk.leave(0);
        let mut group = mqtt.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        for at in 0..20 {
            mqtt.publish(number("game.1", at)).await.unwrap();
        }
        sleep(Duration::from_millis(1200)).await; // it has tried to write
        for at in 0..10 {
            let come = delivery(&mut group).await;
            assert_eq!(value(&come), at);
            come.ack_async().await.unwrap();
        }
        server.end();
        until("it is noticed", || mqtt.health() != Health::Up).await;
        disk.make_room();
        server.run();
        until("it is up", || mqtt.health() == Health::Up).await;
        publish(&mqtt, "game.last").await;
        let mut gaps = 0;
        let mut come = Vec::new();
        while come.last() != Some(&"game.last".to_owned()) {
            match next(&mut group).await {
                Ok(next) => {
                    come.push(subject(&next).to_owned());
                    next.ack();
                }
                Err(gap) => {
                    assert_eq!(gap, Gap::new(None, GapReason::Trimmed));
                    gaps += 1;
                }
            }
        }
        assert_eq!(gaps, 1, "{come:?}");
    });
}

/// `mosquitto` takes a subscription that an access list forbids, so this server is played.
#[test]
fn a_subscription_that_is_not_allowed_is_said() {
    let played = Played::new();
    let url = played.url();
    let server = thread::spawn(move || {
        let publishes = played.accept(TAKEN);
        let mut kept = vec![publishes];
        for code in [0x87, 0x97, 0x8f] {
            for is_group in [false, true] {
                let mut client = played.accept(TAKEN);
                assert_eq!(client.read().unwrap()[0], 0x82, "it subscribes");
                client.write(&[0x90, 4, 0, 1, 0, code]);
                if is_group {
                    assert_eq!(client.read().unwrap()[0], 0xe0, "it says goodbye");
                } else {
                    kept.push(client);
                }
            }
        }
        kept
    });
    run(async {
        let mqtt = started(url).await;
        for why in ["not authorized (0x87)", "quota exceeded (0x97)", "filter invalid (0x8f)"] {
            let live = mqtt.subscribe("a").unwrap().open().await.unwrap_err().to_string();
            assert!(live.contains(why), "{live}");
            let group = mqtt.subscribe("a").unwrap().group("all").open().await;
            let group = group.unwrap_err().to_string();
            assert!(group.contains(why), "{group}");
        }
        drop(tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap());
    });
}

/// Else the session would take its share of the group for an hour, and no member would receive it.
#[test]
fn an_open_that_fails_leaves_no_session_behind() {
    let played = Played::new();
    let url = played.url();
    let server = thread::spawn(move || {
        let _publishes = played.accept(TAKEN);
        let mut member = played.accept(TAKEN);
        assert_eq!(member.read().unwrap()[0], 0x82, "it subscribes");
        member.write(&[0x90, 5, 0, 1, 0, 1, 0x87]); // the second filter is refused
        // The end of the connection is that of the session.
        assert_eq!(member.read().unwrap(), [0xe0, 7, 0, 5, 0x11, 0, 0, 0, 0]);
        drop(member);
        // A session that was there before stays: it has what came while its member was away.
        let mut member = played.accept(&[0x20, 3, 1, 0, 0]);
        assert_eq!(member.read().unwrap()[0], 0x82, "it subscribes");
        member.write(&[0x90, 5, 0, 1, 0, 1, 0x87]);
        assert_eq!(member.read(), None);
    });
    run(async {
        let mqtt = started(url).await;
        for _ in 0..2 {
            let open = mqtt.subscribe("a").unwrap().or("b").unwrap().group("all").open().await;
            let error = open.unwrap_err().to_string();
            assert!(error.contains("not authorized (0x87)"), "{error}");
        }
        tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap();
    });
}

/// The server holds none of these back.
#[test]
fn what_comes_unconfirmed_and_has_no_place_is_a_gap() {
    let played = Played::new();
    let url = played.url();
    let server = thread::spawn(move || {
        let publishes = played.accept(TAKEN);
        let mut member = played.accept(TAKEN);
        assert_eq!(member.read().unwrap()[0], 0x82, "it subscribes");
        member.write(&[SUBSCRIBED, &[0x30, 5, 0, 1, b'a', 0, b'x'].repeat(5)].concat());
        (publishes, member)
    });
    run(async {
        let mqtt = started(url).await;
        let group = mqtt.subscribe("a").unwrap().group("all").in_flight(2);
        let mut group = group.open().await.unwrap();
        let kept = tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap();
        sleep(Duration::from_millis(200)).await;
        for _ in 0..2 {
            delivery(&mut group).await.ack();
        }
        let gap = next(&mut group).await.unwrap_err();
        assert_eq!(gap, Gap::new(Some(3), GapReason::Overflow));
        drop(kept);
    });
}

/// It comes again in its session: none of these could be settled any more.
#[test]
fn a_subscription_that_is_closed_without_a_connection_gives_nothing_out() {
    let Some(mut server) = Server::start("") else { return };
    run(async {
        let mqtt = started(server.url()).await;
        let mut group = mqtt.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        for at in 0..3 {
            mqtt.publish(number("game.1", at)).await.unwrap();
        }
        drop(delivery(&mut group).await);
        sleep(Duration::from_millis(100)).await; // the others are here
        server.kill();
        until("it is noticed", || mqtt.health() != Health::Up).await;
        sleep(Duration::from_millis(100)).await;
        group.close();
        sleep(Duration::from_millis(100)).await;
        if let Some(come) = group.next().await {
            panic!("{come:?}");
        }
    });
}
