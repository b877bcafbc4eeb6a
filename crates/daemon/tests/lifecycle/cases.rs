//! The tests.

use std::net::TcpListener;

use sys::signal::{SIGHUP, SIGKILL, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGWINCH};

use crate::rig::{Rig, alive, answer, title, workers};

/// A signal that nobody catches.
const SIGVTALRM: i32 = 26;
const SIGSTOP: i32 = 19;
const SIGCONT: i32 = 18;

pub(crate) const ALL: [(&str, fn()); 17] = [
    ("command_line", command_line),
    ("test_mode", test_mode),
    ("start_titles_and_stop", start_titles_and_stop),
    ("killed_worker_is_replaced", killed_worker_is_replaced),
    ("fatal_worker_is_not_replaced", fatal_worker_is_not_replaced),
    ("crashing_start_is_slowed_down", crashing_start_is_slowed_down),
    ("panic_in_a_reload", panic_in_a_reload),
    ("modes_of_files", modes_of_files),
    ("reload_good_and_bad", reload_good_and_bad),
    ("successors_begin_when_others_have_stopped", successors_begin_when_others_have_stopped),
    ("reopen", reopen),
    ("graceful_quit", graceful_quit),
    ("shutdown_timeout", shutdown_timeout),
    ("binary_upgrade", binary_upgrade),
    ("binary_upgrade_undone", binary_upgrade_undone),
    ("taken_port", taken_port),
    ("no_master", no_master),
];

fn command_line() {
    let rig = Rig::new();
    rig.configure("");
    let version = rig.run(&["-v"]);
    assert_eq!(String::from_utf8_lossy(&version.stderr), "nginx version: lunette/1.31.3\n");
    assert!(version.status.success());
    let all = rig.run(&["-V"]);
    let text = String::from_utf8_lossy(&all.stderr);
    assert_eq!(text, "nginx version: lunette/1.31.3\nbuilt with nothing\nconfigure arguments: --with-tests\n");
    assert!(String::from_utf8_lossy(&rig.run(&["-?"]).stderr).contains("\nUsage: nginx [-?hvVtTq]"));
    let bad = rig.run(&["-s", "foo"]);
    assert_eq!((bad.status.code(), &bad.stderr[..]), (Some(1), &b"nginx: invalid option: \"-s foo\"\n"[..]));
    let command = std::process::Command::new(rig.prefix.join("nginx")).args(["count", "a", "-x", "c"]).status().unwrap();
    assert_eq!(command.code(), Some(3));
    let pid = rig.prefix.join("nginx.pid");
    let none = rig.run(&["-s", "stop"]);
    let expected = format!("nginx: [error] open() \"{}\" failed (2: No such file or directory)\n", pid.display());
    assert_eq!((none.status.code(), String::from_utf8_lossy(&none.stderr).as_ref()), (Some(1), expected.as_str()));
    for (content, shown) in [("", ""), ("-1\n", "-1"), ("x1\n", "x1")] {
        std::fs::write(&pid, content).unwrap();
        let odd = rig.run(&["-s", "stop"]);
        let expected = format!("nginx: [error] invalid PID number \"{shown}\" in \"{}\"\n", pid.display());
        assert_eq!((odd.status.code(), String::from_utf8_lossy(&odd.stderr).as_ref()), (Some(1), expected.as_str()));
    }
}

fn test_mode() {
    let rig = Rig::new();
    let taken = TcpListener::bind(("127.0.0.1", rig.port)).unwrap();
    rig.configure("answer one\n");
    let conf = rig.prefix.join("nginx.conf");
    let good = rig.run(&["-t"]);
    let expected =
        format!("nginx: the configuration file {0} syntax is ok\nnginx: configuration file {0} test is successful\n", conf.display());
    assert_eq!((good.status.code(), String::from_utf8_lossy(&good.stderr).as_ref()), (Some(0), expected.as_str()));
    let quiet = rig.run(&["-qT"]);
    assert!(quiet.stderr.is_empty());
    assert!(String::from_utf8_lossy(&quiet.stdout).contains("answer one"));
    rig.configure("nonsense\n");
    let bad = rig.run(&["-t"]);
    let expected =
        format!("nginx: [emerg] unknown directive \"nonsense\" in {0}:2\nnginx: configuration file {0} test failed\n", conf.display());
    assert_eq!((bad.status.code(), String::from_utf8_lossy(&bad.stderr).as_ref()), (Some(1), expected.as_str()));
    drop(taken);
}

