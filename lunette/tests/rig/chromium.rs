//! Pages as a browser shows them.

use std::path::Path;
use std::process::Command;

const PROGRAM: &str = "/usr/bin/chromium";

/// What keeps it from talking to anybody but the server under test, and from a display.
const ARGUMENTS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost",
    "--ignore-certificate-errors",
    "--virtual-time-budget=60000",
    "--dump-dom",
];

/// The page at `url` once its scripts have run. `profile` is a directory that may be made.
pub(crate) fn shown(url: &str, profile: &Path) -> String {
    assert!(Path::new(PROGRAM).exists(), "no {PROGRAM}; ./test.sh installs it");
    let mut command = Command::new("timeout");
    command.args(["120", PROGRAM]).args(ARGUMENTS).arg(format!("--user-data-dir={}", profile.display())).arg(url);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{url}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
