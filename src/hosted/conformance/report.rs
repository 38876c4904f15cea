//! What the kit found.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// What the kit found out about an engine: a table of behaviours.
///
/// `Display` prints the table, with a line for each behaviour.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The name of the engine.
    pub engine: String,
    /// The behaviours that were tried.
    pub rows: Vec<Row>,
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
    /// Returns whether no behaviour failed.
    #[must_use]
    pub fn is_proven(&self) -> bool {
        self.failed().next().is_none()
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
        Ok(())
    }
}
