//! A bus that can be awaited.

#[cfg(any(feature = "alloc", tickbus_loom))]
use alloc::vec::Vec;
use core::fmt;
use core::future::Future;
use core::iter::FusedIterator;
use core::pin::Pin;
use core::task::{Context, Poll};

use super::{Awaited, Table, Waiting, is_any_published};
use crate::bus::Take;
use crate::bus::{Bus, Consumer, Drain, Policy, Queue, Reject, Source, Stats, Until};
use crate::error::{Claimed, Full};
use crate::ring::kept::Kept;
use crate::ring::waiter::Want;
use crate::ring::{Span, Tally};

impl<E, const N: usize, P: Policy, const W: usize> Awaited<Bus<E, N, P>, W> {
    /// [`Bus::publish`]: never waits. Wakes the consumer. When nobody waits it costs a load and a branch
    /// more, and a fence but on x86, where a publish is one.
    ///
    /// # Errors
    ///
    /// As for [`Bus::publish`].
    ///
    /// # Panics
    ///
    /// If the waker of a task does, when the event is published.
    #[inline]
    pub fn publish(&self, event: E) -> Result<(), Full<E>> {
        match self.inner.offer(event) {
            Ok(displaced) => {
                self.waiters.table().wake_after_commit();
                drop(displaced);
                Ok(())
            }
            Err(event) => Err(self.inner.turn_away(event)),
        }
    }

    /// [`Bus::publish_batch`]: never waits. Wakes the consumer once.
    ///
    /// # Errors
    ///
    /// As for [`Bus::publish_batch`].
    ///
    /// # Panics
    ///
    /// As for [`publish`](Self::publish).
    #[inline]
    pub fn publish_batch<'e>(&self, events: &'e [E]) -> Result<(), Full<&'e [E]>>
    where
        E: Copy,
    {
        let done = self.inner.publish_batch(events);
        if is_any_published(events, &done) {
            self.waiters.table().wake_after_commit();
        }
        done
    }

    /// Publishes `event`, and waits for room if there is none. Room wins: a first poll that finds room
    /// publishes, whatever else has happened.
    ///
    /// The future has the event until it is done; dropping it drops the event, which then leaves no
    /// trace on the bus and in its counts. [`PublishWait::into_event`] gets it back. Who waits keeps no
    /// place in a queue: when there is room, the first to come gets it, also before those who wait.
    ///
    /// Any policy may wait: a [`DropNewest`](crate::DropNewest) bus drops nothing that waits for room, and
    /// a [`DropOldest`](crate::DropOldest) bus, which makes room, hardly ever lets anybody wait.
    ///
    /// # Errors
    ///
    /// [`Full`] gives the event back if it would have to wait and `W` others do. It does not count as
    /// refused.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::task::{Context, Poll, Waker};
    /// use std::pin::pin;
    /// use tickbus::Bus;
    /// use tickbus::wait::Awaited;
    ///
    /// static BUS: Awaited<Bus<u8, 2>, 2> = Awaited::new(Bus::new());
    /// BUS.publish_batch(&[1, 2]).unwrap();
    ///
    /// let mut context = Context::from_waker(Waker::noop());
    /// let mut third = BUS.publish_wait(3);
    /// assert_eq!(pin!(&mut third).poll(&mut context), Poll::Pending);
    /// assert_eq!(third.into_event(), Some(3)); // enough of waiting
    /// assert_eq!(BUS.stats().refused, 0);
    /// ```
    pub fn publish_wait(&self, event: E) -> PublishWait<'_, E, &Bus<E, N, P>> {
        PublishWait::new(&self.inner, event, self.waiters.table())
    }

    /// Claims the reading end: [`Bus::consumer`].
    ///
    /// # Errors
    ///
    /// As for [`Bus::consumer`].
    pub fn consumer(&self) -> Result<AwaitedConsumer<'_, E, P>, Claimed> {
        Ok(AwaitedConsumer::new(self.inner.consumer()?, self.waiters.table()))
    }

    /// How many events wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.inner.pending()
    }

    /// Whether no event waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    /// How many events fit: `N`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        N
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.inner.stats()
    }
}

/// Where an event may be offered that has to wait if there is no room.
pub(crate) trait Offer<E> {
    /// Publishes the event, and gives what was displaced; or gives it back, and counts nothing.
    fn offer(&mut self, event: E) -> Result<Option<E>, E>;
}

