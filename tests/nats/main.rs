//! The engine for NATS on real servers, old and new. Without them each test says SKIPPED.
#![cfg(not(tickbus_loom))]

extern crate alloc;

mod broker;
mod cluster;
#[cfg(feature = "compression")]
mod compressed;
mod cost;
mod hostile;
mod kill;
mod kit;
mod router;
#[path = "../servers/mod.rs"]
mod servers;
#[path = "../servers/disk.rs"]
mod small_disk;
mod tls;

use core::time::Duration;
use std::time::Instant;

use async_nats::jetstream::consumer::{FromConsumer, pull};
use servers::events::{delivery, envelope, next, nothing, number, run, subject, value};
use servers::{Nats as Server, Proxy, TestServer};
use tickbus::Envelope;
use tickbus::hosted::engines::nats::{Nats, Provision};
use tickbus::hosted::{
    Deliveries, Delivery, Engine, EngineError, Gap, GapReason, Health, Level, OnStart, OpenError,
    Reason, SettleError, StartAt,
};
use tokio::time::{sleep, timeout};

/// Longer than anything here takes that happens at all.
const SOON: Duration = Duration::from_secs(10);
/// Long enough for what must not happen.
const WHILE: Duration = Duration::from_millis(300);

/// Runs a test on a server of each version.
fn on_both(test: impl AsyncFn(TestServer)) {
    for server in Server::BOTH {
        if let Some(server) = TestServer::start(server, "max_payload: 65536") {
            run(test(server));
        }
    }
}

fn settings(url: impl Into<String>) -> Nats {
    Nats::new(url)
        .stream("GAME")
        .subjects(["game.>"])
        .provision(Provision::Create)
        .timeout(Duration::from_secs(2))
        .heartbeat(Duration::from_millis(250))
}

async fn started(url: impl Into<String>) -> Nats {
    let nats = settings(url);
    nats.start().await.expect("it starts");
    nats
}

async fn publish(nats: &Nats, subject: &str) -> u64 {
    let receipt = nats.publish(envelope(subject)).await.unwrap();
    assert_eq!((receipt.level, receipt.duplicate), (Level::Stored, false));
    receipt.sequence.unwrap()
}

#[test]
fn a_publish_is_stored_and_its_repeat_is_a_duplicate() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let envelope = envelope("game.started");
        let first = nats.publish(envelope.clone()).await.unwrap();
        assert_eq!((first.level, first.duplicate, first.sequence), (Level::Stored, false, Some(1)));
        let again = nats.publish(envelope).await.unwrap();
        assert_eq!((again.level, again.duplicate, again.sequence), (Level::Stored, true, Some(1)));
        assert_eq!(nats.health(), Health::Up);

        let several = (0..300).map(|at| number("game.batch", at)).collect();
        let receipts = nats.publish_batch(several).await;
        let sequences = receipts.into_iter().map(|it| it.unwrap().sequence.unwrap());
        assert!(sequences.eq(2..302), "in their order");

        let core = Nats::new(server.url());
        core.start().await.unwrap();
        let receipt = core.publish(Envelope::new("other").unwrap().into()).await.unwrap();
        assert_eq!((receipt.level, receipt.sequence), (Level::Accepted, None));
        let receipts = core.publish_batch((0..3).map(|at| number("other", at)).collect()).await;
        assert!(receipts.into_iter().all(|it| it.unwrap().level == Level::Accepted));
    });
}

#[test]
fn an_envelope_comes_back_the_same() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let durable = nats.subscribe("game.>").unwrap().group("every.thing *");
        let mut durable = durable.open().await.unwrap();
        let mut live = nats.subscribe("game.>").unwrap().open().await.unwrap();
        let plain = || Envelope::new("game.hit").unwrap();
        let sent = [
            plain(),
            Envelope::json("game.grün.7", &["a", "b"]).unwrap().with_key("7").with_source("arena"),
            plain().with_bytes([0, 13, 10, 255]).header("colour", "blue").header("X", "ümlaut"),
            plain().header("Empty", "").with_trace_parent(
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap(),
            ),
        ];
        for envelope in &sent {
            nats.publish(envelope.clone().into()).await.unwrap();
        }
        for (at, envelope) in sent.iter().enumerate() {
            let come = delivery(&mut durable).await;
            assert_eq!((&**come.envelope(), come.attempt()), (envelope, 1));
            assert_eq!((come.sequence(), come.engine()), (Some(at as u64 + 1), "nats"));
            come.ack_async().await.unwrap();
            assert_eq!(&**delivery(&mut live).await.envelope(), envelope);
        }
        assert_eq!(durable.lag(), Some(0));
        assert!(durable.stats().add_up() && durable.stats().handled == 4);
    });
}

/// Also what the client has fetched before you ask for it.
#[test]
fn the_lag_is_all_that_a_subscription_has_still_to_receive() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let open = nats.subscribe("game.>").unwrap().group("g").in_flight(3);
        let mut durable = open.open().await.unwrap();
        for _ in 0..10 {
            publish(&nats, "game.hit").await;
        }
        let begin = Instant::now();
        for left in (0..10).rev() {
            let come = delivery(&mut durable).await;
            while durable.lag() != Some(left) {
                assert!(begin.elapsed() < SOON, "{:?}, and not {left}", durable.lag());
                sleep(Duration::from_millis(5)).await;
            }
            come.ack_async().await.unwrap();
        }
    });
}

