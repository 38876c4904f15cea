//! A kind has one name, and it is a string.
//~ has more than one subject

tickbus::events! {
    enum Twice {
        #[subject = "input.tilt"]
        /// Between the two.
        #[subject = "input.lean"]
        Tilt,
    }
}

tickbus::events! {
    enum Parentheses {
        #[subject("input.tilt")]
        Tilt,
    }
}

fn main() {}
