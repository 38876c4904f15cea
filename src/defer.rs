//! Events for another state, and events of which the latest will do: [`Deferred`].

use core::fmt;

use heapless::Deque;

use crate::error::Full;

/// Events that their handler has put off: room for `N`, in order.
///
/// A handler that cannot use an event in the state it is in [defers](Self::defer) it. Once the state has
/// changed, [`recall`](Self::recall) hands the events back, oldest first. Recall before the bus is
/// drained, and what was put off comes before what is new.
///
/// Of events that replace each other (positions, levels, progress) only one need wait:
/// [`coalesce`](Self::coalesce) merges an event into the one that waits under the same key.
///
/// Neither happens unless it is asked for. Everything takes `&mut`: this belongs to the code
/// that handles the events, and interrupts publish to the bus that is drained into it. A new one is all zeros.
/// `N` is at least 1, and need not be a power of two.
///
/// # Examples
///
/// ```
/// use tickbus::{Bus, Full};
/// use tickbus::defer::Deferred;
///
/// static REQUESTS: Bus<u8, 8> = Bus::new();
///
/// #[derive(Default)]
/// struct Server { busy: Option<u8>, deferred: Deferred<u8, 2>, refused: u8 }
///
/// impl Server {
///     fn handle(&mut self, request: u8) {
///         if self.busy.is_none() {
///             self.busy = Some(request);
///         } else if let Err(Full(_)) = self.deferred.defer(request) {
///             self.refused += 1;
///         }
///     }
///
///     fn finish(&mut self) {
///         self.busy = None;
///         if let Some(request) = self.deferred.recall() {
///             self.handle(request);
///         }
///     }
/// }
///
/// let mut server = Server::default();
/// let mut events = REQUESTS.consumer().unwrap();
/// REQUESTS.publish_batch(&[1, 2, 3, 4]).unwrap();
/// events.drain().for_each(|request| server.handle(request));
/// assert_eq!((server.busy, server.deferred.len(), server.refused), (Some(1), 2, 1));
///
/// server.finish();
/// assert_eq!(server.busy, Some(2));
/// ```
pub struct Deferred<E, const N: usize> {
    events: Deque<E, N>,
    /// So many of the oldest are of an earlier step.
    sealed: usize,
}

impl<E, const N: usize> Deferred<E, N> {
    /// Nothing put off.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 0, "there must be room to put off at least one event") };
        Self { events: Deque::new(), sealed: 0 }
    }

    /// Puts `event` off, behind those that wait. Constant time.
    ///
    /// # Errors
    ///
    /// [`Full`] gives the event back when `N` events wait.
    pub fn defer(&mut self, event: E) -> Result<(), Full<E>> {
        self.events.push_back(event).map_err(Full)
    }

    /// Merges `event` into the newest one that waits under the same key, or puts it off like
    /// [`defer`](Self::defer). Returns whether it was merged.
    ///
    /// The merged event keeps the place of the one that waited. `|waiting, latest| *waiting = latest`
    /// lets the latest win. Events from before the last [`next_step`](Self::next_step) are left alone.
    ///
    /// Takes time in proportion to the events that wait.
    ///
    /// # Errors
    ///
    /// [`Full`] gives the event back when there is none to merge it into and `N` events wait.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Full;
    /// use tickbus::defer::Deferred;
    ///
    /// let mut damage: Deferred<(char, u32), 2> = Deferred::new();
    /// let mut hit = |who, much| {
    ///     damage.coalesce((who, much), |hit| hit.0, |waiting, hit| waiting.1 += hit.1)
    /// };
    ///
    /// assert_eq!(hit('a', 1), Ok(false));
    /// assert_eq!(hit('b', 2), Ok(false));
    /// assert_eq!(hit('a', 3), Ok(true));
    /// assert_eq!(hit('c', 4), Err(Full(('c', 4))));
    /// assert_eq!(damage.recall(), Some(('a', 4)));
    /// ```
    pub fn coalesce<K: PartialEq>(
        &mut self,
        event: E,
        key: impl Fn(&E) -> K,
        merge: impl FnOnce(&mut E, E),
    ) -> Result<bool, Full<E>> {
        let wanted = key(&event);
        let open = self.events.iter_mut().skip(self.sealed).rev();
        if let Some(waiting) = { open }.find(|waiting| key(waiting) == wanted) {
            merge(waiting, event);
            return Ok(true);
        }
        self.defer(event).map(|()| false)
    }

    /// Begins another fixed step: what waits now is never merged into again.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::defer::Deferred;
    ///
    /// let mut moves: Deferred<(u8, i32), 4> = Deferred::new();
    /// let latest = |waiting: &mut (u8, i32), event| *waiting = event;
    ///
    /// moves.coalesce((1, 10), |event| event.0, latest).unwrap();
    /// moves.next_step();
    /// moves.coalesce((1, 20), |event| event.0, latest).unwrap();
    /// moves.coalesce((1, 30), |event| event.0, latest).unwrap();
    ///
    /// assert_eq!([moves.recall(), moves.recall()], [Some((1, 10)), Some((1, 30))]);
    /// ```
    pub fn next_step(&mut self) {
        self.sealed = self.events.len();
    }

    /// Takes the oldest event. Constant time.
    ///
    /// To recall all that waits while handlers may put events off again, ask [`len`](Self::len) first
    /// and recall so many.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::defer::Deferred;
    ///
    /// let mut deferred: Deferred<u8, 4> = Deferred::new();
    /// deferred.defer(1).unwrap();
    /// deferred.defer(2).unwrap();
    ///
    /// for _ in 0..deferred.len() {
    ///     let event = deferred.recall().unwrap();
    ///     deferred.defer(event + 10).unwrap(); // not yet
    /// }
    /// assert_eq!(deferred.recall(), Some(11));
    /// ```
    pub fn recall(&mut self) -> Option<E> {
        self.sealed = self.sealed.saturating_sub(1);
        self.events.pop_front()
    }

    /// How many events wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Whether no event waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// How many events fit: `N`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }
}

impl<E, const N: usize> Default for Deferred<E, N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E, const N: usize> fmt::Debug for Deferred<E, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deferred")
            .field("capacity", &N)
            .field("len", &self.len())
            .finish_non_exhaustive()
    }
}
