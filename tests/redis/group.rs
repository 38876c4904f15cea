//! Groups: who receives what, and how it is settled.

use core::time::Duration;
use std::time::Instant;

use redis::Value;
use tickbus::Envelope;
use tickbus::hosted::{
    Capability, Delivery, Engine, Gap, GapReason, Reason, SettleError, StartAt, Verdict,
};
use tokio::time::{sleep, timeout};

use crate::{
    SOON, WHILE, delivery, envelope, next, nothing, number, on, publish, settings, started,
    subject, until, up, value,
};

#[test]
fn several_patterns_are_one_group_in_order() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let open = || redis.subscribe("game.*.hit").unwrap().or("game.chat.>").unwrap();
        let mut durable = open().group("both").open().await.unwrap();
        let mut live = open().open().await.unwrap();
        let subjects =
            ["game.1.hit", "game.1.miss", "game.chat.a.b", "game.chat.hit", "game.2.hit"];
        for subject in subjects {
            publish(&redis, subject).await;
        }
        for wanted in ["game.1.hit", "game.chat.a.b", "game.chat.hit", "game.2.hit"] {
            let come = delivery(&mut durable).await;
            assert_eq!(subject(&come), wanted);
            come.ack_async().await.unwrap();
            assert_eq!(subject(&delivery(&mut live).await), wanted);
        }
        nothing(&mut durable).await;
        // What is not for the group is done with.
        let pending = server.say(&["XPENDING", "game", "both"]);
        assert!(matches!(pending, Value::Array(it) if it[0] == Value::Int(0)));

        let error = redis.subscribe("game.>").unwrap().group("both").open().await.unwrap_err();
        let text = error.to_string();
        assert!(
            text.contains("`both` exists for other patterns (game.*.hit game.chat.>)"),
            "{text}"
        );
    });
}

#[test]
fn members_share_and_groups_do_not() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let open = |group| redis.subscribe("game.>").unwrap().group(group).in_flight(2).open();
        let mut members = [open("one").await.unwrap(), open("one").await.unwrap()];
        let mut alone = open("two").await.unwrap();
        for at in 0..40 {
            redis.publish(number("game.shot", at)).await.unwrap();
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
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let member = redis.subscribe("game.>").unwrap().group("slow").in_flight(3);
        let mut member = member.open().await.unwrap();
        for at in 0..10 {
            redis.publish(number("game.shot", at)).await.unwrap();
        }
        let mut work = Vec::new();
        for _ in 0..3 {
            work.push(delivery(&mut member).await);
        }
        nothing(&mut member).await;
        // What is given back comes again, although a read is waiting for three more.
        work.pop().unwrap().retry_after(Duration::ZERO);
        let again = delivery(&mut member).await;
        assert!(again.attempt() == 2 || value(&again) == 3, "{again:?}");
        nothing(&mut member).await;
    });
}

#[test]
fn what_is_not_settled_comes_again_and_late_answers_are_refused() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let lease = Duration::from_millis(600);
        let member = redis.subscribe("game.>").unwrap().group("workers").lease(lease);
        let mut member = member.open().await.unwrap();
        publish(&redis, "game.job").await;

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
        assert!(took > lease - WHILE && took < lease + 2 * WHILE, "{took:?}");
        assert_eq!(third.attempt(), 3);
        assert!(matches!(second.ack_async().await, Err(SettleError::Late)));

        // Longer than a lease, and then no more.
        third.extend(Duration::from_millis(1500));
        assert!(timeout(Duration::from_millis(1400), member.next()).await.is_err());
        third.ack_async().await.unwrap();
        nothing(&mut member).await;
        assert!(member.stats().add_up());
        assert_eq!((member.stats().refused, member.stats().handled), (1, 1));

        publish(&redis, "game.job").await;
        delivery(&mut member).await.reject("two\nlines");
        assert!(timeout(lease + WHILE, member.next()).await.is_err(), "it never comes again");
        // Nothing is left of it on the server.
        assert_eq!(server.say(&["ZCARD", "{game}:due:workers"]), Value::Int(0));
    });
}

