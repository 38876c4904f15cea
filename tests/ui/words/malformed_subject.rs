//! The subjects of an enum are checked like any other subject.
//~ the subject has two dots in a row
//~ the subject has a wildcard
//~ the subject is empty

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
