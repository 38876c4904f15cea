//! Behaviours of engines as a whole: receipts, refusals, the end.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use tokio::time::{sleep, timeout};

use super::live::received;
use super::{Behaviour, Case, Check, Setup, Stop, ensure, failed};
use crate::envelope::Envelope;
use crate::hosted::capabilities::{Capability, Mode};
use crate::hosted::engine::{Engine, Level, Reason};
use crate::hosted::subscribe::Deliveries;

pub(super) fn all<S: Setup>() -> Vec<Behaviour<S>> {
    use Capability::{Durable, Live};
    vec![
        Behaviour {
            name: "receipt_says_what_is_claimed",
            mode: Mode::Live,
            needs: &[],
            run: |case| Box::pin(receipt(case)),
        },
        Behaviour {
            name: "publish_fills_in_id_and_time",
            mode: Mode::Live,
            needs: &[Live],
            run: |case| Box::pin(filled_in(case)),
        },
        Behaviour {
            name: "oversized_payload_is_not_sent",
            mode: Mode::Live,
            needs: &[],
            run: |case| Box::pin(oversized(case)),
        },
        Behaviour {
            name: "closed_engine_refuses",
            mode: Mode::Live,
            needs: &[],
            run: |case| Box::pin(closed(case)),
        },
        Behaviour {
            name: "second_shutdown_is_ok",
            mode: Mode::Live,
            needs: &[],
            run: |case| Box::pin(second_shutdown(case)),
        },
        Behaviour {
            name: "shutdown_ends_live_subscriptions",
            mode: Mode::Live,
            needs: &[Live],
            run: |case| Box::pin(async { ends(case, case.live("end").await?).await }),
        },
        Behaviour {
            name: "shutdown_ends_durable_subscriptions",
            mode: Mode::Durable,
            needs: &[Durable],
            run: |case| Box::pin(async { ends(case, case.join("end", "g").await?).await }),
        },
        Behaviour {
            name: "debug_shows_no_secret",
            mode: Mode::Live,
            needs: &[],
            run: |case| Box::pin(secrets(case)),
        },
        Behaviour {
            name: "publish_survives_a_runtime_that_stops",
            mode: Mode::Durable,
            needs: &[Durable],
            run: |case| Box::pin(runtime_stops(case)),
        },
        Behaviour {
            name: "batch_has_a_result_for_each",
            mode: Mode::Durable,
            needs: &[Durable],
            run: |case| Box::pin(batch(case)),
        },
    ]
}

async fn receipt<S: Setup>(case: &Case<'_, S>) -> Check {
    let receipt = case.publish("receipt", "1").await?;
    let highest = case.engine.capabilities().highest_level();
    ensure!(
        receipt.level == highest,
        "a quiet engine that claims `{highest}` returned `{}`",
        receipt.level
    );
    ensure!(case.is_name(&receipt.engine), "the receipt names `{}`", receipt.engine);
    ensure!(!receipt.duplicate, "a new id is a duplicate");
    Ok(())
}

async fn filled_in<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut live = case.live("bare").await?;
    let bare = Envelope::unstamped(&case.subject("bare")).map_err(|error| error.to_string())?;
    case.send(bare).await?;
    let it = case.next(&mut live).await?;
    ensure!(!it.envelope().id().is_empty(), "it has no id");
    ensure!(it.envelope().time().is_some(), "it has no time");
    Ok(())
}

async fn oversized<S: Setup>(case: &Case<'_, S>) -> Check {
    let Some(limit) = case.engine.capabilities().payload_limit() else {
        return Err(Stop::Skipped("the engine states no limit"));
    };
    let large = case.event("large", "1")?.with_bytes(vec![0; limit + 1]);
    match case.engine.publish(large.into()).await {
        Ok(_) => failed(format!("{} bytes were taken, and the limit is {limit}", limit + 1)),
        Err(error) if error.is_unknown() => failed(error.to_string()),
        Err(error) => match error.reason() {
            Reason::TooLarge { .. } => Ok(()),
            _ => failed(format!("refused for another reason: {error}")),
        },
    }
}

