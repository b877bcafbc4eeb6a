//! Runs the examples of the manual against the real binary, so that the manual cannot rot (CONTRIBUTING: "The manual").
// A test that cannot go on has failed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod bytes;
mod compare;
mod page;
#[path = "../rig/mod.rs"]
mod rig;

use compare::compare;
use page::{Example, Exchange, Page, Way};
use rig::{Foreground, Prefix, Response, exchange, free_port, h2, h3, parse};
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
    if example.exchanges.iter().any(|one| one.way == Way::H3) {
        let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).map_err(|error| error.to_string())?;
        prefix.write("conf/cert.pem", &pair.cert.pem());
        prefix.write("conf/cert.key", &pair.signing_key.serialize_pem());
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
    let (request, response) = (ports.fill(&one.request), ports.fill(&one.response));
    let failed = |error| format!("{}: {error}", one.title());
    let answer = match &one.way {
        Way::H2 => h2::exchange(ports.0[2].1, &request).map_err(failed)?,
        Way::H3 => h3::exchange(ports.0[2].1, &request).map_err(failed)?,
        Way::H1 => {
            let bytes = exchange(ports.0[2].1, request.as_bytes()).map_err(failed)?;
            if bytes.is_empty() { Response::default() } else { parse(&bytes)? }
        }
        Way::Bytes { port, udp } => {
            let port = ports.fill(port).parse().map_err(|_| format!("no port {port}"))?;
            let (sent, expected) = (bytes::unescape(&request), bytes::unescape(&response));
            let seen = if *udp { bytes::datagram(port, &sent) } else { bytes::exchange(port, &sent, expected.len()) };
            let seen = seen.map_err(failed)?;
            return if seen == expected {
                Ok(())
            } else {
                let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                Err(format!("{}: received {:?}, expected {:?}", one.title(), shown(&seen), shown(&expected)))
            };
        }
    };
    compare(&response, &answer).map_err(|error| format!("{}: {error}", one.title()))
}
