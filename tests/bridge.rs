//! The bridge: does every event cross, wait, or get counted among the lost, and is that told?
#![cfg(all(feature = "std", not(any(miri, tickbus_loom))))]

extern crate alloc;

mod watch;

use alloc::sync::Arc;
use core::panic::AssertUnwindSafe;
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::OnceLock;
use std::thread;
use std::time::Instant;

use proptest::collection::vec;
use proptest::prelude::*;
use tickbus::bridge::{BridgeIn, BridgeOut, Bridged, Outgoing};
use tickbus::error::InvalidSubject;
use tickbus::subject_bus::{
    EnvelopeBus, NoopBus, PublishError, Published, SubscribeError, SubscriptionOptions,
};
use tickbus::{
    Budget, Bus, DropNewest, DropOldest, Envelope, Feed, GatedTopic, Lane, Overrun, Pattern,
    SubjectBus, Subscription, Topic, Waiters,
};
use watch::watchdog;

/// A number as an envelope: in the header `n`, so that no JSON is needed.
fn encode(number: &u32) -> Result<Envelope, InvalidSubject> {
    Ok(Envelope::new("number")?.header("n", number.to_string()))
}

fn decode(envelope: &Envelope) -> Result<u32, core::num::ParseIntError> {
    envelope.headers().get("n").parse()
}

fn numbers(subscription: &Subscription) -> Vec<u32> {
    subscription.drain().map(|envelope| decode(&envelope).unwrap()).collect()
}

fn send(bus: &SubjectBus, numbers: impl IntoIterator<Item = u32>) {
    for number in numbers {
        bus.publish(encode(&number).unwrap()).unwrap();
    }
}

/// What was to cross, by the reports.
fn sum<X>(reports: &[Bridged<X>]) -> usize {
    let all =
        |report: &Bridged<X>| report.forwarded + report.failed + report.closed + report.dropped;
    reports.iter().map(all).sum::<usize>() + reports.last().map_or(0, |last| last.left)
}

// ---- Out ---------------------------------------------------------------------------------------

#[test]
fn a_pump_takes_what_its_budget_covers_and_leaves_the_rest_in_order() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let all = service.subscribe(">").unwrap().open();
    let bus: Bus<u32, 16> = Bus::new();
    let mut events = bus.consumer().unwrap();
    let mut bridge = BridgeOut::new(&service, "here");
    for number in 0..10 {
        bus.publish(number).unwrap();
    }
    let mut reports = Vec::new();
    for (budget, forwarded, left) in [(4, 4, 6), (0, 1, 5), (100, 5, 0), (100, 0, 0)] {
        let report = bridge.pump(&mut events, Budget::events(budget), encode);
        assert_eq!((report.forwarded, report.left), (forwarded, left));
        assert_eq!((report.failed, report.closed, report.dropped), (0, 0, 0));
        reports.push(report);
    }
    assert_eq!(sum(&reports), 10);
    assert!(numbers(&all).into_iter().eq(0..10));
}

#[test]
fn a_pump_ends_when_it_is_late_but_moves_on() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let bus: Bus<u32, 128> = Bus::new();
    let mut events = bus.consumer().unwrap();
    let mut bridge = BridgeOut::new(&service, "here");
    (0..100).for_each(|number| bus.publish(number).unwrap());
    let late = |budget: Budget| budget.until(|| true);
    let report = bridge.pump(&mut events, late(Budget::unlimited()), encode);
    assert_eq!((report.forwarded, report.left), (32, 68), "the clock is asked every 32 events");
    let report = bridge.pump(&mut events, late(Budget::unlimited().check_every(1)), encode);
    assert_eq!((report.forwarded, report.left), (1, 67));
}

#[test]
fn what_is_published_meanwhile_waits_for_the_next_pump() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let bus: Bus<u32, 8> = Bus::new();
    let mut events = bus.consumer().unwrap();
    let mut bridge = BridgeOut::new(&service, "here");
    bus.publish(1).unwrap();
    let echo = |number: &u32| {
        bus.publish(number + 1).unwrap();
        encode(number)
    };
    let report = bridge.pump(&mut events, Budget::unlimited(), echo);
    assert_eq!((report.forwarded, report.left), (1, 1));
}

