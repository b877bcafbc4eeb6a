//! `resty.signal` (lua-resty-signal): signals by name, for any process.

use crate::ANYWHERE;
use base::errno::strerror;
use base::saturated::Saturated;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    Group {
        name: "resty.signal",
        rows: vec![Row::fast::<ANYWHERE, _, _>("signal_number", number), Row::calls("signal_send", PhaseSet::EVERYWHERE, send)],
        glue: include_str!("signal.lua"),
    }
}

/// A signal's number by its name without `SIG`; -1 for a name that is none's here.
fn number(_: &CallContext, name: &[u8]) -> i32 {
    std::str::from_utf8(name).ok().and_then(sys::signal::by_name).unwrap_or(-1)
}

/// `signal_send(pid, number)`: nothing, or the system's words for why not.
fn send(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let pid = i32::saturated(stack.check_number(1, "kill")?);
    let signal = i32::saturated(stack.check_number(2, "kill")?);
    match sys::process::kill(pid, signal) {
        Ok(()) => Ok(0),
        Err(error) => {
            let words = error.raw_os_error().map_or_else(|| error.to_string().into(), strerror);
            stack.push_bytes(words.as_bytes());
            Ok(1)
        }
    }
}
