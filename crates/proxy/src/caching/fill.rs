//! Writes an upstream's response into the cache while it is sent to the client.

use crate::caching::facts::Facts;
use crate::caching::find::{Caching, Fetch};
use crate::caching::plan::is_any_true;
use crate::caching::rfc;
use crate::caching::store::Store;
use crate::dialect::UpstreamResponse;
use crate::exchange::Exchange;
use base::clock;
use base::errno;
use base::log::Level;
use cache::file_store::FileWriter;
use cache::freshness::{Freshness, evaluate};
use cache::{Digest, Head};
use http::cache_report::CacheCounter;
use http::{Request, log_request};
use std::rc::Rc;
use wire::known::Known;

/// Files that one answer pushes out when there are too many.
const EVICTED: usize = 4;

/// A copy of a body on its way to the disk.
pub struct Filling {
    request: Rc<Request>,
    store: Rc<Store>,
    digest: Digest,
    /// The key, and its version when the upstream was asked.
    key_version: (Digest, u64),
    draft: Option<FileWriter>,
    /// Held until the file is in its place.
    _fetch: Option<Fetch>,
}

/// Evaluates a response, and begins its file if it may be kept.
pub fn begin(exchange: &mut Exchange, answer: &UpstreamResponse, buffering: bool) -> Option<Filling> {
    let route = exchange.route.clone();
    let request = exchange.request.clone();
    let to_head = exchange.encoded.to_head;
    let mut fetch = exchange.caching.as_mut()?.fetch.take();
    let caching = exchange.caching.as_ref()?;
    if !caching.cacheable || !buffering || answer.tunnel || is_any_true(&caching.plan.no_cache, &request) {
        return None;
    }
    let mut file = if caching.plan.rfc9111 { rfc::describe(exchange, caching, answer)? } else { describe(exchange, caching, answer)? };
    let head = exchange.record.head.borrow();
    let lines = exchange.record.lines.borrow();
    let value = |known| lines.iter().find(|line| line.known == known).map(|line| line.value.of(&head));
    let whole = matches!(answer.status, 200 | 206);
    file.variant = if file.vary.is_empty() { Digest::default() } else { caching.variant(&request, &file.vary) };
    // A variant goes where it was looked for; whatever is not that belongs to the key itself.
    let digest = if !file.vary.is_empty() && file.variant == caching.digest { file.variant } else { caching.main };
    file.stored_ms = caching.asked_ms;
    file.born_ms = caching.born_ms.unwrap_or(caching.asked_ms);
    file.last_modified = value(Known::LastModified).filter(|_| whole).and_then(wire::date::parse).unwrap_or(-1);
    file.status = answer.status;
    file.to_head = to_head;
    file.key.clone_from(&caching.key);
    file.etag = value(Known::Etag).filter(|_| whole).unwrap_or_default().to_vec();
    if file.body_start() > cache::head::LONGEST {
        return None;
    }
    let directory = route.plan.temp_path.as_ref().filter(|_| caching.store.use_temp_path).map(|temp| temp.path.as_path());
    match caching.store.files.create(&digest, directory, file) {
        Ok(draft) => Some(Filling {
            request: request.clone(),
            store: caching.store.clone(),
            digest,
            key_version: (caching.main, caching.version),
            draft: Some(draft),
            _fetch: fetch.take(),
        }),
        Err(error) => {
            log_request!(request, Level::Crit, "open() of a cache file failed {}", errno::describe(&error));
            None
        }
    }
}

/// Whether a response is one that the cache could keep, by its head alone: it need not have a time to be kept for, and what keeps it out
/// (`*_no_cache`, no buffering) is nobody's matter but the cache's.
pub fn may_store(exchange: &Exchange, answer: &UpstreamResponse) -> bool {
    let caching = exchange.caching.as_ref();
    caching.is_some_and(|c| c.cacheable && !c.plan.rfc9111) && !answer.tunnel && freshness(exchange).may_store()
}

