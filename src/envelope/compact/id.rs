//! Ids of 16 bytes as text: [`Id`].

use core::fmt;

/// Holds 16 bytes as the text of an id: 32 lower-case hexadecimal digits, with hyphens where a UUID
/// has them.
///
/// The bytes are yours, all 128 bits of them. To have an id that is also a valid UUID, set its
/// version and variant yourself.
///
/// # Examples
///
/// ```
/// use tickbus::envelope::compact::Id;
///
/// const FIRST: Id = Id::new(0x0123_4567_89ab_cdef_u128.to_be_bytes());
/// assert_eq!(FIRST.as_str(), "00000000-0000-0000-0123-456789abcdef");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(
    /// Hexadecimal digits and hyphens.
    [u8; Self::LEN],
);

impl Id {
    /// The length of the text in bytes.
    pub const LEN: usize = 36;

    /// Returns the id of these bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [b'-'; Self::LEN];
        let (mut from, mut to) = (0, 0);
        while from < bytes.len() {
            if matches!(from, 4 | 6 | 8 | 10) {
                to += 1;
            }
            text[to] = DIGITS[(bytes[from] >> 4) as usize];
            text[to + 1] = DIGITS[(bytes[from] & 15) as usize];
            from += 1;
            to += 2;
        }
        Self(text)
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Id").field(&self.as_str()).finish()
    }
}
