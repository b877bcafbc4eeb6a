//! The directives that repeat by protocol, written once: `proxy_buffering`, `fastcgi_buffering` and so on.

use crate::caching::conf::CacheConf;
use crate::caching::rows::{self as cache_rows, Caching};
use crate::settings::{Family, ignore, next};
use crate::store_conf::Target;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::switch::Switch;
use conf::tree::Error;
use http::{Complex, Variables};
use std::rc::Rc;

/// A protocol's location values, which hold the family's.
pub trait Member: Config {
    /// What its directives begin with, without the underscore.
    const PREFIX: &'static str;
    /// The words of its `*_next_upstream`.
    const NEXT: &'static [(&'static str, u32)] = &next::WORDS;

    /// The family's values.
    fn family(&mut self) -> &mut Family;
}

impl<T: Member> Caching for T {
    const NAME: &'static str = T::PREFIX;
    const FAILURES: &'static [(&'static str, u32)] = T::NEXT;

    fn cache_conf(&mut self) -> &mut CacheConf {
        &mut self.family().caching
    }
}

const ALL: Context = Context::HTTP_ALL;

fn name<T: Member>(suffix: &str) -> String {
    format!("{}_{suffix}", T::PREFIX)
}

/// All rows of the family for one protocol.
#[must_use]
pub fn rows<T: Member>() -> Vec<Row> {
    let mut rows = sized_rows::<T>();
    rows.extend(cache_rows::rows::<T>());
    rows.extend(store_rows::<T>());
    rows = rows.into_iter().map(with_position::<T>).collect();
    rows.extend(plain_rows::<T>());
    rows.extend(header_rows::<T>());
    rows
}

/// What it says is checked when its block is complete, and the error must be able to name it.
fn with_position<T: Member>(mut row: Row) -> Row {
    if row.contexts.contains(Context::LOCATION) {
        let set = row.set;
        row.set = Rc::new(move |cx| {
            set(cx)?;
            cx.location::<T>().family().told = Some(cx.directive.name.span);
            Ok(())
        });
    }
    row
}

/// The rows of a gateway protocol (FastCGI, uwsgi, SCGI), which has not all that HTTP has; `send_lowat` has FastCGI alone.
#[must_use]
pub(crate) fn gateway_rows<T: Member>(send_lowat: bool) -> Vec<Row> {
    let mut rows = rows::<T>();
    let without = ["allow_upstream", "headers_hash_bucket_size", "headers_hash_max_size", "pass_trailers"].map(name::<T>);
    let lowat = name::<T>("send_lowat");
    rows.retain(|row| !without.iter().any(|name| *name == row.name) && (send_lowat || row.name != lowat));
    rows
}

/// The rows with these suffixes alone, for protocols that have few of them.
#[must_use]
pub(crate) fn some_rows<T: Member>(suffixes: &[&str]) -> Vec<Row> {
    let mut rows = plain_rows::<T>();
    rows.extend(sized_rows::<T>());
    rows.extend(header_rows::<T>());
    let known = suffixes.iter().map(|suffix| name::<T>(suffix)).collect::<Vec<_>>();
    rows.retain(|row| known.iter().any(|name| *name == row.name));
    rows
}

fn plain_rows<T: Member>() -> Vec<Row> {
    let n = name::<T>;
    vec![
        row::flag::<T>(n("buffering"), ALL, "Reads the response ahead of the client.", |t| &mut t.family().buffering),
        row::flag::<T>(n("request_buffering"), ALL, "Reads the whole request body before the upstream is asked.", |t| {
            &mut t.family().request_buffering
        }),
        row::flag::<T>(n("ignore_client_abort"), ALL, "Goes on when the client has gone.", |t| &mut t.family().ignore_client_abort),
        row::flag::<T>(n("intercept_errors"), ALL, "Lets error_page answer for the upstream's errors.", |t| {
            &mut t.family().intercept_errors
        }),
        row::flag::<T>(n("force_ranges"), ALL, "Cuts ranges whatever the upstream says.", |t| &mut t.family().force_ranges),
        row::flag::<T>(n("socket_keepalive"), ALL, "Sets SO_KEEPALIVE on upstream connections.", |t| &mut t.family().socket_keepalive),
        row::flag::<T>(n("pass_request_headers"), ALL, "Passes the client's headers on.", |t| &mut t.family().pass_request_headers),
        row::flag::<T>(n("pass_request_body"), ALL, "Passes the client's body on.", |t| &mut t.family().pass_request_body),
        row::flag::<T>(n("pass_trailers"), ALL, "Passes the upstream's trailers on.", |t| &mut t.family().pass_trailers),
        row::size::<T>(n("socket_rcvbuf"), ALL, "Sets SO_RCVBUF on upstream connections.", |t| &mut t.family().socket_rcvbuf),
        row::size::<T>(n("socket_sndbuf"), ALL, "Sets SO_SNDBUF on upstream connections.", |t| &mut t.family().socket_sndbuf),
        row::time_ms::<T>(n("connect_timeout"), ALL, "How long connecting may take.", |t| &mut t.family().connect_timeout),
        row::time_ms::<T>(n("send_timeout"), ALL, "How long the upstream may take no byte.", |t| &mut t.family().send_timeout),
        row::time_ms::<T>(n("read_timeout"), ALL, "How long the upstream may send no byte.", |t| &mut t.family().read_timeout),
        row::time_ms::<T>(n("next_upstream_timeout"), ALL, "How long servers are tried.", |t| &mut t.family().next_upstream_timeout),
        row::number::<T>(n("next_upstream_tries"), ALL, "How many servers are tried.", |t| &mut t.family().next_upstream_tries),
        Row::new(n("next_upstream"), ALL, Arity::AtLeast(1), "When the next server is tried.", next_upstream::<T>),
        Row::new(n("bind"), ALL, Arity::Between(1, 2), "Local address of upstream connections.", bind::<T>),
        Row::new(n("limit_rate"), ALL, Arity::exactly(1), "Bytes a second that are read from the upstream.", |cx| {
            let value = Complex::compile(cx.arg(0), &mut cx.global::<Variables>()).map_err(|e| cx.error(e))?;
            if let Some(text) = value.literal()
                && base::text::parse_size(text, false).is_none()
            {
                return Err(cx.invalid_value(0));
            }
            cx.once(&mut cx.location::<T>().family().limit_rate, value)
        }),
        Row::new(n("allow_upstream"), ALL, Arity::AtLeast(1), "Variables that must all be true for the upstream to be asked.", |cx| {
            let compile = |w: &conf::tree::Word| Complex::compile(&w.bytes, &mut cx.global::<Variables>());
            let list = cx.args().iter().map(compile).collect::<Result<Vec<_>, _>>().map_err(|e| cx.error(e))?;
            cx.once(&mut cx.location::<T>().family().allow_upstream, Rc::new(list))
        }),
    ]
}

