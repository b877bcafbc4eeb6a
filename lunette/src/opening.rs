//! Opening an accepted configuration: creates directories, opens logs, and reopens them.

use crate::generation::Generation;
use base::errno::describe;
use base::log::Level;
use daemon::LoadError;
use http::resources::ErrorFiles;
use session::directories::Directories;
use session::log_files::LogFiles;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// Makes the directories and opens the error logs.
///
/// # Errors
/// nginx's message for the first that cannot be had.
pub(crate) fn open(generation: &Generation) -> Result<(), LoadError> {
    let user = generation.settings.user.as_ref().filter(|_| sys::identity::is_root()).map(|account| account.uid);
    let directories = generation.global.get::<Directories>().list();
    for path in &directories {
        make(path, user)?;
    }
    let files = generation.global.get::<ErrorFiles>().clone();
    files.open_all().map_err(|(path, error)| failed("open", &path, &error))
}

fn failed(call: &str, path: &Path, error: &io::Error) -> LoadError {
    LoadError::new(format!("{call}() \"{}\" failed {}", path.display(), describe(error)))
}

/// A directory that only the workers' user may enter (`ngx_create_paths`).
fn make(path: &Path, user: Option<u32>) -> Result<(), LoadError> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(failed("mkdir", path, &error)),
        _ => {}
    }
    let Some(user) = user else { return Ok(()) };
    let found = std::fs::metadata(path).map_err(|error| failed("stat", path, &error))?;
    if found.uid() != user {
        sys::identity::give_to(path, user).map_err(|error| failed("chown", path, &error))?;
    }
    if found.mode() & 0o700 != 0o700 {
        let mut permissions = found.permissions();
        permissions.set_mode(found.mode() | 0o700);
        std::fs::set_permissions(path, permissions).map_err(|error| failed("chmod", path, &error))?;
    }
    Ok(())
}

/// Opens all logs again. The master, who may, gives new files to the workers' user so that these can do the same.
pub(crate) fn reopen(generation: &Generation) {
    let log = &generation.settings.error_log;
    let files = generation.global.get::<ErrorFiles>().clone();
    files.reopen_all(|path, error| base::log!(log, Level::Emerg, 0, "open() \"{}\" failed {}", path.display(), describe(error)));
    let access = generation.global.get::<LogFiles>();
    access.reopen(log);
    let Some(user) = generation.settings.user.as_ref().filter(|_| sys::identity::is_root()) else { return };
    let more = access.list.iter().map(|file| file.path().to_owned());
    for path in files.paths().into_iter().chain(more) {
        if let Err(error) = change_owner(&path, user.uid) {
            base::log!(log, Level::Emerg, 0, "chown(\"{}\", {}) failed {}", path.display(), user.uid, describe(&error));
        }
    }
}

fn change_owner(path: &Path, user: u32) -> io::Result<()> {
    let found = std::fs::metadata(path)?;
    if !found.is_file() {
        return Ok(());
    }
    if found.uid() != user {
        sys::identity::give_to(path, user)?;
    }
    if found.mode() & 0o600 != 0o600 {
        let mut permissions = found.permissions();
        permissions.set_mode(found.mode() | 0o600);
        std::fs::set_permissions(path, permissions)?;
    }
    Ok(())
}
