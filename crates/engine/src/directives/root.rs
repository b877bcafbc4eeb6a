//! `root` and `alias`.

use super::slots::compile;
use crate::nodes::BlockContent;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;
use http::core::{Core, Root};
use http::location::Match;
use http::root::MainContext;
use std::os::unix::ffi::OsStrExt;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new("root", Context::HTTP_IF, Arity::exactly(1), "Directory that a URI's path is looked up in.", |cx| set(cx, false)),
        Row::new("alias", Context::LOCATION, Arity::exactly(1), "Directory or file that stands for the location.", |cx| set(cx, true)),
    ]
}

fn set(cx: &mut Cx<'_>, alias: bool) -> Result<(), Error> {
    if let Some(earlier) = &cx.location::<Core>().root {
        if earlier.alias == alias {
            return Err(cx.duplicate());
        }
        let other = if earlier.alias { "alias" } else { "root" };
        return Err(cx.error(format!("\"{}\" directive is duplicate, \"{other}\" directive was specified earlier", cx.name())));
    }
    let own = cx.frame.location.get::<BlockContent>().own.clone();
    if alias && matches!(own, Some((_, Match::Named))) {
        return Err(cx.error("the \"alias\" directive cannot be used inside the named location"));
    }
    for variable in ["document_root", "realpath_root"] {
        if mentions(cx.arg(0), variable) {
            return Err(cx.error_at(0, format!("the ${variable} variable cannot be used in the \"{}\" directive", cx.name())));
        }
    }
    let mut path = cx.arg(0);
    if !alias && path.last() == Some(&b'/') {
        path = path.get(..path.len() - 1).unwrap_or_default();
    }
    let full = match path.first() {
        Some(b'$') => path.to_vec(),
        // What is joined below the prefix keeps its own last slash.
        _ => [cx.global::<MainContext>().paths.resolve(b"").as_os_str().as_bytes(), path].concat(),
    };
    let full = if path.first() == Some(&b'/') { path.to_vec() } else { full };
    let path = compile(cx, 0, &full)?;
    let cut = match own {
        Some((_, Match::Regex(_))) => None,
        Some((name, _)) => Some(name.len()),
        None => Some(0),
    };
    cx.location::<Core>().root = Some(Root { path, alias, cut });
    Ok(())
}

fn mentions(text: &[u8], variable: &str) -> bool {
    let has = |pattern: String| text.windows(pattern.len()).any(|window| window == pattern.as_bytes());
    has(format!("${variable}")) || has(format!("${{{variable}}}"))
}
