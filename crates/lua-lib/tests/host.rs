//! The libraries under a host that is of no protocol: what code of `stream` will have.
#![allow(clippy::expect_used)]

use base::log::{ErrorLog, Level};
use lua::{Completion, Job, LuaPhase, Started};
use lua_lib::host::HostFactory;
use lua_lib::pipe::process;
use lua_lib::socket::hub::Hub;
use lua_lib::socket::secure::settings::SecureOptions;
use lua_lib::socket::settings::SocketOptions;
use lua_lib::{Host, Machine, Resources, Runtime, machines};
use resolver::settings::Resolving;
use session::Worker;
use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A connection of some protocol.
struct Connection {
    runtime: Rc<Runtime>,
    machine: Rc<Machine>,
    worker: Rc<Worker>,
    lines: Rc<RefCell<Vec<String>>>,
    resources: Rc<Resources>,
    sockets: Rc<Hub>,
    scratch: RefCell<Vec<u8>>,
}

impl Connection {
    fn new(runtime: Rc<Runtime>, machine: Rc<Machine>, worker: Rc<Worker>, lines: Rc<RefCell<Vec<String>>>) -> Connection {
        let sockets = worker.state::<Hub>();
        Connection { runtime, machine, worker, lines, resources: Rc::default(), sockets, scratch: RefCell::default() }
    }

    fn another(&self) -> Rc<Connection> {
        Rc::new(Connection::new(self.runtime.clone(), self.machine.clone(), self.worker.clone(), self.lines.clone()))
    }
}

impl lua::Host for Connection {
    fn share(self: Rc<Self>, handle: &mut dyn Any) {
        if let Some(handle) = handle.downcast_mut::<Option<Rc<dyn Host>>>() {
            *handle = Some(self);
        }
    }

    fn provide<'a>(&'a self, view: &mut lua::HostView<'a>) {
        view.provide::<dyn Host>(self);
    }
}

impl Host for Connection {
    fn runtime(&self) -> &Rc<Runtime> {
        &self.runtime
    }

    fn machine(&self) -> &Rc<Machine> {
        &self.machine
    }

    fn worker(&self) -> Option<&Rc<Worker>> {
        Some(&self.worker)
    }

    fn log_enabled(&self, level: Level) -> bool {
        level <= Level::Notice
    }

    fn log(&self, level: Level, message: &[u8], context: &str) {
        if self.log_enabled(level) {
            self.lines.borrow_mut().push(format!("{} {} [{context}]", level as i32, String::from_utf8_lossy(message)));
        }
    }

    fn resources(&self) -> &Rc<Resources> {
        &self.resources
    }

    fn title(&self) -> Option<Vec<u8>> {
        None
    }

    fn scratch(&self) -> &RefCell<Vec<u8>> {
        &self.scratch
    }

    fn hub(&self) -> Option<&Rc<Hub>> {
        Some(&self.sockets)
    }

    fn socket_options(&self) -> Rc<SocketOptions> {
        Rc::default()
    }

    fn secure_options(&self) -> Rc<SecureOptions> {
        Rc::default()
    }

    fn resolving(&self) -> Rc<Resolving> {
        Rc::default()
    }

    fn tcp_nodelay(&self) -> bool {
        true
    }

    fn host_factory(&self) -> HostFactory {
        let first = self.another();
        Box::new(move || first.another())
    }
}

fn connection() -> Rc<Connection> {
    let runtime = Rc::new(Runtime::default());
    let zone = shm::Zone::new("d", shm::dict::OWNER, 64 << 10).expect("a zone");
    runtime.dicts.borrow_mut().push(Rc::new(zone));
    let machine = machines::shared(&runtime).expect("a machine").clone();
    let spawn = |future| {
        tokio::task::spawn_local(future);
    };
    let worker = Rc::new(Worker::new(2, 3, ErrorLog::new(Vec::new()), spawn));
    Rc::new(Connection::new(runtime, machine, worker, Rc::default()))
}

async fn run(host: &Rc<Connection>, code: &str) -> Completion {
    let chunk = host.machine.vm.load_text(code.as_bytes(), "=preread_by_lua(nginx.conf:1)").expect("it compiles");
    match Job::start(&host.machine.vm, chunk, LuaPhase::PREREAD, host.clone()) {
        Started::Done(ended) => ended,
        Started::Waiting(job) => job.await,
    }
}

