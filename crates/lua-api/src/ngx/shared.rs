//! `ngx.shared`: dictionaries that all workers share (`ngx_http_lua_shdict.c`, `resty/core/shdict.lua`).

use crate::api::ANYWHERE;
use crate::host::Host;
use crate::runtime::Runtime;
use lua::{Cx, Group, LuaError, Phase, PhaseSet, Raise, Row, Stack, Vm};
use shm::dict::list::End;
use shm::dict::{Dict, Found, Refusal, Store, Value, When};

/// Codes that the glue takes apart: a kind (0 for nothing), or `FAILED` with the text in the output buffer.
const BOOLEAN: i32 = 1;
const NUMBER: i32 = 2;
const TEXT: i32 = 3;
const FAILED: i32 = -1;
/// Added to a kind of an entry that has expired; to 0 where live entries had to go.
const MARK: i32 = 8;
/// As [`FAILED`], and live entries had to go.
const FAILED_FORCED: i32 = -2;

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    let all = PhaseSet::EVERYWHERE;
    Group {
        name: "ngx.shared",
        rows: vec![
            Row::fast::<ANYWHERE, _, _>("shared_get", get),
            Row::fast::<ANYWHERE, _, _>("shared_number", number),
            Row::fast::<ANYWHERE, _, _>("shared_flags", flags),
            Row::fast::<ANYWHERE, _, _>("shared_text", store_text),
            Row::fast::<ANYWHERE, _, _>("shared_store", store_number),
            Row::fast::<ANYWHERE, _, _>("shared_delete", delete),
            Row::fast::<ANYWHERE, _, _>("shared_incr", incr),
            Row::fast::<ANYWHERE, _, _>("shared_ttl", ttl),
            Row::fast::<ANYWHERE, _, _>("shared_expire", expire),
            Row::fast::<ANYWHERE, _, _>("shared_flush_all", flush_all),
            Row::fast::<ANYWHERE, _, _>("shared_flush_expired", flush_expired),
            Row::fast::<ANYWHERE, _, _>("shared_capacity", capacity),
            Row::fast::<ANYWHERE, _, _>("shared_free_space", free_space),
            Row::fast::<ANYWHERE, _, _>("shared_pop", pop),
            Row::fast::<ANYWHERE, _, _>("shared_length", length),
            Row::fast::<ANYWHERE, _, _>("shared_push_text", push_text),
            Row::fast::<ANYWHERE, _, _>("shared_push_number", push_number),
            Row::calls("shared_keys", all, keys),
        ],
        glue: include_str!("shared.lua"),
    }
}

/// Puts the configured dictionaries into `ngx.shared`.
///
/// # Errors
/// Memory is exhausted.
pub(crate) fn publish(vm: &Vm, runtime: &Runtime) -> Result<(), LuaError> {
    use std::fmt::Write;
    let mut source = String::from("local s = ngx.shared local make = s[''] s[''] = nil ");
    for (number, zone) in runtime.dicts.borrow().iter().enumerate() {
        source.push_str("s['");
        for byte in zone.name().bytes() {
            // Writing to a string does not fail.
            let _ = write!(source, "\\{byte:03}");
        }
        let _ = write!(source, "'] = make({number}) ");
    }
    let chunk = vm.load_text(source.as_bytes(), "=ngx.shared")?;
    vm.run_now(chunk, Phase::INIT, None, |_| 0, |_| ())
}

