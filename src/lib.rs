//! An event bus for programs that run in ticks: firmware main loops, game frames, and the services
//! around them.
//!
//! Interrupts, threads and handlers publish at any time. Once a tick you take what is pending: in order,
//! within a budget, with every loss counted. The core needs no allocator, no operating system and no
//! locks.
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
//! | job | type | feature |
//! |---|---|---|
//! | many publishers, one consumer | [`Bus`] | |
//! | a full bus: reject, drop the oldest event, drop the new one | [`Reject`], [`DropOldest`], [`DropNewest`] | |
//! | several events or none | [`Bus::publish_all`], [`Publisher::publish_all`], [`GatedTopic::publish_all`] | |
//! | one publisher, one consumer | [`Lane`] | |
//! | one owner, no sharing | [`Bus::publish_mut`], [`Bus::drain`] | |
//! | handlers by kind or by pattern, in a `static` | [`Dispatch`] | |
//! | handlers of one tick side by side | `parallel::ParallelDispatch` | `parallel` |
//! | how much a tick may do, and what it did | [`Budget`], [`Report`] | |
//! | a function that publishes to any of these, or drains any bus | [`Publish`], [`Source`] | |
//! | every reader reads every event; one that lags learns how many it missed | [`Topic`] | |
//! | the same from one publisher | [`Feed`] | |
//! | every reader reads every event; the slowest one makes the topic full | [`GatedTopic`] | |
//! | only some events: filter, every nth, minimum interval, mask | [`Selective`](topic::Selective) | |
//! | the last events, read without taking them | [`Topic::history`], [`GatedTopic::history`], [`Feed::history`] | |
//! | the newest value | [`Latest`] | |
//! | call handlers at once, in the publisher | [`Dispatch::call`] | |
//! | await an event, or room for one; block a thread (`std`) | [`Waiters`], as the last parameter: see [`wait`] | |
//! | events for later: at, after, every | [`Timers`] | |
//! | keep events until the program has started, or while it is paused | [`Hold`] | |
//! | one question, several answers, a deadline | [`Requests`](request::Requests) | |
//! | put an event off, or keep only the latest of a key | [`Deferred`](defer::Deferred) | |
//! | names with wildcards | [`Subject`], [`Pattern`] | |
//! | wildcards as other buses write them | [`GlobPattern`](subject::GlobPattern), [`PrefixPattern`](subject::PrefixPattern) | |
//! | subscriptions by pattern that come and go | `SubjectBus`, `Envelope` | `alloc` |
//! | code that takes any bus of envelopes | `subject_bus::EnvelopeBus` | `alloc` |
//! | the same events on a bus and in a service | `bridge::BridgeOut`, `bridge::BridgeIn` | `alloc` |
//! | JSON, `CloudEvents`, typed payloads | `Envelope::event`, `Envelope::from_json` | `json` |
//! | envelopes inside a process, or to and from others, over an engine | the module `hosted` | `hosted` |
//! | envelopes on a device without an allocator: MQTT 5, and bytes | [`CompactEnvelope`](envelope::compact::CompactEnvelope) | |
//! | a bus in a Bevy app | `bevy::EventBusPlugin` | `bevy` |
//!
//! # Words
//!
//! An **event** has a **kind** (a number) and a **subject** (a name). [`events!`] gives an enum both. A
//! **pattern** matches subjects: `*` stands for one segment, and `>` at the end for one or more. To
//! **publish** is to put an event in. It never waits, unless you ask a method to wait, or a subscription of a
//! `SubjectBus` says so. An event is **pending** until it comes out. To **drain** is to take the events that are
//! pending at this moment. A **tick** drains through a table of **handlers** within a **budget**.
//!
//! # The law
//!
//! `published == handled + dropped() + pending` at every quiet moment, for every bus and policy: see
//! [`Stats`]. `published == received + missed + skipped + pending` for every subscriber of a topic: see
//! [`SubscriberStats`](topic::SubscriberStats).
//!
//! # Crate features
//!
//! No feature is on by default. Without any, the crate needs neither an allocator nor an operating system.
//!
//! | feature | adds |
//! |---|---|
//! | `alloc` | `Envelope`: an event that travels, with headers and time; you set ids and times. On targets with compare-and-swap, `SubjectBus` for one thread |
//! | `std` | `alloc`; ids and times of new envelopes; `SubjectBus` for threads; threads that wait |
//! | `json` | `alloc`; envelopes and payloads as JSON, and typed payloads |
//! | `opentelemetry` | `std`; a new envelope names the current span; spans of engines with `hosted` |
//! | `hosted` | `std`, `json` and tokio's `rt`, `sync`, `time`; engines, handlers on workers, a router over several engines, a broker that keeps records, a link to a tick |
//! | `kafka` | `hosted`; the engine for Kafka: consumer groups, and live subscriptions |
//! | `kinesis` | `hosted`; the engine for Kinesis |
//! | `mqtt` | `hosted`; the engine for MQTT 5 |
//! | `nats` | `hosted`; the engine for NATS and `JetStream` |
//! | `postgres` | `hosted`; the engine that is a log in Postgres, a store of records, an outbox |
//! | `redis` | `hosted`; the engine for Redis: streams, and pub/sub |
//! | `yaml`, `schema` | `hosted`; its configuration as a file of YAML or JSON; the JSON schema of that file |
//! | `dogstatsd`, `metrics` | `hosted`; the numbers of engines for Datadog, for the crate `metrics` |
//! | `compression` | `hosted`; large payloads as gzip |
//! | `parallel` | `std`; handlers of one tick side by side, on the pool of `rayon` |
//! | `bevy` | `alloc`; a plugin that drains a bus into a Bevy app |
//! | `bevy_time`, `bevy_diagnostic`, `bevy_reflect` | fixed steps and pauses, diagnostics, reflection for the plugin |
//! | `serde`, `defmt` | `Serialize` and `Deserialize`, `defmt::Format` for statistics, reports and errors |
//! | `full` | all of these except `kafka`, `kinesis`, `mqtt`, `nats`, `postgres`, `redis` and `defmt` (a binary with `defmt` links only with a logger) |
//!
//! On targets without compare-and-swap, the binary must provide an implementation of `critical-section`.
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
