//! `lunette resty`: Lua from the command line.

use crate::rig::{BINARY, PATIENCE, Prefix, signal, until};
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

fn resty(prefix: &Prefix, arguments: &[&str]) -> (String, String, Option<i32>) {
    let mut command = Command::new(BINARY);
    command.arg("resty").args(arguments).current_dir(&prefix.path).env("TMPDIR", prefix.path.join("logs")).env("COLOUR", "blue");
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

fn leftovers(prefix: &Prefix) -> usize {
    std::fs::read_dir(prefix.path.join("logs")).unwrap().count()
}

#[test]
fn code_runs_with_the_api() {
    let prefix = Prefix::new();
    prefix.write("lua/greet.lua", "return { word = 'hello' }\n");
    prefix.write("run.lua", "local a, b = ...\nngx.say(arg[0], ' ', a, b, #arg, ' ', os.getenv('COLOUR'))\nos.exit(3)\n");
    assert_eq!(resty(&prefix, &["-e", "print(ngx.md5('x'))"]), ("9dd4e461268c8034f5c8564e155c67a6\n".into(), String::new(), Some(0)));
    let code = "local t = ngx.thread.spawn(function() ngx.sleep(0.001) return 7 end) print(select(2, ngx.thread.wait(t)))";
    assert_eq!(resty(&prefix, &["-e", code, "-e", "ngx.print('a', {1, ngx.null}, nil)"]).0, "7\na1nullnil");
    assert_eq!(resty(&prefix, &["-Ilua", "-l", "greet", "-e", "print(require('greet').word)"]).0, "hello\n");
    assert_eq!(resty(&prefix, &["--shdict=d 1m", "-e", "ngx.shared.d:set('a', 1) print(ngx.shared.d:get('a'))"]).0, "1\n");
    assert_eq!(resty(&prefix, &["run.lua", "x", "y"]), ("run.lua xy2 blue\n".into(), String::new(), Some(3)));
    assert_eq!(leftovers(&prefix), 0);
}

#[test]
fn globals_are_those_of_the_whole_program() {
    let prefix = Prefix::new();
    prefix.write("counts.lua", "made = (made or 0) + 1\nreturn function() return made end\n");
    // What test frameworks do: they keep all globals, run code that changes them, and put them back.
    let code = "local kept = {}\nfor name, value in next, _G do kept[name] = value end\nprint(kept.string == string, package.loaded._G == _G)\n\
                made = 4\nloadstring('made = made + 1')()\nprint(require('counts')(), made)\n\
                ngx.thread.wait(ngx.thread.spawn(function() loadstring('spawned = made')() end))\nprint(rawget(_G, 'spawned'))\n\
                for name in next, _G do rawset(_G, name, kept[name]) end\nprint(made, ngx.md5 ~= nil)\n";
    prefix.write("run.lua", code);
    assert_eq!(resty(&prefix, &["-I.", "run.lua"]), ("truetrue\n66\n6\nniltrue\n".into(), String::new(), Some(0)));
}

#[test]
fn errors_of_finalizers_are_told() {
    let prefix = Prefix::new();
    let code = "getmetatable(newproxy(true)).__gc = function() error('lost', 0) end collectgarbage() print('on')";
    assert_eq!(resty(&prefix, &["-e", code]), ("on\n".into(), "ERROR in finalizer: lost\n".into(), Some(0)));
}

#[test]
fn code_comes_on_standard_input() {
    let prefix = Prefix::new();
    let feed = |program: &str, arguments: &[&str], input: &str| {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(&prefix.path).env("TMPDIR", prefix.path.join("logs"));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        String::from_utf8_lossy(&child.wait_with_output().unwrap().stdout).into_owned()
    };
    assert_eq!(feed(BINARY, &["resty"], "#!/usr/bin/env resty\nprint(ngx.md5('x'))"), "9dd4e461268c8034f5c8564e155c67a6\n");
    assert_eq!(feed(BINARY, &["resty", "-", "a"], "print(arg[0], arg[1], (...))"), "-aa\n");
    assert_eq!(feed(BINARY, &["resty", "-e", "print(io.read('*a'))"], "data"), "data\n");
    // The program by its other names.
    for (name, arguments, input, expected) in [("resty", &["-e", "print(1)"][..], "", "1\n"), ("resty", &[], "print(2)", "2\n")] {
        let link = prefix.path.join(name);
        let _ = std::os::unix::fs::symlink(BINARY, &link);
        assert_eq!(feed(&link.display().to_string(), arguments, input), expected);
    }
}

#[test]
fn the_name_openresty_is_what_the_version_says() {
    let prefix = Prefix::new();
    for (name, product) in [("openresty", "openresty"), ("nginx", "lunette")] {
        let link = prefix.path.join(name);
        std::os::unix::fs::symlink(BINARY, &link).unwrap();
        for letter in ["-v", "-V"] {
            let output = Command::new(&link).arg(letter).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(text.starts_with(&format!("nginx version: {product}/1.")), "{text}");
        }
    }
}

#[test]
fn what_a_program_says_before_its_end_is_not_lost() {
    let prefix = Prefix::new();
    // The end of a program and its last words reach the event loop in any order.
    let code = "local shell, whole = require 'resty.shell', 0
        for i = 1, 400 do local _, out = shell.run { 'echo', i } if out == i .. '\\n' then whole = whole + 1 end end
        print(whole)";
    assert_eq!(resty(&prefix, &["-e", code]).0, "400\n");
}

#[test]
fn failures_are_told_by_text_and_code() {
    let prefix = Prefix::new();
    let (out, err, code) = resty(&prefix, &["-e", "print('before') error('oops')"]);
    assert_eq!((out.as_str(), code), ("before\n", Some(1)));
    assert!(err.starts_with("ERROR: (command line -e):1: oops\nstack traceback:"), "{err}");
    let (_, err, _) = resty(&prefix, &["-e", "local function f() local t = nil; t.x = 1 end\nlocal function g() f() return 1 end g()"]);
    let frames: Vec<&str> = err.lines().filter(|line| line.starts_with('\t')).collect();
    assert!(frames[0].ends_with("in function 'f'") && frames[1].ends_with("in function 'g'"), "{err}");
    assert_eq!(resty(&prefix, &["missing.lua"]), (String::new(), "resty: Lua input file missing.lua not found.\n".into(), Some(1)));
    assert_eq!(resty(&prefix, &[]).2, Some(1));
    assert_eq!(resty(&prefix, &["-e", "ngx.exit(5)"]).2, Some(5));
    let (_, err, code) = resty(&prefix, &["--http-conf", "bogus;", "-e", ""]);
    assert!(err.contains("unknown directive \"bogus\"") && code == Some(1), "{err}");
    assert!(resty(&prefix, &["-h"]).0.contains("--shdict"));
    assert!(resty(&prefix, &["-v"]).1.starts_with("nginx version:"));
    assert_eq!(leftovers(&prefix), 0);
}

#[test]
fn a_signal_ends_the_code_and_clears_up() {
    let prefix = Prefix::new();
    let mut command = Command::new(BINARY);
    command.args(["resty", "-e", "print('ready') io.stdout:flush() ngx.sleep(60)"]).env("TMPDIR", prefix.path.join("logs"));
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "ready\n");
    signal("-TERM", child.id());
    until("the end", || child.try_wait().unwrap().is_some());
    assert_eq!(leftovers(&prefix), 0, "after at most {PATIENCE:?}");
}

