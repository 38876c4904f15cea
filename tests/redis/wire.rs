//! What is published: receipts, forms, and what other programs write.

use alloc::collections::BTreeSet;
use core::time::Duration;
use std::path::Path;
use std::time::Instant;

use redis::Value;
use tickbus::Envelope;
use tickbus::hosted::engines::redis::Redis;
use tickbus::hosted::{Engine, Gap, GapReason, Level, Reason, StartAt, Verdict};
use tokio::time::sleep;

use crate::{
    SOON, delivery, envelope, next, nothing, number, on, publish, run, settings, started, subject,
    up,
};

/// The names and values of an entry.
type Fields = Vec<(String, Vec<u8>)>;

#[test]
fn a_publish_is_accepted_and_its_repeat_is_a_duplicate() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let first = envelope("game.started");
        let receipt = redis.publish(first.clone()).await.unwrap();
        assert_eq!((receipt.level, receipt.duplicate), (Level::Accepted, false));
        let again = redis.publish(first.clone()).await.unwrap();
        assert_eq!((again.duplicate, again.sequence), (true, receipt.sequence));
        // Also by another process, and in a batch.
        let other = started(server.url()).await;
        let several = [first, envelope("game.other")];
        let receipts = other.publish_batch(several.into()).await;
        let duplicates = receipts.iter().map(|it| it.as_ref().unwrap().duplicate);
        assert!(duplicates.eq([true, false]));

        let several = (0..3000).map(|at| number("game.batch", at)).collect();
        let receipts = redis.publish_batch(several).await;
        let sequences: Vec<_> = receipts.into_iter().map(|it| it.unwrap().sequence).collect();
        assert!(sequences.is_sorted() && BTreeSet::from_iter(&sequences).len() == 3000);
        assert_eq!(server.say(&["XLEN", "game"]), Value::Int(3002));

        let brief = up(settings(server.url()).deduplicate(Duration::from_millis(50))).await;
        let short = envelope("game.brief");
        assert!(!brief.publish(short.clone()).await.unwrap().duplicate);
        assert!(brief.publish(short.clone()).await.unwrap().duplicate);
        sleep(Duration::from_millis(100)).await;
        assert!(!brief.publish(short).await.unwrap().duplicate, "the window is over");
        let without = up(settings(server.url()).deduplicate(Duration::ZERO)).await;
        let twice = envelope("game.twice");
        for _ in 0..2 {
            assert!(!without.publish(twice.clone()).await.unwrap().duplicate);
        }
    });
}

#[test]
fn a_publish_is_stored_only_if_the_server_syncs_each_write() {
    on(&["--appendfsync", "always"], async |server| {
        let redis = started(server.url()).await;
        assert_eq!(redis.capabilities().highest_level(), Level::Stored);
        assert_eq!(redis.publish(envelope("game.1")).await.unwrap().level, Level::Stored);
        server.say(&["CONFIG", "SET", "appendonly", "no"]);
        let redis = started(server.url()).await;
        assert_eq!(redis.publish(envelope("game.1")).await.unwrap().level, Level::Accepted);
    });
}

fn golden(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/wire");
    std::fs::read(folder.join(name)).unwrap()
}

/// The envelope of a golden file, as it is read from fields.
fn of_golden(name: &str) -> (Vec<(String, Vec<u8>)>, Envelope) {
    let golden = golden(name);
    let at = golden.windows(2).position(|two| two == b"\n\n");
    let (head, payload) = golden.split_at(at.map_or(golden.len(), |at| at + 1));
    let line = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_owned(), value.as_bytes().to_vec())
    };
    let mut fields: Vec<_> = core::str::from_utf8(head).unwrap().lines().map(line).collect();
    if let Some(payload) = payload.strip_prefix(b"\n")
        && let Some(at) = payload.windows(2).position(|two| two == b": ")
    {
        let name = core::str::from_utf8(&payload[..at]).unwrap();
        fields.push((name.into(), payload[at + 2..].to_vec()));
    }
    let pairs = fields.iter().map(|(name, value)| (&**name, &**value));
    let envelope = tickbus::hosted::wire::from_fields("x", pairs, || panic!("ours")).unwrap();
    (fields, envelope)
}

