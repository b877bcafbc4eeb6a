//! Crates depend only on crates of lower layers, never on one of their own.

use crate::report;
use crate::source::root;
use std::fs;

/// The lowest layer first.
const LAYERS: [&[&str]; 9] = [
    &["base", "sys", "luajit-sys"],
    &["conf", "wire", "tls", "shm", "lua"],
    &["net"],
    &["session", "balance", "cache", "daemon", "resolver"],
    &["http", "lua-lib", "stream", "upstream"],
    &["lua-session"],
    &["engine", "proxy", "stream-proxy", "modules", "acme", "lua-api", "stream-lua"],
    &["front"],
    &["lunette"],
];

fn layer(name: &str) -> Option<usize> {
    LAYERS.iter().position(|crates| crates.contains(&name))
}

#[test]
fn dependencies_point_down() {
    let mut findings = Vec::new();
    let mut directories: Vec<_> = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path()).collect();
    directories.push(root().join("lunette"));
    for directory in directories {
        let name = directory.file_name().unwrap().to_string_lossy().into_owned();
        let Some(own) = layer(&name) else {
            findings.push(format!("{name} belongs to no layer"));
            continue;
        };
        let manifest = fs::read_to_string(directory.join("Cargo.toml")).unwrap();
        let mut section = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if let (true, Some(other)) = (section.contains("dependencies]") && !section.contains("dev-"), layer(dependency))
                && other >= own
            {
                findings.push(format!("{name} imports {dependency}"));
            }
        }
    }
    report("layers", &findings);
}
