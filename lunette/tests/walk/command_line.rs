//! What the binary prints and returns.

use crate::configuration;
use crate::rig::{BINARY, Prefix, free_port, until};
use std::net::TcpListener;
use std::process::Command;

fn texts(output: &std::process::Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn a_good_configuration_passes_and_is_printed() {
    let prefix = Prefix::new();
    let text = configuration(free_port(), "x");
    prefix.write("conf/nginx.conf", &text);
    let file = prefix.path.join("conf/nginx.conf").display().to_string();
    let ok = format!("nginx: the configuration file {file} syntax is ok\n");
    let passed = format!("nginx: configuration file {file} test is successful\n");
    assert_eq!(texts(&prefix.run(&["-t"])), (String::new(), format!("{ok}{passed}"), Some(0)));
    assert_eq!(texts(&prefix.run(&["-tq"])), (String::new(), String::new(), Some(0)));
    let (stdout, stderr, code) = texts(&prefix.run(&["-T"]));
    assert_eq!((stdout, code), (format!("# configuration file {file}:\n{text}\n"), Some(0)));
    assert_eq!(stderr, format!("{ok}{passed}"));
    assert_eq!(texts(&prefix.run(&["-T", "-q"])).1, "");
}

#[test]
fn a_bad_configuration_is_shown_with_its_line_and_a_hint() {
    let prefix = Prefix::new();
    prefix.write("conf/nginx.conf", "events { }\nhttp {\n    servr { }\n}\n");
    let file = prefix.path.join("conf/nginx.conf").display().to_string();
    let (_, stderr, code) = texts(&prefix.run(&["-t"]));
    let expected = format!(
        "nginx: [emerg] unknown directive \"servr\" in {file}:3\n3 |     servr {{ }}\n  |     ^\ndid you mean \"server\"?\n\
         nginx: configuration file {file} test failed\n"
    );
    assert_eq!((stderr, code), (expected, Some(1)));
    let (_, stderr, code) = texts(&prefix.run(&[]));
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("nginx: [emerg] unknown directive \"servr\""), "{stderr}");
    assert!(prefix.read("logs/error.log").contains("[emerg]"));
}

#[test]
fn warnings_have_nginxs_words() {
    let prefix = Prefix::new();
    let port = free_port();
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "events {{ }}\nhttp {{ gzip_types text/css TEXT/css; deny 10.1.2.3/8;\nset_real_ip_from 2001:db8::1/32;\ngeo $g {{\n10.1.0.0/8 a;\n}}\n\
             server {{ listen 127.0.0.1:{port}; server_name a *.b .c; }}\nserver {{ listen 127.0.0.1:{port}; server_name c a d.*; }}\n\
             server {{ listen 127.0.0.1:{port}; server_name d.* *.b; }} }}\n"
        ),
    );
    let file = prefix.path.join("conf/nginx.conf").display().to_string();
    let (_, stderr, code) = texts(&prefix.run(&["-t"]));
    let shown: Vec<&str> = stderr.lines().filter_map(|line| line.strip_prefix("nginx: [warn] ")).collect();
    let mut expected: Vec<String> = [
        ("duplicate MIME type \"text/css\"", 2),
        ("low address bits of 10.1.2.3/8 are meaningless", 2),
        ("low address bits of 2001:db8::1/32 are meaningless", 3),
        ("low address bits of 10.1.0.0/8 are meaningless", 5),
    ]
    .map(|(text, line)| format!("{text} in {file}:{line}"))
    .into();
    expected.extend(["c", "a", "d.*", "*.b"].map(|name| format!("conflicting server name \"{name}\" on 127.0.0.1:{port}, ignored")));
    assert_eq!((shown, code), (expected.iter().map(String::as_str).collect(), Some(0)));
}

