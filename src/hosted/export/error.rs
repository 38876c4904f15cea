//! Why nothing is exported: [`ExportError`].

use alloc::boxed::Box;
use core::error::Error;
use core::fmt;
use std::io;

/// An exporter was not made.
#[derive(Debug)]
#[non_exhaustive]
pub enum ExportError {
    /// The names of metrics cannot begin so.
    #[non_exhaustive]
    Prefix {
        /// The prefix.
        prefix: Box<str>,
        /// What it may be.
        allowed: &'static str,
    },
    /// A setting is out of range.
    #[non_exhaustive]
    Setting {
        /// The setting.
        setting: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The address is not one to send to.
    #[non_exhaustive]
    Address {
        /// The address.
        address: Box<str>,
        /// What the system says.
        error: io::Error,
    },
    /// The task that exports needs a runtime of tokio, and this thread is in none.
    NoRuntime,
}

impl ExportError {
    pub(super) fn prefix(prefix: &str, allowed: &'static str) -> Self {
        Self::Prefix { prefix: prefix.into(), allowed }
    }
}

impl fmt::Display for ExportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix { prefix, allowed } => {
                write!(f, "`{}` is not a prefix of metrics: {allowed}", prefix.escape_debug())
            }
            Self::Setting { setting, why } => write!(f, "`{setting}` is not valid: {why}"),
            Self::Address { address, error } => {
                write!(f, "cannot send to `{}`: {error}", address.escape_debug())
            }
            Self::NoRuntime => f.pad("there is no runtime: call it inside one of tokio"),
        }
    }
}

impl Error for ExportError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Address { error, .. } => error.source(),
            _ => None,
        }
    }
}
