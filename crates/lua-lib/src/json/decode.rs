//! `cjson.decode`: the text becomes tokens, and these Lua values.

use base::saturated::Saturated;
use lua::{Builder, CallContext, Raise, Stack};
use std::cell::Cell;
use wire::json::{Document, Rules, Token};

const COMMENTS: u32 = 1;
const ODD_NUMBERS: u32 = 2;

const DEFAULTS: Rules = Rules { max_depth: 1000, odd_numbers: true, comments: false };

thread_local!(static KEPT: Cell<Option<Box<Document>>> = const { Cell::new(None) });

/// Flags and depth, when they were set.
fn rules(stack: &mut Stack<'_>, index: usize) -> Rules {
    let mut number = |item| {
        stack.get_item(index, item);
        let value = stack.number(stack.top()).unwrap_or_default();
        stack.truncate(stack.top() - 1);
        value
    };
    let flags = u32::saturated(number(1));
    Rules { max_depth: usize::saturated(number(2)), odd_numbers: flags & ODD_NUMBERS != 0, comments: flags & COMMENTS != 0 }
}

/// `json_decode(array_mt?, settings?, text)`
pub(super) fn decode(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    if stack.top() != 3 {
        return Err(Raise::argument(1, "decode", "expected 1 argument"));
    }
    let rules = if stack.is_nil(2) { DEFAULTS } else { rules(stack, 2) };
    let Some(text) = stack.bytes(3) else {
        let what = format!("string expected, got {}", stack.kind(3).name());
        return Err(Raise::argument(1, "decode", &what));
    };
    // A finalizer that runs meanwhile may decode too: it finds no document and makes its own.
    let mut document = KEPT.take().unwrap_or_default();
    let result = document.parse(text, rules).map_err(|error| Raise::new(error.to_string())).and_then(|()| {
        let nested = || Raise::new(format!("Found too many nested data structures ({})", document.depth()));
        let builder = Builder::new(stack, document.depth(), Some(1)).ok_or_else(nested)?;
        build(&document, builder).map(|()| 1)
    });
    if !document.is_large() {
        KEPT.set(Some(document));
    }
    result
}

fn build(document: &Document, mut builder: Builder<'_, '_>) -> Result<(), Raise> {
    for token in document.tokens() {
        match *token {
            Token::Plain(..) | Token::Decoded(..) => builder.string(document.string(*token)),
            Token::Number(value) => builder.number(value),
            Token::Bool(value) => builder.bool(value),
            Token::Null => builder.null(),
            Token::Array(count) => builder.array(count as usize),
            Token::Object(count) => builder.object(count as usize),
        }
    }
    builder.finish()
}
