//! Opening a file: what it is, and without passing a symbolic link where that is forbidden (`disable_symlinks`).

use base::saturated::Saturated;
use nix::fcntl::{AtFlags, OFlag, open as open_path, openat};
use nix::sys::stat::{FileStat, Mode, SFlag, fstat, fstatat, stat};
use std::ffi::OsStr;
use std::fmt;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A directory.
    Directory,
    /// A device, a pipe, a socket.
    Other,
}

/// What distinguishes one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Device.
    pub device: u64,
    /// Inode on it.
    pub inode: u64,
    /// Size in bytes.
    pub size: u64,
    /// Modification time, seconds since the epoch.
    pub modified: i64,
    /// Its nanoseconds.
    pub modified_ns: i64,
    /// Change time of the inode, seconds since the epoch.
    pub changed: i64,
    /// Its nanoseconds.
    pub changed_ns: i64,
    /// What it is.
    pub kind: Kind,
}

impl Identity {
    fn of(stat: &FileStat) -> Identity {
        let kind = match stat.st_mode & SFlag::S_IFMT.bits() {
            mode if mode == SFlag::S_IFREG.bits() => Kind::File,
            mode if mode == SFlag::S_IFDIR.bits() => Kind::Directory,
            _ => Kind::Other,
        };
        Identity {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size.max(0) as u64,
            modified: stat.st_mtime,
            modified_ns: stat.st_mtime_nsec,
            changed: stat.st_ctime,
            changed_ns: stat.st_ctime_nsec,
            kind,
        }
    }
}

/// `disable_symlinks`: which links are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// All are followed.
    Follow,
    /// None is followed.
    Refuse,
    /// Only those whose owner is also the owner of what they point to.
    SameOwner,
}

/// A failed system call, with its name for the log: `open() "/path" failed (2: …)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which call.
    pub call: &'static str,
    /// `errno`.
    pub errno: i32,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed {}", self.call, base::errno::describe(&io::Error::from_raw_os_error(self.errno)))
    }
}

impl std::error::Error for Failure {}

impl Failure {
    fn new(call: &'static str, errno: nix::errno::Errno) -> Failure {
        Failure { call, errno: errno as i32 }
    }

    fn from_io(call: &'static str, error: &io::Error) -> Failure {
        Failure { call, errno: error.raw_os_error().unwrap_or(nix::errno::Errno::EIO as i32) }
    }

    /// The status that nginx answers with.
    pub fn status(self) -> u16 {
        use nix::errno::Errno;
        match Errno::from_raw(self.errno) {
            Errno::ENOENT | Errno::ENOTDIR | Errno::ENAMETOOLONG => 404,
            Errno::EACCES | Errno::EMLINK | Errno::ELOOP => 403,
            _ => 500,
        }
    }
}

/// The state of `path`, links followed, without opening it.
///
/// # Errors
/// Those of `stat(2)`.
pub fn identify(path: &[u8]) -> Result<Identity, Failure> {
    let stat = stat(Path::new(OsStr::from_bytes(path))).map_err(|e| Failure::new("stat()", e))?;
    Ok(Identity::of(&stat))
}

/// Opens `path` for reading; a pipe without a writer does not block. `from` is how many bytes of the path are
/// beyond suspicion when links are not followed.
///
/// # Errors
/// Those of `open(2)` and `fstat(2)`; `ELOOP` for a link that is refused.
pub(crate) fn open_file(path: &[u8], links: Links, from: usize) -> Result<(File, Identity), Failure> {
    let fd = match links {
        Links::Follow => plain(path),
        _ => walk(path, links, from),
    }
    .map_err(|e| Failure::new("open()", e))?;
    let identity = Identity::of(&fstat(&fd).map_err(|e| Failure::new("fstat()", e))?);
    Ok((File::from(fd), identity))
}

const READ: OFlag = OFlag::O_RDONLY.union(OFlag::O_NONBLOCK).union(OFlag::O_CLOEXEC);

fn plain(path: &[u8]) -> nix::Result<OwnedFd> {
    open_path(Path::new(OsStr::from_bytes(path)), READ, Mode::empty())
}

