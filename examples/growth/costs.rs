//! What things cost: the one place with figures that were measured, read elsewhere, or assumed.

pub(crate) const HANDLER_NS: u64 = 200_000;
pub(crate) const REAL_SECONDS: u64 = 8;
