//! Groups: who receives what, and how it is settled.

use alloc::collections::{BTreeMap, BTreeSet};
use core::time::Duration;
use std::time::Instant;

use tickbus::hosted::engines::Postgres;
use tickbus::hosted::{Capability, Engine, Gap, GapReason, Mode, SettleError, StartAt, Verdict};
use tokio::time::{sleep, timeout};

use super::{
    delivery, keyed, next, nothing, number, on_a_log, publish, settings, subject, up, value,
};
use crate::servers::Proxy;
use crate::{SOON, WHILE, client, until};

#[test]
fn several_patterns_are_one_group_in_order() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let open = || engine.subscribe("game.*.hit").unwrap().or("game.chat.>").unwrap();
        let mut durable = open().group("both").open().await.unwrap();
        let mut live = open().open().await.unwrap();
        for subject in ["game.1.hit", "game.1.miss", "game.chat.a.b", "game.chat.hit", "game.2.hit"]
        {
            publish(&engine, subject).await;
        }
        for wanted in ["game.1.hit", "game.chat.a.b", "game.chat.hit", "game.2.hit"] {
            let come = delivery(&mut durable).await;
            assert_eq!(subject(&come), wanted);
            come.ack_async().await.unwrap();
            assert_eq!(subject(&delivery(&mut live).await), wanted);
        }
        nothing(&mut durable).await;
        let error = engine.subscribe("game.>").unwrap().group("both").open().await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("`both` exists for other patterns (game.*.hit game.chat.>)"),
            "{text}"
        );
        assert!(!engine.capabilities().has(Mode::Durable, Capability::PublisherOrder));
        let one = up(settings(server.url()).log(format!("{log}_one")).lanes(1)).await;
        assert!(one.capabilities().has(Mode::Durable, Capability::PublisherOrder));
    });
}

#[test]
fn members_share_the_lanes_and_groups_do_not() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let other = up(settings(server.url()).log(log)).await;
        let open = async |of: &Postgres, group: &str| {
            of.subscribe("game.>").unwrap().group(group).lease(SOON).open().await.unwrap()
        };
        let mut members =
            [open(&engine, "one").await, open(&other, "one").await, open(&other, "one").await];
        let mut alone = open(&engine, "two").await;
        // Each has lanes as soon as the others have given them up.
        let client = client(server.url()).await;
        let shared = format!(
            "SELECT count(DISTINCT member), count(*) FROM (SELECT DISTINCT ON (grp, lane) lane, member FROM \
             {log}_states WHERE grp = (SELECT grp FROM {log}_groups WHERE name = 'one') ORDER BY grp, lane, \
             version DESC) AS s WHERE member <> ''"
        );
        until(async || {
            let row = client.query_one(&shared, &[]).await.unwrap();
            (row.get::<_, i64>(0), row.get::<_, i64>(1)) == (3, 16)
        })
        .await;
        for at in 0..96 {
            engine.publish(number("game.shot", at)).await.unwrap();
        }
        let mut counts = [0; 3];
        let mut come = BTreeSet::new();
        while come.len() < 96 {
            for (member, count) in members.iter_mut().zip(&mut counts) {
                if let Ok(Some(next)) = timeout(Duration::from_millis(5), member.next()).await {
                    let next = next.unwrap();
                    assert!(come.insert(value(&next)), "each comes once");
                    next.ack();
                    *count += 1;
                }
            }
        }
        // Events without a key are spread over the lanes.
        assert!(counts.iter().all(|count| *count >= 20), "{counts:?}");
        for at in 0..96 {
            let next = delivery(&mut alone).await;
            assert_eq!(value(&next), at);
            next.ack();
        }
        for member in &mut members {
            nothing(member).await;
        }
    });
}

/// A member gives back more than the next one takes at once.
#[test]
fn what_is_given_back_comes_before_what_is_newer() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let open = |most: usize| {
            let all = engine.subscribe(">").unwrap().group("all").start_at(StartAt::Earliest);
            all.in_flight(most).open()
        };
        let batch = (0..60).map(|at| keyed("k", at)).collect();
        engine.publish_batch(batch).await.into_iter().for_each(|it| drop(it.unwrap()));
        let mut first = open(32).await.unwrap();
        delivery(&mut first).await.ack_async().await.unwrap();
        drop(first);
        let mut second = open(4).await.unwrap();
        for at in 1..60 {
            let come = delivery(&mut second).await;
            assert_eq!(value(&come), at);
            come.ack_async().await.unwrap();
        }
    });
}

