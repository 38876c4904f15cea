//! A kind without a name is not an event.
//~ has no subject

tickbus::events! {
    enum Input {
        #[subject = "input.tilt"]
        Tilt,
        /// Only a doc comment.
        Pressed,
    }
}

fn main() {}