#[tokio::test]
async fn libraries_work_without_a_request() {
    const CODE: &str = "
        local semaphore = require('ngx.semaphore').new(0)
        ngx.timer.at(0, function(_, word)
            ngx.log(ngx.WARN, 'a timer says ', word)
            semaphore:post(1)
        end, 'hello')
        assert(semaphore:wait(60))
        ngx.sleep(0.001)
        local program = require('ngx.pipe').spawn({ 'echo', 'out' })
        ngx.shared.d:set('k', program:stdout_read_line())
        local thread = ngx.thread.spawn(function() return require('cjson').encode({ k = ngx.shared.d:get('k') }) end)
        local _, text = ngx.thread.wait(thread)
        ngx.log(ngx.ERR, text, ngx.re.gsub('abc', 'b', '-'), ngx.worker.id(), ngx.worker.count())";
    let host = connection();
    let ended = tokio::task::LocalSet::new().run_until(run(&host, CODE)).await;
    assert!(matches!(ended, Completion::Returned), "{ended:?}");
    let lines = host.lines.borrow().iter().map(|line| line.split(": ").last().unwrap_or_default().to_owned()).collect::<Vec<_>>();
    assert_eq!(lines, ["a timer says hello [ngx.timer]", "{\"k\":\"out\"}a-c23 [preread_by_lua*]"]);
}

#[tokio::test]
async fn a_pipe_takes_no_more_memory_than_a_read_is_worth() {
    let host = connection();
    let code = "local program = require('ngx.pipe').spawn({ 'echo', 'out' }, { buffer_size = 2 ^ 62 }) ngx.log(ngx.ERR, program:stdout_read_all())";
    let ended = tokio::task::LocalSet::new().run_until(run(&host, code)).await;
    assert!(matches!(ended, Completion::Returned), "{ended:?}");
    assert!(host.lines.borrow().iter().any(|line| line.contains(": out")), "{:?}", host.lines.borrow());
}

#[tokio::test]
async fn print_is_a_notice() {
    let host = connection();
    tokio::task::LocalSet::new().run_until(run(&host, "print('a', 1) ngx.log(ngx.INFO, 'b')")).await;
    assert_eq!(*host.lines.borrow(), ["6 [lua] preread_by_lua(nginx.conf:1):1: a1 [preread_by_lua*]"]);
}

#[tokio::test]
async fn what_code_has_opened_is_closed_with_its_host() {
    let host = connection();
    let local = tokio::task::LocalSet::new();
    let ended = local.run_until(run(&host, "require('ngx.pipe').spawn({ 'sleep', '600' }) ngx.timer.at(3600, print)")).await;
    assert!(matches!(ended, Completion::Returned), "{ended:?}");
    let programs = host.worker.state::<process::Hub>();
    assert!(programs.find(1).is_some());
    drop(host);
    assert!(programs.find(1).is_none());
}

#[tokio::test]
async fn sockets_speak_with_a_server() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let server = async move {
        let (mut stream, _) = listener.accept().await.expect("a client");
        let mut seen = [0; 6];
        stream.read_exact(&mut seen).await.expect("a line");
        stream.write_all(b"to you\r\nmore").await.expect("it is sent");
        drop(stream);
        String::from_utf8_lossy(&seen).into_owned()
    };
    let code = format!(
        "local sock = ngx.socket.tcp()
        assert(sock:connect('127.0.0.1', {port}))
        assert(sock:send({{ 'hel', 'lo', '\\n' }}))
        ngx.log(ngx.WARN, sock:receive())
        ngx.log(ngx.WARN, sock:receive(4))
        ngx.log(ngx.WARN, select(2, sock:receive(1)))
        sock:connect('127.0.0.1', 0)"
    );
    let host = connection();
    let (ended, seen) = tokio::task::LocalSet::new().run_until(async { tokio::join!(run(&host, &code), server) }).await;
    assert!(matches!(ended, Completion::Returned), "{ended:?}");
    assert_eq!(seen, "hello\n");
    let lines = host.lines.borrow();
    for (line, end) in lines.iter().zip(["to you", "more", "closed", "connect() failed (111: Connection refused)"]) {
        assert!(line.ends_with(&format!("{end} [preread_by_lua*]")), "{lines:?}");
    }
    assert_eq!(lines.len(), 4);
}
