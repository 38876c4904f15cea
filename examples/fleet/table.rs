//! What the conductor shows: a table of the members, and the sums.

use alloc::collections::BTreeMap;

use crate::line::Numbers;
use crate::sums::Totals;

/// A row of the table.
pub(crate) struct Row<'a> {
    pub(crate) name: &'a str,
    pub(crate) state: &'static str,
    pub(crate) starts: u32,
    pub(crate) numbers: Numbers,
}

/// Adds what a member has counted to what its earlier lives have. The lag is that of the last one.
pub(crate) fn add(to: &mut Numbers, other: &Numbers) {
    to.published += other.published;
    to.handled += other.handled;
    to.lag = other.lag;
    to.retried += other.retried;
    to.redelivered += other.redelivered;
    to.dead_letters += other.dead_letters;
    let mut dropped: BTreeMap<String, u64> = to.dropped.drain(..).collect();
    for (reason, count) in &other.dropped {
        *dropped.entry(reason.clone()).or_default() += count;
    }
    to.dropped = dropped.into_iter().collect();
}

const HEAD: &str = "process    state     starts  published  handled     lag  retried  redelivered  \
                    dead letters  dropped";

/// What a reader of the table has to know.
pub(crate) const LEGEND: &str = "\
readings go from devices to services, and boosts from services to the game
a dead letter is a reading that no retry helps; dropped are live frames, which the sums leave out
lag is what is still to come: the services share theirs, so `all` shows the largest, not the sum";

/// The lines of the table, and a row for all.
pub(crate) fn lines(rows: &[Row<'_>]) -> Vec<String> {
    let mut lines = vec![HEAD.to_owned()];
    let mut all = Numbers::default();
    let mut lag = 0;
    for row in rows {
        lines.push(line(row.name, row.state, &row.starts.to_string(), &row.numbers));
        add(&mut all, &row.numbers);
        lag = lag.max(row.numbers.lag); // members of a group have one lag
    }
    all.lag = lag;
    lines.push(line("all", "", "", &all));
    lines
}

fn line(name: &str, state: &str, starts: &str, numbers: &Numbers) -> String {
    let Numbers { published, handled, lag, retried, redelivered, dead_letters, dropped } = numbers;
    let total: u64 = dropped.iter().map(|(_, count)| count).sum();
    let reasons: Vec<_> =
        dropped.iter().map(|(reason, count)| format!("{reason} {count}")).collect();
    let reasons =
        if reasons.is_empty() { String::new() } else { format!(" ({})", reasons.join(", ")) };
    format!(
        "{name:<10} {state:<9} {starts:>6} {published:>10} {handled:>8} {lag:>7} {retried:>8} \
         {redelivered:>12} {dead_letters:>13}  {total}{reasons}"
    )
}

/// One line while it runs: what is not delivered yet is on the way.
pub(crate) fn progress(name: &str, totals: &Totals) -> String {
    let Totals { attempted, acknowledged, delivered, lost, duplicated, .. } = totals;
    format!(
        "{name:<9} attempted {attempted}, acknowledged {acknowledged}, delivered {delivered}, \
         on the way {lost}, duplicated {duplicated}"
    )
}