/// A member that was away does not give out what others have handled meanwhile, although it has it.
#[test]
fn a_member_that_comes_back_looks_first_which_lanes_it_has() {
    on_a_log(async |server, log| {
        let proxy = Proxy::to(server.port());
        let url = format!("postgres://postgres@127.0.0.1:{}/postgres", proxy.port());
        let near = up(settings(server.url()).log(log)).await;
        let far = up(settings(url).log(log).timeout(Duration::from_secs(2))).await;
        let open = async |of: &Postgres| {
            let all = of.subscribe(">").unwrap().group("all").lease(Duration::from_secs(1));
            all.open().await.unwrap()
        };
        let mut away = open(&far).await;
        let batch = (0..4).map(|at| keyed("k", at)).collect();
        near.publish_batch(batch).await.into_iter().for_each(|it| drop(it.unwrap()));
        delivery(&mut away).await.ack_async().await.unwrap();
        proxy.hold(true);
        let mut here = open(&near).await;
        for at in 1..4 {
            let come = delivery(&mut here).await;
            assert_eq!(value(&come), at);
            come.ack_async().await.unwrap();
        }
        let mut client = client(server.url()).await;
        let beats = format!("SELECT count(DISTINCT member) FROM {log}_members WHERE until > now()");
        let locks = client.transaction().await.unwrap();
        let lock = format!("LOCK TABLE {log}_states IN ACCESS EXCLUSIVE MODE");
        locks.batch_execute(&lock).await.unwrap();
        proxy.cut();
        proxy.hold(false);
        until(async || locks.query_one(&beats, &[]).await.unwrap().get::<_, i64>(0) == 2).await;
        // It has said that it is there, and does not know yet what it has.
        nothing(&mut away).await;
        locks.rollback().await.unwrap();
        nothing(&mut away).await;
    });
}

/// Members come and go while events of keys are published: each key is with one of them, in order.
#[test]
fn a_key_is_with_one_member_at_a_time_in_order() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let open = || engine.subscribe("game.>").unwrap().group("all").in_flight(8).open();
        let mut members = vec![open().await.unwrap()];
        let (mut last, mut held) =
            (BTreeMap::<String, u32>::new(), BTreeMap::<String, usize>::new());
        let mut sent = 0;
        let mut done = 0;
        let mut turn = 0;
        while done < 600 {
            turn += 1;
            if turn % 40 == 0 && members.len() < 4 && sent < 600 {
                members.push(open().await.unwrap());
            } else if turn % 90 == 0 && members.len() > 1 {
                drop(members.remove(0));
                held.clear();
            }
            if sent < 600 {
                let batch = (sent..sent + 20).map(|at| keyed(&format!("k{}", at % 9), at));
                for result in engine.publish_batch(batch.collect()).await {
                    result.unwrap();
                }
                sent += 20;
            }
            let mut work = Vec::new();
            for (at, member) in members.iter_mut().enumerate() {
                while let Ok(Some(come)) = timeout(Duration::from_millis(2), member.next()).await {
                    let come = come.unwrap();
                    let key = come.envelope().key().to_owned();
                    // None of the others has this key unsettled.
                    let before = held.insert(key.clone(), at);
                    assert!(before.is_none_or(|before| before == at), "{key} is with two");
                    let number = value(&come);
                    let before = last.insert(key.clone(), number);
                    assert!(
                        before.is_none_or(|before| before < number),
                        "{key}: {before:?}, {number}"
                    );
                    work.push(come);
                }
            }
            for come in work {
                come.ack_async().await.unwrap();
                done += 1;
            }
            held.clear();
            assert!(turn < 3000, "{done} of {sent}");
        }
        for member in &mut members {
            nothing(member).await;
        }
    });
}

