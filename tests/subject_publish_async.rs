//! A publish that is awaited: does it wait for room like one that parks, and delay no other? Every step
//! that may wait has a watchdog.
#![cfg(all(feature = "std", not(tickbus_loom)))]

extern crate alloc;

mod watch;

use alloc::sync::Arc;
use alloc::task::Wake;
use core::panic::AssertUnwindSafe;
use core::pin::{Pin, pin};
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use core::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use core::time::Duration;
use std::panic::catch_unwind;
use std::sync::{Mutex, mpsc};
use std::thread;

use tickbus::subject_bus::{
    DropReason, EnvelopeBus, NoopBus, Observer, PublishError, Published, Recipient, SubscribeError,
    SubscriptionOptions,
};
use tickbus::wait::Wait;
use tickbus::{Envelope, Overrun, Pattern, SubjectBus, Subscription};
use watch::{watchdog, watched};

type Outcome = Result<Published, PublishError>;

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

struct Unpark(thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Runs a future on this thread.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}

fn numbered(n: usize) -> Envelope {
    Envelope::unstamped("n").unwrap().with_source(n.to_string())
}

fn drained(subscription: &Subscription) -> Vec<usize> {
    subscription.drain().map(|envelope| envelope.source().parse().unwrap()).collect()
}

fn open(bus: &SubjectBus, capacity: usize, overrun: Overrun) -> Subscription {
    bus.subscribe("n").unwrap().capacity(capacity).overrun(overrun).open()
}

/// A bus, and a subscription that blocks and is full of number 1.
fn blocked() -> (Arc<SubjectBus>, Subscription) {
    let bus = Arc::new(SubjectBus::new());
    let subscription = open(&bus, 1, Overrun::Block);
    bus.publish(numbered(1)).unwrap();
    (bus, subscription)
}

type Publish<'a> = Pin<Box<dyn Future<Output = Outcome> + Send + 'a>>;

fn publish(bus: &SubjectBus, n: usize) -> Publish<'_> {
    Box::pin(bus.publish_async(numbered(n)))
}

fn poll(publish: &mut Publish<'_>, wakes: &Arc<Wakes>) -> Poll<Outcome> {
    publish.as_mut().poll(&mut Context::from_waker(&wakes.clone().into()))
}

/// Its parts: enqueued, dropped, closed.
#[track_caller]
fn done(outcome: Poll<Outcome>) -> (usize, usize, usize) {
    let Poll::Ready(Ok(it)) = outcome else { panic!("{outcome:?}") };
    (it.enqueued, it.dropped, it.closed)
}

#[track_caller]
fn conserved(bus: &SubjectBus) {
    let it = bus.stats().totals;
    assert_eq!(it.enqueued, it.received + it.dropped_oldest + it.abandoned + it.pending, "{it:?}");
}

/// What an observer hears.
#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Log {
    fn take(&self) -> Vec<String> {
        core::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl Observer for Log {
    fn on_publish(&self, envelope: &Arc<Envelope>) {
        self.0.lock().unwrap().push(format!("publish {}", envelope.source()));
    }
    fn on_deliver(&self, envelope: &Arc<Envelope>, to: Recipient<'_>) {
        self.0.lock().unwrap().push(format!("deliver {} to {}", envelope.source(), to.id));
    }
    fn on_drop(&self, envelope: &Arc<Envelope>, to: Recipient<'_>, reason: DropReason) {
        let line = format!("drop {} for {}: {reason:?}", envelope.source(), to.id);
        self.0.lock().unwrap().push(line);
    }
}

/// The same as `blocked`, heard.
fn heard() -> (SubjectBus, Subscription, Arc<Log>) {
    let log = Arc::new(Log::default());
    let bus = SubjectBus::builder().observer(log.clone()).build();
    let subscription = open(&bus, 1, Overrun::Block);
    bus.publish(numbered(1)).unwrap();
    assert_eq!(log.take(), ["publish 1", "deliver 1 to 1"]);
    (bus, subscription, log)
}

#[test]
fn nothing_is_published_before_the_first_poll() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let subscription = open(&bus, 1, Overrun::Block);
    let publish = publish(&bus, 1);
    assert_eq!(bus.stats().published, 0);
    drop(publish);
    assert_eq!((bus.stats().published, drained(&subscription)), (0, vec![]));
}

