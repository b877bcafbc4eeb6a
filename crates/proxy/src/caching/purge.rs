//! `*_cache_purge`: a request removes what it would get.

use crate::caching::store::Store;
use base::clock;
use base::errno;
use base::log::Level;
use cache::{Digest, key, purges};
use http::{Outcome, Request, log_request};

/// Removes the answer under a key, or all whose keys begin with what stands before its `*`; 204, or 404 if there is none.
pub fn run(request: &Request, store: &Store, key: &[u8]) -> Outcome {
    if let Some(prefix) = key.strip_suffix(b"*") {
        return by_prefix(request, store, prefix);
    }
    let digest = key::digest(key);
    let existed = has_file(store, &digest, key);
    let mut gone = vec![digest];
    store.index.purge(&digest, clock::epoch_ms(), &mut gone);
    store.drop_files(request, &gone);
    Outcome::Status(if existed { 204 } else { 404 })
}

fn by_prefix(request: &Request, store: &Store, prefix: &[u8]) -> Outcome {
    let now_ms = clock::epoch_ms();
    let now = i64::try_from(now_ms).unwrap_or(i64::MAX);
    if let Err(error) = purges::add(&store.shelf.root, now, prefix) {
        let root = store.shelf.root.display();
        log_request!(request, Level::Crit, "writing a purge to \"{root}\" failed {}", errno::describe(&error));
        return Outcome::Status(500);
    }
    store.index.add_purge(now_ms);
    Outcome::Status(204)
}

fn has_file(store: &Store, digest: &Digest, key: &[u8]) -> bool {
    store.shelf.open(digest, key).is_ok_and(|(_, head)| !store.is_purged(key, head.stored_ms))
}
