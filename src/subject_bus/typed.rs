//! The events of a subscription, decoded as they come.

use alloc::sync::Arc;
use core::iter::FusedIterator;
use core::pin::Pin;
use core::task::{Context, Poll};

use futures_core::Stream;
use serde::de::DeserializeOwned;

use super::stream::SubscriptionStream;
use super::subscription::Subscription;
use crate::envelope::{Envelope, InvalidEvent};
use crate::event::Event;

impl Subscription {
    /// Drains the events that are pending at this moment: [`drain`](Self::drain), with each
    /// envelope [decoded](Envelope::decode_event).
    ///
    /// An envelope that does not decode is taken too, and yields an error that names its subject.
    pub fn drain_events<E: Event + DeserializeOwned>(
        &self,
    ) -> impl FusedIterator<Item = Result<E, InvalidEvent>> {
        self.drain().map(decode)
    }

    /// Returns an iterator over the events: [`iter`](Self::iter), with each envelope
    /// [decoded](Envelope::decode_event). It waits for each event, and ends with the subscription.
    ///
    /// # Examples
    ///
    /// The events of one type, until they are cancelled:
    ///
    /// ```
    /// use tickbus::{Envelope, SubjectBus};
    /// use tickbus::wait::Cancel;
    ///
    /// tickbus::events! {
    ///     #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    ///     enum Chat { #[subject = "chat.said"] Said(String) }
    /// }
    ///
    /// let bus = SubjectBus::new();
    /// let shutdown = Cancel::new();
    /// let chat = bus.subscribe_events::<Chat>()?.until(&shutdown).open();
    /// bus.publish(Envelope::event(&Chat::Said("hello".into()))?)?;
    /// shutdown.cancel();
    /// bus.publish(Envelope::event(&Chat::Said("too late".into()))?)?;
    ///
    /// let said: Result<Vec<Chat>, _> = chat.iter_events().collect();
    /// assert_eq!(said?, [Chat::Said("hello".into())]); // what was pending, and then the end
    /// # Ok::<(), Box<dyn core::error::Error>>(())
    /// ```
    #[cfg(feature = "std")]
    pub fn iter_events<E: Event + DeserializeOwned>(
        &self,
    ) -> impl FusedIterator<Item = Result<E, InvalidEvent>> {
        self.iter().map(decode)
    }

    /// Returns a stream of the events, for a task that awaits them: [`stream`](Self::stream), with
    /// each envelope [decoded](Envelope::decode_event). It ends with the subscription.
    ///
    /// An envelope that does not decode is taken too, and yields an error that names its subject.
    pub fn stream_events<E: Event + DeserializeOwned>(
        &self,
    ) -> impl Stream<Item = Result<E, InvalidEvent>> + Unpin {
        Decoded { stream: self.stream(), decode: decode::<E> }
    }
}

fn decode<E: Event + DeserializeOwned>(envelope: Arc<Envelope>) -> Result<E, InvalidEvent> {
    envelope.decode_event()
}

struct Decoded<'a, E> {
    stream: SubscriptionStream<'a>,
    decode: fn(Arc<Envelope>) -> Result<E, InvalidEvent>,
}

impl<E> Stream for Decoded<'_, E> {
    type Item = Result<E, InvalidEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let decode = self.decode;
        Pin::new(&mut self.stream).poll_next(context).map(|next| next.map(decode))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}
