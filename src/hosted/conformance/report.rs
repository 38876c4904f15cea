//! What the kit found.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What the kit found out about an engine: a table of behaviours.
///
/// `Display` prints the table, with a line for each behaviour, and one for each capability that is not
/// claimed and not refused.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The name of the engine.
    pub engine: String,
    /// The highest level that a receipt can have, as the engine states it. Empty if only one behaviour was
    /// tried.
    pub level: &'static str,
    /// The behaviours that were tried.
    pub rows: Vec<Row>,
    /// What follows for each capability, in each mode. Empty if only one behaviour was tried.
    pub claims: Vec<Claim>,
}

/// What the kit found out about one capability.
///
/// A capability is proven if a behaviour that needs it was proven, and none failed. It is refused if the
/// engine does not claim it, and refuses a subscription that demands it. It is skipped if the engine
/// claims it, and no behaviour could try it with this setup.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Claim {
    /// `live` or `durable`.
    pub mode: &'static str,
    /// The name of the capability.
    pub capability: &'static str,
    /// Whether the engine states it.
    pub claimed: bool,
    /// The outcome.
    pub outcome: Outcome,
    /// The reason if it failed or was skipped. Empty otherwise.
    pub why: String,
}

/// What the kit found out about one behaviour.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Row {
    /// The name.
    pub behaviour: &'static str,
    /// `live` or `durable`.
    pub mode: &'static str,
    /// The capabilities that the behaviour needs.
    pub needs: Vec<&'static str>,
    /// Whether the engine states all of them.
    pub claimed: bool,
    /// The outcome.
    pub outcome: Outcome,
    /// The reason if it failed or was skipped. Empty otherwise.
    pub why: String,
}

/// What came of a behaviour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Outcome {
    /// The engine claims the behaviour, and the kit proved it.
    Proven,
    /// The engine does not claim it, and refuses a subscription that demands it.
    Refused,
    /// The engine does not do as it states.
    Failed,
    /// The engine claims the behaviour, but this setup cannot try it.
    Skipped,
}

impl Outcome {
    /// Returns `proven`, `refused`, `failed` or `skipped`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Refused => "refused",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

impl Report {
    /// Returns whether no behaviour failed, and nothing was taken that the engine does not claim.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.failed().next().is_none() && self.failed_claims().next().is_none()
    }

    fn failed_claims(&self) -> impl Iterator<Item = &Claim> {
        self.claims.iter().filter(|claim| claim.outcome == Outcome::Failed)
    }

    /// Returns the behaviours that failed.
    pub fn failed(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.outcome == Outcome::Failed)
    }

    /// Returns how many behaviours had this outcome.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        self.rows.iter().filter(|row| row.outcome == outcome).count()
    }

    /// Returns the table as JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() // texts and flags
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "engine `{}`: {} proven, {} refused, {} failed, {} skipped",
            self.engine,
            self.count(Outcome::Proven),
            self.count(Outcome::Refused),
            self.count(Outcome::Failed),
            self.count(Outcome::Skipped),
        )?;
        let width = self.rows.iter().map(|row| row.behaviour.len()).max().unwrap_or(0);
        for row in &self.rows {
            let claimed = if row.claimed { "claimed" } else { "-" };
            let outcome = row.outcome.name();
            write!(f, "{:width$}  {:7}  {claimed:7}  {outcome:7}", row.behaviour, row.mode)?;
            if row.why.is_empty() { writeln!(f) } else { writeln!(f, "  {}", row.why) }?;
        }
        for claim in self.failed_claims().filter(|claim| !claim.claimed) {
            writeln!(f, "{} {}: {}", claim.mode, claim.capability, claim.why)?;
        }
        Ok(())
    }
}
