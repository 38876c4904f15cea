//! Two kinds of one enum cannot share a name: nobody could tell them apart by it.
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
