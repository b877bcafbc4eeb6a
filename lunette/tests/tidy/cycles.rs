//! No import cycle between the files of a crate, but for those that are one thing in several files.

use crate::report;
use crate::source::{Source, all};
use std::collections::{BTreeMap, BTreeSet};

/// Crates whose files are one contract: a request knows its location, whose handlers take a request; so do a session and its server.
const ONE_CONTRACT: [&str; 2] = ["http", "stream"];

/// Circles that are known: what closes each, and why it stands. A new one must be broken, not listed.
const WAIVED: [(&str, &str); 1] = [
    // One parser in two files: the line's half fills the head in place, so that nothing is copied.
    ("wire", "h1::line -> h1::request"),
];

/// A module's path within its crate: `directives::root`; empty for the crate's root.
fn module(source: &Source) -> Option<String> {
    let (_, below) = source.path.split_once("/src/")?;
    let stem = below.strip_suffix(".rs")?;
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    Some(if matches!(stem, "lib" | "main" | "mod") { String::new() } else { stem.replace('/', "::") })
}

/// Paths below `crate::` or `super::` that the shipped lines of a file name.
fn imports(source: &Source, own: &str) -> BTreeSet<String> {
    let parent = own.rsplit_once("::").map_or("", |(parent, _)| parent);
    let mut found = BTreeSet::new();
    for (_, line) in source.shipped() {
        let code = line.split("//").next().unwrap_or_default();
        for (prefix, base) in [("crate::", ""), ("super::", parent)] {
            for (at, _) in code.match_indices(prefix) {
                if code[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '$' | '(')) {
                    continue;
                }
                let rest = &code[at + prefix.len()..];
                let path: String = rest.chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
                found.insert(if base.is_empty() { path } else { format!("{base}::{path}") });
            }
        }
    }
    found
}

/// The file that a path leads to: the longest module at its head. A crate's root only lists its modules.
fn target(path: &str, modules: &BTreeMap<String, usize>) -> Option<String> {
    let mut head = path.trim_end_matches(':');
    loop {
        if modules.contains_key(head) {
            return Some(head.to_owned());
        }
        head = head.rsplit_once("::")?.0;
    }
}

#[test]
fn files_do_not_import_each_other() {
    let sources: Vec<_> = all().into_iter().filter(|source| !source.is_test).collect();
    let crates: BTreeSet<_> = sources.iter().map(|source| source.crate_name.clone()).collect();
    let mut findings = Vec::new();
    for name in crates.iter().filter(|name| !ONE_CONTRACT.contains(&name.as_str())) {
        let own: Vec<_> = sources.iter().filter(|source| source.crate_name == *name).collect();
        let modules: BTreeMap<_, _> = own.iter().enumerate().filter_map(|(i, source)| Some((module(source)?, i))).collect();
        let mut edges: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (path, i) in modules.iter().filter(|(path, _)| !path.is_empty()) {
            let targets = imports(own[*i], path).into_iter().filter_map(|import| target(&import, &modules));
            // A file and the files in its directory are one module in several files.
            let apart = targets.filter(|other| !path.starts_with(&format!("{other}::")) && !other.starts_with(&format!("{path}::")));
            edges.insert(path, apart.filter(|other| other != path && !other.is_empty()).collect());
        }
        findings.extend(cycles(&edges).into_iter().map(|cycle| format!("{name}: {}", cycle.join(" -> "))));
    }
    let waived = |finding: &String| WAIVED.iter().any(|(name, cycle)| *finding == format!("{name}: {cycle}"));
    let stale = WAIVED.iter().map(|(name, cycle)| format!("{name}: {cycle}")).filter(|waiver| !findings.contains(waiver));
    let mut left: Vec<_> = findings.iter().filter(|finding| !waived(finding)).cloned().collect();
    left.extend(stale.map(|waiver| format!("{waiver}: the waiver is not needed any more")));
    report("import cycles", &left);
}

/// One shortest cycle through each file that is on one.
fn cycles(edges: &BTreeMap<&str, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for start in edges.keys() {
        let mut paths = std::collections::VecDeque::from([vec![(*start).to_owned()]]);
        let mut seen = BTreeSet::new();
        while let Some(path) = paths.pop_front() {
            let last = path.last().map_or("", String::as_str);
            let next = edges.get(last).into_iter().flatten();
            if next.clone().any(|other| other == start) {
                let least = path.iter().enumerate().min_by_key(|(_, name)| (*name).clone()).map_or(0, |(i, _)| i);
                let mut turned = path.clone();
                turned.rotate_left(least);
                found.insert(turned);
                break;
            }
            for other in next.filter(|other| seen.insert((*other).clone())) {
                paths.push_back([path.as_slice(), std::slice::from_ref(other)].concat());
            }
        }
    }
    found
}

#[test]
fn a_cycle_is_found() {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let edges = BTreeMap::from([("a", set(&["b"])), ("b", set(&["c"])), ("c", set(&["a"])), ("d", set(&["a"]))]);
    assert_eq!(cycles(&edges), BTreeSet::from([vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]]));
}
