//! The operating system made safe: the only crate besides `lua` that may write `unsafe`.
//!
//! Every function here is a thin, checked wrapper over one system call or a short fixed sequence of them. Policy
//! (what to log, what is fatal) stays with the callers; errors are `std::io::Error` with the kernel's number in them.
#![cfg_attr(not(test), warn(clippy::cast_possible_truncation))]

#[allow(non_upper_case_globals, reason = "`ngx_argv` has the name by which the FFI finds it")]
pub mod arguments;
pub mod boxed;
pub mod crypt;
pub mod datagram;
pub mod descriptor;
pub mod disk;
pub mod environment;
pub mod epoll;
pub mod iconv;
pub mod identity;
pub mod limits;
pub mod memory;
pub mod process;
pub mod regex;
pub mod shared;
pub mod signal;
pub mod socket;
pub mod tcp_info;
pub mod ticks;
pub mod time;
pub mod title;
pub mod udp;
pub mod watch;
