//! The device of `examples/firmware` in QEMU, and a service with the engine, on one server. Neither knows
//! the other's code: what the device writes by `envelope::compact` comes as envelopes.

use core::time::Duration;
use std::collections::HashSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde::Deserialize;
use tickbus::Envelope;
use tickbus::hosted::engines::Mqtt;
use tickbus::hosted::{Deliveries, Engine};
use tokio::time::{sleep, timeout};

use crate::server::Server;
use crate::servers::Proxy;
use crate::{SOON, WHILE, on, started};

/// How many events the device keeps until the server acknowledges them.
const WINDOW: usize = 4;
/// How many wait on its bus.
const CAPACITY: usize = 16;

struct Device(Child);

impl Device {
    fn start(port: u16) -> Self {
        let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/firmware/run");
        let child =
            Command::new(run).args(["device", &port.to_string()]).stdin(Stdio::null()).spawn();
        Self(child.expect("the script that starts QEMU"))
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[derive(Deserialize)]
struct Reading {
    number: u32,
    millidegrees: u32,
}

#[derive(Debug, Deserialize)]
struct Sums {
    published: usize,
    acknowledged: usize,
    dropped: usize,
    pending: usize,
    connections: usize,
    refused: usize,
    malformed: usize,
}

/// The service: what it has received of the device.
struct Service {
    mqtt: Mqtt,
    readings: Deliveries,
    answers: Deliveries,
    /// The ids of all events.
    ids: HashSet<String>,
    last: u32,
}

impl Service {
    async fn new(server: &Server) -> Self {
        let mqtt = started(server.url()).await;
        let readings = mqtt.subscribe("device.*.reading").unwrap().open().await.unwrap();
        let answers = mqtt.subscribe("device.*.answer").unwrap().open().await.unwrap();
        Self { mqtt, readings, answers, ids: HashSet::new(), last: 0 }
    }

    /// Waits for the next reading, and checks all that it has. Returns how many are missing before it.
    async fn reading(&mut self) -> usize {
        let wait = async {
            loop {
                // A lost connection is said as a gap.
                let Ok(delivery) = self.readings.next().await.expect("not the end") else {
                    continue;
                };
                let envelope = delivery.envelope();
                let Reading { number, millidegrees } = envelope.decode().unwrap().unwrap();
                assert_eq!(millidegrees, 21_000 + number * 37 % 1000);
                let payload = format!(r#"{{"number":{number},"millidegrees":{millidegrees}}}"#);
                assert_eq!(envelope.payload(), Some(&*payload));
                assert_eq!(envelope.subject().as_str(), "device.7.reading");
                assert_eq!((envelope.source(), envelope.key()), ("device-7", "7"));
                assert!(envelope.headers().iter().eq([("key", "7"), ("unit", "mC")]));
                assert_eq!((envelope.time(), envelope.bytes()), (None, None), "it has no clock");
                assert!(envelope.id().starts_with("00000007-"), "{}", envelope.id());
                // At least once: again only with its id.
                if !self.ids.insert(envelope.id().into()) {
                    assert!(number <= self.last);
                    continue;
                }
                assert!(number > self.last, "{number} comes after {}", self.last);
                let missing = number - self.last - 1;
                self.last = number;
                return missing as usize;
            }
        };
        timeout(SOON, wait).await.expect("a reading comes")
    }

    /// Receives so many readings in a row.
    async fn readings_without_gap(&mut self, count: usize) {
        for _ in 0..count {
            assert_eq!(self.reading().await, 0, "none is missing before {}", self.last);
        }
    }

    /// Receives readings until some are missing. Returns how many.
    async fn missing(&mut self) -> usize {
        loop {
            let missing = self.reading().await;
            if missing > 0 {
                return missing;
            }
        }
    }

    /// Commands something, and waits for the answer.
    async fn ask<T: for<'de> Deserialize<'de>>(&mut self, what: &str) -> T {
        let command = Envelope::json("device.7.command", what).unwrap().header("room", "cellar");
        let id = command.id().to_owned();
        self.mqtt.publish(command.into()).await.unwrap();
        let wait = async {
            loop {
                let Ok(delivery) = self.answers.next().await.expect("not the end") else {
                    continue;
                };
                let envelope = delivery.envelope();
                self.ids.insert(envelope.id().into());
                if envelope.headers().get("answers") == id {
                    return envelope.decode().unwrap().unwrap();
                }
            }
        };
        timeout(SOON, wait).await.unwrap_or_else(|_| panic!("no answer to `{what}`"))
    }

    async fn led(&mut self, what: &str) -> bool {
        #[derive(Deserialize)]
        struct Led {
            led: bool,
        }
        self.ask::<Led>(what).await.led
    }

    /// Lets no more readings be published, takes those that come still, and asks for the sums.
    async fn sums(&mut self) -> Sums {
        #[derive(Deserialize)]
        struct Paused {
            paused: bool,
        }
        assert!(self.ask::<Paused>("pause").await.paused);
        while timeout(WHILE, self.reading()).await.is_ok() {}
        let sums: Sums = self.ask("stats").await;
        assert_eq!(sums.published, sums.acknowledged + sums.dropped + sums.pending, "{sums:?}");
        assert_eq!((sums.pending, sums.refused), (0, 0), "all is settled: {sums:?}");
        sums
    }

    /// Returns how many events came neither here nor to an end at the device. The answer to `stats` has
    /// come, and is not in the sums.
    fn lost(&self, sums: &Sums) -> usize {
        let lost = (sums.published + 1).checked_sub(self.ids.len() + sums.dropped);
        lost.unwrap_or_else(|| panic!("{} have come: {sums:?}", self.ids.len()))
    }
}

#[test]
#[ignore = "needs QEMU: `examples/firmware/run device-test` builds the device and runs this"]
fn a_device_and_a_service_have_the_same_events() {
    on("", async |server| {
        let mut service = Service::new(&server).await;
        let _device = Device::start(server.port());
        let before = service.reading().await;
        service.readings_without_gap(30).await;
        assert!(service.led("led on").await);
        assert!(!service.led("led off").await);

        // What another program sends is a command too.
        server.publish(&["-t", "device/7/command", "-q", "1", "-m", "led on"]);
        // None of these is for this device, or for any.
        server.publish(&["-t", "device/8/command", "-q", "1", "-m", "led off"]);
        server.publish(&["-t", "device/7/command", "-q", "1", "-m", &"x".repeat(2000)]);
        let many = ["-D", "publish", "user-property", "k", "v"].repeat(16);
        let message = ["-t", "device/7/command", "-q", "1", "-m", "led off"];
        server.publish(&[&message[..], &many].concat());
        let later = ["-D", "publish", "user-property", "tb-v", "2"];
        server.publish(&[&message[..], &later].concat());
        #[derive(Deserialize)]
        struct Unknown {
            error: String,
        }
        assert_eq!(service.ask::<Unknown>("led").await.error, "unknown command");

        let sums = service.sums().await;
        assert_eq!((sums.connections, sums.malformed), (1, 2), "{sums:?}");
        assert_eq!((service.lost(&sums), sums.dropped), (0, before), "{sums:?}");
    });
}

#[test]
#[ignore = "needs QEMU: `examples/firmware/run device-test` builds the device and runs this"]
fn a_device_continues_its_session_after_its_line_was_cut() {
    on("", async |server| {
        let mut service = Service::new(&server).await;
        let line = Proxy::to(server.port());
        let _device = Device::start(line.port());
        let mut missing = service.reading().await;
        service.readings_without_gap(10).await;
        // What is on its way, in both directions, is lost.
        line.hold(true);
        sleep(WHILE).await;
        line.cut();
        line.hold(false);
        missing += service.missing().await;
        service.readings_without_gap(10).await;
        assert!(service.led("led on").await, "it hears commands again");

        let sums = service.sums().await;
        assert!(sums.connections >= 2 && sums.malformed == 0, "{sums:?}");
        assert_eq!((service.lost(&sums), sums.dropped), (0, missing), "{sums:?}");
    });
}

#[test]
#[ignore = "needs QEMU: `examples/firmware/run device-test` builds the device and runs this"]
fn a_device_goes_on_after_its_server_was_killed_and_counts_what_is_lost() {
    on("", async |mut server| {
        let mut service = Service::new(&server).await;
        let _device = Device::start(server.port());
        let mut missing = service.reading().await;
        service.readings_without_gap(10).await;
        server.kill();
        // More readings than the device can keep.
        sleep(Duration::from_secs(3)).await;
        server.run();
        missing += service.missing().await;
        service.readings_without_gap(10).await;
        assert!(service.led("led on").await, "it hears commands again");

        let sums = service.sums().await;
        assert!(sums.connections >= 2 && sums.malformed == 0, "{sums:?}");
        // Away for 3 s at 20 readings a second, it kept the last ones.
        assert!(sums.dropped > 60 - CAPACITY - WINDOW, "{sums:?}");
        // What the device has not dropped, the server had acknowledged when it was killed.
        let of_server = service.lost(&sums);
        assert!(of_server <= WINDOW, "{of_server} lost: {sums:?}");
        assert_eq!(missing, sums.dropped + of_server, "{sums:?}");
    });
}
