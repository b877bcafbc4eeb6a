//! `autoindex`: listings of directories in HTML, XML, JSON and JSONP.

use crate::files::open::Failure;
use crate::files::serve;
use crate::static_files::unmappable;
use conf::context::{Arity, Context};
use conf::row::{self, Row};
use conf::scope::Config;
use http::output::then;
use http::{Attach, Chain, Levels, Method, Module, Outcome, Phase, Request, Step};
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::rc::Rc;

mod text;

/// The module.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<Conf>, attach, ..Module::named("autoindex") };

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Html,
    Xml,
    Json,
    Jsonp,
}

#[derive(Default)]
struct Conf {
    on: Option<bool>,
    format: Option<Format>,
    exact_size: Option<bool>,
    localtime: Option<bool>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; on, format, exact_size, localtime);
    }
}

/// One line of a listing.
struct Entry {
    name: Vec<u8>,
    directory: bool,
    file: bool,
    modified: i64,
    size: u64,
}

fn rows() -> Vec<Row> {
    let formats = [("html", Format::Html), ("xml", Format::Xml), ("json", Format::Json), ("jsonp", Format::Jsonp)];
    let at = Context::HTTP_ALL;
    vec![
        row::flag::<Conf>("autoindex", at, "Lists directories that have no index file.", |c| &mut c.on),
        row::flag::<Conf>("autoindex_exact_size", at, "Shows sizes in bytes, or rounded.", |c| &mut c.exact_size),
        row::flag::<Conf>("autoindex_localtime", at, "Shows times in the server's zone, or in UTC.", |c| &mut c.localtime),
        Row::new("autoindex_format", at, Arity::exactly(1), "Format of listings: html, xml, json or jsonp.", move |cx| {
            let format = cx.choice(0, &formats)?;
            cx.once(&mut cx.location::<Conf>().format, format)
        }),
    ]
}

fn attach(at: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    let conf = at.conf::<Conf>();
    if conf.on == Some(true) {
        at.phase(Phase::Content, move |request| handle(request, &conf));
    }
    Ok(())
}

fn handle(request: &Rc<Request>, conf: &Conf) -> Step {
    if request.line.borrow().uri.last() != Some(&b'/') || !request.method().intersects(Method::GET.or(Method::HEAD)) {
        return Step::Now(Outcome::Declined);
    }
    let mut path = match request.map_path() {
        Ok(path) => path.bytes,
        Err(error) => return Step::Now(unmappable(error)),
    };
    if path.len() > 1 {
        path.pop();
    }
    let mut format = conf.format.unwrap_or(Format::Html);
    let mut callback = Vec::new();
    if format == Format::Jsonp {
        match jsonp_callback(request) {
            Some(name) if name.is_empty() => format = Format::Json,
            Some(name) => callback = name,
            None => return Step::Now(Outcome::Status(400)),
        }
    }
    let entries = match list(&path) {
        Ok(entries) => entries,
        Err(failure) => return Step::Now(serve::refuse_directory(request, failure, &path)),
    };
    answer(request, conf, format, entries, callback)
}

fn answer(request: &Rc<Request>, conf: &Conf, format: Format, entries: Vec<Entry>, callback: Vec<u8>) -> Step {
    {
        let mut response = request.response.borrow_mut();
        response.set_status(200);
        response.set_content_type(match format {
            Format::Html => b"text/html",
            Format::Xml => b"text/xml",
            Format::Json => b"application/json",
            Format::Jsonp => b"application/javascript",
        });
        if format == Format::Xml {
            response.set_charset(b"utf-8");
        }
    }
    let style = text::Style { exact_size: conf.exact_size.unwrap_or(true), localtime: conf.localtime.unwrap_or(false) };
    let request = request.clone();
    then(request.send_header(), move |outcome| match outcome {
        Outcome::Ok if request.flags.header_only.get() => Step::Now(Outcome::Ok),
        Outcome::Ok => {
            let uri = request.line.borrow().uri.clone();
            let utf8 = request.response.borrow().charset.eq_ignore_ascii_case(b"utf-8");
            let body = match format {
                Format::Html => text::html(&uri, &entries, &style, utf8),
                Format::Xml => text::xml(&entries),
                Format::Json | Format::Jsonp => text::json(&entries, &callback),
            };
            request.output(Chain::bytes(body).and_last())
        }
        other => Step::Now(other),
    })
}

/// The function's name in `?callback=`: empty if there is none, `None` if it is not a name.
fn jsonp_callback(request: &Request) -> Option<Vec<u8>> {
    let line = request.line.borrow();
    let value = wire::uri::args::find(&line.args, b"callback").unwrap_or_default();
    if value.is_empty() {
        return Some(Vec::new());
    }
    if value.len() > 128 {
        return None;
    }
    let mut name = Vec::new();
    wire::uri::escape::unescape(value, wire::uri::escape::Unescape::Plain, &mut name);
    name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_')).then_some(name)
}

/// What a link leads to; one that leads nowhere is itself. All else is asked for by its name in the open directory.
fn metadata(item: &fs::DirEntry) -> io::Result<fs::Metadata> {
    if item.file_type().is_ok_and(|kind| kind.is_symlink()) {
        fs::metadata(item.path()).or_else(|_| item.metadata())
    } else {
        item.metadata()
    }
}

fn list(path: &[u8]) -> Result<Vec<Entry>, Failure> {
    let failure = |call, error: &io::Error| Failure { call, errno: error.raw_os_error().unwrap_or(nix::errno::Errno::EIO as i32) };
    let mut entries = Vec::new();
    for item in fs::read_dir(Path::new(OsStr::from_bytes(path))).map_err(|e| failure("opendir()", &e))? {
        let item = item.map_err(|e| failure("readdir()", &e))?;
        let name = item.file_name().into_vec();
        if name.first() == Some(&b'.') {
            continue;
        }
        // What vanished or is closed to us is not listed.
        let Ok(meta) = metadata(&item) else { continue };
        entries.push(Entry { name, directory: meta.is_dir(), file: meta.is_file(), modified: meta.mtime(), size: meta.size() });
    }
    entries.sort_by(|a, b| b.directory.cmp(&a.directory).then_with(|| a.name.cmp(&b.name)));
    Ok(entries)
}