fn freshness(exchange: &Exchange) -> Freshness {
    let (head, lines) = (exchange.record.head.borrow(), exchange.record.lines.borrow());
    evaluate(lines.iter().map(|line| (line.known, line.value.of(&head))), exchange.route.plan.uncounted(), clock::now().sec)
}

/// What a response's file says of it, if it may be kept.
fn describe(exchange: &Exchange, caching: &Caching, answer: &UpstreamResponse) -> Option<Head> {
    let (head, lines) = (exchange.record.head.borrow(), exchange.record.lines.borrow());
    let now = clock::now().sec;
    let mut judged = freshness(exchange);
    if !apply_valid(caching, answer.status, &mut judged, now) {
        return None;
    }
    let mut text = answer.status_line.of(&head).to_vec();
    text.extend_from_slice(b"\r\n");
    for line in lines.iter() {
        for part in [line.name.of(&head), b": ", line.value.of(&head), b"\r\n"] {
            text.extend_from_slice(part);
        }
    }
    let Freshness { valid, updating, error, vary, .. } = judged;
    Some(Head { valid, updating, error, date: now, vary, text, ..Head::default() })
}

/// Gives a response its time; false: it has none, or must not be kept.
fn apply_valid(caching: &Caching, status: u16, judged: &mut Freshness, now: i64) -> bool {
    if !judged.may_store() {
        return false;
    }
    if judged.valid == 0 {
        judged.valid = caching.plan.valid_for(status).map_or(0, |seconds| now.saturating_add(seconds));
    }
    judged.valid != 0
}

/// A response that `error_page` stands in for: its status is remembered.
pub(crate) fn note_intercepted(exchange: &Exchange, status: u16) {
    let Some(caching) = exchange.caching.as_ref().filter(|caching| caching.cacheable) else { return };
    let mut judged = freshness(exchange);
    if apply_valid(caching, status, &mut judged, clock::now().sec) {
        caching.fail(status, judged.valid);
    }
}

/// A failure to reach the upstream is remembered where `*_cache_valid` has a time for it.
pub(crate) fn note_failure(exchange: &Exchange, status: u16) {
    let Some(caching) = exchange.caching.as_ref().filter(|caching| caching.cacheable && matches!(status, 502 | 504)) else { return };
    if let Some(seconds) = caching.plan.valid_for(status) {
        caching.fail(status, clock::now().sec.saturating_add(seconds));
    }
}

impl Filling {
    /// Appends bytes of the body. When the disk refuses, the response goes on without being kept.
    pub fn write(&mut self, data: &[u8]) {
        let Some(draft) = &mut self.draft else { return };
        if let Err(error) = draft.write(data) {
            log_request!(self.request, Level::Crit, "writing a cache file failed {}", errno::describe(&error));
            self.draft = None;
        }
    }

    /// Whether there is still a file to go on for.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.draft.is_some()
    }

    /// The body is whole: the file takes its place.
    pub fn commit(mut self) {
        let Some(draft) = self.draft.take() else { return };
        let (main, version) = self.key_version;
        if Caching::is_outdated(&self.store, &main, version, draft.head()) {
            return;
        }
        let length = draft.length();
        let blocks = match draft.commit(&self.store.files, &self.digest) {
            Ok(blocks) => blocks,
            Err(error) => {
                log_request!(self.request, Level::Crit, "rename() of a cache file failed {}", errno::describe(&error));
                return;
            }
        };
        if let Some(status) = self.request.find_lasting::<Facts>().and_then(|facts| facts.status.get()) {
            self.store.meter.add(CacheCounter::ResponsesWritten.of(status), 1);
            self.store.meter.add(CacheCounter::BytesWritten.of(status), length);
        }
        let mut gone = Vec::new();
        if self.store.index.stored(&self.digest, blocks, clock::now().sec, &mut gone).is_none() {
            // No room for its key: nobody would find the file, nor remove it.
            gone.push(self.digest);
        }
        gone.extend(std::iter::from_fn(|| self.store.index.evict(false)).take(EVICTED));
        self.store.drop_files(&self.request, &gone);
    }
}
