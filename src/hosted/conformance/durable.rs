//! Behaviours of groups: who receives what, in which order, and how it is settled.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::live::{PATTERNS, SUBJECTS, compare, expected, received, samples};
use super::{Behaviour, Case, Check, SLOW, Setup, Stop, ensure, failed};
use crate::hosted::capabilities::{Capability, Mode};
use crate::hosted::delivery::{Delivery, SettleError, Verdict};
use crate::hosted::subscribe::Deliveries;

pub(super) fn all<S: Setup>() -> Vec<Behaviour<S>> {
    use Capability::{
        Attempts, DeadLetters, Delay, Durable, Extend, FencingLocal, Headers, KeyOrderAcrossGroup,
        KeyOrderPerMember, PublisherOrder, Redelivery,
    };
    let mode = Mode::Durable;
    vec![
        Behaviour {
            name: "durable_receives_exactly_what_was_published",
            mode,
            needs: &[Durable, Headers],
            run: |case| Box::pin(exact(case)),
        },
        Behaviour {
            name: "durable_patterns_are_those_of_the_matcher",
            mode,
            needs: &[Durable],
            run: |case| Box::pin(patterns(case)),
        },
        Behaviour {
            name: "durable_group_shares",
            mode,
            needs: &[Durable],
            run: |case| Box::pin(shares(case)),
        },
        Behaviour {
            name: "durable_groups_have_all_each",
            mode,
            needs: &[Durable],
            run: |case| Box::pin(groups(case)),
        },
        Behaviour {
            name: "durable_keeps_the_order_of_a_publisher",
            mode,
            needs: &[Durable, PublisherOrder],
            run: |case| Box::pin(order(case)),
        },
        Behaviour {
            name: "durable_keeps_the_order_of_a_key",
            mode,
            needs: &[Durable, KeyOrderPerMember],
            run: |case| Box::pin(key_order(case)),
        },
        Behaviour {
            name: "durable_key_is_with_one_member",
            mode,
            needs: &[Durable, KeyOrderAcrossGroup],
            run: |case| Box::pin(key_of_one(case)),
        },
        Behaviour {
            name: "durable_retry_comes_again",
            mode,
            needs: &[Durable, Redelivery],
            run: |case| Box::pin(retry(case)),
        },
        Behaviour {
            name: "durable_retry_keeps_its_delay",
            mode,
            needs: &[Durable, Redelivery, Delay],
            run: |case| Box::pin(delay(case)),
        },
        Behaviour {
            name: "durable_lease_ends",
            mode,
            needs: &[Durable, Redelivery],
            run: |case| Box::pin(lease_ends(case)),
        },
        Behaviour {
            name: "durable_acknowledged_never_comes_again",
            mode,
            needs: &[Durable, Redelivery],
            run: |case| Box::pin(acknowledged(case)),
        },
        Behaviour {
            name: "durable_attempts_count",
            mode,
            needs: &[Durable, Redelivery, Attempts],
            run: |case| Box::pin(attempts(case)),
        },
        Behaviour {
            name: "durable_attempts_are_bounded",
            mode,
            needs: &[Durable, Redelivery, Attempts],
            run: |case| Box::pin(bounded(case)),
        },
        Behaviour {
            name: "durable_extend_holds",
            mode,
            needs: &[Durable, Redelivery, Extend],
            run: |case| Box::pin(extend(case)),
        },
        Behaviour {
            name: "durable_extend_ends",
            mode,
            needs: &[Durable, Redelivery, Extend, FencingLocal],
            run: |case| Box::pin(extend_ends(case)),
        },
        Behaviour {
            name: "durable_late_verdicts_are_refused",
            mode,
            needs: &[Durable, Redelivery, FencingLocal],
            run: |case| Box::pin(late(case)),
        },
        Behaviour {
            name: "durable_other_leases_are_kept_or_refused",
            mode,
            needs: &[Durable, Redelivery, FencingLocal],
            run: |case| Box::pin(other_leases(case)),
        },
        Behaviour {
            name: "durable_rejected_never_comes_again",
            mode,
            needs: &[Durable, Redelivery],
            run: |case| Box::pin(rejected(case)),
        },
        Behaviour {
            name: "durable_rejected_is_a_dead_letter",
            mode,
            needs: &[Durable, DeadLetters],
            run: |case| Box::pin(dead_letter(case)),
        },
    ]
}

