//! Events that a handler puts off, and events of which the latest is enough: [`Deferred`].

use core::fmt;

use heapless::Deque;

use crate::error::Full;

/// Keeps up to `N` events that a handler has deferred, in order.
///
/// # Deferring
///
/// A handler that cannot use an event in its present state [defers](Self::defer) it. After the
/// state has changed, [`recall`](Self::recall) returns the events, oldest first. Recall before you
/// drain the bus, so that deferred events come before new ones.
///
/// # Coalescing
///
/// Some events replace each other: positions, levels, progress. [`coalesce`](Self::coalesce) merges
/// such an event into the pending one with the same key. Nothing merges unless you call it.
///
/// # Interrupts
///
/// Every method that changes the store takes `&mut`, so it belongs to the code that handles the
/// events. Interrupts publish to the bus that this code drains.
///
/// `N` is at least 1, and need not be a power of two. A new store is all zeros.
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
#[doc(alias("recall", "coalesce", "debounce", "conflate"))]
pub struct Deferred<E, const N: usize> {
    events: Deque<E, N>,
    /// This many of the oldest are of an earlier step.
    sealed: usize,
}

impl<E, const N: usize> Deferred<E, N> {
    /// Returns an empty store.
    #[must_use]
    pub const fn new() -> Self {
        const { assert!(N > 0, "there must be room to put off at least one event") };
        Self { events: Deque::new(), sealed: 0 }
    }

    /// Defers `event`, behind the pending ones. Takes constant time.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the event if `N` events are pending.
    pub fn defer(&mut self, event: E) -> Result<(), Full<E>> {
        self.events.push_back(event).map_err(Full)
    }

    /// Merges `event` into the newest pending event with the same key. If there is none, it
    /// [defers](Self::defer) `event`. Returns whether it merged.
    ///
    /// The merged event keeps the place of the pending one. `|pending, latest| *pending = latest`
    /// lets the latest win. The method never merges into an event from before the last
    /// [`next_step`](Self::next_step).
    ///
    /// It takes time in proportion to the pending events.
    ///
    /// # Errors
    ///
    /// Returns [`Full`] with the event if it merges into no pending event and `N` events are
    /// pending.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Full;
    /// use tickbus::defer::Deferred;
    ///
    /// let mut damage: Deferred<(char, u32), 2> = Deferred::new();
    /// let mut hit = |target, much| {
    ///     damage.coalesce((target, much), |hit| hit.0, |pending, hit| pending.1 += hit.1)
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
        if let Some(pending) = { open }.find(|pending| key(pending) == wanted) {
            merge(pending, event);
            return Ok(true);
        }
        self.defer(event).map(|()| false)
    }

    /// Begins another fixed step. Nothing merges into the events that are pending now.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::defer::Deferred;
    ///
    /// let mut moves: Deferred<(u8, i32), 4> = Deferred::new();
    /// let latest = |pending: &mut (u8, i32), event| *pending = event;
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

    /// Takes the oldest event. Takes constant time.
    ///
    /// To recall all events while handlers may defer some again, call [`len`](Self::len) first, and
    /// recall that many.
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

    /// Returns how many events are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.events.len()
    }

    /// Returns whether no event is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Returns how many events fit: `N`.
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
