//! Handlers by pattern, called by a tick.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::hooks::{Answer, Call, Hooks, Outcome};
use super::observer::Observer;
use super::subscription::Subscription;
use crate::bus::{Budget, Report, Verdict};
use crate::context::Context;
use crate::envelope::Envelope;
use crate::wait::panics::Panics;

/// A handler. The last argument is whether hooks run: then its texts are wanted, and the context
/// has the trace of the envelope.
type Handler<C> = Box<dyn FnMut(&mut C, &Arc<Envelope>, &Context<'_>, bool) -> Outcome + Send>;

/// Calls handlers with the envelopes of their subscriptions, when you [`tick`](Self::tick).
///
/// Publishers only fill the buffers of the subscriptions. The handlers run in the tick, on its
/// thread, one after the other, with `&mut` access to your state `C`.
///
/// # Publishing in a handler
///
/// A handler may publish, also to its own subscription. That envelope stays pending until the next
/// tick, or the next [generation](Budget::generations) of this one. If a subscription of the same
/// thread says [`Block`](super::Overrun::Block), publish with
/// [`try_publish`](super::SubjectBus::try_publish): only this thread can make room.
///
/// # Order
///
/// Each handler gets its envelopes in the order of its subscription. Two handlers have no order
/// between them. If you need one, subscribe once, to a wider pattern, and distinguish the envelopes
/// in the handler.
///
/// # Failures and panics
///
/// If a handler fails or panics, the tick counts that, consumes the envelope, and continues. Under
/// the feature `std` it catches the panic; `C` is then as the handler left it.
///
/// # Hooks
///
/// [`before`](Self::before), [`after`](Self::after) and [`on_error`](Self::on_error) run around
/// every handler of the table, and [`wrap`](Self::wrap) puts code of yours around them. The tick
/// treats the panic of a hook like that of a handler. It counts the event as failed and panicked,
/// and still calls the handler and all other hooks. Hooks cost nothing if you add none.
///
/// # Examples
///
/// ```
/// use tickbus::{Budget, Envelope, SubjectBus};
/// use tickbus::subject_bus::SubjectHandlers;
///
/// #[derive(Default)]
/// struct Game { hits: usize, seen: usize }
///
/// let bus = SubjectBus::new();
/// let mut handlers = SubjectHandlers::new();
/// handlers.on(bus.subscribe("player.*.hit")?.open(), |game: &mut Game, _| game.hits += 1);
/// handlers.on(bus.subscribe("player.>")?.capacity(256).open(), |game: &mut Game, envelope| {
///     game.seen += 1;
///     if envelope.subject().as_str().ends_with("left") { Err("a player left") } else { Ok(()) }
/// });
///
/// bus.try_publish(Envelope::unstamped("player.7.hit")?)?;
/// bus.try_publish(Envelope::unstamped("player.7.left")?)?;
///
/// let mut game = Game::default();
/// let report = handlers.tick(&mut game, Budget::events(100));
/// assert_eq!((report.handled, report.failed, report.left), (3, 1, 0));
/// assert_eq!((game.hits, game.seen), (1, 2));
/// # Ok::<(), Box<dyn core::error::Error>>(())
/// ```
#[doc(alias("dispatcher", "callback", "event handler"))]
pub struct SubjectHandlers<C> {
    entries: Vec<Entry<C>>,
    /// The handler whose turn is next: after the one at which the last budget ended.
    next: usize,
    hooks: Option<Box<Hooks<C>>>,
}

struct Entry<C> {
    subscription: Subscription,
    handler: Handler<C>,
    /// The first envelope, by its number, that it does not handle in this generation.
    end: u64,
    /// How many its subscription had lost when the last tick ended.
    lost: u64,
    stats: HandlerStats,
}

/// Counts what a handler did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "json", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HandlerStats {
    /// Envelopes that the tick passed to the handler.
    pub handled: u64,
    /// Envelopes for which the handler failed or panicked. Part of `handled`.
    pub failed: u64,
    /// Envelopes for which the handler panicked. Part of `failed`.
    pub panicked: u64,
}

