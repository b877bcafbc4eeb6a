//! The three kinds of rows: phases, errors, panics, results, and traces that stay compiled.

use super::*;

fn sum(_: &CallContext, a: f64, text: &[u8], b: i64, c: i32, tail: &[u8]) -> i64 {
    a as i64 + b + i64::from(c) + (text.len() * 100 + tail.len() * 1000) as i64
}

fn crash(_: &CallContext) -> i32 {
    panic!("a bug")
}

fn upper(cx: &CallContext, text: &[u8]) {
    cx.fill(|out| out.extend(text.iter().map(u8::to_ascii_uppercase)));
}

fn half(_: &CallContext, n: f64) -> f64 {
    n / 2.0
}

fn crash_call(_: &CallContext, _: &mut Stack<'_>) -> Result<usize, Raise> {
    panic!("a bug")
}

fn flip(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    if stack.kind(1) != Type::Table {
        return Err(stack.mismatch(1, "flip", "table"));
    }
    stack.push_table(0, 4);
    let out = stack.top();
    stack.for_each(1, |s, key, value| {
        let name = s.bytes(value).ok_or("only strings")?.to_vec();
        s.push_copy(key);
        s.set_field(out, &name);
        Ok(())
    })?;
    Ok(1)
}

fn crash_later(_: &CallContext, stack: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let at_once = stack.truthy(1);
    Ok(Suspension::wait(|| async move {
        if at_once {
            panic!("a bug");
        }
        Nap { left: 1, reply: Some(Ok(Reply::Empty)), drops: Rc::default() }.await?;
        panic!("a late bug")
    }))
}

fn table_later(_: &CallContext, _: &mut Stack<'_>) -> Result<Suspension, Raise> {
    let nap = Nap { left: 2, reply: Some(Ok(Reply::Empty)), drops: Rc::default() };
    Ok(Suspension::wait(|| async move {
        nap.await?;
        Ok(Reply::with(|s| {
            s.push_table(1, 0);
            s.push_bytes(b"made");
            s.set_item(1, 1);
            Ok(1)
        }))
    }))
}

/// What a library's row sees: the host by a trait, without its type.
fn heard(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    assert!(cx.host_as::<dyn Fn()>().is_none());
    let speaker = cx.host_as::<dyn Speaker>().ok_or("nobody speaks")?;
    stack.push_bytes(speaker.has_said().as_bytes());
    Ok(1)
}

fn has_spoken(cx: &CallContext) -> bool {
    assert!(cx.with_host_as::<dyn Fn(), _>(|other| other.is_none()));
    cx.with_host_as::<dyn Speaker, _>(|speaker| speaker.is_some_and(|speaker| !speaker.has_said().is_empty()))
}

fn keep_first(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let kept = stack.reference(1).ok_or("nothing to keep")?;
    assert!(cx.host::<Request>().is_some() && cx.host::<String>().is_none());
    stack.push_ref(&kept);
    Ok(1)
}

/// Items that no list can have: they are not those whose number has the same lower bits.
fn far(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    const FAR: usize = (1 << 32) + 1;
    stack.push_bytes(b"far");
    stack.set_item(1, FAR);
    let kinds = [stack.get_item(1, FAR), stack.get_item(1, 1)];
    stack.push_bytes(format!("{kinds:?} {}", stack.top()).as_bytes());
    Ok(1)
}

/// Containers, each of which says how many values it has, the last of them too many or too deep.
fn build(_: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
    let (items, keys) = (stack.number(1).unwrap_or_default() as usize, stack.number(2).unwrap_or_default() as usize);
    let mut builder = Builder::new(stack, 2, None).ok_or("no room")?;
    builder.array(1);
    if keys > 0 {
        builder.object(keys);
        builder.string(b"key");
    } else {
        builder.array(items);
    }
    builder.null();
    builder.finish().map(|()| 1)
}

const ANY: u32 = PhaseSet::EVERYWHERE.bits();

