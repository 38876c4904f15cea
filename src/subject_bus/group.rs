//! Several envelopes, all of them or none: [`SubjectBus::publish_all`].

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use core::task::Waker;

use super::bus::SubjectBus;
use super::offer::Offer;
use super::publish::stamp;
use super::published::Published;
use super::queue::{About, Queue, Room};
use super::routes::Target;
use super::shared::{State, UnderWay};
use crate::envelope::Envelope;
use crate::subject::PatternBuf;
use crate::wait::panics::Panics;

/// What is in one buffer of a subscription for one envelope of a group: the index of the envelope,
/// and what became of it.
type Settled = (usize, Option<Arc<About>>, Offer);

/// An envelope of a group, by its index, that a subscription wants. It has the `About` if a filter
/// said so: then it counts, even if its handle goes meanwhile.
type Wanted = (usize, Target, Option<Arc<About>>);

impl SubjectBus {
    /// Publishes all of these envelopes, or none. Never waits.
    ///
    /// First the bus checks whether each subscription that matches has room for its part. Then it
    /// enqueues all envelopes, in their order, under one lock. No receiver sees only some of them,
    /// and no other publisher comes between. Collect a transaction in a `Vec`; drop the `Vec` to
    /// roll it back.
    ///
    /// One subscription without room is enough to reject the group:
    ///
    /// | [`Overrun`](super::Overrun) | has room if |
    /// |---|---|
    /// | `DropNewest`, `Block` | its part fits beside what is pending |
    /// | `DropOldest` | its part fits into an empty buffer: older envelopes give way, and are counted |
    ///
    /// A subscription that has ended does not reject the group: see [`Published::closed`]. A
    /// rejected group leaves no trace: no subscription has any of it, the bus does not count it,
    /// and observers do not see it. Exception: filters have run.
    ///
    /// A bus that is not [started](Self::start) holds all of them or none. The replay treats each
    /// like any other envelope. A publish of no envelopes enqueues none and holds none, on any bus.
    ///
    /// The bus calls the observers after it has enqueued all envelopes. For each envelope, it calls
    /// `on_publish` first, and then reports what became of it at each subscription.
    ///
    /// # Errors
    ///
    /// Returns [`PublishAllError`] with the envelopes if the bus is closed, or if a subscription or
    /// the hold of the bus has no room.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::{Envelope, SubjectBus};
    /// use tickbus::subject_bus::PublishAllError;
    ///
    /// let bus = SubjectBus::new();
    /// let ledger = bus.subscribe("account.*")?.capacity(3).open();
    /// let transfer = || [Envelope::unstamped("account.debit"), Envelope::unstamped("account.credit")];
    ///
    /// let group = transfer().into_iter().collect::<Result<Vec<_>, _>>()?;
    /// assert_eq!(bus.publish_all(group)?.enqueued, 2);
    ///
    /// let group = transfer().into_iter().collect::<Result<Vec<_>, _>>()?;
    /// let error = bus.publish_all(group).expect_err("room for one");
    /// assert_eq!(
    ///     error.to_string(),
    ///     "subscription 1 to `account.*` has no room for its part of the group",
    /// );
    /// assert!(matches!(error, PublishAllError::Full { subscription, .. } if subscription == ledger.id()));
    /// assert_eq!(error.into_envelopes().len(), 2);
    /// assert_eq!((ledger.stats().pending, ledger.dropped()), (2, 0)); // not the half of it
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[doc(alias("transaction", "batch", "all or nothing"))]
    pub fn publish_all<E: Into<Arc<Envelope>>>(
        &self,
        envelopes: impl IntoIterator<Item = E>,
    ) -> Result<Published, PublishAllError> {
        let mut envelopes: Vec<_> = envelopes.into_iter().map(Into::into).collect();
        if self.is_closed() {
            return Err(PublishAllError::Closed(envelopes));
        }
        envelopes.iter_mut().for_each(stamp);
        let mut state = self.shared.state.lock();
        if !state.live {
            return Self::hold_all(&mut state, envelopes);
        }
        state.under_way += 1;
        let routes: Vec<_> =
            envelopes.iter().map(|it| state.routes.find(it.subject()).keep()).collect();
        drop(state);
        let _under_way = UnderWay::new(&self.shared);
        let mut panics = Panics::default();
        let mut wanted = Vec::new();
        for (at, (envelope, targets)) in envelopes.iter().zip(&routes).enumerate() {
            for target in &**targets {
                let mut about = None;
                if target.filtered {
                    about = self.wants(*target, envelope, &mut panics);
                    if about.is_none() {
                        continue;
                    }
                }
                wanted.push((at, *target, about));
            }
        }
        let put = self.put_all(wanted, &envelopes);
        let (settled, wakers) = match put {
            Ok(put) => put,
            Err(refused) => {
                panics.resume();
                return Err(match refused {
                    Refused::Closed => PublishAllError::Closed(envelopes),
                    Refused::Full(about) => PublishAllError::Full {
                        subscription: about.id,
                        name: about.name.clone(),
                        patterns: about.patterns().map(PatternBuf::from).collect(),
                        envelopes,
                    },
                });
            }
        };
        panics.wake(wakers);
        let mut published = Published::default();
        let mut settled = settled.into_iter().peekable();
        for (at, envelope) in envelopes.iter().enumerate() {
            self.observe(&mut panics, |observer| observer.on_publish(envelope));
            while let Some((_, about, offer)) = settled.next_if(|(of, ..)| *of == at) {
                self.report(about.as_deref(), envelope, offer, &mut published, &mut panics);
            }
        }
        panics.resume();
        Ok(published)
    }

