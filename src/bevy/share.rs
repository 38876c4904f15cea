//! How lanes share the budget of a frame.

/// Lanes below the first have a right to this part of the budget each, when they have events.
const SHARE: usize = 8;

/// So that the first lane has a part of the budget as well.
pub(super) const MAX_LANES: usize = SHARE;

/// Shares a budget out among lanes, the first being the highest.
///
/// A lane gets what the lanes above leave, and those below the first an eighth of the budget at
/// least. What makes no whole event is kept as credit, in eighths, so that a budget of 1 reaches the
/// lowest lane too. A lane that has nothing to deliver saves nothing.
pub(super) fn allot(
    budget: usize,
    waiting: &[usize; MAX_LANES],
    credits: &mut [usize; MAX_LANES],
) -> [usize; MAX_LANES] {
    let all = waiting.iter().fold(0_usize, |sum, waiting| sum.saturating_add(*waiting));
    if all <= budget {
        *credits = [0; MAX_LANES];
        return *waiting;
    }
    // `budget` is less than what waits, so far from the end of its range.
    let mut owed = [0; MAX_LANES];
    for at in 1..MAX_LANES {
        credits[at] = match waiting[at] {
            0 => 0,
            // What it had no use for is not saved up: one share a frame, and the fraction.
            _ => (credits[at] + budget).min(budget + SHARE - 1),
        };
        owed[at] = (credits[at] / SHARE).min(waiting[at]);
    }
    let mut rest = budget;
    let mut promised: usize = owed.iter().sum();
    let mut allowed = [0; MAX_LANES];
    for at in 0..MAX_LANES {
        promised -= owed[at];
        allowed[at] = waiting[at].min(rest.saturating_sub(promised).max(owed[at].min(rest)));
        rest -= allowed[at];
        credits[at] -= SHARE * owed[at].min(allowed[at]);
    }
    allowed
}

#[cfg(test)]
mod tests;
