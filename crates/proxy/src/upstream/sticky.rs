//! `sticky` in `upstream`.

use crate::sticky::{Cookie, Expires, LearnConf, Sticky, is_samesite};
use crate::upstream::{HttpProtocol, part};
use ::upstream::builder::builder;
use balance::sessions::{OWNER, Sessions};
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::tree::Error;
use http::module::Module;
use http::{Complex, Variables};
use session::variable::VarIndex;
use shm::{ClaimError, Zones};
use std::rc::Rc;

/// The directive.
pub const MODULE: Module = Module { rows, ..Module::named("upstream_sticky") };

/// Sessions are forgotten after this time, as in nginx: ten minutes.
const SESSION_MS: u64 = 600_000;

fn rows() -> Vec<Row> {
    vec![Row::new("sticky", Context::UPSTREAM, Arity::AtLeast(2), "Requests of one client go to one server.", sticky)]
}

fn sticky(cx: &mut Cx<'_>) -> Result<(), Error> {
    if part(cx).sticky.is_some() {
        return Err(cx.duplicate());
    }
    let made = match cx.arg(0) {
        b"cookie" => cookie(cx)?,
        b"route" => {
            let lookup = (1..cx.args().len()).map(|i| named(cx, i, cx.arg(i))).collect::<Result<_, _>>()?;
            Sticky { lookup, cookie: None, learn: None }
        }
        b"learn" => learn(cx)?,
        _ => return Err(unknown(cx, 0)),
    };
    part(cx).sticky = Some(Rc::new(made));
    Ok(())
}

fn unknown(cx: &Cx<'_>, i: usize) -> Error {
    cx.error_at(i, format!("unknown parameter \"{}\"", cx.text(i)))
}

fn named(cx: &Cx<'_>, i: usize, text: &[u8]) -> Result<VarIndex, Error> {
    let name = text.strip_prefix(b"$").ok_or_else(|| cx.error_at(i, format!("invalid variable name \"{}\"", cx.text(i))))?;
    Ok(cx.global::<Variables>().index(&String::from_utf8_lossy(name)))
}

/// A message that nginx puts behind the directive's name.
fn error(cx: &Cx<'_>, what: &str) -> Error {
    cx.error(format!("\"sticky\" directive {what}"))
}

fn cookie(cx: &Cx<'_>) -> Result<Sticky, Error> {
    let name = cx.arg(1);
    if name.is_empty() {
        return Err(error(cx, "empty cookie name"));
    }
    let mut made = Cookie { name: name.to_vec(), ..Cookie::default() };
    for i in 2..cx.args().len() {
        cookie_parameter(cx, i, &mut made)?;
    }
    let variable = format!("cookie_{}", String::from_utf8_lossy(name));
    let lookup = vec![cx.global::<Variables>().index(&variable)];
    Ok(Sticky { lookup, cookie: Some(made), learn: None })
}

fn cookie_parameter(cx: &Cx<'_>, i: usize, cookie: &mut Cookie) -> Result<(), Error> {
    let word = cx.arg(i);
    let (name, value) = match memchr::memchr(b'=', word) {
        Some(at) => (word.get(..at).unwrap_or_default(), Some(word.get(at + 1..).unwrap_or_default())),
        None => (word, None),
    };
    let shown = String::from_utf8_lossy(name);
    let once = |again: bool| if again { Err(error(cx, &format!("parameter \"{shown}\" is duplicate"))) } else { Ok(()) };
    let some = |value: &[u8]| if value.is_empty() { Err(error(cx, &format!("no value for \"{shown}\""))) } else { Ok(()) };
    let complex = |value: &[u8]| Complex::compile(value, &mut cx.global::<Variables>()).map_err(|e| cx.error_at(i, e));
    match (name, value) {
        (b"domain", Some(value)) => {
            once(cookie.domain.is_some())?;
            some(value)?;
            cookie.domain = Some(complex(value)?);
        }
        (b"path", Some(value)) => {
            once(cookie.path.is_some())?;
            some(value)?;
            cookie.path = Some(value.to_vec());
        }
        (b"expires", Some(value)) => {
            once(cookie.expires.is_some())?;
            let seconds = || base::text::parse_time_sec(value).and_then(|seconds| i64::try_from(seconds).ok());
            cookie.expires = Some(match value {
                b"max" => Expires::Never,
                _ => Expires::After(seconds().ok_or_else(|| error(cx, "invalid \"expires\" parameter value"))?),
            });
        }
        (b"httponly", None) => {
            once(cookie.httponly)?;
            cookie.httponly = true;
        }
        (b"secure", None) => {
            once(cookie.secure)?;
            cookie.secure = true;
        }
        (b"samesite", Some(value)) => {
            once(cookie.samesite.is_some())?;
            let compiled = complex(value)?;
            if compiled.literal().is_some() && !is_samesite(value) {
                return Err(error(cx, "invalid \"samesite\" parameter value"));
            }
            cookie.samesite = Some(compiled);
        }
        _ => return Err(unknown(cx, i)),
    }
    Ok(())
}

