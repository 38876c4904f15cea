//! The forms of a handler: [`Call`].

use alloc::sync::Arc;
use core::future::poll_fn;
use core::marker::PhantomData;
use std::panic::resume_unwind;

use serde::de::DeserializeOwned;
use tower_service::Service;

use super::blocking::Stage;
use super::context::Context;
use super::failure::NoPayload;
use super::inside::Inside;
use crate::hosted::engine::BoxError;

/// A call that failed.
pub(super) enum Fault {
    /// The handler returned an error.
    Error(BoxError),
    /// The payload is not what the handler needs, so it was not called.
    Unreadable(BoxError),
}

/// A handler, as one worker has it.
pub(super) trait Call: Send + 'static {
    /// Whether a call goes on when its future is dropped.
    const BLOCKING: bool = false;

    /// Calls the handler. A panic of it is one of the future.
    fn call(
        &mut self,
        context: Context,
        stage: Option<Arc<Stage>>,
    ) -> impl Future<Output = Result<(), Fault>> + Send;
}

fn outcome<T, E: Into<BoxError>>(result: Result<T, E>) -> Result<(), Fault> {
    result.map(drop).map_err(|error| Fault::Error(error.into()))
}

/// A function that returns a future.
pub(super) struct Function<F>(pub(super) Arc<F>);

impl<F, R, T, E> Call for Function<F>
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Result<T, E>> + Send,
    E: Into<BoxError>,
{
    async fn call(&mut self, context: Context, _: Option<Arc<Stage>>) -> Result<(), Fault> {
        outcome((self.0)(context).await)
    }
}

/// A function of a payload.
pub(super) struct Json<F, P>(pub(super) Arc<F>, pub(super) PhantomData<fn(P)>);

impl<F, P, R, T, E> Call for Json<F, P>
where
    F: Fn(P, Context) -> R + Send + Sync + 'static,
    P: DeserializeOwned + Send + 'static,
    R: Future<Output = Result<T, E>> + Send,
    E: Into<BoxError>,
{
    async fn call(&mut self, context: Context, _: Option<Arc<Stage>>) -> Result<(), Fault> {
        let payload = match context.envelope().decode::<P>() {
            Ok(Some(payload)) => payload,
            // What may be nothing is nothing.
            Ok(None) => {
                serde_json::from_str("null").map_err(|_| Fault::Unreadable(NoPayload.into()))?
            }
            Err(error) => return Err(Fault::Unreadable(error.into())),
        };
        outcome((self.0)(payload, context).await)
    }
}

/// A function that blocks its thread.
pub(super) struct Blocking<F>(pub(super) Arc<F>);

impl<F, T, E> Call for Blocking<F>
where
    F: Fn(Context) -> Result<T, E> + Send + Sync + 'static,
    T: 'static,
    E: Into<BoxError> + 'static,
{
    const BLOCKING: bool = true;

    async fn call(&mut self, context: Context, stage: Option<Arc<Stage>>) -> Result<(), Fault> {
        let f = self.0.clone();
        let inside = Inside::current();
        let run = move || {
            let _ends = stage.map(Stage::begin).transpose().ok()?;
            Some(outcome(match inside {
                Some(inside) => inside.call(|| f(context)),
                None => f(context),
            }))
        };
        match tokio::task::spawn_blocking(run).await {
            Ok(Some(result)) => result,
            // Its time was over before a thread was free: the worker looks no longer at the result.
            Ok(None) => Ok(()),
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(error) => Err(Fault::Error(error.into())),
        }
    }
}

/// A service, as middleware wraps it.
pub(super) struct OfService<S>(pub(super) S);

impl<S> Call for OfService<S>
where
    S: Service<Context> + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
{
    async fn call(&mut self, context: Context, _: Option<Arc<Stage>>) -> Result<(), Fault> {
        if let Err(error) = poll_fn(|task| self.0.poll_ready(task)).await {
            return Err(Fault::Error(error.into()));
        }
        outcome(self.0.call(context).await)
    }
}
