//! Tables of handlers by kind, built while compiling.

use core::convert::Infallible;
use core::fmt;

use super::budget::{Budget, Report};
use super::drain::Source;
use super::rows::Rows;
use crate::event::Event;
use crate::ring::Tally;

/// A function that reacts to an event. `R` is what it returns: see [`Verdict`].
pub type Handler<E, C, R = ()> = fn(&mut C, &E) -> R;

/// A function that gets the error of a handler.
pub type ErrorHook<E, C, R> = fn(&mut C, &E, <R as Verdict>::Error);

/// Says whether the handlers after this one see the event too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Flow {
    /// They see it.
    #[default]
    Continue,
    /// They do not see it.
    Stop,
}

/// What a handler may return: `()`, [`Flow`], [`Message<M>`](Message), or a `Result` of one of them.
///
/// A tick counts an `Err` and passes it to the [error hook](Dispatch::on_error). The handlers after this one still run.
///
/// This trait is sealed.
#[diagnostic::on_unimplemented(
    message = "a handler cannot return `{Self}`",
    note = "handlers of a table return `()`, `Flow`, `Message<M>`, or a `Result` of one of them"
)]
#[expect(private_bounds, reason = "sealed: no path outside this crate names or calls `Settle`")]
pub trait Verdict: Settle<Failure = <Self as Verdict>::Error> {
    /// The error of a handler.
    type Error;
}

/// Brings what a handler returns into one form.
pub(crate) trait Settle {
    /// The error of a handler.
    type Failure;

    /// Returns it in its general form.
    fn settle(self) -> Result<Flow, Self::Failure>;
}

impl Verdict for () {
    type Error = Infallible;
}

impl Settle for () {
    type Failure = Infallible;

    #[inline(always)]
    fn settle(self) -> Result<Flow, Infallible> {
        Ok(Flow::Continue)
    }
}

impl Verdict for Flow {
    type Error = Infallible;
}

impl Settle for Flow {
    type Failure = Infallible;

    #[inline(always)]
    fn settle(self) -> Result<Flow, Infallible> {
        Ok(self)
    }
}

impl<X> Verdict for Result<(), X> {
    type Error = X;
}

impl<X> Settle for Result<(), X> {
    type Failure = X;

    #[inline(always)]
    fn settle(self) -> Result<Flow, X> {
        self.map(|()| Flow::Continue)
    }
}

impl<X> Verdict for Result<Flow, X> {
    type Error = X;
}

impl<X> Settle for Result<Flow, X> {
    type Failure = X;

    #[inline(always)]
    fn settle(self) -> Self {
        self
    }
}

/// An answer with a message: for what sees the answers of handlers, as the hooks of tables do that have them.
///
/// A [`Dispatch`] calls no hook with an answer. It drops the message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Message<M>(pub M);

impl<M> Verdict for Message<M> {
    type Error = Infallible;
}

impl<M> Settle for Message<M> {
    type Failure = Infallible;

    #[inline(always)]
    fn settle(self) -> Result<Flow, Infallible> {
        Ok(Flow::Continue)
    }
}

impl<M, X> Verdict for Result<Message<M>, X> {
    type Error = X;
}

impl<M, X> Settle for Result<Message<M>, X> {
    type Failure = X;

    #[inline(always)]
    fn settle(self) -> Result<Flow, X> {
        self.map(|_| Flow::Continue)
    }
}

/// A table of handlers by kind of event, built while compiling and kept in read-only memory.
///
/// `E` is the event, and `C` is your state, which the handlers get by `&mut`. `K` is `{ E::KINDS }`, `R` is what handlers
/// [return](Verdict), and `H` is the most handlers that one kind may have.
///
/// Each [`on`](Self::on) names a subject or a pattern. The compiler works out which kinds it covers. A tick looks up the
/// handlers of the event's kind and calls them. If all handlers stand in one place, a `match` does the same.
///
/// For hundreds of closures, name the type first: `type Table = Dispatch<..>`, then `Table::new()`. The compiler then
/// knows the types of a closure at its line. Otherwise it learns them after the last line, and the time to check the
/// table grows with the square of its lines.
///
/// # Examples
///
/// ```
/// use tickbus::{Budget, Bus, Dispatch};
///
/// tickbus::events! {
///     #[derive(Clone, Copy)]
///     pub enum Input {
///         #[subject = "input.button.pressed"] Pressed(u8),
///         #[subject = "input.button.released"] Released(u8),
///         #[subject = "input.tilt"] Tilt { x: i16 },
///     }
/// }
///
/// #[derive(Default)]
/// struct Game { buttons: usize, others: usize }
///
/// impl Game {
///     fn button(&mut self, _: &Input) { self.buttons += 1; }
///     fn other(&mut self, _: &Input) { self.others += 1; }
/// }
///
/// static BUS: Bus<Input, 4> = Bus::new();
/// static HANDLERS: Dispatch<Input, Game, { Input::KINDS }> =
///     Dispatch::new().on("input.button.*", Game::button).otherwise(Game::other);
///
/// let mut game = Game::default();
/// let mut events = BUS.consumer().unwrap();
/// BUS.publish_batch(&[Input::Pressed(1), Input::Tilt { x: 3 }, Input::Released(1)]).unwrap();
///
/// let report = HANDLERS.tick(&mut game, &mut events, Budget::unlimited());
/// assert_eq!((report.handled, report.left), (3, 0));
/// assert_eq!((game.buttons, game.others), (2, 1));
/// ```
///
/// A pattern that no event has does not compile:
///
/// ```compile_fail,E0080
/// # use tickbus::Dispatch;
/// # tickbus::events! { enum Input { #[subject = "input.tilt"] Tilt } }
/// static HANDLERS: Dispatch<Input, (), { Input::KINDS }> =
///     Dispatch::new().on("input.titl", |_, _| {});
/// ```
pub struct Dispatch<E, C, const K: usize, R: Verdict = (), const H: usize = 2> {
    handlers: Rows<Handler<E, C, R>, K, H>,
    otherwise: Option<Handler<E, C, R>>,
    on_error: Option<ErrorHook<E, C, R>>,
}