fn rows() -> (Vm, Rc<Log>) {
    let (vm, log) = machine();
    let all = PhaseSet::EVERYWHERE;
    vm.bind(&Group {
        name: "rows",
        rows: vec![
            Row::fast::<ANY, _, _>("sum", sum),
            Row::fast::<ANY, _, _>("crash", crash),
            Row::fast::<ANY, _, _>("upper", upper),
            Row::fast::<ANY, _, _>("half", half),
            Row::fast::<ANY, _, _>("is_empty", |_: &CallContext, text: &[u8]| text.is_empty()),
            Row::fast::<ANY, _, _>("has_spoken", has_spoken),
            Row::constant("ROUND", -7),
            Row::calls("crash_call", all, crash_call),
            Row::calls("flip", all, flip),
            Row::calls("only_log", PhaseSet::of(LuaPhase::LOG), flip),
            Row::suspends("crash_later", all, crash_later),
            Row::suspends("table_later", all, table_later),
            Row::calls("keep_first", all, keep_first),
            Row::calls("heard", all, heard),
            Row::calls("far", all, far),
            Row::calls("build", all, build),
        ],
        glue: "
            local b = ...
            local C, cx, text = b.C, b.cx, b.text
            b.G.R, b.G.C, b.G.cx, b.G.text = b.R, C, cx, text
            function b.G.crash() if C.crash(cx) < 0 then error(text(), 2) end end
            function b.G.round() return K.ROUND end
            function b.G.upper(s) C.upper(cx, s, #s) return text() end",
    })
    .expect("binds");
    (vm, log)
}

#[test]
fn fast_rows_cross_all_kinds_of_values() {
    let (vm, _) = rows();
    assert_eq!(says(&vm, "say(tonumber(C.sum(cx, 1, 'abc', 3, 2, 4, 'zz', 2)))"), "2307\n");
    assert_eq!(says(&vm, "say(upper('a\\0b') == 'A\\0B', upper(''), C.half(cx, 3))"), "true1.5\n");
}

#[test]
fn items_beyond_all_lists_are_none() {
    let (vm, _) = rows();
    assert_eq!(says(&vm, "say(R.far({'near'}))"), "[Nil, String] 3\n");
}

#[test]
fn what_no_table_can_hold_is_refused_before_lua_raises() {
    let (vm, _) = rows();
    for (values, expected) in [
        ("1, 0", "true table: "),
        ("2, 0", "false the value is not complete"),
        ("2 ^ 27 + 1, 0", "false table overflow"),
        ("2 ^ 53, 0", "false table overflow"),
        ("0, 1", "true table: "),
        ("0, 2", "false the value is not complete"),
        ("0, 2 ^ 25 + 1", "false table overflow"),
    ] {
        let said = says(&vm, &format!("local ok, got = pcall(R.build, {values}) say(tostring(ok) .. ' ' .. tostring(got))"));
        assert!(said.starts_with(expected), "{values}: {said}");
    }
}

#[test]
fn fast_rows_answer_yes_or_no() {
    let (vm, _) = rows();
    let code = "local n = 0 for i = 1, 300 do if C.is_empty(cx, '', i % 3) then n = n + 1 end end say(n, C.is_empty(cx, 'a', 1))";
    assert_eq!(says(&vm, code), "100false\n");
}

#[test]
fn glue_knows_constants_by_name() {
    let (vm, _) = rows();
    assert_eq!(says(&vm, "say(round())"), "-7\n");
    let error = vm.bind(&Group { name: "wrong", rows: Vec::new(), glue: "return K.NOTHING" }).expect_err("an unknown name");
    assert!(error.to_string().contains("no constant is called NOTHING"), "{error}");
}

/// Compiled code runs finalizers between any two of its instructions: what they note is never lost.
#[test]
fn what_finalizers_note_is_read_once_and_whole() {
    let (vm, _) = machine();
    let glue = "
        local b = ...
        local ffi = require 'ffi'
        local number = ffi.typeof('struct { double id; }')
        local note, noted = b.finalized()
        local made, seen = 0, 0
        local function finalize(object) note(object.id) end
        local function make()
            local dead = noted()
            for i = 1, dead and #dead or 0 do seen = seen + 1 end
            local object = number()
            made = made + 1
            object.id = made
            ffi.gc(object, finalize)
            return setmetatable({ object = object }, {})
        end
        function b.G.lost()
            for _ = 1, 100 do
                for _ = 1, 300 do make() end
                coroutine.wrap(make)()
            end
            collectgarbage() collectgarbage()
            make()
            return made - seen
        end";
    vm.bind(&Group { name: "objects", rows: Vec::new(), glue }).expect("binds");
    // The last object lives.
    assert_eq!(says(&vm, "say(lost())"), "1\n");
}

#[test]
fn panics_become_errors_that_name_the_caller() {
    let (vm, _) = rows();
    let bug = "content_by_lua(nginx.conf:42):1: internal error: a native function panicked";
    for call in ["crash()", "R.crash_call()", "R.crash_later(true)", "R.crash_later(false)"] {
        assert_eq!(says(&vm, &format!("local ok, e = pcall(function() {call} end) say(e)")), format!("{bug}\n"), "{call}");
    }
}

#[test]
fn libraries_see_the_host_by_a_trait() {
    let (vm, _) = rows();
    assert_eq!(says(&vm, "say(C.has_spoken(cx)) say(C.has_spoken(cx))"), "false\ntrue\n");
    assert_eq!(says(&vm, "say('a') say(R.heard())"), "a\na\n\n");
    let holder: Rc<dyn Host> = Rc::new(vm.clone());
    let error = vm.run_now(chunk(&vm, "return R.heard()"), LuaPhase::LOG, Some(holder), |_| 0, |_| ()).expect_err("another host");
    assert!(error.to_string().contains("nobody speaks"), "{error}");
}

#[test]
fn errors_of_calls_name_the_caller() {
    let (vm, _) = rows();
    assert_eq!(says(&vm, "local t = R.flip { 'a', b = 'c' } say(t.a, t.c)"), "1b\n");
    let error = fails(&vm, "\nlocal x = R.flip(1)");
    assert_eq!(
        String::from_utf8_lossy(&error.message),
        "content_by_lua(nginx.conf:42):2: bad argument #1 to 'flip' (table expected, got number)"
    );
    assert_eq!(says(&vm, "say(pcall(R.flip, { {} }))").trim(), "falseonly strings");
    assert_eq!(says(&vm, "local t = {} say(R.keep_first(t) == t)"), "true\n");
}

#[test]
fn phases_are_checked() {
    let (vm, _) = rows();
    let error = fails(&vm, "local x = R.only_log({})");
    let text = String::from_utf8_lossy(&error.message).into_owned();
    assert_eq!(text, "content_by_lua(nginx.conf:42):1: API disabled in the context of content_by_lua*");
    let host: Rc<dyn Host> = Rc::new(Request::default());
    let run = |code: &str, host| vm.run_now(chunk(&vm, code), LuaPhase::LOG, host, |_| 0, |_| ());
    let error = run("say('x') return 1", Some(Rc::clone(&host))).expect_err("say is not for the log phase");
    assert!(error.message.ends_with(b":1: API disabled in the context of log_by_lua*"), "{error}");
    let error = run("nap(1) return 1", Some(host)).expect_err("nap is not for the log phase");
    assert!(error.message.ends_with(b"API disabled in the context of log_by_lua*"), "{error}");
    let error = vm.run_init(chunk(&vm, "say('x')"), LuaPhase::INIT, None).expect_err("no request");
    assert!(error.to_string().contains("API disabled in the context of init_by_lua*"), "{error}");
}

#[test]
fn suspended_rows_return_what_the_future_made() {
    let (vm, _) = rows();
    assert_eq!(says(&vm, "say(nap(0, 'now')) say(nap(3, 'later')) say(R.table_later()[1])"), "nowtrue\nlatertrue\nmade\n");
    assert_eq!(says(&vm, "local ok, e = pcall(function() nap(2, 1, true) end) say(e)"), "content_by_lua(nginx.conf:42):1: nap failed\n");
    assert_eq!(says(&vm, "say(select('#', R.table_later()))"), "1\n");
}

#[test]
fn hot_loops_over_fast_rows_stay_compiled() {
    let (vm, _) = rows();
    let code = "
        local traces, aborts = 0, 0
        local function watch(what) if what == 'stop' then traces = traces + 1 elseif what == 'abort' then aborts = aborts + 1 end end
        jit.attach(watch, 'trace')
        local half, upper, C, cx = C.half, upper, C, cx
        local n, length = 0, 0
        for i = 1, 2000 do n = n + half(cx, i) length = length + #upper('abc') end
        jit.attach(watch)
        say(traces > 0, aborts < 3, n, length)";
    // Counters of hot code are shared by address: a try that began inside `upper` may be given up before the loop's.
    assert_eq!(says(&vm, code), "truetrue10005006000\n");
}

#[test]
fn a_whole_handler_is_compiled_over_many_runs() {
    let (vm, _) = rows();
    vm.run_init(
        chunk(&vm, "stats = { stop = 0, abort = 0 } jit.attach(function(w) stats[w] = (stats[w] or 0) + 1 end, 'trace')"),
        LuaPhase::INIT,
        None,
    )
    .expect("init");
    for _ in 0..300 {
        says(&vm, "local x = C.half(cx, 4)");
    }
    assert_eq!(says(&vm, "say(stats.stop > 0, stats.abort)"), "true0\n");
}

#[test]
fn lua_is_not_entered_from_a_fast_row() {
    fn nested(cx: &CallContext) -> i32 {
        let Some(vm) = cx.host::<Vm>() else { return 1 };
        let refused = vm.load_text(b"return 1", "=nested").is_err();
        i32::from(!refused)
    }
    let (vm, _) = rows();
    vm.bind(&Group {
        name: "nested",
        rows: vec![Row::fast::<ANY, _, _>("nested", nested)],
        glue: "local b = ... function b.G.nested() return b.C.nested(b.cx) end",
    })
    .expect("binds");
    let host: Rc<dyn Host> = Rc::new(vm.clone());
    let id = chunk(&vm, "return nested()");
    assert_eq!(vm.run_now(id, LuaPhase::LOG, Some(host), |_| 0, |s| s.number(1)).expect("runs"), Some(0.0));
}

#[test]
fn a_nested_handler_gives_the_host_back() {
    fn inner(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
        let outer = cx.host::<(Vm, Request)>().ok_or("no outer host")?;
        let vm = &outer.0;
        let request: Rc<Request> = Rc::default();
        let id = vm.load_text(b"say('from inside')", "=inner").map_err(|e| e.to_string())?;
        let started = Job::start(vm, id, LuaPhase::CONTENT, Rc::clone(&request) as Rc<dyn Host>);
        let Started::Done(Completion::Returned) = started else {
            return Err("inner did not end".into());
        };
        stack.push_bytes(request.said.borrow().as_bytes());
        stack.push_bool(cx.host::<(Vm, Request)>().is_some() && cx.phase() == Some(LuaPhase::CONTENT));
        Ok(2)
    }
    let (vm, _) = rows();
    vm.bind(&Group {
        name: "nest",
        rows: vec![Row::calls("inner", PhaseSet::EVERYWHERE, inner)],
        glue: "local b = ... b.G.inner = b.R.inner",
    })
    .expect("binds");
    let host: Rc<dyn Host> = Rc::new((vm.clone(), Request::default()));
    let id = chunk(&vm, "nap(1) local a, b = inner() assert(a == 'from inside\\n' and b)");
    assert!(matches!(drive(Job::start(&vm, id, LuaPhase::CONTENT, host)), Completion::Returned));
}

#[test]
fn kept_values_live_as_long_as_their_handle() {
    fn hold(cx: &CallContext, stack: &mut Stack<'_>) -> Result<usize, Raise> {
        let kept = stack.reference(1).ok_or("nothing to keep")?;
        let holder = cx.host::<RefCell<Option<Ref>>>().ok_or("no holder")?;
        holder.replace(Some(kept));
        Ok(0)
    }
    let (vm, _) = machine();
    vm.bind(&Group {
        name: "hold",
        rows: vec![Row::calls("hold", PhaseSet::EVERYWHERE, hold)],
        glue: "local b = ... b.G.hold = b.R.hold b.G.weak = setmetatable({}, { __mode = 'v' })",
    })
    .expect("binds");
    let holder: Rc<RefCell<Option<Ref>>> = Rc::default();
    let run = |code: &str| {
        let host = Rc::clone(&holder) as Rc<dyn Host>;
        vm.run_now(chunk(&vm, code), LuaPhase::LOG, Some(host), |_| 0, |s| s.truthy(1)).expect("runs")
    };
    run("weak[1] = {} hold(weak[1])");
    assert!(run("collectgarbage() return weak[1] ~= nil"));
    holder.replace(None);
    assert!(run("collectgarbage() collectgarbage() return weak[1] == nil"));
}

#[test]
fn a_job_may_be_dropped_inside_a_fast_row() {
    type Holder = RefCell<Option<Job>>;
    fn let_go(cx: &CallContext) -> i32 {
        cx.host::<Holder>().map_or(-1, |h| i32::from(h.take().is_some()))
    }
    let (vm, _) = machine();
    vm.bind(&Group {
        name: "let go",
        rows: vec![Row::fast::<ANY, _, _>("let_go", let_go)],
        glue: "local b = ... function b.G.let_go() return b.C.let_go(b.cx) end",
    })
    .expect("binds");
    let request = Rc::new(Request::default());
    let id = chunk(&vm, "ngx.thread.spawn(function() nap(9) end) nap(9)");
    let Started::Waiting(job) = Job::start(&vm, id, LuaPhase::CONTENT, Rc::clone(&request) as Rc<dyn Host>) else {
        panic!("it did not wait");
    };
    let holder: Rc<dyn Host> = Rc::new(RefCell::new(Some(job)));
    let got = vm.run_now(chunk(&vm, "return let_go()"), LuaPhase::LOG, Some(holder), |_| 0, |s| s.number(1));
    assert_eq!(got.expect("runs"), Some(1.0));
    assert_eq!(says(&vm, "say('on')"), "on\n");
    assert_eq!(request.drops.get(), 2);
}
