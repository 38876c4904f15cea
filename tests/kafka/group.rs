//! Groups: who receives what, how it is settled, and what the server is told.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::time::Instant;

use tickbus::Envelope;
use tickbus::hosted::{Capability, Deliveries, Engine, Gap, GapReason, RetryPolicy, StartAt};
use tokio::time::{sleep, timeout};

use crate::{
    SOON, client, delivery, envelope, group, next, nothing, number, on, position, publish,
    settings, started, subject, trim, until, up, value,
};

#[test]
fn a_pattern_matches_subjects_and_is_no_topic() {
    on(async |server| {
        let kafka = started(server.brokers()).await;
        let mut users = group(&kafka, "user.*", "users").open().await.unwrap();
        publish(&kafka, "user.created").await;
        publish(&kafka, "users.created").await;
        publish(&kafka, "user.a.b").await;
        publish(&kafka, "user.deleted").await;
        for wanted in ["user.created", "user.deleted"] {
            let come = delivery(&mut users).await;
            assert_eq!(subject(&come), wanted);
            come.ack_async().await.unwrap();
        }
        nothing(&mut users).await;
        let admin = client(&server.brokers()).await.admin();
        let topics = admin.list_topics(Default::default()).await.unwrap();
        assert!(topics.contains(&"game".into()), "{topics:?}");
        assert!(!topics.iter().any(|topic| topic.contains("user")), "{topics:?}");
        // What is not for the group is done with.
        assert_eq!(position(&admin, "users", 0).await, Some(4));
    });
}

#[test]
fn a_group_continues_after_a_start_and_each_subscription_is_one_session() {
    on(async |server| {
        let kafka = started(server.brokers()).await;
        let mut one = group(&kafka, "game.>", "one").open().await.unwrap();
        let mut two = group(&kafka, "game.>", "two").open().await.unwrap();
        for at in 0..3 {
            kafka.publish(number("game.shot", at)).await.unwrap();
        }
        for from in [&mut one, &mut two] {
            let come = delivery(from).await;
            assert_eq!(value(&come), 0);
            come.ack_async().await.unwrap();
        }
        kafka.shutdown(Duration::from_secs(3)).await.unwrap();
        let kafka = started(server.brokers()).await;
        kafka.publish(number("game.shot", 3)).await.unwrap();
        let mut one = group(&kafka, "game.>", "one").open().await.unwrap();
        for wanted in 1..4 {
            let come = delivery(&mut one).await;
            assert_eq!(value(&come), wanted);
            come.ack_async().await.unwrap();
        }
        let error = group(&kafka, "game.*", "one").open().await.unwrap_err().to_string();
        assert!(error.contains("`one` exists for other patterns (game.>)"), "{error}");
        drop(one);
        // The other group is as far as it was.
        let mut two = group(&kafka, "game.>", "two").open().await.unwrap();
        assert_eq!(value(&delivery(&mut two).await), 1);
        let admin = client(&server.brokers()).await.admin();
        let groups = admin.list_consumer_groups(Default::default()).await.unwrap();
        let groups: usize = groups.into_values().map(|it| it.unwrap().len()).sum();
        assert_eq!(groups, 2);
    });
}

#[test]
fn a_position_is_told_only_when_everything_before_it_is_done() {
    on(async |server| {
        let kafka = started(server.brokers()).await;
        let lease = Duration::from_secs(30);
        let open = || group(&kafka, "game.>", "all").lease(lease).open();
        let mut all = open().await.unwrap();
        for at in 0..4 {
            kafka.publish(number("game.shot", at)).await.unwrap();
        }
        let admin = client(&server.brokers()).await.admin();
        let first = delivery(&mut all).await;
        let second = delivery(&mut all).await;
        // It waits here for the one before.
        second.ack_async().await.unwrap();
        first.retry_after(Duration::from_millis(400));
        let third = delivery(&mut all).await;
        assert_eq!(value(&third), 2, "others go on");
        third.ack_async().await.unwrap();
        sleep(Duration::from_millis(250)).await;
        assert_eq!(position(&admin, "all", 0).await, Some(0));
        let fourth = delivery(&mut all).await;
        let again = delivery(&mut all).await;
        assert_eq!((value(&fourth), value(&again)), (3, 0), "it comes again, in place");
        again.ack_async().await.unwrap();
        assert_eq!(position(&admin, "all", 0).await, Some(3));
        // The last one is not done: it comes again to the next member.
        drop((fourth, all));
        let mut all = open().await.unwrap();
        assert_eq!(value(&delivery(&mut all).await), 3);
    });
}

