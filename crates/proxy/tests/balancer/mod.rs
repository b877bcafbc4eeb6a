//! A balancer from outside, as a directive of the test's own: it waits, picks the server of each try, and hears of failures.

use crate::HELLO;
use crate::harness::{Site, Upstream, dead_port, worker};
use conf::context::{Arity, Context};
use conf::row::Row;
use http::module::Module;
use http::{Outcome, Request};
use net::address::SocketAddress;
use std::cell::RefCell;
use std::net::SocketAddr;
use std::rc::Rc;
use upstream::balancer::{Balancer, BalancerAnswer, BalancerContext, CustomBalancer, Decision, Failure, Pooling, Target, Timeouts};

/// The directive `test_balancer`.
pub(crate) const MODULE: Module = Module { rows, ..Module::named("test_balancer") };

type Does = dyn Fn(&Request, &BalancerContext) -> Decision;

thread_local! {
    static DOES: RefCell<Option<Rc<Does>>> = const { RefCell::new(None) };
}

struct Test;

impl Balancer<Request> for Test {
    fn choose(&self, request: &Rc<Request>, turn: &Rc<BalancerContext>) -> BalancerAnswer {
        let (request, turn) = (request.clone(), turn.clone());
        BalancerAnswer::Wait(Box::pin(async move {
            tokio::task::yield_now().await;
            let does = DOES.with_borrow(|does| does.clone());
            does.map_or(Decision::Go, |does| does(&request, &turn))
        }))
    }
}

fn rows() -> Vec<Row> {
    vec![Row::new("test_balancer", Context::UPSTREAM, Arity::exactly(0), "", |cx| {
        cx.frame.server.get::<CustomBalancer<http::Request>>().balancer = Some(Rc::new(Test));
        Ok(())
    })]
}

/// Says what `test_balancer` does from now on.
pub(crate) fn chooses(does: impl Fn(&Request, &BalancerContext) -> Decision + 'static) {
    DOES.set(Some(Rc::new(does)));
}

fn site(does: impl Fn(&Request, &BalancerContext) -> Decision + 'static) -> Site {
    chooses(does);
    Site::new("upstream u { server 0.0.0.1; test_balancer; } location / { proxy_pass http://u; proxy_next_upstream_tries 3; }")
}

pub(crate) fn to(port: u16) -> Target {
    Target::new(SocketAddress::Internet(SocketAddr::from(([127, 0, 0, 1], port))))
}

#[test]
fn each_try_is_chosen_and_failures_are_told() {
    worker(async {
        let up = Upstream::start(vec![vec![HELLO]]);
        let (port, dead) = (up.port, dead_port());
        let told = Rc::new(RefCell::new(Vec::new()));
        let heard = told.clone();
        let site = site(move |request, turn| {
            heard.borrow_mut().push((turn.last_failure(), turn.tries_left()));
            if turn.last_failure().is_none() {
                // One server has one try; the limit of the location allows two more, not five.
                assert!(!turn.allow_more(5));
                turn.set(to(dead));
                return Decision::Go;
            }
            // What is sent may change between tries.
            request.line.borrow_mut().raw_uri = b"/again".to_vec();
            turn.rewrite();
            turn.set(to(port));
            Decision::Go
        });
        let answer = site.get("/x").await;
        assert_eq!((answer.outcome, answer.body().as_str()), (Outcome::Ok, "hello"));
        assert_eq!(answer.variable("upstream_addr"), format!("127.0.0.1:{dead}, 127.0.0.1:{port}"));
        assert_eq!(*told.borrow(), [(None, 0), (Some(Failure { failed: true, status: 502 }), 1)]);
        assert!(up.requests().concat().starts_with("GET /again HTTP/1.1\r\n"));
    });
}

#[test]
fn its_pools_keep_connections_and_its_time_limits_hold() {
    worker(async {
        let up = Upstream::start(vec![vec![HELLO, HELLO, HELLO]]);
        let port = up.port;
        let site = site(move |_, turn| {
            turn.set(to(port));
            turn.change(|target| target.keepalive = Some(Pooling { size: 1, idle_ms: 60_000, requests: 100 })).unwrap();
            turn.bind(SocketAddr::from(([127, 0, 0, 1], 0)));
            Decision::Go
        });
        // All of them on one connection: the server accepts one.
        for _ in 0..3 {
            assert_eq!(site.get("/x").await.outcome, Outcome::Ok);
        }
        assert_eq!(up.requests().len(), 3);
    });
    worker(async {
        let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = silent.local_addr().unwrap().port();
        let site = site(move |_, turn| {
            turn.limit_times(Timeouts { read: Some(1), ..Timeouts::default() });
            turn.set(to(port));
            Decision::Go
        });
        assert_eq!(site.get("/x").await.outcome, Outcome::Status(504));
    });
}

#[test]
fn it_may_leave_the_choice_to_the_group_or_answer_itself() {
    worker(async {
        let refusing = site(|_, _| Decision::Answer(Outcome::Status(403)));
        assert_eq!(refusing.get("/x").await.outcome, Outcome::Status(403));
        let up = Upstream::start(vec![vec![HELLO]]);
        DOES.set(Some(Rc::new(|_, _| Decision::Go)));
        let site =
            Site::new(&format!("upstream u {{ server 127.0.0.1:{}; test_balancer; }} location / {{ proxy_pass http://u; }}", up.port));
        assert_eq!(site.get("/x").await.body(), "hello");
    });
}

#[test]
fn a_try_may_fail_without_a_server() {
    worker(async {
        let up = Upstream::start(vec![vec![HELLO]]);
        let port = up.port;
        let tries = Rc::new(RefCell::new(0));
        let counted = tries.clone();
        let site = site(move |_, turn| {
            *counted.borrow_mut() += 1;
            match *counted.borrow() {
                1 => {
                    turn.allow_more(1);
                    turn.set(to(1));
                    Decision::Failed
                }
                _ => {
                    turn.set(to(port));
                    Decision::Go
                }
            }
        });
        let answer = site.get("/x").await;
        assert_eq!((answer.outcome, answer.body().as_str()), (Outcome::Ok, "hello"));
        assert_eq!(answer.variable("upstream_status"), "502, 200");
        DOES.set(Some(Rc::new(|_, _| Decision::Failed)));
        assert_eq!(site.get("/x").await.outcome, Outcome::Status(502));
        DOES.set(Some(Rc::new(|_, _| Decision::NoLiveUpstreams)));
        let answer = site.get("/x").await;
        assert_eq!((answer.outcome, answer.variable("upstream_addr").as_str()), (Outcome::Status(502), "u"));
    });
}

#[test]
fn a_group_may_have_no_servers_of_its_own() {
    worker(async {
        DOES.set(Some(Rc::new(|_, _| Decision::Go)));
        let site = Site::new("upstream u { test_balancer; } location / { proxy_pass http://u; }");
        assert_eq!(site.get("/x").await.outcome, Outcome::Status(500));
        let up = Upstream::start(vec![vec![HELLO]]);
        let port = up.port;
        DOES.set(Some(Rc::new(move |_, turn| {
            turn.set(to(port));
            Decision::Go
        })));
        assert_eq!(site.get("/x").await.body(), "hello");
    });
}
