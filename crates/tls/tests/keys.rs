//! Encrypted keys that OpenSSL's command makes in each of its forms.
#![allow(clippy::unwrap_used, reason = "what tests share is a test")]

mod given;

use given::shop::Shop;
use tls::certificate::{Key, Pair, passwords};
use tls::files::Files;

/// What is said of a key in `file`: nothing if it goes with its certificate.
fn said(shop: &Shop, file: &str, secrets: &[u8]) -> String {
    let found = Pair::load(&Files::new(), &shop.at("rsa.crt"), &shop.at(file), &passwords(secrets));
    let error = found.err().map(|error| error.to_string()).unwrap_or_default();
    error.split("PEM_read_bio_PrivateKey() failed (SSL: ").last().unwrap().trim_end_matches(')').to_owned()
}

#[test]
// tidy: table
fn encrypted_keys_are_read_in_each_form_that_openssl_reads() {
    let shop = Shop::open("encrypted");
    assert!(
        shop.run(
            "req",
            &["-x509", "-nodes", "-keyout", "rsa.key", "-out", "rsa.crt", "-newkey", "rsa:2048", "-subj", "/CN=a", "-days", "3"]
        )
    );
    let bad = "error:1C800064:Provider routines::bad decrypt error:11800074:PKCS12 routines::pkcs12 cipherfinal error:maybe wrong password";
    let bad_old = "error:1C800064:Provider routines::bad decrypt error:04800065:PEM routines::bad decrypt";
    let second = ["pkcs8", "-topk8", "-v2"];
    let old = ["rsa", "-traditional"];
    let mut forms: Vec<(Vec<&str>, &str)> = Vec::new();
    for cipher in ["aes-128-cbc", "aes-192-cbc", "aes-256-cbc", "des3", "camellia-128-cbc", "camellia-256-cbc", "aria-256-cbc", "sm4-cbc"] {
        forms.push(([&second[..], &[cipher]].concat(), bad));
    }
    for function in
        ["hmacWithMD5", "hmacWithSHA1", "hmacWithSHA224", "hmacWithSHA256", "hmacWithSHA384", "hmacWithSHA512", "hmacWithSHA512-256"]
    {
        forms.push(([&second[..], &["aes-256-cbc", "-v2prf", function]].concat(), bad));
    }
    forms.push((vec!["pkcs8", "-topk8", "-scrypt"], bad));
    forms.push((vec!["pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES"], bad));
    forms.push((vec!["pkcs8", "-topk8", "-v1", "PBE-SHA1-2DES"], bad));
    for cipher in ["-aes128", "-aes192", "-aes256", "-des3", "-camellia128", "-camellia256", "-aria256", "-sm4-cbc", "-des-ede-cbc"] {
        forms.push(([&old[..], &[cipher]].concat(), bad_old));
    }
    let mut made = 0;
    for (form, wrong) in forms {
        let file = format!("{}.key", form.join(""));
        let all = [&form[1..], &["-in", "rsa.key", "-passout", "pass:secret", "-out", &file]].concat();
        // An older or newer command may not make all of them.
        if shop.run(form[0], &all) {
            made += 1;
            assert_eq!(said(&shop, &file, b"wrong\r\n\nsecret\n"), "", "{file}");
            assert_eq!(said(&shop, &file, b"wrong"), wrong, "{file}");
            assert_eq!(said(&shop, &file, b""), "error:07880109:common libcrypto routines::interrupted or cancelled", "{file}");
        }
    }
    assert!(made > 15, "{made}");
}

/// What OpenSSL has only in its legacy provider is named, whatever the password; so is a header that nobody knows.
#[test]
fn what_cannot_be_decrypted_is_named() {
    let shop = Shop::open("legacy");
    assert!(
        shop.run(
            "req",
            &["-x509", "-nodes", "-keyout", "rsa.key", "-out", "rsa.crt", "-newkey", "rsa:2048", "-subj", "/CN=a", "-days", "3"]
        )
    );
    let mut made = 0;
    for (form, name) in [
        (["-v2", "bf-cbc"], "BF-CBC"),
        (["-v2", "rc2-cbc"], "RC2-CBC"),
        (["-v1", "PBE-MD5-DES"], "PBKDF1"),
        (["-v1", "PBE-SHA1-RC4-128"], "RC4"),
    ] {
        let given =
            ["-topk8", "-in", "rsa.key", "-provider", "legacy", "-provider", "default", "-passout", "pass:secret", "-out", "old.key"];
        if shop.run("pkcs8", &[&given[..], &form].concat()) {
            made += 1;
            let found = said(&shop, "old.key", b"secret");
            assert!(found.contains(&format!("unsupported:Global default library context, Algorithm ({name} : ")), "{found}");
        }
    }
    assert!(made > 0 || !shop.run("list", &["-providers", "-provider", "legacy"]));
    for (header, words) in [
        ("IDEA-CBC,0011223344556677", "error:04800072:PEM routines::unsupported encryption"),
        ("AES-128-CBC", "error:04800072:PEM routines::unsupported encryption"),
        ("AES-128-CBC,xx", "error:04800067:PEM routines::bad iv chars"),
        ("AES-128-CBC,00", "error:04800067:PEM routines::bad iv chars"),
    ] {
        let text =
            format!("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: {header}\n\nAAAA\n-----END RSA PRIVATE KEY-----\n");
        assert_eq!(Key::from_pem(text.as_bytes(), &[b"a".to_vec()]).unwrap_err(), words, "{header}");
    }
    for der in ["MAA=", "MAUwAwYBKg==", "MAoGCCqGSIb3DQUN", "BAA=", ""] {
        let text = format!("-----BEGIN ENCRYPTED PRIVATE KEY-----\n{der}\n-----END ENCRYPTED PRIVATE KEY-----\n");
        Key::from_pem(text.as_bytes(), &[b"a".to_vec()]).unwrap_err();
    }
}
