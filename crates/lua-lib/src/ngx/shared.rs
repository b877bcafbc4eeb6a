//! `ngx.shared`: dictionaries that all workers share (`ngx_http_lua_shdict.c`, `resty/core/shdict.lua`).

use crate::ANYWHERE;
use crate::dict_slots;
use crate::runtime::Runtime;
use base::clock;
use base::saturated::Saturated;
use lua::{CallContext, Group, LuaError, LuaPhase, PhaseSet, Raise, Row, Stack, Vm};
use shm::Dict;
use shm::dict::{End, Found, Keys, Refusal, Store, StoreMode, Value};

/// Codes that the glue takes apart: a kind, or `FAILED` with the text in the output buffer. A number is in
/// `cx.number`, text in the output buffer.
const NOTHING: i32 = 0;
const BOOLEAN: i32 = 1;
const NUMBER: i32 = 2;
const TEXT: i32 = 3;
const FAILED: i32 = -1;
/// Added to a kind of an entry that has expired; to `NOTHING` where live entries had to go.
const MARK: i32 = 8;
/// Added to the kind of an entry with flags, which are in `cx.flags`.
const FLAGS: i32 = 16;
/// How a value is stored: to a dictionary's number, times `MANNERS`, these are added.
const ADD: i32 = 1;
const REPLACE: i32 = 2;
const SAFE: i32 = 4;
const BOOLEAN_VALUE: i32 = 8;
const MANNERS: i32 = 16;
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
            Row::constant("NOTHING", NOTHING),
            Row::constant("NUMBER", NUMBER),
            Row::constant("TEXT", TEXT),
            Row::constant("MARK", MARK),
            Row::constant("FLAGS", FLAGS),
            Row::constant("FAILED_FORCED", FAILED_FORCED),
            Row::constant("ADD", ADD),
            Row::constant("REPLACE", REPLACE),
            Row::constant("SAFE", SAFE),
            Row::constant("BOOLEAN_VALUE", BOOLEAN_VALUE),
            Row::constant("MANNERS", MANNERS),
        ],
        glue: include_str!("shared.lua"),
    }
}

/// Puts the configured dictionaries into `ngx.shared`.
///
/// # Errors
/// Memory is exhausted.
pub fn publish(vm: &Vm, runtime: &Runtime) -> Result<(), LuaError> {
    use std::fmt::Write;
    let mut source = String::from("local s = ngx.shared local make = s[''] s[''] = nil ");
    for zone in runtime.dicts.borrow().iter() {
        let number = runtime.shared_slots.insert(Dict::new(zone));
        source.push_str("s['");
        for byte in zone.name().bytes() {
            // Writing to a string does not fail.
            let _ = write!(source, "\\{byte:03}");
        }
        let _ = write!(source, "'] = make({number}) ");
    }
    let chunk = vm.load_text(source.as_bytes(), "=ngx.shared")?;
    vm.run_now(chunk, LuaPhase::INIT, None, |_| 0, |_| ())
}

/// Runs `f` on a dictionary; the error's text is in the output buffer when it answers `failed`.
#[inline]
fn with_dict<R>(cx: &CallContext, id: i32, failed: R, f: impl FnOnce(&Dict) -> R) -> R {
    dict_slots::with(id, f).unwrap_or_else(|| {
        cx.set_text(b"bad \"zone\" argument");
        failed
    })
}

#[cold]
fn refuse(cx: &CallContext, refusal: Refusal) -> i32 {
    cx.put_static(refusal.text().as_bytes());
    FAILED
}

fn milliseconds(seconds: f64) -> u64 {
    u64::saturated(seconds * 1000.0)
}

#[inline]
fn kind(cx: &CallContext, found: Found) -> i32 {
    match found {
        Found::Boolean(on) => {
            cx.put_number(f64::from(u8::from(on)));
            BOOLEAN
        }
        Found::Number(number) => {
            cx.put_number(number);
            NUMBER
        }
        Found::Text => TEXT,
    }
}

