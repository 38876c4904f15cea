//! The buffer of a live subscription: what it does when it is full.

use alloc::sync::Arc;
use core::task::{Context, Poll};

use tokio::task::AbortHandle;

use super::mailbox::{Item, Items, Mailbox};
use crate::envelope::Envelope;
use crate::hosted::{Delivery, Gap, GapReason, LiveOptions, Receive};
use crate::subject_bus::Overrun;

/// The receiving end of a live subscription, which `task` fills.
pub(in crate::hosted::engines) struct Live {
    pub(in crate::hosted::engines) mailbox: Arc<Mailbox<Arc<Envelope>>>,
    pub(in crate::hosted::engines) task: AbortHandle,
}

impl Live {
    fn take(&self, context: Option<&mut Context<'_>>) -> Poll<Option<Result<Delivery, Gap>>> {
        self.mailbox.take(context, |items| {
            Some(match items.pop()? {
                Item::Event(envelope) => Ok(Delivery::live(envelope)),
                Item::Gap(gap) => Err(gap),
            })
        })
    }
}

impl Receive for Live {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Delivery, Gap>>> {
        self.take(Some(context))
    }

    fn try_next(&mut self) -> Poll<Option<Result<Delivery, Gap>>> {
        self.take(None)
    }

    fn close(&mut self) {
        self.task.abort();
        self.mailbox.end();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Items<Arc<Envelope>> {
    pub(in crate::hosted::engines) fn push_or_overrun(
        &mut self,
        envelope: Arc<Envelope>,
        options: &LiveOptions,
    ) {
        if self.events < options.capacity {
            self.push(envelope);
        } else if let Overrun::DropOldest = options.overrun {
            self.drop_oldest();
            self.push(envelope);
        } else {
            self.gap(overflow());
        }
    }

    /// Puts a gap in the place of the oldest envelope.
    fn drop_oldest(&mut self) {
        let oldest = |item: &Item<_>| matches!(item, Item::Event(_));
        let Some(at) = self.queue.iter().position(oldest) else { return };
        self.events -= 1;
        if let Some(Item::Gap(gap)) = at.checked_sub(1).map(|before| &mut self.queue[before])
            && gap.join(overflow())
        {
            self.queue.remove(at);
        } else {
            self.queue[at] = Item::Gap(overflow());
        }
    }
}

fn overflow() -> Gap {
    Gap::new(Some(1), GapReason::Overflow)
}
