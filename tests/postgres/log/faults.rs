//! What goes wrong, and what other event brokers on databases got wrong.

use alloc::collections::BTreeSet;
use core::time::Duration;
use std::io::{Read, Write};
use std::net::TcpListener;

use tickbus::Envelope;
use tickbus::hosted::engines::postgres::{PostgresStore, Provision};
use tickbus::hosted::{
    Engine, EngineError, Gap, GapReason, Health, Level, Reason, SettleError, StartAt,
};
use tokio::time::{sleep, timeout};

use super::{
    delivery, envelope, next, nothing, number, on, on_a_log, publish, settings, subject, up, value,
};
use crate::server::Postgres as Server;
use crate::servers::authority::Authority;
use crate::servers::{Proxy, free_port};
use crate::{SOON, WHILE, client, database, run, until};

#[test]
fn a_start_that_fails_says_why_and_no_secret() {
    on_a_log(async |server, log| {
        let of = |url: String| settings(url).log(log).provision(Provision::Check);
        let error = of(server.url()).start().await.unwrap_err().to_string();
        let missing = format!("the table `{log}` is missing: `Provision::Create` creates it");
        assert!(error.contains(&missing), "{error}");
        let url = server.url().replace("postgres@", "nobody_here:hunter2@");
        let wrong = of(url);
        let error = wrong.start().await.unwrap_err();
        assert!(matches!(error.reason, Reason::Refused(_)), "{error}");
        let away = format!("postgres://game:hunter2@127.0.0.1:{}/game", free_port());
        let away = of(away).timeout(Duration::from_millis(300));
        let not_started = away.publish(envelope("a")).await.unwrap_err();
        assert!(matches!(not_started.reason(), Reason::NotStarted));
        let gone = away.start().await.unwrap_err();
        assert!(matches!(gone.reason, Reason::Disconnected(_)), "{gone}");
        assert!(matches!(away.health(), Health::Down(_)));
        let shown = format!("{wrong:?} {error:?} {error} {away:?} {gone:?} {gone}");
        assert!(!shown.contains("hunter2"), "{shown}");

        let long = settings(server.url()).log("x".repeat(60)).start().await.unwrap_err();
        assert!(long.to_string().contains("too long for a log"), "{long}");
        let client = client(server.url()).await;
        client.batch_execute(&format!("CREATE TABLE {log} (id int8)")).await.unwrap();
        let error = settings(server.url()).log(log).start().await.unwrap_err().to_string();
        assert!(error.contains("is another one"), "{error}");
        // One of its tables alone is missing.
        let log = format!("{log}_b");
        drop(up(settings(server.url()).log(&log)).await);
        client.batch_execute(&format!("DROP TABLE {log}_about")).await.unwrap();
        let error = settings(server.url()).log(&log).start().await.unwrap_err().to_string();
        assert!(error.contains(&format!("a table of the log `{log}` is missing")), "{error}");
    });
}

