//! The subject bus with an allocator and without `std`, as a main loop has it. Run with
//! `cargo test --features alloc --test subject_alloc`; under `std` there is nothing here.
#![cfg(all(feature = "alloc", not(feature = "std"), not(tickbus_loom)))]

extern crate alloc;

use alloc::rc::Rc;
use alloc::sync::Arc;
use core::cell::RefCell;
use core::pin::pin;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use core::task::{Context, Poll, Waker};

use tickbus::bridge::{BridgeIn, BridgeOut};
use tickbus::bus::Message;
use tickbus::subject_bus::{
    DropReason, EnvelopeBus, NoopBus, Observer, PublishError, Published, Recipient, RecvError,
    SubjectHandlers, SubscribeError, SubscriptionOptions,
};
use tickbus::{Budget, Bus, Envelope, Full, Overrun, Pattern, SubjectBus, Subscription};

fn envelope(subject: &str, id: &str) -> Envelope {
    Envelope::unstamped(subject).unwrap().with_id(id)
}

fn ids(subscription: &Subscription) -> String {
    subscription.drain().map(|envelope| envelope.id().to_owned()).collect()
}

#[test]
fn each_policy_keeps_what_it_says_and_no_publish_waits() {
    for (overrun, kept) in
        [(Overrun::DropNewest, "12"), (Overrun::DropOldest, "34"), (Overrun::Block, "12")]
    {
        let bus = SubjectBus::new();
        let one = bus.subscribe("a.*").unwrap().capacity(2).overrun(overrun).open();
        for id in ["1", "2", "3", "4"] {
            let published = bus.try_publish(envelope("a.b", id)).unwrap();
            assert_eq!(published.enqueued + published.dropped, 1);
        }
        assert_eq!((ids(&one).as_str(), one.dropped()), (kept, 2));
        let it = bus.stats().totals;
        assert_eq!(it.enqueued, it.received + it.dropped_oldest + it.abandoned + it.pending);
    }
}

#[test]
fn an_envelope_is_published_as_it_is() {
    let bus = SubjectBus::new();
    let one = bus.subscribe(">").unwrap().open();
    bus.try_publish(Envelope::unstamped("a").unwrap()).unwrap();
    let got = one.try_recv().unwrap();
    assert_eq!((got.id(), got.time()), ("", None), "id and time are the publisher's");
}

#[test]
fn filters_and_observers_are_asked_and_told() {
    #[derive(Default)]
    struct Seen(AtomicUsize);
    impl Observer for Seen {
        fn on_drop(&self, _: &Arc<Envelope>, _: Recipient<'_>, reason: DropReason) {
            assert_eq!(reason, DropReason::BufferFull);
            self.0.fetch_add(1, Relaxed);
        }
    }
    let seen = Arc::new(Seen::default());
    let bus = SubjectBus::builder().observer(seen.clone()).build();
    let one = bus.subscribe("a").unwrap().capacity(1).filter(|it| it.id() != "no").open();
    for id in ["1", "no", "2"] {
        bus.try_publish(envelope("a", id)).unwrap();
    }
    assert_eq!((ids(&one).as_str(), seen.0.load(Relaxed)), ("1", 1));
}

#[test]
fn close_ends_the_bus_and_what_is_queued_stays() {
    let bus = SubjectBus::new();
    let one = bus.subscribe("a").unwrap().open();
    bus.try_publish(envelope("a", "1")).unwrap();
    bus.close();
    bus.close();
    assert!(matches!(bus.try_publish(envelope("a", "2")), Err(PublishError::Closed(_))));
    assert_eq!(one.try_recv().unwrap().id(), "1");
    assert_eq!(one.try_recv(), Err(RecvError::Closed));
}

#[test]
fn unfinished_and_leaked_drains_keep_the_order_and_the_end_comes_last() {
    let bus = SubjectBus::new();
    let one = bus.subscribe("a").unwrap().open();
    for id in ["1", "2", "3", "4", "5"] {
        bus.try_publish(envelope("a", id)).unwrap();
    }
    let (mut first, mut second) = (one.drain(), one.drain());
    assert_eq!(first.next().unwrap().id(), "1");
    assert_eq!(second.next().unwrap().id(), "2");
    bus.try_publish(envelope("a", "6")).unwrap();
    bus.close();
    assert_eq!(one.try_recv().unwrap().id(), "3");
    assert_eq!(first.by_ref().map(|it| it.id().to_owned()).collect::<String>(), "45");
    assert!(second.next().is_none(), "it began before");
    core::mem::forget(second);
    drop(first);
    assert_eq!(ids(&one), "6");
    assert_eq!(one.try_recv(), Err(RecvError::Closed));
    let it = one.stats();
    assert_eq!((it.enqueued, it.received, it.pending), (6, 6, 0));
}