#[test]
fn what_another_program_sends_is_an_envelope() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let mut come = nats.subscribe("game.*").unwrap().group("all").open().await.unwrap();
        let mut live = nats.subscribe("game.*").unwrap().open().await.unwrap();
        let client = async_nats::connect(server.url()).await.unwrap();
        let context = async_nats::jetstream::new(client.clone());
        let publish = async |subject: &str, headers: &[(&str, &str)], payload: &[u8]| {
            let mut map = async_nats::HeaderMap::new();
            headers.iter().for_each(|(key, value)| map.append(*key, *value));
            let payload = payload.to_vec().into();
            context
                .publish_with_headers(subject.to_owned(), map, payload)
                .await
                .unwrap()
                .await
                .unwrap();
        };
        publish("game.json", &[("Nats-Msg-Id", "x"), ("k", "v")], b"{\"by\":3}").await;
        publish("game.bytes", &[], b"\xff").await;
        publish("game.later", &[("tb-v", "2")], b"").await;
        publish("game.none", &[], b"").await;

        let json = delivery(&mut come).await;
        assert_eq!(
            (json.envelope().id(), json.envelope().payload()),
            ("GAME/1", Some("{\"by\":3}"))
        );
        assert!(json.envelope().headers().iter().eq([("k", "v")]), "without those of the server");
        json.ack();
        let bytes = delivery(&mut come).await;
        assert_eq!((bytes.envelope().id(), bytes.envelope().bytes()), ("GAME/2", Some(&[255][..])));
        bytes.ack();
        // It is of a version to come: it is never delivered, and the subscription says so.
        assert_eq!(next(&mut come).await.unwrap_err().reason, GapReason::Unreadable);
        let none = delivery(&mut come).await;
        assert_eq!((none.envelope().id(), none.envelope().payload()), ("GAME/4", None));
        none.ack_async().await.unwrap();

        assert!(!delivery(&mut live).await.envelope().id().is_empty());
        drop(delivery(&mut live).await);
        assert_eq!(next(&mut live).await.unwrap_err(), Gap::new(Some(1), GapReason::Unreadable));
        drop(delivery(&mut live).await);
    });
}

#[test]
fn what_nats_cannot_carry_is_not_sent() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let refused = async |envelope: Envelope| match nats.publish(envelope.into()).await {
            Err(error) if !error.is_unknown() => error,
            other => panic!("{other:?}"),
        };
        let error = refused(Envelope::new("game.a b").unwrap()).await;
        assert_eq!(
            error.to_string(),
            "engine `nats`: `game.a b` was not sent: the engine cannot carry this subject: \
             it has white space"
        );
        for reserved in ["$SYS.x", "_INBOX.x"] {
            let error = refused(Envelope::new(reserved).unwrap()).await;
            assert!(matches!(error.reason(), Reason::Subject(_)), "{error}");
        }
        let hit = || Envelope::new("game.hit").unwrap();
        for header in [
            ("two\nlines", "x"),
            ("x", "two\nlines"),
            ("x", " space"),
            ("", "x"),
            ("Nats-Rollup", "all"),
            ("nats-msg-id", "7"),
        ] {
            let error = refused(hit().header(header.0, header.1)).await;
            assert!(matches!(error.reason(), Reason::Header(_)), "{error}");
        }
        let error = refused(hit().with_bytes(vec![0; 65536])).await;
        assert!(matches!(error.reason(), Reason::TooLarge { limit: 65536, .. }), "{error}");
        let &Reason::TooLarge { bytes, limit } = error.reason() else { unreachable!() };
        // Exactly what fits is taken: the size is the one that the server counts.
        let fits = 65536 - (bytes - limit);
        let same = error.into_envelope();
        let with = |bytes: usize| (*same).clone().with_bytes(vec![0; bytes]);
        let error = refused(with(fits + 1)).await;
        assert!(matches!(error.reason(), Reason::TooLarge { bytes: 65537, .. }), "{error}");
        nats.publish(with(fits).into()).await.unwrap();
        let error = refused(Envelope::new("elsewhere").unwrap()).await;
        assert!(matches!(error.reason(), Reason::Refused(_)), "{error}");
        assert_eq!(error.into_envelope().subject().as_str(), "elsewhere");
        assert_eq!(publish(&nats, "game.hit").await, 2, "nothing else has arrived");
    });
}

#[test]
fn several_patterns_are_one_group_in_order() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let open = || nats.subscribe("game.*.hit").unwrap().or("game.chat.>").unwrap();
        let mut durable = open().group("both").open().await.unwrap();
        let mut live = open().open().await.unwrap();
        let subjects =
            ["game.1.hit", "game.1.miss", "game.chat.a.b", "game.chat.hit", "game.2.hit"];
        for subject in subjects {
            publish(&nats, subject).await;
        }
        for wanted in ["game.1.hit", "game.chat.a.b", "game.chat.hit", "game.2.hit"] {
            let come = delivery(&mut durable).await;
            assert_eq!(subject(&come), wanted);
            come.ack();
            assert_eq!(subject(&delivery(&mut live).await), wanted);
        }
        nothing(&mut durable).await;

        let error = nats.subscribe("game.>").unwrap().group("both").open().await.unwrap_err();
        assert!(
            error.to_string().contains("`both` exists for other patterns"),
            "members that steal from each other: {error}"
        );
    });
}

