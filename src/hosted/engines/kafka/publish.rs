//! How envelopes leave.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use krafka::KrafkaError;
use krafka::producer::{DeliveryHandle, RecordMetadata};

use super::connection::{Connection, missing_topic};
use super::fault;
use super::message;
use super::topics::sequence;
use crate::envelope::Envelope;
use crate::hosted::engines::failed::Failed;
use crate::hosted::engines::server::Publish;
use crate::hosted::{EngineError, Level, Reason, Receipt, stamped};

type Sent = Result<DeliveryHandle, Failed>;

impl Publish for Connection {
    async fn publish(
        &self,
        engine: &Arc<str>,
        envelope: Arc<Envelope>,
    ) -> Result<Receipt, EngineError> {
        let sent = self.send(&envelope).await;
        self.answer(engine, envelope, sent).await
    }

    async fn publish_batch(
        &self,
        engine: &Arc<str>,
        envelopes: Vec<Arc<Envelope>>,
    ) -> Vec<Result<Receipt, EngineError>> {
        let send = |envelope: Arc<Envelope>| async move {
            let sent = self.send(&envelope).await;
            (envelope, sent)
        };
        let all = in_order(envelopes.into_iter().map(stamped), send).await;
        let mut results = Vec::with_capacity(all.len());
        for (envelope, sent) in all {
            results.push(self.answer(engine, envelope, sent).await);
        }
        results
    }
}

/// Sends envelopes in order. If one fails and can be sent later, the later ones of its key fail with it, so
/// a repeat keeps their order.
async fn in_order<T, F>(
    envelopes: impl ExactSizeIterator<Item = Arc<Envelope>>,
    send: impl Fn(Arc<Envelope>) -> F,
) -> Vec<(Arc<Envelope>, Result<T, Failed>)>
where
    F: Future<Output = (Arc<Envelope>, Result<T, Failed>)>,
{
    let mut all = Vec::with_capacity(envelopes.len());
    let mut waiting = BTreeMap::<String, Failed>::new();
    for envelope in envelopes {
        if !waiting.is_empty()
            && let Some(failed) = waiting.get(message::key(&envelope))
        {
            let failed = failed.again();
            all.push((envelope, Err(failed)));
            continue;
        }
        let (envelope, sent) = send(envelope).await;
        match &sent {
            // It can never be sent.
            Err(Failed::NotSent(
                Reason::TooLarge { .. } | Reason::Header(_) | Reason::Subject(_),
            ))
            | Ok(_) => {}
            Err(failed) => {
                waiting.insert(message::key(&envelope).into(), failed.again());
            }
        }
        all.push((envelope, sent));
    }
    all
}

impl Connection {
    /// Hands an envelope to the client, which sends in this order.
    async fn send(&self, envelope: &Envelope) -> Sent {
        let not_sent = Failed::NotSent;
        self.check().map_err(not_sent)?;
        let topic = self.topics.of(envelope.subject());
        let name = self.topics.name(topic);
        let Some(facts) = self.facts(topic) else {
            // It may exist by now.
            self.doubt();
            return Err(not_sent(missing_topic(name)));
        };
        let (record, bytes) = message::write(name, envelope).map_err(not_sent)?;
        if bytes > facts.limit {
            return Err(not_sent(Reason::TooLarge { bytes, limit: facts.limit }));
        }
        match self.producer().enqueue(record).await {
            Ok(handle) => Ok(handle),
            Err(error) => {
                self.doubts(&error);
                Err(not_sent(fault::reason(&error)))
            }
        }
    }

    /// Looks whether the server is there after an error that may say that it is not.
    fn doubts(&self, error: &KrafkaError) {
        if let KrafkaError::Fenced { .. } | KrafkaError::Closed { .. } = error {
            self.fenced();
        }
        if !matches!(error, KrafkaError::Config { .. } | KrafkaError::Serialization { .. }) {
            self.doubt();
        }
    }

    async fn answer(
        &self,
        engine: &Arc<str>,
        envelope: Arc<Envelope>,
        sent: Sent,
    ) -> Result<Receipt, EngineError> {
        let answer = match sent {
            Ok(handle) => handle.await.map_err(|error| {
                self.doubts(&error);
                fault::failed(&error)
            }),
            Err(failed) => Err(failed),
        };
        match answer {
            Ok(written) => Ok(self.receipt(engine, &written)),
            Err(failed) => Err(failed.of(engine, envelope)),
        }
    }

    fn receipt(&self, engine: &Arc<str>, written: &RecordMetadata) -> Receipt {
        let topic = self.topics.number(&written.topic).and_then(|topic| self.facts(topic));
        let receipt = Receipt::new(engine, topic.map_or(Level::Accepted, |facts| facts.level));
        let sequence = sequence(written.partition, written.offset);
        // An answer that was lost, and given again, does not have the offset.
        match sequence.filter(|_| written.is_success() && self.topics.is_one()) {
            Some(sequence) => receipt.at(sequence),
            None => receipt,
        }
    }
}

#[cfg(test)]
mod tests {
    use alloc::sync::Arc;
    use alloc::vec::Vec;
    use core::cell::Cell;

    use super::in_order;
    use crate::envelope::Envelope;
    use crate::hosted::Reason;
    use crate::hosted::engines::failed::Failed;

    /// Sends `keys`, of which the first one fails. Returns which are sent.
    async fn sent(keys: &[&str], first: impl Fn() -> Reason) -> Vec<bool> {
        let event = |key: &&str| Arc::new(Envelope::new("a").unwrap().with_key(*key));
        let (first, is_first) = (&first, &Cell::new(true));
        let send = |envelope: Arc<Envelope>| async move {
            let sent = if is_first.replace(false) { Err(Failed::NotSent(first())) } else { Ok(()) };
            (envelope, sent)
        };
        let all = in_order(keys.iter().map(event), send).await;
        assert_eq!(all.len(), keys.len());
        all.into_iter().map(|(_, sent)| sent.is_ok()).collect()
    }

    #[tokio::test]
    async fn an_event_never_passes_one_of_its_key_that_is_to_be_sent_again() {
        let keys = ["k", "other", "k", "", "k"];
        assert_eq!(sent(&keys, || Reason::TimedOut).await, [false, true, false, true, false]);
        let too_large = || Reason::TooLarge { bytes: 2, limit: 1 };
        assert_eq!(sent(&keys, too_large).await, [false, true, true, true, true]);
        // Without a key, the subject is one.
        assert_eq!(sent(&["", "k", ""], || Reason::Full).await, [false, true, false]);
    }
}
