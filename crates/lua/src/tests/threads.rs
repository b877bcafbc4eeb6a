//! Coroutines across suspension, light threads, the end of a job.

use super::*;

#[test]
fn pcall_and_iterators_survive_suspension() {
    let (vm, _) = machine();
    assert_eq!(says(&vm, "say(pcall(nap, 2, 'a')) say(xpcall(function() return nap(1, 'b') end, print))"), "trueatrue\ntruebtrue\n");
    assert_eq!(says(&vm, "for v in function(_, k) k = (k or 0) + 1 nap(1) return k < 4 and k or nil end do say(v) end"), "1\n2\n3\n");
    assert_eq!(says(&vm, "local t = setmetatable({}, { __index = function(_, k) return (nap(1, k)) end }) say(t.deep)"), "deep\n");
    assert_eq!(says(&vm, "say(pcall(function() nap(1) error({ 1 }) end))").split(':').next(), Some("falsetable"));
}

#[test]
fn suspension_passes_through_a_chain_of_coroutines() {
    let (vm, _) = machine();
    let code = "
        local co = coroutine.create(function(a)
            local inner = coroutine.wrap(function() say(nap(2, 'in')) coroutine.yield('y', nil) return nap(1, 'end') end)
            say(a, select('#', inner()))
            local b = coroutine.yield('out')
            say(b, inner())
            return 'last'
        end)
        say(coroutine.resume(co, 'one'))
        say(coroutine.status(co))
        say(coroutine.resume(co, 'two'))
        say(coroutine.status(co), coroutine.resume(co))";
    assert_eq!(says(&vm, code), "intrue\none2\ntrueout\nsuspended\ntwoendtrue\ntruelast\ndeadfalsecannot resume dead coroutine\n");
}

#[test]
fn as_many_values_come_out_of_a_coroutine_that_waited_as_were_yielded() {
    let (vm, _) = machine();
    let code = "
        local co = coroutine.create(function() nap(1) coroutine.yield() nap(1) coroutine.yield(nil) nap(1) end)
        for _ = 1, 3 do say(select('#', coroutine.resume(co))) end";
    assert_eq!(says(&vm, code), "1\n2\n1\n");
}

/// Coroutines within coroutines: an error, not the end of the process; and the count is right afterwards, also across waits.
#[test]
fn coroutines_without_end_are_an_error() {
    // As the threads that run Lua have it.
    std::thread::Builder::new().stack_size(crate::STACK).spawn(endless_coroutines).unwrap().join().unwrap();
}

fn endless_coroutines() {
    let (vm, _) = machine();
    let code = "
        local function wrapped(n) return coroutine.wrap(function() return wrapped(n + 1) end)() end
        local function resumed(n)
            local ok, why = coroutine.resume(coroutine.create(function() return resumed(n + 1) end))
            return ok and why or error(why, 0)
        end
        local function fine(n) if n == 0 then nap(1) return 'ok' end return coroutine.wrap(function() return fine(n - 1) end)() end
        for _, f in ipairs{wrapped, resumed} do say((select(2, pcall(f, 1)):gsub('^.*: ', ''))) end
        for i = 1, 3 do say(fine(1000)) end";
    assert_eq!(says(&vm, code), "C stack overflow\nC stack overflow\nok\nok\nok\n");
}

#[test]
fn a_coroutine_inside_a_call_is_not_resumable_by_others() {
    let (vm, _) = machine();
    let code = "
        local co = coroutine.create(function() nap(3, 'x') say('co goes on') end)
        local t = ngx.thread.spawn(function() coroutine.resume(co) end)
        say(coroutine.status(co), ' ', coroutine.status(t))
        say(select(2, coroutine.resume(co)))
        say(select(2, coroutine.resume(t)))
        say(pcall(coroutine.wrap, 1))";
    assert_eq!(
        says(&vm, code),
        "running normal\ncannot resume running coroutine\ncannot resume normal coroutine\n\
         falsebad argument #1 to 'wrap' (function expected)\nco goes on\n"
    );
}

