//! Any text is a time of RFC 3339 or is refused, and what is read is written so that it reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tickbus::envelope::Timestamp;

/// The years 0000 to 9999.
const FIRST: &str = "0000-01-01T00:00:00Z";
const LAST: &str = "9999-12-31T23:59:59.999999999Z";

/// The nanoseconds since 1970, by counting days year by year and month by month.
fn naive(text: &str) -> Option<i128> {
    let is_leap = |year: i128| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_of = |year: i128, month: i128| match month {
        2 => 28 + i128::from(is_leap(year)),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    let number = |from: usize, to: usize| {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse::<i128>().ok())?
    };
    let sign = |at: usize, any_of: &str| text.get(at..at + 1).is_some_and(|it| any_of.contains(it));
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let form = sign(4, "-") && sign(7, "-") && sign(10, "Tt") && sign(13, ":") && sign(16, ":");
    let date = (1..=12).contains(&month) && (1..=days_of(year, month)).contains(&day);
    if !(form && date && hour < 24 && minute < 60 && second <= 60) {
        return None;
    }
    let (mut nanos, mut at) = (0, 19);
    if sign(19, ".") {
        at = text[20..].find(|c: char| !c.is_ascii_digit()).map(|len| 20 + len)?;
        let len = (at - 20).min(9);
        if len == 0 {
            return None;
        }
        nanos = number(20, 20 + len)? * 10_i128.pow(9 - len as u32);
    }
    let offset = match &text[at..] {
        "Z" | "z" => 0,
        offset if offset.len() == 6 && sign(at, "+-") && sign(at + 3, ":") => {
            let (hours, minutes) = (number(at + 1, at + 3)?, number(at + 4, at + 6)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if offset.starts_with('-') { -1 } else { 1 }
        }
        _ => return None,
    };
    let before = |from: i128, to: i128| (from..to).map(|year| 365 + i128::from(is_leap(year)));
    let years = before(1970, year).sum::<i128>() - before(year, 1970).sum::<i128>();
    let days = years + (1..month).map(|month| days_of(year, month)).sum::<i128>() + day - 1;
    let minutes = (days * 24 + hour) * 60 + minute - offset;
    // A leap second is in the last minute of a month in UTC: of this one, or of one beside it.
    let last_minute = |year: i128, month: i128| {
        let months = (1..=month).map(|month| days_of(year, month)).sum::<i128>();
        let years = before(1970, year).sum::<i128>() - before(year, 1970).sum::<i128>();
        (years + months) * 24 * 60 - 1
    };
    let around = [(year - 1, 12), (year, month - 1), (year, month), (year + 1, 1)];
    if second == 60 && !around.iter().any(|(year, month)| last_minute(*year, *month) == minutes) {
        return None;
    }
    Some((minutes * 60 + second.min(59)) * 1_000_000_000 + nanos)
}

/// The calendar of `jiff`, which ends earlier, reads what it reads as the same time.
fn against_the_calendar(text: &str, time: Timestamp) {
    if let Ok(theirs) = text.parse::<jiff::Timestamp>() {
        assert_eq!(theirs.as_nanosecond(), time.unix_nanos(), "{text:?}");
    }
    match jiff::Timestamp::from_nanosecond(time.unix_nanos()) {
        Ok(theirs) => assert_eq!(theirs.to_string(), time.to_string()),
        Err(_) => assert!(time.to_string() > "9999-12-30T22:00:00.999999999Z".to_owned()),
    }
}

fuzz_target!(|text: &str| {
    let parsed = text.parse::<Timestamp>();
    let range = naive(FIRST)..=naive(LAST);
    let expected = naive(text).filter(|nanos| range.contains(&Some(*nanos)));
    assert_eq!(parsed.ok().map(Timestamp::unix_nanos), expected, "{text:?}");
    let Ok(time) = parsed else { return };
    let written = time.to_string();
    assert!(written.ends_with('Z') && (!written.contains('.') || !written.ends_with("0Z")));
    assert_eq!(written.parse(), Ok(time), "{written}");
    assert_eq!(Timestamp::from_unix_nanos(time.unix_nanos()), Ok(time));
    against_the_calendar(text, time);
});
