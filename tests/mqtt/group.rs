//! Groups: sessions, acknowledgements, and what comes again.

use alloc::collections::{BTreeSet, VecDeque};
use core::time::Duration;
use std::thread;
use std::time::Instant;

use tickbus::hosted::{Delivery, Engine, Gap, GapReason, Health, SettleError, Verdict};
use tokio::time::{sleep, timeout};

use crate::server::{Played, Server};
use crate::{
    SOON, delivery, envelope, next, nothing, number, on, publish, run, settings, started, subject,
    until, up, value,
};

#[test]
fn a_session_keeps_what_comes_while_its_member_is_away() {
    on("max_queued_messages 0", async |server| {
        let other = up(settings(server.url()).client_id("other")).await;
        for round in 0..2 {
            // Each is another process, as far as the server knows.
            let mqtt = started(server.url()).await;
            let mut group = mqtt.subscribe("game.*").unwrap().group("all").open().await.unwrap();
            if round == 1 {
                for expected in 1..300 {
                    let come = delivery(&mut group).await;
                    assert_eq!(value(&come), expected);
                    come.ack();
                }
            }
            other.publish(number("game.1", 0)).await.unwrap();
            delivery(&mut group).await.ack();
            mqtt.shutdown(SOON).await.unwrap();
            for at in 1..300 {
                other.publish(number("game.1", at)).await.unwrap();
            }
        }
    });
}

#[test]
fn each_member_has_a_session_and_the_next_one_takes_its_place() {
    on("max_queued_messages 0", async |server| {
        let mqtt = started(server.url()).await;
        let join = || mqtt.subscribe("game.>").unwrap().group("all").open();
        let (mut one, mut two) = (join().await.unwrap(), join().await.unwrap());
        for at in 0..10 {
            mqtt.publish(number("game.1", at)).await.unwrap();
        }
        let mut first = Vec::new();
        for _ in 0..5 {
            let come = delivery(&mut one).await;
            first.push(value(&come));
            come.ack();
        }
        // The other one has received nothing yet. What waits for it comes to the next one.
        drop(two);
        two = join().await.unwrap();
        for _ in 0..5 {
            let come = delivery(&mut two).await;
            assert!(!first.contains(&value(&come)));
            come.ack_async().await.unwrap();
        }
        nothing(&mut one).await;
        nothing(&mut two).await;
        // Other patterns are another session, and another share.
        let other = mqtt.subscribe("game.1").unwrap().group("all").open().await;
        let mut other = other.unwrap();
        mqtt.publish(number("game.1", 10)).await.unwrap();
        assert_eq!(value(&delivery(&mut other).await), 10);
    });
}

#[test]
fn several_patterns_are_one_session_and_an_event_comes_once() {
    on("", async |server| {
        let mqtt = started(server.url()).await;
        let several = |group: bool| {
            let it = mqtt.subscribe("a").unwrap().or("a.>").unwrap().or("*.b").unwrap();
            let it = it.or("c.d").unwrap();
            if group { it.group("a/b+c#d %") } else { it }
        };
        let mut durable = several(true).open().await.unwrap();
        let mut live = several(false).open().await.unwrap();
        for subject in ["a", "a.b", "b", "b.b", "c.d", "c.e", "a.b.c"] {
            publish(&mqtt, subject).await;
        }
        for expected in ["a", "a.b", "b.b", "c.d", "a.b.c"] {
            let come = delivery(&mut durable).await;
            assert_eq!(subject(&come), expected);
            come.ack();
            assert_eq!(subject(&delivery(&mut live).await), expected);
        }
        nothing(&mut durable).await;
        nothing(&mut live).await;
    });
}

/// The bytes of a message with an id, of the topic `a`, and what is to be said of it.
fn message(packet: u16, again: bool, id: &str) -> Vec<u8> {
    let mut properties = Vec::new();
    for (key, value) in [("tb-v", "1"), ("tb-id", id), ("tb-time", "2026-11-30T02:36:00Z")] {
        properties.push(0x26);
        for text in [key, value] {
            properties.extend(u16::try_from(text.len()).unwrap().to_be_bytes());
            properties.extend(text.as_bytes());
        }
    }
    let mut rest = vec![0, 1, b'a'];
    rest.extend(packet.to_be_bytes());
    rest.push(u8::try_from(properties.len()).unwrap());
    rest.extend(properties);
    let first = if again { 0x3a } else { 0x32 };
    [vec![first, u8::try_from(rest.len()).unwrap()], rest].concat()
}

