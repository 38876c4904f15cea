//! One question to several responders, whose answers the caller waits for: [`SubjectBus::request`].
//!
//! An answer goes into a slot of its request, under the lock of the bus, and through no buffer that
//! could lose it.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::error::Error;
use core::fmt;
use core::pin::pin;
use core::task::{Context, Poll, Waker};
use core::time::Duration;

use super::bus::SubjectBus;
use super::publish::stamp;
use super::published::PublishError;
use crate::envelope::Envelope;
use crate::request::{AnswerError, InvalidRequest};
use crate::wait::WaitError;
use crate::wait::thread::{Cancel, Wait, block_on};

/// How long a request waits by default.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The requests of a bus whose callers wait, by the ids of their questions.
#[derive(Default)]
pub(super) struct Requests(BTreeMap<Box<str>, Open>);

struct Open {
    /// Each of them once.
    expected: Vec<Box<str>>,
    minimum: usize,
    /// In the order of their arrival, each with the index of its responder.
    arrived: Vec<(usize, Arc<Envelope>)>,
    caller: Option<Waker>,
}

impl Requests {
    /// Returns the wakers of all that wait. Their wait has ended.
    pub(super) fn wakers(&mut self) -> Vec<Waker> {
        self.0.values_mut().filter_map(|open| open.caller.take()).collect()
    }
}

impl Open {
    fn is_done(&self) -> bool {
        self.arrived.len() >= self.minimum
    }
}

impl SubjectBus {
    /// Sets up a request. [`wait`](Request::wait) publishes `question` to the subscriptions that
    /// match, and waits until the responders of these names [`answer`](Self::answer) it.
    ///
    /// The names are those of responders, not of subscriptions, and you may make them at run time.
    /// A repeated name counts once.
    ///
    /// # Examples
    ///
    /// ```
    /// use core::time::Duration;
    /// use std::thread;
    /// use tickbus::{Envelope, SubjectBus};
    /// use tickbus::subject_bus::GatherError;
    ///
    /// let bus = SubjectBus::new();
    /// let questions = bus.subscribe("stock.count")?.open();
    /// thread::scope(|scope| {
    ///     scope.spawn(|| {
    ///         for question in &questions {
    ///             let answer = Envelope::unstamped("stock.counted").unwrap().with_source("7 pieces");
    ///             bus.answer(&question, "north", answer).unwrap();
    ///         }
    ///     });
    ///
    ///     let both = bus.request(Envelope::new("stock.count").unwrap(), ["north", "south"]);
    ///     let Err(GatherError::TimedOut(partial)) = both.timeout(Duration::from_millis(30)).wait() else {
    ///         unreachable!("south never answers");
    ///     };
    ///     assert_eq!(partial.missing, ["south".into()]);
    ///
    ///     let any = bus.request(Envelope::new("stock.count").unwrap(), ["north", "south"]);
    ///     let gathered = any.at_least(1).wait().unwrap(); // 10 s at most
    ///     assert_eq!((&*gathered.arrived[0].0, gathered.arrived[0].1.source()), ("north", "7 pieces"));
    ///     bus.close();
    /// });
    /// # Ok::<(), tickbus::subject_bus::SubscribeError>(())
    /// ```
    #[doc(alias("scatter gather", "request reply", "query", "rpc"))]
    pub fn request<R: Into<Box<str>>>(
        &self,
        question: impl Into<Arc<Envelope>>,
        responders: impl IntoIterator<Item = R>,
    ) -> Request<'_> {
        let mut expected: Vec<Box<str>> = Vec::new();
        for responder in responders.into_iter().map(Into::into) {
            if !expected.contains(&responder) {
                expected.push(responder);
            }
        }
        let minimum = expected.len();
        let question = question.into();
        Request { bus: self, question, expected, minimum, timeout: TIMEOUT, cancel: None }
    }

    /// Answers a question that was received from this bus, as the responder of this name.
    ///
    /// The answer goes to the caller that waits, and to no subscription. The bus knows the request
    /// by the [id](Envelope::id) of its question.
    ///
    /// # Errors
    ///
    /// Returns [`AnswerError`] with the answer if no caller waits for an answer to this question.
    /// Also returns it if the request does not expect this responder, or the responder has answered
    /// already.
    pub fn answer(
        &self,
        question: &Envelope,
        responder: &str,
        answer: impl Into<Arc<Envelope>>,
    ) -> Result<(), AnswerError<Arc<Envelope>>> {
        let mut answer = answer.into();
        stamp(&mut answer);
        let mut state = self.shared.state.lock();
        let Some(open) = state.requests.0.get_mut(question.id()) else {
            return Err(AnswerError::Unknown(answer));
        };
        let Some(at) = open.expected.iter().position(|name| **name == *responder) else {
            return Err(AnswerError::Unexpected(answer));
        };
        if open.arrived.iter().any(|(of, _)| *of == at) {
            return Err(AnswerError::Duplicate(answer));
        }
        open.arrived.push((at, answer));
        let caller = if open.is_done() { open.caller.take() } else { None };
        drop(state);
        if let Some(caller) = caller {
            caller.wake(); // a thread of this crate's
        }
        Ok(())
    }
}

