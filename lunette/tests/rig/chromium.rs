//! Pages as a browser shows them.

use super::Prefix;
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = "/usr/bin/chromium";

/// What keeps it from a display, and from talking to anybody but the server under test.
const ARGUMENTS: &[&str] = &[
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP localhost 127.0.0.1, MAP * ~NOTFOUND",
    "--ignore-certificate-errors",
    "--virtual-time-budget=60000",
    "--dump-dom",
];

const IMAGES: usize = 100;
/// The smallest PNG there is: one pixel.
const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\0\0\0\0\x3a\x7e\x9b\x55\0\0\0\nIDATx\x9cch\0\0\0\x82\0\x81\x77\xcd\x72\xb6\0\0\0\0IEND\xaeB`\x82";

/// The page at `url` once its scripts have run. `more` are further arguments of the browser.
pub(crate) fn shown(prefix: &Prefix, url: &str, more: &[&str]) -> String {
    assert!(Path::new(PROGRAM).exists(), "no {PROGRAM}; ./test.sh installs it");
    let mut command = Command::new("timeout");
    let profile = prefix.path.join("profile");
    command.args(["120", PROGRAM]).args(ARGUMENTS).arg(format!("--user-data-dir={}", profile.display())).args(more).arg(url);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{url}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// A page of a hundred images below `html`.
pub(crate) fn write_page(prefix: &Prefix) {
    prefix.write("html/page.html", include_str!("page.html"));
    std::fs::create_dir_all(prefix.path.join("html/i")).unwrap();
    for image in 0..IMAGES {
        std::fs::write(prefix.path.join(format!("html/i/{image}.png")), PIXEL).unwrap();
    }
}

/// That page comes whole, and its images with `protocol` as the browser calls it.
pub(crate) fn assert_page_is_shown(prefix: &Prefix, port: u16, protocol: &str, more: &[&str]) {
    let page = shown(prefix, &format!("https://localhost:{port}/page.html"), more);
    let title = format!("<title>{IMAGES} of {IMAGES}, {protocol}</title>");
    assert!(page.contains(&title), "{page}\n{}", prefix.read("logs/error.log"));
}
