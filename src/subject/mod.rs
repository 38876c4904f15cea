//! Names of events, patterns over them, and the matcher that every tier uses.

mod check;
mod dialect;
mod name;
mod pattern;

#[cfg(feature = "json")]
pub(crate) use self::check::MAX_LEN;
pub(crate) use self::check::{check_pattern, check_subject, matches};
pub use self::dialect::{GlobPattern, PrefixPattern};
pub use self::name::Subject;
pub use self::pattern::Pattern;
