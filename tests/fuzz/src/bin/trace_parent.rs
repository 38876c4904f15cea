//! Any text is a `traceparent` by the grammar of the W3C or is refused, and what is read is written again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tickbus::{Envelope, TraceParent};

/// The grammar, piece by piece.
fn is_trace_parent(text: &str) -> bool {
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
    assert_eq!(written[2..], text[2..55]);
    assert_eq!(written.parse(), Ok(parent));
    let envelope = Envelope::unstamped("a").expect("it is a subject").with_trace_parent(parent);
    assert_eq!(envelope.trace_parent(), Some(parent.with_flags(0)));
});
