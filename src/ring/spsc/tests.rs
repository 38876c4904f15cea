use super::{Ring, Word};

/// What met a publisher is counted to the end of the range, as everything else is.
#[test]
fn events_that_met_a_publisher_are_counted_to_the_end_of_the_range() {
    for before in [0, Word::MAX / 2, Word::MAX / 2 + 1, Word::MAX - 1] {
        let mut ring = Ring::<u8, 2>::new();
        *ring.0.front.0.met.get_mut() = before;
        let mut side = ring.reader().unwrap();
        let span = side.freeze();
        assert_eq!(side.account(&span), (0, before as usize), "a tick tells them all");
        assert_eq!(side.counts().turned_away, before as usize);
        let publisher = ring.writer();
        assert!(publisher.is_some() && ring.writer().is_none());
        ring.turn_away();
        assert_eq!(side.counts().turned_away, before as usize + 1);
        assert_eq!(side.account(&span), (0, 1), "the next tick tells it");
        drop(publisher);
        assert!(ring.writer().is_some(), "given back after {before} refusals");
    }
}