/// The server decides, whatever the clock of this process says.
#[test]
fn the_server_refuses_what_is_in_other_hands() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let mut member = redis.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        let verdicts = [
            Verdict::Ack,
            Verdict::RetryAfter(Duration::ZERO),
            Verdict::Reject("late".into()),
            Verdict::Extend(SOON),
        ];
        for verdict in verdicts {
            publish(&redis, "game.job").await;
            let come = delivery(&mut member).await;
            let [Value::BulkString(id), ..] = &pending(&server)[..] else { panic!() };
            let id = core::str::from_utf8(id).unwrap();
            server.say(&["XCLAIM", "game", "all", "another", "0", id]);
            let text = format!("{verdict:?}");
            let settled = come.settle_async(verdict).await;
            assert!(matches!(settled, Err(SettleError::Late)), "{text}: {settled:?}");
            // It is still the other's.
            let [_, Value::BulkString(owner), ..] = &pending(&server)[..] else { panic!() };
            assert_eq!(owner, b"another");
            server.say(&["XACK", "game", "all", id]);
        }
        // Also if only the number of deliveries has changed.
        publish(&redis, "game.job").await;
        let come = delivery(&mut member).await;
        let [Value::BulkString(id), Value::BulkString(owner), ..] = &pending(&server)[..] else {
            panic!()
        };
        let text = |bytes| core::str::from_utf8(bytes).unwrap();
        server.say(&["XCLAIM", "game", "all", text(owner), "0", text(id)]);
        assert!(matches!(come.ack_async().await, Err(SettleError::Late)));
        // And if the lease is over, although it is still its own.
        let come = server.say(&["XPENDING", "game", "all"]);
        assert!(matches!(come, Value::Array(it) if it[0] == Value::Int(1)));
    });
}

