//! Devices that publish a reading each second, and each until it is acknowledged.

use alloc::sync::Arc;
use core::time::Duration;

use serde::{Deserialize, Serialize};
use tickbus::Envelope;
use tickbus::hosted::{BoxError, Counted, Engine};
use tokio::time::{Instant, MissedTickBehavior, interval_at, sleep, timeout};

use crate::REPORT;
use crate::line::{Flow, Line, Numbers, Say, Told, published};

const PERIOD: Duration = Duration::from_secs(1);
/// How long a device waits before it sends a reading again.
const PAUSE: Duration = Duration::from_millis(250);
/// How long the devices may take to end.
const PATIENCE: Duration = Duration::from_secs(8);

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) device: u32,
    pub(crate) number: u32,
    pub(crate) steps: u32,
}

impl Reading {
    /// Returns a number that no other reading has.
    pub(crate) fn id(&self) -> u64 {
        u64::from(self.device) << 32 | u64::from(self.number)
    }
}

pub(crate) async fn run(
    engine: Arc<dyn Engine>,
    count: u32,
    say: &Say,
    mut told: Told,
) -> Result<(), BoxError> {
    let engine = Arc::new(Counted::new(engine));
    let start = Instant::now();
    let devices: Vec<_> = (0..count)
        .map(|device| {
            let begin = start + PERIOD * device / count;
            tokio::spawn(publish(engine.clone(), device, begin, say.clone(), told.clone()))
        })
        .collect();
    say.say(Line::Ready);
    let report = || {
        let published = published(&engine.stats());
        say.say(Line::Numbers(Numbers { published, ..Numbers::default() }));
    };
    while timeout(REPORT, told.over()).await.is_err() {
        report();
    }
    let ended = async {
        for device in devices {
            let _ = device.await; // it panicked: then its reading is not acknowledged
        }
    };
    let _ = timeout(PATIENCE, ended).await; // what is not acknowledged by then stays so
    report();
    say.say(Line::Ended);
    Ok(())
}

/// Is one device. Its readings have its name for a key, so that they are handled in order.
async fn publish(engine: Arc<Counted>, device: u32, begin: Instant, say: Say, told: Told) {
    let mut clock = interval_at(begin, PERIOD);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0.. {
        clock.tick().await;
        if told.is_over() {
            return;
        }
        let reading = Reading { device, number, steps: (device + number) % 90 };
        let envelope = Envelope::json(&format!("device.{device}.reading"), &reading);
        let envelope = envelope.expect("a subject").with_id(format!("{device}/{number}"));
        let mut envelope = Arc::new(envelope.with_key(format!("device-{device}")));
        say.say(Line::Attempted(Flow::Readings, reading.id()));
        // An error gives the envelope back. It keeps its id: the engine takes it once.
        while let Err(error) = engine.publish(envelope).await {
            envelope = error.into_envelope();
            sleep(PAUSE).await;
        }
        say.say(Line::Acknowledged(Flow::Readings, reading.id()));
    }
}
