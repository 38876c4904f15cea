//! In place of `cancel` where there are no threads: nobody waits for room.

use core::marker::PhantomData;

/// No wait at all.
#[derive(Clone, Copy)]
pub(super) struct Wait<'a>(PhantomData<&'a ()>);

/// Why a wait is over without what it waited for.
pub(super) enum GaveUp {
    TimedOut,
    #[expect(dead_code, reason = "as in `cancel`")]
    Cancelled,
}

impl Wait<'_> {
    pub(super) const fn never() -> Self {
        Self(PhantomData)
    }

    pub(super) const fn waits(&self) -> bool {
        false
    }

    #[expect(clippy::unused_self, reason = "as in `cancel`")]
    pub(super) const fn wake_on_cancel(&self) -> Option<()> {
        None
    }

    pub(super) const fn park(&self) -> Result<(), GaveUp> {
        Err(GaveUp::TimedOut)
    }
}
