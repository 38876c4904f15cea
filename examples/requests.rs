//! Asks four sensors, and takes the answers that are in by the deadline: `cargo run --example requests`.
//!
//! ```text
//!   main ──▶ a QUESTIONS bus for each sensor ──▶ its thread
//!     ▲                                              │
//!     └─────────────────── ANSWERS ◀─────────────────┘
//! ```
//!
//! South is broken and never answers. East answers everything twice. West is slow. On a microcontroller the
//! sensors are interrupts instead of threads; the rest stays the same.
//!
//! `ANSWERS` rejects what does not fit. A sensor then has its answer back and tries again, so no answer is
//! lost.

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

/// The answer of a sensor: the question that it belongs to, the sensor, and the temperature.
type Reading = (RequestId, Sensor, i32);

/// One bus for each sensor: a broken one delays no other.
static QUESTIONS: [Bus<RequestId, 4>; SENSORS.len()] = [const { Bus::new() }; SENSORS.len()];
static ANSWERS: Bus<Reading, 4> = Bus::new();
static DONE: AtomicBool = AtomicBool::new(false);

/// Up to two questions at a time, each to all sensors.
type SensorRequests = Requests<Sensor, i32, 2, { SENSORS.len() }>;
type SensorAnswers = Answers<Sensor, i32, { SENSORS.len() }>;
type SensorResult = Result<SensorAnswers, RequestError<Sensor, i32, { SENSORS.len() }>>;

/// Answers questions as this sensor does, until the program is done.
fn run(sensor: Sensor) {
    let mut questions = QUESTIONS[sensor as usize].consumer().expect("each sensor has its own bus");
    while !DONE.load(Ordering::Relaxed) {
        for id in questions.drain() {
            match sensor {
                Sensor::North => answer((id, sensor, 20)),
                Sensor::East => {
                    answer((id, sensor, 21));
                    answer((id, sensor, 99));
                }
                Sensor::South => {}
                Sensor::West => {
                    thread::sleep(Duration::from_millis(20));
                    answer((id, sensor, 23));
                }
            }
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Publishes an answer. A full bus gives it back; then this tries again.
fn answer(mut reading: Reading) {
    while let Err(Full(back)) = ANSWERS.publish(reading) {
        reading = back;
        thread::yield_now();
    }
}

/// Opens a request, then publishes the question. A request that cannot be opened asks no sensor.
fn ask(requests: &mut SensorRequests, minimum: usize, deadline: u32) -> RequestId {
    let id = requests.open(&SENSORS, minimum, deadline).expect("two at a time, of four sensors");
    for bus in &QUESTIONS {
        bus.publish(id).expect("four questions fit, and there are two");
    }
    id
}

fn main() {
    let mut requests = SensorRequests::new();
    let mut answers = ANSWERS.consumer().expect("main is the only consumer");

    println!("North and East answer at once, East even twice. West takes 20 ms for an answer.");
    println!("South is broken and never answers.\n");
    thread::scope(|scope| {
        for sensor in SENSORS {
            scope.spawn(move || run(sensor));
        }

        // The clock of this program: milliseconds.
        let start = Instant::now();
        let now = || start.elapsed().as_millis() as u32;

        let three = ask(&mut requests, 3, now() + 10_000);
        println!("{:4} ms: question A needs 3 of 4 answers within 10 s", now());
        let all = ask(&mut requests, 4, now() + 1000);
        println!("{:4} ms: question B needs all 4 answers within 1 s", now());
        let name = |id| if id == three { 'A' } else { 'B' };

        let mut ended = vec![];
        while !requests.is_empty() {
            for (id, sensor, degrees) in answers.drain() {
                let question = name(id);
                print!("{:4} ms: {sensor:?} answers {question} with {degrees} °C", now());
                match requests.answer(id, sensor, degrees) {
                    Ok(()) => println!(),
                    Err(ignored) => println!(" and is ignored: {ignored}"),
                }
            }
            requests.tick(now(), |id, result: SensorResult| {
                let (outcome, answers) = match &result {
                    Ok(answers) => ("ends well".to_owned(), answers),
                    Err(error) => (format!("fails, since {error}"), error.answers()),
                };
                let (arrived, missing) = (answers.arrived().len(), answers.missing());
                println!("{:4} ms: question {} {outcome}:", now(), name(id));
                println!("         {arrived} answers are in, {missing:?} is missing");
                ended.push((id, result));
            });
            thread::sleep(Duration::from_millis(1));
        }
        DONE.store(true, Ordering::Relaxed);

        let mut of = |wanted| {
            let place = ended.iter().position(|(id, _)| *id == wanted).expect("both have ended");
            ended.remove(place).1
        };
        let (three, all) = (of(three), of(all));

        let three = three.expect("only South is missing");
        assert_eq!(three.missing(), [Sensor::South]);
        let sum: i32 = three.into_arrived().map(|(_, degrees)| degrees).sum();
        println!("\nThe mean of the three answers to A is {:.1} °C.", f64::from(sum) / 3.0);
        assert_eq!(sum, 20 + 21 + 23);
        let Err(RequestError::TimedOut(partial)) = all else { panic!("South cannot answer") };
        println!("B failed, but its {} answers are not lost either.", partial.arrived().len());
        assert_eq!(partial.arrived().len(), 3);
    });
}
