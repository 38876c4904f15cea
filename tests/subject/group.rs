//! Groups: all of them or none, at every policy, capacity and number of matches. Row 000.20.

use alloc::sync::Arc;
use core::panic::AssertUnwindSafe;
use std::panic::catch_unwind;
use std::sync::Mutex;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use tickbus::subject_bus::PublishAllError;
use tickbus::{Envelope, Overrun, SubjectBus, Subscription};

use crate::watch::{watchdog, watched};
use crate::{MATCHES, POLICIES, drained, event, numbered, observed, publish};

fn group(numbers: impl IntoIterator<Item = usize>) -> Vec<Envelope> {
    numbers.into_iter().map(numbered).collect()
}

fn open(bus: &SubjectBus, capacity: usize, overrun: Overrun) -> Subscription {
    bus.subscribe("n").unwrap().capacity(capacity).overrun(overrun).open()
}

#[test]
fn a_group_for_which_all_have_room_is_in_all_of_them_in_its_order() {
    let _watch = watchdog();
    for count in MATCHES {
        for overrun in POLICIES {
            let bus = SubjectBus::new();
            let all: Vec<_> = (0..count).map(|_| open(&bus, 3, overrun)).collect();
            let published = bus.publish_all(group(0..3)).unwrap();
            assert_eq!(
                (published.enqueued, published.dropped, published.held),
                (3 * count, 0, false)
            );
            assert_eq!(bus.stats().published, 3);
            assert!(all.iter().all(|one| drained(one) == [0, 1, 2]));
        }
    }
}

#[test]
fn one_subscription_without_room_keeps_the_group_from_all() {
    let _watch = watchdog();
    for count in MATCHES {
        for overrun in [Overrun::DropNewest, Overrun::Block] {
            for last in [false, true] {
                let (bus, log) = observed();
                let roomy = || (0..count).map(|_| open(&bus, 3, Overrun::DropOldest));
                let before: Vec<_> = if last { roomy().collect() } else { Vec::new() };
                let full = open(&bus, 3, overrun);
                let after: Vec<_> = roomy().collect();
                publish(&bus, 0..2);
                let (stats, _) = (bus.stats(), log.take());
                let error = bus.publish_all(group(2..4)).unwrap_err();
                let text = format!(
                    "subscription {} to `n` has no room for its part of the group",
                    full.id()
                );
                assert_eq!(error.to_string(), text);
                let PublishAllError::Full { subscription, name, patterns, envelopes, .. } = error
                else {
                    panic!()
                };
                assert_eq!((subscription, &*name), (full.id(), ""));
                assert!(patterns.iter().map(ToString::to_string).eq(["n"]));
                assert!(envelopes.iter().map(|it| crate::number(it)).eq(2..4));
                assert_eq!(bus.stats(), stats, "a trace");
                assert_eq!(log.take(), [""; 0]);
                for one in before.iter().chain(&after).chain([&full]) {
                    assert_eq!((drained(one), one.missed(), one.dropped()), (vec![0, 1], 0, 0));
                }
                let subscriptions = before.len() + after.len() + 1;
                assert_eq!(bus.publish_all(envelopes).unwrap().enqueued, 2 * subscriptions);
            }
        }
    }
}

#[test]
fn the_error_names_the_subscription_that_has_no_room() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let _roomy = open(&bus, 9, Overrun::DropNewest);
    let ledger = bus.subscribe("n").unwrap().or("account.*").unwrap().name("ledger").capacity(1);
    let ledger = ledger.open();
    let error = bus.publish_all(group(0..2)).unwrap_err();
    let id = ledger.id();
    let text = format!(
        "subscription {id}, \"ledger\", to `n`, `account.*` has no room for its part of the group"
    );
    assert_eq!(error.to_string(), text);
}

#[test]
fn drop_oldest_makes_room_for_a_group_that_fits_into_it_and_no_other() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let last = open(&bus, 3, Overrun::DropOldest);
    publish(&bus, 0..2);
    assert_eq!(bus.publish_all(group(2..5)).unwrap().enqueued, 3);
    assert_eq!((drained(&last), last.dropped()), (vec![2, 3, 4], 2));
    assert!(matches!(bus.publish_all(group(5..9)), Err(PublishAllError::Full { .. })));
    assert_eq!((drained(&last), last.dropped()), (vec![], 2));
}