#[test]
fn everything_stays_while_the_bus_of_envelopes_is_closed() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let bus: Bus<u32, 2> = Bus::new();
    let topic: Topic<u32, 2> = Topic::new();
    let (mut events, mut reader) = (bus.consumer().unwrap(), topic.subscribe());
    let mut bridge = BridgeOut::new(&service, "here");
    service.close();
    for number in 0..3 {
        let _ = bus.publish(number);
        topic.publish(number);
    }
    let report = bridge.pump(&mut events, Budget::unlimited(), encode);
    assert_eq!((report.forwarded, report.closed, report.left, report.refused), (0, 0, 2, 1));
    assert!(events.drain().eq([0, 1]));
    let report = bridge.pump(&mut reader, Budget::unlimited(), encode);
    assert_eq!((report.forwarded, report.dropped, report.left), (0, 0, 3), "one is overwritten");
    assert!(reader.read().flatten().eq([1, 2]));
}

#[test]
fn one_event_at_most_is_lost_to_a_bus_that_is_closed_meanwhile() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let bus: Bus<u32, 8> = Bus::new();
    let mut events = bus.consumer().unwrap();
    let mut bridge = BridgeOut::new(&service, "here");
    (0..5).for_each(|number| bus.publish(number).unwrap());
    let closing = |number: &u32| {
        if *number == 2 {
            service.close();
        }
        encode(number)
    };
    let report = bridge.pump(&mut events, Budget::unlimited(), closing);
    assert_eq!((report.forwarded, report.closed, report.left), (2, 1, 2));
    assert_eq!(sum(&[report]), 5);
}

#[test]
fn what_the_bus_lost_before_is_told_once() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let oldest: Bus<u32, 4, DropOldest> = Bus::new();
    let newest: Bus<u32, 4, DropNewest> = Bus::new();
    let reject: Bus<u32, 4> = Bus::new();
    let mut bridge = BridgeOut::new(&service, "here");
    for number in 0..7 {
        oldest.publish(number).unwrap();
        let _ = newest.publish(number);
        let _ = reject.publish(number);
    }
    let told = |report: Bridged<_>| {
        let _: Option<InvalidSubject> = report.error;
        (report.forwarded, report.dropped, report.refused, report.left)
    };
    let mut events = oldest.consumer().unwrap();
    assert_eq!(told(bridge.pump(&mut events, Budget::events(3), encode)), (3, 3, 0, 1));
    assert_eq!(told(bridge.pump(&mut events, Budget::events(3), encode)), (1, 0, 0, 0));
    let mut events = newest.consumer().unwrap();
    assert_eq!(told(bridge.pump(&mut events, Budget::events(3), encode)), (3, 3, 0, 1));
    let mut events = reject.consumer().unwrap();
    assert_eq!(told(bridge.pump(&mut events, Budget::events(3), encode)), (3, 0, 3, 1));
}

#[test]
fn what_a_topic_overwrote_is_told_once() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let all = service.subscribe(">").unwrap().open();
    let topic: Topic<u32, 4> = Topic::new();
    let mut reader = topic.subscribe();
    let mut bridge = BridgeOut::new(&service, "here");
    (0..7).for_each(|number| topic.publish(number));
    let mut reports = vec![bridge.pump(&mut reader, Budget::events(2), encode)];
    assert_eq!((reports[0].forwarded, reports[0].dropped, reports[0].left), (2, 3, 2));
    (7..12).for_each(|number| topic.publish(number));
    reports.push(bridge.pump(&mut reader, Budget::unlimited(), encode));
    assert_eq!((reports[1].forwarded, reports[1].dropped, reports[1].left), (4, 3, 0));
    assert_eq!(sum(&reports), 12);
    assert_eq!(numbers(&all), [3, 4, 8, 9, 10, 11]);
}

