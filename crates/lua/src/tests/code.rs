//! Loading, errors and their tracebacks, modules, LuaJIT's missing extensions, C modules.

use super::*;
use std::path::Path;

#[test]
fn an_error_names_its_line_and_the_frames() {
    let (vm, _) = machine();
    let error = fails(&vm, "local function f()\n error('boom')\nend\nlocal x = f()");
    let text = error.to_string();
    assert!(text.starts_with("runtime error: content_by_lua(nginx.conf:42):2: boom\nstack traceback:\ncoroutine 0:\n"));
    assert!(text.contains("\n\tcontent_by_lua(nginx.conf:42):2: in function 'f'"), "{text}");
    assert!(text.ends_with("\n\tcontent_by_lua(nginx.conf:42):4: in main chunk"), "{text}");
    assert_eq!(fails(&vm, "error({})").message, b"unknown reason");
    assert_eq!(fails(&vm, "error()").message, b"unknown reason");
    assert_eq!(says(&vm, "say('alive')"), "alive\n");
}

#[test]
fn an_error_through_wrap_shows_every_coroutine() {
    let (vm, _) = machine();
    let text = fails(
        &vm,
        "local a = coroutine.wrap(function() error('inner') end)
         local b = coroutine.wrap(function() a() end)
         b()",
    )
    .to_string();
    for part in ["nginx.conf:42):1: inner", "coroutine 0:", "coroutine 1:", "coroutine 2:", "in main chunk"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let text = fails(&vm, "local a = coroutine.wrap(function() error('x', 0) end) pcall(a) error('y')").to_string();
    assert!(!text.contains("coroutine 1:"), "{text}");
}

#[test]
fn an_error_of_a_thread_shows_what_its_ancestors_do() {
    let (vm, log) = machine();
    let code = "local function inner() nap(1) error('late') end
        local function middle() ngx.thread.wait(ngx.thread.spawn(inner)) end
        say(ngx.thread.wait(ngx.thread.spawn(middle)))";
    assert_eq!(says(&vm, code), "true\n");
    let text = log.aborted.borrow()[0].clone();
    let coroutines: Vec<&str> = text.split("\ncoroutine ").skip(1).collect();
    let (wait, main) = ("\n\t[C]: in function 'wait'\n\tcontent_by_lua(nginx.conf:42):", ": in main chunk");
    assert!(coroutines[0].starts_with("0:\n\t[C]: in function 'error'\n\tcontent_by_lua(nginx.conf:42):1: in function <"), "{text}");
    assert!(coroutines[1].starts_with(&format!("1:{wait}2: in function <")), "{text}");
    assert!(coroutines[2].starts_with(&format!("2:{wait}3:")) && coroutines[2].ends_with(main), "{text}");
    assert_eq!(coroutines.len(), 3, "{text}");
    let text = fails(&vm, "nap({})").to_string();
    assert!(text.contains("coroutine 0:\n\t[C]: in function 'nap'\n\tcontent_by_lua"), "{text}");
}

#[test]
fn syntax_and_file_errors() {
    let (vm, _) = machine();
    let error = vm.load_text(b"local = 1", "=init_by_lua").expect_err("no syntax");
    assert_eq!(error.kind, ErrorKind::Syntax);
    assert!(error.message.starts_with(b"init_by_lua:1: "));
    let error = vm.load_file(Path::new("/nonexistent/a.lua"), true).expect_err("no file");
    assert_eq!(error.message, b"cannot open /nonexistent/a.lua: No such file or directory");
    assert_eq!(error.errno, libc::ENOENT);
    let error = vm.load_file(Path::new("/"), true).expect_err("a directory");
    assert_eq!(error.message, b"cannot read /: Is a directory");
}

#[test]
fn files_are_compiled_once_or_when_they_change() {
    let (vm, _) = machine();
    let path = std::env::temp_dir().join(format!("lunette-lua-{}.lua", std::process::id()));
    std::fs::write(&path, "#!/usr/bin/lua\nreturn 1").expect("written");
    let first = vm.load_file(&path, true).expect("loads");
    std::fs::write(&path, "return 12345").expect("written");
    assert_eq!(vm.load_file(&path, true).expect("cached"), first);
    let second = vm.load_file(&path, false).expect("loads");
    assert_ne!(second, first);
    assert_eq!(vm.load_file(&path, false).expect("cached"), second);
    let value = vm.run_now(second, LuaPhase::SET, None, |_| 0, |s| s.number(1));
    assert_eq!(value.expect("runs"), Some(12345.0));
    std::fs::remove_file(&path).expect("removed");
}

#[test]
fn a_chunk_gets_arguments_and_gives_results() {
    let (vm, _) = machine();
    let id = chunk(&vm, "local a, b = ... return a + b, select('#', ...), 'x', nil");
    let push = |s: &mut Stack<'_>| {
        s.push_number(40.0);
        s.push_number(2.0);
        2
    };
    let read = |s: &mut Stack<'_>| (s.top(), s.number(1), s.number(2), s.bytes(3).map(<[u8]>::to_vec));
    let got = vm.run_now(id, LuaPhase::SET, None, push, read).expect("runs");
    assert_eq!(got, (4, Some(42.0), Some(2.0), Some(b"x".to_vec())));
    let plain = chunk(&vm, "return arg == nil, 2");
    assert_eq!(vm.run_now(plain, LuaPhase::SET, None, |_| 0, |s| s.number(2)).expect("runs"), Some(2.0));
}

