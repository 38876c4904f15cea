//! A task that exports from time to time: [`Exporter`].

use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::error::ExportError;
use crate::hosted::stats::EngineStats;

/// Reads the numbers of engines at an interval, and gives them to a function that exports them.
///
/// [`close`](Self::close) exports for the last time. Dropping the exporter does so too, but does not
/// wait for it: what a runtime that ends has not run is not exported.
///
/// # Examples
///
/// ```
/// use core::time::Duration;
/// use std::sync::mpsc;
/// use tickbus::hosted::EngineStats;
/// use tickbus::hosted::export::Exporter;
///
/// # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
/// let stats = || vec![EngineStats::new("fast".into())]; // your engines
/// let (send, received) = mpsc::channel();
/// let exporter = Exporter::spawn(Duration::from_secs(5), stats, move |engines| {
///     let _ = send.send(engines.to_vec());
/// })?;
/// exporter.close().await;
/// assert_eq!(received.iter().count(), 1); // the last export
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping it ends the exports"]
pub struct Exporter {
    /// Sends nothing. The task sees when it is gone.
    open: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Starts a task that calls `export` with what `stats` returns, at this interval. The first call
    /// comes after one interval. Neither function may block, since the task runs on the runtime.
    ///
    /// # Errors
    ///
    /// Returns [`ExportError`] if the interval is 0, or if this thread is not in a runtime.
    pub fn spawn(
        interval: Duration,
        stats: impl Fn() -> Vec<EngineStats> + Send + 'static,
        mut export: impl FnMut(&[EngineStats]) + Send + 'static,
    ) -> Result<Self, ExportError> {
        if interval.is_zero() {
            return Err(ExportError::Setting { setting: "interval", why: "it is 0" });
        }
        let runtime = Handle::try_current().map_err(|_| ExportError::NoRuntime)?;
        let (open, mut closed) = oneshot::channel();
        let task = runtime.spawn(async move {
            while timeout(interval, &mut closed).await.is_err() {
                export(&stats());
            }
            export(&stats());
        });
        Ok(Self { open, task })
    }

    /// Exports for the last time, and waits until that is done.
    ///
    /// # Panics
    ///
    /// Panics if one of the functions has panicked, with what it panicked with.
    pub async fn close(self) {
        drop(self.open);
        if let Err(error) = self.task.await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

impl fmt::Debug for Exporter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exporter").field("ended", &self.task.is_finished()).finish()
    }
}