#[test]
fn what_a_handler_has_not_done_is_not_marked_even_if_it_failed() {
    on(async |server| {
        let kafka = Arc::new(started(server.brokers()).await);
        let ran = Arc::new(AtomicU32::new(0));
        let count = ran.clone();
        let again = RetryPolicy::new(3).initial(Duration::from_secs(60));
        let handled = kafka
            .subscribe("game.>")
            .unwrap()
            .group("all")
            .retry(again)
            .handle(move |_| {
                count.fetch_add(1, Ordering::Relaxed);
                async { Err::<(), _>("not yet") }
            })
            .await
            .unwrap();
        kafka.publish(number("game.shot", 7)).await.unwrap();
        until("it runs", || ran.load(Ordering::Relaxed) > 0).await;
        sleep(Duration::from_millis(250)).await;
        let admin = client(&server.brokers()).await.admin();
        assert_eq!(position(&admin, "all", 0).await, Some(0));
        let _ = handled.shutdown(Duration::ZERO).await;
        let mut all = group(&kafka, "game.>", "all").open().await.unwrap();
        let come = delivery(&mut all).await;
        assert_eq!(value(&come), 7);
        come.ack_async().await.unwrap();
        assert_eq!(position(&admin, "all", 0).await, Some(1));
    });
}

/// Receives until all of these have come, and keeps the order of each key.
async fn take(
    from: &mut Deliveries,
    seen: &mut BTreeMap<u32, u32>,
    last: &mut BTreeMap<String, u32>,
    wait: Duration,
) {
    while let Ok(Some(come)) = timeout(wait, from.next()).await {
        let come = come.expect("nothing is removed");
        let (number, key) = (value(&come), come.envelope().key().to_owned());
        if *seen.entry(number).and_modify(|times| *times += 1).or_insert(1) == 1 {
            let before = last.insert(key, number);
            assert!(before.is_none_or(|before| before < number), "{number} after {before:?}");
        }
        come.ack();
    }
}

#[test]
fn members_that_come_and_go_lose_nothing_and_keep_the_order_of_keys() {
    on(async |server| {
        let kafka = up(settings(server.brokers()).partitions(4)).await;
        let open = || group(&kafka, "game.>", "all").in_flight(16).open();
        let mut one = open().await.unwrap();
        let mut sent = 0..;
        let mut publish = async |many: usize| {
            // So many keys that each partition has some.
            for at in sent.by_ref().take(many) {
                let event = Envelope::json("game.shot", &at).unwrap();
                kafka.publish(event.with_key(format!("k{}", at % 40)).into()).await.unwrap();
            }
        };
        let (mut seen, mut last) = (BTreeMap::new(), BTreeMap::new());
        let brief = Duration::from_millis(20);
        publish(100).await;
        take(&mut one, &mut seen, &mut last, brief).await;
        let (two, ()) = tokio::join!(open(), publish(100));
        let mut two = two.unwrap();
        let began = Instant::now();
        let mut shares = BTreeSet::new();
        // The server looks every 20 ms whether all have joined. A member can miss a round that is over by
        // then, and has no part for the 10 s in which the server waits for it.
        while began.elapsed() < SOON * 3 && (seen.len() < 200 || shares.len() < 2) {
            publish(10).await;
            for (who, from) in [(1, &mut one), (2, &mut two)] {
                let before = seen.len();
                take(from, &mut seen, &mut last, brief).await;
                if seen.len() > before {
                    shares.insert(who);
                }
            }
        }
        assert_eq!(shares.len(), 2, "both have a part");
        publish(50).await;
        drop(one);
        publish(50).await;
        let began = Instant::now();
        let all = sent.next().unwrap() as usize;
        while began.elapsed() < SOON && seen.len() < all {
            take(&mut two, &mut seen, &mut last, brief).await;
        }
        let missing: Vec<_> = (0..all as u32).filter(|at| !seen.contains_key(at)).collect();
        assert!(missing.is_empty(), "lost {missing:?} of {all}");
    });
}

#[test]
fn a_slow_handler_keeps_its_place_in_the_group() {
    on(async |server| {
        // Shorter than the handler takes.
        let session = Duration::from_secs(6);
        let kafka = up(settings(server.brokers()).session_timeout(session)).await;
        let all = group(&kafka, "game.>", "all").in_flight(1).lease(Duration::from_secs(20));
        let mut all = all.open().await.unwrap();
        for at in 0..3 {
            kafka.publish(number("game.shot", at)).await.unwrap();
        }
        let slow = delivery(&mut all).await;
        sleep(session * 5 / 4).await;
        slow.ack_async().await.unwrap();
        let come = delivery(&mut all).await;
        assert_eq!(value(&come), 1);
        come.ack_async().await.unwrap();
        let admin = client(&server.brokers()).await.admin();
        assert_eq!(position(&admin, "all", 0).await, Some(2));
    });
}