const TAKEN: &[u8] = &[0x20, 3, 0, 0, 0];
const RESUMED: &[u8] = &[0x20, 3, 1, 0, 0];
const SUBSCRIBED: &[u8] = &[0x90, 4, 0, 1, 0, 1];

/// What a server sees of a member: acknowledgements in the order of its messages, also over
/// connections.
#[test]
fn acknowledgements_come_in_order_and_what_is_in_work_does_not_come_again() {
    let played = Played::new();
    let url = played.url();
    let server = thread::spawn(move || {
        let _publishes = played.accept(TAKEN);
        let mut member = played.accept(TAKEN);
        assert_eq!(member.read().unwrap()[0], 0x82, "it subscribes");
        member.write(SUBSCRIBED);
        for (packet, id) in [(1, "a"), (2, "b"), (3, "c")] {
            member.write(&message(packet, false, id));
        }
        // `a` is settled last, and acknowledged first.
        for packet in 1..=3 {
            assert_eq!(member.read().unwrap(), [0x40, 2, 0, packet]);
        }
        member.write(&message(4, false, "d"));
        member.write(&message(5, false, "e"));
        thread::sleep(Duration::from_millis(300));
        drop(member);
        let mut member = played.accept(RESUMED);
        // Before the answer to the subscription. The server has not read the acknowledgement of
        // `c`.
        member.write(&message(3, true, "c"));
        member.write(&message(4, true, "d"));
        member.write(&message(5, true, "e"));
        assert_eq!(member.read().unwrap()[0], 0x82, "it subscribes");
        member.write(SUBSCRIBED);
        member.write(&message(6, false, "f"));
        for packet in [3, 4, 5, 6] {
            assert_eq!(member.read().unwrap(), [0x40, 2, 0, packet]);
        }
        drop(member);
        let mut member = played.accept(TAKEN);
        assert_eq!(member.read().unwrap()[0], 0x82, "it subscribes");
        member.write(SUBSCRIBED);
        member.write(&message(1, false, "g"));
        assert_eq!(member.read().unwrap(), [0x40, 2, 0, 1]);
        assert_eq!(member.read().unwrap()[0], 0xe0, "it says goodbye");
    });
    run(async {
        let mqtt = started(url).await;
        let mut group = mqtt.subscribe("a").unwrap().group("g").open().await.unwrap();
        let (a, b) = (delivery(&mut group).await, delivery(&mut group).await);
        let c = delivery(&mut group).await;
        c.ack();
        b.ack_async().await.unwrap();
        sleep(Duration::from_millis(100)).await;
        a.ack();
        let (d, e) = (delivery(&mut group).await, delivery(&mut group).await);
        sleep(Duration::from_millis(500)).await;
        // One is settled after the connection was lost, and one while there was none.
        d.ack();
        e.ack();
        let f = delivery(&mut group).await;
        assert_eq!(f.envelope().id(), "f");
        f.ack();
        // The session is gone.
        assert_eq!(next(&mut group).await.unwrap_err(), Gap::new(None, GapReason::Trimmed));
        let g = delivery(&mut group).await;
        assert_eq!(g.envelope().id(), "g");
        g.ack_async().await.unwrap();
        assert!(group.stats().add_up());
        drop(group);
        tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap();
    });
}

