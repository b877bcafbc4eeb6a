//! Requests through the phases: handlers of the test's own, and what comes of their responses.

use crate::HttpEngine;
use http::chain::{Chain, Piece};
use http::connection::Downstream;
use http::core::{Core, ServerCore};
use http::location::{Handler, Location, Locations, Match};
use http::module::Parts;
use http::request::{Subrequest, SubrequestBody, SubrequestVariables};
use http::rig::{self, Rig};
use http::{Engine, Outcome, Phase, Request, Step};
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Waker};

/// A client that keeps what it gets.
#[derive(Default)]
struct Client {
    status: Cell<u16>,
    body: RefCell<String>,
}

impl Downstream for Client {
    fn write_head(&self, request: &Request) {
        assert_eq!(self.status.replace(request.response.borrow().status), 0, "a second head");
    }

    fn write(&self, _: &Request, data: &[u8]) {
        self.body.borrow_mut().push_str(&String::from_utf8_lossy(data));
    }

    fn write_chain(&self, request: &Request, chain: Chain) {
        for piece in chain.pieces {
            if let Piece::Bytes(bytes) = piece {
                self.write(request, &bytes);
            }
        }
    }
}

type Run = Rc<dyn Fn(&Rc<Request>) -> Step>;

/// Handlers of a location, by phase and in order.
type Handlers = Vec<(Phase, Run)>;

fn says(outcome: Outcome) -> Run {
    Rc::new(move |_| Step::Now(outcome))
}

fn panics() -> Run {
    Rc::new(|_| panic!("a handler's fault"))
}

/// As the handler, but only when it is asked for the second time.
fn later(run: Run) -> Run {
    Rc::new(move |request| {
        let (run, request) = (run.clone(), request.clone());
        Step::wait(|| async move {
            let mut waited = false;
            std::future::poll_fn(|cx| {
                if std::mem::replace(&mut waited, true) {
                    return std::task::Poll::Ready(());
                }
                cx.waker().wake_by_ref();
                std::task::Poll::Pending
            })
            .await;
            run(&request).finish().await
        })
    })
}

/// Content of 200 and this text.
fn answers(text: &'static str) -> Run {
    Rc::new(move |request| request.respond(200, b"text/plain", text))
}

fn location(name: &str, kind: Match, core: Core, handlers: Handlers) -> Rc<Location> {
    let mut parts = Parts::default();
    for (order, (phase, run)) in (0..).zip(handlers) {
        parts.phases[phase as usize].push(Handler { order, run });
    }
    rig::location(name, kind, core, parts)
}

struct Ran {
    request: Rc<Request>,
    client: Rc<Client>,
    lines: String,
}

/// Runs `GET /` in a server with these locations.
fn run(locations: Vec<Rc<Location>>) -> Ran {
    let rig = Rig::default();
    rig.worker.set_engine(Rc::new(HttpEngine));
    let own = location("", Match::Unnamed, Core::default(), Vec::new());
    let client = Rc::new(Client::default());
    let request = rig.request(client.clone(), rig::server("", ServerCore::default(), own, Locations::new(locations)));
    request.flags.keepalive.set(true);
    if let Some(mut rest) = HttpEngine.run(&request) {
        let mut cx = Context::from_waker(Waker::noop());
        let done = (0..1000).any(|_| rest.as_mut().poll(&mut cx).is_ready());
        assert!(done, "the request waits for ever");
    }
    let lines = rig.lines.borrow().clone();
    Ran { request, client, lines }
}

fn in_root(core: Core, handlers: Handlers) -> Ran {
    run(vec![location("/", Match::Prefix, core, handlers)])
}

