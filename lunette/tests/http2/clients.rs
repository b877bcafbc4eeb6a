//! Clients that others wrote. `test.sh` installs them.

use crate::rig::{Foreground, Prefix, chromium, free_port};
use std::path::Path;
use std::process::Command;

/// HTTP/2 over TLS and in clear text, with a page of many images, an echo, and trailers.
fn server() -> (Prefix, u16, u16, Foreground) {
    let (prefix, secure, plain) = (Prefix::new(), free_port(), free_port());
    let pair = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    prefix.write("conf/server.crt", &pair.cert.pem());
    prefix.write("conf/server.key", &pair.signing_key.serialize_pem());
    prefix.write("client.py", include_str!("clients/client.py"));
    chromium::write_page(&prefix);
    let configuration = include_str!("clients/nginx.conf").replace("$SECURE", &secure.to_string());
    prefix.write("conf/nginx.conf", &configuration.replace("$PLAIN", &plain.to_string()));
    let running = Foreground::start(&prefix, plain, "").unwrap();
    (prefix, secure, plain, running)
}

/// A program, what it is called with, and what it must print.
struct Case {
    program: &'static str,
    arguments: &'static str,
    prints: &'static [&'static str],
}

// tidy: table
const CASES: &[Case] = &[
    Case {
        program: "/usr/bin/curl",
        arguments: "-sSk --max-time 60 -w |%{http_version}|%{response_code} https://localhost:$SECURE/lua",
        prints: &["hello HTTP/2.0 h2|2|200"],
    },
    Case {
        program: "/usr/bin/curl",
        arguments: "-sS --max-time 60 --http2-prior-knowledge -w |%{http_version} http://localhost:$PLAIN/lua",
        prints: &["hello HTTP/2.0 h2c|2"],
    },
    Case {
        program: "/usr/bin/curl",
        arguments: "-sSk --max-time 60 --data-binary @$PREFIX/body -w |%{http_version} https://localhost:$SECURE/length",
        prints: &["300000|2"],
    },
    Case { program: "/usr/bin/curl", arguments: "-sSkv --max-time 60 https://localhost:$SECURE/trailers", prints: &["body", "x-sum: 42"] },
    Case {
        program: "/usr/bin/nghttp",
        arguments: "-nsa --no-verify-peer -t 60 https://localhost:$SECURE/page.html",
        prints: &["/page.html", "/i/0.png", "/i/99.png"],
    },
    Case {
        program: "/usr/bin/nghttp",
        arguments: "-v --no-verify-peer -t 60 -d $PREFIX/body https://localhost:$SECURE/length",
        prints: &[":status: 200", "300000"],
    },
    Case { program: "/usr/bin/nghttp", arguments: "-v -t 60 http://localhost:$PLAIN/trailers", prints: &["x-sum: 42"] },
    Case {
        program: "/usr/bin/h2load",
        arguments: "-n 1000 -c 4 -m 20 https://localhost:$SECURE/lua",
        prints: &["1000 succeeded, 0 failed, 0 errored", "Application protocol: h2"],
    },
    Case { program: "/usr/bin/python3", arguments: "$PREFIX/client.py $SECURE", prints: &["good"] },
];

#[test]
fn other_peoples_clients_are_served() {
    let (prefix, secure, plain, _running) = server();
    prefix.write("body", &"b".repeat(300_000));
    for Case { program, arguments, prints } in CASES {
        assert!(Path::new(program).exists(), "no {program}; ./test.sh installs it");
        let arguments = arguments.replace("$SECURE", &secure.to_string()).replace("$PLAIN", &plain.to_string());
        let arguments = arguments.replace("$PREFIX", &prefix.path.display().to_string());
        let output = Command::new("timeout").arg("120").arg(program).args(arguments.split_whitespace()).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        for part in *prints {
            assert!(said.contains(part), "{program} {arguments}: {part}\n{said}\n{}", prefix.read("logs/error.log"));
        }
    }
    chromium::assert_page_is_shown(&prefix, secure, "h2", &[]);
    let log = prefix.read("logs/error.log");
    assert!(!log.contains("[alert]") && !log.contains("panicked"), "{log}");
}