#[test]
fn an_event_that_is_not_settled_comes_again_here_and_to_the_next_process() {
    on("", async |server| {
        let mqtt = started(server.url()).await;
        let lease = Duration::from_millis(400);
        let join = |mqtt| async move {
            let it = Engine::subscribe(mqtt, "game.>").unwrap().group("all").lease(lease);
            it.open().await.unwrap()
        };
        let mut group = join(&mqtt).await;
        publish(&mqtt, "game.1").await;
        let first = delivery(&mut group).await;
        let second = delivery(&mut group).await;
        assert_eq!(second.envelope().id(), first.envelope().id());
        assert!(matches!(first.ack_async().await, Err(SettleError::Late)));
        second.settle_async(Verdict::RetryAfter(Duration::from_millis(50))).await.unwrap();
        let third = delivery(&mut group).await;
        third.extend_async(SOON).await.unwrap();
        sleep(lease * 2).await;
        nothing(&mut group).await;
        // The process ends, as far as the server knows.
        let _ = mqtt.shutdown(Duration::ZERO).await;
        sleep(Duration::from_millis(200)).await;
        assert!(matches!(third.ack_async().await, Err(SettleError::Failed(_))));
        let mqtt = started(server.url()).await;
        let mut group = join(&mqtt).await;
        let again = delivery(&mut group).await;
        assert_eq!(again.attempt(), 0, "it is not counted");
        again.ack_async().await.unwrap();
        nothing(&mut group).await;
    });
}

#[test]
fn as_many_are_in_flight_as_the_member_says() {
    on("max_inflight_messages 0", async |server| {
        let mqtt = started(server.url()).await;
        let group = mqtt.subscribe("game.>").unwrap().group("all").in_flight(3);
        let mut group = group.open().await.unwrap();
        for at in 0..10 {
            mqtt.publish(number("game.1", at)).await.unwrap();
        }
        let (a, b) = (delivery(&mut group).await, delivery(&mut group).await);
        let c = delivery(&mut group).await;
        nothing(&mut group).await;
        // Behind one that is not settled, nothing more comes.
        b.ack_async().await.unwrap();
        c.ack();
        nothing(&mut group).await;
        a.ack();
        for expected in 3..10 {
            let come = delivery(&mut group).await;
            assert_eq!(value(&come), expected);
            come.ack();
        }
    });
}

/// `mosquitto` 2.0.11 sends 16 more for each acknowledgement.
#[test]
fn as_many_are_unsettled_as_the_member_says_if_the_server_sends_more() {
    on("", async |server| {
        let mqtt = started(server.url()).await;
        let group = mqtt.subscribe("game.>").unwrap().group("all").in_flight(16);
        let mut group = group.open().await.unwrap();
        for at in 0..100 {
            mqtt.publish(number("game.1", at)).await.unwrap();
        }
        for expected in 0..5 {
            let come = delivery(&mut group).await;
            assert_eq!(value(&come), expected);
            come.ack_async().await.unwrap();
        }
        let mut work = VecDeque::new();
        for expected in 5..100 {
            if work.len() == 16 {
                if expected % 40 == 21 {
                    nothing(&mut group).await;
                }
                Delivery::ack(work.pop_front().unwrap());
            }
            let come = delivery(&mut group).await;
            assert_eq!(value(&come), expected);
            work.push_back(come);
        }
        work.into_iter().for_each(Delivery::ack);
        nothing(&mut group).await;
        assert!(group.stats().add_up() && group.stats().handled == 100);
    });
}

/// It forgets the acknowledgements that the server has read.
#[test]
fn a_member_asks_whether_its_acknowledgements_are_read() {
    let played = Played::new();
    let url = played.url();
    let server = thread::spawn(move || {
        let _publishes = played.accept(TAKEN);
        let mut member = played.accept(TAKEN);
        assert_eq!(member.read().unwrap()[0], 0x82, "it subscribes");
        member.write(SUBSCRIBED);
        for packet in 1..=2000 {
            member.write(&message(packet, false, "a"));
        }
        for packet in 1..=2000_u16 {
            let [high, low] = packet.to_be_bytes();
            assert_eq!(member.read().unwrap(), [0x40, 2, high, low]);
        }
        assert_eq!(member.pings, 1);
    });
    run(async {
        let mqtt = up(settings(url).keep_alive(SOON * 6)).await;
        let mut group = mqtt.subscribe("a").unwrap().group("g").open().await.unwrap();
        for _ in 0..2000 {
            delivery(&mut group).await.ack();
        }
        tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap();
    });
}