#[test]
fn a_member_with_another_lease_is_refused() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let open = |seconds| {
            let lease = Duration::from_secs(seconds);
            nats.subscribe("game.>").unwrap().group("all").lease(lease).open()
        };
        let client = async_nats::connect(server.url()).await.unwrap();
        // At once: the slower one must not change what the faster one has made. An old server has no
        // means against it.
        let (one, other) = if client.is_server_compatible(2, 10, 0) {
            tokio::join!(open(20), open(40))
        } else {
            (open(20).await, open(40).await)
        };
        let (kept, text) = if one.is_ok() {
            (20, "`all` exists with another lease (20s instead of 40s)")
        } else {
            (40, "`all` exists with another lease (40s instead of 20s)")
        };
        let (error, kept_open) = match (one, other) {
            (Ok(open), Err(error)) | (Err(error), Ok(open)) => (error.to_string(), open),
            other => panic!("{other:?}"),
        };
        assert!(error.contains(text), "{error}");
        drop(open(kept).await.unwrap());
        let error = open(60 - kept).await.unwrap_err().to_string();
        assert!(error.contains(text), "{error}");
        let stream = async_nats::jetstream::new(client).get_stream("GAME").await.unwrap();
        let info = stream.consumer_info("all").await.unwrap();
        assert_eq!(info.config.ack_wait, Duration::from_secs(kept));
        drop(kept_open);
    });
}

#[test]
fn a_running_member_follows_a_lease_that_was_changed_at_the_server() {
    on_both(async |server| {
        let proxy = Proxy::to(server.port());
        let nats = started(proxy.url()).await;
        let mut member = nats.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        let client = async_nats::connect(server.url()).await.unwrap();
        let context = async_nats::jetstream::new(client);
        let stream = context.get_stream("GAME").await.unwrap();
        let config = stream.consumer_info("all").await.unwrap().config;
        let mut config = pull::Config::try_from_consumer_config(config).unwrap();
        config.ack_wait = Duration::from_millis(600);
        context.create_consumer_on_stream(config, "GAME").await.unwrap();
        proxy.cut(); // it looks after a reconnect, and from time to time
        let began = Instant::now();
        while nats.publish(envelope("game.job")).await.is_err() {
            assert!(began.elapsed() < SOON);
            sleep(Duration::from_millis(20)).await;
        }
        let first = delivery(&mut member).await;
        let second = delivery(&mut member).await;
        assert_eq!((first.sequence(), second.attempt()), (second.sequence(), 2));
        // The server would take it, for the second.
        assert!(matches!(first.ack_async().await, Err(SettleError::Late)));
        second.ack_async().await.unwrap();
    });
}

#[test]
fn members_share_and_groups_do_not() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let open = |group| nats.subscribe("game.>").unwrap().group(group).in_flight(2).open();
        let mut members = [open("one").await.unwrap(), open("one").await.unwrap()];
        let mut alone = open("two").await.unwrap();
        for at in 0..40 {
            nats.publish(number("game.shot", at)).await.unwrap();
        }
        let mut counts = [0; 2];
        let mut come = Vec::new();
        while come.len() < 40 {
            for (member, count) in members.iter_mut().zip(&mut counts) {
                if let Ok(Some(next)) = timeout(Duration::from_millis(5), member.next()).await {
                    let next = next.unwrap();
                    come.push(value(&next));
                    next.ack();
                    *count += 1;
                }
            }
        }
        assert!(counts.iter().all(|count| *count >= 10), "{counts:?}");
        come.sort_unstable();
        assert!(come.into_iter().eq(0..40));
        for at in 0..40 {
            let next = delivery(&mut alone).await;
            assert_eq!(value(&next), at);
            next.ack();
        }
    });
}

#[test]
fn no_member_has_more_in_work_than_it_asked_for() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let member = nats.subscribe("game.>").unwrap().group("slow").in_flight(3);
        let mut member = member.open().await.unwrap();
        for at in 0..10 {
            nats.publish(number("game.shot", at)).await.unwrap();
        }
        let mut work = Vec::new();
        for _ in 0..3 {
            work.push(delivery(&mut member).await);
        }
        nothing(&mut member).await;
        work.pop().unwrap().ack();
        let fourth = delivery(&mut member).await;
        assert_eq!(value(&fourth), 3);
    });
}

#[test]
fn what_is_not_settled_comes_again_and_late_answers_are_refused() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let lease = Duration::from_millis(600);
        let member = nats.subscribe("game.>").unwrap().group("workers").lease(lease);
        let mut member = member.open().await.unwrap();
        publish(&nats, "game.job").await;

        let first = delivery(&mut member).await;
        let began = Instant::now();
        first.retry_after(Duration::from_millis(200));
        let second = delivery(&mut member).await;
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(200) && took < lease, "{took:?}");
        assert_eq!((second.attempt(), second.sequence()), (2, Some(1)));

        let began = Instant::now();
        let third = delivery(&mut member).await;
        let took = began.elapsed();
        assert!(took > lease - WHILE && took < lease + WHILE, "{took:?}");
        assert_eq!(third.attempt(), 3);
        // The server would take it: it does not know which delivery is meant.
        assert!(matches!(second.ack_async().await, Err(SettleError::Late)));

        // Longer than a lease, and then no more.
        third.extend(Duration::from_millis(1500));
        assert!(timeout(Duration::from_millis(1400), member.next()).await.is_err());
        third.ack_async().await.unwrap();
        nothing(&mut member).await;
        assert!(member.stats().add_up());
        assert_eq!((member.stats().refused, member.stats().handled), (1, 1));

        publish(&nats, "game.job").await;
        delivery(&mut member).await.reject("two\nlines");
        assert!(timeout(lease + WHILE, member.next()).await.is_err(), "it never comes again");
    });
}

#[test]
fn an_extension_may_be_shorter_than_the_lease() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let mut member = nats.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        publish(&nats, "game.job").await;
        let first = delivery(&mut member).await;
        let began = Instant::now();
        first.extend(2 * WHILE);
        let second = delivery(&mut member).await;
        let took = began.elapsed();
        assert!(took >= 2 * WHILE && took < 4 * WHILE, "the lease is 30 s: {took:?}");
        assert!(matches!(first.ack_async().await, Err(SettleError::Late)));
        second.extend(WHILE);
        second.extend(Duration::from_secs(30)); // the last one counts
        nothing(&mut member).await;
        nothing(&mut member).await;
        second.ack_async().await.unwrap();
    });
}