#[test]
fn what_is_wrong_with_the_settings_is_named() {
    on_a_log(async |server, log| {
        let url = server.url();
        let said = async |it: super::Postgres| it.log(log).start().await.unwrap_err().to_string();
        for (end, why) in [
            ("?sslmod=require", "unknown option `sslmod`"),
            ("?sslmode=verify-ca", "invalid value for option `sslmode`"),
            ("?password=hunter2&sslmod=a", "unknown option `sslmod`"),
            ("?application_name=a@b&sslmod=require", "see `Database::new`"),
        ] {
            let error = said(settings(format!("{url}{end}"))).await;
            let why = format!("is not the URL of a Postgres database: {why}");
            assert!(error.ends_with(&why) && !error.contains("hunter2"), "{error}");
        }
        let error = said(settings(url.replace("postgres://", "mysql://"))).await;
        assert!(error.ends_with("the scheme is not `postgres`"), "{error}");
        let error = said(settings(&*url).pool_size(0)).await;
        assert!(
            error.ends_with(
                "did not start: a pool of 0 connections never answers: give it 1 or more"
            )
        );
        let error = said(settings(&*url).tls()).await;
        let why = "the server does not speak TLS: remove `tls` or `sslmode`";
        assert!(error.contains("did not start: `127.0.0.1:") && error.ends_with(why), "{error}");
        let error = said(settings(&*url).lanes(0)).await;
        assert!(error.ends_with("did not start: a log has 1 lane at least"), "{error}");
    });
    // A server that wants a password in clear text, and one that says nothing.
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("postgres://game@{}/game", server.local_addr().unwrap());
    let asks = std::thread::spawn(move || {
        let (mut socket, _) = server.accept().unwrap();
        let _ = socket.read(&mut [0; 1024]).unwrap();
        socket.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]).unwrap();
        let _ = socket.read(&mut [0; 1024]);
        server
    });
    let start = |url: &str| {
        let url = url.to_owned();
        run(async {
            let silent = settings(url).timeout(Duration::from_millis(500));
            silent.start().await.unwrap_err().to_string()
        })
    };
    let error = start(&url);
    assert!(error.contains("did not start: `127.0.0.1:"), "{error}");
    assert!(
        error.ends_with(
            "the server wants a password: call `login` of the log or `password` of the \
                             database, or put it into the URL"
        ),
        "{error}"
    );
    let _server = asks.join().unwrap();
    let error = start(&url);
    assert!(error.contains("127.0.0.1:"), "{error}");
}

/// A log that was copied to another server is refused: its positions mean nothing there.
#[test]
fn a_log_of_another_server_is_refused() {
    on_a_log(async |server, log| {
        drop(up(settings(server.url()).log(log)).await);
        let copy = format!(
            "INSERT INTO {log} (xid, subject) VALUES (pg_current_xact_id()::text::int8 + 1000000, 'a')"
        );
        client(server.url()).await.batch_execute(&copy).await.unwrap();
        let error = settings(server.url()).log(log).start().await.unwrap_err().to_string();
        assert!(error.contains("it was copied from another server"), "{error}");
    });
}

#[test]
fn a_publish_is_stored_and_its_repeat_is_a_duplicate() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let first = envelope("game.started");
        let receipt = engine.publish(first.clone()).await.unwrap();
        assert_eq!((receipt.level, receipt.duplicate), (Level::Stored, false));
        let other = up(settings(server.url()).log(log)).await;
        let again = other.publish(first.clone()).await.unwrap();
        assert_eq!((again.duplicate, again.sequence), (true, receipt.sequence));
        let twice = envelope("game.twice");
        let several = vec![first, twice.clone(), twice, envelope("game.other")];
        let receipts = other.publish_batch(several).await;
        let duplicates = receipts.iter().map(|it| it.as_ref().unwrap().duplicate);
        assert!(duplicates.eq([true, false, true, false]));
        // Many at the same time, in an order of their own, and more than one statement has.
        let several = (0..3000).map(|at| number("game.batch", at)).collect();
        let receipts = engine.publish_batch(several).await;
        let sequences: Vec<_> = receipts.into_iter().map(|it| it.unwrap().sequence).collect();
        assert!(sequences.is_sorted() && BTreeSet::from_iter(&sequences).len() == 3000);
    });
}

#[test]
fn what_postgres_cannot_keep_comes_back_the_same_or_is_refused() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let group = engine.subscribe(">").unwrap().group("a\0b").open();
        let mut group = group.await.unwrap();
        let plain = || Envelope::new("game.hit").unwrap();
        let sent = [
            plain().with_key("k\0").header("X\n", "ü\0"),
            plain().with_bytes([0, 13, 10, 255]),
            Envelope::json("game.grün.7 ?[a-b]^\\'\"", &["a\0", "b"]).unwrap(),
        ];
        for envelope in &sent {
            engine.publish(envelope.clone().into()).await.unwrap();
        }
        for envelope in &sent {
            let come = delivery(&mut group).await;
            assert_eq!(&**come.envelope(), envelope);
            come.ack_async().await.unwrap();
        }
        let limit = engine.capabilities().payload_limit().unwrap();
        let large = || plain().with_bytes(vec![0; limit + 1]).into();
        let long = || plain().with_id("x".repeat(2001)).into();
        let results =
            engine.publish_batch(vec![envelope("a"), large(), long(), envelope("b")]).await;
        assert!(results.iter().map(Result::is_ok).eq([true, false, false, true]));
        assert!(matches!(results[1].as_ref().unwrap_err().reason(), Reason::TooLarge { .. }));
        assert!(results[2].as_ref().unwrap_err().to_string().contains("2000 bytes"));
    });
}

