//! `ngx.upstream`: upstream groups and the health of their peers (lua-upstream-nginx-module).

use crate::host::Host;
use balance::{Counter, Health, Peer, ServerState};
use base::clock;
use base::saturated::Saturated;
use lua::{CallContext, Group, PhaseSet, Raise, Row, Stack};
use lua_lib::Runtime;
use std::cell::RefCell;
use std::rc::Rc;
use upstream::directory::{Directory, Named};

/// The part's rows and glue.
#[must_use]
pub fn group() -> Group {
    let all = PhaseSet::EVERYWHERE;
    Group {
        name: "ngx.upstream",
        rows: vec![
            Row::calls("upstream_names", all, get_upstreams),
            Row::calls("upstream_servers", all, get_servers),
            Row::calls("upstream_primary", all, |cx, stack| get_peers(cx, stack, "get_primary_peers", false)),
            Row::calls("upstream_backup", all, |cx, stack| get_peers(cx, stack, "get_backup_peers", true)),
            Row::calls("upstream_set_down", all, set_peer_down),
            Row::calls("upstream_current", all, current_upstream_name),
        ],
        glue: include_str!("upstream.lua"),
    }
}

/// The groups of the configuration that the code belongs to.
fn directory(cx: &CallContext) -> Result<Directory, Raise> {
    let host = cx.host::<Host>().ok_or(Raise::fixed("no request found"))?;
    let http = match (&host.session, &host.worker) {
        (Some(request), _) => request.http.clone(),
        (None, Some(worker)) => worker.http(),
        (None, None) => return Ok(host.runtime.state::<Loaded>().0.borrow().clone()),
    };
    Ok(http.main.get::<Directory>().cloned().unwrap_or_default())
}

/// The groups that code sees which runs before there are workers.
#[derive(Default)]
struct Loaded(RefCell<Directory>);

/// Shows the groups of a configuration to its `init_by_lua*`.
pub(crate) fn load(http: &http::Http, runtime: &Runtime) {
    let groups = http.main.get::<Directory>().cloned().unwrap_or_default();
    runtime.state::<Loaded>().0.replace(groups);
}

fn exactly(stack: &Stack<'_>, count: usize, text: &'static str) -> Result<(), Raise> {
    if stack.top() == count { Ok(()) } else { Err(Raise::fixed(text)) }
}

const ONE: &str = "exactly one argument expected";

fn push_error(stack: &mut Stack<'_>, why: &str) -> usize {
    stack.push_nil();
    stack.push_bytes(why.as_bytes());
    2
}

fn get_upstreams(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    exactly(stack, 0, "no argument expected")?;
    let all = directory(cx)?.all();
    stack.push_table(all.len(), 0);
    let table = stack.top();
    for (index, named) in all.iter().enumerate() {
        stack.push_bytes(named.full_name().as_bytes());
        stack.set_item(table, index + 1);
    }
    Ok(1)
}

/// The group that the first argument names.
fn named(cx: &CallContext, stack: &Stack<'_>, function: &str) -> Result<Option<Named>, Raise> {
    let name = stack.check_bytes(1, function)?;
    Ok(directory(cx)?.find(name))
}

fn put_number(stack: &mut Stack<'_>, table: usize, key: &str, value: i64) {
    stack.push_number(value as f64);
    stack.set_field(table, key.as_bytes());
}

