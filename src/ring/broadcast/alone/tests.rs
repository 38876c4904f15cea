use super::{Alone, Word};

/// What met a publisher is counted to the end of the range, as everything else is.
#[test]
fn events_that_met_a_publisher_are_counted_to_the_end_of_the_range() {
    for before in [0, Word::MAX / 2, Word::MAX - 1] {
        let mut feed = Alone::<u8, 2>::new();
        *feed.0.refused.get_mut() = before;
        let ring = feed.ring();
        let publisher = ring.writer();
        assert!(publisher.is_some() && ring.writer().is_none());
        ring.refuse();
        assert_eq!(ring.refused(), before + 1);
        drop(publisher);
        assert!(ring.writer().is_some(), "given back after {before} refusals");
    }
}
