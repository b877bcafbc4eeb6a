//! A request's use of its cache: the key, the stored response, and whether this request fetches it.

use crate::caching::facts::Facts;
use crate::caching::memory::{LARGEST, Memory};
use crate::caching::plan::CachePlan;
use crate::caching::store::Store;
use crate::caching::stored::Stored;
use base::clock;
use base::errno;
use base::log::Level;
use cache::directives::RequestDirectives;
use cache::file_store::LoadError;
use cache::head::HeadError;
use cache::rfc9111::{self, Reuse};
use cache::{Digest, Entry, Head, LoadState, Purged, key};
use http::{Method, Request, log_request};
use std::fs::File;
use std::rc::Rc;

/// The right to fetch a key; given back in any case.
pub struct Fetch {
    store: Rc<Store>,
    digest: Digest,
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.store.index.end(&self.digest);
    }
}

/// What stands under a key.
pub enum LookupResult {
    /// Nothing.
    None,
    /// Nothing, and it is not asked for often enough to be kept.
    Scarce,
    /// An error.
    Error(u16),
    /// A response.
    Answer(Rc<Stored>),
}

/// A request's dealings with its cache.
pub struct Caching {
    /// The location's settings.
    pub plan: Rc<CachePlan>,
    /// The cache.
    pub store: Rc<Store>,
    /// What variables tell.
    pub facts: Rc<Facts>,
    /// The key.
    pub key: Vec<u8>,
    /// Its digest.
    pub main: Digest,
    /// The digest of the variant, or that of the key.
    pub digest: Digest,
    /// What the request wants of caches, where RFC 9111 has a say.
    pub wishes: Option<RequestDirectives>,
    /// The response may be kept.
    pub cacheable: bool,
    /// This request fetches it.
    pub fetch: Option<Fetch>,
    /// What is no longer fresh.
    pub stale: Option<Rc<Stored>>,
    /// When the key that stands now got its first response, milliseconds since the epoch, if it is known.
    pub born_ms: Option<i64>,
    /// The key's version when the upstream was asked.
    pub version: u64,
    /// When that was, milliseconds since the epoch.
    pub asked_ms: i64,
    counted: bool,
    uses: u32,
    memory: Rc<Memory>,
}

impl Caching {
    /// Begins for a key.
    #[must_use]
    pub fn new(request: &Request, plan: Rc<CachePlan>, store: Rc<Store>, key: Vec<u8>) -> Caching {
        let main = key::digest(&key);
        let facts = Facts::of(request);
        facts.key.borrow_mut().extend_from_slice(&key);
        let memory = request.worker.state::<Memory>();
        let wishes = plan.rfc9111.then(|| RequestDirectives::of(request.headers.borrow().get_all(b"Cache-Control")));
        Caching {
            wishes,
            plan,
            store,
            facts,
            key,
            main,
            digest: main,
            cacheable: true,
            fetch: None,
            stale: None,
            born_ms: None,
            version: 0,
            asked_ms: 0,
            counted: false,
            uses: 0,
            memory,
        }
    }

    /// Looks for the key, or for the variant that the request asks for.
    pub fn find(&mut self, request: &Request) -> LookupResult {
        (self.digest, self.born_ms) = (self.main, None);
        for _ in 0..2 {
            let stored = match self.under_digest(request) {
                LookupResult::Answer(stored) if stored.head.to_head && request.method() != Method::HEAD => return LookupResult::None,
                LookupResult::Answer(stored) => stored,
                other => return other,
            };
            let is_main = self.digest == self.main;
            if is_main {
                self.born_ms = Some(stored.head.born_ms);
            }
            if is_main && stored.head.vary.is_empty() {
                return LookupResult::Answer(stored);
            }
            let variant = self.variant(request, &stored.head.vary);
            let lives = is_main || self.born_ms.is_some_and(|born| stored.head.stored_ms >= born);
            if variant == stored.head.variant && lives {
                return LookupResult::Answer(stored);
            }
            if !is_main {
                break;
            }
            self.digest = variant;
            self.counted = false;
        }
        LookupResult::None
    }

