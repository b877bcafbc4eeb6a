//! The values of nginx's core HTTP module, which every part of the server consults.

use crate::Complex;
use crate::request::Request;
use base::log::ErrorLog;
use conf::scope::Config;
use std::path::PathBuf;
use std::rc::Rc;

/// `types`: lower-case extension to type.
pub type Types = foldhash::HashMap<Box<[u8]>, Rc<[u8]>>;

/// `root` or `alias`: one slot, so that setting one hides an outer other.
#[derive(Clone)]
pub struct Root {
    /// The path; absolute unless it begins with a variable.
    pub path: Complex,
    /// `alias`: the location's name is cut off the URI.
    pub alias: bool,
    /// For an alias: the length of the name that is cut off; `None` in a regular expression's location, where the path
    /// is the whole file name. Kept here since locations further in inherit it with the path.
    pub cut: Option<usize>,
}

/// What `error_page` does with one status.
#[derive(Clone)]
pub struct ErrorPage {
    /// The status that it answers.
    pub status: u16,
    /// `=code`; 0 for a bare `=`; `None` keeps the status.
    pub overwrite: Option<u16>,
    /// A URI, an `@name`, or a URL.
    pub target: Complex,
    /// Arguments given with a literal URI.
    pub args: Option<Complex>,
}

/// `keepalive_timeout`'s and others' on/off/always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lingering {
    /// Never.
    Off,
    /// When data may still come.
    On,
    /// After every request that closes the connection.
    Always,
}

/// The values of `if_modified_since`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfModifiedSince {
    /// Ignored.
    Off,
    /// Equal times match.
    Exact,
    /// Not newer matches.
    Before,
}

/// The values of `server_tokens`.
#[derive(Clone)]
pub enum ServerTokens {
    /// Name and version.
    On,
    /// Name alone.
    Off,
    /// Name, version and build.
    Build,
    /// A value of one's own; an empty one sends no `Server`.
    Custom(Complex),
}

/// `open_file_cache`.
#[derive(Clone, Copy, Debug)]
pub struct OpenFileCache {
    /// Most files kept.
    pub max: usize,
    /// Seconds without use after which a file is dropped.
    pub inactive: u64,
}

/// `keepalive_disable`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct KeepaliveDisable {
    /// Old MSIE after POST.
    pub msie6: bool,
    /// Safari on macOS.
    pub safari: bool,
}

/// A temporary directory with its levels of subdirectories.
#[derive(Clone, Debug)]
pub struct TempPath {
    /// Where.
    pub path: PathBuf,
    /// Characters per level, up to three levels.
    pub levels: [u8; 3],
}

