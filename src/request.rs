//! One question, answers of several responders: [`Requests`].

use core::error::Error;
use core::fmt;

use heapless::Vec;

/// Names one request of one [`Requests`]. It travels with the question and comes back with each
/// answer.
///
/// It is a number, not a guard: dropping it does nothing. After the request has ended, the id names
/// no request, until its number comes again 2^32 requests later. Another [`Requests`] may have a
/// request with the same number.
///
/// # Examples
///
/// Send the id over a wire as a `u32`. If a wrong number comes back, it names no request, or
/// another one:
///
/// ```
/// use tickbus::request::{RequestId, Requests};
///
/// let mut requests: Requests<u8, u16, 1, 1> = Requests::new();
/// let id = requests.open(&[7], 1, 100)?;
///
/// let frame = u32::from(id).to_be_bytes(); // there, and back with the answer
/// let id = RequestId::from(u32::from_be_bytes(frame));
/// assert!(requests.answer(id, 7, 451).is_ok());
/// # Ok::<(), tickbus::request::InvalidRequest>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(u32);

impl From<RequestId> for u32 {
    fn from(id: RequestId) -> Self {
        id.0
    }
}

impl From<u32> for RequestId {
    fn from(number: u32) -> Self {
        Self(number)
    }
}

/// A request was not opened, and left no trace.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The request names no responder.
    NoResponders,
    /// The minimum is 0, so the request would end before its question.
    NoMinimum,
    /// The minimum is higher than the number of responders, each counted once.
    MinimumTooHigh,
    /// More than `M` responders are expected.
    TooManyResponders,
    /// `R` requests are open.
    TooManyRequests,
    /// A question with this id is being asked already.
    AlreadyOpen,
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoResponders => "the request expects no responder: name at least one",
            Self::NoMinimum => "the request needs no answer: ask for at least one",
            Self::MinimumTooHigh => {
                "the request needs more answers than it expects responders: name more, or ask for fewer"
            },
            Self::TooManyResponders => {
                "the request expects more responders than there is room for: make `M` larger"
            },
            Self::TooManyRequests => "too many requests are open: cancel one, or make `R` larger",
            Self::AlreadyOpen => {
                "a question with this id is being asked already: give each question an id of its own"
            }
        })
    }
}

impl Error for InvalidRequest {}

/// An answer does not count. The error returns it unchanged, and the request does not change.
///
/// `Debug` and `Display` do not show the answer, so `unwrap`, `expect` and `?` work for every `A`.
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerError<A> {
    /// No such request is open: the answer is late, or for another [`Requests`].
    Unknown(A),
    /// The request does not expect this responder.
    Unexpected(A),
    /// This responder has answered already. The first answer counts.
    Duplicate(A),
}

impl<A> AnswerError<A> {
    /// Returns the answer.
    pub fn into_answer(self) -> A {
        match self {
            Self::Unknown(answer) | Self::Unexpected(answer) | Self::Duplicate(answer) => answer,
        }
    }
}

impl<A> fmt::Debug for AnswerError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unknown(_) => "Unknown(..)",
            Self::Unexpected(_) => "Unexpected(..)",
            Self::Duplicate(_) => "Duplicate(..)",
        })
    }
}

impl<A> fmt::Display for AnswerError<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Unknown(_) => "the request is not open",
            Self::Unexpected(_) => "the request does not expect this responder",
            Self::Duplicate(_) => "the responder has answered already",
        })
    }
}

impl<A> Error for AnswerError<A> {}

/// Holds the answers that a request had when it ended.
#[must_use = "the answers are nowhere else"]
pub struct Answers<W, A, const M: usize> {
    arrived: Vec<(W, A), M>,
    missing: Vec<W, M>,
}

impl<W, A, const M: usize> Answers<W, A, M> {
    /// Returns the answers in the order of their arrival, each with its responder.
    #[must_use]
    pub fn arrived(&self) -> &[(W, A)] {
        &self.arrived
    }

    /// Takes the answers out, in the order of their arrival, each with its responder.
    pub fn into_arrived(self) -> impl ExactSizeIterator<Item = (W, A)> {
        self.arrived.into_iter()
    }

    /// Returns the responders that have not answered, in the order in which you named them.
    #[must_use]
    pub fn missing(&self) -> &[W] {
        &self.missing
    }
}

impl<W, A, const M: usize> fmt::Debug for Answers<W, A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("arrived", &self.arrived.len())
            .field("missing", &self.missing.len())
            .finish_non_exhaustive()
    }
}

/// A request ended before it had its minimum of answers. The error has the answers that came.
///
/// `Debug` and `Display` do not show the answers, so `unwrap`, `expect` and `?` work for every `A`.
#[non_exhaustive]
pub enum RequestError<W, A, const M: usize> {
    /// The deadline passed.
    TimedOut(Answers<W, A, M>),
    /// The request was [cancelled](Requests::cancel).
    Cancelled(Answers<W, A, M>),
}