#[test]
fn attempts_are_bounded() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let member = nats.subscribe("game.>").unwrap().group("workers").max_attempts(2);
        let mut member = member.open().await.unwrap();
        publish(&nats, "game.job").await;
        for attempt in 1..=2 {
            let come = delivery(&mut member).await;
            assert_eq!(come.attempt(), attempt);
            come.retry_after(Duration::ZERO);
        }
        assert_eq!(next(&mut member).await.unwrap_err(), Gap::new(Some(1), GapReason::Exhausted));
        nothing(&mut member).await;
    });
}

#[test]
fn a_group_goes_on_where_it_stopped_and_says_what_is_gone() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        publish(&nats, "game.before").await;
        let open = |group| nats.subscribe("game.>").unwrap().group(group);
        let mut new = open("new").open().await.unwrap();
        let mut all = open("all").start_at(StartAt::Earliest).open().await.unwrap();
        for _ in 0..9 {
            publish(&nats, "game.now").await;
        }
        let first = delivery(&mut new).await;
        assert_eq!(first.sequence(), Some(2), "not what was before");
        first.ack_async().await.unwrap();
        let first = delivery(&mut all).await;
        assert_eq!(first.sequence(), Some(1));
        first.ack_async().await.unwrap();
        // What it has in its buffer comes again once the lease ends: here, none has begun.
        drop((new, all));

        let mut from = open("from").start_at(StartAt::Sequence(4)).open().await.unwrap();
        assert_eq!(delivery(&mut from).await.sequence(), Some(4));
        let at = tickbus::envelope::Timestamp::from_unix_nanos(0).unwrap();
        let mut since = open("since").start_at(StartAt::Time(at)).open().await.unwrap();
        assert_eq!(delivery(&mut since).await.sequence(), Some(1));

        let next_one = open("one").in_flight(1).start_at(StartAt::Earliest);
        let mut one = next_one.open().await.unwrap();
        for sequence in 1..=3 {
            let come = delivery(&mut one).await;
            assert_eq!(come.sequence(), Some(sequence));
            if sequence < 3 {
                come.ack_async().await.unwrap();
            } else {
                come.retry_after(Duration::ZERO);
            }
        }
        drop(one);
        let client = async_nats::connect(server.url()).await.unwrap();
        let context = async_nats::jetstream::new(client);
        // By the limits of the stream: after a purge, the server moves the groups on itself.
        let mut config = context.get_stream("GAME").await.unwrap().cached_info().config.clone();
        config.max_messages = 3;
        context.update_stream(config).await.unwrap();

        let mut one = open("one").in_flight(1).open().await.unwrap();
        let gap = next(&mut one).await.unwrap_err();
        assert_eq!(gap.reason, GapReason::Trimmed);
        assert_eq!(delivery(&mut one).await.sequence(), Some(8));
        let mut late = open("late").start_at(StartAt::Sequence(2)).open().await.unwrap();
        assert_eq!(next(&mut late).await.unwrap_err(), Gap::new(Some(6), GapReason::Trimmed));
        assert_eq!(delivery(&mut late).await.sequence(), Some(8));
    });
}

#[test]
fn a_purge_is_a_gap() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        for at in 0..6 {
            nats.publish(number("game.shot", at)).await.unwrap();
            publish(&nats, "game.other").await;
        }
        let open = |pattern| {
            let it = nats.subscribe(pattern).unwrap().start_at(StartAt::Earliest).in_flight(1);
            it.group(pattern).open()
        };
        let (mut all, mut some) = (open("game.>").await.unwrap(), open("game.shot").await.unwrap());
        for from in [&mut all, &mut some] {
            for _ in 0..2 {
                delivery(from).await.ack_async().await.unwrap();
            }
        }
        let held = [delivery(&mut all).await, delivery(&mut some).await];
        let client = async_nats::connect(server.url()).await.unwrap();
        let context = async_nats::jetstream::new(client);
        context.get_stream("GAME").await.unwrap().purge().await.unwrap();
        for from in [&mut all, &mut some] {
            assert_eq!(next(from).await.unwrap_err(), Gap::new(None, GapReason::Trimmed));
        }
        drop(held);
        publish(&nats, "game.shot").await;
        for from in [&mut all, &mut some] {
            let come = delivery(from).await;
            assert_eq!(come.sequence(), Some(13));
            come.ack_async().await.unwrap();
            sleep(4 * WHILE).await; // it looks again
            nothing(from).await;
        }
    });
}

#[test]
fn live_subscriptions_receive_what_the_core_matcher_says_and_nothing_of_the_server() {
    on_both(async |server| {
        let nats = Nats::new(server.url());
        nats.start().await.unwrap();
        let mut all = nats.subscribe(">").unwrap().capacity(1000).open().await.unwrap();
        let mut star = nats.subscribe("a.*").unwrap().open().await.unwrap();
        let mut tail = nats.subscribe("a.>").unwrap().or("c").unwrap().open().await.unwrap();
        // Internal subjects of the server, and of requests: the second connection asks for a stream.
        settings(server.url()).start().await.unwrap();
        for subject in ["a", "a.b", "a.b.c", "b.a", "c", "A.b"] {
            nats.publish(envelope(subject)).await.unwrap();
        }
        let came = async |from: &mut Deliveries, wanted: &[&str]| {
            for wanted in wanted {
                assert_eq!(subject(&delivery(from).await), *wanted);
            }
            nothing(from).await;
        };
        came(&mut all, &["a", "a.b", "a.b.c", "b.a", "c", "A.b"]).await;
        came(&mut star, &["a.b"]).await;
        came(&mut tail, &["a.b", "a.b.c", "c"]).await;
    });
}