/// Publishes seven events to what keeps four, and pumps them.
fn pump_of_seven<S: Outgoing<Event = u32>>(mut reader: S, mut publish: impl FnMut(u32)) {
    let service = SubjectBus::new();
    let all = service.subscribe(">").unwrap().open();
    let mut bridge = BridgeOut::new(&service, "here");
    (0..7).for_each(&mut publish);
    service.close();
    let report = bridge.pump(&mut reader, Budget::unlimited(), encode);
    assert_eq!((report.forwarded, report.dropped, report.left), (0, 0, 7));
    assert_eq!(all.drain().count(), 0);

    let service = SubjectBus::new();
    let all = service.subscribe(">").unwrap().open();
    let mut bridge = BridgeOut::new(&service, "here");
    let report = bridge.pump(&mut reader, Budget::events(2), encode);
    assert_eq!((report.forwarded, report.dropped, report.left), (2, 3, 2));
    let report = bridge.pump(&mut reader, Budget::unlimited(), encode);
    assert_eq!((report.forwarded, report.dropped, report.left), (2, 0, 0));
    assert_eq!(numbers(&all), [3, 4, 5, 6]);
}

#[test]
fn every_subscriber_that_lags_is_pumped() {
    let _watch = watchdog();
    let topic: Topic<u32, 4> = Topic::new();
    pump_of_seven(topic.subscribe(), |number| topic.publish(number));
    let feed: Feed<u32, 4> = Feed::new();
    pump_of_seven(feed.subscribe(), |number| feed.publish(number).unwrap());
    let topic: GatedTopic<u32, 4, 1> = GatedTopic::new();
    pump_of_seven(topic.subscribe_lagging(), |number| topic.publish(number).unwrap());
    let topic: Topic<u32, 4, Waiters<1>> = Topic::new();
    pump_of_seven(topic.subscribe(), |number| topic.publish(number));
    let feed: Feed<u32, 4, Waiters<1>> = Feed::new();
    pump_of_seven(feed.subscribe(), |number| feed.publish(number).unwrap());
}

#[test]
fn what_a_topic_overwrites_meanwhile_is_told_as_well() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let topic: Topic<u32, 4> = Topic::new();
    let mut reader = topic.subscribe();
    let mut bridge = BridgeOut::new(&service, "here");
    (0..6).for_each(|number| topic.publish(number));
    let slow = |number: &u32| {
        if *number == 3 {
            (6..10).for_each(|number| topic.publish(number));
        }
        encode(number)
    };
    let mut reports = vec![bridge.pump(&mut reader, Budget::unlimited(), slow)];
    assert_eq!((reports[0].forwarded, reports[0].dropped, reports[0].left), (2, 4, 4));
    reports.push(bridge.pump(&mut reader, Budget::unlimited(), slow));
    assert_eq!(sum(&reports), 10);
}

/// A gate, a lane and a bus with one owner are pumped in the same way.
#[test]
fn every_source_is_pumped() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let all = service.subscribe(">").unwrap().open();
    let mut bridge = BridgeOut::new(&service, "here");
    let gated: GatedTopic<u32, 2, 1> = GatedTopic::new();
    let mut reader = gated.subscribe().unwrap();
    assert!(gated.publish(1).is_ok() && gated.publish(2).is_ok() && gated.publish(3).is_err());
    assert_eq!(bridge.pump(&mut reader, Budget::events(1), encode).left, 1);
    assert!(gated.publish(3).is_ok(), "the pump moves the gate");
    assert_eq!(bridge.pump(&mut reader, Budget::unlimited(), encode).forwarded, 2);

    let lane: Lane<u32, 4> = Lane::new();
    lane.publisher().unwrap().publish(4).unwrap();
    let mut events = lane.consumer().unwrap();
    assert_eq!(bridge.pump(&mut events, Budget::unlimited(), encode).forwarded, 1);

    let mut owned: Bus<u32, 4> = Bus::new();
    owned.publish_mut(5).unwrap();
    assert_eq!(bridge.pump(&mut owned, Budget::unlimited(), encode).forwarded, 1);
    assert_eq!(numbers(&all), [1, 2, 3, 4, 5]);
}