fn get(cx: &CallContext, id: i32, key: &[u8], stale: i32) -> i32 {
    with_dict(cx, id, FAILED, |dict| {
        let mut result = Ok(None);
        cx.fill(|out| result = dict.get(key, stale != 0, clock::epoch_ms(), out));
        match result {
            Ok(Some(entry)) => {
                cx.put_flags(entry.flags);
                let flags = if entry.flags == 0 { 0 } else { FLAGS };
                kind(cx, entry.value) + flags + if entry.stale { MARK } else { 0 }
            }
            Ok(None) => NOTHING,
            Err(refusal) => refuse(cx, refusal),
        }
    })
}

/// Flags of any size are cut to 32 bits, as LuaJIT's FFI does for OpenResty's `int`.
#[expect(clippy::cast_possible_truncation, reason = "the cut is meant")]
fn flags_of(number: f64) -> u32 {
    i64::saturated(number) as u32
}

/// `what` is the dictionary, times `MANNERS`, with how to store added.
fn store(cx: &CallContext, what: i32, key: &[u8], value: Value<'_>, lifetime: f64, flags: f64) -> i32 {
    let when = match what & (ADD | REPLACE) {
        ADD => StoreMode::Absent,
        REPLACE => StoreMode::Present,
        _ => StoreMode::Always,
    };
    let how = Store { when, safe: what & SAFE != 0, lifetime: milliseconds(lifetime), flags: flags_of(flags) };
    with_dict(cx, what >> MANNERS.trailing_zeros(), FAILED, |dict| match dict.store(key, value, how, clock::epoch_ms()) {
        Ok(forced) => i32::from(forced) * MARK,
        Err((refusal, forced)) => {
            refuse(cx, refusal);
            if forced { FAILED_FORCED } else { FAILED }
        }
    })
}

fn store_text(cx: &CallContext, what: i32, key: &[u8], value: &[u8], lifetime: f64, flags: f64) -> i32 {
    store(cx, what, key, Value::Text(value), lifetime, flags)
}

fn store_number(cx: &CallContext, what: i32, key: &[u8], value: f64, lifetime: f64, flags: f64) -> i32 {
    let value = if what & BOOLEAN_VALUE != 0 { Value::Boolean(value != 0.0) } else { Value::Number(value) };
    store(cx, what, key, value, lifetime, flags)
}

fn delete(cx: &CallContext, id: i32, key: &[u8]) -> i32 {
    with_dict(cx, id, FAILED, |dict| {
        dict.delete(key);
        0
    })
}

/// A negative lifetime says that there is no `init`.
fn incr(cx: &CallContext, id: i32, key: &[u8], by: f64, init: f64, lifetime: f64) -> i32 {
    let init = (lifetime >= 0.0).then(|| (init, milliseconds(lifetime)));
    with_dict(cx, id, FAILED, |dict| match dict.incr(key, by, init, clock::epoch_ms()) {
        Ok((sum, forced)) => {
            cx.put_number(sum);
            i32::from(forced) * MARK
        }
        Err((refusal, _)) => refuse(cx, refusal),
    })
}

fn ttl(cx: &CallContext, id: i32, key: &[u8]) -> i32 {
    with_dict(cx, id, FAILED, |dict| match dict.ttl(key, clock::epoch_ms()) {
        Ok(left) => {
            cx.put_number(left as f64);
            0
        }
        Err(refusal) => refuse(cx, refusal),
    })
}

fn expire(cx: &CallContext, id: i32, key: &[u8], lifetime: f64) -> i32 {
    let lifetime = milliseconds(lifetime);
    with_dict(cx, id, FAILED, |dict| match dict.expire(key, lifetime, clock::epoch_ms()) {
        Ok(()) => 0,
        Err(refusal) => refuse(cx, refusal),
    })
}

fn flush_all(cx: &CallContext, id: i32) -> i32 {
    with_dict(cx, id, FAILED, |dict| {
        dict.flush_all();
        0
    })
}

fn flush_expired(cx: &CallContext, id: i32, max: f64) -> f64 {
    with_dict(cx, id, 0.0, |dict| dict.flush_expired(usize::saturated(max), clock::epoch_ms()) as f64)
}

fn capacity(cx: &CallContext, id: i32) -> f64 {
    with_dict(cx, id, 0.0, |dict| dict.capacity() as f64)
}

fn free_space(cx: &CallContext, id: i32) -> f64 {
    with_dict(cx, id, 0.0, |dict| dict.free_space() as f64)
}

