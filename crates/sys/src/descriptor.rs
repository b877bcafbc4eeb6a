//! Descriptors: taking them over by number, inheriting them over exec, moving file bytes into sockets.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

use nix::fcntl::{FcntlArg, FdFlag, OFlag, fcntl};

/// Takes over a descriptor that this process inherited by number (binary upgrade, socket activation).
///
/// # Errors
/// `EBADF` when the number is not open, `InvalidInput` for a standard descriptor. The caller names each number once;
/// a number that another owner holds would be closed twice.
pub fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    if number <= 2 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: F_GETFD reads a flag of whatever stands at this number, or fails.
    if unsafe { libc::fcntl(number, libc::F_GETFD) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is open and came from the program before exec, so no value of this program owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Says whether a descriptor survives exec (clears or sets `FD_CLOEXEC`), fcntl(2).
pub fn set_inheritable(descriptor: impl AsFd, inheritable: bool) -> io::Result<()> {
    let flags = if inheritable { FdFlag::empty() } else { FdFlag::FD_CLOEXEC };
    fcntl(descriptor, FcntlArg::F_SETFD(flags))?;
    Ok(())
}

/// Switches a descriptor to non-blocking mode, fcntl(2) `O_NONBLOCK`.
pub fn set_nonblocking(descriptor: impl AsFd) -> io::Result<()> {
    let descriptor = descriptor.as_fd();
    let flags = OFlag::from_bits_retain(fcntl(descriptor, FcntlArg::F_GETFL)?);
    fcntl(descriptor, FcntlArg::F_SETFL(flags | OFlag::O_NONBLOCK))?;
    Ok(())
}

/// Moves up to `count` bytes of `file`, from `offset` on, into a socket without a copy through user space,
/// sendfile(2). Returns how many bytes went; 0 means that the file ends at or before `offset`.
///
/// # Errors
/// `WouldBlock` when the socket takes nothing now.
pub fn send_file(socket: impl AsFd, file: impl AsFd, offset: u64, count: usize) -> io::Result<usize> {
    let mut place = libc::off_t::try_from(offset).map_err(|_| io::ErrorKind::InvalidInput)?;
    loop {
        // SAFETY: both descriptors are open for the call and place is a live off_t.
        let sent = unsafe { libc::sendfile(socket.as_fd().as_raw_fd(), file.as_fd().as_raw_fd(), &raw mut place, count) };
        match usize::try_from(sent) {
            Ok(sent) => return Ok(sent),
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Receives into the spare room of a buffer (at least one byte of it must be reserved), recv(2). Returns how many bytes
/// were appended; 0 is the end of the stream.
///
/// # Errors
/// `InvalidInput` when the buffer has no spare room; `WouldBlock` when nothing is there.
pub fn receive(socket: impl AsFd, into: &mut Vec<u8>) -> io::Result<usize> {
    receive_at_most(socket, into, usize::MAX)
}

/// As [`receive`], but no more than `most` bytes.
///
/// # Errors
/// `InvalidInput` when there is no room or `most` is 0; `WouldBlock` when nothing is there.
pub fn receive_at_most(socket: impl AsFd, into: &mut Vec<u8>, most: usize) -> io::Result<usize> {
    let room = into.spare_capacity_mut();
    let most = most.min(room.len());
    if most == 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    loop {
        // SAFETY: the kernel writes at most `most` bytes, and the spare room has as many.
        let got = unsafe { libc::recv(socket.as_fd().as_raw_fd(), room.as_mut_ptr().cast(), most, 0) };
        match usize::try_from(got) {
            Ok(got) => {
                // SAFETY: the kernel initialised the first `got` bytes of the spare room.
                unsafe { into.set_len(into.len() + got) };
                return Ok(got);
            }
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.kind() != io::ErrorKind::Interrupted {
                    return Err(error);
                }
            }
        }
    }
}

/// Reads once into the room that `into` has behind its length, read(2). 0 is the end.
///
/// # Errors
/// Those of read(2); `WouldBlock` where a non-blocking descriptor has nothing.
pub fn read_into(descriptor: impl AsFd, into: &mut Vec<u8>, most: usize) -> io::Result<usize> {
    into.reserve(most);
    let room = into.spare_capacity_mut();
    let most = most.min(room.len());
    // SAFETY: the kernel writes at most `most` bytes, and the spare room has as many.
    let got = unsafe { libc::read(descriptor.as_fd().as_raw_fd(), room.as_mut_ptr().cast(), most) };
    let got = usize::try_from(got).map_err(|_| io::Error::last_os_error())?;
    // SAFETY: the kernel initialised the first `got` bytes of the spare room.
    unsafe { into.set_len(into.len() + got) };
    Ok(got)
}

/// Reads up to `most` bytes of a file from `offset` on and appends them to `into`, pread(2). Returns how many; 0 is the end
/// of the file.
///
/// # Errors
/// Those of pread(2).
pub fn read_at(file: impl AsFd, into: &mut Vec<u8>, offset: u64, most: usize) -> io::Result<usize> {
    into.reserve(most);
    let offset = libc::off_t::try_from(offset).map_err(io::Error::other)?;
    let room = into.spare_capacity_mut();
    let most = most.min(room.len());
    loop {
        // SAFETY: the kernel writes at most `most` bytes, and the spare room has as many.
        let got = unsafe { libc::pread(file.as_fd().as_raw_fd(), room.as_mut_ptr().cast(), most, offset) };
        if let Ok(got) = usize::try_from(got) {
            // SAFETY: the kernel initialised the first `got` bytes of the spare room.
            unsafe { into.set_len(into.len() + got) };
            return Ok(got);
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Writes all bytes at `offset` of a file, pwrite(2).
///
/// # Errors
/// Those of pwrite(2).
pub fn write_at(file: impl AsFd, bytes: &[u8], offset: u64) -> io::Result<()> {
    let mut done = 0;
    while let Some(rest) = bytes.get(done..).filter(|rest| !rest.is_empty()) {
        let place = libc::off_t::try_from(offset).map_err(io::Error::other)? + libc::off_t::try_from(done).map_err(io::Error::other)?;
        done += nix::sys::uio::pwrite(&file, rest, place)?;
    }
    Ok(())
}

/// As [`read_at`], but all of `count` bytes; without them `into` stays as it was.
///
/// # Errors
/// Those of pread(2); `UnexpectedEof` where the file ends before.
pub fn read_exact_at(file: impl AsFd, into: &mut Vec<u8>, offset: u64, count: usize) -> io::Result<()> {
    let start = into.len();
    while into.len() - start < count {
        let done = into.len() - start;
        let read = match read_at(&file, into, offset + done as u64, count - done) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            read => read,
        };
        if let Err(error) = read {
            into.truncate(start);
            return Err(error);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn adopting_refuses_what_is_not_open() {
        assert!(adopt(1).is_err());
        assert_eq!(adopt(1 << 20).unwrap_err().raw_os_error(), Some(libc::EBADF));
        let (one, _other) = UnixStream::pair().unwrap();
        let number = std::os::fd::IntoRawFd::into_raw_fd(one);
        assert_eq!(adopt(number).unwrap().as_raw_fd(), number);
    }

    #[test]
    fn file_bytes_arrive_from_the_offset() {
        let path = std::env::temp_dir().join(format!("lunette-sendfile-{}", crate::process::id()));
        std::fs::write(&path, b"0123456789").unwrap();
        let file = std::fs::File::open(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        let (one, mut other) = UnixStream::pair().unwrap();
        let mut read = b"x".to_vec();
        assert_eq!(read_at(&file, &mut read, 7, 100).unwrap(), 3);
        assert_eq!((read_at(&file, &mut read, 10, 100).unwrap(), &read[..]), (0, &b"x789"[..]));
        assert_eq!(send_file(&one, &file, 4, 100).unwrap(), 6);
        assert_eq!(send_file(&one, &file, 10, 100).unwrap(), 0);
        let mut got = [0; 6];
        other.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"456789");
    }

    #[test]
    fn receiving_appends_and_reports_the_end() {
        let (one, mut other) = UnixStream::pair().unwrap();
        set_nonblocking(&one).unwrap();
        let mut buffer = Vec::with_capacity(16);
        buffer.push(b'-');
        assert_eq!(receive(&one, &mut buffer).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        other.write_all(b"abc").unwrap();
        assert_eq!(receive(&one, &mut buffer).unwrap(), 3);
        assert_eq!(buffer, b"-abc");
        drop(other);
        assert_eq!(receive(&one, &mut buffer).unwrap(), 0);
        assert!(receive(&one, &mut Vec::new()).is_err());
    }
}
