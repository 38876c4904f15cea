//! The session that listens: for news, and for whether the server is there.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::future::{Future, poll_fn};
use core::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_postgres::{AsyncMessage, Client};

use super::super::error::PostgresError;
use super::base::Base;
use super::log::{Signal, ended};
use crate::hosted::Health;

/// How long it waits until it connects again: at first, and at most.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How often a session on which nothing happens must show that it is there.
const SIGN: Duration = Duration::from_secs(1);
/// The shortest time between two notifications: each is a commit of the server.
const QUIET: Duration = Duration::from_millis(1);
/// How often an engine says that it listens, and how long others count on one that has said so: while there is
/// none, nothing is announced.
const HERE: Duration = Duration::from_secs(2);
const HEARD: Duration = Duration::from_secs(5);

/// Listens until the engine ends.
pub(super) async fn listen(
    base: Arc<Base>,
    signals: watch::Receiver<Signal>,
    ready: oneshot::Sender<()>,
) {
    let mut ready = Some(ready);
    let mut pause = FIRST_PAUSE;
    loop {
        let session = session(&base, signals.clone(), &mut ready, &mut pause).await;
        let Err(error) = session else { return };
        {
            let mut health = base.health.lock();
            if *health == Health::Closed {
                return;
            }
            *health = Health::Down(error.to_string().into());
        }
        let mut signals = signals.clone();
        tokio::select! {
            () = ended(&mut signals) => return,
            () = sleep(pause) => pause = (pause * 2).min(LONGEST_PAUSE),
        }
    }
}

/// Listens until the connection is lost, or the engine ends: then it returns `Ok`.
async fn session(
    base: &Base,
    mut signals: watch::Receiver<Signal>,
    ready: &mut Option<oneshot::Sender<()>>,
    pause: &mut Duration,
) -> Result<(), PostgresError> {
    let (client, mut driven) = base.connection.session().await?;
    let (told, mut news) = mpsc::unbounded_channel();
    // It ends with the client.
    tokio::spawn(async move {
        loop {
            match poll_fn(|context| driven.poll_message(context)).await {
                Some(Ok(AsyncMessage::Notification(it))) => {
                    let is_here = it.payload() == "here";
                    let _ = told.send((it.process_id(), it.channel().to_string(), is_here));
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return,
            }
        }
    });
    let channels = format!("SELECT {}, pg_backend_pid()", base.tables.events.channel());
    let row = ask(base, client.query_typed_one(&channels, &[])).await?;
    let (events, own): (String, i32) = (row.get(0), row.get(1));
    let groups = format!("{events}_groups");
    // What it tells others need not survive the server: it commits without a wait for the disk.
    let listen = format!("SET synchronous_commit = off; LISTEN \"{events}\"; LISTEN \"{groups}\"");
    ask(base, client.batch_execute(&listen)).await?;
    *pause = FIRST_PAUSE;
    {
        let mut health = base.health.lock();
        if *health != Health::Closed {
            *health = Health::Up;
        }
    }
    // What came meanwhile was announced to others.
    base.wake.events.send_modify(|count| *count += 1);
    base.wake.groups.send_modify(|count| *count += 1);
    if let Some(ready) = ready.take() {
        let _ = ready.send(());
    }
    let (mut has_news, mut quiet_until) = (false, Instant::now());
    let (mut heard, mut here_at) = (Instant::now(), Instant::now());
    loop {
        tokio::select! {
            () = ended(&mut signals) => {
                let _ = notify(base, &client, &events).await;
                // Others may take the lanes of its members.
                let _ = notify(base, &client, &groups).await;
                return Ok(());
            }
            it = news.recv() => {
                let Some((process, channel, is_here)) = it else {
                    let why = format!("{}: it was lost", base.connection.server());
                    return Err(PostgresError::Disconnected(why.into()));
                };
                // It has woken its own subscriptions.
                if process == own {
                    continue;
                }
                // What came before was not announced to it.
                has_news |= heard.elapsed() > HEARD;
                heard = Instant::now();
                if channel == groups && !is_here {
                    base.wake.groups.send_modify(|count| *count += 1);
                } else if !is_here {
                    base.wake.events.send_modify(|count| *count += 1);
                }
            }
            // Not in the transaction of the events: commits that notify wait for each other.
            () = base.wake.tell_events.notified(), if !has_news => has_news = heard.elapsed() <= HEARD,
            () = sleep_until(quiet_until), if has_news => {
                notify(base, &client, &events).await?;
                (has_news, quiet_until) = (false, Instant::now() + QUIET);
            }
            () = base.wake.tell_groups.notified() => notify(base, &client, &groups).await?,
            () = sleep_until(here_at) => {
                let here = format!("NOTIFY \"{groups}\", 'here'");
                ask(base, client.batch_execute(&here)).await?;
                here_at = Instant::now() + HERE;
            }
            () = sleep(SIGN) => drop(ask(base, client.batch_execute("")).await?),
        }
    }
}

async fn notify(base: &Base, client: &Client, channel: &str) -> Result<(), PostgresError> {
    ask(base, client.batch_execute(&format!("NOTIFY \"{channel}\""))).await
}

/// Waits for an answer of the server.
async fn ask<T>(
    base: &Base,
    question: impl Future<Output = Result<T, tokio_postgres::Error>>,
) -> Result<T, PostgresError> {
    match timeout(base.connection.timeout(), question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(base.connection.error(&error)),
        Err(_) => Err(PostgresError::TimedOut),
    }
}
