//! `kill -9` of the server and of the client, with the sums of Jepsen: what was acknowledged and is not
//! delivered is lost, what was delivered and never attempted is unexpected.
//!
//! A binary of tests has a module `kill` with a [`Target`] and three tests, which call
//! [`kill_the_server`], [`kill_the_clients`] and [`in_another_process`]. [`Target::PROCESS`] names the last one.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::sync::Arc;
use core::time::Duration;
use std::env;
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread;
use std::time::{Instant, SystemTime};

use tickbus::Envelope;
use tickbus::hosted::{Capability, Engine, Gap, GapReason, Mode, StartAt, Subscribe};
use tokio::sync::Notify;
use tokio::time::timeout;

use super::process::{Process, say};

/// Short, so that what a dead member had comes soon.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// Longer than anything takes that comes at all.
const SOON: Duration = Duration::from_secs(30);

/// What these tests need of an engine.
pub(crate) trait Target: 'static {
    type Engine: Engine;

    /// What a subscription may say after its server was killed.
    const GAPS: Gaps = Gaps::Never;
    /// The test that calls [`in_another_process`].
    const PROCESS: &str = "kill::in_another_process";

    /// Returns what is published: a number.
    fn envelope(number: u32) -> Envelope {
        Envelope::json("game.shot", &number).unwrap()
    }

    /// Returns an engine that is started. `client` names it to the server, if the server wants a name.
    fn start(url: String, client: String) -> impl Future<Output = Self::Engine> + Send;

    /// Returns a member of a group which receives `game.>`. What it had comes to another member after a
    /// [`LEASE`].
    fn member<'e>(engine: &'e Self::Engine, group: &str) -> Subscribe<'e> {
        engine.subscribe("game.>").unwrap().group(group).lease(LEASE)
    }
}

/// What a subscription may say after its server was killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gaps {
    /// Nothing: it goes on.
    Never,
    /// A gap, and yet nothing is lost.
    WithoutLoss,
    /// The server loses what it has in memory. That is never silent: there is a gap for this reason, and what
    /// is missing is missing where the gap is.
    WhereLost(GapReason),
}

/// A server that can be killed.
pub(crate) trait Kill {
    fn url(&self) -> String;
    /// Kills it as `kill -9` does.
    fn kill(&mut self);
    /// Starts it again, on its port and its data, and waits until it answers.
    fn run(&mut self);
}

#[derive(Default)]
pub(crate) struct Sums {
    pub(crate) attempted: BTreeSet<u32>,
    pub(crate) acknowledged: BTreeSet<u32>,
    /// What came, or `None` where the subscription said that something is missing.
    come: Vec<Option<u32>>,
}

impl Sums {
    pub(crate) fn deliver(&mut self, number: u32) {
        self.come.push(Some(number));
    }

    fn gap(&mut self) {
        self.come.push(None);
    }

    fn delivered(&self) -> BTreeSet<u32> {
        self.come.iter().flatten().copied().collect()
    }

    pub(crate) fn has_all(&self) -> bool {
        self.acknowledged.is_subset(&self.delivered())
    }

    /// Fails if something acknowledged is lost, or something came that was never attempted.
    pub(crate) fn check(&self, what: &str) {
        let lost = self.lost(what);
        assert!(lost.is_empty(), "lost {lost:?}");
    }

    /// Fails if something acknowledged is lost elsewhere than where the gap is.
    fn check_gap(&self, what: &str) {
        let lost = self.lost(what);
        let gap = self.come.iter().position(Option::is_none);
        let gap = gap.expect("the server lost what it had in memory, and there is a gap");
        let before = self.come[..gap].iter().flatten().max().copied();
        let after = self.come[gap..].iter().flatten().min().copied().expect("it went on");
        let silent = |number: &&u32| before.is_some_and(|it| **number < it) || **number > after;
        let silent: Vec<_> = lost.iter().filter(silent).collect();
        assert!(silent.is_empty(), "lost without a word: {silent:?} of {lost:?}");
    }

    /// Prints the sums, and returns what is lost. Fails if something is unexpected.
    fn lost(&self, what: &str) -> Vec<u32> {
        let mut counts = BTreeMap::<u32, usize>::new();
        self.come.iter().flatten().for_each(|number| *counts.entry(*number).or_default() += 1);
        let delivered: BTreeSet<u32> = counts.keys().copied().collect();
        let lost: Vec<u32> = self.acknowledged.difference(&delivered).copied().collect();
        let unexpected: Vec<_> = delivered.difference(&self.attempted).collect();
        println!(
            "{what}: attempted {}, acknowledged {}, delivered {}, lost {}, unexpected {}, duplicated {}, \
             recovered {}",
            self.attempted.len(),
            self.acknowledged.len(),
            delivered.len(),
            lost.len(),
            unexpected.len(),
            counts.values().filter(|count| **count > 1).count(),
            delivered.difference(&self.acknowledged).count(),
        );
        assert!(unexpected.is_empty(), "unexpected {unexpected:?}, lost {lost:?}");
        assert!(self.acknowledged.len() > 20, "too little happened to say anything");
        lost
    }
}

