//! Ends QEMU with an exit code, through semihosting. Printing is `semihosting::println!`.

use core::fmt::Display;

/// The program did what it was asked to do.
pub fn done() -> ! {
    semihosting::process::exit(0)
}

/// The program could not do what it was asked to do, and says why.
pub fn fail(why: impl Display) -> ! {
    semihosting::println!("FAILED: {why}");
    semihosting::process::exit(1)
}
