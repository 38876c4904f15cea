//! The members of the fleet: started, told to end, killed, started again.
//!
//! Over NATS a member is a process: this binary again, with the name of a role. On the engine in memory
//! it is a task or a thread here, and killing it drops its subscriptions.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use tickbus::hosted::{Engine, Link, LinkOptions};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::line::{Line, STOP, Say, Told};
use crate::options::Role;
use crate::{devices, game, service};

/// Who has said something: which member, and which of its lives.
pub(crate) type Heard = (usize, u32, Option<Line>);

/// Where members live.
pub(crate) enum Home {
    /// In processes, over the server at this URL.
    Processes(String),
    /// Here, on one engine.
    Memory { runtime: Runtime, engine: Arc<dyn Engine> },
}

/// A member that runs.
pub(crate) enum Running {
    Process(Child, ChildStdin),
    Inside { tell: watch::Sender<bool>, task: Option<AbortHandle>, killed: Arc<AtomicBool> },
}

impl Home {
    /// Starts a member. What it says goes to `heard`, and `None` when it has ended.
    pub(crate) fn start(
        &self,
        role: Role,
        name: &str,
        (member, life): (usize, u32),
        heard: &Sender<Heard>,
    ) -> Result<Running, String> {
        let failed = |error: &dyn core::fmt::Display| format!("{name} does not start: {error}");
        match self {
            Self::Processes(url) => {
                let (role, name) = match role {
                    Role::Devices(count) => ("devices", count.to_string()),
                    Role::Service => ("service", name.into()),
                    Role::Game => ("game", name.into()),
                };
                let mut child = Command::new(env::current_exe().map_err(|error| failed(&error))?)
                    .args([role, &name, url])
                    .stdin(Stdio::piped())
                    .stdout(Stdio::piped())
                    .stderr(Stdio::piped())
                    .spawn()
                    .map_err(|error| failed(&error))?;
                let input = child.stdin.take().expect("it is piped");
                let (out, errors) = (child.stdout.take(), child.stderr.take());
                listen(errors.expect("it is piped"), member, life, heard.clone(), false);
                listen(out.expect("it is piped"), member, life, heard.clone(), true);
                Ok(Running::Process(child, input))
            }
            Self::Memory { runtime, engine } => {
                let (tell, told) = Told::new();
                let (engine, name, killed) = (engine.clone(), name.to_owned(), Arc::default());
                let to = heard.clone();
                let say = Say::new(move |line| drop(to.send((member, life, Some(line)))));
                let to = heard.clone();
                let ended = move |result: Result<(), _>| {
                    let note = result.err().map(|error| Line::Note(format!("{error}")));
                    note.into_iter().for_each(|note| drop(to.send((member, life, Some(note)))));
                    let _ = to.send((member, life, None));
                };
                let task = match role {
                    Role::Game => {
                        // The engine stays when this link ends: it is that of all.
                        let link = Link::on(runtime.handle(), engine, &LinkOptions::default());
                        let killed = Arc::clone(&killed);
                        thread::spawn(move || ended(game::run(link, &name, &say, &told, &killed)));
                        None
                    }
                    Role::Devices(count) => Some(runtime.spawn(async move {
                        ended(devices::run(engine, count, &say, told).await);
                    })),
                    Role::Service => Some(runtime.spawn(async move {
                        ended(service::run(engine, &say, told).await);
                    })),
                };
                let task = task.map(|task| task.abort_handle());
                Ok(Running::Inside { tell, task, killed })
            }
        }
    }
}

impl Running {
    /// Tells it to do what it has begun, and to end.
    pub(crate) fn stop(&mut self) {
        match self {
            Self::Process(_, input) => {
                let _ = writeln!(input, "{STOP}"); // it has ended already
                let _ = input.flush();
            }
            Self::Inside { tell, .. } => drop(tell.send_replace(true)),
        }
    }

    /// Ends it as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        match self {
            Self::Process(child, _) => {
                let _ = child.kill();
                let _ = child.wait();
            }
            Self::Inside { task, killed, .. } => {
                killed.store(true, Relaxed);
                task.iter().for_each(AbortHandle::abort);
            }
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Passes lines on. What is not a line of ours is a note: a panic, for example.
fn listen(
    from: impl Read + Send + 'static,
    member: usize,
    life: u32,
    to: Sender<Heard>,
    is_output: bool,
) {
    thread::spawn(move || {
        for text in BufReader::new(from).lines().map_while(Result::ok) {
            let line = serde_json::from_str(&text).unwrap_or(Line::Note(text));
            if to.send((member, life, Some(line))).is_err() {
                return;
            }
        }
        if is_output {
            let _ = to.send((member, life, None));
        }
    });
}
