//! What is odd about a router, and yet works: [`Warning`].

use alloc::sync::Arc;
use alloc::vec::Vec;
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
        /// The number of its rule, from 1.
        rule: usize,
        /// The pattern.
        pattern: RulePattern,
        /// The numbers of the rules that have its subjects. Its own rule may be one of them.
        by: Vec<usize>,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnusedEngine { engine } => {
                write!(f, "no event comes to engine `{engine}`: name it in a rule, or remove it")
            }
            Self::UnreachablePattern { rule, pattern, by } if by[..] == [*rule] => write!(
                f,
                "rule {rule}: {pattern} decides nothing, because patterns before it in the rule have \
                 all its subjects"
            ),
            Self::UnreachablePattern { rule, pattern, by } => write!(
                f,
                "rule {rule}: {pattern} decides nothing, because {} all its subjects",
                Have(by)
            ),
        }
    }
}

/// `rule 1 has`, `rules 1 and 2 have`.
pub(in crate::hosted) struct Have<'a>(pub(in crate::hosted) &'a [usize]);

impl fmt::Display for Have<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((last, others)) = self.0.split_last() else { return f.write_str("others have") };
        if others.is_empty() {
            return write!(f, "rule {last} has");
        }
        f.write_str("rules ")?;
        for (at, rule) in others.iter().enumerate() {
            write!(f, "{}{rule}", if at == 0 { "" } else { ", " })?;
        }
        write!(f, " and {last} have")
    }
}
