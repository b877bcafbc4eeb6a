//! An arrow only points down, and crates on one floor never import each other.

use crate::report;
use crate::source::root;
use std::fs;

/// Crates from the ground up.
const FLOORS: [&[&str]; 9] = [
    &["base", "sys", "luajit-sys"],
    &["conf", "wire", "tls", "shm", "lua"],
    &["net"],
    &["session", "balance", "cache", "daemon", "resolver"],
    &["http", "lua-lib", "stream", "upstream"],
    &["lua-session"],
    &["engine", "proxy", "stream-proxy", "modules", "lua-api", "stream-lua"],
    &["front"],
    &["lunette"],
];

fn floor(name: &str) -> Option<usize> {
    FLOORS.iter().position(|crates| crates.contains(&name))
}

#[test]
fn arrows_point_down() {
    let mut findings = Vec::new();
    let mut homes: Vec<_> = fs::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path()).collect();
    homes.push(root().join("lunette"));
    for home in homes {
        let name = home.file_name().unwrap().to_string_lossy().into_owned();
        let Some(own) = floor(&name) else {
            findings.push(format!("{name} stands on no floor"));
            continue;
        };
        let manifest = fs::read_to_string(home.join("Cargo.toml")).unwrap();
        let mut section = "";
        for line in manifest.lines() {
            if line.starts_with('[') {
                section = line;
            }
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            if let (true, Some(other)) = (section.contains("dependencies]") && !section.contains("dev-"), floor(dependency))
                && other >= own
            {
                findings.push(format!("{name} imports {dependency}"));
            }
        }
    }
    report("floors", &findings);
}
