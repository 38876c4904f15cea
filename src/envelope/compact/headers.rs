//! The headers of a compact envelope, where they are.

use super::codec::Reader;
use super::mqtt::{CONTENT_TYPE, begins_ours, is_content_type};

/// The key of the ordering key among the headers of an `Envelope`.
pub(super) const KEY: &str = "key";

/// Headers that lie in a buffer of the caller.
#[derive(Clone, Copy)]
pub(super) enum List<'a> {
    /// As the caller gave them.
    Pairs(&'a [(&'a str, &'a str)]),
    /// Among the user properties of a message.
    Properties {
        properties: &'a [(&'a str, &'a str)],
        /// The property of this name, if it is a header.
        content_type: Option<&'a str>,
        /// Whether user properties of this name are headers.
        keeps_types: bool,
    },
    /// All user properties of a message of another program, and its property content type.
    Foreign { properties: &'a [(&'a str, &'a str)], content_type: Option<&'a str> },
    /// In the form of bytes. Passed the check of `decode`.
    Encoded { count: u8, bytes: &'a [u8] },
}

impl<'a> List<'a> {
    pub(super) fn iter(self) -> Iter<'a> {
        match self {
            Self::Pairs(pairs) => Iter::All { rest: pairs.iter(), content_type: None },
            Self::Foreign { properties, content_type } => {
                Iter::All { rest: properties.iter(), content_type }
            }
            Self::Properties { properties, content_type, keeps_types } => {
                Iter::Properties { rest: properties.iter(), content_type, keeps_types }
            }
            Self::Encoded { count, bytes } => {
                Iter::Encoded { left: count, rest: Reader::new(bytes) }
            }
        }
    }
}

#[derive(Clone)]
pub(super) enum Iter<'a> {
    All {
        rest: core::slice::Iter<'a, (&'a str, &'a str)>,
        content_type: Option<&'a str>,
    },
    Properties {
        rest: core::slice::Iter<'a, (&'a str, &'a str)>,
        content_type: Option<&'a str>,
        keeps_types: bool,
    },
    Encoded {
        left: u8,
        rest: Reader<'a>,
    },
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        let typed = |content_type: &mut Option<&'a str>| Some((CONTENT_TYPE, content_type.take()?));
        match self {
            Self::All { rest, content_type } => {
                rest.next().copied().or_else(|| typed(content_type))
            }
            Self::Properties { rest, content_type, keeps_types } => {
                let is_header = |(key, value): &&(&str, &str)| {
                    !begins_ours(key)
                        && (*keeps_types || !is_content_type(key))
                        && (*key != KEY || value.is_empty())
                };
                rest.find(is_header).copied().or_else(|| typed(content_type))
            }
            Self::Encoded { left, rest } => {
                *left = left.checked_sub(1)?;
                Some((rest.text().ok()?, rest.text().ok()?))
            }
        }
    }
}
