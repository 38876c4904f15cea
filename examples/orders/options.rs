//! The command line, and what the program says about itself.

use std::ffi::OsString;

/// What follows an error in the arguments.
pub(crate) const USAGE: &str = "usage: orders [--sample] [--postgres URL]; see `--help`";

/// What `--help` prints.
pub(crate) const HELP: &str = r#"Takes orders, one a line of JSON, and keeps a record of what became of each.

usage: orders [--sample] [--postgres URL] < orders.jsonl

  --sample        run a built-in list of orders and commands, and show each
  --postgres URL  keep the records in a database (a build with the feature `postgres`):
                  postgres://user:password@host/database, in the table `orders`
  --help          print this text

orders
  {"id": "A-1", "item": "lamp", "quantity": 2, "country": "SE"}
  `country` may be left out: DE. There are prices for lamp, chair and desk. An order for another country
  fails twice, because its customs office is slow, and is tried again. An order for an item without a price
  fails for good, until the price is there and the order is replayed.

commands, each on a line between the orders
  failed          list the orders that have failed, and why
  fix ITEM CENTS  set the price of an item
  replay [ID]     handle one order again that is not completed, or all of them
  table           show what became of each order so far
  help, quit      list these commands; stop reading

The end of the input, `quit` or Ctrl-C prints the table. A line that is not an order or a command is
reported with its number, and the others go on.

exit code
  0  every order is completed
  1  an order is not completed, a line was not taken, or the output was lost
  2  the arguments are wrong
"#;

/// What it says in a terminal.
pub(crate) const WELCOME: &str = r#"Type an order, such as {"id": "A-1", "item": "lamp", "quantity": 2}, or a command:
failed, fix ITEM CENTS, replay [ID], table, help, quit. Try an item without a price: sofa.
"#;

/// What the command `help` prints.
pub(crate) const COMMANDS: &str = r#"an order        {"id": "A-1", "item": "lamp", "quantity": 2, "country": "SE"}
failed          list the orders that have failed, and why
fix ITEM CENTS  set the price of an item
replay [ID]     handle one order again that is not completed, or all of them
table           show what became of each order so far
help, quit      list these commands; stop reading
"#;

/// What `--sample` reads.
pub(crate) const SAMPLE: &str = r#"{"id": "A-1", "item": "lamp", "quantity": 2}
{"id": "A-2", "item": "chair", "quantity": 4, "country": "SE"}
{"id": "A-3", "item": "sofa", "quantity": 1}
{"id": "A-4", "item": "desk", "quantity": 1}
{"id": "A-5", "item": "sofa", "quantity": 2, "country": "FR"}
failed
fix sofa 89900
replay
"#;

/// What the command line asks for.
pub(crate) enum Request {
    Run(Options),
    Help,
}

/// How to run.
#[derive(Default)]
pub(crate) struct Options {
    pub(crate) sample: bool,
    pub(crate) postgres: Option<String>,
}

impl Request {
    /// Reads the arguments that follow the program's name, or returns what is wrong with them.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut arguments = arguments.into_iter();
        let mut options = Options::default();
        while let Some(argument) = arguments.next() {
            match argument.to_string_lossy().as_ref() {
                "--help" | "-h" => return Ok(Self::Help),
                "--sample" => options.sample = true,
                "--postgres" => {
                    let url = arguments.next().ok_or("`--postgres` needs a URL")?;
                    let url = url.into_string().map_err(|_| "the URL is not text")?;
                    if !cfg!(feature = "postgres") {
                        return Err("this build has no Postgres: run it with \
                                    `--features hosted,postgres`"
                            .into());
                    }
                    options.postgres = Some(url);
                }
                unknown => return Err(format!("unknown argument `{unknown}`")),
            }
        }
        Ok(Self::Run(options))
    }
}