#[test]
fn where_there_is_room_it_is_over_at_once() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let all = [Overrun::Block, Overrun::DropNewest, Overrun::DropOldest];
    let subscriptions = all.map(|overrun| open(&bus, 1, overrun));
    let wakes = Arc::new(Wakes::default());
    assert_eq!(done(poll(&mut publish(&bus, 1), &wakes)), (3, 0, 0));
    for subscription in &subscriptions {
        assert_eq!(drained(subscription), [1]);
    }
    let without_id = block_on(bus.publish_async(Envelope::unstamped("n").unwrap())).unwrap();
    assert_eq!(without_id.enqueued, 3);
    assert!(!subscriptions[0].try_recv().unwrap().id().is_empty());
}

#[test]
fn it_waits_in_turn_with_those_who_park_and_one_receive_frees_exactly_one() {
    let _watch = watchdog();
    let (bus, subscription) = blocked();
    let wakes = [(); 2].map(|()| Arc::new(Wakes::default()));
    let mut second = publish(&bus, 2);
    assert!(poll(&mut second, &wakes[0]).is_pending());
    let parked = thread::spawn({
        let bus = bus.clone();
        move || bus.publish(numbered(3)).unwrap().enqueued
    });
    while subscription.stats().waiting < 2 {
        thread::yield_now();
    }
    let mut fourth = publish(&bus, 4);
    assert!(poll(&mut fourth, &wakes[1]).is_pending());

    assert_eq!(drained(&subscription), [1]);
    assert_eq!(wakes.each_ref().map(|it| it.0.load(SeqCst)), [1, 0]);
    assert_eq!(done(poll(&mut second, &wakes[0])), (1, 0, 0));
    assert!(poll(&mut fourth, &wakes[1]).is_pending());
    assert_eq!(drained(&subscription), [2]);
    assert_eq!(parked.join().unwrap(), 1);
    assert_eq!(drained(&subscription), [3]);
    assert_eq!(done(poll(&mut fourth, &wakes[1])), (1, 0, 0));
    assert_eq!(drained(&subscription), [4]);
    assert_eq!(subscription.stats().waiting, 0);
    conserved(&bus);
}

#[test]
fn the_others_have_it_before_the_waiting_begins() {
    let _watch = watchdog();
    let (bus, subscription) = blocked();
    let other = open(&bus, 1, Overrun::DropNewest);
    let wakes = Arc::new(Wakes::default());
    let mut second = publish(&bus, 2);
    assert!(poll(&mut second, &wakes).is_pending());
    assert_eq!(drained(&other), [2]);
    assert_eq!(drained(&subscription), [1]);
    assert_eq!(done(poll(&mut second, &wakes)), (2, 0, 0));
}

#[test]
fn it_waits_at_several_places() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let both = [open(&bus, 1, Overrun::Block), open(&bus, 1, Overrun::Block)];
    bus.publish(numbered(1)).unwrap();
    let wakes = Arc::new(Wakes::default());
    let mut second = publish(&bus, 2);
    assert!(poll(&mut second, &wakes).is_pending());
    assert_eq!(drained(&both[1]), [1]); // the later first
    assert!(poll(&mut second, &wakes).is_pending());
    assert_eq!(drained(&both[0]), [1]);
    assert_eq!(done(poll(&mut second, &wakes)), (2, 0, 0));
    assert_eq!(both.each_ref().map(drained), [[2], [2]]);
}

#[test]
fn the_waker_of_the_last_poll_is_woken() {
    let _watch = watchdog();
    let (bus, subscription) = blocked();
    let wakes = [(); 2].map(|()| Arc::new(Wakes::default()));
    let mut second = publish(&bus, 2);
    assert!(poll(&mut second, &wakes[0]).is_pending());
    assert!(poll(&mut second, &wakes[1]).is_pending());
    assert_eq!(Arc::strong_count(&wakes[0]), 1, "kept without need");
    assert!(subscription.try_recv().is_ok());
    assert_eq!(wakes.each_ref().map(|it| it.0.load(SeqCst)), [0, 1]);
    assert_eq!(done(poll(&mut second, &wakes[1])), (1, 0, 0));
    assert_eq!(Arc::strong_count(&wakes[1]), 1);
}