#[test]
fn each_subscription_needs_room_for_its_own_part_only() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let a = bus.subscribe("a").unwrap().capacity(1).open();
    let both = bus.subscribe("*").unwrap().capacity(4).open();
    let second = bus.subscribe("*").unwrap().every_nth(2).capacity(2).open();
    let none = bus.subscribe("*").unwrap().filter(|_| false).capacity(1).open();
    let published = bus.publish_all(["b", "a", "b", "b"].map(event)).unwrap();
    assert_eq!((published.enqueued, published.sampled), (7, 2));
    assert_eq!([&a, &both, &second, &none].map(|it| it.stats().pending), [1, 4, 2, 0]);
    both.close();
    drop(second);
    assert!(matches!(bus.publish_all(["b", "a"].map(event)), Err(PublishAllError::Full { .. })));
    assert_eq!(bus.publish_all(["b", "b"].map(event)).unwrap().enqueued, 0);
}

#[test]
fn every_nth_continues_as_if_a_rejected_group_had_not_been_there() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let second = bus.subscribe("n").unwrap().every_nth(2).capacity(2).open();
    publish(&bus, 0..1);
    assert!(bus.publish_all(group(1..6)).is_err()); // 2 and 4, and room for one
    assert_eq!(bus.publish_all(group(1..4)).unwrap().enqueued, 1);
    assert_eq!((drained(&second), second.stats().sampled), (vec![0, 2], 2));
}

#[test]
fn an_empty_group_is_published_as_nothing() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let _full = open(&bus, 1, Overrun::Block);
    publish(&bus, 0..1);
    assert_eq!(bus.publish_all(group(0..0)), Ok(Default::default()));
    assert_eq!(bus.stats().published, 1);
}

/// Nothing waits for the start, so nothing is held.
#[test]
fn a_group_of_none_is_neither_enqueued_nor_held() {
    let stopped = SubjectBus::builder().hold(2).build();
    let live = SubjectBus::new();
    for bus in [&stopped, &live] {
        let none = bus.publish_all(Vec::<Envelope>::new()).unwrap();
        assert_eq!((none.enqueued, none.held), (0, false));
        assert_eq!((bus.stats().published, bus.stats().held), (0, 0));
    }
    assert!(stopped.publish_all([Envelope::unstamped("a").unwrap()]).unwrap().held);
}

#[test]
fn a_closed_bus_gives_the_group_back_and_one_that_is_not_started_holds_all_or_none() {
    let _watch = watchdog();
    let bus = SubjectBus::builder().hold(3).build();
    let all = open(&bus, 8, Overrun::DropNewest);
    assert!(bus.publish_all(group(0..2)).unwrap().held);
    let error = bus.publish_all(group(2..4)).unwrap_err();
    assert!(matches!(error, PublishAllError::HoldFull(_)), "{error}");
    assert_eq!(error.into_envelopes().len(), 2);
    assert_eq!((bus.stats().published, bus.stats().held, bus.stats().held_dropped), (2, 2, 0));
    assert!(bus.publish_all(group(2..3)).unwrap().held);
    bus.start();
    assert_eq!(drained(&all), [0, 1, 2]);
    bus.close();
    let error = bus.publish_all(group(3..5)).unwrap_err();
    assert!(matches!(error, PublishAllError::Closed(_)), "{error}");
    assert_eq!((bus.stats().published, error.into_envelopes().len()), (3, 2));
}

#[test]
fn observers_see_each_envelope_of_a_group_in_its_order_when_all_are_in() {
    let _watch = watchdog();
    let (bus, log) = observed();
    let _first =
        bus.subscribe("n").unwrap().name("first").overrun(Overrun::DropOldest).capacity(2).open();
    let _odd = bus.subscribe("n").unwrap().name("odd").every_nth(2).open();
    publish(&bus, 0..1);
    log.take();
    bus.publish_all(group(1..3)).unwrap();
    let seen = [
        "publish 1",
        "deliver 1 to first",
        "drop 1 of odd: sampled",
        "publish 2",
        "drop 0 of first: buffer_full",
        "deliver 2 to first",
        "deliver 2 to odd",
    ];
    assert_eq!(log.take(), seen);
}

