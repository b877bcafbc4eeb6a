//! `log_format`, `access_log`, `open_log_file_cache`: the access log (nginx manual, `ngx_http_log_module`).

mod file;
mod format;
mod logged;
mod variable_path;

use crate::compile::{complex, complex_of};
use base::errno;
use base::log::Level;
use base::saturated::Saturated;
use base::syslog::Syslog;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::{Config, Frame};
use conf::switch::Switch;
use conf::tree::SettingError;
use conf::tree::{Error, Span};
use file::{AccessFile, Buffering};
use foldhash::HashMap;
use format::Format;
use http::{Module, Request};
use logged::Logged;
use session::log_files::LogFiles;
use session::paths::MainContext;
use session::{Complex, Join, Levels, Outcome, Step, Variables, log_client};
use std::cell::Cell;
use std::io;
use std::path::PathBuf;
use std::rc::Rc;
use variable_path::FileCache;

/// The access log. In the log phase, behind `log_by_lua`.
pub const MODULE: Module = Module {
    rows: http_rows,
    levels: levels::<Request>,
    complete: complete::<Request>,
    attach: |place| attach::<Request>(place),
    ..Module::named("log")
};

/// The access log of streams.
pub const STREAM: stream::Module = stream::Module {
    rows: rows::<stream::Session>,
    levels: levels::<stream::Session>,
    complete: complete::<stream::Session>,
    attach: |place| attach::<stream::Session>(place),
    ..stream::Module::named("log")
};

/// Where a line goes.
enum Target<S> {
    File(Rc<AccessFile>),
    Path(Complex<S>),
    Syslog(Syslog),
}

/// One `access_log`.
struct Log<S> {
    target: Target<S>,
    format: Rc<Format<S>>,
    filter: Option<Complex<S>>,
    complained: Cell<u64>,
    /// Lines lost since the last warning.
    dropped: Cell<u64>,
}

/// What one block says of access logs.
struct AccessLogs<S> {
    /// `Some` and empty is `off`.
    list: Option<Vec<Rc<Log<S>>>>,
    off: bool,
    /// The inner `None` is `off`.
    cache: Option<Switch<FileCache>>,
    /// `log_escape_non_ascii`
    non_ascii: Option<bool>,
}

impl<S> Default for AccessLogs<S> {
    fn default() -> Self {
        AccessLogs { list: None, off: false, cache: None, non_ascii: None }
    }
}

impl<S: 'static> Config for AccessLogs<S> {
    fn inherit(&mut self, parent: &Self) {
        if self.list.is_none() && !self.off {
            self.off = parent.off;
        }
        conf::inherit!(self, parent; list, cache, non_ascii);
    }
}

/// The formats of a protocol.
struct Formats<S> {
    list: Vec<(Box<[u8]>, Rc<Format<S>>)>,
    usual: Option<Rc<Format<S>>>,
}

impl<S> Default for Formats<S> {
    fn default() -> Self {
        Formats { list: Vec::new(), usual: None }
    }
}

/// The files of the whole configuration: a path has one, whichever protocol writes to it.
#[derive(Default)]
struct AccessFiles(HashMap<PathBuf, Rc<AccessFile>>);

fn http_rows() -> Vec<Row> {
    let mut rows = rows::<Request>();
    rows.push(row::flag::<AccessLogs<Request>>(
        "log_escape_non_ascii",
        Context::HTTP_ALL,
        "Whether bytes from 128 on are escaped.",
        |logs| &mut logs.non_ascii,
    ));
    rows
}

fn rows<S: Logged>() -> Vec<Row> {
    vec![
        Row::new("log_format", S::OUTERMOST, Arity::AtLeast(2), "A format of access log lines.", log_format::<S>),
        Row::new("access_log", S::PLACES, Arity::AtLeast(1), "Where requests are logged, and in which format.", access_log::<S>),
        Row::new("open_log_file_cache", S::BLOCKS, Arity::Between(1, 4), "Keeps files of paths with variables open.", |cx| {
            let value = variable_path::parse(cx)?;
            cx.once(&mut cx.location::<AccessLogs<S>>().cache, value.into())
        }),
    ]
}

fn levels<S: Logged>(levels: &mut Levels) {
    levels.location::<AccessLogs<S>>();
}

