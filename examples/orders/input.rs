//! Lines, and what they say: an order or a command.

use std::io::{self, BufRead, Read};
use std::thread;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc::{self, Receiver};

/// How many bytes a line may have.
const LONGEST: u64 = 64 << 10;
/// How many characters a name may have.
const NAME: usize = 40;

/// A line, with its number from 1.
pub(crate) struct Line {
    pub(crate) number: u64,
    /// The text, or why there is none.
    pub(crate) text: Result<String, String>,
}

/// Reads lines on a thread of its own, so that orders are handled while it waits for more.
pub(crate) fn standard_input() -> Receiver<Line> {
    let (sender, lines) = mpsc::channel(64);
    thread::spawn(move || {
        let mut from = io::stdin().lock();
        let mut number = 0;
        loop {
            number += 1;
            let (text, is_last) = match read_line(&mut from) {
                Ok(None) => return,
                Ok(Some(text)) => (text, false),
                Err(error) => (Err(format!("the input cannot be read: {error}")), true),
            };
            if sender.blocking_send(Line { number, text }).is_err() || is_last {
                return; // none are taken any more, or there are none
            }
        }
    });
    lines
}

/// Reads the lines of a text.
pub(crate) fn sample(text: &str) -> Receiver<Line> {
    let (sender, lines) = mpsc::channel(64);
    for (number, text) in (1..).zip(text.lines()) {
        let sent = sender.try_send(Line { number, text: Ok(text.into()) });
        sent.expect("a sample is short");
    }
    lines
}

/// Reads a line, or why it has no text. `None` at the end. It keeps no more of a line than a line may
/// have.
fn read_line(from: &mut impl BufRead) -> io::Result<Option<Result<String, String>>> {
    let mut bytes = Vec::new();
    from.by_ref().take(LONGEST + 1).read_until(b'\n', &mut bytes)?;
    match bytes.last() {
        None => return Ok(None),
        Some(b'\n') => drop(bytes.pop()),
        Some(_) if bytes.len() as u64 <= LONGEST => {} // the last line has no end
        Some(_) => {
            from.skip_until(b'\n')?;
            return Ok(Some(Err(format!("it has more than {LONGEST} bytes"))));
        }
    }
    Ok(Some(String::from_utf8(bytes).map_err(|error| {
        format!("it is not UTF-8: see byte {}", error.utf8_error().valid_up_to() + 1)
    })))
}

/// What a line says.
pub(crate) enum Command {
    Nothing,
    Order(Order),
    Failed,
    Fix { item: String, cents: u32 },
    Replay(Option<String>),
    Table,
    Help,
    Quit,
}

/// An order, as it is in the input and in its record.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    pub(crate) id: String,
    pub(crate) item: String,
    pub(crate) quantity: u32,
    #[serde(default = "here")]
    pub(crate) country: String,
}

/// The country of the shop.
pub(crate) const HERE: &str = "DE";

fn here() -> String {
    HERE.into()
}

impl Command {
    /// Reads what a line says, or returns what is wrong with it.
    pub(crate) fn parse(line: &Line) -> Result<Self, String> {
        let text = line.text.clone()?;
        // Some editors begin a file with this mark.
        let text = text.trim_start_matches('\u{feff}').trim();
        if text.starts_with('{') {
            return Order::parse(text).map(Self::Order);
        }
        let words: Vec<_> = text.split_whitespace().collect();
        match *words {
            [] => Ok(Self::Nothing),
            ["failed"] => Ok(Self::Failed),
            ["table"] => Ok(Self::Table),
            ["help"] => Ok(Self::Help),
            ["quit"] => Ok(Self::Quit),
            ["replay"] => Ok(Self::Replay(None)),
            ["replay", id] => Ok(Self::Replay(Some(id.into()))),
            ["fix", item, cents] => {
                let item = name("item", item)?;
                let cents = cents.parse().map_err(|_| {
                    format!("{} is not a price in cents, such as 1999", shown(cents))
                })?;
                Ok(Self::Fix { item, cents })
            }
            ["fix", ..] => {
                Err("`fix` needs an item and its price in cents: `fix sofa 89900`".into())
            }
            [word, ..] => Err(format!(
                "{} is not an order, which is an object of JSON, nor a command: see `help`",
                shown(word)
            )),
        }
    }
}

impl Order {
    fn parse(text: &str) -> Result<Self, String> {
        let order: Self = serde_json::from_str(text).map_err(|error| {
            let why = error.to_string();
            let why = why.rsplit_once(" at line ").map_or(&*why, |(why, _)| why);
            format!("column {}: {}", error.column(), why.escape_debug())
        })?;
        for (field, text) in [("id", &order.id), ("item", &order.item), ("country", &order.country)]
        {
            name(field, text)?;
        }
        if order.quantity == 0 {
            return Err("`quantity` is 0".into());
        }
        Ok(order)
    }
}

/// Checks a name, which a table shows and a command can say.
fn name(field: &str, text: &str) -> Result<String, String> {
    let is_odd = |c: char| c.is_whitespace() || c.is_control();
    if text.is_empty() || text.chars().count() > NAME || text.contains(is_odd) {
        return Err(format!(
            "`{field}` is {}: it needs 1 to {NAME} characters without white space",
            shown(text)
        ));
    }
    Ok(text.into())
}

/// A text of the input, on one line and not too long.
fn shown(text: &str) -> String {
    let start: String = text.chars().take(NAME).collect();
    let more = if start.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", start.escape_debug())
}