#[test]
fn a_full_live_buffer_says_what_it_dropped() {
    use tickbus::Overrun;
    on_both(async |server| {
        let nats = Nats::new(server.url());
        nats.start().await.unwrap();
        let open = |overrun| nats.subscribe("a").unwrap().capacity(2).overrun(overrun).open();
        let mut newest = open(Overrun::DropNewest).await.unwrap();
        let mut oldest = open(Overrun::DropOldest).await.unwrap();
        for at in 1..=5 {
            nats.publish(number("a", at)).await.unwrap();
        }
        sleep(Duration::from_millis(50)).await;
        let gap = Gap::new(Some(3), GapReason::Overflow);
        let number = |delivery: Delivery| value(&delivery);
        assert_eq!(number(delivery(&mut newest).await), 1);
        assert_eq!(number(delivery(&mut newest).await), 2);
        assert_eq!(next(&mut newest).await.unwrap_err(), gap);
        assert_eq!(next(&mut oldest).await.unwrap_err(), gap);
        assert_eq!(number(delivery(&mut oldest).await), 4);
        assert_eq!(number(delivery(&mut oldest).await), 5);
        nats.publish(envelope("a")).await.unwrap();
        drop(delivery(&mut newest).await);
    });
}

#[test]
fn a_silent_connection_is_noticed_and_mended() {
    on_both(async |server| {
        let proxy = Proxy::to(server.port());
        let nats = started(proxy.url()).await;
        let beside = started(server.url()).await;
        let lease = Duration::from_secs(1);
        let mut durable =
            nats.subscribe("game.>").unwrap().group("all").lease(lease).open().await.unwrap();
        let mut live = nats.subscribe("game.>").unwrap().open().await.unwrap();
        publish(&nats, "game.1").await;
        delivery(&mut durable).await.ack_async().await.unwrap();
        drop(delivery(&mut live).await);

        proxy.hold(true);
        let error = nats.publish(envelope("game.2")).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::TimedOut), "{error}");
        assert!(error.is_unknown(), "it may have arrived: {error}");
        let began = Instant::now();
        while nats.health() == Health::Up {
            assert!(began.elapsed() < SOON, "it is not noticed");
            sleep(Duration::from_millis(20)).await;
        }
        let refused = nats.publish(envelope("game.3")).await.unwrap_err();
        assert!(!refused.is_unknown() && matches!(refused.reason(), Reason::Disconnected(_)));
        publish(&beside, "game.4").await;
        proxy.cut();
        proxy.hold(false);
        // The durable one continues, and the live one says that something is missing.
        let mut come = Vec::new();
        while !come.contains(&"game.4".to_owned()) {
            let next = delivery(&mut durable).await;
            come.push(subject(&next).to_owned());
            next.ack();
        }
        assert!(!come.contains(&"game.3".to_owned()));
        assert_eq!(next(&mut live).await.unwrap_err(), Gap::new(None, GapReason::Reconnected));
        assert_eq!(nats.health(), Health::Up);
        // It is the same event, whether it had arrived or not.
        let EngineError::Unknown { envelope, .. } = error else { panic!("{error}") };
        nats.publish(envelope).await.unwrap();
    });
}

#[test]
fn a_consumer_that_vanishes_is_made_again_where_the_group_was() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let member = nats.subscribe("game.>").unwrap().group("all").lease(Duration::from_secs(1));
        let mut member = member.open().await.unwrap();
        for _ in 0..3 {
            publish(&nats, "game.shot").await;
            delivery(&mut member).await.ack_async().await.unwrap();
        }
        let client = async_nats::connect(server.url()).await.unwrap();
        let context = async_nats::jetstream::new(client);
        // The old server fails where it writes to the folder that it deletes.
        while context.delete_consumer_from_stream("all", "GAME").await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
        let wanted = publish(&nats, "game.after").await;
        loop {
            let come = delivery(&mut member).await;
            let sequence = come.sequence().unwrap();
            come.ack();
            if sequence == wanted {
                break;
            }
        }
        nothing(&mut member).await;
    });
}

