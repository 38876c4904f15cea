//! What can happen in the game, and the one bus that carries it.

use std::io;

use tickbus::Bus;

/// The number of events that fit on the bus.
pub(crate) const CAPACITY: usize = 1024;

/// Every thread publishes here. The main thread takes the events once per tick.
///
/// A full bus gives the event back to the publisher: that is the policy `Reject`, the default. Each
/// publisher then decides what to do with it; see `publishers.rs`.
pub(crate) static BUS: Bus<GameEvent, CAPACITY> = Bus::new();

tickbus::events! {
    /// Everything that can happen, from every thread.
    ///
    /// The subjects form groups. One pattern of the dispatch table can name a whole group.
    #[derive(Clone, Copy, Debug)]
    pub(crate) enum GameEvent {
        // The keyboard.
        #[subject = "key.steer"] Steer { x: i32, y: i32 },
        #[subject = "key.fire"] Fire,
        #[subject = "key.overload"] Overload,
        #[subject = "key.restart"] Restart,
        #[subject = "key.quit"] Quit,
        #[subject = "key.unknown"] Unknown(char),

        // The end of the keys, and the window.
        #[subject = "input.closed"] InputClosed,
        #[subject = "input.failed"] InputFailed(io::ErrorKind),
        #[subject = "screen.resized"] Resized,

        // The spawner: speeds are in cells per second.
        #[subject = "spawn.rock"] Rock { column: i32, speed: i32, big: bool },
        #[subject = "spawn.gem"] Gem { column: i32, speed: i32 },

        // The weather.
        #[subject = "weather.wind"] Wind(i32),
        #[subject = "weather.lightning"] Lightning { column: i32 },

        // The flood, while the overload key is on.
        #[subject = "flood.spark"] Spark { column: i32, row: i32 },
        #[subject = "flood.rain"] Rain { column: i32, row: i32 },

        // The game itself.
        #[subject = "hit.rock"] RockHit { x: i32, y: i32, big: bool },
        #[subject = "hit.gem"] GemTaken,
        #[subject = "hit.ship"] ShipHit,
        #[subject = "game.over"] Over,
    }
}

impl GameEvent {
    /// Returns the event of a key, or `None` for a key that only lets a tick pass in a piped game.
    pub(crate) fn from_key(key: char) -> Option<Self> {
        Some(match key {
            'a' => Self::Steer { x: -1, y: 0 },
            'd' => Self::Steer { x: 1, y: 0 },
            'w' => Self::Steer { x: 0, y: -1 },
            's' => Self::Steer { x: 0, y: 1 },
            ' ' => Self::Fire,
            'o' => Self::Overload,
            'r' => Self::Restart,
            'q' | CTRL_C => Self::Quit,
            '.' | '\n' | '\r' => return None,
            unknown => Self::Unknown(unknown),
        })
    }
}

/// What Ctrl-C sends: a terminal in raw mode does not interrupt the program.
pub(crate) const CTRL_C: char = '\u{3}';