/// `sticky learn` while it is read.
#[derive(Default)]
struct LearnParameters {
    lookup: Vec<VarIndex>,
    create: Vec<VarIndex>,
    zone: Option<(String, usize)>,
    timeout: Option<u64>,
    at_header: bool,
}

fn learn(cx: &Cx<'_>) -> Result<Sticky, Error> {
    let mut read = LearnParameters::default();
    for i in 1..cx.args().len() {
        learn_parameter(cx, i, &mut read)?;
    }
    let missing = |name: &str| error(cx, &format!("\"{name}\" parameter is not specified"));
    if read.lookup.is_empty() {
        return Err(missing("lookup"));
    }
    if read.create.is_empty() {
        return Err(missing("create"));
    }
    let (name, size) = read.zone.take().ok_or_else(|| missing("zone"))?;
    let sessions = sessions(cx, &name, size, read.timeout.unwrap_or(SESSION_MS))?;
    let learn = LearnConf { create: read.create, sessions, at_header: read.at_header };
    Ok(Sticky { lookup: read.lookup, cookie: None, learn: Some(learn) })
}

fn learn_parameter(cx: &Cx<'_>, i: usize, read: &mut LearnParameters) -> Result<(), Error> {
    let word = cx.text(i);
    let variable = |name: &str, value: &str| {
        let missing = || error(cx, &format!("missing variable in the \"{name}\" parameter"));
        let variable = value.strip_prefix('$').ok_or_else(missing)?;
        Ok(cx.global::<Variables>().index(variable))
    };
    match word.split_once('=') {
        Some(("zone", _)) if read.zone.is_some() => return Err(error(cx, "duplicate zone")),
        Some(("zone", value)) => {
            let (name, size) = value.split_once(':').ok_or_else(|| error(cx, "zone size is not specified"))?;
            if name.is_empty() {
                return Err(error(cx, "zone name is not specified"));
            }
            let size = base::text::parse_size(size.as_bytes(), false).and_then(|size| usize::try_from(size).ok());
            let size = size.ok_or_else(|| error(cx, "invalid zone size"))?;
            if size < shm::zone::MIN_SIZE {
                return Err(error(cx, "zone is too small"));
            }
            read.zone = Some((name.to_owned(), size));
        }
        Some(("timeout", _)) if read.timeout.is_some() => return Err(error(cx, "duplicate timeout")),
        Some(("timeout", value)) => {
            let time = base::text::parse_time_ms(value.as_bytes()).filter(|time| *time > 0);
            read.timeout = Some(time.ok_or_else(|| error(cx, "invalid timeout"))?);
        }
        Some(("create", value)) => read.create.push(variable("create", value)?),
        Some(("lookup", value)) => read.lookup.push(variable("lookup", value)?),
        None if word == "header" => read.at_header = true,
        _ => return Err(unknown(cx, i)),
    }
    Ok(())
}

/// The zone of the sessions, which live on from one configuration to the next.
fn sessions(cx: &Cx<'_>, name: &str, size: usize, timeout: u64) -> Result<Sessions, Error> {
    let group = builder::<HttpProtocol>(cx).name().to_owned();
    let zone = match cx.global::<Zones>().claim(name, OWNER, size) {
        Ok(zone) => zone,
        Err(ClaimError::Bound(zone)) => {
            let user = String::from_utf8_lossy(&zone.note.borrow()).into_owned();
            return Err(cx.error(format!("sticky zone \"{name}\" is already used in upstream \"{user}\"")));
        }
        Err(error) => return Err(cx.error(error.to_string())),
    };
    {
        zone.prepare();
        let mut note = zone.note.borrow_mut();
        if note.is_empty() {
            note.extend_from_slice(group.as_bytes());
        } else if **note != *group.as_bytes() {
            let user = String::from_utf8_lossy(&note);
            return Err(cx.error(format!(
                "sticky zone \"{name}\" is used in upstream \"{group}\" while previously it was used in upstream \"{user}\""
            )));
        }
    }
    Ok(Sessions::new(zone, timeout))
}
