//! How the buses of one event share the budget of a frame.

/// Each bus below the first has a right to this part of the budget while it has events.
const SHARE: usize = 8;

/// With eight buses the first has a part of the budget as well.
pub(super) const MAX_BUSES: usize = SHARE;

/// Shares a budget out among buses, the first being that with the highest priority.
///
/// A bus gets what those above leave, but below the first at least an eighth of the budget. A fraction of
/// an event becomes credit, in eighths, so that a budget of 1 reaches the lowest bus too. A bus without
/// events saves nothing.
pub(super) fn allot(
    budget: usize,
    waiting: &[usize; MAX_BUSES],
    credits: &mut [usize; MAX_BUSES],
) -> [usize; MAX_BUSES] {
    let all = waiting.iter().fold(0_usize, |sum, waiting| sum.saturating_add(*waiting));
    if all <= budget {
        *credits = [0; MAX_BUSES];
        return *waiting;
    }
    // `budget` is less than what waits, so far from the end of its range.
    let mut owed = [0; MAX_BUSES];
    for at in 1..MAX_BUSES {
        credits[at] = match waiting[at] {
            0 => 0,
            // What it had no use for is not saved up: one share a frame, and the fraction.
            _ => (credits[at] + budget).min(budget + SHARE - 1),
        };
        owed[at] = (credits[at] / SHARE).min(waiting[at]);
    }
    let mut rest = budget;
    let mut promised: usize = owed.iter().sum();
    let mut allowed = [0; MAX_BUSES];
    for at in 0..MAX_BUSES {
        promised -= owed[at];
        allowed[at] = waiting[at].min(rest.saturating_sub(promised).max(owed[at].min(rest)));
        rest -= allowed[at];
        credits[at] -= SHARE * owed[at].min(allowed[at]);
    }
    allowed
}

#[cfg(test)]
mod tests;