#[test]
fn a_filter_that_panics_rejects_its_envelope_and_the_panic_goes_on_after_the_group() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let all = open(&bus, 8, Overrun::DropNewest);
    let bomb = bus.subscribe("n").unwrap().filter(|it| {
        assert!(crate::number(it) != 1, "a filter");
        true
    });
    let bomb = bomb.open();
    assert!(catch_unwind(AssertUnwindSafe(|| bus.publish_all(group(0..3)))).is_err());
    assert_eq!((drained(&all), drained(&bomb)), (vec![0, 1, 2], vec![0, 2]));
}

/// A group and a single publish count and tell the same of a subscription that ends meanwhile: in the filter of
/// another one, or in its own.
#[test]
fn a_subscription_that_ends_meanwhile_counts_in_a_group_as_in_a_single_publish() {
    let _watch = watchdog();
    for [is_dropped, is_own, is_filtered] in
        [0, 1, 2, 3, 4, 5, 6, 7].map(|bits| [1, 2, 4].map(|bit| bits & bit != 0))
    {
        let outcome = |by_group: bool| {
            let (bus, log) = observed();
            let handle = Arc::new(Mutex::new(None::<Subscription>));
            let its = handle.clone();
            let ending = bus.subscribe("n").unwrap().name("ending").filter(move |_| {
                let mut handle = its.lock().unwrap();
                match &*handle {
                    Some(handle) if !is_dropped => handle.close(),
                    _ => drop(handle.take()),
                }
                true
            });
            let ending = ending.open();
            let other = bus.subscribe("n").unwrap().name("other");
            let other = if is_filtered { other.filter(|_| true).open() } else { other.open() };
            let (ended, _kept) = if is_own { (ending, other) } else { (other, ending) };
            *handle.lock().unwrap() = Some(ended);
            let published = match by_group {
                true => bus.publish_all(group(0..1)).unwrap(),
                false => bus.publish(numbered(0)).unwrap(),
            };
            (published, bus.stats(), log.take())
        };
        let (published, stats, log) = outcome(true);
        assert_eq!((published, stats, log.clone()), outcome(false), "dropped: {is_dropped}");
        let told = log.iter().filter(|line| line.ends_with(": closed")).count();
        assert_eq!((published.closed, stats.closed), (told, told as u64));
        assert_eq!(told, usize::from(is_own || !is_dropped));
    }
}

#[test]
fn the_envelopes_of_a_group_are_stamped_also_where_it_is_rejected() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let one = open(&bus, 2, Overrun::DropNewest);
    let is_stamped = |it: &Arc<Envelope>| !it.id().is_empty() && it.time().is_some();
    bus.publish_all(group(0..2)).unwrap();
    let rejected = bus.publish_all(group(2..4)).unwrap_err().into_envelopes();
    assert!(one.drain().chain(rejected).all(|it| is_stamped(&it)));
}

/// In a filter: nothing of the group is published, and it comes back.
#[test]
fn a_bus_that_is_closed_meanwhile_gives_the_group_back() {
    let _watch = watchdog();
    let (bus, log) = observed();
    let first = open(&bus, 8, Overrun::DropNewest);
    let closing = Arc::downgrade(&bus);
    let closes = bus.subscribe("n").unwrap().filter(move |_| {
        closing.upgrade().unwrap().close();
        true
    });
    let closes = closes.open();
    let error = bus.publish_all(group(0..3)).unwrap_err();
    assert!(matches!(error, PublishAllError::Closed(_)), "{error}");
    assert!(error.into_envelopes().iter().map(|it| crate::number(it)).eq(0..3));
    assert_eq!((drained(&first), drained(&closes)), (vec![], vec![]));
    assert_eq!((bus.stats().published, bus.stats().closed, log.take()), (0, 0, vec![]));
}

/// A subscription that ended with a full buffer, and is still found: it counts as closed, and rejects nothing.
#[test]
fn a_full_subscription_that_ends_meanwhile_does_not_reject_the_group() {
    let _watch = watchdog();
    let bus = SubjectBus::new();
    let full = Arc::new(open(&bus, 1, Overrun::DropNewest));
    let its = full.clone();
    let closes = bus.subscribe("n").unwrap().filter(move |it| {
        if crate::number(it) > 0 {
            its.close();
        }
        true
    });
    let closes = closes.open();
    publish(&bus, 0..1);
    let published = bus.publish_all(group(1..3)).unwrap();
    assert_eq!((published.enqueued, published.closed), (2, 2));
    assert_eq!((drained(&full), drained(&closes)), (vec![0], vec![0, 1, 2]));
}