#[test]
fn what_is_not_settled_comes_again_and_late_answers_are_refused() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let lease = Duration::from_millis(800);
        let member = engine.subscribe("game.>").unwrap().group("workers").lease(lease);
        let mut member = member.open().await.unwrap();
        publish(&engine, "game.job").await;

        let first = delivery(&mut member).await;
        let began = Instant::now();
        first.retry_after(Duration::from_millis(200));
        let second = delivery(&mut member).await;
        let took = began.elapsed();
        assert!(took >= Duration::from_millis(200) && took < lease, "{took:?}");
        assert_eq!(second.attempt(), 2);

        let began = Instant::now();
        let third = delivery(&mut member).await;
        let took = began.elapsed();
        assert!(took > lease - WHILE && took < 2 * lease, "{took:?}");
        assert_eq!(third.attempt(), 3);
        assert!(matches!(second.ack_async().await, Err(SettleError::Late)));

        // Longer than a lease, and then no more.
        third.extend(2 * lease);
        assert!(timeout(lease + WHILE, member.next()).await.is_err());
        third.ack_async().await.unwrap();
        nothing(&mut member).await;
        assert!(member.stats().add_up());
        assert_eq!((member.stats().refused, member.stats().handled), (1, 1));

        // Nothing is left of it on the server.
        let left = format!("SELECT count(*) FROM {log}_retries");
        assert_eq!(
            client(server.url()).await.query_one(&left, &[]).await.unwrap().get::<_, i64>(0),
            0
        );
    });
}

/// A member is paused for longer than its lease, as a machine may be, and another one has its lanes by then.
#[test]
fn the_server_refuses_a_member_that_was_away() {
    let Some(server) = crate::server::shared() else { return };
    let log = crate::table().replace("events", "away");
    let lease = Duration::from_millis(600);
    // Its runtime stands still while the test waits.
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (paused, other) = (runtime(), runtime());
    let verdicts = [
        Verdict::Ack,
        Verdict::RetryAfter(Duration::ZERO),
        Verdict::RetryAfter(SOON),
        Verdict::Reject("late".into()),
        Verdict::Extend(SOON),
    ];
    let (engine, mut member) = paused.block_on(async {
        let engine = up(settings(server.url()).log(&log).dead_letters(10)).await;
        let member = engine.subscribe("game.>").unwrap().group("all").lease(lease);
        let member = member.open().await.unwrap();
        for at in 0..verdicts.len() {
            engine.publish(keyed("k", u32::try_from(at).unwrap())).await.unwrap();
        }
        (engine, member)
    });
    let held = paused.block_on(async {
        let mut held = Vec::new();
        for _ in &verdicts {
            held.push(delivery(&mut member).await);
        }
        held
    });
    let taken = other.block_on(async {
        let engine = up(settings(server.url()).log(&log)).await;
        let member = engine.subscribe("game.>").unwrap().group("all").lease(SOON);
        let mut member = member.open().await.unwrap();
        let mut taken = Vec::new();
        for at in 0..u32::try_from(verdicts.len()).unwrap() {
            let come = delivery(&mut member).await;
            assert_eq!((value(&come), come.attempt()), (at, 2));
            taken.push(come);
        }
        (engine, member, taken)
    });
    paused.block_on(async {
        for (held, verdict) in held.into_iter().zip(verdicts) {
            let text = format!("{verdict:?}");
            let settled = held.settle_async(verdict).await;
            assert!(matches!(settled, Err(SettleError::Late)), "{text}: {settled:?}");
        }
    });
    let (_other_engine, mut member, taken) = taken;
    other.block_on(async {
        for come in taken {
            come.ack_async().await.unwrap();
        }
        nothing(&mut member).await;
    });
    drop(engine);
}

/// What the server has as the next version is not written again, whatever this process believes.
#[test]
fn the_version_of_a_lane_is_written_once() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log).lanes(1)).await;
        let mut member = engine.subscribe(">").unwrap().group("all").open().await.unwrap();
        publish(&engine, "game.1").await;
        let held = delivery(&mut member).await;
        let client = client(server.url()).await;
        let steal = format!(
            "INSERT INTO {log}_states SELECT slot, grp, lane, version + 1, moved, 'another', done, upto, at_xid, \
             at_seq, mark, low, open_xids, open_seqs FROM {log}_states ORDER BY version DESC LIMIT 1"
        );
        client.batch_execute(&steal).await.unwrap();
        let beat = format!(
            "INSERT INTO {log}_members VALUES (0, (SELECT grp FROM {log}_groups), 'another', now() + \
             interval '1 hour', false, true)"
        );
        client.batch_execute(&beat).await.unwrap();
        assert!(matches!(held.ack_async().await, Err(SettleError::Late)));
        publish(&engine, "game.2").await;
        nothing(&mut member).await;
    });
}

