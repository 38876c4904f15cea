use super::{Gap, GapReason};

#[test]
fn gaps_of_one_reason_add_up() {
    let mut gap = Gap::new(Some(3), GapReason::Trimmed);
    assert!(gap.join(Gap::new(Some(4), GapReason::Trimmed)));
    assert_eq!(gap, Gap::new(Some(7), GapReason::Trimmed));
    assert!(gap.join(Gap::new(Some(u64::MAX), GapReason::Trimmed)));
    assert_eq!(gap.missed, Some(u64::MAX), "it does not wrap");
    assert!(gap.join(Gap::new(None, GapReason::Trimmed)));
    assert_eq!(gap.missed, None, "a sum with an unknown number is unknown");
}

#[test]
fn gaps_of_different_reasons_stay_apart() {
    let mut gap = Gap::new(Some(3), GapReason::Trimmed);
    assert!(!gap.join(Gap::new(Some(4), GapReason::Reconnected)));
    assert_eq!(gap, Gap::new(Some(3), GapReason::Trimmed));
}