#[test]
fn an_event_that_makes_no_envelope_is_lost_and_told_and_the_others_go_on() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let all = service.subscribe(">").unwrap().open();
    let bus: Bus<u32, 8> = Bus::new();
    let mut events = bus.consumer().unwrap();
    let mut bridge = BridgeOut::new(&service, "here");
    (0..6).for_each(|number| bus.publish(number).unwrap());
    let odd = |number: &u32| {
        if number.is_multiple_of(2) { Err(*number) } else { Ok(encode(number).unwrap()) }
    };
    let report = bridge.pump(&mut events, Budget::events(5), odd);
    assert_eq!((report.forwarded, report.failed, report.error, report.left), (2, 3, Some(0), 1));
    assert_eq!(sum(&[report]), 6);
    assert_eq!(numbers(&all), [1, 3]);
}

#[test]
fn a_panic_costs_one_event() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let bus: Bus<u32, 8> = Bus::new();
    let mut events = bus.consumer().unwrap();
    let mut bridge = BridgeOut::new(&service, "here");
    (0..4).for_each(|number| bus.publish(number).unwrap());
    let panics = |number: &u32| {
        assert_ne!(*number, 1, "as it should");
        encode(number)
    };
    let pump = || bridge.pump(&mut events, Budget::unlimited(), panics);
    assert!(catch_unwind(AssertUnwindSafe(pump)).is_err());
    assert!(events.drain().eq([2, 3]));
    assert_eq!(service.stats().published, 1);
}

#[test]
fn a_full_subscription_that_would_block_does_not_hold_up_the_tick() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let slow = service.subscribe(">").unwrap().capacity(1).overrun(Overrun::Block).open();
    let all = service.subscribe(">").unwrap().open();
    let bus: Bus<u32, 8> = Bus::new();
    let mut events = bus.consumer().unwrap();
    let mut bridge = BridgeOut::new(&service, "here");
    (0..3).for_each(|number| bus.publish(number).unwrap());
    let report = bridge.pump(&mut events, Budget::unlimited(), encode);
    assert_eq!((report.forwarded, report.not_enqueued, report.left), (3, 2, 0));
    assert_eq!((numbers(&slow), numbers(&all)), (vec![0], vec![0, 1, 2]));
    assert_eq!(slow.dropped(), 2);
}

#[test]
fn a_subscription_that_ends_meanwhile_is_one_that_has_it_not() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let ending = Arc::new(OnceLock::<Subscription>::new());
    let end = ending.clone();
    let filter = move |_: &Envelope| {
        end.get().unwrap().close();
        true
    };
    let first = service.subscribe(">").unwrap().filter(filter).open();
    assert!(ending.set(service.subscribe(">").unwrap().open()).is_ok());
    let bus: Bus<u32, 2> = Bus::new();
    let mut events = bus.consumer().unwrap();
    bus.publish(1).unwrap();
    let mut bridge = BridgeOut::new(&service, "here");
    let report = bridge.pump(&mut events, Budget::unlimited(), encode);
    assert_eq!((report.forwarded, report.not_enqueued, numbers(&first)), (1, 1, vec![1]));
}

/// A broker may give up although it is not told to wait; others may have the envelope.
#[test]
fn what_a_broker_gives_up_on_is_forwarded_and_not_enqueued() {
    let _watch = watchdog();
    struct Broker(fn(Arc<Envelope>) -> PublishError);
    impl EnvelopeBus for Broker {
        fn try_publish(&self, envelope: Arc<Envelope>) -> Result<Published, PublishError> {
            Err(self.0(envelope))
        }
        fn subscribe(
            &self,
            _: Pattern<'_>,
            _: SubscriptionOptions,
        ) -> Result<Subscription, SubscribeError> {
            Err(SubscribeError::Closed)
        }
        fn close(&self) {}
        fn is_closed(&self) -> bool {
            false
        }
    }
    for gives_up in [PublishError::TimedOut, PublishError::Cancelled] {
        let broker = Broker(gives_up);
        let bus: Bus<u32, 4> = Bus::new();
        let mut events = bus.consumer().unwrap();
        (0..3).for_each(|number| bus.publish(number).unwrap());
        let mut bridge = BridgeOut::new(&broker, "here");
        let report = bridge.pump(&mut events, Budget::unlimited(), encode);
        assert_eq!((report.forwarded, report.not_enqueued, report.closed), (3, 3, 0));
        assert_eq!(sum(&[report]), 3);
    }
}