fn start_titles_and_stop() {
    let mut rig = Rig::new();
    let master = rig.start("answer hello\nworkers 2\n");
    assert_eq!(rig.ask().0, "hello");
    rig.until("two workers", || workers(master).len() == 2);
    let prefix = rig.prefix.display();
    rig.until("the master's title", || title(master) == format!("nginx: master process {prefix}/nginx -p {prefix}"));
    for worker in workers(master) {
        rig.until("a worker's title", || title(worker) == "nginx: worker process");
    }
    assert!(rig.run(&["-s", "stop"]).status.success());
    rig.until_gone(master);
    assert!(rig.pid("nginx.pid").is_none());
    let log = rig.log();
    let lines = [
        "[notice] ",
        "lunette/1.31.3",
        ": start worker processes",
        ": signal 15 (SIGTERM) received from ",
        ", exiting",
        ": exiting",
        ": exit\n",
    ];
    for line in lines {
        assert!(log.contains(line), "{line} is missing in\n{log}");
    }
    assert!(!log.contains("[alert]"), "{log}");
}

fn killed_worker_is_replaced() {
    let mut rig = Rig::new();
    let master = rig.start("answer a\n");
    let (_, first) = rig.ask();
    rig.signal(first, SIGKILL);
    // The listening socket is the master's, so this connection waits for the new worker.
    let (word, second) = rig.ask();
    assert_eq!(word, "a");
    assert_ne!(first, second);
    rig.until_logged(&format!("worker process {first} exited on signal 9"));
    assert!(alive(master));
    let mut last = second;
    for _ in 0..3 {
        rig.signal(last, SIGKILL);
        last = rig.ask().1;
    }
    assert!(!rig.log().contains("times in a row"), "killed from outside is no loop: {}", rig.log());
    for _ in 0..3 {
        rig.signal(last, SIGVTALRM);
        last = rig.ask().1;
    }
    assert!(!rig.log().contains("times in a row"), "these took connections: {}", rig.log());
}

fn crashing_start_is_slowed_down() {
    let mut rig = Rig::new();
    let master = rig.start("answer a\ncrash start\n");
    rig.until_logged(" 3 times in a row; next start in 200 ms");
    assert!(alive(master));
    rig.configure("answer healed\n");
    rig.signal(master, SIGHUP);
    assert_eq!(rig.ask().0, "healed");
}

fn panic_in_a_reload() {
    let mut rig = Rig::new();
    let master = rig.start("answer old\n");
    let (_, worker) = rig.ask();
    rig.configure("panic min > max\n");
    rig.signal(master, SIGHUP);
    rig.until_logged("[emerg] ");
    rig.until_logged(": min > max\n");
    assert_eq!(rig.ask(), ("old".to_owned(), worker));
    assert!(!rig.log().contains("panicked"), "one line is enough: {}", rig.log());
    let output = rig.run(&["-t"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).starts_with("nginx: [emerg] the configuration cannot be used"));
    rig.configure("answer new\n");
    rig.signal(master, SIGHUP);
    rig.until("the new answer", || rig.ask().0 == "new");
}

fn modes_of_files() {
    use std::os::unix::fs::PermissionsExt;
    let mut rig = Rig::new();
    rig.start("answer a\n");
    for name in ["nginx.pid", "error.log"] {
        let mode = std::fs::metadata(rig.prefix.join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o644, "{name} of a daemon");
    }
}

fn fatal_worker_is_not_replaced() {
    let mut rig = Rig::new();
    let master = rig.start("answer a\n");
    let (_, worker) = rig.ask();
    std::io::Write::write_all(&mut rig.connect(), b"fatal\n").unwrap();
    rig.until_logged(&format!("worker process {worker} exited with fatal code 2 and cannot be respawned"));
    assert!(alive(master));
    assert!(workers(master).is_empty());
}