/// As nginx, who warns while it reads.
#[test]
fn warnings_come_before_all_else_and_before_a_refusal_too() {
    let prefix = Prefix::new();
    let port = free_port();
    let site = |location: &str| {
        let text = format!(
            "events {{ }} error_log logs/own.log warn; pid logs/nginx.pid;
http {{ deny 10.1.2.3/8;
server {{ listen 127.0.0.1:{port}; {location} }} }}\n"
        );
        prefix.write("conf/nginx.conf", &text);
    };
    let file = prefix.path.join("conf/nginx.conf").display().to_string();
    let warning = format!("low address bits of 10.1.2.3/8 are meaningless in {file}:2");
    let logged = |name: &str| prefix.read(name).lines().filter(|line| line.contains(&warning)).count();
    let shown = |arguments: &[&str]| {
        let (_, stderr, code) = texts(&prefix.run(arguments));
        let lines = stderr.lines().filter(|line| line.starts_with("nginx: ")).map(|line| line.replace(&file, "FILE"));
        (lines.collect::<Vec<_>>(), code)
    };
    let warned = "nginx: [warn] low address bits of 10.1.2.3/8 are meaningless in FILE:2".to_owned();
    let ended = ["nginx: the configuration file FILE syntax is ok", "nginx: configuration file FILE test is successful"].map(str::to_owned);
    site("location / { }");
    assert_eq!(shown(&["-t"]), ([std::slice::from_ref(&warned), &ended[..]].concat(), Some(0)));
    assert_eq!(shown(&["-t", "-q"]), (vec![warned.clone()], Some(0)));
    // The log that the configuration names is not in force yet.
    assert_eq!((logged("logs/error.log"), logged("logs/own.log")), (2, 0));
    site("nonsense;");
    let refused = "nginx: [emerg] unknown directive \"nonsense\" in FILE:3".to_owned();
    let failed = "nginx: configuration file FILE test failed".to_owned();
    assert_eq!(shown(&["-t"]), (vec![warned.clone(), refused.clone(), failed], Some(1)));
    assert_eq!(shown(&[]), (vec![warned.clone(), refused], Some(1)));
    let (json, _, code) = texts(&prefix.run(&["-t", "--format=json"]));
    let places = ["low address bits", "unknown directive"].map(|words| json.find(words));
    assert!(code == Some(1) && places[0].is_some() && places[0] < places[1], "{json}");
    assert_eq!(logged("logs/error.log"), 4);
    site("location / { }");
    assert_eq!(shown(&[]), (vec![warned], Some(0)));
    assert_eq!((logged("logs/error.log"), logged("logs/own.log")), (5, 0));
    // While a server runs, its log has both.
    site("nonsense;");
    let reload = || assert!(std::process::Command::new("kill").args(["-HUP", &prefix.master().to_string()]).status().unwrap().success());
    reload();
    until("a refusal", || prefix.read("logs/own.log").contains("unknown directive"));
    let log = prefix.read("logs/own.log");
    assert!(logged("logs/own.log") == 1 && log.find(&warning) < log.find("unknown directive"), "{log}");
    site("location / { }");
    reload();
    until("a warning", || logged("logs/own.log") == 2);
    assert_eq!(logged("logs/error.log"), 5);
}

#[test]
fn errors_have_nginxs_words() {
    let table = [
        ("http { }", "no \"events\" section in configuration"),
        ("events { } events { }", "\"events\" directive is duplicate in FILE:1"),
        ("events { use aio; }", "invalid event type \"aio\" in FILE:1"),
        ("events { } worker_processes x;", "\"worker_processes\" directive invalid value in FILE:1"),
        ("events { } http {", "unexpected end of file, expecting \"}\" in FILE:1"),
        ("bogus; events {", "unknown directive \"bogus\" in FILE:1"),
        ("events { } http { server { listen 80 bogus; } }", "invalid parameter \"bogus\" in FILE:1"),
        ("events { } http { server { return 200 $nothing; } }", "unknown \"nothing\" variable in FILE:1"),
        ("events { } http {\n limit_req\n zone=z; }", "zero size shared memory zone \"z\" in FILE:3"),
        ("events { } include nowhere.conf;", "open() \"DIR/conf/nowhere.conf\" failed (2: No such file or directory) in FILE:1"),
        ("events { } error_log nowhere/x.log;", "open() \"DIR/nowhere/x.log\" failed (2: No such file or directory)"),
        ("events { } worker_cpu_affinity 012;", "invalid character \"2\" in \"worker_cpu_affinity\" in FILE:1"),
        ("events { } http { init_by_lua_block \"x = 1\"; }", "directive \"init_by_lua_block\" has no opening \"{\" in FILE:1"),
        (
            "events { } http { server { set_by_lua_block $x \"return 1\"; } }",
            "directive \"set_by_lua_block\" has no opening \"{\" in FILE:1",
        ),
        ("events { } thread_pool a;", "invalid number of arguments in \"thread_pool\" directive in FILE:1"),
    ];
    let prefix = Prefix::new();
    let directory = prefix.path.display().to_string();
    for (text, message) in table {
        prefix.write("conf/nginx.conf", text);
        let (_, stderr, code) = texts(&prefix.run(&["-t"]));
        let message = message.replace("FILE", &format!("{directory}/conf/nginx.conf")).replace("DIR", &directory);
        // What can be seen only by opening files comes behind the line about the syntax.
        let first = stderr.lines().find(|line| !line.ends_with("syntax is ok")).unwrap_or_default();
        assert_eq!((first, code), (format!("nginx: [emerg] {message}").as_str(), Some(1)), "{text}");
    }
}

