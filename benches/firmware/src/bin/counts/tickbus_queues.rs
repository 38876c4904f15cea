//! The bus, its policies and its exclusive side.

use tickbus::{
    Budget, Bus, Consumer, Dispatch, DropOldest, Lane, Publisher, Reject, Single, Waiters,
};

use crate::event::{Context, Event, add, subtract};
use crate::queue::{Queue, SLOTS};

static TABLE: Dispatch<Event, Context, { Event::KINDS }> =
    Dispatch::new().on("count.first", add).otherwise(subtract);

static REJECTING: Bus<Event, SLOTS> = Bus::new();
static AWAITED: Bus<Event, SLOTS, Reject, Waiters<4>> = Bus::new();
static DISPLACING: Bus<Event, SLOTS, DropOldest> = Bus::new();
static LANE: Lane<Event, SLOTS> = Lane::new();

pub struct Rejecting(Consumer<'static, Event>);

impl Rejecting {
    pub fn open() -> Self {
        Self(REJECTING.consumer().expect("opened once"))
    }
}

impl Queue for Rejecting {
    const NAME: &str = "tickbus Bus";

    #[inline(always)]
    fn publish(&mut self, event: Event) -> bool {
        REJECTING.publish(event).is_ok()
    }

    #[inline(always)]
    fn take(&mut self) -> Option<Event> {
        self.0.drain().next()
    }

    #[inline(always)]
    fn drain(&mut self, each: impl FnMut(Event)) {
        self.0.drain().for_each(each);
    }

    #[inline(always)]
    fn tick(&mut self, context: &mut Context) {
        let _ = TABLE.tick(context, &mut self.0, Budget::unlimited());
    }
}

/// With waiters, while no task waits.
pub struct Unawaited(Consumer<'static, Event, Reject, Waiters<4>>);

impl Unawaited {
    pub fn open() -> Self {
        Self(AWAITED.consumer().expect("opened once"))
    }
}

impl Queue for Unawaited {
    const NAME: &str = "tickbus Bus, awaited";

    #[inline(always)]
    fn publish(&mut self, event: Event) -> bool {
        AWAITED.publish(event).is_ok()
    }

    #[inline(always)]
    fn take(&mut self) -> Option<Event> {
        self.0.drain().next()
    }

    #[inline(always)]
    fn drain(&mut self, each: impl FnMut(Event)) {
        self.0.drain().for_each(each);
    }

    #[inline(always)]
    fn tick(&mut self, context: &mut Context) {
        let _ = TABLE.tick(context, &mut self.0, Budget::unlimited());
    }
}

pub struct Displacing(Consumer<'static, Event, DropOldest>);

impl Displacing {
    pub fn open() -> Self {
        Self(DISPLACING.consumer().expect("opened once"))
    }
}

impl Queue for Displacing {
    const NAME: &str = "tickbus Bus, DropOldest";
    const DISPLACES: bool = true;

    #[inline(always)]
    fn publish(&mut self, event: Event) -> bool {
        DISPLACING.publish(event).is_ok()
    }

    #[inline(always)]
    fn take(&mut self) -> Option<Event> {
        self.0.drain().next()
    }

    #[inline(always)]
    fn drain(&mut self, each: impl FnMut(Event)) {
        self.0.drain().for_each(each);
    }

    #[inline(always)]
    fn tick(&mut self, context: &mut Context) {
        let _ = TABLE.tick(context, &mut self.0, Budget::unlimited());
    }
}

pub struct SinglePublisher(Publisher<'static, Event>, Consumer<'static, Event, Single>);

impl SinglePublisher {
    pub fn open() -> Self {
        Self(LANE.publisher().expect("opened once"), LANE.consumer().expect("opened once"))
    }
}

impl Queue for SinglePublisher {
    const NAME: &str = "tickbus Lane";

    #[inline(always)]
    fn publish(&mut self, event: Event) -> bool {
        self.0.publish(event).is_ok()
    }

    #[inline(always)]
    fn take(&mut self) -> Option<Event> {
        self.1.drain().next()
    }

    #[inline(always)]
    fn drain(&mut self, each: impl FnMut(Event)) {
        self.1.drain().for_each(each);
    }

    #[inline(always)]
    fn tick(&mut self, context: &mut Context) {
        let _ = TABLE.tick(context, &mut self.1, Budget::unlimited());
    }
}

pub struct Exclusive(Bus<Event, SLOTS>);

impl Exclusive {
    pub fn open() -> Self {
        Self(Bus::new())
    }
}

impl Queue for Exclusive {
    const NAME: &str = "tickbus Bus, exclusive";

    #[inline(always)]
    fn publish(&mut self, event: Event) -> bool {
        self.0.publish_mut(event).is_ok()
    }

    #[inline(always)]
    fn take(&mut self) -> Option<Event> {
        self.0.drain().next()
    }

    #[inline(always)]
    fn drain(&mut self, each: impl FnMut(Event)) {
        self.0.drain().for_each(each);
    }

    #[inline(always)]
    fn tick(&mut self, context: &mut Context) {
        let _ = TABLE.tick(context, &mut self.0, Budget::unlimited());
    }
}
