//! Holds.
//!
//! What is done before a start is plain memory that nothing else guards.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use tickbus::bus::Capacity;
use tickbus::{Bus, Full, Hold};

use crate::event::{Follower, Notes, Pair};
use crate::threads::together;

/// Two publishers, a reader, and one thread that starts and pauses all the time.
fn a_hold<const N: usize>(events: usize)
where
    (): Capacity<N>,
{
    let bus: Bus<Pair, N> = Bus::new();
    let hold: Hold<&Bus<Pair, N>, N> = Hold::before(&bus);
    let notes = Notes::new(2, events);
    let publishing = AtomicUsize::new(2);
    let mut lost = [0; 2];
    let [of_first, of_second] = &mut lost;

    let publish = |publisher: usize| {
        let mut lost = 0;
        for number in 0..events {
            if let Err(Full(_)) = hold.publish(notes.write(publisher, number)) {
                lost += 1;
                thread::yield_now();
            }
        }
        publishing.fetch_sub(1, Relaxed);
        lost
    };
    let mut first = || *of_first = publish(0);
    let mut second = || *of_second = publish(1);
    let mut switch = || {
        while publishing.load(Relaxed) > 0 {
            hold.start();
            thread::yield_now();
            hold.pause();
        }
    };
    let mut seen = Follower::new(&notes);
    let mut consume = || {
        let mut events = bus.consumer().expect("the only one");
        while publishing.load(Relaxed) > 0 {
            events.drain().for_each(|event| seen.see(event));
            thread::yield_now();
        }
    };
    together(&mut [&mut first, &mut second, &mut switch, &mut consume]);

    // What was on the bus makes room for what is still held.
    for _ in 0..2 {
        bus.consumer().expect("given back").drain().for_each(|event| seen.see(event));
        hold.start();
    }
    bus.consumer().expect("given back").drain().for_each(|event| seen.see(event));
    let (held, stats, lost) = (hold.stats(), bus.stats(), lost[0] + lost[1]);
    assert_eq!((held.pending, stats.pending, stats.handled), (0, 0, seen.read));
    // A replay that finds no room is the loss of the bus, and its publisher was told that it is held.
    let replayed_and_lost = held.dropped() + stats.refused - lost;
    assert_eq!(seen.read, 2 * events - lost - replayed_and_lost, "{held:?} {stats:?}");
    assert_eq!(held.published, held.handled + held.dropped(), "{held:?}");
}

/// One thread sets up, publishes and starts. A reader that finds the event finds what was done before.
fn a_start(events: usize) {
    let buses: Vec<Bus<Pair, 2>> = (0..events).map(|_| Bus::new()).collect();
    let holds: Vec<Hold<&Bus<Pair, 2>, 2>> = buses.iter().map(Hold::before).collect();
    let notes = Notes::new(2, events);
    let mut set_up = || {
        for (number, hold) in holds.iter().enumerate() {
            let event = notes.write(0, number);
            notes.write(1, number);
            assert!(hold.publish(event).is_ok());
            hold.start();
        }
    };
    let mut consume = || {
        for (number, bus) in buses.iter().enumerate() {
            let mut events = bus.consumer().expect("the only one");
            let event = loop {
                match events.drain().next() {
                    Some(event) => break event,
                    None => thread::yield_now(),
                }
            };
            notes.check(Pair::new(1, number));
            assert_eq!(event.read(), (0, number));
        }
    };
    together(&mut [&mut set_up, &mut consume]);
}

/// Returns how many cases there are.
pub(crate) fn run(events: usize) -> usize {
    a_hold::<2>(events);
    a_hold::<64>(events);
    a_start(events.div_ceil(10));
    3
}
