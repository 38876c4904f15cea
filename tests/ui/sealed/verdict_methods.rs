//! What a tick makes of an answer cannot be called.
//~ E0624
//~ method `settle` is private

use tickbus::bus::Verdict;

fn settle<R: Verdict>(answer: R) {
    answer.settle();
}

fn main() {
    settle(());
}