    /// What may be done with a stored response now.
    #[must_use]
    pub fn evaluate(&self, stored: &Stored) -> Reuse {
        let now = clock::now().sec;
        match &self.wishes {
            Some(wishes) => rfc9111::usable(&stored.head, wishes, now),
            None if stored.head.valid >= now => Reuse::Fresh,
            None => Reuse::Expired,
        }
    }

    /// Whether a stored response may be given for a reason of the configuration's though it is not fresh.
    #[must_use]
    pub(crate) fn may_serve_stale(&self, stored: &Stored) -> bool {
        self.wishes.is_none_or(|wishes| {
            !stored.head.must_revalidate && rfc9111::usable(&stored.head, &wishes, clock::now().sec) != Reuse::Unconfirmed
        })
    }

    /// The digest of the variant of this request.
    #[must_use]
    pub fn variant(&self, request: &Request, vary: &[u8]) -> Digest {
        let headers = request.headers.borrow();
        key::variant(&self.main, vary, |name, each| headers.get_all(name).for_each(each))
    }

    fn under_digest(&mut self, request: &Request) -> LookupResult {
        let now = clock::now().sec;
        let index = &self.store.index;
        let entry = index.find(&self.digest, now);
        match entry {
            Some(entry) if entry.exists => match self.open(request, &entry) {
                Some(stored) => match self.unpurged(stored) {
                    Some(stored) => return LookupResult::Answer(stored),
                    None => {
                        index.remove(&self.digest);
                        self.store.drop_files(request, &[self.digest]);
                    }
                },
                None => drop(index.remove(&self.digest)),
            },
            Some(entry) if entry.error != 0 && entry.valid >= now => return LookupResult::Error(entry.error),
            _ if index.load_state() == LoadState::Cold => {
                if let Some(stored) = self.open_unknown(request, now) {
                    return LookupResult::Answer(stored);
                }
            }
            _ => {}
        }
        if !self.counted {
            self.counted = true;
            let mut gone = Vec::new();
            self.uses = index.count(&self.digest, now, &mut gone).unwrap_or(1);
            self.store.drop_files(request, &gone);
        }
        if self.uses < self.plan.min_uses { LookupResult::Scarce } else { LookupResult::None }
    }

    /// A file that the loader has not come to yet.
    fn open_unknown(&self, request: &Request, now: i64) -> Option<Rc<Stored>> {
        let (file, head) = self.read(request)?;
        if self.store.purged(&head) == Purged::Hard {
            return None;
        }
        let blocks = file.metadata().map_or(0, |m| cache::file_store::blocks(&m));
        self.store.index.insert_loaded(&self.digest, blocks, now);
        let entry = self.store.index.find(&self.digest, now)?;
        self.unpurged(self.take(request, file, head, &entry)?)
    }

    /// The response as purges leave it: not at all, or no longer fresh.
    fn unpurged(&self, stored: Rc<Stored>) -> Option<Rc<Stored>> {
        match self.store.purged(&stored.head) {
            Purged::None => Some(stored),
            Purged::Hard => None,
            Purged::Soft(time) => {
                let valid = stored.head.valid.min(time / 1000 - 1);
                Some(Rc::new(stored.with_head(Head { valid, ..stored.head.clone() })))
            }
        }
    }

    fn name(&self) -> (u64, Digest) {
        (self.store.number, self.digest)
    }

    fn open(&self, request: &Request, entry: &Entry) -> Option<Rc<Stored>> {
        if let Some(stored) = self.memory.get(&self.name(), entry.version).filter(|stored| stored.head.key == self.key) {
            return Some(stored);
        }
        let (file, head) = self.read(request)?;
        self.take(request, file, head, entry)
    }