    fn hold_all(
        state: &mut State,
        envelopes: Vec<Arc<Envelope>>,
    ) -> Result<Published, PublishAllError> {
        if state.closed {
            return Err(PublishAllError::Closed(envelopes));
        }
        if envelopes.is_empty() {
            return Ok(Published::default());
        }
        if !state.hold_back(&envelopes) {
            return Err(PublishAllError::HoldFull(envelopes));
        }
        state.published += envelopes.len() as u64;
        Ok(Published::HELD)
    }

    /// Returns the `About` of this subscription if its filter, should it have one, takes the
    /// envelope. A subscription whose handle is gone takes none.
    fn wants(
        &self,
        target: Target,
        envelope: &Envelope,
        panics: &mut Panics,
    ) -> Option<Arc<About>> {
        let mut state = self.shared.state.lock();
        let queue = target.queue(&mut state.queues)?;
        let (about, filter) = (queue.about.clone(), queue.predicate.clone());
        drop(state);
        let Some(filter) = filter else { return Some(about) };
        let wants = panics.run(|| filter(envelope)) == Some(true);
        panics.dispose(filter); // the handle may be gone
        wants.then_some(about)
    }

    /// Puts all in, under one lock, if there is room for all.
    fn put_all(
        &self,
        wanted: Vec<Wanted>,
        envelopes: &[Arc<Envelope>],
    ) -> Result<(Vec<Settled>, Vec<Waker>), Refused> {
        let mut parts: Vec<_> = wanted.iter().map(|(_, target, _)| *target).collect();
        parts.sort_unstable();
        let mut settled = Vec::with_capacity(wanted.len());
        let mut wakers = Vec::with_capacity(wanted.len());
        let mut state = self.shared.state.lock();
        if state.closed {
            return Err(Refused::Closed);
        }
        for part in parts.chunk_by(|one, other| one.id == other.id) {
            let queue = part[0].queue(&mut state.queues);
            if let Some(queue) = queue.filter(|queue| !queue.has_room_for(part.len())) {
                return Err(Refused::Full(queue.about.clone()));
            }
        }
        state.published += envelopes.len() as u64;
        for (at, target, wants) in wanted {
            let (about, offer, receiver) = match (target.queue(&mut state.queues), wants) {
                (Some(queue), _) => {
                    let about = (!self.observers.is_empty()).then(|| queue.about.clone());
                    let (offer, receiver) = put(queue, &envelopes[at]);
                    (about, offer, receiver)
                }
                (None, Some(about)) => (Some(about), Offer::Closed, None),
                (None, None) => continue, // the handle was gone before its turn
            };
            wakers.extend(receiver);
            state.too_late += u64::from(matches!(offer, Offer::Closed));
            settled.push((at, about, offer));
        }
        Ok((settled, wakers))
    }
}

/// Puts one in where there is room. Returns the receiver to wake.
fn put(queue: &mut Queue, envelope: &Arc<Envelope>) -> (Offer, Option<Waker>) {
    if queue.samples_away() {
        return (Offer::Sampled, None);
    }
    match queue.room() {
        Room::Yes => (Offer::Enqueued, queue.put(envelope.clone())),
        Room::Displaced(oldest) => (Offer::Displaced(oldest), queue.put(envelope.clone())),
        Room::Closed => (Offer::Closed, None),
        Room::Full => {
            queue.refuse(); // never, since there was room for all
            (Offer::Dropped, None)
        }
    }
}

/// Why a group is not in the buffers.
enum Refused {
    /// This subscription has no room.
    Full(Arc<About>),
    /// The bus was closed meanwhile.
    Closed,
}

/// A group was not published: no subscription has any of it.
///
/// Each variant gives the envelopes back, in their order. Their ids and times are filled in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PublishAllError {
    /// The bus is closed.
    Closed(Vec<Arc<Envelope>>),
    /// A subscription has no room for its part.
    #[non_exhaustive]
    Full {
        /// The [id](super::Subscription::id) of the subscription. If several have no room, it is
        /// the first.
        subscription: u64,
        /// Its [name](super::Subscribe::name). May be empty.
        name: Box<str>,
        /// Its patterns.
        patterns: Vec<PatternBuf>,
        /// The envelopes.
        envelopes: Vec<Arc<Envelope>>,
    },
    /// The bus is not [started](SubjectBus::start), and its hold has no room for all of them.
    HoldFull(Vec<Arc<Envelope>>),
}

impl PublishAllError {
    /// Returns the envelopes.
    #[must_use]
    pub fn into_envelopes(self) -> Vec<Arc<Envelope>> {
        match self {
            Self::Closed(envelopes) | Self::Full { envelopes, .. } | Self::HoldFull(envelopes) => {
                envelopes
            }
        }
    }
}

impl fmt::Display for PublishAllError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(_) => f.pad("the bus is closed"),
            Self::Full { subscription, name, patterns, .. } => {
                write!(f, "subscription {subscription}")?;
                if !name.is_empty() {
                    write!(f, ", \"{name}\",")?;
                }
                for (at, pattern) in patterns.iter().enumerate() {
                    write!(f, "{}`{pattern}`", if at == 0 { " to " } else { ", " })?;
                }
                f.write_str(" has no room for its part of the group")
            }
            Self::HoldFull(_) => f.pad(
                "the bus is not started, and its hold has no room for the group: start it, or make it larger",
            ),
        }
    }
}

impl Error for PublishAllError {}