#[test]
fn a_held_partition_does_not_stop_the_others() {
    on(async |server| {
        let kafka = up(settings(server.brokers()).partitions(2)).await;
        let event = |at: u32, key: &str| Envelope::json("game.shot", &at).unwrap().with_key(key);
        let open = kafka.publish(event(0, "open").into()).await.unwrap().sequence.unwrap();
        let behind = (1..12_000).map(|at| event(at, "open").into()).collect();
        kafka.publish_batch(behind).await.into_iter().for_each(|sent| drop(sent.unwrap()));
        // The table holds a partition when 10,000 wait. A client with a buffer of 500 reads 900 and hands out
        // 400, 400, and 100: it reaches 10,300, and its buffer is full then.
        let all = group(&kafka, "game.>", "all").start_at(StartAt::Earliest).in_flight(400);
        let mut all = all.lease(Duration::from_secs(600)).open().await.unwrap();
        let held = delivery(&mut all).await;
        for wanted in 1..10_000 {
            let come = delivery(&mut all).await;
            assert_eq!(value(&come), wanted);
            come.ack();
        }
        let mut last = 9_999;
        while let Ok(Some(come)) = timeout(Duration::from_secs(1), all.next()).await {
            let come = come.unwrap();
            last = value(&come);
            come.ack();
        }
        assert!(last < 11_999, "it is not held");

        for key in (0..).map(|at| format!("k{at}")) {
            let sent = kafka.publish(event(20_000, &key).into()).await.unwrap();
            if sent.sequence.unwrap() >> 48 != open >> 48 {
                break;
            }
        }
        let come = delivery(&mut all).await;
        assert_eq!(value(&come), 20_000, "it is of the other partition");
        come.ack_async().await.unwrap();

        held.ack();
        while last < 11_999 {
            let come = delivery(&mut all).await;
            last = value(&come);
            come.ack();
        }
    });
}

#[test]
fn what_the_retention_removed_is_told_once() {
    on(async |server| {
        let kafka = started(server.brokers()).await;
        let open = || group(&kafka, ">", "all").open();
        let mut all = open().await.unwrap();
        publish(&kafka, "game.0").await;
        delivery(&mut all).await.ack_async().await.unwrap();
        drop(all);
        for at in 1..6 {
            publish(&kafka, &format!("game.{at}")).await;
        }
        let admin = client(&server.brokers()).await.admin();
        trim(&admin, 4).await;
        let mut all = open().await.unwrap();
        assert_eq!(next(&mut all).await.unwrap_err(), Gap::new(Some(3), GapReason::Trimmed));
        for wanted in ["game.4", "game.5"] {
            let come = delivery(&mut all).await;
            assert_eq!(subject(&come), wanted);
            come.ack_async().await.unwrap();
        }
        nothing(&mut all).await;
    });
}

#[test]
fn groups_begin_where_they_are_told_to() {
    on(async |server| {
        let kafka = started(server.brokers()).await;
        let mut live = kafka.subscribe("game.>").unwrap().open().await.unwrap();
        let first = publish(&kafka, "game.0").await;
        let second = publish(&kafka, "game.1").await;
        assert_eq!((first, second), (0, 1));
        let begins = async |name: &str, at: StartAt| {
            let open = group(&kafka, "game.>", name).start_at(at).open();
            open.await.unwrap()
        };
        let mut earliest = begins("earliest", StartAt::Earliest).await;
        let mut sequence = begins("sequence", StartAt::Sequence(second)).await;
        let mut new = begins("new", StartAt::New).await;
        publish(&kafka, "game.2").await;
        for (from, wanted) in [(&mut earliest, 0), (&mut sequence, 1), (&mut new, 2)] {
            for wanted in wanted..3 {
                let come = delivery(from).await;
                assert_eq!(come.sequence(), Some(wanted));
                come.ack_async().await.unwrap();
            }
            nothing(from).await;
        }
        for wanted in ["game.0", "game.1", "game.2"] {
            assert_eq!(subject(&delivery(&mut live).await), wanted);
        }
        assert_eq!(new.lag(), earliest.lag());
        until("it knows how far it is", || kafka.lag() == Some(0)).await;
    });
}

#[test]
fn subjects_may_have_topics_of_their_own() {
    on(async |server| {
        let several = settings(server.brokers()).topic_for("chat.>", "talk").partitions(2);
        let kafka = up(several).await;
        let can = kafka.capabilities();
        let durable = tickbus::hosted::Mode::Durable;
        assert!(!can.has(durable, Capability::KeyOrderAcrossGroup));
        assert!(!can.has(durable, Capability::PublisherOrder));
        let mut all = group(&kafka, ">", "all").open().await.unwrap();
        let mut talk = group(&kafka, "chat.*", "talk").open().await.unwrap();
        for subject in ["chat.a", "game.a", "chat.b"] {
            assert_eq!(kafka.publish(envelope(subject)).await.unwrap().sequence, None);
        }
        let mut come = BTreeSet::new();
        for _ in 0..3 {
            let next = delivery(&mut all).await;
            come.insert(subject(&next).to_owned());
            next.ack_async().await.unwrap();
        }
        assert_eq!(come, ["chat.a", "chat.b", "game.a"].map(str::to_owned).into());
        for _ in 0..2 {
            assert!(subject(&delivery(&mut talk).await).starts_with("chat."));
        }
        let admin = client(&server.brokers()).await.admin();
        assert_eq!(position(&admin, "talk", 0).await, None, "it reads one topic");
    });
}