#[test]
fn entries_and_messages_are_those_of_the_golden_files() {
    on(&[], async |server| {
        let streams = up(settings(server.url()).deduplicate(Duration::ZERO)).await;
        let mut group = streams.subscribe(">").unwrap().group("all").open().await.unwrap();
        let channels = up(Redis::new(server.url())).await;
        let client = redis::Client::open(server.url()).unwrap();
        for name in ["full", "bare", "bytes"] {
            let (fields, envelope) = of_golden(&format!("{name}.fields"));
            streams.publish(envelope.clone().into()).await.unwrap();
            let said = server.say(&["XREVRANGE", "game", "+", "-", "COUNT", "1"]);
            let mut entries: Vec<(String, Fields)> = redis::from_redis_value(said).unwrap();
            assert_eq!(entries.remove(0).1, fields, "{name}");
            // What is written now is read by each later version: from the golden file itself.
            let mut add: Vec<&[u8]> = vec![b"XADD", b"game", b"*"];
            for (name, value) in &fields {
                add.extend([name.as_bytes(), value]);
            }
            server.say_bytes(&add);
            for _ in 0..2 {
                let come = delivery(&mut group).await;
                assert_eq!(**come.envelope(), envelope);
                come.ack();
            }

            let mut listens = client.get_connection().unwrap();
            let mut listens = listens.as_pubsub();
            listens.subscribe(envelope.subject().as_str()).unwrap();
            channels.publish(envelope.into()).await.unwrap();
            let message = listens.get_message().unwrap();
            let json = golden(&format!("{name}.json"));
            assert_eq!(message.get_payload_bytes(), json.trim_ascii_end(), "{name}");
        }
    });
}

#[test]
fn an_envelope_comes_back_the_same() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let channels = up(Redis::new(server.url()).prefix("x:")).await;
        let durable = redis.subscribe("game.>").unwrap().group("every.thing *{}");
        let mut durable = durable.open().await.unwrap();
        let mut live = redis.subscribe("game.>").unwrap().open().await.unwrap();
        let mut heard = channels.subscribe("game.>").unwrap().open().await.unwrap();
        let plain = || Envelope::new("game.hit").unwrap();
        let sent = [
            plain(),
            Envelope::json("game.grün.7 ?[a-b]^\\", &["a", "b"]).unwrap(),
            plain().with_bytes([0, 13, 10, 255]).header("colour", "blue").header("X\n", "ü\0"),
            plain().header("", "").with_key("7").with_source("arena").with_trace_parent(
                "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse().unwrap(),
            ),
        ];
        for envelope in &sent {
            redis.publish(envelope.clone().into()).await.unwrap();
            channels.publish(envelope.clone().into()).await.unwrap();
        }
        for envelope in &sent {
            let come = delivery(&mut durable).await;
            assert_eq!((&**come.envelope(), come.attempt()), (envelope, 1));
            assert_eq!(come.engine(), "redis");
            come.ack_async().await.unwrap();
            assert_eq!(&**delivery(&mut live).await.envelope(), envelope);
            assert_eq!(&**delivery(&mut heard).await.envelope(), envelope);
        }
        crate::until("nothing is left", || durable.lag() == Some(0)).await;
        assert_eq!(redis.lag(), Some(0));
        assert!(durable.stats().add_up() && durable.stats().handled == 4);
        assert_eq!(server.say(&["XPENDING", "game", "every.thing *{}"]), nothing_pending());
    });
}

fn nothing_pending() -> Value {
    Value::Array(vec![Value::Int(0), Value::Nil, Value::Nil, Value::Nil])
}

