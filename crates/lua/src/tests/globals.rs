//! Every handler has its own globals; a slot is used again as long as its globals stay clean.

use super::*;

#[test]
fn writes_do_not_reach_the_next_handler() {
    let (vm, log) = machine();
    assert_eq!(says(&vm, "say(foo) foo = 1 say(foo, _G.foo)"), "nil\n11\n");
    // A name is told of once.
    assert_eq!(says(&vm, "say(foo) foo = 1 say(foo, _G.foo) bar = 2"), "nil\n11\n");
    assert_eq!(log.globals.borrow().len(), 2);
    let globals = log.globals.borrow();
    let (name, traceback) = &globals[0];
    assert_eq!(name, "foo");
    assert!(traceback.ends_with("content_by_lua(nginx.conf:42):1: in main chunk"), "{traceback}");
}

#[test]
fn what_a_module_creates_is_everybodys_and_told_of() {
    let (vm, log) = machine();
    vm.preload("leaky", "leak = 1 return function() late = 2 end").expect("preload");
    vm.preload("early", "begun = 1").expect("preload");
    vm.run_init(chunk(&vm, "require('early') own = 1"), LuaPhase::INIT, None).expect("init");
    vm.run_init(chunk(&vm, "require('leaky')() package.loaded.leaky, leak, late = nil"), LuaPhase::INIT_WORKER, None).expect("init_worker");
    assert_eq!(log.globals.borrow().len(), 0);
    assert_eq!(says(&vm, "require('leaky')() say(leak, late, begun, own)"), "1211\n");
    assert_eq!(says(&vm, "say(leak, late)"), "12\n");
    let names: Vec<String> = log.globals.borrow().iter().map(|(name, _)| name.clone()).collect();
    assert_eq!(names, ["leak", "late"]);
}

#[test]
fn the_table_of_globals_is_the_handlers_own() {
    let (vm, _) = machine();
    let same = "say(_G == getfenv(0), _G == getfenv(1), _G._G == _G, _G.print == print)";
    assert_eq!(says(&vm, same), "truetruetruetrue\n");
    assert_eq!(says(&vm, "_G.x = 5 say(x) loadstring('y = x + 1')() say(y)"), "5\n6\n");
    assert_eq!(says(&vm, "say(x, y)"), "nilnil\n");
    assert_eq!(says(&vm, "_G = 7 say(_G)"), "7\n");
    assert_eq!(says(&vm, "say(type(_G))"), "table\n");
}

#[test]
fn a_walk_through_the_globals_finds_the_real_ones_too() {
    let (vm, _) = machine();
    let walk = "x = 1 local seen, twice = {}, 0 for k, v in pairs(_G) do if seen[k] then twice = twice + 1 end seen[k] = v end \
                say(seen.x, seen.print == print, seen._G == _G, seen.say == say, twice)";
    assert_eq!(says(&vm, walk), "1truetruetrue0\n");
    assert_eq!(
        says(&vm, "setmetatable(_G, { __index = {} }) local seen = {} for k in pairs(_G) do seen[k] = true end say(seen.print)"),
        "true\n"
    );
}

#[test]
fn tampering_with_the_environment_ends_with_the_handler() {
    let (vm, _) = machine();
    assert_eq!(says(&vm, "local s = say setfenv(1, { say = s }) say(print) say = s"), "nil\n");
    assert_eq!(says(&vm, "say(print ~= nil)"), "true\n");
    assert_eq!(says(&vm, "local s = say setfenv(0, {}) s('x')"), "x\n");
    assert_eq!(says(&vm, "say(getfenv(0) == _G)"), "true\n");
    assert_eq!(says(&vm, "setmetatable(_G, nil)"), "");
    assert_eq!(says(&vm, "say(getmetatable(_G) ~= nil)"), "true\n");
}

