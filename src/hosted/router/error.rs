//! Why a router is not built: [`BuildError`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;

use super::warning::Have;
use crate::error::InvalidPattern;
use crate::hosted::engine::Level;

/// A router cannot be built like this. Rules are numbered from 1, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BuildError {
    /// There is no engine.
    NoEngine,
    /// An engine has no name, or `_all`, which stands for all engines in statistics.
    #[non_exhaustive]
    EngineName {
        /// The name.
        engine: Arc<str>,
    },
    /// Two engines have one name.
    #[non_exhaustive]
    DuplicateEngine {
        /// The name.
        engine: Arc<str>,
    },
    /// A setting is about the engine or rule before it, and there is none.
    #[non_exhaustive]
    Misplaced {
        /// The setting.
        setting: &'static str,
    },
    /// The fallback is not an engine of the router.
    #[non_exhaustive]
    UnknownFallback {
        /// Its name.
        engine: Arc<str>,
    },
    /// A rule names an engine that the router does not have.
    #[non_exhaustive]
    UnknownEngine {
        /// The number of the rule.
        rule: usize,
        /// The name.
        engine: Arc<str>,
    },
    /// A rule has a text that is not a pattern.
    #[non_exhaustive]
    Pattern {
        /// The number of the rule.
        rule: usize,
        /// What is wrong with the text.
        invalid: InvalidPattern,
    },
    /// A rule has no pattern.
    #[non_exhaustive]
    EmptyRule {
        /// The number of the rule.
        rule: usize,
    },
    /// A rule decides nothing, because the rules before it have all its subjects.
    #[non_exhaustive]
    Unreachable {
        /// The number of the rule.
        rule: usize,
        /// Its patterns.
        patterns: Box<str>,
        /// The numbers of the rules that have its subjects.
        by: Vec<usize>,
    },
    /// A rule requires a level that its engine does not reach.
    #[non_exhaustive]
    Level {
        /// The number of the rule.
        rule: usize,
        /// Its patterns.
        patterns: Box<str>,
        /// The name of the engine.
        engine: Arc<str>,
        /// The level that the rule requires.
        level: Level,
        /// The highest level of the engine.
        reaches: Level,
    },
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoEngine => f.pad("the router has no engine: add one with `engine`"),
            Self::EngineName { engine } => {
                write!(f, "`{engine}` cannot name an engine: use another name")
            }
            Self::DuplicateEngine { engine } => {
                write!(f, "two engines are named `{engine}`: rename one")
            }
            Self::Misplaced { setting } => {
                write!(f, "`{setting}` is about what was added before it, and nothing was")
            }
            Self::UnknownFallback { engine } => {
                write!(f, "the fallback `{engine}` is not an engine of the router")
            }
            Self::UnknownEngine { rule, engine } => {
                write!(f, "rule {rule}: the router has no engine `{engine}`")
            }
            Self::Pattern { rule, invalid } => write!(f, "rule {rule}: {invalid}"),
            Self::EmptyRule { rule } => write!(f, "rule {rule}: it has no pattern"),
            Self::Unreachable { rule, patterns, by } => write!(
                f,
                "rule {rule}: {patterns} decides nothing, because {} all its subjects: move it up, or \
                 remove it",
                Have(by)
            ),
            Self::Level { rule, patterns, engine, level, reaches } => write!(
                f,
                "rule {rule}: {patterns} requires `{level}`, and engine `{engine}` reaches \
                 `{reaches}` at most"
            ),
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Pattern { invalid, .. } => Some(invalid),
            _ => None,
        }
    }
}