impl<E, const N: usize, P: Policy> Offer<E> for &Bus<E, N, P> {
    #[inline(always)]
    fn offer(&mut self, event: E) -> Result<Option<E>, E> {
        Bus::offer(self, event)
    }
}

/// A publish to `T` that waits for room: [`Awaited::publish_wait`], [`AwaitedLanePublisher::publish_wait`].
///
/// [`AwaitedLanePublisher::publish_wait`]: crate::wait::AwaitedLanePublisher::publish_wait
#[must_use = "a future does nothing until it is polled"]
pub struct PublishWait<'a, E, T> {
    to: T,
    event: Option<E>,
    wait: Waiting<'a>,
}

impl<'a, E, T> PublishWait<'a, E, T> {
    pub(super) fn new(to: T, event: E, table: &'a Table) -> Self {
        Self { to, event: Some(event), wait: Waiting::new(table, Want::Room) }
    }

    /// Waits no longer. The event, if it has not been published or given back.
    #[must_use]
    pub fn into_event(self) -> Option<E> {
        self.event
    }
}

/// The event is never pinned.
impl<E, T> Unpin for PublishWait<'_, E, T> {}

impl<E, T: Offer<E>> Future for PublishWait<'_, E, T> {
    type Output = Result<(), Full<E>>;

    /// # Panics
    ///
    /// If it was done before.
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let Self { to, event, wait } = self.get_mut();
        let offer = || {
            let offered = event.take().expect("a future is not polled when it is done");
            match to.offer(offered) {
                Ok(displaced) => Some(displaced),
                Err(back) => {
                    *event = Some(back);
                    None
                }
            }
        };
        match wait.poll(context, offer) {
            Poll::Ready(Ok(displaced)) => {
                wait.table.wake();
                drop(displaced);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(_)) => Poll::Ready(Err(Full(
                event.take().unwrap_or_else(|| unreachable!("it found no room")),
            ))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<E, T> fmt::Debug for PublishWait<'_, E, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PublishWait")
            .field("is_done", &self.event.is_none())
            .field("wait", &self.wait)
            .finish_non_exhaustive()
    }
}

/// The one reading end of a bus or lane that can be awaited: a [`Consumer`] that wakes those who wait for
/// room.
///
/// It goes into a [`Dispatch`](crate::Dispatch) table as a `Consumer` does.
///
/// # Wakers that panic
///
/// Publishers are woken before an event is handed out, so code that works on the event may wait for them. If a
/// waker panics, all others are woken and no event is lost: a tick and [`Iterator::for_each`] still call the
/// handler, while the panic unwinds, and an event that [`next_event`](Self::next_event) or
/// [`Iterator::next`] had taken is the next one that this consumer hands out. It counts as handled.
///
/// # Examples
///
/// A task that ticks whenever there is something to do:
///
/// ```no_run
/// use tickbus::{Budget, Bus, Dispatch};
/// use tickbus::wait::Awaited;
///
/// tickbus::events! {
///     pub enum Input { #[subject = "input.key"] Key(char) }
/// }
///
/// static BUS: Awaited<Bus<Input, 64>, 2> = Awaited::new(Bus::new());
/// static HANDLERS: Dispatch<Input, String, { Input::KINDS }> =
///     Dispatch::new().on("input.key", |text, Input::Key(key)| text.push(*key));
///
/// async fn typist() {
///     let mut text = String::new();
///     let mut events = BUS.consumer().expect("this task is the only consumer");
///     loop {
///         events.ready().await;
///         let report = HANDLERS.tick(&mut text, &mut events, Budget::events(16));
/// #       let _ = report;
///     }
/// }
/// # drop(typist());
/// ```
#[must_use = "a consumer that is dropped is given back"]
pub struct AwaitedConsumer<'a, E, P: Queue = Reject> {
    consumer: Consumer<'a, E, P>,
    /// Its place is kept here and not in the futures, lest one that is forgotten keeps it.
    wait: Waiting<'a>,
    /// The event that was taken when a waker panicked.
    kept: Kept<E>,
}

impl<'a, E, P: Queue> AwaitedConsumer<'a, E, P> {
    pub(super) fn new(consumer: Consumer<'a, E, P>, table: &'a Table) -> Self {
        Self { consumer, wait: Waiting::new(table, Want::Change), kept: Kept::nothing() }
    }

    /// Waits until events can be drained. Takes none, so it may be dropped at any time.
    ///
    /// On a [`DropOldest`](crate::DropOldest) bus they may be displaced before the drain begins.
    pub fn ready(&mut self) -> Ready<'_, 'a, E, P> {
        Ready { consumer: self }
    }

