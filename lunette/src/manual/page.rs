//! The manual's pages split into titles, sections, and the names that each section documents.

use std::borrow::Cow;

/// A page.
#[derive(Debug)]
pub(crate) struct Page {
    /// Its path without the ending: `core/files`.
    pub(crate) name: String,
    /// The whole text.
    pub(crate) text: String,
    /// What stands behind `# `.
    pub(crate) title: String,
    pub(crate) sections: Vec<Section>,
}

/// A part of a page that has a heading of its own, behind `## ` or `### `.
#[derive(Debug)]
pub(crate) struct Section {
    pub(crate) heading: String,
    /// 2 or 3. Sections of level 3 explain a directive, a function or a variable.
    pub(crate) level: usize,
    /// The part of a link behind `#`.
    pub(crate) anchor: String,
    /// The text below the heading.
    pub(crate) text: String,
    /// Names that the heading or the line `- Syntax:` give.
    pub(crate) names: Vec<String>,
}

/// The parts of the packed manual, as `build.rs` writes them: names and texts.
fn parts(packed: &str) -> impl Iterator<Item = (&str, &str)> {
    packed.split('\x01').filter_map(|part| part.split_once('\n'))
}

/// The pages of the packed manual.
pub(crate) fn pages(packed: &str) -> Vec<Page> {
    parts(packed).filter(|(name, _)| !name.ends_with(".svg")).map(|(name, text)| Page::new(name, text)).collect()
}

/// Its plots: paths and drawings.
pub(crate) fn plots(packed: &str) -> impl Iterator<Item = (&str, &str)> {
    parts(packed).filter(|(name, _)| name.ends_with(".svg"))
}

/// The kind of a line, for finding code blocks.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub(crate) enum Line<'a> {
    /// Outside of a block.
    Prose(&'a str),
    /// The fence in front of a block, with what stands behind it, or the one at its end.
    Fence(Option<&'a str>),
    /// In a block.
    Code(&'a str),
}

/// The lines of a text.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    let mut inside = false;
    text.lines().map(move |line| match line.strip_prefix("```") {
        Some(info) => {
            inside = !inside;
            Line::Fence(inside.then_some(info))
        }
        None if inside => Line::Code(line),
        None => Line::Prose(line),
    })
}

/// Level and words of a heading.
pub(crate) fn heading(line: &str) -> Option<(usize, &str)> {
    let level = line.bytes().take_while(|byte| *byte == b'#').count();
    let words = line.get(level..)?.strip_prefix(' ')?;
    (1..=3).contains(&level).then_some((level, words.trim()))
}

/// The part of a link behind `#` for a heading: letters, digits, `-` and `_`, as GitHub makes it.
pub(crate) fn anchor(heading: &str) -> String {
    let kept = |c: char| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || matches!(c, '-' | '_') => Some(c.to_ascii_lowercase()),
        _ => None,
    };
    heading.chars().filter_map(kept).collect()
}

impl Page {
    pub(crate) fn new(name: &str, text: &str) -> Page {
        let mut page = Page { name: name.to_owned(), text: text.to_owned(), title: String::new(), sections: Vec::new() };
        for (line, raw) in lines(text).zip(text.lines()) {
            let head = if let Line::Prose(prose) = line { heading(prose) } else { None };
            match head {
                Some((1, words)) => page.title = words.to_owned(),
                Some((level, words)) => page.begin(level, words),
                None => {
                    if let Some(section) = page.sections.last_mut() {
                        section.text.push_str(raw);
                        section.text.push('\n');
                    }
                }
            }
        }
        for section in &mut page.sections {
            section.names = names(section);
        }
        page
    }

    fn begin(&mut self, level: usize, words: &str) {
        let bare = anchor(words);
        let same = self.sections.iter().filter(|section| anchor(&section.heading) == bare).count();
        let anchor = if same == 0 { bare } else { format!("{bare}-{same}") };
        self.sections.push(Section { heading: words.to_owned(), level, anchor, text: String::new(), names: Vec::new() });
    }

    /// What stands between the title and the first section.
    pub(crate) fn introduction(&self) -> &str {
        let behind = self.text.split_once('\n').map_or("", |(_, rest)| rest);
        let end = behind.match_indices('\n').map(|(at, _)| at + 1).find(|at| behind.get(*at..).is_some_and(|rest| rest.starts_with("##")));
        behind.get(..end.unwrap_or(behind.len())).unwrap_or_default().trim()
    }
}

/// The value of a line such as `- Syntax: …`.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    lines(text).find_map(|line| match line {
        Line::Prose(prose) => prose.strip_prefix("- ")?.strip_prefix(name)?.strip_prefix(": "),
        _ => None,
    })
}

fn names(section: &Section) -> Vec<String> {
    if section.level != 3 {
        return Vec::new();
    }
    let mut names = vec![section.heading.clone()];
    let syntax = field(&section.text, "Syntax").unwrap_or_default();
    // Every second part of the line stands between backquotes.
    for spelling in syntax.split('`').skip(1).step_by(2) {
        let Some(name) = spelled(spelling) else { continue };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

/// The name in `a, err = ngx.x.name(…)`, `name value;` or `require "library".name(…)`.
fn spelled(spelling: &str) -> Option<String> {
    let right = spelling.split_once(" = ").filter(|(left, _)| !left.contains(['(', '"'])).map_or(spelling, |(_, right)| right);
    let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':');
    let right: Cow<'_, str> = match right.strip_prefix("require \"") {
        Some(library) => Cow::Owned(library.replacen('"', "", 1)),
        None => Cow::Borrowed(right),
    };
    let name = right.split(|c: char| !in_name(c)).next().unwrap_or_default().trim_end_matches([':', '.']);
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Title\n\nWhat it is.\n\n### ngx.md5\n\n- Syntax: `a = ngx.md5(b)`, `a = ngx.md5_bin(b)`\n\nText.\n```nginx\n# no title\n### none\n```\n\
                        ## More\n\n### ngx.md5\n- Syntax: `x = require \"ngx.y\".z(1)`\n";

    #[test]
    fn pages_are_taken_apart() {
        let packed = format!("\x01a/b\n{TEXT}\x01c\n# C\n\x01d/e.svg\n<svg/>");
        let pages = pages(&packed);
        assert_eq!(plots(&packed).collect::<Vec<_>>(), [("d/e.svg", "<svg/>")]);
        let [page, other] = pages.as_slice() else { panic!("{pages:?}") };
        assert_eq!((&*page.name, &*page.title, page.introduction(), &*other.title), ("a/b", "Title", "What it is.", "C"));
        let seen: Vec<_> = page.sections.iter().map(|s| (s.level, &*s.anchor, s.names.join(" "))).collect();
        assert_eq!(
            seen,
            [(3, "ngxmd5", "ngx.md5 ngx.md5_bin".to_owned()), (2, "more", String::new()), (3, "ngxmd5-1", "ngx.md5 ngx.y.z".to_owned())]
        );
        assert!(page.sections.first().is_some_and(|section| section.text.contains("### none")));
    }

    #[test]
    fn names_are_found_in_spellings() {
        let found = |text: &str| spelled(text).unwrap_or_default();
        assert_eq!(found("proxy_pass URL;"), "proxy_pass");
        assert_eq!(found("local redis = require \"resty.redis\""), "resty.redis");
        assert_eq!(found("value = ngx.var.NAME"), "ngx.var.NAME");
        assert_eq!(found("sock:connect(\"unix:path\", options?)"), "sock:connect");
        assert_eq!(found("…"), "");
    }
}
