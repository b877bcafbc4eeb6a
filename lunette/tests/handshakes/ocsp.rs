//! Responders of OCSP: what they say is stapled, asked about clients, and used by code.

use crate::client::Client;
use crate::rig::{Foreground, Prefix, free_port, until};
use crate::shop::Shop;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

const AUTHORITY: &str = "basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n";

/// An authority with certificates `server`, `good` and `bad`, of which the last was revoked, and its responder.
struct Responder {
    shop: Arc<Shop>,
    port: u16,
    asked: Arc<AtomicUsize>,
}

/// The question in a request's path.
fn question(path: &str) -> String {
    let text = path.trim_start_matches('/').replace("%2B", "+").replace("%2F", "/").replace("%3D", "=");
    text.replace("%2b", "+").replace("%2f", "/").replace("%3d", "=")
}

fn answer(shop: &Shop, mut stream: TcpStream) {
    let mut first = String::new();
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    reader.read_line(&mut first).unwrap();
    let mut line = String::new();
    while reader.read_line(&mut line).unwrap() > 2 {
        line.clear();
    }
    std::fs::write(shop.0.join("question"), question(first.split(' ').nth(1).unwrap())).unwrap();
    assert!(shop.run("base64", &["-d", "-A", "-in", "question", "-out", "request"]));
    let own = ["-index", "index", "-CA", "root.crt", "-rsigner", "root.crt", "-rkey", "root.key"];
    assert!(shop.run("ocsp", &[&own[..], &["-reqin", "request", "-respout", "answer", "-ndays", "1"]].concat()));
    stream.write_all(b"HTTP/1.0 200 OK\r\nContent-Type: application/ocsp-response\r\n\r\n").unwrap();
    stream.write_all(&shop.read("answer")).unwrap();
}

impl Responder {
    fn open(name: &str) -> Responder {
        let shop = Arc::new(Shop::open(name));
        shop.make("root", None, AUTHORITY, "30");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let end = format!("basicConstraints=CA:FALSE\nauthorityInfoAccess=OCSP;URI:http://127.0.0.1:{port}/\n");
        let mut index = String::new();
        for (name, state) in [("server", "V\t401231235959Z\t"), ("good", "V\t401231235959Z\t"), ("bad", "R\t401231235959Z\t250101000000Z")]
        {
            shop.make(name, Some("root"), &end, "30");
            shop.join(&format!("{name}.chain"), &[&format!("{name}.crt"), "root.crt"]);
            let der = tls::certificate::certificates(&shop.read(&format!("{name}.crt"))).unwrap().remove(0);
            let serial = tls::names::Certificate::new(&der).unwrap().serial();
            index.push_str(&format!("{state}\t{serial}\tunknown\t/CN={name}\n"));
        }
        std::fs::write(shop.0.join("index"), index).unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let (own, count) = (shop.clone(), asked.clone());
        // It ends with the test's process.
        thread::spawn(move || {
            for stream in listener.incoming() {
                count.fetch_add(1, Ordering::Relaxed);
                answer(&own, stream.unwrap());
            }
        });
        Responder { shop, port, asked }
    }

    fn serve(&self, lines: &str) -> (Prefix, u16, Foreground) {
        let (prefix, port) = (Prefix::new(), free_port());
        let at = self.shop.0.to_string_lossy().into_owned();
        let lines = lines.replace("$SHOP", &at).replace("$RESPONDER", &self.port.to_string());
        prefix.write(
            "conf/nginx.conf",
            &format!(
                "daemon off; worker_processes 1; error_log logs/error.log info; events {{ }}
                http {{ server {{
                    listen 127.0.0.1:{port} ssl; ssl_certificate {at}/server.chain; ssl_certificate_key {at}/server.key;
                    {lines}
                }} }}"
            ),
        );
        let running = Foreground::start(&prefix, port, "").unwrap();
        (prefix, port, running)
    }

