//! `log_format`, `access_log`, `open_log_file_cache`: the access log (nginx manual, `ngx_http_log_module`).

mod file;
mod format;
mod variable_path;

use crate::rewrite::{compile, compile_bytes};
use base::errno;
use base::log::Level;
use base::syslog::Syslog;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::{Config, Frame};
use conf::tree::{Error, Span};
use file::{AccessFile, Buffering};
use foldhash::HashMap;
use format::Format;
use http::log_files::LogFiles;
use http::root::MainContext;
use http::{Attach, Complex, Levels, Module, Phase, Request, Step, Variables, log_request};
use std::cell::Cell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use variable_path::FileCache;

/// The access log. In the log phase, behind `log_by_lua`.
pub const MODULE: Module = Module { rows, levels, complete, attach, ..Module::named("log") };

/// Where a line goes.
enum Target {
    File(Rc<AccessFile>),
    Path(Complex),
    Syslog(Syslog),
}

/// One `access_log`.
struct Log {
    target: Target,
    format: Rc<Format>,
    filter: Option<Complex>,
    complained: Cell<u64>,
    /// Lines lost since the last warning.
    dropped: Cell<u64>,
}

/// What one block says of access logs.
#[derive(Default)]
struct AccessLogs {
    /// `Some` and empty is `off`.
    list: Option<Vec<Rc<Log>>>,
    off: bool,
    /// The inner `None` is `off`.
    cache: Option<Option<FileCache>>,
}

impl Config for AccessLogs {
    fn inherit(&mut self, parent: &Self) {
        if self.list.is_none() && !self.off {
            self.off = parent.off;
        }
        conf::inherit!(self, parent; list, cache);
    }
}

/// Formats and files of `http`.
#[derive(Default)]
struct Formats {
    list: Vec<(Box<[u8]>, Rc<Format>)>,
    files: HashMap<PathBuf, Rc<AccessFile>>,
    combined: Option<Rc<Format>>,
}

impl Config for Formats {
    fn inherit(&mut self, _: &Self) {}
}

fn rows() -> Vec<Row> {
    vec![
        Row::new("log_format", Context::HTTP, Arity::AtLeast(2), "A format of access log lines.", log_format),
        Row::new(
            "access_log",
            Context::HTTP_IF | Context::LIMIT_EXCEPT,
            Arity::AtLeast(1),
            "Where requests are logged, and in which format.",
            access_log,
        ),
        Row::new("open_log_file_cache", Context::HTTP_ALL, Arity::Between(1, 4), "Keeps files of paths with variables open.", |cx| {
            let value = variable_path::parse(cx)?;
            cx.once(&mut cx.location::<AccessLogs>().cache, value)
        }),
    ]
}

fn levels(levels: &mut Levels) {
    levels.main::<LogFiles>().location::<AccessLogs>();
}

fn log_format(cx: &mut Cx<'_>) -> Result<(), Error> {
    let name = cx.arg(0);
    let mut main = cx.main::<Formats>();
    if name == b"combined" || main.list.iter().any(|(known, _)| **known == *name) {
        return Err(cx.error_at(0, format!("duplicate \"log_format\" name \"{}\"", cx.text(0))));
    }
    let parts: Vec<&[u8]> = cx.args().iter().skip(1).map(|word| word.bytes.as_slice()).collect();
    let format = Format::compile(&parts, &mut cx.global::<Variables>()).map_err(|message| cx.error(message))?;
    main.list.push((name.into(), Rc::new(format)));
    Ok(())
}

fn access_log(cx: &mut Cx<'_>) -> Result<(), Error> {
    if cx.arg(0) == b"off" {
        if cx.args().len() > 1 {
            return Err(cx.invalid_parameter(1));
        }
        cx.location::<AccessLogs>().off = true;
        return Ok(());
    }
    let format = find_format(cx)?;
    let (buffering, filter) = options(cx)?;
    let target = target(cx, buffering)?;
    let log = Rc::new(Log { target, format, filter, complained: Cell::new(0), dropped: Cell::new(0) });
    cx.location::<AccessLogs>().list.get_or_insert_default().push(log);
    Ok(())
}

