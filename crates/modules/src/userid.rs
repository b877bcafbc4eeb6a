//! `userid`: cookies that identify clients (nginx manual, `ngx_http_userid_module`).

mod identity;

use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::variables::{define, getter};
use http::{Attach, Levels, Module, Outcome, Request, Step, Variables};
use identity::Identity;
use session::variable::CHANGEABLE;
use std::rc::Rc;

/// `userid`. A header filter behind `headers`.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<UserId>, variables, attach, ..Module::named("userid") };

/// What is done with the cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
enum Mode {
    Off,
    Log,
    V1,
    V2,
}

/// `userid_expires`; seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lifetime {
    Session,
    Max,
    Seconds(i64),
}

#[derive(Default)]
pub(crate) struct UserId {
    mode: Option<Mode>,
    name: Option<Box<[u8]>>,
    domain: Option<Box<[u8]>>,
    path: Option<Box<[u8]>>,
    p3p: Option<Box<[u8]>>,
    service: Option<u32>,
    lifetime: Option<Lifetime>,
    /// 0 is `off`.
    mark: Option<u8>,
    /// Bits of [`FLAGS`].
    flags: Option<u32>,
}

impl Config for UserId {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(self, parent; mode, name, domain, path, p3p, service, lifetime, mark, flags);
    }
}

fn rows() -> Vec<Row> {
    const MODES: [(&str, Mode); 4] = [("off", Mode::Off), ("log", Mode::Log), ("v1", Mode::V1), ("on", Mode::V2)];
    let text = |name: &'static str, doc: &'static str, field: fn(&mut UserId) -> &mut Option<Box<[u8]>>| {
        Row::new(name, Context::HTTP_ALL, Arity::exactly(1), doc, move |cx| {
            let value = cx.arg(0).into();
            cx.once(field(&mut cx.location::<UserId>()), value)
        })
    };
    let or_none = |name: &'static str, doc: &'static str, field: fn(&mut UserId) -> &mut Option<Box<[u8]>>| {
        Row::new(name, Context::HTTP_ALL, Arity::exactly(1), doc, move |cx| {
            let value = if cx.arg(0) == b"none" { b"" } else { cx.arg(0) };
            cx.once(field(&mut cx.location::<UserId>()), value.into())
        })
    };
    vec![
        Row::new("userid", Context::HTTP_ALL, Arity::exactly(1), "Sets or logs cookies that tell clients apart.", |cx| {
            let mode = cx.choice(0, &MODES)?;
            cx.once(&mut cx.location::<UserId>().mode, mode)
        }),
        text("userid_name", "Name of the cookie.", |own| &mut own.name),
        text("userid_path", "Path of the cookie.", |own| &mut own.path),
        or_none("userid_domain", "Domain of the cookie.", |own| &mut own.domain),
        or_none("userid_p3p", "Value of the P3P field sent with the cookie.", |own| &mut own.p3p),
        Row::new("userid_service", Context::HTTP_ALL, Arity::exactly(1), "Number of the server that made a cookie.", |cx| {
            let value = u32::try_from(cx.number(0)?).map_err(|_| cx.invalid_value(0))?;
            cx.once(&mut cx.location::<UserId>().service, value)
        }),
        Row::new("userid_expires", Context::HTTP_ALL, Arity::exactly(1), "How long browsers keep the cookie.", |cx| {
            let value = match cx.arg(0) {
                b"max" => Lifetime::Max,
                b"off" => Lifetime::Session,
                _ => Lifetime::Seconds(i64::try_from(cx.time_sec(0)?).map_err(|_| cx.invalid_value(0))?),
            };
            cx.once(&mut cx.location::<UserId>().lifetime, value)
        }),
        Row::new("userid_mark", Context::HTTP_ALL, Arity::exactly(1), "Marks cookies, so that unmarked ones are sent again.", mark),
        Row::new("userid_flags", Context::HTTP_ALL, Arity::AtLeast(1), "Attributes of the cookie.", flags),
    ]
}