#[test]
fn a_task_awaits_and_a_tick_handles() {
    let bus = Rc::new(SubjectBus::new());
    let one = bus.subscribe("a").unwrap().open();
    let mut stream = one.stream();
    {
        let mut next = pin!(stream.recv());
        let mut context = Context::from_waker(Waker::noop());
        assert_eq!(next.as_mut().poll(&mut context), Poll::Pending);
        bus.try_publish(envelope("a", "1")).unwrap();
        let Poll::Ready(Some(got)) = next.poll(&mut context) else { panic!("it is there") };
        assert_eq!(got.id(), "1");
    }
    drop(stream);

    let mut handlers = SubjectHandlers::new();
    handlers.on(one, |log: &mut RefCell<String>, it| match it.id() {
        "bad" => Err("bad"),
        id => {
            log.get_mut().push_str(id);
            Ok(())
        }
    });
    for id in ["1", "bad", "2"] {
        bus.try_publish(envelope("a", id)).unwrap();
    }
    let mut log = RefCell::default();
    let report = handlers.tick(&mut log, Budget::unlimited());
    assert_eq!((report.handled, report.failed, log.into_inner().as_str()), (3, 1, "12"));
}

#[test]
fn a_publish_is_awaited() {
    let bus = SubjectBus::new();
    let one = bus.subscribe("a").unwrap().capacity(1).overrun(Overrun::Block).open();
    bus.try_publish(envelope("a", "1")).unwrap();
    let mut context = Context::from_waker(Waker::noop());
    {
        let mut second = pin!(bus.publish_async(envelope("a", "2")));
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert_eq!(ids(&one), "1");
        let Poll::Ready(Ok(published)) = second.poll(&mut context) else { panic!("there is room") };
        assert_eq!(published.enqueued, 1);
    }
    {
        let mut third = pin!(bus.publish_async(envelope("a", "3")));
        assert!(third.as_mut().poll(&mut context).is_pending());
        bus.close();
        assert!(matches!(third.poll(&mut context), Poll::Ready(Err(PublishError::Closed(_)))));
    }
    assert_eq!(ids(&one), "2");
}

