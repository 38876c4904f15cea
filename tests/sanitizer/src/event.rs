//! The event of all cases, and what is written down beside it.

use std::cell::UnsafeCell;

/// Two words that show it when they are not of one event.
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct Pair(u64, u64);

impl Pair {
    pub(crate) fn new(publisher: usize, number: usize) -> Self {
        let word = (publisher as u64) << 32 | number as u64;
        Self(word, !word)
    }

    /// The publisher and the number.
    pub(crate) fn read(&self) -> (usize, usize) {
        assert_eq!(self.0, !self.1, "a torn event");
        ((self.0 >> 32) as usize, self.0 as u32 as usize)
    }
}

/// What each publisher did before it published: plain memory, which nothing orders but the publishing and
/// the reading of its event.
pub(crate) struct Notes(Vec<Vec<UnsafeCell<Pair>>>);

// SAFETY: a note is written by its publisher before it publishes the event of that number, and looked at
// by those who got that event. That the two are ordered is what a sanitizer looks at.
unsafe impl Sync for Notes {}

impl Notes {
    /// So many notes for each publisher, which are used again and again.
    pub(crate) fn new(publishers: usize, count: usize) -> Self {
        let notes = || (0..count).map(|_| UnsafeCell::new(Pair::new(0, 0))).collect();
        Self((0..publishers).map(|_| notes()).collect())
    }

    fn of(&self, publisher: usize, number: usize) -> *mut Pair {
        let notes = &self.0[publisher];
        notes[number % notes.len()].get()
    }

    /// Notes that the event is about to be published.
    pub(crate) fn write(&self, publisher: usize, number: usize) -> Pair {
        let event = Pair::new(publisher, number);
        // SAFETY: this is the publisher, and the reader of this note gets the event later.
        unsafe { *self.of(publisher, number) = event };
        event
    }

    /// Looks whether what the publisher did is there.
    pub(crate) fn check(&self, event: Pair) {
        let (publisher, number) = event.read();
        // SAFETY: the publisher wrote it before it published the event that we got.
        let note = unsafe { *self.of(publisher, number) };
        assert!(note == event, "{number} of {publisher} comes before what was done before it");
    }
}

/// What a reader has seen of the events of two publishers.
pub(crate) struct Follower<'a> {
    notes: &'a Notes,
    next: [usize; 2],
    pub(crate) read: usize,
    pub(crate) missed: usize,
}

impl<'a> Follower<'a> {
    pub(crate) fn new(notes: &'a Notes) -> Self {
        Self { notes, next: [0; 2], read: 0, missed: 0 }
    }

    /// Checks an event, of which no later one has been seen.
    pub(crate) fn see(&mut self, event: Pair) {
        let (publisher, number) = event.read();
        let next = &mut self.next[publisher];
        assert!(number >= *next, "{number} of {publisher} comes where {next} was");
        *next = number + 1;
        self.read += 1;
        self.notes.check(event);
    }

    /// How many events it knows of.
    pub(crate) fn known(&self) -> usize {
        self.read + self.missed
    }

    /// That each publisher had so many, and the last ones were seen.
    pub(crate) fn is_at_the_end(&self, published: [usize; 2]) {
        assert_eq!(self.next, published, "the last ones are missing");
    }
}
