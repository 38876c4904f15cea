//! One question, several answers: [`Requests`].

use core::error::Error;
use core::fmt;

use heapless::Vec;

/// Names one request of one [`Requests`]. It travels with the question and comes back with each answer.
///
/// A number, not a guard. Once the request has ended it names none (until 2^32 requests later). Other
/// [`Requests`] may have one of the same number.
///
/// # Examples
///
/// To responders behind a wire it travels as a `u32`; a number that comes back wrong names no request, or
/// the wrong one:
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

/// Why a request was not opened. There is no trace of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum InvalidRequest {
    /// The request names no responder.
    NoResponders,
    /// The minimum is 0: it would be over before it is asked.
    NoMinimum,
    /// The minimum is above the number of responders, each counted once.
    MinimumTooHigh,
    /// More than `M` responders are expected.
    TooManyResponders,
    /// `R` requests are open.
    TooManyRequests,
}

impl fmt::Display for InvalidRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NoResponders => "the request expects nobody: name at least one responder",
            Self::NoMinimum => "the request needs no answer: ask for at least one",
            Self::MinimumTooHigh => {
                "the request needs more answers than it expects responders: name more, or ask for fewer"
            },
            Self::TooManyResponders => {
                "the request expects more responders than there is room for: make `M` larger"
            },
            Self::TooManyRequests => "too many requests are open: cancel one, or make `R` larger",
        })
    }
}

impl Error for InvalidRequest {}

/// Why an answer does not count. It comes back untouched, and the request is as it was before.
///
/// `Debug` and `Display` do not show the answer, so `unwrap`, `expect` and `?` work for every `A`.
#[derive(Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnswerError<A> {
    /// No such request is open: the answer is late, or of another store.
    Unknown(A),
    /// The request does not expect this responder.
    Unexpected(A),
    /// This responder has answered already. The first answer counts.
    Duplicate(A),
}

impl<A> AnswerError<A> {
    /// The answer.
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

/// What has come in for a request when it ended.
#[must_use = "the answers are nowhere else"]
pub struct Answers<W, A, const M: usize> {
    arrived: Vec<(W, A), M>,
    missing: Vec<W, M>,
}

impl<W, A, const M: usize> Answers<W, A, M> {
    /// The answers in the order of their arrival, each with its responder.
    #[must_use]
    pub fn arrived(&self) -> &[(W, A)] {
        &self.arrived
    }

    /// The answers themselves, in the order of their arrival.
    pub fn into_arrived(self) -> impl ExactSizeIterator<Item = (W, A)> {
        self.arrived.into_iter()
    }

    /// The responders that have not answered, in the order in which they were expected.
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

/// Why a request ended before its minimum was in, with the answers that were.
///
/// `Debug` and `Display` do not show the answers, so `unwrap`, `expect` and `?` work for every `A`.
#[non_exhaustive]
pub enum RequestError<W, A, const M: usize> {
    /// The deadline has come.
    TimedOut(Answers<W, A, M>),
    /// It was [cancelled](Requests::cancel).
    Cancelled(Answers<W, A, M>),
}

impl<W, A, const M: usize> RequestError<W, A, M> {
    /// What has come in.
    pub const fn answers(&self) -> &Answers<W, A, M> {
        match self {
            Self::TimedOut(answers) | Self::Cancelled(answers) => answers,
        }
    }

    /// What has come in.
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

impl<W: Copy + PartialEq, A, const M: usize> Open<W, A, M> {
    fn is_done(&self) -> bool {
        self.arrived.len() >= self.minimum
    }

    fn has_answer_of(&self, responder: W) -> bool {
        self.arrived.iter().any(|(from, _)| *from == responder)
    }

