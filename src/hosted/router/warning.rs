//! What is odd about a router, and yet works: [`Warning`].

use alloc::sync::Arc;
use core::fmt;

use super::pattern::RulePattern;

/// Something about a router that is probably not meant, and yet works.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// No event comes to this engine: it has no rule, and is not the fallback.
    #[non_exhaustive]
    UnusedEngine {
        /// Its name.
        engine: Arc<str>,
    },
    /// Rules and patterns before this one have all its subjects.
    #[non_exhaustive]
    UnreachablePattern {
        /// The number of its rule, from 0.
        rule: usize,
        /// The pattern.
        pattern: RulePattern,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnusedEngine { engine } => {
                write!(f, "no event comes to engine `{engine}`: name it in a rule, or remove it")
            }
            Self::UnreachablePattern { rule, pattern } => write!(
                f,
                "rule {}: {pattern} decides nothing, because what is before it has all its subjects",
                rule + 1
            ),
        }
    }
}
