//! A constant that is no subject does not compile.
//~ the subject has two dots in a row

use tickbus::Subject;

const HIT: Subject = Subject::from_static("player..hit");
static HITS: Subject = Subject::from_static("player.*.hit");

fn main() {
    let _ = (HIT, HITS);
}
