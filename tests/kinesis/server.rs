//! A server that stands for Kinesis in tests: kinesalite, on node.

use core::net::{Ipv4Addr, SocketAddr};
use core::time::Duration;
use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Instant;

use aws_sdk_kinesis::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_kinesis::primitives::Blob;
use aws_sdk_kinesis::types::{Shard, StreamStatus};
use aws_sdk_kinesis::{Client, Config};
use tokio::time::sleep;

use crate::servers::{folder, free_port, skip};

/// It ends with the process that started it. Two faults of kinesalite are mended. It does not answer who asks
/// for an iterator of a time after which nothing has come: that is the one behind everything. And an empty
/// read moves on to the present, also over an event with an earlier time that is still being written: it stays a
/// second behind.
const SCRIPT: &str = "
const [path, port, options] = process.argv.slice(1);
const db = require('kinesalite/db');
const step = db.incrementSequence;
db.incrementSequence = (from, time) => step(from, time && Math.max(from.seqTime, time - 1000));
const at = require.resolve('kinesalite/actions/getShardIterator.js');
const ask = require(at);
require.cache[at].exports = (store, data, done) => {
  const { Timestamp, ...other } = data;
  if (data.ShardIteratorType !== 'AT_TIMESTAMP' || Timestamp * 1000 > Date.now()) {
    return ask(store, data, done);
  }
  const { shardIx, shardId } = db.resolveShardId(data.ShardId);
  const range = { gt: db.shardIxToHex(shardIx), lt: db.shardIxToHex(shardIx + 1) };
  const from = (sequence) =>
    done(null, { ShardIterator: db.createShardIterator(data.StreamName, shardId, sequence) });
  db.lazy(store.getStreamDb(data.StreamName).createReadStream(range), done).join((all) => {
    const first = all.find((item) => item.value.ApproximateArrivalTimestamp >= Timestamp);
    if (first) return from(first.key.split('/')[1]);
    if (all.length) return from(step(all[all.length - 1].key.split('/')[1]));
    ask(store, { ...other, ShardIteratorType: 'TRIM_HORIZON' }, done);
  });
};
const { key, cert, ...others } = JSON.parse(options);
const read = (file) => file && require('fs').readFileSync(file);
require('kinesalite')({
  path, createStreamMs: 20, deleteStreamMs: 20, updateStreamMs: 20, shardLimit: 100,
  key: read(key), cert: read(cert), ...others,
}).listen(+port, '127.0.0.1');
process.stdin.on('end', () => process.exit()).resume();
";

/// A server that ends with this value, or with this process.
#[derive(Debug)]
pub(crate) struct Server {
    module: PathBuf,
    folder: PathBuf,
    port: u16,
    options: String,
    child: Option<Child>,
}

