//! The rules of RFC 9111 for a shared cache: what may be stored, how long it is fresh, when it may be reused.

use crate::directives::{self, FOREVER, RequestDirectives, seconds};
use crate::freshness::{IgnoredFields, LONGEST_VARY};
use crate::head::Head;
use wire::known::Known;

/// The longest time that is guessed from `Last-Modified`.
const LONGEST_GUESS: i64 = 24 * 3600;
/// Statuses that are fresh for a while though they do not say so (RFC 9110, 15.1).
const GUESSED: [u16; 12] = [200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501];
/// Statuses whose meaning is known, for `must-understand`.
const UNDERSTOOD: [std::ops::RangeInclusive<u16>; 4] = [200..=206, 300..=308, 400..=417, 500..=505];

/// What a response's `Cache-Control` says.
#[derive(Debug, Default)]
struct ResponseDirectives {
    no_store: bool,
    no_cache: bool,
    private: bool,
    public: bool,
    must_revalidate: bool,
    proxy_revalidate: bool,
    must_understand: bool,
    /// Numbers that are none count as nothing left.
    s_maxage: Option<i64>,
    max_age: Option<i64>,
    updating: Option<i64>,
    error: Option<i64>,
    omitted: Vec<Box<[u8]>>,
}

impl ResponseDirectives {
    fn add(&mut self, line: &[u8]) {
        directives::for_each(line, |name, value| {
            let number = || Some(value.and_then(seconds).unwrap_or(0));
            match &name.to_ascii_lowercase()[..] {
                b"no-store" => self.no_store = true,
                b"no-cache" if value.is_none() => self.no_cache = true,
                b"private" if value.is_none() => self.private = true,
                b"no-cache" | b"private" => self.omit(value.unwrap_or_default()),
                b"public" => self.public = true,
                b"must-revalidate" => self.must_revalidate = true,
                b"proxy-revalidate" => self.proxy_revalidate = true,
                b"must-understand" => self.must_understand = true,
                b"s-maxage" => self.s_maxage = self.s_maxage.or_else(number),
                b"max-age" => self.max_age = self.max_age.or_else(number),
                b"stale-while-revalidate" => self.updating = self.updating.or_else(number),
                b"stale-if-error" => self.error = self.error.or_else(number),
                _ => {}
            }
        });
    }

    /// Fields that are not given again unless the upstream has been asked; here they are not kept.
    fn omit(&mut self, list: &[u8]) {
        let names = list.split(|byte| *byte == b',').map(<[u8]>::trim_ascii).filter(|name| !name.is_empty());
        self.omitted.extend(names.map(Box::from));
    }
}

/// What is known in addition to the response itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResponseContext {
    /// The request had `Authorization`.
    pub authorized: bool,
    /// When the upstream was asked, seconds.
    pub request_time: i64,
    /// When its response came.
    pub now: i64,
    /// Fields that have no say.
    pub ignored: IgnoredFields,
    /// How long the configuration holds a response of this status fresh that does not say it itself, seconds.
    pub default: Option<i64>,
}

/// How a response is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Storage {
    /// Until when it is fresh, seconds since 1970.
    pub valid: i64,
    /// How long it may be used after that while it is fetched anew.
    pub updating: i64,
    /// How long it may be used after that when it cannot be fetched.
    pub error: i64,
    /// How old it is now, seconds.
    pub age: i64,
    /// It is given only after the upstream was asked.
    pub must_validate: bool,
    /// It is not given once it is stale.
    pub must_revalidate: bool,
    /// The names of its `Vary`.
    pub vary: Vec<u8>,
    /// Fields that are not kept.
    pub omitted: Vec<Box<[u8]>>,
}

/// The fields that have a say.
#[derive(Default)]
struct Fields<'a> {
    rules: ResponseDirectives,
    /// RFC 9213: rules for caches like this one, which take the place of the others.
    targeted: Option<ResponseDirectives>,
    accel_expires: Option<&'a [u8]>,
    expires: Option<&'a [u8]>,
    date: Option<i64>,
    last_modified: Option<i64>,
    age: Option<i64>,
    etag: bool,
    cookie: bool,
    vary: Vec<u8>,
    varies_by_all: bool,
}