/// Postgres cannot keep the character NUL. Two ids are two events, and two names two groups.
#[test]
fn a_text_with_nul_is_not_the_text_that_is_kept_for_it() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let mut group = engine.subscribe(">").unwrap().group("g\0").open().await.unwrap();
        let other = engine.subscribe(">").unwrap().group("g\u{fffd}").open();
        let mut other = other.await.unwrap();
        for (id, value) in [("a\0", 1_u32), ("a\u{fffd}", 2)] {
            let envelope = Envelope::json("game.hit", &value).unwrap().with_id(id);
            let receipt = engine.publish(envelope.into()).await.unwrap();
            assert!(!receipt.duplicate, "{id:?}: {receipt:?}");
        }
        for wanted in [1, 2] {
            assert_eq!(value(&delivery(&mut group).await), wanted);
            assert_eq!(value(&delivery(&mut other).await), wanted);
        }
    });
}

/// The same id twice in one batch is one event, wherever a segment ends.
#[test]
fn an_id_twice_in_a_batch_over_the_end_of_a_segment_is_one_event() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log).segment(100)).await;
        let mut twice = Vec::new();
        for _ in 0..120 {
            let it = envelope("game.hit");
            let results = engine.publish_batch(vec![it.clone(), it]).await;
            let [first, second] = [0, 1].map(|at: usize| results[at].as_ref().unwrap());
            if !second.duplicate {
                twice.push((first.sequence, second.sequence));
            }
        }
        assert!(twice.is_empty(), "stored twice: {twice:?}");
    });
}

/// Reads go by transaction. The one that began first has the later sequences.
#[test]
fn what_is_counted_out_before_it_is_read_is_a_gap_in_any_order() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log).lanes(1).max_events(100)).await;
        let (mut one, two) = (client(server.url()).await, client(server.url()).await);
        let insert = format!(
            "INSERT INTO {log} (subject, envelope) SELECT 'game.hit', '{{}}' FROM generate_series(1, 10)"
        );
        let first = one.transaction().await.unwrap();
        first.query_one("SELECT pg_current_xact_id()::text", &[]).await.unwrap();
        two.batch_execute(&insert).await.unwrap();
        first.batch_execute(&insert).await.unwrap();
        first.commit().await.unwrap();
        let member = engine.subscribe(">").unwrap().group("all").in_flight(1);
        let mut member = member.start_at(StartAt::Earliest).open().await.unwrap();
        for _ in 0..9 {
            delivery(&mut member).await.ack_async().await.unwrap();
        }
        let tenth = delivery(&mut member).await;
        engine.publish_batch((0..95).map(|at| number("game.hit", at)).collect()).await;
        tenth.ack_async().await.unwrap();
        loop {
            match next(&mut member).await {
                Ok(come) => come.ack(),
                Err(gap) => break assert_eq!(gap, Gap::new(None, GapReason::Trimmed)),
            }
        }
    });
}

