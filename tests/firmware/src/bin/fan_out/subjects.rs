//! What is swept: topics, gated topics and latest values; a topic that must pass for the checker's sake,
//! and three broken objects that must not.

use core::cell::RefCell;
use core::sync::atomic::{AtomicU32, Ordering};

use critical_section::Mutex;
use instruments::points::TORN;
use instruments::renewable::Renewable;
use tickbus::topic::{History, Publishers, Selective};
use tickbus::{Feed, GatedTopic, Lagged, Latest, Single, Subscriber, Topic, Watcher};

use crate::model::{MARGIN, Promise, READERS, Rules, Step};

/// An object of the sweep. There is one of each, and every context reaches it.
pub trait Subject {
    const NAME: &str;
    const RULES: Rules;
    type Reader: Send + 'static;

    /// Makes it new. There are no readers, and no other context uses it.
    fn rebuild();
    /// True if it took the event.
    fn publish(event: u32) -> bool;
    /// The same, if `MARGIN` slots stay free. Where there is a gate.
    fn publish_with_margin(event: u32) -> bool {
        Self::publish(event)
    }
    /// A reader, which gates if the subject has a gate and it is asked to.
    fn subscribe(gates: bool) -> Option<Self::Reader>;
    /// The readers of the contexts and the witness.
    fn readers() -> &'static Readers<Self::Reader>;
    /// Reads what there is.
    fn read(reader: &mut Self::Reader, saw: impl FnMut(Step));
    /// Reads by the other way that there is.
    fn read_otherwise(reader: &mut Self::Reader, saw: impl FnMut(Step)) {
        Self::read(reader, saw);
    }
    /// Whether only one context may publish.
    const HAS_ONE_PUBLISHER: bool = false;
    /// Whether `mask` does something.
    const CAN_MASK: bool = false;
    /// Masks the reader, reads, and unmasks it.
    fn mask(_reader: &mut Self::Reader, _saw: impl FnMut(Step)) {}
    /// Whether there is a history.
    const HAS_HISTORY: bool = false;
    /// Looks at the last events.
    fn recall(_saw: impl FnMut(Step)) {}
    /// Whether it publishes all events or none.
    const HAS_GROUP: bool = false;
    /// True if it took all of the events, and not if it took none.
    fn publish_all(_events: [u32; 2]) -> bool {
        unreachable!("{} has no groups", Self::NAME)
    }
    /// How many events are lost.
    fn lost() -> usize {
        0
    }
    /// Whether the subject counts that so many were published.
    fn counts(_published: usize) -> bool {
        true
    }
    /// Whether the statistics of a reader that has read everything agree with themselves.
    fn is_conserved(_reader: &Self::Reader) -> bool {
        true
    }
}

/// Each is used by one context at a time.
pub type Readers<R> = Mutex<RefCell<[Option<R>; READERS]>>;

macro_rules! readers {
    ($reader:ty) => {
        fn readers() -> &'static Readers<$reader> {
            static ALL: Readers<$reader> = Mutex::new(RefCell::new([const { None }; READERS]));
            &ALL
        }
    };
}

/// Says its number four times, so that a mixture is found out.
#[derive(Clone, Copy)]
pub struct Event([u32; 4]);

impl Event {
    const fn new(number: u32) -> Self {
        Self([number, !number, number.rotate_left(8), !number.rotate_left(8)])
    }

    fn number(&self) -> u32 {
        let number = self.0[0];
        if self.0 == Self::new(number).0 { number } else { TORN }
    }
}

type TopicReader = Subscriber<'static, Event>;

fn step(item: Result<Event, Lagged>) -> Step {
    match item {
        Ok(event) => Step::Saw(event.number()),
        Err(Lagged(missed)) => Step::Missed(missed as u32),
    }
}

/// Event by event.
fn read<P: Publishers>(reader: &mut Subscriber<'static, Event, P>, mut saw: impl FnMut(Step)) {
    let mut unread = reader.read();
    saw(Step::Opened);
    while let Some(item) = unread.next() {
        saw(step(item));
    }
    saw(Step::Ended);
}

/// In runs.
fn read_runs<P: Publishers>(reader: &mut Subscriber<'static, Event, P>, mut saw: impl FnMut(Step)) {
    let unread = reader.read();
    saw(Step::Opened);
    unread.for_each(|item| saw(step(item)));
    saw(Step::Ended);
}

