//! Every row has a line of its own words, and a section in the manual.

#[path = "../../src/main_level/mod.rs"]
#[allow(dead_code)]
mod main_level;
#[path = "../../src/registry.rs"]
#[allow(dead_code)]
mod registry;

use crate::report;
use crate::source::root;
use conf::context::Context;
use engine::directives::unsupported;
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
    let table = engine::directives::table(&registry::modules(), &registry::stream_modules(), main_level::rows());
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

#[test]
fn every_directive_of_the_manual_is_served() {
    let table = engine::directives::table(&registry::modules(), &registry::stream_modules(), main_level::rows());
    let served: BTreeSet<&str> = table.names().collect();
    let directives = crate::index::directives();
    assert!(directives.len() > 700, "the sections were not found");
    // What reads the text puts included files in their place.
    let missing = directives.iter().filter(|name| !served.contains(name.as_str()) && *name != "include");
    report("directives", &missing.map(|name| format!("{name}: a section, but no row")).collect::<Vec<_>>());
}

/// With `UPDATE_MANUAL` set, names that have got a row are taken off the page.
#[test]
fn what_the_manual_calls_missing_is_missing() {
    let table = engine::directives::table(&registry::modules(), &registry::stream_modules(), main_level::rows());
    let served: BTreeSet<&str> = table.names().collect();
    let missing: Vec<&str> = unsupported::names().collect();
    assert!(missing.len() > 20, "the page has lost its lists");
    assert_eq!(missing.iter().collect::<BTreeSet<_>>().len(), missing.len(), "a name stands there twice");
    let wrong: Vec<String> = missing.into_iter().filter(|name| served.contains(name)).map(str::to_owned).collect();
    if std::env::var_os("UPDATE_MANUAL").is_some() {
        let path = root().join(unsupported::PAGE);
        let text = fs::read_to_string(&path).unwrap();
        let stays = |line: &&str| !wrong.iter().any(|name| *line == format!("- `{name}`"));
        fs::write(&path, text.lines().filter(stays).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
        return;
    }
    let findings: Vec<String> =
        wrong.iter().map(|name| format!("{name}: served, but still in {} (UPDATE_MANUAL=1 mends it)", unsupported::PAGE)).collect();
    report("missing directives", &findings);
}

/// The words of the line `- Context:` for each block.
const CONTEXTS: [(&str, Context); 13] = [
    ("main", Context::MAIN),
    ("events", Context::EVENTS),
    ("http", Context::HTTP),
    ("server", Context::SERVER),
    ("location", Context::LOCATION),
    ("if in server", Context::SERVER_IF),
    ("if in location", Context::LOCATION_IF),
    ("limit_except", Context::LIMIT_EXCEPT),
    ("upstream", Context::UPSTREAM),
    ("stream", Context::STREAM),
    ("server in stream", Context::STREAM_SERVER),
    ("upstream in stream", Context::STREAM_UPSTREAM),
    ("acme_issuer", Context::ACME_ISSUER),
];

#[test]
fn contexts_are_those_of_the_rows() {
    let table = engine::directives::table(&registry::modules(), &registry::stream_modules(), main_level::rows());
    let mut rows: std::collections::BTreeMap<String, Context> = std::collections::BTreeMap::new();
    for row in table.rows() {
        *rows.entry(row.name.to_string()).or_insert(Context::empty()) |= row.contexts;
    }
    let mut said: std::collections::BTreeMap<String, BTreeSet<String>> = std::collections::BTreeMap::new();
    for (name, context) in crate::index::contexts() {
        said.entry(name).or_default().extend(context.split(',').map(|word| word.trim().to_owned()));
    }
    let mut findings = Vec::new();
    for (name, contexts) in rows {
        let wanted: BTreeSet<String> =
            CONTEXTS.iter().filter(|(_, context)| contexts.contains(*context)).map(|(word, _)| (*word).to_owned()).collect();
        let said = said.remove(&name).unwrap_or_default();
        if said != wanted {
            let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
            findings.push(format!("{name}: the manual says \"{}\", the row \"{}\"", list(&said), list(&wanted)));
        }
    }
    report("contexts", &findings);
}