#[test]
fn what_another_program_inserts_is_an_envelope() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log).dead_letters(10)).await;
        let mut group = engine.subscribe(">").unwrap().group("all").open().await.unwrap();
        let mut live = engine.subscribe(">").unwrap().open().await.unwrap();
        let insert = format!(
            "INSERT INTO {log} (subject, key, envelope) VALUES ('game.hit', 'k', '{{\"by\":3}}'), \
             ('game.hit', '', 'no json'), ('not a..subject', '', 'x'), ('game.none', '', '')"
        );
        client(server.url()).await.batch_execute(&insert).await.unwrap();
        // No notification announces it.
        let (mut come, mut gap) = (Vec::new(), None);
        while come.len() < 3 || gap.is_none() {
            match next(&mut group).await {
                Ok(it) => {
                    let envelope = it.envelope();
                    let payload = envelope.payload().map(|it| it.as_bytes().to_vec());
                    let payload = payload.or(envelope.bytes().map(<[u8]>::to_vec));
                    assert_eq!(envelope.id(), format!("{log}/{}", it.sequence().unwrap()));
                    come.push((subject(&it).to_owned(), payload));
                    it.ack_async().await.unwrap();
                }
                Err(it) => gap = Some(it),
            }
        }
        assert_eq!(gap, Some(Gap::new(Some(1), GapReason::Unreadable)));
        assert_eq!(
            come,
            [
                ("game.hit".into(), Some(b"{\"by\":3}".to_vec())),
                ("game.hit".into(), Some(b"no json".to_vec())),
                ("game.none".into(), None)
            ]
        );
        drop((delivery(&mut live).await, delivery(&mut live).await));
        assert_eq!(next(&mut live).await.unwrap_err(), Gap::new(Some(1), GapReason::Unreadable));
        drop(delivery(&mut live).await);
        let dead = format!("SELECT count(*) FROM {log}_dead");
        let client = client(server.url()).await;
        until(async || client.query_one(&dead, &[]).await.unwrap().get::<_, i64>(0) == 1).await;
    });
}

/// Trap 2: `seq > last` skips the event of a transaction that has the lower sequence and commits later.
/// `xid < pg_snapshot_xmin` would hold the others up.
#[test]
fn a_transaction_that_commits_late_delays_its_own_events_only() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let mut group = engine.subscribe(">").unwrap().group("all").open().await.unwrap();
        let mut live = engine.subscribe(">").unwrap().open().await.unwrap();
        let mut client = client(server.url()).await;
        let transaction = client.transaction().await.unwrap();
        let insert = format!("INSERT INTO {log} (subject) VALUES ('game.late') RETURNING seq");
        let late: i64 = transaction.query_one(&insert, &[]).await.unwrap().get(0);
        for _ in 0..3 {
            assert!(publish(&engine, "game.early").await > late.cast_unsigned());
            let come = delivery(&mut group).await;
            assert_eq!(subject(&come), "game.early");
            come.ack_async().await.unwrap();
            assert_eq!(subject(&delivery(&mut live).await), "game.early");
        }
        transaction.commit().await.unwrap();
        publish(&engine, "game.next").await;
        for wanted in ["game.late", "game.next"] {
            let come = delivery(&mut group).await;
            assert_eq!(subject(&come), wanted);
            come.ack_async().await.unwrap();
            assert_eq!(subject(&delivery(&mut live).await), wanted);
        }
        nothing(&mut group).await;
        nothing(&mut live).await;
    });
}

/// Trap 3: a notification is a wake-up, without a payload; what comes without one is found as well.
#[test]
fn a_wake_up_takes_milliseconds_and_a_lost_one_a_poll() {
    on_a_log(async |server, log| {
        let patient = || settings(server.url()).log(log).poll(SOON);
        let (here, there) = (up(patient()).await, up(patient()).await);
        let mut group = there.subscribe(">").unwrap().group("all").open().await.unwrap();
        for _ in 0..3 {
            let large = Envelope::new("game.large").unwrap().with_bytes(vec![7; 100_000]);
            here.publish(large.into()).await.unwrap();
            // Long before the poll.
            let come =
                timeout(SOON / 4, group.next()).await.expect("it is woken").unwrap().unwrap();
            come.ack_async().await.unwrap();
        }
        let brief = up(settings(server.url()).log(log).poll(WHILE)).await;
        let mut polls = brief.subscribe(">").unwrap().open().await.unwrap();
        let insert = format!("INSERT INTO {log} (subject) VALUES ('game.silent')");
        client(server.url()).await.batch_execute(&insert).await.unwrap();
        assert_eq!(subject(&delivery(&mut polls).await), "game.silent");
    });
}

/// `ResolveSpec`: a cursor `id > last` over ids that are not in the order of time skips events.
#[test]
fn an_event_whose_id_is_before_the_last_one_is_not_skipped() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let mut group = engine.subscribe(">").unwrap().group("all").open().await.unwrap();
        for id in ["ffff", "0000", "8888", "1111"] {
            engine.publish(Envelope::new("a").unwrap().with_id(id).into()).await.unwrap();
            let come = delivery(&mut group).await;
            assert_eq!(come.envelope().id(), id);
            come.ack_async().await.unwrap();
        }
    });
}

