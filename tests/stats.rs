//! What the library counts, as a line of text and through serde.
#![cfg(not(tickbus_loom))]

use tickbus::bus::Policy;
use tickbus::{
    Budget, Bus, Dispatch, DropNewest, DropOldest, GatedTopic, Lane, Reject, Report, Stats, Topic,
};

tickbus::events! {
    #[derive(Clone, Copy)]
    enum Input {
        #[subject = "a"] A,
        #[subject = "b"] B,
    }
}

static HANDLERS: Dispatch<Input, (), { Input::KINDS }> = Dispatch::new().on("a", |_, _| ());

fn ticked() -> (Stats, Report) {
    let bus: Bus<Input, 4> = Bus::new();
    for event in [Input::A, Input::A, Input::B, Input::A, Input::A] {
        let _ = bus.publish(event);
    }
    let report = HANDLERS.tick(&mut (), &mut bus.consumer().unwrap(), Budget::events(3));
    (bus.stats(), report)
}

#[test]
fn stats_are_one_line_that_states_the_law() {
    assert_eq!(
        ticked().0.to_string(),
        "published 4 = handled 3 + dropped 0 + pending 1; refused 1, failed 0, unhandled 1, high water 4"
    );
    let bus: Bus<u8, 2, DropOldest> = Bus::new();
    (0..3).for_each(|event| bus.publish(event).unwrap());
    assert!(
        bus.stats().to_string().starts_with("published 3 = handled 0 + dropped 1 + pending 2;")
    );
}

#[test]
fn info_is_one_line_for_each_policy_and_for_a_lane() {
    fn line<P: Policy>() -> String {
        let bus = Bus::<u8, 2, P>::new();
        for event in 0..3 {
            let _ = bus.publish(event);
        }
        assert_eq!(bus.info().stats, bus.stats());
        bus.info().to_string()
    }

    let numbers = "failed 0, unhandled 0, high water 2";
    assert_eq!(
        line::<Reject>(),
        format!(
            "u8: 2 of 2 pending, reject; \
             published 2 = handled 0 + dropped 0 + pending 2; refused 1, {numbers}"
        )
    );
    for (line, overrun) in
        [(line::<DropOldest>(), "drop_oldest"), (line::<DropNewest>(), "drop_newest")]
    {
        assert_eq!(
            line,
            format!(
                "u8: 2 of 2 pending, {overrun}; \
                 published 3 = handled 0 + dropped 1 + pending 2; refused 0, {numbers}"
            )
        );
    }

    let lane = Lane::<u8, 4>::new();
    lane.publish(1).unwrap();
    assert_eq!((lane.info().capacity, lane.info().overrun), (4, "reject"));
    assert_eq!(lane.info().stats, lane.stats());
}

#[test]
fn report_is_one_line() {
    assert_eq!(
        ticked().1.to_string(),
        "handled 3, failed 0, unhandled 1, left 1, dropped 0, refused 1, generations 1"
    );
}

#[test]
fn stats_of_topics_and_subscribers_are_one_line() {
    let topic: Topic<u8, 2> = Topic::new();
    let mut subscriber = topic.subscribe();
    (0..4).for_each(|event| topic.publish(event));
    assert_eq!(subscriber.read().count(), 3);
    topic.publish(4);
    assert_eq!(
        subscriber.stats().to_string(),
        "published 5 = received 2 + missed 2 + skipped 0 + pending 1"
    );
    let gated: GatedTopic<u8, 2, 1> = GatedTopic::new();
    let _gate = gated.subscribe().unwrap();
    let refused = (0..3).filter(|event| gated.publish(*event).is_err()).count();
    assert_eq!(
        (refused, gated.stats().to_string()),
        (1, "published 2, lost 0, refused 1".to_string())
    );
}

#[cfg(feature = "json")]
#[test]
fn stats_and_reports_pass_through_serde() {
    let (stats, report) = ticked();
    let text = serde_json::to_string(&stats).unwrap();
    assert!(text.starts_with(r#"{"published":4,"handled":3,"#), "{text}");
    assert_eq!(serde_json::from_str::<Stats>(&text).unwrap(), stats);
    assert_eq!(serde_json::from_str::<Stats>(r#"{"published":1}"#).unwrap().published, 1);
    let text = serde_json::to_string(&report).unwrap();
    assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
}
