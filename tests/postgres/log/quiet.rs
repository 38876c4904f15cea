//! What an engine leaves undone while it has nothing to do, or little.

use core::future::{self, poll_fn};
use core::time::Duration;
use std::thread;
use std::time::Instant;

use tickbus::hosted::{Engine, StartAt};
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_postgres::{AsyncMessage, Client, NoTls};

use super::{delivery, nothing, number, on_a_log, publish, settings, up};
use crate::{client, run, until};

/// After this, an engine knows that it is alone.
const ALONE: Duration = Duration::from_millis(7500);
/// How long at least what was acknowledged waits for what is written next.
const LATER: Duration = Duration::from_millis(5);

/// Asserts that the runtime sleeps. The engine's tasks are on the runtime of the test, and one that does not wait
/// keeps it busy for all of the time.
async fn assert_quiet() {
    let busy = || Handle::current().metrics().worker_total_busy_duration(0);
    let (began, before) = (Instant::now(), busy());
    sleep(Duration::from_millis(400)).await;
    let (busy, of) = (busy() - before, began.elapsed());
    assert!(busy < of / 2, "it is busy for {busy:?} of {of:?}");
}

/// Each write of the only lane is a version.
async fn version(client: &Client, log: &str) -> i64 {
    let sql = format!("SELECT max(version) FROM {log}_states");
    client.query_one(&sql, &[]).await.unwrap().get(0)
}

#[test]
fn a_member_sleeps_after_it_has_written() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log).lanes(1)).await;
        let mut member = engine.subscribe(">").unwrap().group("all").open().await.unwrap();
        publish(&engine, "game.1").await;
        let come = delivery(&mut member).await;
        let client = client(server.url()).await;
        let before = version(&client, log).await;
        come.ack();
        until(async || version(&client, log).await > before).await;
        assert_quiet().await;
    });
}

/// The lane is lost while an acknowledgement is pending. On a slow machine the member may have written it before,
/// so there are several rounds.
#[test]
fn a_member_sleeps_after_it_has_lost_a_lane() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log).lanes(1)).await;
        for round in 0..4 {
            let member = engine.subscribe(">").unwrap().group(format!("g{round}"));
            let mut member = member.open().await.unwrap();
            publish(&engine, "game.1").await;
            let come = delivery(&mut member).await;
            let steal = format!(
                "INSERT INTO {log}_members SELECT 0, max(grp), 'another', now() + interval '1 hour', false, true \
                 FROM {log}_groups; INSERT INTO {log}_states SELECT slot, grp, lane, version + 1, moved, \
                 'another', done, upto, at_xid, at_seq, mark, low, open_xids, open_seqs FROM {log}_states ORDER BY \
                 grp DESC, version DESC LIMIT 1; SELECT pg_notify('tickbus_' || '{log}'::regclass::oid || \
                 '_groups', '')"
            );
            let url = server.url();
            // This runtime stands still: the member gets the acknowledgement first, and then the notification.
            let stolen = thread::spawn(move || {
                run(async { client(url).await.batch_execute(&steal).await.unwrap() });
                thread::sleep(Duration::from_millis(50)); // the server has sent it
            });
            stolen.join().unwrap();
            come.ack();
            assert_quiet().await;
            publish(&engine, "game.2").await;
            nothing(&mut member).await;
        }
    });
}

#[test]
fn acknowledgements_are_written_together() {
    on_a_log(async |server, log| {
        let engine = up(settings(server.url()).log(log).lanes(1)).await;
        let member = engine.subscribe(">").unwrap().group("all").in_flight(1000);
        let mut member = member.open().await.unwrap();
        let events = (0..1000).map(|at| number("game.shot", at)).collect();
        assert!(engine.publish_batch(events).await.iter().all(Result::is_ok));
        let mut held = Vec::new();
        while held.len() < 1000 {
            held.push(delivery(&mut member).await);
        }
        let client = client(server.url()).await;
        let (began, before) = (Instant::now(), version(&client, log).await);
        for it in held {
            it.ack();
            let now = Instant::now();
            // Shorter than a write, so that some come during one.
            while now.elapsed() < Duration::from_micros(200) {
                tokio::task::yield_now().await;
            }
        }
        let (wrote, took) = (version(&client, log).await - before, began.elapsed());
        let most = took.as_millis() / LATER.as_millis() + 1;
        assert!((2..=most).contains(&u128::try_from(wrote).unwrap()), "{wrote} writes in {took:?}");
    });
}

/// Each announcement of events on this log.
async fn announced(url: String, log: &str) -> mpsc::UnboundedReceiver<()> {
    let (client, mut connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    let (told, news) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            if matches!(message, AsyncMessage::Notification(_)) && told.send(()).is_err() {
                return;
            }
        }
    });
    let channel = format!("SELECT 'tickbus_' || '{log}'::regclass::oid");
    let channel: String = client.query_one(&channel, &[]).await.unwrap().get(0);
    client.batch_execute(&format!("LISTEN \"{channel}\"")).await.unwrap();
    // The connection ends with the client.
    tokio::spawn(async move {
        future::pending::<&Client>().await;
        drop(client);
    });
    news
}

#[test]
fn an_engine_that_is_alone_announces_nothing_until_another_listens() {
    on_a_log(async |server, log| {
        let patient = || settings(server.url()).log(log).poll(Duration::from_secs(60));
        let here = up(patient()).await;
        let mut news = announced(server.url(), log).await;
        // It knows after 5 s that it is alone.
        sleep(ALONE).await;
        while news.try_recv().is_ok() {}
        for _ in 0..5 {
            publish(&here, "game.alone").await;
            sleep(Duration::from_millis(20)).await;
        }
        assert!(news.try_recv().is_err(), "it announces events to nobody");

        // Another one misses nothing of what is published while it starts.
        let publishes = async {
            for _ in 0..100 {
                publish(&here, "game.start").await;
                sleep(Duration::from_millis(2)).await;
            }
        };
        let there = async {
            let there = up(patient()).await;
            let group = there.subscribe("game.start").unwrap().group("all");
            (group.start_at(StartAt::Earliest).open().await.unwrap(), there)
        };
        let ((), (mut group, there)) = tokio::join!(publishes, there);
        for _ in 0..100 {
            delivery(&mut group).await.ack();
        }
        assert!(news.try_recv().is_ok(), "another one listens");

        // It is gone.
        drop(group);
        there.shutdown(Duration::from_secs(5)).await.unwrap();
        sleep(ALONE).await;
        while news.try_recv().is_ok() {}
        publish(&here, "game.alone").await;
        sleep(Duration::from_millis(50)).await;
        assert!(news.try_recv().is_err(), "it announces events to one that is gone");

        // One that says that it listens hears at once of what was not announced.
        let says =
            format!("SELECT pg_notify('tickbus_' || '{log}'::regclass::oid || '_groups', 'here')");
        client(server.url()).await.batch_execute(&says).await.unwrap();
        timeout(ALONE, news.recv()).await.expect("it is told");
    });
}
