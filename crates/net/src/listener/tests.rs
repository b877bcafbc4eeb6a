use super::*;
use socket2::{Domain, Protocol};
use std::net::{SocketAddr, TcpListener};

fn quiet(_: Level, _: &str) {}

fn local(port: u16) -> ListenSpec {
    ListenSpec::new(SocketAddress::Internet(SocketAddr::from(([127, 0, 0, 1], port))))
}

/// A port that was free a moment ago.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_reload_keeps_the_socket_and_closes_what_is_not_wanted() {
    let specs = [local(free_port()), local(free_port())];
    let mut listeners = Listeners::new();
    listeners.open(&specs, 1, Purpose::Serve, &mut quiet).unwrap();
    let kept = listeners.sockets[1].socket.as_raw_fd();
    listeners.open(&specs[1..], 1, Purpose::Serve, &mut quiet).unwrap();
    assert_eq!(listeners.len(), 1);
    assert_eq!(listeners.sockets[0].socket.as_raw_fd(), kept);
    assert_eq!(listeners.sockets[0].spec, Some(0));
}

#[test]
fn a_taken_port_is_tried_five_times_and_reported_in_nginxs_words() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mut lines = Vec::new();
    let mut listeners = Listeners::new();
    let result = listeners.open(&[local(port)], 1, Purpose::Serve, &mut |level, text| lines.push((level, text.to_owned())));
    assert_eq!(result, Err(OpenFailed));
    let line = (Level::Emerg, format!("bind() to 127.0.0.1:{port} failed (98: Address already in use)"));
    assert_eq!(lines.iter().filter(|one| **one == line).count(), 5);
    assert_eq!(lines.last().unwrap(), &(Level::Emerg, "still could not bind()".to_owned()));
    let mut none = |_: Level, text: &str| panic!("{text}");
    listeners.open(&[local(port)], 1, Purpose::Test, &mut none).unwrap();
    assert!(listeners.is_empty());
}

#[test]
fn reuseport_gives_each_worker_its_own() {
    let port = free_port();
    let specs = [ListenSpec { reuseport: true, ..local(port) }, local(free_port())];
    let mut listeners = Listeners::new();
    listeners.open(&specs, 3, Purpose::Serve, &mut quiet).unwrap();
    assert_eq!(listeners.len(), 4);
    let mine = listeners.into_worker(&specs, 2);
    assert_eq!(mine.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn handed_over_sockets_are_matched_by_address() {
    let spec = local(free_port());
    let mut listeners = Listeners::new();
    listeners.open(std::slice::from_ref(&spec), 1, Purpose::Serve, &mut quiet).unwrap();
    let value = listeners.hand_over().unwrap();
    // As after exec: the numbers have no owner in the new program.
    for held in listeners.sockets.drain(..) {
        let _ = std::os::fd::IntoRawFd::into_raw_fd(held.socket);
    }
    let mut successor = Listeners::inherit(&value, &mut quiet);
    assert!(successor.inherited());
    let number = successor.sockets[0].socket.as_raw_fd();
    assert_eq!(format!("{number};"), value);
    successor.open(std::slice::from_ref(&spec), 1, Purpose::Serve, &mut quiet).unwrap();
    assert_eq!(successor.sockets[0].socket.as_raw_fd(), number);
}

#[test]
fn a_bad_variable_is_reported_and_the_rest_ignored() {
    let mut lines = Vec::new();
    let got = Listeners::inherit("x;", &mut |level, _| lines.push(level));
    assert!(got.is_empty());
    let got = Listeners::inherit("99", &mut |level, _| lines.push(level));
    assert!(got.is_empty());
    assert_eq!(lines, [Level::Notice, Level::Emerg, Level::Notice, Level::Emerg]);
}

#[test]
fn a_unix_socket_is_open_to_all_and_removed_at_the_end() {
    use std::os::unix::fs::PermissionsExt;
    let path = std::env::temp_dir().join(format!("lunette-listen-{}.sock", std::process::id()));
    let spec = ListenSpec::new(SocketAddress::Unix(path.clone()));
    let mut listeners = Listeners::new();
    listeners.open(std::slice::from_ref(&spec), 1, Purpose::Test, &mut quiet).unwrap();
    assert!(!path.exists());
    let mut listeners = Listeners::new();
    listeners.open(&[spec], 1, Purpose::Serve, &mut quiet).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o666);
    listeners.close(true, &mut quiet);
    assert!(!path.exists());
}

#[test]
fn a_reload_may_turn_multipath_on_and_off() {
    if Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::MPTCP)).is_err() {
        // The kernel was built without it, or it is switched off.
        return;
    }
    let port = free_port();
    let mut listeners = Listeners::new();
    let mut none = |_: Level, text: &str| panic!("{text}");
    for multipath in [false, true, true, false] {
        let before = listeners.sockets.first().map(|held| (held.socket.as_raw_fd(), is_multipath(&held.socket)));
        let spec = ListenSpec { multipath, ..local(port) };
        listeners.open(std::slice::from_ref(&spec), 1, Purpose::Serve, &mut none).unwrap();
        assert_eq!(listeners.len(), 1);
        let held = &listeners.sockets[0];
        assert_eq!(is_multipath(&held.socket), multipath);
        assert_eq!(held.spec, Some(0));
        if let Some((number, was)) = before {
            assert_eq!(number == held.socket.as_raw_fd(), was == multipath, "what need not change stays");
        }
        std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    }
}
