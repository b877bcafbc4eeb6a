//! The directives of `*_cache*`, which repeat by protocol.

use crate::caching::conf::{CacheConf, UPDATING, Zone, method};
use crate::caching::path;
use crate::caching::store::Caches;
use crate::settings::next;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::{Complex, Variables};
use std::rc::Rc;

/// Where the settings of a block are.
pub trait Caching: Config {
    /// What its directives begin with, without the underscore.
    const NAME: &'static str;
    /// The words of its `*_next_upstream`.
    const FAILURES: &'static [(&'static str, u32)];

    /// They.
    fn cache_conf(&mut self) -> &mut CacheConf;
}

const ALL: Context = Context::HTTP_ALL;

/// All rows for one protocol.
#[must_use]
pub fn rows<T: Caching>() -> Vec<Row> {
    let n = |suffix: &str| format!("{}_{suffix}", T::NAME);
    let mut rows = vec![
        Row::new(n("cache_path"), Context::HTTP, Arity::AtLeast(2), "A cache: its directory and the zone of its keys.", path::set),
        Row::new(n("cache"), ALL, Arity::exactly(1), "The cache that responses are kept in.", zone::<T>),
        Row::new(n("cache_key"), ALL, Arity::exactly(1), "What a response is found by.", |cx| {
            let value = compile(cx, 0)?;
            cx.once(&mut cx.location::<T>().cache_conf().key, value)
        }),
        Row::new(n("cache_valid"), ALL, Arity::AtLeast(1), "How long responses are fresh that do not say it.", valid::<T>),
        Row::new(n("cache_methods"), ALL, Arity::AtLeast(1), "Methods whose responses are kept.", |cx| {
            let before = cx.location::<T>().cache_conf().methods;
            let value = cx.bitmask(before, &method::WORDS)?;
            cx.location::<T>().cache_conf().methods = Some(value);
            Ok(())
        }),
        Row::new(n("cache_use_stale"), ALL, Arity::AtLeast(1), "When a response that is no longer fresh is given.", |cx| {
            let mut words: Vec<_> = T::FAILURES.iter().copied().filter(|(_, bit)| *bit != next::NON_IDEMPOTENT).collect();
            words.push(("updating", UPDATING));
            let before = cx.location::<T>().cache_conf().use_stale;
            let value = cx.bitmask(before, &words)?;
            cx.location::<T>().cache_conf().use_stale = Some(value);
            Ok(())
        }),
        Row::new(n("cache_bypass"), ALL, Arity::AtLeast(1), "When the upstream is asked in any case.", |cx| {
            let value = predicates(cx)?;
            cx.once(&mut cx.location::<T>().cache_conf().bypass, value)
        }),
        Row::new(n("no_cache"), ALL, Arity::AtLeast(1), "When a response is not kept.", |cx| {
            let value = predicates(cx)?;
            cx.once(&mut cx.location::<T>().cache_conf().no_cache, value)
        }),
        Row::new(n("cache_purge"), ALL, Arity::AtLeast(1), "When a request removes what it would get.", |cx| {
            let value = predicates(cx)?;
            cx.once(&mut cx.location::<T>().cache_conf().purge, value)
        }),
        Row::new(n("cache_purge_method"), ALL, Arity::exactly(1), "The method of requests that remove what they would get.", |cx| {
            let value = Rc::from(cx.arg(0));
            cx.once(&mut cx.location::<T>().cache_conf().purge_method, value)
        }),
        Row::new(n("cache_purge_tag"), ALL, Arity::AtLeast(1), "Tags of the responses that such a request removes.", |cx| {
            let value = predicates(cx)?;
            cx.once(&mut cx.location::<T>().cache_conf().purge_tag, value)
        }),
        Row::new(n("cache_purge_soft"), ALL, Arity::AtLeast(1), "When a purge leaves responses that are not fresh.", |cx| {
            let value = predicates(cx)?;
            cx.once(&mut cx.location::<T>().cache_conf().purge_soft, value)
        }),
        row::flag::<T>(n("cache_rfc9111"), ALL, "Keeps and gives responses by the rules of RFC 9111.", |t| &mut t.cache_conf().rfc9111),
        row::number::<T>(n("cache_min_uses"), ALL, "Requests for a response before it is kept.", |t| &mut t.cache_conf().min_uses),
        row::flag::<T>(n("cache_background_update"), ALL, "Fetches anew while the old response is given.", |t| {
            &mut t.cache_conf().background_update
        }),
        row::flag::<T>(n("cache_lock"), ALL, "Lets one request at a time fetch a response.", |t| &mut t.cache_conf().lock),
        row::time_ms::<T>(n("cache_lock_timeout"), ALL, "How long others wait for that one.", |t| &mut t.cache_conf().lock_timeout),
        row::time_ms::<T>(n("cache_lock_age"), ALL, "When another request may fetch too.", |t| &mut t.cache_conf().lock_age),
        row::flag::<T>(n("cache_revalidate"), ALL, "Asks whether an old response still holds.", |t| &mut t.cache_conf().revalidate),
        row::offset::<T>(n("cache_max_range_offset"), ALL, "Ranges behind this are not kept.", |t| &mut t.cache_conf().max_range_offset),
    ];
    if T::NAME == "proxy" {
        rows.push(row::flag::<T>(n("cache_convert_head"), ALL, "Asks for GET when the client says HEAD.", |t| {
            &mut t.cache_conf().convert_head
        }));
    }
    rows
}

fn compile(cx: &Cx<'_>, i: usize) -> Result<Complex, Error> {
    Complex::compile(cx.arg(i), &mut cx.global::<Variables>()).map_err(|text| cx.error_at(i, text))
}

fn predicates(cx: &Cx<'_>) -> Result<Rc<Vec<Complex>>, Error> {
    (0..cx.args().len()).map(|i| compile(cx, i)).collect::<Result<Vec<_>, _>>().map(Rc::new)
}

fn zone<T: Caching>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let value = match cx.arg(0) {
        b"off" => Zone::Off,
        _ => {
            let name = compile(cx, 0)?;
            match name.literal() {
                Some(b"") => return Err(cx.invalid_parameter(0)),
                Some(_) => Zone::Named(cx.main::<Caches>().named(&cx.text(0))),
                None => Zone::Varying(name),
            }
        }
    };
    cx.once(&mut cx.location::<T>().cache_conf().zone, value)
}

/// `[STATUS ...] TIME`; without a status those that are cached by custom.
fn valid<T: Caching>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let last = cx.args().len() - 1;
    let seconds = base::text::parse_time_sec(cx.arg(last)).and_then(|n| i64::try_from(n).ok());
    let seconds = seconds.ok_or_else(|| cx.error_at(last, format!("invalid time value \"{}\"", cx.text(last))))?;
    let mut times = Vec::new();
    if last == 0 {
        times.extend([200, 301, 302].map(|status| (status, seconds)));
    }
    for i in 0..last {
        let status = match cx.arg(i) {
            b"any" => 0,
            text => {
                let status = base::text::parse_number(text).and_then(|n| u16::try_from(n).ok()).filter(|n| (100..=599).contains(n));
                status.ok_or_else(|| cx.error_at(i, format!("invalid status \"{}\"", cx.text(i))))?
            }
        };
        times.push((status, seconds));
    }
    let mut own = cx.location::<T>();
    Rc::make_mut(own.cache_conf().valid.get_or_insert_default()).extend(times);
    Ok(())
}
