//! The times of envelopes: [`Timestamp`].

use core::error::Error;
use core::fmt;
use core::str::FromStr;

use jiff::SignedDuration;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// Holds a point in time, to the nanosecond, in UTC.
///
/// The range is 0000-01-01T00:00:00Z to 9999-12-31T23:59:59.999999999Z, both included.
///
/// It prints as RFC 3339: with up to nine digits of the second, without trailing zeros, and with a
/// `Z`. It reads every RFC 3339 text. Reading cuts digits after the ninth, and converts other
/// offsets to UTC. A leap second, `23:59:60` at the end of a month in UTC, reads as the second
/// before it.
///
/// # Examples
///
/// ```
/// use tickbus::envelope::{InvalidTime, Timestamp};
///
/// let time: Timestamp = "2026-08-01T14:30:00.250+02:00".parse()?;
/// assert_eq!(time.to_string(), "2026-08-01T12:30:00.25Z");
/// assert_eq!(time.unix_nanos(), 1_785_587_400_250_000_000);
///
/// assert!("2026-08-01 14:30:00Z".parse::<Timestamp>().is_err()); // no `T`
/// assert!("2026-08-01T14:30:00".parse::<Timestamp>().is_err()); // no offset
/// # Ok::<(), InvalidTime>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(
    /// In UTC; the year is not negative. The instants of `jiff` end 26 hours before the year 9999
    /// does.
    DateTime,
);

const UNIX_EPOCH: DateTime = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);

impl Timestamp {
    /// Stands for an envelope without a time in JSON: 0001-01-01T00:00:00Z.
    pub(super) const NONE: Self = Self(DateTime::constant(1, 1, 1, 0, 0, 0, 0));

    /// Returns the time that is this many nanoseconds after 1970-01-01T00:00:00Z, or before it if
    /// negative. Leap seconds do not count.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidTime`] if that is before the year 0000 or after the year 9999.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tickbus::envelope::Timestamp;
    /// assert_eq!(Timestamp::from_unix_nanos(0).unwrap().to_string(), "1970-01-01T00:00:00Z");
    /// assert_eq!(Timestamp::from_unix_nanos(-1).unwrap().to_string(), "1969-12-31T23:59:59.999999999Z");
    /// assert!(Timestamp::from_unix_nanos(i128::MAX).is_err());
    /// ```
    pub fn from_unix_nanos(nanos: i128) -> Result<Self, InvalidTime> {
        const PER_SECOND: i128 = 1_000_000_000;
        let seconds = i64::try_from(nanos.div_euclid(PER_SECOND)).map_err(|_| InvalidTime)?;
        let nanos = nanos.rem_euclid(PER_SECOND) as i32; // less than a second
        Self::from_unix(seconds, nanos).ok_or(InvalidTime)
    }

    fn from_unix(seconds: i64, nanos: i32) -> Option<Self> {
        Self::checked(match jiff::Timestamp::new(seconds, nanos) {
            Ok(instant) => Offset::UTC.to_datetime(instant), // the fast way
            Err(_) => UNIX_EPOCH.checked_add(SignedDuration::new(seconds, nanos)).ok()?,
        })
    }

    fn checked(time: DateTime) -> Option<Self> {
        (time.year() >= 0).then_some(Self(time))
    }

    /// Returns the nanoseconds since 1970-01-01T00:00:00Z. The number is negative for earlier
    /// times.
    #[must_use]
    pub fn unix_nanos(self) -> i128 {
        self.0.duration_since(UNIX_EPOCH).as_nanos()
    }

    /// Returns the text of `Display`, without the machinery of formatting.
    #[inline(never)]
    pub(super) fn text(self) -> Text {
        let time = self.0;
        let mut bytes = *b"0000-00-00T00:00:00.000000000Z";
        let mut two = |at: usize, number: u8| {
            bytes[at] = b'0' + number / 10;
            bytes[at + 1] = b'0' + number % 10;
        };
        let year = time.year().unsigned_abs(); // it is not negative
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

    /// Returns the current time, by the clock of the system. The system may set that clock back.
    #[cfg(feature = "std")]
    #[must_use]
    pub fn now() -> Self {
        let now = std::time::SystemTime::now();
        let since = match now.duration_since(std::time::UNIX_EPOCH) {
            Ok(since) => SignedDuration::try_from(since),
            Err(before) => SignedDuration::try_from(before.duration()).map(|before| -before),
        };
        let time = since.ok().and_then(|it| Self::from_unix(it.as_secs(), it.subsec_nanos()));
        // A clock beyond the years 0000 to 9999 says nothing about now.
        time.unwrap_or(Self(UNIX_EPOCH))
    }
}

/// The text of a time.
pub(super) struct Text {
    bytes: [u8; "9999-12-31T23:59:59.999999999Z".len()],
    len: usize,
}

impl Text {
    pub(super) fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

/// Reads decimal digits.
#[inline]
fn digits(text: &[u8]) -> Option<i32> {
    text.iter().try_fold(0, |number, byte| {
        byte.is_ascii_digit().then(|| number * 10 + i32::from(byte - b'0'))
    })
}

/// Checks the form. The calendar checks the ranges of the numbers.
fn parse(text: &[u8]) -> Option<DateTime> {
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
            let kept = &fraction[..len.min(9)];
            let nanos = digits(kept)? * 10_i32.pow(9 - kept.len() as u32);
            (if len == 0 { None } else { Some(nanos) }?, offset)
        }
        offset => (0, offset),
    };
    let offset = match offset {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), hours @ .., b':', minute1, minute2] if hours.len() == 2 => {
            let minutes = digits(&[*minute1, *minute2]).filter(|minutes| *minutes < 60)?;
            let hours = digits(hours).filter(|hours| *hours < 24)?;
            let seconds = i64::from((hours * 60 + minutes) * 60);
            if *sign == b'+' { seconds } else { -seconds }
        }
        _ => return None,
    };
    let second = two(17)?;
    let is_leap = second == 60;
    let second = if is_leap { 59 } else { second };
    let time = DateTime::new(year, two(5)?, two(8)?, two(11)?, two(14)?, second, nanos).ok()?;
    let time = match offset {
        0 => time,
        offset => time.checked_sub(SignedDuration::from_secs(offset)).ok()?,
    };
    let ends_month = || (time.hour(), time.minute(), time.day()) == (23, 59, time.days_in_month());
    (!is_leap || ends_month()).then_some(time)
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

/// A text is not a time in the form of RFC 3339, or a time is out of range: see [`Timestamp`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTime;

impl fmt::Display for InvalidTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(
            "not a time: write it as RFC 3339 does, within the years 0000 to 9999 in UTC, \
             as in `2026-08-01T12:30:00.25Z`",
        )
    }
}

impl Error for InvalidTime {}

#[cfg(test)]
mod tests;