/// The oldest pending delivery: its id, its consumer, how long ago and how often.
fn pending(server: &crate::server::Server) -> Vec<Value> {
    match server.say(&["XPENDING", "game", "all", "-", "+", "1"]) {
        Value::Array(mut all) if all.len() == 1 => match all.remove(0) {
            Value::Array(one) => one,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_extension_may_be_shorter_than_the_lease() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let mut member = redis.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        publish(&redis, "game.job").await;
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
fn attempts_are_bounded_and_the_rest_is_a_gap_or_a_dead_letter() {
    on(&[], async |server| {
        let (lost, kept) =
            (started(server.url()).await, up(settings(server.url()).dead_letters(10)).await);
        assert!(!lost.capabilities().has(tickbus::hosted::Mode::Durable, Capability::DeadLetters));
        for (redis, group) in [(&lost, "lost"), (&kept, "kept")] {
            let member = redis.subscribe("game.>").unwrap().group(group).max_attempts(2);
            let mut member = member.open().await.unwrap();
            publish(redis, "game.job").await;
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
        let rejected = kept.subscribe("game.>").unwrap().group("more").open();
        let mut rejected = rejected.await.unwrap();
        let odd = Envelope::json("game.odd", &7).unwrap().header("dead-group", "before");
        kept.publish(odd.into()).await.unwrap();
        delivery(&mut rejected).await.reject("too odd");
        // The dead letters are a stream as any other.
        until("both are there", || server.say(&["XLEN", "{game}:dead"]) == Value::Int(2)).await;
        let dead = up(settings(server.url()).stream("{game}:dead")).await;
        let dead = dead.subscribe("game.>").unwrap().group("x").start_at(StartAt::Earliest);
        let mut dead = dead.open().await.unwrap();
        let spent = delivery(&mut dead).await;
        let headers = spent.envelope().headers();
        assert_eq!(headers.get("dead-reason"), "its attempts are spent");
        assert_eq!(headers.get("dead-attempts"), "2");
        assert_eq!((headers.get("dead-group"), subject(&spent)), ("kept", "game.job"));
        spent.ack();
        let odd = delivery(&mut dead).await;
        let headers = odd.envelope().headers();
        assert_eq!((value(&odd), headers.get("dead-reason")), (7, "too odd"));
        assert_eq!(headers.get("dead-group"), "more");
    });
}

/// A script passes on 8,000 values at most.
#[test]
fn an_entry_of_very_many_fields_is_no_different() {
    on(&[], async |server| {
        let redis = up(settings(server.url()).dead_letters(10)).await;
        let mut member = redis.subscribe(">").unwrap().group("all").open().await.unwrap();
        let fields = |come: &Delivery| {
            let headers = come.envelope().headers().iter();
            headers.filter(|(key, _)| key.starts_with("field-")).count()
        };
        let names: Vec<_> = (0..4100).map(|at| format!("field-{at}")).collect();
        let mut entry = vec!["XADD", "game", "*"];
        entry.extend(names.iter().flat_map(|name| [&**name, "1"]));
        entry.extend(["subject", "game.few", "payload", "of another program"]);
        server.say(&entry);
        let come = delivery(&mut member).await;
        assert_eq!(fields(&come), 4100);
        come.reject("too much");
        let kept = |count: i64| server.say(&["XLEN", "{game}:dead"]) == Value::Int(count);
        until("it is kept", || kept(1)).await;
        let mut own = Envelope::new("game.many").unwrap();
        for name in &names {
            own.headers_mut().insert(&**name, "1");
        }
        redis.publish(own.into()).await.unwrap();
        let come = delivery(&mut member).await;
        assert_eq!((subject(&come), fields(&come)), ("game.many", 4100));
        come.reject("too much");
        until("it is kept too", || kept(2)).await;
        // The dead letters have what fits.
        let dead = up(settings(server.url()).stream("{game}:dead")).await;
        let dead = dead.subscribe(">").unwrap().group("x").start_at(StartAt::Earliest);
        let mut dead = dead.open().await.unwrap();
        for (subject_of, payload) in [("game.few", &b"of another program"[..]), ("game.many", b"")]
        {
            let letter = delivery(&mut dead).await;
            assert_eq!(subject(&letter), subject_of);
            let headers = letter.envelope().headers();
            assert_eq!(headers.get("dead-reason"), "too much");
            let cut: usize = headers.get("dead-cut").parse().unwrap();
            assert_eq!(fields(&letter) + cut, 4100);
            assert!((1..200).contains(&cut), "{cut}");
            assert_eq!(letter.envelope().bytes().unwrap_or_default(), payload);
            letter.ack();
        }
    });
}

#[test]
fn members_keep_leases_of_their_own() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let open = |lease| redis.subscribe("game.>").unwrap().group("all").lease(lease).open();
        let mut long = open(Duration::from_secs(30)).await.unwrap();
        publish(&redis, "game.job").await;
        let held = delivery(&mut long).await;
        let mut short = open(Duration::from_millis(200)).await.unwrap();
        assert!(timeout(4 * WHILE, short.next()).await.is_err(), "its lease is 30 s");
        held.ack_async().await.unwrap();
        drop(long);
        publish(&redis, "game.job").await;
        let began = Instant::now();
        let first = delivery(&mut short).await;
        let second = delivery(&mut short).await;
        assert!(began.elapsed() < 3 * WHILE, "{:?}", began.elapsed());
        assert_eq!((first.attempt(), second.attempt()), (1, 2));
    });
}

#[test]
fn a_group_begins_where_it_is_told() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let mut sequences = Vec::new();
        for _ in 0..5 {
            sequences.push(publish(&redis, "game.before").await);
            sleep(Duration::from_millis(3)).await;
        }
        let open = |group: &str, at| redis.subscribe(">").unwrap().group(group).start_at(at).open();
        let time = |ms: u64| {
            let nanos = i128::from(ms) * 1_000_000;
            tickbus::envelope::Timestamp::from_unix_nanos(nanos).unwrap()
        };
        let third = sequences[2];
        for (group, at, wanted) in [
            ("earliest", StartAt::Earliest, Some(sequences[0])),
            ("sequence", StartAt::Sequence(third), Some(third)),
            ("behind", StartAt::Sequence(third + 1), Some(sequences[3])),
            ("zero", StartAt::Sequence(0), Some(sequences[0])),
            ("time", StartAt::Time(time(third >> 20)), Some(third)),
            ("epoch", StartAt::Time(time(0)), Some(sequences[0])),
            ("new", StartAt::New, None),
            ("far", StartAt::Sequence(u64::MAX), None),
            ("later", StartAt::Time(time((third >> 20) + 3_600_000)), None),
        ] {
            let mut member = open(group, at).await.unwrap();
            match wanted {
                Some(wanted) => {
                    let first = delivery(&mut member).await;
                    assert_eq!(first.sequence(), Some(wanted), "{group}");
                }
                None => {
                    publish(&redis, "game.after").await;
                    let come = timeout(WHILE, member.next()).await;
                    assert_eq!(come.is_ok(), group != "later", "{group}: {come:?}");
                }
            }
        }
    });
}

