//! Behaviours of logs: where a group begins, where it continues, and what is missing.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use tokio::time::sleep;

use super::live::received;
use super::{Behaviour, Case, Check, SLOW, Setup, Stop, ensure, failed};
use crate::envelope::Timestamp;
use crate::hosted::capabilities::{Capability, Mode};
use crate::hosted::subscribe::StartAt;

pub(super) fn all<S: Setup>() -> Vec<Behaviour<S>> {
    use Capability::{
        Deduplication, Durable, Gaps, Resume, StartEarliest, StartSequence, StartTime,
    };
    let mode = Mode::Durable;
    vec![
        Behaviour {
            name: "durable_begins_now_by_default",
            mode,
            needs: &[Durable],
            run: |case| Box::pin(begins_now(case)),
        },
        Behaviour {
            name: "durable_group_continues_where_it_stopped",
            mode,
            needs: &[Durable, Resume],
            run: |case| Box::pin(resume(case)),
        },
        Behaviour {
            name: "durable_begins_with_the_earliest",
            mode,
            needs: &[Durable, StartEarliest],
            run: |case| Box::pin(earliest(case)),
        },
        Behaviour {
            name: "durable_begins_at_a_sequence",
            mode,
            needs: &[Durable, StartSequence],
            run: |case| Box::pin(sequence(case)),
        },
        Behaviour {
            name: "durable_begins_at_a_time",
            mode,
            needs: &[Durable, StartTime],
            run: |case| Box::pin(time(case)),
        },
        Behaviour {
            name: "durable_begins_at_a_time_to_come",
            mode,
            needs: &[Durable, StartTime],
            run: |case| Box::pin(time_to_come(case)),
        },
        Behaviour {
            name: "durable_tells_of_what_was_trimmed",
            mode,
            needs: &[Durable, Gaps, Resume],
            run: |case| Box::pin(trimmed(case)),
        },
        Behaviour {
            name: "durable_same_id_has_one_effect",
            mode,
            needs: &[Durable, Deduplication],
            run: |case| Box::pin(same_id(case)),
        },
        Behaviour {
            name: "live_same_id_has_one_effect",
            mode: Mode::Live,
            needs: &[Capability::Live, Deduplication],
            run: |case| Box::pin(same_id_live(case)),
        },
    ]
}

async fn begins_now<S: Setup>(case: &Case<'_, S>) -> Check {
    case.publish("now", "before").await?;
    let mut one = case.join("now", "g").await?;
    case.publish("now", "after").await?;
    received(case, "a new group", &mut one, vec!["after".to_string()]).await
}

async fn resume<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut one = case.join("resume", "g").await?;
    for id in ["1", "2", "3"] {
        case.publish("resume", id).await?;
    }
    let got = case.ids(&mut one, 1).await?;
    drop(one);
    case.publish("resume", "4").await?;
    let mut one = case.join("resume", "g").await?;
    // What it had received and not settled comes when its lease ends.
    let mut rest = case.ids(&mut one, 3).await?;
    rest.extend(got);
    rest.sort_unstable();
    ensure!(rest == ["1", "2", "3", "4"], "before and after, the group received {rest:?}");
    case.nothing(&mut one).await
}

async fn earliest<S: Setup>(case: &Case<'_, S>) -> Check {
    for id in ["1", "2"] {
        case.publish("old", id).await?;
    }
    let mut one = case.open(case.member("old", "g")?.start_at(StartAt::Earliest)).await?;
    received(case, "a group from the earliest", &mut one, vec!["1".into(), "2".into()]).await
}

async fn sequence<S: Setup>(case: &Case<'_, S>) -> Check {
    case.publish("old", "1").await?;
    let Some(second) = case.publish("old", "2").await?.sequence else {
        return failed("a receipt has no sequence, and one is needed to begin there");
    };
    case.publish("old", "3").await?;
    let member = case.member("old", "g")?.start_at(StartAt::Sequence(second));
    let mut one = case.open(member).await?;
    let first = case.next(&mut one).await?;
    ensure!(
        first.sequence() == Some(second),
        "the first delivery has the sequence {:?}, not {second}",
        first.sequence()
    );
    case.ack(first).await?;
    received(case, "the rest", &mut one, vec!["3".to_string()]).await
}

async fn time<S: Setup>(case: &Case<'_, S>) -> Check {
    // The engine's own clock, as the first delivery shows it where the setup has another.
    case.publish("old", "1").await?;
    sleep(case.setup.quiet()).await;
    let Some(between) = case.setup.now() else {
        return Err(Stop::Skipped("the setup does not say what time it is"));
    };
    sleep(case.setup.quiet()).await;
    case.publish("old", "2").await?;
    let mut one = case.open(case.member("old", "g")?.start_at(StartAt::Time(between))).await?;
    received(case, "a group from a time between", &mut one, vec!["2".to_string()]).await
}

async fn time_to_come<S: Setup>(case: &Case<'_, S>) -> Check {
    for attempt in 0..SLOW {
        let Some(now) = case.setup.now() else {
            return Err(Stop::Skipped("the setup does not say what time it is"));
        };
        let wait = case.setup.quiet() * (2 << attempt);
        let nanos = i128::try_from(wait.as_nanos()).unwrap_or(i128::MAX);
        let then = Timestamp::from_unix_nanos(now.unix_nanos().saturating_add(nanos));
        let then = then.map_err(|error| error.to_string())?;
        let group = format!("g{attempt}");
        let (early, late) = (format!("{attempt}.1"), format!("{attempt}.2"));
        let member = case.member("later", &group)?.start_at(StartAt::Time(then));
        let mut one = case.open(member).await?;
        case.publish("later", early).await?;
        if case.setup.now().is_some_and(|now| now >= then) {
            // The time has come already, so this says nothing of the engine.
            continue;
        }
        case.nothing(&mut one).await?;
        sleep(wait).await;
        case.publish("later", &late).await?;
        return received(case, "a group from a time to come", &mut one, vec![late]).await;
    }
    failed("no event was published before the time to come")
}

async fn trimmed<S: Setup>(case: &Case<'_, S>) -> Check {
    let Some(kept) = case.setup.kept() else {
        return Err(Stop::Skipped("the setup does not say how many events are kept"));
    };
    let mut one = case.join("trim", "g").await?;
    case.publish("trim", "first").await?;
    case.ids(&mut one, 1).await?;
    drop(one);
    for id in 0..kept + 3 {
        case.publish("trim", id).await?;
    }
    let mut one = case.join("trim", "g").await?;
    match case.item(&mut one).await? {
        Err(gap) => {
            let right = gap.missed.is_none_or(|missed| missed == 3);
            ensure!(right, "the gap says {:?}, and 3 are missing", gap.missed);
        }
        Ok(it) => {
            return failed(format!("no gap: `{}` came first", case.id(it.envelope())));
        }
    }
    let next = case.next(&mut one).await?;
    ensure!(case.id(next.envelope()) == "3", "`{}` came behind it", case.id(next.envelope()));
    case.ack(next).await
}

async fn same_id<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut one = case.join("same", "g").await?;
    for duplicate in [false, true] {
        let receipt = case.publish("same", "1").await?;
        ensure!(receipt.duplicate == duplicate, "receipt {receipt:?} of the same id");
    }
    received(case, "a group", &mut one, vec!["1".to_string()]).await
}

async fn same_id_live<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut live = case.live("same").await?;
    case.publish("same", "1").await?;
    case.publish("same", "1").await?;
    sleep(Duration::ZERO).await;
    received(case, "a live subscription", &mut live, vec!["1".to_string()]).await
}
