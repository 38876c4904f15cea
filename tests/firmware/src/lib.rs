//! What the programs here and the benches share: a clock that counts instructions, an interrupt that lands after
//! each of them, objects that are made new, and words to the host.
#![no_std]

pub mod clock;
pub mod host;
pub mod interrupt;
pub mod points;
pub mod renewable;
