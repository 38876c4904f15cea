//! What has no effect in a configuration: [`Warning`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::fmt;

use super::error::{ConfigError, ConfigFault, Place, Step};

/// Something in a configuration that has no effect.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The file.
    pub file: Option<Arc<str>>,
    /// Where it is.
    pub place: Option<Place>,
    /// The path of the key.
    pub key: Box<str>,
    /// What is wrong.
    pub what: Box<str>,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
        }
        if let Some(place) = self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "`{}`: {}", self.key, self.what)
    }
}

pub(super) fn warning(
    key: &[Step],
    place: Option<Place>,
    what: impl Into<Box<str>>,
    file: Option<&Arc<str>>,
) -> Warning {
    // The path in an error, which writes it.
    let error = ConfigError::new(ConfigFault::MissingKey, place);
    let error = key.iter().rev().fold(error, |error, step| error.under(step.clone()));
    Warning { file: file.cloned(), place, key: error.key().into(), what: what.into() }
}
