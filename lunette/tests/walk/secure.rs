//! TLS between servers: sockets of Lua code, and what comes with the server and uses them.

use crate::rig::{Prefix, free_port, get};
use net::stream::Stream;
use std::net::TcpListener;
use tls::certificate::{Chain, Key, Pair};
use tls::ciphers::{CipherConf, Offer};

/// Writes a certificate for `backend.example.com` that is its own authority, and answers it with its key.
fn certificate(prefix: &Prefix) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["backend.example.com".to_owned()]).unwrap();
    prefix.write("conf/backend.crt", &made.cert.pem());
    prefix.write("conf/backend.key", &made.signing_key.serialize_pem());
    (made.cert.pem(), made.signing_key.serialize_pem())
}

/// Starts a server of which `backend` speaks TLS and `front` trusts it; answers its port and that of `backend`.
fn serve(prefix: &Prefix, backend: &str, front: &str) -> (u16, u16) {
    let (port, secure) = (free_port(), free_port());
    let text = format!(
        "worker_processes 1;\nerror_log logs/error.log;\nevents {{ worker_connections 10224; }}\nhttp {{\n\
         server {{ listen {secure} ssl; ssl_certificate backend.crt; ssl_certificate_key backend.key;\n{backend}\n}}\n\
         server {{ listen {port}; lua_ssl_trusted_certificate backend.crt; set $secure {secure};\n{front}\n}}\n}}\n"
    );
    prefix.write("conf/nginx.conf", &text);
    let output = prefix.run(&[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (port, secure)
}

const POOL: &str = r#"
    local sock
    local function connect()
        sock = ngx.socket.tcp()
        assert(sock:connect("127.0.0.1", ngx.var.secure))
        return sock:getreusedtimes()
    end
    local function ask()
        assert(sock:send("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
        sock:receiveuntil("\r\n\r\n")()
        return sock:receive(2)
    end
    ngx.say(connect(), " ", type(sock:sslhandshake()), " ", ask(), " ", sock:setkeepalive())
    -- Nothing is sent now, but who the server is gets looked at.
    ngx.say(connect(), " ", type(sock:sslhandshake(nil, "backend.example.com", true)), " ", ask(), " ", sock:setkeepalive())
    ngx.say(connect(), " ", tostring(sock:sslhandshake(false)), " ", ask(), " ", sock:setkeepalive())
    ngx.say(connect(), " ", select(2, sock:sslhandshake(nil, "other.example.com", true)))
    ngx.say(sock:close())
    ngx.say(select(2, sock:sslhandshake()))
    ngx.say(connect(), " ", type(sock:sslhandshake()))
"#;

#[test]
fn a_pool_keeps_connections_over_tls() {
    let prefix = Prefix::new();
    certificate(&prefix);
    let (port, _) = serve(&prefix, "location / { return 200 ok; }", &format!("location /pool {{ content_by_lua_block {{ {POOL} }} }}"));
    let expected = "0 cdata ok 1\n1 cdata ok 1\n2 true ok 1\n3 certificate host mismatch\nnilclosed\nclosed\n0 cdata\n";
    assert_eq!(get(port, "/pool").unwrap().text(), expected, "{}", prefix.read("logs/error.log"));
}

/// A connection that one location has let pass is another's only if that one's authorities say so too.
#[test]
fn a_server_of_the_pool_is_judged_by_who_takes_it() {
    let prefix = Prefix::new();
    certificate(&prefix);
    let other = rcgen::generate_simple_self_signed(["other.example.com".to_owned()]).unwrap();
    prefix.write("conf/other.crt", &other.cert.pem());
    let code = "local sock = ngx.socket.tcp()
        assert(sock:connect(\"127.0.0.1\", ngx.var.secure))
        local reused = sock:getreusedtimes()
        local ok, err = sock:sslhandshake(nil, \"backend.example.com\", true)
        ngx.say(reused, \" \", err or sock:setkeepalive())";
    let front = format!(
        "location /first {{ content_by_lua_block {{ {code} }} }}\n\
         location /second {{ lua_ssl_trusted_certificate other.crt; content_by_lua_block {{ {code} }} }}"
    );
    let (port, _) = serve(&prefix, "", &front);
    for (path, text) in [("/first", "0 1\n"), ("/first", "1 1\n"), ("/second", "2 18: self-signed certificate\n"), ("/first", "0 1\n")] {
        assert_eq!(get(port, path).unwrap().text(), text, "{path}: {}", prefix.read("logs/error.log"));
    }
}

#[test]
fn handshakes_fail_with_openrestys_words() {
    let prefix = Prefix::new();
    certificate(&prefix);
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let silent_port = silent.local_addr().unwrap().port();
    let code = format!(
        "local function try(limit, port, ...)\n\
         local sock = ngx.socket.tcp() sock:settimeout(limit)\n\
         assert(sock:connect(\"127.0.0.1\", port)) ngx.say(select(2, sock:sslhandshake(...)), \" \", sock:close()) end\n\
         try(50, {silent_port}) try(6e4, ngx.var.server_port) try(6e4, ngx.var.secure, nil, \"backend.example.com\", true)"
    );
    let front = format!(
        "location /known {{ content_by_lua_block {{ {code} }} }}\n\
         location /unknown {{ lua_ssl_trusted_certificate other.crt; content_by_lua_block {{ {code} }} }}"
    );
    let other = rcgen::generate_simple_self_signed(["other.example.com".to_owned()]).unwrap();
    prefix.write("conf/other.crt", &other.cert.pem());
    let (port, _) = serve(&prefix, "", &front);
    assert_eq!(get(port, "/known").unwrap().text(), "timeout nilclosed\nhandshake failed nilclosed\nnil 1\n");
    let expected = "timeout nilclosed\nhandshake failed nilclosed\n18: self-signed certificate nilclosed\n";
    assert_eq!(get(port, "/unknown").unwrap().text(), expected);
    let log = prefix.read("logs/error.log");
    for line in [
        "SSL_do_handshake() failed (SSL: error:0A00010B:SSL routines::wrong version number)",
        "lua ssl certificate verify error: (18: self-signed certificate)",
    ] {
        assert!(log.contains(line), "{line} in {log}");
    }
    drop(silent);
}

/// Somebody between sends a line of their own ahead of the handshake.
#[test]
fn what_came_in_the_clear_is_not_said_over_tls() {
    let prefix = Prefix::new();
    let (certificate, key) = certificate(&prefix);
    let pair = Pair::new(&Chain::from_pem(certificate.as_bytes()).unwrap(), &Key::from_pem(key.as_bytes(), &[]).unwrap()).unwrap();
    let settings = tls::server::Settings::new(tls::server::Options::new(Offer::new(&CipherConf::default()).unwrap(), vec![pair])).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let mail = listener.local_addr().unwrap().port();
    let server = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (socket, _) = tokio::net::TcpListener::from_std(listener).unwrap().accept().await.unwrap();
            let mut stream = Stream::Tcp(socket);
            stream.write_all(b"220 ready\r\n250 somebody else\r\n").await.unwrap();
            let mut asked = Vec::new();
            while !asked.ends_with(b"STARTTLS\r\n") {
                assert!(stream.read(&mut asked).await.unwrap() > 0);
            }
            let mut stream = Stream::Tls(Box::new(net::tls::accept(stream, settings.session().unwrap(), &[]).await.unwrap()));
            stream.write_all(b"250 me\r\n").await.unwrap();
            while stream.read(&mut asked).await.is_ok_and(|count| count > 0) {}
        });
    });
    let code = format!(
        "local sock = ngx.socket.tcp() assert(sock:connect(\"127.0.0.1\", {mail}))\n\
         ngx.say(sock:receive()) sock:send(\"STARTTLS\\r\\n\")\n\
         assert(sock:sslhandshake(nil, \"backend.example.com\", true)) ngx.say(sock:receive()) sock:close()"
    );
    let (port, _) = serve(&prefix, "", &format!("location /mail {{ content_by_lua_block {{ {code} }} }}"));
    assert_eq!(get(port, "/mail").unwrap().text(), "220 ready\n250 me\n");
    server.join().unwrap();
}

#[test]
fn websockets_speak_tls() {
    let prefix = Prefix::new();
    certificate(&prefix);
    let server = "local server = assert(require \"resty.websocket.server\":new())\n\
                  local data, kind = server:recv_frame() server:send_text(kind .. \" \" .. data) server:send_close()";
    let client = "local client = require \"resty.websocket.client\":new()\n\
                  assert(client:connect(\"wss://127.0.0.1:\" .. ngx.var.secure .. \"/ws\", { ssl_verify = true, server_name = \"backend.example.com\" }))\n\
                  client:send_text(\"hello\") ngx.say((client:recv_frame())) client:close()";
    let (port, _) = serve(
        &prefix,
        &format!("location /ws {{ content_by_lua_block {{ {server} }} }}"),
        &format!("location /talk {{ content_by_lua_block {{ {client} }} }}"),
    );
    assert_eq!(get(port, "/talk").unwrap().text(), "text hello\n", "{}", prefix.read("logs/error.log"));
}

#[test]
fn sockets_show_certificates_that_were_parsed() {
    let prefix = Prefix::new();
    certificate(&prefix);
    let code = format!(
        "local ssl = require \"ngx.ssl\"\n\
         local function read(name) local f = io.open(\"{0}/conf/backend.\" .. name) local text = f:read(\"*a\") f:close() return text end\n\
         local cert, key = assert(ssl.parse_pem_cert(read(\"crt\"))), assert(ssl.parse_pem_priv_key(read(\"key\")))\n\
         for _, pair in ipairs {{ {{}}, {{ cert, key }}, {{ key, key }} }} do\n\
         local sock = ngx.socket.tcp() assert(sock:setclientcert(pair[1], pair[2]))\n\
         assert(sock:connect(\"127.0.0.1\", ngx.var.secure))\n\
         local ok, err = sock:sslhandshake(false)\n\
         if ok then sock:send(\"GET / HTTP/1.0\\r\\n\\r\\n\") ngx.say(sock:receive(\"*a\"):match(\"[^\\n]*$\")) else ngx.say(err) end end",
        prefix.path.display()
    );
    let (port, _) = serve(
        &prefix,
        "ssl_verify_client optional; ssl_client_certificate backend.crt; location / { return 200 $ssl_client_verify; }",
        &format!("location /show {{ content_by_lua_block {{ {code} }} }}"),
    );
    let expected = "NONE\nSUCCESS\ninvalid client certificate chain\n";
    assert_eq!(get(port, "/show").unwrap().text(), expected, "{}", prefix.read("logs/error.log"));
}

#[test]
fn certificates_and_keys_are_openssls_too() {
    let prefix = Prefix::new();
    certificate(&prefix);
    let code = format!(
        "local ssl, ffi = require \"ngx.ssl\", require \"ffi\"\n\
         local function read(name) local f = io.open(\"{0}/conf/backend.\" .. name) local text = f:read(\"*a\") f:close() return text end\n\
         local cert, key = assert(ssl.parse_pem_cert(read(\"crt\"))), assert(ssl.parse_pem_priv_key(read(\"key\")))\n\
         ffi.cdef [[ struct stack_st *X509_chain_up_ref(struct stack_st *); int X509_check_private_key(const void *, const struct evp_pkey_st *);\n\
         void *OPENSSL_sk_value(const struct stack_st *, int); int OPENSSL_sk_num(const struct stack_st *); ]]\n\
         local stack, native = ffi.cast(\"struct stack_st *\", cert), ffi.cast(\"struct evp_pkey_st *\", key)\n\
         local ok, count = pcall(function() return ffi.C.OPENSSL_sk_num(stack) end)\n\
         if not ok then ngx.say(\"no library\") return end\n\
         ngx.say(count, \" \", ffi.C.X509_check_private_key(ffi.C.OPENSSL_sk_value(stack, 0), native))\n\
         local another = ffi.C.X509_chain_up_ref(stack)\n\
         for _, pair in ipairs {{ {{ another, native }}, {{ native, native }}, {{ another, ffi.new(\"struct evp_pkey_st *\") }} }} do\n\
         local sock = ngx.socket.tcp() assert(sock:setclientcert(pair[1], pair[2]))\n\
         collectgarbage() assert(sock:connect(\"127.0.0.1\", ngx.var.secure))\n\
         local ok, err = sock:sslhandshake(false)\n\
         if ok then sock:send(\"GET / HTTP/1.0\\r\\n\\r\\n\") ngx.say(sock:receive(\"*a\"):match(\"[^\\n]*$\")) else ngx.say(err) end end",
        prefix.path.display()
    );
    let (port, _) = serve(
        &prefix,
        "ssl_verify_client optional; ssl_client_certificate backend.crt; location / { return 200 $ssl_client_verify; }",
        &format!("location /show {{ content_by_lua_block {{ {code} }} }}"),
    );
    let heard = get(port, "/show").unwrap().text();
    let expected = "1 1\nSUCCESS\ninvalid client certificate chain\nssl set client private key failed\n";
    assert!(heard == expected || heard == "no library\n", "{heard} {}", prefix.read("logs/error.log"));
}

#[test]
fn code_judges_resumed_sessions_too_and_what_it_chooses_is_for_one_only() {
    let prefix = Prefix::new();
    certificate(&prefix);
    let front = "header_filter_by_lua_block { ngx.header.judged = ngx.ctx.judged }
        location /verify { proxy_pass https://127.0.0.1:$secure; resolver 127.0.0.1;
            proxy_ssl_verify_by_lua_block { ngx.sleep(0.001) ngx.ctx.judged = require \"ngx.ssl.proxysslverify\".get_verify_result() } }
        location /choose { proxy_pass https://127.0.0.1:$secure; resolver 127.0.0.1;
            proxy_ssl_certificate_by_lua_block { ngx.ctx.judged = \"asked\" } }";
    let backend = "ssl_verify_client optional_no_ca; location / { return 200 $ssl_session_reused; }";
    let (port, _) = serve(&prefix, backend, front);
    for (path, judged, texts) in [("/verify", "18", [".", "r", "r"]), ("/choose", "asked", [".", ".", "."])] {
        for text in texts {
            let answer = get(port, path).unwrap();
            assert_eq!((answer.text().as_str(), answer.header("judged")), (text, Some(judged)), "{}", prefix.read("logs/error.log"));
        }
    }
}

/// Shakes hands with a name, says another to the server, and answers the status line's number; `-` where there is none.
const NAMED: &str = r#"
    local sock = ngx.socket.tcp()
    assert(sock:connect("127.0.0.1", ngx.var.secure))
    local name = ngx.var.arg_sni
    assert(sock:sslhandshake(nil, name ~= "" and name or nil, false))
    sock:send("GET / HTTP/1.1\r\nHost: " .. ngx.var.arg_host .. "\r\nConnection: close\r\n\r\n")
    local line = sock:receive()
    ngx.print(line and line:sub(10, 12) or "-")
"#;

/// A server that wants certificates answers those whose handshake was with it.
#[test]
fn a_server_that_wants_certificates_is_asked_by_its_name() {
    let wants = "ssl_verify_client optional; ssl_client_certificate backend.crt;";
    for (default, other, rows) in [
        (
            "",
            wants,
            [
                ("b.test", "b.test", "200"),
                ("b.test", "a.test", "200"),
                ("a.test", "b.test", "421"),
                ("c.test", "b.test", "421"),
                ("c.test", "a.test", "200"),
                ("", "b.test", "200"),
            ],
        ),
        (
            wants,
            "",
            [
                ("b.test", "b.test", "200"),
                ("b.test", "a.test", "421"),
                ("a.test", "b.test", "200"),
                ("c.test", "b.test", "200"),
                ("c.test", "a.test", "200"),
                ("", "b.test", "200"),
            ],
        ),
    ] {
        let (prefix, port, secure) = (Prefix::new(), free_port(), free_port());
        certificate(&prefix);
        let servers: String = [("a.test", default), ("b.test", other)]
            .iter()
            .map(|(name, more)| {
                format!(
                    "server {{ listen {secure} ssl; server_name {name}; {more} ssl_certificate backend.crt; ssl_certificate_key backend.key; return 200 x; }}\n"
                )
            })
            .collect();
        prefix.write(
            "conf/nginx.conf",
            &format!(
                "worker_processes 1;\nerror_log logs/error.log info;\nevents {{ }}\nhttp {{\n{servers}\
                 server {{ listen {port}; set $secure {secure}; location / {{ content_by_lua_block {{ {NAMED} }} }} }}\n}}\n"
            ),
        );
        assert!(prefix.run(&[]).status.success());
        for (sni, host, status) in rows {
            let answer = get(port, &format!("/?sni={sni}&host={host}")).unwrap().text();
            assert_eq!(answer, status, "{sni} {host} {default}: {}", prefix.read("logs/error.log"));
        }
    }
}

/// Where an address has one server, its name leads nobody elsewhere.
#[test]
fn a_server_that_is_alone_is_asked_by_any_name() {
    let (prefix, port, secure) = (Prefix::new(), free_port(), free_port());
    certificate(&prefix);
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "worker_processes 1;\nerror_log logs/error.log info;\nevents {{ }}\nhttp {{\n\
             server {{ listen {secure} ssl; server_name A.test; ssl_certificate backend.crt; ssl_certificate_key backend.key;\n\
             ssl_verify_client optional; ssl_client_certificate backend.crt; return 200 x; }}\n\
             server {{ listen {port}; set $secure {secure}; location / {{ content_by_lua_block {{ {NAMED} }} }} }}\n}}\n"
        ),
    );
    assert!(prefix.run(&[]).status.success());
    for (sni, host) in [("a.test", "a.test"), ("a.test", "b.test"), ("b.test", "a.test"), ("", "b.test")] {
        let answer = get(port, &format!("/?sni={sni}&host={host}")).unwrap().text();
        assert_eq!(answer, "200", "{sni} {host}: {}", prefix.read("logs/error.log"));
    }
}

#[test]
fn sessions_of_stream_have_variables_in_handshakes() {
    let (prefix, port, secure) = (Prefix::new(), free_port(), free_port());
    certificate(&prefix);
    let told = "ngx.log(ngx.WARN, 'handshake of ', ngx.var.server_port, ' ', tostring(ngx.var.nothing))";
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "worker_processes 1;\nerror_log logs/error.log info;\nevents {{ }}\n\
             stream {{ server {{ listen {secure} ssl; ssl_certificate backend.crt; ssl_certificate_key backend.key;\n\
             ssl_certificate_by_lua_block {{ {told} }}\nreturn x; }} }}\n\
             http {{ server {{ listen {port}; set $secure {secure}; location / {{ content_by_lua_block {{ {NAMED} }} }} }} }}\n"
        ),
    );
    assert!(prefix.run(&[]).status.success());
    assert_eq!(get(port, "/?sni=a.test&host=a").unwrap().text(), "-", "{}", prefix.read("logs/error.log"));
    let log = prefix.read("logs/error.log");
    assert!(log.contains(&format!("handshake of {secure} nil")), "{log}");
}
