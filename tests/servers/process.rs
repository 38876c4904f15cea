//! A test of this binary in another process, which a test can kill.

use std::env;
use std::ffi::OsStr;
use std::io::{self, BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdout, Command, Stdio};

/// A process that is killed, as `kill -9` does, when you drop it.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    lines: Option<Lines<BufReader<ChildStdout>>>,
}

impl Process {
    /// Runs one test, alone. These variables say to it that it is in another process.
    pub(crate) fn start<'v>(
        test: &str,
        variables: impl IntoIterator<Item = (&'v str, &'v OsStr)>,
    ) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", test, "--nocapture"])
            .envs(variables)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let lines = child.stdout.take().map(|stdout| BufReader::new(stdout).lines());
        Self { child, lines }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Takes what the process says, for another thread.
    pub(crate) fn lines(&mut self) -> impl Iterator<Item = String> + use<> {
        self.lines.take().expect("only once").map_while(Result::ok)
    }

    /// Waits until the process says so. If it ends before, that is a panic.
    pub(crate) fn says(&mut self, what: &str) {
        let lines = self.lines.as_mut().expect("it is this thread that reads");
        let said = lines.map_while(Result::ok).any(|line| line == what);
        assert!(said, "it never said `{what}`");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says a line to the process that started this one.
///
/// It is one write: the line is said before what follows is done, whatever ends this process.
pub(crate) fn say(line: &str) {
    io::stdout().write_all(format!("\n{line}\n").as_bytes()).unwrap();
}
