//! `cjson.decode`: the text becomes tokens, and these Lua values.

use lua::{Builder, Cx, Raise, Stack};
use std::cell::Cell;
use wire::json::{Document, Rules, Token};

const COMMENTS: u32 = 1;
const ODD_NUMBERS: u32 = 2;

thread_local!(static KEPT: Cell<Document> = Cell::default());

/// `json_decode(array_mt?, flags, max_depth, text)`
pub(super) fn decode(_: &Cx, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    if stack.top() != 4 {
        return Err(Raise::argument(1, "decode", "expected 1 argument"));
    }
    let flags = stack.number(2).unwrap_or_default() as u32;
    let rules = Rules {
        max_depth: stack.number(3).unwrap_or_default() as usize,
        odd_numbers: flags & ODD_NUMBERS != 0,
        comments: flags & COMMENTS != 0,
    };
    let Some(text) = stack.bytes(4) else {
        let what = format!("string expected, got {}", stack.kind(4).name());
        return Err(Raise::argument(1, "decode", &what));
    };
    // A finalizer that runs meanwhile may decode too: it finds an empty document.
    let mut document = KEPT.take();
    let result = document.parse(text, rules).map_err(Raise::new).and_then(|()| {
        let nested = || Raise::new(format!("Found too many nested data structures ({})", document.depth()));
        let builder = Builder::new(stack, document.depth(), Some(1)).ok_or_else(nested)?;
        if build(&document, builder) { Ok(1) } else { Err(Raise::fixed("the text is not whole")) }
    });
    if !document.is_large() {
        KEPT.set(document);
    }
    result
}

fn build(document: &Document, mut builder: Builder<'_, '_>) -> bool {
    // A container's first token within an object is a key, then they alternate; `keys` says for each open container how
    // many tokens of its own are to come, and whether it is an object.
    let mut open: Vec<(usize, bool)> = Vec::with_capacity(document.depth());
    for token in document.tokens() {
        while let Some((0, _)) = open.last() {
            open.pop();
        }
        let mut is_key = false;
        if let Some((left, object)) = open.last_mut() {
            is_key = *object && *left % 2 == 0;
            *left -= 1;
        }
        match *token {
            Token::Plain(..) | Token::Decoded(..) if is_key => builder.key(document.string(*token)),
            Token::Plain(..) | Token::Decoded(..) => builder.bytes(document.string(*token)),
            Token::Number(value) => builder.number(value),
            Token::Bool(value) => builder.bool(value),
            Token::Null => builder.null(),
            Token::Array(count) => {
                builder.array(count as usize);
                open.push((count as usize, false));
            }
            Token::Object(count) => {
                builder.object(count as usize);
                open.push((count as usize * 2, true));
            }
        }
    }
    builder.finish()
}
