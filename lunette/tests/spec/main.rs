//! Runs the examples of the manual against the real binary, so that the manual cannot rot (CONTRIBUTING: "The manual").
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod compare;
mod page;
#[path = "../rig/mod.rs"]
mod rig;

use compare::compare;
use page::{Example, Exchange, Page, Speech};
use rig::{Answer, Foreground, PATIENCE, Prefix, exchange, free_port, h2, parse};
use std::net::UdpSocket;
use std::path::{Path, PathBuf};

/// Fewer examples than this would mean that the pages were not found.
const FEWEST: usize = 20;

fn pages(directory: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<_> = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

#[test]
fn every_example_answers_as_the_manual_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../spec");
    let mut found = Vec::new();
    pages(&root, &mut found);
    let only = std::env::var("SPEC_ONLY").unwrap_or_default();
    let mut failures = Vec::new();
    let mut count = 0;
    for path in &found {
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        if !name.contains(&only) {
            continue;
        }
        let page = match Page::parse(&std::fs::read_to_string(path).unwrap()) {
            Ok(page) => page,
            Err(error) => {
                failures.push(format!("{name}: {error}"));
                continue;
            }
        };
        for example in &page.examples {
            count += 1;
            if let Err(error) = run(&page, example) {
                failures.push(format!("{name}:{}: {error}", example.line));
            }
        }
    }
    println!("{count} examples on {} pages", found.len());
    assert!(failures.is_empty(), "{} of {count} examples fail:\n\n{}", failures.len(), failures.join("\n\n"));
    assert!(count >= FEWEST || !only.is_empty(), "only {count} examples were found");
}

/// A port for each name that the example uses: `$PORT`, `$PORT2`, `$PORT3`.
struct Ports([(&'static str, u16); 3]);

impl Ports {
    fn new() -> Ports {
        // The longer names first: `$PORT` is the beginning of the others.
        Ports([("$PORT3", free_port()), ("$PORT2", free_port()), ("$PORT", free_port())])
    }

    fn fill(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, (name, port)| text.replace(name, &port.to_string()))
    }
}

fn run(page: &Page, example: &Example) -> Result<(), String> {
    let prefix = Prefix::new();
    for (name, text) in &page.files {
        prefix.write(&format!("html/{name}"), text);
    }
    let ports = Ports::new();
    let (text, global) = example.configuration();
    prefix.write("conf/nginx.conf", &ports.fill(&text));
    if example.exchanges.is_empty() {
        let output = prefix.run(&["-t", "-q", "-g", &global]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        return if output.status.success() { Ok(()) } else { Err(said) };
    }
    let server = Foreground::start(&prefix, ports.0[2].1, &global)?;
    let result = example.exchanges.iter().try_for_each(|one| ask(&ports, one));
    drop(server);
    result.map_err(|error| format!("{error}\nerror log: {}", prefix.read("logs/error.log")))
}

fn ask(ports: &Ports, one: &Exchange) -> Result<(), String> {
    let request = ports.fill(&one.request);
    let failed = |error: std::io::Error| format!("{}: {error}", one.title());
    let port = ports.0[2].1;
    let answer = match one.speech {
        Speech::Http2 => h2::exchange(port, &request).map_err(failed)?,
        Speech::Http1 => match exchange(port, request.as_bytes()).map_err(failed)? {
            bytes if bytes.is_empty() => Answer::default(),
            bytes => parse(&bytes)?,
        },
        Speech::Stream => return same(one, &ports.fill(&one.response), &exchange(port, request.as_bytes()).map_err(failed)?),
        Speech::Udp => return same(one, &ports.fill(&one.response), &datagram(port, request.as_bytes()).map_err(failed)?),
    };
    compare(&ports.fill(&one.response), &answer).map_err(|error| format!("{}: {error}", one.title()))
}

/// Whether bytes are those that the page shows, its last line end aside.
fn same(one: &Exchange, expected: &str, seen: &[u8]) -> Result<(), String> {
    let expected = expected.strip_suffix('\n').unwrap_or(expected);
    let seen = String::from_utf8_lossy(seen).replace("\r\n", "\n");
    if seen.strip_suffix('\n').unwrap_or(&seen) == expected {
        Ok(())
    } else {
        Err(format!("{}: {seen:?}, expected {expected:?}", one.title()))
    }
}

/// Sends one datagram and waits for one.
fn datagram(port: u16, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    socket.connect(("127.0.0.1", port))?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send(bytes)?;
    let mut answer = vec![0; 65_536];
    let length = socket.recv(&mut answer)?;
    answer.truncate(length);
    Ok(answer)
}
