//! Code in the configuration: inline or in a file, and its name in messages.

use crate::machine::Machine;
use crate::runtime::Runtime;
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::{Error, FileNames};
use http::root::{Ground, Paths};
use http::{Complex, Request};
use lua::{ChunkId, ErrorKind, LuaError, Phase};
use session::Variables;
use std::any::Any;
use std::borrow::Cow;
use std::cell::Cell;
use std::path::Path;
use std::rc::Rc;

enum Source {
    Inline { text: Box<[u8]>, name: String },
    File(Complex),
}

/// One directive's code.
pub struct Code {
    source: Source,
    /// Serial of the machine that compiled it, and the chunk there.
    compiled: Cell<Option<(u64, ChunkId)>>,
}

/// Longest name of a chunk that is not cut.
const MAX_NAME: usize = 56;

impl Code {
    fn new(source: Source) -> Rc<Code> {
        Rc::new(Code { source, compiled: Cell::new(None) })
    }

    /// Inline code.
    pub fn inline(text: &[u8], name: String) -> Rc<Code> {
        Code::new(Source::Inline { text: text.into(), name })
    }

    /// Code in a file.
    pub fn file(path: Complex) -> Rc<Code> {
        Code::new(Source::File(path))
    }

    /// Whether the code is in a file.
    pub fn is_file(&self) -> bool {
        matches!(self.source, Source::File(_))
    }

    /// Its chunk in `machine`, compiled at the first time.
    ///
    /// # Errors
    /// The text to log, and the status that a content handler answers: 404 or 503 for a file, else 500.
    pub fn load(&self, machine: &Machine, request: Option<&Rc<Request>>, paths: &Paths, cached: bool) -> Result<ChunkId, LoadError> {
        if let Some((serial, chunk)) = self.compiled.get()
            && serial == machine.serial
        {
            return Ok(chunk);
        }
        match &self.source {
            Source::Inline { text, name } => {
                let chunk = machine.vm.load_text(text, name).map_err(|error| LoadError {
                    text: [b"failed to load inlined Lua code: ".as_slice(), &error.message].concat(),
                    status: 500,
                    error,
                })?;
                self.compiled.set(Some((machine.serial, chunk)));
                Ok(chunk)
            }
            Source::File(path) => {
                let value: Cow<'_, [u8]> = match (path.literal(), request) {
                    (Some(text), _) => text.into(),
                    (None, Some(request)) => path.to_vec(&**request).into(),
                    (None, None) => path.source().into(),
                };
                let file = paths.resolve(&value);
                let chunk = machine.vm.load_file(&file, cached).map_err(|error| file_error(&file, error))?;
                if cached && path.literal().is_some() {
                    self.compiled.set(Some((machine.serial, chunk)));
                }
                Ok(chunk)
            }
        }
    }

    /// Loads and runs it on the main state, as at the start of a process.
    ///
    /// # Errors
    /// It does not compile or it failed.
    pub fn run_init(&self, machine: &Machine, phase: Phase, host: Rc<dyn Any>, paths: &Paths) -> Result<(), LuaError> {
        let chunk = self.load(machine, None, paths, true).map_err(|failed| failed.error)?;
        machine.vm.run_init(chunk, phase, Some(host))
    }
}

fn file_error(file: &Path, error: LuaError) -> LoadError {
    const ENOENT: i32 = 2;
    let status = match error.kind {
        ErrorKind::File if error.errno == ENOENT => 404,
        ErrorKind::File => 503,
        _ => 500,
    };
    let text = format!("failed to load external Lua file \"{}\": ", file.display());
    LoadError { text: [text.as_bytes(), &error.message].concat(), status, error }
}

/// Code that cannot be loaded.
pub struct LoadError {
    /// The line to log.
    pub text: Vec<u8>,
    /// What to answer.
    pub status: u16,
    /// The cause.
    pub error: LuaError,
}

impl LoadError {
    /// Logs it; answers the status.
    pub fn report(&self, request: &Request) -> u16 {
        request.log(Level::Error, &self.text);
        self.status
    }
}

/// `NAME(FILE:LINE)` for code in the configuration, as lua-nginx-module names it.
pub fn chunk_name(cx: &Cx<'_>, tag: &str) -> String {
    let prefix = cx.global::<Ground>().paths.conf_prefix.clone();
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

/// Reads the code of a directive in one of its three spellings.
///
/// # Errors
/// There is none, or the path has a bad variable.
pub fn read(cx: &Cx<'_>, tag: &str) -> Result<Rc<Code>, Error> {
    cx.main::<Runtime>().used.set(true);
    let text = cx.arg(0);
    if text.is_empty() {
        return Err(cx.error("invalid location config: no runnable Lua code"));
    }
    if cx.name().ends_with("_file") {
        let path = Complex::compile(text, &mut cx.global::<Variables>()).map_err(|message| cx.error_at(0, message))?;
        return Ok(Code::file(path));
    }
    Ok(Code::inline(text, chunk_name(cx, tag)))
}

/// The rows `TAG`, `TAG_file` and `TAG_block`; `store` puts the code in its place.
pub fn rows(
    tag: &'static str,
    contexts: Context,
    doc: &'static str,
    store: impl Fn(&mut Cx<'_>, Rc<Code>) -> Result<(), Error> + Clone + 'static,
) -> Vec<Row> {
    ["", "_file", "_block"]
        .into_iter()
        .map(|spelling| {
            let store = store.clone();
            Row::new(format!("{tag}{spelling}"), contexts, Arity::exactly(1), doc, move |cx| {
                let code = read(cx, tag)?;
                store(cx, code)
            })
        })
        .collect()
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
