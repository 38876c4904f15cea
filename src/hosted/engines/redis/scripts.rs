//! What the server does in one step.

use alloc::string::{String, ToString};
use std::sync::LazyLock;

use redis::{Cmd, Script};

pub(super) struct Lua {
    source: &'static str,
    hash: String,
}

impl Lua {
    fn new(source: &'static str) -> Self {
        Self { source, hash: Script::new(source).get_hash().to_string() }
    }

    /// Returns a call of the script. Its arguments follow.
    pub(super) fn call(&self, keys: &[&str]) -> Cmd {
        let mut call = Cmd::with_capacity(16, 512);
        call.arg("EVALSHA").arg(&self.hash).arg(keys.len()).arg(keys);
        call
    }

    fn load(&self) -> Cmd {
        let mut load = Cmd::new();
        load.arg("SCRIPT").arg("LOAD").arg(self.source);
        load
    }
}

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(pub(super) static $name: LazyLock<Lua> =
            LazyLock::new(|| Lua::new(include_str!(concat!("scripts/", $file, ".lua"))));)*

        /// Teaches a server all scripts.
        pub(super) fn load() -> impl Iterator<Item = Cmd> {
            [$(&$name,)*].into_iter().map(|script| script.load())
        }
    };
}

scripts! {
    ACK = "ack";
    CLAIM = "claim";
    LEAVE = "leave";
    LOOK = "look";
    OPEN = "open";
    PUBLISH = "publish";
    RENEW = "renew";
    SETTLE = "settle";
}
