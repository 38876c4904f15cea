//! Publish a frame, then every subscriber reads all of it, on one thread. An element is an event, however
//! many read it.

use bevy_ecs::message::{Message, MessageCursor, Messages};
use disruptor::{BusySpin, EventPoller};
use embassy_sync::blocking_mutex::raw::CriticalSectionRawMutex;
use embassy_sync::pubsub::{PubSubChannel, WaitResult};
use tickbus::{Feed, GatedTopic, Topic};
use tokio::sync::broadcast;

use super::{CAPACITY, Contender, FRAME, Row, Sample, Sums, frames, leak, sums};

pub(super) fn rows() -> Vec<Row> {
    vec![
        row("fan-out to 1", 1, |contenders| {
            contenders.extend([gated(1), embassy::<1>()]);
        }),
        row("fan-out to 8", 8, |contenders| {
            contenders.extend([gated(8), embassy::<8>()]);
        }),
        row("fan-out to 64", 64, |_| {}),
        single("fan-out to 1, single publisher", 1),
        single("fan-out to 8, single publisher", 8),
        single("fan-out to 64, single publisher", 64),
    ]
}

/// Any thread may publish.
fn row(name: &'static str, readers: usize, extend: impl FnOnce(&mut Vec<Contender>)) -> Row {
    let mut contenders =
        vec![topic(readers), disruptor_multi(readers), bevy(readers), tokio(readers)];
    extend(&mut contenders);
    Row { name, elements: FRAME, contenders }
}

/// One may, which is declared.
fn single(name: &'static str, readers: usize) -> Row {
    let contenders =
        vec![feed(readers), disruptor_single(readers), slices(readers), topic(readers)];
    Row { name, elements: FRAME, contenders }
}

/// Every reader computes the same.
fn expected(readers: usize) -> Sums {
    sums(|salt| {
        let sum = (0..FRAME).fold(0, |sum, key| Sample::new(key, salt).fold(sum));
        sum.wrapping_mul(readers as u64)
    })
}

/// One frame of a contender: publish each event, then let each reader fold what it gets.
fn fan_out<S: 'static, R: 'static>(
    name: &'static str,
    mut state: S,
    mut readers: Vec<R>,
    publish: impl Fn(&mut S, Sample) + 'static,
    read: impl Fn(&mut S, &mut R) -> u64 + 'static,
) -> Contender {
    frames(name, expected(readers.len()), move |salt| {
        for key in 0..FRAME {
            publish(&mut state, Sample::new(key, salt));
        }
        let each = readers.iter_mut().map(|reader| read(&mut state, reader));
        each.fold(0, u64::wrapping_add)
    })
}

fn topic(readers: usize) -> Contender {
    let topic = leak(Topic::<Sample, CAPACITY>::new());
    fan_out(
        "tickbus Topic",
        (),
        (0..readers).map(|_| topic.subscribe()).collect(),
        |(), event| topic.publish(event),
        |(), subscriber| {
            subscriber.read().fold(0, |sum, event| event.map_or(0, |event| event.fold(sum)))
        },
    )
}

fn feed(readers: usize) -> Contender {
    let feed = leak(Feed::<Sample, CAPACITY>::new());
    fan_out(
        "tickbus Feed",
        feed.publisher().expect("the only one"),
        (0..readers).map(|_| feed.subscribe()).collect(),
        |publisher, event| publisher.publish(event),
        |_, subscriber| {
            subscriber.read().fold(0, |sum, event| event.map_or(0, |event| event.fold(sum)))
        },
    )
}

fn gated(readers: usize) -> Contender {
    let topic = leak(GatedTopic::<Sample, CAPACITY, 16>::new());
    fan_out(
        "tickbus GatedTopic",
        (),
        (0..readers).map(|_| topic.subscribe().expect("a place")).collect(),
        |(), event| topic.publish(event).expect("room for a frame"),
        |(), subscriber| {
            subscriber.read().fold(0, |sum, event| event.map_or(0, |event| event.fold(sum)))
        },
    )
}

