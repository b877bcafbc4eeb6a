//! `server_name`.

use conf::row::Cx;
use conf::tree::Error;
use session::names::ServerName;
use session::{Regex, Session, Variables};
use std::rc::Rc;

/// Adds the names of a directive to those of a server; `first` is what `$server_name` will be.
///
/// # Errors
/// nginx's texts.
pub(crate) fn add<S: Session>(cx: &Cx<'_>, names: &mut Vec<ServerName<S>>, first: &mut Option<Box<[u8]>>) -> Result<(), Error> {
    for (i, word) in cx.args().iter().enumerate() {
        let name = if word.bytes == b"$hostname" { hostname() } else { word.bytes.clone() };
        let parsed = parse(cx, i, &name)?;
        if name.contains(&b'/') {
            cx.warn(format!("server name \"{}\" has suspicious symbols", String::from_utf8_lossy(&name)));
        }
        if first.is_none() {
            let lower = if name.starts_with(b"~") { name.clone() } else { name.to_ascii_lowercase() };
            *first = Some(lower.strip_prefix(b".").unwrap_or(&lower).into());
        }
        names.extend(parsed);
    }
    Ok(())
}

/// The machine's name, lower-case, as `$hostname`.
pub fn hostname() -> Vec<u8> {
    let text = std::fs::read("/proc/sys/kernel/hostname").unwrap_or_default();
    text.trim_ascii().to_ascii_lowercase()
}

/// The names that argument `i`, or what stands for it, gives a server.
///
/// # Errors
/// nginx's texts.
fn parse<S: Session>(cx: &Cx<'_>, i: usize, name: &[u8]) -> Result<Vec<ServerName<S>>, Error> {
    let invalid = || cx.error_at(i, format!("server name \"{}\" is invalid", String::from_utf8_lossy(name)));
    let lower = name.to_ascii_lowercase();
    match name {
        [b'~'] => Err(cx.error_at(i, "empty regex in server name \"~\"")),
        [b'~', pattern @ ..] => {
            // nginx matches names in lower case; an expression with capitals can only mean "any case".
            let caseless = pattern.iter().any(u8::is_ascii_uppercase);
            let regex = Regex::new(pattern, caseless, &mut cx.global::<Variables<S>>()).map_err(|e| cx.error_at(i, e))?;
            Ok(vec![ServerName::Regex(Rc::new(regex))])
        }
        [b'*'] | [b'*', b'.'] | [b'.'] => Err(invalid()),
        [b'*', second, ..] if *second != b'.' => Err(invalid()),
        [b'*', tail @ ..] if !tail.contains(&b'*') => Ok(vec![ServerName::Leading(tail.to_ascii_lowercase().into())]),
        [b'.', rest @ ..] if !rest.contains(&b'*') => {
            Ok(vec![ServerName::Exact(rest.to_ascii_lowercase().into()), ServerName::Leading(lower.into())])
        }
        [head @ .., b'*'] if head.ends_with(b".") && !head.contains(&b'*') => {
            Ok(vec![ServerName::Trailing(head.to_ascii_lowercase().into())])
        }
        // An asterisk elsewhere is refused where names are looked up (`conflicts`).
        _ => Ok(vec![ServerName::Exact(lower.into())]),
    }
}