fn reload_good_and_bad() {
    let mut rig = Rig::new();
    let master = rig.start("answer old\nworkers 2\n");
    let (_, worker) = rig.ask();
    rig.configure("nonsense\n");
    rig.signal(master, SIGHUP);
    rig.until_logged("[emerg] ");
    rig.until_logged("unknown directive \"nonsense\"");
    assert_eq!(rig.ask().0, "old");
    assert!(alive(worker));
    let waiting = rig.connect();
    // The listener is taken in order, so a response to a later client shows that the first one was accepted.
    rig.ask();
    rig.configure("answer new\nworkers 3\n");
    assert!(rig.run(&["-s", "reload"]).status.success());
    rig.until("the new answer", || rig.ask().0 == "new");
    let (word, _) = answer(&waiting);
    assert_eq!(word, "old", "an open connection stays with its worker");
    drop(waiting);
    rig.until_gone(worker);
    rig.until("three workers", || workers(master).len() == 3);
    assert_eq!(rig.ask().0, "new");
    assert_eq!(rig.pid("nginx.pid"), Some(master));
    let log = rig.log();
    for line in [": signal 1 (SIGHUP) received from ", ", reconfiguring", ": reconfiguring", "gracefully shutting down"] {
        assert!(log.contains(line), "{line} is missing in\n{log}");
    }
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    rig.configure(&format!("answer never\nlisten {}\n", taken.local_addr().unwrap()));
    rig.signal(master, SIGHUP);
    rig.until_logged("still could not bind()");
    assert_eq!(rig.ask().0, "new");
}

fn successors_begin_when_others_have_stopped() {
    let mut rig = Rig::new();
    let master = rig.start("answer old\n");
    let (_, first) = rig.ask();
    rig.signal(first, SIGKILL);
    let (_, second) = rig.ask();
    assert!(!rig.log().contains("begins"), "they relieve nobody: {}", rig.log());
    rig.configure("answer new\nworkers 2\n");
    rig.signal(master, SIGHUP);
    let begun = |count| move |log: String| log.matches(": begins\n").count() == count;
    rig.until("two to begin", || begun(2)(rig.log()));
    let log = rig.log();
    let stops = log.find(&format!(" {second}#{second}: gracefully shutting down"));
    assert!(stops.is_some() && stops < log.find(": begins\n"), "{log}");
    // One that hangs holds nobody up for long, and a worker whose master has died waits for no word.
    let (_, third) = rig.ask();
    rig.signal(third, SIGSTOP);
    rig.signal(master, SIGHUP);
    rig.until("two to begin", || begun(4)(rig.log()));
    rig.signal(third, SIGCONT);
    rig.until_gone(third);
    // They outlive it, and must end with the test.
    workers(master).into_iter().for_each(|pid| rig.remember(pid));
    rig.signal(master, SIGKILL);
    rig.until("all to begin", || begun(6)(rig.log()));
}

fn reopen() {
    let mut rig = Rig::new();
    let master = rig.start("answer a\n");
    let (_, worker) = rig.ask();
    std::fs::rename(rig.prefix.join("error.log"), rig.prefix.join("old.log")).unwrap();
    rig.signal(master, SIGUSR1);
    rig.until("a new log", || rig.prefix.join("error.log").exists());
    rig.until("the worker reopens", || {
        std::fs::read_to_string(rig.prefix.join("old.log")).unwrap().contains(&format!(" {worker}#{worker}: reopening logs"))
    });
    rig.signal(master, SIGTERM);
    rig.until_logged(&format!(" {worker}#{worker}: exit\n"));
    rig.until_logged(&format!(" {master}#{master}: exit\n"));
}

fn graceful_quit() {
    let mut rig = Rig::new();
    let master = rig.start("answer a\n");
    let (_, worker) = rig.ask();
    let waiting = rig.connect();
    // The listener is taken in order, so a response to a later client shows that the first one was accepted.
    rig.ask();
    rig.signal(master, SIGQUIT);
    rig.until("the title", || title(worker) == "nginx: worker process is shutting down");
    rig.until("no more connections", || std::net::TcpStream::connect(("127.0.0.1", rig.port)).is_err());
    assert!(alive(master));
    assert_eq!(answer(&waiting), ("a".to_owned(), worker));
    drop(waiting);
    rig.until_gone(master);
    assert!(rig.pid("nginx.pid").is_none());
}

