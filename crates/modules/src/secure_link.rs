//! `secure_link`, `secure_link_md5`, `secure_link_secret`: links that cannot be guessed (nginx manual,
//! `ngx_http_secure_link_module`).

use crate::compile::complex;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use conf::context::{Arity, Context};
use conf::row::{Cx, Row};
use conf::scope::Config;
use conf::tree::Error;
use http::variables::define;
use http::{Complex, Levels, Module, Request, Variables};
use md5::{Digest, Md5};

/// Protected links.
pub const MODULE: Module = Module { rows, levels: Levels::location_only::<SecureLink>, variables, ..Module::named("secure_link") };

#[derive(Default)]
struct SecureLink {
    link: Option<Complex>,
    md5: Option<Complex>,
    secret: Option<Box<[u8]>>,
}

impl Config for SecureLink {
    fn inherit(&mut self, parent: &Self) {
        if self.secret.is_some() {
            // The two forms exclude each other; the inner one counts.
            return;
        }
        conf::inherit!(self, parent; link, md5);
        if self.link.is_none() && self.md5.is_none() {
            conf::inherit!(self, parent; secret);
        }
    }
}

fn rows() -> Vec<Row> {
    vec![
        Row::new("secure_link", Context::HTTP_ALL, Arity::exactly(1), "The checksum and lifetime that a link carries.", |cx| {
            let value = complex(cx, 0)?;
            cx.once(&mut cx.location::<SecureLink>().link, value)?;
            is_one_form(cx)
        }),
        Row::new("secure_link_md5", Context::HTTP_ALL, Arity::exactly(1), "What the checksum is made of.", |cx| {
            let value = complex(cx, 0)?;
            cx.once(&mut cx.location::<SecureLink>().md5, value)?;
            is_one_form(cx)
        }),
        Row::new("secure_link_secret", Context::HTTP_ALL, Arity::exactly(1), "The secret of the older form of links.", |cx| {
            let value = cx.arg(0).into();
            cx.once(&mut cx.location::<SecureLink>().secret, value)?;
            is_one_form(cx)
        }),
    ]
}

fn is_one_form(cx: &Cx<'_>) -> Result<(), Error> {
    let own = cx.location::<SecureLink>();
    if own.secret.is_some() && (own.link.is_some() || own.md5.is_some()) {
        return Err(cx.error("\"secure_link_secret\" cannot be mixed with \"secure_link\" and \"secure_link_md5\""));
    }
    Ok(())
}

fn variables(variables: &mut Variables) {
    define(variables, "secure_link", 0, |request, out| {
        let own = request.conf::<SecureLink>();
        match (&own.secret, &own.link, &own.md5) {
            (Some(secret), ..) => match old_link(&request.line.borrow().raw_uri, secret) {
                Some(link) => {
                    out.extend_from_slice(link);
                    true
                }
                None => false,
            },
            (None, Some(link), Some(md5)) => check(request, link, md5, out),
            _ => false,
        }
    });
    define(variables, "secure_link_expires", 0, |request, out| {
        let own = request.conf::<SecureLink>();
        let Some(link) = own.link.as_ref().filter(|_| own.secret.is_none() && own.md5.is_some()) else { return false };
        let value = link.to_vec(request);
        match split(&value) {
            Some((_, Some(expires))) => {
                out.extend_from_slice(expires);
                true
            }
            _ => false,
        }
    });
}

/// `CHECKSUM[,TIME]`; `None` if the time is not a positive number.
fn split(value: &[u8]) -> Option<(&[u8], Option<&[u8]>)> {
    match memchr::memchr(b',', value) {
        None => Some((value, None)),
        Some(at) => {
            let time = value.get(at + 1..)?;
            base::text::parse_number(time).filter(|time| *time > 0)?;
            Some((value.get(..at)?, Some(time)))
        }
    }
}

fn check(request: &Request, link: &Complex, md5: &Complex, out: &mut Vec<u8>) -> bool {
    let value = link.to_vec(request);
    let Some((sum, expires)) = split(&value) else { return false };
    let sum = sum.strip_suffix(b"==").unwrap_or(sum);
    let Ok(given) = URL_SAFE_NO_PAD.decode(sum) else { return false };
    if !same(&given, &Md5::digest(md5.to_vec(request))) {
        return false;
    }
    let over = expires.and_then(base::text::parse_number).is_some_and(|time| (time as i64) < base::clock::now().sec);
    out.push(if over { b'0' } else { b'1' });
    true
}

/// The link of a target `/PREFIX/MD5(link + secret)/link`, if the checksum is right.
fn old_link<'a>(uri: &'a [u8], secret: &[u8]) -> Option<&'a [u8]> {
    let rest = uri.get(1..)?;
    let start = memchr::memchr(b'/', rest)? + 1;
    let rest = rest.get(start..)?;
    let end = memchr::memchr(b'/', rest)?;
    let (sum, link) = (rest.get(..end)?, rest.get(end + 1..)?);
    if sum.len() != 32 || link.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let given: Option<Vec<u8>> = sum.chunks_exact(2).map(|pair| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?)).collect();
    let made = Md5::new().chain_update(link).chain_update(secret).finalize();
    same(&given?, &made).then_some(link)
}

/// Compares in a time that does not depend on where the difference is.
fn same(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |difference, (x, y)| difference | (x ^ y)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_links() {
        let sum: String = Md5::digest(b"linksecret").iter().map(|b| format!("{b:02x}")).collect();
        let uri = format!("/p/{sum}/link");
        assert_eq!(old_link(uri.as_bytes(), b"secret"), Some(&b"link"[..]));
        assert_eq!(old_link(uri.as_bytes(), b"other"), None);
        assert_eq!(old_link(b"/p/x/link", b"secret"), None);
        assert_eq!(old_link(b"", b"secret"), None);
    }

    #[test]
    fn sums_and_times() {
        assert_eq!(split(b"abc"), Some((&b"abc"[..], None)));
        assert_eq!(split(b"abc,12"), Some((&b"abc"[..], Some(&b"12"[..]))));
        assert_eq!(split(b"abc,0"), None);
        assert_eq!(split(b"abc,x"), None);
    }
}
