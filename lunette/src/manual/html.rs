//! The manual as HTML: a file for each page, one style sheet, and one script that searches. Nothing is loaded from elsewhere.

use super::markup::{Block, Span, blocks, spans};
use super::page::{Page, anchor};
use super::search;
use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::io;
use std::path::Path;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("search.js");

/// The page that the manual begins with.
const FIRST: &str = "README";

/// Writes the manual below `directory`, which is made if it is not there.
pub(crate) fn write<'a>(pages: &[Page], plots: impl Iterator<Item = (&'a str, &'a str)>, directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join("style.css"), STYLE)?;
    fs::write(directory.join("search.js"), format!("const names = [\n{}];\n\n{SCRIPT}", index(pages)))?;
    for page in pages {
        put(directory, &file(&page.name), &whole(page))?;
    }
    for (name, drawing) in plots {
        put(directory, name, drawing)?;
    }
    Ok(())
}

fn put(directory: &Path, name: &str, text: &str) -> io::Result<()> {
    let path = directory.join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::write(path, text)
}

/// A page's file: the first page is the directory's index.
fn file(name: &str) -> String {
    if name == FIRST { "index.html".to_owned() } else { format!("{name}.html") }
}

/// What the script searches, as lines of an array: name, page's title, link.
fn index(pages: &[Page]) -> String {
    let mut out = String::new();
    let mut add = |name: &str, title: &str, link: &str| {
        // Writing to a text cannot fail.
        let _ = writeln!(out, "[{}, {}, {}],", quoted(name), quoted(title), quoted(link));
    };
    for page in pages {
        let link = file(&page.name);
        add(&page.title, &page.name, &link);
        for section in &page.sections {
            let link = format!("{link}#{}", section.anchor);
            let names = if section.names.is_empty() { std::slice::from_ref(&section.heading) } else { section.names.as_slice() };
            names.iter().for_each(|name| add(name, &page.title, &link));
        }
        let variables: HashSet<_> = search::names(std::slice::from_ref(page)).into_iter().filter(|name| name.starts_with('$')).collect();
        let mut variables: Vec<_> =
            variables.into_iter().filter(|name| !page.sections.iter().any(|section| section.heading == *name)).collect();
        variables.sort_unstable();
        variables.iter().for_each(|name| add(name, &page.title, &link));
    }
    out
}

/// A text of JavaScript that also may stand in HTML.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('<', "\\u003c"))
}

fn whole(page: &Page) -> String {
    let up = "../".repeat(page.name.matches('/').count());
    let title = escaped(&page.title);
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\" data-root=\"{up}\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" href=\"{up}style.css\">\n<script src=\"{up}search.js\" defer></script>\n</head>\n<body>\n\
         <header><a href=\"{up}index.html\">Lunette</a>\n\
         <input type=\"search\" id=\"search\" placeholder=\"Directive, variable or function\" aria-label=\"Search the manual\" autocomplete=\"off\">\n\
         <ol id=\"found\" hidden></ol></header>\n<main>\n{}</main>\n</body>\n</html>\n",
        body(&page.text)
    )
}

/// The list or table that is open around the blocks.
#[derive(PartialEq, Clone, Copy)]
enum Around {
    Nothing,
    List,
    Table,
}

