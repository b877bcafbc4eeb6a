//! One location with an upstream, a client that keeps what it gets, and upstream servers whose bytes are in the test.

#![allow(clippy::unwrap_used, reason = "a harness is a test, whatever its functions are called")]

use base::log::{ErrorLog, Level, Sink, Target};
use conf::configs::ConfMap;
use conf::context::{Arity, Context};
use conf::include::Text;
use conf::parser::Parser;
use conf::row::{Row, Table, Unsupported};
use conf::scope::Frame;
use http::connection::{Address, BodyError, BodyRead, Connection, Downstream};
use http::location::{Location, Locations, Match};
use http::module::{Attach, Levels, Parts};
use http::{Chain, Http, Module, Outcome, Piece, Request, Server, Variables, Worker};
use session::variable::NO_CACHE;
use std::cell::{Cell, RefCell};
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::task::{Context as Cx, Poll};
use std::thread::JoinHandle;
use std::time::Duration;

const MODULES: [Module; 19] = [
    crate::balancer::MODULE,
    proxy::upstream::MODULE,
    proxy::upstream::HASH,
    proxy::upstream::IP_HASH,
    proxy::upstream::LEAST_CONN,
    proxy::upstream::LEAST_TIME,
    proxy::upstream::RANDOM,
    proxy::upstream::keepalive::MODULE,
    proxy::upstream::ZONE,
    proxy::upstream::sticky::MODULE,
    proxy::upstream::queue::MODULE,
    proxy::proxy::MODULE,
    proxy::fastcgi::MODULE,
    proxy::uwsgi::MODULE,
    proxy::scgi::MODULE,
    proxy::memcached::MODULE,
    proxy::memc::MODULE,
    proxy::redis2::MODULE,
    proxy::redis::MODULE,
];

/// What the configurations here mention of other modules' variables.
const VARIABLES: [&str; 7] = ["memcached_key", "redis_key", "host", "is_request_port", "request_port", "empty", "cookie_at"];

/// `$arg_NAME`, with nothing escaped.
fn argument(request: &Request, name: &str, out: &mut Vec<u8>) -> bool {
    let line = request.line.borrow();
    let args = String::from_utf8_lossy(&line.args);
    let value = args.split('&').find_map(|pair| pair.split_once('=').filter(|(known, _)| *known == name));
    out.extend_from_slice(value.unwrap_or_default().1.as_bytes());
    value.is_some()
}

/// What the client got.
#[derive(Default)]
pub(crate) struct Client {
    /// Status and headers of the head, as lines.
    pub(crate) head: RefCell<String>,
    /// Body.
    pub(crate) body: RefCell<Vec<u8>>,
    /// The end was marked.
    pub(crate) ended: Cell<bool>,
    /// Bytes of a body that are still to come.
    pub(crate) upload: Cell<usize>,
    /// The client takes nothing: everything stays queued.
    pub(crate) stuck: Cell<bool>,
    /// Bytes that were not offered to the client yet: it takes all that it is offered.
    pub(crate) waiting: Cell<u64>,
}

impl Downstream for Client {
    fn write_head(&self, request: &Request) {
        let response = request.response.borrow();
        let mut head = format!("{}\n", response.status);
        if let Some(length) = response.content_length {
            head += &format!("Content-Length: {length}\n");
        }
        head += &format!("Content-Type: {}\n", String::from_utf8_lossy(&response.content_type));
        for (name, value) in response.headers.iter() {
            head += &format!("{}: {}\n", String::from_utf8_lossy(name), String::from_utf8_lossy(value));
        }
        self.head.replace(head);
    }

    fn write(&self, _: &Request, data: &[u8]) {
        self.body.borrow_mut().extend_from_slice(data);
        self.waiting.set(self.waiting.get() + data.len() as u64);
    }

    fn write_chain(&self, _: &Request, chain: Chain) {
        let mut body = self.body.borrow_mut();
        for piece in &chain.pieces {
            match piece {
                Piece::Bytes(bytes) => body.extend_from_slice(bytes),
                Piece::File(file) => {
                    let mut part = vec![0; (file.end - file.start) as usize];
                    file.file.read_exact_at(&mut part, file.start).unwrap();
                    body.extend(part);
                }
            }
        }
        self.ended.set(self.ended.get() || chain.last);
    }

    fn write_interim(&self, _: &Request, _: u16, _: &http::Headers) {}

    fn queued(&self) -> u64 {
        if self.stuck.get() { self.body.borrow().len() as u64 } else { self.waiting.get() }
    }

