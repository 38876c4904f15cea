//! Handlers by pattern, called by a tick.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use super::subscription::Subscription;
use crate::bus::{Budget, Report, Verdict};
use crate::envelope::Envelope;
use crate::wait::panics::Panics;

/// A handler. Returns whether it succeeded.
type Call<C> = Box<dyn FnMut(&mut C, &Arc<Envelope>) -> bool + Send>;

/// Calls handlers with the envelopes of their subscriptions, when you [`tick`](Self::tick).
///
/// Publishers only fill the buffers of the subscriptions. The handlers run in the tick, on its
/// thread, one after the other, with `&mut` access to your state `C`.
///
/// # Publishing in a handler
///
/// A handler may publish, also to its own subscription. That envelope waits for the next tick, or
/// for the next [generation](Budget::generations) of this one. If a subscription of the same thread
/// says [`Block`](super::Overrun::Block), publish with
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
}

struct Entry<C> {
    subscription: Subscription,
    call: Call<C>,
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
    /// Envelopes that the handler was called with.
    pub handled: u64,
    /// Those with which it failed or panicked. Part of `handled`.
    pub failed: u64,
    /// Those with which it panicked. Part of `failed`.
    pub panicked: u64,
}

impl<C> SubjectHandlers<C> {
    /// Returns a table without handlers.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: Vec::new(), next: 0 }
    }

    /// Adds a handler for the envelopes of `subscription`.
    ///
    /// A handler returns `()` or a `Result`. The tick counts an error as a failure. A
    /// [`Flow`](crate::bus::Flow), which a handler of a [`Dispatch`](crate::Dispatch) may return,
    /// has no effect here: no handler stands behind another.
    pub fn on<R: Verdict>(
        &mut self,
        subscription: Subscription,
        mut handler: impl FnMut(&mut C, &Arc<Envelope>) -> R + Send + 'static,
    ) {
        self.entries.push(Entry {
            lost: subscription.dropped(),
            subscription,
            call: Box::new(move |context, envelope| handler(context, envelope).settle().is_ok()),
            end: 0,
            stats: HandlerStats::default(),
        });
    }

    /// Removes the handler whose subscription has this [id](Subscription::id), and returns the
    /// subscription.
    ///
    /// Subscriptions of several buses may have the same id. It removes the first of them.
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
    /// It fixes the end when it begins. The handlers take turns in the order in which you added
    /// them. If the budget ends at one, the next tick begins with the one after it, so none
    /// starves. What the budget leaves stays in the subscriptions, in order.
    ///
    /// The report counts as `dropped` what the subscriptions lost since the tick before. It counts
    /// nothing as `unhandled` or `refused`. The tick takes one lock for each envelope, and a few
    /// for each handler.
    ///
    /// # Panics
    ///
    /// Panics if the deadline of the budget does.
    pub fn tick<F: FnMut() -> bool>(&mut self, context: &mut C, mut budget: Budget<F>) -> Report {
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
                let Entry { subscription, call, end, stats, .. } = &mut self.entries[at];
                for envelope in subscription.drain_before(*end) {
                    report.handled += 1;
                    stats.handled += 1;
                    let well = Panics::default().run(|| call(context, &envelope));
                    if well != Some(true) {
                        report.failed += 1;
                        stats.failed += 1;
                        stats.panicked += u64::from(well.is_none());
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
