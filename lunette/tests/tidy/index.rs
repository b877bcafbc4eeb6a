//! The manual's index, and the form of its sections.

#[path = "../../src/manual/markup.rs"]
#[allow(dead_code)]
mod markup;
#[path = "../../src/manual/page.rs"]
#[allow(dead_code)]
mod page;

use crate::report;
use crate::source::{all, root};
use page::{Line, Page, Section, field, lines};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// Behind this line the index is made by [`the_index_names_every_section`].
const MADE: &str = "<!-- The rest of this page is made by a test";

/// All pages; their names are paths below `spec/` without the ending.
fn pages() -> Vec<Page> {
    fn walk(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    let spec = root().join("spec");
    let mut found = Vec::new();
    walk(&spec, &mut found);
    found.sort();
    let name = |path: &Path| path.strip_prefix(&spec).unwrap().with_extension("").display().to_string();
    found.iter().map(|path| Page::new(&name(path), &fs::read_to_string(path).unwrap())).collect()
}

fn prose(page: &Page) -> String {
    lines(&page.text).filter_map(|line| if let Line::Prose(prose) = line { Some(format!("{prose}\n")) } else { None }).collect()
}

/// Variables that rows of tables explain, or paragraphs that begin with them, without sections of their own.
fn rows(page: &Page) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for block in markup::blocks(&page.text) {
        match block {
            markup::Block::Row(cells) => found.extend(cells.first().into_iter().flat_map(|cell| variables(cell))),
            markup::Block::Paragraph(text) if text.starts_with("`$") => found.extend(variables(&text)),
            _ => {}
        }
    }
    let sections: BTreeSet<&str> = page.sections.iter().map(|section| section.heading.as_str()).collect();
    found.retain(|name| !sections.contains(name.as_str()) && name.len() > 2);
    found
}

fn variables(text: &str) -> Vec<String> {
    let code = text.split('`').skip(1).step_by(2).filter(|code| code.starts_with('$') && !code.contains([' ', '{', '=', '.', '/', '-']));
    code.map(str::to_owned).collect()
}

/// The index by alphabet: a heading for each letter, then each name with a link to its section.
fn alphabet(pages: &[Page]) -> String {
    let mut letters: BTreeMap<char, BTreeSet<(String, String)>> = BTreeMap::new();
    let mut add = |name: &str, link: String| {
        let sorted = name.trim_start_matches('$').to_lowercase();
        let letter = sorted.chars().next().unwrap_or(' ').to_ascii_uppercase();
        letters.entry(letter).or_default().insert((sorted, format!("[`{name}`]({link})")));
    };
    for page in pages {
        for section in page.sections.iter().filter(|section| section.level == 3 && page.name != "README") {
            add(&section.heading, format!("{}.md#{}", page.name, section.anchor));
        }
        rows(page).iter().for_each(|name| add(name, format!("{}.md", page.name)));
    }
    let one = |(letter, names): (&char, &BTreeSet<(String, String)>)| {
        let names: Vec<_> = names.iter().map(|(_, link)| link.as_str()).collect();
        format!("\n### {letter}\n\n{}\n", names.join(",\n"))
    };
    letters.iter().map(one).collect()
}

/// With `UPDATE_MANUAL` set, the index is written anew.
#[test]
fn the_index_names_every_section() {
    let pages = pages();
    let index = pages.iter().find(|page| page.name == "README").unwrap();
    let head = index.text.lines().take_while(|line| !line.starts_with(MADE)).count() + 1;
    let head: String = index.text.lines().take(head).map(|line| format!("{line}\n")).collect();
    let wanted = format!("{head}{}", alphabet(&pages));
    if std::env::var_os("UPDATE_MANUAL").is_some() {
        fs::write(root().join("spec/README.md"), wanted).unwrap();
        return;
    }
    assert!(wanted == index.text, "spec/README.md is behind the pages: UPDATE_MANUAL=1 cargo test -p lunette --test tidy");
}

