use super::*;
use crate::server::ServerState;
use net::address::SocketAddress;

fn server(port: u16, weight: i64) -> Server {
    Server { weight, ..Server::new(SocketAddress::from(std::net::SocketAddr::from(([127, 0, 0, 1], port)))) }
}

fn group(servers: Vec<Server>, balancing: Balancing) -> Group {
    Group::new(servers, balancing)
}

fn pick(group: &Group, seconds: u64) -> Option<u16> {
    let choice = group.next(&mut Selection::default(), seconds * 1000)?;
    group.release(&choice, Verdict::Good, Timing::default(), seconds * 1000);
    port(&choice)
}

fn fail(group: &Group, seconds: u64) -> (Option<u16>, bool) {
    let choice = group.next(&mut Selection::default(), seconds * 1000).unwrap();
    (port(&choice), group.release(&choice, Verdict::Failed, Timing::default(), seconds * 1000))
}

fn port(choice: &Choice) -> Option<u16> {
    choice.peer.server.name.rsplit(':').next()?.parse().ok()
}

fn keyed(group: &Group, key: &str) -> Option<u16> {
    let mut selection = Selection { key: key.as_bytes().to_vec(), ..Selection::default() };
    let choice = group.next(&mut selection, 0)?;
    group.release(&choice, Verdict::Good, Timing::default(), 0);
    port(&choice)
}

#[test]
fn weights_interleave_smoothly() {
    let group = group(vec![server(1, 5), server(2, 1), server(3, 1)], Balancing::RoundRobin);
    let order: Vec<_> = (0..7).filter_map(|_| pick(&group, 0)).collect();
    assert_eq!(order, [1, 1, 2, 1, 3, 1, 1]);
}

#[test]
fn a_request_tries_each_server_once_and_backups_last() {
    let all = || {
        let backup = Server { backup: true, ..server(3, 1) };
        let down = Server { state: ServerState::Down, ..server(4, 1) };
        let drain = Server { state: ServerState::Draining, ..server(5, 1) };
        vec![server(1, 1), backup, server(2, 1), down, drain]
    };
    let least_time = Balancing::LeastTime { measure: crate::Measure::Header, waiting: true };
    for balancing in [
        Balancing::RoundRobin,
        Balancing::LeastConnections,
        Balancing::IpHash,
        Balancing::Hash,
        Balancing::ConsistentHash,
        Balancing::Random,
        Balancing::RandomTwo(None),
        Balancing::RandomTwo(Some(crate::Measure::LastByte)),
        least_time,
    ] {
        let group = group(all(), balancing);
        assert_eq!(group.tries(), 3);
        let mut selection = Selection { key: b"key".to_vec(), ..Selection::default() };
        let mut order = Vec::new();
        while let Some(choice) = group.next(&mut selection, 0) {
            order.push(port(&choice).unwrap());
            group.release(&choice, Verdict::Neutral, Timing::default(), 0);
        }
        order[..2].sort_unstable();
        assert_eq!(order, [1, 2, 3], "{balancing:?}");
        assert!(group.snapshot().peers().all(|peer| peer.connections() == 0));
    }
}

#[test]
fn a_failing_server_rests_and_is_probed() {
    let group = group(vec![server(1, 1), server(2, 1)], Balancing::RoundRobin);
    assert_eq!(fail(&group, 100), (Some(1), true));
    for now in [100, 105, 110] {
        assert_eq!(pick(&group, now), Some(2), "{now}");
    }
    let later: Vec<_> = (0..4).filter_map(|_| pick(&group, 111)).collect();
    assert!(later.contains(&1), "{later:?}");
}

#[test]
fn a_single_server_is_never_marked() {
    let group = group(vec![server(1, 1)], Balancing::RoundRobin);
    assert_eq!(fail(&group, 1), (Some(1), false));
    assert_eq!(pick(&group, 1), Some(1));
}

#[test]
fn failures_below_the_limit_cost_weight_that_comes_back() {
    let heavy = Server { max_fails: 2, ..server(1, 4) };
    let group = group(vec![heavy, server(2, 1)], Balancing::RoundRobin);
    assert_eq!(fail(&group, 1), (Some(1), false));
    let peer = group.snapshot().primary.peers[0].clone();
    assert_eq!((peer.weight(1, 1000), peer.fails()), (2, 1));
    (0..2).for_each(|_| assert!(pick(&group, 1).is_some()));
    assert_eq!(peer.weight(1, 1000), 4);
}

#[test]
fn max_conns_bounds_and_least_connections_prefers_the_idle() {
    let group = group(vec![Server { max_conns: 1, ..server(1, 1) }, server(2, 1)], Balancing::LeastConnections);
    let held: Vec<_> = (0..3).map(|_| group.next(&mut Selection::default(), 0).unwrap()).collect();
    let ports: Vec<_> = held.iter().filter_map(port).collect();
    assert_eq!(ports, [1, 2, 2]);
}