/// The methods that must be written are the same with `std`.
#[test]
fn any_bus_of_envelopes_is_used_behind_a_reference() {
    struct Last(RefCell<Option<Arc<Envelope>>>); // neither `Send` nor `Sync`
    impl EnvelopeBus for Last {
        fn try_publish(&self, envelope: Arc<Envelope>) -> Result<Published, PublishError> {
            self.0.replace(Some(envelope));
            Ok(Published::default())
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
    let (bus, last) = (SubjectBus::new(), Last(RefCell::default()));
    let all: [&dyn EnvelopeBus; 3] = [&bus, &NoopBus, &last];
    let options = || SubscriptionOptions::new().capacity(1).overrun(Overrun::DropOldest);
    let one = all[0].subscribe(Pattern::from_static("a"), options()).unwrap();
    let ended = all[1].subscribe(Pattern::from_static("a"), options()).unwrap();
    let enqueued = all.map(|bus| {
        bus.try_publish(envelope("a", "1").into()).unwrap();
        bus.try_publish(envelope("a", "2").into()).unwrap().enqueued
    });
    assert_eq!((enqueued, ids(&one).as_str()), ([1, 0, 0], "2"));
    assert_eq!(ended.try_recv(), Err(RecvError::Closed));
    assert_eq!(last.0.borrow().as_ref().unwrap().id(), "2");
    all[0].close();
    assert!(all[0].is_closed() && bus.is_closed());
    let closed = all[0].subscribe(Pattern::from_static("a"), options()).unwrap_err();
    assert_eq!(closed, SubscribeError::Closed);
}

#[test]
fn a_bridge_owns_the_bus_that_it_shares() {
    static HERE: Bus<u8, 2> = Bus::new();
    struct Service {
        bus: Rc<SubjectBus>,
        out: BridgeOut<Rc<SubjectBus>>,
        back: BridgeIn<u8>,
    }
    let bus = Rc::new(SubjectBus::new());
    let back = BridgeIn::new(bus.subscribe("a").unwrap().open());
    let mut service = Service { out: BridgeOut::new(bus.clone(), "here"), back, bus };
    HERE.publish(7).unwrap();
    let encode = |id: &u8| Ok::<_, ()>(envelope("a", &id.to_string()));
    let mut here = HERE.consumer().unwrap();
    assert_eq!(service.out.pump(&mut here, Budget::unlimited(), encode).forwarded, 1);
    assert_eq!(service.bus.stats().published, 1);
    let mut came = None;
    let decode = |found: &Envelope| found.id().parse::<u8>();
    let report = service.back.pump(Budget::unlimited(), decode, |it| {
        came = Some(it);
        Ok(())
    });
    assert_eq!((report.forwarded, came), (1, Some(7)));
}

#[test]
fn bridges_carry_both_ways_within_their_budget() {
    static OUT: Bus<u8, 4> = Bus::new();
    static IN: Bus<u8, 2> = Bus::new();
    let bus = SubjectBus::new();
    let seen = bus.subscribe("level").unwrap().open();
    let mut inward = BridgeIn::new(bus.subscribe("level").unwrap().open());
    let mut outward = BridgeOut::new(&bus, "here");
    let mut source = OUT.consumer().unwrap();
    for level in 0..4 {
        OUT.publish(level).unwrap();
    }

    let encode = |level: &u8| match level {
        1 => Err("no level"),
        level => Ok(envelope("level", &level.to_string())),
    };
    let report = outward.pump(&mut source, Budget::events(3), encode);
    assert_eq!((report.forwarded, report.failed, report.left), (2, 1, 1));
    assert_eq!(outward.pump(&mut source, Budget::unlimited(), encode).forwarded, 1);
    assert!(seen.drain().all(|it| it.source() == "here"));

    let decode = |found: &Envelope| found.id().parse::<u8>();
    let publish = |level| IN.publish(level);
    let report = inward.pump(Budget::unlimited(), decode, publish);
    assert_eq!((report.forwarded, report.left), (2, 1));
    assert!(IN.consumer().unwrap().drain().eq([0, 2]));
    let report = inward.pump(Budget::unlimited(), decode, |_| Err(Full(9)));
    assert_eq!((report.forwarded, report.left), (0, 1));
    assert_eq!(inward.into_parts().1, Some(9));

    OUT.publish(5).unwrap();
    bus.close();
    let report = outward.pump(&mut source, Budget::unlimited(), encode);
    assert_eq!((report.forwarded, report.left), (0, 1), "a closed bus is sent nothing");
}

#[test]
fn a_bus_is_started_and_groups_are_all_or_nothing() {
    let bus = SubjectBus::builder().hold(3).build();
    let some = bus.subscribe("a").unwrap().or("b").unwrap().name("some").every_nth(2).open();
    let all = bus.subscribe(">").unwrap().capacity(3).open();
    assert!(bus.try_publish(envelope("a", "1")).unwrap().held);
    assert!(bus.publish_all([envelope("b", "2"), envelope("a", "3")]).unwrap().held);
    assert!(bus.try_publish(envelope("a", "4")).is_err());
    bus.start();
    assert!(bus.publish_all([envelope("c", "5")]).is_err());
    assert_eq!((ids(&some), ids(&all)), ("13".to_owned(), "123".to_owned()));
    assert_eq!(bus.publish_all([envelope("c", "5")]).unwrap().enqueued, 1);
    let stats = bus.stats();
    assert_eq!((stats.published, stats.held_dropped, stats.totals.sampled), (5, 1, 1));
    assert_eq!(bus.subscribe(">").unwrap().open().missed_replay(), 3);
}

#[test]
fn handlers_have_contexts_hooks_and_wrappers() {
    let bus = SubjectBus::new();
    let mut handlers = SubjectHandlers::new();
    type Log = Vec<String>;
    handlers.on_with_context(bus.subscribe("a").unwrap().open(), |_: &mut Log, it, context| {
        if context.is_over() { Err("late") } else { Ok(Message(it.id().to_owned())) }
    });
    handlers.wrap(|log, _, next| {
        log.push("wrapper".into());
        next(log)
    });
    handlers.after(|log, _, outcome| log.push(outcome.to_string()));
    handlers.on_error(|log, call, _| log.push(call.envelope.id().to_owned()));
    let mut log = Log::new();
    bus.try_publish(envelope("a", "1")).unwrap();
    let _ = handlers.tick(&mut log, Budget::unlimited());
    bus.try_publish(envelope("a", "2")).unwrap();
    let over = || true;
    let _ = handlers.tick_within(
        &mut log,
        Budget::unlimited(),
        &tickbus::context::Context::new().until(&over),
    );
    assert_eq!(log, ["wrapper", "handled: 1", "wrapper", "failed: late", "2"]);
}
