//! What no text may show: [`Secret`], [`ServerUrl`].

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use serde::{Deserialize, Deserializer};

/// A password, a token or a key. Neither `Debug` nor an error shows it.
///
/// # Examples
///
/// ```
/// use tickbus::hosted::config::Secret;
///
/// let password = Secret::new("hunter2");
/// assert_eq!(format!("{password:?}"), "***");
/// assert_eq!(password.expose(), "hunter2");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Box<str>);

impl Secret {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// The address of a server, or several with commas between them. A name and a password may stand in
/// it: `Debug` and `Display` leave out what may be one.
///
/// # Examples
///
/// ```
/// use tickbus::hosted::config::ServerUrl;
///
/// let url = ServerUrl::new("redis://game:hunter2@cache:6379/0?timeout=5s");
/// assert_eq!(url.to_string(), "redis://***@cache:6379/0?***");
/// assert_eq!(url.expose(), "redis://game:hunter2@cache:6379/0?timeout=5s");
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl(Box<str>);

impl ServerUrl {
    /// Wraps a text.
    #[must_use]
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self(text.into())
    }

    /// Returns the text.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = &*self.0;
        let (scheme, rest) = match url.split_once("://") {
            Some((scheme, rest)) => (scheme, rest),
            // Pairs such as `host=a password=b`.
            None if url.contains('=') => return f.write_str("***"),
            None => ("", url),
        };
        // A password may have an `@`: what follows the last `@` is the server.
        let (login, server) = rest.rsplit_once('@').unwrap_or(("", rest));
        let is_scheme = scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
        // With a `?` before it, the `@` may be in the query, and what follows it a password.
        if !is_scheme || login.contains('?') {
            return f.write_str("***");
        }
        let (server, query) = match server.find(['?', '#']) {
            Some(at) => server.split_at(at),
            None => (server, ""),
        };
        let scheme_end = if scheme.is_empty() { "" } else { "://" };
        let login = if login.is_empty() { "" } else { "***@" };
        let query = query.get(..1).map_or("", |mark| if mark == "?" { "?***" } else { "#***" });
        write!(f, "{scheme}{scheme_end}{login}{server}{query}")
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl<'de> Deserialize<'de> for ServerUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(feature = "schema")]
mod schema {
    use alloc::borrow::Cow;
    use alloc::string::String;

    use schemars::{JsonSchema, Schema, SchemaGenerator};

    use super::{Secret, ServerUrl};

    macro_rules! as_text {
        ($($name:ident)*) => {
            $(
                impl JsonSchema for $name {
                    fn inline_schema() -> bool {
                        true
                    }

                    fn schema_name() -> Cow<'static, str> {
                        stringify!($name).into()
                    }

                    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                        String::json_schema(generator)
                    }
                }
            )*
        };
    }

    as_text!(Secret ServerUrl);
}