impl<C> SubjectHandlers<C> {
    /// Returns a table without handlers.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new(), next: 0, hooks: None }
    }

    /// Adds a handler for the envelopes of `subscription`.
    ///
    /// A handler returns `()` or a `Result`. The tick counts an error as a failure. A
    /// [`Flow`](crate::bus::Flow), which a handler of a [`Dispatch`](crate::Dispatch) may return,
    /// has no effect here, because each subscription has one handler. Hooks see that a handler
    /// failed, but not the text of its error. If they need it, add the handler with
    /// [`on_with_context`](Self::on_with_context).
    pub fn on<R: Verdict>(
        &mut self,
        subscription: Subscription,
        mut handler: impl FnMut(&mut C, &Arc<Envelope>) -> R + Send + 'static,
    ) {
        self.add(
            subscription,
            Box::new(move |state, envelope, _, _| match handler(state, envelope).settle() {
                Ok(_) => Outcome::Handled(Box::default()),
                Err(_) => Outcome::Failed(Box::default()),
            }),
        );
    }

    /// Adds a handler that also gets the context of the tick, and may return a message.
    ///
    /// The context has the deadline and the cancellation that you gave to
    /// [`tick_within`](Self::tick_within), and the [trace](Envelope::trace_parent) of the envelope.
    /// If the envelope has no trace, the context has that of the tick. Hooks see the
    /// [`Message`](crate::bus::Message) or the text of the error.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use tickbus::bus::Message;
    /// use tickbus::context::Context;
    /// use tickbus::envelope::TraceParent;
    /// use tickbus::subject_bus::SubjectHandlers;
    /// use tickbus::{Budget, Envelope, SubjectBus};
    /// # #[cfg(feature = "std")]
    /// use tickbus::wait::{Cancel, Wait};
    ///
    /// let bus = SubjectBus::new();
    /// let mut handlers = SubjectHandlers::new();
    /// handlers.on_with_context(bus.subscribe("job.*")?.name("jobs").open(), |_, job, context: &Context<'_>| {
    ///     if context.is_over() {
    ///         return Err("no time");
    ///     }
    ///     Ok(Message(context.trace().map_or(0, |trace| trace.trace_id())))
    /// });
    /// handlers.after(|log: &mut Vec<String>, call, outcome| {
    ///     log.push(format!("{} {} {outcome}", call.subscription.name(), call.envelope.subject()));
    /// });
    ///
    /// let mut log = Vec::new();
    /// let job = Envelope::unstamped("job.1")?.with_trace_parent(TraceParent::new(7, 1).unwrap());
    /// bus.try_publish(job)?;
    /// let _ = handlers.tick(&mut log, Budget::unlimited());
    ///
    /// # #[cfg(feature = "std")] {
    /// let shutdown = Cancel::new();
    /// let context = Context::new().within(Wait::forever().until(&shutdown));
    /// bus.try_publish(Envelope::unstamped("job.2")?)?;
    /// shutdown.cancel();
    /// let report = handlers.tick_within(&mut log, Budget::unlimited(), &context);
    /// assert_eq!((report.handled, report.failed), (1, 1));
    /// assert_eq!(log, ["jobs job.1 handled: 7", "jobs job.2 failed: no time"]);
    /// # }
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    pub fn on_with_context<R: Answer>(
        &mut self,
        subscription: Subscription,
        mut handler: impl FnMut(&mut C, &Arc<Envelope>, &Context<'_>) -> R + Send + 'static,
    ) {
        self.add(
            subscription,
            Box::new(move |state, envelope, context, hooked| {
                let traced = if hooked { *context } else { traced(context, envelope) };
                handler(state, envelope, &traced).tell(hooked)
            }),
        );
    }

    fn add(&mut self, subscription: Subscription, handler: Handler<C>) {
        self.entries.push(Entry {
            lost: subscription.dropped(),
            subscription,
            handler,
            end: 0,
            stats: HandlerStats::default(),
        });
    }

    /// Adds a hook that runs before each call of a handler. Several run in the order in which you
    /// added them.
    pub fn before(&mut self, hook: impl FnMut(&mut C, &Call<'_>) + Send + 'static) {
        self.hooks().before.push(Box::new(hook));
    }

    /// Adds a hook that runs after each call of a handler, also after one that failed or panicked.
    pub fn after(&mut self, hook: impl FnMut(&mut C, &Call<'_>, &Outcome) + Send + 'static) {
        self.hooks().after.push(Box::new(hook));
    }

    /// Adds a hook that runs after each call that failed or panicked. The hooks of
    /// [`after`](Self::after) run first; if one of those panics, or one of
    /// [`before`](Self::before), the call counts as panicked.
    pub fn on_error(&mut self, hook: impl FnMut(&mut C, &Call<'_>, &Outcome) + Send + 'static) {
        self.hooks().on_error.push(Box::new(hook));
    }

    /// Puts a wrapper around every handler of the table, between the hooks and the handler. The
    /// first one that you add is the outermost.
    ///
    /// The wrapper gets a function that calls the next wrapper or the handler. It may call that
    /// function once, several times or not at all, and may return another outcome. The tick counts
    /// the outcome of the outermost wrapper, and hooks see it. If the handler panics, the innermost
    /// wrapper gets [`Outcome::Panicked`].
    ///
    /// # Examples
    ///
    /// Two tries for each event:
    ///
    /// ```
    /// use tickbus::{Budget, Envelope, SubjectBus};
    /// use tickbus::subject_bus::{Outcome, SubjectHandlers};
    ///
    /// let bus = SubjectBus::new();
    /// let mut handlers = SubjectHandlers::new();
    /// handlers.on(bus.subscribe("lap.*")?.open(), |tries: &mut u32, _| {
    ///     *tries += 1;
    ///     if *tries == 1 { Err("the first one fails") } else { Ok(()) }
    /// });
    /// handlers.wrap(|tries, _, next| match next(tries) {
    ///     Outcome::Failed(_) => next(tries),
    ///     other => other,
    /// });
    ///
    /// bus.try_publish(Envelope::unstamped("lap.1")?)?;
    /// let mut tries = 0;
    /// let report = handlers.tick(&mut tries, Budget::unlimited());
    /// assert_eq!((tries, report.handled, report.failed), (2, 1, 0));
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[doc(alias("middleware", "interceptor"))]
    pub fn wrap(
        &mut self,
        wrapper: impl FnMut(&mut C, &Call<'_>, &mut dyn FnMut(&mut C) -> Outcome) -> Outcome
        + Send
        + 'static,
    ) {
        self.hooks().wrappers.push(Box::new(wrapper));
    }

    /// Lets `observer` see each outcome, by [`Observer::on_handled`].
    pub fn observer(&mut self, observer: Arc<dyn Observer>) {
        self.after(move |_, call, outcome| {
            observer.on_handled(call.envelope, call.subscription.recipient(), outcome);
        });
    }

    fn hooks(&mut self) -> &mut Hooks<C> {
        self.hooks.get_or_insert_with(|| Box::new(Hooks::new()))
    }

    /// Removes the handler whose subscription has this [id](Subscription::id), and returns the
    /// subscription.
    ///
    /// If subscriptions of several buses have this id, it removes the first of them.
    pub fn off(&mut self, id: u64) -> Option<Subscription> {
        let at = self.entries.iter().position(|entry| entry.subscription.id() == id)?;
        let entry = self.entries.remove(at);
        if at < self.next {
            self.next -= 1; // still the turn of the same one
        }
        Some(entry.subscription)
    }

    /// Calls the handlers with their pending envelopes, within `budget`.
    ///
    /// The tick fixes its end when it begins. The handlers take turns in the order in which you
    /// added them. If the budget ends at one handler, the next tick begins with the one after it,
    /// so no handler starves. Envelopes beyond the budget stay pending in the subscriptions, in
    /// order.
    ///
    /// The report counts as `dropped` what the subscriptions lost since the previous tick. Its
    /// `unhandled` and `refused` are 0. The tick takes one lock for each envelope, and a few for
    /// each handler.
    ///
    /// # Panics
    ///
    /// Panics if the deadline function of the budget panics.
    pub fn tick<F: FnMut() -> bool>(&mut self, state: &mut C, budget: Budget<F>) -> Report {
        self.tick_within(state, budget, &Context::new())
    }

    /// Calls the handlers as [`tick`](Self::tick) does, and gives them `context`.
    ///
    /// The context does not end the tick: it also calls handlers after the context is over. To end
    /// the tick then, give the budget the same limit: `Budget::unlimited().until(||
    /// context.is_over())`.
    ///
    /// # Panics
    ///
    /// Panics if the deadline function of the budget panics.
    pub fn tick_within<F: FnMut() -> bool>(
        &mut self,
        state: &mut C,
        mut budget: Budget<F>,
        context: &Context<'_>,
    ) -> Report {
        let mut report = Report::default();
        let mut until_asked = budget.every;
        let mut spent = false;
        while !spent && report.generations < budget.generations {
            let before = report.handled;
            for entry in &mut self.entries {
                entry.end = entry.subscription.next_number();
            }
            let first = self.next;
            for turn in 0..self.entries.len() {
                if spent {
                    break;
                }
                let at = (first + turn) % self.entries.len();
                let Entry { subscription, handler, end, stats, .. } = &mut self.entries[at];
                for envelope in subscription.drain_before(*end) {
                    report.handled += 1;
                    stats.handled += 1;
                    let outcome = match &mut self.hooks {
                        None => {
                            let call = || handler(state, &envelope, context, false);
                            Panics::default().run(call).unwrap_or(Outcome::Panicked)
                        }
                        Some(hooks) => {
                            let context = &traced(context, &envelope);
                            let call = Call { subscription, envelope: &envelope, context };
                            hooks.run(state, &call, &mut |state| {
                                handler(state, &envelope, context, true)
                            })
                        }
                    };
                    if !outcome.is_handled() {
                        report.failed += 1;
                        stats.failed += 1;
                        stats.panicked += u64::from(outcome == Outcome::Panicked);
                    }
                    until_asked -= 1;
                    if until_asked == 0 {
                        until_asked = budget.every;
                        spent = (budget.late)();
                    }
                    spent |= report.handled == budget.events;
                    if spent {
                        self.next = at + 1;
                        break;
                    }
                }
            }
            if report.handled == before {
                break;
            }
            report.generations += 1;
        }
        for entry in &mut self.entries {
            let stats = entry.subscription.stats();
            report.left += usize::try_from(stats.pending).unwrap_or(usize::MAX);
            let lost = stats.dropped() - entry.lost;
            report.dropped += usize::try_from(lost).unwrap_or(usize::MAX);
            entry.lost = stats.dropped();
        }
        report
    }

    /// Returns the subscriptions in the order in which you added them, each with what its handler
    /// did.
    pub fn iter(&self) -> impl Iterator<Item = (&Subscription, HandlerStats)> {
        self.entries.iter().map(|entry| (&entry.subscription, entry.stats))
    }
}

/// Returns the context with the trace of the envelope, if it has one.
fn traced<'a>(context: &Context<'a>, envelope: &Envelope) -> Context<'a> {
    context.with_trace(envelope.trace_parent().or(context.trace()))
}

impl<C> Default for SubjectHandlers<C> {
    fn default() -> Self {
        Self::new()
    }
}

impl<C> fmt::Debug for SubjectHandlers<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}