fn find_format(cx: &Cx<'_>) -> Result<Rc<Format>, Error> {
    let mut main = cx.main::<Formats>();
    let name = if cx.args().len() > 1 { cx.arg(1) } else { b"combined" };
    if name == b"combined" {
        if main.combined.is_none() {
            let format = Format::compile(&[format::COMBINED], &mut cx.global::<Variables>()).map_err(|message| cx.error(message))?;
            main.combined = Some(Rc::new(format));
        }
        return main.combined.clone().ok_or_else(|| cx.error("no format"));
    }
    let found = main.list.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, format)| format.clone()).ok_or_else(|| cx.error_at(1, format!("unknown log format \"{}\"", cx.text(1))))
}

fn options(cx: &Cx<'_>) -> Result<(Buffering, Option<Complex>), Error> {
    let mut buffering = Buffering::default();
    let mut filter = None;
    for i in 2..cx.args().len() {
        let arg = cx.arg(i);
        let shown = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        if let Some(value) = arg.strip_prefix(b"buffer=") {
            let size = base::text::parse_size(value, false).filter(|size| *size > 0);
            buffering.size = size.ok_or_else(|| cx.error_at(i, format!("invalid buffer size \"{}\"", shown(value))))? as usize;
        } else if let Some(value) = arg.strip_prefix(b"flush=") {
            let time = base::text::parse_time_ms(value).filter(|time| *time > 0);
            buffering.flush_ms = time.ok_or_else(|| cx.error_at(i, format!("invalid flush time \"{}\"", shown(value))))?;
        } else if let Some(value) = arg.strip_prefix(b"if=") {
            filter = Some(compile_bytes(cx, i, value)?);
        } else if arg == b"gzip" || arg.starts_with(b"gzip=") {
            let value = arg.strip_prefix(b"gzip=").unwrap_or(b"1");
            let level = base::text::parse_number(value).filter(|level| (1..=9).contains(level));
            buffering.gzip = level.ok_or_else(|| cx.error_at(i, format!("invalid compression level \"{}\"", shown(value))))? as u32;
            if buffering.size == 0 {
                buffering.size = 64 * 1024;
            }
        } else {
            return Err(cx.invalid_parameter(i));
        }
    }
    if buffering.flush_ms > 0 && buffering.size == 0 {
        return Err(cx.error(format!("no buffer is defined for access_log \"{}\"", cx.text(0))));
    }
    Ok((buffering, filter))
}

fn target(cx: &Cx<'_>, buffering: Buffering) -> Result<Target, Error> {
    let path = cx.arg(0);
    if let Some(text) = path.strip_prefix(b"syslog:") {
        if buffering.size > 0 {
            return Err(cx.error_at(0, "logs to syslog cannot be buffered"));
        }
        let host = String::from_utf8_lossy(&crate::variables::host_name()).into_owned();
        let syslog = Syslog::parse(&String::from_utf8_lossy(text), &host).map_err(|message| cx.error_at(0, message))?;
        return Ok(Target::Syslog(syslog));
    }
    if path.contains(&b'$') {
        if buffering.size > 0 {
            return Err(cx.error_at(0, "buffered logs cannot have variables in name"));
        }
        return Ok(Target::Path(compile(cx, 0)?));
    }
    let full = cx.global::<MainContext>().paths.resolve(path);
    let known = cx.main::<Formats>().files.get(&full).cloned();
    let file = match known {
        Some(file) => file,
        None => {
            let file = Rc::new(AccessFile::new(full.clone()));
            cx.main::<LogFiles>().list.push(file.clone());
            cx.main::<Formats>().files.insert(full, file.clone());
            file
        }
    };
    if buffering.size > 0 && !file.buffer(buffering) {
        return Err(cx.error_at(0, format!("access_log \"{}\" already defined with conflicting parameters", cx.text(0))));
    }
    Ok(Target::File(file))
}

