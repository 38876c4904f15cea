//! Any sequence of operations against a list of all events there ever were, also where positions cross
//! the end of their range.

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;

use proptest::collection::vec as list;
use proptest::prelude::*;

use super::{Feed, GatedTopic, Latest, Many, Publishers, Subscriber, Topic, TopicStats};
use crate::bus::Single;
use crate::error::Lagged;
use crate::sync::Word;

type Event = (u16, u64);

fn event(number: usize) -> Event {
    (number as u16, number as u64)
}

#[derive(Clone, Debug)]
enum Step {
    Publish(usize),
    PublishWithMargin(usize),
    Subscribe,
    SubscribeLagging,
    /// Reads so many items at most, by `next`.
    Read(usize, usize),
    /// Reads all, by `for_each`.
    ReadAll(usize),
    Drop(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12_usize).prop_map(Step::Publish),
        1 => (0..6_usize).prop_map(Step::PublishWithMargin),
        1 => Just(Step::Subscribe),
        1 => Just(Step::SubscribeLagging),
        3 => (0..4_usize, 0..8_usize).prop_map(|(which, most)| Step::Read(which, most)),
        2 => (0..4_usize).prop_map(Step::ReadAll),
        1 => (0..4_usize).prop_map(Step::Drop),
    ]
}

/// A subscriber that keeps no more than it must.
struct Model {
    gates: bool,
    /// The next event to read.
    cursor: usize,
    start: usize,
    read: usize,
    missed: usize,
}

impl Model {
    fn new(gates: bool, published: usize) -> Self {
        Self { gates, cursor: published, start: published, read: 0, missed: 0 }
    }

    /// What the next read finds, before the end of that read.
    fn next(&mut self, published: usize, kept: usize, end: usize) -> Option<Result<Event, Lagged>> {
        if self.cursor >= end {
            return None;
        }
        let oldest = published.saturating_sub(kept);
        if self.cursor < oldest {
            let missed = oldest - self.cursor;
            self.missed += missed;
            self.cursor = oldest;
            return Some(Err(Lagged(missed as u64)));
        }
        self.read += 1;
        self.cursor += 1;
        Some(Ok(event(self.cursor - 1)))
    }
}

/// What all kinds of topic are asked.
trait Fan {
    const PLACES: usize;
    type By: Publishers;
    fn publish(&self, event: Event, margin: usize) -> bool;
    fn subscribe(&self, gates: bool) -> Option<Subscriber<'_, Event, Self::By>>;
    fn stats(&self) -> TopicStats;
}

impl<const N: usize> Fan for Topic<Event, N> {
    const PLACES: usize = 0;
    type By = Many;

    fn publish(&self, event: Event, _: usize) -> bool {
        Self::publish(self, event);
        true
    }

    fn subscribe(&self, _: bool) -> Option<Subscriber<'_, Event>> {
        Some(Self::subscribe(self))
    }

    fn stats(&self) -> TopicStats {
        self.stats()
    }
}

impl<const N: usize> Fan for Feed<Event, N> {
    const PLACES: usize = 0;
    type By = Single;

    fn publish(&self, event: Event, _: usize) -> bool {
        self.publisher().expect("there is no other").publish(event);
        true
    }

    fn subscribe(&self, _: bool) -> Option<Subscriber<'_, Event, Single>> {
        Some(Self::subscribe(self))
    }

    fn stats(&self) -> TopicStats {
        self.stats()
    }
}

impl<const N: usize, const S: usize> Fan for GatedTopic<Event, N, S> {
    const PLACES: usize = S;
    type By = Many;

    fn publish(&self, event: Event, margin: usize) -> bool {
        self.publish_with_margin(event, margin).is_ok()
    }

    fn subscribe(&self, gates: bool) -> Option<Subscriber<'_, Event>> {
        if gates { Self::subscribe(self).ok() } else { Some(self.subscribe_lagging()) }
    }

    fn stats(&self) -> TopicStats {
        self.stats()
    }
}

