//! The header by which traces cross services: [`TraceParent`].

use core::error::Error;
use core::fmt;
use core::str::FromStr;

/// The key of the header with a trace, as other systems write it.
pub(super) const TRACE_PARENT: &str = "traceparent";
/// The key of the header with what vendors say of that trace.
#[cfg(feature = "opentelemetry")]
pub(super) const TRACE_STATE: &str = "tracestate";

/// Holds the value of the header `traceparent` of the W3C's Trace Context: a trace, the span that
/// sends, and flags.
///
/// It reads versions 00 to fe, and ignores what later versions append. It writes version 00, the
/// highest that it knows. Digits are lower case, and neither id is all zero. It ignores spaces and
/// tabs around the text, which belong to the header.
///
/// # Examples
///
/// ```
/// use tickbus::envelope::{InvalidTraceParent, TraceParent};
///
/// let text = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let parent: TraceParent = text.parse()?;
/// assert_eq!(parent.span_id(), 0x00f0_67aa_0ba9_02b7);
/// assert_eq!(parent.flags() & TraceParent::SAMPLED, 1);
/// assert_eq!(parent.to_string(), text);
///
/// let no_trace = "00-00000000000000000000000000000000-00f067aa0ba902b7-01";
/// assert_eq!(no_trace.parse::<TraceParent>(), Err(InvalidTraceParent));
/// # Ok::<(), InvalidTraceParent>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TraceParent {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

impl TraceParent {
    /// The flag that says that the sender records this trace.
    pub const SAMPLED: u8 = 1;

    /// Returns a trace and a span in it, with the flags 0. Returns `None` if one of the ids is 0,
    /// which is not a valid id.
    #[must_use]
    pub const fn new(trace_id: u128, span_id: u64) -> Option<Self> {
        if trace_id == 0 || span_id == 0 {
            return None;
        }
        Some(Self { trace_id, span_id, flags: 0 })
    }

    /// Sets the flags. Version 00 defines only [`SAMPLED`](Self::SAMPLED). This method sets every
    /// other bit to 0, as the W3C demands.
    ///
    /// # Examples
    ///
    /// ```
    /// # use tickbus::envelope::TraceParent;
    /// let parent = TraceParent::new(1, 2).expect("neither is 0");
    /// assert_eq!(parent.with_flags(0xff).flags(), TraceParent::SAMPLED);
    /// ```
    #[must_use]
    pub const fn with_flags(self, flags: u8) -> Self {
        Self { flags: flags & Self::SAMPLED, ..self }
    }

    /// Returns whether the sender records this trace.
    #[must_use]
    pub const fn is_sampled(self) -> bool {
        self.flags & Self::SAMPLED != 0
    }

    /// Returns the id of the trace.
    #[must_use]
    pub const fn trace_id(self) -> u128 {
        self.trace_id
    }

    /// Returns the id of the span.
    #[must_use]
    pub const fn span_id(self) -> u64 {
        self.span_id
    }

    /// Returns the flags: [`SAMPLED`](Self::SAMPLED) or 0.
    #[must_use]
    pub const fn flags(self) -> u8 {
        self.flags
    }

    /// Returns whether both name the same span. The flags may differ.
    pub(super) fn is_span_of(self, other: Self) -> bool {
        (self.trace_id, self.span_id) == (other.trace_id, other.span_id)
    }

    /// Reads the ids from their texts: 32 and 16 lower-case hexadecimal digits, not all zero.
    pub(super) fn from_ids(trace_id: &str, span_id: &str) -> Option<Self> {
        if (trace_id.len(), span_id.len()) != (32, 16) {
            return None;
        }
        let (trace_id, span_id) = (digits(trace_id.as_bytes())?, digits(span_id.as_bytes())?);
        Self::new(trace_id, u64::try_from(span_id).ok()?)
    }

    /// Returns the texts of the ids.
    pub(super) fn ids(self) -> (alloc::string::String, alloc::string::String) {
        (alloc::format!("{:032x}", self.trace_id), alloc::format!("{:016x}", self.span_id))
    }
}

/// Reads up to 32 lower-case hexadecimal digits.
fn digits(text: &[u8]) -> Option<u128> {
    text.iter().try_fold(0, |number, byte| {
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            b'a'..=b'f' => byte - b'a' + 10,
            _ => return None,
        };
        Some(number << 4 | u128::from(digit))
    })
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    fn from_str(text: &str) -> Result<Self, InvalidTraceParent> {
        let parse = || {
            let text = text.trim_matches([' ', '\t']);
            let (head, more) = text.as_bytes().split_at_checked(55)?;
            let field = |from: usize, to: usize| {
                let ends = to == head.len() || head[to] == b'-';
                ends.then(|| digits(&head[from..to])).flatten()
            };
            let version = field(0, 2)?;
            let ends = more.is_empty() || version > 0 && more[0] == b'-';
            if version == 0xff || !ends {
                return None;
            }
            let (trace_id, span_id) = (field(3, 35)?, u64::try_from(field(36, 52)?).ok()?);
            let flags = u8::try_from(field(53, 55)?).ok()?;
            Some(Self::new(trace_id, span_id)?.with_flags(flags))
        };
        parse().ok_or(InvalidTraceParent)
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// A text is not a [`TraceParent`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidTraceParent;

impl fmt::Display for InvalidTraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(
            "not a `traceparent`: version, trace id, span id and flags, as in \
               `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`",
        )
    }
}

impl Error for InvalidTraceParent {}

/// Converts to the span of another process, which can be the parent of spans in this process.
///
/// # Examples
///
/// The work for an envelope belongs to the trace of its sender. With the crate
/// `tracing-opentelemetry`, `set_parent` of a span takes the same context.
///
/// ```
/// use opentelemetry::Context;
/// use opentelemetry::trace::TraceContextExt;
/// use tickbus::Envelope;
/// use tickbus::envelope::TraceParent;
///
/// let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".parse()?;
/// let received = Envelope::new("order.paid")?.with_trace_parent(parent);
///
/// if let Some(parent) = received.trace_parent() {
///     let _in = Context::current().with_remote_span_context(parent.into()).attach();
///     let answer = Envelope::new("order.shipped")?; // names the current span
///     assert_eq!(answer.trace_id(), received.trace_id());
///     assert!(answer.trace_parent().is_some_and(TraceParent::is_sampled)); // as received
/// }
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[cfg(feature = "opentelemetry")]
impl From<TraceParent> for opentelemetry::trace::SpanContext {
    fn from(parent: TraceParent) -> Self {
        let (trace_id, span_id) = (parent.trace_id.into(), parent.span_id.into());
        Self::new(
            trace_id,
            span_id,
            opentelemetry::TraceFlags::new(parent.flags),
            true,
            opentelemetry::trace::TraceState::default(),
        )
    }
}

/// Returns the current span of this thread. With the crate `tracing-opentelemetry` it is that of
/// `tracing`.
#[cfg(feature = "opentelemetry")]
pub(super) fn current() -> opentelemetry::trace::SpanContext {
    use opentelemetry::trace::TraceContextExt;

    opentelemetry::Context::map_current(|context| context.span().span_context().clone())
}

/// Returns the ids of a span. `None` if it is not valid.
#[cfg(feature = "opentelemetry")]
pub(super) fn parent(span: &opentelemetry::trace::SpanContext) -> Option<TraceParent> {
    let parent = TraceParent::new(
        u128::from_be_bytes(span.trace_id().to_bytes()),
        u64::from_be_bytes(span.span_id().to_bytes()),
    )?;
    Some(parent.with_flags(span.trace_flags().to_u8()))
}