fn put_true(stack: &mut Stack<'_>, table: usize, key: &str) {
    stack.push_bool(true);
    stack.set_field(table, key.as_bytes());
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// One table for each `server`: those with fixed addresses, then those whose names are looked up while requests run.
fn get_servers(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    exactly(stack, 1, ONE)?;
    let Some(named) = named(cx, stack, "get_servers")? else { return Ok(push_error(stack, "upstream not found")) };
    if named.group.is_edited() {
        return Ok(edited_servers(&named, stack));
    }
    // What a URL stands for has no `server` that says anything.
    let written = named.port.is_none();
    let mut rest = named.group.fixed();
    stack.push_table(named.lines.len(), 0);
    let table = stack.top();
    let mut index = 1;
    for &count in &*named.lines {
        let (own, others) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        rest = others;
        let Some(first) = own.first() else { continue };
        let addresses: Vec<&str> = own.iter().map(|peer| &*peer.server.name).collect();
        push_server(stack, &first.server, &addresses, written);
        stack.set_item(table, index);
        index += 1;
    }
    for template in named.group.snapshot().names() {
        push_server(stack, &template.server, &[], true);
        stack.set_item(table, index);
        index += 1;
    }
    Ok(1)
}

/// The servers of a group that was changed: one table for each, names too.
fn edited_servers(named: &Named, stack: &mut Stack<'_>) -> usize {
    let members = named.group.members();
    stack.push_table(members.len(), 0);
    let table = stack.top();
    for (index, member) in members.iter().filter(|member| member.parent.is_none()).enumerate() {
        let addresses: &[&str] = if member.name.is_some() { &[] } else { &[&*member.server.name] };
        let server = balance::Server { state: named.group.state(member), ..member.server.clone() };
        push_server(stack, &server, addresses, true);
        stack.set_item(table, index + 1);
    }
    1
}

fn push_server(stack: &mut Stack<'_>, server: &balance::Server, addresses: &[&str], written: bool) {
    stack.push_table(0, 7);
    let table = stack.top();
    if written {
        stack.put_field(table, b"name", server.source.as_bytes());
    }
    match addresses {
        [one] => stack.push_bytes(one.as_bytes()),
        many => {
            stack.push_table(many.len(), 0);
            let list = stack.top();
            for (index, address) in many.iter().enumerate() {
                stack.push_bytes(address.as_bytes());
                stack.set_item(list, index + 1);
            }
        }
    }
    stack.set_field(table, b"addr");
    for (key, value) in [("weight", server.weight), ("max_fails", signed(server.max_fails)), ("fail_timeout", server.fail_timeout)] {
        put_number(stack, table, key, if written { value } else { 0 });
    }
    if server.backup {
        put_true(stack, table, "backup");
    }
    if server.state == ServerState::Down {
        put_true(stack, table, "down");
    }
}

/// The primary peers of a group, or its backups.
fn peers(named: &Named, backup: bool) -> Vec<Rc<Peer>> {
    named.group.snapshot().peers().filter(|peer| peer.server.backup == backup).cloned().collect()
}

fn get_peers(cx: &CallContext, stack: &mut Stack<'_>, function: &str, backup: bool) -> Result<usize, Raise> {
    exactly(stack, 1, ONE)?;
    let Some(named) = named(cx, stack, function)? else { return Ok(push_error(stack, "upstream not found")) };
    let peers = peers(&named, backup);
    stack.push_table(peers.len(), 0);
    let table = stack.top();
    for (id, peer) in peers.iter().enumerate() {
        push_peer(stack, peer, signed(id as u64));
        stack.set_item(table, id + 1);
    }
    Ok(1)
}

/// Seconds since the epoch for seconds on the monotonic clock.
fn epoch(monotonic: i64) -> i64 {
    signed(clock::epoch_ms() / 1000) - signed(clock::monotonic_ms() / 1000) + monotonic
}

fn push_peer(stack: &mut Stack<'_>, peer: &Peer, id: i64) {
    let (server, numbers) = (&peer.server, peer.counters());
    stack.push_table(0, 12);
    let table = stack.top();
    stack.put_field(table, b"name", server.name.as_bytes());
    for (key, value) in [
        ("id", id),
        ("weight", server.weight),
        ("current_weight", numbers.get(Counter::Turn)),
        ("effective_weight", server.weight - numbers.get(Counter::Lost)),
        ("conns", signed(peer.connections())),
        ("fails", signed(peer.fails())),
        ("max_fails", signed(server.max_fails)),
        ("fail_timeout", server.fail_timeout),
    ] {
        put_number(stack, table, key, value);
    }
    for (key, counter) in [("accessed", Counter::Failed), ("checked", Counter::Checked)] {
        let when = numbers.get(counter);
        if when != 0 {
            put_number(stack, table, key, epoch(when));
        }
    }
    // Whom health checks keep out is down for those who look, whatever was set.
    if peer.state() == ServerState::Down || peer.health() != Health::Good {
        put_true(stack, table, "down");
    }
}

/// With `zone` for all workers, otherwise for this one.
fn set_peer_down(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    exactly(stack, 4, "exactly 4 arguments expected")?;
    let Some(named) = named(cx, stack, "set_peer_down")? else { return Ok(push_error(stack, "upstream not found")) };
    let (backup, down) = (stack.truthy(2), stack.truthy(4));
    let peers = peers(&named, backup);
    if backup && peers.is_empty() {
        return Ok(push_error(stack, "no backup peers"));
    }
    let id = stack.check_number(3, "set_peer_down")?;
    let Some(peer) = (id >= 0.0).then(|| peers.get(usize::saturated(id))).flatten() else { return Ok(push_error(stack, "bad peer id")) };
    peer.set_standing(if down { ServerState::Down } else { ServerState::Up }, clock::monotonic_ms());
    if !down {
        peer.counters().set(Counter::Fails, 0);
    }
    stack.push_bool(true);
    Ok(1)
}

fn current_upstream_name(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let host = cx.host::<Host>();
    let request = host.as_ref().and_then(|host| host.session.as_ref()).ok_or(Raise::fixed("no request object found"))?;
    match &*request.upstream.borrow() {
        Some(name) => stack.push_bytes(name.as_bytes()),
        None => stack.push_nil(),
    }
    Ok(1)
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn outside_of_requests() {
        // The place that Lua puts before a message is the caller's.
        let error = |call: &str| {
            let text = evaluate(&format!("select(2, pcall(function() require('ngx.upstream').{call} end))"));
            text.rsplit(": ").next().unwrap_or_default().to_owned()
        };
        assert_eq!(error("get_upstreams(1)"), "no argument expected");
        assert_eq!(error("get_servers()"), "exactly one argument expected");
        assert_eq!(error("set_peer_down('a')"), "exactly 4 arguments expected");
        assert_eq!(error("current_upstream_name()"), "no request object found");
    }
}
