//! What is not a plain enum is told so.
//~ the events `Generic` have generic parameters, which `events!` does not take
//~ the events `Borrowed` have generic parameters, which `events!` does not take
//~ `Alone` is a struct, and `events!` takes enums alone
//~ `events!` is empty: write an enum in it

tickbus::events! {
    /// Of anything.
    #[derive(Debug)]
    pub enum Generic<T> {
        #[subject = "a"]
        A(T),
    }
}

tickbus::events! {
    enum Borrowed<'a> {
        #[subject = "a"]
        A(&'a str),
    }
}

tickbus::events! {
    struct Alone;
}

tickbus::events! {}

fn main() {}
