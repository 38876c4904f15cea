//! What became of each capability: the behaviours prove what the engine claims, and the rest is demanded.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::time::Duration;

use super::report::{Claim, Outcome, Report, Row};
use super::{Case, Setup, Stop};
use crate::hosted::capabilities::{Capability, Mode};
use crate::hosted::engine::Engine;

/// Adds all claims to a report that has the behaviours.
pub(super) async fn add<S: Setup>(setup: &S, report: &mut Report) {
    let engine = match setup.connect().await {
        Ok(engine) => Arc::new(engine),
        Err(error) => {
            let of = |(mode, capability)| Claim {
                mode: Mode::name(mode),
                capability: Capability::name(capability),
                claimed: false,
                outcome: Outcome::Failed,
                why: error.to_string(),
            };
            report.claims = pairs().map(of).collect();
            return;
        }
    };
    let can = engine.capabilities();
    report.level = can.highest_level().name();
    let case = Case { setup, engine, prefix: format!("{}.claims", setup.prefix()) };
    for (mode, capability) in pairs() {
        let claimed = can.has(mode, capability);
        let (outcome, why) = if claimed {
            proven(&report.rows, mode.name(), capability.name())
        } else {
            match case.refuses(mode, &[capability], can).await {
                Ok(()) => (Outcome::Refused, String::new()),
                Err(Stop::Failed(why)) => (Outcome::Failed, why),
                Err(Stop::Skipped(why)) => (Outcome::Skipped, why.into()),
            }
        };
        let (mode, capability) = (mode.name(), capability.name());
        report.claims.push(Claim { mode, capability, claimed, outcome, why });
    }
    let _ = case.engine.shutdown(Duration::ZERO).await;
}

fn pairs() -> impl Iterator<Item = (Mode, Capability)> {
    let of = |mode| Capability::ALL.into_iter().map(move |capability| (mode, capability));
    [Mode::Live, Mode::Durable].into_iter().flat_map(of)
}

/// One behaviour that needs it and failed is enough against it. Otherwise one that was proven is enough
/// for it.
fn proven(rows: &[Row], mode: &str, capability: &str) -> (Outcome, String) {
    let about = |row: &&Row| row.claimed && row.mode == mode && row.needs.contains(&capability);
    let first = |outcome| rows.iter().filter(about).find(|row| row.outcome == outcome);
    if let Some(row) = first(Outcome::Failed) {
        return (Outcome::Failed, format!("{}: {}", row.behaviour, row.why));
    }
    if first(Outcome::Proven).is_some() {
        return (Outcome::Proven, String::new());
    }
    let why = first(Outcome::Skipped).map(|row| row.why.clone());
    let alone = || match capability == Capability::FencingServer.name() {
        true => "a late answer is refused by either fencing, and the kit cannot tell by which one",
        false => "the engine claims nothing beside it with which a behaviour could try it",
    };
    (Outcome::Skipped, why.unwrap_or_else(|| alone().into()))
}