async fn closed<S: Setup>(case: &Case<'_, S>) -> Check {
    let shutdown = case.engine.shutdown(case.setup.patience()).await;
    shutdown.map_err(|error| error.to_string())?;
    match case.engine.publish(case.event("late", "1")?.into()).await {
        Ok(_) => return failed("a closed engine published"),
        Err(error) => {
            ensure!(!error.is_unknown(), "a closed engine may have published: {error}");
            ensure!(case.is_name(error.engine()), "the error names another engine");
            let returned = error.into_envelope();
            ensure!(case.id(&returned) == "1", "the error returned another envelope");
        }
    }
    let can = case.engine.capabilities();
    if can.has(Mode::Live, Capability::Live) {
        let opened = case.subscribe("late")?.open().await;
        ensure!(opened.is_err(), "a closed engine opened a live subscription");
    }
    if can.has(Mode::Durable, Capability::Durable) {
        let opened = case.member("late", "g")?.open().await;
        ensure!(opened.is_err(), "a closed engine opened a durable subscription");
    }
    Ok(())
}

async fn second_shutdown<S: Setup>(case: &Case<'_, S>) -> Check {
    for _ in 0..2 {
        let shutdown =
            timeout(case.setup.patience() * 2, case.engine.shutdown(case.setup.patience()));
        match shutdown.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return failed(error.to_string()),
            Err(_) => return failed("a shutdown did not end"),
        }
    }
    Ok(())
}

/// A receiver that waits sees the end.
async fn ends<S: Setup>(case: &Case<'_, S>, mut from: Deliveries) -> Check {
    let shutdown = async {
        sleep(case.setup.quiet()).await;
        case.engine.shutdown(Duration::ZERO).await
    };
    let mut shutdown = core::pin::pin!(shutdown);
    let waits = async {
        let mut next = core::pin::pin!(from.next());
        let mut done = false;
        core::future::poll_fn(|context| {
            done = done || shutdown.as_mut().poll(context).is_ready();
            next.as_mut().poll(context)
        })
        .await
    };
    match timeout(case.setup.patience(), waits).await {
        Ok(None) => Ok(()),
        Ok(Some(_)) => failed("something came at the end"),
        Err(_) => failed("a receiver that waits is not woken"),
    }
}

async fn secrets<S: Setup>(case: &Case<'_, S>) -> Check {
    let shown = [
        format!("{:?}", case.engine),
        format!("{:#?}", case.engine),
        case.engine.health().to_string(),
        case.engine.name().to_string(),
    ];
    let secrets = case.setup.secrets();
    if secrets.is_empty() {
        return Err(Stop::Skipped("the setup names no secret"));
    }
    for secret in secrets {
        // The message must not print it either.
        ensure!(!shown.iter().any(|text| text.contains(&secret)), "a secret is printed");
    }
    Ok(())
}

async fn runtime_stops<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut one = case.join("stops", "g").await?;
    let sent: Vec<String> = (0..5).map(|id| id.to_string()).collect();
    let events = sent.iter().map(|id| case.event("stops", id)).collect::<Result<Vec<_>, _>>()?;
    // A runtime of its own that is gone right after.
    let publish = |setup: &S, engine: Arc<S::Engine>| -> Result<usize, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| error.to_string())?;
        runtime.block_on(async move {
            let another = match setup.reconnects() {
                true => Some(setup.connect().await.map_err(|error| error.to_string())?),
                false => None,
            };
            let engine = another.as_ref().unwrap_or(&engine);
            let mut certain = 0;
            for event in events {
                let receipt = engine.publish(event.into()).await.map_err(|it| it.to_string())?;
                certain += usize::from(receipt.level >= Level::Accepted);
            }
            Ok(certain)
        })
    };
    let certain = std::thread::scope(|scope| {
        let engine = case.engine.clone();
        scope.spawn(|| publish(case.setup, engine)).join()
    });
    let certain = certain.map_err(|_| "publishing on another runtime panicked".to_string())??;
    if certain < sent.len() {
        return Err(Stop::Skipped("the receipts say that nothing is certain"));
    }
    received(case, "a group", &mut one, sent).await
}

async fn batch<S: Setup>(case: &Case<'_, S>) -> Check {
    let mut one = case.join("batch", "g").await?;
    let ids: Vec<String> = (0..10).map(|id| id.to_string()).collect();
    let mut events = Vec::new();
    for id in &ids {
        events.push(Arc::new(case.event("batch", id)?));
    }
    let results = case.engine.publish_batch(events).await;
    ensure!(results.len() == ids.len(), "{} results for {} events", results.len(), ids.len());
    for result in results {
        result.map_err(|error| error.to_string())?;
    }
    let got = case.ids(&mut one, ids.len()).await?;
    ensure!(got == ids, "received in the order {got:?}");
    Ok(())
}
