//! The part of Markdown that the manual uses, as blocks and spans.

use super::page::{Line, heading, lines};

/// A block.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Block {
    Heading(usize, String),
    Paragraph(String),
    /// An item of a list.
    Item(String),
    /// A row of a table.
    Row(Vec<String>),
    /// What stands behind the fence, and the text.
    Code(String, String),
}

/// A piece of a line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Span<'a> {
    Text(&'a str),
    Code(&'a str),
    Emphasis(&'a str),
    Strong(&'a str),
    /// Words and target.
    Image(&'a str, &'a str),
    /// Words and target.
    Link(&'a str, &'a str),
}

/// The blocks of a text. The line below a table's head is left out.
pub(crate) fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    // Whether the next line may go on with the last block.
    let mut open = false;
    for line in lines(text) {
        match line {
            Line::Fence(Some(info)) => blocks.push(Block::Code(info.to_owned(), String::new())),
            Line::Fence(None) => open = false,
            Line::Code(code) => {
                if let Some(Block::Code(_, text)) = blocks.last_mut() {
                    text.push_str(code);
                    text.push('\n');
                }
            }
            Line::Prose("") => open = false,
            Line::Prose(prose) => {
                let block = begin(prose);
                match (block, blocks.last_mut()) {
                    (Block::Paragraph(more), Some(Block::Paragraph(text) | Block::Item(text))) if open => {
                        text.push(' ');
                        text.push_str(more.trim());
                    }
                    (Block::Row(cells), _) if cells.iter().all(|cell| cell.starts_with("--")) => {}
                    (block, _) => {
                        open = matches!(block, Block::Paragraph(_) | Block::Item(_));
                        blocks.push(block);
                    }
                }
            }
        }
    }
    blocks
}

fn begin(prose: &str) -> Block {
    if let Some((level, words)) = heading(prose) {
        return Block::Heading(level, words.to_owned());
    }
    if let Some(item) = prose.trim_start().strip_prefix("- ") {
        return Block::Item(item.to_owned());
    }
    match prose.strip_prefix('|') {
        Some(row) => Block::Row(row.trim_end_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()),
        None => Block::Paragraph(prose.to_owned()),
    }
}

/// The spans of a line.
pub(crate) fn spans(text: &str) -> Vec<Span<'_>> {
    let mut spans = Vec::new();
    let mut rest = text;
    let mut plain = 0;
    while let Some(at) = rest.get(plain..).and_then(|tail| tail.find(['`', '*', '[', '!', '\\'])).map(|at| at + plain) {
        let (before, tail) = rest.split_at(at);
        let Some((span, length)) = special(tail) else {
            plain = at + 1;
            continue;
        };
        if !before.is_empty() {
            spans.push(Span::Text(before));
        }
        spans.push(span);
        rest = tail.get(length..).unwrap_or_default();
        plain = 0;
    }
    if !rest.is_empty() {
        spans.push(Span::Text(rest));
    }
    spans
}

/// The span that begins here, and its length with its marks.
fn special(tail: &str) -> Option<(Span<'_>, usize)> {
    let between = |open: &str, close: &str| {
        let inner = tail.strip_prefix(open)?;
        inner
            .find(close)
            .filter(|end| *end > 0)
            .and_then(|end| inner.get(..end))
            .map(|inner| (inner, open.len() + inner.len() + close.len()))
    };
    if let Some(escaped) = tail.strip_prefix('\\') {
        let one = escaped.get(..1).filter(|one| one.bytes().all(|byte| byte.is_ascii_punctuation()))?;
        return Some((Span::Text(one), 2));
    }
    if let Some((code, length)) = between("`", "`") {
        return Some((Span::Code(code), length));
    }
    if let Some((words, length)) = between("**", "**") {
        return Some((Span::Strong(words), length));
    }
    if let Some((words, length)) = between("*", "*").filter(|(words, _)| !words.starts_with(' ') && !words.starts_with('*')) {
        return Some((Span::Emphasis(words), length));
    }
    let is_image = tail.starts_with('!');
    let (words, head) = between(if is_image { "![" } else { "[" }, "](")?;
    let target = tail.get(head..)?.split_once(')')?.0;
    Some((if is_image { Span::Image(words, target) } else { Span::Link(words, target) }, head + target.len() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_are_told_apart() {
        let text = "# A\none\ntwo\n\n- x\n  y\n- z\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```nginx\n# c\n```\nend";
        let owned = str::to_owned;
        let expected = [
            Block::Heading(1, owned("A")),
            Block::Paragraph(owned("one two")),
            Block::Item(owned("x y")),
            Block::Item(owned("z")),
            Block::Row(vec![owned("a"), owned("b")]),
            Block::Row(vec![owned("1"), owned("2")]),
            Block::Code(owned("nginx"), owned("# c\n")),
            Block::Paragraph(owned("end")),
        ];
        assert_eq!(blocks(text), expected);
    }

    #[test]
    fn spans_are_told_apart() {
        use Span::{Code, Emphasis, Image, Link, Strong, Text};
        let expected = [
            Text("a "),
            Code("*b*"),
            Text(" "),
            Link("`c`", "d.md#e"),
            Text(" "),
            Strong("f"),
            Emphasis("g"),
            Text("*"),
            Text(" 1 * 2 [x]"),
        ];
        assert_eq!(spans("a `*b*` [`c`](d.md#e) **f***g*\\* 1 * 2 [x]"), expected);
        assert_eq!(spans("![a b](c.svg)! [d]"), [Image("a b", "c.svg"), Text("! [d]")]);
    }
}
