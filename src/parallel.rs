//! Handlers that run side by side, on a pool of threads: [`ParallelDispatch`].

use alloc::vec::Vec;
use core::fmt;
use core::ops::Add;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::bus::rows::Rows;
use crate::bus::{Budget, Flow, Report, Source, Verdict};
use crate::context::Context;
use crate::event::Event;
use crate::wait::panics::Panics;

/// A handler: it gets the state and an event, on any thread of the pool. It returns `R`: see [`Verdict`].
pub type ParallelHandler<E, C, R = ()> = fn(&C, &E) -> R;

/// A handler that also gets the [`Context`] of the tick.
pub type ContextHandler<E, C, R = ()> = fn(&C, &E, &Context<'_>) -> R;

/// A function that is called before a handler.
pub type BeforeHook<E, C> = fn(&C, &E, &Context<'_>);

/// A function that is called after a handler, with what the handler returned. That may hold a
/// [`Message`](crate::bus::Message).
pub type AfterHook<E, C, R> = fn(&C, &E, &Context<'_>, &R);

/// A function that gets the error of a handler.
pub type ParallelErrorHook<E, C, R> = fn(&C, &E, <R as Verdict>::Error);

/// A function around a handler. Its last argument calls the handler. What the wrapper returns counts as the answer of
/// the handler.
pub type Wrapper<E, C, R> = fn(&C, &E, &Context<'_>, &dyn Fn() -> R) -> R;

/// A table of handlers that a tick runs side by side, on the threads of a pool.
///
/// It is to slow handlers what [`Dispatch`](crate::Dispatch) is to quick ones: the same patterns, worked out while
/// compiling, the same budget and the same report. The handlers share the state: they get `&C`, and `C` is `Sync`. To
/// use the pool costs time, so a `Dispatch` is quicker where a handler takes less than a microsecond.
///
/// The tick takes what is pending off the bus, within the budget, and ends when all handlers have ended. The handlers
/// of one event run one after the other. Two events have no order, unless you give the table a [key](Self::keyed).
/// The events are dropped in the tick, on its own thread.
///
/// # The pool
///
/// It is the pool of the crate `rayon`: the one in which you call `tick`, by `ThreadPool::install`, or else the
/// global one. A single event is handled on the thread of the tick.
///
/// A handler that waits for another one may wait for ever: the pool may have no free thread for that one.
///
/// # Failures and panics
///
/// An event has failed if a handler returns an error or panics. The tick handles the other events as usual. After an
/// error, the next handlers of the same event still run; after a panic, they do not.
///
/// # Examples
///
/// ```
/// use std::sync::atomic::{AtomicU64, Ordering};
/// use tickbus::parallel::ParallelDispatch;
/// use tickbus::{Budget, Bus};
///
/// tickbus::events! {
///     pub enum Job {
///         #[subject = "job.square"] Square(u64),
///         #[subject = "job.divide"] Divide(u64, u64),
///     }
/// }
///
/// #[derive(Default)]
/// struct Sums { total: AtomicU64 }
///
/// fn square(sums: &Sums, job: &Job) {
///     if let Job::Square(number) = job {
///         sums.total.fetch_add(number * number, Ordering::Relaxed);
///     }
/// }
///
/// static JOBS: ParallelDispatch<Job, Sums, { Job::KINDS }> =
///     ParallelDispatch::new().on("job.square", square).on("job.divide", |sums, job| {
///         if let Job::Divide(number, by) = job {
///             sums.total.fetch_add(number / by, Ordering::Relaxed);
///         }
///     });
///
/// static BUS: Bus<Job, 16> = Bus::new();
/// for number in 1..=10 {
///     let _ = BUS.publish(Job::Square(number));
/// }
/// let _ = BUS.publish(Job::Divide(1, 0)); // this one panics
///
/// let sums = Sums::default();
/// let mut jobs = BUS.consumer().unwrap();
/// let report = JOBS.tick(&sums, &mut jobs, Budget::unlimited());
/// assert_eq!((report.handled, report.failed, report.left), (11, 1, 0));
/// assert_eq!(sums.total.into_inner(), 385);
/// ```
pub struct ParallelDispatch<E, C, const K: usize, R: Verdict = (), const H: usize = 2> {
    handlers: Rows<Call<E, C, R>, K, H>,
    otherwise: Option<Call<E, C, R>>,
    key: Option<fn(&E) -> u64>,
    before: Option<BeforeHook<E, C>>,
    after: Option<AfterHook<E, C, R>>,
    on_error: Option<ParallelErrorHook<E, C, R>>,
    wrapper: Option<Wrapper<E, C, R>>,
}

/// A handler, and whether it gets the context.
enum Call<E, C, R> {
    Plain(ParallelHandler<E, C, R>),
    Context(ContextHandler<E, C, R>),
}

impl<E, C, R> Clone for Call<E, C, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E, C, R> Copy for Call<E, C, R> {}

impl<E: Event, C, const K: usize, R: Verdict, const H: usize> ParallelDispatch<E, C, K, R, H> {
    /// Creates a table without handlers.
    ///
    /// # Panics
    ///
    /// Panics if `K` is not `E::KINDS`, or if `H` is 0. In a `static` or a `const` that is a compile error, and so are
    /// the panics of the methods that add something.
    #[must_use]
    #[track_caller]
    pub const fn new() -> Self {
        Self {
            handlers: Rows::new::<E>("ParallelDispatch"),
            otherwise: None,
            key: None,
            before: None,
            after: None,
            on_error: None,
            wrapper: None,
        }
    }

    /// Calls `handler` for every kind whose subject `pattern` matches.
    ///
    /// # Panics
    ///
    /// Panics if the pattern is malformed or matches no subject of `E`, or if a kind has more than `H` handlers.
    #[must_use]
    #[track_caller]
    pub const fn on(mut self, pattern: &str, handler: ParallelHandler<E, C, R>) -> Self {
        self.handlers.add::<E>(pattern, Call::Plain(handler));
        self
    }

    /// Calls `handler` with the context of the tick, for every kind whose subject `pattern` matches.
    ///
    /// # Panics
    ///
    /// As for [`on`](Self::on).
    ///
    /// # Examples
    ///
    /// A handler that stops when its context is over, and a message that a hook sees:
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use tickbus::bus::Message;
    /// use tickbus::context::Context;
    /// use tickbus::parallel::ParallelDispatch;
    /// use tickbus::wait::{Cancel, Wait};
    /// use tickbus::{Budget, Bus};
    ///
    /// tickbus::events! { enum Job { #[subject = "job.scan"] Scan(u32) } }
    /// type Answer = Result<Message<u32>, &'static str>;
    ///
    /// fn scan(_: &Mutex<Vec<u32>>, Job::Scan(pages): &Job, context: &Context<'_>) -> Answer {
    ///     let done = (0..*pages).take_while(|_| !context.is_over()).count() as u32;
    ///     if done < *pages { Err("not wanted any more") } else { Ok(Message(done)) }
    /// }
    ///
    /// static JOBS: ParallelDispatch<Job, Mutex<Vec<u32>>, { Job::KINDS }, Answer> =
    ///     ParallelDispatch::new().on_with("job.scan", scan).after(|log, _, _, answer| {
    ///         if let Ok(Message(pages)) = answer {
    ///             log.lock().unwrap().push(*pages);
    ///         }
    ///     });
    ///
    /// let mut bus: Bus<Job, 4> = Bus::new();
    /// let (log, shutdown) = (Mutex::default(), Cancel::new());
    /// let context = Context::new().within(Wait::forever().until(&shutdown));
    ///
    /// bus.publish_mut(Job::Scan(3)).ok();
    /// let report = JOBS.tick_with(&log, &mut bus, Budget::unlimited(), &context);
    /// assert_eq!((report.handled, report.failed), (1, 0));
    ///
    /// shutdown.cancel();
    /// bus.publish_mut(Job::Scan(4)).ok();
    /// let report = JOBS.tick_with(&log, &mut bus, Budget::unlimited(), &context);
    /// assert_eq!((report.handled, report.failed), (1, 1));
    /// assert_eq!(*log.lock().unwrap(), [3]);
    /// ```
    #[must_use]
    #[track_caller]
    pub const fn on_with(mut self, pattern: &str, handler: ContextHandler<E, C, R>) -> Self {
        self.handlers.add::<E>(pattern, Call::Context(handler));
        self
    }

    /// Calls `handler` for every kind that has no other handler.
    ///
    /// # Panics
    ///
    /// Panics if the table has an `otherwise` already.
    #[must_use]
    #[track_caller]
    pub const fn otherwise(mut self, handler: ParallelHandler<E, C, R>) -> Self {
        assert!(self.otherwise.is_none(), "a table has one `otherwise`");
        self.otherwise = Some(Call::Plain(handler));
        self
    }

    /// Handles events with the same key one after the other, in the order of the bus. `key` returns the key of an event.
    ///
    /// A tick calls `key` once for each event. If it panics, the event has failed, and no handler sees it. An event that
    /// a handler publishes waits for the next generation or tick, as it does without a key.
    ///
    /// # Panics
    ///
    /// Panics if there is a key already.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::Mutex;
    /// use tickbus::parallel::ParallelDispatch;
    /// use tickbus::{Budget, Bus};
    ///
    /// tickbus::events! { enum Order { #[subject = "order.paid"] Paid { customer: u64, sum: u32 } } }
    /// type Log = Mutex<Vec<(u64, u32)>>;
    ///
    /// static ORDERS: ParallelDispatch<Order, Log, { Order::KINDS }> = ParallelDispatch::new()
    ///     .keyed(|Order::Paid { customer, .. }| *customer)
    ///     .on("order.paid", |log, Order::Paid { customer, sum }| {
    ///         log.lock().unwrap().push((*customer, *sum));
    ///     });
    ///
    /// let mut bus: Bus<Order, 8> = Bus::new();
    /// for (customer, sum) in [(1, 10), (2, 7), (1, 20), (1, 30), (2, 8)] {
    ///     bus.publish_mut(Order::Paid { customer, sum }).ok();
    /// }
    /// let log = Log::default();
    /// let _ = ORDERS.tick(&log, &mut bus, Budget::unlimited());
    ///
    /// let log = log.into_inner().unwrap();
    /// let of = |wanted| log.iter().filter(move |(customer, _)| *customer == wanted).map(|(_, sum)| *sum);
    /// assert!(of(1).eq([10, 20, 30]) && of(2).eq([7, 8]));
    /// ```
    #[must_use]
    #[track_caller]
    pub const fn keyed(mut self, key: fn(&E) -> u64) -> Self {
        assert!(self.key.is_none(), "a table has one key");
        self.key = Some(key);
        self
    }

    /// Calls `hook` before each handler, on its thread.
    ///
    /// # Panics
    ///
    /// Panics if there is a hook already.
    #[must_use]
    #[track_caller]
    pub const fn before(mut self, hook: BeforeHook<E, C>) -> Self {
        assert!(self.before.is_none(), "a table has one hook before its handlers");
        self.before = Some(hook);
        self
    }

    /// Calls `hook` after each handler, on its thread, with what it returned. A handler that panics returns nothing: then
    /// the table does not call `hook`.
    ///
    /// # Panics
    ///
    /// Panics if there is a hook already.
    #[must_use]
    #[track_caller]
    pub const fn after(mut self, hook: AfterHook<E, C, R>) -> Self {
        assert!(self.after.is_none(), "a table has one hook after its handlers");
        self.after = Some(hook);
        self
    }

    /// Calls `hook` with the error of a handler, after the hook of [`after`](Self::after).
    ///
    /// # Panics
    ///
    /// Panics if there is a hook already.
    #[must_use]
    #[track_caller]
    pub const fn on_error(mut self, hook: ParallelErrorHook<E, C, R>) -> Self {
        assert!(self.on_error.is_none(), "a table has one error hook");
        self.on_error = Some(hook);
        self
    }

    /// Calls `wrapper` in place of each handler, between the two hooks. Its last argument calls the handler. The wrapper
    /// may call that once, several times or not at all. What it returns counts as the answer of the handler.
    ///
    /// # Panics
    ///
    /// Panics if there is a wrapper already.
    ///
    /// # Examples
    ///
    /// ```
    /// use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
    /// use tickbus::parallel::ParallelDispatch;
    /// use tickbus::{Budget, Bus};
    ///
    /// tickbus::events! { enum Job { #[subject = "job.send"] Send } }
    ///
    /// type Jobs = ParallelDispatch<Job, AtomicU32, { Job::KINDS }, Result<(), u32>>;
    ///
    /// static JOBS: Jobs = Jobs::new()
    ///     .on("job.send", |tries, _| match tries.fetch_add(1, Relaxed) {
    ///         0 | 1 => Err(503),
    ///         _ => Ok(()),
    ///     })
    ///     .wrap(|_, _, _, send| send().or_else(|_| send()).or_else(|_| send()));
    ///
    /// let mut bus: Bus<Job, 2> = Bus::new();
    /// bus.publish_mut(Job::Send).ok();
    /// let tries = AtomicU32::new(0);
    /// assert_eq!(JOBS.tick(&tries, &mut bus, Budget::unlimited()).failed, 0);
    /// assert_eq!(tries.into_inner(), 3);
    /// ```
    #[must_use]
    #[track_caller]
    pub const fn wrap(mut self, wrapper: Wrapper<E, C, R>) -> Self {
        assert!(self.wrapper.is_none(), "a table has one wrapper");
        self.wrapper = Some(wrapper);
        self
    }

    /// Takes what is pending and runs the handlers on the pool, within `budget`. Returns when all have ended.
    ///
    /// As for [`Dispatch::tick`](crate::Dispatch::tick), the end is fixed when the tick begins, what handlers publish
    /// waits for the next [generation](Budget::generations) or tick, and what the budget leaves stays on the bus, in
    /// order. A deadline of the budget is asked between batches: raise
    /// [`check_every`](Budget::check_every), which is how many events may run side by side then.
    ///
    /// # Panics
    ///
    /// Panics if the deadline of the budget, a waker of the bus or the drop of an event panics. The tick handles what it
    /// has taken first.
    pub fn tick<S, F>(&self, state: &C, events: &mut S, budget: Budget<F>) -> Report
    where
        E: Sync,
        C: Sync,
        S: Source<Event = E>,
        F: FnMut() -> bool,
    {
        self.tick_with(state, events, budget, &Context::new())
    }

    /// As [`tick`](Self::tick), with a context for the handlers and hooks.
    ///
    /// The context only tells: a tick whose context is over goes on. End it by its budget.
    ///
    /// # Panics
    ///
    /// As for [`tick`](Self::tick).
    pub fn tick_with<S, F>(
        &self,
        state: &C,
        events: &mut S,
        mut budget: Budget<F>,
        context: &Context<'_>,
    ) -> Report
    where
        E: Sync,
        C: Sync,
        S: Source<Event = E>,
        F: FnMut() -> bool,
    {
        let mut report = Report::default();
        let mut until_asked = budget.every;
        let mut is_late = false;
        let mut batch = Vec::new();
        let mut span = events.freeze();
        loop {
            let before = report.handled;
            loop {
                let room = budget.events - report.handled;
                let most = if budget.is_timed { until_asked.min(room) } else { room };
                let mut panics = Panics::default();
                panics.run(|| {
                    while batch.len() < most
                        && let Some(event) = events.take(&mut span)
                    {
                        batch.push(event);
                    }
                });
                let taken = batch.len();
                let done = self.run_all(state, &batch, context);
                report.handled += taken;
                report.failed += done.failed;
                report.unhandled += done.unhandled;
                (0..done.failed).for_each(|_| events.tally().count_failed());
                (0..done.unhandled).for_each(|_| events.tally().count_unhandled());
                // One by one: of a whole vector, a second panic would end the program.
                batch.drain(..).for_each(|event| panics.dispose(event));
                panics.resume();
                if budget.is_timed {
                    until_asked -= taken;
                    if until_asked == 0 {
                        until_asked = budget.every;
                        is_late = (budget.late)();
                    }
                }
                if is_late || taken < most || report.handled == budget.events {
                    break;
                }
            }
            if report.handled == before {
                break;
            }
            report.generations += 1;
            if is_late
                || report.generations >= budget.generations
                || report.handled == budget.events
            {
                break;
            }
            span = events.freeze();
        }
        (report.left, report.dropped, report.refused) = events.account(&span);
        report
    }

    /// Handles the events of a batch.
    fn run_all(&self, state: &C, batch: &[E], context: &Context<'_>) -> Done
    where
        E: Sync,
        C: Sync,
    {
        let handle = |event: &E| self.handle(state, event, context);
        if let [event] = batch {
            return match self.key {
                Some(key) if Panics::default().run(|| key(event)).is_none() => Done::FAILED,
                _ => handle(event),
            };
        }
        let Some(key) = self.key else {
            return batch.par_iter().map(handle).reduce(Done::default, Done::add);
        };
        let mut done = Done::default();
        let mut places = Vec::with_capacity(batch.len());
        for (at, event) in batch.iter().enumerate() {
            match Panics::default().run(|| key(event)) {
                Some(key) => places.push((key, at)),
                None => done = done + Done::FAILED,
            }
        }
        places.sort_unstable();
        let of_one_key = |places: &&[(u64, usize)]| {
            places.iter().map(|(_, at)| handle(&batch[*at])).fold(Done::default(), Done::add)
        };
        let keys: Vec<_> = places.chunk_by(|one, next| one.0 == next.0).collect();
        done + keys.par_iter().map(of_one_key).reduce(Done::default, Done::add)
    }

    /// Calls the handlers of an event, and contains their panics.
    fn handle(&self, state: &C, event: &E, context: &Context<'_>) -> Done {
        Panics::default().run(|| self.route(state, event, context)).unwrap_or(Done::FAILED)
    }

    fn route(&self, state: &C, event: &E, context: &Context<'_>) -> Done {
        let mut row = self.handlers.of(event.kind()).map_while(|handler| *handler);
        let Some(first) = row.next().or(self.otherwise) else {
            return Done { unhandled: 1, ..Done::default() };
        };
        let mut failed = 0;
        for handler in core::iter::once(first).chain(row) {
            match self.run(handler, state, event, context) {
                Ok(Flow::Continue) => {}
                Ok(Flow::Stop) => break,
                Err(()) => failed = 1,
            }
        }
        Done { failed, ..Done::default() }
    }

    /// Calls one handler, its hooks, and the error hook if it fails.
    fn run(
        &self,
        handler: Call<E, C, R>,
        state: &C,
        event: &E,
        context: &Context<'_>,
    ) -> Result<Flow, ()> {
        if let Some(before) = self.before {
            before(state, event, context);
        }
        let call = || match handler {
            Call::Plain(handler) => handler(state, event),
            Call::Context(handler) => handler(state, event, context),
        };
        let answer = match self.wrapper {
            Some(wrapper) => wrapper(state, event, context, &call),
            None => call(),
        };
        if let Some(after) = self.after {
            after(state, event, context, &answer);
        }
        answer.settle().map_err(|error| {
            if let Some(hook) = self.on_error {
                hook(state, event, error);
            }
        })
    }
}

/// What became of events.
#[derive(Clone, Copy, Default)]
struct Done {
    failed: usize,
    unhandled: usize,
}

impl Done {
    const FAILED: Self = Self { failed: 1, unhandled: 0 };
}

impl Add for Done {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { failed: self.failed + other.failed, unhandled: self.unhandled + other.unhandled }
    }
}

impl<E: Event, C, const K: usize, R: Verdict, const H: usize> Default
    for ParallelDispatch<E, C, K, R, H>
{
    fn default() -> Self {
        Self::new()
    }
}

impl<E, C, const K: usize, R: Verdict, const H: usize> fmt::Debug
    for ParallelDispatch<E, C, K, R, H>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ParallelDispatch")
            .field("kinds", &K)
            .field("is_keyed", &self.key.is_some())
            .finish_non_exhaustive()
    }
}