#[test]
fn an_extension_may_be_shorter_than_the_lease() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let mut member = engine.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        publish(&engine, "game.job").await;
        let first = delivery(&mut member).await;
        let began = Instant::now();
        first.extend(2 * WHILE);
        let second = delivery(&mut member).await;
        let took = began.elapsed();
        assert!(took >= 2 * WHILE && took < 5 * WHILE, "the lease is 30 s: {took:?}");
        assert!(matches!(first.ack_async().await, Err(SettleError::Late)));
        second.extend(WHILE);
        second.extend(Duration::from_secs(30)); // the last one counts
        nothing(&mut member).await;
        nothing(&mut member).await;
        second.ack_async().await.unwrap();
    });
}

#[test]
fn attempts_are_bounded_and_the_rest_is_a_gap_or_a_dead_letter() {
    on_a_log(async |server, log| {
        let lost = up(settings(server.url()).log(log).max_attempts(2)).await;
        let kept = up(settings(server.url()).log(log).dead_letters(10)).await;
        assert!(!lost.capabilities().has(Mode::Durable, Capability::DeadLetters));
        for (engine, group) in [(&lost, "lost"), (&kept, "kept")] {
            let member = engine.subscribe("game.>").unwrap().group(group);
            let member = if group == "lost" { member } else { member.max_attempts(2) };
            let mut member = member.open().await.unwrap();
            publish(engine, "game.job").await;
            for attempt in 1..=2 {
                let come = delivery(&mut member).await;
                assert_eq!(come.attempt(), attempt);
                come.retry_after(Duration::ZERO);
            }
            if group == "lost" {
                let gap = next(&mut member).await.unwrap_err();
                assert_eq!(gap, Gap::new(Some(1), GapReason::Exhausted));
            }
            nothing(&mut member).await;
        }
        let mut rejected = kept.subscribe("game.>").unwrap().group("more").open().await.unwrap();
        kept.publish(number("game.odd", 7)).await.unwrap();
        let odd = delivery(&mut rejected).await;
        let settled = odd.settle_async(Verdict::Reject("too odd\0".into())).await;
        settled.unwrap();
        let client = client(server.url()).await;
        let dead = format!("SELECT grp, subject, reason, attempts FROM {log}_dead ORDER BY place");
        let rows = client.query(&dead, &[]).await.unwrap();
        let rows: Vec<(String, String, String, i32)> =
            rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect();
        let spent = ("kept".into(), "game.job".into(), "its attempts are spent".into(), 2);
        assert_eq!(rows[0], spent);
        assert_eq!(rows[1], ("more".into(), "game.odd".into(), "too odd\u{fffd}".into(), 1));
    });
}

/// What was not begun is no attempt, and what is in work can be settled after its subscription is dropped.
#[test]
fn a_group_continues_where_it_stopped() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let open =
            || engine.subscribe(">").unwrap().group("one").start_at(StartAt::Earliest).open();
        let mut one = open().await.unwrap();
        for at in 0..10 {
            engine.publish(number("game.shot", at)).await.unwrap();
        }
        for at in 0..2 {
            let come = delivery(&mut one).await;
            assert_eq!(value(&come), at);
            come.ack_async().await.unwrap();
        }
        let held = delivery(&mut one).await;
        drop(one);
        let mut two = open().await.unwrap();
        let mut rest = BTreeSet::new();
        for _ in 3..10 {
            let come = delivery(&mut two).await;
            assert_eq!(come.attempt(), 1);
            rest.insert(value(&come));
            come.ack_async().await.unwrap();
        }
        assert!(rest.into_iter().eq(3..10));
        nothing(&mut two).await;
        held.ack_async().await.unwrap();
        nothing(&mut two).await;
        // A process that is new continues as well.
        drop(two);
        engine.shutdown(SOON).await.unwrap();
        let engine = up(settings(server.url()).log(log)).await;
        publish(&engine, "game.more").await;
        let mut three = engine.subscribe(">").unwrap().group("one").open().await.unwrap();
        assert_eq!(subject(&delivery(&mut three).await), "game.more");
        assert_eq!(three.lag(), Some(0));
        assert_eq!(engine.lag(), Some(0));
    });
}

