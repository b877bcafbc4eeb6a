//! What TLS directives have in common, for clients, upstream servers and cosockets.

use crate::paths::MainContext;
use base::text;
use conf::row::Cx;
use conf::tree::Error;
use tls::certificate::cache::Limits;
use tls::ciphers::PROTOCOLS;

/// Adds the versions that a directive names to `words`.
///
/// # Errors
/// nginx's text for a word that is none.
pub fn protocols(cx: &Cx<'_>, words: &mut Vec<&'static str>) -> Result<(), Error> {
    let known = PROTOCOLS.map(|name| (name, name));
    for i in 0..cx.args().len() {
        let word = cx.choice(i, &known)?;
        if words.contains(&word) {
            cx.warn(format!("duplicate value \"{word}\""));
        } else {
            words.push(word);
        }
    }
    Ok(())
}

/// The lines of a file of passwords.
///
/// # Errors
/// nginx's text for a file that cannot be read.
pub fn passwords(cx: &Cx<'_>) -> Result<Vec<Vec<u8>>, Error> {
    let path = cx.global::<MainContext>().paths.resolve_conf(cx.arg(0));
    let text = std::fs::read(&path)
        .map_err(|error| cx.error_at(0, format!("open() \"{}\" failed {}", path.display(), base::errno::describe(&error))))?;
    let mut lines = tls::certificate::passwords(&text);
    if lines.is_empty() {
        // A file without a line is one empty password.
        lines.push(Vec::new());
    }
    Ok(lines)
}

/// How long certificates are kept whose names hold variables; `None` is `off`.
///
/// # Errors
/// nginx's texts.
pub fn certificate_cache(cx: &Cx<'_>) -> Result<Option<Limits>, Error> {
    let (mut most, mut valid, mut inactive, mut off) = (0, 60, 10, false);
    for i in 0..cx.args().len() {
        let word = cx.arg(i);
        let invalid = || cx.invalid_parameter(i);
        if let Some(value) = word.strip_prefix(b"max=") {
            most = text::parse_number(value).filter(|most| *most > 0).ok_or_else(invalid)?;
        } else if let Some(value) = word.strip_prefix(b"inactive=") {
            inactive = text::parse_time_sec(value).ok_or_else(invalid)?;
        } else if let Some(value) = word.strip_prefix(b"valid=") {
            valid = text::parse_time_sec(value).ok_or_else(invalid)?;
        } else if word == b"off" {
            off = true;
        } else {
            return Err(invalid());
        }
    }
    if off {
        return Ok(None);
    }
    if most == 0 {
        return Err(cx.error(format!("\"{}\" must have the \"max\" parameter", cx.name())));
    }
    let ms = |seconds: u64| seconds.saturating_mul(1000);
    Ok(Some(Limits { most: usize::try_from(most).unwrap_or(usize::MAX), valid_ms: ms(valid), inactive_ms: ms(inactive) }))
}