#[test]
fn a_start_that_fails_says_why_and_no_secret() {
    let login = "authorization { user: arena, password: \"wordof/mine\" }";
    for server in Server::BOTH {
        let Some(server) = TestServer::start(server, login) else { continue };
        run(async {
            let right = settings(server.url()).password("arena", "wordof/mine");
            right.start().await.unwrap();
            let wrong = settings(server.url()).password("arena", "wrongword");
            let error = wrong.start().await.unwrap_err();
            assert!(error.to_string().contains("authorization violation"), "{error}");
            assert!(matches!(wrong.health(), Health::Down(_)));
            let without = settings(server.url()).start().await.unwrap_err().to_string();
            let what = ": call `password`, `token` or another login, or put it into the URL";
            assert!(without.ends_with(what) && !error.to_string().ends_with(what), "{without}");
            let url = server.url().replace("//", "//arena:wordof%2fmine@");
            let in_url = settings(url);
            in_url.start().await.unwrap();
            let debug = format!("{right:?} {wrong:?} {in_url:?} {error:?} {error}");
            assert!(!debug.contains("wordof") && !debug.contains("wrongword"), "{debug}");
            assert!(debug.contains("nats://127.0.0.1:"), "{debug}");

            let other = Nats::new(server.url()).password("arena", "wordof/mine").stream("OTHER");
            let error = other.start().await.unwrap_err().to_string();
            assert!(error.contains("stream not found"), "{error}");
            let narrow = Nats::new(server.url()).password("arena", "wordof/mine").stream("GAME");
            let error =
                narrow.subjects(["game.>", "chat.>"]).start().await.unwrap_err().to_string();
            assert!(error.contains("does not cover `chat.>`"), "{error}");
        });
    }
    run(async {
        let absent = Nats::new(format!("nats://127.0.0.1:{}", servers::free_port()));
        let error = absent.publish(envelope("a")).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::NotStarted));
        assert!(matches!(absent.start().await.unwrap_err().reason, Reason::Disconnected(_)));
        let port = servers::free_port();
        let absent = Nats::new(format!("nats://arena:word@127.0.0.1:{port}"));
        let error = absent.start().await.unwrap_err().to_string();
        let server = format!("there is no connection: `nats://127.0.0.1:{port}`: ");
        assert!(error.contains(&server) && error.contains("Connection refused"), "{error}");
        assert!(!error.contains("arena") && !error.contains("word"), "{error}");
        // A comma in a password parts the URLs.
        for url in ["nats://arena:word@:x", "nats://a:1,nats://arena:wo,word,rd@b:2,nats://c:3"] {
            let nats = Nats::new(url);
            let error = nats.start().await.unwrap_err();
            let shown = format!("{error:?} {error} {nats:?}");
            assert!(!shown.contains("wo") && !shown.contains("arena"), "{shown}");
        }
    });
}

#[test]
fn a_start_can_wait_for_the_server() {
    let Some(mut server) = TestServer::start(Server::New, "") else { return };
    server.kill();
    let url = server.url();
    let start = std::thread::spawn(move || {
        run(async {
            let nats = settings(url).on_start(OnStart::Wait(SOON));
            nats.start().await.unwrap();
            publish(&nats, "game.started").await;
        });
    });
    std::thread::sleep(Duration::from_millis(300));
    server.run();
    start.join().unwrap();
}

#[test]
fn a_start_in_the_background_returns_at_once_and_comes_up_by_itself() {
    let Some(mut server) = TestServer::start(Server::New, "") else { return };
    server.kill();
    run(async {
        let nats = settings(server.url()).on_start(OnStart::Background);
        let began = Instant::now();
        nats.start().await.unwrap();
        nats.start().await.unwrap();
        assert!(began.elapsed() < WHILE, "{:?}", began.elapsed());
        for _ in 0..2 {
            assert_eq!(nats.health(), Health::Connecting);
            let error = nats.publish(envelope("game.1")).await.unwrap_err();
            assert!(!error.is_unknown(), "{error}");
            assert!(matches!(error.reason(), Reason::Disconnected(_)), "{error}");
            let errors = nats.publish_batch(vec![envelope("game.1")]).await;
            assert!(matches!(errors[0].as_ref().unwrap_err().reason(), Reason::Disconnected(_)));
            for open in [nats.subscribe("game.>"), nats.subscribe("game.>").map(|it| it.group("g"))]
            {
                let error = open.unwrap().open().await.unwrap_err();
                assert!(
                    matches!(error, OpenError::Failed { reason: Reason::Disconnected(_), .. }),
                    "{error}"
                );
            }
            sleep(WHILE).await; // the first attempts have failed
        }
        let error = nats.publish(envelope("game.1")).await.unwrap_err().to_string();
        assert!(error.contains("there is no connection: not yet: `nats://127.0.0.1:"), "{error}");
        server.run();
        let began = Instant::now();
        while nats.health() != Health::Up {
            assert!(began.elapsed() < SOON, "{}", nats.health());
            sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(publish(&nats, "game.started").await, 1);
    });
}

#[test]
fn a_start_in_the_background_says_what_a_server_refused_until_that_is_mended() {
    let Some(server) = TestServer::start(Server::New, "") else { return };
    run(async {
        let nats = Nats::new(server.url()).stream("GAME").on_start(OnStart::Background);
        nats.start().await.unwrap();
        let began = Instant::now();
        while nats.health() == Health::Connecting {
            assert!(began.elapsed() < SOON);
            sleep(Duration::from_millis(20)).await;
        }
        let Health::Down(why) = nats.health() else { panic!("{}", nats.health()) };
        assert!(why.contains("stream not found"), "{why}");
        started(server.url()).await; // makes the stream
        while nats.health() != Health::Up {
            assert!(began.elapsed() < SOON, "{}", nats.health());
            sleep(Duration::from_millis(20)).await;
        }
        publish(&nats, "game.1").await;

        let closed = Nats::new("nats://127.0.0.1:1").on_start(OnStart::Background);
        closed.start().await.unwrap();
        closed.shutdown(SOON).await.unwrap();
        assert_eq!(closed.health(), Health::Closed);
        assert!(matches!(closed.start().await.unwrap_err().reason, Reason::Closed));
    });
}

#[test]
fn after_the_shutdown_everything_has_ended() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let mut durable = nats.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        let mut live = nats.subscribe("game.>").unwrap().open().await.unwrap();
        publish(&nats, "game.1").await;
        let kept = delivery(&mut durable).await;
        let acked = publish(&nats, "game.2").await;
        let second = delivery(&mut durable).await;
        assert_eq!(second.sequence(), Some(acked));
        second.ack();
        nats.shutdown(SOON).await.unwrap();
        nats.shutdown(SOON).await.unwrap();
        assert_eq!(nats.health(), Health::Closed);
        let error = nats.publish(envelope("game.3")).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::Closed));
        let error = nats.subscribe("game.>").unwrap().open().await.unwrap_err();
        assert!(matches!(error, OpenError::Failed { reason: Reason::Closed, .. }));
        assert!(matches!(nats.start().await.unwrap_err().reason, Reason::Closed));
        while timeout(SOON, live.next()).await.unwrap().is_some() {}
        assert!(timeout(SOON, durable.next()).await.unwrap().is_none());
        kept.ack();
        assert_eq!((durable.stats().handled, durable.stats().refused), (1, 1));

        // The answer before the shutdown has arrived, and the one after it has not.
        let again = started(server.url()).await;
        let member = again.subscribe("game.>").unwrap().group("all").lease(Duration::from_secs(30));
        let member = member.open().await.unwrap();
        let client = async_nats::connect(server.url()).await.unwrap();
        let context = async_nats::jetstream::new(client);
        let stream = context.get_stream("GAME").await.unwrap();
        let info = stream.consumer_info("all").await.unwrap();
        assert_eq!((info.num_ack_pending, info.ack_floor.stream_sequence), (1, 0));
        drop(member);
    });
}