    fn read(&self, request: &Request) -> Option<(File, Head)> {
        let missing = match self.store.files.open(&self.digest, &self.key) {
            Ok(found) => return Some(found),
            Err(missing) => missing,
        };
        let path = self.store.files.path(&self.digest);
        let shown = path.display();
        match missing {
            LoadError::None => {}
            LoadError::Fault(HeadError::Short) => log_request!(request, Level::Crit, "cache file \"{shown}\" is too small"),
            LoadError::Fault(HeadError::Foreign) => log_request!(request, Level::Info, "cache file \"{shown}\" version mismatch"),
            LoadError::Fault(HeadError::Damaged) => log_request!(request, Level::Crit, "cache file \"{shown}\" is damaged"),
            LoadError::Fault(HeadError::OtherKey) => log_request!(request, Level::Crit, "cache file \"{shown}\" has md5 collision"),
            LoadError::Error(error) => log_request!(request, Level::Crit, "open() \"{shown}\" failed {}", errno::describe(&error)),
        }
        None
    }

    /// Makes a response of a file; a small one stays in memory.
    fn take(&self, request: &Request, file: File, head: Head, entry: &Entry) -> Option<Rc<Stored>> {
        if head.length > LARGEST {
            let stored = Stored::on_disk(head, file)?;
            return Some(Rc::new(if entry.verified { stored } else { stored.not_yet_verified(entry.version) }));
        }
        let length = usize::try_from(head.length).ok()?;
        let mut bytes = Vec::with_capacity(length);
        if let Err(error) = sys::descriptor::read_exact_at(&file, &mut bytes, head.body_start() as u64, length) {
            log_request!(request, Level::Crit, "pread() failed {}", errno::describe(&error));
            return None;
        }
        if crc32fast::hash(&bytes) != head.body_sum {
            self.complain_of_damage(request);
            return None;
        }
        let stored = Rc::new(Stored::in_memory(head, bytes)?);
        self.memory.put(self.name(), entry.version, &stored);
        Some(stored)
    }

    /// Looks at the body of a large file that an earlier run has left; one that is damaged goes. Files of this run are as they were written.
    pub async fn verify(&self, request: &Request, stored: &Stored) -> bool {
        let Some(version) = stored.unverified else { return true };
        if stored.is_whole().await {
            self.store.index.verified(&self.digest, version);
            return true;
        }
        self.complain_of_damage(request);
        self.store.index.remove(&self.digest);
        self.store.drop_files(request, &[self.digest]);
        false
    }

    fn complain_of_damage(&self, request: &Request) {
        let path = self.store.files.path(&self.digest);
        log_request!(request, Level::Crit, "cache file \"{}\" is damaged", path.display());
    }

    /// Tries to take on the fetching of what was looked for.
    pub fn begin(&mut self) -> bool {
        if self.fetch.is_some() {
            return true;
        }
        if !self.store.index.begin(&self.digest, clock::epoch_ms(), self.plan.lock_age) {
            return false;
        }
        self.fetch = Some(Fetch { store: self.store.clone(), digest: self.digest });
        true
    }

    /// Whether a response was purged since the upstream was asked for it.
    #[must_use]
    pub(crate) fn is_outdated(store: &Store, main: &Digest, version: u64, head: &Head) -> bool {
        let asked_ms = head.stored_ms.max(0).cast_unsigned();
        let by_key = || store.index.version(main) != version;
        let purged = store.index.purged_ms() >= asked_ms;
        purged && (by_key() || store.index.forgotten_ms() >= asked_ms || store.purged(head) == Purged::Hard)
    }

    /// The upstream is about to be asked.
    pub fn start_fetch(&mut self) {
        self.version = self.store.index.version(&self.main);
        let after = self.store.index.purged_ms().saturating_add(1);
        self.asked_ms = i64::try_from(clock::epoch_ms().max(after)).unwrap_or(i64::MAX);
    }

    /// An error stands for the response.
    pub fn fail(&self, status: u16, valid: i64) {
        self.store.index.failed(&self.digest, status, valid);
    }

    /// Notes a response that is about to be used or confirmed.
    pub fn record_hit(&self, stored: &Stored) {
        self.facts.date.set(stored.head.date);
    }
}