    fn poll_drain(&self, cx: &mut Cx<'_>, _: u64) -> Poll<io::Result<()>> {
        if self.stuck.get() {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        self.waiting.set(0);
        Poll::Ready(Ok(()))
    }

    fn poll_body(&self, _: &mut Cx<'_>, _: &Request, out: &mut Vec<u8>, _: usize) -> Poll<Result<BodyRead, BodyError>> {
        let part = self.upload.get().min(4096);
        self.upload.set(self.upload.get() - part);
        out.resize(out.len() + part, b'u');
        Poll::Ready(Ok(if part == 0 { BodyRead::End } else { BodyRead::Data(part) }))
    }

    fn poll_gone(&self, _: &mut Cx<'_>) -> Poll<()> {
        Poll::Pending
    }
}

/// A configuration at work.
pub(crate) struct Site {
    worker: Rc<Worker>,
    location: Rc<Location>,
    /// The error log so far.
    pub(crate) log: Rc<RefCell<String>>,
}

/// One answer.
pub(crate) struct Answer {
    /// What the handler said.
    pub(crate) outcome: Outcome,
    /// What the client got.
    pub(crate) client: Rc<Client>,
    /// The request, for variables.
    pub(crate) request: Rc<Request>,
}

impl Answer {
    /// The body as text.
    pub(crate) fn body(&self) -> String {
        String::from_utf8_lossy(&self.client.body.borrow()).into_owned()
    }

    /// A variable.
    pub(crate) fn variable(&self, name: &str) -> String {
        let mut out = Vec::new();
        session::variable::by_name::get_by_name(&*self.request, name, &mut out);
        String::from_utf8(out).unwrap()
    }
}

type Nodes = RefCell<Option<(Vec<u8>, Frame)>>;

impl Site {
    /// Reads an `http`-level text with one `location /x { }` and gives its error if it has one.
    pub(crate) fn try_new(text: &str) -> Result<Site, String> {
        let log = Rc::new(RefCell::new(String::new()));
        let to = log.clone();
        let sink = Sink::Custom(Rc::new(move |_, line| to.borrow_mut().push_str(&String::from_utf8_lossy(line))));
        let error_log = ErrorLog::new(vec![Target { sink, level: Level::Info }]);
        let node: Rc<Nodes> = Rc::default();
        let mut table = Table::default();
        MODULES.iter().flat_map(|m| (m.rows)()).for_each(|row| table.add(row));
        let into = node.clone();
        table.add(
            Row::new("location", Context::HTTP, Arity::exactly(1), "", move |cx| {
                let frame = cx.frame.enter_location();
                into.replace(Some((cx.arg(0).to_vec(), frame.clone())));
                cx.read_block(Context::LOCATION, &frame)
            })
            .with_block(),
        );
        let frame = Frame::default();
        MODULES.iter().for_each(|m| (m.variables)(&mut frame.global.get::<Variables>()));
        http::variables::define_family(&mut frame.global.get::<Variables>(), "arg_", NO_CACHE, argument);
        for name in VARIABLES {
            frame.global.get::<Variables>().define_changeable(name);
        }
        let block = Parser::new(Text(text.as_bytes().to_vec()), "/").parse_file(b"x").into_result().map_err(|e| e.message)?;
        table.read(&block, Context::HTTP, &frame).map_err(|e| e.message)?;
        if let Some(missing) = frame.global.take::<Unsupported>().list.into_iter().next() {
            return Err(missing.message);
        }
        MODULES.iter().try_for_each(|m| (m.complete)(&frame)).map_err(|e| e.message)?;
        if let Some(missing) = frame.global.take::<Unsupported>().list.into_iter().next() {
            return Err(missing.message);
        }
        let mut levels = Levels::default();
        MODULES.iter().for_each(|m| (m.levels)(&mut levels));
        let (name, inner) = node.take().unwrap();
        let main = levels.main.freeze(&frame.main);
        let conf = levels.location.merge(&inner.location, &levels.location.freeze(&frame.location));
        let mut parts = Parts::default();
        for (order, module) in MODULES.iter().enumerate() {
            let mut at = Attach {
                conf: &conf,
                server: &ConfMap::default(),
                main: &main,
                name: &name,
                kind: &Match::Prefix,
                is_server: false,
                order: order as u16,
                log: &error_log,
                warnings: &RefCell::default(),
                parts: &mut parts,
            };
            (module.attach)(&mut at).map_err(|e| e.message)?;
        }
        let location = parts.into_location(name.into(), Match::Prefix, Rc::default(), conf, Locations::default());
        let mut variables = frame.global.take::<Variables>();
        variables.finish()?;
        let http = Http { variables: Rc::new(variables), main, servers: Vec::new(), listens: Vec::new(), paths: Rc::default() };
        let worker = Rc::new(Worker::new(0, 1, error_log, Rc::new(http), http::metrics::WorkerCounters::unshared(), |_| {}));
        Ok(Site { worker, location: Rc::new(location), log })
    }

