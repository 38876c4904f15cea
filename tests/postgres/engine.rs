//! An engine that remembers what it was given, and fails when it is told to.

use alloc::sync::Arc;
use core::time::Duration;
use std::collections::HashMap;
use std::sync::Mutex;

use tickbus::Envelope;
use tickbus::hosted::{
    Capabilities, Engine, EngineError, EngineFuture, Level, Reason, Receipt, ShutdownError, stamped,
};

/// What becomes of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Take,
    /// It has it, but says that it does not know.
    Unknown,
    NotSent,
    TooLarge,
    /// It has it, in a buffer.
    Buffer,
    Panic,
}

type Script = dyn Fn(&Envelope, u32) -> Answer + Send + Sync;

pub(crate) struct Memo {
    name: Arc<str>,
    taken: Mutex<Vec<Arc<Envelope>>>,
    tries: Mutex<HashMap<String, u32>>,
    script: Box<Script>,
    /// How many bytes the payloads of each batch have.
    batches: Mutex<Vec<usize>>,
    reaches: Mutex<Level>,
}

impl Memo {
    pub(crate) fn new() -> Arc<Self> {
        Self::with(|_, _| Answer::Take)
    }

    /// `script` says what becomes of each attempt: the first is 1.
    pub(crate) fn with(
        script: impl Fn(&Envelope, u32) -> Answer + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (taken, tries) = (Mutex::default(), Mutex::default());
        let (script, batches) = (Box::new(script), Mutex::default());
        let reaches = Mutex::new(Level::Accepted);
        Arc::new(Self { name: "memo".into(), taken, tries, script, batches, reaches })
    }

    /// From now on, its publishes reach this level.
    pub(crate) fn reaches(&self, level: Level) {
        *self.reaches.lock().unwrap() = level;
    }

    pub(crate) fn batches(&self) -> Vec<usize> {
        self.batches.lock().unwrap().clone()
    }

    pub(crate) fn taken(&self) -> Vec<Arc<Envelope>> {
        self.taken.lock().unwrap().clone()
    }

    /// The numbers that it was given, as pairs with their keys.
    pub(crate) fn numbers(&self) -> Vec<(String, u32)> {
        let number = |it: &Arc<Envelope>| (it.key().into(), it.decode().unwrap().unwrap());
        self.taken().iter().map(number).collect()
    }

    pub(crate) fn tries(&self, id: &str) -> u32 {
        self.tries.lock().unwrap().get(id).copied().unwrap_or(0)
    }
}

impl Engine for Memo {
    fn name(&self) -> &Arc<str> {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::new().level(*self.reaches.lock().unwrap())
    }

    fn publish(&self, envelope: Arc<Envelope>) -> EngineFuture<'_, Result<Receipt, EngineError>> {
        let envelope = stamped(envelope);
        let attempt = {
            let mut tries = self.tries.lock().unwrap();
            let tries = tries.entry(envelope.id().into()).or_default();
            *tries += 1;
            *tries
        };
        let answer = (self.script)(&envelope, attempt);
        assert!(answer != Answer::Panic, "as the test wants it");
        let take = || self.taken.lock().unwrap().push(envelope.clone());
        EngineFuture::ready(match answer {
            Answer::Take => {
                take();
                Ok(Receipt::new(&self.name, *self.reaches.lock().unwrap()))
            }
            Answer::Buffer => {
                take();
                Ok(Receipt::new(&self.name, Level::Buffered))
            }
            Answer::Unknown => {
                take();
                Err(EngineError::unknown(&self.name, envelope, Reason::TimedOut))
            }
            Answer::TooLarge => {
                let reason = Reason::TooLarge { bytes: 2, limit: 1 };
                Err(EngineError::not_sent(&self.name, envelope, reason))
            }
            Answer::NotSent | Answer::Panic => {
                Err(EngineError::not_sent(&self.name, envelope, Reason::Full))
            }
        })
    }

    fn publish_batch(
        &self,
        envelopes: Vec<Arc<Envelope>>,
    ) -> EngineFuture<'_, Vec<Result<Receipt, EngineError>>> {
        let bytes = envelopes.iter().map(|it| it.payload().map_or(0, str::len)).sum();
        self.batches.lock().unwrap().push(bytes);
        EngineFuture::new(async move {
            let mut results = Vec::new();
            for envelope in envelopes {
                results.push(self.publish(envelope).await);
            }
            results
        })
    }

    fn shutdown(&self, _: Duration) -> EngineFuture<'_, Result<(), ShutdownError>> {
        EngineFuture::ready(Ok(()))
    }
}
