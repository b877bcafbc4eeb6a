//! `keyval`: a variable whose value is looked up in a zone that the API writes (nginx manual, `ngx_http_keyval_module`).

pub(crate) mod pairs;

use crate::block;
use crate::compile::complex;
use base::text;
use conf::context::Arity;
use conf::row::{Cx, Row};
use conf::scope::{Config, Frame};
use conf::tree::Error;
use http::{Module, Request};
use pairs::{Kind, Pairs};
use session::paths::MainContext;
use session::{Configured, Levels};
use shm::{ClaimError, Zones};
use std::cell::OnceCell;
use std::path::PathBuf;
use std::rc::Rc;

/// `keyval`.
pub const MODULE: Module =
    Module { rows: rows::<Request>, levels: levels::<Request>, complete: complete::<Request>, ..Module::named("keyval") };

/// `keyval` of streams.
pub const STREAM: stream::Module = stream::Module {
    rows: rows::<stream::Session>,
    levels: levels::<stream::Session>,
    complete: complete::<stream::Session>,
    ..stream::Module::named("keyval")
};

/// A zone by its name, which may be declared behind its use.
pub(crate) struct ZoneRef {
    pub(crate) name: String,
    pub(crate) pairs: OnceCell<Rc<Pairs>>,
    /// Where it was named first.
    named: Error,
}

/// The zones of a protocol.
pub(crate) struct KeyvalZones<S> {
    list: Vec<Rc<ZoneRef>>,
    protocol: std::marker::PhantomData<fn(&S)>,
}

impl<S> Default for KeyvalZones<S> {
    fn default() -> Self {
        KeyvalZones { list: Vec::new(), protocol: std::marker::PhantomData }
    }
}

impl<S: 'static> Config for KeyvalZones<S> {
    fn inherit(&mut self, _: &Self) {}
}

impl<S> KeyvalZones<S> {
    fn place(&mut self, name: &str, named: Error) -> Rc<ZoneRef> {
        if let Some(known) = self.list.iter().find(|place| place.name == name) {
            return known.clone();
        }
        let made = Rc::new(ZoneRef { name: name.to_owned(), pairs: OnceCell::new(), named });
        self.list.push(made.clone());
        made
    }

    /// All zones, in the order of the configuration.
    pub(crate) fn all(&self) -> &[Rc<ZoneRef>] {
        &self.list
    }
}

fn rows<S: Configured>() -> Vec<Row> {
    vec![
        Row::new("keyval_zone", S::OUTERMOST, Arity::AtLeast(1), "A zone of keys and values.", keyval_zone::<S>),
        Row::new("keyval", S::OUTERMOST, Arity::exactly(3), "A variable that is looked up in a zone.", keyval::<S>),
    ]
}

fn levels<S: Configured>(levels: &mut Levels) {
    levels.main::<KeyvalZones<S>>();
}

fn complete<S: Configured>(frame: &Frame) -> Result<(), Error> {
    match frame.main.get::<KeyvalZones<S>>().list.iter().find(|place| place.pairs.get().is_none()) {
        Some(place) => Err(Error { message: format!("zero size shared memory zone \"{}\"", place.name), ..place.named.clone() }),
        None => Ok(()),
    }
}

/// What `keyval_zone` says.
#[derive(Default)]
struct ZoneOptions {
    zone: Option<(String, usize)>,
    state: Option<PathBuf>,
    timeout: Option<u64>,
    kind: Kind,
}

fn read(cx: &Cx<'_>) -> Result<ZoneOptions, Error> {
    let mut options = ZoneOptions::default();
    for i in 0..cx.args().len() {
        let word = cx.arg(i);
        let value = |name: &str| word.strip_prefix(name.as_bytes());
        if value("zone=").is_some() {
            options.zone = Some(crate::limits::zone_and_size(cx, i)?);
        } else if let Some(path) = value("state=").filter(|path| !path.is_empty()) {
            options.state = Some(cx.global::<MainContext>().paths.resolve(path));
        } else if let Some(time) = value("timeout=") {
            options.timeout = Some(text::parse_time_ms(time).filter(|time| *time > 0).ok_or_else(|| cx.invalid_parameter(i))?);
        } else if let Some(kind) = value("type=") {
            options.kind = Kind::named(kind).ok_or_else(|| cx.invalid_parameter(i))?;
        } else if word == b"sync" {
            return Err(cx.unsupported("\"sync\" of \"keyval_zone\""));
        } else {
            return Err(cx.invalid_parameter(i));
        }
    }
    Ok(options)
}

/// Who owns zones of pairs.
pub(crate) const OWNER: &str = "keyval";
/// Who owns those of `stream`.
pub(crate) const STREAM_OWNER: &str = "keyval of streams";

fn keyval_zone<S: Configured>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let options = read(cx)?;
    let (name, size) =
        options.zone.filter(|(name, _)| !name.is_empty()).ok_or_else(|| cx.error("\"keyval_zone\" must have \"zone\" parameter"))?;
    let place = cx.main::<KeyvalZones<S>>().place(&name, cx.error(""));
    let owner = if S::OUTERMOST == Request::OUTERMOST { OWNER } else { STREAM_OWNER };
    let (zone, is_kept) = {
        let mut zones = cx.global::<Zones>();
        let is_kept = zones.previous(&name, owner).is_some_and(|zone| zone.size() == size);
        let zone = zones.claim(&name, owner, size).map_err(|error| match error {
            ClaimError::Bound(_) => cx.error(format!("keyval_zone \"{name}\" is already defined")),
            error => cx.error(error.to_string()),
        })?;
        (zone, is_kept)
    };
    {
        // Keys of another kind would not be found.
        let mut note = zone.note.borrow_mut();
        let own = options.kind.name().as_bytes();
        if note.is_empty() {
            note.extend_from_slice(own);
        } else if **note != *own {
            let old = String::from_utf8_lossy(&note);
            return Err(
                cx.error(format!("keyval_zone \"{name}\" has type \"{}\" while previously it had type \"{old}\"", options.kind.name()))
            );
        }
    }
    let pairs = Pairs::new(&zone, options.kind, options.timeout, options.state);
    if !is_kept {
        pairs.load().map_err(|text| cx.error(text))?;
    }
    // The zone was not declared a moment ago.
    let _ = place.pairs.set(Rc::new(pairs));
    Ok(())
}

fn keyval<S: Configured>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let key = complex::<S>(cx, 0)?;
    let name = block::variable_name(cx, 1)?;
    let zone = cx.arg(2).strip_prefix(b"zone=").filter(|zone| !zone.is_empty()).ok_or_else(|| cx.invalid_parameter(2))?;
    let place = cx.main::<KeyvalZones<S>>().place(&String::from_utf8_lossy(zone), cx.error(""));
    let get = move |session: &S, out: &mut Vec<u8>| {
        let key = key.to_vec(session);
        place.pairs.get().is_some_and(|pairs| pairs.look_up(&key, out))
    };
    block::define(cx, &name, 0, Rc::new(get))
}