fn sized_rows<T: Member>() -> Vec<Row> {
    let n = name::<T>;
    vec![
        row::size::<T>(n("buffer_size"), ALL, "Buffer for the response's head.", |t| &mut t.family().buffer_size),
        row::size::<T>(n("busy_buffers_size"), ALL, "Bytes that may wait for the client.", |t| &mut t.family().busy_buffers_size),
        row::offset::<T>(n("max_temp_file_size"), ALL, "Most bytes of a response kept in a file.", |t| &mut t.family().max_temp_file_size),
        row::size::<T>(n("temp_file_write_size"), ALL, "Bytes written to that file at a time.", |t| &mut t.family().temp_file_write_size),
        Row::new(n("buffers"), ALL, Arity::exactly(2), "Number and size of buffers for the response.", |cx| {
            let value = (cx.number(0)?, cx.size(1)?);
            if value.0 == 0 || value.1 == 0 {
                return Err(cx.invalid_value(0));
            }
            cx.once(&mut cx.location::<T>().family().buffers, value)
        }),
        Row::new(n("temp_path"), ALL, Arity::Between(1, 4), "Directory of files for responses.", temp_path::<T>),
        // Linux has no settable low-water mark for sending; nginx ignores it there as well.
        Row::new(n("send_lowat"), ALL, Arity::exactly(1), "Accepted for nginx's sake; Linux has no such mark.", |cx| cx.size(0).map(drop)),
        // The sets of names here are not hash tables of a fixed size.
        Row::new(n("headers_hash_max_size"), ALL, Arity::exactly(1), "Accepted for nginx's sake.", |cx| cx.number(0).map(drop)),
        Row::new(n("headers_hash_bucket_size"), ALL, Arity::exactly(1), "Accepted for nginx's sake.", |cx| cx.number(0).map(drop)),
    ]
}

fn header_rows<T: Member>() -> Vec<Row> {
    let n = name::<T>;
    vec![
        Row::new(n("hide_header"), ALL, Arity::exactly(1), "A header that stays behind.", |cx| {
            push(&mut cx.location::<T>().family().hide_headers, cx.arg(0));
            Ok(())
        }),
        Row::new(n("pass_header"), ALL, Arity::exactly(1), "A header that is passed on although it is hidden unasked.", |cx| {
            push(&mut cx.location::<T>().family().pass_headers, cx.arg(0));
            Ok(())
        }),
        Row::new(n("ignore_headers"), ALL, Arity::AtLeast(1), "Headers of the upstream that have no power here.", |cx| {
            let before = cx.location::<T>().family().ignore_headers;
            let value = cx.bitmask(before, &ignore::WORDS)?;
            cx.location::<T>().family().ignore_headers = Some(value);
            Ok(())
        }),
    ]
}

fn store_rows<T: Member>() -> Vec<Row> {
    let n = name::<T>;
    vec![
        Row::new(n("store"), ALL, Arity::exactly(1), "Makes files of responses.", store::<T>),
        Row::new(n("store_access"), ALL, Arity::Between(1, 3), "Permissions of these files.", |cx| {
            let access = http::permissions::read(cx)?;
            cx.once(&mut cx.location::<T>().family().store.access, access)
        }),
    ]
}

fn store<T: Member>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let target = match cx.arg(0) {
        b"off" => Switch::Off,
        b"on" => Switch::On(Target::Mapped),
        b"" => return Err(cx.error_at(0, "empty path")),
        text => Switch::On(Target::Path(Complex::compile(text, &mut cx.global::<Variables>()).map_err(|e| cx.error_at(0, e))?)),
    };
    if target.as_on().is_some() && cx.location::<T>().family().caching.has_cache() {
        return Err(cx.error(format!("\"{0}_store\" directive is incompatible with \"{0}_cache\"", T::PREFIX)));
    }
    cx.once(&mut cx.location::<T>().family().store.target, target)
}

fn push(slot: &mut Option<Rc<Vec<Box<[u8]>>>>, value: &[u8]) {
    Rc::make_mut(slot.get_or_insert_default()).push(value.into());
}

fn next_upstream<T: Member>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let before = cx.location::<T>().family().next_upstream;
    let value = cx.bitmask(before, T::NEXT)?;
    cx.location::<T>().family().next_upstream = Some(value);
    Ok(())
}

fn bind<T: Member>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let value = ::upstream::bind::read(cx)?;
    cx.once(&mut cx.location::<T>().family().bind, value)
}

fn temp_path<T: Member>(cx: &mut Cx<'_>) -> Result<(), Error> {
    let path = http::temp_path::read(cx)?;
    cx.once(&mut cx.location::<T>().family().temp_path, path)
}
