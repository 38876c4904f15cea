//! Asks four sensors and takes what has come in by the deadline: `cargo run --example requests`.
//!
//! ```text
//!   main ──▶ a QUESTIONS bus for each sensor ──▶ its thread
//!     ▲                                              │
//!     └────── ANSWERS: rejects, so none is lost ◀────┘
//! ```
//!
//! One sensor is broken and never answers, one answers everything twice, one is slow. On a
//! microcontroller the threads are interrupts, and the rest is the same.

use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::thread;
use std::time::Instant;

use tickbus::request::{Answers, RequestError, RequestId, Requests};
use tickbus::{Bus, Full};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Sensor {
    North,
    East,
    South,
    West,
}

const SENSORS: [Sensor; 4] = [Sensor::North, Sensor::East, Sensor::South, Sensor::West];

/// The answer of a sensor: the request, the sensor, and its reading.
type Reading = (RequestId, Sensor, i32);

/// A bus for each, so that a broken sensor delays no other.
static QUESTIONS: [Bus<RequestId, 4>; SENSORS.len()] = [const { Bus::new() }; SENSORS.len()];
static ANSWERS: Bus<Reading, 4> = Bus::new();
static DONE: AtomicBool = AtomicBool::new(false);

/// Up to two requests at a time, each to all sensors.
type SensorRequests = Requests<Sensor, i32, 2, { SENSORS.len() }>;
type SensorAnswers = Answers<Sensor, i32, { SENSORS.len() }>;
type SensorResult = Result<SensorAnswers, RequestError<Sensor, i32, { SENSORS.len() }>>;

fn sensor(sensor: Sensor) {
    let mut questions = QUESTIONS[sensor as usize].consumer().expect("one thread each");
    while !DONE.load(Ordering::Relaxed) {
        for id in questions.drain() {
            match sensor {
                Sensor::South => {} // broken
                Sensor::East => {
                    answer((id, sensor, 21));
                    answer((id, sensor, 99)); // only the first one counts
                }
                Sensor::West => {
                    thread::sleep(Duration::from_millis(20));
                    answer((id, sensor, 23));
                }
                Sensor::North => answer((id, sensor, 20)),
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// A sensor that finds the bus full gets its answer back, and tries again.
fn answer(mut reading: Reading) {
    while let Err(Full(back)) = ANSWERS.publish(reading) {
        reading = back;
        thread::yield_now();
    }
}

/// Opens a request, then asks. An invalid request asks no sensor.
fn ask(requests: &mut SensorRequests, minimum: usize, deadline: u32) -> RequestId {
    let id = requests.open(&SENSORS, minimum, deadline).expect("two at a time, of four sensors");
    for bus in &QUESTIONS {
        bus.publish(id).expect("no sensor is behind by more than two");
    }
    id
}

fn print(what: &str, result: &SensorResult) {
    let (verdict, answers) = match result {
        Ok(answers) => ("enough", answers),
        Err(error) => ("not enough", error.answers()),
    };
    println!("{what}: {verdict}, missing {:?}", answers.missing());
}

fn main() {
    let mut requests = SensorRequests::new();
    let mut answers = ANSWERS.consumer().expect("main is the only consumer");

    thread::scope(|scope| {
        for name in SENSORS {
            scope.spawn(move || sensor(name));
        }

        // The counter of this program: milliseconds.
        let start = Instant::now();
        let now = || start.elapsed().as_millis() as u32;

        // Two questions at once. Three of four will do for one, the other wants them all.
        let most = ask(&mut requests, 3, now() + 10_000);
        let all = ask(&mut requests, 4, now() + 1000);
        let mut ended = vec![];
        while !requests.is_empty() {
            for (id, sensor, reading) in answers.drain() {
                // Late, twice, or not expected: the error says which.
                if let Err(ignored) = requests.answer(id, sensor, reading) {
                    println!("ignored {sensor:?} {reading}: {ignored}");
                }
            }
            requests.tick(now(), |id, result| ended.push((id, result)));
            thread::sleep(Duration::from_millis(1));
        }
        DONE.store(true, Ordering::Relaxed);

        let mut of = |wanted| {
            let place = ended.iter().position(|(id, _)| *id == wanted).expect("both have ended");
            ended.remove(place).1
        };
        let (most, all) = (of(most), of(all));
        print("three of four", &most);
        print("all four", &all);

        let most = most.expect("only South is missing");
        assert_eq!(most.missing(), [Sensor::South]);
        let sum: i32 = most.into_arrived().map(|(_, reading)| reading).sum();
        assert_eq!(sum, 20 + 21 + 23);
        assert!(
            matches!(all, Err(RequestError::TimedOut(partial)) if partial.arrived().len() == 3)
        );
    });
}