fn shutdown_timeout() {
    let mut rig = Rig::new();
    let master = rig.start("answer a\ntimeout 50\n");
    let waiting = rig.connect();
    rig.ask();
    rig.signal(master, SIGQUIT);
    rig.until_gone(master);
    assert!(rig.log().contains("gracefully shutting down"));
    drop(waiting);
}

fn binary_upgrade() {
    let mut rig = Rig::new();
    let old = rig.start("answer a\n");
    let (_, worker) = rig.ask();
    rig.signal(old, SIGUSR2);
    rig.until("the new pid file", || rig.pid("nginx.pid").is_some_and(|pid| pid != old));
    let new = rig.pid("nginx.pid").unwrap();
    rig.remember(new);
    assert_eq!(rig.pid("nginx.pid.oldbin"), Some(old));
    rig.until_logged("using inherited sockets from \"");
    rig.until("the new worker", || workers(new).len() == 1);
    rig.signal(new, SIGUSR2);
    rig.until_logged("the changing binary signal is ignored");
    rig.signal(old, SIGQUIT);
    rig.until_gone(old);
    let (word, successor) = rig.ask();
    assert_eq!(word, "a");
    assert_ne!(worker, successor);
    assert!(rig.pid("nginx.pid.oldbin").is_none());
    assert_eq!(rig.pid("nginx.pid"), Some(new));
    rig.until("the new title", || title(new).starts_with("nginx: master process "));
    rig.signal(new, SIGTERM);
    rig.until_gone(new);
}

fn binary_upgrade_undone() {
    let mut rig = Rig::new();
    let old = rig.start("answer a\n");
    rig.signal(old, SIGUSR2);
    rig.until("the new pid file", || rig.pid("nginx.pid").is_some_and(|pid| pid != old));
    let new = rig.pid("nginx.pid").unwrap();
    rig.remember(new);
    rig.until("the new worker", || workers(new).len() == 1);
    rig.signal(old, SIGWINCH);
    rig.until("the old workers are gone", || workers(old) == [new]);
    assert_eq!(rig.ask().0, "a");
    rig.signal(new, SIGQUIT);
    rig.until_gone(new);
    rig.until("the old workers are back", || workers(old).len() == 1);
    assert_eq!(rig.ask().0, "a");
    assert_eq!(rig.pid("nginx.pid"), Some(old));
}

fn taken_port() {
    let rig = Rig::new();
    let taken = TcpListener::bind(("127.0.0.1", rig.port)).unwrap();
    rig.configure("answer a\n");
    let output = rig.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8_lossy(&output.stderr);
    let line = format!("nginx: [emerg] bind() to 127.0.0.1:{} failed (98: Address already in use)\n", rig.port);
    assert_eq!(text, format!("{}nginx: [emerg] still could not bind()\n", line.repeat(5)));
    assert!(rig.pid("nginx.pid").is_none());
    // A daemon that fails late fails in the eyes of its caller, too.
    drop(taken);
    std::fs::create_dir(rig.prefix.join("nginx.pid")).unwrap();
    let output = rig.run(&[]);
    assert_eq!(output.status.code(), Some(1));
    let path = rig.prefix.join("nginx.pid");
    let line = format!("nginx: [emerg] open() \"{}\" failed (21: Is a directory)\n", path.display());
    assert_eq!(String::from_utf8_lossy(&output.stderr), line);
}

fn no_master() {
    let mut rig = Rig::new();
    let only = rig.start("answer a\nmaster off\n");
    assert_eq!(rig.ask(), ("a".to_owned(), only));
    assert!(workers(only).is_empty());
    rig.signal(only, SIGUSR1);
    rig.until_logged("reopening logs");
    let waiting = rig.connect();
    rig.ask();
    rig.signal(only, SIGQUIT);
    rig.until_logged("gracefully shutting down");
    assert_eq!(answer(&waiting).1, only);
    drop(waiting);
    rig.until_gone(only);
    assert!(rig.pid("nginx.pid").is_none());
    let again = rig.start("answer b\nmaster off\n");
    rig.signal(again, SIGHUP);
    rig.until_gone(again);
}