#[test]
fn a_handlers_metatable_of_its_globals_leaves_the_real_ones() {
    let (vm, log) = machine();
    let strict = "local mt = { __index = function(_, k) error('no ' .. k, 2) end, __newindex = function(_, k) error('not ' .. k, 2) end }
        say(setmetatable(_G, mt) == _G, getmetatable(_G) == mt, type(print))
        say(pcall(function() return foo end)) say(pcall(function() foo = 1 end))
        mt.__newindex, mt.__index = nil, { bar = 2 } foo = 3 say(foo, bar, baz)
        setmetatable(_G, { __index = string, __metatable = false }) say(foo, upper('x'), pcall(setmetatable, _G, nil))";
    let place = "content_by_lua(nginx.conf:42)";
    let expected =
        format!("truetruefunction\nfalse{place}:3: no foo\nfalse{place}:3: not foo\n32nil\n3Xfalsecannot change a protected metatable\n");
    assert_eq!(says(&vm, strict), expected);
    assert_eq!(says(&vm, "say(bar, foo, upper)"), "nilnilnil\n");
    assert_eq!(log.globals.borrow().len(), 0);
    assert_eq!(says(&vm, "setmetatable(_G, nil) say(type(print), foo)"), "functionnil\n");
    // For all other tables it is Lua's own.
    let usual = "local t = setmetatable({}, { __index = { x = 1 } }) say(t.x, setmetatable(t, nil).x)
        say(pcall(setmetatable, setmetatable({}, { __metatable = 1 }), nil)) say(pcall(setmetatable, 1, nil)) say(pcall(setmetatable, {}, 1))
        say(pcall(function() setmetatable(nil, {}) end))";
    let expected = format!(
        "1nil\nfalsecannot change a protected metatable\nfalsebad argument #1 to 'setmetatable' (table expected, got number)\n\
         falsebad argument #2 to 'setmetatable' (nil or table expected)\n\
         false{place}:3: bad argument #1 to 'setmetatable' (table expected, got nil)\n"
    );
    assert_eq!(says(&vm, usual), expected);
}

#[test]
fn suspended_handlers_keep_their_globals_apart() {
    let (vm, _) = machine();
    let id = chunk(&vm, "mine = (mine or 0) + 1 nap(2) say(mine) mine = mine + 1 nap(1) say(mine)");
    let requests: Vec<Rc<Request>> = (0..3).map(|_| Rc::new(Request::default())).collect();
    let jobs: Vec<Started> = requests.iter().map(|r| Job::start(&vm, id, LuaPhase::CONTENT, Rc::clone(r) as Rc<dyn Host>)).collect();
    for job in jobs {
        assert!(matches!(drive(job), Completion::Returned));
    }
    for request in requests {
        assert_eq!(*request.said.borrow(), "1\n2\n");
    }
}

#[test]
fn a_clean_slot_is_used_again_with_its_closures() {
    let (vm, _) = machine();
    vm.run_init(chunk(&vm, "seen = {} n = 0"), LuaPhase::INIT, None).expect("init");
    let handler = "local me = coroutine.running() local f = debug.getinfo(1, 'f').func
        if not seen[me] or not seen[f] then n_of.n = n_of.n + 1 end seen[me] = true seen[f] = true";
    vm.run_init(chunk(&vm, "n_of = { n = 0 }"), LuaPhase::INIT, None).expect("init");
    for _ in 0..5 {
        says(&vm, handler);
    }
    assert_eq!(says(&vm, "say(n_of.n)"), "1\n");
}

#[test]
fn modules_have_the_real_globals() {
    let (vm, log) = machine();
    vm.preload("counter", "shared = (shared or 0) + 1 return { get = function() shared = shared + 1 return shared end }").expect("preload");
    assert_eq!(says(&vm, "say(require('counter').get())"), "2\n");
    assert_eq!(says(&vm, "say(require('counter').get()) say(shared)"), "3\n3\n");
    assert_eq!(log.globals.borrow().len(), 1);
}

#[test]
fn no_way_of_writing_reaches_the_next_handler() {
    let (vm, _) = machine();
    let clean = "local n = 0 for _ in next, _G do n = n + 1 end say(n, _G._G == _G, #_G, getmetatable(_G) ~= nil)";
    for write in [
        "rawset(_G, 'x', 1)",
        "table.insert(_G, 'x')",
        "_G._G = nil",
        "_G._G = nil rawset(_G, 'x', _G)",
        "rawset(_G, 1.5, true)",
        "for i = 1, 9 do rawset(_G, i, i) end for i = 1, 9 do rawset(_G, i, nil) end rawset(_G, '_G', 0)",
        "rawset(_G, true, 1) rawset(_G, '_G', nil)",
        "setmetatable(_G, {})",
    ] {
        says(&vm, write);
        assert_eq!(says(&vm, clean), "1true0true\n", "{write}");
    }
}
