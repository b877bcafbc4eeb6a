//! The settings common to all `*_pass` protocols, and their merged values.

use crate::caching::conf::{CacheConf, Zone};
use crate::caching::plan::CachePlan;
use crate::header_set::HeaderNameSet;
use crate::limits::default;
use crate::sizes::{self, Sizes};
use crate::store_conf::{StoreConf, StorePlan};
use base::saturated::Saturated;
use cache::freshness::IgnoredFields;
use conf::switch::Switch;
use conf::tree::SettingError;
use conf::tree::{Error, Span};
use http::Complex;
use http::core::TempPath;
use std::rc::Rc;
use wire::known::Known;

/// Conditions of `*_next_upstream`, as bits.
pub mod next {
    /// Connecting, sending or reading failed.
    pub const ERROR: u32 = 1;
    /// A time limit passed.
    pub const TIMEOUT: u32 = 1 << 1;
    /// The head is empty or wrong.
    pub(crate) const INVALID_HEADER: u32 = 1 << 2;
    /// 500
    pub(crate) const HTTP_500: u32 = 1 << 3;
    /// 502
    pub(crate) const HTTP_502: u32 = 1 << 4;
    /// 503
    pub(crate) const HTTP_503: u32 = 1 << 5;
    /// 504
    pub(crate) const HTTP_504: u32 = 1 << 6;
    /// 403
    pub(crate) const HTTP_403: u32 = 1 << 7;
    /// 404
    pub(crate) const HTTP_404: u32 = 1 << 8;
    /// 429
    pub(crate) const HTTP_429: u32 = 1 << 9;
    /// Requests whose repetition may do harm, too.
    pub(crate) const NON_IDEMPOTENT: u32 = 1 << 10;
    /// Never.
    pub const OFF: u32 = 1 << 11;

    /// `off` wins over all others.
    pub(crate) fn unless_off(bits: u32) -> u32 {
        if bits & OFF == 0 { bits } else { 0 }
    }

    /// The words of the directive.
    pub const WORDS: [(&str, u32); 12] = [
        ("error", ERROR),
        ("timeout", TIMEOUT),
        ("invalid_header", INVALID_HEADER),
        ("non_idempotent", NON_IDEMPOTENT),
        ("http_500", HTTP_500),
        ("http_502", HTTP_502),
        ("http_503", HTTP_503),
        ("http_504", HTTP_504),
        ("http_403", HTTP_403),
        ("http_404", HTTP_404),
        ("http_429", HTTP_429),
        ("off", OFF),
    ];

    /// The words of FastCGI, uwsgi and SCGI.
    pub(crate) const GATEWAY_WORDS: [(&str, u32); 10] = [
        ("error", ERROR),
        ("timeout", TIMEOUT),
        ("invalid_header", INVALID_HEADER),
        ("non_idempotent", NON_IDEMPOTENT),
        ("http_500", HTTP_500),
        ("http_503", HTTP_503),
        ("http_403", HTTP_403),
        ("http_404", HTTP_404),
        ("http_429", HTTP_429),
        ("off", OFF),
    ];

    /// The words of memcached and Redis.
    pub(crate) const KEYED_WORDS: [(&str, u32); 5] =
        [("error", ERROR), ("timeout", TIMEOUT), ("invalid_response", INVALID_HEADER), ("not_found", HTTP_404), ("off", OFF)];

    /// The condition that a status makes true.
    #[must_use]
    pub(crate) fn of_status(status: u16) -> Option<u32> {
        Some(match status {
            500 => HTTP_500,
            502 => HTTP_502,
            503 => HTTP_503,
            504 => HTTP_504,
            403 => HTTP_403,
            404 => HTTP_404,
            429 => HTTP_429,
            _ => return None,
        })
    }
}

/// Headers that `*_ignore_headers` makes powerless, as bits.
pub mod ignore {
    /// `X-Accel-Redirect`
    pub(crate) const REDIRECT: u32 = 1;
    /// `X-Accel-Limit-Rate`
    pub(crate) const LIMIT_RATE: u32 = 1 << 1;
    /// `X-Accel-Buffering`
    pub(crate) const BUFFERING: u32 = 1 << 2;
    /// `X-Accel-Charset`
    pub const CHARSET: u32 = 1 << 3;

