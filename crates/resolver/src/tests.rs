mod forged;

use super::*;
use std::future::Future;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

/// What a test's server does with one question.
enum Does {
    Addresses(Vec<[u8; 4]>),
    Alias(&'static [u8]),
    /// Priority, weight, port and host.
    Service(u8, u8, u8, &'static [u8]),
    Code(u8),
    Truncates,
    Guesses,
    Keeps,
}

/// The answer to a question, with flags and records of `does`.
fn answer(query: &[u8], does: &Does) -> Vec<u8> {
    let mut out = query.to_vec();
    out[2] = 0x81;
    let record = |out: &mut Vec<u8>, kind: u8, data: &[u8]| {
        out.extend_from_slice(&[0xc0, 12, 0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
        out.extend_from_slice(data);
        out[7] += 1;
    };
    match does {
        Does::Addresses(list) => list.iter().for_each(|address| record(&mut out, 1, address)),
        Does::Alias(name) => record(&mut out, 5, name),
        Does::Service(priority, weight, port, host) => {
            record(&mut out, 33, &[&[0, *priority, 0, *weight, 0, *port], *host].concat());
        }
        Does::Code(code) => out[3] = 0x80 | code,
        Does::Truncates => out[2] |= 2,
        Does::Guesses => {
            out[0] ^= 0x55;
            record(&mut out, 1, &[6, 6, 6, 6]);
        }
        Does::Keeps => {}
    }
    out
}

/// A server on a port of its own; `does` sees the name's first label and how many questions came before.
async fn server(does: impl Fn(&[u8], usize) -> Vec<Does> + 'static) -> (SocketAddr, Rc<Cell<usize>>) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    let seen = Rc::new(Cell::new(0));
    let count = seen.clone();
    tokio::task::spawn_local(async move {
        let mut packet = [0; 600];
        loop {
            let (length, from) = socket.recv_from(&mut packet).await.unwrap();
            let query = packet[..length].to_vec();
            let all = does(&query[13..13 + usize::from(query[12])], count.get());
            count.set(count.get() + 1);
            for what in all.iter().filter(|what| !matches!(what, Does::Keeps)) {
                socket.send_to(&answer(&query, what), from).await.unwrap();
            }
        }
    });
    (address, seen)
}

fn run(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}

fn resolver(servers: Vec<SocketAddr>) -> Rc<Resolver> {
    Rc::new(Resolver::new(Settings { servers, ipv6: false, ..Settings::default() }))
}

const SECOND: Duration = Duration::from_secs(1);
const SHORT: Duration = Duration::from_millis(60);

fn texts(addresses: &Addresses) -> Vec<String> {
    addresses.iter().map(|address| address.to_string()).collect()
}

#[test]
fn callers_share_a_question_and_take_turns_with_the_answer() {
    run(async {
        let (address, seen) = server(|_, _| vec![Does::Addresses(vec![[10, 0, 0, 1], [10, 0, 0, 2]])]).await;
        let resolver = resolver(vec![address]);
        assert!(resolver.known(b"a.test").is_none());
        let (one, two, gone) = tokio::join!(
            resolver.resolve(b"a.test", SECOND),
            resolver.resolve(b"A.TEST.", SECOND),
            net::time::timeout(Duration::ZERO, resolver.resolve(b"a.test", SECOND)),
        );
        let (one, two) = (texts(&one.unwrap()), texts(&two.unwrap()));
        assert!(gone.is_err() || gone.unwrap().is_ok());
        assert_eq!(seen.get(), 1);
        let three = texts(&resolver.known(b"a.test").unwrap());
        let four = texts(&resolver.known(b"a.test").unwrap());
        assert_ne!(three[0], four[0]);
        for list in [one, two, three, four] {
            let mut sorted = list.clone();
            sorted.sort();
            assert_eq!(sorted, ["10.0.0.1", "10.0.0.2"]);
        }
        assert_eq!(texts(&resolver.resolve(b"127.0.0.9", SECOND).await.unwrap()), ["127.0.0.9"]);
        assert_eq!(seen.get(), 1);
    });
}

#[test]
fn a_caller_that_gives_up_leaves_the_question_to_the_others() {
    run(async {
        let (address, seen) = server(|_, _| vec![Does::Addresses(vec![[10, 0, 0, 1]])]).await;
        let resolver = resolver(vec![address]);
        let other = resolver.clone();
        let patient = tokio::task::spawn_local(async move { other.resolve(b"a", SECOND).await });
        let mut hasty = Box::pin(resolver.resolve(b"a", SECOND));
        tokio::task::yield_now().await;
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(hasty.as_mut().poll(cx))).await.is_pending());
        drop(hasty);
        assert_eq!(texts(&patient.await.unwrap().unwrap()), ["10.0.0.1"]);
        assert_eq!(seen.get(), 1);
    });
}

#[test]
fn failures_have_nginxs_words() {
    run(async {
        let (address, _) = server(|label, _| match label {
            b"gone" => vec![Does::Code(3)],
            b"broken" => vec![Does::Code(2)],
            b"empty" => vec![Does::Addresses(vec![])],
            _ => vec![Does::Keeps],
        })
        .await;
        let resolver = resolver(vec![address]);
        for (name, text) in [
            ("gone", "3: Host not found"),
            ("empty", "3: Host not found"),
            ("broken", "2: Server failure"),
            ("silent", "110: Operation timed out"),
            ("a..b", "3: Host not found"),
            ("", "3: Host not found"),
        ] {
            assert_eq!(resolver.resolve(name.as_bytes(), SHORT).await.unwrap_err().to_string(), text, "{name}");
        }
        let none = Rc::new(Resolver::new(Settings::default()));
        assert!(!none.has_servers());
        assert_eq!(none.resolve(b"a", SHORT).await.unwrap_err(), Failure::TimedOut);
    });
}

#[test]
fn the_next_server_is_asked_when_one_fails_or_is_not_there() {
    run(async {
        let (bad, asked) = server(|_, _| vec![Does::Code(5)]).await;
        let dead = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (good, _) = server(|_, _| vec![Does::Addresses(vec![[10, 0, 0, 1]])]).await;
        let resolver = resolver(vec![bad, dead, good]);
        for name in ["a", "b", "c"] {
            assert_eq!(texts(&resolver.resolve(name.as_bytes(), SECOND).await.unwrap()), ["10.0.0.1"]);
        }
        assert_eq!(asked.get(), 1);
    });
}

#[test]
fn forged_answers_are_passed_over_however_many_there_are() {
    run(async {
        let (address, _) = server(|label, _| match label {
            b"few" => vec![Does::Guesses, Does::Guesses, Does::Addresses(vec![[10, 0, 0, 1]])],
            _ => (0..80).map(|_| Does::Guesses).chain([Does::Addresses(vec![[10, 0, 0, 2]])]).collect(),
        })
        .await;
        let resolver = resolver(vec![address]);
        assert_eq!(texts(&resolver.resolve(b"few", SECOND).await.unwrap()), ["10.0.0.1"]);
        assert_eq!(texts(&resolver.resolve(b"many", SECOND).await.unwrap()), ["10.0.0.2"]);
    });
}

#[test]
fn aliases_lead_on_but_not_for_ever() {
    run(async {
        let (address, seen) = server(|label, _| match label {
            b"a" => vec![Does::Alias(b"\x01b\0")],
            b"b" => vec![Does::Addresses(vec![[10, 0, 0, 2]])],
            b"c" => vec![Does::Alias(b"\x01d\0")],
            _ => vec![Does::Alias(b"\x01c\0")],
        })
        .await;
        let resolver = resolver(vec![address]);
        assert_eq!(texts(&resolver.resolve(b"a", SECOND).await.unwrap()), ["10.0.0.2"]);
        let before = seen.get();
        assert_eq!(resolver.resolve(b"c", SECOND).await.unwrap_err(), Failure::NOT_FOUND);
        assert!(seen.get() - before <= 16);
    });
}

#[test]
fn a_truncated_answer_is_fetched_over_tcp() {
    run(async {
        // Another process may have the same number for TCP.
        let (address, listener) = loop {
            let (address, _) = server(|_, _| vec![Does::Truncates]).await;
            if let Ok(listener) = TcpListener::bind(address).await {
                break (address, listener);
            }
        };
        tokio::task::spawn_local(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let length = stream.read_u16().await.unwrap();
            let mut query = vec![0; usize::from(length)];
            stream.read_exact(&mut query).await.unwrap();
            let whole = answer(&query, &Does::Addresses((0..100).map(|i| [10, 0, 1, i]).collect()));
            stream.write_u16(whole.len() as u16).await.unwrap();
            stream.write_all(&whole).await.unwrap();
        });
        let resolver = resolver(vec![address]);
        assert_eq!(resolver.resolve(b"a", SECOND).await.unwrap().iter().count(), 100);
    });
}

#[test]
fn an_old_answer_serves_while_no_server_answers_if_that_is_wanted() {
    run(async {
        let up = Rc::new(Cell::new(true));
        let state = up.clone();
        let (address, _) = server(move |_, _| vec![if state.get() { Does::Addresses(vec![[10, 0, 0, 1]]) } else { Does::Code(2) }]).await;
        let settings = |stale| Settings { servers: vec![address], valid: Some(Duration::ZERO), ipv6: false, stale, ..Settings::default() };
        let (strict, kind) = (Rc::new(Resolver::new(settings(Duration::ZERO))), Rc::new(Resolver::new(settings(SECOND))));
        for resolver in [&strict, &kind] {
            assert!(resolver.resolve(b"a", SECOND).await.is_ok());
        }
        up.set(false);
        assert_eq!(strict.resolve(b"a", SECOND).await.unwrap_err(), Failure::Code(2));
        assert_eq!(texts(&kind.resolve(b"a", SECOND).await.unwrap()), ["10.0.0.1"]);
        assert!(kind.known(b"a").is_some());
    });
}

#[test]
fn both_families_are_asked_for_in_one_go() {
    run(async {
        let (address, seen) = server(|_, _| vec![Does::Code(3)]).await;
        let resolver = Rc::new(Resolver::new(Settings { servers: vec![address], ..Settings::default() }));
        assert_eq!(resolver.resolve(b"a", SECOND).await.unwrap_err(), Failure::NOT_FOUND);
        assert_eq!(seen.get(), 2);
    });
}

#[test]
fn trouble_is_told_and_another_server_answers() {
    run(async {
        let closed = UdpSocket::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        let (address, _) = server(|_, _| vec![Does::Addresses(vec![[10, 0, 0, 1]])]).await;
        let resolver = resolver(vec![closed, address]);
        let heard = Rc::new(RefCell::new(Vec::new()));
        let writes = heard.clone();
        resolver.on_trouble(move |server, trouble| writes.borrow_mut().push((server, trouble.call, trouble.error.kind())));
        assert_eq!(texts(&resolver.resolve(b"a.test", SECOND).await.unwrap()), ["10.0.0.1"]);
        assert_eq!(*heard.borrow(), [(closed, "recv()", std::io::ErrorKind::ConnectionRefused)]);
    });
}

#[test]
fn a_new_answer_is_used_in_its_own_order() {
    run(async {
        let (address, _) = server(|_, _| vec![Does::Addresses(vec![[10, 0, 0, 2], [10, 0, 0, 1], [10, 0, 0, 3]])]).await;
        let resolver = resolver(vec![address]);
        for name in ["a.test", "b.test", "c.test", "d.test", "e.test", "f.test"] {
            let found = resolver.resolve(name.as_bytes(), SECOND).await.unwrap();
            assert_eq!(texts(&found), ["10.0.0.2", "10.0.0.1", "10.0.0.3"]);
        }
    });
}

#[test]
fn services_say_ports_and_who_goes_first() {
    run(async {
        let does = |label: &[u8], _: usize| match label {
            b"_http" => vec![Does::Service(1, 2, 80, b"\x01h\0")],
            b"own" => vec![Does::Alias(b"\x05_http\0")],
            b"_none" => vec![Does::Code(3)],
            b"_bad" => vec![Does::Code(2)],
            _ => vec![Does::Addresses(vec![[10, 0, 0, 1]])],
        };
        let (address, _) = server(does).await;
        let resolver = resolver(vec![address]);
        let found = Service { priority: 1, weight: 2, port: 80, target: "h".into() };
        let (services, holds) = resolver.services(b"name", b"http", SECOND).await.unwrap();
        assert_eq!((services.as_slice(), holds), (&[found.clone()][..], Duration::from_secs(60)));
        // A service with a dot is asked for as it is, and aliases lead on.
        assert_eq!(resolver.services(b"name", b"own._udp", SECOND).await.unwrap().0, [found]);
        assert_eq!(resolver.services(b"name", b"none", SECOND).await.unwrap_err(), Failure::NOT_FOUND);
        assert_eq!(resolver.services(b"name", b"bad", SHORT).await.unwrap_err(), Failure::Code(2));
        assert_eq!(resolver.services(b"name", b"no..name", SHORT).await.unwrap_err(), Failure::NOT_FOUND);
        let addresses = resolver.resolve(b"name", SECOND).await.unwrap();
        assert!(addresses.ttl() > Duration::from_secs(50) && addresses.ttl() <= Duration::from_secs(60));
    });
}
