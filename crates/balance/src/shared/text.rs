//! A member as words and bytes of its record.

use super::{SharedPeers, at};
use crate::member::{Identity, Member, Name};
use crate::server::{Server, ServerState};
use net::address::SocketAddress;
use std::rc::Rc;
use std::sync::atomic::Ordering::Relaxed;

/// Bytes for all texts of a record: address or name, how it is written, route or service.
pub(super) const SIZE: usize = 320;

const BACKUP: u64 = 1;
const IS_NAME: u64 = 1 << 1;
const HAS_SERVICE: u64 = 1 << 2;
const STANDING: u32 = 3;

/// Address or name, how it is written, route; the service of a name takes the route's place only where there is none.
fn texts(member: &Member) -> [&str; 4] {
    let (first, service) = match &member.name {
        Some(name) => (&*name.host, name.service.as_deref().unwrap_or_default()),
        None => (&*member.server.name, ""),
    };
    // What is written as it is called needs no second text.
    let source = if *member.server.source == *first { "" } else { &member.server.source };
    [first, source, member.server.route.as_deref().unwrap_or_default(), service]
}

/// Whether there is room for what it says.
pub(super) fn fits(member: &Member) -> bool {
    texts(member).iter().map(|text| text.len()).sum::<usize>() <= SIZE
}

impl SharedPeers {
    /// Writes a member's words; false: its texts are too long.
    pub(super) fn encode(&self, record: usize, member: &Member) -> bool {
        let (server, texts) = (&member.server, texts(member));
        let standing = match server.state {
            ServerState::Up => 0,
            ServerState::Draining => 1,
            ServerState::Down => 2,
        };
        let service = member.name.as_ref().is_some_and(|name| name.service.is_some());
        let flag = |on, bit| if on { bit } else { 0 };
        let flags = flag(server.backup, BACKUP) | flag(member.name.is_some(), IS_NAME) | flag(service, HAS_SERVICE) | standing << STANDING;
        let lengths = texts.iter().rev().fold(0, |all, text| all << 16 | text.len() as u64);
        let words = [
            (at::ID, member.id),
            (at::PARENT, member.parent.map_or(0, |id| id + 1)),
            (at::NAME, member.of_name),
            (at::PORT, member.name.as_ref().map_or(0, |name| u64::from(name.port))),
            (at::WEIGHT, server.weight.unsigned_abs()),
            (at::MAX_CONNS, server.max_conns),
            (at::MAX_FAILS, server.max_fails),
            (at::FAIL_TIMEOUT, server.fail_timeout.unsigned_abs()),
            (at::SLOW_START, server.slow_start),
            (at::FLAGS, flags),
            (at::VALID, member.valid_ms),
            (at::LENGTHS, lengths),
        ];
        for (i, value) in words {
            self.word(record, i).store(value, Relaxed);
        }
        fits(member) && self.records.write(record, at::TEXT, texts.concat().as_bytes())
    }

    /// What a record's words say.
    pub(super) fn decode(&self, record: usize, identity: Identity) -> Option<Member> {
        let get = |i| self.word(record, i).load(Relaxed);
        let (lengths, flags) = (get(at::LENGTHS), get(at::FLAGS));
        let length = |i: u32| (lengths >> (16 * i) & 0xffff) as usize;
        let bytes = self.records.read(record, at::TEXT, (0..4).map(length).sum())?;
        let mut rest = std::str::from_utf8(&bytes).ok()?;
        let mut next = |i| {
            let (text, others) = rest.split_at_checked(length(i))?;
            rest = others;
            Some(text)
        };
        let [first, source, route, service] = [next(0)?, next(1)?, next(2)?, next(3)?];
        let is_name = flags & IS_NAME != 0;
        let address = if is_name { SocketAddress::Unix(Default::default()) } else { address(first)? };
        let name = is_name.then(|| Name {
            host: first.into(),
            service: (flags & HAS_SERVICE != 0).then(|| service.into()),
            port: u16::try_from(get(at::PORT)).unwrap_or(0),
        });
        let called: Rc<str> = first.into();
        let server = Server {
            source: if source.is_empty() { called.clone() } else { source.into() },
            name: called,
            weight: i64::try_from(get(at::WEIGHT)).ok()?,
            max_fails: get(at::MAX_FAILS),
            fail_timeout: i64::try_from(get(at::FAIL_TIMEOUT)).ok()?,
            max_conns: get(at::MAX_CONNS),
            slow_start: get(at::SLOW_START),
            backup: flags & BACKUP != 0,
            state: match flags >> STANDING {
                0 => ServerState::Up,
                1 => ServerState::Draining,
                _ => ServerState::Down,
            },
            route: (!route.is_empty()).then(|| route.into()),
            ..Server::new(address)
        };
        let parent = get(at::PARENT).checked_sub(1);
        Some(Member { id: get(at::ID), parent, server, name, identity, of_name: get(at::NAME), valid_ms: get(at::VALID) })
    }
}

fn address(text: &str) -> Option<SocketAddress> {
    match text.strip_prefix("unix:") {
        Some(path) => Some(SocketAddress::Unix(path.into())),
        None => text.parse().ok().map(SocketAddress::Internet),
    }
}
