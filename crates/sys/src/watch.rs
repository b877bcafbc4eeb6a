//! Descriptors that the event loop watches but that are no streams: listeners, epoll sets, signal pipes.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::epoll::Epoll;
use crate::signal::SignalPipe;
use crate::ticks::Ticks;

mod sealed {
    /// Keeps the list of watched types in this file.
    pub trait Sealed {}
}

/// A type that owns one descriptor for as long as it lives.
pub trait Owner: AsRawFd + sealed::Sealed + 'static {}

impl sealed::Sealed for OwnedFd {}
impl Owner for OwnedFd {}
impl sealed::Sealed for UnixStream {}
impl Owner for UnixStream {}
impl sealed::Sealed for Epoll {}
impl Owner for Epoll {}
impl sealed::Sealed for SignalPipe {}
impl Owner for SignalPipe {}
impl sealed::Sealed for Ticks {}
impl Owner for Ticks {}

/// Registers a non-blocking descriptor with the current event loop, for reading only.
///
/// # Errors
/// What epoll_ctl(2) reports.
pub fn readable<T: Owner>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: the trait is sealed to types that own one descriptor, always report that one and close it when dropped.
    unsafe { AsyncFd::register_with_interest(inner, Interest::READABLE) }.map_err(io::Error::from)
}

/// As [`readable`], for reading and writing.
///
/// # Errors
/// What epoll_ctl(2) reports.
pub fn readable_and_writable<T: Owner>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: as in `readable`.
    unsafe { AsyncFd::register_with_interest(inner, Interest::READABLE | Interest::WRITABLE) }.map_err(io::Error::from)
}

/// As [`readable`], for writing only.
///
/// # Errors
/// What epoll_ctl(2) reports.
pub fn writable<T: Owner>(inner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: as in `readable`.
    unsafe { AsyncFd::register_with_interest(inner, Interest::WRITABLE) }.map_err(io::Error::from)
}
