//! `ngx.cache`: purges of the caches that `*_cache_path` makes.

use crate::host::Host;
use base::errno::describe;
use cache::{Purge, PurgeTarget};
use http::purge_registry::{Purgeable, Purgeables};
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};
use std::rc::Rc;

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    Group { name: "ngx.cache", rows: vec![Row::calls("cache_purge", PhaseSet::EVERYWHERE, purge)], glue: include_str!("cache.lua") }
}

/// The cache of the configuration that the code belongs to.
fn find(cx: &CallContext, name: &[u8]) -> Result<Option<Rc<dyn Purgeable>>, Raise> {
    let host = cx.host::<Host>().ok_or(Raise::fixed("no request found"))?;
    let http = match (&host.session, &host.worker) {
        (Some(request), _) => request.http.clone(),
        (None, Some(worker)) => worker.http(),
        (None, None) => return Err(cx.refusal()),
    };
    Ok(http.main.get::<Purgeables>().and_then(|caches| caches.find(name).cloned()))
}

/// Zone, kind of target, target, soft. Answers true, or nil and why not.
fn purge(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let text = |i| stack.check_bytes(i, "purge").map(<[u8]>::to_vec);
    let (zone, kind, name) = (text(1)?, text(2)?, text(3)?);
    let soft = stack.truthy(4);
    let target = match &kind[..] {
        b"key" => PurgeTarget::Key(&name),
        b"prefix" => PurgeTarget::Prefix(&name),
        _ => PurgeTarget::Tag(&name),
    };
    let refused = match find(cx, &zone)?.map(|cache| cache.purge(&Purge { target, soft })) {
        Some(Ok(true)) => {
            stack.push_bool(true);
            return Ok(1);
        }
        Some(Ok(false)) => "not found".to_owned(),
        Some(Err(error)) => format!("writing a purge failed {}", describe(&error)),
        None => "no such cache".to_owned(),
    };
    stack.push_nil();
    stack.push_bytes(refused.as_bytes());
    Ok(2)
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn what_is_to_be_purged_must_be_said() {
        let refusal = |arguments: &str| evaluate(&format!("select(2, pcall(require 'ngx.cache'.purge, {arguments}))"));
        assert_eq!(refusal("'one'"), "bad argument #1 to 'purge' (table expected, got string)");
        assert_eq!(refusal("{key = 'a'}"), "bad field 'zone' in 'purge' (string expected, got nil)");
        assert_eq!(refusal("{zone = 'one'}"), "one of 'key', 'prefix' and 'tag' expected in 'purge'");
        assert_eq!(refusal("{zone = 'one', key = 'a', tag = 'b'}"), "one of 'key', 'prefix' and 'tag' expected in 'purge'");
        assert_eq!(refusal("{zone = 'one', tag = {'a', {}}}"), "bad field 'tag' in 'purge' (string expected, got table)");
    }
}