impl<W, A, const M: usize> RequestError<W, A, M> {
    /// Returns the answers that came.
    pub const fn answers(&self) -> &Answers<W, A, M> {
        match self {
            Self::TimedOut(answers) | Self::Cancelled(answers) => answers,
        }
    }

    /// Returns the answers that came.
    pub fn into_answers(self) -> Answers<W, A, M> {
        match self {
            Self::TimedOut(answers) | Self::Cancelled(answers) => answers,
        }
    }
}

impl<W, A, const M: usize> fmt::Debug for RequestError<W, A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::TimedOut(_) => "TimedOut",
            Self::Cancelled(_) => "Cancelled",
        };
        f.debug_tuple(name).field(self.answers()).finish()
    }
}

impl<W, A, const M: usize> fmt::Display for RequestError<W, A, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::TimedOut(_) => "the request has timed out",
            Self::Cancelled(_) => "the request was cancelled",
        })
    }
}

impl<W, A, const M: usize> Error for RequestError<W, A, M> {}

struct Open<W, A, const M: usize> {
    id: RequestId,
    minimum: usize,
    deadline: u32,
    expected: Vec<W, M>,
    arrived: Vec<(W, A), M>,
}

impl<W: Clone + PartialEq, A, const M: usize> Open<W, A, M> {
    fn is_done(&self) -> bool {
        self.arrived.len() >= self.minimum
    }

    fn has_answer_of(&self, responder: &W) -> bool {
        self.arrived.iter().any(|(from, _)| from == responder)
    }

    fn missing(&self) -> Vec<W, M> {
        let open = self.expected.iter().filter(|responder| !self.has_answer_of(responder));
        open.cloned().collect()
    }
}

/// Collects the answers to requests: up to `R` requests at a time, each to up to `M` responders.
///
/// 1. [`open`](Self::open) a request, and publish the question with its [`RequestId`] on a bus that
///    the responders read.
/// 2. Each responder answers with that id. Hand the answers to [`answer`](Self::answer).
/// 3. [`tick`](Self::tick) takes the current time and hands out the requests that have ended. A
///    request ends when the minimum of distinct expected responders has answered, or at its
///    deadline.
///
/// `W` names a responder: an enum, a number, a `&'static str`, a `String`. `A` is an answer. A request keeps
/// its answers itself, so no other traffic displaces them. Each request ends, at the latest at its
/// deadline, and then leaves nothing behind.
///
/// # Time
///
/// You choose what the time counts: milliseconds, frames, timer interrupts. It is a `u32` that may
/// wrap, as for [`Timers`](crate::Timers). If you set an earlier time than before, by up to
/// 2^31 ticks, no time passes.
///
/// # Interrupts
///
/// Requests belong to the main loop: everything that changes them takes `&mut`. Interrupts and
/// other threads answer through a bus that the main loop drains into [`answer`](Self::answer). If
/// that bus [`Reject`](crate::Reject)s, no answer is lost on the way: a responder that finds it
/// full gets its answer back.
///
/// # Progress
///
/// No method waits. [`answer`](Self::answer) takes time in proportion to `R` + `M`.
/// [`open`](Self::open) takes time in proportion to `R`, and to `M` for each responder that you
/// name. A tick takes time in proportion to the open requests, and to `R` + `M` * `M` for each that
/// ends.
///
/// # Examples
///
/// ```
/// use tickbus::Bus;
/// use tickbus::request::{RequestId, Requests};
///
/// static QUESTIONS: Bus<RequestId, 4> = Bus::new();
/// static ANSWERS: Bus<(RequestId, &str, u32), 4> = Bus::new();
///
/// let mut requests: Requests<&str, u32, 2, 4> = Requests::new();
/// let (mut questions, mut answers) = (QUESTIONS.consumer().unwrap(), ANSWERS.consumer().unwrap());
///
/// // Two of three will do, until tick 100.
/// let id = requests.open(&["left", "right", "rear"], 2, 100)?;
/// QUESTIONS.publish(id)?;
///
/// // The responders, in whatever context they run.
/// for id in questions.drain() {
///     ANSWERS.publish((id, "rear", 7))?;
///     ANSWERS.publish((id, "left", 8))?;
///     ANSWERS.publish((id, "left", 9))?; // only the first one counts
/// }
///
/// for (id, responder, answer) in answers.drain() {
///     let _ = requests.answer(id, responder, answer);
/// }
/// let ended = requests.tick(1, |_, answers| {
///     let answers = answers.expect("two have answered");
///     assert_eq!(answers.arrived(), [("rear", 7), ("left", 8)]);
///     assert_eq!(answers.missing(), ["right"]);
/// });
/// assert_eq!(ended, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[doc(alias("scatter gather", "request reply", "request response", "query", "rpc"))]
pub struct Requests<W, A, const R: usize, const M: usize> {
    /// In the order of their opening.
    open: Vec<Open<W, A, M>, R>,
    next: u32,
    /// The latest time of a tick while requests were open, if any.
    told: Option<u32>,
}

