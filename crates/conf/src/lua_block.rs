//! The body of a `*_by_lua_block`: Lua up to the brace that matches, whatever strings and
//! comments hold.
//!
//! Braces count outside of strings (`"`, `'`, `[[`, `[=[`) and comments (`--`, `--[[`). What is not
//! valid Lua is left for the Lua compiler to refuse with its own message, except where the end of
//! the block cannot be found.

use std::fmt;

/// What ends the search without a block. Offsets are bytes into the text given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BadBlock {
    /// A long bracket is never closed.
    LongBracket {
        /// Where it opens.
        at: usize,
        /// The closing bracket that is missing, `]==]`.
        closing: String,
    },
    /// The text ends within the block.
    Eof {
        /// The innermost place to blame: the last `{` seen, or the start.
        at: usize,
    },
}

/// The message of lua-nginx-module.
impl fmt::Display for BadBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::LongBracket { closing, .. } => write!(
                f,
                "Lua code block missing the closing long bracket \"{closing}\", \
                 the inlined Lua code may be too long"
            ),
            Self::Eof { .. } => f.write_str("unexpected end of file, expecting terminating characters for lua code block"),
        }
    }
}

impl std::error::Error for BadBlock {}

impl BadBlock {
    /// The offset to blame.
    #[must_use]
    pub(crate) fn at(&self) -> usize {
        match self {
            Self::LongBracket { at, .. } | Self::Eof { at } => *at,
        }
    }
}

/// The length of the Lua code at the start of `text`, which begins right behind the opening `{`;
/// the closing brace stands at that offset.
///
/// # Errors
/// [`BadBlock`].
pub(crate) fn scan(text: &[u8]) -> Result<usize, BadBlock> {
    let mut depth = 1u32;
    let mut at = 0;
    let mut blame = 0;
    while let Some(&byte) = text.get(at) {
        match byte {
            b'{' => {
                depth = depth.saturating_add(1);
                blame = at;
                at += 1;
            }
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return Ok(at);
                }
                at += 1;
            }
            b'"' | b'\'' => at = behind_string(text, at, byte),
            b'[' => at = behind_long(text, at, at)?.unwrap_or(at + 1),
            b'-' if text.get(at + 1) == Some(&b'-') => {
                at = match behind_long(text, at, at + 2)? {
                    Some(end) => end,
                    None => {
                        let rest = text.get(at..).unwrap_or(&[]);
                        at + memchr::memchr(b'\n', rest).unwrap_or(rest.len())
                    }
                };
            }
            _ => at += 1,
        }
    }
    Err(BadBlock::Eof { at: blame })
}

/// A quote that is not closed on its line is no string: Lua will say so.
fn behind_string(text: &[u8], start: usize, quote: u8) -> usize {
    let mut at = start + 1;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b'\n' => return start + 1,
            // The backslash also joins lines, and `\z` swallows all white space that follows.
            b'\\' if text.get(at) == Some(&b'z') => {
                let rest = text.get(at + 1..).unwrap_or(&[]);
                at += 1 + rest.iter().take_while(|b| b.is_ascii_whitespace()).count();
            }
            b'\\' if text.get(at..at + 2) == Some(b"\r\n") => at += 2,
            b'\\' => at += 1,
            _ if byte == quote => return at,
            _ => {}
        }
    }
    start + 1
}

/// Where the long bracket that opens at `open` ends; `None` when none opens there.
fn behind_long(text: &[u8], start: usize, open: usize) -> Result<Option<usize>, BadBlock> {
    let rest = text.get(open..).unwrap_or(&[]);
    let Some(inner) = rest.strip_prefix(b"[") else {
        return Ok(None);
    };
    let level = inner.iter().take_while(|&&byte| byte == b'=').count();
    if inner.get(level) != Some(&b'[') {
        return Ok(None);
    }
    let closing = format!("]{}]", "=".repeat(level));
    let from = open + level + 2;
    let body = text.get(from..).unwrap_or(&[]);
    match memchr::memmem::find(body, closing.as_bytes()) {
        Some(found) => Ok(Some(from + found + closing.len())),
        None => Err(BadBlock::LongBracket { at: start, closing }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Result<&str, BadBlock> {
        scan(text.as_bytes()).map(|len| &text[..len])
    }

    #[test]
    fn blocks_end_at_their_brace() {
        for lua in [
            "",
            " ngx.say('x') ",
            " local t = {a = {1, 2}, {}} ",
            r#" s = "}\"}" .. '\'}' "#,
            " --}} {{\n x() ",
            " --[[ } ]] x() ",
            " --[==[ }\n]=] ]==] x() ",
            " s = [[}]] t = [=[ ]] } ]=] ",
            " a[b[1]] = c[ [[k]] ] ",
            " [[ok--]] [==[ok--]==] --[[ --]] x() ",
            " s = \"a\\\n}\" ",
            " s = \"a\\z\n   }\" ",
            " -- it's } \n",
            " --[=x } \n",
            " x = a - -b ",
            "\n]=]\n",
        ] {
            assert_eq!(code(&format!("{lua}}} {{ }}")), Ok(lua));
        }
    }

    #[test]
    fn a_lone_quote_does_not_swallow_the_file() {
        assert_eq!(code(" x = 'abc\n }\n location / { a 'b'; }"), Ok(" x = 'abc\n "));
    }

    #[test]
    fn errors() {
        let long = |at, closing: &str| Err(BadBlock::LongBracket { at, closing: closing.into() });
        assert_eq!(code(" ngx.say([[x\") }"), long(9, "]]"));
        assert_eq!(code(" ngx.say([==[x\") }"), long(9, "]==]"));
        assert_eq!(code(" --[[ }"), long(1, "]]"));
        assert_eq!(code(" --[=[ }"), long(1, "]=]"));
        assert_eq!(code(" x { "), Err(BadBlock::Eof { at: 3 }));
        assert_eq!(code(" -- }"), Err(BadBlock::Eof { at: 0 }));
    }
}
