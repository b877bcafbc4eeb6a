//! Picks of nginx 1.22 (Debian) and 1.31, recorded through `$upstream_addr`: the same requests go to the same servers.
#![allow(clippy::unwrap_used)]

use balance::{Balancing, Group, Selection, Server, ServerState, Timing, Verdict};
use md5::{Digest, Md5};
use net::address::SocketAddress;
use std::net::SocketAddr;

/// `hash $arg_k consistent` over the keys `key0`, `key1`, ….
const RING: &str = "ccccccaaabaaccaccaccucbccabbucaababccacccbccacacbcbccaabcaaacccccbbcccaacuuacacccabaacuaaaucaccacbccabcccabaca\
     accucuccccbcuccbcauaacccccaubbccucccaababuaaaccbccbaccacccbcacbbbccacucbuaccabccccacbbaccucaccaacuccuuaacaubbb\
     bcabuccbcabbbbcaaacaauccaacccacbaccccubcuaccucbbccccababcccbccbccccccacuaacacccuccbbccaccabcabauccccccccubcccb\
     bccucacccacauucucbuccuaaabacacaaubbaaucaccabauccbaaaacuccccbcbcauccuac";
/// `hash $arg_k` over the same keys.
const HASH: &str = "ccaccccccaaaabbaaaacaaaacccbaaaacbaacaaaaaaaacaccccaacaababcaaaacbaaaccbaccacabaaaaaaabccaaccaaaaaaccbaaacaccc\
     aaaaaacccaaccaacaaacaccccbccccacaaaccaacaccccccccaacabacacaaaaacaaacccacbaacaccbaaaaacaaccabacaacacabccaaaccab\
     abaabaacbcbaaaccacaaacaacaacaaaaaaaccbabacabbabacaccbaaaccaaaccaccababcaacacaaaacaacacaacaaccacccaababcaaaaaac\
     bccccacbacaacacaccbcaaacaccaccccacaabaaabaaaccccacbccaaaaaabcaacaacaac";
/// Round robin.
const TURNS: &str = "abdacabadbaabdacabadbaabdacabadbaabdacabadbaabdacabadbaabdacabadbaabdacabadbaabdacabadbaabdacabadbaa";
/// Round robin with a server `x` that is dead; what stands behind a slash is the next try.
const FAILING: &str = "a x/c a a x/c a x/a c a a x/c a a a c a a c a a a c a a c a a a c a a c a a a c a a c a a a c a a c a a a c a \
     a c a a a c a a c";
/// `ip_hash` for 1.0.0.9, 2.7.31.9, 3.14.62.9, ….
const NETWORKS: &str = "bdacdacdaacaacabddacdacaaacabdabdaacadacaaacabdabddacdacaabcabdacdaacaacaaaacabdabddacaacaabdabdacdaacaacaacda\
     abdacddacaacaabdacdacdaacaacabcdacdaccdaacaacabbdacdacdaacaacabddacdacaaaacaacabcdacdacdaaabdacdaacaacaacdabda\
     abddacaacaacdabdacdaacaacaacdacdacdadacaacaacdacdacdaacaacabcdacdacdaccabacaacda";

/// A server that the traces call by a letter.
fn server(source: &str, letter: &str, weight: i64) -> Server {
    let address = match source.strip_prefix("unix:") {
        Some(path) => SocketAddress::Unix(path.into()),
        None => SocketAddress::Internet(SocketAddr::from(([127, 0, 0, 1], 80))),
    };
    Server { source: source.into(), name: letter.into(), weight, ..Server::new(address) }
}

fn down(server: Server) -> Server {
    Server { state: ServerState::Down, ..server }
}

/// The servers that one request tries, the dead one in vain.
fn tries(group: &Group, key: &[u8]) -> String {
    let mut selection = Selection::default();
    selection.key.extend_from_slice(key);
    let mut text = String::new();
    loop {
        let choice = group.next(&mut selection, 0).unwrap();
        let name = choice.peer.server.name.clone();
        let verdict = if &*name == "x" { Verdict::Failed } else { Verdict::Good };
        group.release(&choice, verdict, Timing::default(), 0);
        text.push_str(&name);
        if verdict == Verdict::Good {
            return text;
        }
        text.push('/');
    }
}

