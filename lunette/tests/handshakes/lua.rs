//! Code in handshakes: what it can see, choose, wait for and refuse.

use crate::client::{Authority, Client};
use crate::rig::{Foreground, Prefix, free_port, until};
use std::io::Write;
use std::process::{Command, Stdio};
use tls::resume::Slot;

struct Server {
    prefix: Prefix,
    port: u16,
    authority: Authority,
    _running: Foreground,
}

/// A server with a certificate for `usual` and these lines in `http` and in its block.
fn serve(http: &str, server: &str) -> Server {
    let (prefix, port, authority) = (Prefix::new(), free_port(), Authority::new());
    for name in ["usual", "chosen"] {
        authority.write(&prefix, name);
    }
    prefix.write("conf/authority.crt", &authority.pem());
    let http = http.replace("$PREFIX", &prefix.path.to_string_lossy());
    let server = server.replace("$PREFIX", &prefix.path.to_string_lossy());
    prefix.write(
        "conf/nginx.conf",
        &format!(
            "daemon off; worker_processes 1; error_log logs/error.log debug; events {{ }}
            http {{
                lua_shared_dict kept 1m;
                {http}
                server {{
                    listen 127.0.0.1:{port} ssl; server_name usual;
                    ssl_certificate usual.crt; ssl_certificate_key usual.key;
                    {server}
                }}
            }}"
        ),
    );
    let running = Foreground::start(&prefix, port, "").unwrap();
    Server { prefix, port, authority, _running: running }
}

fn both() -> Client {
    Client::new(&["TLSv1.2", "TLSv1.3"], None)
}

const SAY: &str = "location / { content_by_lua_block { ngx.say(ngx.ctx.said, ngx.var.ssl_protocol) } }";

/// Sets the pair `chosen` in each way that there is.
fn choosing(cert: &str, key: &str) -> String {
    format!(
        "ssl_certificate_by_lua_block {{
            local ssl = require 'ngx.ssl'
            local function read(name)
                return assert(io.open('$PREFIX/conf/' .. name)):read('*a')
            end
            ngx.sleep(0.001)
            assert(ssl.clear_certs())
            local certificate, key = read('chosen.crt'), read('chosen.key')
            assert({cert})
            assert({key})
        }} {SAY}"
    )
}

#[test]
fn code_chooses_certificates_and_may_wait() {
    let ways = [
        ("ssl.set_cert(assert(ssl.parse_pem_cert(certificate)))", "ssl.set_priv_key(assert(ssl.parse_pem_priv_key(key)))"),
        ("ssl.set_der_cert(assert(ssl.cert_pem_to_der(certificate)))", "ssl.set_der_priv_key(assert(ssl.priv_key_pem_to_der(key)))"),
        (
            "ssl.set_cert(assert(ssl.parse_der_cert(assert(ssl.cert_pem_to_der(certificate)))))",
            "ssl.set_priv_key(assert(ssl.parse_der_priv_key(assert(ssl.priv_key_pem_to_der(key)))))",
        ),
    ];
    for (cert, key) in ways {
        let server = serve("", &choosing(cert, key));
        for version in ["TLSv1.2", "TLSv1.3"] {
            let heard = Client::new(&[version], None).get(server.port, "usual", None).unwrap();
            assert_eq!((heard.certificate.as_str(), heard.text.trim()), ("CN=chosen", format!("nil{version}").as_str()));
        }
    }
}

#[test]
fn small_segments_go_at_once_from_the_handshake_on() {
    // Else the first answer waits until the client acknowledges the tickets that were sent before it.
    for (line, expected) in [("", true), ("tcp_nodelay off;", false)] {
        let server = serve("", &format!("{line} {SAY}"));
        both().get(server.port, "usual", None).unwrap();
        assert_eq!(server.prefix.read("logs/error.log").contains("tcp_nodelay"), expected);
    }
}

