//! Points in time, as envelopes write them.

use core::error::Error;
use core::fmt;
use core::str::FromStr;

use jiff::civil::DateTime;
use jiff::tz::Offset;

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

/// 0000-01-01T00:00:00Z.
const FIRST: jiff::Timestamp = jiff::Timestamp::constant(-62_167_219_200, 0);

impl Timestamp {
    /// The time that stands for "none" in JSON: 0001-01-01T00:00:00Z.
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
        let time = jiff::Timestamp::from_nanosecond(nanos).map_err(|_| InvalidTime)?;
        Self::checked(time).ok_or(InvalidTime)
    }

    fn checked(time: jiff::Timestamp) -> Option<Self> {
        (time >= FIRST).then_some(Self(time))
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z; negative before it.
    #[must_use]
    pub fn unix_nanos(self) -> i128 {
        self.0.as_nanosecond()
    }

    /// The text of `Display`, without the machinery of formatting.
    pub(super) fn text(self) -> Text {
        let time = Offset::UTC.to_datetime(self.0);
        let mut bytes = *b"0000-00-00T00:00:00.000000000Z";
        let mut two = |at: usize, number: u8| {
            bytes[at] = b'0' + number / 10;
            bytes[at + 1] = b'0' + number % 10;
        };
        let year = time.year().unsigned_abs(); // not negative: see `FIRST`
        two(0, (year / 100) as u8);
        two(2, (year % 100) as u8);
        two(5, time.month().unsigned_abs());
        two(8, time.day().unsigned_abs());
        two(11, time.hour().unsigned_abs());
        two(14, time.minute().unsigned_abs());
        two(17, time.second().unsigned_abs());
        let mut nanos = time.subsec_nanosecond().unsigned_abs();
        let mut end = "0000-00-00T00:00:00".len();
        if nanos > 0 {
            for byte in bytes[end + 1..end + 10].iter_mut().rev() {
                *byte = b'0' + (nanos % 10) as u8;
                nanos /= 10;
            }
            end += 10;
            while bytes[end - 1] == b'0' {
                end -= 1;
            }
        }
        bytes[end] = b'Z';
        Text { bytes, len: end + 1 }
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

/// The number that the digits make.
#[inline]
fn digits(text: &[u8]) -> Option<i32> {
    text.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i32::from(byte - b'0'))
    })
}

/// Looks at the form; the ranges of the numbers are the calendar's to know.
fn parse(text: &[u8]) -> Option<jiff::Timestamp> {
    let (time, rest) = text.split_first_chunk::<{ "0000-00-00T00:00:00".len() }>()?;
    let dividers = [time[4], time[7], time[10].to_ascii_uppercase(), time[13], time[16]];
    if dividers != *b"--T::" {
        return None;
    }
    let year = i16::try_from(digits(&time[..4])?).ok()?;
    let two = |at: usize| i8::try_from(digits(&time[at..at + 2])?).ok();
    let (nanos, offset) = match rest {
        [b'.', fraction @ ..] => {
            let len = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            let (fraction, offset) = fraction.split_at(len);
            let power = 9_u32.checked_sub(u32::try_from(len).ok()?)?;
            let nanos = digits(fraction)? * 10_i32.pow(power);
            (if len == 0 { None } else { Some(nanos) }?, offset)
        }
        offset => (0, offset),
    };
    let offset = match offset {
        b"Z" | b"z" => Offset::UTC,
        [sign @ (b'+' | b'-'), hours @ .., b':', minute1, minute2] if hours.len() == 2 => {
            let minutes = digits(&[*minute1, *minute2]).filter(|minutes| *minutes < 60)?;
            let hours = digits(hours).filter(|hours| *hours < 24)?;
            let seconds = (hours * 60 + minutes) * 60;
            Offset::from_seconds(if *sign == b'+' { seconds } else { -seconds }).ok()?
        }
        _ => return None,
    };
    let second = match two(17)? {
        60 => 59, // a leap second
        second => second,
    };
    let time = DateTime::new(year, two(5)?, two(8)?, two(11)?, two(14)?, second, nanos).ok()?;
    offset.to_timestamp(time).ok()
}

impl FromStr for Timestamp {
    type Err = InvalidTime;

    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        parse(text.as_bytes()).and_then(Self::checked).ok_or(InvalidTime)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    proptest! {
        /// What has the form is what the calendar's own parser makes of it, which has offsets of a day and
        /// more, too.
        #[test]
        fn a_text_is_the_time_that_the_calendar_says(
            text in "[0-9]{4}-[01][0-9]-[0-3][0-9][Tt][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,9})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-6][0-9])",
        ) {
            prop_assert_eq!(super::parse(text.as_bytes()), text.parse().ok(), "{}", text);
        }
    }
}
