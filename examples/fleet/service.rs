//! A service: handles readings as a member of a group, and mends what has become a dead letter.

use alloc::sync::Arc;
use core::error::Error;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use core::time::Duration;

use tickbus::hosted::{
    BoxError, Context, Counted, Engine, HandlerStats, OnFailure, RetryPolicy, StartAt, Workers,
};
use tickbus::{Envelope, subject_bus::Overrun};
use tokio::time::{sleep, timeout};

use crate::devices::Reading;
use crate::line::{Flow, Line, Numbers, Say, Told, published};
use crate::{LEASE, REPORT};

/// What the handler of readings works with.
struct Desk {
    engine: Arc<Counted>,
    say: Say,
    /// Calls for an event that was tried before, here or elsewhere, and failed calls here.
    again: AtomicU64,
    retried: AtomicU64,
}

/// A reading that no further try makes better.
#[derive(Debug)]
struct Broken;

impl fmt::Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad("the sensor is broken")
    }
}

impl Error for Broken {}

pub(crate) async fn run(
    engine: Arc<dyn Engine>,
    say: &Say,
    mut told: Told,
) -> Result<(), BoxError> {
    let engine = Arc::new(Counted::new(engine));
    let desk = Arc::new(Desk {
        engine: engine.clone(),
        say: say.clone(),
        again: AtomicU64::new(0),
        retried: AtomicU64::new(0),
    });

    // One device after the other in order, eight devices at once. What fails is tried again, and then
    // becomes a dead letter.
    let (handler, counter) = (desk.clone(), desk.clone());
    let readings = engine.subscribe("device.*.reading")?.group("readings");
    let readings = readings.start_at(StartAt::Earliest).lease(LEASE).workers(8).by_key();
    let readings = readings.retry(RetryPolicy::new(5).initial(Duration::from_millis(100)));
    let readings = readings.dead_letter("dead.reading").timeout(Duration::from_secs(5));
    let readings = readings
        .classify(|error| if error.is::<Broken>() { OnFailure::Reject } else { OnFailure::Retry })
        .on_failed(move |failed| {
            counter.retried.fetch_add(u64::from(failed.retry_after.is_some()), Relaxed);
        })
        .handle_json(move |reading: Reading, context: Context| {
            let desk = handler.clone();
            async move { desk.take(reading, &context).await }
        })
        .await?;

    // Dead letters are events as others are: the other members of the group go on if this one ends.
    let mender = desk.clone();
    let mended = engine.subscribe("dead.reading")?.group("mender");
    let mended = mended.start_at(StartAt::Earliest).lease(LEASE);
    let mended = mended.handle_json(move |reading: Reading, _: Context| {
        mender.say.say(Line::Delivered(Flow::Readings, reading.id()));
        core::future::ready(Ok::<_, BoxError>(()))
    });
    let mended = mended.await?;

    // Live, and slower than the game: it shows the newest frames, and counts what it has dropped.
    let screen = engine.subscribe("game.frame")?.queue(4).overrun(Overrun::DropOldest);
    let screen = screen.handle(async |_: Context| {
        sleep(Duration::from_millis(100)).await;
        Ok::<_, BoxError>(())
    });
    let screen = screen.await?;

    let running = [readings, mended, screen];
    say.say(Line::Ready);
    while timeout(REPORT, told.over()).await.is_err() {
        say.say(Line::Numbers(desk.numbers(&running)));
    }
    for workers in &running {
        workers.shutdown(Duration::from_secs(2)).await?;
    }
    say.say(Line::Numbers(desk.numbers(&running)));
    say.say(Line::Ended);
    Ok(())
}

impl Desk {
    /// Handles a reading. Every fiftieth fails once, every two hundredth for good, and every tenth is
    /// worth a boost in the game.
    async fn take(&self, reading: Reading, context: &Context) -> Result<(), BoxError> {
        if context.attempt() > 1 {
            self.again.fetch_add(1, Relaxed);
        }
        sleep(Duration::from_millis(2)).await; // asks a table
        let which = reading.device + reading.number;
        if which.is_multiple_of(200) {
            return Err(Broken.into());
        }
        if which.is_multiple_of(50) && context.attempt() == 1 {
            return Err("the table is locked".into());
        }
        if which.is_multiple_of(10) {
            self.boost(reading, context).await?;
        }
        // Before the acknowledgement: killed in between, the event comes again and is a duplicate.
        self.say.say(Line::Delivered(Flow::Readings, reading.id()));
        Ok(())
    }

    /// Publishes before the reading is acknowledged. A reading that comes again publishes the same id
    /// again, which the engine takes once.
    async fn boost(&self, reading: Reading, context: &Context) -> Result<(), BoxError> {
        let boost = Envelope::json("game.boost", &(reading.id(), reading.steps))?;
        let boost = boost.with_id(format!("boost/{}", context.envelope().id()));
        self.say.say(Line::Attempted(Flow::Boosts, reading.id()));
        self.engine.publish(boost.with_key(context.key()).into()).await?;
        self.say.say(Line::Acknowledged(Flow::Boosts, reading.id()));
        Ok(())
    }

    fn numbers(&self, running: &[Workers]) -> Numbers {
        let mut all = HandlerStats::default();
        running.iter().for_each(|workers| all += workers.stats());
        let retried = self.retried.load(Relaxed);
        let dropped = all.dropped.by_reason().into_iter().filter(|(_, count)| *count > 0);
        Numbers {
            published: published(&self.engine.stats()),
            handled: all.handled,
            lag: running[..2].iter().filter_map(Workers::lag).sum(),
            retried,
            redelivered: self.again.load(Relaxed).saturating_sub(retried),
            dead_letters: all.dead_lettered,
            dropped: dropped.map(|(reason, count)| (reason.into(), count)).collect(),
        }
    }
}