#[test]
fn order_context_and_what_requests_inherit() {
    let server = serve(
        "",
        &format!(
            "ssl_client_hello_by_lua_block {{
                local hello = require 'ngx.ssl.clienthello'
                ngx.ctx.said = ngx.get_phase() .. ' ' .. hello.get_client_hello_server_name()
                    .. ' ' .. #hello.get_client_hello_ciphers() .. ' '
                ngx.sleep(0.001)
                if hello.get_client_hello_server_name() == 'old' then
                    assert(hello.set_protocols({{ 'TLSv1.2' }}))
                end
            }}
            ssl_certificate_by_lua_block {{
                local ssl = require 'ngx.ssl'
                ngx.ctx.said = ngx.ctx.said .. ngx.get_phase() .. ' ' .. ssl.get_tls1_version_str() .. ' '
                ngx.sleep(0.001)
            }}
            {SAY}"
        ),
    );
    for (name, version) in [("old", "TLSv1.2"), ("usual", "TLSv1.3")] {
        let heard = both().get(server.port, name, None).unwrap();
        let words: Vec<&str> = heard.text.split_whitespace().collect();
        assert_eq!((words[0], words[1]), ("ssl_client_hello", name));
        assert_eq!(words[3..], ["ssl_cert", version, version]);
    }
}

#[test]
fn code_may_choose_versions_that_are_not_configured() {
    for (configured, chosen) in [("TLSv1.3", "TLSv1.2"), ("TLSv1.2", "TLSv1.3")] {
        let server = serve(
            "",
            &format!(
                "ssl_protocols {configured};
                ssl_client_hello_by_lua_block {{
                    assert(require('ngx.ssl.clienthello').set_protocols({{ '{chosen}' }}))
                }}
                ssl_certificate_by_lua_block {{ ngx.ctx.said = '' }}
                {SAY}"
            ),
        );
        let heard = both().get(server.port, "usual", None).unwrap();
        assert_eq!(heard.text.split_whitespace().last(), Some(chosen), "{configured}");
    }
}

#[test]
fn code_refuses_handshakes_and_the_log_says_who() {
    let refuse = "local name = require 'ngx.ssl'.server_name()
        if name:find('wait') then ngx.sleep(0.001) end
        if name:find('exit') then ngx.exit(ngx.ERROR) end
        if name:find('error') then error('bad bad bad') end";
    for (directive, words) in [("ssl_client_hello_by_lua", "callback failed"), ("ssl_certificate_by_lua", "cert cb error")] {
        let server = serve("", &format!("{directive}_block {{ {refuse} }} {SAY}"));
        for name in ["exit", "error", "wait-exit", "wait-error"] {
            let error = both().get(server.port, name, None).unwrap_err();
            assert!(error.contains("tlsv1 alert internal error"), "{name}: {error}");
        }
        assert!(both().get(server.port, "usual", None).is_ok());
        let log = server.prefix.read("logs/error.log");
        assert_eq!(log.matches("SSL_do_handshake() failed").count(), 4, "{log}");
        assert_eq!(log.matches(words).count(), 4, "{log}");
        assert_eq!(log.matches("bad bad bad").count(), 2);
        assert!(log.contains(&format!("context: {directive}*, client: 127.0.0.1, server: 127.0.0.1:{}", server.port)), "{log}");
    }
}

/// Sessions that code keeps bring clients back, and only to the server that made them.
#[test]
fn code_keeps_sessions() {
    let server = serve(
        "ssl_session_store_by_lua_block {
            local session = require 'ngx.ssl.session'
            ngx.shared.kept:set(session.get_session_id(), session.get_serialized_session())
        }
        ssl_session_fetch_by_lua_block {
            local session = require 'ngx.ssl.session'
            ngx.sleep(0.001)
            local kept = ngx.shared.kept:get(session.get_session_id())
            if kept then
                local ok, err = session.set_serialized_session(kept)
                print('offered: ', ok, ' ', err)
            end
        }",
        &format!("ssl_session_tickets off; {SAY}"),
    );
    let client = Client::new(&["TLSv1.2"], None);
    let slot = Slot::new();
    let resumed: Vec<bool> = (0..3).map(|_| client.get(server.port, "usual", Some(slot.clone())).unwrap().resumed).collect();
    assert_eq!(resumed, [false, true, true]);
    let log = server.prefix.read("logs/error.log");
    assert_eq!(log.matches("offered: true").count(), 2, "{log}");
    // Sessions of the later version are not offered to code.
    let later = Client::new(&["TLSv1.3"], None);
    assert!(!later.get(server.port, "usual", Some(Slot::new())).unwrap().resumed);
    assert!(!server.prefix.read("logs/error.log").contains("[error]"));
}

