//! Any text is a `traceparent` by the grammar of the W3C or is refused, and what is read is written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tickbus::Envelope;
use tickbus::envelope::TraceParent;

/// The grammar, piece by piece.
fn is_trace_parent(text: &str) -> bool {
    let text = text.trim_matches([' ', '\t']);
    let pieces: Vec<_> = text.splitn(5, '-').collect();
    let digits = |piece: &str, len: usize| {
        piece.len() == len && piece.bytes().all(|byte| b"0123456789abcdef".contains(&byte))
    };
    let [version, trace, span, flags, more @ ..] = &*pieces else { return false };
    let ids = digits(trace, 32) && digits(span, 16);
    let some = trace.contains(|c| c != '0') && span.contains(|c| c != '0');
    digits(version, 2)
        && *version != "ff"
        && ids
        && some
        && digits(flags, 2)
        && (more.is_empty() || *version != "00")
}

fuzz_target!(|text: &str| {
    let parsed = text.parse::<TraceParent>();
    assert_eq!(parsed.is_ok(), is_trace_parent(text), "{text:?}");
    let Ok(parent) = parsed else { return };
    let written = parent.to_string();
    let read = text.trim_start_matches([' ', '\t']);
    assert_eq!(written[2..53], read[2..53]);
    // Of the flags, the lowest alone.
    let digit = read.as_bytes()[54];
    let digit = if digit.is_ascii_digit() { digit - b'0' } else { digit - b'a' + 10 };
    assert_eq!(&written[53..], ["00", "01"][usize::from(digit % 2)]);
    assert_eq!(written.parse(), Ok(parent));
    let envelope = Envelope::unstamped("a").expect("it is a subject");
    for envelope in
        [envelope.clone().with_trace_parent(parent), envelope.header("traceparent", text)]
    {
        assert_eq!(envelope.trace_parent(), Some(parent));
        let back = Envelope::from_json(&envelope.to_json()).expect("what was written can be read");
        assert_eq!(back.trace_parent(), Some(parent));
    }
});