/// Waits until so much more is acknowledged, however slow the machine is.
pub(crate) fn until_acknowledged(more: usize, acknowledged: impl Fn() -> usize) {
    let (began, wanted) = (Instant::now(), acknowledged() + more);
    while acknowledged() < wanted {
        assert!(began.elapsed() < Duration::from_secs(60), "nothing is acknowledged any more");
        thread::sleep(Duration::from_millis(10));
    }
}

/// A time between these, which differs from run to run.
pub(crate) fn between(from: u64, to: u64) -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    Duration::from_millis(from + u64::from(now.subsec_nanos()) / 1000 % (to - from))
}

/// How often something is killed: as often as `ROUNDS` says, or so often.
pub(crate) fn rounds(default: u32) -> u32 {
    env::var("ROUNDS").ok().and_then(|rounds| rounds.parse().ok()).unwrap_or(default)
}

fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(test)
}

/// Publishes numbers until it is told to end. One that fails is sent again in the same envelope, but where
/// gaps tell of losses: there it is left out, which keeps the numbers in their order.
pub(crate) async fn publish<T: Target>(
    engine: T::Engine,
    sums: Arc<Mutex<Sums>>,
    from: u32,
    end: Arc<Notify>,
) {
    for number in from.. {
        let mut envelope: Arc<Envelope> = T::envelope(number).into();
        sums.lock().unwrap().attempted.insert(number);
        loop {
            match engine.publish(envelope).await {
                Ok(_) => {
                    sums.lock().unwrap().acknowledged.insert(number);
                    break;
                }
                Err(error) => envelope = error.into_envelope(),
            }
            if timeout(Duration::from_millis(20), end.notified()).await.is_ok() {
                return;
            }
            if matches!(T::GAPS, Gaps::WhereLost(_)) {
                break;
            }
        }
        if timeout(Duration::from_millis(1), end.notified()).await.is_ok() {
            return;
        }
    }
}

/// Kills a server while a client publishes and another one receives, round after round.
pub(crate) fn kill_the_server<T: Target>(what: &str, server: &mut impl Kill) {
    for round in 0..rounds(3) {
        let sums = Arc::new(Mutex::new(Sums::default()));
        let end = Arc::new(Notify::new());
        let (url, ours, told) = (server.url(), sums.clone(), end.clone());
        let (ready, begins) = mpsc::channel();
        let client = thread::spawn(move || run(receive::<T>(url, round, ours, told, ready)));
        begins.recv().unwrap();
        until_acknowledged(20, || sums.lock().unwrap().acknowledged.len());
        thread::sleep(between(0, 500));
        server.kill();
        thread::sleep(between(50, 300));
        server.run();
        until_acknowledged(20, || sums.lock().unwrap().acknowledged.len());
        end.notify_one();
        client.join().unwrap();
        let (sums, what) = (sums.lock().unwrap(), format!("{what} server killed, round {round}"));
        match T::GAPS {
            Gaps::WhereLost(_) => sums.check_gap(&what),
            _ => sums.check(&what),
        }
    }
}

/// Receives in a group of this round, until what was published has come.
async fn receive<T: Target>(
    url: String,
    round: u32,
    sums: Arc<Mutex<Sums>>,
    end: Arc<Notify>,
    ready: mpsc::Sender<()>,
) {
    // A member of a round before is away, and may keep its share.
    let engine = T::start(url.clone(), format!("member-{round}")).await;
    let mut deliveries = T::member(&engine, &format!("round-{round}")).open().await.unwrap();
    let publisher = T::start(url, format!("publisher-{round}")).await;
    ready.send(()).unwrap();
    let writes = tokio::spawn(publish::<T>(publisher, sums.clone(), round * 1_000_000, end));
    let mut ended = None::<Instant>;
    loop {
        let next = timeout(Duration::from_millis(100), deliveries.next()).await;
        match next.map(|next| next.expect("it never ends")) {
            Ok(Ok(next)) => {
                sums.lock().unwrap().deliver(next.envelope().decode().unwrap().expect("a number"));
                next.ack();
            }
            Ok(Err(gap)) => {
                match T::GAPS {
                    Gaps::Never => panic!("nothing was removed, and yet: {gap}"),
                    Gaps::WithoutLoss => {}
                    Gaps::WhereLost(reason) => assert_eq!(gap, Gap::new(None, reason)),
                }
                sums.lock().unwrap().gap();
            }
            Err(_) if writes.is_finished() => {
                let ended = ended.get_or_insert_with(Instant::now).elapsed();
                let enough = match T::GAPS {
                    Gaps::WhereLost(_) => ended > Duration::from_millis(500),
                    _ => ended > SOON || sums.lock().unwrap().has_all(),
                };
                if enough {
                    return;
                }
            }
            Err(_) => {}
        }
    }
}