#[test]
fn each_of_many_keeps_its_turn_and_its_waker() {
    let _watch = watchdog();
    const MANY: usize = 60;
    let (bus, subscription) = blocked();
    let first = Arc::new(Wakes::default());
    let mut waiting: Vec<_> = (2..2 + MANY).map(|n| (n, publish(&bus, n))).collect();
    for (_, publish) in &mut waiting {
        assert!(poll(publish, &first).is_pending());
    }
    // Some leave, out of the middle too, and the others come to look in another order.
    waiting.retain(|(n, _)| n % 3 != 0);
    waiting.reverse();
    let mut kept: Vec<_> =
        waiting.into_iter().map(|(n, publish)| (n, publish, Arc::new(Wakes::default()))).collect();
    for (_, publish, wakes) in &mut kept {
        assert!(poll(publish, wakes).is_pending());
    }
    assert_eq!(Arc::strong_count(&first), 1);
    assert_eq!(subscription.stats().waiting, 40);

    assert_eq!(drained(&subscription), [1]);
    while let Some((n, mut publish, wakes)) = kept.pop() {
        let woken = kept.iter().map(|(_, _, later)| later.0.load(SeqCst)).sum::<usize>();
        assert_eq!((wakes.0.load(SeqCst), woken), (1, 0));
        assert_eq!(done(poll(&mut publish, &wakes)), (1, 0, 0));
        assert_eq!(drained(&subscription), [n]);
    }
    assert_eq!(first.0.load(SeqCst), 0);
    conserved(&bus);
}

#[test]
fn dropped_while_it_waits_it_drops_the_envelope_and_keeps_no_place() {
    let _watch = watchdog();
    let (bus, subscription, log) = heard();
    let wakes = [(); 2].map(|()| Arc::new(Wakes::default()));
    let (mut second, mut third) = (publish(&bus, 2), publish(&bus, 3));
    assert!(poll(&mut second, &wakes[0]).is_pending());
    assert!(poll(&mut third, &wakes[1]).is_pending());
    drop(second);
    assert_eq!(log.take(), ["publish 2", "publish 3", "drop 2 for 1: BufferFull"]);
    assert_eq!((subscription.stats().waiting, subscription.stats().dropped_newest), (1, 1));

    assert_eq!(drained(&subscription), [1]);
    assert_eq!(done(poll(&mut third, &wakes[1])), (1, 0, 0));
    assert_eq!(log.take(), ["deliver 3 to 1"]);
    assert_eq!((drained(&subscription), subscription.missed()), (vec![3], 1));
    conserved(&bus);
}

#[test]
fn dropped_after_its_room_was_made_it_has_enqueued() {
    let _watch = watchdog();
    let (bus, subscription, log) = heard();
    let mut second = publish(&bus, 2);
    assert!(poll(&mut second, &Arc::default()).is_pending());
    assert_eq!(drained(&subscription), [1]);
    drop(second);
    assert_eq!(log.take(), ["publish 2", "deliver 2 to 1"]);
    assert_eq!((drained(&subscription), bus.dropped()), (vec![2], 0));
}

#[test]
fn the_end_of_a_subscription_sends_it_on() {
    let _watch = watchdog();
    for end in [Subscription::close as fn(&Subscription), |_| {}] {
        let (bus, subscription, log) = heard();
        let wakes = Arc::new(Wakes::default());
        let mut second = publish(&bus, 2);
        assert!(poll(&mut second, &wakes).is_pending());
        end(&subscription);
        drop(subscription);
        assert_eq!(wakes.0.load(SeqCst), 1);
        assert_eq!(done(poll(&mut second, &wakes)), (0, 0, 1));
        assert_eq!(log.take(), ["publish 2", "drop 2 for 1: Closed"]);
        assert_eq!((bus.dropped(), bus.stats().closed), (0, 1));
    }
}

