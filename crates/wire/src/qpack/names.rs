//! The static table (RFC 9204, appendix A).

use crate::hpack::decoder::TableEntry;
use crate::hpack::encoder::same;
use crate::hpack::tables::STATIC as HPACK;
use crate::narrow;

/// Fields that have an index on every connection; the first has index 0.
// tidy: table
pub static STATIC: [(&str, &str); 99] = [
    (":authority", ""),
    (":path", "/"),
    ("age", "0"),
    ("content-disposition", ""),
    ("content-length", "0"),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("referer", ""),
    ("set-cookie", ""),
    (":method", "CONNECT"),
    (":method", "DELETE"),
    (":method", "GET"),
    (":method", "HEAD"),
    (":method", "OPTIONS"),
    (":method", "POST"),
    (":method", "PUT"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "103"),
    (":status", "200"),
    (":status", "304"),
    (":status", "404"),
    (":status", "503"),
    ("accept", "*/*"),
    ("accept", "application/dns-message"),
    ("accept-encoding", "gzip, deflate, br"),
    ("accept-ranges", "bytes"),
    ("access-control-allow-headers", "cache-control"),
    ("access-control-allow-headers", "content-type"),
    ("access-control-allow-origin", "*"),
    ("cache-control", "max-age=0"),
    ("cache-control", "max-age=2592000"),
    ("cache-control", "max-age=604800"),
    ("cache-control", "no-cache"),
    ("cache-control", "no-store"),
    ("cache-control", "public, max-age=31536000"),
    ("content-encoding", "br"),
    ("content-encoding", "gzip"),
    ("content-type", "application/dns-message"),
    ("content-type", "application/javascript"),
    ("content-type", "application/json"),
    ("content-type", "application/x-www-form-urlencoded"),
    ("content-type", "image/gif"),
    ("content-type", "image/jpeg"),
    ("content-type", "image/png"),
    ("content-type", "text/css"),
    ("content-type", "text/html;charset=utf-8"),
    ("content-type", "text/plain"),
    ("content-type", "text/plain;charset=utf-8"),
    ("range", "bytes=0-"),
    ("strict-transport-security", "max-age=31536000"),
    ("strict-transport-security", "max-age=31536000;includesubdomains"),
    ("strict-transport-security", "max-age=31536000;includesubdomains;preload"),
    ("vary", "accept-encoding"),
    ("vary", "origin"),
    ("x-content-type-options", "nosniff"),
    ("x-xss-protection", "1;mode=block"),
    (":status", "100"),
    (":status", "204"),
    (":status", "206"),
    (":status", "302"),
    (":status", "400"),
    (":status", "403"),
    (":status", "421"),
    (":status", "425"),
    (":status", "500"),
    ("accept-language", ""),
    ("access-control-allow-credentials", "FALSE"),
    ("access-control-allow-credentials", "TRUE"),
    ("access-control-allow-headers", "*"),
    ("access-control-allow-methods", "get"),
    ("access-control-allow-methods", "get, post, options"),
    ("access-control-allow-methods", "options"),
    ("access-control-expose-headers", "content-length"),
    ("access-control-request-headers", "content-type"),
    ("access-control-request-method", "get"),
    ("access-control-request-method", "post"),
    ("alt-svc", "clear"),
    ("authorization", ""),
    ("content-security-policy", "script-src 'none';object-src 'none';base-uri 'none'"),
    ("early-data", "1"),
    ("expect-ct", ""),
    ("forwarded", ""),
    ("if-range", ""),
    ("origin", ""),
    ("purpose", "prefetch"),
    ("server", ""),
    ("timing-allow-origin", "*"),
    ("upgrade-insecure-requests", "1"),
    ("user-agent", ""),
    ("x-forwarded-for", ""),
    ("x-frame-options", "deny"),
    ("x-frame-options", "sameorigin"),
];

/// The index that the name of each field has in the static table of HPACK, 0 where it has none.
static HPACK_INDEX: [u8; STATIC.len()] = {
    let mut all = [0; STATIC.len()];
    let mut at = 0;
    while at < STATIC.len() {
        let mut other = HPACK.len();
        while other > 0 {
            if same(STATIC[at].0, HPACK[other - 1].0) {
                all[at] = narrow::byte(other);
            }
            other -= 1;
        }
        at += 1;
    }
    all
};

const SLOTS: usize = 256;

/// Where the search for a name in `FIRST` begins.
const fn slot(name: &[u8]) -> usize {
    match name {
        [first, .., last] => (name.len() * 31 + *first as usize * 7 + *last as usize * 13 + name[name.len() / 2] as usize * 3) % SLOTS,
        _ => 0,
    }
}

/// The first field of each name, one more than its index.
static FIRST: [u8; SLOTS] = {
    let mut first = [0; SLOTS];
    let mut at = 0;
    while at < STATIC.len() {
        let mut earlier = 0;
        while earlier < at && !same(STATIC[earlier].0, STATIC[at].0) {
            earlier += 1;
        }
        if earlier == at {
            let mut slot = slot(STATIC[at].0.as_bytes());
            while first[slot] != 0 {
                slot = (slot + 1) % SLOTS;
            }
            first[slot] = narrow::byte(at + 1);
        }
        at += 1;
    }
    first
};

/// The next field of the same name, one more than its index.
static NEXT: [u8; STATIC.len()] = {
    let mut next = [0; STATIC.len()];
    let mut at = 0;
    while at < STATIC.len() {
        let mut later = at + 1;
        while later < STATIC.len() && !same(STATIC[later].0, STATIC[at].0) {
            later += 1;
        }
        if later < STATIC.len() {
            next[at] = narrow::byte(later + 1);
        }
        at += 1;
    }
    next
};

/// A field of the static table.
pub(super) fn get(index: u64) -> Option<TableEntry<'static>> {
    let at = usize::try_from(index).ok()?;
    let (name, value) = STATIC.get(at)?;
    let static_index = HPACK_INDEX.get(at).copied().unwrap_or(0);
    Some(TableEntry { name: name.as_bytes(), value: value.as_bytes(), static_index })
}

/// The first field of a name.
pub(super) fn find_name(name: &[u8]) -> Option<usize> {
    let mut at = slot(name);
    loop {
        let index = usize::from(*FIRST.get(at)?).checked_sub(1)?;
        if STATIC.get(index)?.0.as_bytes() == name {
            return Some(index);
        }
        at = (at + 1) % SLOTS;
    }
}

/// The field of this value among those of a name, whose first one is `first`.
pub(super) fn find_value(first: usize, value: &[u8]) -> Option<usize> {
    let mut at = first;
    loop {
        if STATIC.get(at)?.1.as_bytes() == value {
            return Some(at);
        }
        at = usize::from(*NEXT.get(at)?).checked_sub(1)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_is_found() {
        for (index, (name, value)) in STATIC.iter().enumerate() {
            let first = find_name(name.as_bytes()).unwrap();
            assert!(first <= index && STATIC[first].0 == *name);
            assert_eq!(find_value(first, value.as_bytes()), Some(index), "{name}: {value}");
            let entry = get(index as u64).unwrap();
            let expected = HPACK.iter().position(|field| field.0 == *name).map_or(0, |at| at + 1);
            assert_eq!(usize::from(entry.static_index), expected, "{name}");
        }
        assert_eq!((find_name(b"x-own"), find_name(b""), get(99).is_none()), (None, None, true));
        assert_eq!(find_value(find_name(b":method").unwrap(), b"PATCH"), None);
    }
}