impl<'a> Fields<'a> {
    fn parse(fields: impl Iterator<Item = (Known, &'a [u8], &'a [u8])>, ignored: IgnoredFields) -> Fields<'a> {
        let mut found = Fields::default();
        for (known, name, value) in fields {
            match known {
                Known::CacheControl if !ignored.cache_control => found.rules.add(value),
                Known::XAccelExpires if !ignored.accel_expires => found.accel_expires = found.accel_expires.or(Some(value)),
                Known::Expires if !ignored.expires => found.expires = found.expires.or(Some(value)),
                Known::SetCookie => found.cookie |= !ignored.set_cookie,
                Known::Date => found.date = found.date.or_else(|| wire::date::parse(value)),
                Known::LastModified => found.last_modified = found.last_modified.or_else(|| wire::date::parse(value)),
                Known::Etag => found.etag = true,
                Known::Vary if !ignored.vary => found.vary(value),
                Known::Other if name.eq_ignore_ascii_case(b"Age") => found.age = found.age.or_else(|| age(value)),
                Known::Other if name.eq_ignore_ascii_case(b"CDN-Cache-Control") && !ignored.cache_control && is_dictionary(value) => {
                    found.targeted.get_or_insert_default().add(value);
                }
                _ => {}
            }
        }
        found
    }

    fn vary(&mut self, value: &[u8]) {
        if !self.vary.is_empty() {
            self.vary.extend_from_slice(b", ");
        }
        self.vary.extend_from_slice(value);
        self.varies_by_all |= value.split(|byte| *byte == b',').any(|name| name.trim_ascii() == b"*");
    }

    /// How long it is fresh from its making on, by what it says itself.
    fn lifetime(&self, rules: &ResponseDirectives, now: i64) -> Option<i64> {
        let expires = || {
            let value = self.expires.filter(|_| self.targeted.is_none())?;
            Some(date(value).map_or(0, |time| time.saturating_sub(self.date.unwrap_or(now)).clamp(0, FOREVER)))
        };
        rules.s_maxage.or(rules.max_age).or_else(expires)
    }

    /// Guesses it: a tenth of the time since the last change.
    fn heuristic_freshness(&self, rules: &ResponseDirectives, status: u16, now: i64) -> Option<i64> {
        let since = self.date.unwrap_or(now).saturating_sub(self.last_modified?);
        (GUESSED.contains(&status) || rules.public).then(|| (since / 10).clamp(0, LONGEST_GUESS))
    }

    /// The corrected initial age.
    fn age(&self, given: &ResponseContext) -> i64 {
        let apparent = self.date.map_or(0, |date| given.now.saturating_sub(date).max(0));
        let corrected = self.age.unwrap_or(0).saturating_add(given.now.saturating_sub(given.request_time).max(0));
        apparent.max(corrected).min(FOREVER)
    }
}

/// A date of `Expires`. One of another time zone counts as past, as any that is none.
fn date(value: &[u8]) -> Option<i64> {
    let zone = value.rsplit(|byte| *byte == b' ').next()?;
    let known = zone.eq_ignore_ascii_case(b"GMT") || zone.iter().all(u8::is_ascii_digit);
    wire::date::parse(value).filter(|_| known)
}

/// Of a list the first number counts; parameters have no meaning.
fn age(value: &[u8]) -> Option<i64> {
    let first = value.split(|byte| matches!(byte, b',' | b';')).next()?;
    seconds(first.trim_ascii())
}

/// Whether a field is a dictionary of structured fields (RFC 8941): one that is not does not count.
fn is_dictionary(value: &[u8]) -> bool {
    // The numbers of seconds are integers there, not strings.
    let quoted = memchr::memmem::find(value, b"age=\"").is_some();
    let mut whole = !value.trim_ascii().is_empty() && !quoted;
    directives::for_each(value, |name, argument| {
        let key = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'_' | b'-' | b'.' | b'*');
        whole &= !name.is_empty() && name.iter().all(key);
        whole &= argument.is_none_or(|text| !text.starts_with(b" ") && !text.is_empty());
    });
    whole
}

/// `X-Accel-Expires`: how long the response is fresh from now on. It is the operator's word and outranks the others.
fn accel(value: &[u8], now: i64) -> Option<i64> {
    match value.strip_prefix(b"@") {
        Some(time) => base::text::parse_number(time).and_then(|time| i64::try_from(time).ok()).map(|time| time.saturating_sub(now)),
        None => seconds(value),
    }
}

