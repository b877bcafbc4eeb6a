//! Maintenance of all caches, in one worker: loads the files of an earlier run, removes inactive and excess ones.

use crate::caching::portions::Pace;
use crate::caching::store::{Caches, Store};
use crate::caching::sweep::Watch;
use base::clock;
use base::log::Level;
use cache::{Digest, LoadState, key};
use http::Worker;
use http::cache_report::CacheReports;
use http::module::{Levels, Module};
use http::purge_registry::Purgeables;
use net::ticker::Ticker;
use std::cell::Cell;
use std::fs;
use std::rc::Rc;
use std::time::Duration;

/// What runs in each worker, and works in one of them.
pub const MODULE: Module = Module { levels, start, ..Module::named("proxy_cache") };

/// How often a worker asks whether the caches are its to look after.
const REST: Duration = Duration::from_secs(1);
/// All keys are checked for inactivity within so many seconds, as in nginx; sooner if `inactive` is short.
const ROUND: u64 = 10;

fn levels(levels: &mut Levels) {
    levels.main::<Caches>();
    levels.main::<Purgeables>();
    levels.main::<CacheReports>();
}

fn start(worker: &Rc<Worker>) {
    if worker.process().is_some_and(|place| place.agent) {
        return;
    }
    let http = worker.http();
    let Some(caches) = http.main.get::<Caches>() else { return };
    for store in caches.all() {
        worker.spawn(Box::pin(look_after(worker.clone(), store.clone())));
    }
}

/// Looks after one cache for as long as the worker takes on work and no other has the cache.
async fn look_after(worker: Rc<Worker>, store: Rc<Store>) {
    let (mut watch, round, ticker) = (Watch::default(), Round::default(), Ticker::new(REST));
    if let Ok(directory) = fs::metadata(&store.files.root) {
        store.index.set_home(&directory);
    }
    loop {
        if worker.exiting.get() {
            // It may serve its last clients for long; the next generation's workers look after the cache.
            store.index.release_lease();
            return;
        }
        if store.index.lease() {
            managing(&worker, &store, &round, watch.check_lists(&worker, &store)).await;
            if store.index.load_state() == LoadState::Cold {
                managing(&worker, &store, &round, load(&worker, &store)).await;
            }
            manage(&worker, &store, &round).await;
        }
        // A whole rest, however long the work was.
        ticker.stop();
        ticker.next().await;
    }
}

/// Does what may take long, for as long as the worker takes on work; what is to go goes meanwhile, too.
async fn managing(worker: &Rc<Worker>, store: &Store, round: &Round, work: impl Future<Output = ()>) {
    let mut work = std::pin::pin!(work);
    loop {
        tokio::select! {
            () = &mut work => return,
            () = net::time::sleep(REST) => {}
        }
        if worker.exiting.get() {
            return;
        }
        manage(worker, store, round).await;
    }
}

/// Whether this is a file that a process which is gone began to write: `DIGEST.NUMBER.PROCESS`.
fn is_left_over(name: &[u8]) -> bool {
    let mut parts = name.split(|b| *b == b'.');
    let (digest, number, process) = (parts.next(), parts.next(), parts.next());
    let writer = process.and_then(base::text::parse_number).and_then(|id| i32::try_from(id).ok());
    let ours = digest.is_some_and(|text| key::parse_name(text).is_some()) && number.is_some_and(|text| text.len() == 10);
    ours && parts.next().is_none() && writer.is_some_and(|id| sys::process::start_time(id).is_none_or(|(_, ended)| ended))
}

/// Finds the files that are there. What is none of ours stays.
async fn load(worker: &Rc<Worker>, store: &Store) {
    let mut pace = Pace::new(store.loader);
    let mut full = false;
    let mut files = store.files.files();
    while let Some((digest, path)) = files.next_beside(|name, path| {
        if is_left_over(name) {
            // It may be gone already.
            let _ = fs::remove_file(path);
        }
    }) {
        if worker.exiting.get() {
            return;
        }
        if let Ok(metadata) = fs::symlink_metadata(&path) {
            full |= !store.index.insert_loaded(&digest, cache::file_store::blocks(&metadata), clock::now().sec);
        }
        pace.step().await;
    }
    if full {
        worker.log.log(Level::Alert, 0, format_args!("could not allocate node in cache keys zone of \"{}\"", store.files.root.display()));
    }
    store.index.set_loaded();
}

/// Removes inactive entries, and those above the size limit.
async fn manage(worker: &Rc<Worker>, store: &Store, round: &Round) {
    let mut pace = Pace::new(store.manager);
    if round.is_due(store.inactive) {
        expire(worker, store, &mut pace).await;
    }
    while !worker.exiting.get() {
        let short = store.min_free > 0 && sys::disk::free(&store.files.root).is_ok_and(|free| free < store.min_free);
        let Some(digest) = store.index.evict(short) else { return };
        remove(worker, store, &mut vec![digest], &mut pace).await;
    }
}

/// Looks at all keys once.
async fn expire(worker: &Worker, store: &Store, pace: &mut Pace) {
    let portion = usize::try_from(store.manager.files).unwrap_or(100).max(1) * 10;
    let mut gone = Vec::new();
    while !worker.exiting.get() {
        let end = store.index.expire(portion, clock::now().sec.saturating_sub(store.inactive), clock::epoch_ms(), &mut gone);
        remove(worker, store, &mut gone, pace).await;
        if end {
            return;
        }
        // Requests come first, also where nothing is to go.
        net::turn::next().await;
    }
}

/// When all keys were last looked at.
#[derive(Default)]
struct Round(Cell<Option<u64>>);

impl Round {
    /// Whether it is time to do so again.
    fn is_due(&self, inactive: i64) -> bool {
        let now = clock::monotonic_ms();
        let rest = 1000 * u64::try_from(inactive / 10).unwrap_or(0).min(ROUND);
        let due = self.0.get().is_none_or(|last| now.saturating_sub(last) >= rest);
        if due {
            self.0.set(Some(now));
        }
        due
    }
}

async fn remove(worker: &Worker, store: &Store, gone: &mut Vec<Digest>, pace: &mut Pace) {
    for digest in gone.drain(..) {
        if let Err(error) = store.files.remove(&digest) {
            let path = store.files.path(&digest);
            let what = base::errno::describe(&error);
            worker.log.log(Level::Crit, 0, format_args!("unlink() \"{}\" failed {what}", path.display()));
        }
        pace.step().await;
    }
}
