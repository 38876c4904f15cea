//! A constant that is no pattern does not compile.
//~ the pattern goes on after `>`
//~ that is not a whole segment

use tickbus::Pattern;

const REST_NOT_LAST: Pattern = Pattern::from_static("player.>.hit");
static PARTIAL: Pattern = Pattern::from_static("player.7*");

fn main() {
    let _ = (REST_NOT_LAST, PARTIAL);
}
