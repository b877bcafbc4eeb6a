//! The process model against real processes, over loopback.
//!
//! This program is both sides: called by the name `nginx` it is a tiny server on the `daemon` crate, otherwise it runs
//! the tests against itself. It has no test harness because a server must start with one thread.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test without the usual harness is still a test")]

mod cases;
mod rig;
mod server;

use std::panic::{AssertUnwindSafe, catch_unwind};

fn main() {
    let arguments: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let name = arguments.first().map(std::path::PathBuf::from).unwrap_or_default();
    if name.file_name().is_some_and(|name| name == "nginx") {
        std::process::exit(server::main(arguments));
    }
    let words: Vec<String> = arguments.iter().skip(1).map(|word| word.to_string_lossy().into_owned()).collect();
    if words.iter().any(|word| word == "--list") {
        cases::ALL.iter().for_each(|(name, _)| println!("{name}: test"));
        return;
    }
    let filter = words.iter().find(|word| !word.starts_with('-'));
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in cases::ALL {
        if filter.is_some_and(|filter| !name.contains(filter.as_str())) {
            continue;
        }
        let is_ok = catch_unwind(AssertUnwindSafe(case)).is_ok();
        println!("test {name} ... {}", if is_ok { "ok" } else { "FAILED" });
        if is_ok { passed += 1 } else { failed += 1 }
    }
    // In the words of the usual harness, so that the total counts these too.
    println!("test result: {}. {passed} passed; {failed} failed; 0 ignored", if failed == 0 { "ok" } else { "FAILED" });
    std::process::exit(failed.min(1));
}
