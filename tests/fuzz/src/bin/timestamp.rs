//! Any text is a time of RFC 3339 or is refused, and what is read is written so that it reads the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tickbus::Timestamp;

fuzz_target!(|text: &str| {
    let Ok(time) = text.parse::<Timestamp>() else { return };
    assert!((20..=35).contains(&text.len()) && text.is_ascii(), "{text:?}");
    let written = time.to_string();
    assert!(
        written.ends_with('Z') && !written.ends_with("0Z") | !written.contains('.'),
        "{written}"
    );
    assert_eq!(written.parse(), Ok(time), "{written}");
    assert_eq!(Timestamp::from_unix_nanos(time.unix_nanos()), Ok(time));
    assert_eq!(written.parse::<Timestamp>().map(|again| again.to_string()), Ok(written));
});
