//! An event bus for programs that run in ticks: firmware main loops, game frames, and the services
//! around them.
//!
//! Events go in from anywhere (an interrupt, a thread, a handler); they come out once per tick, in a
//! stated order, within a stated budget, and every loss is counted. No allocator, no operating
//! system, no locks.
//!
//! # Example: firmware
//!
//! ```
//! use tickbus::{Budget, Bus, Dispatch};
//!
//! tickbus::events! {
//!     #[derive(Clone, Copy, Debug)]
//!     pub enum Input {
//!         #[subject = "input.button"] Button { pressed: bool },
//!         #[subject = "input.tilt"] Tilt(i16),
//!     }
//! }
//!
//! #[derive(Default)]
//! struct Robot { armed: bool, lean: i16 }
//!
//! impl Robot {
//!     fn button(&mut self, event: &Input) {
//!         if let Input::Button { pressed } = event {
//!             self.armed = *pressed;
//!         }
//!     }
//!     fn tilt(&mut self, event: &Input) {
//!         if let Input::Tilt(lean) = event {
//!             self.lean = *lean;
//!         }
//!     }
//! }
//!
//! static BUS: Bus<Input, 32> = Bus::new();
//! static HANDLERS: Dispatch<Input, Robot, { Input::KINDS }> =
//!     Dispatch::new().on("input.button", Robot::button).on("input.tilt", Robot::tilt);
//!
//! // In an interrupt handler, as in any thread:
//! BUS.publish(Input::Button { pressed: true }).expect("there is room for 32");
//!
//! // In the main loop:
//! let mut robot = Robot::default();
//! let mut events = BUS.consumer().expect("main is the only consumer");
//! let report = HANDLERS.tick(&mut robot, &mut events, Budget::events(16));
//! assert!(robot.armed && report.handled == 1 && report.left == 0);
//! ```
//!
//! # Which type
//!
//! | job | type |
//! |---|---|
//! | many publishers, one consumer | [`Bus`] |
//! | one declared publisher, one consumer | [`Lane`] |
//! | several events or none | [`Bus::publish_all`], [`GatedTopic::publish_all`] |
//! | one owner, no sharing | [`Bus::publish_mut`], [`Bus::drain`] |
//! | a full bus: give back, drop the oldest, drop the newest | [`Reject`], [`DropOldest`], [`DropNewest`] |
//! | handlers by kind or wildcard, in a `static` | [`Dispatch`] |
//! | handlers of one tick side by side (`parallel`) | `ParallelDispatch` |
//! | await an event, or room for one | [`Waiters`], as the last parameter: see [`wait`] |
//! | a function for any of them | [`Publish`], [`Source`] |
//! | how much a tick may do, and what it did | [`Budget`], [`Report`] |
//! | one event to many readers: overtaken and told, or never overtaken | [`Topic`], [`GatedTopic`] |
//! | the same from one declared publisher: overtaken and told | [`Feed`] |
//! | the last events, read without taking them | [`Topic::history`], [`Feed::history`] |
//! | a reader of some events: filter, every nth, minimum interval, mask | [`Subscriber`], [`Selective`](topic::Selective) |
//! | the newest value only | [`Latest`] |
//! | handlers called by the publisher | [`Dispatch::call`] |
//! | events for later: at, after, every | [`Timers`] |
//! | keep events until the program has started, or while it is paused | [`Hold`] |
//! | one question, several answers, a deadline | [`Requests`](request::Requests) |
//! | put events off, or keep only the latest by key | [`Deferred`](defer::Deferred) |
//! | events as envelopes to other processes, and back (`alloc`) | `BridgeOut`, `BridgeIn` |
//! | envelopes to and from other processes, over an engine (`hosted`) | the module `hosted` |
//! | names with wildcards | [`Subject`], [`Pattern`] |
//! | wildcards as other buses write them | [`GlobPattern`](subject::GlobPattern), [`PrefixPattern`](subject::PrefixPattern) |
//!
//! # Words
//!
//! An **event** has a **kind** (a number) and a **subject** (a name); [`events!`] gives an enum both.
//! To **publish** is to put in, without ever waiting. To **drain** is to take what is queued at this
//! moment; a **tick** drains through a table of **handlers** within a **budget**.
//!
//! # The law
//!
//! At every quiet moment, for every bus and policy, `published == handled + dropped() + pending`: see
//! [`Stats`]. For every subscriber `published == received + missed + skipped + pending`: see
//! [`SubscriberStats`](topic::SubscriberStats).
//!
//! # Crate features
//!
//! None is on by default, and with none the crate needs neither an allocator nor an operating system.
//!
//! | feature | adds |
//! |---|---|
//! | `alloc` | `Envelope`: an event that travels, with headers and time; ids and clock are the caller's. Where there is compare-and-swap, `SubjectBus` for one thread |
//! | `std` | `alloc`, ids and times of new envelopes, and `SubjectBus` for threads |
//! | `json` | `alloc`, envelopes to and from JSON, payloads and their typed decoding |
//! | `parallel` | `std`, and the module `parallel`: handlers that run side by side on the pool of `rayon` |
//! | `opentelemetry` | `std`, and new envelopes name the current span |
//! | `hosted` | the module `hosted`: envelopes to and from other processes, over an engine. Needs `std`, `json` and tokio |
//! | `nats` | `hosted`, and its engine for NATS |
//! | `bevy` | the module `bevy`: a plugin that drains a bus into a Bevy app. Needs `alloc` |
//! | `bevy_time`, `bevy_diagnostic`, `bevy_reflect` | fixed steps and pauses, diagnostics, reflection for it |
//!
//! On targets without compare-and-swap the binary must provide a `critical-section` implementation.
#![no_std]
#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "alloc", tickbus_loom))]
extern crate alloc;
#[cfg(feature = "std")]
extern crate std;

#[cfg(all(feature = "bevy", not(tickbus_loom)))]
pub mod bevy;
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub mod bridge;
pub mod bus;
#[cfg(feature = "alloc")]
pub mod context;
pub mod defer;
#[cfg(feature = "alloc")]
pub mod envelope;
pub mod error;
pub mod event;
pub mod hold;
#[cfg(feature = "hosted")]
pub mod hosted;
#[cfg(all(feature = "parallel", not(tickbus_loom)))]
pub mod parallel;
pub mod request;
mod ring;
pub mod subject;
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub mod subject_bus;
mod sync;
pub mod timer;
pub mod topic;
pub mod wait;

pub use bus::{
    Budget, Bus, Consumer, Dispatch, Drain, DropNewest, DropOldest, Lane, Publish, Publisher,
    Reject, Report, Single, Source, Stats,
};
#[cfg(feature = "alloc")]
pub use envelope::Envelope;
pub use error::{Full, Lagged};
pub use event::Event;
pub use hold::Hold;
pub use subject::{Pattern, Subject};
#[cfg(all(feature = "alloc", target_has_atomic = "ptr"))]
pub use subject_bus::{Overrun, SubjectBus, Subscription};
pub use timer::Timers;
pub use topic::{Feed, GatedTopic, Latest, Subscriber, Topic, Watcher};
pub use wait::Waiters;

#[cfg(doc)]
pub mod design {
    #![doc = include_str!("ring/design.md")]
}

/// The examples of the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
