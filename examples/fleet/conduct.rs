//! Conducts the fleet: starts its members, kills them, starts them again, and adds up.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use core::time::Duration;
use std::io::{self, IsTerminal};
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Instant;

use tickbus::hosted::MemoryEngine;

use crate::crew::{Heard, Home, Running};
use crate::line::{Flow, Line, Numbers};
use crate::options::{Options, Role, Wanted};
use crate::screen::Screen;
use crate::server::Server;
use crate::sums::Sums;
use crate::table::{self, LEGEND, Row};

/// How long what was killed stays down.
const DOWN: Duration = Duration::from_secs(1);
/// How long what is on the way may take at the end, and a member to end.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often a member may end by itself before the fleet gives up.
const FAILURES: u32 = 5;
/// The members. A key kills those that have one.
const CREW: [(&str, Option<char>); 4] =
    [("devices", None), ("service-1", Some('1')), ("service-2", Some('2')), ("game", Some('g'))];
const DEVICES: usize = 0;

struct Member {
    role: Role,
    name: &'static str,
    running: Option<Running>,
    /// When it is started again.
    again: Option<Instant>,
    starts: u32,
    failures: u32,
    is_ready: bool,
    has_ended: bool,
    /// Of earlier lives, and of this one.
    earlier: Numbers,
    numbers: Numbers,
}

struct Fleet {
    title: String,
    home: Home,
    server: Option<Server>,
    server_again: Option<Instant>,
    crew: Vec<Member>,
    readings: Sums,
    boosts: Sums,
    notes: VecDeque<String>,
    to: Sender<Heard>,
    heard: Receiver<Heard>,
    began: Instant,
}

/// Runs the fleet until its time is over or you press `q`. Returns whether nothing is lost.
pub(crate) fn run(options: &Options) -> Result<bool, String> {
    if options.sample.is_none() && !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        return Err("this is not a terminal: run it with --sample".into());
    }
    let is_interrupted = interrupted().map_err(|error| error.to_string())?;
    let mut fleet = Fleet::start(options)?;
    println!("{}\n{LEGEND}\n", fleet.title);
    let result = match options.sample {
        Some(length) => fleet.sample(length, &is_interrupted),
        None => fleet.play(&is_interrupted),
    };
    let ended = result.and_then(|()| fleet.end());
    fleet.table().iter().for_each(|line| println!("{line}"));
    println!("readings: {}\nboosts: {}", fleet.readings.totals(), fleet.boosts.totals());
    if let Err(error) = &ended {
        println!("{error}");
    }
    let all = [fleet.readings.totals(), fleet.boosts.totals()];
    let is_whole = all.iter().all(|it| it.lost == 0 && it.unexpected == 0 && it.acknowledged > 0);
    println!("{}", if is_whole { "nothing is lost" } else { "LOST, or nothing was acknowledged" });
    Ok(is_whole && ended.is_ok())
}

impl Fleet {
    fn start(options: &Options) -> Result<Self, String> {
        let wanted = options
            .engine
            .or((options.server.is_some() || options.port.is_some()).then_some(Wanted::Nats));
        let found = options.server.clone().or_else(Server::find);
        let has_nats = cfg!(feature = "nats");
        let server = match (wanted, found) {
            (Some(Wanted::Memory), _) => None,
            (Some(Wanted::Nats), _) if !has_nats => {
                return Err("this build has no NATS: build it with `--features nats`".into());
            }
            (Some(Wanted::Nats), None) => {
                return Err("there is no nats-server: `.ci/servers` gets one".into());
            }
            (None, Some(_)) if !has_nats => None,
            (_, found) => found.map(|it| Server::start(it, options.port)).transpose()?,
        };
        let (home, title) = match &server {
            Some(server) => {
                let title = format!(
                    "fleet over {}, port {}, process {}; its log is in {}",
                    server.binary(),
                    server.port,
                    server.process(),
                    server.folder().display()
                );
                (Home::Processes(server.url()), title)
            }
            None => {
                let runtime = tokio::runtime::Builder::new_multi_thread();
                let runtime = { runtime }.worker_threads(2).enable_all().build();
                let engine = Arc::new(MemoryEngine::builder().log(1 << 17).build());
                let runtime = runtime.map_err(|error| error.to_string())?;
                let title = "fleet in one process, on the engine in memory: killing a service drops \
                             its subscriptions, and there is no server to kill";
                (Home::Memory { runtime, engine }, title.into())
            }
        };
        let (to, heard) = mpsc::channel();
        let roles = [Role::Devices(options.devices), Role::Service, Role::Service, Role::Game];
        let crew = roles.into_iter().zip(CREW).map(|(role, (name, _))| Member::new(role, name));
        let mut fleet = Self {
            title,
            home,
            server,
            server_again: None,
            crew: crew.collect(),
            readings: Sums::default(),
            boosts: Sums::default(),
            notes: VecDeque::new(),
            to,
            heard,
            began: Instant::now(),
        };
        // Those that handle come first.
        for member in (0..CREW.len()).rev() {
            fleet.start_member(member)?;
        }
        Ok(fleet)
    }

