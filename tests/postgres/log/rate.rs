//! Transactions of others do not slow the log down: windows with one open are compared with the windows around
//! them, of one run, in which none is open.
//!
//! The run takes 24 s, since a window of a second is enough for what a horizon of transactions breaks. A soak takes
//! ten minutes, with windows of 25 s:
//!
//! ```sh
//! SECONDS=600 cargo test --release --features postgres --test postgres log::rate -- --nocapture
//! ```

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;
use std::sync::Mutex;
use std::time::Instant;

use tickbus::hosted::engines::Postgres;
use tickbus::hosted::{Deliveries, Engine};
use tokio::time::{sleep, sleep_until, timeout};
use tokio_postgres::Client;

use super::{number, on, settings, up, value};
use crate::{SOON, client};

/// Events a second. Each is a publish of its own at its time, whatever became of the one before.
const RATE: f64 = 800.0;
const ROUNDS: usize = 4;
/// How many events the log keeps for each second of a window: three times as many as come. One of a transaction
/// that is open for a whole window is in the log when it commits.
const KEPT: u64 = 2400;
/// What the server may be asked to clear away.
const DEAD: i64 = 1000;
/// How much of the rate, and how much more time, there may be while a transaction is open.
const SHARE: f64 = 0.98;
const TIMES: f64 = 1.2;
/// The same for windows of less than 10 s, in which a slow machine shows. What an open transaction holds up is a
/// hundredth of the rate, and ten times as late.
const ROUGHLY: (f64, f64) = (0.8, 3.0);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Open {
    Nothing,
    /// It has read the log once, and sees what was there for as long as it is open.
    Snapshot,
    /// It has inserted an event.
    Writer,
    /// It reads the log, a little at a time.
    Reader,
}

const KINDS: [Open; 3] = [Open::Snapshot, Open::Writer, Open::Reader];

/// A part of the run.
struct Window {
    open: Open,
    from: Duration,
    to: Duration,
}

/// An event that has come: when, and how long after its time.
type Come = (Duration, Duration);

/// What windows of one kind say.
struct Found {
    /// The median of the parts of the rate that came in a window.
    share: f64,
    /// The median of the 95th percentiles, each beside those of the windows around it.
    times: f64,
    /// The median of the 95th percentiles.
    p95: Duration,
}

fn due(number: u32) -> Duration {
    Duration::from_secs_f64(f64::from(number) / RATE)
}

/// Publishes until it is told to stop. Returns how many.
async fn publish_at_rate(engine: Arc<Postgres>, began: Instant, stop: Arc<AtomicBool>) -> u32 {
    let mut tasks = tokio::task::JoinSet::new();
    let mut sent = 0;
    while !stop.load(Ordering::Relaxed) {
        while due(sent) <= began.elapsed() {
            let (engine, envelope) = (engine.clone(), number("game.shot", sent));
            tasks.spawn(async move { engine.publish(envelope).await.unwrap() });
            sent += 1;
        }
        while tasks.try_join_next().is_some_and(|it| it.is_ok()) {}
        sleep_until((began + due(sent)).into()).await;
    }
    tasks.join_all().await;
    sent
}

/// Receives for ever. Each event comes once, also those of the writers.
async fn receive(mut group: Deliveries, began: Instant, come: Arc<Mutex<BTreeMap<u32, Come>>>) {
    loop {
        let Ok(Some(next)) = timeout(6 * SOON, group.next()).await else { return };
        let next = next.expect("what comes is not removed before");
        let now = began.elapsed();
        let (number, late) = match next.envelope().bytes() {
            // A transaction inserted it.
            Some(number) => (str::from_utf8(number).unwrap().parse().unwrap(), Duration::ZERO),
            None => (value(&next), now.saturating_sub(due(value(&next)))),
        };
        let before = come.lock().unwrap().insert(number, (now, late));
        assert!(before.is_none(), "{number} comes twice");
        next.ack();
    }
}

/// A window: with a transaction, if one is to be open.
async fn window(
    client: &Client,
    log: &str,
    open: Open,
    began: Instant,
    takes: Duration,
    late: u32,
) -> Window {
    let begin = match open {
        Open::Nothing => String::new(),
        Open::Snapshot => {
            format!("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM {log}")
        }
        Open::Writer => {
            format!("BEGIN; INSERT INTO {log} (subject, envelope) VALUES ('game.late', '{late}')")
        }
        Open::Reader => {
            format!("BEGIN; DECLARE reader CURSOR FOR SELECT * FROM {log}; FETCH 1 reader")
        }
    };
    client.batch_execute(&begin).await.unwrap();
    let from = began.elapsed();
    while began.elapsed() < from + takes {
        sleep((takes / 10).min(from + takes - began.elapsed())).await;
        if open == Open::Reader {
            client.batch_execute("FETCH 10 reader").await.unwrap();
        }
    }
    let to = began.elapsed();
    if open != Open::Nothing {
        client.batch_execute("COMMIT").await.unwrap();
    }
    Window { open, from, to }
}

fn median(mut of: Vec<f64>) -> f64 {
    of.sort_unstable_by(f64::total_cmp);
    let half = of.len() / 2;
    if of.len().is_multiple_of(2) { (of[half - 1] + of[half]) / 2.0 } else { of[half] }
}

/// The 95th percentile of what was due in a window, in seconds.
fn p95(window: &Window, come: &BTreeMap<u32, Come>) -> f64 {
    let is_in = |number: u32| (window.from..window.to).contains(&due(number));
    let late = come.iter().filter(|(number, _)| is_in(**number)).map(|(_, (_, late))| *late);
    let mut late: Vec<Duration> = late.collect();
    late.sort_unstable();
    late.get(late.len() * 95 / 100).map_or(f64::INFINITY, Duration::as_secs_f64)
}

