//! A copy of an example.

use crate::compare::compare;
use crate::page::{Exchange, Page};
use crate::rig::{Foreground, Prefix, Response, exchange, free_port, parse};
use std::fs;
use std::path::{Path, PathBuf};

/// The ports that examples name.
const PORTS: [&str; 4] = ["8080", "8081", "8082", "8443"];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples")
}

/// Names of all examples.
pub(crate) fn directories() -> Vec<String> {
    let entries = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap());
    entries.filter(|entry| entry.path().is_dir()).map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

/// An example in a prefix of its own, with free ports in place of those that it names.
pub(crate) struct Copy {
    pub(crate) prefix: Prefix,
    ports: [(&'static str, u16); 4],
    readme: String,
}

impl Copy {
    pub(crate) fn of(name: &str) -> Copy {
        let copy = Copy { prefix: Prefix::new(), ports: PORTS.map(|port| (port, free_port())), readme: String::new() };
        let source = root().join(name);
        copy.files(&source, &source);
        let readme = copy.filled(&fs::read_to_string(source.join("README.md")).unwrap());
        Copy { readme, ..copy }
    }

    fn files(&self, source: &Path, directory: &Path) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                self.files(source, &path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                let name = path.strip_prefix(source).unwrap();
                let is_public = name.starts_with("html") || name.starts_with("public");
                self.prefix.write(&name.display().to_string(), &if is_public { text } else { self.filled(&text) });
            }
        }
    }

    /// The text with the ports of this copy.
    pub(crate) fn filled(&self, text: &str) -> String {
        fill(text, &self.ports)
    }

    /// The port in place of 8080.
    pub(crate) fn port(&self) -> u16 {
        self.ports[0].1
    }

    /// Replaces a text wherever the configuration or the Lua code has it; it must be there.
    pub(crate) fn replace(&self, old: &str, new: &str) {
        let mut count = 0;
        for directory in ["conf", "lua"] {
            for entry in fs::read_dir(self.prefix.path.join(directory)).unwrap() {
                let path = entry.unwrap().path();
                let text = fs::read_to_string(&path).unwrap();
                count += text.matches(old).count();
                fs::write(&path, text.replace(old, new)).unwrap();
            }
        }
        assert!(count > 0, "nothing says {old}");
    }

    /// Starts it as its README says, with a master and one worker.
    pub(crate) fn start(&self) -> Foreground {
        self.replace("worker_processes auto;", "worker_processes 1;");
        Foreground::start(&self.prefix, self.port(), "daemon off;").unwrap()
    }

    /// The requests of the README and what must come back.
    pub(crate) fn requests(&self) -> Vec<Exchange> {
        // The configuration is a file of its own here.
        let page = Page::parse(&format!("```nginx\n```\n{}", self.readme)).unwrap();
        page.examples.into_iter().flat_map(|example| example.exchanges).collect()
    }

    /// Sends them one after the other.
    pub(crate) fn ask(&self) {
        let requests = self.requests();
        assert!(!requests.is_empty(), "the README has no requests");
        for one in requests {
            let bytes = exchange(self.port(), one.request.as_bytes()).unwrap_or_else(|error| panic!("{}: {error}", one.title()));
            let answer = if bytes.is_empty() { Response::default() } else { parse(&bytes).unwrap() };
            if let Err(error) = compare(&one.response, &answer) {
                panic!("{}: {error}\nerror log: {}", one.title(), self.prefix.read("logs/error.log"));
            }
        }
    }
}

/// Puts the ports in their names' places, all at once: a port may have another one's name in it.
fn fill(text: &str, ports: &[(&str, u16)]) -> String {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((at, (name, port))) = ports.iter().filter_map(|pair| Some((rest.find(pair.0)?, pair))).min_by_key(|(at, _)| *at) {
        filled += &rest[..at];
        filled += &port.to_string();
        rest = &rest[at + name.len()..];
    }
    filled + rest
}

#[test]
fn ports_do_not_fill_each_other() {
    let ports = [("8080", 38082), ("8081", 18080), ("8082", 40001)];
    assert_eq!(fill("a 8080 b:8082; 8081;8080", &ports), "a 38082 b:40001; 18080;38082");
}
