//! Two kinds of one enum cannot share a name: nobody could tell them apart by it.

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
