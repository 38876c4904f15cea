//! Envelopes by subject, to the subscriptions whose pattern matches: [`SubjectBus`].

mod bus;
mod drain;
mod envelope_bus;
mod group;
mod handlers;
#[cfg(feature = "std")]
mod history;
mod hold;
mod hooks;
mod info;
mod observer;
mod offer;
mod publish;
mod published;
mod queue;
#[cfg(feature = "std")]
mod request;
mod room;
mod routes;
mod shared;
mod stats;
mod stream;
mod subscribe;
mod subscription;
#[cfg(feature = "json")]
mod typed;

pub use bus::{SubjectBus, SubjectBusBuilder};
#[cfg(feature = "std")]
pub use envelope_bus::PublishFuture;
pub use envelope_bus::{EnvelopeBus, NoopBus};
pub use group::PublishAllError;
pub use handlers::{HandlerStats, SubjectHandlers};
#[cfg(feature = "std")]
pub use history::SubjectHistory;
pub use hooks::{Answer, Call, Outcome};
pub use info::{SubjectBusInfo, SubscriptionInfo};
pub use observer::{DropReason, Observer, Overrun, Recipient};
#[cfg(feature = "hosted")]
pub(crate) use publish::Patient;
pub use published::{PublishError, Published};
#[cfg(feature = "std")]
pub use request::{GatherError, Gathered, Request};
pub use stats::{SubjectBusStats, SubscriptionStats};
pub use stream::SubscriptionStream;
pub use subscribe::{Subscribe, SubscribeError, SubscriptionOptions};
#[cfg(feature = "std")]
pub use subscription::SubscriptionIter;
pub use subscription::{RecvError, Subscription};
