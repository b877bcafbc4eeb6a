//! What differs between the access logs of the protocols.

use crate::variables::response;
use base::errno;
use base::log::Level;
use conf::context::Context;
use http::Request;
use http::root::os_path;
use session::{Configured, log_client};
use std::io;

/// The predefined format of requests.
const COMBINED: &[u8] =
    b"$remote_addr - $remote_user [$time_local] \"$request\" $status $body_bytes_sent \"$http_referer\" \"$http_user_agent\"";

/// The getter of a variable without the cache around it.
pub(super) type Direct<S> = fn(&S, &mut Vec<u8>) -> bool;

/// A session that the access log knows.
pub(super) trait Logged: Configured {
    /// Where `access_log` may stand.
    const PLACES: Context;
    /// The format that is there without a `log_format`, with its name: that of an `access_log` that names none, and of the
    /// log that is written when nothing says otherwise.
    const USUAL: Option<(&'static [u8], &'static [u8])>;

    /// The getter of a variable that is cached although its value grows until the end: what a log line must not take from the cache.
    fn uncached(name: &str) -> Option<Direct<Self>>;

    /// Whether a file whose path has variables may be written.
    fn may_write_path(&self) -> bool;
}

impl Logged for Request {
    const PLACES: Context = Context::HTTP_IF.union(Context::LIMIT_EXCEPT);
    const USUAL: Option<(&'static [u8], &'static [u8])> = Some((b"combined", COMBINED));

    fn uncached(name: &str) -> Option<Direct<Self>> {
        match name {
            "bytes_sent" => Some(response::bytes_sent),
            "body_bytes_sent" => Some(response::body_bytes_sent),
            _ => None,
        }
    }

    /// Not for a root that does not exist, since such paths often come from the client.
    fn may_write_path(&self) -> bool {
        let Ok(mapped) = self.map_path() else { return false };
        let root = os_path(mapped.bytes.get(..mapped.root_length).unwrap_or_default());
        let tested = std::fs::metadata(&root)
            .and_then(|found| if found.is_dir() { Ok(()) } else { Err(io::Error::from_raw_os_error(nix::libc::ENOTDIR)) });
        if let Err(error) = &tested {
            log_client!(self, Level::Error, "testing \"{}\" existence failed {}", root.display(), errno::describe(error));
        }
        tested.is_ok()
    }
}

impl Logged for stream::Session {
    const PLACES: Context = Self::BLOCKS;
    const USUAL: Option<(&'static [u8], &'static [u8])> = None;

    fn uncached(_: &str) -> Option<Direct<Self>> {
        None
    }

    fn may_write_path(&self) -> bool {
        true
    }
}