#[test]
fn code_that_runs_to_its_end_catches_the_error_of_its_own_yield() {
    let (vm, _) = machine();
    let run = |code: &str| {
        let read = |s: &mut Stack<'_>| (1..=s.top()).map(|i| s.bytes(i).unwrap_or_default().to_vec()).collect::<Vec<_>>();
        vm.run_now(chunk(&vm, code), LuaPhase::SET, None, |_| 0, read)
    };
    let refused = b"attempt to yield across C-call boundary";
    assert!(run("coroutine.yield()").expect_err("must not yield").message.ends_with(refused));
    assert_eq!(run("return select(2, pcall(coroutine.yield))").expect("caught"), [refused]);
    assert_eq!(run("return coroutine.wrap(function() return (coroutine.yield(7)) end)()").expect("its own"), [b"7"]);
    let error = run("local function f() error('deep') end f()").expect_err("uncaught");
    assert!(error.message.ends_with(b"deep"), "{}", error.message.escape_ascii());
    assert!(error.traceback.starts_with(b"stack traceback:\n\t[C]: in function 'error'"), "{}", error.traceback.escape_ascii());
    let error = run("error({})").expect_err("no text");
    assert_eq!((error.message.as_slice(), error.traceback.is_empty()), (&b"unknown reason"[..], true));
}

#[test]
fn chunk_names_with_percent_and_bytecode_survive() {
    let (vm, _) = machine();
    assert_eq!(says(&vm, "local f = loadstring(string.dump(function() return 7 end)) say(f())"), "7\n");
    let dumped = vm
        .run_now(
            chunk(&vm, "return string.dump(loadstring('return 9', '=b'), true)"),
            LuaPhase::SET,
            None,
            |_| 0,
            |s| s.bytes(1).map(<[u8]>::to_vec),
        )
        .expect("runs")
        .expect("bytes");
    let id = vm.load_text(&dumped, "=bytecode").expect("bytecode loads");
    assert_eq!(vm.run_now(id, LuaPhase::SET, None, |_| 0, |s| s.number(1)).expect("runs"), Some(9.0));
}

#[test]
fn init_runs_with_the_real_globals() {
    let (vm, log) = machine();
    vm.run_init(chunk(&vm, "config = { n = 3 }"), LuaPhase::INIT, None).expect("init");
    assert_eq!(says(&vm, "say(config.n)"), "3\n");
    assert!(log.globals.borrow().is_empty());
    let error = vm.run_init(chunk(&vm, "error('bad')"), LuaPhase::INIT, None).expect_err("fails");
    let text = String::from_utf8_lossy(&error.message).into_owned();
    assert!(text.starts_with("content_by_lua(nginx.conf:42):1: bad\nstack traceback:"), "{text}");
}

#[test]
fn paths_take_the_default_for_two_semicolons() {
    let options = Options { path: Some("/a/?.lua;;".into()), cpath: Some(";;/b/?.so".into()) };
    let vm = Vm::new(&options).expect("a VM");
    let read = |s: &mut Stack<'_>| (s.bytes(1).map(<[u8]>::to_vec), s.bytes(2).map(<[u8]>::to_vec));
    let id = chunk(&vm, "return package.path, package.cpath");
    let (path, cpath) = vm.run_now(id, LuaPhase::INIT, None, |_| 0, read).expect("runs");
    let (path, cpath) = (String::from_utf8(path.unwrap()).unwrap(), String::from_utf8(cpath.unwrap()).unwrap());
    assert!(path.starts_with("/a/?.lua;./?.lua;"), "{path}");
    assert!(cpath.ends_with(";/b/?.so") && cpath.contains("./?.so"), "{cpath}");
}