/// The last events.
fn recall<P: Publishers>(history: History<'_, Event, P>, mut saw: impl FnMut(Step)) {
    let last = history.all();
    saw(Step::Looked);
    last.for_each(|event| saw(Step::Recalled(event.number())));
    saw(Step::RecalledAll);
}

fn is_conserved<P: Publishers>(reader: &Subscriber<'static, Event, P>) -> bool {
    let stats = reader.stats();
    stats.pending == 0 && reader.pending() == 0 && stats.published == stats.received + stats.missed
}

macro_rules! topic_subject {
    ($subject:ident, $name:literal, $capacity:literal, $has_history:literal) => {
        pub struct $subject;

        const _: () = {
            static TOPIC: Renewable<Topic<Event, $capacity>> = Renewable::new(Topic::new());

            impl Subject for $subject {
                const NAME: &str = $name;
                const RULES: Rules = Rules::new($capacity, Promise::Lagging);
                type Reader = TopicReader;

                fn rebuild() {
                    // SAFETY: the sweep rebuilds between two points, with its clock stopped and
                    // without readers.
                    unsafe { TOPIC.renew(Topic::new()) };
                }

                fn publish(event: u32) -> bool {
                    TOPIC.get().publish(Event::new(event));
                    true
                }

                fn subscribe(_gates: bool) -> Option<TopicReader> {
                    Some(TOPIC.get().subscribe())
                }

                readers!(TopicReader);

                fn read(reader: &mut TopicReader, saw: impl FnMut(Step)) {
                    read(reader, saw);
                }

                fn read_otherwise(reader: &mut TopicReader, saw: impl FnMut(Step)) {
                    read_runs(reader, saw);
                }

                const HAS_HISTORY: bool = $has_history;

                fn recall(saw: impl FnMut(Step)) {
                    recall(TOPIC.get().history(), saw);
                }

                fn lost() -> usize {
                    TOPIC.get().stats().lost
                }

                fn counts(published: usize) -> bool {
                    TOPIC.get().stats().published == published
                }

                fn is_conserved(reader: &TopicReader) -> bool {
                    is_conserved(reader)
                }
            }
        };
    };
}

topic_subject!(Topic2, "Topic<_, 2>", 2, true);
topic_subject!(Topic4, "Topic<_, 4>", 4, false);

macro_rules! feed_subject {
    ($subject:ident, $name:literal, $rules:expr, $($publish:tt)*) => {
        pub struct $subject;

        const _: () = {
            static FEED: Renewable<Feed<Event, 2>> = Renewable::new(Feed::new());

            impl Subject for $subject {
                const NAME: &str = $name;
                const RULES: Rules = $rules;
                type Reader = FeedReader;

                fn rebuild() {
                    // SAFETY: the sweep rebuilds between two points, with its clock stopped and without
                    // readers.
                    unsafe { FEED.renew(Feed::new()) };
                }

                $($publish)*

                fn subscribe(_gates: bool) -> Option<FeedReader> {
                    Some(FEED.get().subscribe())
                }

                readers!(FeedReader);

                fn read(reader: &mut FeedReader, saw: impl FnMut(Step)) {
                    read(reader, saw);
                }

                fn read_otherwise(reader: &mut FeedReader, saw: impl FnMut(Step)) {
                    read_runs(reader, saw);
                }

                const HAS_HISTORY: bool = Self::HAS_ONE_PUBLISHER;

                fn recall(saw: impl FnMut(Step)) {
                    recall(FEED.get().history(), saw);
                }

                fn counts(published: usize) -> bool {
                    FEED.get().stats().published == published
                }

                fn is_conserved(reader: &FeedReader) -> bool {
                    is_conserved(reader)
                }
            }
        };
    };
}

type FeedReader = Subscriber<'static, Event, Single>;

// One publisher, whichever context it is in.
feed_subject! {
    Feed2, "Feed<_, 2>", Rules::new(2, Promise::Lagging),
    const HAS_ONE_PUBLISHER: bool = true;

    fn publish(event: u32) -> bool {
        FEED.get().publisher().expect("no other context publishes").publish(Event::new(event));
        true
    }
}

feed_subject! {
    FeedWithout2, "Feed<_, 2>, no handle", Rules { claims: true, ..Rules::new(2, Promise::Lagging) },
    fn publish(event: u32) -> bool {
        FEED.get().publish(Event::new(event)).is_ok()
    }
}