#[test]
fn slow_start_gives_a_server_that_comes_back_its_weight_slowly() {
    let slow = Server { slow_start: 100_000, ..server(1, 1) };
    let group = group(vec![slow, server(2, 1)], Balancing::RoundRobin);
    let share = |from: u64| (0..100).filter(|_| pick(&group, from) == Some(1)).count();
    // From the start it has its weight: only who was away comes back.
    assert_eq!(share(1), 50);
    let peer = group.snapshot().primary.peers[0].clone();
    peer.set_standing(ServerState::Down, 2000);
    assert_eq!(share(2), 0);
    peer.set_standing(ServerState::Up, 1_000_000);
    // A tenth and half of its weight against one whole.
    let (tenth, half, whole) = (share(1010), share(1050), share(1100));
    assert!((7..=12).contains(&tenth) && (30..=36).contains(&half) && (49..=51).contains(&whole), "{tenth} {half} {whole}");
    // The same after failures: the first good answer of a probe begins it.
    while group.snapshot().primary.peers[0].fails() == 0 {
        let choice = group.next(&mut Selection::default(), 2_000_000).unwrap();
        let verdict = if port(&choice) == Some(1) { Verdict::Failed } else { Verdict::Good };
        group.release(&choice, verdict, Timing::default(), 2_000_000);
    }
    while group.snapshot().primary.peers[0].fails() != 0 {
        pick(&group, 2011);
    }
    let tenth = share(2021);
    assert!((7..=12).contains(&tenth), "{tenth}");
}

#[test]
fn a_bound_request_goes_to_its_server_unless_that_is_gone() {
    let balancings = [Balancing::RoundRobin, Balancing::LeastConnections, Balancing::Hash, Balancing::ConsistentHash, Balancing::Random];
    for balancing in balancings {
        let drain = Server { state: ServerState::Draining, route: Some("b".into()), ..server(2, 1) };
        let group = group(vec![server(1, 1), drain, server(3, 1)], balancing);
        for id in ["b", &server(3, 1).id()] {
            for _ in 0..5 {
                let mut selection = Selection { bound: id.into(), key: b"k".to_vec(), ..Selection::default() };
                let choice = group.next(&mut selection, 0).unwrap();
                assert_eq!(&*choice.peer.id, id, "{balancing:?}");
                group.release(&choice, Verdict::Good, Timing::default(), 0);
                // The next try of the same request goes elsewhere.
                let other = group.next(&mut selection, 0).unwrap();
                assert_ne!(&*other.peer.id, id);
                group.release(&other, Verdict::Good, Timing::default(), 0);
            }
        }
    }
    assert_eq!(&*server(1, 1).id(), "9b5cdbb1c3e1a06da4bf0789b25fe38a");
}

#[test]
fn ip_hash_is_stable_and_falls_back() {
    let group = group(vec![server(1, 1), server(2, 1), server(3, 1)], Balancing::IpHash);
    let first = keyed(&group, "\x7f\0\0");
    assert_eq!(first, keyed(&group, "\x7f\0\0"));
}

fn timed(group: &Group, choice: &Choice, header: u64, response: u64) {
    let times = Timing { header: Some(header), response: Some(response), connect: None };
    group.measure(choice, crate::Measure::Header, header, header);
    group.release(choice, Verdict::Good, times, response);
}

#[test]
fn chance_follows_weights_and_the_less_loaded_of_two_is_asked() {
    let of = |balancing| group(vec![server(1, 1), server(2, 3)], balancing);
    let random = of(Balancing::Random);
    let second = (0..4000).filter(|_| pick(&random, 0) == Some(2)).count();
    assert!((2700..3300).contains(&second), "{second}");
    for by in [None, Some(crate::Measure::Header)] {
        let two = of(Balancing::RandomTwo(by));
        let held: Vec<_> = (0..400).map(|_| two.next(&mut Selection::default(), 0).unwrap()).collect();
        let second = held.iter().filter(|choice| port(choice) == Some(2)).count();
        assert!((295..=305).contains(&second), "{second}");
    }
}

#[test]
fn the_server_that_is_done_first_is_next() {
    use crate::Measure::{Header, LastByte};
    for (measure, expected) in [(Header, 1), (LastByte, 2)] {
        let group = group(vec![server(1, 1), server(2, 1)], Balancing::LeastTime { measure, waiting: false });
        for _ in 0..2 {
            let choice = group.next(&mut Selection::default(), 0).unwrap();
            // The first is quick to begin, the second to end.
            let (header, response) = if port(&choice) == Some(1) { (10, 900) } else { (300, 310) };
            timed(&group, &choice, header, response);
        }
        let seen: Vec<_> = (0..4).filter_map(|_| pick(&group, 0)).collect();
        assert_eq!(seen, [expected; 4], "{measure:?}");
    }
}

#[test]
fn requests_that_wait_for_answers_make_a_server_slow() {
    let group = group(vec![server(1, 1), server(2, 1)], Balancing::LeastTime { measure: crate::Measure::Header, waiting: true });
    let first = group.next(&mut Selection::default(), 0).unwrap();
    assert_eq!(port(&first), Some(1));
    // Two seconds later the other is the better one, and goes on being it, although it gets more and more.
    let later: Vec<_> = (0..5).map(|_| group.next(&mut Selection::default(), 2000).unwrap()).collect();
    assert!(later.iter().all(|choice| port(choice) == Some(2)));
    let peer = first.peer.clone();
    assert_eq!(peer.get(crate::Counter::Waiting), 1);
    group.release(&first, Verdict::Failed, Timing::default(), 3000);
    assert_eq!((peer.get(crate::Counter::Waiting), peer.get(crate::Counter::HeaderTime)), (0, 0));
    later.iter().for_each(|choice| timed(&group, choice, 5, 9));
    assert!(group.snapshot().peers().all(|peer| peer.get(crate::Counter::Waiting) == 0 && peer.connections() == 0));
}
