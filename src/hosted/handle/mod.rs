//! A subscription with a handler.

pub(in crate::hosted) mod ledger;
mod retry;

pub use retry::{InvalidRetryPolicy, RetryPolicy};
