//! Users, groups and dropping of privileges.

use std::ffi::CString;
use std::io;

use nix::unistd::{Gid, Group, Uid, User};

/// A user of the system: passwd(5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Login name.
    pub name: String,
    /// User id.
    pub uid: u32,
    /// Primary group id.
    pub gid: u32,
}

/// Looks a user up by name, getpwnam_r(3). `None` when there is no such user.
pub fn user(name: &str) -> io::Result<Option<Account>> {
    let found = User::from_name(name)?;
    Ok(found.map(|user| Account { name: user.name, uid: user.uid.as_raw(), gid: user.gid.as_raw() }))
}

/// Looks a group up by name, getgrnam_r(3): its id. `None` when there is no such group.
pub fn group(name: &str) -> io::Result<Option<u32>> {
    Ok(Group::from_name(name)?.map(|group| group.gid.as_raw()))
}

/// Whether the effective user is root.
#[must_use]
pub fn is_root() -> bool {
    Uid::effective().is_root()
}

/// Sets the real, effective and saved group id of every thread, setgid(2).
pub fn set_group(gid: u32) -> io::Result<()> {
    Ok(nix::unistd::setgid(Gid::from_raw(gid))?)
}

/// Takes the supplementary groups of user `name` plus `gid`, initgroups(3).
pub fn set_supplementary_groups(name: &str, gid: u32) -> io::Result<()> {
    Ok(nix::unistd::initgroups(&CString::new(name)?, Gid::from_raw(gid))?)
}

/// Sets the real, effective and saved user id of every thread, setuid(2). This is irreversible for users other than root.
pub fn set_user(uid: u32) -> io::Result<()> {
    Ok(nix::unistd::setuid(Uid::from_raw(uid))?)
}

/// Keeps the privileges of root over the next change of user, prctl(2) `PR_SET_KEEPCAPS`.
pub fn keep_capabilities() -> io::Result<()> {
    // SAFETY: this prctl operation takes integers only.
    if unsafe { libc::prctl(libc::PR_SET_KEEPCAPS, 1, 0, 0, 0) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Gives all privileges up but that for raw and transparent sockets, capset(2) `CAP_NET_RAW`.
pub fn keep_only_raw_sockets() -> io::Result<()> {
    /// `_LINUX_CAPABILITY_VERSION_3`: two words for each set.
    const VERSION: u32 = 0x2008_0522;
    const CAP_NET_RAW: u32 = 13;
    let header = [VERSION, 0];
    let one = 1_u32 << CAP_NET_RAW;
    // Effective, permitted, inheritable: the lower words, then the upper ones.
    let data = [one, one, 0, 0, 0, 0];
    // SAFETY: the kernel reads a header of two words and, for this version, six words of sets; both live until the call is over.
    if unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), data.as_ptr()) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Allows core dumps again, which a change of user forbids, prctl(2) `PR_SET_DUMPABLE`.
pub fn set_dumpable() -> io::Result<()> {
    // SAFETY: this prctl operation takes integers only.
    if unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 1, 0, 0, 0) } == -1 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// Gives a file to a user, leaving its group, chown(2).
pub fn change_owner(path: &std::path::Path, uid: u32) -> io::Result<()> {
    Ok(nix::unistd::chown(path, Some(Uid::from_raw(uid)), None)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_exists_and_nonsense_does_not() {
        let root = user("root").unwrap().unwrap();
        assert_eq!((root.uid, root.gid), (0, 0));
        assert_eq!(group("root").unwrap(), Some(0));
        assert_eq!(user("no such user, surely").unwrap(), None);
        assert_eq!(group("no such group, surely").unwrap(), None);
        assert!(set_supplementary_groups("a\0b", 0).is_err());
    }
}