#[test]
fn closing_the_bus_waits_for_no_task_and_sends_it_away() {
    watched(|| {
        let (bus, subscription, log) = heard();
        let wakes = Arc::new(Wakes::default());
        let (mut second, mut third) = (publish(&bus, 2), publish(&bus, 3));
        assert!(poll(&mut second, &wakes).is_pending());
        assert!(poll(&mut third, &wakes).is_pending());
        log.take();
        bus.close(); // on the thread that would poll
        assert_eq!(wakes.0.load(SeqCst), 2);
        assert_eq!((bus.stats().closed, bus.stats().totals.waiting), (2, 0), "at once");
        let Poll::Ready(Err(PublishError::Closed(back))) = poll(&mut second, &wakes) else {
            panic!("the bus is closed")
        };
        assert_eq!(back.source(), "2");
        drop(third);
        assert!(log.take().is_empty(), "no observer is called on a closed bus");
        assert_eq!((bus.stats().closed, bus.dropped()), (2, 0));
        assert_eq!(drained(&subscription), [1]);

        let late = block_on(bus.publish_async(numbered(4)));
        assert!(matches!(late, Err(PublishError::Closed(back)) if back.source() == "4"));
    })
    .join();
}

#[test]
fn what_was_enqueued_before_the_bus_closed_is_enqueued() {
    let _watch = watchdog();
    let (bus, subscription, log) = heard();
    let wakes = Arc::new(Wakes::default());
    let mut second = publish(&bus, 2);
    assert!(poll(&mut second, &wakes).is_pending());
    log.take();
    assert!(subscription.try_recv().is_ok());
    bus.close();
    assert_eq!(done(poll(&mut second, &wakes)), (1, 0, 0));
    assert!(log.take().is_empty());
    assert_eq!(drained(&subscription), [2]);
}

/// Until it returns, `close` waits for observers that run.
#[test]
fn closing_the_bus_waits_for_a_poll_under_way() {
    let _watch = watchdog();
    struct Slow(mpsc::Sender<()>, AtomicBool);
    impl Observer for Slow {
        fn on_deliver(&self, envelope: &Arc<Envelope>, _: Recipient<'_>) {
            if envelope.source() == "2" {
                self.0.send(()).unwrap();
                thread::sleep(Duration::from_millis(50));
                self.1.store(true, SeqCst);
            }
        }
    }
    watched(|| {
        let (sender, running) = mpsc::channel();
        let slow = Arc::new(Slow(sender, AtomicBool::new(false)));
        let bus = Arc::new(SubjectBus::builder().observer(slow.clone()).build());
        let subscription = open(&bus, 1, Overrun::Block);
        bus.publish(numbered(1)).unwrap();
        let task = thread::spawn({
            let bus = bus.clone();
            move || block_on(bus.publish_async(numbered(2))).unwrap().enqueued
        });
        while subscription.stats().waiting < 1 {
            thread::yield_now();
        }
        assert!(subscription.try_recv().is_ok());
        running.recv().unwrap();
        bus.close();
        assert!(slow.1.load(SeqCst), "closed beside an observer that runs");
        assert_eq!(task.join().unwrap(), 1);
    })
    .join();
}

#[test]
fn an_observer_that_panics_takes_the_places_with_it() {
    let _watch = watchdog();
    struct Panics;
    impl Observer for Panics {
        fn on_deliver(&self, envelope: &Arc<Envelope>, _: Recipient<'_>) {
            assert_ne!(envelope.source(), "2", "as planned");
        }
        fn on_drop(&self, _: &Arc<Envelope>, _: Recipient<'_>, _: DropReason) {
            panic!("and again, while unwinding");
        }
    }
    let bus = SubjectBus::builder().observer(Arc::new(Panics)).build();
    let both = [open(&bus, 1, Overrun::Block), open(&bus, 1, Overrun::Block)];
    bus.publish(numbered(1)).unwrap();
    let mut second = publish(&bus, 2);
    assert!(poll(&mut second, &Arc::default()).is_pending());
    assert!(both[0].try_recv().is_ok());
    let panicked = catch_unwind(AssertUnwindSafe(|| poll(&mut second, &Arc::default())));
    assert!(panicked.is_err());
    drop(second);
    assert_eq!((both[0].stats().waiting, both[1].stats().waiting), (0, 0));
    assert_eq!(drained(&both[0]), [2]);
    assert_eq!(drained(&both[1]), [1]);
    bus.close(); // no publish is in progress
}