#[test]
fn files_and_directives_can_be_named() {
    let prefix = Prefix::new();
    prefix.write("etc/other.conf", "events { }");
    let (_, stderr, code) = texts(&prefix.run(&["-t", "-c", "etc/other.conf", "-e", "logs/e.log", "-g", "worker_processes 3;"]));
    assert_eq!(code, Some(0), "{stderr}");
    assert!(prefix.path.join("logs/e.log").exists());
    let (_, stderr, code) = texts(&prefix.run(&["-t", "-c", "etc/other.conf", "-g", "bogus;"]));
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with("nginx: [emerg] unknown directive \"bogus\" in command line\n"), "{stderr}");
    let (_, stderr, code) = texts(&prefix.run(&["-t", "-c", "missing.conf"]));
    let missing = prefix.path.join("missing.conf").display().to_string();
    assert_eq!(code, Some(1));
    assert!(stderr.starts_with(&format!("nginx: [emerg] open() \"{missing}\" failed (2: No such file or directory)\n")), "{stderr}");
}

#[test]
fn versions_and_help() {
    let run = |argument: &str| texts(&Command::new(BINARY).arg(argument).output().unwrap());
    let (_, version, code) = run("-v");
    assert_eq!((version.as_str(), code), ("nginx version: lunette/1.31.3\n", Some(0)));
    let (_, built, _) = run("-V");
    let arguments = built.lines().find_map(|line| line.strip_prefix("configure arguments: ")).unwrap();
    assert!(
        arguments.contains("--with-threads --with-pcre-jit") && arguments.starts_with("--prefix=") && arguments.contains("/nginx.conf"),
        "{built}"
    );
    let (_, help, code) = run("-h");
    assert!(help.contains("Usage: nginx [-?hvVtTq] [-s signal] [-p prefix]"), "{help}");
    assert_eq!(code, Some(0));
    assert_eq!(run("-x"), (String::new(), "nginx: invalid option: \"x\"\n".to_owned(), Some(1)));
}

#[test]
fn a_taken_port_is_tried_five_times() {
    let prefix = Prefix::new();
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    prefix.write("conf/nginx.conf", &configuration(port, "x"));
    let (_, stderr, code) = texts(&prefix.run(&[]));
    let line = format!("nginx: [emerg] bind() to 0.0.0.0:{port} failed (98: Address already in use)\n");
    assert_eq!((stderr, code), (format!("{}nginx: [emerg] still could not bind()\n", line.repeat(5)), Some(1)));
    assert!(prefix.is_down());
}

#[test]
fn a_start_at_a_terminal_says_where_it_listens() {
    let prefix = Prefix::new();
    let port = free_port();
    prefix.write("conf/nginx.conf", &configuration(port, "x"));
    let start = format!("{BINARY} -p {}", prefix.path.display());
    // `script` runs the command at a terminal of its own.
    let output = Command::new("script").args(["-qec", &start, "/dev/null"]).stdin(std::process::Stdio::null()).output().unwrap();
    let seen = String::from_utf8_lossy(&output.stdout).replace('\r', "");
    assert_eq!(seen, format!("nginx: starting on http://localhost:{port}/\n"));
    assert!(prefix.run(&["-s", "stop"]).status.success());
    // Without a terminal nothing is said, as by nginx.
    crate::rig::until("the end", || prefix.is_down());
    assert_eq!(texts(&prefix.run(&[])).1, "");
    // Who it is has to be known, or nobody stops it.
    crate::rig::until("the start", || !prefix.is_down());
}
