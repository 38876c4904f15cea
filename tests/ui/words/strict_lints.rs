//! A crate with the strictest lints declares events and handles them.
//~ compiles
#![forbid(
    warnings,
    future_incompatible,
    keyword_idents,
    let_underscore,
    nonstandard_style,
    refining_impl_trait,
    rust_2018_idioms,
    rust_2021_compatibility,
    rust_2024_compatibility,
    unused,
    long_running_const_eval,
    missing_debug_implementations,
    missing_docs,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unreachable_pub,
    unsafe_code,
    unused_import_braces,
    unused_lifetimes,
    unused_qualifications,
    unused_results,
    variant_size_differences
)]

use tickbus::Dispatch;

tickbus::events! {
    /// All that is public.
    #[derive(Clone, Debug, PartialEq)]
    #[non_exhaustive]
    pub enum Public {
        /// A unit.
        #[subject = "public.unit"]
        Unit,
        /// A tuple.
        #[subject = "public.tuple"]
        Tuple(u8),
        /// A struct.
        #[cfg(all())]
        #[subject = "public.struct"]
        Struct {
            /// A field.
            field: i16,
        },
    }
}

/// A table of all.
pub static TABLE: Dispatch<Public, u8, { Public::KINDS }> = Dispatch::new().on(">", |_, _| {});

mod inner {
    tickbus::events! {
        pub(super) enum Restricted {
            #[subject = "restricted"]
            Only,
        }

        enum Private {
            #[subject = "private.first"]
            First,
            #[subject = "private.second"]
            Second,
        }
    }

    pub(super) fn is_first(number: u8) -> bool {
        let event = if number == 0 { Private::First } else { Private::Second };
        matches!(event, Private::First)
    }
}

fn main() {
    let only = inner::Restricted::Only;
    let seen = matches!(only, inner::Restricted::Only) && inner::is_first(0);
    let called = TABLE.call(&mut 0, &Public::Unit) || TABLE.call(&mut 0, &Public::Tuple(1));
    assert!(seen && called && TABLE.call(&mut 0, &Public::Struct { field: 1 }));
}
