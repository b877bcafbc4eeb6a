//! A block with its enclosing blocks, and the variables that clients control.

use conf::tree::{Block, Directive, Word};
use std::collections::BTreeSet;

/// A block.
pub(super) struct Scope<'a> {
    /// Its directive's name.
    pub(super) name: &'a str,
    /// Its directive's words.
    pub(super) args: &'a [Word],
    pub(super) block: &'a Block,
    pub(super) above: Option<&'a Scope<'a>>,
}

impl<'a> Scope<'a> {
    /// The directives of this name that stand in it.
    pub(super) fn named(&self, name: &'a str) -> impl Iterator<Item = &'a Directive> {
        self.block.directives.iter().filter(move |directive| directive.name.bytes == name.as_bytes())
    }

    /// Whether a directive whose name `is_wanted` stands in it or around it.
    pub(super) fn has(&self, is_wanted: &dyn Fn(&str) -> bool) -> bool {
        self.block.directives.iter().any(|directive| is_wanted(&directive.name.text()))
            || self.above.is_some_and(|above| above.has(is_wanted))
    }
}

/// The names of variables in a text: `$name` and `${name}`.
pub(super) fn variables(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for piece in text.split('$').skip(1) {
        let piece = piece.strip_prefix('{').unwrap_or(piece);
        let name: String = piece.chars().take_while(|letter| letter.is_ascii_alphanumeric() || *letter == '_').collect();
        if !name.is_empty() {
            names.push(name.to_ascii_lowercase());
        }
    }
    names
}

/// Whether a client says what is in a variable.
pub(super) fn is_clients(name: &str, tainted: &BTreeSet<String>) -> bool {
    const NAMES: [&str; 6] = ["uri", "document_uri", "request_uri", "args", "query_string", "request_body"];
    const FAMILIES: [&str; 3] = ["arg_", "http_", "cookie_"];
    NAMES.contains(&name)
        || FAMILIES.iter().any(|family| name.starts_with(family))
        || name.bytes().all(|byte| byte.is_ascii_digit())
        || tainted.contains(name)
}

/// Takes down the variables that `set` makes of what clients say; true: there are new ones.
pub(super) fn spread(block: &Block, tainted: &mut BTreeSet<String>) -> bool {
    let mut grown = false;
    for directive in &block.directives {
        if let (b"set", [name, value]) = (directive.name.bytes.as_slice(), directive.args.as_slice())
            && variables(&value.text()).iter().any(|name| is_clients(name, tainted))
        {
            grown |= tainted.insert(name.text().trim_start_matches('$').to_ascii_lowercase());
        }
        if let Some(body) = &directive.body {
            grown |= spread(body, tainted);
        }
    }
    grown
}