/// `ResolveSpec`: a new stream replays the whole table.
#[test]
fn a_new_subscription_begins_now() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let old = (0..50).map(|at| number("game.old", at)).collect();
        engine.publish_batch(old).await.into_iter().for_each(|it| drop(it.unwrap()));
        let mut group = engine.subscribe(">").unwrap().group("all").open().await.unwrap();
        let mut live = engine.subscribe(">").unwrap().open().await.unwrap();
        publish(&engine, "game.new").await;
        for from in [&mut group, &mut live] {
            assert_eq!(subject(&delivery(from).await), "game.new");
            nothing(from).await;
        }
    });
}

/// `ResolveSpec`: the channel is full, the event is lost, and the cursor has moved.
#[test]
fn a_full_buffer_is_a_gap_when_live_and_no_loss_in_a_group() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let mut live = engine.subscribe(">").unwrap().capacity(2).open().await.unwrap();
        let mut group =
            engine.subscribe(">").unwrap().group("all").in_flight(2).open().await.unwrap();
        let several = (0..20).map(|at| number("game.shot", at)).collect();
        engine.publish_batch(several).await.into_iter().for_each(|it| drop(it.unwrap()));
        for at in 0..20 {
            let come = delivery(&mut group).await;
            assert_eq!(value(&come), at);
            come.ack_async().await.unwrap();
        }
        assert_eq!(value(&delivery(&mut live).await), 0);
        assert_eq!(value(&delivery(&mut live).await), 1);
        assert_eq!(next(&mut live).await.unwrap_err(), Gap::new(Some(18), GapReason::Overflow));
    });
}

/// `ResolveSpec`: without a group, every instance handles every event.
#[test]
fn one_instance_of_a_group_handles_an_event() {
    on_a_log(async |server, log| {
        let one = up(settings(server.url()).log(log)).await;
        let two = up(settings(server.url()).log(log)).await;
        let mut all = Vec::new();
        for engine in [&one, &two] {
            all.push(engine.subscribe(">").unwrap().group("all").lease(SOON).open().await.unwrap());
        }
        for at in 0..40 {
            one.publish(number("game.shot", at)).await.unwrap();
        }
        let mut come = Vec::new();
        while come.len() < 40 {
            for from in &mut all {
                if let Ok(Some(next)) = timeout(Duration::from_millis(5), from.next()).await {
                    let next = next.unwrap();
                    come.push(value(&next));
                    next.ack();
                }
            }
        }
        come.sort_unstable();
        assert!(come.into_iter().eq(0..40));
        for from in &mut all {
            nothing(from).await;
        }
    });
}

#[test]
fn what_is_removed_is_a_gap_and_its_segments_are_dropped() {
    on_a_log(async |server, log| {
        let of = || settings(server.url()).log(log).segment(20).poll(WHILE);
        let keeps = up(of().max_events(50)).await;
        let open = || keeps.subscribe(">").unwrap().group("all").start_at(StartAt::Earliest).open();
        drop(open().await.unwrap());
        for at in 0..200 {
            keeps.publish(number("game.shot", at)).await.unwrap();
        }
        let mut group = open().await.unwrap();
        assert_eq!(next(&mut group).await.unwrap_err(), Gap::new(None, GapReason::Trimmed));
        let first = delivery(&mut group).await;
        assert!(value(&first) >= 145, "{}", value(&first));
        first.ack();
        for _ in value(&delivery(&mut group).await)..199 {
            delivery(&mut group).await.ack();
        }
        let client = client(server.url()).await;
        let count = format!("SELECT count(*) FROM {log}");
        until(async || client.query_one(&count, &[]).await.unwrap().get::<_, i64>(0) < 90).await;

        // By age, also what is in a segment that is not full.
        let ages = up(of().max_age(Duration::from_millis(500))).await;
        until(async || client.query_one(&count, &[]).await.unwrap().get::<_, i64>(0) == 0).await;
        ages.publish(number("game.shot", 200)).await.unwrap();
        loop {
            if let Ok(come) = next(&mut group).await
                && value(&come) == 200
            {
                break;
            }
        }
    });
}

