//! `*_cache_rfc9111`: where the rules of RFC 9111 apply to a request.

use crate::caching::find::Caching;
use crate::caching::stored::Stored;
use crate::dialect::UpstreamResponse;
use crate::exchange::Exchange;
use base::clock;
use base::errno;
use base::log::Level;
use cache::Head;
use cache::freshness::IgnoredFields;
use cache::rfc9111::{self, ResponseContext, Storage};
use http::{Request, log_request};
use std::rc::Rc;
use wire::h1::header::HeaderSpan;
use wire::known::Known;

/// Bytes before a body that are left free for fields that grow.
const ROOM: usize = 512;

/// A field of an answer: which one, name, value.
type Field<'a> = (Known, &'a [u8], &'a [u8]);

fn fields<'a>(head: &'a [u8], lines: &'a [HeaderSpan]) -> impl Iterator<Item = Field<'a>> + Clone {
    lines.iter().map(|line| (line.known, line.name.of(head), line.value.of(head)))
}

fn response_context(request: &Request, caching: &Caching, status: u16, ignored: IgnoredFields) -> ResponseContext {
    ResponseContext {
        authorized: request.headers.borrow().contains(b"Authorization"),
        request_time: caching.asked_ms / 1000,
        now: clock::now().sec,
        ignored,
        default: caching.plan.valid_for(status),
    }
}

fn put(head: &mut Head, verdict: Storage, now: i64) {
    head.valid = verdict.valid;
    head.updating = verdict.updating;
    head.error = verdict.error;
    head.date = now;
    head.age = verdict.age;
    head.must_validate = verdict.must_validate;
    head.must_revalidate = verdict.must_revalidate;
    head.vary = verdict.vary;
}

fn push_field(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    for part in [name, b": ", value, b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// Writes what is kept of fields behind a status line.
fn write_text<'a>(status_line: &[u8], all: impl Iterator<Item = Field<'a>> + Clone, omitted: &[Box<[u8]>], now: i64) -> Vec<u8> {
    let mut text = status_line.to_vec();
    text.extend_from_slice(b"\r\n");
    let named = rfc9111::named_by_connection(all.clone());
    let mut dated = false;
    for (known, name, value) in all {
        let omits = omitted.iter().any(|other| other.eq_ignore_ascii_case(name));
        if !omits && !rfc9111::is_passing(known, name, &named) {
            dated |= known == Known::Date;
            push_field(&mut text, name, value);
        }
    }
    if !dated {
        push_field(&mut text, b"Date", &wire::date::http(now));
    }
    text
}

/// The metadata of a response's file, if it may be stored.
#[must_use]
pub(crate) fn describe(exchange: &Exchange, caching: &Caching, answer: &UpstreamResponse) -> Option<Head> {
    let (head, lines) = (exchange.record.head.borrow(), exchange.record.lines.borrow());
    let given = response_context(&exchange.request, caching, answer.status, exchange.route.plan.uncounted());
    let mut verdict = rfc9111::evaluate(answer.status, fields(&head, &lines), &given)?;
    let omitted = std::mem::take(&mut verdict.omitted);
    let text = write_text(answer.status_line.of(&head), fields(&head, &lines), &omitted, given.now);
    let mut kept = Head { text, room: ROOM, ..Head::default() };
    put(&mut kept, verdict, given.now);
    Some(kept)
}

/// A stored answer with the fields of the 304 that has confirmed it (RFC 9111, 3.2). It stays in the cache if it may.
#[must_use]
pub(crate) fn refresh(exchange: &Exchange, caching: &Caching, old: &Rc<Stored>) -> Option<Rc<Stored>> {
    let (head, lines) = (exchange.record.head.borrow(), exchange.record.lines.borrow());
    let named = rfc9111::named_by_connection(fields(&head, &lines));
    let counts = |known, name: &[u8]| known != Known::ContentLength && !rfc9111::is_passing(known, name, &named);
    // `Age` is not kept, but it has its say.
    let is_age = |name: &[u8]| name.eq_ignore_ascii_case(b"Age");
    let news: Vec<Field<'_>> = fields(&head, &lines).filter(|(known, name, _)| counts(*known, name) || is_age(name)).collect();
    let replaced = |name: &[u8]| news.iter().any(|(_, other, _)| other.eq_ignore_ascii_case(name));
    let kept = fields(&old.head.text, &old.lines).filter(|(_, name, _)| !replaced(name));
    let all: Vec<Field<'_>> = kept.chain(news.iter().copied()).collect();
    let status = old.head.status;
    let given = response_context(&exchange.request, caching, status, exchange.route.plan.uncounted());
    let verdict = rfc9111::evaluate(status, all.iter().copied(), &given);
    let status_line = old.head.text.get(..old.status_line_end()).unwrap_or_default();
    let omitted = verdict.as_ref().map(|verdict| verdict.omitted.clone()).unwrap_or_default();
    let mut fresh = Head { text: write_text(status_line, all.iter().copied(), &omitted, given.now), ..old.head.clone() };
    fresh.stored_ms = caching.asked_ms;
    let value = |wanted| all.iter().find(|(known, ..)| *known == wanted).map(|(_, _, value)| *value);
    fresh.etag = value(Known::Etag).unwrap_or_default().to_vec();
    fresh.last_modified = value(Known::LastModified).and_then(wire::date::parse).unwrap_or(-1);
    let may_stay = verdict.is_some_and(|verdict| {
        let same_variant = verdict.vary == old.head.vary;
        put(&mut fresh, verdict, given.now);
        same_variant
    });
    let stays = fresh.fit(&old.head) && may_stay && write_down(exchange, caching, &fresh);
    if !stays {
        caching.store.index.remove(&caching.digest);
        caching.store.drop_files(&exchange.request, &[caching.digest]);
    }
    old.renewed(fresh).map(Rc::new)
}

fn write_down(exchange: &Exchange, caching: &Caching, head: &Head) -> bool {
    let written = caching.store.files.rewrite_head(&caching.digest, head);
    if let Err(error) = &written {
        let path = caching.store.files.path(&caching.digest);
        log_request!(exchange.request, Level::Crit, "write() \"{}\" failed {}", path.display(), errno::describe(error));
    }
    caching.store.index.changed(&caching.digest);
    written.is_ok()
}