    /// `X-Accel-Expires`
    pub(crate) const ACCEL_EXPIRES: u32 = 1 << 4;
    /// `Expires`
    pub(crate) const EXPIRES: u32 = 1 << 5;
    /// `Cache-Control`
    pub(crate) const CACHE_CONTROL: u32 = 1 << 6;
    /// `Set-Cookie`
    pub(crate) const SET_COOKIE: u32 = 1 << 7;
    /// `Vary`
    pub(crate) const VARY: u32 = 1 << 8;

    /// The words of the directive.
    pub const WORDS: [(&str, u32); 9] = [
        ("X-Accel-Redirect", REDIRECT),
        ("X-Accel-Expires", ACCEL_EXPIRES),
        ("X-Accel-Limit-Rate", LIMIT_RATE),
        ("X-Accel-Buffering", BUFFERING),
        ("X-Accel-Charset", CHARSET),
        ("Expires", EXPIRES),
        ("Cache-Control", CACHE_CONTROL),
        ("Set-Cookie", SET_COOKIE),
        ("Vary", VARY),
    ];
}

/// `*_bind`
pub type Bind = ::upstream::bind::Bind<http::Request>;

macro_rules! family_fields {
    ($($(#[$doc:meta])* $field:ident: $type:ty,)+) => {
        /// The values of the directives that all protocols have.
        #[derive(Clone, Default)]
        pub struct Family {
            $($(#[$doc])* pub $field: Option<$type>,)+
            /// `*_ssl_*`
            pub secure: crate::secure::TlsConf,
            /// `*_cache*`
            pub caching: CacheConf,
            /// `*_store*`
            pub store: StoreConf,
        }

        impl Family {
            /// Takes over what this block does not say.
            pub fn inherit(&mut self, parent: &Family) {
                conf::inherit!(self, parent; $($field),+);
                self.secure.inherit(&parent.secure);
                // What a block says itself is instead of the other that it would inherit.
                if self.caching.has_cache() {
                    self.store.target.get_or_insert(Switch::Off);
                }
                if matches!(self.store.target, Some(Switch::On(_))) {
                    self.caching.zone.get_or_insert(Zone::Off);
                }
                self.caching.inherit(&parent.caching);
                self.store.inherit(&parent.store);
            }
        }
    };
}

family_fields! {
    /// `*_buffering`
    buffering: bool,
    /// `*_request_buffering`
    request_buffering: bool,
    /// `*_ignore_client_abort`
    ignore_client_abort: bool,
    /// `*_intercept_errors`
    intercept_errors: bool,
    /// `*_connect_timeout`, milliseconds
    connect_timeout: u64,
    /// `*_send_timeout`, milliseconds
    send_timeout: u64,
    /// `*_read_timeout`, milliseconds
    read_timeout: u64,
    /// `*_buffer_size`, bytes
    buffer_size: u64,
    /// `*_buffers`: number and size in bytes
    buffers: (u64, u64),
    /// `*_busy_buffers_size`, bytes
    busy_buffers_size: u64,
    /// `*_max_temp_file_size`, bytes
    max_temp_file_size: u64,
    /// `*_temp_file_write_size`, bytes
    temp_file_write_size: u64,
    /// `*_temp_path`, absolute
    temp_path: TempPath,
    /// `*_next_upstream`
    next_upstream: u32,
    /// `*_next_upstream_tries`
    next_upstream_tries: u64,
    /// `*_next_upstream_timeout`, milliseconds
    next_upstream_timeout: u64,
    /// `*_limit_rate`, bytes a second
    limit_rate: Complex,
    /// `*_force_ranges`
    force_ranges: bool,
    /// `*_bind`; the inner `None` is `off`
    bind: Option<Bind>,
    /// The last directive that said a size or a cache: where errors about them are shown
    told: Span,
    /// `*_socket_keepalive`
    socket_keepalive: bool,
    /// `*_socket_rcvbuf`, bytes
    socket_rcvbuf: u64,
    /// `*_socket_sndbuf`, bytes
    socket_sndbuf: u64,
    /// `*_ignore_headers`
    ignore_headers: u32,
    /// `*_hide_header`, in order
    hide_headers: Rc<Vec<Box<[u8]>>>,
    /// `*_pass_header`, in order
    pass_headers: Rc<Vec<Box<[u8]>>>,
    /// `*_pass_request_headers`
    pass_request_headers: bool,
    /// `*_pass_request_body`
    pass_request_body: bool,
    /// `*_pass_trailers`
    pass_trailers: bool,
    /// `*_allow_upstream`: all values must be non-empty and not "0"
    allow_upstream: Rc<Vec<Complex>>,
}

/// The merged settings with their defaults.
pub struct Plan {
    /// `*_buffering`
    pub buffering: bool,
    /// `*_request_buffering`
    pub request_buffering: bool,
    /// `*_ignore_client_abort`
    pub ignore_client_abort: bool,
    /// `*_intercept_errors`
    pub intercept_errors: bool,
    /// A 404 is always answered here, with or without `error_page`.
    pub intercept_404: bool,
    /// `*_connect_timeout`, milliseconds
    pub connect_timeout: u64,
    /// `*_send_timeout`, milliseconds
    pub send_timeout: u64,
    /// `*_read_timeout`, milliseconds
    pub read_timeout: u64,
    /// `*_buffer_size`, bytes
    pub buffer_size: usize,
    /// Bytes that one read from the upstream may bring.
    pub read_size: usize,
    /// The same for the read that begins with the head; larger heads make room as they come, up to their limit.
    pub first_read: usize,
    /// Bytes of `*_buffers` together.
    pub memory: usize,
    /// `*_busy_buffers_size`, bytes
    pub busy: u64,
    /// `*_max_temp_file_size`, bytes
    pub max_file: u64,
    /// `*_temp_path`
    pub temp_path: Option<TempPath>,
    /// `*_next_upstream`
    pub next_upstream: u32,
    /// `*_next_upstream_tries`; 0 is unlimited
    pub tries: u64,
    /// `*_next_upstream_timeout`, milliseconds; 0 is unlimited
    pub tries_timeout: u64,
    /// `*_limit_rate`
    pub limit_rate: Option<Complex>,
    /// `*_force_ranges`
    pub force_ranges: bool,
    /// `*_bind`
    pub bind: Option<Bind>,
    /// `*_socket_keepalive`
    pub socket_keepalive: bool,
    /// `*_socket_rcvbuf`, bytes; the kernel's choice if not given
    pub socket_rcvbuf: Option<usize>,
    /// `*_socket_sndbuf`, bytes; the kernel's choice if not given
    pub socket_sndbuf: Option<usize>,
    /// `*_ignore_headers`
    pub ignore: u32,
    /// What is not passed on to the client.
    pub hidden: HeaderNameSet,
    /// `*_pass_header Server`: where the upstream sends none, ours does not stand in for it.
    pub pass_server: bool,
    /// The same for `Date`.
    pub pass_date: bool,
    /// `*_pass_request_headers`
    pub pass_request_headers: bool,
    /// `*_pass_request_body`
    pub pass_request_body: bool,
    /// `*_pass_trailers`
    pub pass_trailers: bool,
    /// `*_allow_upstream`
    pub allow_upstream: Rc<Vec<Complex>>,
    /// `*_cache*`, where there is a cache
    pub caching: Option<Rc<CachePlan>>,
    /// `*_store`, where answers become files
    pub store: Option<StorePlan>,
}

impl Plan {
    /// The fields that have no say in what a cache keeps.
    #[must_use]
    pub(crate) fn uncounted(&self) -> IgnoredFields {
        let is = |bit| self.ignore & bit != 0;
        IgnoredFields {
            accel_expires: is(ignore::ACCEL_EXPIRES),
            expires: is(ignore::EXPIRES),
            cache_control: is(ignore::CACHE_CONTROL),
            set_cookie: is(ignore::SET_COOKIE),
            vary: is(ignore::VARY),
        }
    }
}

impl Family {
    fn check_store(&self, prefix: &str) -> Result<(), SettingError> {
        match self.store.target {
            Some(Switch::On(_)) if self.caching.has_cache() => {
                Err(format!("\"{prefix}_cache\" directive is incompatible with \"{prefix}_store\"").into())
            }
            _ => Ok(()),
        }
    }

    /// Looks at what a block without an upstream says: it must make sense, and something below it may inherit it.
    ///
    /// # Errors
    /// Sizes that contradict each other, or a cache that is not there; where the directives stand.
    pub fn check(&self, prefix: &str) -> Result<(), Error> {
        let Some(told) = self.told else { return Ok(()) };
        let checked = self.check_store(prefix).and_then(|()| self.sizes(prefix).map(drop)).and_then(|()| self.caching.check(prefix));
        checked.map_err(|text| Error::new(text, told))
    }

    fn sizes(&self, prefix: &str) -> Result<Sizes, SettingError> {
        let conf = sizes::BufferSizeConf {
            buffer: self.buffer_size,
            buffers: self.buffers,
            busy: self.busy_buffers_size,
            write: self.temp_file_write_size,
            max_file: self.max_temp_file_size,
        };
        Sizes::of(&conf, prefix)
    }

    /// What stays behind. Who counts a response's age needs its date.
    fn hidden(&self, hide: &[&str]) -> HeaderNameSet {
        let dated = self.caching.rfc9111 == Some(true);
        let unasked: Vec<&str> = hide.iter().copied().filter(|name| !dated || *name != "Date").collect();
        HeaderNameSet::new(&unasked, self.hide_headers.as_deref(), self.pass_headers.as_deref())
    }

    /// Whether a response is read faster than its client takes it, and as fast as it comes: most are whole with the first read then.
    fn reads_ahead(&self) -> bool {
        self.buffering.unwrap_or(true) && self.limit_rate.is_none()
    }

    /// The merged settings with nginx's defaults; `hide` are the names that the protocol hides unasked.
    ///
    /// # Errors
    /// nginx's texts for sizes that contradict each other.
    pub fn plan(&self, prefix: &str, hide: &[&str]) -> Result<Plan, SettingError> {
        self.check_store(prefix)?;
        let sizes = self.sizes(prefix)?;
        let (head_size, read_size) = (sizes.buffer.min(default::MAX_READ) as usize, sizes.memory.min(default::MAX_READ) as usize);
        let hidden = self.hidden(hide);
        let passes = |known, name: &str| hide.contains(&name) && !hidden.contains(known, name.as_bytes());
        Ok(Plan {
            pass_server: passes(Known::Server, "Server"),
            pass_date: self.caching.rfc9111 != Some(true) && passes(Known::Date, "Date"),
            buffering: self.buffering.unwrap_or(true),
            request_buffering: self.request_buffering.unwrap_or(true),
            ignore_client_abort: self.ignore_client_abort.unwrap_or(false),
            intercept_errors: self.intercept_errors.unwrap_or(false),
            intercept_404: false,
            connect_timeout: self.connect_timeout.unwrap_or(default::TIMEOUT),
            send_timeout: self.send_timeout.unwrap_or(default::TIMEOUT),
            read_timeout: self.read_timeout.unwrap_or(default::TIMEOUT),
            buffer_size: usize::saturated(sizes.buffer),
            read_size,
            first_read: if self.reads_ahead() { read_size.max(head_size) } else { head_size },
            memory: usize::saturated(sizes.memory),
            busy: sizes.busy,
            max_file: sizes.max_file,
            temp_path: self.temp_path.clone(),
            next_upstream: self.next_upstream.map_or(next::ERROR | next::TIMEOUT, next::unless_off),
            tries: self.next_upstream_tries.unwrap_or(0),
            tries_timeout: self.next_upstream_timeout.unwrap_or(0),
            limit_rate: self.limit_rate.clone(),
            force_ranges: self.force_ranges.unwrap_or(false),
            bind: self.bind.clone().flatten(),
            socket_keepalive: self.socket_keepalive.unwrap_or(false),
            socket_rcvbuf: self.socket_rcvbuf.and_then(|size| usize::try_from(size).ok()),
            socket_sndbuf: self.socket_sndbuf.and_then(|size| usize::try_from(size).ok()),
            ignore: self.ignore_headers.unwrap_or(0),
            hidden,
            pass_request_headers: self.pass_request_headers.unwrap_or(true),
            pass_request_body: self.pass_request_body.unwrap_or(true),
            pass_trailers: self.pass_trailers.unwrap_or(false),
            allow_upstream: self.allow_upstream.clone().unwrap_or_default(),
            caching: CachePlan::new(&self.caching, prefix)?.map(|mut plan| {
                plan.use_stale = next::unless_off(plan.use_stale);
                Rc::new(plan)
            }),
            store: self.store.plan(),
        })
    }
}
