use core::time::Duration;

use alloc::string::ToString;
use alloc::vec::Vec;

use super::RetryPolicy;

const SECOND: Duration = Duration::from_secs(1);

fn millis(policy: RetryPolicy) -> Vec<u128> {
    policy.delays().map(|delay| delay.as_millis()).collect()
}

#[test]
fn the_default_is_three_more_tries_after_1_2_and_4_seconds() {
    let policy = RetryPolicy::default();
    assert_eq!(millis(policy), [1000, 2000, 4000]);
    assert_eq!((policy.retries(), policy.attempts()), (3, 4));
}

/// Each wait is `min(initial × factor^(k − 1), max)`.
#[test]
fn delays_are_those_of_the_table() {
    type Row = (u64, u64, f64, &'static [u128]);
    let table: &[Row] = &[
        (1000, 30_000, 2.0, &[1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]),
        (100, 1000, 3.0, &[100, 300, 900, 1000, 1000]),
        (250, 10_000, 1.0, &[250, 250, 250]),
        (800, 10_000, 0.5, &[800, 400, 200, 100, 50]),
        (800, 10_000, 0.0, &[800, 0, 0]),
        (100, 10_000, 1.5, &[100, 150, 225, 337]),
        (0, 10_000, 2.0, &[0, 0, 0]),
        (0, 0, 2.0, &[0, 0]),
        (5000, 1000, 2.0, &[1000, 1000]),
        (1000, 1000, 10.0, &[1000, 1000]),
        (
            1,
            86_400_000,
            10.0,
            &[1, 10, 100, 1000, 10_000, 100_000, 1_000_000, 10_000_000, 86_400_000],
        ),
    ];
    for (initial, max, factor, expected) in table {
        let policy = RetryPolicy::new(u32::try_from(expected.len()).unwrap());
        let policy = policy.initial(Duration::from_millis(*initial));
        let policy = policy.max(Duration::from_millis(*max)).factor(*factor).unwrap();
        assert_eq!(millis(policy), *expected, "{policy:?}");
    }
}

#[test]
fn no_delay_overflows() {
    for factor in [0.0, 0.5, 1.0, 2.0, f64::MAX] {
        for initial in [Duration::ZERO, Duration::from_nanos(1), SECOND, Duration::MAX] {
            let policy = RetryPolicy::new(u32::MAX).initial(initial).factor(factor).unwrap();
            for k in [0, 1, 2, 64, 1025, u32::MAX] {
                assert!(policy.delay(k) <= 30 * SECOND, "{policy:?}, {k}");
            }
        }
    }
    assert_eq!(RetryPolicy::new(u32::MAX).delay(u32::MAX), 30 * SECOND);
    assert_eq!(RetryPolicy::new(u32::MAX).attempts(), u32::MAX);
}

#[test]
fn negative_infinite_and_unordered_numbers_are_refused() {
    for value in [-1.0, -f64::MIN_POSITIVE, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let error = RetryPolicy::default().factor(value).unwrap_err();
        assert_eq!(error.setting, "factor");
        assert_eq!(RetryPolicy::default().jitter(value).unwrap_err().setting, "jitter");
    }
    assert!(RetryPolicy::default().jitter(1.1).is_err());
    assert_eq!(
        RetryPolicy::default().factor(f64::NAN).unwrap_err().to_string(),
        "`factor` of a retry policy cannot be NaN: it is 0 or more, and finite",
    );
    assert!(RetryPolicy::default().factor(-0.0).is_ok());
}

#[test]
fn jitter_is_off_by_default_and_shortens_by_its_part_at_most() {
    let policy = RetryPolicy::default();
    assert_eq!(policy.delay_with(2, u64::MAX), 2 * SECOND);
    let policy = policy.jitter(0.25).unwrap();
    assert_eq!(policy.delay_with(2, 0), 2 * SECOND);
    let shortest = policy.delay_with(2, u64::MAX);
    assert!(shortest >= Duration::from_millis(1500) && shortest < Duration::from_millis(1501));
    assert_eq!(policy.delay_with(2, 1 << 63), Duration::from_millis(1750));
}