/// Links lead to pages and sections that are there, and each page is linked to in the index's part by task.
#[test]
fn links_lead_somewhere_and_every_page_is_reached() {
    if std::env::var_os("UPDATE_MANUAL").is_some() {
        // The index is being written.
        return;
    }
    let pages = pages();
    let anchors: BTreeMap<&str, BTreeSet<&str>> =
        pages.iter().map(|page| (page.name.as_str(), page.sections.iter().map(|section| section.anchor.as_str()).collect())).collect();
    let mut findings = Vec::new();
    let mut reached = BTreeSet::new();
    for page in &pages {
        let prose = prose(page);
        let by_hand = prose.split(MADE).next().unwrap_or_default();
        for target in targets(&prose) {
            let (path, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let Some(path) = path.strip_suffix(".md") else {
                if path.ends_with(".svg") && root().join("spec").join(&page.name).with_file_name(path).exists() {
                    continue;
                }
                if path.is_empty() && anchors[page.name.as_str()].contains(anchor) {
                    continue;
                }
                findings.push(format!("{}: {target} is no page of the manual", page.name));
                continue;
            };
            let mut parts: Vec<&str> = page.name.split('/').collect();
            parts.pop();
            for part in path.split('/') {
                if part == ".." {
                    parts.pop();
                } else {
                    parts.push(part);
                }
            }
            let path = parts.join("/");
            match anchors.get(path.as_str()) {
                Some(known) if anchor.is_empty() || known.contains(anchor) => {}
                _ => findings.push(format!("{}: {target} leads nowhere", page.name)),
            }
            if page.name == "README" && targets(by_hand).contains(&target) {
                reached.insert(path);
            }
        }
    }
    findings.extend(
        pages
            .iter()
            .filter(|page| page.name != "README" && !reached.contains(&page.name))
            .map(|page| format!("{}: not in the index", page.name)),
    );
    report("links", &findings);
}

#[test]
fn links_of_the_other_texts_lead_somewhere() {
    let mut findings = Vec::new();
    let mut count = 0;
    let examples = fs::read_dir(root().join("examples"))
        .unwrap()
        .map(|entry| format!("examples/{}/README.md", entry.unwrap().file_name().to_string_lossy()));
    let texts = ["README.md", "SECURITY.md", "CONTRIBUTING.md", "examples/README.md"].map(str::to_owned).into_iter().chain(examples);
    for name in texts {
        let path = root().join(&name);
        let Ok(text) = fs::read_to_string(&path) else { continue };
        for target in targets(&text) {
            count += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let file = path.parent().unwrap().join(file);
            let there = match fs::read_to_string(&file) {
                Ok(text) => anchor.is_empty() || Page::new("", &text).sections.iter().any(|section| section.anchor == anchor),
                Err(_) => file.is_dir(),
            };
            if !there {
                findings.push(format!("{name}: {target} leads nowhere"));
            }
        }
    }
    assert!(count > 30, "the links were not found: {count}");
    report("links", &findings);
}

/// Where the links of a text lead, but for those to other places of the web.
fn targets(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for block in markup::blocks(text) {
        let texts = match block {
            markup::Block::Paragraph(text) | markup::Block::Item(text) => vec![text],
            markup::Block::Row(cells) => cells,
            _ => continue,
        };
        for text in texts {
            let links = markup::spans(&text).into_iter().filter_map(|span| match span {
                markup::Span::Link(_, target) | markup::Span::Image(_, target) => Some(target),
                _ => None,
            });
            found.extend(links.filter(|target| !target.contains("://")).map(str::to_owned));
        }
    }
    found
}

/// What the lines `- Context:` of all sections say.
pub(crate) fn contexts() -> Vec<(String, String)> {
    let of = |section: &Section| field(&section.text, "Context").map(|context| (section.heading.clone(), context.to_owned()));
    pages().iter().flat_map(|page| page.sections.iter().filter_map(of)).collect()
}

/// A directive's section begins with Syntax, Default and Context, a function's with Syntax, perhaps Default, and Context; then comes what it
/// means. A variable's section needs none.
#[test]
fn sections_have_one_form() {
    let mut findings = Vec::new();
    for page in pages() {
        if page.introduction().is_empty() {
            findings.push(format!("{}: the page does not begin with what it is for", page.name));
        }
        let sections = page.sections.iter().filter(|section| section.level == 3 && page.name != "README");
        findings.extend(sections.filter_map(|section| Some(format!("{}: {}: {}", page.name, section.heading, wrong(section)?))));
    }
    report("sections", &findings);
}

fn wrong(section: &Section) -> Option<&'static str> {
    if section.heading.starts_with('$') {
        return section.text.trim().is_empty().then_some("says nothing");
    }
    let order = |name: &str| section.text.lines().position(|line| line.starts_with(&format!("- {name}: ")));
    match (order("Syntax"), order("Default"), order("Context")) {
        (Some(1), Some(2), Some(3)) => None,
        (Some(1), None, Some(2)) if !is_directive(section) => None,
        (Some(1), None, _) if is_directive(section) => Some("Default is missing"),
        _ => Some("does not begin with Syntax, Default and Context"),
    }
}

