//! A request without a connection, for the tests of what modules ask of one.

mod bodies;
mod paths;
mod responses;

use crate::chain::{Chain, Piece};
use crate::connection::{Address, BodyError, BodyRead, Downstream};
use crate::core::{Core, ServerCore};
use crate::headers::Headers;
use crate::location::{BodyFilter, Filtered, Location, Locations, Match};
use crate::method::Method;
use crate::module::Parts;
use crate::request::Request;
use crate::rig::{self, Rig};
use crate::root::Paths;
use crate::{Complex, Variables};
use session::Outcome;
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io::IoSlice;
use std::os::unix::fs::FileExt;
use std::rc::Rc;
use std::task::{Context, Poll};

/// What the next look at the client's body finds.
enum Arrival {
    Bytes(&'static [u8]),
    /// Nothing has come since.
    Nothing,
    Fails(BodyError),
    /// More of a chunk is on its way, as with the next arrival.
    Announces(Option<u64>),
}

/// A client that says what the test says, and keeps what it gets.
#[derive(Default)]
struct Client {
    body: RefCell<VecDeque<Arrival>>,
    announced: Cell<Option<u64>>,
    bad_body: Cell<bool>,
    broken: Cell<bool>,
    heads: RefCell<Vec<u16>>,
    interim: RefCell<Vec<u16>>,
    /// The parts of the response's body, and whether the last one was marked as such.
    parts: RefCell<Vec<Vec<u8>>>,
    ended: Cell<bool>,
}

impl Client {
    fn answer(&self) -> String {
        String::from_utf8_lossy(&self.parts.borrow().concat()).into_owned()
    }
}

impl Downstream for Client {
    fn write_head(&self, request: &Request) {
        self.heads.borrow_mut().push(request.response.borrow().status);
    }

    fn write(&self, _: &Request, data: &[u8]) {
        self.parts.borrow_mut().push(data.to_vec());
    }

    fn write_pieces(&self, _: &Request, pieces: &[IoSlice<'_>]) {
        self.parts.borrow_mut().extend(pieces.iter().map(|piece| piece.to_vec()));
    }

    fn write_chain(&self, _: &Request, chain: Chain) {
        for piece in &chain.pieces {
            self.parts.borrow_mut().push(match piece {
                Piece::Bytes(bytes) => bytes.to_vec(),
                Piece::File(file) => {
                    let mut part = vec![0; (file.end - file.start) as usize];
                    file.file.read_exact_at(&mut part, file.start).unwrap();
                    part
                }
            });
        }
        assert!(!self.ended.get(), "something follows the end");
        self.ended.set(chain.last);
    }

    fn write_interim(&self, _: &Request, status: u16, _: &Headers) {
        self.interim.borrow_mut().push(status);
    }

    fn poll_body(&self, cx: &mut Context<'_>, _: &Request, out: &mut Vec<u8>, _: usize) -> Poll<Result<BodyRead, BodyError>> {
        let next = self.body.borrow_mut().pop_front();
        let next = match next {
            Some(Arrival::Announces(left)) => {
                self.announced.set(left);
                self.body.borrow_mut().pop_front()
            }
            next => next,
        };
        match next {
            None | Some(Arrival::Announces(_)) => Poll::Ready(Ok(BodyRead::End)),
            Some(Arrival::Bytes(bytes)) => {
                out.extend_from_slice(bytes);
                Poll::Ready(Ok(BodyRead::Data(bytes.len())))
            }
            Some(Arrival::Nothing) => {
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Arrival::Fails(error)) => Poll::Ready(Err(error)),
        }
    }

    fn body_announced(&self) -> Option<u64> {
        self.announced.get()
    }

    fn has_bad_body(&self) -> bool {
        self.bad_body.get()
    }

    fn is_broken(&self) -> bool {
        self.broken.get()
    }
}

/// What a request is made from.
struct RequestSpec {
    core: Core,
    filters: Vec<BodyFilter>,
    host: &'static str,
    local: Address,
    server_name: &'static str,
    uri: &'static str,
}

impl Default for RequestSpec {
    fn default() -> Self {
        RequestSpec {
            core: Core::default(),
            filters: Vec::new(),
            host: "",
            local: Address::Ip(([127, 0, 0, 1], 80).into()),
            server_name: "",
            uri: "/",
        }
    }
}

/// A request, its client, and what was logged.
struct Fixture {
    request: Rc<Request>,
    client: Rc<Client>,
    lines: Rc<RefCell<String>>,
}

/// A value without variables.
fn complex(text: &str) -> Complex {
    Complex::compile(text.as_bytes(), &mut Variables::default()).unwrap()
}

fn location(core: Core, filters: Vec<BodyFilter>) -> Rc<Location> {
    let parts = Parts { body_filters: filters, ..Parts::default() };
    rig::location("", Match::Unnamed, core, parts)
}

fn setup(given: RequestSpec) -> Fixture {
    let rig = Rig::new(Paths { prefix: "/srv/".into(), conf_prefix: "/srv/conf/".into() });
    let server = rig::server(given.server_name, ServerCore::default(), location(given.core, given.filters), Locations::default());
    let client = Rc::new(Client::default());
    let request = rig.request_over(rig::connection(given.local), client.clone(), server);
    {
        let mut line = request.line.borrow_mut();
        line.uri = given.uri.as_bytes().to_vec();
        line.host = given.host.as_bytes().to_vec();
    }
    Fixture { request, client, lines: rig.lines }
}

/// What comes of a step that waits for nothing that does not come.
fn outcome(step: session::Step) -> Outcome {
    let mut future = std::pin::pin!(step.finish());
    let mut cx = Context::from_waker(std::task::Waker::noop());
    for _ in 0..1000 {
        if let Poll::Ready(outcome) = future.as_mut().poll(&mut cx) {
            return outcome;
        }
    }
    panic!("the step waits for ever")
}

/// A body filter that sees every body.
fn filter(run: impl Fn(Chain) -> Filtered + 'static) -> BodyFilter {
    BodyFilter { mark: 0, run: Rc::new(move |_, chain| run(chain)) }
}
