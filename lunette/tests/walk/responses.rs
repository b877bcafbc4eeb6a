//! What modules make of requests and answers beyond the manual's examples: cookies of `userid`, ranges, films, limits, variables of heads.

use crate::rig::{Foreground, Prefix, Response, connect, exchange, free_port, get, parse, until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;

fn server(outer: &str, locations: &str) -> (Prefix, u16, Foreground) {
    let (prefix, port) = (Prefix::new(), free_port());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log info;\nevents {{ }}\nhttp {{ {outer}\n\
             server {{ listen 127.0.0.1:{port}; location = /ready {{ return 200 ready; }}\n{locations} }} }}"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    (prefix, port, running)
}

/// Asks with more fields in the head.
fn ask(port: u16, path: &str, fields: &str) -> Response {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}Connection: close\r\n\r\n");
    parse(&exchange(port, request.as_bytes()).unwrap()).unwrap()
}

#[test]
fn clients_get_ids_and_keep_them() {
    let (prefix, port, _running) = server(
        "",
        "add_header X-Got $uid_got; add_header X-Set $uid_set;\n\
         location /on { userid on; userid_name v; userid_domain a.test; userid_path /x; userid_expires 1d; userid_p3p P; \
           userid_flags secure samesite=lax; return 200; }\n\
         location /max { userid v1; userid_service 7; userid_expires max; return 200; }\n\
         location /mark { userid on; userid_mark M; return 200; }\n\
         location /reset { userid on; set $uid_reset $arg_r; return 200; }\n\
         location /log { userid log; return 200; } location /off { return 200; }",
    );
    let first = ask(port, "/on", "");
    let cookie = first.header("Set-Cookie").unwrap();
    let (pair, attributes) = cookie.split_once("; ").unwrap();
    assert!(attributes.starts_with("expires=") && attributes.ends_with("; domain=a.test; path=/x; secure; samesite=lax"), "{cookie}");
    assert_eq!(first.header("P3P"), Some("P"));
    // The bytes of the cookie and the digits of the variable are the same numbers, those of this server's address first.
    assert_eq!(pair.strip_prefix("v=").map(str::len), Some(24), "{pair}");
    let digits = first.header("X-Set").unwrap();
    assert!(digits.strip_prefix("v=0100007F").is_some_and(|rest| rest.len() == 24), "{digits}");
    let again = ask(port, "/on", &format!("Cookie: other=1; {pair}\r\n"));
    assert_eq!((again.header("Set-Cookie"), again.header("X-Got"), again.header("X-Set")), (None, Some(digits), None));
    assert_ne!(ask(port, "/on", "").header("Set-Cookie").unwrap().split(';').next(), Some(pair), "no two clients are the same");

    let old = ask(port, "/max", "");
    assert!(old.header("Set-Cookie").unwrap().ends_with("; expires=Thu, 31-Dec-37 23:55:55 GMT; path=/"));
    assert!(old.header("X-Set").unwrap().starts_with("uid=00000007"));

    // A cookie without the mark is sent again with it, and the same numbers; one with it is left alone.
    let own = pair.trim_start_matches("v=");
    let marked = ask(port, "/mark", &format!("Cookie: uid={own}\r\n"));
    let sent = marked.header("Set-Cookie").and_then(|cookie| cookie.split(';').next()).unwrap();
    assert_eq!(sent, format!("uid={}M=", &own[..22]));
    assert_eq!(ask(port, "/mark", &format!("Cookie: {sent}\r\n")).header("Set-Cookie"), None);

    for (wish, resets) in [("", false), ("0", false), ("1", true), ("log", true)] {
        let answer = ask(port, &format!("/reset?r={wish}"), &format!("Cookie: uid={own}\r\n"));
        assert_eq!(answer.header("Set-Cookie").is_some(), resets, "{wish:?}");
    }
    let digits = digits.replace("v=", "uid=");
    let reset = format!("userid cookie \"{digits}\" was reset");
    assert!(prefix.read("logs/error.log").lines().any(|line| line.contains("[notice]") && line.contains(&reset)));

    for (cookie, fault) in [("uid=short", "too short"), ("uid=*********************************", "invalid")] {
        assert!(ask(port, "/reset", &format!("Cookie: {cookie}\r\n")).header("Set-Cookie").is_some(), "{fault}: a new one is sent");
        let line = format!("client sent {fault} userid cookie \"{cookie}\"");
        assert!(prefix.read("logs/error.log").contains(&line), "{}", prefix.read("logs/error.log"));
    }
    let logged = ask(port, "/log", &format!("Cookie: uid={own}\r\n"));
    assert_eq!((logged.header("X-Got"), logged.header("X-Set"), logged.header("Set-Cookie")), (Some(digits.as_str()), None, None));
    assert_eq!(ask(port, "/log", "").header("Set-Cookie"), None);
    assert_eq!(ask(port, "/off", &format!("Cookie: uid={own}\r\n")).header("X-Got"), None);
}