fn mark(cx: &mut Cx<'_>) -> Result<(), Error> {
    let value = match *cx.arg(0) {
        [b'o', b'f', b'f'] => 0,
        [byte] if byte.is_ascii_alphanumeric() || byte == b'=' => byte,
        _ => return Err(cx.error_at(0, "\"userid_mark\" directive value must be \"off\" or a single letter, digit or \"=\"")),
    };
    cx.once(&mut cx.location::<UserId>().mark, value)
}

/// Any value of `samesite`: the first one counts.
const SAMESITE: u32 = 8;

/// `userid_flags`, in the order in which they are sent.
const FLAGS: [(&str, u32); 6] = [
    ("off", 1),
    ("secure", 2),
    ("httponly", 4),
    ("samesite=strict", SAMESITE | 16),
    ("samesite=lax", SAMESITE | 32),
    ("samesite=none", SAMESITE | 64),
];

fn flags(cx: &mut Cx<'_>) -> Result<(), Error> {
    let before = cx.location::<UserId>().flags;
    let value = cx.bitmask(before, &FLAGS)?;
    cx.location::<UserId>().flags = Some(value);
    Ok(())
}

fn variables(variables: &mut Variables) {
    define(variables, "uid_got", 0, |request, out| {
        let own = request.conf::<UserId>();
        if own.mode.unwrap_or(Mode::Off) == Mode::Off {
            return false;
        }
        match Identity::of(request, &own).received {
            Some(uid) => own.write(uid, out),
            None => false,
        }
    });
    define(variables, "uid_set", 0, |request, out| {
        let own = request.conf::<UserId>();
        if own.mode.unwrap_or(Mode::Off) < Mode::V1 {
            return false;
        }
        match Identity::of(request, &own).to_set(request, &own) {
            Some(uid) => own.write(uid, out),
            None => false,
        }
    });
    variables.define("uid_reset", CHANGEABLE, getter(|_, _| true));
}

fn attach(place: &mut Attach<'_>) -> Result<(), Error> {
    let own = place.conf::<UserId>();
    if own.mode.unwrap_or(Mode::Off) >= Mode::V1 {
        place.header_filter(move |request| {
            send(request, &own);
            Step::Now(Outcome::Ok)
        });
    }
    Ok(())
}

fn send(request: &Rc<Request>, own: &UserId) {
    if !request.is_main() {
        return;
    }
    let identity = Identity::of(request, own);
    let Some(uid) = identity.to_set(request, own) else { return };
    let mut value = own.name.as_deref().unwrap_or(b"uid").to_vec();
    value.push(b'=');
    identity.push_cookie(uid, own.mark.unwrap_or(0), &mut value);
    match own.lifetime.unwrap_or(Lifetime::Session) {
        Lifetime::Session | Lifetime::Seconds(0) => {}
        Lifetime::Max => value.extend_from_slice(b"; expires=Thu, 31-Dec-37 23:55:55 GMT"),
        Lifetime::Seconds(seconds) => {
            value.extend_from_slice(b"; expires=");
            wire::date::cookie(base::clock::now().sec.saturating_add(seconds), &mut value);
        }
    }
    if let Some(domain) = own.domain.as_deref().filter(|domain| !domain.is_empty()) {
        value.extend_from_slice(b"; domain=");
        value.extend_from_slice(domain);
    }
    value.extend_from_slice(b"; path=");
    value.extend_from_slice(own.path.as_deref().unwrap_or(b"/"));
    let flags = own.flags.unwrap_or_default();
    for (name, _) in FLAGS.iter().skip(1).filter(|(_, bits)| flags & bits == *bits) {
        value.extend_from_slice(b"; ");
        value.extend_from_slice(name.as_bytes());
    }
    let mut response = request.response.borrow_mut();
    response.headers.push(b"Set-Cookie", &value);
    if let Some(p3p) = own.p3p.as_deref().filter(|p3p| !p3p.is_empty()) {
        response.headers.push(b"P3P", p3p);
    }
}
