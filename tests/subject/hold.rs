//! Start and pause: what is held, replayed, lost and missed. Rows 004.02, 004.07, 004.08 and 004.10 to 004.13.

use alloc::sync::Arc;
use core::panic::AssertUnwindSafe;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::Mutex;

use tickbus::subject_bus::{Observer, PublishError, Recipient, SubjectBusStats};
use tickbus::wait::Wait;
use tickbus::{Envelope, Overrun, SubjectBus, Subscription};

use crate::watch::{eventually, watchdog, watched};
use crate::{Log, MATCHES, POLICIES, drained, numbered, publish};

fn holding(capacity: usize) -> SubjectBus {
    SubjectBus::builder().hold(capacity).build()
}

/// Published, held, dropped and abandoned there.
fn numbers(bus: &SubjectBus) -> (u64, u64, u64, u64) {
    let SubjectBusStats { published, held, held_dropped, held_abandoned, .. } = bus.stats();
    (published, held, held_dropped, held_abandoned)
}

#[test]
fn a_publish_tells_held_from_delivered_and_to_how_many() {
    let _watch = watchdog();
    for count in MATCHES {
        let bus = holding(0);
        let all: Vec<_> = (0..count).map(|_| bus.subscribe("n").unwrap().open()).collect();
        let held = bus.publish(numbered(1)).unwrap();
        assert_eq!((held.held, held.enqueued, held.dropped), (true, 0, 0));
        assert_eq!((bus.is_started(), numbers(&bus)), (false, (1, 1, 0, 0)));
        bus.start();
        let live = bus.publish(numbered(2)).unwrap();
        assert_eq!((live.held, live.enqueued), (false, count));
        assert_eq!((bus.is_started(), numbers(&bus)), (true, (2, 0, 0, 0)));
        assert!(all.iter().all(|one| drained(one) == [1, 2]));
    }
}

#[test]
fn a_bus_is_started_from_the_beginning_unless_it_has_a_hold() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    assert!(bus.is_started());
    bus.start();
    assert!(!bus.publish(numbered(1)).unwrap().held);
}

#[test]
fn a_full_hold_drops_the_newest_counts_it_and_gives_it_back() {
    let _watch = watchdog();
    for (capacity, fits) in [(1, 1), (3, 3), (0, 1024)] {
        let bus = holding(capacity);
        let all = bus.subscribe("n").unwrap().capacity(2000).open();
        publish(&bus, 0..fits);
        let error = bus.publish(numbered(fits)).unwrap_err();
        assert!(error.to_string().starts_with("`n`: the bus is not started, and its hold is full"));
        let PublishError::HoldFull(envelope) = error else { panic!("{error}") };
        assert_eq!(crate::number(&envelope), fits);
        assert_eq!(numbers(&bus), (fits as u64 + 1, fits as u64, 1, 0));
        bus.start();
        assert_eq!(drained(&all), Vec::from_iter(0..fits));
        assert_eq!(numbers(&bus), (fits as u64 + 1, 0, 1, 0));
    }
}

#[test]
fn start_and_pause_again_have_no_effect_and_the_order_stays() {
    let _watch = watchdog();
    let bus = holding(8);
    let all = bus.subscribe("n").unwrap().open();
    bus.pause();
    publish(&bus, 0..2);
    bus.pause();
    assert_eq!(drained(&all), [0; 0]);
    bus.start();
    bus.start();
    publish(&bus, 2..3);
    bus.pause();
    publish(&bus, 3..5);
    assert_eq!(
        bus.info().to_string().lines().next().unwrap(),
        "5 published, 1 subscriptions, 3 enqueued, 0 dropped, paused with 2 held"
    );
    bus.start();
    publish(&bus, 5..6);
    assert_eq!(drained(&all), [0, 1, 2, 3, 4, 5]);
}

#[test]
fn each_full_receiver_applies_its_own_policy_to_the_replay() {
    let _watch = watchdog();
    let bus = holding(0);
    let all =
        POLICIES.map(|overrun| bus.subscribe("n").unwrap().capacity(2).overrun(overrun).open());
    publish(&bus, 0..5);
    bus.start();
    assert_eq!(all.each_ref().map(|one| one.dropped()), [3, 3, 3]);
    assert_eq!(all.each_ref().map(drained), [[0, 1], [3, 4], [0, 1]]);
}