fn is_directive(section: &Section) -> bool {
    let is_form = |syntax: &str| syntax.starts_with(&format!("`{}", section.heading)) && syntax.contains([';', '{', '|']);
    !section.heading.contains(['.', ':']) && field(&section.text, "Syntax").is_some_and(is_form)
}

/// The directives that have sections.
pub(crate) fn directives() -> BTreeSet<String> {
    let of = |page: &Page| {
        page.sections.iter().filter(|section| is_directive(section)).map(|section| section.heading.clone()).collect::<Vec<_>>()
    };
    pages().iter().flat_map(of).collect()
}

/// Names in calls such as `define(variables, "name"` and in lists `for name in ["a", "b"]` of files that define variables.
#[test]
fn every_variable_is_explained() {
    let mut known: BTreeSet<String> = BTreeSet::new();
    for page in pages() {
        known.extend(variables(&prose(&page)));
        known.extend(page.sections.iter().map(|section| section.heading.clone()));
    }
    let mut findings = Vec::new();
    let mut count = 0;
    for source in all().into_iter().filter(|source| !source.is_test && source.crate_name != "session") {
        let text: String = source.shipped().map(|(_, line)| format!("{line}\n")).collect();
        for name in defined(&text) {
            count += 1;
            let shown = if name.ends_with('_') && name != "_" { format!("${name}NAME") } else { format!("${name}") };
            let explains = |known: &String| match known.strip_suffix("NAME") {
                Some(family) => shown == *known || !name.ends_with('_') && shown.starts_with(family),
                None => shown.eq_ignore_ascii_case(known),
            };
            if !known.iter().any(explains) {
                findings.push(format!("{}: {shown} is not in the manual", source.path));
            }
        }
    }
    assert!(count > 60, "the variables were not found: {count}");
    report("variables", &findings);
}

fn defined(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let renamed = if text.contains("define as variable") { "variable(" } else { "define(" };
    for call in ["define(", "define_settable(", "define_family(", renamed] {
        for (at, _) in text.match_indices(call) {
            let arguments = text[at + call.len()..].trim_start();
            let arguments = arguments.strip_prefix("variables,").unwrap_or(arguments).trim_start();
            if let Some((name, _)) = arguments.strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                found.insert(name.to_owned());
            }
        }
    }
    if text.contains("fn define(variables: &mut Variables)") {
        for (at, _) in text.match_indices("for name in [") {
            let list = text[at..].split_once(']').map_or("", |(list, _)| list);
            found.extend(list.split('"').skip(1).step_by(2).map(str::to_owned));
        }
        // A table of pairs: the name, then what tells the value.
        for (at, _) in text.match_indices("\n    (\"") {
            found.extend(text[at + 7..].split_once('"').map(|(name, _)| name.to_owned()));
        }
    }
    found
}