#[test]
fn a_session_that_the_server_has_lost_is_a_gap_and_one_that_it_keeps_is_none() {
    let Some(mut server) = Server::start("max_queued_messages 0") else { return };
    run(async {
        let mqtt = started(server.url()).await;
        let mut group = mqtt.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        let mut live = mqtt.subscribe("game.>").unwrap().open().await.unwrap();
        publish(&mqtt, "game.1").await;
        let held = delivery(&mut group).await;
        drop(delivery(&mut live).await);
        // An orderly end: it writes its sessions.
        server.end();
        until("it is noticed", || mqtt.health() != Health::Up).await;
        let error = mqtt.publish(envelope("game.2")).await.unwrap_err();
        assert!(!error.is_unknown(), "{error}");
        server.run();
        until("it is up", || mqtt.health() == Health::Up).await;
        assert_eq!(next(&mut live).await.unwrap_err(), Gap::new(None, GapReason::Reconnected));
        publish(&mqtt, "game.2").await;
        let come = delivery(&mut group).await;
        assert_eq!(subject(&come), "game.2", "and what is in work stays so");
        held.ack_async().await.unwrap();
        come.ack_async().await.unwrap();
        nothing(&mut group).await;
    });
    let Some(mut server) = Server::start("") else { return };
    run(async {
        let mqtt = started(server.url()).await;
        let mut group = mqtt.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        publish(&mqtt, "game.1").await;
        let held = delivery(&mut group).await;
        server.kill();
        server.run();
        assert_eq!(next(&mut group).await.unwrap_err(), Gap::new(None, GapReason::Trimmed));
        until("it is up", || mqtt.health() == Health::Up).await;
        held.ack_async().await.unwrap();
        publish(&mqtt, "game.2").await;
        assert_eq!(subject(&delivery(&mut group).await), "game.2");
    });
}

/// It is a mistake, which `mosquitto` 2.0.11 does not even tell of. It costs repeats, and no event.
#[test]
fn two_processes_with_one_client_id_lose_nothing() {
    on("max_queued_messages 0", async |server| {
        let (one, two) = (started(server.url()).await, started(server.url()).await);
        let mut first = one.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        let mut second = two.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        for at in 0..50 {
            one.publish(number("game.1", at)).await.unwrap();
            sleep(Duration::from_millis(10)).await;
        }
        let mut come = BTreeSet::new();
        let began = Instant::now();
        while come.len() < 50 {
            assert!(began.elapsed() < SOON, "{come:?}");
            for group in [&mut first, &mut second] {
                let next = timeout(Duration::from_millis(10), group.next()).await;
                if let Ok(Some(Ok(next))) = next {
                    come.insert(value(&next));
                    next.ack();
                }
            }
        }
    });
}

#[test]
fn a_session_that_another_client_has_taken_over_is_not_taken_back_at_once() {
    let played = Played::new();
    let url = played.url();
    let server = thread::spawn(move || {
        let _publishes = played.accept(TAKEN);
        let mut member = played.accept(TAKEN);
        assert_eq!(member.read().unwrap()[0], 0x82, "it subscribes");
        member.write(SUBSCRIBED);
        member.write(&[0xe0, 1, 0x8e]);
        drop(member);
        played.is_quiet(Duration::from_secs(1))
    });
    run(async {
        let mqtt = started(url).await;
        let _group = mqtt.subscribe("a").unwrap().group("g").open().await.unwrap();
        let quiet = tokio::task::spawn_blocking(|| server.join().unwrap()).await.unwrap();
        assert!(quiet, "it has connected again");
    });
}

/// Each has a session of its own, although the group has one name.
#[test]
fn members_with_other_patterns_take_nothing_from_each_other() {
    on("max_queued_messages 0", async |server| {
        let mqtt = started(server.url()).await;
        let open = |pattern| mqtt.subscribe(pattern).unwrap().group("all").open();
        let mut hits = open("game.*.hit").await.unwrap();
        let mut chat = open("game.chat.>").await.unwrap();
        for at in 0..10 {
            mqtt.publish(number("game.1.hit", at)).await.unwrap();
            mqtt.publish(number("game.chat.all", at)).await.unwrap();
        }
        for at in 0..10 {
            for (from, wanted) in [(&mut hits, "game.1.hit"), (&mut chat, "game.chat.all")] {
                let come = delivery(from).await;
                assert_eq!((subject(&come), value(&come)), (wanted, at));
                come.ack_async().await.unwrap();
            }
        }
        nothing(&mut hits).await;
        nothing(&mut chat).await;
    });
}