/// Runs `f` on dictionary `id`, locked; the error's text is in the output buffer when it answers `failed`.
fn with_dict<R>(cx: &Cx, id: f64, failed: R, f: impl FnOnce(&Dict<'_>, &Runtime) -> R) -> R {
    cx.with_host::<Host, _>(|host| {
        let Some(host) = host else {
            cx.put(b"no request found");
            return failed;
        };
        let dicts = host.runtime.dicts.borrow();
        let Some(zone) = dicts.get(id as usize) else {
            cx.put(b"bad \"zone\" argument");
            return failed;
        };
        let guard = zone.lock();
        match Dict::open(&guard, base::clock::now().epoch_ms()) {
            Some(dict) => f(&dict, &host.runtime),
            None => {
                cx.put(Refusal::NoMemory.text().as_bytes());
                failed
            }
        }
    })
}

fn refuse(cx: &Cx, refusal: Refusal) -> i32 {
    cx.put(refusal.text().as_bytes());
    FAILED
}

fn milliseconds(seconds: f64) -> u64 {
    (seconds * 1000.0) as u64
}

fn kind(runtime: &Runtime, found: Found, flags: u32) -> i32 {
    let (kind, number) = match found {
        Found::Boolean(on) => (BOOLEAN, f64::from(u8::from(on))),
        Found::Number(number) => (NUMBER, number),
        Found::Text => (TEXT, 0.0),
    };
    runtime.last_entry.set((number, flags));
    kind
}

fn get(cx: &Cx, id: f64, key: &[u8], stale: i32) -> i32 {
    with_dict(cx, id, FAILED, |dict, runtime| {
        let mut result = Ok(None);
        cx.fill(|out| result = dict.get(key, stale != 0, out));
        match result {
            Ok(Some(entry)) => kind(runtime, entry.value, entry.flags) + if entry.stale { MARK } else { 0 },
            Ok(None) => 0,
            Err(refusal) => refuse(cx, refusal),
        }
    })
}

fn number(cx: &Cx) -> f64 {
    cx.with_host::<Host, _>(|host| host.map_or(0.0, |host| host.runtime.last_entry.get().0))
}

fn flags(cx: &Cx) -> f64 {
    cx.with_host::<Host, _>(|host| host.map_or(0.0, |host| f64::from(host.runtime.last_entry.get().1)))
}

/// `what` is the dictionary times 16, plus 1 for `add`, 2 for `replace`, 4 for `safe_`, 8 for a boolean.
fn store(cx: &Cx, what: f64, key: &[u8], value: Value<'_>, lifetime: f64, flags: f64) -> i32 {
    let what = what as u64;
    let when = match what & 3 {
        1 => When::Absent,
        2 => When::Present,
        _ => When::Always,
    };
    let how = Store { when, safe: what & 4 != 0, lifetime: milliseconds(lifetime), flags: flags as i64 as u32 };
    with_dict(cx, (what >> 4) as f64, FAILED, |dict, _| match dict.store(key, value, how) {
        Ok(forced) => i32::from(forced) * MARK,
        Err((refusal, forced)) => {
            refuse(cx, refusal);
            if forced { FAILED_FORCED } else { FAILED }
        }
    })
}

fn store_text(cx: &Cx, what: f64, key: &[u8], value: &[u8], lifetime: f64, flags: f64) -> i32 {
    store(cx, what, key, Value::Text(value), lifetime, flags)
}

fn store_number(cx: &Cx, what: f64, key: &[u8], value: f64, lifetime: f64, flags: f64) -> i32 {
    let value = if what as u64 & 8 != 0 { Value::Boolean(value != 0.0) } else { Value::Number(value) };
    store(cx, what, key, value, lifetime, flags)
}

fn delete(cx: &Cx, id: f64, key: &[u8]) -> i32 {
    with_dict(cx, id, FAILED, |dict, _| {
        dict.delete(key);
        0
    })
}

/// A negative lifetime says that there is no `init`.
fn incr(cx: &Cx, id: f64, key: &[u8], by: f64, init: f64, lifetime: f64) -> i32 {
    let init = (lifetime >= 0.0).then(|| (init, milliseconds(lifetime)));
    with_dict(cx, id, FAILED, |dict, runtime| match dict.incr(key, by, init) {
        Ok((sum, forced)) => {
            runtime.last_entry.set((sum, 0));
            i32::from(forced) * MARK
        }
        Err((refusal, _)) => refuse(cx, refusal),
    })
}

fn ttl(cx: &Cx, id: f64, key: &[u8]) -> i32 {
    with_dict(cx, id, FAILED, |dict, runtime| match dict.ttl(key) {
        Ok(left) => {
            runtime.last_entry.set((left as f64, 0));
            0
        }
        Err(refusal) => refuse(cx, refusal),
    })
}

fn expire(cx: &Cx, id: f64, key: &[u8], lifetime: f64) -> i32 {
    with_dict(cx, id, FAILED, |dict, _| dict.expire(key, milliseconds(lifetime)).map_or_else(|refusal| refuse(cx, refusal), |()| 0))
}

fn flush_all(cx: &Cx, id: f64) -> i32 {
    with_dict(cx, id, FAILED, |dict, _| {
        dict.flush_all();
        0
    })
}

fn flush_expired(cx: &Cx, id: f64, max: f64) -> f64 {
    let whole = with_dict(cx, id, Some(0), |dict, _| (max > 0.0 || !dict.is_large()).then(|| dict.flush_expired(max as usize)));
    if let Some(removed) = whole {
        return removed as f64;
    }
    let (mut part, mut removed) = (Some(0), 0);
    while let Some(number) = part {
        let (next, more) = with_dict(cx, id, (None, 0), |dict, _| dict.flush_part(number));
        (part, removed) = (next, removed + more);
    }
    removed as f64
}

fn capacity(cx: &Cx, id: f64) -> f64 {
    cx.with_host::<Host, _>(|host| {
        host.and_then(|host| host.runtime.dicts.borrow().get(id as usize).map(|z| z.size() as f64)).unwrap_or(0.0)
    })
}

fn free_space(cx: &Cx, id: f64) -> f64 {
    cx.with_host::<Host, _>(|host| {
        host.and_then(|host| host.runtime.dicts.borrow().get(id as usize).map(|z| z.lock().free_space() as f64)).unwrap_or(0.0)
    })
}

fn end(left: i32) -> End {
    if left != 0 { End::Left } else { End::Right }
}

fn pop(cx: &Cx, id: f64, key: &[u8], left: i32) -> i32 {
    with_dict(cx, id, FAILED, |dict, runtime| {
        let mut result = Ok(None);
        cx.fill(|out| result = dict.pop(key, end(left), out));
        match result {
            Ok(found) => found.map_or(0, |found| kind(runtime, found, 0)),
            Err(refusal) => refuse(cx, refusal),
        }
    })
}

fn length(cx: &Cx, id: f64, key: &[u8]) -> f64 {
    with_dict(cx, id, -1.0, |dict, _| dict.length(key).map_or_else(|refusal| f64::from(refuse(cx, refusal)), |n| n as f64))
}

fn push(cx: &Cx, id: f64, key: &[u8], left: i32, value: Value<'_>) -> f64 {
    with_dict(cx, id, -1.0, |dict, _| dict.push(key, end(left), value).map_or_else(|refusal| f64::from(refuse(cx, refusal)), |n| n as f64))
}

fn push_text(cx: &Cx, id: f64, key: &[u8], left: i32, value: &[u8]) -> f64 {
    push(cx, id, key, left, Value::Text(value))
}

fn push_number(cx: &Cx, id: f64, key: &[u8], left: i32, value: f64) -> f64 {
    push(cx, id, key, left, Value::Number(value))
}

/// `shared_keys(id, max)`
fn keys(cx: &Cx, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let (id, max) = (stack.check_number(1, "get_keys")?, stack.check_number(2, "get_keys")?);
    let mut found = Vec::new();
    let mut part = with_dict(cx, id, None, |dict, _| {
        if max < 1.0 && dict.is_large() {
            return Some(0);
        }
        dict.keys(max as usize, |key| found.push(key.to_vec()));
        None
    });
    // Others get the lock between the parts of a large dictionary.
    while let Some(number) = part {
        part = with_dict(cx, id, None, |dict, _| dict.keys_part(number, |key| found.push(key.to_vec())));
    }
    stack.push_table(found.len(), 0);
    let table = stack.top();
    for (index, key) in found.iter().enumerate() {
        stack.push_bytes(key);
        stack.set_item(table, index + 1);
    }
    Ok(1)
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn without_a_run() {
        let made = "ngx.shared[''](0)";
        assert_eq!(evaluate("select(2, pcall(ngx.shared[''](0).get, 1, 'k'))"), "bad \"zone\" argument");
        assert_eq!(evaluate("select(2, pcall(ngx.shared[''](0).get, {0}, 'k'))"), "bad \"zone\" argument");
        assert_eq!(evaluate(&format!("{made}:get('')")), "nil empty key");
        assert_eq!(evaluate(&format!("{made}:get()")), "nil nil key");
        assert_eq!(evaluate(&format!("{made}:get('k')")), "nil no request found");
    }
}
