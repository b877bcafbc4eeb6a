//! Answers that OpenSSL's command gives are verified.
#![allow(clippy::unwrap_used, reason = "what tests share is a test")]

mod given;

use std::time::{SystemTime, UNIX_EPOCH};

use given::shop::Shop;
use tls::certificate::certificates;
use tls::ocsp::{OcspError, OcspResponse, Status, is_issuer, issuer, request, responder, verify};

const AUTHORITY: &str = "basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n";
const END: &str = "basicConstraints=CA:FALSE\nauthorityInfoAccess=OCSP;URI:http://127.0.0.1:8080/ocsp\n";

/// Lets OpenSSL's responder answer the question about `leaf`.
fn answer(shop: &Shop, leaf: &str, signer: &str, days: &str) -> Vec<u8> {
    let ders = [leaf, "root"].map(|name| certificates(&shop.read(&format!("{name}.crt"))).unwrap().remove(0));
    std::fs::write(shop.0.join("request"), request(&ders[0], &ders[1]).unwrap()).unwrap();
    let (certificate, key) = (format!("{signer}.crt"), format!("{signer}.key"));
    let own = ["-index", "index", "-CA", "root.crt", "-rsigner", &certificate, "-rkey", &key];
    let out = ["-reqin", "request", "-respout", "answer", "-ndays", days];
    assert!(shop.run("ocsp", &[&own[..], &out].concat()), "{leaf} {signer}");
    shop.read("answer")
}

#[test]
fn answers_are_believed_when_the_issuer_or_its_delegate_signed_them() {
    let shop = Shop::open("ocsp");
    shop.make("root", None, AUTHORITY, "30");
    for name in ["good", "bad", "strange"] {
        shop.make(name, Some("root"), END, "30");
    }
    shop.make("delegate", Some("root"), "extendedKeyUsage=OCSPSigning\n", "30");
    shop.make("liar", Some("root"), "basicConstraints=CA:FALSE\n", "30");
    shop.make("other", None, AUTHORITY, "30");
    let der = |name: &str| certificates(&shop.read(&format!("{name}.crt"))).unwrap().remove(0);
    let serial = |name: &str| tls::names::Certificate::new(&der(name)).unwrap().serial();
    let line = |state: &str, name: &str| format!("{state}\t{}\tunknown\t/CN={name}\n", serial(name));
    let index = line("V\t401231235959Z\t", "good") + &line("R\t401231235959Z\t250101000000Z", "bad");
    std::fs::write(shop.0.join("index"), index).unwrap();

    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs().cast_signed();
    let root = der("root");
    for (leaf, signer, expected) in [
        ("good", "root", Ok(Status::Good)),
        ("good", "delegate", Ok(Status::Good)),
        ("bad", "delegate", Ok(Status::Revoked)),
        ("strange", "root", Ok(Status::Unknown)),
        ("good", "liar", Err(OcspError::Unverified)),
        ("good", "other", Err(OcspError::Unverified)),
    ] {
        let bytes = answer(&shop, leaf, signer, "1");
        let found = verify(&bytes, &der(leaf), &root, true, now);
        assert_eq!(found.map(|answer| answer.status), expected, "{leaf} {signer}");
        let unverified = verify(&bytes, &der(leaf), &root, false, now).unwrap();
        assert!(unverified.until.is_some_and(|until| until > now));
        assert_eq!(
            verify(&bytes, &der("delegate"), &root, true, now).map(|a| a.status).unwrap_err(),
            expected.err().unwrap_or(OcspError::NotFound)
        );
        for days in [-2, 2] {
            let then = verify(&bytes, &der(leaf), &root, false, now + days * 86_400);
            assert_eq!(then, Err::<OcspResponse, _>(OcspError::OutOfDate));
        }
        for place in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[place] ^= 0x41;
            if let Ok(answer) = verify(&changed, &der(leaf), &root, true, now) {
                // What is not signed may change: it changes nothing.
                assert_eq!(Ok(answer.status), expected);
            }
            assert!(verify(&bytes[..place], &der(leaf), &root, false, now).is_err());
        }
    }
    let unauthorized = verify(&[0x30, 3, 0x0a, 1, 6], &der("good"), &root, true, now).unwrap_err();
    assert_eq!(unauthorized.to_string(), "OCSP response not successful (6: unauthorized)");
    assert_eq!(responder(&der("good")).as_deref(), Some("http://127.0.0.1:8080/ocsp"));
    assert_eq!(responder(&root), None);
    let candidates = [der("other"), root];
    assert_eq!(issuer(&der("good"), &candidates), Some(&candidates[1]));
    assert_eq!(candidates.each_ref().map(|candidate| is_issuer(candidate, &der("good"))), [false, true]);
}