#[test]
fn parts_of_files_in_the_order_that_was_asked_for() {
    let (prefix, port, _running) = server("", "location / { root html; } location /one/ { alias html/; max_ranges 1; }");
    prefix.write("html/r.txt", "0123456789");
    let whole = get(port, "/r.txt").unwrap();
    let (etag, date) = (whole.header("ETag").unwrap(), whole.header("Last-Modified").unwrap());
    assert_eq!(whole.header("Accept-Ranges"), Some("bytes"));

    let parts = ask(port, "/r.txt", "Range: bytes=7-8,0-1,-1\r\n");
    let boundary = parts.header("Content-Type").and_then(|kind| kind.strip_prefix("multipart/byteranges; boundary=")).unwrap();
    let part =
        |range: &str, text: &str| format!("\r\n--{boundary}\r\nContent-Type: text/plain\r\nContent-Range: bytes {range}/10\r\n\r\n{text}");
    let expected = [part("7-8", "78"), part("0-1", "01"), part("9-9", "9"), format!("\r\n--{boundary}--\r\n")].concat();
    assert_eq!((parts.status, parts.text()), (206, expected));
    assert_eq!(parts.header("Content-Length").unwrap(), parts.body.len().to_string());
    assert_eq!(parts.header("Content-Range"), None);

    let rows: [(&str, String, u16, &str); 9] = [
        ("/r.txt", "Range: bytes=2-3\r\n".to_owned(), 206, "23"),
        ("/r.txt", "Range: bytes=8-\r\n".to_owned(), 206, "89"),
        ("/r.txt", "Range: bytes=9-8\r\n".to_owned(), 416, ""),
        ("/r.txt", "Range: bytes=10-\r\n".to_owned(), 416, ""),
        ("/r.txt", format!("Range: bytes=2-3\r\nIf-Range: {etag}\r\n"), 206, "23"),
        ("/r.txt", format!("Range: bytes=2-3\r\nIf-Range: {date}\r\n"), 206, "23"),
        ("/r.txt", "Range: bytes=2-3\r\nIf-Range: \"other\"\r\n".to_owned(), 200, "0123456789"),
        ("/r.txt", "Range: bytes=2-3\r\nIf-Range: Thu, 01 Jan 1970 00:00:01 GMT\r\n".to_owned(), 200, "0123456789"),
        ("/one/r.txt", "Range: bytes=2-3,5-6\r\n".to_owned(), 200, "0123456789"),
    ];
    for (path, fields, status, text) in rows {
        let answer = ask(port, path, &fields);
        assert_eq!(answer.status, status, "{fields}");
        match status {
            416 => assert_eq!(answer.header("Content-Range"), Some("bytes */10"), "{fields}"),
            _ => assert_eq!(answer.text(), text, "{fields}"),
        }
    }
}

fn atom(name: &str, content: &[u8]) -> Vec<u8> {
    [&u32::try_from(content.len() + 8).unwrap().to_be_bytes()[..], name.as_bytes(), content].concat()
}

