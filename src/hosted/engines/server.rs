//! What engines on a server have in common: each publishes and ends on the one connection that it has
//! while it is started.

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::time::Duration;

use super::starting::Starting;
use crate::envelope::Envelope;
use crate::hosted::{
    EngineError, EngineFuture, OnStart, OpenError, Reason, Receipt, Receive, ShutdownError,
    StartError, stamped,
};

/// A connection to a server.
pub(in crate::hosted::engines) trait Connected:
    Send + Sync + Sized + 'static
{
    type Settings: Clone + Send + Sync + 'static;

    /// Connects the engine `name`.
    fn open(
        name: &Arc<str>,
        settings: &Self::Settings,
    ) -> impl Future<Output = Result<Arc<Self>, Reason>> + Send;

    /// Takes nothing in any more, and ends the subscriptions.
    fn close(&self);

    /// Waits until the subscriptions have given back what they have not begun and their verdicts
    /// have left, and ends the connection.
    fn finish(&self, deadline: Duration) -> impl Future<Output = Result<(), Reason>> + Send;
}

/// How it publishes envelopes of the engine `name`.
pub(in crate::hosted::engines) trait Publish: Connected {
    /// Publishes one that is [`stamped`].
    fn publish(
        &self,
        name: &Arc<str>,
        envelope: Arc<Envelope>,
    ) -> impl Future<Output = Result<Receipt, EngineError>> + Send;

    /// Publishes several, and stamps them. The results are in their order.
    fn publish_batch(
        &self,
        name: &Arc<str>,
        envelopes: Vec<Arc<Envelope>>,
    ) -> impl Future<Output = Vec<Result<Receipt, EngineError>>> + Send;
}

impl<C: Publish> Starting<C> {
    pub(in crate::hosted::engines) fn connect<'a>(
        &'a self,
        name: &'a Arc<str>,
        settings: &'a C::Settings,
        on_start: OnStart,
    ) -> EngineFuture<'a, Result<(), StartError>> {
        let failed = |reason| StartError::new(name, reason);
        match self.is_started() {
            Ok(true) => EngineFuture::ready(Ok(())),
            Ok(false) => EngineFuture::new(async move {
                let with = Arc::new((name.clone(), settings.clone()));
                let open = move || {
                    let with = with.clone();
                    async move { C::open(&with.0, &with.1).await }
                };
                self.start(on_start, open).await.map_err(failed)
            }),
            Err(reason) => EngineFuture::ready(Err(failed(reason))),
        }
    }

    pub(in crate::hosted::engines) fn publish<'a>(
        &'a self,
        name: &'a Arc<str>,
        envelope: Arc<Envelope>,
    ) -> EngineFuture<'a, Result<Receipt, EngineError>> {
        let envelope = stamped(envelope);
        match self.get() {
            Ok(connection) => {
                EngineFuture::new(async move { connection.publish(name, envelope).await })
            }
            Err(reason) => EngineFuture::ready(Err(EngineError::not_sent(name, envelope, reason))),
        }
    }

    pub(in crate::hosted::engines) fn publish_batch<'a>(
        &'a self,
        name: &'a Arc<str>,
        envelopes: Vec<Arc<Envelope>>,
    ) -> EngineFuture<'a, Vec<Result<Receipt, EngineError>>> {
        EngineFuture::new(async move {
            match self.get() {
                Ok(connection) => connection.publish_batch(name, envelopes).await,
                Err(_) => {
                    let refused = |envelope| {
                        let reason = self.get().err().unwrap_or(Reason::NotStarted);
                        Err(EngineError::not_sent(name, stamped(envelope), reason))
                    };
                    envelopes.into_iter().map(refused).collect()
                }
            }
        })
    }

    /// Opens a subscription by `open`.
    pub(in crate::hosted::engines) fn open<'a, F>(
        &'a self,
        name: &'a Arc<str>,
        open: impl FnOnce(Arc<C>) -> F + Send + 'a,
    ) -> EngineFuture<'a, Result<Box<dyn Receive>, OpenError>>
    where
        F: Future<Output = Result<Box<dyn Receive>, Reason>> + Send + 'a,
    {
        EngineFuture::new(async move {
            let open = async { open(self.get()?).await };
            open.await.map_err(|reason| OpenError::failed(name, reason))
        })
    }

    pub(in crate::hosted::engines) fn shutdown<'a>(
        &'a self,
        name: &'a Arc<str>,
        deadline: Duration,
    ) -> EngineFuture<'a, Result<(), ShutdownError>> {
        let Some(connection) = self.close() else { return EngineFuture::ready(Ok(())) };
        connection.close();
        EngineFuture::new(async move {
            let finish = connection.finish(deadline).await;
            finish.map_err(|reason| ShutdownError::new(name, reason))
        })
    }
}