/// The floor: no queue at all.
fn slices(readers: usize) -> Contender {
    fan_out(
        "slices",
        Vec::with_capacity(CAPACITY),
        vec![0_usize; readers],
        |events: &mut Vec<Sample>, event| {
            if events.len() == FRAME as usize {
                events.clear();
            }
            events.push(event);
        },
        |events, _| events.iter().fold(0, |sum, event| event.fold(sum)),
    )
}

/// The barrier of a poller is a private type.
macro_rules! poll {
    ($poller:expr) => {{
        let mut events = $poller.poll().unwrap_or_else(|_| panic!("a frame was published"));
        (&mut events).fold(0, |sum, event| event.fold(sum))
    }};
}

macro_rules! disruptor {
    ($name:literal, $build:path, $readers:expr) => {{
        let builder = $build(CAPACITY, Sample::default, BusySpin);
        let (poller, builder) = builder.new_event_poller();
        if $readers == 1 {
            let publish = |publisher: &mut _, event| {
                disruptor::Producer::publish(publisher, |slot| *slot = event)
            };
            return fan_out(
                $name,
                builder.build(),
                vec![poller],
                publish,
                |_, poller: &mut EventPoller<Sample, _>| poll!(poller),
            );
        }
        let mut pollers = vec![poller];
        let (poller, mut builder) = builder.new_event_poller();
        pollers.push(poller);
        while pollers.len() < $readers {
            let (poller, more) = builder.new_event_poller();
            pollers.push(poller);
            builder = more;
        }
        let publish = |publisher: &mut _, event| {
            disruptor::Producer::publish(publisher, |slot| *slot = event)
        };
        fan_out(
            $name,
            builder.build(),
            pollers,
            publish,
            |_, poller: &mut EventPoller<Sample, _>| poll!(poller),
        )
    }};
}

fn disruptor_single(readers: usize) -> Contender {
    disruptor!("disruptor, single publisher", disruptor::build_single_producer, readers)
}

fn disruptor_multi(readers: usize) -> Contender {
    disruptor!("disruptor, many publishers", disruptor::build_multi_producer, readers)
}

#[derive(Message)]
struct Sampled(Sample);

fn bevy(readers: usize) -> Contender {
    fan_out(
        "Bevy Messages",
        (Messages::<Sampled>::default(), 0),
        (0..readers).map(|_| MessageCursor::default()).collect(),
        |(messages, count), event| {
            if *count % FRAME == 0 {
                messages.update();
            }
            *count += 1;
            messages.write(Sampled(event));
        },
        |(messages, _), cursor| cursor.read(messages).fold(0, |sum, event| event.0.fold(sum)),
    )
}

fn tokio(readers: usize) -> Contender {
    let (sender, receiver) = broadcast::channel(CAPACITY);
    let mut receivers = vec![receiver];
    receivers.resize_with(readers, || sender.subscribe());
    fan_out(
        "tokio broadcast",
        sender,
        receivers,
        |sender, event| {
            sender.send(event).expect("a receiver is there");
        },
        |_, receiver| {
            let mut sum = 0;
            while let Ok(event) = receiver.try_recv() {
                sum = Sample::fold(event, sum);
            }
            sum
        },
    )
}

fn embassy<const READERS: usize>() -> Contender {
    type Channel<const READERS: usize> =
        PubSubChannel<CriticalSectionRawMutex, Sample, CAPACITY, READERS, 1>;
    let channel = leak(Channel::<READERS>::new());
    fan_out(
        "embassy PubSub",
        channel.immediate_publisher(),
        (0..READERS).map(|_| channel.subscriber().expect("a place")).collect(),
        |publisher, event| publisher.publish_immediate(event),
        |_, subscriber| {
            let mut sum = 0;
            while let Some(WaitResult::Message(event)) = subscriber.try_next_message() {
                sum = event.fold(sum);
            }
            sum
        },
    )
}