#[test]
fn a_group_goes_on_where_it_stopped_and_says_what_is_gone() {
    on(&["--stream-node-max-entries", "1"], async |server| {
        let redis = started(server.url()).await;
        let open = |group: &str| {
            redis.subscribe(">").unwrap().group(group).start_at(StartAt::Earliest).open()
        };
        let mut one = open("one").await.unwrap();
        for at in 0..10 {
            redis.publish(number("game.shot", at)).await.unwrap();
        }
        for at in 0..2 {
            let come = delivery(&mut one).await;
            assert_eq!(value(&come), at);
            come.ack_async().await.unwrap();
        }
        drop(one);
        // What it had not begun is no attempt.
        let mut one = open("one").await.unwrap();
        let third = delivery(&mut one).await;
        assert_eq!((value(&third), third.attempt()), (2, 1));
        third.ack_async().await.unwrap();
        drop(one);
        server.say(&["XTRIM", "game", "MAXLEN", "3"]);
        // What was given back is gone, and what was never received too: four of them.
        let mut one = open("one").await.unwrap();
        let mut missed = 0;
        let come = loop {
            match next(&mut one).await {
                Err(gap) => {
                    assert_eq!(gap.reason, GapReason::Trimmed);
                    missed += gap.missed.unwrap();
                }
                Ok(come) => break come,
            }
        };
        assert_eq!((missed, value(&come)), (4, 7));
        come.ack_async().await.unwrap();
        drop(one);

        // It is told once, and a new group misses nothing.
        let mut one = open("one").await.unwrap();
        assert_eq!(value(&delivery(&mut one).await), 8);
        let mut new = open("new").await.unwrap();
        assert_eq!(value(&delivery(&mut new).await), 7);
        let from = redis.subscribe(">").unwrap().group("from").start_at(StartAt::Sequence(1));
        let mut from = from.open().await.unwrap();
        assert_eq!(next(&mut from).await.unwrap_err(), Gap::new(None, GapReason::Trimmed));
        assert_eq!(value(&delivery(&mut from).await), 7);
    });
}

#[test]
fn a_trim_under_a_member_that_is_slow_is_a_gap_in_its_place() {
    on(&["--stream-node-max-entries", "1"], async |server| {
        let redis = up(settings(server.url()).max_len(10)).await;
        let open =
            |pattern: &str| redis.subscribe(pattern).unwrap().group(pattern).in_flight(2).open();
        let (mut all, mut some) = (open(">").await.unwrap(), open("game.*").await.unwrap());
        for at in 0..2 {
            redis.publish(number("game.shot", at)).await.unwrap();
        }
        let mut held = Vec::new();
        for from in [&mut all, &mut some] {
            held.push([delivery(from).await, delivery(from).await]);
        }
        for at in 2..32 {
            redis.publish(number("game.shot", at)).await.unwrap();
        }
        for [one, other] in held {
            one.ack_async().await.unwrap();
            other.ack_async().await.unwrap();
        }
        // It had 32, of which ten are there.
        for (from, missed) in [(&mut all, Some(20)), (&mut some, None)] {
            assert_eq!(next(from).await.unwrap_err(), Gap::new(missed, GapReason::Trimmed));
            for at in 22..32 {
                let come = delivery(from).await;
                assert_eq!(value(&come), at);
                come.ack_async().await.unwrap();
            }
            nothing(from).await;
        }
        // One that keeps up misses nothing.
        for at in 0..30 {
            redis.publish(number("game.shot", at)).await.unwrap();
            for from in [&mut all, &mut some] {
                let come = delivery(from).await;
                assert_eq!(value(&come), at);
                come.ack_async().await.unwrap();
            }
        }
    });
}