#[test]
fn an_envelope_without_a_source_is_given_that_of_the_bridge() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let all = service.subscribe(">").unwrap().open();
    let bus: Bus<&str, 2> = Bus::new();
    let mut events = bus.consumer().unwrap();
    bus.publish("").unwrap();
    bus.publish("radar").unwrap();
    let encode = |source: &&str| Envelope::new("a").map(|made| made.with_source(*source));
    let report = BridgeOut::new(&service, "here").pump(&mut events, Budget::unlimited(), encode);
    assert_eq!(report.forwarded, 2);
    let sources: Vec<_> = all.drain().map(|envelope| envelope.source().to_owned()).collect();
    assert_eq!(sources, ["here", "radar"]);
}

// ---- In ----------------------------------------------------------------------------------------

#[test]
fn an_event_that_comes_back_from_a_full_bus_goes_first_next_time() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let mut bridge = BridgeIn::new(service.subscribe(">").unwrap().open());
    let bus: Bus<u32, 2> = Bus::new();
    let mut events = bus.consumer().unwrap();
    send(&service, 0..7);
    let mut got = Vec::new();
    let mut reports = Vec::new();
    for left in [5, 3, 1, 0, 0] {
        let report = bridge.pump(Budget::unlimited(), decode, |number| bus.publish(number));
        assert_eq!(report.left, left);
        reports.push(report);
        got.extend(events.drain());
    }
    assert!(got.into_iter().eq(0..7));
    assert_eq!(sum(&reports), 7);
    assert_eq!(bus.stats().refused, 3, "asked once a pump");
}

#[test]
fn the_budget_bounds_the_way_in_too() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let mut bridge = BridgeIn::new(service.subscribe(">").unwrap().open());
    let topic: Topic<u32, 16> = Topic::new();
    let mut reader = topic.subscribe();
    send(&service, 0..10);
    let mut publish = |number| {
        topic.publish(number);
        Ok(())
    };
    let report = bridge.pump(Budget::events(4), decode, &mut publish);
    assert_eq!((report.forwarded, report.left), (4, 6));
    let late = Budget::unlimited().until(|| true).check_every(2);
    assert_eq!(bridge.pump(late, decode, &mut publish).forwarded, 2);
    assert_eq!(bridge.pump(Budget::events(0), decode, &mut publish).forwarded, 1);
    assert_eq!(bridge.pump(Budget::unlimited(), decode, &mut publish).forwarded, 3);
    assert!(reader.read().flatten().eq(0..10));
}

/// What cannot be read counts against the budget: a flood of it must not hold up the tick.
#[test]
fn an_envelope_that_makes_no_event_is_lost_and_told_and_the_others_go_on() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let mut bridge = BridgeIn::new(service.subscribe(">").unwrap().open());
    for text in ["1", "x", "2", "", "3"] {
        service.publish(Envelope::new("number").unwrap().header("n", text)).unwrap();
    }
    let mut got = Vec::new();
    let mut publish = |number| {
        got.push(number);
        Ok(())
    };
    let report = bridge.pump(Budget::events(4), decode, &mut publish);
    assert_eq!((report.forwarded, report.failed, report.left), (2, 2, 1));
    assert_eq!(report.error.unwrap().to_string(), "invalid digit found in string", "the first");
    let report = bridge.pump(Budget::events(4), decode, &mut publish);
    assert_eq!((report.forwarded, report.failed, report.error), (1, 0, None));
    assert_eq!(got, [1, 2, 3]);
}