#[test]
fn start_wait_waits_for_room_and_gives_up_in_time() {
    let _watch = watchdog();
    let bus = Arc::new(holding(0));
    let jobs = bus.subscribe("n").unwrap().capacity(1).overrun(Overrun::Block).open();
    publish(&bus, 0..4);
    let starting = bus.clone();
    let start = watched(move || starting.start_wait(Wait::forever()));
    for n in 0..4 {
        assert_eq!(jobs.recv().map(|it| crate::number(&it)), Some(n));
    }
    start.join();
    bus.pause();
    publish(&bus, 4..7);
    bus.start_wait(Wait::forever().timeout(Duration::from_millis(5)));
    assert_eq!((drained(&jobs), jobs.dropped()), (vec![4], 2));
    assert!(!bus.publish(numbered(8)).unwrap().held);
}

/// A replay that waits for room: what comes meanwhile is held, a pause ends the replay at its envelope, a further
/// start leaves the rest to the first.
#[test]
fn nothing_overtakes_a_replay_that_waits_or_is_paused_or_started_again() {
    let _watch = watchdog();
    let bus = Arc::new(holding(0));
    let jobs = bus.subscribe("n").unwrap().capacity(1).overrun(Overrun::Block).open();
    publish(&bus, 0..3);
    let starting = bus.clone();
    let start = watched(move || starting.start_wait(Wait::forever()));
    eventually(|| jobs.stats().waiting == 1);
    assert!(bus.try_publish(numbered(3)).unwrap().held);
    bus.pause();
    bus.start(); // the other one goes on
    bus.pause();
    assert_eq!(jobs.recv().map(|it| crate::number(&it)), Some(0));
    start.join();
    assert_eq!((drained(&jobs), bus.stats().held, bus.is_started()), (vec![1], 2, false));
    let starting = bus.clone();
    let start = watched(move || starting.start_wait(Wait::forever()));
    let got: Vec<_> = jobs.iter().take(2).map(|it| crate::number(&it)).collect();
    start.join();
    assert_eq!(got, [2, 3]);
    assert!(!bus.try_publish(numbered(4)).unwrap().held);
}

#[test]
fn closing_a_bus_that_is_not_started_counts_what_it_held() {
    let _watch = watchdog();
    let bus = holding(0);
    let all = bus.subscribe("n").unwrap().open();
    publish(&bus, 0..3);
    bus.close();
    bus.start();
    assert_eq!((numbers(&bus), drained(&all)), ((3, 0, 0, 3), vec![]));
    assert!(matches!(bus.publish(numbered(4)), Err(PublishError::Closed(_))));
    assert_eq!(numbers(&bus), (3, 0, 0, 3));
}

#[test]
fn observers_see_a_held_envelope_when_it_is_replayed() {
    let _watch = watchdog();
    let log = Arc::new(Log::default());
    let bus = SubjectBus::builder().hold(1).observer(log.clone()).build();
    let _all = bus.subscribe("n").unwrap().name("all").open();
    publish(&bus, 1..2);
    let _ = bus.publish(numbered(2));
    assert_eq!(log.take(), [""; 0]);
    bus.start();
    assert_eq!(log.take(), ["publish 1", "deliver 1 to all"]);
}

/// Publishes once more for each of the first.
struct Echo(Mutex<Option<Arc<SubjectBus>>>);

impl Observer for Echo {
    fn on_publish(&self, envelope: &Arc<Envelope>) {
        let bus = self.0.lock().unwrap().clone().unwrap();
        if crate::number(envelope) < 10 {
            assert!(bus.publish(numbered(crate::number(envelope) + 10)).unwrap().held);
        }
        assert!(crate::number(envelope) != 1, "an observer");
    }
}