#[test]
fn what_is_removed_while_it_waits_to_come_again_is_a_gap() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let mut member = redis.subscribe(">").unwrap().group("all").open().await.unwrap();
        publish(&redis, "game.1").await;
        let held = delivery(&mut member).await;
        let settled = held.settle_async(Verdict::RetryAfter(2 * WHILE)).await;
        settled.unwrap();
        server.say(&["XTRIM", "game", "MAXLEN", "0"]);
        assert_eq!(next(&mut member).await.unwrap_err(), Gap::new(Some(1), GapReason::Trimmed));
        publish(&redis, "game.2").await;
        let come = delivery(&mut member).await;
        server.say(&["XTRIM", "game", "MAXLEN", "0"]);
        let error = come.settle_async(Verdict::RetryAfter(Duration::ZERO)).await.unwrap_err();
        assert!(matches!(error, SettleError::Failed(Reason::Refused(_))), "{error}");
    });
}

#[test]
fn a_group_that_is_destroyed_is_made_again_where_it_was() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let mut member = redis.subscribe(">").unwrap().group("all").open().await.unwrap();
        for at in 0..5 {
            redis.publish(number("game.shot", at)).await.unwrap();
        }
        for _ in 0..4 {
            delivery(&mut member).await.ack_async().await.unwrap();
        }
        let held = delivery(&mut member).await;
        sleep(Duration::from_millis(1200)).await; // the member has looked where the group is
        assert_eq!(server.say(&["XGROUP", "DESTROY", "game", "all"]), Value::Int(1));
        redis.publish(number("game.shot", 5)).await.unwrap();
        assert_eq!(next(&mut member).await.unwrap_err(), Gap::new(None, GapReason::Trimmed));
        // What was in work comes again, and the old delivery of it is worth nothing.
        for at in 4..6 {
            let come = delivery(&mut member).await;
            assert_eq!((value(&come), come.attempt()), (at, 1));
            come.ack_async().await.unwrap();
        }
        assert!(matches!(held.ack_async().await, Err(SettleError::Late)));

        // The stream itself may vanish, and come again.
        server.say(&["DEL", "game"]);
        sleep(WHILE).await;
        redis.publish(number("game.shot", 6)).await.unwrap();
        let mut gaps = 0;
        let come = loop {
            match next(&mut member).await {
                Ok(come) => break come,
                Err(gap) => gaps += usize::from(gap.reason == GapReason::Trimmed),
            }
        };
        assert!(gaps > 0 && value(&come) == 6);
        come.ack_async().await.unwrap();
        // Another key of this name is not read, and what comes behind it is.
        server.say(&["DEL", "game"]);
        server.say(&["SET", "game", "over"]);
        sleep(WHILE).await;
        let error = redis.publish(envelope("game.shot")).await.unwrap_err();
        assert!(!error.is_unknown() && error.to_string().contains("`game` is not a stream"));
        server.say(&["DEL", "game"]);
        redis.publish(number("game.shot", 7)).await.unwrap();
        let come = loop {
            if let Ok(come) = next(&mut member).await {
                break come;
            }
        };
        assert_eq!(value(&come), 7);
    });
}

