//! What an engine's operations return: [`EngineFuture`]; and one that panics: [`contained`].

use alloc::boxed::Box;
use core::any::Any;
use core::fmt;
use core::future::poll_fn;
use core::panic::AssertUnwindSafe;
use core::pin::{Pin, pin};
use core::task::{Context, Poll};
use std::panic::catch_unwind;

use crate::wait::panics::Panics;

/// The result of an engine's operation, awaited.
///
/// An engine that has the result at once returns [`ready`](Self::ready), which allocates nothing.
/// An engine that has to wait boxes a future with [`new`](Self::new).
#[must_use = "nothing is certain before it is awaited"]
pub struct EngineFuture<'a, T>(Inner<'a, T>);

enum Inner<'a, T> {
    Ready(Option<T>),
    Boxed(Pin<Box<dyn Future<Output = T> + Send + 'a>>),
}

impl<'a, T> EngineFuture<'a, T> {
    /// Returns a future that is ready with `value`.
    pub const fn ready(value: T) -> Self {
        Self(Inner::Ready(Some(value)))
    }

    /// Boxes `future`.
    pub fn new(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self(Inner::Boxed(Box::pin(future)))
    }

    /// Returns the value if it is there, otherwise the future.
    pub(super) fn now(self) -> Result<T, Self> {
        match self.0 {
            Inner::Ready(Some(value)) => Ok(value),
            other => Err(Self(other)),
        }
    }
}

/// The value is moved out, never pinned.
impl<T> Unpin for EngineFuture<'_, T> {}

impl<T> Future for EngineFuture<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            Inner::Ready(value) => Poll::Ready(value.take().expect("polled after it was ready")),
            Inner::Boxed(future) => future.as_mut().poll(context),
        }
    }
}

impl<T> fmt::Debug for EngineFuture<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match &self.0 {
            Inner::Ready(_) => "EngineFuture(ready)",
            Inner::Boxed(_) => "EngineFuture(..)",
        })
    }
}

/// Awaits what `begin` returns. Returns the panic if one of the two panics.
pub(super) async fn contained<F: Future>(
    begin: impl FnOnce() -> F,
) -> Result<F::Output, Box<dyn Any + Send>> {
    let mut future = pin!(Some(catch_unwind(AssertUnwindSafe(begin))?));
    let result = poll_fn(|context| {
        let Some(future) = future.as_mut().as_pin_mut() else { return Poll::Pending };
        match catch_unwind(AssertUnwindSafe(|| future.poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await;
    // Its destructor may panic in turn.
    Panics::default().run(|| future.set(None));
    result
}
