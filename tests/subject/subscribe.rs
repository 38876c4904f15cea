//! Subscriptions: names, several patterns, every nth, one type of events. Rows 001.30, 004.04 to 004.06 and
//! 004.25.

use tickbus::subject_bus::{EnvelopeBus, SubscribeError, SubscriptionOptions};
use tickbus::{Envelope, Overrun, Pattern, SubjectBus, Subscription};

use crate::watch::watchdog;
use crate::{MATCHES, drained, event, numbered, observed, publish, subjects};

// ---- Names -------------------------------------------------------------------------------------

#[test]
fn each_drop_and_each_statistic_carries_the_name() {
    let _watch = watchdog();
    let (bus, log) = observed();
    let small = bus.subscribe("n").unwrap().name("small").capacity(1).open();
    let oldest = bus.subscribe("n").unwrap().name("oldest").capacity(1);
    let oldest = oldest.overrun(Overrun::DropOldest).open();
    let plain = bus.subscribe("n").unwrap().open();
    publish(&bus, 1..=2);
    let seen = [
        "publish 1",
        "deliver 1 to small",
        "deliver 1 to oldest",
        "deliver 1 to ",
        "publish 2",
        "drop 2 of small: buffer_full",
        "drop 1 of oldest: buffer_full",
        "deliver 2 to oldest",
        "deliver 2 to ",
    ];
    assert_eq!(log.take(), seen);
    assert_eq!([small.name(), oldest.name(), plain.name()], ["small", "oldest", ""]);
    assert!(format!("{small:?}").contains(r#"name: "small""#));
    let info = bus.info();
    let dropped = info.subscriptions.iter().map(|it| (&*it.name, it.stats.dropped()));
    assert!(dropped.eq([("small", 1), ("oldest", 1), ("", 0)]));
    assert!(info.to_string().contains("\n 2  oldest  n        drop_oldest"), "{info}");
}

#[test]
fn options_name_a_subscription_of_any_bus_of_envelopes() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let options = SubscriptionOptions::new().name("all").or(Pattern::from_static("b")).every_nth(2);
    let both = EnvelopeBus::subscribe(&bus, Pattern::from_static("a"), options).unwrap();
    for subject in ["a", "b", "a", "c", "b"] {
        bus.publish(event(subject)).unwrap();
    }
    assert_eq!((both.name(), subjects(&both)), ("all", vec!["a".into(), "a".into()]));
}

// ---- Several patterns --------------------------------------------------------------------------

#[test]
fn an_envelope_that_matches_several_patterns_of_one_subscription_arrives_once() {
    let _watch = watchdog();
    for count in MATCHES {
        for cache in [0, 16] {
            let bus = SubjectBus::builder().route_cache(cache).build();
            let open = || {
                let it = bus.subscribe("a.*").unwrap().or("a.>").unwrap().or("a.b").unwrap();
                it.or("z").unwrap().open()
            };
            let all: Vec<_> = (0..count).map(|_| open()).collect();
            for subject in ["a.b", "a.b", "a.c", "z", "y"] {
                let matched = if subject == "y" { 0 } else { count };
                assert_eq!(bus.publish(event(subject)).unwrap().enqueued, matched, "{subject}");
            }
            for one in &all {
                assert_eq!(subjects(one), ["a.b", "a.b", "a.c", "z"]);
            }
        }
    }
}

#[test]
fn a_pattern_that_is_named_twice_counts_once() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let twice = bus.subscribe("a").unwrap().or("a").unwrap().or("b").unwrap().or("b").unwrap();
    let twice = twice.open();
    assert!(twice.patterns().map(Pattern::as_str).eq(["a", "b"]));
    assert_eq!(twice.pattern().as_str(), "a");
    let patterns = bus.info().subscriptions[0].patterns.clone();
    assert!(patterns.iter().map(|it| &**it).eq(["a", "b"]), "{patterns:?}");
    assert!(bus.info().to_string().contains(" 1  a, b     drop_newest"), "{}", bus.info());
    let counted: Vec<_> = bus.patterns().into_iter().collect();
    assert_eq!(counted, [("a".into(), 1), ("b".into(), 1)]);
    bus.publish(event("a")).unwrap();
    twice.close();
    assert_eq!(bus.matching(tickbus::Subject::from_static("b")), 0);
    assert_eq!(bus.publish(event("a")).unwrap().enqueued, 0);
    assert_eq!(subjects(&twice), ["a"]);
}

#[test]
fn a_further_pattern_is_checked_as_the_first_is() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let error = bus.subscribe("a").unwrap().or("b*").unwrap_err();
    assert!(matches!(error, SubscribeError::InvalidPattern(_)));
    assert!(bus.subscriptions().is_empty());
}

// ---- Every nth ---------------------------------------------------------------------------------

fn nth(bus: &SubjectBus, n: u32) -> Subscription {
    bus.subscribe("n").unwrap().every_nth(n).open()
}

