//! `*_cache_purge`: a request removes what it would get.

use crate::caching::store::Store;
use cache::{Digest, key};
use http::{Outcome, Request};

/// Removes the answer under a key; 204, or 404 if there is none.
pub fn run(request: &Request, store: &Store, key: &[u8]) -> Outcome {
    let digest = key::digest(key);
    let existed = has_file(store, &digest, key);
    store.index.remove(&digest);
    store.drop_files(request, &[digest]);
    Outcome::Status(if existed { 204 } else { 404 })
}

fn has_file(store: &Store, digest: &Digest, key: &[u8]) -> bool {
    store.shelf.open(digest, key).is_ok()
}
