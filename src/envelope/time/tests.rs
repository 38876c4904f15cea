use jiff::civil::DateTime;
use jiff::tz::Offset;
use proptest::prelude::*;

/// What the calendar's own parser makes of the text. It takes `:60` in any minute and at most nine
/// digits of the second, has offsets of a day and more, and ends before the year 9999 does.
fn reference(text: &str) -> Option<DateTime> {
    let (head, rest) = text.split_at(19);
    let digits = rest.bytes().take_while(|byte| !b"Zz+-".contains(byte)).count();
    let text = [head, &rest[..digits.min(10)], &rest[digits..]].concat();
    let time = Offset::UTC.to_datetime(text.parse::<jiff::Timestamp>().ok()?);
    let ends_month = time.last_of_month().date().at(23, 59, 59, time.subsec_nanosecond());
    (!head.ends_with(":60") || time == ends_month).then_some(time)
}

proptest! {
    #[test]
    fn a_text_is_the_time_that_the_calendar_says(
        text in "[0-8][0-9]{3}-[01][0-9]-[0-3][0-9][Tt][0-2][0-9]:[0-6][0-9]:[0-6][0-9](\\.[0-9]{1,12})?([Zz]|[+-]([01][0-9]|2[0-3]):[0-6][0-9])",
    ) {
        prop_assert_eq!(super::parse(text.as_bytes()), reference(&text), "{}", text);
    }

    #[test]
    fn the_end_of_a_month_may_have_a_leap_second(
        text in "[0-8][0-9]{3}-(12-31|06-30|02-2[89]|03-31|0[1-3]-01)T([01][0-9]|2[0-3]):[0-5]9:60(\\.[0-9]{1,12})?(Z|[+-]0[0-9]:[0-5][0-9])",
    ) {
        prop_assert_eq!(super::parse(text.as_bytes()), reference(&text), "{}", text);
    }
}
