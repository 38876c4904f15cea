//! An event bus for programs that run in ticks.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bus;
mod error;
mod event;
mod ring;
mod subject;
mod sync;

#[cfg(not(tickbus_loom))]
pub use bus::DrainMut;
pub use bus::{
    Budget, Bus, Consumer, Dispatch, Drain, DropNewest, DropOldest, ErrorHook, Flow, Handler, Lane,
    Overrun, Producer, Reject, Report, Source, Stats, Until, Verdict,
};
pub use error::{Full, InvalidPattern, InvalidSubject};
#[doc(hidden)]
pub use event::__private;
pub use event::Event;
pub use subject::{Pattern, Subject};
