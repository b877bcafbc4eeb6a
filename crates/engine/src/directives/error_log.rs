//! `error_log` at every level.

use base::errno::describe;
use base::log::{ErrorLog, Level, Sink, Target};
use base::syslog::Syslog;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row, Table};
use conf::scope::Frame;
use conf::tree::{Block, Error};
use http::core::Core;
use http::resources::ErrorFiles;
use http::root::MainContext;
use std::cell::Cell;
use std::rc::Rc;

pub(super) fn rows() -> Vec<Row> {
    let doc = "Where errors are logged, and from which level on.";
    vec![
        Row::new("error_log", Context::HTTP_ALL, Arity::AtLeast(1), doc, |cx| {
            let earlier = cx.location::<Core>().error_log.clone();
            let log = add(cx, earlier)?;
            cx.location::<Core>().error_log = Some(log);
            Ok(())
        }),
        Row::new("error_log", Context::MAIN, Arity::AtLeast(1), doc, |cx| {
            if cx.global::<MainContext>().has_logs {
                return Ok(());
            }
            let earlier = cx.global::<MainContext>().log.clone();
            let log = add(cx, earlier)?;
            cx.global::<MainContext>().log = Some(log);
            Ok(())
        }),
    ]
}

/// Reads the main level's logs ahead of everything else: servers log there, wherever it is said. What is wrong with one is told when
/// its turn comes.
pub fn read_ahead(block: &Block, table: &Table, frame: &Frame) {
    frame.global.get::<MainContext>().has_logs = false;
    let before = frame.global.get::<MainContext>().log.clone();
    let directives = block.directives.iter().filter(|directive| *directive.name.text() == *"error_log").cloned().collect();
    let read = table.read(&Block { directives, end: block.end }, Context::MAIN, frame);
    let mut context = frame.global.get::<MainContext>();
    context.has_logs = read.is_ok();
    if read.is_err() {
        context.log = before;
    }
}

/// The log with one more target; several directives of one level add up.
///
/// # Errors
/// nginx's texts.
pub(crate) fn add(cx: &Cx<'_>, earlier: Option<ErrorLog>) -> Result<ErrorLog, Error> {
    let level = level(cx)?;
    let sink = match cx.arg(0) {
        b"stderr" | b"" => {
            cx.global::<ErrorFiles>().use_stderr();
            Sink::Stderr
        }
        path if path.starts_with(b"memory:") => return Err(cx.error_at(0, "nginx was built without debug support")),
        path if path.starts_with(b"syslog:") => syslog(cx)?,
        path => {
            let path = cx.global::<MainContext>().paths.resolve(path);
            Sink::File(cx.global::<ErrorFiles>().get(&path))
        }
    };
    let mut targets = earlier.map(|log| log.targets().to_vec()).unwrap_or_default();
    targets.push(Target { sink, level });
    Ok(ErrorLog::new(targets))
}

/// A sink for `syslog:…`. A daemon that cannot be reached costs the line, and the main level's log says so.
fn syslog(cx: &Cx<'_>) -> Result<Sink, Error> {
    let text = cx.text(0);
    let host = String::from_utf8_lossy(&crate::listen::hostname()).into_owned();
    let parameters = text.strip_prefix("syslog:").unwrap_or_default();
    let syslog = Syslog::parse(parameters, &host).map_err(|message| cx.error_at(0, message))?;
    let (main, server) = (cx.global::<MainContext>().log.clone(), parameters.split(',').find_map(|part| part.strip_prefix("server=")));
    let server = server.unwrap_or_default().to_owned();
    let is_busy = Cell::new(false);
    Ok(Sink::Custom(Rc::new(move |level, line| {
        // The complaint may itself be for syslog.
        if is_busy.replace(true) {
            return;
        }
        let mut message = Vec::with_capacity(line.len() + 80);
        syslog.push_head(Some(level), &mut message);
        message.extend_from_slice(line.strip_suffix(b"\n").unwrap_or(line));
        if let (Err(error), Some(main)) = (syslog.send(&message), &main) {
            let text = format!("send() failed {} while logging to syslog, server: {server}", describe(&error));
            main.write(Level::Error, 0, text.as_bytes());
        }
        is_busy.set(false);
    })))
}

/// The level that the arguments name; `error` if none does. A kind of debugging such as `debug_http` stands for `debug`:
/// all debug lines are written.
fn level(cx: &Cx<'_>) -> Result<Level, Error> {
    const DEBUG: [&[u8]; 7] =
        [b"debug_core", b"debug_alloc", b"debug_mutex", b"debug_event", b"debug_http", b"debug_mail", b"debug_stream"];
    let mut found = None;
    let mut debug = false;
    for i in 1..cx.args().len() {
        let name = cx.arg(i);
        if DEBUG.contains(&name) && found.is_none() {
            debug = true;
            continue;
        }
        match Level::from_name(name) {
            Some(_) if found.is_some() || debug => {
                return Err(cx.error_at(i, format!("duplicate log level \"{}\"", cx.text(i))));
            }
            Some(level) => found = Some(level),
            None => return Err(cx.error_at(i, format!("invalid log level \"{}\"", cx.text(i)))),
        }
    }
    Ok(if debug { Level::Debug } else { found.unwrap_or(Level::Error) })
}