/// Evaluates a response; `None`: it must not be kept, or that would be of no use.
#[must_use]
pub fn evaluate<'a>(status: u16, fields: impl Iterator<Item = (Known, &'a [u8], &'a [u8])>, given: &ResponseContext) -> Option<Storage> {
    let mut found = Fields::parse(fields, given.ignored);
    let rules = found.targeted.take().inspect(|_| found.expires = None).unwrap_or(std::mem::take(&mut found.rules));
    let ordered = found.accel_expires.and_then(|value| accel(value, given.now));
    let understood = UNDERSTOOD.iter().any(|range| range.contains(&status));
    let forbidden = match rules.must_understand {
        true => !understood,
        false => rules.no_store,
    };
    if ordered == Some(0) || (ordered.is_none() && (forbidden || rules.private)) || found.varies_by_all || found.vary.len() > LONGEST_VARY {
        return None;
    }
    let shareable = rules.public || rules.must_revalidate || rules.s_maxage.is_some();
    if given.authorized && !shareable {
        return None;
    }
    let lifetime = found.lifetime(&rules, given.now);
    if found.cookie && lifetime.or(ordered).is_none() {
        return None;
    }
    let age = found.age(given);
    let left = match (ordered, lifetime) {
        (Some(seconds), _) => seconds,
        (None, Some(lifetime)) => lifetime.saturating_sub(age),
        (None, None) => match given.default {
            Some(seconds) => seconds,
            None if rules.no_cache => 0,
            None => found.heuristic_freshness(&rules, status, given.now)?.saturating_sub(age),
        },
    };
    let must_validate = rules.no_cache && ordered.is_none();
    let verdict = Storage {
        valid: given.now.saturating_add(left),
        updating: rules.updating.unwrap_or(0),
        error: rules.error.or(rules.updating).unwrap_or(0),
        age,
        must_validate,
        must_revalidate: must_validate || rules.must_revalidate || rules.proxy_revalidate || rules.s_maxage.is_some(),
        vary: found.vary,
        omitted: rules.omitted,
    };
    let can_be_confirmed = found.etag || found.last_modified.is_some();
    let never_fresh = must_validate || lifetime == Some(0);
    (can_be_confirmed || !never_fresh).then_some(verdict)
}

/// What may be done with a stored response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reuse {
    /// It is given.
    Fresh,
    /// It is stale, and the client takes it so.
    Stale,
    /// It is no longer fresh.
    Expired,
    /// The upstream must be asked, whatever else the configuration allows.
    Unconfirmed,
}

/// Whether a stored response may be given for a request now.
#[must_use]
pub fn usable(head: &Head, wishes: &RequestDirectives, now: i64) -> Reuse {
    let left = head.valid.saturating_sub(now);
    let age = current_age(head, now);
    let too_old = wishes.max_age.is_some_and(|limit| age > limit || limit == 0);
    if wishes.no_cache || head.must_validate || too_old {
        return Reuse::Unconfirmed;
    }
    if left > 0 {
        return if wishes.min_fresh.is_some_and(|wanted| left < wanted) { Reuse::Unconfirmed } else { Reuse::Fresh };
    }
    match wishes.max_stale {
        Some(limit) if !head.must_revalidate && -left <= limit => Reuse::Stale,
        _ if head.must_revalidate || wishes.min_fresh.is_some() => Reuse::Unconfirmed,
        _ => Reuse::Expired,
    }
}

/// How old a stored response is now.
#[must_use]
pub fn current_age(head: &Head, now: i64) -> i64 {
    head.age.saturating_add(now.saturating_sub(head.date).max(0))
}

/// Whether a field is one between two neighbours, or made anew each time, so that it is not kept. `named` are the fields that `Connection`
/// names, in small letters.
#[must_use]
pub fn is_passing(known: Known, name: &[u8], named: &[Box<[u8]>]) -> bool {
    const PASSING: [Known; 8] = [
        Known::Connection,
        Known::KeepAlive,
        Known::ProxyConnection,
        Known::ProxyAuthenticate,
        Known::ProxyAuthorization,
        Known::Te,
        Known::TransferEncoding,
        Known::Upgrade,
    ];
    PASSING.contains(&known)
        || (known == Known::Other && (name.eq_ignore_ascii_case(b"Age") || name.eq_ignore_ascii_case(b"Proxy-Authentication-Info")))
        || named.iter().any(|other| other.eq_ignore_ascii_case(name))
}

/// The fields that `Connection` names.
#[must_use]
pub fn named_by_connection<'a>(fields: impl Iterator<Item = (Known, &'a [u8], &'a [u8])>) -> Vec<Box<[u8]>> {
    let values = fields.filter(|(known, ..)| *known == Known::Connection).map(|(_, _, value)| value);
    values.flat_map(|value| value.split(|byte| *byte == b',')).map(|name| Box::from(name.trim_ascii())).collect()
}

#[cfg(test)]
mod tests;
