//! Header names that the server looks up.
//!
//! A name becomes a one-byte id while the head is parsed, so that nobody compares strings later.

use crate::narrow;

macro_rules! known {
    ($($variant:ident = $name:literal,)*) => {
        /// A header name with a meaning here; comparison is case-insensitive (RFC 9110, 5.1).
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Known {
            /// Any other name.
            #[default]
            Other,
            $(
                #[doc = concat!("`", $name, "`")]
                $variant,
            )*
        }

        const NAMES: &[(Known, &str)] = &[$((Known::$variant, $name),)*];
    };
}

known! {
    Host = "host",
    Connection = "connection",
    ProxyConnection = "proxy-connection",
    ContentLength = "content-length",
    ContentType = "content-type",
    ContentRange = "content-range",
    ContentEncoding = "content-encoding",
    TransferEncoding = "transfer-encoding",
    Expect = "expect",
    Range = "range",
    IfModifiedSince = "if-modified-since",
    IfUnmodifiedSince = "if-unmodified-since",
    IfMatch = "if-match",
    IfNoneMatch = "if-none-match",
    IfRange = "if-range",
    UserAgent = "user-agent",
    Referer = "referer",
    Cookie = "cookie",
    Authorization = "authorization",
    ProxyAuthorization = "proxy-authorization",
    ProxyAuthenticate = "proxy-authenticate",
    WwwAuthenticate = "www-authenticate",
    Upgrade = "upgrade",
    Http2Settings = "http2-settings",
    XForwardedFor = "x-forwarded-for",
    XForwardedProto = "x-forwarded-proto",
    XRealIp = "x-real-ip",
    Forwarded = "forwarded",
    Accept = "accept",
    AcceptEncoding = "accept-encoding",
    AcceptLanguage = "accept-language",
    AcceptRanges = "accept-ranges",
    Te = "te",
    Trailer = "trailer",
    KeepAlive = "keep-alive",
    Via = "via",
    Depth = "depth",
    Destination = "destination",
    Overwrite = "overwrite",
    Date = "date",
    Server = "server",
    Location = "location",
    Refresh = "refresh",
    Status = "status",
    SetCookie = "set-cookie",
    CacheControl = "cache-control",
    Pragma = "pragma",
    Expires = "expires",
    LastModified = "last-modified",
    Etag = "etag",
    Vary = "vary",
    Link = "link",
    XAccelExpires = "x-accel-expires",
    XAccelRedirect = "x-accel-redirect",
    XAccelLimitRate = "x-accel-limit-rate",
    XAccelBuffering = "x-accel-buffering",
    XAccelCharset = "x-accel-charset",
}

const SLOTS: usize = 256;

/// Three bytes and the length tell the names above apart almost always; the probe below settles
/// the rest. The indexes are in bounds for every name that is not empty.
const fn slot(name: &[u8]) -> usize {
    let n = name.len();
    if n == 0 {
        return 0;
    }
    let first = (name[0] | 0x20) as usize;
    let last = (name[n - 1] | 0x20) as usize;
    let middle = (name[n / 2] | 0x20) as usize;
    (n * 37 + first * 5 + last * 11 + middle * 3) % SLOTS
}

const TABLE: [u8; SLOTS] = {
    let mut table = [0u8; SLOTS];
    let mut i = 0;
    while i < NAMES.len() {
        let mut at = slot(NAMES[i].1.as_bytes());
        while table[at] != 0 {
            at = (at + 1) % SLOTS;
        }
        table[at] = narrow::byte(i + 1);
        i += 1;
    }
    table
};

/// The bits by which eight bytes differ from those of a known name, case apart. Names hold lower-case letters, digits and
/// dashes, of which only the letters have the bit 0x40; there 0x20 is the case.
fn case_insensitive_diff(name: [u8; 8], lower: [u8; 8]) -> u64 {
    let (name, lower) = (u64::from_ne_bytes(name), u64::from_ne_bytes(lower));
    (name ^ lower) & !((lower & 0x4040_4040_4040_4040) >> 1)
}

/// As [`case_insensitive_diff`] for four bytes.
fn odd_half(name: [u8; 4], lower: [u8; 4]) -> u32 {
    let (name, lower) = (u32::from_ne_bytes(name), u32::from_ne_bytes(lower));
    (name ^ lower) & !((lower & 0x4040_4040) >> 1)
}

/// Equal but for case. `lower` is a known name; pieces, the last of which overlaps, are compared at once.
fn same(name: &[u8], lower: &[u8]) -> bool {
    if name.len() != lower.len() {
        return false;
    }
    if let (Some(&a), Some(&b)) = (name.last_chunk(), lower.last_chunk()) {
        let pieces = name.as_chunks().0.iter().zip(lower.as_chunks().0);
        return case_insensitive_diff(a, b) == 0 && pieces.fold(0, |all, (&a, &b)| all | case_insensitive_diff(a, b)) == 0;
    }
    match (name.first_chunk(), lower.first_chunk(), name.last_chunk(), lower.last_chunk()) {
        (Some(&a), Some(&b), Some(&c), Some(&d)) => odd_half(a, b) | odd_half(c, d) == 0,
        _ => name.eq_ignore_ascii_case(lower),
    }
}

impl Known {
    /// The id of `name`, whatever its case; [`Known::Other`] when the name means nothing here.
    #[must_use]
    pub fn of(name: &[u8]) -> Self {
        let mut at = slot(name);
        // The table is never full, so the probe ends at an empty slot.
        while let Some(&entry) = TABLE.get(at) {
            let Some(&(known, text)) = NAMES.get(usize::from(entry).wrapping_sub(1)) else {
                break;
            };
            if same(name, text.as_bytes()) {
                return known;
            }
            at = (at + 1) % SLOTS;
        }
        Self::Other
    }

    /// The name in lower case; empty for [`Known::Other`].
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES.get((self as usize).wrapping_sub(1)).map_or("", |entry| entry.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_itself_in_any_case() {
        for &(known, name) in NAMES {
            assert_eq!(Known::of(name.as_bytes()), known);
            assert_eq!(Known::of(name.to_uppercase().as_bytes()), known);
            assert_eq!(known.name(), name);
        }
    }

    #[test]
    fn any_other_byte_makes_another_name() {
        for (_, name) in NAMES {
            assert!(name.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-')), "{name}");
            for at in 0..name.len() {
                for byte in 0..=255 {
                    let mut other = name.as_bytes().to_vec();
                    other[at] = byte;
                    assert_eq!(same(&other, name.as_bytes()), other.eq_ignore_ascii_case(name.as_bytes()), "{other:?}");
                }
            }
        }
    }

    #[test]
    fn near_names_are_other() {
        for name in ["", "hos", "hosts", "content_length", "content-lengtn", "X-Accel", "\u{e9}"] {
            assert_eq!(Known::of(name.as_bytes()), Known::Other, "{name}");
        }
        assert_eq!(Known::Other.name(), "");
    }
}
