//! Envelopes by subject, to the subscriptions whose pattern matches: [`SubjectBus`].

mod bus;
mod drain;
mod envelope_bus;
mod handlers;
#[cfg(feature = "std")]
mod history;
mod info;
mod observer;
mod offer;
mod publish;
mod published;
mod queue;
mod room;
mod routes;
mod shared;
mod stats;
mod stream;
mod subscribe;
mod subscription;

pub use bus::{SubjectBus, SubjectBusBuilder};
#[cfg(feature = "std")]
pub use envelope_bus::PublishFuture;
pub use envelope_bus::{EnvelopeBus, NoopBus};
pub use handlers::{HandlerStats, SubjectHandlers};
#[cfg(feature = "std")]
pub use history::SubjectHistory;
pub use info::{SubjectBusInfo, SubscriptionInfo};
pub use observer::{DropReason, Observer, Overrun, Recipient};
pub use published::{PublishError, Published};
pub use stats::{SubjectBusStats, SubscriptionStats};
pub use stream::SubscriptionStream;
pub use subscribe::{Subscribe, SubscribeError, SubscriptionOptions};
#[cfg(feature = "std")]
pub use subscription::SubscriptionIter;
pub use subscription::{RecvError, Subscription};