fn body(text: &str) -> String {
    let mut out = String::new();
    let mut around = Around::Nothing;
    let mut anchors = Vec::new();
    for block in blocks(text) {
        let wanted = match block {
            Block::Item(_) => Around::List,
            Block::Row(_) => Around::Table,
            _ => Around::Nothing,
        };
        let is_head = enter(&mut out, &mut around, wanted);
        let _ = match block {
            Block::Heading(level, words) => {
                let id = anchor(&words);
                let same = anchors.iter().filter(|other| **other == id).count();
                let own = if same == 0 { id.clone() } else { format!("{id}-{same}") };
                anchors.push(id);
                writeln!(out, "<h{level} id=\"{own}\"><a href=\"#{own}\">{}</a></h{level}>", escaped(&words))
            }
            Block::Paragraph(text) => writeln!(out, "<p>{}</p>", inline(&text)),
            Block::Item(text) => writeln!(out, "<li>{}</li>", inline(&text)),
            Block::Row(cells) => {
                let tag = if is_head { "th" } else { "td" };
                let cells: String = cells.iter().map(|cell| format!("<{tag}>{}</{tag}>", inline(cell))).collect();
                writeln!(out, "<tr>{cells}</tr>")
            }
            Block::Code(kind, text) => {
                let label = match &*kind {
                    "request" | "response" => Some(kind.as_str()),
                    other => other.strip_prefix("file "),
                };
                let label = label.map(|label| format!("<figcaption>{}</figcaption>", escaped(label))).unwrap_or_default();
                writeln!(out, "<figure>{label}<pre><code>{}</code></pre></figure>", escaped(&text))
            }
        };
    }
    enter(&mut out, &mut around, Around::Nothing);
    out
}

/// Opens and closes lists and tables. Whether a table has been opened.
fn enter(out: &mut String, around: &mut Around, wanted: Around) -> bool {
    if *around == wanted {
        return false;
    }
    out.push_str(match around {
        Around::Nothing => "",
        Around::List => "</ul>\n",
        Around::Table => "</table>\n",
    });
    out.push_str(match wanted {
        Around::Nothing => "",
        Around::List => "<ul>\n",
        Around::Table => "<table>\n",
    });
    *around = wanted;
    wanted == Around::Table
}

fn inline(text: &str) -> String {
    let one = |span: Span<'_>| match span {
        Span::Text(words) => escaped(words),
        Span::Code(code) => format!("<code>{}</code>", escaped(code)),
        Span::Emphasis(words) => format!("<em>{}</em>", inline(words)),
        Span::Strong(words) => format!("<strong>{}</strong>", inline(words)),
        Span::Image(words, target) => format!("<img src=\"{}\" alt=\"{}\">", escaped(target), escaped(words)),
        Span::Link(words, target) => format!("<a href=\"{}\">{}</a>", escaped(&link(target)), inline(words)),
    };
    spans(text).into_iter().map(one).collect()
}

/// A link to a page of the manual leads to its file.
fn link(target: &str) -> String {
    let (path, rest) = target.find('#').map_or((target, ""), |at| target.split_at(at));
    match path.strip_suffix(".md") {
        Some(page) if !path.contains("://") => {
            let (directory, name) = page.rfind('/').map_or(("", page), |at| page.split_at(at + 1));
            format!("{directory}{}{rest}", file(name))
        }
        _ => target.to_owned(),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_become_html() {
        let page = Page::new(
            "a/b",
            "# T & U\n\n### x\n\n- Syntax: `x <y>;`\n\nSee [z](../c.md#z) and [top](../README.md).\n\n![p < q](r.svg)\n\n| a | b |\n|---|---|\n| 1 | 2 |\n",
        );
        let html = whole(&page);
        for part in [
            "<title>T &amp; U</title>",
            "href=\"../style.css\"",
            "<h3 id=\"x\">",
            "<ul>\n<li>Syntax: <code>x &lt;y&gt;;</code></li>\n</ul>",
            "<a href=\"../c.html#z\">z</a>",
            "<a href=\"../index.html\">top</a>",
            "<p><img src=\"r.svg\" alt=\"p &lt; q\"></p>",
            "<table>\n<tr><th>a</th><th>b</th></tr>\n<tr><td>1</td><td>2</td></tr>\n</table>",
        ] {
            assert!(html.contains(part), "{part} is not in {html}");
        }
        assert!(index(&[page]).contains("[\"x\", \"T & U\", \"a/b.html#x\"],"));
        assert_eq!(quoted("a\"\\<"), "\"a\\\"\\\\\\u003c\"");
    }
}
