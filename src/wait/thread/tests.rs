use std::sync::mpsc;

use super::Cancel;

/// A signal that lives as long as the program keeps nothing of what came and went.
#[test]
fn a_registration_that_is_gone_leaves_nothing_behind() {
    let cancel = Cancel::new();
    let registrations = [(); 3].map(|()| cancel.on_cancel(|| unreachable!("taken back")));
    assert_eq!(cancel.0.lock().actions.len(), 3);
    drop(registrations);
    assert!(cancel.0.lock().actions.is_empty());
    cancel.cancel();
}

/// As when it is cancelled while a subscription is being opened with it.
#[test]
fn what_comes_after_the_cancellation_is_run_at_once() {
    let (cancel, (sender, run)) = (Cancel::new(), mpsc::channel());
    cancel.cancel();
    let registration = cancel.on_cancel(move || sender.send(()).unwrap());
    assert_eq!(run.try_recv(), Ok(()));
    drop(registration);
}
