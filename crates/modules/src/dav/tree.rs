//! Files and directories moved, copied and made.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Deepest tree that is copied.
const DEPTH: u32 = 200;

/// A failed call, with its name and path.
pub(super) type Failed = (&'static str, PathBuf, io::Error);

/// Directory permissions for file permissions: who may read may enter.
fn enterable(access: u32) -> u32 {
    access | ((access & 0o444) >> 2)
}

/// Makes one directory.
pub(super) fn make_directory(path: &Path, access: u32) -> io::Result<()> {
    DirBuilder::new().mode(enterable(access)).create(path)
}

fn make_parents(path: &Path, access: u32) -> io::Result<()> {
    match path.parent() {
        Some(parent) => DirBuilder::new().recursive(true).mode(enterable(access)).create(parent),
        None => Ok(()),
    }
}

/// A name beside `path` that nobody uses.
fn sibling_name(path: &Path) -> PathBuf {
    thread_local!(static NEXT: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });
    let number = NEXT.get().wrapping_add(1);
    NEXT.set(number);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.{number:010}", std::process::id()));
    PathBuf::from(name)
}

/// Writes `data` to a fresh file beside `path` and returns its name. A failure shows when the file is moved.
pub(super) fn fresh_file(path: &Path, data: &[u8], parents: bool, access: u32) -> PathBuf {
    let temp = sibling_name(path);
    if parents {
        // If this fails, so does the next line, and then the rename, which reports it.
        let _ = make_parents(path, access);
    }
    if let Ok(mut file) = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temp) {
        let _ = file.write_all(data);
    }
    temp
}

/// Moves a finished file into place: permissions and time first, so that it appears complete.
pub(super) fn rename_with(from: &Path, to: &Path, access: u32, time: Option<SystemTime>, parents: bool) -> Result<(), Failed> {
    if access != 0 {
        // The file may be missing; then the rename below says so.
        let _ = fs::set_permissions(from, Permissions::from_mode(access));
    }
    if let Some(time) = time
        && let Ok(file) = File::open(from)
    {
        // A time that cannot be set is not worth losing the file for.
        let _ = file.set_modified(time);
    }
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound && parents => {
            make_parents(to, access.max(0o600)).map_err(|e| ("mkdir()", to.to_owned(), e))?;
            fs::rename(from, to).map_err(|e| ("rename()", to.to_owned(), e))
        }
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy_file(from, to)?;
            fs::remove_file(from).map_err(|e| ("unlink()", from.to_owned(), e))
        }
        result => result.map_err(|e| ("rename()", to.to_owned(), e)),
    }
}

/// Copies a file with permissions and time, through a name beside the target, so that nobody reads half of it.
pub(super) fn copy_file(from: &Path, to: &Path) -> Result<(), Failed> {
    let temp = sibling_name(to);
    let copied = copy_to(from, &temp).and_then(|()| fs::rename(&temp, to).map_err(|e| ("rename()", to.to_owned(), e)));
    if copied.is_err() {
        // The copy has failed and is reported.
        let _ = fs::remove_file(&temp);
    }
    copied
}

fn copy_to(from: &Path, to: &Path) -> Result<(), Failed> {
    let meta = fs::metadata(from).map_err(|e| ("stat()", from.to_owned(), e))?;
    fs::copy(from, to).map_err(|e| ("write()", to.to_owned(), e))?;
    let time = meta.modified().and_then(|time| File::open(to)?.set_modified(time));
    time.map_err(|e| ("futimes()", to.to_owned(), e))
}

/// Removes what is in a directory, and says what could not be removed. False: it cannot be read.
pub(super) fn remove_contents(path: &Path, left: &mut impl FnMut(&str, &Path, &io::Error)) -> bool {
    let items = match fs::read_dir(path) {
        Ok(items) => items,
        Err(error) => {
            left("opendir()", path, &error);
            return false;
        }
    };
    for item in items.flatten() {
        let at = item.path();
        let (call, removed) = if item.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_contents(&at, left);
            ("rmdir()", fs::remove_dir(&at))
        } else {
            ("unlink()", fs::remove_file(&at))
        };
        if let Err(error) = removed {
            left(call, &at, &error);
        }
    }
    true
}

/// Copies a directory with what is in it; links and special files stay behind, as with nginx.
pub(super) fn copy_tree(from: &Path, to: &Path, depth: u32) -> Result<(), Failed> {
    let meta = fs::metadata(from).map_err(|e| ("stat()", from.to_owned(), e))?;
    DirBuilder::new().mode(meta.mode() & 0o777).create(to).map_err(|e| ("mkdir()", to.to_owned(), e))?;
    if depth > DEPTH {
        return Err(("mkdir()", to.to_owned(), io::Error::from_raw_os_error(nix::errno::Errno::ELOOP as i32)));
    }
    for item in fs::read_dir(from).map_err(|e| ("opendir()", from.to_owned(), e))? {
        let item = item.map_err(|e| ("readdir()", from.to_owned(), e))?;
        let target = to.join(item.file_name());
        match item.file_type() {
            Ok(kind) if kind.is_dir() => copy_tree(&item.path(), &target, depth + 1)?,
            Ok(kind) if kind.is_file() => copy_file(&item.path(), &target)?,
            _ => {}
        }
    }
    let time = meta.modified().and_then(|time| File::open(to)?.set_modified(time));
    time.map_err(|e| ("futimes()", to.to_owned(), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_copied_with_modes_and_times() {
        let root = std::env::temp_dir().join(format!("lunette-tree-{}", std::process::id()));
        let _ = fs::remove_dir_all(&root);
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), b"text").unwrap();
        fs::set_permissions(root.join("a/b/file"), Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("b", root.join("a/link")).unwrap();
        copy_tree(&root.join("a"), &root.join("c"), 0).unwrap();
        let (old, new) = (fs::metadata(root.join("a/b/file")).unwrap(), fs::metadata(root.join("c/b/file")).unwrap());
        assert_eq!((old.mode(), old.modified().unwrap()), (new.mode(), new.modified().unwrap()));
        assert!(!root.join("c/link").exists());
        rename_with(&root.join("c/b/file"), &root.join("d/e/file"), 0o644, None, true).unwrap();
        assert_eq!(fs::metadata(root.join("d/e/file")).unwrap().mode() & 0o777, 0o644);
        assert_eq!(fs::metadata(root.join("d")).unwrap().mode() & 0o777 & !0o022, 0o755);
        assert!(rename_with(&root.join("none"), &root.join("f"), 0, None, true).is_err());
        fs::remove_dir_all(root).unwrap();
    }
}
