//! Code in the handshakes of `stream`: what it sees, chooses, waits for and refuses.

use crate::client::{Authority, Client};
use crate::rig::{Foreground, PATIENCE, Prefix, free_port, until};
use std::io::{Read, Write};
use std::net::TcpStream;

struct Server {
    prefix: Prefix,
    port: u16,
    plain: u16,
    _running: Foreground,
}

/// A `stream` block with certificates for `usual` and `chosen`; `PORT` and `PLAIN` stand for ports of the server.
fn serve(stream: &str) -> Server {
    let (prefix, port, plain, ready, authority) = (Prefix::new(), free_port(), free_port(), free_port(), Authority::new());
    for name in ["usual", "chosen"] {
        authority.write(&prefix, name);
    }
    prefix.write("conf/authority.crt", &authority.pem());
    // Ports are opened in order: who can connect to the last finds the others open.
    let text = format!(
        "daemon off; worker_processes 1; error_log logs/error.log info; events {{ }}\nstream {{\n\
         ssl_certificate usual.crt; ssl_certificate_key usual.key;\n\
         init_by_lua_block {{ function read(name) return assert(io.open('$PREFIX/conf/' .. name)):read('*a') end }}\n\
         {stream}\n server {{ listen 127.0.0.1:{ready}; return ready; }}\n}}\n"
    );
    let text = text.replace("$PREFIX", &prefix.path.to_string_lossy());
    prefix.write("conf/nginx.conf", &text.replace("PORT", &port.to_string()).replace("PLAIN", &plain.to_string()));
    let running = Foreground::start(&prefix, ready, "").unwrap();
    Server { prefix, port, plain, _running: running }
}

impl Server {
    /// What it says to a client that asks for `name`.
    fn heard(&self, version: &str, name: &str) -> Result<String, String> {
        Client::new(&[version], None).connect(self.port, name, None)?.rest()
    }

    fn log(&self, line: &str) {
        until(line, || self.prefix.read("logs/error.log").contains(line));
    }
}

const VERSIONS: [&str; 2] = ["TLSv1.2", "TLSv1.3"];

#[test]
fn code_sees_the_first_message_and_chooses_the_certificate() {
    let server = serve(
        "server { listen 127.0.0.1:PORT ssl;\n\
         ssl_client_hello_by_lua_block { ngx.sleep(0.001) ngx.ctx.name = require('ngx.ssl.clienthello').get_client_hello_server_name() }\n\
         ssl_certificate_by_lua_block {\n\
         local ssl = require 'ngx.ssl'\n\
         if ssl.server_name() ~= 'chosen' then return end\n\
         ngx.sleep(0.001)\n\
         assert(ssl.clear_certs())\n\
         assert(ssl.set_cert(assert(ssl.parse_pem_cert(read 'chosen.crt'))))\n\
         assert(ssl.set_priv_key(assert(ssl.parse_pem_priv_key(read 'chosen.key'))))\n\
         }\n\
         content_by_lua_block { ngx.print(ngx.ctx.name, ' ', ngx.var.ssl_protocol) } }",
    );
    for version in VERSIONS {
        for (name, subject) in [("chosen", "CN=chosen"), ("other", "CN=usual")] {
            let connection = Client::new(&[version], None).connect(server.port, name, None).unwrap();
            assert_eq!(connection.certificate(), subject);
            assert_eq!(connection.rest().unwrap(), format!("{name} {version}"), "{}", server.prefix.read("logs/error.log"));
        }
    }
}

#[test]
fn code_refuses_a_handshake() {
    let server = serve(
        "log_format f '$status'; log_by_lua_block { ngx.log(ngx.WARN, 'the end of ', ngx.ctx.name) }\n\
         server { listen 127.0.0.1:PORT ssl; access_log logs/sessions.log f;\n\
         ssl_client_hello_by_lua_block {\n\
         ngx.ctx.name = require('ngx.ssl.clienthello').get_client_hello_server_name()\n\
         if ngx.ctx.name == 'first' then return ngx.exit(ngx.ERROR) end }\n\
         ssl_certificate_by_lua_block { if ngx.ctx.name == 'second' then error 'not you' end }\n\
         content_by_lua_block { ngx.print 'welcome' } }",
    );
    for version in VERSIONS {
        for name in ["first", "second"] {
            server.heard(version, name).unwrap_err();
            server.log(&format!("the end of {name}"));
        }
        assert_eq!(server.heard(version, "third").unwrap(), "welcome", "{}", server.prefix.read("logs/error.log"));
    }
    server.log("not you");
    server.log("context: ssl_certificate_by_lua*, client: 127.0.0.1, server: 127.0.0.1:");
    until("the access log", || {
        let text = server.prefix.read("logs/sessions.log");
        (text.matches("500\n").count(), text.matches("200\n").count()) == (4, 2)
    });
}

/// The handshake that code begins in a session that began without TLS.
#[test]
fn a_session_goes_over_to_tls() {
    let server = serve(
        "server { listen 127.0.0.1:PLAIN; ssl_certificate_by_lua_block { ngx.ctx.name = require('ngx.ssl').server_name() }\n\
         content_by_lua_block {\n\
         local sock = assert(ngx.req.socket(true))\n\
         ngx.ctx.kept = 'kept'\n\
         assert(sock:receive() == 'STARTTLS')\n\
         assert(sock:send 'go ahead\\n')\n\
         assert(sock:serversslhandshake())\n\
         assert(sock:send(ngx.var.ssl_protocol .. ' ' .. ngx.ctx.kept .. ' ' .. ngx.ctx.name .. ' ' .. assert(sock:receive(4)))) } }",
    );
    for version in VERSIONS {
        let mut stream = TcpStream::connect(("127.0.0.1", server.plain)).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.write_all(b"STARTTLS\n").unwrap();
        let mut answer = [0; 9];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"go ahead\n");
        let mut connection = Client::new(&[version], None).begin(stream, "usual", None).unwrap();
        connection.exchange(b"ping", format!("{version} kept usual ping").as_bytes()).unwrap();
        assert_eq!(connection.rest().unwrap(), "");
    }
}

/// The server in front of another: code looks at the certificate of that one.
#[test]
fn code_decides_about_the_certificate_of_an_upstream() {
    let server = serve(
        "server { listen 127.0.0.1:PORT ssl; content_by_lua_block { ngx.print 'behind' } }\n\
         server { listen 127.0.0.1:PLAIN; proxy_pass 127.0.0.1:PORT; proxy_ssl on; proxy_ssl_verify on; proxy_ssl_trusted_certificate authority.crt; proxy_ssl_name usual;\n\
         proxy_ssl_verify_by_lua_block {\n\
         local verify = require 'ngx.ssl.proxysslverify'\n\
         if package.loaded.seen then assert(verify.set_verify_result(23)) end\n\
         package.loaded.seen = true } }",
    );
    let ask = || String::from_utf8(crate::rig::exchange(server.plain, b"").unwrap()).unwrap();
    assert_eq!(ask(), "behind", "{}", server.prefix.read("logs/error.log"));
    assert_eq!(ask(), "", "{}", server.prefix.read("logs/error.log"));
    server.log("upstream SSL certificate verify error: (23:certificate revoked) while proxy pass SSL handshaking");
}