#[test]
fn a_panic_ends_the_request_and_asks_for_a_new_worker() {
    let head_first: Run = Rc::new(|request| {
        request.response.borrow_mut().content_length = Some(5);
        assert!(matches!(request.send_header(), Step::Now(Outcome::Ok)));
        panic!("behind the head")
    });
    let rows: [(&str, Phase, Run, u16, bool); 6] = [
        ("in access", Phase::Access, panics(), 500, false),
        ("in content", Phase::Content, panics(), 500, false),
        ("after a wait", Phase::Content, later(panics()), 500, false),
        ("in rewrite after a wait", Phase::Rewrite, later(panics()), 500, false),
        // What is half said cannot be taken back: the connection is cut.
        ("behind the head", Phase::Content, head_first.clone(), 200, true),
        ("behind the head and a wait", Phase::Content, later(head_first), 200, true),
    ];
    for (what, phase, handler, status, cut) in rows {
        let ran = in_root(Core::default(), vec![(phase, handler)]);
        assert_eq!(ran.client.status.get(), status, "{what}");
        assert!(
            ran.lines.contains("[alert]") && ran.lines.contains("a handler panicked, the request is given up"),
            "{what}: {}",
            ran.lines
        );
        assert_eq!(ran.request.flags.abort.get(), cut, "{what}");
        assert!(!ran.request.flags.keepalive.get(), "{what}");
        let waker = Waker::noop();
        assert!(ran.request.worker.poll_panicked(&Context::from_waker(waker)).is_ready(), "{what}: the worker makes room");
    }
}

#[test]
fn all_have_to_agree_or_one_of_them() {
    use Outcome::{Declined, Ok, Status};
    let rows: &[(bool, &[Outcome], u16)] = &[
        (false, &[], 200),
        (false, &[Declined, Declined], 200),
        (false, &[Ok, Declined], 200),
        (false, &[Ok, Status(403)], 403),
        (false, &[Status(401), Ok], 401),
        (true, &[Ok, Status(403)], 200),
        (true, &[Status(403), Ok], 200),
        (true, &[Status(401), Declined, Ok], 200),
        (true, &[Status(403), Status(401)], 401),
        // What asks for a password outranks what forbids, whatever the order.
        (true, &[Status(401), Status(403)], 401),
        (true, &[Status(403), Declined], 403),
        (true, &[Declined, Declined], 200),
        // Other errors end it.
        (true, &[Status(500), Ok], 500),
    ];
    for waits in [false, true] {
        for (any, outcomes, status) in rows {
            let handler = |outcome: &Outcome| if waits { later(says(*outcome)) } else { says(*outcome) };
            let mut handlers: Handlers = outcomes.iter().map(|outcome| (Phase::Access, handler(outcome))).collect();
            handlers.push((Phase::Content, answers("in")));
            let ran = in_root(Core { satisfy_any: Some(*any), ..Core::default() }, handlers);
            assert_eq!(ran.client.status.get(), *status, "{any} {outcomes:?} waits: {waits}");
            assert_eq!(&*ran.client.body.borrow() == "in", *status == 200, "{any} {outcomes:?}");
            assert_eq!(ran.lines.contains("access forbidden by rule"), *any && *status == 403, "{any} {outcomes:?}");
        }
    }
}

#[test]
fn who_is_let_in_is_not_asked_for_a_password() {
    let asks: Run = Rc::new(|request| {
        request.response.borrow_mut().headers.push(b"WWW-Authenticate", b"Basic");
        Step::Now(Outcome::Status(401))
    });
    for (last, asked) in [(Outcome::Ok, false), (Outcome::Declined, true)] {
        let handlers = vec![(Phase::Access, asks.clone()), (Phase::Access, says(last)), (Phase::Content, answers("in"))];
        let ran = in_root(Core { satisfy_any: Some(true), ..Core::default() }, handlers);
        assert_eq!(ran.request.response.borrow().headers.contains(b"WWW-Authenticate"), asked, "{last:?}");
    }
}

