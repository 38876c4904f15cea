//! The forms of a handler: [`Call`].

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use core::any::Any;
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

/// What a handler says about an event that it has handled.
pub(super) type Message = Option<Cow<'static, str>>;

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
    ) -> impl Future<Output = Result<Message, Fault>> + Send;
}

fn outcome<T: 'static, E: Into<BoxError>>(result: Result<T, E>) -> Result<Message, Fault> {
    result.map(message).map_err(|error| Fault::Error(error.into()))
}

/// Returns the message, if the value is one. Which type it is, the compiler knows.
fn message<T: 'static>(value: T) -> Message {
    fn take<V: 'static>(value: &mut dyn Any) -> Option<V> {
        let plain = value.downcast_mut::<Option<V>>().and_then(Option::take);
        plain.or_else(|| value.downcast_mut::<Option<Option<V>>>()?.take()?)
    }
    let mut value = Some(value);
    let value: &mut dyn Any = &mut value;
    take::<String>(value)
        .map(Cow::Owned)
        .or_else(|| take::<&'static str>(value).map(Cow::Borrowed))
        .or_else(|| take::<Cow<'static, str>>(value))
        .or_else(|| take::<Box<str>>(value).map(|text| Cow::Owned(text.into())))
}

/// A function that returns a future.
pub(super) struct Function<F>(pub(super) Arc<F>);

impl<F, R, T, E> Call for Function<F>
where
    F: Fn(Context) -> R + Send + Sync + 'static,
    R: Future<Output = Result<T, E>> + Send,
    T: 'static,
    E: Into<BoxError>,
{
    async fn call(&mut self, context: Context, _: Option<Arc<Stage>>) -> Result<Message, Fault> {
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
    T: 'static,
    E: Into<BoxError>,
{
    async fn call(&mut self, context: Context, _: Option<Arc<Stage>>) -> Result<Message, Fault> {
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

    async fn call(
        &mut self,
        context: Context,
        stage: Option<Arc<Stage>>,
    ) -> Result<Message, Fault> {
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
            Ok(None) => Ok(None),
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
    async fn call(&mut self, context: Context, _: Option<Arc<Stage>>) -> Result<Message, Fault> {
        if let Err(error) = poll_fn(|task| self.0.poll_ready(task)).await {
            return Err(Fault::Error(error.into()));
        }
        outcome(self.0.call(context).await)
    }
}
