//! Finds the section of the manual that documents a word.

use super::page::{Line, Page, Section, lines};
use std::collections::BTreeSet;

/// What explains a word.
pub(crate) enum Found<'a> {
    Section(&'a Page, &'a Section),
    /// A row or a paragraph that explains a variable among others.
    Passage(&'a Page, String),
    Page(&'a Page),
}

/// How many near names are shown.
const MOST: usize = 8;

/// All that explains `word`: the sections of that name, else those whose syntax has it, else a variable's line, else a page.
pub(crate) fn find<'a>(pages: &'a [Page], word: &str) -> Vec<Found<'a>> {
    let word = word.trim_end_matches("()");
    let all = || pages.iter().flat_map(|page| page.sections.iter().map(move |section| (page, section)));
    let that = |fits: &dyn Fn(&Section) -> bool| -> Vec<Found<'a>> {
        all().filter(|(_, section)| section.level == 3 && fits(section)).map(|(page, section)| Found::Section(page, section)).collect()
    };
    let by_heading = that(&|section| same(&section.heading, word));
    if !by_heading.is_empty() {
        return by_heading;
    }
    let by_name = that(&|section| section.names.iter().any(|name| same(name, word) || member(name, word)));
    if !by_name.is_empty() {
        return by_name;
    }
    let variable = word.strip_prefix('$').unwrap_or(word);
    let by_variable = passages(pages, variable);
    if !by_variable.is_empty() {
        return by_variable;
    }
    pages.iter().filter(|page| page.name == word || page.name.ends_with(&format!("/{word}"))).map(Found::Page).collect()
}

/// Whether a name of the manual is the word; `NAME` at its end stands for anything, as in `$http_NAME`.
fn same(name: &str, word: &str) -> bool {
    let (name, word) = (name.trim_start_matches('$'), word.trim_start_matches('$'));
    if name.eq_ignore_ascii_case(word) {
        return true;
    }
    let family = ["NAME", "DIRECTIVE", "name"].iter().find_map(|end| name.strip_suffix(end)).filter(|family| family.ends_with(['_', '.']));
    family.is_some_and(|family| word.len() > family.len() && word.starts_with(family))
}

/// `connect` finds `sock:connect`.
fn member(name: &str, word: &str) -> bool {
    name.split_once(':').is_some_and(|(_, method)| method == word)
}

/// The rows of tables, and otherwise the paragraphs, that explain a variable.
fn passages<'a>(pages: &'a [Page], variable: &str) -> Vec<Found<'a>> {
    let mut found = Vec::new();
    for page in pages {
        let mut paragraph = Vec::new();
        for line in lines(&page.text).chain([Line::Prose("")]) {
            match line {
                Line::Prose(row) if row.starts_with("| ") => {
                    let first = row.split('|').nth(1).unwrap_or_default();
                    if explains(first, variable) {
                        let cells: Vec<_> = row.trim_matches('|').split('|').map(str::trim).collect();
                        found.push(Found::Passage(page, cells.join(": ")));
                    }
                }
                Line::Prose(prose) if !prose.is_empty() => paragraph.push(prose),
                _ => {
                    let text = paragraph.join("\n");
                    // A paragraph that begins with variables explains them; others only speak of them.
                    if text.starts_with("`$") && explains(&text, variable) {
                        found.push(Found::Passage(page, text));
                    }
                    paragraph.clear();
                }
            }
        }
    }
    found
}

fn explains(text: &str, variable: &str) -> bool {
    variables(text).any(|name| same(name, variable))
}

/// The variables that a text names in backquotes, without the dollar sign.
pub(crate) fn variables(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter_map(|code| code.strip_prefix('$')).filter(|name| {
        name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    })
}

/// All names that [`find`] finds, in order.
pub(crate) fn names(pages: &[Page]) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = pages.iter().flat_map(|page| &page.sections).flat_map(|section| section.names.clone()).collect();
    for page in pages {
        let prose = lines(&page.text).filter_map(|line| if let Line::Prose(prose) = line { Some(prose) } else { None });
        let prose: String = prose.map(|line| format!("{line}\n")).collect();
        let shown = variables(&prose).filter(|name| !passages(std::slice::from_ref(page), name).is_empty());
        names.extend(shown.map(|name| format!("${name}")));
    }
    names.retain(|name| name.is_ascii() && !name.contains(' '));
    names
}

/// Names like `word`: the nearest by spelling, then those that contain it.
pub(crate) fn near(pages: &[Page], word: &str) -> Vec<String> {
    let names = names(pages);
    let mut near: Vec<String> = conf::suggest::nearest(word, names.iter().map(String::as_str)).map(str::to_owned).into_iter().collect();
    if word.len() >= 3 {
        let rest: Vec<_> = names.into_iter().filter(|name| name.contains(word) && !near.contains(name)).collect();
        near.extend(rest);
    }
    near.truncate(MOST);
    near
}
