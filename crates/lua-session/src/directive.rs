//! Directives that hold code: their three spellings, and the name of the code in messages.

use crate::code::Code;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::{Error, FileNames};
use lua_lib::Runtime;
use session::paths::MainContext;
use session::{Complex, Configured, Variables};
use std::rc::Rc;

/// Directives of `stream` whose code is named with its place; the others are named by the directive alone, as in OpenResty.
const PLACED: [&str; 3] = ["preread_by_lua", "content_by_lua", "log_by_lua"];

/// Longest name of a chunk that is not cut.
const MAX_NAME: usize = 56;

/// `NAME(FILE:LINE)` for code in the configuration, as lua-nginx-module names it.
pub fn chunk_name(cx: &Cx<'_>, tag: &str) -> String {
    let prefix = cx.global::<MainContext>().paths.conf_prefix.clone();
    let path = file_name(cx).unwrap_or_else(|| "nginx.conf".to_owned());
    let prefix = prefix.to_string_lossy();
    // A block's code begins behind its brace; the directive's own line is where the block ends.
    let block = cx.directive.args.last().filter(|_| cx.directive.lua);
    name_of(tag, &path, &prefix, block.map_or(cx.directive.line, |code| code.span.line))
}

/// The file that the directive stands in.
pub fn file_name(cx: &Cx<'_>) -> Option<String> {
    let names = cx.global::<FileNames>();
    names.list.get(cx.directive.span.file as usize).map(|name| String::from_utf8_lossy(name).into_owned())
}

fn name_of(tag: &str, path: &str, prefix: &str, line: u32) -> String {
    let (path, keep) = match path.strip_suffix("/nginx.conf") {
        Some(_) => ("nginx.conf", true),
        None => (path.strip_prefix(prefix).unwrap_or(path), false),
    };
    let reserved = tag.len() + line.to_string().len();
    if keep || path.len() + reserved <= MAX_NAME {
        return format!("={tag}({path}:{line})");
    }
    let from = (path.len() + reserved + 3).saturating_sub(MAX_NAME);
    let tail = (from..path.len()).find_map(|at| path.get(at..)).unwrap_or("");
    format!("={tag}(...{tail}:{line})")
}

/// Code of a `*_block` stands in braces.
///
/// # Errors
/// It is in quotes.
pub fn check_block(cx: &Cx<'_>) -> Result<(), Error> {
    if cx.name().ends_with("_block") && !cx.directive.lua {
        return Err(cx.error(format!("directive \"{}\" has no opening \"{{\"", cx.name())));
    }
    Ok(())
}

/// Reads the code of a directive in one of its three spellings.
///
/// # Errors
/// There is none, or the path has a bad variable.
pub fn read<S: Configured>(cx: &Cx<'_>, tag: &str) -> Result<Rc<Code<S>>, Error> {
    check_block(cx)?;
    cx.main::<Runtime>().used.set(true);
    let text = cx.arg(0);
    if text.is_empty() {
        return Err(cx.error("invalid location config: no runnable Lua code"));
    }
    if cx.name().ends_with("_file") {
        let path = Complex::compile(text, &mut cx.global::<Variables<S>>()).map_err(|message| cx.error_at(0, message))?;
        return Ok(Code::file(path));
    }
    let name = if S::OUTERMOST == Context::STREAM && !PLACED.contains(&tag) { format!("={tag}") } else { chunk_name(cx, tag) };
    Ok(Code::inline(text, name))
}

/// The rows `TAG`, `TAG_file` and `TAG_block`; `store` puts the code in its place.
pub fn rows<S: Configured>(
    tag: &'static str,
    contexts: Context,
    doc: &'static str,
    store: impl Fn(&mut Cx<'_>, Rc<Code<S>>) -> Result<(), Error> + Clone + 'static,
) -> Vec<Row> {
    ["", "_file", "_block"].into_iter().map(|spelling| row(tag, spelling, contexts, doc, store.clone())).collect()
}

/// As [`rows`], for directives that have no spelling in quotes.
pub fn two_rows<S: Configured>(
    tag: &'static str,
    contexts: Context,
    doc: &'static str,
    store: impl Fn(&mut Cx<'_>, Rc<Code<S>>) -> Result<(), Error> + Clone + 'static,
) -> Vec<Row> {
    ["_file", "_block"].into_iter().map(|spelling| row(tag, spelling, contexts, doc, store.clone())).collect()
}

fn row<S: Configured>(
    tag: &'static str,
    spelling: &str,
    contexts: Context,
    doc: &'static str,
    store: impl Fn(&mut Cx<'_>, Rc<Code<S>>) -> Result<(), Error> + 'static,
) -> Row {
    Row::new(format!("{tag}{spelling}"), contexts, Arity::exactly(1), doc, move |cx| {
        let code = read(cx, tag)?;
        store(cx, code)
    })
}

#[cfg(test)]
mod tests {
    use super::name_of;

    #[test]
    fn names() {
        assert_eq!(name_of("content_by_lua", "/etc/x/nginx.conf", "/etc/x/", 42), "=content_by_lua(nginx.conf:42)");
        assert_eq!(name_of("content_by_lua", "/etc/x/a/b.conf", "/etc/x/", 4), "=content_by_lua(a/b.conf:4)");
        let long = format!("/{}/site.conf", "d".repeat(80));
        let name = name_of("content_by_lua", &long, "/etc/", 4);
        assert!(name.starts_with("=content_by_lua(...ddd") && name.ends_with("/site.conf:4)"), "{name}");
        assert_eq!(name.len(), MAX + 4);
    }

    const MAX: usize = super::MAX_NAME;
}