#[test]
fn every_nth_is_taken_and_the_others_are_counted_apart() {
    let _watch = watchdog();
    for count in MATCHES {
        let (bus, log) = observed();
        let quiet = SubjectBus::new();
        for bus in [&*bus, &quiet] {
            let all: Vec<_> = (0..count).map(|_| nth(bus, 3)).collect();
            for n in 0..8 {
                let it = bus.publish(numbered(n)).unwrap();
                let taken = if n % 3 == 0 { count } else { 0 };
                assert_eq!((it.enqueued, it.sampled, it.dropped), (taken, count - taken, 0));
            }
            for one in &all {
                let stats = one.stats();
                assert_eq!((stats.enqueued, stats.sampled, stats.dropped()), (3, 5, 0));
                assert_eq!(drained(one), [0, 3, 6]);
                assert_eq!(one.missed(), 0);
            }
            assert_eq!(bus.stats().totals.sampled, 5 * count as u64);
            drop(all);
            assert_eq!(bus.stats().totals.sampled, 5 * count as u64);
        }
        let seen = log.take();
        assert_eq!(seen.iter().filter(|line| line.ends_with(": sampled")).count(), 5 * count);
        assert_eq!(seen.iter().filter(|line| line.starts_with("deliver")).count(), 3 * count);
    }
}

#[test]
fn zero_and_one_mean_every_envelope() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let (zero, one) = (nth(&bus, 0), nth(&bus, 1));
    publish(&bus, 0..5);
    assert_eq!((drained(&zero), drained(&one)), (vec![0, 1, 2, 3, 4], vec![0, 1, 2, 3, 4]));
    assert_eq!(bus.stats().totals.sampled, 0);
}

#[test]
fn what_the_filter_rejects_does_not_count_for_every_nth() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let even = |it: &Envelope| crate::number(it).is_multiple_of(2);
    let some = bus.subscribe("n").unwrap().filter(even).every_nth(2).open();
    publish(&bus, 0..9);
    assert_eq!((drained(&some), some.stats().sampled), (vec![0, 4, 8], 2));
}

#[test]
fn a_closed_subscription_samples_nothing_more() {
    let _watch = watchdog();
    let (bus, log) = observed();
    let it = nth(&bus, 2);
    publish(&bus, 0..1);
    it.close();
    publish(&bus, 1..3);
    assert_eq!((it.stats().sampled, drained(&it)), (0, vec![0]));
    assert_eq!(log.take(), ["publish 0", "deliver 0 to ", "publish 1", "publish 2"]);
}

// ---- One type of events ------------------------------------------------------------------------

#[cfg(feature = "json")]
mod events {
    use core::pin::Pin;
    use core::task::{Context, Poll, Waker};

    use futures_core::Stream;
    use tickbus::envelope::InvalidEvent;
    use tickbus::wait::Cancel;
    use tickbus::{Envelope, Event, SubjectBus};

    use super::{event, watchdog};

    tickbus::events! {
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        enum Order {
            #[subject = "order.paid"]     Paid { cents: u32 },
            #[subject = "stock.reserved"] Reserved(String),
        }
    }

    fn sent() -> [Order; 3] {
        [Order::Paid { cents: 1 }, Order::Reserved("a".into()), Order::Paid { cents: 2 }]
    }

    #[test]
    fn the_events_of_one_type_come_decoded_and_end_with_their_cancel() {
        let _watch = watchdog();
        let bus = SubjectBus::new();
        let cancel = Cancel::new();
        let open = || bus.subscribe_events::<Order>().unwrap().until(&cancel).open();
        let (drained, waited, awaited) = (open(), open(), open());
        for order in sent() {
            bus.publish(Envelope::event(&order).unwrap()).unwrap();
            bus.publish(event("order.shipped")).unwrap();
        }
        let mut stream = Box::pin(awaited.stream_events::<Order>());
        let mut context = Context::from_waker(Waker::noop());
        let mut poll = || match stream.as_mut().poll_next(&mut context) {
            Poll::Ready(next) => Some(next.map(Result::unwrap)),
            Poll::Pending => None,
        };
        assert!(sent().into_iter().all(|order| poll() == Some(Some(order))));
        assert_eq!(poll(), None);
        cancel.cancel();
        bus.publish(Envelope::event(&sent()[0]).unwrap()).unwrap();
        assert_eq!(poll(), Some(None));
        assert!(waited.iter_events::<Order>().map(Result::unwrap).eq(sent()));
        assert!(drained.drain_events::<Order>().map(Result::unwrap).eq(sent()));
        assert_eq!(drained.stats().received, 3);
    }

    #[test]
    fn an_envelope_that_does_not_decode_is_an_error_that_names_its_subject() {
        let _watch = watchdog();
        let bus = SubjectBus::new();
        let orders = bus.subscribe_events::<Order>().unwrap().or("z").unwrap().open();
        bus.publish(event("order.paid")).unwrap();
        bus.publish(event("z")).unwrap();
        bus.publish(Envelope::event(&sent()[2]).unwrap()).unwrap();
        let mut stream = orders.stream_events::<Order>();
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(Err(error))) = Pin::new(&mut stream).poll_next(&mut context) else {
            panic!("it has no payload");
        };
        assert!(error.to_string().contains("`order.paid`"), "{error}");
        drop(stream);
        let mut events = orders.drain_events::<Order>();
        assert!(matches!(events.next(), Some(Err(InvalidEvent::Subject(_)))));
        assert_eq!(events.next().unwrap().unwrap(), sent()[2]);
        assert!(events.next().is_none());
    }

    struct Nothing;

    impl Event for Nothing {
        const KINDS: usize = 0;
        const SUBJECTS: &'static [&'static str] = &[];
        fn kind(&self) -> usize {
            0
        }
    }

    #[test]
    fn a_type_without_subjects_cannot_be_subscribed_to() {
        let _watch = watchdog();
        assert!(SubjectBus::new().subscribe_events::<Nothing>().is_err());
    }
}