#[test]
fn code_asks_for_certificates_of_clients() {
    let server = serve(
        "",
        "ssl_certificate_by_lua_block {
            local ssl = require 'ngx.ssl'
            local pem = assert(io.open('$PREFIX/conf/authority.crt')):read('*a')
            assert(ssl.verify_client(assert(ssl.parse_pem_cert(pem)), 1))
        }
        location / { return 200 $ssl_client_verify; }",
    );
    let known = server.authority.issue("client");
    let unknown = Authority::new().issue("stranger");
    for version in ["TLSv1.2", "TLSv1.3"] {
        let verdict = |pair| Client::new(&[version], pair).get(server.port, "usual", None).unwrap().text;
        assert_eq!(verdict(None), "NONE");
        assert_eq!(verdict(Some(&known)), "SUCCESS");
        assert!(verdict(Some(&unknown)).starts_with("FAILED:"));
    }
}

/// A handshake that code holds up ends like every other one that takes too long.
#[test]
fn waiting_code_is_under_the_time_limit() {
    let server = serve("client_header_timeout 1s;", &format!("ssl_certificate_by_lua_block {{ ngx.sleep(600) }} {SAY}"));
    assert!(both().get(server.port, "usual", None).is_err());
    until("the line about it", || server.prefix.read("logs/error.log").contains("client timed out"));
}

#[test]
fn code_needs_a_server_with_tls() {
    for directive in ["ssl_client_hello_by_lua_block", "ssl_certificate_by_lua_block"] {
        let prefix = Prefix::new();
        let port = free_port();
        prefix.write("conf/nginx.conf", &format!("events {{ }} http {{ server {{ listen {port}; {directive} {{ }} }} }}"));
        let output = prefix.run(&["-t"]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains("no ssl configured for the server"), "{text}");
    }
}

#[test]
fn code_exports_what_clients_can_derive_too() {
    let say = "location / { content_by_lua_block {
        local key, err = require 'ngx.ssl'.export_keying_material(32, 'EXPERIMENTAL label')
        ngx.print(key and key:gsub('.', function(byte) return ('%02X'):format(byte:byte()) end) or err)
    } }";
    let server = serve("", say);
    let address = format!("127.0.0.1:{}", server.port);
    for version in ["-tls1_2", "-tls1_3"] {
        let openssl = Command::new("openssl")
            .args(["s_client", "-connect", &address, "-ign_eof", version])
            .args(["-keymatexport", "EXPERIMENTAL label", "-keymatexportlen", "32"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut openssl = openssl.expect("no openssl; ./test.sh installs it");
        openssl.stdin.take().unwrap().write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        let said = String::from_utf8(openssl.wait_with_output().unwrap().stdout).unwrap();
        let theirs = said.split("Keying material: ").nth(1).and_then(|rest| rest.lines().next()).unwrap().trim();
        assert!(theirs.len() == 64 && said.matches(theirs).count() == 2, "{said}");
    }
}

#[test]
fn code_that_wants_what_only_openssl_has_is_told() {
    let say = "location / { content_by_lua_block {
        local ssl = require 'ngx.ssl'
        for _, name in ipairs { 'get_req_ssl_pointer', 'export_keying_material_early', 'get_session_master_key' } do
            local found, err = ssl[name](32, 'label') ngx.say(found, ' ', err)
        end
    } }";
    let server = serve("", say);
    let told = both().get(server.port, "usual", None).unwrap().text;
    assert_eq!(told, "nil not supported: TLS is not OpenSSL's here\n".repeat(3));
}