#[test]
fn what_the_subscription_dropped_is_told_once() {
    let _watch = watchdog();
    for (overrun, got) in [(Overrun::DropNewest, [0, 1]), (Overrun::DropOldest, [3, 4])] {
        let service = SubjectBus::new();
        let subscription = service.subscribe(">").unwrap().capacity(2).overrun(overrun).open();
        let mut bridge = BridgeIn::new(subscription);
        let bus: Bus<u32, 8> = Bus::new();
        send(&service, 0..5);
        let mut pump = || bridge.pump(Budget::unlimited(), decode, |number| bus.publish(number));
        let report = pump();
        assert_eq!((report.forwarded, report.dropped, report.left), (2, 3, 0));
        assert_eq!(sum(&[report]), 5);
        assert_eq!(pump().dropped, 0);
        assert!(bus.consumer().unwrap().drain().eq(got));
    }
}

#[test]
fn a_bus_that_drops_may_be_let_drop() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let mut bridge = BridgeIn::new(service.subscribe(">").unwrap().open());
    let bus: Bus<u32, 2, DropNewest> = Bus::new();
    send(&service, 0..5);
    let publish = |number| {
        let _ = bus.publish(number);
        Ok(())
    };
    let report = bridge.pump(Budget::unlimited(), decode, publish);
    assert_eq!((report.forwarded, report.left), (5, 0));
    assert_eq!((bus.stats().pending, bus.stats().dropped()), (2, 3), "that bus has counted them");
}

#[test]
fn what_was_queued_crosses_after_the_end() {
    let _watch = watchdog();
    let service = SubjectBus::new();
    let mut bridge = BridgeIn::new(service.subscribe(">").unwrap().open());
    let bus: Bus<u32, 2> = Bus::new();
    send(&service, 0..4);
    drop(service);
    assert!(bridge.subscription().is_closed());
    let report = bridge.pump(Budget::unlimited(), decode, |number| bus.publish(number));
    assert_eq!((report.forwarded, report.left), (2, 2));
    let (subscription, kept) = bridge.into_parts();
    assert_eq!((kept, numbers(&subscription)), (Some(2), vec![3]));
}

// ---- Both --------------------------------------------------------------------------------------

/// Two programs on one service, each with a bridge both ways on the same subjects.
#[test]
fn an_event_makes_one_hop_and_does_not_come_back() {
    let _watch = watchdog();
    struct Program<'a> {
        local: Topic<u32, 64>,
        remote: Bus<u32, 64>,
        out: BridgeOut<&'a SubjectBus>,
        back: BridgeIn<u32>,
    }
    let service = SubjectBus::new();
    let program = |name: &'static str| Program {
        local: Topic::new(),
        remote: Bus::new(),
        out: BridgeOut::new(&service, name),
        back: BridgeIn::new(
            service.subscribe(">").unwrap().filter(move |sent| sent.source() != name).open(),
        ),
    };
    let mut programs = [program("a"), program("b")];
    let (mut published, mut crossed) = (0, [0; 2]);
    for tick in 0..10 {
        for (at, Program { local, remote, out, back }) in programs.iter_mut().enumerate() {
            let mut reader = local.subscribe();
            local.publish(tick);
            published += 1;
            assert_eq!(out.pump(&mut reader, Budget::unlimited(), encode).forwarded, 1);
            let report = back.pump(Budget::unlimited(), decode, |number| remote.publish(number));
            crossed[at] += report.forwarded;
        }
    }
    assert_eq!((published, service.stats().published), (20, 20), "no event was sent twice");
    assert_eq!(crossed, [9, 10], "the first has its turn before the second's last event");
}

