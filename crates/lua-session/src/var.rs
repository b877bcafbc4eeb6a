//! `ngx.var`: nginx's variables by name, and the groups of the last match by number.

use crate::host::{Host, with_served, with_session};
use crate::protocol::Protocol;
use base::saturated::Saturated;
use lua::{CallContext, Group, PhaseSet, Row};
use session::Session;
use session::variable::by_name::{AssignError, get_by_name, set_by_name};
use std::rc::Rc;

const ALL: u32 = PhaseSet::EVERYWHERE.bits();

/// Results of the rows; errors are negative, with their text in the output buffer.
const FOUND: i32 = 0;
const NOT_FOUND: i32 = 1;
const FAILED: i32 = -1;

/// The part's rows and glue.
#[must_use]
pub fn group<P: Protocol>() -> Group {
    Group {
        name: "ngx.var",
        rows: vec![
            Row::fast::<ALL, _, _>("var_get", var_get::<P>),
            Row::fast::<ALL, _, _>("var_number", var_number::<P>),
            Row::fast::<ALL, _, _>("var_at", var_at::<P>),
            Row::fast::<ALL, _, _>("capture", capture::<P>),
            Row::fast::<ALL, _, _>("var_set", var_set::<P>),
            Row::constant("FOUND", FOUND),
        ],
        glue: include_str!("var.lua"),
    }
}

/// Runs `f` on the name in lower case; `None` when it is not text, which no variable's name is.
fn with_name<R>(name: &[u8], f: impl FnOnce(&str) -> R) -> Option<R> {
    let mut place = [0; 64];
    if !name.iter().any(u8::is_ascii_uppercase) {
        return std::str::from_utf8(name).ok().map(f);
    }
    match place.get_mut(..name.len()) {
        Some(lower) => {
            lower.copy_from_slice(name);
            lower.make_ascii_lowercase();
            std::str::from_utf8(lower).ok().map(f)
        }
        None => String::from_utf8(name.to_ascii_lowercase()).ok().map(|lower| f(&lower)),
    }
}

/// Runs `f` where there are variables; elsewhere the error's text is in the output buffer.
#[inline]
fn with_variables<P: Protocol>(cx: &CallContext, f: impl FnOnce(&Host<P>, &Rc<P::Session>) -> i32) -> i32 {
    if P::VARIABLES_IN_HANDSHAKES { with_session(cx, FAILED, f) } else { with_served(cx, FAILED, f) }
}

fn var_get<P: Protocol>(cx: &CallContext, name: &[u8]) -> i32 {
    with_variables::<P>(cx, |_, session| {
        let mut found = false;
        cx.fill(|out| found = with_name(name, |name| get_by_name(&**session, name, out)).unwrap_or(false));
        if found { FOUND } else { NOT_FOUND }
    })
}

/// The number by which [`var_at`] knows a variable; negative when it has none.
fn var_number<P: Protocol>(cx: &CallContext, name: &[u8]) -> i32 {
    with_variables::<P>(cx, |host, session| {
        let number = with_name(name, |name| host.names.number(session, name));
        number.flatten().and_then(|number| i32::try_from(number).ok()).unwrap_or(FAILED)
    })
}

fn var_at<P: Protocol>(cx: &CallContext, number: i32) -> i32 {
    with_variables::<P>(cx, |host, session| {
        let mut found = false;
        cx.fill(|out| found = host.names.get(usize::try_from(number).unwrap_or(usize::MAX), session, out));
        if found { FOUND } else { NOT_FOUND }
    })
}

fn capture<P: Protocol>(cx: &CallContext, number: f64) -> i32 {
    with_variables::<P>(cx, |_, session| {
        let captures = session.cache().captures();
        // Any number below 1 names nothing; the cast keeps it at 0.
        let n = usize::saturated(number);
        if n == 0 || n >= captures.count() {
            return NOT_FOUND;
        }
        cx.set_text(captures.get(n).unwrap_or_default());
        FOUND
    })
}

fn var_set<P: Protocol>(cx: &CallContext, name: &[u8], value: &[u8], present: i32) -> i32 {
    with_variables::<P>(cx, |_, session| {
        let done = with_name(name, |name| set_by_name(&**session, name, (present != 0).then_some(value)));
        let error = match done {
            Some(Ok(())) => return FOUND,
            Some(Err(error)) => error,
            None => AssignError::NotFound,
        };
        let name = String::from_utf8_lossy(name).to_ascii_lowercase();
        let text = match error {
            AssignError::NotChangeable => format!("variable \"{name}\" not changeable"),
            AssignError::NotFound => format!(
                "variable \"{name}\" not found for writing; maybe it is a built-in variable that is not changeable \
                 or you forgot to use \"set ${name} '';\" in the config file to define it first"
            ),
        };
        cx.set_text(text.as_bytes());
        FAILED
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fold() {
        assert_eq!(with_name(b"Http_Host", str::to_owned).as_deref(), Some("http_host"));
        assert_eq!(with_name(&[b'A'; 100], str::len), Some(100));
        assert_eq!(with_name(b"\xff", str::len), None);
    }
}