async fn exact<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut all = case.join("exact", "g").await?;
    let samples = samples(case)?;
    for sample in &samples {
        case.send(sample.clone()).await?;
        compare(case, &mut all, core::slice::from_ref(sample)).await?;
    }
    Ok(())
}

async fn patterns<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut opened = Vec::new();
    for (number, pattern) in PATTERNS.into_iter().enumerate() {
        opened.push((pattern, case.join(pattern, &number.to_string()).await?));
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

async fn shares<S: Setup>(case: &Case<'_, S>) -> Check {
    let (mut one, mut two) = (case.join("share", "g").await?, case.join("share", "g").await?);
    for id in 0..20 {
        case.publish("share", id).await?;
    }
    let mut got = Vec::new();
    let end = Instant::now() + case.setup.patience();
    while got.len() < 20 && Instant::now() < end {
        for from in [&mut one, &mut two] {
            if let Ok(Some(Ok(it))) = timeout(case.setup.quiet() / 10, from.next()).await {
                got.push(case.id(it.envelope()).to_string());
                case.ack(it).await?;
            }
        }
    }
    got.sort_by_key(|id| id.parse::<u32>().unwrap_or(u32::MAX));
    let sent: Vec<String> = (0..20).map(|id| id.to_string()).collect();
    ensure!(got == sent, "two members received {got:?} between them, not each of 20 once");
    case.nothing(&mut one).await?;
    case.nothing(&mut two).await
}

async fn groups<S: Setup>(case: &Case<'_, S>) -> Check {
    let (mut one, mut two) = (case.join("each", "g").await?, case.join("each", "h").await?);
    let sent: Vec<String> = ["1", "2", "3"].map(str::to_string).into();
    for id in &sent {
        case.publish("each", id).await?;
    }
    received(case, "the first group", &mut one, sent.clone()).await?;
    received(case, "the second group", &mut two, sent).await
}

async fn order<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut one = case.join("order.*", "g").await?;
    for id in 0..50 {
        case.publish(&format!("order.{}", id % 3), id).await?;
    }
    let got = case.ids(&mut one, 50).await?;
    let sent: Vec<String> = (0..50).map(|id| id.to_string()).collect();
    ensure!(got == sent, "received in the order {got:?}");
    Ok(())
}

async fn key_order<S: Setup>(case: &Case<'_, S>) -> Check {
    let (mut one, mut two) = (case.join("key.*", "g").await?, case.join("key.*", "g").await?);
    for id in 0..60_u32 {
        let key = format!("k{}", id % 3);
        let event = case.event(&format!("key.{}", id % 2), &id.to_string())?;
        case.send(event.with_key(key)).await?;
    }
    let mut last: BTreeMap<(usize, String), u32> = BTreeMap::new();
    let (mut got, end) = (0, Instant::now() + case.setup.patience());
    while got < 60 && Instant::now() < end {
        for (member, from) in [&mut one, &mut two].into_iter().enumerate() {
            let Ok(Some(Ok(it))) = timeout(case.setup.quiet() / 10, from.next()).await else {
                continue;
            };
            let id: u32 = case.id(it.envelope()).parse().unwrap_or(u32::MAX);
            let key = it.envelope().key().to_string();
            if let Some(before) = last.insert((member, key.clone()), id) {
                ensure!(before < id, "a member received {id} of `{key}` after {before}");
            }
            case.ack(it).await?;
            got += 1;
        }
    }
    ensure!(got == 60, "received {got} of 60");
    Ok(())
}

async fn key_of_one<S: Setup>(case: &Case<'_, S>) -> Check {
    let (mut one, mut two) = (case.join("key", "g").await?, case.join("key", "g").await?);
    for id in 1..=3 {
        case.send(case.event("key", &id.to_string())?.with_key("k")).await?;
    }
    // Which of the two has it is the engine's choice.
    let first = case.early(&mut one).await?;
    let (held, other) = match first {
        Some(held) => (held, &mut two),
        None => (case.next(&mut two).await?, &mut one),
    };
    ensure!(case.id(held.envelope()) == "1", "`{}` came first", case.id(held.envelope()));
    if let Some(second) = case.early(other).await? {
        return failed(format!(
            "one member has 1, and another received {} of the same key",
            case.id(second.envelope())
        ));
    }
    case.ack(held).await
}