impl<W: Clone + PartialEq, A, const R: usize, const M: usize> Requests<W, A, R, M> {
    /// Returns a store without requests.
    #[must_use]
    pub const fn new() -> Self {
        Self { open: Vec::new(), next: 0, told: None }
    }

    #[cfg(test)]
    const fn starting_at(next: u32) -> Self {
        Self { open: Vec::new(), next, told: None }
    }

    /// Opens a request that succeeds when `minimum` of the `expected` responders have answered.
    ///
    /// A responder that you name twice counts once. Open the request before you publish the
    /// question. If opening fails, you then have no question without a request.
    ///
    /// # Deadline
    ///
    /// The request ends at the first tick whose time is `deadline` or later. `deadline` must be at
    /// most `i32::MAX` ticks ahead; a later one, such as `u32::MAX` at time 0, has passed already.
    /// If other requests have been open since the last [tick](Self::tick), a deadline at or before
    /// that tick has passed too.
    ///
    /// # Errors
    ///
    /// Returns [`InvalidRequest`] if the request can never succeed, or if there is no room for it.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::request::{InvalidRequest, Requests};
    ///
    /// let mut requests: Requests<u8, (), 1, 2> = Requests::new();
    /// assert_eq!(requests.open(&[7, 7], 2, 10), Err(InvalidRequest::MinimumTooHigh));
    /// assert!(requests.open(&[7, 8], 2, 10).is_ok());
    /// assert_eq!(requests.open(&[7], 1, 10), Err(InvalidRequest::TooManyRequests));
    /// ```
    pub fn open(
        &mut self,
        expected: &[W],
        minimum: usize,
        deadline: u32,
    ) -> Result<RequestId, InvalidRequest> {
        if minimum == 0 && !expected.is_empty() {
            return Err(InvalidRequest::NoMinimum);
        }
        self.open_distinct(Self::distinct(expected)?, minimum, deadline)
    }

    /// Opens a request that succeeds when all of the `expected` responders have answered: see
    /// [`open`](Self::open).
    ///
    /// # Errors
    ///
    /// Returns [`InvalidRequest`] if `expected` names no responder, or if there is no room for the
    /// request.
    ///
    /// # Examples
    ///
    /// You may make the names of responders at run time:
    ///
    /// ```
    /// use tickbus::request::{RequestError, Requests};
    ///
    /// let names: Vec<String> = (1..=2).map(|n| format!("sensor-{n}")).collect();
    /// let mut requests: Requests<String, u16, 1, 4> = Requests::new();
    /// let id = requests.open_all(&names, 10)?;
    /// requests.answer(id, "sensor-2".to_owned(), 451)?;
    /// requests.tick(10, |_, answers| {
    ///     let Err(RequestError::TimedOut(partial)) = answers else { unreachable!("one is missing") };
    ///     assert_eq!(partial.missing(), ["sensor-1"]);
    /// });
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_all(&mut self, expected: &[W], deadline: u32) -> Result<RequestId, InvalidRequest> {
        let distinct = Self::distinct(expected)?;
        let minimum = distinct.len();
        self.open_distinct(distinct, minimum, deadline)
    }

    /// Returns each of the responders once.
    fn distinct(expected: &[W]) -> Result<Vec<W, M>, InvalidRequest> {
        let mut distinct = Vec::new();
        for responder in expected {
            if !distinct.contains(responder) && distinct.push(responder.clone()).is_err() {
                return Err(InvalidRequest::TooManyResponders);
            }
        }
        if distinct.is_empty() { Err(InvalidRequest::NoResponders) } else { Ok(distinct) }
    }

    fn open_distinct(
        &mut self,
        distinct: Vec<W, M>,
        minimum: usize,
        deadline: u32,
    ) -> Result<RequestId, InvalidRequest> {
        if minimum > distinct.len() {
            return Err(InvalidRequest::MinimumTooHigh);
        }
        while self.is_open(RequestId(self.next)) {
            self.next = self.next.wrapping_add(1);
        }
        if self.open.is_empty() {
            self.told = None;
        }
        let id = RequestId(self.next);
        let request = Open { id, minimum, deadline, expected: distinct, arrived: Vec::new() };
        self.open.push(request).map_err(|_| InvalidRequest::TooManyRequests)?;
        self.next = self.next.wrapping_add(1);
        Ok(id)
    }