    fn missing(&self) -> Vec<W, M> {
        let open = self.expected.iter().filter(|responder| !self.has_answer_of(**responder));
        open.copied().collect()
    }
}

/// Requests that wait for answers: up to `R` at a time, each to up to `M` responders.
///
/// [`open`](Self::open) a request and publish the question with its [`RequestId`], on whatever bus the
/// responders read. Each of them answers with that id; the program hands what comes in to
/// [`answer`](Self::answer). [`tick`](Self::tick) tells the time and hands out what has ended: a request
/// whose minimum of distinct expected responders has answered, or whose deadline has come.
///
/// `W` names a responder: an enum, a number, a `&'static str`. `A` is an answer. Answers lie in the
/// request's own place, so that no other traffic can displace them. A request that has ended leaves
/// nothing behind, and each ends: by its deadline at the latest.
///
/// Time is whatever the caller counts, a `u32` that may wrap, as for [`Timers`](crate::Timers). An earlier
/// time than the one before counts as no time passed.
///
/// # Interrupts
///
/// Requests belong to the main loop: everything that changes them takes `&mut`. Interrupts and other
/// threads answer through a bus that the main loop drains into [`answer`](Self::answer). Let that bus
/// [`Reject`](crate::Reject), and nothing is lost on the way: a responder that finds it full is told.
///
/// # Progress
///
/// Nothing waits. [`answer`](Self::answer) takes time in proportion to `R` + `M`, and
/// [`open`](Self::open) to `R` and to `M` for each responder that it is given. A tick takes time in
/// proportion to the requests that are open, and to `R` + `M` * `M` for each that ends.
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
pub struct Requests<W, A, const R: usize, const M: usize> {
    /// In the order of their opening.
    open: Vec<Open<W, A, M>, R>,
    next: u32,
    /// The latest time that was told while requests were open, if any.
    told: Option<u32>,
}

impl<W: Copy + PartialEq, A, const R: usize, const M: usize> Requests<W, A, R, M> {
    /// No requests.
    #[must_use]
    pub const fn new() -> Self {
        Self { open: Vec::new(), next: 0, told: None }
    }

    #[cfg(test)]
    const fn starting_at(next: u32) -> Self {
        Self { open: Vec::new(), next, told: None }
    }

    /// Opens a request that ends well when `minimum` of the `expected` have answered.
    ///
    /// A responder that is named twice counts once. The request ends at the tick at which the counter shows
    /// `deadline` or later, among the `i32::MAX` ticks that follow it. So a deadline that lies more than
    /// `i32::MAX` ticks ahead, such as `u32::MAX` at zero, has passed already. So has one that is not later
    /// than the last [tick](Self::tick), if other requests were open then and are still.
    ///
    /// # Errors
    ///
    /// [`InvalidRequest`] if it could never end well, or if there is no room for it. Open first, then
    /// publish: so no question is asked in vain.
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
        if expected.is_empty() {
            return Err(InvalidRequest::NoResponders);
        }
        if minimum == 0 {
            return Err(InvalidRequest::NoMinimum);
        }
        let mut distinct: Vec<W, M> = Vec::new();
        for responder in expected {
            if !distinct.contains(responder) && distinct.push(*responder).is_err() {
                return Err(InvalidRequest::TooManyResponders);
            }
        }
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

    /// Hands in the answer of `responder`.
    ///
    /// A request that has its minimum takes further answers until the [tick](Self::tick) that ends it.
    ///
    /// # Errors
    ///
    /// [`AnswerError`] gives back an answer that does not count: because the request has ended or never
    /// was, because it does not expect this responder, or because the responder has answered.
    pub fn answer(&mut self, id: RequestId, responder: W, answer: A) -> Result<(), AnswerError<A>> {
        let Some(request) = self.open.iter_mut().find(|request| request.id == id) else {
            return Err(AnswerError::Unknown(answer));
        };
        if !request.expected.contains(&responder) {
            return Err(AnswerError::Unexpected(answer));
        }
        if request.has_answer_of(responder) {
            return Err(AnswerError::Duplicate(answer));
        }
        // There is room for one answer of each that is expected.
        request
            .arrived
            .push((responder, answer))
            .map_err(|(_, answer)| AnswerError::Duplicate(answer))
    }

    /// Tells the time and hands each request that has ended to `each`, in the order of their opening.
    /// Returns how many.
    ///
    /// If the minimum is in, a request ends well, though its deadline may have come as well.
    ///
    /// While requests are open, call it at least every `i32::MAX` ticks: an earlier `now` than the one
    /// before, by up to 2^31 ticks, counts as no time passed.
    ///
    /// # Panics
    ///
    /// Only if `each` does, or `W::eq`. A request that `each` was given has ended; those behind it end with
    /// the next tick, with all their answers.
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

    /// Takes a request out. Compares responders before that, in case it panics.
    fn end(&mut self, place: usize) -> (RequestId, Answers<W, A, M>) {
        let missing = self.open[place].missing();
        let Open { id, arrived, .. } = self.open.remove(place);
        (id, Answers { arrived, missing })
    }

    /// Ends a request now. `None` if it has ended.
    ///
    /// If the minimum is in, it ends well all the same; else this is [`RequestError::Cancelled`] with
    /// what has come in.
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

    /// Whether a request has not ended.
    #[must_use]
    pub fn is_open(&self, id: RequestId) -> bool {
        self.open.iter().any(|request| request.id == id)
    }

    /// How many requests are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether no request is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// How many requests may be open: `R`.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        R
    }
}

impl<W: Copy + PartialEq, A, const R: usize, const M: usize> Default for Requests<W, A, R, M> {
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