#[test]
fn what_is_published_in_a_replay_comes_after_it_and_a_panic_stops_nothing() {
    let _watch = watchdog();
    let echo = Arc::new(Echo(Mutex::new(None)));
    let bus = Arc::new(SubjectBus::builder().hold(0).observer(echo.clone()).build());
    *echo.0.lock().unwrap() = Some(bus.clone());
    let all = bus.subscribe("n").unwrap().open();
    publish(&bus, 0..3);
    assert!(catch_unwind(AssertUnwindSafe(|| bus.start())).is_err());
    assert_eq!(drained(&all), [0, 1, 2, 10, 11, 12]);
    assert!(!bus.publish(numbered(20)).unwrap().held);
    *echo.0.lock().unwrap() = None; // the observer keeps the bus, and the bus the observer
}

/// Each publisher in its order, whatever starts and pauses come between, and each envelope once.
#[test]
fn publishers_starts_and_pauses_at_the_same_time_lose_and_turn_round_nothing() {
    const EACH: usize = 2_000;
    let _watch = watchdog();
    let bus = Arc::new(SubjectBus::builder().hold(EACH * 2).build());
    let all = bus.subscribe("n").unwrap().capacity(EACH * 2);
    let odd = all.filter(|it| crate::number(it) < usize::MAX).open(); // the lock is released meanwhile
    let publishers = [0, 1].map(|publisher| {
        let bus = bus.clone();
        watched(move || publish(&bus, (0..EACH).map(|n| n * 2 + publisher)))
    });
    let switches = [0, 1].map(|_| {
        let bus = bus.clone();
        watched(move || {
            for _ in 0..200 {
                bus.start();
                bus.pause();
            }
        })
    });
    publishers.into_iter().for_each(|it| it.join());
    switches.into_iter().for_each(|it| it.join());
    bus.start();
    eventually(|| bus.stats().held == 0 && bus.stats().totals.enqueued == EACH as u64 * 2);
    let got = drained(&odd);
    assert_eq!(got.len(), EACH * 2);
    for publisher in [0, 1] {
        assert!(got.iter().filter(|n| **n % 2 == publisher).is_sorted_by(|a, b| a < b));
    }
}

#[derive(Default)]
struct Late(Mutex<Vec<String>>);

impl Observer for Late {
    fn on_late(&self, recipient: Recipient<'_>, missed: u64) {
        self.0.lock().unwrap().push(format!("{} missed {missed}", recipient.name));
    }
}

#[test]
fn a_late_subscription_tells_of_the_replay_it_missed_and_one_that_is_late_on_purpose_does_not() {
    let _watch = watchdog();
    let late = Arc::new(Late::default());
    let bus = SubjectBus::builder().hold(0).observer(late.clone()).build();
    let open = |name: &str| bus.subscribe("n").unwrap().name(name);
    let early = open("early").open();
    publish(&bus, 0..3);
    let in_time = open("in time").open();
    bus.start();
    let missing = open("missing").open();
    let leader = open("leader").late().open();
    let missed = [&early, &in_time, &missing, &leader].map(|it| it.missed_replay());
    assert_eq!(missed, [0, 0, 3, 0]);
    assert_eq!(bus.subscriptions().iter().map(|it| it.missed_replay).max(), Some(3));
    bus.pause();
    publish(&bus, 3..5);
    bus.start();
    assert_eq!(open("last").open().missed_replay(), 5);
    assert_eq!(*late.0.lock().unwrap(), ["missing missed 3", "last missed 5"]);
    assert_eq!(
        [drained(&early).len(), drained(&in_time).len(), drained(&missing).len()],
        [5, 5, 2]
    );
}

/// Opens a subscription at each call.
#[derive(Default)]
struct Opens(Mutex<Option<Arc<SubjectBus>>>, Mutex<Vec<Subscription>>);

impl Opens {
    fn open(&self) {
        let bus = self.0.lock().unwrap().clone().unwrap();
        self.1.lock().unwrap().push(bus.subscribe("n").unwrap().open());
    }
}

impl Observer for Opens {
    fn on_publish(&self, _: &Arc<Envelope>) {
        self.open();
    }
    fn on_deliver(&self, _: &Arc<Envelope>, to: Recipient<'_>) {
        if to.id == 1 {
            self.open();
        }
    }
}