/// A request that is not sent yet: see [`SubjectBus::request`].
#[derive(Debug)]
#[must_use = "nothing is published before `wait`"]
pub struct Request<'a> {
    bus: &'a SubjectBus,
    question: Arc<Envelope>,
    expected: Vec<Box<str>>,
    minimum: usize,
    timeout: Duration,
    cancel: Option<&'a Cancel>,
}

impl<'a> Request<'a> {
    /// Sets how many answers are enough. The default is all of them.
    pub fn at_least(self, minimum: usize) -> Self {
        Self { minimum, ..self }
    }

    /// Sets how long to wait. The default is 10 s.
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Ends the wait when `cancel` is cancelled.
    pub fn until(self, cancel: &'a Cancel) -> Self {
        Self { cancel: Some(cancel), ..self }
    }

    /// Publishes the question, and waits until enough answers are in.
    ///
    /// It fills in the id and the time of the question where they are missing. It waits for room as
    /// [`publish_wait`](SubjectBus::publish_wait) does; a subscription without room before the end
    /// of the request does not get the question. A bus that is not started holds the question. If
    /// enough answers are in, the call succeeds, even after the timeout.
    ///
    /// It blocks the thread. A responder that a tick of the same thread calls therefore never
    /// answers.
    ///
    /// # Errors
    ///
    /// Returns [`GatherError`] if the request can never succeed, and then publishes nothing. Also
    /// returns it if the bus did not take the question. If the time is over, the wait is cancelled
    /// or the bus is closed before enough answers are in, the error has the answers that came.
    pub fn wait(self) -> Result<Gathered, GatherError> {
        let Self { bus, mut question, expected, minimum, timeout, cancel } = self;
        let invalid = match minimum {
            _ if expected.is_empty() => Some(InvalidRequest::NoResponders),
            0 => Some(InvalidRequest::NoMinimum),
            _ if minimum > expected.len() => Some(InvalidRequest::MinimumTooHigh),
            _ => None,
        };
        if let Some(invalid) = invalid {
            return Err(GatherError::Invalid(invalid));
        }
        stamp(&mut question);
        let wait = Wait::forever().timeout(timeout);
        let wait = cancel.map_or(wait, |cancel| wait.until(cancel));
        let asked = Asked::new(bus, question.id(), expected, minimum)?;
        let mut published = None;
        let mut waits_for_room = false;
        let waited = {
            let mut publish = pin!(bus.publish_async(question));
            block_on(wait, |context| {
                if published.is_none() {
                    match publish.as_mut().poll(context) {
                        Poll::Ready(result) => published = Some(result),
                        Poll::Pending => waits_for_room = true, // those that had room have it
                    }
                }
                match &published {
                    Some(Err(_)) => Poll::Ready(()), // the bus is closed, or its hold is full
                    _ => asked.poll(context),
                }
            })
        };
        let (is_done, gathered) = asked.end();
        match waited {
            _ if is_done => Ok(gathered),
            Ok(())
                if !waits_for_room
                    && gathered.arrived.is_empty()
                    && let Some(Err(error)) = published =>
            {
                Err(GatherError::NotPublished(error))
            }
            Ok(()) => Err(GatherError::Closed(gathered)),
            Err(WaitError::Cancelled) => Err(GatherError::Cancelled(gathered)),
            Err(_) => Err(GatherError::TimedOut(gathered)),
        }
    }
}

