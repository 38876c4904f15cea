//! Proves what an engine states: [`run`].
//!
//! The kit has one function for each behaviour. It tries each behaviour that the engine claims by
//! its [`Capabilities`]. If the engine does not claim one, it must refuse a subscription that
//! demands it. The result is a [`Report`]: a table to print, or JSON. Its [claims](Report::claims) say
//! of each capability whether it is proven, refused, or claimed and not provable with this setup.
//!
//! The kit waits by tokio's time. An engine without a server may run on paused time.
//!
//! # Examples
//!
//! ```
//! use std::time::Duration;
//! use tickbus::hosted::conformance::{self, Setup};
//! use tickbus::hosted::{EngineFuture, MemoryEngine, StartError};
//!
//! struct Memory;
//!
//! impl Setup for Memory {
//!     type Engine = MemoryEngine;
//!
//!     fn connect(&self) -> EngineFuture<'_, Result<MemoryEngine, StartError>> {
//!         EngineFuture::ready(Ok(MemoryEngine::builder().log(100).build()))
//!     }
//!
//!     fn lease(&self) -> Duration {
//!         Duration::from_millis(60) // it is real time here
//!     }
//!
//!     fn kept(&self) -> Option<u64> {
//!         Some(100)
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let report = conformance::run_one(&Memory, "durable_group_shares").await;
//! assert!(report.is_proven(), "{report}");
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```

mod claims;
mod durable;
mod lifecycle;
mod live;
mod position;
mod report;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::pin::Pin;
use core::time::Duration;

use tokio::time::timeout;

pub use self::report::{Claim, Outcome, Report, Row};

use super::capabilities::{Capabilities, Capability, Mode};
use super::delivery::{Delivery, Gap, GapReason};
use super::engine::{Engine, Receipt, StartError};
use super::future::EngineFuture;
use super::subscribe::{Deliveries, OpenError, Subscribe};
use crate::envelope::{Envelope, Timestamp};
use crate::subject::Pattern;

/// Gives the kit an engine, and says how long it waits.
pub trait Setup: Sync {
    /// The type of the engine to be proven.
    type Engine: Engine + fmt::Debug;

    /// Returns an engine that is connected. Each behaviour has one of its own.
    ///
    /// # Errors
    ///
    /// Returns [`StartError`] from the future if that is not possible. All behaviours then fail.
    fn connect(&self) -> EngineFuture<'_, Result<Self::Engine, StartError>>;

    /// Returns the first segments of all subjects. On a server that keeps data, they must be new
    /// for each run. The default is `kit`.
    fn prefix(&self) -> String {
        "kit".into()
    }

    /// Returns the lease of durable subscriptions: the default is 1 s.
    fn lease(&self) -> Duration {
        Duration::from_secs(1)
    }

    /// Returns how long to wait for what must come. The default is 5 s or eleven leases, the longer
    /// one.
    fn patience(&self) -> Duration {
        self.lease().saturating_mul(11).max(Duration::from_secs(5))
    }

    /// Returns how long to wait for what must not come. The default is a third of a lease.
    fn quiet(&self) -> Duration {
        self.lease() / 3
    }

    /// Returns how many events the log keeps, so that the kit can fill it. Returns `None` if the
    /// kit must not fill it.
    fn kept(&self) -> Option<u64> {
        None
    }

    /// Returns the ids of the dead letters. Returns `None` if the kit cannot see them.
    fn dead_letters(&self, engine: &Self::Engine) -> Option<Vec<String>> {
        let _ = engine;
        None
    }

    /// Returns the time of day by the engine's clock. The default is the system's. Returns `None`
    /// if it is not known.
    fn now(&self) -> Option<Timestamp> {
        Some(Timestamp::now())
    }

    /// Returns the texts that must not be printed: passwords, tokens.
    fn secrets(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the reason why this setup cannot try a behaviour, such as a server for tests that lacks
    /// something. The default is `None`: it can try it. The behaviour is then skipped if the engine claims
    /// it.
    fn cannot_try(&self, behaviour: &str) -> Option<&'static str> {
        let _ = behaviour;
        None
    }

    /// Returns whether a server joins the engines of [`connect`](Self::connect). The default is
    /// `false`.
    fn reconnects(&self) -> bool {
        false
    }
}

/// Why a behaviour is not proven.
enum Stop {
    Failed(String),
    Skipped(&'static str),
}

type Check = Result<(), Stop>;
type Trial<'a> = Pin<Box<dyn Future<Output = Check> + 'a>>;

impl From<String> for Stop {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

fn failed<T>(why: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Failed(why.into()))
}

/// Fails with the message unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err($crate::hosted::conformance::Stop::Failed(alloc::format!($($message)+)));
        }
    };
}
use ensure;

/// How often a behaviour is tried with a longer time, where the machine was too slow for it.
const SLOW: u32 = 4;

struct Behaviour<S: Setup> {
    name: &'static str,
    /// Which kind of subscription it is about.
    mode: Mode,
    /// What an engine must state for it.
    needs: &'static [Capability],
    run: for<'a> fn(&'a Case<'a, S>) -> Trial<'a>,
}

/// One behaviour of one engine being tried.
struct Case<'s, S: Setup> {
    setup: &'s S,
    engine: Arc<S::Engine>,
    /// Begins the subjects and groups of this behaviour.
    prefix: String,
}

/// Tries all behaviours, one after the other, and demands each capability that is not claimed.
pub async fn run<S: Setup>(setup: &S) -> Report {
    let mut report = run_those(setup, |_| true).await;
    claims::add(setup, &mut report).await;
    report
}

/// Tries the behaviour of this name. The report has no [claims](Report::claims).
///
/// # Panics
///
/// Panics if no behaviour has this name.
pub async fn run_one<S: Setup>(setup: &S, name: &str) -> Report {
    let report = run_those(setup, |behaviour| behaviour == name).await;
    assert!(!report.rows.is_empty(), "the kit has no behaviour `{name}`");
    report
}

/// Returns the names of all behaviours.
#[must_use]
pub fn behaviours() -> Vec<&'static str> {
    all::<NoSetup>().iter().map(|behaviour| behaviour.name).collect()
}

fn all<S: Setup>() -> Vec<Behaviour<S>> {
    [live::all(), durable::all(), position::all(), lifecycle::all()].into_iter().flatten().collect()
}

async fn run_those<S: Setup>(setup: &S, wanted: impl Fn(&str) -> bool) -> Report {
    let mut report =
        Report { engine: String::new(), level: "", rows: Vec::new(), claims: Vec::new() };
    for (number, behaviour) in all::<S>().into_iter().enumerate() {
        if !wanted(behaviour.name) {
            continue;
        }
        let mut row = Row {
            behaviour: behaviour.name,
            mode: behaviour.mode.name(),
            needs: behaviour.needs.iter().map(|it| it.name()).collect(),
            claimed: false,
            outcome: Outcome::Proven,
            why: String::new(),
        };
        match setup.connect().await {
            Err(error) => (row.outcome, row.why) = (Outcome::Failed, error.to_string()),
            Ok(engine) => {
                report.engine = engine.name().to_string();
                let prefix = format!("{}.{number}", setup.prefix());
                let case = Case { setup, engine: Arc::new(engine), prefix };
                let can = case.engine.capabilities();
                row.claimed = behaviour.needs.iter().all(|need| can.has(behaviour.mode, *need));
                let tried = if !row.claimed {
                    row.outcome = Outcome::Refused;
                    case.refuses(behaviour.mode, behaviour.needs, can).await
                } else if let Some(why) = setup.cannot_try(behaviour.name) {
                    Err(Stop::Skipped(why))
                } else {
                    (behaviour.run)(&case).await
                };
                match tried {
                    Ok(()) => {}
                    Err(Stop::Failed(why)) => (row.outcome, row.why) = (Outcome::Failed, why),
                    Err(Stop::Skipped(why)) => {
                        (row.outcome, row.why) = (Outcome::Skipped, why.into());
                    }
                }
                let _ = case.engine.shutdown(Duration::ZERO).await;
            }
        }
        report.rows.push(row);
    }
    report
}

impl<S: Setup> Case<'_, S> {
    /// Whether it is the name of the engine, or of one that it is made of.
    fn is_name(&self, name: &str) -> bool {
        let everything = [Pattern::from_static(">").into()];
        let carriers = self.engine.carriers(&everything);
        *name == **self.engine.name() || carriers.iter().any(|it| *it.engine == *name)
    }

    /// A subject or pattern of this behaviour.
    fn subject(&self, rest: &str) -> String {
        format!("{}.{rest}", self.prefix)
    }

    fn event(&self, rest: &str, id: &str) -> Result<Envelope, Stop> {
        let envelope = Envelope::new(&self.subject(rest)).map_err(|error| error.to_string())?;
        // The subject says which behaviour and run it is: ids are unique on the server.
        Ok(envelope.with_id(format!("{}/{id}", self.prefix)))
    }

    /// The id as [`event`](Self::event) was given it.
    fn id<'e>(&self, envelope: &'e Envelope) -> &'e str {
        let own = envelope.id().strip_prefix(&*self.prefix);
        own.and_then(|id| id.strip_prefix('/')).unwrap_or_else(|| envelope.id())
    }

    async fn send(&self, envelope: Envelope) -> Result<Receipt, Stop> {
        let sent = timeout(self.setup.patience(), self.engine.publish(envelope.into())).await;
        match sent {
            Ok(Ok(receipt)) => Ok(receipt),
            Ok(Err(error)) => failed(error.to_string()),
            Err(_) => failed("a publish did not end"),
        }
    }

    async fn publish(&self, rest: &str, id: impl fmt::Display) -> Result<Receipt, Stop> {
        self.send(self.event(rest, &id.to_string())?).await
    }

    fn subscribe(&self, rest: &str) -> Result<Subscribe<'_>, Stop> {
        let pattern = self.subject(rest);
        Subscribe::new(&*self.engine, &pattern).map_err(|error| Stop::Failed(error.to_string()))
    }

    async fn open(&self, subscribe: Subscribe<'_>) -> Result<Deliveries, Stop> {
        match timeout(self.setup.patience(), subscribe.open()).await {
            Ok(Ok(deliveries)) => Ok(deliveries),
            Ok(Err(error)) => failed(error.to_string()),
            Err(_) => failed("`open` did not end"),
        }
    }

    async fn live(&self, rest: &str) -> Result<Deliveries, Stop> {
        self.open(self.subscribe(rest)?).await
    }

    /// A member of a group of this behaviour, with the lease of the setup.
    fn member(&self, rest: &str, group: &str) -> Result<Subscribe<'_>, Stop> {
        let group = format!("{}-{group}", self.prefix.replace('.', "-"));
        Ok(self.subscribe(rest)?.group(group).lease(self.setup.lease()))
    }

    async fn join(&self, rest: &str, group: &str) -> Result<Deliveries, Stop> {
        self.open(self.member(rest, group)?).await
    }

    /// The next item, which must come.
    async fn item(&self, from: &mut Deliveries) -> Result<Result<Delivery, Gap>, Stop> {
        match timeout(self.setup.patience(), from.next()).await {
            Ok(Some(item)) => Ok(item),
            Ok(None) => failed("the subscription ended"),
            Err(_) => failed("nothing came in time"),
        }
    }

    /// The next delivery, which must come.
    async fn next(&self, from: &mut Deliveries) -> Result<Delivery, Stop> {
        match self.item(from).await? {
            Ok(delivery) => Ok(delivery),
            Err(gap) => failed(gap.to_string()),
        }
    }

    /// The next delivery, if it comes within the time in which nothing must come.
    async fn early(&self, from: &mut Deliveries) -> Result<Option<Delivery>, Stop> {
        self.within(self.setup.quiet(), from).await
    }

    async fn within(
        &self,
        time: Duration,
        from: &mut Deliveries,
    ) -> Result<Option<Delivery>, Stop> {
        match timeout(time, from.next()).await {
            Err(_) | Ok(None) => Ok(None),
            Ok(Some(Ok(delivery))) => Ok(Some(delivery)),
            // The event does not come, and the engine says so.
            Ok(Some(Err(Gap { reason: GapReason::Exhausted, .. }))) => Ok(None),
            Ok(Some(Err(gap))) => failed(gap.to_string()),
        }
    }

    async fn nothing(&self, from: &mut Deliveries) -> Check {
        match self.early(from).await? {
            None => Ok(()),
            Some(it) => failed(format!("`{}` came, which must not", self.id(it.envelope()))),
        }
    }

    /// The ids of the next deliveries, each acknowledged.
    async fn ids(&self, from: &mut Deliveries, count: usize) -> Result<Vec<String>, Stop> {
        let mut ids = Vec::new();
        while ids.len() < count {
            let it = self.next(from).await?;
            ids.push(self.id(it.envelope()).to_string());
            self.ack(it).await?;
        }
        Ok(ids)
    }

    async fn ack(&self, it: Delivery) -> Check {
        match timeout(self.setup.patience(), it.ack_async()).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => failed(format!("an acknowledgement was refused: {error}")),
            Err(_) => failed("an acknowledgement did not end"),
        }
    }

    /// What is not claimed must be refused when it is demanded.
    async fn refuses(&self, mode: Mode, needs: &[Capability], can: Capabilities) -> Check {
        let Some(lacking) = needs.iter().find(|need| !can.has(mode, **need)) else { return Ok(()) };
        let subscribe = match mode {
            Mode::Live => self.subscribe("refused")?,
            Mode::Durable => self.member("refused", "refused")?,
        };
        match subscribe.demand(*lacking).open().await {
            Err(OpenError::Missing { .. }) => Ok(()),
            Err(error) => failed(format!("demanding `{lacking}` gave another error: {error}")),
            Ok(_) => failed(format!("`{lacking}` is not claimed, and demanding it is not refused")),
        }
    }
}

/// Stands for a setup where only names are asked for.
struct NoSetup;

impl Setup for NoSetup {
    type Engine = super::memory::MemoryEngine;

    fn connect(&self) -> EngineFuture<'_, Result<Self::Engine, StartError>> {
        EngineFuture::ready(Ok(super::memory::MemoryEngine::new()))
    }
}
