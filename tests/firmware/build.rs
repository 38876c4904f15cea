//! Builds for the boards of the example, with its linker scripts.

use std::path::Path;

#[expect(dead_code, reason = "its `main` builds the example")]
#[path = "../../examples/firmware/build.rs"]
mod example;

fn main() {
    example::build(Path::new("../../examples/firmware/memory"));
}
