//! What a user decides about a log.

use alloc::string::String;
use core::time::Duration;

use super::super::database::Database;
use crate::hosted::start::OnStart;

#[derive(Clone)]
pub(super) struct Settings {
    pub(super) database: Database,
    pub(super) log: String,
    pub(super) lanes: u16,
    pub(super) segment: u32,
    pub(super) max_events: u64,
    pub(super) max_age: Duration,
    pub(super) dead_letters: u64,
    pub(super) max_attempts: Option<u32>,
    pub(super) poll: Duration,
    pub(super) on_start: OnStart,
}
