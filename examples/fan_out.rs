//! One sensor board, four readers. Each gets the same events and wants something else:
//! `cargo run --example fan_out`.
//!
//! | reader | wants | gets it by |
//! |---|---|---|
//! | log | every event | a subscriber that gates: the topic is full until it has read |
//! | radio | hot temperatures, one in ten ticks | a filter and a minimum interval |
//! | display | the newest events, and the number of those it missed | a subscriber that lags |
//! | fan | the newest temperature | `Latest` |
//!
//! The board also has a siren. Its handler runs inside the publisher's call, before any reader looks.

use tickbus::{Dispatch, Full, GatedTopic, Lagged, Latest};

tickbus::events! {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Reading {
        #[subject = "board.temperature"] Temperature(i32),
        #[subject = "board.alarm"] Alarm(&'static str),
    }
}

/// Eight events fit. One subscriber may gate.
static READINGS: GatedTopic<Reading, 8, 1> = GatedTopic::new();
static TEMPERATURE: Latest<i32> = Latest::new();
static URGENT: Dispatch<Reading, Siren, { Reading::KINDS }> =
    Dispatch::new().on("board.alarm", Siren::sound);

/// The slots that a temperature must leave free for alarms.
const MARGIN: usize = 2;

#[derive(Default)]
struct Siren {
    sounded: usize,
}

impl Siren {
    fn sound(&mut self, _: &Reading) {
        self.sounded += 1;
    }
}

fn measure(degrees: i32) -> Result<(), Full<Reading>> {
    TEMPERATURE.publish(degrees);
    READINGS.publish_with_margin(Reading::Temperature(degrees), MARGIN)
}

fn alarm(siren: &mut Siren, text: &'static str) -> Result<(), Full<Reading>> {
    let event = Reading::Alarm(text);
    URGENT.call(siren, &event);
    READINGS.publish(event)
}

fn main() {
    let mut log = READINGS.subscribe().expect("the log is the only subscriber that gates");
    let hot = |event: &Reading| matches!(event, Reading::Temperature(degrees) if *degrees > 25);
    let mut radio = READINGS.subscribe_lagging().filter(hot).min_interval(10);
    let mut display = READINGS.subscribe_lagging();
    let mut fan = TEMPERATURE.watch();

    println!("A board measures once a tick, for 60 ticks: 20 °C, and 1 °C more every 4 ticks.");
    println!("Its topic keeps 8 events; the last {MARGIN} places are for alarms.\n");

    let mut siren = Siren::default();
    let (mut logged, mut refused) = (0, 0);
    for tick in 0..60_u32 {
        if let Err(Full(lost)) = measure(20 + tick as i32 / 4) {
            if refused == 0 {
                let unread = READINGS.gate().expect("the log gates").pending;
                println!("tick {tick}: the log has not read {unread} events, so the topic is full");
                println!("         for temperatures. The board gets {lost:?} back.");
            }
            refused += 1;
        }
        if tick == 25 {
            alarm(&mut siren, "door open").expect("the margin leaves room");
            println!("tick {tick}: an alarm still finds room. The siren has sounded already.");
        }

        // The log is busy for twenty ticks. The radio reads every tick, display and fan at the end.
        let is_busy = (10..30).contains(&tick);
        if !is_busy {
            let read = log.read().inspect(|found| assert!(found.is_ok(), "it gates")).count();
            logged += read;
            if read > 1 {
                println!("tick {tick}: the log reads {read} events at once. There is room again.");
            }
        } else if tick == 10 {
            println!("tick {tick}: the log is busy from now on and does not read.");
        }
        for event in radio.read_at(tick).flatten() {
            println!("tick {tick}: the radio sends {event:?}.");
        }
    }

    let published = READINGS.stats().published;
    println!("\nAt the end:");
    println!("  board    {published} events published; {refused} temperatures came back");
    println!("  siren    sounded {} time", siren.sounded);
    println!("  log      read {logged} of {published}: a subscriber that gates misses nothing");
    let radio = radio.stats();
    println!(
        "  radio    sent {}, skipped {} on purpose: not hot, or within ten ticks of the last",
        radio.received, radio.skipped
    );
    for found in display.read() {
        match found {
            Err(Lagged(missed)) => println!("  display  reads only now and missed {missed}, then"),
            Ok(event) => println!("           {event:?}"),
        }
    }
    let newest = fan.changed().expect("the temperature has changed");
    println!(
        "  fan      looks only now: {} °C; {} older values were replaced",
        newest.value, newest.skipped
    );

    assert_eq!((logged, logged + refused, siren.sounded), (published, 61, 1));
    assert_eq!((radio.received, radio.missed), (3, 0));
    let display = display.stats();
    assert_eq!((display.received, display.missed, display.pending), (8, logged - 8, 0));
    assert_eq!((newest.value, newest.skipped), (34, 59));
}
