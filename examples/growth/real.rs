//! One real run beside the simulation: a thousand devices with a connection each, a NATS server, and a
//! handler that takes a fixed time.
//!
//! It wants a machine with nothing else to do. `chrt -f 5` before the command helps where others work.

use alloc::sync::Arc;
use core::time::Duration;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Instant;

use tickbus::hosted::{BoxError, Context, Engine, StartAt};

use crate::costs::{HANDLER_NS, REAL_SECONDS};
use crate::devices::Devices;
use crate::measure::{runtime, settings, start_server};
use crate::queue::{Random, SECOND, percentile};

pub(crate) const DEVICES: usize = 1000;

/// Runs each rate, and prints what `costs.rs` keeps of it.
pub(crate) fn run(rates: &[u32]) -> Result<(), BoxError> {
    for &rate in rates {
        let (throughput, lags) = measure(rate)?;
        let [p50, p99] = [50, 99].map(|percent| percentile(&lags, percent) / 1000);
        println!(
            "    Real {{ rate: {rate}, throughput: {throughput:.0}, p50_us: {p50}, p99_us: {p99} }},"
        );
    }
    Ok(())
}

/// Returns how many events were handled a second, and how long each took from when it was due.
fn measure(rate: u32) -> Result<(f64, Vec<u64>), BoxError> {
    let server = start_server()?;
    let url = server.url();
    runtime().block_on(async { settings(url.clone()).start().await })?;
    let base = Instant::now() + Duration::from_secs(2);
    let end = base + Duration::from_secs(REAL_SECONDS);
    let now = move || Instant::now().saturating_duration_since(base).as_nanos() as u64;
    let lags = Arc::new(Mutex::new(Vec::new()));
    let (own, (ready, is_ready)) = (lags.clone(), mpsc::channel());
    let (over, is_over) = mpsc::channel::<()>();
    let consumer = thread::spawn(move || {
        runtime().block_on(async {
            let engine: Arc<dyn Engine> = Arc::new(settings(url));
            engine.start().await?;
            let group = engine.subscribe("device.>")?.group("real");
            let group = group.start_at(StartAt::Earliest).in_flight(1024);
            let workers = group.handle(move |context: Context| {
                let begin = Instant::now();
                let number = context.envelope().bytes().and_then(|it| it.first_chunk::<8>());
                let due = number.map_or(0, |it| u64::from_be_bytes(*it));
                while begin.elapsed() < Duration::from_nanos(HANDLER_NS) {
                    core::hint::spin_loop();
                }
                let now = now();
                own.lock().expect("no panic").push((now, now.saturating_sub(due)));
                core::future::ready(Ok::<_, BoxError>(()))
            });
            let workers = workers.await?;
            ready.send(()).expect("it waits");
            while is_over.try_recv().is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            workers.shutdown(Duration::from_secs(1)).await?;
            Ok::<_, BoxError>(())
        })
    });
    is_ready.recv()?;
    let mut devices = Devices::connect(server.port, DEVICES)?;
    // The times are those of the simulation, of the same seed.
    let mut random = Random(u64::from(rate));
    let mut due = 0.0;
    let mut which = 0;
    loop {
        due += random.exponential(SECOND as f64 / f64::from(rate));
        let at = base + Duration::from_nanos(due as u64);
        if at >= end {
            break;
        }
        // It wakes late by a little, and the lag counts from when the event was due.
        thread::sleep(at.saturating_duration_since(Instant::now()));
        which += 1;
        devices.publish(which * 7919 % DEVICES, &format!("r{which}"), due as u64)?;
    }
    thread::sleep(Duration::from_millis(500));
    over.send(())?;
    consumer.join().expect("no panic")?;
    let all = lags.lock().expect("no panic");
    let in_time = all.iter().filter(|(now, _)| *now < REAL_SECONDS * SECOND);
    let mut lags: Vec<u64> = in_time.map(|(_, lag)| *lag).collect();
    lags.sort_unstable();
    Ok((lags.len() as f64 / REAL_SECONDS as f64, lags))
}