/// Goes down one component at a time, so that a link put in place meanwhile is met by the check of its own component.
fn walk(path: &[u8], links: Links, from: usize) -> nix::Result<OwnedFd> {
    let trusted = path.get(..from).filter(|t| !t.is_empty() && (t.ends_with(b"/") || path.get(from).is_none_or(|b| *b == b'/')));
    let (base, rest) = match trusted {
        Some(base) => (base, path.get(from..).unwrap_or_default()),
        None => (&b"/"[..], path),
    };
    let directory = READ | OFlag::O_DIRECTORY;
    let mut at = open_path(Path::new(OsStr::from_bytes(base)), directory, Mode::empty())?;
    let mut components = rest.split(|b| *b == b'/').filter(|c| !c.is_empty()).peekable();
    while let Some(name) = components.next() {
        let flags = if components.peek().is_some() || rest.ends_with(b"/") { directory } else { READ };
        at = step(&at, name, links, flags)?;
    }
    Ok(at)
}

fn step(at: &OwnedFd, name: &[u8], links: Links, flags: OFlag) -> nix::Result<OwnedFd> {
    use nix::errno::Errno;
    let name = Path::new(OsStr::from_bytes(name));
    match openat(at, name, flags | OFlag::O_NOFOLLOW, Mode::empty()) {
        // With O_DIRECTORY a link fails as ENOTDIR, and so does what is no directory.
        Err(Errno::ELOOP | Errno::EMLINK | Errno::ENOTDIR) => {}
        result => return result,
    }
    let link = fstatat(at, name, AtFlags::AT_SYMLINK_NOFOLLOW)?;
    if link.st_mode & SFlag::S_IFMT.bits() != SFlag::S_IFLNK.bits() {
        return Err(Errno::ENOTDIR);
    }
    if links != Links::SameOwner {
        return Err(Errno::ELOOP);
    }
    let target = openat(at, name, flags, Mode::empty())?;
    // Owners are compared on what was opened, not on the name, which may have changed.
    if fstat(&target)?.st_uid == link.st_uid { Ok(target) } else { Err(Errno::ELOOP) }
}

/// Reads a file of `size` bytes whole; shorter if it was cut meanwhile.
///
/// # Errors
/// Those of `read(2)`.
pub(crate) fn read_whole(file: &File, size: u64) -> Result<Vec<u8>, Failure> {
    use std::io::Read;
    let mut data = Vec::with_capacity(usize::saturated(size));
    file.take(size).read_to_end(&mut data).map_err(|e| Failure::from_io("read()", &e))?;
    Ok(data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn scratch(name: &str) -> std::path::PathBuf {
        let path = std::env::temp_dir().join(format!("lunette-open-{name}-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(&path).unwrap();
        path.canonicalize().unwrap()
    }

    fn bytes(path: &Path) -> &[u8] {
        path.as_os_str().as_bytes()
    }

    #[test]
    fn links_are_refused_at_every_component() {
        let root = scratch("links");
        fs::create_dir(root.join("real")).unwrap();
        fs::write(root.join("real/file"), b"x").unwrap();
        symlink("real", root.join("link")).unwrap();
        symlink("file", root.join("real/alias")).unwrap();
        let open = |name: &str, links| open_file(bytes(&root.join(name)), links, 0).map(|(_, i)| i.size).map_err(|e| e.status());
        assert_eq!(open("real/file", Links::Refuse), Ok(1));
        assert_eq!(open("link/file", Links::Refuse), Err(403));
        assert_eq!(open("real/alias", Links::Refuse), Err(403));
        assert_eq!(open("link/alias", Links::SameOwner), Ok(1));
        assert_eq!(open("link/alias", Links::Follow), Ok(1));
        assert_eq!(open("real/file/more", Links::Refuse), Err(404));
        let path = root.join("link/file");
        assert_eq!(
            open_file(bytes(&path), Links::Refuse, bytes(&root.join("link")).len()).map(|(_, i)| i.size).map_err(|e| e.status()),
            Ok(1)
        );
        fs::remove_dir_all(root).unwrap();
    }

    #[test]
    fn failures_have_nginxs_status() {
        let root = scratch("status");
        let missing = open_file(bytes(&root.join("none")), Links::Follow, 0).unwrap_err();
        assert_eq!((missing.call, missing.status()), ("open()", 404));
        let (_, directory) = open_file(bytes(&root), Links::Follow, 0).unwrap();
        assert_eq!(directory.kind, Kind::Directory);
        fs::remove_dir_all(root).unwrap();
    }
}