async fn retry<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut one = case.join("retry", "g").await?;
    case.publish("retry", "1").await?;
    case.next(&mut one).await?.retry_after(Duration::ZERO);
    let Some(again) = case.within(case.setup.lease() * 3 / 4, &mut one).await? else {
        return failed("a delivery that was given back did not come before its lease had ended");
    };
    ensure!(case.id(again.envelope()) == "1", "another came");
    case.ack(again).await
}

async fn delay<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut one = case.join("delay", "g").await?;
    case.publish("delay", "1").await?;
    let delay = case.setup.lease() * 2;
    let begin = Instant::now();
    let settled = case.next(&mut one).await?.settle_async(Verdict::RetryAfter(delay)).await;
    settled.map_err(|error| error.to_string())?;
    let again = case.next(&mut one).await?;
    let after = begin.elapsed();
    // Servers round.
    ensure!(after >= delay * 9 / 10, "it came again after {after:?}, not {delay:?}");
    case.ack(again).await
}

/// A delivery that is held until its lease has ended.
async fn outlived<S: Setup>(case: &Case<'_, S>, from: &mut Deliveries) -> Result<Delivery, Stop> {
    let held = case.next(from).await?;
    sleep(case.setup.lease() * 5 / 4).await;
    Ok(held)
}

async fn lease_ends<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut one = case.join("lease", "g").await?;
    case.publish("lease", "1").await?;
    let held = case.next(&mut one).await?;
    case.nothing(&mut one).await?; // it is held
    let again = case.next(&mut one).await?;
    ensure!(case.id(again.envelope()) == "1", "another came");
    drop(held);
    case.ack(again).await
}

async fn acknowledged<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut one = case.join("ack", "g").await?;
    case.publish("ack", "1").await?;
    let it = case.next(&mut one).await?;
    case.ack(it).await?;
    match case.within(case.setup.lease() * 2, &mut one).await? {
        None => Ok(()),
        Some(_) => failed("it came again after it was acknowledged"),
    }
}

async fn attempts<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut one = case.join("attempts", "g").await?;
    case.publish("attempts", "1").await?;
    for attempt in 1..=3 {
        let it = case.next(&mut one).await?;
        ensure!(it.attempt() == attempt, "attempt {attempt} says that it is {}", it.attempt());
        match attempt {
            1 => it.retry_after(Duration::ZERO),
            2 => drop(it), // its lease ends
            _ => case.ack(it).await?,
        }
    }
    Ok(())
}

async fn bounded<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut one = case.open(case.member("bound", "g")?.max_attempts(2)).await?;
    case.publish("bound", "1").await?;
    for _ in 0..2 {
        case.next(&mut one).await?.retry_after(Duration::ZERO);
    }
    match case.within(case.setup.lease() * 2, &mut one).await? {
        None => Ok(()),
        Some(it) => failed(format!("it came for attempt {} of 2", it.attempt().max(3))),
    }
}

async fn extend<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut last = String::new();
    for attempt in 0..SLOW {
        let lease = case.setup.lease() * (1 << attempt);
        let group = format!("g{attempt}");
        let mut one = case.open(case.member("extend", &group)?.lease(lease)).await?;
        let mut began = Instant::now();
        case.publish("extend", attempt).await?;
        let held = case.next(&mut one).await?;
        match extended(case, &mut one, held, lease, &mut began).await? {
            None => return Ok(()),
            Some(why) if began.elapsed() < lease => return failed(why),
            // It was not extended in time, so this says nothing of the engine.
            Some(why) => last = why,
        }
    }
    failed(last)
}