/// Kills a publisher and a member in turn, round after round. In the end a last member has the rest.
pub(crate) fn kill_the_clients<T: Target>(what: &str, url: &str) {
    run(async {
        let engine = T::start(url.into(), "member".into()).await;
        if !engine.capabilities().has(Mode::Durable, Capability::StartEarliest) {
            // The group is there before anything is published.
            drop(T::member(&engine, "all").open().await.unwrap());
        }
        engine.shutdown(SOON).await.unwrap();
    });
    let sums = Arc::new(Mutex::new(Sums::default()));
    for round in 0..rounds(3) {
        let publisher = client::<T>(&format!("publisher {}", round * 1_000_000), url, &sums);
        let member = client::<T>("member 0", url, &sums);
        until_acknowledged(10, || sums.lock().unwrap().acknowledged.len());
        thread::sleep(between(0, 300));
        // Either first, and the other goes on.
        let (first, second) =
            if round % 2 == 0 { (member, publisher) } else { (publisher, member) };
        drop(first);
        thread::sleep(between(50, 150));
        drop(second);
    }
    let _last = client::<T>("member 0", url, &sums);
    thread::sleep(LEASE);
    // A server may wait for each member that was killed. What comes shows that more will.
    let (mut come, mut since) = (0, Instant::now());
    while !sums.lock().unwrap().has_all() && since.elapsed() < SOON {
        let now = sums.lock().unwrap().delivered().len();
        if now != come {
            (come, since) = (now, Instant::now());
        }
        thread::sleep(Duration::from_millis(20));
    }
    sums.lock().unwrap().check(&format!("{what} clients killed"));
}

/// Starts a process whose lines go into the sums.
fn client<T: Target>(role: &str, url: &str, sums: &Arc<Mutex<Sums>>) -> Process {
    let variables = [("TICKBUS_ROLE", role.as_ref()), ("TICKBUS_URL", url.as_ref())];
    let mut process = Process::start(T::PROCESS, variables);
    let (lines, sums) = (process.lines(), sums.clone());
    thread::spawn(move || {
        for line in lines {
            let Some((word, number)) = line.split_once(' ') else { continue };
            let Ok(number) = number.parse() else { continue };
            let mut sums = sums.lock().unwrap();
            match word {
                "attempted" => drop(sums.attempted.insert(number)),
                "acknowledged" => drop(sums.acknowledged.insert(number)),
                "delivered" => sums.deliver(number),
                _ => {}
            }
        }
    });
    process
}

/// What [`kill_the_clients`] runs in other processes. Alone it does nothing.
pub(crate) fn in_another_process<T: Target>() {
    let Ok(role) = env::var("TICKBUS_ROLE") else { return };
    let (role, first) = role.split_once(' ').unwrap();
    run(async {
        let engine = T::start(env::var("TICKBUS_URL").unwrap(), role.into()).await;
        if role == "publisher" {
            for number in first.parse::<u32>().unwrap().. {
                say(&format!("attempted {number}"));
                if engine.publish(T::envelope(number).into()).await.is_ok() {
                    say(&format!("acknowledged {number}"));
                }
            }
        }
        let mut member = T::member(&engine, "all");
        if engine.capabilities().has(Mode::Durable, Capability::StartEarliest) {
            member = member.start_at(StartAt::Earliest);
        }
        let mut member = member.open().await.unwrap();
        while let Some(next) = member.next().await {
            let next = next.expect("the position is never lost");
            let number: u32 = next.envelope().decode().unwrap().expect("a number");
            say(&format!("delivered {number}"));
            next.ack();
        }
    });
}

mod tests {
    use super::Sums;

    /// Sums of numbers that were all acknowledged and have all come.
    fn quiet() -> Sums {
        let mut sums = Sums::default();
        for number in 0..30 {
            sums.attempted.insert(number);
            sums.acknowledged.insert(number);
            sums.deliver(number);
        }
        sums
    }

    #[test]
    fn what_comes_twice_or_without_an_answer_is_neither_lost_nor_unexpected() {
        let mut sums = quiet();
        sums.attempted.insert(30);
        for number in [7, 30] {
            sums.deliver(number);
        }
        assert!(sums.has_all());
        sums.check("quiet");
    }

    #[test]
    #[should_panic(expected = "lost [30]")]
    fn what_is_acknowledged_and_does_not_come_is_lost() {
        let mut sums = quiet();
        sums.attempted.insert(30);
        sums.acknowledged.insert(30);
        assert!(!sums.has_all());
        sums.check("lost");
    }

    #[test]
    #[should_panic(expected = "unexpected [30]")]
    fn what_comes_and_was_never_attempted_is_unexpected() {
        let mut sums = quiet();
        sums.deliver(30);
        sums.check("unexpected");
    }

    #[test]
    #[should_panic(expected = "lost without a word: [32] of [30, 32]")]
    fn what_is_lost_elsewhere_than_where_the_gap_is_is_lost_without_a_word() {
        let mut sums = quiet();
        sums.gap();
        sums.attempted.extend(30..=32);
        sums.acknowledged.extend([30, 31]);
        sums.deliver(31);
        sums.check_gap("30 is where the gap is");
        sums.acknowledged.insert(32);
        sums.check_gap("32 is not");
    }
}
