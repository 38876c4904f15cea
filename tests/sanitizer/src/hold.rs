//! Holds.
//!
//! What is done before a start, and before an unmasking, is plain memory that nothing else guards.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::thread;

use tickbus::{Full, Hold};

use crate::event::{Follower, Notes, Pair};
use crate::threads::together;

/// Two publishers, a reader, and one who starts and pauses all the time.
fn a_hold<const N: usize>(events: usize, is_live: bool) {
    let hold: Hold<Pair, N> = Hold::new();
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
        hold.start();
    };
    let mut seen = Follower::new(&notes);
    let mut consume = || {
        let mut events = hold.consumer().expect("the only one");
        while publishing.load(Relaxed) > 0 {
            match is_live {
                false => events.drain().for_each(|event| seen.see(event)),
                true => events.live().into_iter().for_each(|events| {
                    events.drain().for_each(|event| seen.see(event));
                }),
            }
            thread::yield_now();
        }
    };
    together(&mut [&mut first, &mut second, &mut switch, &mut consume]);

    hold.consumer().expect("given back").drain().for_each(|event| seen.see(event));
    let (stats, lost) = (hold.stats(), lost[0] + lost[1]);
    assert_eq!((stats.published, stats.handled, stats.pending), (2 * events, seen.read, 0));
    assert_eq!((stats.dropped_newest, seen.read), (lost, 2 * events - lost), "{stats:?}");
    assert!(hold.dropped_held() <= lost, "{} of {lost}", hold.dropped_held());
}

/// One sets up, publishes and starts; a reader that finds it started finds both.
fn a_start(events: usize) {
    let holds: Vec<Hold<Pair, 2>> = (0..events).map(|_| Hold::new()).collect();
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
        for (number, hold) in holds.iter().enumerate() {
            let mut events = hold.consumer().expect("the only one");
            if number % 2 == 0 {
                while !hold.is_started() {
                    thread::yield_now();
                }
            } else {
                while events.live().is_none() {
                    thread::yield_now();
                }
            }
            // By nothing but the start: no event has been looked at.
            notes.check(Pair::new(1, number));
            let mut found = events.drain();
            assert_eq!(found.next().map(|event| event.read()), Some((0, number)), "not replayed");
        }
    };
    together(&mut [&mut set_up, &mut consume]);
}

/// Returns how many cases there are.
pub(crate) fn run(events: usize) -> usize {
    for is_live in [false, true] {
        a_hold::<2>(events, is_live);
        a_hold::<64>(events, is_live);
    }
    a_start(events.div_ceil(10));
    5
}