#[test]
fn a_yield_at_the_top_gives_way_to_others() {
    let (vm, _) = machine();
    assert_eq!(says(&vm, "say(select('#', coroutine.yield(1, 2))) say('on')"), "0\non\n");
    let code = "
        ngx.thread.spawn(function() for i = 1, 2 do say('a', i) coroutine.yield() end end)
        ngx.thread.spawn(function() for i = 1, 2 do say('b', i) coroutine.yield() end end)
        say('main') coroutine.yield() say('main 2')";
    assert_eq!(says(&vm, code), "a1\nb1\na2\nmain\nb2\nmain 2\n");
}

#[test]
fn spawn_runs_the_thread_at_once() {
    let (vm, _) = machine();
    let code = "
        local t = ngx.thread.spawn(function(a, b) say('t ', a, b) nap(1) say('t 2') end, 1, nil)
        say(type(t), ' ', coroutine.status(t))
        local z = ngx.thread.spawn(function() end)
        say(coroutine.status(z))
        say(select(2, coroutine.resume(z)))
        say('end')";
    assert_eq!(says(&vm, code), "t 1nil\nthread running\nzombie\ncannot resume zombie coroutine\nend\nt 2\n");
    let error = fails(&vm, "local t = ngx.thread.spawn(print)");
    assert!(error.message.ends_with(b":1: bad argument #1 to 'spawn' (Lua function expected)"), "{error}");
}

#[test]
fn wait_returns_for_the_first_to_end() {
    let (vm, log) = machine();
    let code = "
        local spawn, wait = ngx.thread.spawn, ngx.thread.wait
        local slow = spawn(function() nap(5) return 'slow' end)
        local quick = spawn(function() nap(1) return 'quick', nil, 3 end)
        say(wait(slow, quick))
        say(wait(quick))
        say(wait(slow))
        local done = spawn(function() return 1, 2 end)
        say(wait(done)) say(wait(done))
        local bad = spawn(function() nap(1) error('oops') end)
        say(wait(bad))
        local worse = spawn(function() error('now') end)
        say(wait(worse))";
    let file = "content_by_lua(nginx.conf:42)";
    assert_eq!(
        says(&vm, code),
        format!(
            "truequicknil3\nnilalready waited or killed\ntrueslow\ntrue12\nnilalready waited or killed\n\
             falseoops{file}:10: oops\nfalsenow{file}:12: now\n"
        )
    );
    assert_eq!(log.aborted.borrow().len(), 2);
    assert!(log.aborted.borrow()[0].starts_with(&format!("runtime error: {file}:10: oops\nstack traceback:\ncoroutine 0:")));
}

#[test]
fn only_parents_wait_and_kill() {
    let (vm, _) = machine();
    let code = "
        local spawn, wait, kill = ngx.thread.spawn, ngx.thread.wait, ngx.thread.kill
        local child
        local t = spawn(function() child = spawn(function() nap(9) say('never') end) nap(5) say(kill(child)) say(kill(child)) end)
        nap(1) say(kill(child)) say(pcall(wait, child)) say(pcall(wait)) say(pcall(wait, 1))
        say(kill(coroutine.create(print))) say(pcall(wait, coroutine.running())) say(pcall(kill, 1))
        local z = spawn(function() end) say(kill(z)) say(kill(z))
        wait(t)";
    assert_eq!(
        says(&vm, code),
        "nilkiller not parent\nfalseonly the parent coroutine can wait on the thread\n\
         falseat least one coroutine should be specified\nfalsebad argument #1 to 'wait' (lua thread expected)\n\
         nilnot user thread\nfalseattempt to wait on a coroutine that is not a user thread\n\
         falsebad argument #1 to 'kill' (lua thread expected)\nnilalready terminated\nnilalready waited or killed\n\
         1\nnilalready waited or killed\n"
    );
}

