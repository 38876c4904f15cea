//! A consumer that asks again at once, and two threads that answer each other. The publisher publishes one by
//! one, each thread is pinned, and a thread that finds nothing gives the core a spin hint and no more.

use core::hint;
use core::time::Duration;
use std::thread;
use std::time::Instant;

use crossbeam_queue::ArrayQueue;
use tickbus::{Bus, Lane};

use super::threads::{EVENTS, Pace, StartLine, race_at};
use super::{CAPACITY, Contender, Row, Sample, leak};

/// Round trips of one iteration.
const TRIPS: u64 = 20_000;

pub(super) fn rows() -> Vec<Row> {
    vec![one_to_one(), two_to_one(), ping_pong()]
}

fn one_to_one() -> Row {
    let lane = leak(Lane::<Sample, CAPACITY>::new());
    let lane = (lane.publisher().expect("the only one"), lane.consumer().expect("the only one"));
    let rtrb = rtrb::RingBuffer::new(CAPACITY);
    let contenders = vec![
        bus(1),
        array_queue(1),
        race_at(
            Pace::Polls,
            "tickbus Lane",
            vec![lane.0],
            lane.1,
            |publisher, share| share.each(|event| publisher.publish(event).is_ok()),
            |consumer, check| consumer.drain().for_each(|event| check.see(event)),
        ),
        race_at(
            Pace::Polls,
            "rtrb",
            vec![rtrb.0],
            rtrb.1,
            |publisher, share| share.each(|event| publisher.push(event).is_ok()),
            |consumer, check| check.take_all(|| consumer.pop().ok()),
        ),
    ];
    Row { name: "threads, 1 to 1, the consumer polls", elements: EVENTS, contenders }
}

fn two_to_one() -> Row {
    let (sender, receiver) = kanal::bounded(CAPACITY);
    let contenders = vec![
        bus(2),
        array_queue(2),
        race_at(
            Pace::Polls,
            "kanal",
            vec![sender; 2],
            (receiver, Vec::with_capacity(CAPACITY)),
            |sender, share| share.each(|event| sender.try_send(event).expect("connected")),
            |(receiver, events), check| {
                receiver.drain_into(events).expect("connected");
                events.drain(..).for_each(|event| check.see(event));
            },
        ),
    ];
    Row { name: "threads, 2 to 1, the consumer polls", elements: EVENTS, contenders }
}

fn bus(publishers: usize) -> Contender {
    let bus = leak(Bus::<Sample, CAPACITY>::new());
    race_at(
        Pace::Polls,
        "tickbus Bus",
        vec![(); publishers],
        bus.consumer().expect("the only consumer"),
        |(), share| share.each(|event| bus.publish(event).is_ok()),
        |consumer, check| consumer.drain().for_each(|event| check.see(event)),
    )
}

fn array_queue(publishers: usize) -> Contender {
    let queue = leak(ArrayQueue::new(CAPACITY));
    race_at(
        Pace::Polls,
        "ArrayQueue",
        vec![(); publishers],
        (),
        |(), share| share.each(|event| queue.push(event).is_ok()),
        |(), check| check.take_all(|| queue.pop()),
    )
}

/// An event there, and an answer back: an element is a round trip.
fn ping_pong() -> Row {
    let buses = [(); 2].map(|()| leak(Bus::<Sample, CAPACITY>::new()));
    let [bus_there, bus_back] = buses.map(|bus| {
        let mut consumer = bus.consumer().expect("the only consumer");
        (
            Box::new(move |event| bus.publish(event).expect("room")) as Publish,
            Box::new(move || consumer.drain().next()) as Take,
        )
    });
    let lanes = [(); 2].map(|()| leak(Lane::<Sample, CAPACITY>::new()));
    let [lane_there, lane_back] = lanes.map(|lane| {
        let mut publisher = lane.publisher().expect("the only publisher");
        let mut consumer = lane.consumer().expect("the only consumer");
        (
            Box::new(move |event| publisher.publish(event).expect("room")) as Publish,
            Box::new(move || consumer.drain().next()) as Take,
        )
    });
    let queues = [(); 2].map(|()| leak(ArrayQueue::<Sample>::new(CAPACITY)));
    let [queue_there, queue_back] = queues.map(|queue| {
        (
            Box::new(move |event| queue.push(event).expect("room")) as Publish,
            Box::new(move || queue.pop()) as Take,
        )
    });
    let [rtrb_there, rtrb_back] = [(); 2].map(|()| {
        let (mut publisher, mut consumer) = rtrb::RingBuffer::<Sample>::new(CAPACITY);
        (
            Box::new(move |event| publisher.push(event).expect("room")) as Publish,
            Box::new(move || consumer.pop().ok()) as Take,
        )
    });
    let contenders = vec![
        trips("tickbus Bus", bus_there, bus_back),
        trips("ArrayQueue", queue_there, queue_back),
        trips("tickbus Lane", lane_there, lane_back),
        trips("rtrb", rtrb_there, rtrb_back),
    ];
    Row { name: "threads, ping-pong", elements: TRIPS, contenders }
}

type Publish = Box<dyn FnMut(Sample) + Send>;
type Take = Box<dyn FnMut() -> Option<Sample> + Send>;

fn trips(name: &'static str, there: (Publish, Take), back: (Publish, Take)) -> Contender {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let ((mut ask, mut hear), (mut answer, mut learn)) = (there, back);
    let mut trips = move || {
        let line = &StartLine::new(2, &cores);
        let (ask, hear, answer, learn) = (&mut ask, &mut hear, &mut answer, &mut learn);
        thread::scope(|scope| {
            scope.spawn(move || {
                line.wait(1);
                for _ in 0..TRIPS {
                    answer(next(hear));
                }
            });
            let asking = scope.spawn(move || {
                line.wait(0);
                let start = Instant::now();
                for key in 0..TRIPS {
                    let event = Sample::new(key, 0);
                    ask(event);
                    assert_eq!(next(learn), event, "{name} answered something else");
                }
                start.elapsed()
            });
            asking.join().expect("every answer was right")
        })
    };
    let run = Box::new(move |iterations| (0..iterations).map(|_| trips()).sum::<Duration>());
    Contender { name, run }
}

fn next(take: &mut Take) -> Sample {
    for _ in 0..1_u32 << 31 {
        if let Some(event) = take() {
            return event;
        }
        hint::spin_loop();
    }
    panic!("the other side has stopped");
}