/// No function of any library gives a pointer that OpenSSL could follow: neither those of `ngx.ssl`, nor those that lua-resty-openssl's C module has.
#[test]
fn nobody_gets_a_pointer_to_a_session() {
    let say = "location / { content_by_lua_block {
        local ssl, ffi = require 'ngx.ssl', require 'ffi'
        local request = require 'resty.core.base'.get_request()
        for _, name in ipairs { 'get_req_ssl_pointer', 'get_upstream_ssl_pointer' } do
            local found, err = ssl[name]() ngx.say(name, ' ', found, ' ', err)
            ffi.cdef('void *ngx_http_lua_ffi_' .. name .. '(void *r, const char **err);')
            local why = ffi.new('const char *[1]')
            local pointer = ffi.C['ngx_http_lua_ffi_' .. name](request, why) ngx.say(pointer == nil, ' ', ffi.string(why[0]))
        end
        for _, pointer in ipairs { 1, 'x', ffi.new('char[1]') } do
            local reused, err = ssl.ssl_session_reused(pointer) ngx.say(reused, ' ', err)
        end
        for _, whose in ipairs { 'request_ssl', 'request_ssl_ctx', 'socket_ssl', 'socket_ssl_ctx' } do
            local name, out = 'ngx_http_lua_resty_openssl_aux_get_' .. whose, ffi.new('void *[1]')
            ffi.cdef('int ' .. name .. '(void *from, void **out);')
            ngx.say(ffi.C[name](request, out), ' ', out[0] == nil)
        end
    } }";
    let server = serve("", say);
    let told = both().get(server.port, "usual", None).unwrap().text;
    let no = "not supported: TLS is not OpenSSL's here";
    let pointers = ["get_req_ssl_pointer", "get_upstream_ssl_pointer"].map(|name| format!("{name} nil {no}\ntrue {no}\n"));
    let reused = format!("nil bad ssl\nnil bad ssl\nnil {no}\n");
    assert_eq!(told, format!("{}{reused}{}", pointers.concat(), "-1 true\n".repeat(4)));
}

#[test]
fn code_sees_the_same_of_a_connection_in_the_handshake_and_in_requests() {
    let facts = "local function facts()
            local ssl = require 'ngx.ssl'
            local ours, kind = ssl.raw_server_addr()
            local theirs, other = ssl.raw_client_addr()
            local shared, port = ssl.get_req_shared_ssl_ciphers(), ssl.server_port()
            local random, all = ssl.get_client_random(4), ssl.get_client_random()
            return table.concat({ tostring(ssl.server_name()), ssl.get_tls1_version_str(), port, kind, other,
                table.concat({ ours:byte(1, -1) }, '.'), table.concat({ theirs:byte(1, -1) }, '.'), #shared > 0 and 'some' or 'none',
                #random, ssl.get_client_random(0), all:sub(1, 4) == random and #all or '?',
                (all:gsub('.', function(byte) return ('%02x'):format(byte:byte()) end)) }, ' ')
        end";
    let server = serve(
        "",
        &format!(
            "ssl_certificate_by_lua_block {{ {facts} ngx.ctx.said = facts() }}
             location / {{ content_by_lua_block {{ {facts} local now = facts() ngx.say(now, '|', now == ngx.ctx.said) }} }}"
        ),
    );
    let expected = format!("TLSv1.3 {} inet inet 127.0.0.1 127.0.0.1 some 4 32 32", server.port);
    for name in ["usual", "chosen"] {
        let heard = both().get(server.port, name, None).unwrap();
        let (said, same) = heard.text.trim().split_once('|').unwrap();
        let (words, random) = said.rsplit_once(' ').unwrap();
        assert_eq!((words, same, random.len()), (format!("{name} {expected}").as_str(), "true", 64), "{said}");
    }
}

#[test]
fn code_without_tls_has_nothing_to_see() {
    let calls = [
        "server_name",
        "server_port",
        "raw_server_addr",
        "raw_client_addr",
        "get_tls1_version",
        "get_tls1_version_str",
        "get_client_random",
        "get_req_shared_ssl_ciphers",
    ];
    let list = calls.map(|name| format!("'{name}'")).join(", ");
    let plain = free_port();
    let server = serve(
        &format!(
            "server {{ listen 127.0.0.1:{plain}; location / {{ content_by_lua_block {{ local ssl = require 'ngx.ssl'
               for _, name in ipairs({{ {list} }}) do local all = {{ ssl[name]() }} ngx.say(name, ' ', tostring(all[1]), ' ', all[2] or all[3]) end }} }} }}"
        ),
        "",
    );
    let answer = crate::rig::get(plain, "/").unwrap().text();
    let expected: Vec<String> = calls.iter().map(|name| format!("{name} nil bad request")).collect();
    assert_eq!(answer.lines().collect::<Vec<_>>(), expected, "{}", server.prefix.read("logs/error.log"));
}
