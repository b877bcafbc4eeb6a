//! Groups in a zone that several processes share, killed at any moment.
#![allow(clippy::unwrap_used)]

use balance::{Balancing, Counter, Group, Resolved, Selection, Server, SharedPeers, Template, Timing, Update, Verdict};
use net::address::SocketAddress;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use shm::Zone;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;
use sys::process::{Fork, exit_now, fork};

fn zone() -> Rc<SharedPeers> {
    Rc::new(SharedPeers::new(Rc::new(Zone::new("z", balance::shared::OWNER, shm::zone::MIN_SIZE).unwrap())))
}

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, last], 80))
}

fn server(last: u8) -> Server {
    Server::new(SocketAddress::Internet(address(last)))
}

fn group(peers: &Rc<SharedPeers>, servers: Vec<Server>, templates: Vec<Template>, balancing: Balancing) -> Group {
    Group::shared("g".into(), servers, templates, peers, balancing).unwrap()
}

fn template(service: bool) -> Template {
    Template { id: 0, server: server(99), host: "name".into(), service: service.then(|| "http".into()), port: 8080 }
}

fn found(last: u8) -> Resolved {
    Resolved { address: address(last), target: None, weight: 1, backup: false }
}

fn child(work: impl FnOnce()) -> Pid {
    match fork().unwrap() {
        Fork::Parent(child) => Pid::from_raw(child),
        Fork::Child => {
            shm::lock::after_fork();
            work();
            exit_now(0);
        }
    }
}

/// Takes and gives servers for ever, and holds some.
fn work(group: &Group, peers: &SharedPeers, number: usize) {
    peers.start_worker(number);
    let mut held = Vec::new();
    loop {
        if let Some(choice) = group.next(&mut Selection::default(), 0) {
            held.push(choice);
        }
        if held.len() > 2 || held.len() == 2 && group.next(&mut Selection::default(), 0).map(|c| held.push(c)).is_none() {
            let choice = held.remove(0);
            group.release(&choice, Verdict::Good, Timing::default(), 0);
        }
    }
}

#[test]
fn workers_that_are_killed_leave_no_connections_behind() {
    let peers = zone();
    let servers = (1..=3).map(|last| Server { max_conns: 5, weight: i64::from(last), ..server(last) }).collect();
    let group = group(&peers, servers, Vec::new(), Balancing::RoundRobin);
    let start = |number| child(|| work(&group, &peers, number));
    let mut workers: Vec<Pid> = (0..3).map(start).collect();
    for round in 0..30 {
        std::thread::sleep(Duration::from_millis(2));
        let number = round % 3;
        kill(workers[number], Signal::SIGKILL).unwrap();
        let status = waitpid(workers[number], None).unwrap();
        assert!(matches!(status, nix::sys::wait::WaitStatus::Signaled(_, Signal::SIGKILL, _)), "{status:?}");
        workers[number] = start(number);
    }
    for worker in workers {
        kill(worker, Signal::SIGKILL).unwrap();
        waitpid(worker, None).unwrap();
    }
    assert!(group.snapshot().peers().any(|peer| peer.connections() > 0));
    assert!(group.snapshot().peers().all(|peer| peer.connections() <= 5 + 3));
    // Their successors begin anew.
    (0..3).for_each(|number| peers.start_worker(number));
    assert!(group.snapshot().peers().all(|peer| peer.connections() == 0));
    // And turns are still in proportion to weights: each kill cost one pick at most.
    let mut counts = [0; 3];
    for _ in 0..6000 {
        let choice = group.next(&mut Selection::default(), 0).unwrap();
        counts[(choice.peer.server.weight - 1) as usize] += 1;
        group.release(&choice, Verdict::Good, Timing::default(), 0);
    }
    assert!(counts.iter().zip([1000, 2000, 3000]).all(|(count, share): (&i64, i64)| (count - share).abs() < 100), "{counts:?}");
}

#[test]
fn all_workers_see_failures_and_connections() {
    let peers = zone();
    let servers = vec![Server { max_conns: 1, ..server(1) }, server(2)];
    let group = group(&peers, servers, Vec::new(), Balancing::LeastConnections);
    let one = child(|| {
        peers.start_worker(0);
        let choice = group.next(&mut Selection::default(), 1000).unwrap();
        group.release(&choice, Verdict::Failed, Timing::default(), 1000);
        std::mem::forget(group.next(&mut Selection::default(), 1000));
    });
    waitpid(one, None).unwrap();
    let state: Vec<_> = group.snapshot().peers().map(|peer| (peer.fails(), peer.connections())).collect();
    assert_eq!(state, [(1, 0), (0, 1)]);
    peers.start_worker(0);
    assert!(group.snapshot().peers().all(|peer| peer.connections() == 0));
}

