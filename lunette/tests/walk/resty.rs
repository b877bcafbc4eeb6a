//! `lunette resty`: Lua from the command line.

use crate::rig::{BINARY, PATIENCE, Prefix, until};
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
    Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
    until("the end", || child.try_wait().unwrap().is_some());
    assert_eq!(leftovers(&prefix), 0, "after at most {PATIENCE:?}");
}