#[test]
fn phases_come_in_order_and_what_ends_one_ends_no_other() {
    let order: Rc<RefCell<Vec<Phase>>> = Rc::default();
    let notes = |phase: Phase, outcome: Outcome| -> (Phase, Run) {
        let order = order.clone();
        (
            phase,
            Rc::new(move |_| {
                order.borrow_mut().push(phase);
                Step::Now(outcome)
            }),
        )
    };
    let mut handlers = Vec::new();
    for phase in [Phase::Rewrite, Phase::Preaccess, Phase::Access, Phase::Precontent] {
        handlers.push(notes(phase, Outcome::Declined));
        // `Ok` passes by the rest of preaccess and precontent; all of access has to be asked; in rewrite it would be the response.
        handlers.push(notes(phase, if phase == Phase::Rewrite { Outcome::Declined } else { Outcome::Ok }));
        handlers.push(notes(phase, Outcome::Declined));
    }
    handlers.push((Phase::Content, answers("in")));
    handlers.push(notes(Phase::Log, Outcome::Ok));
    let ran = in_root(Core::default(), handlers);
    assert_eq!(ran.client.status.get(), 200);
    let counts = [(Phase::Rewrite, 3), (Phase::Preaccess, 2), (Phase::Access, 3), (Phase::Precontent, 2), (Phase::Log, 1)];
    let expected: Vec<Phase> = counts.iter().flat_map(|(phase, times)| std::iter::repeat_n(*phase, *times)).collect();
    assert_eq!(*order.borrow(), expected);
}

#[test]
fn circles_end() {
    let again: Run = Rc::new(|request| {
        request.line.borrow_mut().set_uri(b"/");
        request.progress.uri_changed.set(true);
        Step::Now(Outcome::Declined)
    });
    let ran = in_root(Core::default(), vec![(Phase::Rewrite, again)]);
    assert_eq!(ran.client.status.get(), 500);
    assert!(ran.lines.contains("rewrite or internal redirection cycle while processing \"/\""), "{}", ran.lines);
    for target in ["@none", "@round"] {
        let jump: Run = {
            let name = target.as_bytes()[1..].to_vec();
            Rc::new(move |request| Step::Now(request.jump(http::Jump::Named(name.clone()))))
        };
        let ran = run(vec![
            location("/", Match::Prefix, Core::default(), vec![(Phase::Content, jump.clone())]),
            location("round", Match::Named, Core::default(), vec![(Phase::Content, jump)]),
        ]);
        assert_eq!(ran.client.status.get(), 500, "{target}: {}", ran.lines);
        let words = if target == "@none" { "could not find named location \"@none\"" } else { "redirect to named location" };
        assert!(ran.lines.contains(words), "{target}: {}", ran.lines);
    }
}

#[test]
fn what_is_internal_is_not_there_for_clients() {
    let core = Core { internal: true, ..Core::default() };
    let ran = in_root(core, vec![(Phase::Content, answers("in"))]);
    assert_eq!(ran.client.status.get(), 404);
    // Where nothing makes content there is a directory that shows nothing.
    assert_eq!(in_root(Core::default(), Vec::new()).client.status.get(), 403);
    let declines = in_root(Core::default(), vec![(Phase::Content, later(says(Outcome::Declined)))]);
    assert_eq!(declines.client.status.get(), 403);
}

#[test]
fn subrequests_nest_so_deep() {
    let ran = in_root(Core::default(), vec![(Phase::Content, answers("in"))]);
    let mut request = ran.request;
    let mut depth = 0;
    let error = loop {
        let what = Subrequest {
            uri: b"/sub",
            args: b"",
            method: None,
            wire: ran.client.clone(),
            body: SubrequestBody::Nothing,
            variables: SubrequestVariables::Shared,
        };
        match HttpEngine.subrequest(&request, what) {
            Ok(child) => request = child,
            Err(error) => break error,
        }
        depth += 1;
        assert!(depth < 1000);
    };
    assert_eq!((depth, error.to_string().as_str()), (50, "subrequests cycle while processing \"/sub\""));
}