#[test]
fn what_another_program_adds_is_an_envelope() {
    on(&[], async |server| {
        let redis = up(settings(server.url()).dead_letters(10)).await;
        let mut come = redis.subscribe(">").unwrap().group("all").open().await.unwrap();
        let mut live = redis.subscribe(">").unwrap().open().await.unwrap();
        let id = server.cli(&["XADD", "game", "*", "payload", "{\"by\":3}", "k", "v"]);
        server.cli(&["XADD", "game", "*", "subject", "game.hit", "data", "x", "k", "v"]);
        server.cli(&["XADD", "game", "*", "v", "2", "subject", "game.later"]);
        server.say_bytes(&[b"XADD", b"game", b"*", b"name", b"\xff"]);
        server.cli(&["XADD", "game", "7000000000000000-3", "subject", "not a..subject"]);

        let json = delivery(&mut come).await;
        let wanted = format!("game/{}", id.trim());
        assert_eq!((json.envelope().id(), subject(&json)), (&*wanted, "game"));
        assert_eq!(json.envelope().payload(), Some("{\"by\":3}"));
        assert!(json.envelope().headers().iter().eq([("k", "v")]));
        json.ack();
        let named = delivery(&mut come).await;
        assert_eq!((subject(&named), named.envelope().bytes()), ("game.hit", Some(&b"x"[..])));
        named.ack();
        // One is of a version to come, and one is not text.
        let gap = next(&mut come).await.unwrap_err();
        assert_eq!(gap, Gap::new(Some(2), GapReason::Unreadable));
        let far = delivery(&mut come).await;
        assert_eq!((far.envelope().id(), far.sequence()), ("game/7000000000000000-3", None));
        assert_eq!(far.envelope().headers().get("subject"), "not a..subject");
        far.ack_async().await.unwrap();
        assert_eq!(server.say(&["XPENDING", "game", "all"]), nothing_pending());
        assert_eq!(server.say(&["XLEN", "{game}:dead"]), Value::Int(2));

        drop((delivery(&mut live).await, delivery(&mut live).await));
        assert_eq!(next(&mut live).await.unwrap_err(), Gap::new(Some(2), GapReason::Unreadable));
        drop(delivery(&mut live).await);

        let channels = up(Redis::new(server.url())).await;
        let mut heard = channels.subscribe("game.>").unwrap().open().await.unwrap();
        let elsewhere = envelope("chat.1").to_json();
        for (channel, text) in
            [("game.a", "{\"by\":3}"), ("game.b", "\u{ff}"), ("game.c", &elsewhere), ("game.d", "")]
        {
            server.say(&["PUBLISH", channel, text]);
        }
        let json = delivery(&mut heard).await;
        assert_eq!((subject(&json), json.envelope().payload()), ("game.a", Some("{\"by\":3}")));
        assert!(!json.envelope().id().is_empty());
        assert_eq!(subject(&delivery(&mut heard).await), "game.b");
        // It says another subject than its channel's.
        let gap = next(&mut heard).await.unwrap_err();
        assert_eq!(gap, Gap::new(Some(1), GapReason::Unreadable));
        assert_eq!(delivery(&mut heard).await.envelope().payload(), None);
    });
}

#[test]
fn what_redis_cannot_carry_is_not_sent() {
    on(&["--proto-max-bulk-len", "1mb"], async |server| {
        const LIMIT: usize = 1 << 20;
        let channels = up(Redis::new(server.url())).await;
        let error = channels.publish(envelope("__keyspace@0__:x")).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::Subject(_)), "{error}");
        let prefixed = up(Redis::new(server.url()).prefix("p:")).await;
        prefixed.publish(envelope("__keyspace@0__:x")).await.unwrap();

        let redis = started(server.url()).await;
        assert_eq!(redis.capabilities().payload_limit(), Some(LIMIT));
        let large = |bytes| Envelope::new("game.hit").unwrap().with_bytes(vec![0; bytes]);
        for engine in [&redis, &channels] {
            let error = engine.publish(large(LIMIT + 1).into()).await.unwrap_err();
            assert!(!error.is_unknown(), "{error}");
            assert!(matches!(error.reason(), Reason::TooLarge { limit: LIMIT, .. }), "{error}");
            assert_eq!(error.into_envelope().subject().as_str(), "game.hit");
        }
        // A header may be as large.
        let header = large(0).header("x", "y".repeat(LIMIT + 1));
        let error = redis.publish(header.into()).await.unwrap_err();
        assert!(matches!(error.reason(), Reason::TooLarge { .. }), "{error}");
        redis.publish(large(LIMIT).into()).await.unwrap();
        let results = redis
            .publish_batch(vec![large(1).into(), large(LIMIT + 1).into(), large(2).into()])
            .await;
        assert!(results.iter().map(Result::is_ok).eq([true, false, true]));
        assert_eq!(server.say(&["XLEN", "game"]), Value::Int(3), "nothing else has arrived");
    });
}

#[test]
fn a_full_memory_is_said_and_nothing_is_sent() {
    let options = ["--maxmemory", "8mb", "--maxmemory-policy", "noeviction"];
    on(&options, async |server| {
        let redis = started(server.url()).await;
        let large = || Envelope::new("game.hit").unwrap().with_bytes(vec![7; 100_000]);
        let began = Instant::now();
        let error = loop {
            assert!(began.elapsed() < SOON);
            if let Err(error) = redis.publish(large().into()).await {
                break error;
            }
        };
        assert!(!error.is_unknown(), "{error}");
        assert!(error.to_string().contains("OOM command not allowed"), "{error}");
        assert!(!error.to_string().contains("script"), "{error}");
        let Value::Int(before) = server.say(&["XLEN", "game"]) else { panic!() };
        // It is not known: the refused one can be sent later.
        let again = error.into_envelope();
        assert!(redis.publish(again.clone()).await.is_err());
        let results = redis.publish_batch(vec![again.clone(), large().into()]).await;
        for error in results.into_iter().map(Result::unwrap_err) {
            assert!(!error.is_unknown() && error.to_string().contains("OOM"), "{error}");
        }
        assert_eq!(server.say(&["XLEN", "game"]), Value::Int(before));
        server.say(&["CONFIG", "SET", "maxmemory", "0"]);
        assert!(!redis.publish(again).await.unwrap().duplicate);
        assert_eq!(server.say(&["XLEN", "game"]), Value::Int(before + 1));
    });
}

