//! Picks the board of the target, puts its memory.x where the linker looks for it and passes the
//! linker scripts, so that no RUSTFLAGS are needed.

use std::path::{Path, PathBuf};
use std::{env, fs};

const BOARDS: [(&str, &str); 6] = [
    ("thumbv6m-none-eabi", "microbit"),
    ("thumbv7m-none-eabi", "lm3s6965evb"),
    ("thumbv7em-none-eabihf", "mps2-an386"),
    ("thumbv8m.main-none-eabihf", "mps2-an505"),
    ("riscv32imac-unknown-none-elf", "virt"),
    ("riscv32imc-unknown-none-elf", "virt"),
];

fn main() {
    build(Path::new("memory"));
}

/// Builds with the linker scripts of this folder.
pub fn build(memory: &Path) {
    let target = env::var("TARGET").expect("cargo sets TARGET");
    let Some((_, board)) = BOARDS.iter().find(|(of, _)| *of == target) else {
        let known: Vec<&str> = BOARDS.iter().map(|(target, _)| *target).collect();
        eprintln!(
            "no board for the target {target}; build with --target and one of: {}",
            known.join(", ")
        );
        std::process::exit(1);
    };

    let source = memory.join(format!("{board}.x"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    fs::copy(&source, out.join("memory.x"))
        .unwrap_or_else(|error| panic!("cannot copy {}: {error}", source.display()));

    println!("cargo:rerun-if-changed={}", source.display());
    println!("cargo:rustc-cfg=board=\"{board}\"");
    println!("cargo:rustc-link-search={}", out.display());
    if target.starts_with("riscv") {
        println!("cargo:rustc-link-arg-bins=-Tmemory.x");
    }
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    // Without it the linker pads segments to 64 KiB pages, and sections move with the padding.
    println!("cargo:rustc-link-arg-bins=--nmagic");
}
