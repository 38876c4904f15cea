//! Any text is a subject or is told why not, on every way in.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tickbus::{Envelope, Pattern, Subject};
use tickbus_fuzz::is_subject;

fuzz_target!(|text: &str| {
    let subject = Subject::new(text);
    assert_eq!(subject.is_ok(), is_subject(text));
    let json = serde_json::json!({ "subject": text }).to_string();
    let envelope = Envelope::from_json(&json);
    assert_eq!((envelope.is_ok(), Envelope::new(text).is_ok()), (subject.is_ok(), subject.is_ok()));

    let Ok(subject) = subject else { return };
    assert!(subject.segments().eq(text.split('.')));
    assert!(Pattern::from(subject).matches(subject));
    assert_eq!(Pattern::new(text), Ok(Pattern::from(subject)));
    assert_eq!(envelope.expect("the subject is one").subject(), subject);
});
