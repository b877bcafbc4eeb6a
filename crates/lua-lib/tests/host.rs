//! The libraries under a host that is of no protocol: what code of `stream` will have.
#![allow(clippy::expect_used)]

use base::log::{ErrorLog, Level};
use lua::{Completion, Job, LuaPhase, Started};
use lua_lib::host::{Heirs, Resources, Subject};
use lua_lib::pipe::process::Hub;
use lua_lib::{Host, Machine, Runtime, machines};
use session::Worker;
use std::any::Any;
use std::cell::RefCell;
use std::rc::Rc;

/// A connection of some protocol.
struct Connection {
    runtime: Rc<Runtime>,
    machine: Rc<Machine>,
    worker: Rc<Worker>,
    lines: Rc<RefCell<Vec<String>>>,
    resources: Resources,
}

impl Connection {
    fn another(&self) -> Rc<Connection> {
        Rc::new(Connection {
            runtime: self.runtime.clone(),
            machine: self.machine.clone(),
            worker: self.worker.clone(),
            lines: self.lines.clone(),
            resources: Resources::default(),
        })
    }
}

impl lua::Host for Connection {
    fn show(self: Rc<Self>, view: &mut dyn Any) {
        if let Some(view) = view.downcast_mut::<Option<Rc<dyn Host>>>() {
            *view = Some(self);
        }
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
        level <= Level::Warn
    }

    fn log(&self, level: Level, message: &[u8], context: &str) {
        if self.log_enabled(level) {
            self.lines.borrow_mut().push(format!("{} [{context}]", String::from_utf8_lossy(message)));
        }
    }

    fn resources(&self) -> &Resources {
        &self.resources
    }

    fn subject(&self) -> Option<Box<dyn Subject>> {
        None
    }

    fn heirs(&self) -> Heirs {
        let first = self.another();
        Box::new(move || first.another())
    }
}

fn connection() -> Rc<Connection> {
    let runtime = Rc::new(Runtime::default());
    let zone = shm::Zone::new("d", shm::dict::OWNER, 64 << 10).expect("a zone");
    runtime.dicts.borrow_mut().push(Rc::new(zone));
    let machine = machines::common(&runtime).expect("a machine").clone();
    let spawn = |future| {
        tokio::task::spawn_local(future);
    };
    let worker = Rc::new(Worker::new(2, 3, ErrorLog::new(Vec::new()), spawn));
    Rc::new(Connection { runtime, machine, worker, lines: Rc::default(), resources: Resources::default() })
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
async fn what_code_has_opened_is_closed_with_its_host() {
    let host = connection();
    let local = tokio::task::LocalSet::new();
    let ended = local.run_until(run(&host, "require('ngx.pipe').spawn({ 'sleep', '600' }) ngx.timer.at(3600, print)")).await;
    assert!(matches!(ended, Completion::Returned), "{ended:?}");
    let programs = host.worker.state::<Hub>();
    assert!(programs.find(1).is_some());
    drop(host);
    assert!(programs.find(1).is_none());
}