#[test]
fn the_job_lasts_until_its_threads_end() {
    let (vm, _) = machine();
    let code = "ngx.thread.spawn(function() ngx.thread.spawn(function() nap(4) say('last') end) nap(2) say('middle') end) say('entry')";
    assert_eq!(says(&vm, code), "entry\nmiddle\nlast\n");
    let error = fails(&vm, "ngx.thread.spawn(function() nap(50) say('never') end) nap(1) error('entry dies')");
    assert!(error.message.ends_with(b"entry dies"));
}

#[test]
fn an_exit_never_returns_and_kills_the_rest() {
    let (vm, _) = machine();
    let bodies = [
        "exit(7) say('never')",
        "nap(2) pcall(exit, 7) say('never')",
        "coroutine.wrap(function() nap(1) exit(7) end)() say('never')",
        "ngx.thread.spawn(function() nap(1) exit(7) end) nap(9) say('never')",
        "ngx.thread.spawn(function() nap(9) say('never') end) exit(7)",
    ];
    for body in bodies {
        let (outcome, said) = run(&vm, body);
        assert!(matches!(outcome, Completion::Finished(7)), "{body}: {outcome:?}");
        assert_eq!(said, "", "{body}");
    }
    assert_eq!(says(&vm, "say('fresh')"), "fresh\n");
}

#[test]
fn dropping_a_job_drops_what_it_waits_for() {
    let (vm, _) = machine();
    let request = Rc::new(Request::default());
    let id = chunk(&vm, "ngx.thread.spawn(function() nap(9) end) nap(9) say('never')");
    let Started::Waiting(job) = Job::start(&vm, id, LuaPhase::CONTENT, Rc::clone(&request) as Rc<dyn Host>) else {
        panic!("it did not wait");
    };
    assert_eq!(request.drops.get(), 0);
    drop(job);
    assert_eq!(request.drops.get(), 2);
    assert_eq!(Rc::strong_count(&request), 1);
    assert_eq!(says(&vm, "say('on')"), "on\n");
}

#[test]
fn killing_a_thread_drops_its_operation() {
    let (vm, _) = machine();
    let request = Rc::new(Request::default());
    let id = chunk(&vm, "local t = ngx.thread.spawn(function() nap(9) end) say(ngx.thread.kill(t)) nap(3)");
    let started = Job::start(&vm, id, LuaPhase::CONTENT, Rc::clone(&request) as Rc<dyn Host>);
    assert_eq!(request.drops.get(), 1);
    assert!(matches!(drive(started), Completion::Returned));
    assert_eq!(*request.said.borrow(), "1\n");
}

#[test]
fn many_threads_and_collections() {
    let (vm, _) = machine();
    let code = "
        local ts, sum = {}, 0
        for i = 1, 200 do ts[i] = ngx.thread.spawn(function() nap(i % 5) collectgarbage('step') return i end) end
        collectgarbage()
        for i = 1, 200 do local ok, v = ngx.thread.wait(ts[i]) sum = sum + v end
        say(sum)";
    for _ in 0..3 {
        assert_eq!(says(&vm, code), "20100\n");
    }
}

#[test]
fn a_refused_suspension_leaves_nothing_behind() {
    let (vm, _) = machine();
    let code = "
        local function sorted(f) return pcall(table.sort, { 2, 1 }, f) end
        say(sorted(function(a, b) nap(3) return a < b end))
        say(sorted(function(a, b) ngx.thread.spawn(function() say('never') end) return a < b end))
        coroutine.yield()
        say(nap(1, 'on'))";
    let refused = "falseattempt to yield across C-call boundary\n";
    assert_eq!(says(&vm, code), format!("{refused}{refused}ontrue\n"));
}

