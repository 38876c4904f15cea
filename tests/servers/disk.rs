//! A disk that a test may fill.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::servers::folder;

const SIZE: usize = 4 << 20;

/// A file system of a few bytes, in memory.
#[derive(Debug)]
pub(crate) struct Disk(PathBuf);

impl Disk {
    /// `None`, and it says so, without the right to mount one.
    pub(crate) fn new() -> Option<Self> {
        let folder = folder();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={SIZE}"), "tmpfs"])
            .arg(&folder)
            .stderr(Stdio::null())
            .status();
        if mount.is_ok_and(|status| status.success()) {
            return Some(Self(folder));
        }
        let _ = fs::remove_dir_all(folder);
        // No server is missing, so this is never a failure.
        let _ = writeln!(io::stderr(), "SKIPPED: a small disk needs the right to mount one");
        None
    }

    pub(crate) fn folder(&self) -> String {
        self.0.display().to_string()
    }

    /// Leaves room for so many bytes, or fewer.
    pub(crate) fn leave(&self, bytes: usize) {
        let mut filler = fs::File::create(self.0.join("filler")).expect("a file");
        let block = vec![0; 4096];
        while filler.write_all(&block).is_ok() {}
        let length = filler.metadata().expect("a file").len();
        filler.set_len(length.saturating_sub(bytes as u64)).expect("a shorter file");
    }

    pub(crate) fn make_room(&self) {
        fs::remove_file(self.0.join("filler")).expect("it was filled");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
        let _ = fs::remove_dir(&self.0);
    }
}