#[test]
fn films_that_cannot_be_cut_are_refused_with_a_line() {
    let (prefix, port, _running) = server("", "location / { root html; mp4; mp4_buffer_size 1k; mp4_max_buffer_size 2k; }");
    let (mdat, moov, ftyp) = (atom("mdat", b"data"), atom("moov", &[]), atom("ftyp", b"isom"));
    let rows: [(&str, Vec<u8>, &str); 8] = [
        ("text", b"this is no film at all".to_vec(), ""),
        ("empty", Vec::new(), "no mp4 trak atoms were found in"),
        ("no-moov", [ftyp.clone(), mdat.clone()].concat(), "no mp4 trak atoms were found in"),
        ("no-mdat", [ftyp.clone(), moov.clone()].concat(), "no mp4 mdat atom was found in"),
        ("two-moov", [ftyp.clone(), moov.clone(), moov.clone(), mdat.clone()].concat(), "duplicate mp4 moov atom in"),
        ("two-ftyp", [ftyp.clone(), ftyp, moov.clone(), mdat.clone()].concat(), "duplicate mp4 ftyp atom in"),
        ("large-ftyp", [atom("ftyp", &[0; 2000]), moov, mdat.clone()].concat(), "mp4 ftyp atom is too large:2000"),
        (
            "large-moov",
            [atom("moov", &[0; 4000]), mdat].concat(),
            "mp4 moov atom is too large:4000, you may want to increase mp4_max_buffer_size",
        ),
    ];
    for (name, bytes, line) in rows {
        std::fs::write(prefix.path.join(format!("html/{name}.mp4")), &bytes).unwrap();
        let cut = get(port, &format!("/{name}.mp4?start=1")).unwrap();
        assert_eq!(cut.status, 500, "{name}");
        let log = prefix.read("logs/error.log");
        assert!(log.lines().any(|logged| logged.contains(line) && logged.contains(&format!("html/{name}.mp4\""))), "{name}: {log}");
        // As it is, it is a file like any other.
        let whole = get(port, &format!("/{name}.mp4")).unwrap();
        assert_eq!((whole.status, whole.body), (200, bytes), "{name}");
    }
}