/// Read by those who want odd numbers only.
pub struct Filtered2;

type FilteredReader = Selective<'static, Event, fn(&Event) -> bool>;

static FILTERED: Renewable<Topic<Event, 2>> = Renewable::new(Topic::new());

impl Subject for Filtered2 {
    const NAME: &str = "Topic<_, 2>, filtered";
    const RULES: Rules = Rules { filters: true, ..Rules::new(2, Promise::Lagging) };
    type Reader = FilteredReader;

    fn rebuild() {
        // SAFETY: the sweep rebuilds between two points, with its clock stopped and without readers.
        unsafe { FILTERED.renew(Topic::new()) };
    }

    fn publish(event: u32) -> bool {
        FILTERED.get().publish(Event::new(event));
        true
    }

    fn subscribe(_gates: bool) -> Option<FilteredReader> {
        Some(FILTERED.get().subscribe().filter(|event| !event.number().is_multiple_of(2)))
    }

    readers!(FilteredReader);

    fn read(reader: &mut FilteredReader, mut saw: impl FnMut(Step)) {
        let mut selected = reader.read();
        saw(Step::Opened);
        while let Some(item) = selected.next() {
            saw(step(item));
        }
        saw(Step::Ended);
    }

    fn read_otherwise(reader: &mut FilteredReader, mut saw: impl FnMut(Step)) {
        let selected = reader.read();
        saw(Step::Opened);
        selected.for_each(|item| saw(step(item)));
        saw(Step::Ended);
    }

    fn lost() -> usize {
        FILTERED.get().stats().lost
    }

    fn is_conserved(reader: &FilteredReader) -> bool {
        let stats = reader.stats();
        let known = stats.received + stats.missed + stats.skipped;
        stats.pending == 0 && stats.published == known
    }
}

/// One that may be masked.
type MaskedReader = Selective<'static, Event>;

/// How the readers of a gated topic read.
trait Gatable: Sized + Send {
    fn new(subscriber: TopicReader) -> Self;
    fn read(&mut self, saw: impl FnMut(Step));
    fn read_otherwise(&mut self, saw: impl FnMut(Step));
    fn is_conserved(&self) -> bool;
    fn mask(&mut self, _saw: impl FnMut(Step)) {}
}

impl Gatable for TopicReader {
    fn new(subscriber: TopicReader) -> Self {
        subscriber
    }

    fn read(&mut self, saw: impl FnMut(Step)) {
        read(self, saw);
    }

    fn read_otherwise(&mut self, saw: impl FnMut(Step)) {
        read_runs(self, saw);
    }

    fn is_conserved(&self) -> bool {
        is_conserved(self)
    }
}

impl Gatable for MaskedReader {
    fn new(subscriber: TopicReader) -> Self {
        subscriber.selective()
    }

    fn read(&mut self, mut saw: impl FnMut(Step)) {
        let selected = Selective::read(self);
        saw(Step::Opened);
        selected.for_each(|item| saw(step(item)));
        saw(Step::Ended);
    }

    fn read_otherwise(&mut self, saw: impl FnMut(Step)) {
        Gatable::read(self, saw);
    }

    fn is_conserved(&self) -> bool {
        let stats = self.stats();
        let known = stats.received + stats.missed + stats.skipped;
        stats.pending == 0 && stats.published == known
    }

    fn mask(&mut self, mut saw: impl FnMut(Step)) {
        self.set_masked(true);
        saw(Step::Masked);
        Gatable::read(self, &mut saw);
        self.set_masked(false);
        saw(Step::Unmasked);
    }
}

