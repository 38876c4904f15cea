//! Two kinds of one enum cannot share a name: it would not tell them apart.
//~ two variants have this subject

tickbus::events! {
    enum Input {
        #[subject = "input.button"]
        Pressed,
        #[subject = "input.tilt"]
        Tilt,
        #[subject = "input.button"]
        Released,
    }
}

fn main() {}