    /// Waits for the next event and takes it. Dropping the future before it is done takes none.
    ///
    /// # Panics
    ///
    /// A poll panics if the waker of a publisher does. The event is then the next one that is handed out.
    pub fn next_event(&mut self) -> NextEvent<'_, 'a, E, P> {
        NextEvent { consumer: self }
    }

    /// [`Consumer::drain`]: never waits. Wakes those who wait for room, event by event.
    ///
    /// # Panics
    ///
    /// Taking an event panics if the waker of a publisher does: see [above](Self#wakers-that-panic).
    #[inline]
    pub fn drain(&mut self) -> AwaitedDrain<'_, 'a, E, P> {
        let Self { consumer, wait, kept } = self;
        AwaitedDrain { table: wait.table, drain: consumer.drain(), kept, ends_at_once: false }
    }

    /// How many events wait.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.consumer.pending() + usize::from(self.kept.is_left())
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.consumer.stats()
    }

    /// Wakes those who wait for room, though there is none.
    #[cfg(all(feature = "bevy", not(tickbus_loom)))]
    pub(crate) fn wake(&self) {
        self.wait.table.wake();
    }

    fn poll<T>(
        &mut self,
        context: &mut Context<'_>,
        mut ready: impl FnMut(&mut Consumer<'a, E, P>, &mut Kept<E>) -> Option<T>,
    ) -> Poll<T> {
        let Self { consumer, wait, kept } = self;
        match wait.poll(context, || ready(consumer, kept)) {
            Poll::Ready(Ok(found)) => Poll::Ready(found),
            Poll::Ready(Err(_)) => {
                // Publishers have all the places, and there is no event: so each has been stopped between
                // taking its place and finding room. We may have stopped it, so we wait for none of them.
                wait.table.wake();
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<E, P: Queue> Source for AwaitedConsumer<'_, E, P> {
    type Event = E;

    fn pending(&self) -> usize {
        self.pending()
    }

    fn stats(&self) -> Stats {
        self.stats()
    }
}

impl<E, P: Queue> Take for AwaitedConsumer<'_, E, P> {
    type Item = E;

    #[inline]
    fn freeze(&mut self) -> Span {
        self.consumer.freeze()
    }

    #[inline]
    fn show_most(
        &mut self,
        span: &mut Span,
        mut most: usize,
        mut each: impl FnMut(&Tally, &E),
    ) -> usize {
        let Self { consumer, wait, kept } = self;
        let table = wait.table;
        let mut count = 0;
        if most > 0
            && let Some(event) = kept.take_left()
        {
            most -= 1;
            count += 1;
            each(consumer.tally(), &event);
        }
        count
            + consumer.show_most(span, most, |tally, event| {
                table.wake_then(|| true, || each(tally, event));
            })
    }

    fn shorten(&mut self, span: &mut Span, most: usize) {
        self.consumer.shorten(span, most);
    }

    #[inline]
    fn take(&mut self, span: &mut Span) -> Option<E> {
        match self.kept.take_left() {
            Some(event) => Some(event),
            None => self.consumer.take(span),
        }
    }

    #[inline]
    fn take_all(&mut self, span: &mut Span, each: impl FnMut(E)) {
        self.consumer.take_all(span, each);
    }

    #[cfg(any(feature = "alloc", tickbus_loom))]
    #[inline]
    fn append(&mut self, span: &mut Span, into: &mut Vec<E>) -> usize {
        self.consumer.append(span, into)
    }

    #[inline]
    fn account(&mut self) -> (usize, usize, usize) {
        self.consumer.account()
    }
}

impl<E, P: Queue> fmt::Debug for AwaitedConsumer<'_, E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwaitedConsumer")
            .field("consumer", &self.consumer)
            .field("wait", &self.wait)
            .finish()
    }
}

/// A wait for events: [`AwaitedConsumer::ready`].
#[must_use = "a future does nothing until it is polled"]
pub struct Ready<'c, 'a, E, P: Queue> {
    consumer: &'c mut AwaitedConsumer<'a, E, P>,
}

impl<E, P: Queue> Future for Ready<'_, '_, E, P> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.get_mut()
            .consumer
            .poll(context, |consumer, kept| (kept.is_left() || consumer.has_event()).then_some(()))
    }
}

impl<E, P: Queue> Drop for Ready<'_, '_, E, P> {
    fn drop(&mut self) {
        self.consumer.wait.end();
    }
}