#[test]
fn addresses_come_and_go_for_all_workers() {
    let peers = zone();
    let group = group(&peers, vec![server(1)], vec![template(false)], Balancing::RoundRobin);
    let names = |group: &Group| group.snapshot().peers().map(|peer| peer.server.name.to_string()).collect::<Vec<_>>();
    assert_eq!((names(&group), group.is_single()), (vec!["127.0.0.1:80".to_owned()], true));
    let asker = child(|| assert!(group.update(1, &[found(2), found(3)], 5000).changed));
    waitpid(asker, None).unwrap();
    assert_eq!(names(&group), ["127.0.0.1:80", "127.0.0.2:8080", "127.0.0.3:8080"]);
    assert_eq!(group.valid_ms(1), 5000);
    // Who chooses now goes on among these, whatever comes.
    let mut selection = Selection::default();
    let choice = group.next(&mut selection, 0).unwrap();
    let kept = group.snapshot().peers().find(|peer| peer.server.name.starts_with("127.0.0.3")).unwrap().clone();
    kept.counters().set(Counter::Fails, 7);
    assert_eq!(group.update(1, &[found(3), found(4)], 6000), Update { changed: true, full: false });
    assert_eq!(names(&group), ["127.0.0.1:80", "127.0.0.3:8080", "127.0.0.4:8080"]);
    let now = group.snapshot().peers().find(|peer| peer.server.name.starts_with("127.0.0.3")).unwrap().clone();
    assert!(Rc::ptr_eq(&kept, &now) && now.fails() == 7);
    let others = [group.next(&mut selection, 0).unwrap(), choice];
    assert!(others.iter().any(|choice| &*choice.peer.server.name == "127.0.0.2:8080"));
    others.iter().for_each(|choice| assert!(!group.release(choice, Verdict::Good, Timing::default(), 0)));
    assert_eq!(group.update(1, &[found(4), found(3)], 7000), Update::default());
    assert_eq!(group.valid_ms(1), 7000);
    group.update(1, &[], 8000);
    assert_eq!(names(&group), ["127.0.0.1:80"]);
}

#[test]
fn a_full_zone_says_so_and_room_is_used_again() {
    let peers = zone();
    let group = group(&peers, vec![server(1)], vec![template(false)], Balancing::Random);
    let many: Vec<Resolved> = (1..=200).map(found).collect();
    assert_eq!(group.update(1, &many, 0), Update { changed: true, full: true });
    let count = group.snapshot().peers().count();
    assert!((30..100).contains(&count), "{count}");
    for round in 0..5 {
        let some: Vec<Resolved> = (round * 20..round * 20 + 20).map(found).collect();
        assert_eq!(group.update(1, &some, 0), Update { changed: true, full: false });
        assert_eq!(group.snapshot().peers().count(), 21);
    }
    let servers: Vec<Server> = (1..=200).map(server).collect();
    assert!(Group::shared("other".into(), servers, Vec::new(), &peers, Balancing::Random).is_none());
}

#[test]
fn a_service_tells_ports_weights_and_backups_and_lives_on_over_a_reload() {
    let peers = zone();
    let old = group(&peers, Vec::new(), vec![template(true)], Balancing::RoundRobin);
    let told = |last, weight, backup| Resolved { target: Some("t".into()), weight, backup, ..found(last) };
    old.update(0, &[told(1, 3, false), told(2, 0, true)], 9000);
    let state = |group: &Group| {
        let all = group.snapshot();
        all.peers().map(|peer| (peer.server.name.to_string(), peer.server.weight, peer.server.backup)).collect::<Vec<_>>()
    };
    let expected = [("127.0.0.1:80".to_owned(), 3, false), ("127.0.0.2:80".to_owned(), 1, true)];
    assert_eq!(state(&old), expected);
    let next = zone();
    let new = group(&next, vec![], vec![template(false), template(true)], Balancing::RoundRobin);
    new.inherit(&peers);
    assert_eq!(state(&new), expected);
    assert_eq!((new.valid_ms(0), new.valid_ms(1)), (0, 9000));
    assert_eq!(new.update(1, &[told(1, 3, false), told(2, 0, true)], 1), Update::default());
}