#[test]
fn a_subscription_that_is_opened_in_a_replay_misses_what_it_does_not_get_and_no_more() {
    const HELD: usize = 4;
    let _watch = watchdog();
    let opens = Arc::new(Opens::default());
    let bus = Arc::new(SubjectBus::builder().hold(0).observer(opens.clone()).build());
    *opens.0.lock().unwrap() = Some(bus.clone());
    let first = bus.subscribe("n").unwrap().open();
    publish(&bus, 0..HELD);
    bus.start();
    assert_eq!((drained(&first).len(), first.missed_replay()), (HELD, 0));
    *opens.0.lock().unwrap() = None; // the observer keeps the bus, and the bus the observer
    let opened = core::mem::take(&mut *opens.1.lock().unwrap());
    assert_eq!(opened.len(), 2 * HELD);
    for one in &opened {
        let missed = usize::try_from(one.missed_replay()).unwrap();
        assert_eq!(drained(one), Vec::from_iter(missed..HELD), "{one:?}");
    }
}

#[test]
fn start_and_pause_have_no_effect_on_a_closed_bus() {
    let _watch = watchdog();
    for started in [false, true] {
        let bus = if started { SubjectBus::new() } else { holding(0) };
        bus.close();
        bus.start();
        assert_eq!(bus.is_started(), started);
        bus.pause();
        assert_eq!(bus.is_started(), started);
    }
}

/// Closes the bus in the replay.
#[derive(Default)]
struct Closes(Mutex<Option<Arc<SubjectBus>>>);

impl Observer for Closes {
    fn on_publish(&self, _: &Arc<Envelope>) {
        self.0.lock().unwrap().as_ref().unwrap().close();
    }
}

#[test]
fn a_bus_that_is_closed_in_its_replay_stays_closed() {
    let _watch = watchdog();
    let closes = Arc::new(Closes::default());
    let bus = Arc::new(SubjectBus::builder().hold(0).observer(closes.clone()).build());
    *closes.0.lock().unwrap() = Some(bus.clone());
    let all = bus.subscribe("n").unwrap().open();
    publish(&bus, 0..3);
    bus.start();
    assert_eq!(numbers(&bus), (3, 0, 0, 2));
    assert!(matches!(bus.publish(numbered(3)), Err(PublishError::Closed(_))));
    assert!(bus.publish_all([numbered(4)]).is_err());
    assert_eq!((numbers(&bus), drained(&all)), ((3, 0, 0, 2), vec![]));
    *closes.0.lock().unwrap() = None; // the observer keeps the bus, and the bus the observer
}

/// Is in `on_late` until it may go on.
#[derive(Default)]
struct Slow {
    is_in: AtomicBool,
    may_go_on: AtomicBool,
    has_gone_on: AtomicBool,
}

impl Observer for Slow {
    fn on_late(&self, _: Recipient<'_>, _: u64) {
        self.is_in.store(true, SeqCst);
        eventually(|| self.may_go_on.load(SeqCst));
        self.has_gone_on.store(true, SeqCst);
    }
}

#[test]
fn close_waits_for_an_observer_that_learns_of_a_late_subscription() {
    let _watch = watchdog();
    let slow = Arc::new(Slow::default());
    let bus = Arc::new(SubjectBus::builder().hold(0).observer(slow.clone()).build());
    publish(&bus, 0..1);
    bus.start();
    let opening = bus.clone();
    let open = watched(move || drop(opening.subscribe("n").unwrap().open()));
    eventually(|| slow.is_in.load(SeqCst));
    let (closing, its_slow) = (bus.clone(), slow.clone());
    let close = watched(move || {
        closing.close();
        its_slow.has_gone_on.load(SeqCst)
    });
    eventually(|| bus.is_closed());
    std::thread::sleep(Duration::from_millis(20)); // a close that does not wait has returned by now
    slow.may_go_on.store(true, SeqCst);
    assert!(close.join(), "`close` has returned before the observer");
    open.join();
}
