use super::*;
use net::address::Address;

fn server(port: u16, weight: i64) -> Server {
    Server { weight, ..Server::new(Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], port)))) }
}

fn pick(group: &Group, now: i64) -> Option<u16> {
    let mut selection = Selection::default();
    selection.reset(group.tries());
    let peer = group.next(&mut selection, now)?;
    group.release(&peer, Verdict::Good, now);
    port(&peer)
}

fn port(peer: &Peer) -> Option<u16> {
    peer.server.name.rsplit(':').next()?.parse().ok()
}

#[test]
fn weights_interleave_smoothly() {
    let group = Group::new(vec![server(1, 5), server(2, 1), server(3, 1)], Policy::RoundRobin);
    let order: Vec<_> = (0..7).filter_map(|_| pick(&group, 0)).collect();
    assert_eq!(order, [1, 1, 2, 1, 3, 1, 1]);
}

#[test]
fn a_request_tries_each_server_once_and_backups_last() {
    let backup = Server { backup: true, ..server(3, 1) };
    let down = Server { down: true, ..server(4, 1) };
    let group = Group::new(vec![server(1, 1), backup, server(2, 1), down], Policy::RoundRobin);
    assert_eq!(group.tries(), 3);
    let mut selection = Selection::default();
    selection.reset(3);
    let mut order = Vec::new();
    while let Some(peer) = group.next(&mut selection, 0) {
        order.push(port(&peer).unwrap());
        group.release(&peer, Verdict::Neutral, 0);
    }
    assert_eq!(order, [1, 2, 3]);
}

#[test]
fn a_failing_server_rests_and_is_probed() {
    let group = Group::new(vec![server(1, 1), server(2, 1)], Policy::RoundRobin);
    let mut selection = Selection::default();
    selection.reset(2);
    let first = group.next(&mut selection, 100).unwrap();
    assert_eq!(port(&first), Some(1));
    assert!(group.release(&first, Verdict::Failed, 100));
    for now in [100, 105, 110] {
        assert_eq!(pick(&group, now), Some(2), "{now}");
    }
    let later: Vec<_> = (0..4).filter_map(|_| pick(&group, 111)).collect();
    assert!(later.contains(&1), "{later:?}");
}

#[test]
fn a_single_server_is_never_marked() {
    let group = Group::new(vec![server(1, 1)], Policy::RoundRobin);
    let mut selection = Selection::default();
    selection.reset(1);
    let peer = group.next(&mut selection, 1).unwrap();
    assert!(!group.release(&peer, Verdict::Failed, 1));
    assert_eq!(pick(&group, 1), Some(1));
}

#[test]
fn max_conns_bounds_and_least_connections_prefers_the_idle() {
    let group = Group::new(vec![Server { max_conns: 1, ..server(1, 1) }, server(2, 1)], Policy::LeastConnections);
    let held: Vec<_> = (0..3)
        .map(|_| {
            let mut selection = Selection::default();
            selection.reset(2);
            group.next(&mut selection, 0).unwrap()
        })
        .collect();
    let ports: Vec<_> = held.iter().filter_map(|p| port(p)).collect();
    assert_eq!(ports, [1, 2, 2]);
}

#[test]
fn ip_hash_is_stable_and_falls_back() {
    let group = Group::new(vec![server(1, 1), server(2, 1), server(3, 1)], Policy::IpHash);
    let mut selection = Selection::default();
    let mut choose = || {
        selection.reset(3);
        selection.key = Some(vec![127, 0, 0]);
        let peer = group.next(&mut selection, 0).unwrap();
        group.release(&peer, Verdict::Good, 0);
        port(&peer)
    };
    assert_eq!(choose(), choose());
}