macro_rules! gated_subject {
    ($subject:ident, $name:literal, $capacity:literal, $places:literal, $reader:ty, $masks:literal) => {
        pub struct $subject;

        const _: () = {
            static TOPIC: Renewable<GatedTopic<Event, $capacity, $places>> =
                Renewable::new(GatedTopic::new());

            impl Subject for $subject {
                const NAME: &str = $name;
                const RULES: Rules = Rules::new($capacity, Promise::Gated($places));
                const CAN_MASK: bool = $masks;
                type Reader = $reader;

                fn rebuild() {
                    // SAFETY: the sweep rebuilds between two points, with its clock stopped and
                    // without readers.
                    unsafe { TOPIC.renew(GatedTopic::new()) };
                }

                fn publish(event: u32) -> bool {
                    TOPIC.get().publish(Event::new(event)).is_ok()
                }

                fn publish_with_margin(event: u32) -> bool {
                    let margin = usize::from(MARGIN);
                    TOPIC.get().publish_with_margin(Event::new(event), margin).is_ok()
                }

                fn subscribe(gates: bool) -> Option<$reader> {
                    let topic = TOPIC.get();
                    let subscriber = if gates {
                        topic.subscribe().ok()
                    } else {
                        Some(topic.subscribe_lagging())
                    };
                    subscriber.map(Gatable::new)
                }

                readers!($reader);

                const HAS_GROUP: bool = $capacity == 2;

                fn publish_all(events: [u32; 2]) -> bool {
                    TOPIC.get().publish_all(events.map(Event::new)).is_ok()
                }

                fn read(reader: &mut $reader, saw: impl FnMut(Step)) {
                    Gatable::read(reader, saw);
                }

                fn read_otherwise(reader: &mut $reader, saw: impl FnMut(Step)) {
                    reader.read_otherwise(saw);
                }

                fn mask(reader: &mut $reader, saw: impl FnMut(Step)) {
                    reader.mask(saw);
                }

                fn is_conserved(reader: &$reader) -> bool {
                    Gatable::is_conserved(reader)
                }
            }
        };
    };
}

gated_subject!(Gated2, "GatedTopic<_, 2, 2>", 2, 2, TopicReader, false);
gated_subject!(Gated4, "GatedTopic<_, 4, 2>, selective", 4, 2, MaskedReader, true);

/// Read by watchers, or otherwise without.
pub struct LatestValue;

static LATEST: Renewable<Latest<Event>> = Renewable::new(Latest::new());

impl Subject for LatestValue {
    const NAME: &str = "Latest";
    const RULES: Rules = Rules::new(1, Promise::Latest);
    type Reader = Watcher<'static, Event>;

    fn rebuild() {
        // SAFETY: the sweep rebuilds between two points, with its clock stopped and without readers.
        unsafe { LATEST.renew(Latest::new()) };
    }

    fn publish(event: u32) -> bool {
        LATEST.get().publish(Event::new(event));
        true
    }

    fn subscribe(_gates: bool) -> Option<Self::Reader> {
        Some(LATEST.get().watch())
    }

    readers!(Watcher<'static, Event>);

    fn read(reader: &mut Self::Reader, mut saw: impl FnMut(Step)) {
        saw(match reader.changed() {
            Some(changed) => Step::Changed(changed.value.number(), changed.skipped as u8),
            None => Step::Unchanged,
        });
    }

    fn read_otherwise(_reader: &mut Self::Reader, mut saw: impl FnMut(Step)) {
        saw(Step::Newest(LATEST.get().get().map(|event| event.number())));
    }

    fn lost() -> usize {
        LATEST.get().lost()
    }

    fn is_conserved(reader: &Self::Reader) -> bool {
        !reader.is_changed()
    }
}

/// Must pass: a topic in a critical section cannot be interrupted at all.
pub struct Guarded;

struct Kept {
    events: [u32; 2],
    published: usize,
}

static GUARDED: Mutex<RefCell<Kept>> =
    Mutex::new(RefCell::new(Kept { events: [0; 2], published: 0 }));

impl Subject for Guarded {
    const NAME: &str = "topic in a critical section";
    const RULES: Rules = Rules::new(2, Promise::Lagging);
    type Reader = usize;

    fn rebuild() {
        critical_section::with(|cs| GUARDED.borrow_ref_mut(cs).published = 0);
    }

    fn publish(event: u32) -> bool {
        critical_section::with(|cs| {
            let mut kept = GUARDED.borrow_ref_mut(cs);
            let position = kept.published;
            kept.events[position % 2] = event;
            kept.published += 1;
        });
        true
    }

    fn subscribe(_gates: bool) -> Option<usize> {
        Some(critical_section::with(|cs| GUARDED.borrow_ref(cs).published))
    }

    readers!(usize);