/// Settings that engines share, as methods: put `setters!` into the `impl` of the engine.
macro_rules! setters {
    // The name in the docs is the default.
    (named $default:literal) => {
        #[doc = concat!("Sets the name in errors and receipts: `", $default, "` by default.")]
        #[must_use]
        pub fn named(mut self, name: impl Into<alloc::sync::Arc<str>>) -> Self {
            self.name = name.into();
            self
        }
    };
    (on_start) => {
        /// Sets what `start` does while no server answers: [`OnStart::Fail`] by default.
        #[must_use]
        pub const fn on_start(mut self, on_start: $crate::hosted::start::OnStart) -> Self {
            self.settings.on_start = on_start;
            self
        }
    };
    (tls) => {
        /// Connects by TLS or not at all.
        #[must_use]
        pub const fn tls(mut self) -> Self {
            self.settings.tls = true;
            self
        }

        /// Trusts the authorities in this PEM file, instead of those of the system. Connects by TLS or
        /// not at all.
        #[must_use]
        pub fn ca_file(mut self, path: impl Into<std::path::PathBuf>) -> Self {
            self.settings.certificates.push(path.into());
            self.tls()
        }

        /// Shows the server this certificate and its key, both PEM files. Connects by TLS or not at
        /// all.
        #[must_use]
        pub fn client_certificate(
            mut self,
            certificate: impl Into<std::path::PathBuf>,
            key: impl Into<std::path::PathBuf>,
        ) -> Self {
            self.settings.client_certificate = Some((certificate.into(), key.into()));
            self.tls()
        }
    };
}

/// Implements the methods of `Engine` that all engines on a server share: the name, the start, both
/// publishes and the shutdown.
macro_rules! on_a_server {
    () => {
        fn name(&self) -> &alloc::sync::Arc<str> {
            &self.name
        }

        fn start(
            &self,
        ) -> $crate::hosted::EngineFuture<'_, Result<(), $crate::hosted::StartError>> {
            self.starting.connect(&self.name, &self.settings, self.settings.on_start)
        }

        fn publish(
            &self,
            envelope: alloc::sync::Arc<$crate::envelope::Envelope>,
        ) -> $crate::hosted::EngineFuture<
            '_,
            Result<$crate::hosted::Receipt, $crate::hosted::EngineError>,
        > {
            self.starting.publish(&self.name, envelope)
        }

        fn publish_batch(
            &self,
            envelopes: alloc::vec::Vec<alloc::sync::Arc<$crate::envelope::Envelope>>,
        ) -> $crate::hosted::EngineFuture<
            '_,
            alloc::vec::Vec<Result<$crate::hosted::Receipt, $crate::hosted::EngineError>>,
        > {
            self.starting.publish_batch(&self.name, envelopes)
        }

        fn shutdown(
            &self,
            deadline: core::time::Duration,
        ) -> $crate::hosted::EngineFuture<'_, Result<(), $crate::hosted::ShutdownError>> {
            self.starting.shutdown(&self.name, deadline)
        }
    };
}

pub(in crate::hosted::engines) use {on_a_server, setters};