#[test]
fn any_bus_is_awaited_behind_a_reference() {
    let _watch = watchdog();
    let (bus, subscription) = blocked();
    let any: [&(dyn EnvelopeBus + Sync); 2] = [&*bus, &NoopBus];
    let wakes = Arc::new(Wakes::default());
    let mut waits = any[0].publish_async(numbered(2).into());
    assert!(poll(&mut waits, &wakes).is_pending());
    assert_eq!(drained(&subscription), [1]);
    assert_eq!(done(poll(&mut waits, &wakes)), (1, 0, 0));
    assert_eq!(done(poll(&mut any[1].publish_async(numbered(2).into()), &wakes)), (0, 0, 0));
    let full = any[0].try_publish(numbered(3).into()).unwrap();
    assert_eq!((full.enqueued, full.dropped), (0, 1));
}

/// As every other, before it is polled it publishes nothing.
#[test]
fn a_bus_that_says_no_more_than_it_must_is_tried_by_the_first_poll() {
    let _watch = watchdog();
    struct Tried(AtomicUsize);
    impl EnvelopeBus for Tried {
        fn try_publish(&self, _: Arc<Envelope>) -> Outcome {
            self.0.fetch_add(1, SeqCst);
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
    let bus = Tried(AtomicUsize::new(0));
    drop(bus.publish_async(numbered(1).into()));
    assert_eq!(bus.0.load(SeqCst), 0);
    assert_eq!(done(poll(&mut bus.publish_async(numbered(2).into()), &Arc::default())), (0, 0, 0));
    assert_eq!(bus.0.load(SeqCst), 1);
    assert!(bus.publish(numbered(3).into()).is_ok(), "as the others");
    assert!(bus.publish_wait(numbered(4).into(), Wait::forever()).is_ok());
    assert_eq!(bus.0.load(SeqCst), 3);
}

/// The waker belongs to a user: no clone of it may run under the lock.
#[test]
fn wakers_are_cloned_outside_all_locks() {
    let _watch = watchdog();
    static BUS: Mutex<Option<Arc<SubjectBus>>> = Mutex::new(None);
    static TABLE: RawWakerVTable = RawWakerVTable::new(|_| raw(), |_| {}, |_| {}, |_| {});
    fn raw() -> RawWaker {
        let bus = BUS.lock().unwrap().clone();
        let _ = bus.map(|bus| bus.stats());
        RawWaker::new(core::ptr::null(), &TABLE)
    }
    watched(|| {
        let (bus, _subscription) = blocked();
        *BUS.lock().unwrap() = Some(bus.clone());
        // SAFETY: no function of the table looks at the pointer.
        let waker = unsafe { Waker::from_raw(raw()) };
        let mut waits = publish(&bus, 2);
        for _ in 0..2 {
            assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        *BUS.lock().unwrap() = None;
    })
    .join();
}

/// Nor may the end of it.
#[test]
fn wakers_are_woken_and_dropped_outside_all_locks() {
    let _watch = watchdog();
    static BUS: Mutex<Option<Arc<SubjectBus>>> = Mutex::new(None);
    struct Looks;
    impl Looks {
        /// A new one. A lock that is held when it is woken or dropped would hold it up for ever.
        fn at() -> Waker {
            Waker::from(Arc::new(Self))
        }
        fn look(&self) {
            let bus = BUS.lock().unwrap().clone();
            let _ = bus.map(|bus| bus.stats());
        }
    }
    impl Wake for Looks {
        fn wake(self: Arc<Self>) {
            self.look();
        }
    }
    impl Drop for Looks {
        fn drop(&mut self) {
            self.look();
        }
    }
    watched(|| {
        let (bus, subscription) = blocked();
        *BUS.lock().unwrap() = Some(bus.clone());
        let mut waits = publish(&bus, 2);
        for _ in 0..3 {
            // The one of the poll before is dropped by the next.
            let waker = Looks::at();
            assert!(waits.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        let mut given_up = publish(&bus, 3);
        let waker = Looks::at();
        assert!(given_up.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        drop(given_up);
        assert_eq!(drained(&subscription), [1]);
        let mut closed = publish(&bus, 4);
        let waker = Looks::at();
        assert!(closed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        drop(waker);
        bus.close();
        *BUS.lock().unwrap() = None;
    })
    .join();
}

/// A publisher that is parked can only leave when those before it were woken.
#[test]
fn closing_inside_a_waker_waits_for_none_that_is_woken_after_it() {
    let _watch = watchdog();
    struct Closes(Arc<SubjectBus>);
    impl Wake for Closes {
        fn wake(self: Arc<Self>) {
            self.0.close();
        }
    }
    for by_subscription in [false, true] {
        watched(move || {
            let (bus, subscription) = blocked();
            let closes = Waker::from(Arc::new(Closes(bus.clone())));
            let mut second = publish(&bus, 2);
            assert!(second.as_mut().poll(&mut Context::from_waker(&closes)).is_pending());
            let parked = thread::spawn({
                let bus = bus.clone();
                move || bus.publish(numbered(3))
            });
            while subscription.stats().waiting < 2 {
                thread::yield_now();
            }
            if by_subscription {
                subscription.close();
            } else {
                bus.close();
            }
            match parked.join().unwrap() {
                Err(PublishError::Closed(_)) => {}
                // It saw the end of the subscription before the waker closed the bus.
                Ok(published) if by_subscription => assert_eq!(published.closed, 1),
                other => panic!("{other:?}"),
            }
            assert!(bus.is_closed());
        })
        .join();
    }
}

#[test]
fn tasks_and_threads_lose_nothing_under_load() {
    let _watch = watchdog();
    const EACH: usize = 2_000;
    let got = watched(|| {
        let bus = Arc::new(SubjectBus::new());
        let subscription = open(&bus, 3, Overrun::Block);
        let publishers: Vec<_> = (0..3)
            .map(|publisher| {
                let bus = bus.clone();
                thread::spawn(move || {
                    for n in 0..EACH {
                        let envelope = numbered(publisher * EACH + n);
                        let published = match publisher {
                            0 => bus.publish(envelope),
                            _ => block_on(bus.publish_async(envelope)),
                        };
                        assert_eq!(published.unwrap().enqueued, 1);
                    }
                })
            })
            .collect();
        let receiver = thread::spawn(move || {
            let number = |it: Arc<Envelope>| it.source().parse::<usize>().unwrap();
            subscription.iter().map(number).collect::<Vec<_>>()
        });
        publishers.into_iter().for_each(|publisher| publisher.join().unwrap());
        bus.close();
        conserved(&bus);
        receiver.join().unwrap()
    })
    .join();
    assert_eq!(got.len(), 3 * EACH);
    for publisher in 0..3 {
        let of_one = got.iter().copied().filter(|n| n / EACH == publisher);
        assert!(of_one.eq(publisher * EACH..(publisher + 1) * EACH));
    }
}

/// The panic of a waker continues in its caller. The wakers after it are called all the same.
#[test]
fn a_waker_that_panics_leaves_no_other_asleep() {
    let _watch = watchdog();
    struct Panics;
    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("as planned");
        }
    }
    let panics = Waker::from(Arc::new(Panics));
    let (bus, subscription) = blocked();
    let others = [open(&bus, 1, Overrun::DropOldest), open(&bus, 1, Overrun::DropOldest)];
    let mut streams = others.each_ref().map(Subscription::stream);
    let [first, second] = &mut streams;
    let (mut first, mut second) = (Box::pin(first.recv()), Box::pin(second.recv()));
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(wakes.clone());
    assert!(first.as_mut().poll(&mut Context::from_waker(&panics)).is_pending());
    assert!(second.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| bus.try_publish(numbered(2)))).is_err());
    assert_eq!(wakes.0.load(SeqCst), 1, "the other receiver");
    assert!(second.as_mut().poll(&mut Context::from_waker(&waker)).is_ready());

    let (mut third, mut fourth) = (publish(&bus, 3), publish(&bus, 4));
    assert!(third.as_mut().poll(&mut Context::from_waker(&panics)).is_pending());
    assert!(poll(&mut fourth, &wakes).is_pending());
    assert!(catch_unwind(AssertUnwindSafe(|| subscription.close())).is_err());
    assert_eq!(wakes.0.load(SeqCst), 2, "the other publisher");
    assert_eq!(done(poll(&mut fourth, &wakes)), (2, 0, 1));
}