#[test]
fn a_limit_delays_and_who_goes_meanwhile_frees_his_place() {
    let (prefix, port, _running) = server(
        "log_format l '$uri $status $limit_req_status'; access_log logs/l.log l;\n\
         limit_req_zone $arg_k zone=slow:64k rate=1r/m; limit_req_zone $arg_o zone=other:64k rate=1r/m; limit_req_zone $arg_n zone=fast:64k rate=1r/m;",
        "location /dry { limit_req zone=slow burst=1; limit_req_dry_run on; root html; }\n\
         location /waits { limit_req zone=slow burst=1; root html; }\n\
         location /now { limit_req zone=fast burst=1 nodelay; limit_req_status 429; root html; }\n\
         location /both { limit_req zone=other; limit_req zone=fast burst=1; root html; }",
    );
    let statuses = |path: &str, most: usize| -> Vec<u16> { (0..most).map(|_| get(port, path).unwrap().status).collect() };
    // The limit stands before content: 404 is a request that passed.
    assert_eq!(statuses("/now?n=a", 3), [404, 404, 429]);
    // Without a key nothing is limited.
    assert_eq!(statuses("/now", 3), [404, 404, 404]);
    let mut waiting = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(get(port, "/waits?k=a").unwrap().status, 404);
    waiting.write_all(b"GET /waits?k=a HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    until("a delay", || prefix.read("logs/error.log").contains("delaying request, excess: "));
    // One more does not fit while it waits.
    assert_eq!(get(port, "/waits?k=a").unwrap().status, 503);
    drop(waiting);
    until("its end", || prefix.read("logs/l.log").contains("/waits 499 DELAYED"));
    // What the first limit has passed is not charged where the second refuses.
    assert_eq!(statuses("/both?o=a&n=a", 2), [503, 503]);
    assert_eq!(get(port, "/both?o=a&n=b").unwrap().status, 404);
    assert_eq!(statuses("/dry?k=d", 3), [404, 404, 404]);
    until("the log", || prefix.read("logs/l.log").contains("/dry 404 REJECTED_DRY_RUN"));
    let log = prefix.read("logs/l.log");
    let dry: Vec<&str> = log.lines().filter(|line| line.starts_with("/dry")).collect();
    assert_eq!(dry, ["/dry 404 PASSED", "/dry 404 DELAYED_DRY_RUN", "/dry 404 REJECTED_DRY_RUN"]);
}

#[test]
fn fields_of_the_answers_head_are_variables() {
    let (prefix, port, _running) = server(
        "log_format l '$uri|$sent_http_content_type|$sent_http_content_length|$sent_http_last_modified|$sent_http_connection|$sent_http_keep_alive|\
           $sent_http_transfer_encoding|$sent_http_x_a|$sent_http_x_b'; access_log logs/l.log l; keepalive_timeout 75 20;",
        "add_header X-A 1; add_header X-A 2;\n\
         location /text { return 200 text; } location /file { root html; }\n\
         location /chunks { content_by_lua_block { ngx.print('a') ngx.flush(true) ngx.print('b') } }\n\
         location /own { content_by_lua_block { ngx.header.content_type = 'a/b' ngx.header.last_modified = 'Sun, 06 Nov 1994 08:49:37 GMT' ngx.print('a') } }",
    );
    prefix.write("html/file", "0123");
    get(port, "/text").unwrap();
    let file = get(port, "/file").unwrap();
    let date = file.header("Last-Modified").unwrap();
    get(port, "/chunks").unwrap();
    get(port, "/own").unwrap();
    let kept = b"GET /text HTTP/1.1\r\nHost: x\r\n\r\nGET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    exchange(port, kept).unwrap();
    let expected = [
        "/text|text/plain|4|-|close|-|-|1, 2|-".to_owned(),
        format!("/file|text/plain|4|{date}|close|-|-|1, 2|-"),
        "/chunks|text/plain|-|-|close|-|chunked|1, 2|-".to_owned(),
        "/own|a/b|-|Sun, 06 Nov 1994 08:49:37 GMT|close|-|chunked|1, 2|-".to_owned(),
        "/text|text/plain|4|-|keep-alive|timeout=20|-|1, 2|-".to_owned(),
    ];
    until("the log", || prefix.read("logs/l.log").lines().count() >= 6);
    let log = prefix.read("logs/l.log");
    let lines: Vec<&str> = log.lines().filter(|line| !line.starts_with("/ready")).collect();
    assert_eq!(lines, expected);
}

#[test]
fn any_file_of_a_directory() {
    let (prefix, port, _running) = server("", "location / { root html; random_index on; }");
    prefix.write("html/one/only", "the only one");
    prefix.write("html/one/.hidden", "hidden");
    prefix.write("html/one/inner/other", "deeper");
    prefix.write("html/two/a", "a");
    prefix.write("html/two/b", "b");
    prefix.write("html/none/.hidden", "hidden");
    assert_eq!(get(port, "/one/").unwrap().text(), "the only one");
    assert!(["a", "b"].contains(&get(port, "/two/").unwrap().text().as_str()));
    for (path, status) in [("/none/", 403), ("/missing/", 404), ("/one/only/", 404), ("/one/only", 200)] {
        assert_eq!(get(port, path).unwrap().status, status, "{path}");
    }
}

#[test]
fn what_echo_says_of_requests() {
    let (prefix, port, _running) = server(
        "",
        "location /sub { echo \"$echo_request_method $echo_client_request_method $echo_incr\"; }\n\
         location /all { echo \"$echo_incr $echo_request_uri $echo_cacheable_request_uri\"; echo_subrequest POST /sub; echo_subrequest GET /sub; }\n\
         location /head { echo -n $echo_client_request_headers; }\n\
         location /timer { echo_reset_timer; echo_duplicate 2 $echo_timer_elapsed; echo_flush; }\n\
         location /nested { echo_foreach_split , 'a,b'; echo_foreach_split , 'c'; echo_end; echo_end; }\n\
         location /alone { echo_end; echo a; }\n\
         location /few { echo_foreach_split -x a; echo_end; }",
    );
    assert_eq!(get(port, "/all").unwrap().text(), "1 /all /all\nPOST GET 2\nGET GET 3\n");
    let head = ask(port, "/head", "X-A: b\r\n").text();
    assert_eq!(head, "GET /head HTTP/1.1\r\nHost: localhost\r\nX-A: b\r\nConnection: close\r\n\r\n");
    let timer = get(port, "/timer").unwrap().text();
    assert!(timer.len() == 10 && timer.starts_with("0.") && timer[..5] == timer[5..], "{timer}");
    for (path, line) in [
        ("/nested", "Nested echo_foreach not supported yet."),
        ("/alone", "Found a echo_end that has no corresponding echo_foreach before it."),
        ("/few", "echo_foreach should take at least two arguments."),
    ] {
        // The answer may be an error or the end of the connection.
        let broken = get(port, path).map_or(500, |answer| answer.status);
        assert_eq!(broken, 500, "{path}");
        assert!(prefix.read("logs/error.log").contains(line), "{path}: {}", prefix.read("logs/error.log"));
    }
}

#[test]
fn what_webdav_refuses_and_does() {
    let (prefix, port, _running) = server("", "location / { root html; dav_methods PUT DELETE MKCOL COPY MOVE; }");
    prefix.write("html/a.txt", "a");
    prefix.write("html/old/inner/f", "f");
    for directory in ["html", "html/old", "html/old/inner"] {
        // Workers of root are another user's.
        std::fs::set_permissions(prefix.path.join(directory), std::fs::Permissions::from_mode(0o777)).unwrap();
    }
    let to = |target: &str| format!("Destination: {target}\r\n");
    let depth = |target: &str, depth: &str| format!("Destination: {target}\r\nDepth: {depth}\r\n");
    let body = "Content-Length: 1\r\n".to_owned();
    // Line, fields, status, what the log says. What a row does the next ones find.
    let rows: [(&str, String, u16, &str); 36] = [
        ("MKCOL /d", String::new(), 409, "MKCOL can create a collection only"),
        ("MKCOL /d/", body.clone(), 415, "MKCOL with body is unsupported"),
        ("MKCOL /d/", String::new(), 201, ""),
        ("MKCOL /d/", String::new(), 405, ""),
        ("MKCOL /none/d/", String::new(), 409, ""),
        ("PUT /a.txt", format!("Content-Range: bytes 0-0/1\r\n{body}"), 501, "PUT with range is unsupported"),
        ("PUT /d/", body.clone(), 409, "cannot PUT to a collection"),
        ("PUT /d", body.clone(), 409, "could not be created (21: Is a directory)"),
        ("PUT /none/a", body.clone(), 500, "failed (2: No such file or directory)"),
        ("PUT /a.txt", body.clone(), 204, ""),
        ("PUT /b.txt", body.clone(), 201, ""),
        ("DELETE /a.txt", body.clone(), 415, "DELETE with body is unsupported"),
        ("DELETE /a.txt", "Depth: 1\r\n".to_owned(), 400, "\"Depth\" header must be 0 or infinity"),
        ("DELETE /a.txt", "Depth: 2\r\n".to_owned(), 400, "client sent invalid \"Depth\" header: \"2\""),
        ("DELETE /d", String::new(), 409, "/d\" failed (21: Is a directory)"),
        ("DELETE /none", String::new(), 404, ""),
        ("COPY /a.txt", format!("{}{body}", to("/c.txt")), 415, "COPY and MOVE with body are unsupported"),
        ("COPY /a.txt", String::new(), 400, "client sent no \"Destination\" header"),
        ("COPY /a.txt", to("c.txt"), 400, "client sent invalid \"Destination\" header: \"c.txt\""),
        ("COPY /a.txt", to("https://localhost/c.txt"), 400, "client sent invalid \"Destination\" header: \"https://localhost/c.txt\""),
        ("COPY /a.txt", to("http://localhost"), 400, "client sent invalid \"Destination\" header: \"http://localhost\""),
        ("COPY /a.txt", to("http://other/c.txt"), 400, "\"http://other/c.txt\" is handled by different repository than the source URI"),
        ("COPY /a.txt", to("/../c.txt"), 400, "client sent invalid \"Destination\" header: \"/../c.txt\""),
        ("COPY /a.txt", to("/c/"), 409, "should be either collections or non-collections"),
        ("COPY /a.txt", to("/a.txt"), 403, "source and destination are the same: \"/a.txt\" and \"/a.txt\""),
        ("COPY /old/", to("/old/inner/"), 403, "source \"/old/\" and destination \"/old/inner/\" contain one another"),
        ("COPY /a.txt", depth("/c.txt", "1"), 400, "\"Depth\" header must be 0 or infinity"),
        ("MOVE /a.txt", depth("/c.txt", "0"), 400, "\"Depth\" header must be infinity"),
        ("COPY /a.txt", format!("{}Overwrite: maybe\r\n", to("/c.txt")), 400, "client sent invalid \"Overwrite\" header: \"maybe\""),
        ("COPY /a.txt", format!("{}Overwrite: F\r\n", to("/b.txt")), 412, "could not be created (17: File exists)"),
        ("COPY /a.txt", to("/d"), 409, "\"/a.txt\" could not be COPYed to collection \"/d\""),
        ("COPY /none", to("/c.txt"), 404, ""),
        ("COPY /d", to("/c.txt"), 400, "\"/d\" is collection"),
        ("COPY /a.txt", to("http://LOCALHOST/c.txt"), 204, ""),
        ("COPY /old/", to("/new/"), 201, ""),
        ("MOVE /old/", to("/d/"), 201, ""),
    ];
    for (line, fields, status, logged) in rows {
        let content = if fields.contains("Content-Length") { "x" } else { "" };
        let request = format!("{line} HTTP/1.1\r\nHost: localhost\r\n{fields}Connection: close\r\n\r\n{content}");
        let answer = parse(&exchange(port, request.as_bytes()).unwrap()).unwrap();
        assert_eq!(answer.status, status, "{line} {fields}\n{}", prefix.read("logs/error.log"));
        assert!(prefix.read("logs/error.log").contains(logged), "{line} {fields}\n{}", prefix.read("logs/error.log"));
    }
    let left = |path: &str| std::fs::read_to_string(prefix.path.join("html").join(path)).ok();
    for (path, text) in [
        ("a.txt", Some("x")),
        ("b.txt", Some("x")),
        ("c.txt", Some("x")),
        ("new/inner/f", Some("f")),
        ("d/inner/f", Some("f")),
        ("old/inner/f", None),
    ] {
        assert_eq!(left(path).as_deref(), text, "{path}");
    }
}

/// A film from its second part on has a tag of its own, ranges of values are cut here, and an answer without a body is complete.
#[test]
fn parts_have_tags_and_answers_without_bodies_are_complete() {
    let stored = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let memcached = stored.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in stored.incoming().flatten() {
            let _ = std::io::Read::read(&mut stream, &mut [0; 256]);
            let _ = stream.write_all(b"VALUE k 0 5\r\nhello\r\nEND\r\n");
        }
    });
    let (prefix, port, _running) = server(
        "log_format ends '$request_method $uri $status $request_completion;'; access_log logs/ends.log ends;",
        &format!(
            "location /films/ {{ flv; }} location /value {{ set $memcached_key k; memcached_pass 127.0.0.1:{memcached}; }}
             location /nothing {{ return 204; }} location /elsewhere {{ return 302 /x; }}"
        ),
    );
    prefix.write("html/films/a.flv", &"x".repeat(100));
    let whole = ask(port, "/films/a.flv", "");
    let part = ask(port, "/films/a.flv?start=40", "");
    let tag = |answer: &Response| answer.header("ETag").unwrap_or_default().to_owned();
    assert!(tag(&whole).ends_with("-64\"") && tag(&part).ends_with(&format!("-{:x}\"", 13 + 60)), "{} {}", tag(&whole), tag(&part));
    assert_eq!(tag(&whole).split('-').next(), tag(&part).split('-').next());
    let range = ask(port, "/value", "Range: bytes=1-2\r\n");
    assert_eq!((range.status, range.text().as_str()), (206, "el"));
    for (method, path, fields) in
        [("HEAD", "/films/a.flv", ""), ("GET", "/nothing", ""), ("HEAD", "/elsewhere", ""), ("GET", "/films/a.flv", "If-None-Match: *\r\n")]
    {
        exchange(port, format!("{method} {path} HTTP/1.1\r\nHost: a\r\n{fields}Connection: close\r\n\r\n").as_bytes()).unwrap();
    }
    until("the lines", || prefix.read("logs/ends.log").contains("304"));
    let log = prefix.read("logs/ends.log");
    for line in ["HEAD /films/a.flv 200 OK;", "GET /nothing 204 OK;", "HEAD /elsewhere 302 OK;", "GET /films/a.flv 304 OK;"] {
        assert!(log.contains(line), "{line}: {log}");
    }
}