/// Opens the files while the privileges to do so are there. Without any `access_log` in `http`, the default one is used.
fn complete(frame: &Frame) -> Result<(), Error> {
    let paths = frame.global.get::<MainContext>().paths.clone();
    let unset = {
        let own = frame.location.get::<AccessLogs>();
        own.list.is_none() && !own.off
    };
    if unset {
        let format = Format::compile(&[format::COMBINED], &mut frame.global.get::<Variables>());
        let format = Rc::new(format.map_err(|message| Error::new(message, Span::NONE))?);
        let full = paths.resolve(b"logs/access.log");
        let known = frame.main.get::<Formats>().files.get(&full).cloned();
        let file = known.unwrap_or_else(|| {
            let file = Rc::new(AccessFile::new(full));
            frame.main.get::<LogFiles>().list.push(file.clone());
            file
        });
        let log = Log { target: Target::File(file), format, filter: None, complained: Cell::new(0), dropped: Cell::new(0) };
        frame.location.get::<AccessLogs>().list = Some(vec![Rc::new(log)]);
    }
    for file in &frame.main.get::<LogFiles>().list {
        file.open().map_err(|error| {
            let message = format!("open() \"{}\" failed {}", file.path().display(), errno::describe(&error));
            Error::new(message, Span::NONE)
        })?;
    }
    Ok(())
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let own = place.conf::<AccessLogs>();
    if own.off || own.list.as_ref().is_none_or(Vec::is_empty) {
        return Ok(());
    }
    place.phase(Phase::Log, move |request| {
        write_all(request, &own);
        Step::Now(http::Outcome::Ok)
    });
    Ok(())
}

fn write_all(request: &Rc<Request>, own: &AccessLogs) {
    thread_local!(static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });
    let mut line = LINE.take();
    for log in own.list.iter().flatten() {
        if let Some(filter) = &log.filter {
            line.clear();
            filter.eval(&**request, &mut line);
            if line.is_empty() || line == b"0" {
                continue;
            }
        }
        line.clear();
        log.write(request, own, &mut line);
    }
    LINE.set(line);
}

impl Log {
    fn write(&self, request: &Rc<Request>, own: &AccessLogs, line: &mut Vec<u8>) {
        let result = match &self.target {
            Target::File(file) => {
                self.format.push_line(request, line);
                line.push(b'\n');
                file.append(line)
            }
            Target::Path(path) => {
                self.format.push_line(request, line);
                line.push(b'\n');
                variable_path::append(request, path, own.cache.as_ref().and_then(Option::as_ref), line)
            }
            Target::Syslog(syslog) => {
                syslog.push_head(None, line);
                self.format.push_line(request, line);
                if let Err(error) = syslog.send(line) {
                    log_request!(request, Level::Warn, "send() to syslog failed {}", errno::describe(&error));
                }
                Ok(())
            }
        };
        if let Err(error) = result {
            self.complain(request, &error);
        }
    }

    /// Once a minute is enough for a log that cannot be written, once a second for one that is full.
    fn complain(&self, request: &Request, error: &io::Error) {
        let now = base::clock::monotonic_ms();
        let full = error.kind() == io::ErrorKind::WouldBlock;
        let dropped = self.dropped.get() + u64::from(full);
        self.dropped.set(dropped);
        let pause = if full { 1000 } else { 60_000 };
        if self.complained.get() != 0 && now < self.complained.get() + pause {
            return;
        }
        self.complained.set(now);
        let name = match &self.target {
            Target::File(file) => file.path_text(),
            Target::Path(path) => String::from_utf8_lossy(&path.to_vec(request)).into_owned(),
            Target::Syslog(_) => "syslog".to_owned(),
        };
        if full {
            self.dropped.set(0);
            log_request!(
                request,
                Level::Warn,
                "write() to \"{name}\" failed (11: Resource temporarily unavailable), lines dropped: {dropped}"
            );
            return;
        }
        log_request!(request, Level::Alert, "write() to \"{name}\" failed {}", errno::describe(error));
    }
}