#[test]
fn acknowledgements_go_on_while_the_memory_is_full() {
    on(&["--maxmemory-policy", "noeviction"], async |server| {
        let redis = started(server.url()).await;
        let mut group = redis.subscribe(">").unwrap().group("all").open().await.unwrap();
        publish(&redis, "game.1").await;
        let come = delivery(&mut group).await;
        server.say(&["CONFIG", "SET", "maxmemory", "1mb"]);
        assert!(redis.publish(envelope("game.2")).await.is_err());
        // Also for another member, on a server that has started anew in between.
        drop(group);
        server.say(&["CONFIG", "SET", "maxmemory", "0"]);
        server.say(&["HSET", "{game}:servers", "all", "another"]);
        server.say(&["CONFIG", "SET", "maxmemory", "1mb"]);
        let mut group = redis.subscribe(">").unwrap().group("all").open().await.unwrap();
        come.ack_async().await.unwrap();
        nothing(&mut group).await;
        // What is given back comes again.
        server.say(&["CONFIG", "SET", "maxmemory", "0"]);
        publish(&redis, "game.3").await;
        let come = delivery(&mut group).await;
        server.say(&["CONFIG", "SET", "maxmemory", "1mb"]);
        come.settle_async(Verdict::RetryAfter(Duration::from_millis(50))).await.unwrap();
        let come = delivery(&mut group).await;
        come.extend_async(SOON).await.unwrap();
        come.ack_async().await.unwrap();
    });
}

#[test]
fn scripts_that_a_server_has_forgotten_are_loaded_again() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let mut group = redis.subscribe(">").unwrap().group("all").open().await.unwrap();
        server.say(&["SCRIPT", "FLUSH"]);
        publish(&redis, "game.1").await;
        server.say(&["SCRIPT", "FLUSH"]);
        let results = redis.publish_batch((0..3).map(|at| number("game.2", at)).collect()).await;
        assert!(results.iter().all(Result::is_ok));
        for _ in 0..4 {
            let come = delivery(&mut group).await;
            server.say(&["SCRIPT", "FLUSH"]);
            come.ack_async().await.unwrap();
        }
        assert_eq!(server.say(&["XLEN", "game"]), Value::Int(4));
    });
}

#[test]
fn publishes_do_not_wait_for_blocked_reads() {
    on(&[], async |server| {
        let redis = up(settings(server.url()).heartbeat(SOON)).await;
        let mut open = Vec::new();
        for at in 0..3 {
            let group = redis.subscribe("other.>").unwrap().group(format!("g{at}"));
            open.push(group.open().await.unwrap());
            open.push(redis.subscribe("other.>").unwrap().open().await.unwrap());
        }
        sleep(Duration::from_millis(100)).await;
        let mut times: Vec<_> = Vec::new();
        for _ in 0..20 {
            let began = Instant::now();
            publish(&redis, "game.1").await;
            times.push(began.elapsed());
        }
        times.sort();
        assert!(times[10] < Duration::from_millis(50), "{times:?}");
    });
}

#[test]
fn a_publish_has_arrived_when_its_runtime_stops() {
    on(&[], async |server| {
        let url = server.url();
        let ids = std::thread::spawn(move || {
            let publish = |_| {
                run(async {
                    let redis = started(url.clone()).await;
                    let envelope = envelope("game.last");
                    redis.publish(envelope.clone()).await.unwrap();
                    envelope.id().to_owned()
                })
            };
            (0..10).map(publish).collect::<Vec<_>>()
        });
        let ids = ids.join().unwrap();
        let redis = started(server.url()).await;
        let all = redis.subscribe(">").unwrap().group("all").start_at(StartAt::Earliest);
        let mut all = all.open().await.unwrap();
        for id in ids {
            let come = delivery(&mut all).await;
            assert_eq!(come.envelope().id(), id);
            come.ack();
        }
    });
}