#[test]
fn what_webdav_cannot_remove_is_told_file_by_file() {
    if !sys::identity::is_root() {
        return;
    }
    let (prefix, port, _running) = server("", "location / { root html; dav_methods DELETE; }");
    prefix.write("html/top/free/f", "f");
    prefix.write("html/top/held/f", "f");
    for (directory, mode) in [("html", 0o777), ("html/top", 0o777), ("html/top/free", 0o777), ("html/top/held", 0o755)] {
        std::fs::set_permissions(prefix.path.join(directory), std::fs::Permissions::from_mode(mode)).unwrap();
    }
    let answer = parse(&exchange(port, b"DELETE /top/ HTTP/1.0\r\n\r\n").unwrap()).unwrap();
    assert_eq!(answer.status, 500);
    assert!(!prefix.path.join("html/top/free").exists() && prefix.path.join("html/top/held/f").exists());
    let log = prefix.read("logs/error.log");
    for line in [
        "/top/held/f\" failed (13: Permission denied)",
        "/top/held\" failed (39: Directory not empty)",
        "/top\" failed (39: Directory not empty)",
    ] {
        assert!(log.contains(line), "{line}: {log}");
    }
}

#[test]
fn what_came_with_a_head_is_pipelined_and_what_came_later_is_not() {
    let (_prefix, port, _running) = server("", "location / { return 200 [$pipe$connection_requests]; }");
    let (get, post) = ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n");
    // Parts, each sent when the answer to the one before is here, and what the answers are.
    let rows = [
        (vec![format!("{get}{get}{get}")], "[.1][p2][p3]"),
        (vec![get.to_owned(), get.to_owned()], "[.1][.2]"),
        (vec![format!("{post}hello{get}")], "[.1][p2]"),
        (vec![format!("{post}hel"), format!("lo{get}")], "[.1][.2]"),
        (vec![format!("{get}GE"), get[2..].to_owned()], "[.1][p2]"),
    ];
    for (parts, expected) in rows {
        let mut client = connect(port);
        let (mut received, mut told) = (String::new(), String::new());
        for (at, part) in parts.iter().enumerate() {
            client.write_all(part.as_bytes()).unwrap();
            while told.is_empty() || (at + 1 == parts.len() && told.len() < expected.len()) {
                let mut bytes = [0; 4096];
                let length = client.read(&mut bytes).unwrap();
                assert_ne!(length, 0, "{parts:?}: {received}");
                received.push_str(&String::from_utf8_lossy(&bytes[..length]));
                let words = received.split('[').skip(1).filter_map(|rest| rest.split_once(']'));
                told = words.map(|(word, _)| format!("[{word}]")).collect();
            }
        }
        assert_eq!(told, expected, "{parts:?}");
    }
}

/// `return 444` in the location that is asked closes the client's connection; the same status of an upstream is one of those that are not expected.
#[test]
fn an_authorization_can_close_the_connection() {
    let (prefix, port, _running) = server(
        "",
        "location /a { auth_request /closed; } location /b { auth_request /said; }\n\
         location = /closed { return 444; } location = /said { proxy_pass http://127.0.0.1:$server_port/odd; } location = /odd { return 444 x; }",
    );
    assert_eq!(exchange(port, b"GET /a HTTP/1.0\r\n\r\n").unwrap(), b"");
    assert!(exchange(port, b"GET /b HTTP/1.0\r\n\r\n").unwrap().starts_with(b"HTTP/1.1 500 "));
    assert!(prefix.read("logs/error.log").contains("auth request unexpected status: 444"));
}
