//! What the other cases get wrong, done right: a case fails for what it says and for nothing else.
//~ compiles

use core::cell::Cell;
use std::thread;

use tickbus::{Budget, Bus, Dispatch, DropOldest, Feed, GatedTopic, Lane, Latest, Pattern, Reject, Subject, Topic, Waiters};
use tickbus::bus::{Capacity, Flow};

tickbus::events! {
    #[derive(Clone, Copy)]
    enum Input {
        #[subject = "input.button"]
        Button,
        #[subject = "input.tilt"]
        Tilt,
    }
}

const TILT: Subject = Subject::from_static("input.tilt");
const INPUTS: Pattern = Pattern::from_static("input.*");

static BUS: Bus<Input, 2, DropOldest> = Bus::new();
static SHARED: Bus<Cell<u8>, 2> = Bus::new();
static LANE: Lane<u8, 2> = Lane::new();
static TOPIC: Topic<u8, 2> = Topic::new();
static GATED: GatedTopic<u8, 2, 16> = GatedTopic::new();
static FEED: Feed<u8, 2> = Feed::new();
static LATEST: Latest<u8> = Latest::new();
static GENERIC: Bus<u8, 4> = bus();
static AWAITED: Bus<u8, 2, Reject, Waiters<1>> = Bus::new();
static AWAITED_TOPIC: Topic<u8, 2, Waiters<1>> = Topic::new();
static WAITERS: Waiters<1> = Waiters::new();
static HANDLERS: Dispatch<Input, u8, { Input::KINDS }, Flow> = Dispatch::new()
    .on("input.*", |count, _| {
        *count += 1;
        Flow::Continue
    })
    .on("input.tilt", |_, _| Flow::Stop)
    .otherwise(|_, _| Flow::Continue);

fn main() {
    let _ = INPUTS.matches(TILT);
    let _ = BUS.publish_batch(&[Input::Button, Input::Tilt]);
    let mut count = 0;
    if let Ok(mut events) = BUS.consumer() {
        let _ = HANDLERS.tick(&mut count, &mut events, Budget::unlimited());
        events.drain().for_each(drop);
        events.drain().for_each(drop);
    }
    if let Ok(mut publisher) = LANE.publisher() {
        let _ = publisher.publish(1);
    }
    let (mut subscriber, gating) = (TOPIC.subscribe(), GATED.subscribe().unwrap());
    let mut watcher = LATEST.watch();
    TOPIC.publish(1);
    LATEST.publish(1);
    let _ = GATED.publish(1);
    let _ = GENERIC.publish(1);
    let (mut publisher, mut reader) = (FEED.publisher().unwrap(), FEED.subscribe());
    thread::scope(|scope| {
        scope.spawn(move || publisher.publish(1));
        scope.spawn(move || reader.read().count());
        scope.spawn(move || (subscriber.read().count(), watcher.changed()));
        scope.spawn(move || gating.filter(|event| event % 2 == 1).read().count());
    });
    spawn(AWAITED.publish_async(1));
    spawn(WAITERS.wait_until(|| Some(())));
    spawn(async {
        AWAITED_TOPIC.subscribe().next_async().await.is_ok()
            && AWAITED.consumer().unwrap().next_async().await == 1
    });
    thread::scope(|scope| {
        scope.spawn(|| SHARED.publish(Cell::new(1)).is_ok());
    });
}

const fn bus<const N: usize>() -> Bus<u8, N>
where
    (): Capacity<N>,
{
    Bus::new()
}

fn spawn(task: impl Future + Send) {
    drop(task);
}
