//! Sessions of `stream` run through their phases, over a pair of sockets, with modules that write down what they see.
#![allow(clippy::unwrap_used, clippy::panic)]

use base::log::{ErrorLog, Level, Sink, Target};
use conf::context::{Arity, Context};
use conf::include::Text;
use conf::parser::Parser;
use conf::row::{Row, Table};
use conf::scope::{Config, Frame};
use engine::stream::{Finished, rows, run};
use net::stream::{Stream, Transport};
use session::address::Address;
use session::{Levels, Outcome, Step};
use std::cell::{Cell, RefCell};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use stream::session::Arrival;
use stream::{Attach, Connection, Downstream, Module, Phase, Preread, Session, Worker};

/// What a test's directives say of a server.
#[derive(Default, Clone)]
struct Probe {
    /// `probe WORD …`
    words: Vec<String>,
}

impl Config for Probe {
    fn inherit(&mut self, _: &Self) {}
}

impl Probe {
    fn has(&self, word: &str) -> bool {
        self.words.iter().any(|own| own == word)
    }
}

/// What a session's handlers write down.
#[derive(Default)]
struct Notes(RefCell<Vec<String>>);

fn note(session: &Session, text: impl Into<String>) {
    session.context::<Notes>().0.borrow_mut().push(text.into());
}

const PROBE: Module = Module {
    rows: || {
        vec![Row::new("probe", Context::STREAM_SERVER, Arity::AtLeast(1), "What handlers do.", |cx| {
            cx.location::<Probe>().words.extend((0..cx.args().len()).map(|i| cx.text(i).into_owned()));
            Ok(())
        })]
    },
    levels: |levels: &mut Levels| {
        levels.location::<Probe>();
    },
    attach,
    ..Module::named("probe")
};

fn attach(place: &mut Attach<'_>) -> Result<(), conf::tree::Error> {
    let probe = place.conf::<Probe>();
    for phase in [Phase::PostAccept, Phase::Preaccess, Phase::Access, Phase::Ssl, Phase::Log] {
        let (name, probe) = (format!("{phase:?}").to_lowercase(), probe.clone());
        place.phase(phase, move |session| {
            note(session, format!("{name} {}", String::from_utf8_lossy(&session.server().name)));
            match &probe {
                probe if probe.has(&format!("{name}=403")) => Step::Now(Outcome::Status(403)),
                probe if probe.has(&format!("{name}=error")) => Step::Now(Outcome::Error),
                probe if probe.has(&format!("{name}=ok")) => Step::Now(Outcome::Ok),
                probe if probe.has(&format!("{name}=panic")) => panic!("a test's handler"),
                _ => Step::Now(Outcome::Declined),
            }
        });
    }
    let second = probe.clone();
    place.phase(Phase::Access, move |session| {
        note(session, "access again");
        if second.has("choose") {
            session.choose_server(b"b");
        }
        Step::wait(|| async { Outcome::Declined })
    });
    if probe.has("line") {
        place.preread(|session| {
            let seen = session.preread().iter().position(|byte| *byte == b'\n');
            note(session, format!("preread {}", session.preread().len()));
            seen.map_or(Preread::More, |_| Preread::Now(Outcome::Declined))
        });
    }
    if !probe.has("none") {
        place.content(|session| {
            let session = session.clone();
            Step::wait(|| async move {
                let mut all = Vec::new();
                while !matches!(std::future::poll_fn(|cx| session.poll_read(cx, &mut all)).await, Ok(0)) {}
                session.write_all(&all).await.map_or(Outcome::Error, |()| Outcome::Ok)
            })
        });
    }
    Ok(())
}

fn configuration(text: &str) -> Rc<stream::Configuration> {
    let modules: Rc<[Module]> = Rc::from([PROBE]);
    let mut table = Table::default();
    rows(&modules).into_iter().chain((PROBE.rows)()).for_each(|row| table.add(row));
    let block = Parser::new(Text(format!("stream {{ {text} }}").into()), "/").parse_file(b"/conf/nginx.conf").into_result().unwrap();
    let frame = Frame::default();
    table.read(&block, Context::MAIN, &frame).unwrap();
    frame.global.take::<Finished>().stream.unwrap().0
}

/// What came of a session.
struct Ended {
    status: u16,
    answer: String,
    notes: Vec<String>,
    log: String,
}