macro_rules! core_fields {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)+ } own { $($(#[$own_doc:meta])* $own:ident: $own_type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Default)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: Option<$type>,)+
            $($(#[$own_doc])* pub $own: $own_type,)*
        }

        impl Config for $name {
            fn inherit(&mut self, parent: &Self) {
                conf::inherit!(self, parent; $($field),+);
            }
        }
    };
}

core_fields! {
    /// Location-level values of the core module; what is `None` after inheritance has nginx's default.
    Core {
        /// `root`, `alias`
        root: Root,
        /// `types`: lower-case extension to type
        types: Rc<Types>,
        /// `default_type`
        default_type: Rc<[u8]>,
        /// `error_page`
        error_pages: Rc<Vec<ErrorPage>>,
        /// `error_log`
        error_log: ErrorLog,
        /// `sendfile`
        sendfile: bool,
        /// `sendfile_max_chunk`, bytes
        sendfile_max_chunk: u64,
        /// `tcp_nopush`
        tcp_nopush: bool,
        /// `tcp_nodelay`
        tcp_nodelay: bool,
        /// `keepalive_timeout`, milliseconds
        keepalive_timeout: u64,
        /// `keepalive_timeout`'s second argument, seconds
        keepalive_header: u64,
        /// `keepalive_requests`
        keepalive_requests: u64,
        /// `keepalive_time`, milliseconds
        keepalive_time: u64,
        /// `keepalive_min_timeout`, milliseconds
        keepalive_min_timeout: u64,
        /// `keepalive_disable`
        keepalive_disable: KeepaliveDisable,
        /// `send_timeout`, milliseconds
        send_timeout: u64,
        /// `client_max_body_size`, bytes; 0 is unlimited
        client_max_body_size: u64,
        /// `client_body_buffer_size`, bytes
        client_body_buffer_size: u64,
        /// `client_body_timeout`, milliseconds
        client_body_timeout: u64,
        /// `client_body_temp_path`
        client_body_temp_path: TempPath,
        /// `client_body_in_file_only`: 0 off, 1 on, 2 clean
        client_body_in_file_only: u8,
        /// `client_body_in_single_buffer`
        client_body_in_single_buffer: bool,
        /// `lingering_close`
        lingering_close: Lingering,
        /// `lingering_time`, milliseconds
        lingering_time: u64,
        /// `lingering_timeout`, milliseconds
        lingering_timeout: u64,
        /// `reset_timedout_connection`
        reset_timedout_connection: bool,
        /// `satisfy any`
        satisfy_any: bool,
        /// `absolute_redirect`
        absolute_redirect: bool,
        /// `server_name_in_redirect`
        server_name_in_redirect: bool,
        /// `port_in_redirect`
        port_in_redirect: bool,
        /// `chunked_transfer_encoding`
        chunked_transfer_encoding: bool,
        /// `if_modified_since`
        if_modified_since: IfModifiedSince,
        /// `etag`
        etag: bool,
        /// `early_hints`: one value must be neither empty nor "0"
        early_hints: Rc<Vec<Complex>>,
        /// `max_ranges`
        max_ranges: u64,
        /// `log_not_found`
        log_not_found: bool,
        /// `log_subrequest`
        log_subrequest: bool,
        /// `recursive_error_pages`
        recursive_error_pages: bool,
        /// `post_action`: a URI, or `@name`
        post_action: Rc<[u8]>,
        /// `server_tokens`
        server_tokens: ServerTokens,
        /// `msie_padding`
        msie_padding: bool,
        /// `msie_refresh`
        msie_refresh: bool,
        /// `limit_rate`, bytes a second; 0 is unlimited
        limit_rate: Complex,
        /// `limit_rate_after`, bytes
        limit_rate_after: Complex,
        /// `postpone_output`, bytes
        postpone_output: u64,
        /// `open_file_cache`; the inner `None` is `off`
        open_file_cache: Option<OpenFileCache>,
        /// `open_file_cache_valid`, seconds
        open_file_cache_valid: u64,
        /// `open_file_cache_min_uses`
        open_file_cache_min_uses: u64,
        /// `open_file_cache_errors`
        open_file_cache_errors: bool,
        /// `disable_symlinks`: 0 off, 1 on, 2 if_not_owner
        disable_symlinks: u8,
        /// `disable_symlinks`'s `from=`: the part of the path that is trusted
        disable_symlinks_from: Complex,
        /// `auth_delay`, milliseconds
        auth_delay: u64,
        /// `directio`, bytes; files this large bypass the page cache
        directio: u64,
        /// `aio threads`
        aio_threads: bool,
    } own {
        /// `internal`: only internal redirects and subrequests may come here
        internal: bool,
    }
}

/// A name of a server.
pub type ServerName = session::names::ServerName<Request>;

core_fields! {
    /// Server-level values of the core module.
    ServerCore {
        /// `client_header_timeout`, milliseconds
        client_header_timeout: u64,
        /// `client_header_buffer_size`, bytes
        client_header_buffer_size: u64,
        /// `large_client_header_buffers`: number and size
        large_client_header_buffers: (u64, u64),
        /// `max_headers`
        max_headers: u64,
        /// `ignore_invalid_headers`
        ignore_invalid_headers: bool,
        /// `underscores_in_headers`
        underscores_in_headers: bool,
        /// `merge_slashes`
        merge_slashes: bool,
        /// There is a `tunnel_pass`: CONNECT is not refused at once.
        takes_connect: bool,
    } own {
        /// `server_name`, in order
        names: Vec<ServerName>,
        /// `$server_name`: the first name as written
        first_name: Option<Box<[u8]>>,
    }
}

impl ServerCore {
    /// Whether a head is read in the same way for both: its size, and which lines are valid.
    pub fn has_limits_of(&self, other: &ServerCore) -> bool {
        let of = |core: &ServerCore| {
            (core.large_client_header_buffers, core.max_headers, core.ignore_invalid_headers, core.underscores_in_headers)
        };
        of(self) == of(other)
    }
}

/// nginx's defaults, for values that are `None`.
pub mod default {
    /// `keepalive_timeout`, milliseconds
    pub const KEEPALIVE_TIMEOUT: u64 = 75_000;
    /// The default of `keepalive_requests`.
    pub const KEEPALIVE_REQUESTS: u64 = 1000;
    /// `keepalive_time`, milliseconds
    pub const KEEPALIVE_TIME: u64 = 3_600_000;
    /// `send_timeout`, `client_body_timeout`, `client_header_timeout`, milliseconds
    pub const TIMEOUT: u64 = 60_000;
    /// `sendfile_max_chunk`, bytes.
    pub const SENDFILE_MAX_CHUNK: u64 = 2 << 20;
    /// `client_max_body_size`, bytes
    pub const MAX_BODY: u64 = 1 << 20;
    /// `client_body_buffer_size`, bytes: two pages
    pub const BODY_BUFFER: u64 = 8 * 1024;
    /// `lingering_time`, milliseconds
    pub const LINGERING_TIME: u64 = 30_000;
    /// `lingering_timeout`, milliseconds
    pub const LINGERING_TIMEOUT: u64 = 5_000;
    /// The default of `postpone_output`, bytes.
    pub const POSTPONE_OUTPUT: u64 = 1460;
    /// `client_header_buffer_size`, bytes
    pub const HEADER_BUFFER: u64 = 1024;
    /// `large_client_header_buffers`
    pub const LARGE_HEADER_BUFFERS: (u64, u64) = (4, 8192);
    /// The default of `max_headers`.
    pub const MAX_HEADERS: u64 = 1000;
}
