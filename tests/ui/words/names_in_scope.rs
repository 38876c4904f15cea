//! The macro and the table mean their own names, whatever is in scope where they are used.
//~ compiles
#![allow(dead_code, non_camel_case_types, non_snake_case, unused_imports, unused_macros)]

/// Types, modules, functions and macros with the names of the language, of core and of tickbus.
mod names {
    macro_rules! types {
        ($($name:ident)*) => {
            $(pub struct $name;)*
        };
    }
    types! {
        bool char i16 isize str u8 u16 u32 u64 usize
        Box Clone Copy Default Into Iterator Option PhantomData Result String Vec
        Chains Dispatch Event Handler Index Kind Pattern Segments Subject Text
    }
    macro_rules! modules {
        ($($name:ident)*) => {
            $(pub mod $name {})*
        };
    }
    modules! { alloc core event primitive std tickbus __private }
    macro_rules! functions {
        ($($name:ident)*) => {
            $(pub fn $name() {})*
        };
    }
    functions! { Err None Ok Some check kind new }
    macro_rules! loud {
        ($($name:ident)*) => {
            $(
                macro_rules! $name {
                    () => {
                        compile_error!("not this one")
                    };
                }
                pub(crate) use $name;
            )*
        };
    }
    loud! { assert concat events include matches panic stringify unreachable }
}

mod user {
    use super::names::*;

    ::tickbus::events! {
        pub enum Input {
            #[subject = "input.none"]
            None,
            #[subject = "input.some"]
            Some(::core::primitive::u8),
            #[subject = "input.ok"]
            Ok { usize: usize },
            #[subject = "input.kind"]
            Kind,
            #[subject = "input.option"]
            Option(Option),
            #[subject = "input.input"]
            #[deprecated]
            Input,
            #[subject = "input.kinds"]
            KINDS,
        }

        enum Kinds {
            #[subject = "kinds"]
            Subjects,
        }
    }

    pub static TABLE: ::tickbus::Dispatch<Input, (), 7> = ::tickbus::Dispatch::new()
        .on("input.none", |_, _| {})
        .on("input.*", |_, _| {});
    pub const SUBJECTS: [&::core::primitive::str; Kinds::KINDS] = [Kinds::SUBJECTS[0]];
}

fn main() {
    assert!(user::TABLE.call(&mut (), &user::Input::None));
    assert_eq!(user::SUBJECTS, ["kinds"]);
}