    fn read(next: &mut usize, mut saw: impl FnMut(Step)) {
        let end = critical_section::with(|cs| GUARDED.borrow_ref(cs).published);
        saw(Step::Opened);
        while *next < end {
            saw(critical_section::with(|cs| {
                let kept = GUARDED.borrow_ref(cs);
                let missed = kept.published.saturating_sub(*next + 2);
                *next += missed.max(1);
                if missed > 0 {
                    Step::Missed(missed as u32)
                } else {
                    Step::Saw(kept.events[(*next - 1) % 2])
                }
            }));
        }
        saw(Step::Ended);
    }
}

static SLOTS: [[AtomicU32; 4]; 2] = [const { [const { AtomicU32::new(0) }; 4] }; 2];
static PUBLISHED: AtomicU32 = AtomicU32::new(0);

fn copy_in(slot: u32, event: u32) {
    for (part, word) in SLOTS[slot as usize % 2].iter().zip(Event::new(event).0) {
        part.store(word, Ordering::Relaxed);
    }
}

fn copy_out(slot: u32) -> u32 {
    let parts = &SLOTS[slot as usize % 2];
    Event(parts.each_ref().map(|part| part.load(Ordering::Relaxed))).number()
}

/// Reads, and looks afterwards whether the event was still there, if it `looks`.
fn read_slots(next: &mut u32, looks: bool, mut saw: impl FnMut(Step)) {
    let end = PUBLISHED.load(Ordering::Acquire);
    saw(Step::Opened);
    while *next < end {
        let event = copy_out(*next);
        let published = if looks { PUBLISHED.load(Ordering::Acquire) } else { end };
        let missed = published.saturating_sub(*next + 2);
        *next += missed.max(1);
        saw(if missed > 0 { Step::Missed(missed) } else { Step::Saw(event) });
    }
    saw(Step::Ended);
}

/// Must fail: right for one publisher, used by two.
pub struct TwoPublishers;

impl Subject for TwoPublishers {
    const NAME: &str = "broken: two publishers on a topic for one";
    const RULES: Rules = Rules::new(2, Promise::Lagging);
    type Reader = u32;

    fn rebuild() {
        PUBLISHED.store(0, Ordering::Relaxed);
    }

    fn publish(event: u32) -> bool {
        let position = PUBLISHED.load(Ordering::Relaxed);
        copy_in(position, event);
        PUBLISHED.store(position + 1, Ordering::Release);
        true
    }

    fn subscribe(_gates: bool) -> Option<u32> {
        Some(PUBLISHED.load(Ordering::Acquire))
    }

    readers!(u32);

    fn read(next: &mut u32, saw: impl FnMut(Step)) {
        read_slots(next, true, saw);
    }
}

/// Must fail: a reader does not look whether it was overtaken.
pub struct Unchecked;

impl Subject for Unchecked {
    const NAME: &str = "broken: a topic that is read without a second look";
    const RULES: Rules = Rules::new(2, Promise::Lagging);
    type Reader = u32;

    fn rebuild() {
        PUBLISHED.store(0, Ordering::Relaxed);
    }

    fn publish(event: u32) -> bool {
        critical_section::with(|_| TwoPublishers::publish(event))
    }

    fn subscribe(_gates: bool) -> Option<u32> {
        Some(PUBLISHED.load(Ordering::Acquire))
    }

    readers!(u32);

    fn read(next: &mut u32, saw: impl FnMut(Step)) {
        read_slots(next, false, saw);
    }
}

/// Must fail: the value is replaced in place.
pub struct OneCell;

impl Subject for OneCell {
    const NAME: &str = "broken: a latest value that is replaced in place";
    const RULES: Rules = Rules::new(1, Promise::Latest);
    type Reader = u32;

    fn rebuild() {
        PUBLISHED.store(0, Ordering::Relaxed);
    }

    fn publish(event: u32) -> bool {
        copy_in(0, event);
        critical_section::with(|_| {
            PUBLISHED.store(PUBLISHED.load(Ordering::Relaxed) + 1, Ordering::Release);
        });
        true
    }

    fn subscribe(_gates: bool) -> Option<u32> {
        Some(PUBLISHED.load(Ordering::Acquire))
    }

    readers!(u32);

    fn read(seen: &mut u32, mut saw: impl FnMut(Step)) {
        let published = PUBLISHED.load(Ordering::Acquire);
        let come = (published - *seen) as u8;
        *seen = published;
        let event = copy_out(0);
        saw(if come > 0 { Step::Changed(event, come - 1) } else { Step::Unchanged });
    }
}