    /// As [`Site::try_new`], for texts that are right.
    pub(crate) fn new(text: &str) -> Site {
        Site::try_new(text).unwrap()
    }

    /// Runs a GET for a target below `/`.
    pub(crate) async fn get(&self, target: &str) -> Answer {
        self.run(target, |_, _| {}).await
    }

    /// Runs a request that `change` completes.
    pub(crate) async fn run(&self, target: &str, change: impl FnOnce(&Request, &Client)) -> Answer {
        self.serve(Rc::default(), target, change).await
    }

    /// As [`Site::run`], for a client of the test's own.
    pub(crate) async fn serve(&self, client: Rc<Client>, target: &str, change: impl FnOnce(&Request, &Client)) -> Answer {
        let peer = Address::Ip("127.0.0.1:1000".parse().unwrap());
        let connection = Connection {
            id: 1,
            peer: peer.clone(),
            local: peer,
            requests: Cell::new(1),
            started_ms: 0,
            tls: RefCell::default(),
            proxy_protocol: RefCell::default(),
        };
        let empty = Rc::new(Location {
            ..Parts::default().into_location(Box::default(), Match::Unnamed, Rc::default(), ConfMap::default(), Locations::default())
        });
        let server = Server {
            name: Box::default(),
            conf: ConfMap::default(),
            core: Rc::default(),
            tls: Default::default(),
            own: empty,
            locations: Locations::default(),
        };
        let request = Rc::new(Request::new(self.worker.clone(), self.worker.http(), Rc::new(connection), client.clone(), Rc::new(server)));
        {
            let mut line = request.line.borrow_mut();
            let (uri, args) = target.split_once('?').unwrap_or((target, ""));
            line.method = http::Method::GET;
            line.method_name = b"GET".to_vec();
            line.raw_uri = target.as_bytes().to_vec();
            line.uri = uri.as_bytes().to_vec();
            line.args = args.as_bytes().to_vec();
        }
        request.set_location(self.location.clone());
        change(&request, &client);
        let handler = self.location.content.clone().unwrap();
        let outcome = net::time::timeout(Duration::from_secs(20), handler(&request).finish()).await.unwrap();
        Answer { outcome, client, request }
    }
}

/// An upstream that answers its n-th connection with the n-th script: one text per request, then it closes.
pub(crate) struct Upstream {
    /// Its port.
    pub(crate) port: u16,
    thread: JoinHandle<Vec<String>>,
}

impl Upstream {
    /// Starts it.
    pub(crate) fn start(scripts: Vec<Vec<&'static str>>) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let mut heads = Vec::new();
            for script in scripts {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                for answer in script {
                    heads.push(read_request(&mut stream));
                    stream.write_all(answer.as_bytes()).unwrap();
                }
            }
            heads
        });
        Upstream { port, thread }
    }

    /// Starts one that expects exactly these requests, each with its response, connection by connection.
    pub(crate) fn scripted(scripts: Vec<Vec<(&'static str, &'static str)>>) -> Upstream {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let thread = std::thread::spawn(move || {
            let mut requests = Vec::new();
            for script in scripts {
                let (mut stream, _) = listener.accept().unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
                for (request, answer) in script {
                    let mut bytes = vec![0; request.len()];
                    stream.read_exact(&mut bytes).unwrap();
                    assert_eq!(String::from_utf8_lossy(&bytes), request);
                    stream.write_all(answer.as_bytes()).unwrap();
                    requests.push(request.to_owned());
                }
            }
            requests
        });
        Upstream { port, thread }
    }

    /// The requests it got, heads and bodies, once all scripts have been played.
    pub(crate) fn requests(self) -> Vec<String> {
        self.thread.join().unwrap()
    }
}

fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") {
        assert_eq!(stream.read(&mut byte).unwrap(), 1, "request cut: {}", String::from_utf8_lossy(&bytes));
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let length = head.split("content-length: ").nth(1).and_then(|t| t.split("\r\n").next()?.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    bytes.extend(body);
    String::from_utf8(bytes).unwrap()
}

/// A port where nobody listens.
pub(crate) fn dead_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs a server in a thread with an event loop of its own.
pub(crate) fn in_thread<T: Send + 'static, F: Future<Output = T>>(server: impl FnOnce() -> F + Send + 'static) -> JoinHandle<T> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, server())
    })
}

/// Runs a test in a worker's kind of event loop.
pub(crate) fn worker(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().on_thread_park(base::clock::stale).build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, test);
}
