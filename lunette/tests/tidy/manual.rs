//! Every row has a line of its own words, and a section in the manual.

#[path = "../../src/main_level/mod.rs"]
#[allow(dead_code)]
mod main_level;
#[path = "../../src/registry.rs"]
#[allow(dead_code)]
mod registry;

use crate::report;
use crate::source::root;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What rows say that only tell that a directive is not served.
const LATER: &str = "Not supported yet.";

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
    for row in table.rows().filter(|row| row.doc != LATER) {
        if row.doc.is_empty() {
            findings.insert(format!("{}: no doc line", row.name));
        }
        if !sections.contains(&*row.name) {
            findings.insert(format!("{}: no section in spec/", row.name));
        }
    }
    report("manual", &findings.into_iter().collect::<Vec<_>>());
}