/// Serves a client that sends `sent`, a piece at a time, and then closes its side if `closes`.
async fn serve(text: &str, sent: &[&str], closes: bool) -> Ended {
    let configuration = configuration(text);
    let lines = Rc::new(RefCell::new(Vec::new()));
    let kept = lines.clone();
    let sink = Sink::Custom(Rc::new(move |_, line| kept.borrow_mut().extend_from_slice(line)));
    let log = ErrorLog::new(vec![Target { sink, level: Level::Info }]);
    let spawn = |future| drop(tokio::task::spawn_local(future));
    let worker = Rc::new(Worker::new(Rc::new(session::Worker::new(0, 1, log, spawn)), configuration.clone()));
    let (mut client, server) = UnixStream::pair().unwrap();
    server.set_nonblocking(true).unwrap();
    let stream = Stream::from_fd(server.into(), Transport::Unix);
    let connection = Connection {
        id: 1,
        peer: Address::Ip("192.0.2.1:4711".parse().unwrap()),
        local: Address::Ip("127.0.0.1:1".parse().unwrap()),
        requests: Cell::new(1),
        started_ms: 0,
        tls: RefCell::default(),
        proxy_protocol: RefCell::default(),
    };
    let listen = configuration.listens.first().unwrap();
    let arrival = Arrival {
        endpoint: listen.endpoint(&connection.local).unwrap().clone(),
        listener: listen.address.clone(),
        connection: Rc::new(connection),
        downstream: Downstream::Stream(RefCell::new(Some(stream))),
        passes: 0,
        first: None,
    };
    let session = Rc::new(Session::new(worker, configuration, arrival));
    let running = tokio::task::spawn_local(run::run(session.clone()));
    for piece in sent {
        // Who has been refused is not there any more.
        drop(client.write_all(piece.as_bytes()));
        tokio::task::yield_now().await;
        tokio::task::yield_now().await;
    }
    if closes {
        drop(client.shutdown(std::net::Shutdown::Write));
    }
    let status = running.await.unwrap();
    run::finish(&session, status).await;
    let mut answer = String::new();
    drop(client.read_to_string(&mut answer));
    let notes = session.context::<Notes>().0.take();
    let log = String::from_utf8_lossy(&lines.borrow()).into_owned();
    Ended { status: session.status.get(), answer, notes, log }
}

async fn ended(text: &str, sent: &[&str], closes: bool) -> Ended {
    tokio::task::LocalSet::new().run_until(serve(text, sent, closes)).await
}

#[tokio::test]
async fn phases_run_in_their_order_and_the_content_gets_all_bytes() {
    let end = ended("server { listen 1; server_name a; probe line; }", &["ab", "c\nde"], true).await;
    assert_eq!((end.status, end.answer.as_str()), (200, "abc\nde"));
    let expected = ["postaccept a", "preaccess a", "access a", "access again", "ssl a", "preread 0", "preread 2", "preread 6", "log a"];
    assert_eq!(end.notes, expected);
}

#[tokio::test]
async fn answers_end_a_phase_or_the_session() {
    let table = [
        ("access=403", 403, &["postaccept ", "preaccess ", "access ", "log "][..]),
        ("postaccept=error", 500, &["postaccept ", "log "]),
        ("ssl=panic", 500, &["postaccept ", "preaccess ", "access ", "access again", "ssl ", "log "]),
        ("log=panic", 200, &["postaccept ", "preaccess ", "access ", "access again", "ssl ", "log "]),
        ("access=ok", 200, &["postaccept ", "preaccess ", "access ", "ssl ", "log "]),
        ("none", 500, &["postaccept ", "preaccess ", "access ", "access again", "ssl ", "log "]),
    ];
    for (words, status, notes) in table {
        let end = ended(&format!("server {{ listen 1; probe {words}; }}"), &[], true).await;
        assert_eq!(
            (end.status, end.notes.as_slice()),
            (status, notes.iter().map(|note| (*note).to_owned()).collect::<Vec<_>>().as_slice())
        );
        assert_eq!(words.ends_with("panic"), end.log.contains("a handler panicked, the session is given up"), "{}", end.log);
    }
}

#[tokio::test]
async fn another_server_takes_over_where_it_was_chosen() {
    let servers = "server { listen 1; server_name a; probe choose; } server { listen 1; server_name b; probe ssl=403; }";
    let end = ended(servers, &[], true).await;
    assert_eq!(end.status, 403);
    assert_eq!(end.notes, ["postaccept a", "preaccess a", "access a", "access again", "ssl b", "log b"]);
}

#[tokio::test]
async fn what_is_looked_at_has_its_limits() {
    let full = ended("server { listen 1; preread_buffer_size 4; probe line; }", &["abcdefgh"], false).await;
    assert_eq!((full.status, full.answer.as_str()), (400, ""));
    assert!(full.log.contains("preread buffer full while prereading client data, client: 192.0.2.1, server: 0.0.0.0:1"), "{}", full.log);
    let silent = ended("server { listen 1; preread_timeout 20ms; probe line; }", &["ab"], false).await;
    assert_eq!((silent.status, silent.answer.as_str()), (200, ""));
    let gone = ended("server { listen 1; probe line; }", &["ab"], true).await;
    assert_eq!((gone.status, gone.answer.as_str()), (200, ""));
}

#[tokio::test]
async fn a_header_of_the_proxy_protocol_comes_first() {
    let server = "server { listen 1 proxy_protocol; proxy_protocol_timeout 20ms; }";
    let end = ended(server, &["PROXY TCP4 1.2.3.4 5.6.7.8", " 9 10\r\nabc"], true).await;
    assert_eq!((end.status, end.answer.as_str()), (200, "abc"));
    let broken = ended(server, &["GET / HTTP/1.0\r\n"], false).await;
    assert_eq!(broken.status, 400);
    assert!(broken.log.contains("broken header: \"GET / HTTP/1.0\" while reading PROXY protocol, client: 192.0.2.1"), "{}", broken.log);
    let silent = ended(server, &["PROXY TCP4 "], false).await;
    assert_eq!(silent.status, 200);
    assert!(silent.log.contains("client timed out (110: Connection timed out) while reading PROXY protocol"), "{}", silent.log);
    assert_eq!(silent.notes, ["log "]);
}