/// The MD5 of a long trace.
fn digest(trace: &str) -> String {
    Md5::digest(trace.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn keys(group: &Group, count: usize) -> String {
    (0..count).map(|i| tries(group, format!("key{i}").as_bytes())).collect()
}

#[test]
fn keys_go_where_nginx_sends_them() {
    let ring = vec![
        server("127.0.0.1:18101", "a", 2),
        server("127.0.0.2:18101", "b", 1),
        server("localhost:18103", "c", 3),
        down(server("127.0.0.1:18104", "d", 1)),
        server("unix:/tmp/ngx/u.sock", "u", 1),
    ];
    let group = Group::new(ring, Balancing::ConsistentHash);
    assert_eq!(keys(&group, RING.len()), RING);
    assert_eq!(digest(&keys(&group, 3000)), "9546839525397cc9be3dd5f4c33bd27f");
    let plain = vec![
        server("127.0.0.1:18101", "a", 5),
        server("127.0.0.2:18101", "b", 1),
        server("127.0.0.1:18103", "c", 3),
        down(server("127.0.0.1:18104", "d", 1)),
    ];
    let group = Group::new(plain, Balancing::Hash);
    assert_eq!(keys(&group, HASH.len()), HASH);
    assert_eq!(digest(&keys(&group, 3000)), "30ca8b27b8661f35af48e57602fc6f90");
}

#[test]
fn turns_are_nginxs() {
    let all = vec![server("a", "a", 5), server("b", "b", 3), server("c", "c", 1), server("d", "d", 2)];
    let group = Group::new(all, Balancing::RoundRobin);
    assert_eq!(TURNS.chars().map(|_| tries(&group, b"")).collect::<String>(), TURNS);
    let rest: String = (TURNS.len()..1000).map(|_| tries(&group, b"")).collect();
    assert_eq!(digest(&format!("{TURNS}{rest}")), "081e0826892aef0b042dbf5ad4c85371");
}

/// Of a thousand requests, some are bound to `a`, `b`, `c` or `d`.
fn bound(i: usize) -> &'static str {
    let letters = [(11, "a"), (5, "b"), (3, "c"), (7, "d")];
    letters.iter().find(|(step, _)| i.is_multiple_of(*step)).map_or("", |(_, letter)| letter)
}

#[test]
fn bound_requests_change_the_turns_of_others_as_in_nginx() {
    let all = |last| {
        let weights = [("a", 5), ("b", 3), ("c", 1), ("d", 2)];
        let servers = weights.map(|(letter, weight)| Server { route: Some(letter.into()), ..server(letter, letter, weight) });
        servers.map(|server| if &*server.name == "d" { Server { state: last, ..server } } else { server }).to_vec()
    };
    for (balancing, last, expected) in [
        (Balancing::RoundRobin, ServerState::Draining, "6b85d65f0040c4823dbdfe677039136a"),
        (Balancing::LeastConnections, ServerState::Up, "5f3a14a4df6713ece8cd614797094fba"),
    ] {
        let group = Group::new(all(last), balancing);
        let pick = |i: usize| {
            let mut selection = Selection::default();
            selection.bound.extend_from_slice(bound(i).as_bytes());
            let choice = group.next(&mut selection, 0).unwrap();
            group.release(&choice, Verdict::Good, Timing::default(), 0);
            choice.peer.server.name.to_string()
        };
        assert_eq!(digest(&(0..1000).map(pick).collect::<String>()), expected, "{balancing:?}");
    }
}

#[test]
fn failures_cost_turns_as_in_nginx() {
    let dead = Server { max_fails: 4, fail_timeout: 3600, ..server("x", "x", 4) };
    let group = Group::new(vec![server("a", "a", 5), dead, server("c", "c", 2)], Balancing::RoundRobin);
    let seen: Vec<_> = FAILING.split(' ').map(|_| tries(&group, b"")).collect();
    assert_eq!(seen.join(" "), FAILING);
}

#[test]
fn networks_go_where_nginx_sends_them() {
    let all = vec![server("a", "a", 5), server("b", "b", 1), server("c", "c", 3), server("d", "d", 2)];
    let group = Group::new(all, Balancing::IpHash);
    let seen = (0..NETWORKS.len()).map(|i| tries(&group, &[1 + (i % 200) as u8, (i * 7) as u8, (i * 31) as u8]));
    assert_eq!(seen.collect::<String>(), NETWORKS);
}