    fn pair(&self, name: &str) -> (String, String) {
        let read = |kind: &str| String::from_utf8(self.shop.read(&format!("{name}.{kind}"))).unwrap();
        (read("chain"), read("key"))
    }
}

/// What a client that asks for the certificate's status is told.
fn status(port: u16) -> String {
    let address = format!("127.0.0.1:{port}");
    let client = Command::new("openssl").args(["s_client", "-connect", &address, "-status"]).stdin(Stdio::null()).output().unwrap();
    String::from_utf8_lossy(&client.stdout).into_owned()
}

#[test]
fn answers_are_stapled_once_they_are_there() {
    let responder = Responder::open("staple");
    let (_prefix, port, _running) = responder.serve("ssl_stapling on; ssl_stapling_verify on;");
    assert!(status(port).contains("OCSP response: no response sent"));
    until("an answer", || status(port).contains("Cert Status: good"));
    // Nobody is asked again meanwhile.
    assert_eq!(responder.asked.load(Ordering::Relaxed), 1);
}

#[test]
fn clients_whose_certificates_were_revoked_are_refused() {
    let responder = Responder::open("clients");
    let (prefix, port, _running) = responder.serve(
        "ssl_verify_client on; ssl_client_certificate $SHOP/root.crt; ssl_ocsp leaf; ssl_ocsp_cache shared:revoked:1m;
        error_page 495 = @bad; location @bad { return 200 $ssl_client_verify; } location / { return 200 $ssl_client_verify; }",
    );
    for _ in 0..2 {
        for (name, verdict) in [("good", "SUCCESS"), ("bad", "FAILED:certificate revoked")] {
            let pair = responder.pair(name);
            let heard = Client::new(&["TLSv1.2", "TLSv1.3"], Some(&pair)).get(port, "server", None);
            assert_eq!(heard.unwrap_or_else(|error| panic!("{name}: {error}\n{}", prefix.read("logs/error.log"))).text, verdict);
        }
    }
    assert_eq!(responder.asked.load(Ordering::Relaxed), 2, "the second time is answered from the cache");
    assert!(prefix.read("logs/error.log").contains("client SSL certificate verify error: certificate revoked"));
}

#[test]
fn code_asks_and_staples() {
    let responder = Responder::open("code");
    let (prefix, port, _running) = responder.serve(
        r#"ssl_certificate_by_lua_block {
            local ssl, ocsp = require "ngx.ssl", require "ngx.ocsp"
            local function ask(name)
                local pem = assert(io.open("$SHOP/" .. name .. ".chain")):read("*a")
                local chain = assert(ssl.cert_pem_to_der(pem))
                assert(ocsp.get_ocsp_responder_from_der_chain(chain) == "http://127.0.0.1:$RESPONDER/")
                local url, err = ocsp.get_ocsp_responder_from_der_chain(chain, 10)
                assert(url == "http://127" and err == "truncated")
                local question = assert(ocsp.create_ocsp_request(chain))
                local _, err = ocsp.create_ocsp_request(chain, 10)
                assert(err == "output buffer too small: " .. #question .. " > 10")
                local sock = ngx.socket.tcp()
                assert(sock:connect("127.0.0.1", $RESPONDER))
                assert(sock:send("GET /" .. ngx.escape_uri(ngx.encode_base64(question)) .. " HTTP/1.0\r\n\r\n"))
                local answer = assert(sock:receive("*a")):match("\r\n\r\n(.*)")
                local ok, next_or_err = ocsp.validate_ocsp_response(answer, chain)
                return answer, ok, next_or_err
            end
            local _, ok, err = ask("bad")
            assert(not ok and err == 'certificate status "revoked" in the OCSP response', err)
            local answer, ok, next = ask("server")
            assert(ok and next > ngx.time(), next)
            assert(ocsp.set_ocsp_status_resp(answer))
        }"#,
    );
    assert!(status(port).contains("Cert Status: good"), "{}", prefix.read("logs/error.log"));
}
