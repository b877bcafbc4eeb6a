//! HTTP/3 with a browser.

use crate::rig::chromium;
use crate::server;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::PublicKeyData;

#[test]
fn a_page_of_many_images_is_shown() {
    let (prefix, port, _running) = server("types { text/html html; image/png png; }");
    chromium::write_page(&prefix);
    let key = rcgen::KeyPair::from_pem(&prefix.read("conf/key.pem")).unwrap().subject_public_key_info();
    let digest = STANDARD.encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &key));
    // For QUIC an unknown certificate is taken by its key only.
    let trusted = format!("--ignore-certificate-errors-spki-list={digest}");
    let forced = format!("--origin-to-force-quic-on=localhost:{port}");
    chromium::assert_page_is_shown(&prefix, port, "h3", &[&trusted, &forced]);
    let log = prefix.read("logs/error.log");
    assert!(!log.contains("[alert]") && !log.contains("panicked"), "{log}");
}