#[test]
fn a_publish_has_arrived_when_its_runtime_stops() {
    on_both(async |server| {
        let url = server.url();
        let ids = std::thread::spawn(move || {
            (0..20)
                .map(|_| {
                    run(async {
                        let nats = started(url.clone()).await;
                        let envelope = envelope("game.last");
                        nats.publish(envelope.clone()).await.unwrap();
                        envelope.id().to_owned()
                    })
                })
                .collect::<Vec<_>>()
        });
        let ids = ids.join().unwrap();
        let nats = started(server.url()).await;
        let all = nats.subscribe("game.>").unwrap().group("all").start_at(StartAt::Earliest);
        let mut all = all.open().await.unwrap();
        for id in ids {
            let come = delivery(&mut all).await;
            assert_eq!(come.envelope().id(), id);
            come.ack();
        }
    });
}

#[test]
fn an_answer_that_cannot_come_is_not_waited_for() {
    on_both(async |mut server| {
        let nats = settings(server.url()).timeout(Duration::from_secs(60));
        nats.start().await.unwrap();
        publish(&nats, "game.1").await;
        // It leaves, and the server does not read it any more.
        server.freeze();
        let envelope = envelope("game.2");
        let sent = nats.publish(envelope.clone());
        let kill = async {
            sleep(Duration::from_millis(100)).await;
            server.kill();
            server.run();
        };
        let began = Instant::now();
        let (sent, ()) = tokio::join!(sent, kill);
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        // A slow machine may send it after the restart only.
        let arrived = sent.is_ok();
        assert!(sent.err().is_none_or(|error| error.is_unknown()));
        // It fails until the engine has noticed that the connection is gone, and made another one.
        let again = loop {
            match nats.publish(envelope.clone()).await {
                Ok(receipt) => break receipt,
                Err(_) => sleep(Duration::from_millis(10)).await,
            }
        };
        assert!(again.duplicate || !arrived);
    });
}

#[test]
fn what_a_member_has_not_begun_is_given_back_when_it_goes() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let open = || nats.subscribe("game.>").unwrap().group("all").open();
        let first = open().await.unwrap();
        publish(&nats, "game.job").await;
        sleep(Duration::from_millis(100)).await;
        drop(first);
        let mut second = open().await.unwrap();
        assert_eq!(delivery(&mut second).await.attempt(), 2, "the lease is 30 s");
    });
}

#[test]
fn what_waits_to_be_taken_keeps_its_lease() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let lease = Duration::from_millis(500);
        let open = || nats.subscribe("game.>").unwrap().group("all").lease(lease).open();
        let (mut member, mut other) = (open().await.unwrap(), open().await.unwrap());
        publish(&nats, "game.job").await;
        let busy = timeout(lease * 3, other.next()).await;
        let come = match busy {
            Ok(come) => come.unwrap().unwrap(),
            Err(_) => delivery(&mut member).await,
        };
        assert_eq!(come.attempt(), 1);
        sleep(lease / 5).await;
        come.ack_async().await.unwrap();
    });
}

#[test]
fn no_time_is_too_long() {
    on_both(async |server| {
        let nats = settings(server.url()).timeout(Duration::MAX).heartbeat(Duration::MAX);
        nats.start().await.unwrap();
        let all = nats.subscribe("game.>").unwrap().group("all").lease(Duration::MAX);
        let mut all = all.open().await.unwrap();
        let lease = Duration::from_secs(1);
        let short = nats.subscribe("game.>").unwrap().group("short").lease(lease);
        let mut short = short.open().await.unwrap();
        publish(&nats, "game.1").await;
        let first = delivery(&mut short).await;
        first.extend(Duration::MAX);
        sleep(2 * lease).await;
        nothing(&mut short).await;
        first.ack_async().await.unwrap();

        let first = delivery(&mut all).await;
        first.extend(Duration::MAX);
        first.retry_after(Duration::MAX);
        nothing(&mut all).await;
        assert!(all.stats().add_up() && all.stats().retried == 1);
    });
}

#[test]
fn nothing_is_accepted_that_a_lost_connection_swallowed() {
    on_both(async |server| {
        let proxy = Proxy::to(server.port());
        let nats = Nats::new(proxy.url()).timeout(SOON);
        nats.start().await.unwrap();
        proxy.hold(true);
        // More than the buffers of two sockets take: the rest leaves on the next connection, and with
        // it the question for what has arrived.
        let large = |_| Envelope::new("game.map").unwrap().with_bytes(vec![0; 60_000]).into();
        let publish = nats.publish_batch((0..600).map(large).collect());
        let cut = async {
            sleep(2 * WHILE).await;
            proxy.cut(); // what it holds is gone
            proxy.hold(false);
        };
        let (results, ()) = tokio::join!(publish, cut);
        let error = results.into_iter().next().unwrap().expect_err("it is gone");
        assert!(error.is_unknown(), "{error}");
        let began = Instant::now();
        while nats.health() != Health::Up {
            assert!(began.elapsed() < SOON);
            sleep(Duration::from_millis(20)).await;
        }
        let receipt = nats.publish(envelope("game.3")).await.unwrap();
        assert_eq!(receipt.level, Level::Accepted);
    });
}