fn share(window: &Window, come: &BTreeMap<u32, Come>) -> f64 {
    let came = come.values().filter(|(at, _)| (window.from..window.to).contains(at)).count();
    (came as f64 / RATE / (window.to - window.from).as_secs_f64()).min(1.0)
}

/// Windows with a transaction are between two without. Those without are compared with the one before.
fn judge(windows: &[Window], come: &BTreeMap<u32, Come>) -> BTreeMap<Open, Found> {
    let all: Vec<f64> = windows.iter().map(|window| p95(window, come)).collect();
    let of = |open: Open| {
        let those = || (0..windows.len()).filter(move |at| windows[*at].open == open);
        let beside = those().filter_map(|at| match open {
            Open::Nothing if at < 2 => None,
            Open::Nothing => Some((all[at] / all[at - 2]).max(all[at - 2] / all[at])),
            _ => Some(all[at] * 2.0 / (all[at - 1] + all[at + 1])),
        });
        Found {
            share: median(those().map(|at| share(&windows[at], come)).collect()),
            times: median(beside.collect()),
            p95: Duration::from_secs_f64(median(those().map(|at| all[at]).collect()).min(1e6)),
        }
    };
    [Open::Nothing, Open::Snapshot, Open::Writer, Open::Reader].map(|it| (it, of(it))).into()
}

/// How many rows the server has that count no more, and how many were changed or deleted.
async fn dead(client: &Client) -> (i64, i64) {
    let flush = "SELECT pg_stat_force_next_flush()";
    let _ = client.batch_execute(flush).await; // servers before 15 do not know it
    let dead =
        "SELECT sum(n_dead_tup)::int8, sum(n_tup_upd + n_tup_del)::int8 FROM pg_stat_user_tables";
    let row = client.query_one(dead, &[]).await.unwrap();
    (row.get(0), row.get(1))
}

/// A reader that waits for `pg_snapshot_xmin` receives nothing while a writer is open.
#[test]
fn transactions_of_others_do_not_slow_it_down() {
    let seconds = std::env::var("SECONDS").ok().and_then(|it| it.parse().ok()).unwrap_or(24.0);
    let takes = Duration::from_secs_f64(seconds / (2 * KINDS.len() * ROUNDS) as f64);
    let is_short = takes < Duration::from_secs(10);
    on(&[], async |server| {
        let kept = (KEPT * takes.as_secs()).max(8000);
        let log = settings(server.url()).segment(4000).max_events(kept);
        let engine = Arc::new(up(log).await);
        let group = engine.subscribe("game.>").unwrap().group("all").open().await.unwrap();
        let client = client(server.url()).await;
        let (come, stop) =
            (Arc::<Mutex<BTreeMap<u32, Come>>>::default(), Arc::<AtomicBool>::default());
        let began = Instant::now();
        let receives = tokio::spawn(receive(group, began, come.clone()));
        let publishes = tokio::spawn(publish_at_rate(engine.clone(), began, stop.clone()));
        sleep(Duration::from_secs(1)).await; // to warm up

        let mut windows = vec![window(&client, "game", Open::Nothing, began, takes, 0).await];
        let mut late = u32::MAX;
        let (found, limit) = loop {
            assert!(!receives.is_finished(), "it receives until the end");
            let round = windows.len() / (2 * KINDS.len());
            for at in 0..KINDS.len() {
                for open in [KINDS[(round + at) % KINDS.len()], Open::Nothing] {
                    late -= u32::from(open == Open::Writer);
                    windows.push(window(&client, "game", open, began, takes, late).await);
                }
            }
            if round + 1 < ROUNDS {
                continue;
            }
            sleep(takes / 10).await;
            let found = judge(&windows, &come.lock().unwrap());
            // Windows without a transaction say how much they differ by chance.
            let limit = TIMES * found[&Open::Nothing].times;
            let limit = if is_short { limit.max(ROUGHLY.1) } else { limit };
            if KINDS.iter().all(|open| found[open].times <= limit) || round + 1 == 3 * ROUNDS {
                break (found, limit);
            }
        };
        stop.store(true, Ordering::Relaxed);
        let sent = publishes.await.unwrap();
        let lates = u32::MAX - late;
        let is_whole = async {
            while come.lock().unwrap().len() < (sent + lates) as usize {
                assert!(!receives.is_finished());
                sleep(Duration::from_millis(5)).await;
            }
        };
        let all_came = timeout(SOON, is_whole).await.is_ok();
        assert!(all_came, "{} of {sent} + {lates} events came", come.lock().unwrap().len());
        engine.shutdown(SOON).await.unwrap(); // its sessions say what they did as they end
        sleep(Duration::from_millis(100)).await;
        let (dead, changed) = dead(&client).await;

        println!("{sent} events at {RATE} a second, {} windows of {takes:?}", windows.len());
        for (open, Found { share, times, p95 }) in &found {
            println!("{open:?}: {:.1} % of the rate, p95 {p95:.2?}, {times:.2} x", share * 100.0);
        }
        println!("{dead} dead rows, {changed} changed or deleted");
        assert!(dead < DEAD && changed < DEAD, "{dead} {changed}");
        let without = found[&Open::Nothing].share;
        if without < SHARE {
            println!("SKIPPED: too slow: without a transaction {without:.3} of the rate");
            return;
        }
        for open in KINDS {
            let Found { share, times, .. } = found[&open];
            let least = if is_short { ROUGHLY.0 } else { SHARE };
            assert!(share >= least * without, "{open:?}: {share:.3} of the rate");
            assert!(times <= limit, "{open:?}: {times:.2} x is more than {limit:.2}");
        }
    });
}