/// Which events the log keeps is a setting of each engine: one that keeps all is told what another removes.
#[test]
fn what_an_engine_with_other_settings_removes_is_a_gap_too() {
    on_a_log(async |server, log| {
        let of = || settings(server.url()).log(log).segment(20).poll(WHILE);
        let (keeps, reads) = (up(of().max_events(5)).await, up(of()).await);
        let open = || reads.subscribe(">").unwrap().group("all").start_at(StartAt::Earliest).open();
        let mut group = open().await.unwrap();
        for at in 0..14 {
            keeps.publish(number("game.shot", at)).await.unwrap();
            delivery(&mut group).await.ack_async().await.unwrap();
        }
        drop(group);
        for at in 14..30 {
            keeps.publish(number("game.shot", at)).await.unwrap();
        }
        let client = client(server.url()).await;
        let count = format!("SELECT count(*) FROM {log}");
        until(async || client.query_one(&count, &[]).await.unwrap().get::<_, i64>(0) < 12).await;
        let mut group = open().await.unwrap();
        assert_eq!(next(&mut group).await.unwrap_err(), Gap::new(None, GapReason::Trimmed));
        assert!(value(&delivery(&mut group).await) > 14);
    });
}

/// The engine looks ids up in the segment before the one that it knows to be in use.
#[test]
fn an_engine_that_is_segments_behind_finds_an_id() {
    on_a_log(async |server, log| {
        let of = || settings(server.url()).log(log).segment(20).poll(SOON);
        let (ahead, behind) = (up(of()).await, up(of()).await);
        publish(&behind, "game.1").await;
        for at in 0..30 {
            ahead.publish(number("game.shot", at)).await.unwrap();
        }
        let known = envelope("game.2");
        let first = ahead.publish(known.clone()).await.unwrap();
        for at in 0..10 {
            ahead.publish(number("game.shot", at)).await.unwrap();
        }
        // What is in use is two segments after the last that this one knows.
        let again = behind.publish(known).await.unwrap();
        assert_eq!((again.duplicate, again.sequence), (true, first.sequence));
        assert!(publish(&behind, "game.3").await > 40);
    });
}

/// What is acknowledged waits a little for what is written next, and not for ever.
#[test]
fn the_server_knows_soon_what_was_acknowledged() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let mut group = engine.subscribe(">").unwrap().group("all").open().await.unwrap();
        publish(&engine, "game.1").await;
        delivery(&mut group).await.ack();
        let client = client(server.url()).await;
        let last = format!(
            "SELECT count(*) FROM (SELECT DISTINCT ON (lane) open_seqs FROM {log}_states ORDER BY lane, \
             version DESC) AS last WHERE open_seqs <> '{{}}'"
        );
        let is_known = async || client.query_one(&last, &[]).await.unwrap().get::<_, i64>(0) == 0;
        // The next sign of life would write it as well.
        timeout(SOON / 2, until(is_known)).await.expect("it is written");
        drop(group);
        nothing(&mut engine.subscribe(">").unwrap().group("all").open().await.unwrap()).await;
    });
}

#[test]
fn a_silent_connection_is_noticed_and_mended() {
    on_a_log(async |server, log| {
        let proxy = Proxy::to(server.port());
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port());
        let far = up(settings(url).log(log).timeout(Duration::from_secs(1))).await;
        let near = up(settings(server.url()).log(log)).await;
        let mut group = far.subscribe(">").unwrap().group("all").open().await.unwrap();
        let mut live = far.subscribe(">").unwrap().open().await.unwrap();
        publish(&far, "game.1").await;
        delivery(&mut group).await.ack_async().await.unwrap();
        drop(delivery(&mut live).await);
        proxy.hold(true);
        let error = far.publish(envelope("game.2")).await.unwrap_err();
        assert!(error.is_unknown(), "it may have arrived: {error}");
        until(async || far.health() != Health::Up).await;
        let refused = far.publish(envelope("game.3")).await.unwrap_err();
        assert!(!refused.is_unknown() && matches!(refused.reason(), Reason::Disconnected(_)));
        publish(&near, "game.4").await;
        proxy.cut();
        proxy.hold(false);
        let mut come = Vec::new();
        while !come.contains(&"game.4".to_owned()) {
            let next = delivery(&mut group).await;
            come.push(subject(&next).to_owned());
            next.ack();
        }
        assert!(!come.contains(&"game.3".to_owned()));
        // What came meanwhile is not lost for a live subscription either.
        while subject(&delivery(&mut live).await) != "game.4" {}
        until(async || far.health() == Health::Up).await;
        let EngineError::Unknown { envelope, .. } = error else { panic!("{error}") };
        let arrived = come.contains(&"game.2".to_owned());
        assert_eq!(far.publish(envelope).await.unwrap().duplicate, arrived);
    });
}