fn end(left: i32) -> End {
    if left != 0 { End::Left } else { End::Right }
}

fn pop(cx: &CallContext, id: i32, key: &[u8], left: i32) -> i32 {
    with_dict(cx, id, FAILED, |dict| {
        let mut result = Ok(None);
        cx.fill(|out| result = dict.pop(key, end(left), clock::epoch_ms(), out));
        match result {
            Ok(found) => found.map_or(NOTHING, |found| kind(cx, found)),
            Err(refusal) => refuse(cx, refusal),
        }
    })
}

fn count(cx: &CallContext, count: Result<u64, Refusal>) -> f64 {
    count.map_or_else(|refusal| f64::from(refuse(cx, refusal)), |count| count as f64)
}

fn length(cx: &CallContext, id: i32, key: &[u8]) -> f64 {
    with_dict(cx, id, -1.0, |dict| count(cx, dict.length(key, clock::epoch_ms())))
}

fn push_text(cx: &CallContext, id: i32, key: &[u8], left: i32, value: &[u8]) -> f64 {
    with_dict(cx, id, -1.0, |dict| count(cx, dict.push(key, end(left), Value::Text(value), clock::epoch_ms())))
}

fn push_number(cx: &CallContext, id: i32, key: &[u8], left: i32, value: f64) -> f64 {
    with_dict(cx, id, -1.0, |dict| count(cx, dict.push(key, end(left), Value::Number(value), clock::epoch_ms())))
}

/// `shared_keys(id, max)`
fn keys(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let (id, max) = (stack.check_number(1, "get_keys")?, stack.check_number(2, "get_keys")?);
    let found = with_dict(cx, i32::saturated(id), Keys::default(), |dict| dict.keys(usize::saturated(max), clock::epoch_ms()));
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
        assert_eq!(evaluate(&format!("{made}:get('k')")), "nil bad \"zone\" argument");
    }

    #[test]
    fn what_is_refused_unseen_has_two_values() {
        let made = "ngx.shared[''](0)";
        let rows = [
            ("nil, 1", "nil key"),
            ("'', 1", "empty key"),
            ("('x'):rep(65536), 1", "key too long"),
            ("'k', {}", "bad value type"),
            ("'k', print", "bad value type"),
            ("'k', coroutine.create(print)", "bad value type"),
            ("'k', ngx.null", "bad value type"),
        ];
        for method in ["set", "add", "replace", "safe_set", "safe_add", "delete", "lpush", "rpush"] {
            for (arguments, why) in rows.iter().filter(|row| method != "delete" || row.1.contains("key")) {
                let call = format!("{made}:{method}({arguments})");
                assert_eq!(evaluate(&format!("select('#', {call}), {call}")), format!("2 nil {why}"), "{call}");
            }
        }
    }

    #[test]
    fn lists_count_and_check_their_arguments() {
        let rows = [
            ("lpush({}, 1)", "bad argument #1 to 'lpush' (string expected, got table)"),
            ("rpush(true, 1)", "bad argument #1 to 'rpush' (string expected, got boolean)"),
            ("lpop({})", "bad argument #1 to 'lpop' (string expected, got table)"),
            ("rpop(print)", "bad argument #1 to 'rpop' (string expected, got function)"),
            ("llen(true)", "bad argument #1 to 'llen' (string expected, got boolean)"),
            ("lpush('k')", "expecting 3 arguments, but only seen 2"),
            ("lpop()", "expecting 2 arguments, but only seen 1"),
            ("llen()", "expecting 2 arguments, but only seen 1"),
            ("llen('k', 1)", "expecting 2 arguments, but only seen 3"),
            ("get_keys(1, 2)", "expecting 1 or 2 argument(s), but saw 3"),
            ("get_keys('x')", "bad argument #1 to 'get_keys' (number expected, got string)"),
            ("flush_expired({})", "bad argument #1 to 'flush_expired' (number expected, got table)"),
            ("flush_expired(1, 2)", "expecting 1 or 2 argument(s), but saw 3"),
        ];
        for (call, why) in rows {
            let found = evaluate(&format!("select(2, pcall(function() local r = ngx.shared[''](0):{call} return r end))"));
            assert!(found.ends_with(why), "{call}: {found}");
        }
    }
}