impl<E, P: Queue> fmt::Debug for Ready<'_, '_, E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ready").field("consumer", &self.consumer).finish()
    }
}

/// A wait for one event: [`AwaitedConsumer::next_event`].
#[must_use = "a future does nothing until it is polled"]
pub struct NextEvent<'c, 'a, E, P: Queue> {
    consumer: &'c mut AwaitedConsumer<'a, E, P>,
}

impl<E, P: Queue> Future for NextEvent<'_, '_, E, P> {
    type Output = E;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<E> {
        let consumer = &mut *self.get_mut().consumer;
        let next = |consumer: &mut Consumer<'_, E, P>, kept: &mut Kept<E>| {
            if !kept.is_left() {
                // Kept until it is handed out: a waker may panic when it is dropped, too.
                kept.put(consumer.drain().next()?);
            }
            Some(())
        };
        let Poll::Ready(()) = consumer.poll(context, next) else { return Poll::Pending };
        let AwaitedConsumer { wait, kept, .. } = consumer;
        wait.table.wake_for_room();
        Poll::Ready(kept.take().unwrap_or_else(|| unreachable!("it is kept")))
    }
}

impl<E, P: Queue> Drop for NextEvent<'_, '_, E, P> {
    fn drop(&mut self) {
        self.consumer.wait.end();
    }
}

impl<E, P: Queue> fmt::Debug for NextEvent<'_, '_, E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NextEvent").field("consumer", &self.consumer).finish()
    }
}

/// The events that were queued when [`AwaitedConsumer::drain`] was called: a [`Drain`] that wakes those
/// who wait for room when it has taken an event, before it hands it out.
#[must_use = "a drain takes nothing until it is iterated over"]
pub struct AwaitedDrain<'c, 'a, E, P: Queue> {
    table: &'a Table,
    drain: Drain<'c, Consumer<'a, E, P>>,
    kept: &'c mut Kept<E>,
    /// Whether it hands out nothing, not even what is kept.
    ends_at_once: bool,
}

impl<E, P: Queue> AwaitedDrain<'_, '_, E, P> {
    /// The same events, but `most` at most: as [`Drain::at_most`].
    #[inline]
    pub fn at_most(self, most: usize) -> Self {
        let left = most.saturating_sub(usize::from(self.kept.is_left()));
        Self {
            drain: self.drain.at_most(left),
            ends_at_once: self.ends_at_once || most == 0,
            ..self
        }
    }

    /// The same events, until `stop` says so: as [`Drain::until`].
    pub fn until<S: FnMut() -> bool>(self, stop: S) -> Until<Self, S> {
        Until::new(self, stop)
    }

    /// Moves all events to the end of `events`: as [`Drain::append_to`]. Wakes those who wait for room
    /// when all have moved.
    ///
    /// # Panics
    ///
    /// As `Vec::reserve`; no event is taken then. If the waker of a task does; all have moved then.
    #[cfg(any(feature = "alloc", tickbus_loom))]
    #[inline]
    pub fn append_to(mut self, events: &mut Vec<E>) -> usize {
        if self.kept.is_left() {
            events.reserve(1);
        }
        let before = events.len();
        events.extend(self.kept());
        let Self { table, drain, .. } = self;
        if drain.append_to(events) > 0 {
            table.wake_for_room();
        }
        events.len() - before
    }

    #[inline(always)]
    fn kept(&mut self) -> Option<E> {
        if self.ends_at_once { None } else { self.kept.take_left() }
    }
}

impl<E, P: Queue> Iterator for AwaitedDrain<'_, '_, E, P> {
    type Item = E;

    #[inline]
    fn next(&mut self) -> Option<E> {
        if let Some(event) = self.kept() {
            return Some(event);
        }
        let event = self.drain.next()?;
        Some(self.table.wake_keeping(event, self.kept, || true))
    }

    #[inline]
    fn fold<B, F: FnMut(B, E) -> B>(mut self, init: B, mut each: F) -> B {
        let init = match self.kept() {
            Some(event) => each(init, event),
            None => init,
        };
        let Self { table, drain, .. } = self;
        drain.fold(init, |so_far, event| table.wake_then(|| true, || each(so_far, event)))
    }
}

impl<E, P: Queue> FusedIterator for AwaitedDrain<'_, '_, E, P> {}

impl<E, P: Queue> fmt::Debug for AwaitedDrain<'_, '_, E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AwaitedDrain").field("drain", &self.drain).finish_non_exhaustive()
    }
}
