//! The subjects of an enum are checked like any other subject.

tickbus::events! {
    enum Doubled {
        #[subject = "input..button"]
        Pressed,
    }

    enum Wild {
        #[subject = "input.button.*"]
        Pressed,
    }

    enum Unnamed {
        #[subject = ""]
        Pressed,
    }
}

fn main() {}
