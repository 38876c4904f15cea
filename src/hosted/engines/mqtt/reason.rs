//! What a server says by the number of a reason.

use alloc::format;
use alloc::string::String;

/// The first number of those that refuse.
pub(super) const REFUSED: u8 = 0x80;
/// Another client has connected with the id.
pub(super) const TAKEN_OVER: u8 = 0x8e;

/// Returns the name and the number of a reason.
pub(super) fn shown(code: u8) -> String {
    let name = match code {
        0 => "without a reason",
        0x80 => "unspecified error",
        0x81 => "malformed packet",
        0x82 => "protocol error",
        0x83 => "implementation specific error",
        0x84 => "unsupported protocol version",
        0x85 => "client identifier not valid",
        0x86 => "bad user name or password",
        0x87 => "not authorized",
        0x88 => "server unavailable",
        0x89 => "server busy",
        0x8a => "banned",
        0x8b => "server shutting down",
        0x8c => "bad authentication method",
        0x8d => "keep alive timeout",
        TAKEN_OVER => "another client has taken over the session",
        0x8f => "topic filter invalid",
        0x90 => "topic name invalid",
        0x91 => "packet identifier in use",
        0x93 => "receive maximum exceeded",
        0x94 => "topic alias invalid",
        0x95 => "packet too large",
        0x96 => "message rate too high",
        0x97 => "quota exceeded",
        0x98 => "administrative action",
        0x99 => "payload format invalid",
        0x9a => "retain not supported",
        0x9b => "quality of service not supported",
        0x9c => "use another server",
        0x9d => "server moved",
        0x9e => "shared subscriptions not supported",
        0x9f => "connection rate exceeded",
        0xa0 => "maximum connect time",
        0xa2 => "wildcard subscriptions not supported",
        _ => "unknown reason",
    };
    format!("{name} (0x{code:02x})")
}

/// Returns whether a client that is refused so may be let in later.
pub(super) fn passes(code: u8) -> bool {
    matches!(code, 0x88 | 0x89 | 0x8b | 0x97 | 0x9f)
}