#[test]
fn a_kept_function_runs_later_with_the_globals_of_its_handler() {
    fn later(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
        let callback = stack.reference(1).ok_or("nothing to keep")?;
        cx.host::<RefCell<Option<Ref>>>().ok_or("no holder")?.replace(Some(callback));
        cx.detach_globals();
        Ok(0)
    }
    let (vm, log) = machine();
    vm.bind(&Group {
        name: "later",
        rows: vec![Row::calls("later", PhaseSet::EVERYWHERE, later)],
        glue: "local b = ... b.G.later = b.R.later",
    })
    .expect("binds");
    let holder: Rc<RefCell<Option<Ref>>> = Rc::default();
    let host = Rc::clone(&holder) as Rc<dyn Host>;
    let code = "later(function(premature, n) mine = n nap(1) say(premature, mine) end)";
    assert!(matches!(drive(Job::start(&vm, chunk(&vm, code), LuaPhase::CONTENT, host)), Completion::Returned));
    let callback = holder.take().expect("kept");
    let request = Rc::new(Request::default());
    let push = |s: &mut Stack<'_>| {
        s.push_bool(false);
        s.push_number(5.0);
        2
    };
    let started = Job::call(&vm, &callback, push, LuaPhase::CONTENT, Rc::clone(&request) as Rc<dyn Host>);
    assert_eq!(says(&vm, "say(mine)"), "nil\n");
    assert!(matches!(drive(started), Completion::Returned));
    assert_eq!(*request.said.borrow(), "false5\n");
    assert_eq!(says(&vm, "say(mine)"), "nil\n");
    assert_eq!(log.globals.borrow().len(), 1);
}

#[test]
fn a_thread_in_reserve_runs_only_when_it_is_roused() {
    let (vm, _) = machine();
    let code = "say(pcall(reserve, 1)) say(reserve(function() say('roused') nap(1) say('done') end), reserve(print)) nap(4) say('end')";
    let quiet = "falsebad argument #1 to 'reserve' (Lua function expected)\ntruefalse\n";
    assert_eq!(says(&vm, code), format!("{quiet}end\n"));
    for times in [1, 2] {
        let request = Rc::new(Request::default());
        let host = Rc::clone(&request) as Rc<dyn Host>;
        let Started::Waiting(mut job) = Job::start(&vm, chunk(&vm, code), LuaPhase::CONTENT, host) else { panic!("it waits") };
        for time in 0..times {
            assert_eq!(job.wake_standby(), time == 0);
        }
        assert!(matches!(drive(Started::Waiting(job)), Completion::Returned));
        assert_eq!(*request.said.borrow(), format!("{quiet}roused\ndone\nend\n"));
    }
    let forgotten = Job::start(&vm, chunk(&vm, code), LuaPhase::CONTENT, Rc::new(Request::default()));
    drop(forgotten);
    assert_eq!(says(&vm, "say(reserve(function() end))"), "true\n");
}

#[test]
fn a_handler_that_ends_by_its_last_call_leaves_its_coroutine_to_the_next() {
    let (vm, _) = machine();
    for (code, left) in [
        ("return exit(7)", true),
        ("return leave(7)", true),
        ("nap(1) return leave(7)", true),
        ("local function f() return exit(7) end return f()", true),
        ("exit(7) say('never')", false),
        ("leave(7) say('never')", false),
        ("local function f() leave(7) say('never') end return f()", false),
        ("pcall(function() return exit(7) end) say('never')", false),
        ("return coroutine.wrap(function() return exit(7) end)()", false),
        ("coroutine.wrap(function() return leave(7) end)() say('never')", false),
        ("ngx.thread.spawn(function() return leave(7) end) nap(9) say('never')", false),
        ("ngx.thread.spawn(function() nap(9) say('never') end) return leave(7)", true),
    ] {
        let (outcome, said) = run(&vm, &format!("string.last = coroutine.running() {code}"));
        assert!(matches!(outcome, Completion::Finished(7)) && said.is_empty(), "{code}: {outcome:?} {said}");
        assert_eq!(says(&vm, "say(string.last == coroutine.running())"), format!("{left}\n"), "{code}");
    }
}