fn check<F: Fan>(topic: &F, kept: usize, steps: &[Step]) {
    let (mut published, mut refused) = (0, 0);
    let before = topic.stats();
    let mut readers: Vec<(Model, Subscriber<'_, Event, F::By>)> = vec![];
    let room = |readers: &Vec<(Model, Subscriber<'_, Event, F::By>)>, published, margin| {
        let gating = readers.iter().filter(|(model, _)| model.gates);
        let behind = gating.map(|(model, _)| published - model.cursor).max().unwrap_or(0);
        F::PLACES == 0 || behind + margin < kept
    };
    for step in steps {
        let which = |which: usize| which % readers.len().max(1);
        match *step {
            Step::Publish(count) => {
                for _ in 0..count {
                    let taken = topic.publish(event(published), 0);
                    assert_eq!(taken, room(&readers, published, 0));
                    published += usize::from(taken);
                    refused += usize::from(!taken);
                }
            }
            Step::PublishWithMargin(margin) => {
                let taken = topic.publish(event(published), margin);
                assert_eq!(taken, room(&readers, published, margin));
                published += usize::from(taken);
                refused += usize::from(!taken);
            }
            Step::Subscribe | Step::SubscribeLagging => {
                let gates = F::PLACES > 0 && matches!(step, Step::Subscribe);
                let gating = readers.iter().filter(|(model, _)| model.gates).count();
                let subscriber = topic.subscribe(gates);
                assert_eq!(subscriber.is_some(), !gates || gating < F::PLACES);
                let model = Model::new(gates, published);
                readers.extend(subscriber.map(|subscriber| (model, subscriber)));
            }
            Step::Read(reader, most) => {
                let at = which(reader);
                let Some((model, subscriber)) = readers.get_mut(at) else { continue };
                let mut unread = subscriber.read();
                for _ in 0..most {
                    assert_eq!(unread.next(), model.next(published, kept, published));
                }
            }
            Step::ReadAll(reader) => {
                let at = which(reader);
                let Some((model, subscriber)) = readers.get_mut(at) else { continue };
                subscriber.read().for_each(|found| {
                    assert_eq!(Some(found), model.next(published, kept, published));
                });
                assert_eq!(model.cursor, published);
            }
            Step::Drop(reader) => {
                let at = which(reader);
                if at < readers.len() {
                    drop(readers.remove(at));
                }
            }
        }
        let stats = topic.stats();
        // It may have wrapped at 32 bits.
        assert_eq!(stats.published.wrapping_sub(before.published) as u32, published as u32);
        assert_eq!((stats.refused, stats.lost), (refused, 0));
        for (model, subscriber) in &readers {
            let stats = subscriber.stats();
            assert_eq!(stats.published, published - model.start);
            assert_eq!((stats.received, stats.missed), (model.read, model.missed));
            assert_eq!(stats.published, stats.received + stats.missed + stats.pending);
            assert_eq!(subscriber.pending(), (published - model.cursor).min(kept));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 512 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_topic_is_its_last_n_events(back in 0..40_usize, steps in list(step(), 0..60)) {
        check(&Topic::<Event, 2>::starting_before_wrap(back), 2, &steps);
        check(&Topic::<Event, 8>::starting_before_wrap(back), 8, &steps);
        check(&Topic::<Event, 4>::new(), 4, &steps);
    }

    #[test]
    fn a_gated_topic_is_its_last_n_events(back in 0..40_usize, steps in list(step(), 0..60)) {
        check(&GatedTopic::<Event, 2, 1>::starting_before_wrap(back), 2, &steps);
        check(&GatedTopic::<Event, 8, 3>::starting_before_wrap(back), 8, &steps);
        check(&GatedTopic::<Event, 4, 2>::new(), 4, &steps);
    }

    #[test]
    fn a_feed_is_its_last_n_events(back in 0..40_usize, steps in list(step(), 0..60)) {
        check(&Feed::<Event, 2>::starting_before_wrap(back), 2, &steps);
        check(&Feed::<Event, 8>::starting_before_wrap(back), 8, &steps);
        check(&Feed::<Event, 16>::new(), 16, &steps);
    }

    #[test]
    fn latest_is_the_last_value(
        back in 0..30_usize,
        steps in list((0..12_usize, any::<bool>()), 0..20),
    ) {
        let latest = Latest::<Event>::starting_before_wrap(back, event(0));
        let mut watcher = latest.watch();
        let mut published = 1;
        let mut seen = 1;
        for (count, look) in steps {
            for _ in 0..count {
                latest.publish(event(published));
                published += 1;
            }
            prop_assert_eq!(latest.get(), published.checked_sub(1).map(event));
            prop_assert_eq!(watcher.is_changed(), seen < published);
            if look {
                let changed = watcher.changed().map(|changed| (changed.value, changed.skipped));
                let expected = (seen < published).then(|| (event(published - 1), published - seen - 1));
                prop_assert_eq!(changed, expected);
                seen = published;
            }
        }
    }
}

/// Lag is exact where the positions wrap.
#[test]
fn lag_at_wraparound() {
    fn check<F: Fan>(topic: &F, back: usize, more: usize) {
        let mut subscriber = topic.subscribe(false).unwrap();
        for number in 0..4 + more {
            topic.publish(event(number), 0);
        }
        let mut found: Vec<_> = subscriber.read().collect();
        if more > 0 {
            assert_eq!(found.remove(0), Err(Lagged(more as u64)), "{back} before the end");
        }
        let kept: Vec<_> = (more..more + 4).map(|number| Ok(event(number))).collect();
        assert_eq!(found, kept);
    }
    for back in 0..20 {
        for more in 0..20 {
            check(&Topic::<Event, 4>::starting_before_wrap(back), back, more);
            check(&Feed::<Event, 4>::starting_before_wrap(back), back, more);
        }
    }
}

/// What a reader is told after so many events of which it read none.
fn told_after<F: Fan>(
    topic: &F,
    pass: impl Fn(&F, Word),
    events: Word,
) -> Vec<Result<Event, Lagged>> {
    let mut subscriber = topic.subscribe(false).unwrap();
    let before = topic.stats().published;
    pass(topic, events - 4);
    (0..4).for_each(|number| _ = topic.publish(event(number), 0));
    let found = subscriber.read().collect();
    let stats = subscriber.stats();
    assert_eq!(stats.published as Word, events);
    assert_eq!(topic.stats().published.wrapping_sub(before) as Word, events);
    assert_eq!(
        stats.received.wrapping_add(stats.missed).wrapping_add(stats.pending),
        stats.published
    );
    found
}

/// A reader is told how far it is behind, up to half the range of positions.
#[test]
fn a_reader_may_be_half_the_range_behind() {
    let half = Word::MAX / 2;
    let kept = (0..4).map(|number| Ok(event(number)));
    for events in [100, half / 2, half - 1, half] {
        let expected: Vec<_> =
            [Err(Lagged(Word::into(events - 4)))].into_iter().chain(kept.clone()).collect();
        for back in [0, 3, 1000] {
            let topic = Topic::<Event, 4>::starting_before_wrap(back);
            assert_eq!(
                told_after(&topic, |topic, events| topic.ring.pass(events), events),
                expected
            );
            let feed = Feed::<Event, 4>::starting_before_wrap(back);
            assert_eq!(
                told_after(&feed, |feed, events| feed.ring.ring().pass(events), events),
                expected
            );
        }
    }
}

/// A reader that is interrupted while it copies the event of a position sees that this was given away, up
/// to half the range of positions later.
#[test]
fn what_is_given_away_is_seen_up_to_half_the_range() {
    let half = Word::MAX / 2 + 1;
    for back in [0, 3, 1000] {
        let topic = Topic::<Event, 4>::starting_before_wrap(back);
        let feed = Feed::<Event, 4>::starting_before_wrap(back);
        let (ring, alone) = (topic.ring.view(), feed.ring.ring());
        let start = ring.claims();
        for (events, is_kept) in [(0, true), (4, true), (1, false), (half - 2, false), (1, false)] {
            topic.ring.pass(events);
            alone.pass(events);
            assert_eq!((ring.is_kept(start), alone.is_kept(start)), (is_kept, is_kept), "{events}");
        }
        // The limit of safety that the pages of these types state.
        topic.ring.pass(1);
        alone.pass(1);
        assert_eq!((ring.is_kept(start), alone.is_kept(start)), (true, true));
    }
}

/// A margin that does not fit into a word is a large one all the same.
#[test]
fn a_margin_is_not_cut() {
    let topic = GatedTopic::<u8, 2, 1>::new();
    for margin in [2, 1 << 16, usize::MAX / 2 + 1, usize::MAX - 1, usize::MAX] {
        assert!(topic.publish_with_margin(1, margin).is_err(), "{margin}");
    }
}
