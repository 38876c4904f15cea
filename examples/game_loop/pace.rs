//! When the publishing threads take their steps.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::TICK;
use crate::control::CONTROL;

/// When a publishing thread takes its next step.
pub(crate) enum Pace {
    /// 60 times a second, by the thread's own clock. A paused game has no steps.
    Clock,
    /// When the main thread says so. The main thread waits until the step is done.
    Lockstep { go: Receiver<()>, done: SyncSender<()> },
}

impl Pace {
    /// Takes steps until the game is over.
    pub(crate) fn run(self, mut step: impl FnMut()) {
        match self {
            Self::Clock => {
                while CONTROL.is_running() {
                    if !CONTROL.is_paused() {
                        step();
                    }
                    thread::sleep(TICK);
                }
            }
            Self::Lockstep { go, done } => {
                while go.recv().is_ok() {
                    step();
                    if done.send(()).is_err() {
                        return;
                    }
                }
            }
        }
    }
}

/// The main thread's end of every [`Pace::Lockstep`].
///
/// The threads take turns in a fixed order, so they always publish in the same order. Nothing else is
/// needed to make a game with many publishers repeatable. Dropping the conductor ends the threads.
#[derive(Default)]
pub(crate) struct Conductor {
    threads: Vec<(SyncSender<()>, Receiver<()>)>,
}

impl Conductor {
    /// Returns the pace of one more thread. It steps after the threads that were added before it.
    pub(crate) fn pace(&mut self) -> Pace {
        let (say_go, go) = sync_channel(0);
        let (done, is_done) = sync_channel(0);
        self.threads.push((say_go, is_done));
        Pace::Lockstep { go, done }
    }

    /// Lets every thread take one step.
    pub(crate) fn step(&self) {
        for (say_go, is_done) in &self.threads {
            let stepped = say_go.send(()).is_ok() && is_done.recv().is_ok();
            assert!(stepped, "a publishing thread has ended early");
        }
    }
}
