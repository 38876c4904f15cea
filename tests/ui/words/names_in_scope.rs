//! A crate with strict lints declares events, whatever names it uses itself.
//~ compiles
#![forbid(
    warnings,
    future_incompatible,
    let_underscore,
    nonstandard_style,
    rust_2018_idioms,
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
#![allow(non_camel_case_types)]

/// Types with the names of the language and of tickbus.
mod names {
    macro_rules! types {
        ($($name:ident)*) => { $(#[derive(Debug)] pub(crate) struct $name;)* };
    }
    types! {
        Option Result Box String Vec Self_ Iterator Default Clone Copy Into PhantomData
        Event Kind Index Subject Pattern Dispatch Handler Text Segments Input
        bool char i16 isize str u8 u64 usize
    }
    pub(crate) mod core {}
    pub(crate) mod std {}
    pub(crate) mod tickbus {}
    pub(crate) mod primitive {}
    #[expect(non_snake_case, reason = "names of variants")]
    pub(crate) fn Some() {}
    #[expect(non_snake_case, reason = "names of variants")]
    pub(crate) fn None() {}
}
fn main() {}