/// A request that is open. Dropping it leaves nothing behind.
struct Asked<'a> {
    bus: &'a SubjectBus,
    id: Box<str>,
}

impl<'a> Asked<'a> {
    fn new(
        bus: &'a SubjectBus,
        id: &str,
        expected: Vec<Box<str>>,
        minimum: usize,
    ) -> Result<Self, GatherError> {
        let id: Box<str> = id.into();
        let open = Open { expected, minimum, arrived: Vec::new(), caller: None };
        let mut state = bus.shared.state.lock();
        if state.requests.0.contains_key(&id) {
            return Err(GatherError::Invalid(InvalidRequest::AlreadyOpen));
        }
        state.requests.0.insert(id.clone(), open);
        Ok(Self { bus, id })
    }

    /// Ready when enough answers are in, or the bus is closed.
    fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let caller = context.waker().clone();
        let mut state = self.bus.shared.state.lock();
        let closed = state.closed;
        match state.requests.0.get_mut(&self.id) {
            Some(open) if !open.is_done() && !closed => {
                open.caller = Some(caller);
                Poll::Pending
            }
            _ => Poll::Ready(()),
        }
    }

    /// Closes the request. Returns whether enough answers are in, and those.
    fn end(self) -> (bool, Gathered) {
        let open = self.bus.shared.state.lock().requests.0.remove(&self.id);
        let Some(open) = open else { return (false, Gathered::default()) };
        let is_done = open.is_done();
        let Open { mut expected, arrived, .. } = open;
        let take = |(at, answer)| (core::mem::take::<Box<str>>(&mut expected[at]), answer);
        let indices: Vec<_> = arrived.iter().map(|(at, _)| *at).collect();
        let arrived = arrived.into_iter().map(take).collect();
        let missing = expected.into_iter().enumerate().filter(|(at, _)| !indices.contains(at));
        (is_done, Gathered { arrived, missing: missing.map(|(_, name)| name).collect() })
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let gone = self.bus.shared.state.lock().requests.0.remove(&self.id);
        drop(gone); // after the lock
    }
}

/// The answers to a request, and the responders that did not answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "the answers are nowhere else"]
#[non_exhaustive]
pub struct Gathered {
    /// The answers in the order of their arrival, each with the name of its responder.
    pub arrived: Vec<(Box<str>, Arc<Envelope>)>,
    /// The responders that have not answered, in the order in which you named them.
    pub missing: Vec<Box<str>>,
}

/// A request has no result, or a partial one.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GatherError {
    /// The request can never succeed. Nothing was published.
    Invalid(InvalidRequest),
    /// The bus did not take the question.
    NotPublished(PublishError),
    /// The time was over before enough answers were in.
    TimedOut(Gathered),
    /// The wait was cancelled before enough answers were in.
    Cancelled(Gathered),
    /// The bus was closed before enough answers were in.
    Closed(Gathered),
}

impl GatherError {
    /// Returns the answers that came. There are none if the question was not published.
    pub fn into_gathered(self) -> Gathered {
        match self {
            Self::Invalid(_) | Self::NotPublished(_) => Gathered::default(),
            Self::TimedOut(gathered) | Self::Cancelled(gathered) | Self::Closed(gathered) => {
                gathered
            }
        }
    }
}

impl fmt::Display for GatherError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (why, gathered) = match self {
            Self::Invalid(invalid) => return invalid.fmt(f),
            Self::NotPublished(error) => return error.fmt(f),
            Self::TimedOut(gathered) => ("the request has timed out", gathered),
            Self::Cancelled(gathered) => ("the request was cancelled", gathered),
            Self::Closed(gathered) => ("the bus was closed", gathered),
        };
        write!(f, "{why}, without an answer of {}", gathered.missing.join(", "))
    }
}

impl Error for GatherError {}