/// The folder in which `kinesalite` can be required.
fn module() -> Option<PathBuf> {
    if let Some(folder) = env::var_os("KINESALITE") {
        return Some(folder.into());
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().map(Path::to_owned);
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("target");
    let mut folders =
        target.into_iter().chain([beside]).map(|folder| folder.join("servers/kinesalite"));
    folders.find(|folder| folder.join("node_modules/kinesalite/index.js").is_file())
}

impl Server {
    /// Starts a server that keeps its data in a folder. `None`, and it says so, if there is none; a panic
    /// if `REQUIRE_SERVERS` is 1.
    pub(crate) fn start() -> Option<Self> {
        Self::with("{}")
    }

    pub(crate) fn with(options: &str) -> Option<Self> {
        let node = Command::new("node").arg("--version").output();
        let (Some(module), Ok(_)) = (module(), node) else {
            skip("no kinesalite, or no node: `.ci/servers` installs them");
            return None;
        };
        let (folder, port) = (folder(), free_port());
        let mut server = Self { module, folder, port, options: options.into(), child: None };
        server.run();
        Some(server)
    }

    pub(crate) fn version(&self) -> String {
        let package = self.module.join("node_modules/kinesalite/package.json");
        let package = fs::read_to_string(package).expect("a package says its version");
        let package: serde_json::Value = serde_json::from_str(&package).expect("JSON");
        format!("kinesalite {}", package["version"].as_str().expect("a version"))
    }

    /// Starts it again, on its port and its data.
    pub(crate) fn run(&mut self) {
        assert!(self.child.is_none(), "the server runs already");
        let log = fs::File::create(self.folder.join("log")).expect("a log");
        let child = Command::new("node")
            .args(["-e", SCRIPT])
            .arg(self.folder.join("data"))
            .args([&self.port.to_string(), &self.options])
            .current_dir(&self.module)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn();
        self.child = Some(child.expect("the server starts"));
        let began = Instant::now();
        while !self.answers() {
            let log = || fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(began.elapsed() < Duration::from_secs(20), "no answer: {}", log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it answers, be it with a refusal.
    fn answers(&self) -> bool {
        let attempt = || -> std::io::Result<bool> {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, self.port));
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
            if self.options.contains("ssl") {
                return Ok(true);
            }
            stream.set_read_timeout(Some(Duration::from_secs(1)))?;
            stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer)?;
            Ok(&answer == b"HTTP/")
        };
        attempt().unwrap_or(false)
    }

    /// Kills it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The client, as another program has it.
    pub(crate) fn client(&self) -> Raw {
        Raw(client(&self.url()))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

pub(crate) fn config(url: &str) -> Config {
    let http = aws_smithy_http_client::Builder::new().build_http();
    Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("raw", "raw", None, None, "test"))
        .endpoint_url(url)
        .http_client(http)
        .build()
}

pub(crate) fn client(url: &str) -> Client {
    Client::from_conf(config(url))
}

/// What another program does with the stream `game`.
#[derive(Clone, Debug)]
pub(crate) struct Raw(pub(crate) Client);

impl Raw {
    pub(crate) async fn create(&self, shards: i32) {
        let request = self.0.create_stream().stream_name("game").shard_count(shards);
        request.send().await.unwrap();
        self.until_active().await;
    }

    pub(crate) async fn delete(&self) {
        self.0.delete_stream().stream_name("game").send().await.unwrap();
        while self.0.describe_stream_summary().stream_name("game").send().await.is_ok() {
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn until_active(&self) {
        loop {
            let answer = self.0.describe_stream_summary().stream_name("game").send().await.unwrap();
            let summary = answer.stream_description_summary.unwrap();
            if summary.stream_status == StreamStatus::Active {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) async fn put(&self, key: &str, data: &[u8]) -> (String, String) {
        let request = self.0.put_record().stream_name("game").partition_key(key);
        let answer = request.data(Blob::new(data)).send().await.unwrap();
        (answer.shard_id, answer.sequence_number)
    }

    pub(crate) async fn shards(&self) -> Vec<Shard> {
        self.0.list_shards().stream_name("game").send().await.unwrap().shards.unwrap()
    }

    /// The shards that take events, by the keys that they take.
    pub(crate) async fn open_shards(&self) -> Vec<Shard> {
        let mut open = self.shards().await;
        open.retain(|shard| {
            shard.sequence_number_range.as_ref().unwrap().ending_sequence_number.is_none()
        });
        open.sort_by_key(|shard| range(shard).0);
        open
    }

    /// Splits a shard in the middle.
    pub(crate) async fn split(&self, shard: &Shard) {
        let (from, to) = range(shard);
        let middle = (from + (to - from) / 2).to_string();
        let request = self.0.split_shard().stream_name("game").shard_to_split(&shard.shard_id);
        request.new_starting_hash_key(middle).send().await.unwrap();
        self.until_active().await;
    }

    /// Merges two that are next to each other.
    pub(crate) async fn merge(&self, one: &Shard, other: &Shard) {
        let request = self.0.merge_shards().stream_name("game").shard_to_merge(&one.shard_id);
        request.adjacent_shard_to_merge(&other.shard_id).send().await.unwrap();
        self.until_active().await;
    }
}

fn range(shard: &Shard) -> (u128, u128) {
    let range = shard.hash_key_range.as_ref().unwrap();
    (range.starting_hash_key.parse().unwrap(), range.ending_hash_key.parse().unwrap())
}