fn log_format<S: Logged>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let name = cx.arg(0);
    let mut main = cx.main::<Formats<S>>();
    let usual = S::USUAL.is_some_and(|(usual, _)| usual == name);
    if usual || main.list.iter().any(|(known, _)| **known == *name) {
        return Err(cx.error_at(0, format!("duplicate \"log_format\" name \"{}\"", cx.text(0))));
    }
    let parts: Vec<&[u8]> = cx.args().iter().skip(1).map(|word| word.bytes.as_slice()).collect();
    let format = Format::compile(&parts, &mut cx.global::<Variables<S>>()).map_err(|message| cx.error(message))?;
    main.list.push((name.into(), Rc::new(format)));
    Ok(())
}

fn access_log<S: Logged>(cx: &mut Cx<'_>) -> Result<(), Error> {
    if cx.arg(0) == b"off" {
        if cx.args().len() > 1 {
            return Err(cx.invalid_parameter(1));
        }
        cx.location::<AccessLogs<S>>().off = true;
        return Ok(());
    }
    let format = find_format::<S>(cx)?;
    let (buffering, filter) = options(cx)?;
    let target = target(cx, buffering)?;
    let log = Rc::new(Log { target, format, filter, complained: Cell::new(0), dropped: Cell::new(0) });
    cx.location::<AccessLogs<S>>().list.get_or_insert_default().push(log);
    Ok(())
}

fn find_format<S: Logged>(cx: &Cx<'_>) -> Result<Rc<Format<S>>, Error> {
    let named = (cx.args().len() > 1).then(|| cx.arg(1));
    if let Some((usual, _)) = S::USUAL.filter(|(usual, _)| named.is_none_or(|name| name == *usual)) {
        let found = usual_format::<S>(cx.frame).map_err(|message| cx.error(message))?;
        return found.ok_or_else(|| cx.error_at(1, format!("unknown log format \"{}\"", String::from_utf8_lossy(usual))));
    }
    let Some(name) = named else { return Err(cx.error("log format is not specified")) };
    let main = cx.main::<Formats<S>>();
    let found = main.list.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map(|(_, format)| format.clone()).ok_or_else(|| cx.error_at(1, format!("unknown log format \"{}\"", cx.text(1))))
}

/// The format that the protocol has without any `log_format`, if it has one.
fn usual_format<S: Logged>(frame: &Frame) -> Result<Option<Rc<Format<S>>>, SettingError> {
    let Some((_, text)) = S::USUAL else { return Ok(None) };
    let mut main = frame.main.get::<Formats<S>>();
    if main.usual.is_none() {
        main.usual = Some(Rc::new(Format::compile(&[text], &mut frame.global.get::<Variables<S>>())?));
    }
    Ok(main.usual.clone())
}

/// The file with this path.
fn file_at(frame: &Frame, full: PathBuf) -> Rc<AccessFile> {
    let mut files = frame.global.get::<AccessFiles>();
    if let Some(known) = files.0.get(&full) {
        return known.clone();
    }
    let file = Rc::new(AccessFile::new(full.clone()));
    files.0.insert(full, file.clone());
    drop(files);
    frame.global.get::<LogFiles>().list.push(file.clone());
    file
}

