//! Every row has a line of its own words, and a section in the manual.

#[path = "../../src/main_level/mod.rs"]
#[allow(dead_code)]
mod main_level;
#[path = "../../src/registry.rs"]
#[allow(dead_code)]
mod registry;

use crate::report;
use crate::source::root;
use engine::directives::later;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn headings(directory: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            headings(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            let text = fs::read_to_string(&path).unwrap();
            found.extend(text.lines().filter_map(|line| line.strip_prefix("### ")).map(|name| name.trim().to_owned()));
        }
    }
}

#[test]
fn every_directive_has_its_section() {
    let table = engine::directives::table(&registry::modules(), main_level::rows());
    let mut sections = BTreeSet::new();
    headings(&root().join("spec"), &mut sections);
    let mut findings = BTreeSet::new();
    for row in table.rows() {
        if row.doc.is_empty() {
            findings.insert(format!("{}: no doc line", row.name));
        }
        if !sections.contains(&*row.name) {
            findings.insert(format!("{}: no section in spec/", row.name));
        }
    }
    report("manual", &findings.into_iter().collect::<Vec<_>>());
}

/// With `UPDATE_MANUAL` set, names that have got a row are taken off the page.
#[test]
fn what_the_manual_calls_missing_is_missing() {
    let table = engine::directives::table(&registry::modules(), main_level::rows());
    let served: BTreeSet<&str> = table.names().collect();
    let missing: Vec<&str> = later::names().collect();
    assert!(missing.len() > 100, "the page has lost its lists");
    assert_eq!(missing.iter().collect::<BTreeSet<_>>().len(), missing.len(), "a name stands there twice");
    let wrong: Vec<String> = missing.into_iter().filter(|name| served.contains(name)).map(str::to_owned).collect();
    if std::env::var_os("UPDATE_MANUAL").is_some() {
        let path = root().join(later::PAGE);
        let text = fs::read_to_string(&path).unwrap();
        let stays = |line: &&str| !wrong.iter().any(|name| *line == format!("- `{name}`"));
        fs::write(&path, text.lines().filter(stays).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        return;
    }
    let findings: Vec<String> =
        wrong.iter().map(|name| format!("{name}: served, but still in {} (UPDATE_MANUAL=1 mends it)", later::PAGE)).collect();
    report("missing directives", &findings);
}