#[test]
fn a_stream_that_was_made_anew_is_received_from_its_beginning() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let lease = Duration::from_secs(1);
        let mut member =
            nats.subscribe("game.>").unwrap().group("all").lease(lease).open().await.unwrap();
        for _ in 0..3 {
            publish(&nats, "game.old").await;
            delivery(&mut member).await.ack_async().await.unwrap();
        }
        sleep(Duration::from_secs(6)).await; // the member has looked where the group is
        let client = async_nats::connect(server.url()).await.unwrap();
        let context = async_nats::jetstream::new(client);
        let config = context.get_stream("GAME").await.unwrap().cached_info().config.clone();
        while context.delete_stream("GAME").await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
        context.create_stream(config).await.unwrap();
        for at in 1..=6 {
            assert_eq!(publish(&nats, "game.new").await, at);
        }
        let mut come = alloc::collections::BTreeSet::new();
        let mut gaps = 0;
        while come.len() < 6 {
            match next(&mut member).await {
                Ok(delivery) => {
                    come.insert(delivery.sequence().unwrap());
                    delivery.ack();
                }
                Err(_) => gaps += 1,
            }
        }
        assert!(gaps > 0, "and it says that something may be missing");
    });
}

#[test]
fn a_start_beyond_the_end_is_the_next_event_also_when_the_consumer_vanishes() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let lease = Duration::from_secs(1);
        let far = nats.subscribe("game.>").unwrap().group("far").lease(lease);
        let mut far = far.start_at(StartAt::Sequence(1000)).open().await.unwrap();
        for at in 1..=3 {
            publish(&nats, "game.shot").await;
            let come = delivery(&mut far).await;
            assert_eq!(come.sequence(), Some(at));
            come.ack_async().await.unwrap();
        }
        let client = async_nats::connect(server.url()).await.unwrap();
        let context = async_nats::jetstream::new(client);
        while context.delete_consumer_from_stream("far", "GAME").await.is_err() {
            sleep(Duration::from_millis(10)).await;
        }
        let wanted = publish(&nats, "game.after").await;
        loop {
            let come = next(&mut far).await.expect("no gap: nothing is missing");
            let sequence = come.sequence().unwrap();
            come.ack();
            if sequence == wanted {
                break;
            }
        }
    });
}

#[test]
fn what_is_never_read_takes_no_room() {
    on_both(async |server| {
        let nats = started(server.url()).await;
        let mut durable = nats.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        let mut live = nats.subscribe("game.>").unwrap().open().await.unwrap();
        let client = async_nats::connect(server.url()).await.unwrap();
        for _ in 0..100 {
            let mut headers = async_nats::HeaderMap::new();
            headers.insert("tb-v", "2");
            client.publish_with_headers("game.later", headers, "".into()).await.unwrap();
        }
        // What this client has sent comes on another connection than the next.
        let context = async_nats::jetstream::new(client);
        while context.get_stream("GAME").await.unwrap().cached_info().state.messages < 100 {
            sleep(Duration::from_millis(10)).await;
        }
        publish(&nats, "game.now").await;
        let began = Instant::now();
        while durable.lag() != Some(1) {
            assert!(began.elapsed() < SOON);
            sleep(WHILE).await;
        }
        for come in [&mut durable, &mut live] {
            let (mut missed, mut gaps) = (0, 0);
            let after = loop {
                match next(come).await {
                    Ok(delivery) => break delivery,
                    Err(gap) => {
                        assert_eq!(gap.reason, GapReason::Unreadable);
                        (missed, gaps) = (missed + gap.missed.unwrap(), gaps + 1);
                    }
                }
            };
            assert_eq!((missed, subject(&after)), (100, "game.now"), "{come:?}");
            assert!(gaps < 10, "{gaps} gaps"); // one, if all had come before the first was read
        }
    });
}

#[test]
fn a_live_subscription_goes_on_after_its_server_was_killed() {
    for nats in Server::BOTH {
        let Some(mut server) = TestServer::start(nats, "") else { continue };
        run(async {
            let core = Nats::new(server.url()).heartbeat(Duration::from_millis(250));
            let core = core.timeout(Duration::from_secs(2));
            core.start().await.unwrap();
            let mut live = core.subscribe("game.>").unwrap().open().await.unwrap();
            core.publish(envelope("game.1")).await.unwrap();
            assert_eq!(subject(&delivery(&mut live).await), "game.1");
            let is = async |up: bool| {
                let wait = async {
                    while (core.health() == Health::Up) != up {
                        sleep(Duration::from_millis(10)).await;
                    }
                };
                timeout(SOON, wait).await.expect("it is noticed");
            };
            server.kill();
            is(false).await;
            let error = core.publish(envelope("game.1")).await.unwrap_err().to_string();
            assert!(error.contains("no connection: `nats://127.0.0.1:"), "{error}");
            server.run();
            is(true).await;
            core.publish(envelope("game.2")).await.unwrap();
            assert_eq!(next(&mut live).await.unwrap_err(), Gap::new(None, GapReason::Reconnected));
            assert_eq!(subject(&delivery(&mut live).await), "game.2");
        });
    }
}