/// The handle goes while the filter runs, so the publisher drops the filter. Whether the group is rejected or not.
#[test]
fn panics_of_a_filter_and_of_its_drop_go_on_after_the_group() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("the drop of a filter");
        }
    }
    let _watch = watchdog();
    for in_drop in [false, true] {
        for room in [3, 1] {
            let bus = SubjectBus::new();
            let handle = Arc::new(Mutex::new(None));
            let (its, bomb) = (handle.clone(), in_drop.then(|| Bomb));
            let filter = move |_: &Envelope| {
                let _ = &bomb;
                drop(its.lock().unwrap().take());
                assert!(in_drop, "a filter");
                true
            };
            *handle.lock().unwrap() = Some(bus.subscribe("n").unwrap().filter(filter).open());
            let after = open(&bus, room, Overrun::DropNewest);
            let panic = catch_unwind(AssertUnwindSafe(|| bus.publish_all(group(0..3)).is_ok()));
            let text = panic.unwrap_err().downcast_ref::<&str>().copied();
            assert_eq!(text, Some(if in_drop { "the drop of a filter" } else { "a filter" }));
            assert_eq!(drained(&after), if room == 3 { vec![0, 1, 2] } else { vec![] });
            assert_eq!(bus.stats().closed, u64::from(in_drop && room == 3));
        }
    }
}

/// Groups of pairs, from threads that get in each other's way, to a receiver that drains: never a half.
#[test]
fn no_receiver_sees_the_half_of_a_group() {
    const EACH: usize = 500;
    let _watch = watchdog();
    let bus = Arc::new(SubjectBus::new());
    let all = open(&bus, 6, Overrun::Block);
    let publishers = [0, 1].map(|publisher| {
        let bus = bus.clone();
        watched(move || {
            for n in 0..EACH {
                let first = (n * 2 + publisher) * 2;
                while bus.publish_all(group([first, first + 1])).is_err() {
                    std::thread::yield_now();
                }
            }
        })
    });
    let mut got = Vec::new();
    while got.len() < EACH * 4 {
        let before = got.len();
        got.extend(drained(&all));
        assert!((got.len() - before).is_multiple_of(2), "the half of a group");
        std::thread::yield_now();
    }
    publishers.into_iter().for_each(|it| it.join());
    assert!(got.chunks(2).all(|pair| pair[0].is_multiple_of(2) && pair[1] == pair[0] + 1));
    assert_eq!(all.dropped(), 0);
}

proptest! {
    /// Against plain vectors.
    #[test]
    fn a_group_is_in_as_plain_vectors_say(
        subscriptions in vec((select(&POLICIES[..]), 1..6_usize, 1..4_u32), 0..6),
        steps in vec((0..7_usize, 0..4_usize), 1..20),
    ) {
        let bus = SubjectBus::new();
        let open = |&(overrun, capacity, every)| {
            let it = bus.subscribe("n").unwrap().overrun(overrun).capacity(capacity);
            (it.every_nth(every).open(), overrun, capacity, every as usize, Vec::new(), 0_usize)
        };
        let mut all: Vec<_> = subscriptions.iter().map(open).collect();
        let mut last = 0;
        for (size, take) in steps {
            let numbers = last..last + size;
            last += size;
            // What each would have, and how many it has seen.
            let next: Vec<_> = all.iter().map(|(_, overrun, capacity, every, has, seen)| {
                let mine = numbers.clone().enumerate().filter(|(at, _)| (seen + at) % every == 0);
                let mine: Vec<_> = mine.map(|(_, n)| n).collect();
                let fits = match overrun {
                    Overrun::DropOldest => mine.len() <= *capacity,
                    _ => has.len() + mine.len() <= *capacity,
                };
                let mut has: Vec<usize> = has.iter().copied().chain(mine).collect();
                has.drain(..has.len().saturating_sub(*capacity));
                fits.then_some((has, seen + size))
            }).collect();
            let fits = next.iter().all(Option::is_some);
            prop_assert_eq!(bus.publish_all(group(numbers)).is_ok(), fits);
            for ((one, .., has, seen), next) in all.iter_mut().zip(next) {
                if fits {
                    (*has, *seen) = next.unwrap();
                }
                let taken: Vec<_> = one.drain().take(take).map(|it| crate::number(&it)).collect();
                let expected: Vec<_> = has.drain(..take.min(has.len())).collect();
                prop_assert_eq!(taken, expected);
            }
        }
    }
}
