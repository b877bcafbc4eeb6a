//! The directives of `srcache_*`.

use crate::compile::complex;
use base::log::Level;
use conf::context::{Arity, Context};
use conf::row::{self, Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::{Complex, Method, Request, log_request};
use std::rc::Rc;

/// A subrequest to be made: method, URI and arguments.
pub(crate) struct Target {
    pub(crate) method: (Method, Box<[u8]>),
    pub(crate) uri: Complex,
    pub(crate) args: Option<Complex>,
}

/// The directives of one block.
#[derive(Default)]
pub(crate) struct Conf {
    pub(crate) fetch: Option<Rc<Target>>,
    pub(crate) store: Option<Rc<Target>>,
    fetch_skip: Option<Rc<Complex>>,
    store_skip: Option<Rc<Complex>>,
    methods: Option<Vec<Method>>,
    statuses: Option<Vec<u16>>,
    pub(crate) max_size: Option<u64>,
    pub(crate) line_size: Option<u64>,
    hidden: Option<Vec<Box<[u8]>>>,
    passed: Option<Vec<Box<[u8]>>>,
    pub(crate) ignore_encoding: Option<bool>,
    pub(crate) request_control: Option<bool>,
    pub(crate) response_control: Option<bool>,
    pub(crate) store_private: Option<bool>,
    pub(crate) store_no_store: Option<bool>,
    pub(crate) store_no_cache: Option<bool>,
    pub(crate) store_ranges: Option<bool>,
    pub(crate) default_expire: Option<u64>,
    pub(crate) max_expire: Option<u64>,
}

impl Config for Conf {
    fn inherit(&mut self, parent: &Self) {
        conf::inherit!(
            self, parent;
            fetch, store, fetch_skip, store_skip, methods, statuses, max_size, line_size, hidden, passed, ignore_encoding, request_control,
            response_control, store_private, store_no_store, store_no_cache, store_ranges, default_expire, max_expire
        );
    }
}

/// Fields that are not kept unless the configuration wants them.
const HIDDEN: [&str; 9] = [
    "Connection",
    "Keep-Alive",
    "Proxy-Authenticate",
    "Proxy-Authorization",
    "TE",
    "Trailers",
    "Transfer-Encoding",
    "Upgrade",
    "Set-Cookie",
];
/// Statuses whose responses are kept by default.
const STATUSES: [u16; 5] = [200, 301, 302, 307, 308];

impl Conf {
    /// Whether requests of this method are looked at; GET and HEAD always are.
    pub(crate) fn caches_method(&self, method: Method) -> bool {
        [Method::GET, Method::HEAD].contains(&method) || self.methods.as_ref().is_some_and(|methods| methods.contains(&method))
    }

    /// Whether a response of this status is kept.
    pub(crate) fn stores_status(&self, status: u16) -> bool {
        self.statuses.as_deref().unwrap_or(&STATUSES).contains(&status)
    }

    /// Whether a field is kept.
    pub(crate) fn stores_field(&self, name: &[u8]) -> bool {
        let is = |list: &Option<Vec<Box<[u8]>>>| list.iter().flatten().any(|other| other.eq_ignore_ascii_case(name));
        let usual = HIDDEN.iter().any(|other| other.as_bytes().eq_ignore_ascii_case(name));
        is(&self.passed) || !(usual || is(&self.hidden))
    }

    /// Whether `srcache_fetch_skip` says so.
    pub(crate) fn skips_fetch(&self, request: &Request) -> bool {
        skips(self.fetch_skip.as_deref(), request, "srcache_fetch skipped due to the true value fed into srcache_fetch_skip")
    }

    /// Whether `srcache_store_skip` says so.
    pub(crate) fn skips_store(&self, request: &Request) -> bool {
        skips(self.store_skip.as_deref(), request, "srcache_store skipped due to the true value in srcache_store_skip")
    }
}

/// Whether a value is true, with `message` for the debug log then.
fn skips(value: Option<&Complex>, request: &Request, message: &str) -> bool {
    let Some(value) = value.map(|value| value.to_vec(request)) else { return false };
    let skips = !value.is_empty() && value != b"0";
    if skips {
        log_request!(request, Level::Debug, "{message}: \"{}\"", String::from_utf8_lossy(&value));
    }
    skips
}

fn target(cx: &Cx<'_>) -> Result<Rc<Target>, Error> {
    let method = Method::from_name(cx.arg(0));
    if ![Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE].contains(&method) {
        return Err(cx.error_at(0, format!("{} specifies bad HTTP method {}", cx.name(), cx.text(0))));
    }
    let args = if cx.args().len() > 2 { Some(complex(cx, 2)?) } else { None };
    Ok(Rc::new(Target { method: (method, cx.arg(0).into()), uri: complex(cx, 1)?, args }))
}

fn methods(cx: &mut Cx<'_>) -> Result<(), Error> {
    let allowed = [("GET", Method::GET), ("HEAD", Method::HEAD), ("POST", Method::POST), ("PUT", Method::PUT), ("DELETE", Method::DELETE)];
    let list = (0..cx.args().len()).map(|i| cx.choice(i, &allowed)).collect::<Result<Vec<_>, _>>()?;
    cx.once(&mut cx.location::<Conf>().methods, list)
}

fn statuses(cx: &mut Cx<'_>) -> Result<(), Error> {
    let status = |i: usize| {
        let number = base::text::parse_number(cx.arg(i)).and_then(|number| u16::try_from(number).ok()).filter(|number| *number > 0);
        number.ok_or_else(|| cx.error_at(i, format!("status code \"{}\" is an invalid number", cx.text(i))))
    };
    let list = (0..cx.args().len()).map(status).collect::<Result<Vec<_>, _>>()?;
    cx.once(&mut cx.location::<Conf>().statuses, list)
}

/// The directives.
// tidy: table
pub(crate) fn rows() -> Vec<Row> {
    let plain = Context::HTTP_ALL;
    let all = plain.union(Context::LOCATION_IF);
    vec![
        Row::new("srcache_fetch", all, Arity::Between(2, 3), "Where responses are fetched from.", |cx| {
            let value = target(cx)?;
            cx.once(&mut cx.location::<Conf>().fetch, value)
        }),
        Row::new("srcache_store", all, Arity::Between(2, 3), "Where responses are stored.", |cx| {
            let value = target(cx)?;
            cx.once(&mut cx.location::<Conf>().store, value)
        }),
        Row::new("srcache_fetch_skip", all, Arity::exactly(1), "When a response is not fetched.", |cx| {
            let value = Rc::new(complex(cx, 0)?);
            cx.once(&mut cx.location::<Conf>().fetch_skip, value)
        }),
        Row::new("srcache_store_skip", all, Arity::exactly(1), "When a response is not stored.", |cx| {
            let value = Rc::new(complex(cx, 0)?);
            cx.once(&mut cx.location::<Conf>().store_skip, value)
        }),
        Row::new("srcache_methods", plain, Arity::AtLeast(1), "Methods besides GET and HEAD that are looked at.", methods),
        Row::new("srcache_store_statuses", all, Arity::AtLeast(1), "Statuses of responses that are stored.", statuses),
        row::size::<Conf>("srcache_store_max_size", all, "Larger responses are not stored.", |c| &mut c.max_size),
        row::size::<Conf>("srcache_header_buffer_size", all, "The longest line of a stored head.", |c| &mut c.line_size),
        Row::new("srcache_store_hide_header", all, Arity::exactly(1), "A field that is not stored.", |cx| {
            cx.location::<Conf>().hidden.get_or_insert_default().push(cx.arg(0).into());
            Ok(())
        }),
        Row::new("srcache_store_pass_header", all, Arity::exactly(1), "A field that is stored though usually it is not.", |cx| {
            cx.location::<Conf>().passed.get_or_insert_default().push(cx.arg(0).into());
            Ok(())
        }),
        row::flag::<Conf>("srcache_ignore_content_encoding", all, "Stores encoded responses too.", |c| &mut c.ignore_encoding),
        row::flag::<Conf>("srcache_request_cache_control", plain, "Heeds the request's Cache-Control.", |c| &mut c.request_control),
        row::flag::<Conf>("srcache_response_cache_control", plain, "Heeds the response's Cache-Control.", |c| &mut c.response_control),
        row::flag::<Conf>("srcache_store_private", plain, "Stores private responses too.", |c| &mut c.store_private),
        row::flag::<Conf>("srcache_store_no_store", plain, "Stores responses with no-store too.", |c| &mut c.store_no_store),
        row::flag::<Conf>("srcache_store_no_cache", plain, "Stores responses with no-cache too.", |c| &mut c.store_no_cache),
        row::flag::<Conf>("srcache_store_ranges", all, "Stores responses to requests for ranges too.", |c| &mut c.store_ranges),
        row::time_sec::<Conf>("srcache_default_expire", all, "How long responses live that do not say it.", |c| &mut c.default_expire),
        row::time_sec::<Conf>("srcache_max_expire", all, "How long responses live at most.", |c| &mut c.max_expire),
    ]
}