/// A struct owns all of it, and so does what holds the struct.
#[test]
fn bridges_lie_in_one_struct_with_their_bus() {
    let _watch = watchdog();
    static HERE: Bus<u32, 4> = Bus::new();
    struct Service {
        bus: Arc<SubjectBus>,
        out: BridgeOut,
        back: BridgeIn<u32>,
    }
    fn make() -> Service {
        let bus = Arc::new(SubjectBus::new());
        let back = BridgeIn::new(bus.subscribe("number").unwrap().open());
        Service { out: BridgeOut::new(bus.clone(), "here"), back, bus }
    }
    let service = Box::new(make());
    let came = thread::spawn(move || {
        let mut service = service;
        let mut events = HERE.consumer().unwrap();
        HERE.publish(7).unwrap();
        let sent = service.out.pump(&mut events, Budget::unlimited(), encode);
        assert_eq!((sent.forwarded, service.bus.stats().published), (1, 1));
        assert_eq!(service.out.bus().stats(), service.bus.stats());
        let mut came = Vec::new();
        let publish = |number| {
            came.push(number);
            Ok(())
        };
        assert_eq!(service.back.pump(Budget::unlimited(), decode, publish).forwarded, 1);
        came
    });
    assert_eq!(came.join().unwrap(), [7]);
}

/// What a `Deref` leads to is the bus: of this crate or not, named or not.
#[test]
fn a_bridge_goes_through_any_pointer_to_any_bus() {
    let _watch = watchdog();
    fn pump<B: core::ops::Deref<Target: EnvelopeBus>>(bus: B) -> usize {
        let here: Bus<u32, 2> = Bus::new();
        here.publish(1).unwrap();
        let mut bridge = BridgeOut::new(bus, "here");
        bridge.pump(&mut here.consumer().unwrap(), Budget::unlimited(), encode).forwarded
    }
    static NOOP: NoopBus = NoopBus;
    let bus = Arc::new(SubjectBus::new());
    let all = bus.subscribe(">").unwrap().open();
    let shared: Arc<dyn EnvelopeBus + Send + Sync> = bus.clone();
    let borrowed: &dyn EnvelopeBus = &*bus;
    let sent = [pump(&*bus), pump(bus.clone()), pump(shared), pump(borrowed), pump(&NOOP)];
    assert_eq!((sent, all.drain().count()), ([1; 5], 4));
}

#[cfg(feature = "bevy")]
#[test]
fn bridges_lie_in_a_bevy_resource_with_their_bus() {
    use bevy_ecs::prelude::{ResMut, Resource, World};
    use bevy_ecs::system::RunSystemOnce;

    let _watch = watchdog();
    static HERE: Topic<u32, 4> = Topic::new();
    static THERE: Bus<u32, 4> = Bus::new();
    #[derive(Resource)]
    struct Service {
        bus: Arc<SubjectBus>,
        out: BridgeOut,
        back: BridgeIn<u32>,
        here: tickbus::Subscriber<'static, u32>,
    }
    fn pump(mut service: ResMut<Service>) {
        let Service { out, back, here, bus } = &mut *service;
        assert_eq!(out.pump(here, Budget::unlimited(), encode).forwarded, 1);
        assert_eq!(bus.stats().published, 1);
        let report = back.pump(Budget::unlimited(), decode, |number| THERE.publish(number));
        assert_eq!(report.forwarded, 1);
    }
    let bus = Arc::new(SubjectBus::new());
    let back = BridgeIn::new(bus.subscribe("number").unwrap().open());
    let out = BridgeOut::new(bus.clone(), "here");
    let mut world = World::new();
    world.insert_resource(Service { bus, out, back, here: HERE.subscribe() });
    HERE.publish(7);
    world.run_system_once(pump).unwrap();
    assert!(THERE.consumer().unwrap().drain().eq([7]));
}

