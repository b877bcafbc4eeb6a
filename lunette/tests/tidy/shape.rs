//! Sizes and names of files and functions, and where `unsafe` may stand.

use crate::report;
use crate::source::{Source, all};

const LONGEST_FILE: usize = 500;
const LONGEST_FUNCTION: usize = 70;

/// Behind this comment a function or file is a table, and tables are read, not understood.
const TABLE: &str = "// tidy: table";

/// Crates that may use `unsafe`.
const UNSAFE: [&str; 3] = ["sys", "lua", "luajit-sys"];

#[test]
fn files_are_short_and_have_names_that_say_something() {
    let mut findings = Vec::new();
    for source in all() {
        let lines = source.text.lines().count();
        if lines > LONGEST_FILE && !source.text.contains(TABLE) {
            findings.push(format!("{}: {lines} lines", source.path));
        }
        let name = source.path.rsplit('/').next().unwrap_or_default();
        let stems = ["util", "utils", "common", "helper", "helpers", "misc"];
        if stems.iter().any(|stem| name == format!("{stem}.rs")) {
            findings.push(format!("{}: the name says nothing", source.path));
        }
        if !source.is_test && !source.text.starts_with("//!") {
            findings.push(format!("{}: no line says what the file is about", source.path));
        }
    }
    report("files", &findings);
}

/// Name, first line and length of each function, found by the indentation that rustfmt gives it.
fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let lines: Vec<&str> = source.text.lines().collect();
    let mut found = Vec::new();
    for (i, line) in lines.iter().enumerate() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        let Some(at) = bare.find("fn ").filter(|at| *at == 0 || bare[..*at].ends_with(' ')) else { continue };
        let before = &bare[..at];
        let words = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe", "extern", "\"C\"", "\"C-unwind\""];
        if !before.split_whitespace().all(|word| words.contains(&word)) {
            continue;
        }
        let close = format!("{}}}", " ".repeat(indent));
        let end = lines[i..].iter().position(|l| *l == close || (l.len() - l.trim_start().len() == indent && l.ends_with(';')));
        let one_line = line.ends_with('}') || line.ends_with(';');
        let table = lines[i.saturating_sub(6)..i].iter().any(|l| l.trim() == TABLE);
        if let (Some(end), false, false) = (end, one_line, table) {
            let name = bare[at + 3..].split(['(', '<']).next().unwrap_or_default();
            found.push((name.to_owned(), i + 1, end + 1));
        }
    }
    found
}

#[test]
fn functions_are_short() {
    let mut findings = Vec::new();
    for source in all() {
        for (name, line, length) in functions(&source) {
            if length > LONGEST_FUNCTION {
                findings.push(source.at(line, &format!("{name} has {length} lines")));
            }
        }
    }
    report("functions", &findings);
}

#[test]
fn unsafe_stands_where_it_may() {
    let mut findings = Vec::new();
    for source in all() {
        let may = UNSAFE.contains(&source.crate_name.as_str());
        let is_root = source.path.ends_with("src/lib.rs") || source.path.ends_with("src/main.rs");
        if !may && is_root && !source.text.contains("#![forbid(unsafe_code)]") {
            findings.push(source.at(1, "forbid(unsafe_code) is missing"));
        }
        let lines: Vec<&str> = source.text.lines().collect();
        for (i, line) in lines.iter().enumerate() {
            let code = line.split("//").next().unwrap_or_default();
            let is_unsafe = ["unsafe {", "unsafe impl"].iter().any(|word| code.contains(word));
            if !is_unsafe || code.contains('"') {
                continue;
            }
            let explained = lines[i.saturating_sub(8)..=i].iter().any(|l| l.contains("SAFETY:"));
            if !may || !explained {
                findings.push(source.at(i + 1, "unsafe"));
            }
        }
    }
    report("unsafe", &findings);
}