#[test]
fn a_group_begins_where_it_is_told() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let client = client(server.url()).await;
        let mut sequences = Vec::new();
        for _ in 0..5 {
            sequences.push(publish(&engine, "game.before").await);
            sleep(Duration::from_millis(3)).await;
        }
        let open =
            |group: &str, at| engine.subscribe(">").unwrap().group(group).start_at(at).open();
        let third = sequences[2];
        let at =
            format!("SELECT (extract(epoch FROM at) * 1000000)::int8 FROM {log} WHERE seq = $1");
        let micros: i64 =
            client.query_one(&at, &[&i64::try_from(third).unwrap()]).await.unwrap().get(0);
        let time = |micros: i64| {
            tickbus::envelope::Timestamp::from_unix_nanos(i128::from(micros) * 1000).unwrap()
        };
        for (group, at, wanted) in [
            ("earliest", StartAt::Earliest, Some(sequences[0])),
            ("sequence", StartAt::Sequence(third), Some(third)),
            ("behind", StartAt::Sequence(third + 1), Some(sequences[3])),
            ("zero", StartAt::Sequence(0), Some(sequences[0])),
            ("time", StartAt::Time(time(micros)), Some(third)),
            ("epoch", StartAt::Time(time(0)), Some(sequences[0])),
            ("before", StartAt::Time(time(-10_000_000)), Some(sequences[0])),
            ("new", StartAt::New, None),
            ("far", StartAt::Sequence(u64::MAX), None),
            ("later", StartAt::Time(time(micros + 3_600_000_000)), None),
        ] {
            let mut member = open(group, at).await.unwrap();
            match wanted {
                Some(wanted) => {
                    let first = delivery(&mut member).await;
                    assert_eq!(first.sequence(), Some(wanted), "{group}");
                }
                None => {
                    publish(&engine, "game.after").await;
                    let come = timeout(3 * WHILE, member.next()).await;
                    assert_eq!(come.is_ok(), group != "later", "{group}: {come:?}");
                }
            }
        }
    });
}

/// A group that an administrator has removed is made again, with a gap.
#[test]
fn a_group_that_has_vanished_is_a_gap() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let member = engine.subscribe(">").unwrap().group("all").lease(Duration::from_secs(1));
        let mut member = member.open().await.unwrap();
        publish(&engine, "game.1").await;
        delivery(&mut member).await.ack_async().await.unwrap();
        let remove = format!("TRUNCATE {log}_groups, {log}_states, {log}_members, {log}_retries");
        client(server.url()).await.batch_execute(&remove).await.unwrap();
        assert_eq!(next(&mut member).await.unwrap_err(), Gap::new(None, GapReason::Trimmed));
        publish(&engine, "game.2").await;
        assert_eq!(subject(&delivery(&mut member).await), "game.2");
    });
}

#[test]
fn members_keep_leases_of_their_own() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let open = |lease| engine.subscribe("game.>").unwrap().group("all").lease(lease).open();
        let mut long = open(Duration::from_secs(30)).await.unwrap();
        publish(&engine, "game.job").await;
        let held = delivery(&mut long).await;
        let mut short = open(Duration::from_millis(200)).await.unwrap();
        assert!(timeout(4 * WHILE, short.next()).await.is_err(), "its lease is 30 s");
        held.ack_async().await.unwrap();
        drop(long);
        publish(&engine, "game.job").await;
        let first = delivery(&mut short).await;
        let second = delivery(&mut short).await;
        assert_eq!((first.attempt(), second.attempt()), (1, 2));
    });
}

#[test]
fn members_with_the_shortest_lease_share_the_lanes() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log)).await;
        let group = || engine.subscribe(">").unwrap().group("all").lease(Duration::from_millis(1));
        let (mut one, mut two) = (group().open().await.unwrap(), group().open().await.unwrap());
        let all: BTreeSet<u32> = (0..20).collect();
        for at in &all {
            engine.publish(number("game.hit", *at)).await.unwrap();
        }
        let mut seen = BTreeSet::new();
        let come = async {
            while seen != all {
                tokio::select! {
                    come = one.next() => seen.insert(value(&come.unwrap().unwrap())),
                    come = two.next() => seen.insert(value(&come.unwrap().unwrap())),
                };
            }
        };
        timeout(SOON, come).await.expect("all of them come");
    });
}
