//! The manual as text for a terminal.

use super::markup::{Block, Span, blocks, spans};
use super::page::Page;
use super::search::Found;
use std::fmt::Write;

/// Lines are not longer than this, where words allow it.
const WIDTH: usize = 96;

/// What `lunette help` prints: the usage and the pages.
pub(crate) fn overview(pages: &[Page], usage: &str) -> String {
    let rows = pages.iter().map(|page| format!("  {:<26} {}\n", page.name, page.title));
    format!("{usage}\nPages:\n{}", rows.collect::<String>())
}

/// What was found, one after the other; names are bold when `bold` says so.
pub(crate) fn rendered(found: &[Found<'_>], bold: bool) -> String {
    let mut out = String::new();
    for found in found {
        if !out.is_empty() {
            out.push('\n');
        }
        match found {
            Found::Section(page, section) => {
                headline(&mut out, &section.heading, page, bold);
                render(&mut out, &section.text);
            }
            Found::Passage(page, text) => {
                headline(&mut out, &page.title, page, bold);
                render(&mut out, text);
            }
            Found::Page(page) => {
                headline(&mut out, &page.title, page, bold);
                render(&mut out, page.introduction());
                let names: Vec<_> = page.sections.iter().filter(|section| section.level == 3).map(|section| &*section.heading).collect();
                if !names.is_empty() {
                    out.push_str("\nIt explains:\n");
                    wrap(&mut out, &names.join(", "), "  ", "  ");
                }
            }
        }
    }
    out
}

fn headline(out: &mut String, words: &str, page: &Page, bold: bool) {
    let (on, off) = if bold { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
    // Writing to a text cannot fail.
    let _ = writeln!(out, "{on}{words}{off}  ({})\n", page.name);
}

fn render(out: &mut String, text: &str) {
    let mut before = None;
    for block in blocks(text) {
        let is_item = matches!(block, Block::Item(_) | Block::Row(_));
        if before == Some(false) || before.is_some() && !is_item {
            out.push('\n');
        }
        before = Some(is_item);
        match block {
            Block::Heading(_, words) => wrap(out, &words, "", ""),
            Block::Paragraph(text) => wrap(out, &plain(&text), "", ""),
            Block::Item(text) => wrap(out, &plain(&text), "- ", "  "),
            Block::Row(cells) => wrap(out, &cells.iter().map(|cell| plain(cell)).collect::<Vec<_>>().join(": "), "- ", "  "),
            Block::Code(kind, text) => {
                if matches!(&*kind, "request" | "response") || kind.starts_with("file ") {
                    let _ = writeln!(out, "  {kind}:");
                }
                for line in text.lines() {
                    let _ = writeln!(out, "    {line}");
                }
            }
        }
    }
}

/// The words of a line without marks; code keeps its backquotes, and links their targets outside of the manual.
fn plain(text: &str) -> String {
    let word = |span: Span<'_>| match span {
        Span::Text(words) | Span::Emphasis(words) | Span::Strong(words) => words.to_owned(),
        Span::Code(code) => format!("`{code}`"),
        Span::Image(words, _) => format!("[{words}]"),
        Span::Link(words, target) if target.contains("://") => format!("{} <{target}>", plain(words)),
        Span::Link(words, _) => plain(words),
    };
    spans(text).into_iter().map(word).collect()
}

/// Breaks a text into lines; the first one begins with `first`, the others with `next`.
fn wrap(out: &mut String, text: &str, first: &str, next: &str) {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            next.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    out.push_str(&line);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_are_readable_text() {
        let page = Page::new(
            "a/b",
            "# T\n\n### x\n\n- Syntax: `x [a](b);`\n- Default: none\n\nIs [`y`](z.md#y), *so* **it** is.\n```request\nGET /\n```\n",
        );
        let section = page.sections.first().unwrap();
        let text = rendered(&[Found::Section(&page, section)], false);
        assert_eq!(text, "x  (a/b)\n\n- Syntax: `x [a](b);`\n- Default: none\n\nIs `y`, so it is.\n\n  request:\n    GET /\n");
        let mut out = String::new();
        wrap(&mut out, &"word ".repeat(40), "- ", "  ");
        assert!(out.lines().all(|line| line.len() <= WIDTH) && out.lines().count() > 1, "{out}");
    }
}
