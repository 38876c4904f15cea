//! What an event costs on the other engines: published, handled by a group and acknowledged.

use alloc::sync::Arc;
use core::net::Ipv4Addr;
use core::time::Duration;
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::{env, fs};

use tickbus::hosted::engines::Mqtt;
use tickbus::hosted::engines::redis::{Provision, Redis};
use tickbus::hosted::{BoxError, Context, Engine, OnStart};

use crate::measure::{EVENTS, ROUNDS, median, ours, publish, runtime, show, worked};

/// Ends with this value.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn run() -> Result<(), BoxError> {
    let on_start = OnStart::Wait(Duration::from_secs(10));
    let folder = env::temp_dir().join(format!("tickbus-growth-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let port = listener.local_addr()?.port();
    drop(listener);

    let mut redis = Command::new("redis-server");
    redis.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", ""]);
    redis.args(["--appendonly", "yes", "--dir"]).arg(&folder);
    let url = format!("redis://127.0.0.1:{port}");
    let engine = Redis::new(url).stream("growth").provision(Provision::Create);
    measure("REDIS", redis, engine.max_len(1_000_000).on_start(on_start))?;

    let file = folder.join("mosquitto.conf");
    let limits = "max_queued_messages 0\nmax_inflight_messages 1000\n";
    let access = "allow_anonymous true\nuser root\n";
    fs::write(&file, format!("listener {port} 127.0.0.1\n{access}{limits}"))?;
    let mut mqtt = Command::new("/usr/sbin/mosquitto");
    mqtt.arg("-c").arg(&file);
    let engine = Mqtt::new(format!("mqtt://127.0.0.1:{port}")).client_id("growth");
    measure("MQTT", mqtt, engine.on_start(on_start))?;
    Ok(fs::remove_dir_all(folder)?)
}

fn measure(name: &str, mut server: Command, engine: impl Engine) -> Result<(), BoxError> {
    let server = server.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let server = Server(server.map_err(|error| format!("{name}: {error}"))?);
    runtime().block_on(async {
        let engine: Arc<dyn Engine> = Arc::new(engine);
        engine.start().await?;
        let group = engine.subscribe("device.>")?.group("growth").in_flight(512);
        let workers = group.workers(8).by_key().handle(async |context: Context| {
            core::hint::black_box(context.envelope().bytes());
            Ok::<_, BoxError>(())
        });
        let workers = workers.await?;
        let (mut here, mut there) = (Vec::new(), Vec::new());
        for round in 0..=ROUNDS {
            let before = (ours(), worked(server.0.id()));
            publish(&engine, EVENTS).await;
            while workers.stats().handled < (EVENTS * (round + 1)) as u64 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if round > 0 {
                let each = |it: Duration| it.as_nanos() as f64 / EVENTS as f64;
                here.push(each(ours() - before.0));
                there.push(each(worked(server.0.id()) - before.1));
            }
        }
        show(&format!("CLIENT_{name}_NS"), median(here));
        show(&format!("SERVER_{name}_NS"), median(there));
        workers.shutdown(Duration::from_secs(5)).await?;
        Ok(())
    })
}
