//! Behaviours of live subscriptions.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::pin::pin;

use tokio::time::{Instant, timeout};

use super::{Behaviour, Case, Check, Setup, Stop, ensure};
use crate::envelope::{Envelope, Timestamp};
use crate::hosted::capabilities::{Capability, Mode};
use crate::hosted::subscribe::Deliveries;
use crate::subject::{Pattern, Subject};
use crate::subject_bus::Overrun;

pub(super) fn all<S: Setup>() -> Vec<Behaviour<S>> {
    use Capability::{Block, BlockTimeout, Gaps, Headers, Live, PublisherOrder};
    let mode = Mode::Live;
    vec![
        Behaviour {
            name: "live_receives_exactly_what_was_published",
            mode,
            needs: &[Live, Headers],
            run: |case| Box::pin(exact(case)),
        },
        Behaviour {
            name: "live_patterns_are_those_of_the_matcher",
            mode,
            needs: &[Live],
            run: |case| Box::pin(patterns(case)),
        },
        Behaviour {
            name: "live_begins_now",
            mode,
            needs: &[Live],
            run: |case| Box::pin(begins_now(case)),
        },
        Behaviour {
            name: "live_keeps_the_order_of_a_publisher",
            mode,
            needs: &[Live, PublisherOrder],
            run: |case| Box::pin(order(case)),
        },
        Behaviour {
            name: "live_subscriptions_have_all_each",
            mode,
            needs: &[Live],
            run: |case| Box::pin(each(case)),
        },
        Behaviour {
            name: "live_tells_of_a_full_buffer",
            mode,
            needs: &[Live, Gaps],
            run: |case| Box::pin(full(case)),
        },
        Behaviour {
            name: "live_lets_the_publisher_wait",
            mode,
            needs: &[Live, Block],
            run: |case| Box::pin(waits(case)),
        },
        Behaviour {
            name: "live_lets_the_publisher_wait_so_long",
            mode,
            needs: &[Live, Block, BlockTimeout],
            run: |case| Box::pin(waits_so_long(case)),
        },
    ]
}

/// Envelopes in which everything is set, in every form of payload.
pub(super) fn samples<S: Setup>(case: &Case<'_, S>) -> Result<Vec<Envelope>, Stop> {
    let time = Timestamp::from_unix_nanos(1_764_468_000_123_456_789);
    let time = time.map_err(|error| error.to_string())?;
    let full = |id: &str| -> Result<Envelope, Stop> {
        Ok(case
            .event("exact", id)?
            .with_time(time)
            .with_source("/kit")
            .with_key("key 7")
            .header("Colour", "red, or \"blue\"")
            .header("letters", "äöü €")
            .header("empty", ""))
    };
    let json = r#"{"big": 12345678901234567890123, "z": 1e400, "a": [ ]}"#;
    let with_json = full("json")?.with_raw_payload(json).map_err(|error| error.to_string())?;
    let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let parent = parent.parse::<crate::envelope::TraceParent>();
    let traced = with_json.with_trace_parent(parent.map_err(|error| error.to_string())?);
    let bytes: Vec<u8> = (0..=255).collect();
    Ok(vec![traced, full("bytes")?.with_bytes(bytes), full("none")?, full("empty")?.with_bytes([])])
}

/// Each comes exactly as it was sent.
pub(super) async fn compare<S: Setup>(
    case: &Case<'_, S>,
    from: &mut Deliveries,
    sent: &[Envelope],
) -> Check {
    for expected in sent {
        let it = case.next(from).await?;
        let got = it.envelope();
        ensure!(**got == *expected, "sent {expected:?}, and {got:?} came");
        case.ack(it).await?;
    }
    Ok(())
}

async fn exact<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut all = case.live("exact").await?;
    let samples = samples(case)?;
    for sample in &samples {
        case.send(sample.clone()).await?;
        compare(case, &mut all, core::slice::from_ref(sample)).await?;
    }
    Ok(())
}

pub(super) const PATTERNS: [&str; 6] = ["a.b", "a.*", "*.b", "a.>", "*.*.c", ">"];
pub(super) const SUBJECTS: [&str; 6] = ["a.b", "a.c", "c.b", "a.b.c", "a", "A.b"];

/// What a pattern of the kit receives, as the core matcher says it.
pub(super) fn expected<S: Setup>(case: &Case<'_, S>, pattern: &str) -> Result<Vec<String>, Stop> {
    let full = case.subject(pattern);
    let pattern = Pattern::new(&full).map_err(|error| error.to_string())?;
    let matches = |rest: &&str| {
        let subject = case.subject(rest);
        Subject::new(&subject).is_ok_and(|subject| pattern.matches(subject))
    };
    Ok(SUBJECTS.into_iter().filter(matches).map(str::to_string).collect())
}

