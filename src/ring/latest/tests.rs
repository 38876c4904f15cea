#[cfg(any(tickbus_narrow, not(target_has_atomic = "64")))]
use super::{Acquire, Relaxed, Word, is_one_generation};
use super::{Cells, HALF, NEXT};

/// A reader that is interrupted in the middle, until the generation is the same again. (With 64 bits that takes
/// longer than there are computers.)
#[cfg(any(tickbus_narrow, not(target_has_atomic = "64")))]
#[test]
fn a_generation_that_comes_again_is_not_taken_for_the_old_one() {
    const ALL: Word = (HALF / NEXT).wrapping_mul(2);
    for (back, rounds) in [(1, 1), (3, 1), (3, 2), (2000, 3)] {
        let cells = Cells::starting_before_wrap(back, [1_u32; 4]);
        let halves = cells.halves();
        let state = cells.state.load(Acquire);
        cells.publish([3; 4]);
        // SAFETY: there was a value, of that state, and `halves` was loaded before it.
        assert_eq!(unsafe { cells.copy(state, halves) }, None);
        cells.pass(ALL - 1);
        for _ in 0..rounds {
            cells.pass(ALL / 2 + 5);
            cells.pass(ALL / 2 - 6);
            cells.publish([2; 4]);
        }
        assert!(is_one_generation(cells.state.load(Relaxed), state));
        // SAFETY: there is a value, of that state, and `halves` was loaded before it.
        let copied = unsafe { cells.copy(state, halves) };
        assert_eq!(copied, None);
        assert_eq!(cells.newest(), Some([2; 4]));
    }
}

#[test]
fn a_watcher_finds_what_came_after_half_of_all_generations() {
    let cells = Cells::starting_before_wrap(3, 1_u32);
    let mut seen = cells.seen();
    for passed in [HALF / NEXT, HALF / NEXT - 1, 7, HALF / NEXT + 1] {
        cells.pass(passed - 1);
        cells.publish(2);
        assert!(cells.is_newer_than(seen));
        assert_eq!(cells.read(&mut seen), Some((2, passed as usize)));
        assert_eq!(cells.read(&mut seen), None);
    }
}
