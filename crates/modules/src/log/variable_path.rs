//! Logs whose path has variables, and `open_log_file_cache`.

use super::logged::Logged;
use base::clock;
use base::errno;
use base::log::{Level, LogFile};
use base::saturated::Saturated;
use conf::row::Cx;
use conf::tree::Error;
use foldhash::HashMap;
use session::{Complex, Worker, log_client};
use std::cell::{Cell, RefCell};
use std::io;
use std::path::PathBuf;
use std::rc::Rc;

/// The limits of `open_log_file_cache`; times in milliseconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileCache {
    max: usize,
    inactive: u64,
    valid: u64,
    min_uses: u64,
}

/// Parses `open_log_file_cache`.
pub(super) fn parse(cx: &Cx<'_>) -> Result<Option<FileCache>, Error> {
    let mut cache = FileCache { max: 0, inactive: 10_000, valid: 60_000, min_uses: 1 };
    for i in 0..cx.args().len() {
        let bad = || cx.error_at(i, format!("invalid \"open_log_file_cache\" parameter \"{}\"", cx.text(i)));
        let seconds = |text: &[u8]| base::text::parse_time_sec(text).map(|s| s.saturating_mul(1000));
        match cx.arg(i) {
            b"off" => return Ok(None),
            arg => {
                let at = memchr::memchr(b'=', arg).ok_or_else(bad)?;
                let value = arg.get(at + 1..).unwrap_or_default();
                match arg.get(..at).unwrap_or_default() {
                    b"max" => cache.max = usize::saturated(base::text::parse_number(value).ok_or_else(bad)?),
                    b"inactive" => cache.inactive = seconds(value).ok_or_else(bad)?,
                    b"valid" => cache.valid = seconds(value).ok_or_else(bad)?,
                    b"min_uses" => cache.min_uses = base::text::parse_number(value).filter(|n| *n > 0).ok_or_else(bad)?,
                    _ => return Err(bad()),
                }
            }
        }
    }
    if cache.max == 0 {
        return Err(cx.error("\"open_log_file_cache\" must have \"max\" parameter"));
    }
    Ok(Some(cache))
}

struct Open {
    file: Option<Rc<LogFile>>,
    uses: u64,
    used: u64,
    /// The number of that use: many fall into one millisecond.
    last_used: u64,
    opened: u64,
}

/// The open files of one worker.
#[derive(Default)]
struct OpenFiles {
    by_path: RefCell<HashMap<PathBuf, Open>>,
    clock: Cell<u64>,
}

/// Appends a line to the file that the path names for this session.
pub(super) fn append<S: Logged>(session: &S, path: &Complex<S>, cache: Option<&FileCache>, line: &[u8]) -> io::Result<()> {
    if !session.may_write_path() {
        return Ok(());
    }
    let path = session.paths().resolve(&path.to_vec(session));
    match open(session.worker(), &path, cache) {
        Ok(file) => file.append(line),
        Err(error) => {
            log_client!(session, Level::Crit, "open() \"{}\" failed {}", path.display(), errno::describe(&error));
            Ok(())
        }
    }
}

fn open(worker: &Worker, path: &PathBuf, cache: Option<&FileCache>) -> io::Result<Rc<LogFile>> {
    let Some(cache) = cache else { return LogFile::open(path) };
    let state = worker.state::<OpenFiles>();
    let mut files = state.by_path.borrow_mut();
    let now = clock::monotonic_ms();
    let turn = state.clock.get() + 1;
    state.clock.set(turn);
    files.retain(|_, open| now < open.used.saturating_add(cache.inactive));
    if let Some(open) = files.get_mut(path) {
        open.uses += 1;
        (open.used, open.last_used) = (now, turn);
        if let Some(file) = open.file.as_ref().filter(|_| now < open.opened.saturating_add(cache.valid)) {
            return Ok(file.clone());
        }
        let file = LogFile::open(path)?;
        open.opened = now;
        open.file = (open.uses >= cache.min_uses).then(|| file.clone());
        return Ok(file);
    }
    let file = LogFile::open(path)?;
    if files.len() >= cache.max {
        let oldest = files.iter().min_by_key(|(_, open)| open.last_used).map(|(path, _)| path.clone());
        oldest.map(|path| files.remove(&path));
    }
    let kept = (cache.min_uses <= 1).then(|| file.clone());
    files.insert(path.clone(), Open { file: kept, uses: 1, used: now, last_used: turn, opened: now });
    Ok(file)
}