fn options<S: Logged>(cx: &Cx<'_>) -> Result<(Buffering, Option<Complex<S>>), Error> {
    let mut buffering = Buffering::default();
    let mut filter = None;
    for i in 2..cx.args().len() {
        let arg = cx.arg(i);
        let shown = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        if let Some(value) = arg.strip_prefix(b"buffer=") {
            let size = base::text::parse_size(value, false).filter(|size| *size > 0);
            buffering.size = usize::saturated(size.ok_or_else(|| cx.error_at(i, format!("invalid buffer size \"{}\"", shown(value))))?);
        } else if let Some(value) = arg.strip_prefix(b"flush=") {
            let time = base::text::parse_time_ms(value).filter(|time| *time > 0);
            buffering.flush_ms = time.ok_or_else(|| cx.error_at(i, format!("invalid flush time \"{}\"", shown(value))))?;
        } else if let Some(value) = arg.strip_prefix(b"if=") {
            filter = Some(complex_of(cx, i, value)?);
        } else if arg == b"gzip" || arg.starts_with(b"gzip=") {
            let value = arg.strip_prefix(b"gzip=").unwrap_or(b"1");
            let level = base::text::parse_number(value).filter(|level| (1..=9).contains(level));
            let level = level.ok_or_else(|| cx.error_at(i, format!("invalid compression level \"{}\"", shown(value))))?;
            buffering.gzip = u32::saturated(level);
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

fn target<S: Logged>(cx: &Cx<'_>, buffering: Buffering) -> Result<Target<S>, Error> {
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
        return Ok(Target::Path(complex(cx, 0)?));
    }
    // A file without a name is standard error, as for nginx.
    let full = if path.is_empty() { "/dev/stderr".into() } else { cx.global::<MainContext>().paths.resolve(path) };
    let file = file_at(cx.frame, full);
    if buffering.size > 0 && !file.buffer(buffering) {
        return Err(cx.error_at(0, format!("access_log \"{}\" already defined with conflicting parameters", cx.text(0))));
    }
    Ok(Target::File(file))
}

/// Opens the files while the privileges to do so are there. Without any `access_log` in the outermost block, the usual one is used.
fn complete<S: Logged>(frame: &Frame) -> Result<(), Error> {
    let unset = {
        let own = frame.location.get::<AccessLogs<S>>();
        own.list.is_none() && !own.off
    };
    let usual = if unset { usual_format::<S>(frame).map_err(|message| Error::new(message, Span::NONE))? } else { None };
    if let Some(format) = usual {
        let full = frame.global.get::<MainContext>().paths.resolve(b"logs/access.log");
        let target = Target::File(file_at(frame, full));
        let log = Log { target, format, filter: None, complained: Cell::new(0), dropped: Cell::new(0) };
        frame.location.get::<AccessLogs<S>>().list = Some(vec![Rc::new(log)]);
    }
    for file in &frame.global.get::<LogFiles>().list {
        file.open().map_err(|error| {
            let message = format!("open() \"{}\" failed {}", file.path().display(), errno::describe(&error));
            Error::new(message, Span::NONE)
        })?;
    }
    Ok(())
}

fn attach<S: Logged>(place: &mut impl Join<S>) -> Result<(), Error> {
    let own = place.conf::<AccessLogs<S>>();
    if !own.writes() {
        return Ok(());
    }
    place.log(move |session| {
        write_all(&**session, &own);
        Step::Now(Outcome::Ok)
    });
    Ok(())
}

fn write_all<S: Logged>(session: &S, own: &AccessLogs<S>) {
    thread_local!(static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });
    let mut line = LINE.take();
    for log in own.list.iter().flatten() {
        if let Some(filter) = &log.filter {
            line.clear();
            filter.eval(session, &mut line);
            if line.is_empty() || line == b"0" {
                continue;
            }
        }
        line.clear();
        log.write(session, own, &mut line);
    }
    LINE.set(line);
}

impl<S> AccessLogs<S> {
    fn writes(&self) -> bool {
        !self.off && self.list.as_ref().is_some_and(|list| !list.is_empty())
    }
}

impl<S: Logged> Log<S> {
    fn write(&self, session: &S, own: &AccessLogs<S>, line: &mut Vec<u8>) {
        let result = match &self.target {
            Target::File(file) => {
                self.format.push_line(session, own.non_ascii.unwrap_or(true), line);
                line.push(b'\n');
                file.append(line)
            }
            Target::Path(path) => {
                self.format.push_line(session, own.non_ascii.unwrap_or(true), line);
                line.push(b'\n');
                variable_path::append(session, path, own.cache.as_ref().and_then(Switch::as_on), line)
            }
            Target::Syslog(syslog) => {
                syslog.push_head(None, line);
                self.format.push_line(session, own.non_ascii.unwrap_or(true), line);
                if let Err(error) = syslog.send(line) {
                    log_client!(session, Level::Warn, "send() to syslog failed {}", errno::describe(&error));
                }
                Ok(())
            }
        };
        if let Err(error) = result {
            self.report(session, &error);
        }
    }

    /// Once a minute is enough for a log that cannot be written, once a second for one that is full.
    fn report(&self, session: &S, error: &io::Error) {
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
            Target::Path(path) => String::from_utf8_lossy(&path.to_vec(session)).into_owned(),
            Target::Syslog(_) => "syslog".to_owned(),
        };
        if full {
            self.dropped.set(0);
            log_client!(
                session,
                Level::Warn,
                "write() to \"{name}\" failed (11: Resource temporarily unavailable), lines dropped: {dropped}"
            );
            return;
        }
        log_client!(session, Level::Alert, "write() to \"{name}\" failed {}", errno::describe(error));
    }
}