#[test]
fn what_a_member_has_not_begun_is_given_back_when_it_goes() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let open = || redis.subscribe("game.>").unwrap().group("all").open();
        let mut first = open().await.unwrap();
        for at in 0..3 {
            redis.publish(number("game.job", at)).await.unwrap();
        }
        let begun = delivery(&mut first).await;
        drop(first);
        let mut second = open().await.unwrap();
        for at in 1..3 {
            let come = delivery(&mut second).await;
            assert_eq!((value(&come), come.attempt()), (at, 1), "the lease is 30 s");
            come.ack_async().await.unwrap();
        }
        // What has begun is still its own.
        begun.ack_async().await.unwrap();
        nothing(&mut second).await;
        drop(second);
        // No consumer is left over.
        let left = || server.say(&["XINFO", "CONSUMERS", "game", "all"]);
        let ours = || format!("{:?}", left()).matches("116, 98, 58").count(); // "tb:"
        until("one consumer is parked", || ours() <= 2).await;
    });
}

#[test]
fn close_ends_a_subscription_and_what_has_come_can_be_taken() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let lease = Duration::from_millis(400);
        let open = || redis.subscribe("game.>").unwrap().group("all").lease(lease).open();
        let mut member = open().await.unwrap();
        for at in 0..3 {
            redis.publish(number("game.job", at)).await.unwrap();
        }
        let first = delivery(&mut member).await;
        sleep(WHILE).await;
        member.close();
        first.ack();
        publish(&redis, "game.late").await;
        sleep(2 * lease).await; // its lease is renewed
        for at in 1..3 {
            let come = delivery(&mut member).await;
            assert_eq!((value(&come), come.attempt()), (at, 1));
            come.ack_async().await.unwrap();
        }
        assert!(timeout(SOON, member.next()).await.unwrap().is_none());
        drop(member);
        let mut other = open().await.unwrap();
        assert_eq!(subject(&delivery(&mut other).await), "game.late");
    });
}

#[test]
fn what_waits_to_be_taken_keeps_its_lease() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let lease = Duration::from_millis(500);
        let open = || redis.subscribe("game.>").unwrap().group("all").lease(lease).open();
        let (mut member, mut other) = (open().await.unwrap(), open().await.unwrap());
        publish(&redis, "game.job").await;
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
    on(&[], async |server| {
        let redis = settings(server.url()).timeout(Duration::MAX).heartbeat(Duration::MAX);
        let redis = up(redis.deduplicate(Duration::MAX)).await;
        let all = redis.subscribe("game.>").unwrap().group("all").lease(Duration::MAX);
        let mut all = all.open().await.unwrap();
        let lease = Duration::from_millis(500);
        let short = redis.subscribe("game.>").unwrap().group("short").lease(lease);
        let mut short = short.open().await.unwrap();
        publish(&redis, "game.1").await;
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
fn the_lag_is_what_is_still_to_come() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let member = redis.subscribe("game.>").unwrap().group("all").in_flight(2);
        let mut member = member.open().await.unwrap();
        for at in 0..10 {
            redis.publish(number("game.shot", at)).await.unwrap();
        }
        let held = [delivery(&mut member).await, delivery(&mut member).await];
        until("eight are to come", || member.lag() == Some(8)).await;
        assert_eq!(redis.lag(), Some(8));
        held.into_iter().for_each(Delivery::ack);
        for _ in 2..10 {
            delivery(&mut member).await.ack();
        }
        until("nothing is to come", || member.lag() == Some(0)).await;
        drop(member);
        assert_eq!(redis.lag(), Some(0));
    });
}

/// An entry belongs to the stream, not to the first group that is done with it.
#[test]
fn what_one_group_has_acknowledged_is_there_for_another() {
    on(&[], async |server| {
        let redis = started(server.url()).await;
        let open = |group| redis.subscribe("game.>").unwrap().group(group);
        let mut first = open("first").open().await.unwrap();
        let mut second = open("second").open().await.unwrap();
        for at in 0..5 {
            redis.publish(number("game.shot", at)).await.unwrap();
            delivery(&mut first).await.ack_async().await.unwrap();
        }
        assert_eq!(server.say(&["XLEN", "game"]), Value::Int(5));
        let mut third = open("third").start_at(StartAt::Earliest).open().await.unwrap();
        for at in 0..5 {
            for group in [&mut second, &mut third] {
                let come = delivery(group).await;
                assert_eq!(value(&come), at);
                come.ack_async().await.unwrap();
            }
        }
    });
}