/// Extends a delivery four times. Returns what went wrong, and since when it has its last lease.
async fn extended<S: Setup>(
    case: &Case<'_, S>,
    one: &mut Deliveries,
    held: Delivery,
    lease: Duration,
    began: &mut Instant,
) -> Result<Option<String>, Stop> {
    for _ in 0..4 {
        if case.within(lease / 2, one).await?.is_some() {
            return Ok(Some("it came again while it was extended".into()));
        }
        let now = Instant::now();
        if let Err(error) = held.extend_async(lease).await {
            return Ok(Some(error.to_string()));
        }
        *began = now;
    }
    match case.ack(held).await {
        Err(Stop::Failed(why)) => Ok(Some(why)),
        other => other.map(|()| None),
    }
}

/// An extension may be shorter than a lease.
async fn extend_ends<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut one = case.join("short", "g").await?;
    case.publish("short", "1").await?;
    let held = case.next(&mut one).await?;
    let part = case.setup.lease() / 4;
    held.extend_async(part).await.map_err(|error| error.to_string())?;
    let early = case.within(part / 2, &mut one).await?;
    ensure!(early.is_none(), "it came again while it was extended");
    let Some(again) = case.within(part * 2, &mut one).await? else {
        return failed("it did not come again after the time for which it was extended");
    };
    ensure!(
        matches!(held.ack_async().await, Err(SettleError::Late)),
        "it was acknowledged after the time for which it was extended"
    );
    case.ack(again).await
}

async fn late<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut one = case.join("late", "g").await?;
    let verdicts = [
        Verdict::Ack,
        Verdict::RetryAfter(Duration::ZERO),
        Verdict::Reject("late".into()),
        Verdict::Extend(case.setup.lease()),
    ];
    for (number, verdict) in verdicts.into_iter().enumerate() {
        case.publish("late", number).await?;
        let held = outlived(case, &mut one).await?;
        let again = case.next(&mut one).await?;
        let text = format!("{verdict:?}");
        let settled = match verdict {
            Verdict::Extend(lease) => held.extend_async(lease).await,
            verdict => held.settle_async(verdict).await,
        };
        match settled {
            Err(SettleError::Late) => {}
            Err(error) => return failed(format!("a late {text} gave another error: {error}")),
            Ok(()) => return failed(format!("a late {text} was taken")),
        }
        // And it did nothing to the one that has it now.
        case.ack(again).await?;
    }
    case.nothing(&mut one).await
}

/// Two members with different leases: each keeps its own, or the engine refuses the second.
async fn other_leases<S: Setup>(case: &Case<'_, S>) -> Check {
    let lease = case.setup.lease();
    let mut long = case.open(case.member("leases.*", "g")?.lease(lease * 2)).await?;
    let short = case.member("leases.*", "g")?;
    let Ok(short) = timeout(case.setup.patience(), short.open()).await else {
        return failed("`open` did not end");
    };
    let Ok(mut short) = short else { return Ok(()) };
    for id in 0..20 {
        // Where a subject has one member, each has some of these.
        case.publish(&format!("leases.{id}"), id).await?;
        let Some(held) = case.early(&mut long).await? else {
            let other = case.next(&mut short).await?;
            case.ack(other).await?;
            continue;
        };
        let Some(again) = case.within(lease * 5 / 4, &mut short).await? else {
            return case.ack(held).await;
        };
        return match held.ack_async().await {
            Err(SettleError::Late) => case.ack(again).await,
            _ => failed("another member has received it, and the first one settled it"),
        };
    }
    failed("one of two members received nothing")
}

async fn rejected<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut one = case.join("reject", "g").await?;
    case.publish("reject", "1").await?;
    case.next(&mut one).await?.reject("the kit says so");
    match case.within(case.setup.lease() * 2, &mut one).await? {
        None => Ok(()),
        Some(_) => failed("it came again after it was rejected"),
    }
}

async fn dead_letter<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut one = case.join("dead", "g").await?;
    case.publish("dead", "1").await?;
    let rejected = case.next(&mut one).await?;
    let id = rejected.envelope().id().to_string();
    let settled = rejected.settle_async(Verdict::Reject("the kit says so".into())).await;
    settled.map_err(|error| error.to_string())?;
    match case.setup.dead_letters(&case.engine) {
        None => Err(Stop::Skipped("the setup does not show dead letters")),
        Some(dead) => {
            ensure!(dead.contains(&id), "`{id}` is not among the dead letters {dead:?}");
            Ok(())
        }
    }
}
