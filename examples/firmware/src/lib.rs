//! What the measuring programs share: a clock that counts instructions, an interrupt that lands after
//! each of them, objects that are made new, and words to the host.
#![no_std]

#[cfg(target_arch = "arm")]
pub mod clock;
pub mod host;
#[cfg(target_arch = "arm")]
pub mod interrupt;
pub mod renewable;