    /// Adds the answer of `responder` to a request.
    ///
    /// A request that has its minimum takes further answers until the [tick](Self::tick) that ends
    /// it.
    ///
    /// # Errors
    ///
    /// Returns [`AnswerError`] with the answer if the request is not open, if it does not expect
    /// this responder, or if the responder has answered already.
    pub fn answer(&mut self, id: RequestId, responder: W, answer: A) -> Result<(), AnswerError<A>> {
        let Some(request) = self.open.iter_mut().find(|request| request.id == id) else {
            return Err(AnswerError::Unknown(answer));
        };
        if !request.expected.contains(&responder) {
            return Err(AnswerError::Unexpected(answer));
        }
        if request.has_answer_of(&responder) {
            return Err(AnswerError::Duplicate(answer));
        }
        // There is room for one answer of each that is expected.
        request
            .arrived
            .push((responder, answer))
            .map_err(|(_, answer)| AnswerError::Duplicate(answer))
    }

    /// Sets the time to `now`, and hands each request that has ended to `each`, in the order of
    /// their opening. Returns how many ended.
    ///
    /// A request that has its minimum succeeds, also if its deadline has passed.
    ///
    /// While requests are open, call it at least every `i32::MAX` ticks. If `now` is up to 2^31
    /// ticks earlier than in the previous call, no time passes.
    ///
    /// # Panics
    ///
    /// Panics if `each`, `W::eq` or `W::clone` panics. A request that `each` received has ended.
    /// The others end with the next tick, with all their answers.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::request::{RequestError, Requests};
    ///
    /// let mut requests: Requests<u8, &str, 1, 2> = Requests::new();
    /// let id = requests.open(&[1, 2], 2, 10)?;
    /// requests.answer(id, 2, "here")?;
    ///
    /// assert_eq!(requests.tick(9, |_, _| unreachable!("it is open")), 0);
    /// requests.tick(10, |_, answers| {
    ///     let Err(RequestError::TimedOut(partial)) = answers else { unreachable!("one is missing") };
    ///     assert_eq!(partial.arrived(), [(2, "here")]);
    ///     assert_eq!(partial.missing(), [1]);
    /// });
    /// assert!(requests.answer(id, 1, "late").is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn tick(
        &mut self,
        now: u32,
        mut each: impl FnMut(RequestId, Result<Answers<W, A, M>, RequestError<W, A, M>>),
    ) -> usize {
        let is_earlier = |told: &u32| now.wrapping_sub(*told) > i32::MAX as u32;
        let now = self.told.filter(is_earlier).unwrap_or(now);
        self.told = Some(now);
        let mut ended = 0;
        let mut place = 0;
        while let Some(request) = self.open.get(place) {
            let done = request.is_done();
            if !done && now.wrapping_sub(request.deadline) > i32::MAX as u32 {
                place += 1;
                continue;
            }
            let (id, answers) = self.end(place);
            ended += 1;
            each(id, if done { Ok(answers) } else { Err(RequestError::TimedOut(answers)) });
        }
        ended
    }

    /// Takes a request out. It compares and clones responders first, since that may panic.
    fn end(&mut self, place: usize) -> (RequestId, Answers<W, A, M>) {
        let missing = self.open[place].missing();
        let Open { id, arrived, .. } = self.open.remove(place);
        (id, Answers { arrived, missing })
    }

    /// Ends a request now. Returns `None` if it has ended already.
    ///
    /// A request that has its minimum succeeds. Otherwise the result is
    /// [`RequestError::Cancelled`], with the answers that came.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::request::{RequestError, Requests};
    ///
    /// let mut requests: Requests<u8, (), 1, 2> = Requests::new();
    /// let id = requests.open(&[1, 2], 1, 10)?;
    /// assert!(matches!(requests.cancel(id), Some(Err(RequestError::Cancelled(_)))));
    /// assert!(requests.cancel(id).is_none());
    /// # Ok::<(), tickbus::request::InvalidRequest>(())
    /// ```
    pub fn cancel(
        &mut self,
        id: RequestId,
    ) -> Option<Result<Answers<W, A, M>, RequestError<W, A, M>>> {
        let place = self.open.iter().position(|request| request.id == id)?;
        let done = self.open[place].is_done();
        let (_, answers) = self.end(place);
        Some(if done { Ok(answers) } else { Err(RequestError::Cancelled(answers)) })
    }

    /// Returns whether a request is open.
    #[must_use]
    pub fn is_open(&self, id: RequestId) -> bool {
        self.open.iter().any(|request| request.id == id)
    }

    /// Returns how many requests are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Returns whether no request is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Returns how many requests may be open at a time: `R`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        R
    }
}

impl<W: Clone + PartialEq, A, const R: usize, const M: usize> Default for Requests<W, A, R, M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<W, A, const R: usize, const M: usize> fmt::Debug for Requests<W, A, R, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests")
            .field("capacity", &R)
            .field("len", &self.open.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
