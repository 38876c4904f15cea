//! One sensor board, four readers that want different things of it.
//!
//! | reader | wants | by |
//! |---|---|---|
//! | ledger | every event, at any price | a subscriber that gates |
//! | display | what is new, and to know what it missed | a subscriber that lags |
//! | radio | one event in ten ticks, hot ones only | filter and minimum interval |
//! | fan | the newest temperature | `Latest` |
//!
//! An alarm is handled by a listener before its publisher goes on, and finds room where telemetry does
//! not. Run it with `cargo run --example fan_out`.

use tickbus::{Dispatch, Full, GatedTopic, Lagged, Latest};

tickbus::events! {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum Reading {
        #[subject = "board.temperature"] Temperature(i32),
        #[subject = "board.alarm"] Alarm(&'static str),
    }
}

/// Eight events; one subscriber may make publishers wait their turn.
static READINGS: GatedTopic<Reading, 8, 1> = GatedTopic::new();
static TEMPERATURE: Latest<i32> = Latest::new();
static URGENT: Dispatch<Reading, Siren, { Reading::KINDS }> =
    Dispatch::new().on("board.alarm", Siren::sound);

#[derive(Default)]
struct Siren {
    sounded: usize,
}

impl Siren {
    fn sound(&mut self, _: &Reading) {
        self.sounded += 1;
    }
}

/// Two slots are kept for alarms.
fn telemetry(degrees: i32) -> Result<(), Full<Reading>> {
    TEMPERATURE.publish(degrees);
    READINGS.publish_with_margin(Reading::Temperature(degrees), 2)
}

fn alarm(siren: &mut Siren, text: &'static str) -> Result<(), Full<Reading>> {
    let event = Reading::Alarm(text);
    URGENT.call(siren, &event);
    READINGS.publish(event)
}

fn main() {
    let mut ledger = READINGS.subscribe().expect("the only one that gates");
    let mut display = READINGS.subscribe_lagging();
    let hot = |event: &Reading| matches!(event, Reading::Temperature(degrees) if *degrees > 25);
    let mut radio = READINGS.subscribe_lagging().filter(hot).min_interval(10);
    let mut fan = TEMPERATURE.watch();

    let mut siren = Siren::default();
    let mut booked = 0;
    let mut refused = 0;
    let mut sent = Vec::new();
    for tick in 0..40_u32 {
        refused += usize::from(telemetry(20 + tick as i32 / 4).is_err());
        if tick == 25 {
            alarm(&mut siren, "door open").expect("telemetry left room");
        }
        // The ledger is busy for a while: telemetry is refused, the alarm is not.
        if !(10..30).contains(&tick) {
            booked += ledger.read().inspect(|found| assert!(found.is_ok(), "it gates")).count();
        }
        sent.extend(radio.read_at(tick).flatten());
    }

    println!("ledger   {booked} booked, {refused} refused, siren {} time(s)", siren.sounded);
    println!("radio    {sent:?}");
    let newest = fan.changed().expect("it has changed");
    println!("fan      {} degrees, {} values skipped", newest.value, newest.skipped);
    for found in display.read() {
        match found {
            Ok(event) => println!("display  {event:?}"),
            Err(Lagged(missed)) => println!("display  missed {missed}"),
        }
    }

    assert_eq!((booked + refused, siren.sounded), (41, 1));
    assert_eq!((newest.value, newest.skipped), (29, 39));
    // 26 degrees came while telemetry was refused.
    assert_eq!(sent.first(), Some(&Reading::Temperature(27)));
    assert_eq!((ledger.stats().missed, radio.stats().missed), (0, 0));
    let stats = display.stats();
    assert_eq!((stats.received, stats.missed, stats.pending), (8, booked - 8, 0));
}
