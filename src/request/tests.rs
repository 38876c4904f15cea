use super::{RequestId, Requests};

#[test]
fn ids_go_round_and_pass_over_those_that_are_open() {
    let mut requests: Requests<u8, (), 3, 1> = Requests::starting_at(u32::MAX);
    let ids = [0; 3].map(|_| requests.open(&[1], 1, 9));
    assert_eq!(ids, [Ok(RequestId(u32::MAX)), Ok(RequestId(0)), Ok(RequestId(1))]);
    requests.next = u32::MAX;
    assert!(requests.cancel(RequestId(0)).is_some());
    assert_eq!(requests.open(&[1], 1, 9), Ok(RequestId(0)));
    assert!(requests.cancel(RequestId(u32::MAX)).is_some());
    assert_eq!(requests.open(&[1], 1, 9), Ok(RequestId(2)));
}
