//! What certificates say is compared with what OpenSSL's command prints.
#![allow(clippy::unwrap_used, reason = "what tests share is a test")]

use std::process::Command;

use tls::certificate::certificates;
use tls::names::{Certificate, pem};

fn openssl(arguments: &[&str]) -> Option<String> {
    let output = Command::new("openssl").args(arguments).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

#[test]
fn names_serials_and_times_are_written_as_openssl_writes_them() {
    let stem = std::env::temp_dir().join(format!("lunette-tls-names-{}", std::process::id()));
    let (key, crt) = (stem.with_extension("key"), stem.with_extension("crt"));
    let (key, crt) = (key.to_str().unwrap(), crt.to_str().unwrap());
    let known: String =
        (3..=100).filter(|n| *n < 55 || matches!(n, 65 | 72 | 97 | 100)).map(|number| format!("/2.5.4.{number}=DE")).collect();
    let directory: String = (1..=56).map(|number| format!("/0.9.2342.19200300.100.1.{number}=DE")).collect();
    for (subject, serial) in [
        (&*known, "0x3"),
        (&*directory, "0x4"),
        ("/O=#/OU= /CN=  /L=a#/2.5.4.98=DEU/2.5.4.99=276/1.2.3.4=other", "0x2"),
        ("/C=DE/ST=Berlin/L=Berlin/O=A, B + C/OU=\"x\"/CN=example.com/emailAddress=a@b.c", "0x1"),
        ("/O=#hash/CN= space /UID=u/DC=d", "0xdeadbeef00"),
        ("/O=Gr\u{fc}n \u{20ac}/CN=\u{1f512}<;>\\\\", "0x80"),
        ("/O=one+CN=two/2.5.4.97=org/1.3.6.1.4.1.311.60.2.1.3=DE", "0xffffffffffffffffffff"),
    ] {
        let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", crt];
        let more = ["-utf8", "-multivalue-rdn", "-subj", subject, "-set_serial", serial];
        let extension = ["-addext", "subjectAltName=DNS:a.example.com,IP:127.0.0.1,DNS:*.example.org"];
        assert!(openssl(&[&new[..], &more, &extension].concat()).is_some(), "{subject}");
        let print = |what: &[&str]| {
            let text = openssl(&[&["x509", "-in", crt, "-noout"], what].concat()).unwrap();
            text.trim_end_matches('\n').split_once('=').unwrap().1.to_owned()
        };
        let text = std::fs::read(crt).unwrap();
        let der = certificates(&text).unwrap();
        let certificate = Certificate::new(&der[0]).unwrap();
        assert_eq!(certificate.subject(), print(&["-subject", "-nameopt", "RFC2253"]));
        assert_eq!(certificate.issuer(), certificate.subject());
        assert_eq!(certificate.subject_legacy(), print(&["-subject", "-nameopt", "compat"]).trim_start());
        assert_eq!(certificate.serial(), print(&["-serial"]));
        let fingerprint = print(&["-fingerprint", "-sha1"]).replace(':', "").to_lowercase();
        assert_eq!(certificate.fingerprint(), fingerprint);
        assert_eq!(certificate.start(), print(&["-startdate"]));
        assert_eq!(certificate.end(), print(&["-enddate"]));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().cast_signed();
        assert_eq!([now - 10, now + 86_400 * 29 + 100, now + 86_400 * 31].map(|now| certificate.remaining_days(now)), [30, 0, 0]);
        assert_eq!(certificate.dns_names(), ["a.example.com", "*.example.org"]);
        assert!(certificate.is_for("127.0.0.1") && certificate.is_for("b.example.org") && !certificate.is_for("example.com"));
        assert_eq!(pem(&der[0]).as_bytes(), text);
    }
    let _ = (std::fs::remove_file(key), std::fs::remove_file(crt));
}
