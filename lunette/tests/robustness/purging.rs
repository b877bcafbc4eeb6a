//! Purges by tag, prefix and key reach all workers and all times: soft ones, ones from the command line, a restart in between.

use crate::rig::{Foreground, Prefix, Response, exchange, free_port, parse, until};
use std::fs;
use std::path::PathBuf;

/// A cache in front of a server that answers with what it was asked.
struct Site {
    prefix: Prefix,
    port: u16,
    upstream: u16,
    running: Option<Foreground>,
}

impl Site {
    fn start() -> Site {
        let mut site = Site { prefix: Prefix::new(), port: free_port(), upstream: free_port(), running: None };
        site.again();
        site
    }

    fn again(&mut self) {
        self.running = None;
        let (port, upstream) = (self.port, self.upstream);
        self.prefix.write(
            "conf/nginx.conf",
            &format!(
                "daemon off; worker_processes 3; error_log logs/error.log crit; events {{ }} http {{
                proxy_cache_path cache levels=1:2 keys_zone=one:1m use_temp_path=off;
                server {{ listen {port};
                  location / {{ proxy_pass http://127.0.0.1:{upstream}; proxy_cache one; proxy_cache_key $uri; proxy_cache_valid 1h;
                    proxy_cache_revalidate on; proxy_cache_use_stale http_503; proxy_cache_purge_method PURGE;
                    proxy_cache_purge_tag $http_cache_tag; proxy_cache_purge_soft $http_soft; add_header X-Cache $upstream_cache_status; }} }}
                server {{ listen {upstream}; etag off; if ($arg_n = broken) {{ return 503; }}
                  location / {{ add_header Surrogate-Key \"all $http_x_tag\"; return 200 \"$uri $arg_n\"; }}
                  location /same {{ add_header ETag '\"a\"'; add_header Surrogate-Key all; if ($http_if_none_match) {{ return 304; }}
                    return 200 \"$arg_n\"; }} }} }}"
            ),
        );
        self.running = Some(Foreground::start(&self.prefix, port, "").unwrap());
    }

    fn ask(&self, method: &str, path: &str, fields: &str) -> Response {
        let request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\n{fields}Connection: close\r\n\r\n");
        parse(&exchange(self.port, request.as_bytes()).unwrap()).unwrap()
    }

    /// Asks often enough that all workers have been asked.
    fn settled(&self, path: &str) -> (String, String) {
        let mut last = (String::new(), String::new());
        for _ in 0..20 {
            let answer = self.ask("GET", path, "");
            last = (answer.text().to_owned(), answer.header("X-Cache").unwrap_or_default().to_owned());
        }
        last
    }

    fn cache(&self) -> PathBuf {
        self.prefix.path.join("cache")
    }

    fn tool(&self, arguments: &[&str]) -> (bool, String) {
        let mut all = vec!["cache"];
        all.extend(arguments);
        let output = std::process::Command::new(crate::rig::BINARY).args(all).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }
}

#[test]
fn a_tag_is_purged_in_all_workers_and_stays_so_over_a_restart() {
    let mut site = Site::start();
    for (path, tag) in [("/a", "red"), ("/b", "red"), ("/c", "blue")] {
        site.ask("GET", &format!("{path}?n=1"), &format!("X-Tag: {tag}\r\n"));
        assert_eq!(site.settled(&format!("{path}?n=2")), (format!("{path} 1"), "HIT".to_owned()));
    }
    assert_eq!(site.ask("PURGE", "/", "Cache-Tag: red\r\n").status, 204);
    assert_eq!(site.settled("/a?n=3"), ("/a 3".to_owned(), "HIT".to_owned()));
    site.again();
    assert_eq!(site.settled("/a?n=4").0, "/a 3");
    assert_eq!(site.settled("/b?n=4").0, "/b 4", "the purge is forgotten");
    assert_eq!(site.settled("/c?n=4").0, "/c 1");
    assert_eq!(site.ask("PURGE", "/*", "").status, 204);
    assert_eq!(site.settled("/c?n=5").0, "/c 5");
}

#[test]
fn after_a_soft_purge_the_old_answer_is_stale_and_may_be_confirmed() {
    let site = Site::start();
    for path in ["/a", "/same"] {
        site.ask("GET", &format!("{path}?n=1"), "");
    }
    for purge in ["/a", "/a*"] {
        assert_eq!(site.ask("PURGE", purge, "Soft: 1\r\n").status, 204);
        for _ in 0..20 {
            let answer = site.ask("GET", "/a?n=broken", "");
            assert_eq!((answer.text().as_ref(), answer.header("X-Cache")), ("/a 1", Some("STALE")));
        }
    }
    assert_eq!(site.ask("GET", "/a?n=2", "").header("X-Cache"), Some("EXPIRED"));
    assert_eq!(site.settled("/a?n=3"), ("/a 2".to_owned(), "HIT".to_owned()));
    assert_eq!(site.ask("PURGE", "/", "Soft: 1\r\nCache-Tag: all\r\n").status, 204);
    assert_eq!(site.ask("GET", "/same?n=2", "").header("X-Cache"), Some("REVALIDATED"));
    assert_eq!(site.settled("/same?n=3"), ("1".to_owned(), "HIT".to_owned()));
    assert_eq!(site.ask("PURGE", "/none", "Soft: 1\r\n").status, 404);
}

#[test]
fn a_long_list_of_purges_is_worked_off() {
    let mut site = Site::start();
    site.ask("GET", "/a?n=1", "");
    site.running = None;
    let lines: String = (0..20_000).map(|n| format!("1000 P /old/{n}\n")).collect();
    fs::write(site.cache().join("purges"), &lines).unwrap();
    // The list belongs to the workers' user after this.
    assert_eq!(site.tool(&["purge", site.cache().to_str().unwrap(), "--prefix", "/a"]), (true, String::new()));
    site.again();
    until("the list to become short", || fs::metadata(site.cache().join("purges")).is_ok_and(|file| file.len() < 100));
    assert_eq!(site.tool(&["ls", site.cache().to_str().unwrap()]).1.lines().filter(|line| line.ends_with("/a")).count(), 0);
    assert_eq!(site.settled("/a?n=2").0, "/a 2");
}

#[test]
fn the_command_line_sees_and_purges() {
    let mut site = Site::start();
    let cache = site.cache();
    let directory = cache.to_str().unwrap();
    site.ask("GET", "/a?n=1", "X-Tag: red\r\n");
    site.settled("/a?n=2");
    site.ask("GET", "/b?n=1", "");
    let (done, listed) = site.tool(&["ls", directory, "--tag", "red"]);
    let columns: Vec<&str> = listed.trim_end().split('\t').collect();
    assert!(done && columns.len() == 6, "{listed}");
    assert_eq!(columns[3..], ["20", "200", "/a"], "{listed}");
    let (_, answer) = site.tool(&["get", directory, "/a"]);
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n") && answer.ends_with("\r\n\r\n/a 1"), "{answer}");
    assert_eq!(site.tool(&["get", directory, "/b", "--body"]).1, "/b 1");
    for arguments in [vec!["purge", directory, "/a"], vec!["purge", directory, "--tag", "all"]] {
        assert_eq!(site.tool(&arguments), (true, String::new()));
        let path = if arguments.len() == 3 { "/a?n=new" } else { "/b?n=new" };
        until("the server to notice", || site.ask("GET", path, "").text().ends_with("new"));
    }
    site.running = None;
    let (done, listed) = site.tool(&["ls", directory, "--prefix", "/b"]);
    assert!(
        done && listed.contains("hits are not known: no server that runs has this cache") && listed.contains("\t-\t200\t/b\n"),
        "{listed}"
    );
    for (arguments, wanted) in [
        (vec!["get", directory, "/none"], "nothing is kept under \"/none\""),
        (vec!["purge", directory, "/none"], "nothing is kept under \"/none\""),
        (vec!["purge", directory], "purge needs one of KEY, --prefix and --tag"),
        (vec!["ls", "/nowhere"], "\"/nowhere\" cannot be read: No such file or directory (os error 2)"),
        (vec!["ls", directory, "--prefix"], "Usage: "),
    ] {
        let (done, said) = site.tool(&arguments);
        assert!(!done && said.contains(wanted), "{arguments:?}: {said}");
    }
}
