//! What a time is on a device: a text.

/// Returns whether the text is a time as `Timestamp` prints it, in UTC, with any number of digits
/// behind the point.
pub(super) fn is_time(text: &str) -> bool {
    parse(text.as_bytes()).is_some()
}

fn parse(text: &[u8]) -> Option<()> {
    let (time, rest) = text.split_first_chunk::<{ "0000-00-00T00:00:00".len() }>()?;
    let dividers = [time[4], time[7], time[10], time[13], time[16]];
    let ends = match rest {
        b"Z" => true,
        [b'.', digits @ .., b'Z'] => !digits.is_empty() && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if dividers != *b"--T::" || !ends {
        return None;
    }
    let two = |at: usize| match [time[at], time[at + 1]] {
        [tens @ b'0'..=b'9', ones @ b'0'..=b'9'] => Some((tens - b'0') * 10 + ones - b'0'),
        _ => None,
    };
    let (century, year, month, day) = (two(0)?, two(2)?, two(5)?, two(8)?);
    let (hour, minute, second) = (two(11)?, two(14)?, two(17)?);
    let is_leap = if year == 0 { century % 4 == 0 } else { year % 4 == 0 };
    let days = match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    let leap_second = (hour, minute, second, day) == (23, 59, 60, days);
    let is_in_range = (1..=days).contains(&day) && hour < 24 && minute < 60;
    (is_in_range && (second < 60 || leap_second)).then_some(())
}
