//! Live subscriptions.

use tickbus::Overrun;
use tickbus::hosted::{Engine, Gap, GapReason};

use crate::{delivery, next, nothing, number, on, publish, started, subject, value};

#[test]
fn each_has_what_comes_from_now_on_by_its_own_pattern_and_buffer() {
    on(async |server| {
        let kinesis = started(server.url()).await;
        publish(&kinesis, "game.before").await;
        let all = kinesis.subscribe("game.>").unwrap().capacity(2).overrun(Overrun::DropNewest);
        let mut all = all.open().await.unwrap();
        let one = kinesis.subscribe("game.*.hit").unwrap().or("other").unwrap();
        let mut one = one.open().await.unwrap();
        for subject in ["game.1.hit", "game.1", "other", "game.2.hit"] {
            publish(&kinesis, subject).await;
        }
        let mut come = Vec::new();
        for _ in 0..3 {
            come.push(subject(&delivery(&mut one).await).to_owned());
        }
        come.sort_unstable();
        assert_eq!(come, ["game.1.hit", "game.2.hit", "other"]);
        nothing(&mut one).await;
        drop(delivery(&mut all).await);
        drop(delivery(&mut all).await);
        assert_eq!(next(&mut all).await.unwrap_err(), Gap::new(Some(1), GapReason::Overflow));
        publish(&kinesis, "game.later").await;
        assert_eq!(subject(&delivery(&mut all).await), "game.later");
    });
}

#[test]
fn the_events_of_a_key_come_in_their_order() {
    on(async |server| {
        let kinesis = started(server.url()).await;
        let mut live = kinesis.subscribe("game.>").unwrap().capacity(100).open().await.unwrap();
        for it in 0..30 {
            let event = number("game.shot", it).with_key(format!("{}", it % 3));
            kinesis.publish(event.into()).await.unwrap();
        }
        let mut last = [None; 3];
        for _ in 0..30 {
            let come = delivery(&mut live).await;
            let (value, key) = (value(&come), value(&come) as usize % 3);
            assert!(last[key] < Some(value), "{value} after {:?}", last[key]);
            last[key] = Some(value);
        }
    });
}