async fn patterns<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut opened = Vec::new();
    for pattern in PATTERNS {
        opened.push((pattern, case.live(pattern).await?));
    }
    for subject in SUBJECTS {
        case.publish(subject, subject).await?;
    }
    for (pattern, mut deliveries) in opened {
        let expected = expected(case, pattern)?;
        received(case, pattern, &mut deliveries, expected).await?;
    }
    Ok(())
}

/// Exactly these come, in any order.
pub(super) async fn received<S: Setup>(
    case: &Case<'_, S>,
    what: &str,
    from: &mut Deliveries,
    mut expected: Vec<String>,
) -> Check {
    let mut got = Vec::new();
    while got.len() < expected.len() {
        match case.within(case.setup.patience(), from).await? {
            None => break,
            Some(it) => {
                got.push(case.id(it.envelope()).to_string());
                case.ack(it).await?;
            }
        }
    }
    if let Some(more) = case.early(from).await? {
        got.push(case.id(more.envelope()).to_string());
    }
    got.sort_unstable();
    expected.sort_unstable();
    ensure!(got == expected, "`{what}` received {got:?}, not {expected:?}");
    Ok(())
}

async fn begins_now<S: Setup>(case: &Case<'_, S>) -> Check {
    case.publish("now", "before").await?;
    let mut live = case.live("now").await?;
    case.publish("now", "after").await?;
    received(case, "now", &mut live, vec!["after".to_string()]).await
}

async fn order<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut live = case.live("order.*").await?;
    for id in 0..50 {
        case.publish(&format!("order.{}", id % 3), id).await?;
    }
    let got = case.ids(&mut live, 50).await?;
    let sent: Vec<String> = (0..50).map(|id| id.to_string()).collect();
    ensure!(got == sent, "received in the order {got:?}");
    Ok(())
}

async fn each<S: Setup>(case: &Case<'_, S>) -> Check {
    let (mut one, mut two) = (case.live("each").await?, case.live("each").await?);
    let sent: Vec<String> = ["1", "2", "3"].map(str::to_string).into();
    for id in &sent {
        case.publish("each", id).await?;
    }
    received(case, "the first", &mut one, sent.clone()).await?;
    received(case, "the second", &mut two, sent).await
}

async fn full<S: Setup>(case: &Case<'_, S>) -> Check {
    let live = case.subscribe("full")?.capacity(2).overrun(Overrun::DropOldest);
    let mut live = case.open(live).await?;
    for id in 0..6 {
        case.publish("full", id).await?;
    }
    let (mut received, mut missed) = (0, 0);
    while received + missed < 6 {
        match case.item(&mut live).await? {
            Ok(_) => received += 1,
            Err(gap) => match gap.missed {
                Some(more) => missed += more,
                None => return Ok(()), // it says that it does not know
            },
        }
    }
    ensure!(received + missed == 6, "received {received} and missed {missed} of 6");
    ensure!(missed > 0, "a buffer for 2 kept {received} of 6");
    Ok(())
}

async fn waits<S: Setup>(case: &Case<'_, S>) -> Check {
    let live = case.subscribe("wait")?.capacity(1).overrun(Overrun::Block);
    let mut live = case.open(live).await?;
    case.publish("wait", "1").await?;
    let mut second = pin!(case.publish("wait", "2"));
    let early = timeout(case.setup.quiet(), second.as_mut()).await;
    ensure!(early.is_err(), "a publish that finds the buffer full does not wait");
    let mut ids = case.ids(&mut live, 1).await?;
    second.await?;
    ids.extend(case.ids(&mut live, 1).await?);
    ensure!(ids == ["1", "2"], "received {ids:?}");
    Ok(())
}

async fn waits_so_long<S: Setup>(case: &Case<'_, S>) -> Check {
    let wait = case.setup.quiet();
    let live = case.subscribe("brief")?.capacity(1).block_timeout(wait);
    let mut live = case.open(live).await?;
    case.publish("brief", "1").await?;
    let began = Instant::now();
    case.publish("brief", "2").await?;
    let took = began.elapsed();
    ensure!(took >= wait, "the publisher waited {took:?}, and was to wait {wait:?}");
    let ids = case.ids(&mut live, 1).await?;
    ensure!(ids == ["1"], "received {ids:?}");
    case.publish("brief", "3").await?;
    loop {
        // A gap may say that 2 is missing: that is another behaviour.
        if let Ok(it) = case.item(&mut live).await? {
            let id = case.id(it.envelope());
            ensure!(id == "3", "`{id}` came, and there was no room for it in time");
            return Ok(());
        }
    }
}
