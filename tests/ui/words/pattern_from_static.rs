//! A constant that is no pattern does not compile.

use tickbus::Pattern;

const REST_NOT_LAST: Pattern = Pattern::from_static("player.>.hit");
static PARTIAL: Pattern = Pattern::from_static("player.7*");

fn main() {
    let _ = (REST_NOT_LAST, PARTIAL);
}
