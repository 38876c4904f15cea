//! Whatever is read as a CloudEvent or an envelope comes back from a CloudEvent, or it is told why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tickbus::{Envelope, InvalidCloudEvent};

fuzz_target!(|data: &[u8]| {
    if let Ok(envelope) = Envelope::from_cloud_event(data) {
        match envelope.to_cloud_event() {
            Ok(text) => {
                let back = Envelope::from_cloud_event(&text).expect("what was written can be read");
                assert_eq!(back, envelope);
                assert_eq!(back.to_cloud_event(), Ok(text));
            }
            Err(InvalidCloudEvent::Source(_) | InvalidCloudEvent::Character(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    if let Ok(mut envelope) = Envelope::from_json(data)
        && let Ok(text) = envelope.to_cloud_event()
    {
        let back = Envelope::from_cloud_event(&text).expect("what was written can be read");
        // An empty header is none, and a trace stands where traces stand.
        let keys: Vec<_> = envelope.headers().iter().map(|(key, _)| key.to_owned()).collect();
        for key in keys {
            if envelope.headers().get(&key).is_empty() || key == "traceparent" {
                envelope.headers_mut().remove(&key);
            }
        }
        let mut same = back.clone();
        same.headers_mut().remove("traceparent");
        assert_eq!(same.headers(), envelope.headers());
        assert_eq!((back.id(), back.source()), (envelope.id(), envelope.source()));
        assert_eq!((back.subject(), back.time()), (envelope.subject(), envelope.time()));
        assert_eq!(back.payload(), envelope.payload());
        if envelope.trace_parent().is_some() {
            assert_eq!(back.trace_parent(), envelope.trace_parent());
        }
    }
});
