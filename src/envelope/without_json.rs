//! What the compiler says of the methods that the feature `json` adds, where it is off.
//!
//! Their names stand here with a bound that no type meets. So a call names the feature, and the methods
//! mean the same with the feature as without.

use core::fmt::Error;

use super::Envelope;

/// A bound that no type meets.
#[diagnostic::on_unimplemented(
    message = "this method needs the feature `json` of `tickbus`",
    label = "needs the feature `json`",
    note = "enable it: `cargo add tickbus --features json`"
)]
pub trait NeedsJson {}

/// ```compile_fail,E0277
/// let _ = tickbus::Envelope::from_json("{}");
/// ```
impl Envelope {
    #[doc(hidden)]
    pub fn json<T: NeedsJson + ?Sized>(_: &str, _: &T) -> Result<Self, Error> {
        unreachable!()
    }

    #[doc(hidden)]
    pub fn from_json<T: NeedsJson + ?Sized>(_: &T) -> Result<Self, Error> {
        unreachable!()
    }

    #[doc(hidden)]
    pub fn event<E: NeedsJson>(_: &E) -> Result<Self, Error> {
        unreachable!()
    }

    #[doc(hidden)]
    pub fn decode<T: NeedsJson>(&self) -> Result<Option<T>, Error> {
        unreachable!()
    }

    #[doc(hidden)]
    pub fn decode_event<E: NeedsJson>(&self) -> Result<E, Error> {
        unreachable!()
    }

    #[doc(hidden)]
    #[must_use]
    pub fn to_json<'a>(&'a self) -> alloc::string::String
    where
        &'a Self: NeedsJson,
    {
        unreachable!()
    }
}
