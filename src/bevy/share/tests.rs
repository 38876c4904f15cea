use super::{MAX_LANES, allot};

fn lanes<const K: usize>(values: [usize; K]) -> [usize; MAX_LANES] {
    core::array::from_fn(|at| values.get(at).copied().unwrap_or(0))
}

fn share<const K: usize>(budget: usize, waiting: [usize; K]) -> [usize; MAX_LANES] {
    allot(budget, &lanes(waiting), &mut [0; MAX_LANES])
}

#[test]
fn all_is_allowed_that_the_budget_covers() {
    assert_eq!(share(10, [4, 6]), lanes([4, 6]));
    assert_eq!(share(usize::MAX, [usize::MAX, 6]), lanes([usize::MAX, 6]));
}

#[test]
fn the_first_lane_leaves_an_eighth_to_each_lane_below() {
    assert_eq!(share(80, [1000, 1000]), lanes([70, 10]));
    assert_eq!(share(80, [1000, 1000, 1000]), lanes([60, 10, 10]));
    assert_eq!(share(80, [1000, 3, 1000]), lanes([67, 3, 10]));
    assert_eq!(share(80, [0, 1000, 1000]), lanes([0, 70, 10]));
    assert_eq!(share(80, [1000; 8]), lanes([10; 8]));
}

/// For budgets and backlogs at random: never more than the budget or than what waits, all of the
/// budget where enough waits, and no lane waits for ever.
#[test]
fn shares_add_up_and_no_lane_starves() {
    let mut random = 1_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((random >> 33) % below) as usize
    };
    for _ in 0..2000 {
        let budget = 1 + next(40);
        let mut waiting: [usize; MAX_LANES] = core::array::from_fn(|_| next(3) * next(100));
        let mut credits = [0; MAX_LANES];
        let mut hungry = [0; MAX_LANES];
        for _ in 0..64 {
            let allowed = allot(budget, &waiting, &mut credits);
            let (given, all) = (allowed.iter().sum::<usize>(), waiting.iter().sum::<usize>());
            assert_eq!(given, budget.min(all));
            for at in 0..MAX_LANES {
                assert!(allowed[at] <= waiting[at]);
                hungry[at] = if allowed[at] == 0 && waiting[at] > 0 { hungry[at] + 1 } else { 0 };
                assert!(hungry[at] <= 15, "lane {at}, {budget}, {waiting:?}, {credits:?}");
                waiting[at] += next(20) * 2;
                waiting[at] -= allowed[at];
            }
        }
    }
}
