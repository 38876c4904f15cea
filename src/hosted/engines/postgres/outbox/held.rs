//! What waits after a failure: [`Held`].

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;
use std::collections::HashMap;

use tokio::time::Instant;

use crate::hosted::handle::RetryPolicy;

/// What is tried again together: the events of a key, or one without a key.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Line {
    Key(Box<str>),
    Place(i64),
}

/// The lines whose next event failed.
#[derive(Default)]
pub(super) struct Held {
    /// When it is tried again, and how often it failed.
    lines: HashMap<Line, (Instant, u32)>,
}

/// 0.1 s, 0.2 s, … up to 10 s.
const AGAIN: RetryPolicy =
    RetryPolicy::new(u32::MAX).initial(Duration::from_millis(100)).max(Duration::from_secs(10));
/// How many lines are held at most. At that number it waits for one of them.
const MOST: usize = 1000;

impl Held {
    pub(super) fn hold(&mut self, line: Line) {
        let tries = self.lines.get(&line).map_or(0, |(_, tries)| *tries).saturating_add(1);
        self.lines.insert(line, (Instant::now() + AGAIN.delay(tries), tries));
    }

    pub(super) fn forget(&mut self, line: &Line) {
        self.lines.remove(line);
    }

    fn waiting(&self) -> impl Iterator<Item = (&Line, Instant)> {
        let now = Instant::now();
        self.lines.iter().map(|(line, (until, _))| (line, *until)).filter(move |it| it.1 > now)
    }

    /// Returns the keys and the places that wait.
    pub(super) fn lines(&self) -> (Vec<&str>, Vec<i64>) {
        let (mut keys, mut places) = (Vec::new(), Vec::new());
        for (line, _) in self.waiting() {
            match line {
                Line::Key(key) => keys.push(&**key),
                Line::Place(place) => places.push(*place),
            }
        }
        (keys, places)
    }

    /// Returns when the first of those that wait is tried again.
    pub(super) fn next(&self) -> Option<Instant> {
        self.waiting().map(|(_, until)| until).min()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiting().count() >= MOST
    }
}