#[test]
fn require_reports_and_suspends() {
    let (vm, _) = machine();
    let text = fails(&vm, "require('no.such')").to_string();
    assert!(text.contains("nginx.conf:42):1: module 'no.such' not found:\n\tno field package.preload['no.such']\n"), "{text}");
    vm.preload("slow", "local v = nap(2, 'slept') return { v = v }").expect("preload");
    assert_eq!(says(&vm, "say(require('slow').v) say(require('slow') == require('slow'))"), "slept\ntrue\n");
    vm.preload("broken", "nap(1) error('cannot')").expect("preload");
    let two = "local ok, e = pcall(require, 'broken') say(ok, ' ', e)";
    assert_eq!(says(&vm, two), "false broken:1: cannot\n");
    assert_eq!(says(&vm, two), "false broken:1: cannot\n");
    vm.preload("self", "require('self')").expect("preload");
    let text = fails(&vm, "require('self')").to_string();
    assert!(text.contains("loop or previous error loading module 'self'"), "{text}");
}

#[test]
fn a_module_that_failed_may_be_required_again_once_it_is_forgotten() {
    let (vm, _) = machine();
    vm.preload("fickle", "tries = (tries or 0) + 1 if tries < 3 then error('not yet') end return { tries = tries }").expect("preload");
    let code = "told = {}
        for turn = 1, 4 do
            local ok, found = pcall(require, 'fickle')
            told[turn] = ok and found.tries or found:match('[^:]*$')
            if turn ~= 1 then package.loaded.fickle = nil end
        end";
    vm.run_init(chunk(&vm, code), LuaPhase::INIT, None).expect("init");
    let expected = " not yet|loop or previous error loading module 'fickle'| not yet|3\n";
    assert_eq!(says(&vm, "say(table.concat(told, '|'))"), expected);
}

#[test]
fn supplies_give_way_to_files() {
    let directory = std::env::temp_dir().join(format!("lunette-supplies-{}", std::process::id()));
    std::fs::create_dir_all(directory.join("own")).expect("a directory");
    std::fs::write(directory.join("own/part.lua"), "return { from = 'file' }").expect("a file");
    let template = format!("{}/?.lua", directory.display());
    let options = Options { path: Some(template.clone()), cpath: None };
    let from = |before: &str, name: &str| {
        let vm = Vm::new(&options).expect("a VM");
        vm.supply(name, "return { from = ... }", before).expect("supply");
        let id = chunk(&vm, &format!("return require('{name}').from"));
        let answer = vm.run_now(id, LuaPhase::INIT, None, |_| 0, |s: &mut Stack<'_>| s.bytes(1).map(<[u8]>::to_vec)).expect("runs");
        String::from_utf8(answer.expect("a string")).expect("text")
    };
    assert_eq!(from("", "own.part"), "file");
    assert_eq!(from("/no/?.lua", "own.part"), "file");
    assert_eq!(from(&format!("/no/?.lua;{template}"), "own.part"), "own.part");
    assert_eq!(from("", "own.other"), "own.other");
    std::fs::remove_dir_all(directory).expect("tidy");
}

#[test]
fn extensions_of_the_other_luajit() {
    let (vm, _) = machine();
    let code = "
        local isempty, isarray = require 'table.isempty', require 'table.isarray'
        local nkeys, clone = require 'table.nkeys', require 'table.clone'
        say(isempty {}, isempty { 1 }, isempty { a = 1 })
        say(isarray {}, isarray { 1, nil, 3 }, isarray { a = 1 })
        say(nkeys { 1, 2, a = 3 }, #require 'table.new'(4, 0), clone({ 5 })[1])
        local t = { 1, a = 2 } require 'table.clear' (t) say(next(t))
        local ex = require 'thread.exdata2' ex(12) say(ex())
        say(coroutine.wrap(function() return ex() end)())
        say(type(require 'thread.exdata' ()))";
    assert_eq!(says(&vm, code), "truefalsefalse\ntruetruefalse\n305\nnil\n12\nnil\ncdata\n");
}

#[test]
fn c_modules_load() {
    let (vm, _) = machine();
    let directory = format!("/usr/lib/{}-linux-gnu/lua/5.1", std::env::consts::ARCH);
    assert!(Path::new(&directory).join("cjson.so").exists(), "no cjson.so in {directory}; ./test.sh installs lua-cjson");
    let code = format!(
        "package.cpath = '{directory}/?.so;' .. package.cpath
         local cjson = require 'cjson' say(cjson.encode({{ 1, 2 }}), cjson.decode('[7]')[1])"
    );
    assert_eq!(says(&vm, &code), "[1,2]7\n");
}