    fn start_member(&mut self, at: usize) -> Result<(), String> {
        let member = &mut self.crew[at];
        member.starts += 1;
        let life = (at, member.starts);
        member.running = Some(self.home.start(member.role, member.name, life, &self.to)?);
        member.again = None;
        Ok(())
    }

    /// Hears for a while what the members say, and starts again what is due.
    fn hear(&mut self, until: Instant) -> Result<(), String> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            match self.heard.recv_timeout(left.min(Duration::from_millis(50))) {
                Ok((member, life, line)) => self.take(member, life, line)?,
                Err(_) if left.is_zero() => return Ok(()),
                Err(_) => {}
            }
            let now = Instant::now();
            if self.server_again.is_some_and(|due| due <= now) {
                self.server_again = None;
                self.server.as_mut().map_or(Ok(()), Server::run)?;
                self.say("server: up again");
            }
            for at in 0..self.crew.len() {
                if self.crew[at].again.is_some_and(|due| due <= now) {
                    self.start_member(at)?;
                }
            }
        }
    }

    fn take(&mut self, at: usize, life: u32, line: Option<Line>) -> Result<(), String> {
        match line {
            // What was published or handled counts, whichever life it was.
            Some(Line::Attempted(flow, id)) => {
                self.sums(flow).note(id, |it| it.is_attempted = true);
            }
            Some(Line::Acknowledged(flow, id)) => {
                self.sums(flow).note(id, |it| it.is_acknowledged = true);
            }
            Some(Line::Delivered(flow, id)) => self.sums(flow).note(id, |it| it.delivered += 1),
            Some(Line::Note(text)) => self.say(format!("{}: {text}", self.crew[at].name)),
            _ if life != self.crew[at].starts => {}
            Some(Line::Ready) => {
                let member = &mut self.crew[at];
                (member.is_ready, member.failures) = (true, 0);
            }
            Some(Line::Numbers(numbers)) => self.crew[at].numbers = numbers,
            Some(Line::Ended) => self.crew[at].has_ended = true,
            None if self.crew[at].running.is_none() || self.crew[at].has_ended => {}
            None => {
                let member = &mut self.crew[at];
                member.failures += 1;
                if at == DEVICES || member.failures == FAILURES {
                    let last = self.notes.back().map_or("", String::as_str);
                    return Err(format!("{} has ended by itself: {last}", member.name));
                }
                self.kill(at);
            }
        }
        Ok(())
    }

    fn sums(&mut self, flow: Flow) -> &mut Sums {
        match flow {
            Flow::Readings => &mut self.readings,
            Flow::Boosts => &mut self.boosts,
        }
    }

    fn say(&mut self, text: impl Into<String>) {
        self.notes.push_back(format!(
            "{:5.1} s  {}",
            self.began.elapsed().as_secs_f32(),
            text.into()
        ));
        if self.notes.len() > 6 {
            self.notes.pop_front();
        }
    }

    /// Kills a member. It is started again later.
    fn kill(&mut self, at: usize) {
        let member = &mut self.crew[at];
        if let Some(mut running) = member.running.take() {
            running.kill();
            table::add(&mut member.earlier, &core::mem::take(&mut member.numbers));
            member.is_ready = false;
            member.again = Some(Instant::now() + DOWN);
            let name = member.name;
            self.say(format!("{name}: killed"));
        }
    }

    fn kill_server(&mut self) {
        match &mut self.server {
            Some(server) if self.server_again.is_none() => {
                server.kill();
                self.server_again = Some(Instant::now() + DOWN);
                self.say("server: killed");
            }
            Some(_) => {}
            None => self.say("the key `s` does nothing: the engine is in memory, without a server"),
        }
    }

    /// Without a terminal: kills at set moments, and prints the table each second.
    fn sample(&mut self, length: Duration, is_interrupted: &AtomicBool) -> Result<(), String> {
        let end = self.began + length;
        let mut kills = VecDeque::from([(0.25, '1'), (0.45, 's'), (0.7, 'g')]);
        kills.retain(|(_, key)| *key != 's' || self.server.is_some());
        let mut next = self.began + Duration::from_secs(1);
        while Instant::now() < end && !is_interrupted.load(Relaxed) {
            self.hear(Instant::now() + Duration::from_millis(50))?;
            let now = Instant::now();
            if let Some((share, key)) = kills.front().copied()
                && self.began.elapsed() > length.mul_f64(share)
            {
                kills.pop_front();
                self.press(key);
            }
            if next <= now {
                next += Duration::from_secs(1);
                self.show().iter().for_each(|line| println!("{line}"));
                println!();
            }
        }
        Ok(())
    }

    fn press(&mut self, key: char) {
        if key == 's' {
            self.kill_server();
        }
        if let Some(at) = CREW.iter().position(|(_, its)| *its == Some(key)) {
            self.kill(at);
        }
    }

    /// In a terminal: until you press `q`.
    fn play(&mut self, is_interrupted: &AtomicBool) -> Result<(), String> {
        let screen = Screen::open().map_err(|error| error.to_string())?;
        while !is_interrupted.load(Relaxed) {
            self.hear(Instant::now() + Duration::from_millis(200))?;
            let mut lines = self.show();
            let server = if self.server.is_some() { "   s the server" } else { "" };
            lines.push(format!("1 2 kill a service   g the game{server}   q ends"));
            lines.extend(LEGEND.lines().map(str::to_owned));
            screen.draw(&lines).map_err(|error| error.to_string())?;
            while let Some(key) = screen.key() {
                if key == 'q' {
                    return Ok(());
                }
                self.press(key);
            }
        }
        Ok(())
    }

    /// Ends in order: those that publish, then what is on the way, then those that handle.
    fn end(&mut self) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        self.stop(DEVICES);
        let soon = Duration::from_millis(100);
        let is_on_the_way = |fleet: &Self| {
            fleet.readings.totals().lost > 0
                || fleet.boosts.totals().lost > 0
                || !fleet.crew[DEVICES].has_ended
                || fleet.crew.iter().any(|it| !it.is_ready)
        };
        while is_on_the_way(self) && Instant::now() < until {
            self.hear(Instant::now() + soon)?;
        }
        (1..CREW.len()).for_each(|at| self.stop(at));
        while self.crew.iter().any(|it| !it.has_ended) && Instant::now() < until + PATIENCE {
            self.hear(Instant::now() + soon)?;
        }
        match self.crew.iter().find(|it| !it.has_ended) {
            Some(late) => Err(format!("{} did not end", late.name)),
            None => Ok(()),
        }
    }

    fn stop(&mut self, at: usize) {
        self.crew[at].running.iter_mut().for_each(Running::stop);
    }

    fn table(&self) -> Vec<String> {
        let row = |member: &Member| {
            let mut numbers = member.earlier.clone();
            table::add(&mut numbers, &member.numbers);
            Row { name: member.name, state: member.state(), starts: member.starts, numbers }
        };
        table::lines(&self.crew.iter().map(row).collect::<Vec<_>>())
    }

    fn show(&self) -> Vec<String> {
        let server = match (&self.server, self.server_again) {
            (Some(_), None) => ", the server is up",
            (Some(_), Some(_)) => ", the server is DOWN",
            (None, _) => "",
        };
        let mut lines = vec![format!("{:.1} s{server}", self.began.elapsed().as_secs_f32())];
        lines.extend(self.table());
        lines.push(table::progress("readings", self.readings.totals()));
        lines.push(table::progress("boosts", self.boosts.totals()));
        lines.extend(self.notes.iter().cloned());
        lines
    }
}

impl Member {
    fn new(role: Role, name: &'static str) -> Self {
        let (earlier, numbers) = Default::default();
        Self {
            role,
            name,
            running: None,
            again: None,
            starts: 0,
            failures: 0,
            is_ready: false,
            has_ended: false,
            earlier,
            numbers,
        }
    }

    const fn state(&self) -> &'static str {
        match self {
            Self { has_ended: true, .. } => "ended",
            Self { running: None, .. } => "KILLED",
            Self { is_ready: false, .. } => "starting",
            _ => "up",
        }
    }
}

/// Returns a flag that Ctrl-C and `kill` set. A second signal ends the process.
fn interrupted() -> io::Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    #[cfg(unix)]
    for signal in signal_hook::consts::TERM_SIGNALS {
        signal_hook::flag::register_conditional_default(*signal, interrupted.clone())?;
        signal_hook::flag::register(*signal, interrupted.clone())?;
    }
    Ok(interrupted)
}