impl<E: Event, C, const K: usize, R: Verdict, const H: usize> Dispatch<E, C, K, R, H> {
    /// Creates a table without handlers.
    ///
    /// # Panics
    ///
    /// Panics if `K` is not `E::KINDS`, or if `H` is 0. In a `static` or a `const` that is a compile
    /// error. A hand-written `E` with an invalid subject, or with the same one twice, does not compile.
    #[must_use]
    #[track_caller]
    pub const fn new() -> Self {
        Self { handlers: Rows::new::<E>("Dispatch"), otherwise: None, on_error: None }
    }

    /// Calls `handler` for every kind whose subject `pattern` matches.
    ///
    /// A tick calls several handlers of one kind in the order in which they were added.
    ///
    /// # Panics
    ///
    /// Panics if the pattern is malformed or matches no subject of `E`, or if a kind has more than `H` handlers. In a
    /// `static` or a `const` that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn on(mut self, pattern: &str, handler: Handler<E, C, R>) -> Self {
        self.handlers.add::<E>(pattern, handler);
        self
    }

    /// Calls `handler` for each kind that has no handler.
    ///
    /// # Panics
    ///
    /// Panics if there is such a handler already. In a `static` or a `const` that is a compile error.
    #[must_use]
    #[track_caller]
    pub const fn otherwise(mut self, handler: Handler<E, C, R>) -> Self {
        assert!(self.otherwise.is_none(), "a table has one `otherwise`");
        self.otherwise = Some(handler);
        self
    }

    /// Calls `hook` with the error of a handler.
    ///
    /// # Panics
    ///
    /// Panics if there is a hook already. In a `static` or a `const` that is a compile error.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Budget, Bus, Dispatch};
    ///
    /// tickbus::events! { enum Order { #[subject = "order.buy"] Buy(u8) } }
    ///
    /// fn buy(money: &mut u8, Order::Buy(price): &Order) -> Result<(), &'static str> {
    ///     *money = money.checked_sub(*price).ok_or("too dear")?;
    ///     Ok(())
    /// }
    ///
    /// static ORDERS: Dispatch<Order, u8, { Order::KINDS }, Result<(), &'static str>> =
    ///     Dispatch::new().on("order.buy", buy).on_error(|_, _, why| eprintln!("{why}"));
    ///
    /// let mut bus: Bus<Order, 4> = Bus::new();
    /// bus.publish_mut(Order::Buy(200)).unwrap();
    /// bus.publish_mut(Order::Buy(2)).unwrap();
    ///
    /// let mut money = 10;
    /// let report = ORDERS.tick(&mut money, &mut bus, Budget::unlimited());
    /// assert_eq!((report.handled, report.failed, money), (2, 1, 8));
    /// ```
    #[must_use]
    #[track_caller]
    pub const fn on_error(mut self, hook: ErrorHook<E, C, R>) -> Self {
        assert!(self.on_error.is_none(), "a table has one error hook");
        self.on_error = Some(hook);
        self
    }

    /// Takes the pending events and calls their handlers, within `budget`.
    ///
    /// The tick fixes its end when it begins. An event that a handler publishes waits for the next tick, or for the next
    /// [generation](Budget::generations) of this one. A tick never recurses. Events beyond the budget stay on the bus, in
    /// order.
    ///
    /// # Panics
    ///
    /// Panics only if a handler, the hook or the function of [`Budget::until`] does. The event being handled is consumed,
    /// and the rest stays on the bus.
    pub fn tick<S, F>(&self, context: &mut C, events: &mut S, mut budget: Budget<F>) -> Report
    where
        S: Source<Event = E>,
        F: FnMut() -> bool,
    {
        let mut report = Report::default();
        let mut until_asked = budget.every;
        let mut is_late = false;
        let mut span = events.freeze();
        loop {
            let room = budget.events - report.handled;
            let kind = |event: &E| event.kind();
            let mut each = |counters: &Tally, kind, event: &E| {
                let (wanted, failed) = self.route(context, kind, event);
                if !wanted {
                    report.unhandled += 1;
                    counters.count_unhandled();
                }
                if failed {
                    report.failed += 1;
                    counters.count_failed();
                }
            };
            let mut handled = 0;
            if budget.is_timed {
                // As many at a time as need no call of `late`.
                loop {
                    let most = until_asked.min(room - handled);
                    let taken = events.show_most(&mut span, most, kind, &mut each);
                    handled += taken;
                    until_asked -= taken;
                    if until_asked == 0 {
                        until_asked = budget.every;
                        is_late = (budget.late)();
                    }
                    if is_late || taken < most || handled == room {
                        break;
                    }
                }
            } else {
                handled = events.show_most(&mut span, room, kind, each);
            }
            if handled == 0 {
                break;
            }
            report.handled += handled;
            report.generations += 1;
            if is_late || report.generations >= budget.generations {
                break;
            }
            span = events.freeze();
        }
        (report.left, report.dropped, report.refused) = events.account(&span);
        report
    }

    /// Calls the handlers of `event` now, without a bus. Returns whether there were any.
    ///
    /// This is the cheapest delivery: the publisher calls the handlers in its own context before it proceeds. A slow
    /// handler delays its publisher and the code that the publisher has interrupted, and nothing else. An interrupt
    /// handler may call a table that it has interrupted, if `C` allows it.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Dispatch;
    ///
    /// tickbus::events! { enum Input { #[subject = "a"] A, #[subject = "b"] B } }
    /// static HANDLERS: Dispatch<Input, u8, { Input::KINDS }> = Dispatch::new().on("a", |n, _| *n += 1);
    ///
    /// let mut count = 0;
    /// assert!(HANDLERS.call(&mut count, &Input::A));
    /// assert!(!HANDLERS.call(&mut count, &Input::B));
    /// assert_eq!(count, 1);
    /// ```
    ///
    /// A flag switches the handlers off while the program runs:
    ///
    /// ```
    /// use core::sync::atomic::{AtomicBool, Ordering};
    /// use tickbus::{Dispatch, Topic};
    ///
    /// tickbus::events! {
    ///     #[derive(Clone, Copy)]
    ///     enum Power { #[subject = "power.low"] Low, #[subject = "power.failing"] Failing }
    /// }
    /// static URGENT: Dispatch<Power, u32, { Power::KINDS }> =
    ///     Dispatch::new().on("power.failing", |saved, _| *saved += 1);
    /// static MASKED: AtomicBool = AtomicBool::new(false);
    /// static POWER: Topic<Power, 8> = Topic::new();
    ///
    /// fn publish(saved: &mut u32, event: Power) {
    ///     if !MASKED.load(Ordering::Acquire) {
    ///         URGENT.call(saved, &event); // first the handlers that cannot wait,
    ///     }
    ///     POWER.publish(event); // then the subscribers that read later
    /// }
    ///
    /// let mut log = POWER.subscribe();
    /// let mut saved = 0;
    /// publish(&mut saved, Power::Low);
    /// publish(&mut saved, Power::Failing);
    /// MASKED.store(true, Ordering::Release);
    /// publish(&mut saved, Power::Failing);
    /// assert_eq!((saved, log.read().count()), (1, 3));
    /// ```
    pub fn call(&self, context: &mut C, event: &E) -> bool {
        self.route(context, event.kind(), event).0
    }

    /// Whether a handler wanted the event, and whether one failed.
    #[inline(always)]
    fn route(&self, context: &mut C, kind: usize, event: &E) -> (bool, bool) {
        let mut row = self.handlers.of(kind);
        let Some(&Some(mut handler)) = row.next() else {
            let Some(otherwise) = self.otherwise else { return (false, false) };
            return (true, self.run(otherwise, context, event) == Err(()));
        };
        let mut failed = false;
        loop {
            match self.run(handler, context, event) {
                Ok(Flow::Continue) => {}
                Ok(Flow::Stop) => break,
                Err(()) => failed = true,
            }
            let Some(&Some(next)) = row.next() else { break };
            handler = next;
        }
        (true, failed)
    }

    /// Calls one handler, and the hook if it fails.
    #[inline(always)]
    fn run(&self, handler: Handler<E, C, R>, context: &mut C, event: &E) -> Result<Flow, ()> {
        handler(context, event).settle().map_err(|error| {
            if let Some(hook) = self.on_error {
                hook(context, event, error);
            }
        })
    }
}

impl<E: Event, C, const K: usize, R: Verdict, const H: usize> Default for Dispatch<E, C, K, R, H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E, C, const K: usize, R: Verdict, const H: usize> fmt::Debug for Dispatch<E, C, K, R, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatch")
            .field("kinds", &K)
            .field("handlers", &self.handlers.count())
            .finish_non_exhaustive()
    }
}
