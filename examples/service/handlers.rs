//! What the service does with events.

use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use core::time::Duration;
use std::sync::Mutex;

use tickbus::hosted::{BoxError, Context, RetryPolicy, Router, Workers};
use tokio::time::sleep;

/// The handlers that run, and what they have learnt.
pub(crate) struct Handlers {
    rounds: Arc<Mutex<BTreeMap<String, u32>>>,
    running: [(&'static str, Workers); 3],
}

impl Handlers {
    pub(crate) async fn start(router: &Router) -> Result<Self, BoxError> {
        // One match after the other, four matches at once.
        let rounds = Arc::<Mutex<BTreeMap<_, _>>>::default();
        let known = rounds.clone();
        let ladder = router.subscribe("match.*.score")?.group("ladder").workers(4).by_key();
        let ladder = ladder.handle_json(move |round: u32, context: Context| {
            let known = known.clone();
            async move {
                sleep(Duration::from_millis(5)).await; // asks a table
                known.lock().unwrap().insert(context.key().into(), round);
                Ok::<_, BoxError>(())
            }
        });

        // Fails now and then: every third report at first, and every tenth for good.
        let quick = RetryPolicy::new(2).initial(Duration::from_millis(100));
        let mail = router.subscribe("mail.report")?.group("mail").retry(quick);
        let mail = mail.dead_letter("dead.mail").on_failed(|failed| eprintln!("mail: {failed}"));
        let mail = mail.handle_json(async |round: u32, context: Context| {
            let is_first = context.attempt() == 1;
            if round.is_multiple_of(100) || round.is_multiple_of(30) && is_first {
                return Err("the mail server is busy");
            }
            Ok(())
        });

        // Slow: it falls behind, so that there is something to drain.
        let archive = router.subscribe("match.>")?.group("archive").workers(1);
        let archive = archive.handle(async |_: Context| {
            sleep(Duration::from_millis(20)).await;
            Ok::<_, BoxError>(())
        });

        let (ladder, mail, archive) = (ladder.await?, mail.await?, archive.await?);
        Ok(Self { rounds, running: [("ladder", ladder), ("mail", mail), ("archive", archive)] })
    }

    /// Prints what became of what each handler received.
    pub(crate) fn print(&self) {
        for (name, workers) in &self.running {
            let (it, left) = (workers.stats(), workers.lag().unwrap_or(0));
            let (handled, calls, failed) = (it.handled, it.calls, it.failed);
            println!("{name}: {handled} handled in {calls} calls, {failed} failed, {left} left");
        }
        println!("last rounds: {:?}", self.rounds.lock().unwrap());
    }
}