/// A subscription that the server refuses something tries again, and the health says why meanwhile.
#[test]
fn the_health_says_what_a_subscription_fails_at() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log).poll(WHILE)).await;
        let mut group = engine.subscribe(">").unwrap().group("all").open().await.unwrap();
        let mut live = engine.subscribe(">").unwrap().open().await.unwrap();
        let client = client(server.url()).await;
        let why = || match engine.health() {
            Health::Down(why) => why.to_string(),
            health => format!("{health}"),
        };
        let rename = async |from: &str, to: &str| {
            let rename = format!("ALTER TABLE {from} RENAME TO {to}");
            client.batch_execute(&rename).await.unwrap();
        };
        let (states, away) = (format!("{log}_states"), format!("{log}_away"));
        rename(&states, &away).await;
        publish(&engine, "game.1").await;
        until(async || why().starts_with("the group `all`: Postgres refused: ")).await;
        assert!(why().contains(&states) && why().contains("42P01"), "{}", why());
        // The others go on.
        assert_eq!(subject(&delivery(&mut live).await), "game.1");
        publish(&engine, "game.2").await;
        assert_eq!(subject(&delivery(&mut live).await), "game.2");
        rename(&away, &states).await;
        for wanted in ["game.1", "game.2"] {
            let come = delivery(&mut group).await;
            assert_eq!(subject(&come), wanted);
            come.ack_async().await.unwrap();
        }
        until(async || engine.health() == Health::Up).await;

        // A subscription that ends fails at nothing any more.
        drop(group);
        let gone = format!("SELECT count(*) FROM {log}_members WHERE gone");
        until(async || client.query_one(&gone, &[]).await.unwrap().get::<_, i64>(0) == 1).await;
        rename(log, &away).await;
        until(async || why().starts_with("a live subscription: Postgres refused: ")).await;
        drop(live);
        until(async || engine.health() == Health::Up).await;
        rename(&away, log).await;
    });
}

#[test]
fn a_shutdown_ends_everything_and_gives_the_rest_back() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let mut group = engine.subscribe(">").unwrap().group("all").open().await.unwrap();
        let mut live = engine.subscribe(">").unwrap().open().await.unwrap();
        for at in 0..5 {
            engine.publish(number("game.job", at)).await.unwrap();
        }
        let kept = delivery(&mut group).await;
        delivery(&mut group).await.ack();
        engine.shutdown(SOON).await.unwrap();
        engine.shutdown(SOON).await.unwrap();
        assert_eq!(engine.health(), Health::Closed);
        assert!(matches!(engine.start().await.unwrap_err().reason, Reason::Closed));
        while timeout(SOON, live.next()).await.unwrap().is_some() {}
        assert!(timeout(SOON, group.next()).await.unwrap().is_none());
        kept.ack();
        assert_eq!((group.stats().handled, group.stats().refused), (1, 1));
        let again = up(settings(server.url()).log(log)).await;
        let mut member = again.subscribe(">").unwrap().group("all").open().await.unwrap();
        let mut rest = BTreeSet::new();
        for _ in 2..5 {
            let come = delivery(&mut member).await;
            assert_eq!(come.attempt(), 1);
            rest.insert(value(&come));
            come.ack_async().await.unwrap();
        }
        assert!(rest.into_iter().eq(2..5));
        nothing(&mut member).await;
    });
}

