//! `*_store`: responses are saved as files.

use crate::dialect::UpstreamResponse;
use crate::exchange::Exchange;
use crate::store_conf::Target;
use base::errno;
use base::log::Level;
use http::body::TempFile;
use http::{Request, log_request};
use std::ffi::OsString;
use std::fs::{self, DirBuilder, FileTimes, Permissions};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{DirBuilderExt, FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, SystemTime};
use wire::known::Known;

/// A copy of a body on its way to a file of the configuration's choice.
pub struct StoreFile {
    request: Rc<Request>,
    temp: Option<TempFile>,
    written: u64,
    path: PathBuf,
    access: u32,
    modified: Option<SystemTime>,
}

/// Begins the file of an answer, if it is to become one.
pub fn begin(exchange: &Exchange, answer: &UpstreamResponse, buffering: bool) -> Option<StoreFile> {
    let store = exchange.route.plan.store.as_ref()?;
    let request = &exchange.request;
    if answer.status != 200 || !buffering || request.is_bodiless() {
        return None;
    }
    let bytes = match &store.target {
        Target::Mapped => request.map_path().ok()?.bytes,
        Target::Path(path) => path.to_vec(&**request),
    };
    if bytes.is_empty() || bytes.contains(&0) {
        return None;
    }
    let path = request.http.paths.prefix.join(OsString::from_vec(bytes));
    let head = exchange.record.head.borrow();
    let lines = exchange.record.lines.borrow();
    let modified = lines.iter().find(|line| line.known == Known::LastModified).and_then(|line| wire::date::parse(line.value.of(&head)));
    let modified = modified.and_then(|time| u64::try_from(time).ok()).map(|time| SystemTime::UNIX_EPOCH + Duration::from_secs(time));
    let directory = exchange.route.plan.temp_path.as_ref()?;
    match TempFile::create(directory) {
        Ok(temp) => Some(StoreFile { request: request.clone(), temp: Some(temp), written: 0, path, access: store.access, modified }),
        Err(error) => {
            log_request!(request, Level::Crit, "open() of a temporary file failed {}", errno::describe(&error));
            None
        }
    }
}

impl StoreFile {
    /// Appends bytes of the body. When the disk refuses, the answer goes on without becoming a file.
    pub fn write(&mut self, data: &[u8]) {
        let Some(temp) = &self.temp else { return };
        match temp.file.write_all_at(data, self.written) {
            Ok(()) => self.written += data.len() as u64,
            Err(error) => {
                log_request!(self.request, Level::Crit, "writing \"{}\" failed {}", temp.path.display(), errno::describe(&error));
                self.temp = None;
            }
        }
    }

    /// Whether there is still a file to go on for.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.temp.is_some()
    }

    /// The body is whole: the file takes its place.
    pub fn commit(mut self) {
        let Some(temp) = self.temp.take() else { return };
        if let Err(error) = self.place(&temp) {
            let (from, to) = (temp.path.display(), self.path.display());
            log_request!(self.request, Level::Crit, "rename() \"{from}\" to \"{to}\" failed {}", errno::describe(&error));
        }
    }

    fn place(&self, temp: &TempFile) -> io::Result<()> {
        temp.file.set_permissions(Permissions::from_mode(self.access))?;
        if let Some(time) = self.modified {
            temp.file.set_times(FileTimes::new().set_accessed(time).set_modified(time))?;
        }
        match fs::rename(&temp.path, &self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_parent(&self.path, self.access)?;
                fs::rename(&temp.path, &self.path)
            }
            Err(error) if error.kind() == io::ErrorKind::CrossesDevices => self.copy_beside(&temp.path),
            other => other,
        }
    }

    /// To another file system: a copy next to the final path, then a rename.
    fn copy_beside(&self, from: &Path) -> io::Result<()> {
        make_parent(&self.path, self.access)?;
        let mut beside = self.path.clone().into_os_string();
        beside.push(format!(".{}", std::process::id()));
        let copied = fs::copy(from, &beside).and_then(|_| {
            if let Some(time) = self.modified {
                fs::File::options().write(true).open(&beside)?.set_times(FileTimes::new().set_accessed(time).set_modified(time))?;
            }
            fs::rename(&beside, &self.path)
        });
        if copied.is_err() {
            // The first error is the one to tell.
            let _ = fs::remove_file(&beside);
        }
        copied
    }
}

/// Directories can be entered by those who can read them.
fn make_parent(path: &Path, access: u32) -> io::Result<()> {
    let enter = (access & 0o444) >> 2;
    match path.parent() {
        Some(parent) => DirBuilder::new().recursive(true).mode(access | enter | 0o700).create(parent),
        None => Ok(()),
    }
}
