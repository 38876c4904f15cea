//! How envelopes leave.

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
        let mut all = Vec::with_capacity(envelopes.len());
        for envelope in envelopes.into_iter().map(stamped) {
            let sent = self.send(&envelope).await;
            all.push((envelope, sent));
        }
        let mut results = Vec::with_capacity(all.len());
        for (envelope, sent) in all {
            results.push(self.answer(engine, envelope, sent).await);
        }
        results
    }
}

impl Connection {
    /// Hands an envelope to the client, which sends in this order.
    async fn send(&self, envelope: &Envelope) -> Sent {
        let not_sent = Failed::NotSent;
        self.check().map_err(not_sent)?;
        let facts = self.facts(self.topics.of(envelope.subject()));
        let Some(facts) = facts else {
            // It may exist by now.
            self.doubt();
            let topic = self.topics.name(self.topics.of(envelope.subject()));
            return Err(not_sent(missing_topic(topic)));
        };
        let (record, bytes) = message::write(&self.topics, envelope).map_err(not_sent)?;
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
