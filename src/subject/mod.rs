//! Names of events, patterns over them, and the matcher that every tier uses.

mod check;
mod dialect;
mod name;
#[cfg(feature = "alloc")]
mod owned;
mod pattern;

#[cfg(feature = "json")]
pub(crate) use self::check::MAX_LEN;
pub(crate) use self::check::{check_pattern, check_subject, matches};
pub use self::dialect::{GlobPattern, PrefixPattern};
pub use self::name::Subject;
#[cfg(feature = "alloc")]
pub use self::owned::PatternBuf;
pub use self::pattern::Pattern;