/// The log and the store, by TLS to a server that they trust, and to no other.
#[test]
fn it_connects_by_tls_to_a_server_that_it_trusts_and_to_no_other() {
    let (Some(ours), Some(other)) = (Authority::new(), Authority::new()) else { return };
    ours.sign("server");
    let Some(server) = Server::with_certificate(&ours) else { return };
    run(async {
        let of = |ca: &Authority| settings(server.url()).ca_file(ca.path("ca.pem"));
        let engine = up(of(&ours)).await;
        let mut live = engine.subscribe(">").unwrap().open().await.unwrap();
        let mut group = engine.subscribe(">").unwrap().group("all").open().await.unwrap();
        publish(&engine, "game.started").await;
        drop(delivery(&mut live).await);
        delivery(&mut group).await.ack_async().await.unwrap();
        let error = of(&other).start().await.unwrap_err();
        assert!(matches!(error.reason, Reason::Refused(_)), "{error}");
        let plain = settings(server.url()).start().await.unwrap_err().to_string();
        assert!(plain.contains("it wants TLS"), "{plain}");

        let store = database(server.url()).ca_file(ours.path("ca.pem"));
        let store = PostgresStore::connect(&store, "records").await.unwrap();
        let store: &dyn tickbus::hosted::store::Store = &store;
        store.put(crate::stores::record("1")).await.unwrap();
        let wrong = database(server.url()).ca_file(other.path("ca.pem"));
        PostgresStore::connect(&wrong, "records").await.unwrap_err();
    });
}

/// Rows of positions take turns between two tables, and readers do not notice.
#[test]
fn rows_of_positions_take_turns_while_events_are_handled() {
    on(&[], async |server| {
        let engine = up(settings(server.url()).lanes(2).poll(WHILE)).await;
        let mut group = engine.subscribe(">").unwrap().group("all").open().await.unwrap();
        let client = client(server.url()).await;
        // As many as a long time makes.
        let fill = "INSERT INTO game_states SELECT slot, 1000, 0, n, true, member, repeat('x', 200), upto, at_xid, \
                    at_seq, mark, low, open_xids, open_seqs FROM (SELECT * FROM game_states LIMIT 1) AS s, \
                    generate_series(1, 40000) AS n";
        client.batch_execute(fill).await.unwrap();
        let sizes = "SELECT pg_relation_size('game_states_0'), pg_relation_size('game_states_1')";
        let mut sent = 0;
        loop {
            engine.publish(number("game.shot", sent)).await.unwrap();
            let come = delivery(&mut group).await;
            assert_eq!((value(&come), come.attempt()), (sent, 1));
            come.ack_async().await.unwrap();
            sent += 1;
            let row = client.query_one(sizes, &[]).await.unwrap();
            let (one, two): (i64, i64) = (row.get(0), row.get(1));
            if one == 0 && two > 0 {
                break;
            }
            assert!(sent < 5000, "{one} {two}");
            sleep(Duration::from_millis(5)).await;
        }
        nothing(&mut group).await;
    });
}

/// The index of a segment refuses an id that it has, at the price of a sequence. Who publishes everything twice
/// does not lose half of the segment.
#[test]
fn ids_that_repeat_use_up_no_sequences() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let event = |at: u32| Envelope::new("a").unwrap().with_id(at.to_string()).into();
        for _ in 0..20 {
            for result in engine.publish_batch((0..50).map(event).collect()).await {
                result.unwrap();
            }
        }
        let next = engine.publish(event(50)).await.unwrap();
        // The first repeat is not expected.
        assert!(next.sequence.is_some_and(|it| it <= 102), "{next:?}");
    });
}

/// A server that was killed may have lost the last state of a lane. Then another member can have written the
/// version that a member believes to be its own.
#[test]
fn a_version_of_another_member_fences_too() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let mut group = engine.subscribe(">").unwrap().group("all").open().await.unwrap();
        engine.publish(number("a", 0)).await.unwrap();
        let come = delivery(&mut group).await;
        let other = format!("UPDATE {log}_states SET member = 'other'");
        client(server.url()).await.batch_execute(&other).await.unwrap();
        assert!(matches!(come.ack_async().await, Err(SettleError::Late)));
    });
}