#[test]
fn nothing_gets_lost_silently_between_threads() {
    let _watch = watchdog();
    const EACH: u32 = 5_000;
    let service = SubjectBus::new();
    let far = service.subscribe(">").unwrap().capacity(64).overrun(Overrun::DropOldest).open();
    let bus: Bus<u32, 64, DropOldest> = Bus::new();
    let landed: Bus<u32, 64> = Bus::new();
    let (bus, service, landed) = (&bus, &service, &landed);
    let mut there = BridgeIn::new(far);
    let (mut out, mut back, mut handled) = (Vec::new(), Vec::new(), 0);
    thread::scope(|scope| {
        let publishers = [0, 1].map(|publisher| {
            scope.spawn(move || {
                for number in 0..EACH {
                    bus.publish(publisher * EACH + number).unwrap();
                }
            })
        });
        let mut events = bus.consumer().unwrap();
        let mut arrived = landed.consumer().unwrap();
        let mut bridge = BridgeOut::new(service, "here");
        let mut latest = [None; 2];
        let watchdog = Instant::now() + Duration::from_secs(60);
        loop {
            let ended = publishers.iter().all(thread::ScopedJoinHandle::is_finished);
            out.push(bridge.pump(&mut events, Budget::events(48), encode));
            back.push(there.pump(Budget::events(48), decode, |number| landed.publish(number)));
            for number in arrived.drain() {
                let latest = &mut latest[(number / EACH) as usize];
                assert!(*latest < Some(number), "the order of each publisher is kept");
                *latest = Some(number);
                handled += 1;
            }
            if ended && out.last().unwrap().left + back.last().unwrap().left == 0 {
                break;
            }
            assert!(Instant::now() < watchdog, "{:?}", out.last());
        }
    });
    assert_eq!(sum(&out), 2 * EACH as usize);
    let sent: usize = out.iter().map(|report| report.forwarded).sum();
    assert_eq!(sum(&back), sent);
    assert_eq!(back.iter().map(|report| report.forwarded).sum::<usize>(), handled);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Publish(usize),
    Out(usize),
    In(usize),
    Read(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..12_usize).prop_map(Step::Publish),
        (0..12_usize).prop_map(Step::Out),
        (0..12_usize).prop_map(Step::In),
        (0..12_usize).prop_map(Step::Read),
    ]
}

proptest! {
    /// Whatever the order of steps: all is accounted for after each, and what arrives is in order.
    #[test]
    fn all_is_accounted_for_after_every_step(
        steps in vec(step(), 0..60),
        block in any::<bool>(),
        bad in 2..7_u32,
    ) {
        let _watch = watchdog();
        let service = SubjectBus::new();
        let overrun = if block { Overrun::Block } else { Overrun::DropOldest };
        let far = service.subscribe(">").unwrap().capacity(6).overrun(overrun).open();
        let near: Bus<u32, 8, DropOldest> = Bus::new();
        let landed: Bus<u32, 4> = Bus::new();
        let (mut events, mut arrived) = (near.consumer().unwrap(), landed.consumer().unwrap());
        let mut out = BridgeOut::new(&service, "here");
        let mut back = BridgeIn::new(far);
        let (mut sent, mut came): (Vec<Bridged<u32>>, Vec<Bridged<u32>>) = (vec![], vec![]);
        let mut published = 0;
        let mut got = Vec::new();
        for step in steps {
            match step {
                Step::Publish(count) => for _ in 0..count {
                    near.publish(published).unwrap();
                    published += 1;
                },
                Step::Out(budget) => sent.push(out.pump(&mut events, Budget::events(budget), |number| {
                    if number.is_multiple_of(bad) { Err(*number) } else { Ok(encode(number).unwrap()) }
                })),
                Step::In(budget) => came.push(back.pump(
                    Budget::events(budget),
                    |found| decode(found).map_err(|_| 0).and_then(|number| {
                        if number % bad == 1 { Err(number) } else { Ok(number) }
                    }),
                    |number| landed.publish(number),
                )),
                Step::Read(count) => got.extend(arrived.drain().take(count)),
            }
            let crossed = |reports: &[Bridged<u32>]| {
                reports.iter().map(|report| report.forwarded).sum::<usize>()
            };
            if let Step::Out(_) = step {
                prop_assert_eq!(sum(&sent), published as usize);
            }
            if let Step::In(_) = step {
                prop_assert_eq!(sum(&came), crossed(&sent));
            }
            prop_assert_eq!(crossed(&came), got.len() + landed.pending());
        }
        prop_assert!(got.is_sorted() && got.iter().all(|number| number % bad > 1));
    }
}

#[test]
fn a_bridge_goes_to_other_threads() {
    let _watch = watchdog();
    fn check<T: Send + core::fmt::Debug>() {}
    check::<BridgeOut>();
    check::<BridgeIn<core::cell::Cell<u32>>>();
    check::<Bridged<InvalidSubject>>();
}