/// What an expression is, with these declarations made.
fn through_ffi(prefix: &Prefix, declarations: &str, expression: &str) -> String {
    let code = format!("local ffi = require 'ffi' local C = ffi.C ffi.cdef[[{declarations}]] local buf = ffi.new('unsigned char[64]') local t = {{{expression}}}
        for i = 1, #t do t[i] = tostring(t[i]) end print(table.concat(t, ' '))");
    let (out, err, _) = resty(prefix, &["-e", &code]);
    assert!(err.is_empty(), "{err}");
    out.trim_end().to_owned()
}

#[test]
fn functions_and_variables_of_nginx_by_their_c_names() {
    let prefix = Prefix::new();
    let dump = "unsigned char *ngx_hex_dump(unsigned char *dst, const unsigned char *src, size_t len);";
    assert_eq!(through_ffi(&prefix, dump, "ffi.string(buf, C.ngx_hex_dump(buf, 'a\\255', 2) - buf)"), "61ff");
    let numbers = "intptr_t ngx_atoi(const unsigned char *line, size_t n); intptr_t ngx_hextoi(const unsigned char *line, size_t n);";
    let calls =
        "tonumber(C.ngx_atoi('128', 3)), tonumber(C.ngx_atoi('1x', 2)), tonumber(C.ngx_hextoi('fF', 2)), tonumber(C.ngx_hextoi('', 0))";
    assert_eq!(through_ffi(&prefix, numbers, calls), "128 -1 255 -1");
    let sums = "uint32_t ngx_murmur_hash2(const unsigned char *data, size_t len); extern uint32_t ngx_crc32_table256[256]; extern uint32_t *ngx_crc32_table_short;";
    let values =
        "C.ngx_murmur_hash2('Hello, World', 12), C.ngx_murmur_hash2('abc', 3), C.ngx_crc32_table256[1], C.ngx_crc32_table_short[1]";
    assert_eq!(through_ffi(&prefix, sums, values), "2858680353 324500635 1996959894 498536548");
    let variables = "extern int ngx_pid; extern uintptr_t ngx_process, ngx_worker;";
    assert_eq!(
        through_ffi(&prefix, variables, "C.ngx_pid == ngx.worker.pid(), tonumber(C.ngx_process), tonumber(C.ngx_worker)"),
        "true 0 0"
    );
    let declared = "C.ngx_http_lua_ffi_crc32_long('hello', 5) == ngx.crc32_long('hello'), ffi.sizeof('ngx_str_t'), C.ngx_http_lua_ffi_worker_id(), \
                    (function() C.ngx_http_lua_ffi_md5('hello', 5, buf) return ffi.string(buf, 32) end)(), \
                    (function() C.ngx_http_lua_ffi_sha1_bin('x', 1, buf) return ffi.string(buf, 20) == ngx.sha1_bin('x') end)(), \
                    pcall(ffi.typeof, 'ngx_http_request_t *')";
    assert!(through_ffi(&prefix, "", declared).starts_with("true 16 0 5d41402abc4b2a76b9719d911017c592 true true"));
}

#[test]
fn libraries_that_nginx_is_linked_with_are_there_once_they_are_declared() {
    let prefix = Prefix::new();
    let wrong = "select(2, pcall(ffi.cdef, 'bad bad bad'))";
    assert!(through_ffi(&prefix, "", wrong).contains("near 'bad'"));
    // A machine without them says so when a function is called, as for any other name.
    let there = |name: &str| {
        Command::new(BINARY)
            .args(["resty", "-e", &format!("require 'ffi'.load('{name}')")])
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    };
    if there("libcrypto.so.3") {
        let declared = "int RAND_bytes(unsigned char *buf, int num); const char *OpenSSL_version(int t);";
        assert_eq!(through_ffi(&prefix, declared, "C.RAND_bytes(buf, 8), ffi.string(C.OpenSSL_version(0)):sub(1, 7)"), "1 OpenSSL");
        // A provider that is loaded does not take the place of the default one.
        let declared = "void *OSSL_PROVIDER_load(void *, const char *); void *EVP_MD_fetch(void *, const char *, const char *);";
        let both = "C.OSSL_PROVIDER_load(nil, 'null') ~= nil, C.EVP_MD_fetch(nil, 'SHA256', nil) ~= nil";
        assert_eq!(through_ffi(&prefix, declared, both), "true true");
    }
    if there("libz.so.1") {
        assert_eq!(through_ffi(&prefix, "const char *zlibVersion(void);", "ffi.string(C.zlibVersion()):sub(1, 2)"), "1.");
    }
}
