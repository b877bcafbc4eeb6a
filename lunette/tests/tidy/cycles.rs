//! No import cycle between the files of a crate, but for those that are one thing in several files: a file and those in its directory.

use crate::report;
use crate::source::{Source, all};
use std::collections::{BTreeMap, BTreeSet};

/// A crate whose files are one contract: a request knows its location, whose handlers take a request.
const ONE_CONTRACT: &str = "http";

/// A module's path within its crate: `directives::root`; empty for the crate's root.
fn module(source: &Source) -> Option<String> {
    let (_, below) = source.path.split_once("/src/")?;
    let stem = below.strip_suffix(".rs")?;
    let stem = stem.strip_suffix("/mod").unwrap_or(stem);
    Some(if matches!(stem, "lib" | "main" | "mod") { String::new() } else { stem.replace('/', "::") })
}

/// The code of a file without its comments, so that an import in several lines is one text.
fn code(source: &Source) -> String {
    source.shipped().map(|(_, line)| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join(" ")
}

/// Paths within the crate that the shipped lines of a file name, by imports or in the code; `own` is the file's module.
fn imports(code: &str, own: &str) -> BTreeSet<String> {
    let parent = own.rsplit_once("::").map_or("", |(parent, _)| parent);
    let children: BTreeSet<&str> = code.split("mod ").skip(1).filter_map(|rest| rest.split_once(';')).map(|(name, _)| name).collect();
    let mut found: BTreeSet<String> = BTreeSet::new();
    for (at, _) in code.match_indices("use ") {
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let text: String = code[at + 4..].chars().take_while(|c| *c != ';').collect();
        for path in expand(text.trim()) {
            let first = path.split("::").next().unwrap_or_default();
            found.insert(if children.contains(first) { format!("self::{path}") } else { path });
        }
    }
    let inside: Vec<String> = children.iter().map(|child| format!("{child}::")).collect();
    for prefix in ["crate::", "super::", "self::"].into_iter().chain(inside.iter().map(String::as_str)) {
        for (at, _) in code.match_indices(prefix) {
            let before = &code[..at];
            if !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '$')) && !before.ends_with("pub(") {
                let path: String = code[at..].chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
                // The head of a list of imports, each of which was seen above.
                if !path.ends_with(':') {
                    found.insert(if inside.iter().any(|child| child == prefix) { format!("self::{path}") } else { path });
                }
            }
        }
    }
    let absolute = |path: &String| {
        let (first, rest) = path.split_once("::")?;
        match (first, rest.strip_prefix("super::")) {
            ("crate", _) => Some(rest.to_owned()),
            ("self", _) => Some(format!("{own}::{rest}")),
            ("super", Some(rest)) => Some(format!("{}::{rest}", parent.rsplit_once("::").map_or("", |(above, _)| above))),
            ("super", None) => Some(format!("{parent}::{rest}")),
            _ => None,
        }
    };
    found.iter().filter_map(absolute).map(|path| path.trim_start_matches(':').to_owned()).collect()
}

/// The paths of an import: one for each name in its braces.
fn expand(text: &str) -> Vec<String> {
    let Some((head, list)) = text.split_once('{') else {
        return vec![text.split(" as ").next().unwrap_or_default().trim().to_owned()];
    };
    let list = list.trim_end().strip_suffix('}').unwrap_or(list);
    let mut parts = vec![String::new()];
    let mut depth = 0;
    for letter in list.chars() {
        match letter {
            ',' if depth == 0 => parts.push(String::new()),
            _ => {
                depth += i32::from(letter == '{') - i32::from(letter == '}');
                parts.last_mut().unwrap().push(letter);
            }
        }
    }
    let parts = parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty());
    parts.flat_map(|part| expand(&format!("{}{part}", head.trim()))).collect()
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
    for name in crates.iter().filter(|name| **name != ONE_CONTRACT) {
        let own: Vec<_> = sources.iter().filter(|source| source.crate_name == *name).collect();
        let modules: BTreeMap<_, _> = own.iter().enumerate().filter_map(|(i, source)| Some((module(source)?, i))).collect();
        let mut edges: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
        for (path, i) in modules.iter().filter(|(path, _)| !path.is_empty()) {
            let targets = imports(&code(own[*i]), path).into_iter().filter_map(|import| target(&import, &modules));
            edges.insert(path, targets.filter(|other| other != path && !other.is_empty()).collect());
        }
        findings.extend(circles(&edges).into_iter().map(|circle| format!("{name}: {}", circle.join(", "))));
    }
    report("import cycles", &findings);
}

/// Files that import each other, directly or by others; those of one directory and the file of its name are one module.
fn circles(edges: &BTreeMap<&str, BTreeSet<String>>) -> BTreeSet<Vec<String>> {
    let reach = |start: &str| {
        let mut seen = BTreeSet::new();
        let mut next = vec![start.to_owned()];
        while let Some(from) = next.pop() {
            next.extend(edges.get(from.as_str()).into_iter().flatten().filter(|to| seen.insert((*to).clone())).cloned());
        }
        seen
    };
    let reached: BTreeMap<&str, _> = edges.keys().map(|start| (*start, reach(start))).collect();
    let mut found = BTreeSet::new();
    for (start, seen) in reached.iter().filter(|(start, seen)| seen.contains(**start)) {
        let circle = seen.iter().filter(|other| reached.get(other.as_str()).is_some_and(|back| back.contains(*start)));
        let circle: Vec<String> = circle.cloned().collect();
        let is_one = |head: &String| circle.iter().all(|other| other == head || other.starts_with(&format!("{head}::")));
        if !circle.iter().any(is_one) {
            found.insert(circle);
        }
    }
    found
}

#[test]
fn a_circle_is_found() {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let edges = BTreeMap::from([
        ("a", set(&["b::part"])),
        ("b", set(&["b::part"])),
        ("b::part", set(&["b", "c"])),
        ("c", set(&["a"])),
        ("d", set(&["a", "d::part"])),
        ("d::part", set(&["d"])),
    ]);
    let circle = ["a", "b", "b::part", "c"].map(str::to_owned).to_vec();
    assert_eq!(circles(&edges), BTreeSet::from([circle]));
}

#[test]
fn imports_are_seen_in_all_their_forms() {
    let text = "pub mod part; use crate::{one, two::{self, Three}}; pub(super) use super::four::Five as Six; use part::Seven; \
                use std::fmt; fn f() { crate::eight::nine(); part::eleven() } use super::super::ten;";
    let expected =
        ["eight::nine", "one", "own::file::part::Seven", "own::file::part::eleven", "own::four::Five", "ten", "two::Three", "two::self"];
    assert_eq!(imports(text, "own::file"), expected.map(str::to_owned).into_iter().collect());
}
