//! Compacts a long list of purges: the purged files are deleted, and the purges need not be remembered any longer.

use crate::caching::portions::Pace;
use crate::caching::store::Store;
use base::clock;
use base::log::Level;
use cache::{Digest, Head, Purged, file_store, purges};
use http::Worker;
use std::fs::File;

/// Bytes of a list that is worth the way through all files.
const LONG: u64 = 256 * 1024;
/// Between two of these ways at least, milliseconds.
const REST: u64 = 60_000;
/// Purges younger than this stay in the list: answers from before them may be on their way to the disk.
const YOUNG: i64 = 60_000;

/// What the keeper remembers of a cache's list.
#[derive(Default)]
pub struct Watch {
    last_state: Option<(u64, i64)>,
    swept: Option<u64>,
}

impl Watch {
    /// Tells all workers when a list has changed, as other programs may add to it; shortens a long one.
    pub async fn check_lists(&mut self, worker: &Worker, store: &Store) {
        let state = purges::state(&store.files.root);
        if self.last_state != Some(state) {
            self.last_state = Some(state);
            store.index.add_purge(clock::epoch_ms());
        }
        let now = clock::monotonic_ms();
        if state.0 > LONG && self.swept.is_none_or(|last| now.saturating_sub(last) > REST) {
            self.swept = Some(now);
            if let Err(error) = sweep(worker, store).await {
                let root = store.files.root.display();
                worker.log.log(Level::Crit, 0, format_args!("writing purges to \"{root}\" failed {}", base::errno::describe(&error)));
            }
        }
    }
}

async fn sweep(worker: &Worker, store: &Store) -> std::io::Result<()> {
    let until = i64::try_from(clock::epoch_ms()).unwrap_or(i64::MAX).saturating_sub(YOUNG);
    let mut pace = Pace::new(store.manager);
    for (digest, path) in store.files.files() {
        if worker.exiting.get() {
            return Ok(());
        }
        if let Ok(head) = File::open(&path).map_err(file_store::LoadError::Error).and_then(|file| file_store::read_head(&file)) {
            apply(store, &digest, head);
        }
        pace.step().await;
    }
    purges::remove_until(&store.files.root, until)?;
    store.index.set_forgotten(until.max(0).cast_unsigned());
    Ok(())
}

/// Does to one answer what purges say.
fn apply(store: &Store, digest: &Digest, head: Head) {
    match store.cover(&head) {
        Purged::None => {}
        Purged::Hard => {
            store.index.remove(digest);
            // It is covered still; another try comes with the next way.
            let _ = store.files.remove(digest);
        }
        Purged::Soft(time) => {
            let valid = head.valid.min(time / 1000 - 1);
            // A file that cannot be written is as old as it was.
            if store.files.rewrite_head(digest, &Head { valid, ..head }).is_ok() {
                store.index.changed(digest);
            }
        }
    }
}
