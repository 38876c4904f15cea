//! What processes say to the one that has started them, and what they are told: a line of JSON each.

use alloc::sync::Arc;
use std::io::{self, BufRead, Write};
use std::{process, thread};

use serde::{Deserialize, Serialize};
use tickbus::hosted::PublishStats;
use tokio::sync::watch;

/// What a process says.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Line {
    /// Its subscriptions are open.
    Ready,
    /// It is about to publish this event.
    Attempted(Flow, u64),
    /// The engine has confirmed this event.
    Acknowledged(Flow, u64),
    /// It has handled this event, and acknowledges it next.
    Delivered(Flow, u64),
    Numbers(Numbers),
    /// What a person should read.
    Note(String),
    /// It has done what it was told, and ends.
    Ended,
}

/// Events that are followed one by one, from where they are published to where they are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Flow {
    /// From devices to services.
    Readings,
    /// From services to the game.
    Boosts,
}

/// What a process counts, since it has started.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Numbers {
    pub(crate) published: u64,
    pub(crate) handled: u64,
    /// What is still to come.
    pub(crate) lag: u64,
    /// Failed calls that were tried again in the process.
    pub(crate) retried: u64,
    /// What the engine delivered again: its process had ended, or its answer came too late.
    pub(crate) redelivered: u64,
    pub(crate) dead_letters: u64,
    /// By reason.
    pub(crate) dropped: Vec<(String, u64)>,
}

/// How many of these were published.
pub(crate) const fn published(stats: &PublishStats) -> u64 {
    stats.buffered + stats.accepted + stats.stored
}

/// Says lines to the process that has started this one, or to the thread.
#[derive(Clone)]
pub(crate) struct Say(Arc<dyn Fn(Line) + Send + Sync>);

impl Say {
    pub(crate) fn new(say: impl Fn(Line) + Send + Sync + 'static) -> Self {
        Self(Arc::new(say))
    }

    /// One write for a line: what is said is said, whatever ends the process.
    pub(crate) fn to_standard_output() -> Self {
        Self::new(|line| {
            let mut text = serde_json::to_string(&line).expect("a line has no odd keys");
            text.push('\n');
            if io::stdout().write_all(text.as_bytes()).is_err() {
                process::exit(1); // nothing listens any more
            }
        })
    }

    pub(crate) fn say(&self, line: Line) {
        (self.0)(line);
    }
}

/// Whether the process was told to end.
#[derive(Clone)]
pub(crate) struct Told(watch::Receiver<bool>);

impl Told {
    pub(crate) fn new() -> (watch::Sender<bool>, Self) {
        let (tell, told) = watch::channel(false);
        (tell, Self(told))
    }

    /// A line says that it has to end. The end of the input says that its conductor has gone, or that a
    /// person has started the role by hand.
    pub(crate) fn from_standard_input() -> Self {
        let (tell, told) = Self::new();
        thread::spawn(move || {
            for line in io::stdin().lock().lines().map_while(Result::ok) {
                if line == STOP {
                    tell.send_replace(true);
                }
            }
            let why = "fleet: the input has ended: the fleet that started this process is gone";
            let _ = writeln!(io::stderr(), "{why}"); // it may have gone with the fleet
            process::exit(1);
        });
        told
    }

    pub(crate) fn is_over(&self) -> bool {
        *self.0.borrow()
    }

    pub(crate) async fn over(&mut self) {
        let _ = self.0.wait_for(|is_over| *is_over).await; // an error: there is none to tell it
    }
}

/// The line that tells a process to end.
pub(crate) const STOP: &str = "\"Stop\"";
