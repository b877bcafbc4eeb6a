//! `*_cache_purge*`: a request removes the response that it would get, or those with a tag.

use crate::caching::plan::{CachePlan, is_any_true};
use crate::caching::store::Store;
use base::errno;
use base::log::Level;
use cache::{Purge, PurgeTarget, tags};
use http::{Outcome, Request, log_request};
use std::io;

/// Whether a request purges.
#[must_use]
pub fn is_wanted(request: &Request, plan: &CachePlan) -> bool {
    let by_method = plan.purge_method.as_deref().is_some_and(|name| *request.line.borrow().method_name == *name);
    by_method || (!plan.purge.is_empty() && is_any_true(&plan.purge, request))
}

/// Purges by the tags that the location says, or else by key: one that ends in `*` is a prefix. 204, or 404 if nothing has the key.
pub fn run(request: &Request, plan: &CachePlan, store: &Store, key: &[u8]) -> Outcome {
    let soft = is_any_true(&plan.purge_soft, request);
    let mut list = Vec::new();
    for value in plan.purge_tag.iter() {
        list.extend_from_slice(&value.to_vec(request));
        list.push(b' ');
    }
    let purged = if list.trim_ascii().is_empty() {
        let target = key.strip_suffix(b"*").map_or(PurgeTarget::Key(key), PurgeTarget::Prefix);
        store.purge(&Purge { target, soft })
    } else {
        by_tags(store, &list, soft)
    };
    match purged {
        Ok(existed) => Outcome::Status(if existed { 204 } else { 404 }),
        Err(error) => {
            let root = store.files.root.display();
            log_request!(request, Level::Crit, "writing a purge to \"{root}\" failed {}", errno::describe(&error));
            Outcome::Status(500)
        }
    }
}

fn by_tags(store: &Store, list: &[u8], soft: bool) -> io::Result<bool> {
    let mut purged = Ok(true);
    tags::each_of_list(list, &mut |tag| {
        if let Err(error) = store.purge(&Purge { target: PurgeTarget::Tag(tag), soft }) {
            purged = Err(error);
        }
    });
    purged
}
