//! Points in time, as envelopes write them.

use core::error::Error;
use core::fmt;
use core::str::FromStr;

/// A point in time, to the nanosecond, in UTC.
///
/// It prints as RFC 3339 with up to nine digits of the second, without trailing zeros, and a `Z`. It
/// reads every RFC 3339 text with at most nine such digits; another offset is turned into UTC, and the
/// leap second `:60` is the second before it. Years are 0000 to 9999; the last point in time is
/// `9999-12-30T22:00:00.999999999Z`.
///
/// # Examples
///
/// ```
/// use tickbus::{InvalidTime, Timestamp};
///
/// let time: Timestamp = "2026-08-01T14:30:00.250+02:00".parse()?;
/// assert_eq!(time.to_string(), "2026-08-01T12:30:00.25Z");
/// assert_eq!(time.unix_nanos(), 1_785_587_400_250_000_000);
///
/// assert!("2026-08-01 14:30:00Z".parse::<Timestamp>().is_err()); // no `T`
/// assert!("2026-08-01T14:30:00".parse::<Timestamp>().is_err()); // where on earth?
/// # Ok::<(), InvalidTime>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(jiff::Timestamp);

/// 0000-01-01T00:00:00Z in nanoseconds since 1970.
const FIRST: i128 = -62_167_219_200 * 1_000_000_000;

impl Timestamp {
    /// The time that stands for "none" in JSON: 0001-01-01T00:00:00Z.
    #[cfg(feature = "json")]
    pub(super) const NONE: Self = Self(jiff::Timestamp::constant(-62_135_596_800, 0));

    /// The time so many nanoseconds after 1970-01-01T00:00:00Z; before it, if negative. Leap seconds
    /// do not count.
    ///
    /// # Errors
    ///
    /// If that is before the year 0000 or after the last point in time.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tickbus::Timestamp;
    /// assert_eq!(Timestamp::from_unix_nanos(0).unwrap().to_string(), "1970-01-01T00:00:00Z");
    /// assert_eq!(Timestamp::from_unix_nanos(-1).unwrap().to_string(), "1969-12-31T23:59:59.999999999Z");
    /// assert!(Timestamp::from_unix_nanos(i128::MAX).is_err());
    /// ```
    pub fn from_unix_nanos(nanos: i128) -> Result<Self, InvalidTime> {
        if nanos < FIRST {
            return Err(InvalidTime);
        }
        jiff::Timestamp::from_nanosecond(nanos).map(Self).map_err(|_| InvalidTime)
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z; negative before it.
    #[must_use]
    pub fn unix_nanos(self) -> i128 {
        self.0.as_nanosecond()
    }

    /// The text of `Display`, without the machinery of formatting.
    pub(super) fn text(self) -> Text {
        let mut text = Text { bytes: [0; _], len: 0 };
        // It fails only where the text does, which has room for every time in range.
        let _ = jiff::fmt::temporal::DateTimePrinter::new().print_timestamp(&self.0, &mut text);
        text
    }

    /// The time of now, by the clock of the system. That clock may be set back.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn now() -> Self {
        let now = std::time::SystemTime::now();
        let nanos = match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => i128::try_from(since.as_nanos()).unwrap_or(i128::MAX),
            Err(before) => -i128::try_from(before.duration().as_nanos()).unwrap_or(i128::MAX),
        };
        // A clock beyond the years 0000 to 9999 says nothing about now.
        Self::from_unix_nanos(nanos).unwrap_or(Self(jiff::Timestamp::UNIX_EPOCH))
    }
}

/// The text of a time.
pub(super) struct Text {
    bytes: [u8; "9999-12-30T22:00:00.999999999Z".len()],
    len: usize,
}

impl Text {
    pub(super) fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl jiff::fmt::Write for Text {
    fn write_str(&mut self, part: &str) -> Result<(), jiff::Error> {
        let room = self.bytes.get_mut(self.len..self.len + part.len());
        let room = room.ok_or_else(|| jiff::Error::from_args(format_args!("no room")))?;
        room.copy_from_slice(part.as_bytes());
        self.len += part.len();
        Ok(())
    }
}

/// Whether the text has the form of RFC 3339; its numbers are not looked at. The parser below takes
/// many more forms.
fn is_rfc_3339(text: &str) -> bool {
    let form = |text: &[u8], form: &[u8]| {
        text.len() == form.len()
            && text.iter().zip(form).all(|(byte, form)| match form {
                b'0' => byte.is_ascii_digit(),
                b'T' => matches!(byte, b'T' | b't'),
                b'+' => matches!(byte, b'+' | b'-'),
                form => byte == form,
            })
    };
    let Some((time, rest)) = text.as_bytes().split_at_checked("0000-00-00T00:00:00".len()) else {
        return false;
    };
    let offset = match rest {
        [b'.', fraction @ ..] => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(1..=9).contains(&digits) {
                return false;
            }
            &fraction[digits..]
        }
        rest => rest,
    };
    // The parser below has offsets of more than a day.
    let is_offset = || form(offset, b"+00:00") && &offset[1..3] < b"24";
    form(time, b"0000-00-00T00:00:00") && (matches!(offset, b"Z" | b"z") || is_offset())
}

impl FromStr for Timestamp {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        if !is_rfc_3339(text) {
            return Err(InvalidTime);
        }
        let time: jiff::Timestamp = text.parse().map_err(|_| InvalidTime)?;
        Self::from_unix_nanos(time.as_nanosecond())
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.text().as_str())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The text is no point in time in the form of RFC 3339, or the point is out of range: see
/// [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTime;

impl fmt::Display for InvalidTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(
            "not a time of RFC 3339 within the years 0000 to 9999, as `2026-08-01T12:30:00.25Z` is",
        )
    }
}

impl Error for InvalidTime {}
