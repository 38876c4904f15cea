use super::{MAX_BUSES, allot};

fn buses<const K: usize>(values: [usize; K]) -> [usize; MAX_BUSES] {
    core::array::from_fn(|at| values.get(at).copied().unwrap_or(0))
}

fn share<const K: usize>(budget: usize, waiting: [usize; K]) -> [usize; MAX_BUSES] {
    allot(budget, &buses(waiting), &mut [0; MAX_BUSES])
}

#[test]
fn all_is_allowed_that_the_budget_covers() {
    assert_eq!(share(10, [4, 6]), buses([4, 6]));
    assert_eq!(share(usize::MAX, [usize::MAX, 6]), buses([usize::MAX, 6]));
}

#[test]
fn the_first_bus_leaves_an_eighth_to_each_bus_below() {
    assert_eq!(share(80, [1000, 1000]), buses([70, 10]));
    assert_eq!(share(80, [1000, 1000, 1000]), buses([60, 10, 10]));
    assert_eq!(share(80, [1000, 3, 1000]), buses([67, 3, 10]));
    assert_eq!(share(80, [0, 1000, 1000]), buses([0, 70, 10]));
    assert_eq!(share(80, [1000; 8]), buses([10; 8]));
}

/// With random budgets and numbers of pending events: never more than the budget or than what is
/// pending, all of the budget where enough is pending, and no bus waits for ever.
#[test]
fn shares_add_up_and_no_bus_starves() {
    let mut random = 1_u64;
    let mut next = |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        ((random >> 33) % below) as usize
    };
    for _ in 0..2000 {
        let budget = 1 + next(40);
        let mut waiting: [usize; MAX_BUSES] = core::array::from_fn(|_| next(3) * next(100));
        let mut credits = [0; MAX_BUSES];
        let mut hungry = [0; MAX_BUSES];
        for _ in 0..64 {
            let allowed = allot(budget, &waiting, &mut credits);
            let (given, all) = (allowed.iter().sum::<usize>(), waiting.iter().sum::<usize>());
            assert_eq!(given, budget.min(all));
            for at in 0..MAX_BUSES {
                assert!(allowed[at] <= waiting[at]);
                hungry[at] = if allowed[at] == 0 && waiting[at] > 0 { hungry[at] + 1 } else { 0 };
                assert!(hungry[at] <= 15, "bus {at}, {budget}, {waiting:?}, {credits:?}");
                waiting[at] += next(20) * 2;
                waiting[at] -= allowed[at];
            }
        }
    }
}
