//! Chains that OpenSSL's command makes are verified here and by `openssl verify`.
#![allow(clippy::unwrap_used, reason = "what tests share is a test")]

mod given;

use std::sync::Arc;

use given::shop::Shop;
use tls::certificate::{Chain, Key, Pair, certificates};
use tls::files::Files;
use tls::verify::crl::Crl;
use tls::verify::{ClientVerifier, ServerVerifier, Trust};

const AUTHORITY: &str = "basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=hash\n";
const END: &str = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n";

fn fill(shop: &Shop) {
    shop.make("root", None, AUTHORITY, "30");
    shop.make("int", Some("root"), AUTHORITY, "30");
    shop.make("low", Some("int"), AUTHORITY, "30");
    shop.make("end", Some("int"), END, "30");
    shop.make("deep", Some("low"), END, "30");
    shop.make("direct", Some("root"), END, "30");
    shop.make("old", Some("root"), END, "-1");
    shop.make("v1", Some("root"), "", "30");
    shop.make("v1self", None, "", "30");
    shop.make("v1end", Some("int"), "", "30");
    shop.make("v1int", Some("root"), "", "30");
    shop.make("v1child", Some("v1int"), "basicConstraints=CA:FALSE\n", "30");
    shop.make("caend", Some("root"), AUTHORITY, "30");
    shop.make("caonly", Some("root"), &format!("{AUTHORITY}keyUsage=critical,keyCertSign,cRLSign\n"), "30");
    shop.make("signonly", None, &format!("{AUTHORITY}keyUsage=critical,keyCertSign\n"), "30");
    shop.make("caselfend", Some("int"), AUTHORITY, "30");
    shop.make("self", None, AUTHORITY, "30");
    shop.make("server", Some("root"), "extendedKeyUsage=serverAuth\n", "30");
    shop.make("short", Some("root"), "basicConstraints=critical,CA:TRUE,pathlen:0\n", "30");
    shop.make("shortint", Some("short"), AUTHORITY, "30");
    shop.make("toolong", Some("shortint"), END, "30");
    shop.make("noca", Some("root"), "basicConstraints=critical,CA:FALSE\n", "30");
    shop.make("byend", Some("noca"), "basicConstraints=CA:FALSE\n", "30");
    shop.make("alien", Some("root"), "1.2.3.4=critical,ASN1:NULL\n", "30");
    shop.make("oldroot", None, AUTHORITY, "-1");
    shop.make("byold", Some("oldroot"), END, "30");
    shop.join("all.crt", &["root.crt", "int.crt", "v1self.crt"]);
    shop.join("chain.crt", &["low.crt", "int.crt"]);
    shop.join("longchain.crt", &["shortint.crt", "short.crt"]);
    shop.join("withroot.crt", &["int.crt", "root.crt"]);
    std::fs::write(shop.0.join("none.crt"), "").unwrap();
}

#[test]
// tidy: table
fn chains_are_judged_as_openssl_judges_them() {
    let shop = Shop::open("chains");
    fill(&shop);
    let rows: &[(&str, &str, &str, usize, u16)] = &[
        ("direct", "", "root", 1, 0),
        ("direct", "", "root", 0, 0),
        ("end", "int", "root", 1, 0),
        ("end", "int", "root", 0, 22),
        ("end", "", "root", 1, 20),
        ("end", "", "all", 1, 0),
        ("end", "", "all", 0, 22),
        ("end", "", "int", 1, 2),
        ("deep", "chain", "root", 2, 0),
        ("deep", "chain", "root", 1, 22),
        ("end", "withroot", "self", 5, 19),
        ("old", "", "root", 1, 10),
        ("self", "", "root", 1, 18),
        ("self", "", "self", 1, 0),
        ("root", "", "root", 0, 0),
        ("v1", "", "root", 1, 0),
        ("v1", "", "self", 1, 20),
        ("v1self", "", "v1self", 1, 0),
        ("v1self", "", "root", 1, 18),
        ("v1end", "", "all", 1, 0),
        ("v1child", "v1int", "root", 1, 79),
        ("caend", "", "root", 1, 0),
        ("caonly", "", "root", 1, 26),
        ("signonly", "", "signonly", 1, 26),
        ("caselfend", "", "all", 1, 0),
        ("server", "", "root", 1, 26),
        ("toolong", "longchain", "root", 5, 25),
        ("byend", "noca", "root", 5, 79),
        ("alien", "", "root", 1, 34),
        ("byold", "", "oldroot", 1, 10),
        // webpki accepts no version 1 below an authority that is only shown; OpenSSL does.
        ("v1end", "int", "root", 1, 1),
    ];
    let mut wrong = Vec::new();
    for (leaf, others, trusted, depth, code) in rows {
        let file = |name: &str| if name.is_empty() { "none.crt".to_owned() } else { format!("{name}.crt") };
        let chain = [certificates(&shop.read(&file(leaf))).unwrap(), certificates(&shop.read(&file(others))).unwrap()].concat();
        let trust = Arc::new(Trust::new(certificates(&shop.read(&file(trusted))).unwrap(), *depth));
        let clients = ClientVerifier::new(trust.clone(), &[]);
        let first = clients.findings(&chain).first().map_or(0, |verdict| verdict.code);
        assert_eq!(clients.verify(&chain).unwrap().is_ok(), first == 0);
        let given = if others.is_empty() { String::new() } else { file(others) };
        let theirs = shop.verify(&file(leaf), &given, &file(trusted), *depth, "sslclient");
        if first != *code || (*code != 1 && theirs != *code) {
            wrong.push(format!("{leaf} {others} {trusted} {depth}: {first}, not {code}; openssl: {theirs}"));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let names = ServerVerifier::new(Arc::new(Trust::new(certificates(&shop.read("root.crt")).unwrap(), 1)));
    let chain = certificates(&shop.read("server.crt")).unwrap();
    assert_eq!([Some("server"), Some("other"), None].map(|name| names.verify(&chain, name).code), [0, 62, 0]);
    let last = ClientVerifier::new(Arc::new(Trust::new(certificates(&shop.read("self.crt")).unwrap(), 1)), &[]);
    assert_eq!(last.verify(&certificates(&shop.read("direct.crt")).unwrap()).unwrap().code, 21);
    // What counts is the last one: OpenSSL goes on with the part of a chain that is as long as it may be.
    for (leaf, others, trusted, depth, code) in [("end", "int", "root", 0, 20), ("end", "", "all", 0, 2), ("deep", "chain", "root", 1, 20)]
    {
        let others = if others.is_empty() { Vec::new() } else { certificates(&shop.read(&format!("{others}.crt"))).unwrap() };
        let chain = [certificates(&shop.read(&format!("{leaf}.crt"))).unwrap(), others].concat();
        let trust = Trust::new(certificates(&shop.read(&format!("{trusted}.crt"))).unwrap(), depth);
        assert_eq!(ClientVerifier::new(Arc::new(trust), &[]).verify(&chain).unwrap().code, code, "{leaf} {depth}");
    }
}

/// Certificates whose signatures are good, under authorities whose extensions say something against them.
fn fill_with_extensions(shop: &Shop) {
    let limited = format!("{AUTHORITY}keyUsage=critical,digitalSignature\n");
    shop.make("root", None, AUTHORITY, "30");
    shop.make("enciphers", Some("root"), "keyUsage=critical,keyEncipherment\n", "30");
    shop.make("agrees", Some("root"), "keyUsage=critical,keyAgreement\n", "30");
    shop.make("keyless", Some("root"), &limited, "30");
    shop.make("bykeyless", Some("keyless"), END, "30");
    shop.make("keylessroot", None, &limited, "30");
    shop.make("bykeylessroot", Some("keylessroot"), END, "30");
    shop.make("tight", None, "basicConstraints=critical,CA:TRUE,pathlen:0\n", "30");
    shop.make("bytight", Some("tight"), END, "30");
    shop.make("tightint", Some("tight"), AUTHORITY, "30");
    shop.make("bytightint", Some("tightint"), END, "30");
    shop.make("bare", None, "subjectKeyIdentifier=hash\n", "30");
    shop.make("bybare", Some("bare"), END, "30");
    shop.make("barekey", None, "keyUsage=critical,keyCertSign\n", "30");
    shop.make("bybarekey", Some("barekey"), END, "30");
    shop.make("serverroot", None, &format!("{AUTHORITY}extendedKeyUsage=serverAuth\n"), "30");
    shop.make("byserverroot", Some("serverroot"), END, "30");
    shop.make("alienroot", None, &format!("{AUTHORITY}1.2.3.4=critical,ASN1:NULL\n"), "30");
    shop.make("byalienroot", Some("alienroot"), END, "30");
    shop.make("permits", Some("root"), &format!("{AUTHORITY}nameConstraints=critical,permitted;DNS:good.test\n"), "30");
    shop.make("permitted", Some("permits"), "subjectAltName=DNS:a.good.test\n", "30");
    shop.make("other", Some("permits"), "subjectAltName=DNS:a.bad.test\n", "30");
    shop.make("excludes", Some("root"), &format!("{AUTHORITY}nameConstraints=critical,excluded;DNS:bad.test\n"), "30");
    shop.make("excluded", Some("excludes"), "subjectAltName=DNS:a.bad.test\n", "30");
    // A host's name that is only a common name.
    shop.make("a.bad.test", Some("permits"), END, "30");
    shop.make("*.bad.test", Some("permits"), END, "30");
    shop.make("b.good.test", Some("permits"), END, "30");
    shop.make("b.bad.test", Some("excludes"), END, "30");
    shop.make("policies", Some("root"), "certificatePolicies=critical,1.2.3\ninhibitAnyPolicy=critical,0\n", "30");
    shop.make("byusage", Some("root"), "keyUsage=critical,keyCertSign\n", "30");
    shop.make("belowusage", Some("byusage"), END, "30");
    shop.make("oldint", Some("root"), AUTHORITY, "-1");
    shop.make("byoldint", Some("oldint"), END, "30");
}

/// What extensions say of keys, and what anchors say of themselves, webpki does not ask. The first code is that of OpenSSL, the second the one
/// that nginx's callback ends with.
#[test]
fn extensions_are_judged_as_openssl_judges_them() {
    let shop = Shop::open("extensions");
    fill_with_extensions(&shop);
    std::fs::write(shop.0.join("none.crt"), "").unwrap();
    let rows = [
        ("enciphers", "none", "root", 26, 26),
        ("agrees", "none", "root", 0, 0),
        ("bykeyless", "keyless", "root", 79, 32),
        ("bykeylessroot", "none", "keylessroot", 79, 32),
        ("bytight", "none", "tight", 0, 0),
        ("bytightint", "tightint", "tight", 25, 25),
        ("bybare", "none", "bare", 79, 26),
        ("bybarekey", "none", "barekey", 0, 0),
        ("byserverroot", "none", "serverroot", 26, 26),
        ("byalienroot", "none", "alienroot", 34, 34),
        ("permitted", "permits", "root", 0, 0),
        ("other", "permits", "root", 47, 47),
        ("excluded", "excludes", "root", 48, 48),
        ("excluded", "excludes", "tight", 20, 48),
        ("a.bad.test", "permits", "root", 47, 47),
        ("a.bad.test", "permits", "tight", 20, 47),
        ("b.good.test", "permits", "root", 0, 0),
        ("b.bad.test", "excludes", "root", 48, 48),
        ("policies", "none", "root", 0, 0),
        ("policies", "none", "tight", 20, 21),
        ("belowusage", "byusage", "root", 79, 79),
        ("byoldint", "oldint", "root", 10, 10),
        ("byoldint", "oldint", "tight", 20, 20),
    ];
    for (leaf, between, trusted, first, last) in rows {
        let read = |name: &str| certificates(&shop.read(&format!("{name}.crt"))).unwrap();
        let chain = [read(leaf), read(between)].concat();
        let clients = ClientVerifier::new(Arc::new(Trust::new(read(trusted), 9)), &[]);
        let found = clients.findings(&chain).first().map_or(0, |verdict| verdict.code);
        let between = if between == "none" { String::new() } else { format!("{between}.crt") };
        let theirs = shop.verify(&format!("{leaf}.crt"), &between, &format!("{trusted}.crt"), 9, "sslclient");
        assert_eq!((found, theirs, clients.verify(&chain).unwrap().code), (first, first, last), "{leaf}");
    }
    let servers = |trusted: &str| ServerVerifier::new(Arc::new(Trust::new(certificates(&shop.read(trusted)).unwrap(), 9)));
    let codes = [("enciphers", "root"), ("byserverroot", "serverroot"), ("bykeylessroot", "keylessroot")].map(|(leaf, trusted)| {
        servers(&format!("{trusted}.crt")).verify(&certificates(&shop.read(&format!("{leaf}.crt"))).unwrap(), None).code
    });
    assert_eq!(codes, [0, 0, 32]);
    let below = |leaf: &str| [certificates(&shop.read(leaf)).unwrap(), certificates(&shop.read("permits.crt")).unwrap()].concat();
    let named = |leaf: &str, name: &str| servers("root.crt").verify(&below(leaf), Some(name)).code;
    assert_eq!([named("b.good.test.crt", "b.good.test"), named("a.bad.test.crt", "a.bad.test")], [0, 47]);
    // OpenSSL does not take a pattern for a name there, and lets any host have it.
    assert_eq!(named("*.bad.test.crt", "x.bad.test"), 47);
    let none = ServerVerifier::new(Arc::new(Trust::new(Vec::new(), 9)));
    assert_eq!(none.verify(&certificates(&shop.read("enciphers.crt")).unwrap(), None).code, 20);
}

/// An authority of the same name with another kind of key did not issue it; one whose key or digest is too weak is told apart from a bad signature.
#[test]
fn kinds_and_strengths_of_keys_are_told() {
    let shop = Shop::open("kinds");
    let root = |kind: &[&str], out: &str| {
        let (key, certificate) = (format!("{out}.key"), format!("{out}.crt"));
        let made = ["-x509", "-nodes", "-keyout", &key, "-out", &certificate, "-subj", "/CN=root", "-days", "30", "-newkey"];
        assert!(shop.run("req", &[&made[..], kind].concat()));
    };
    root(&["ec", "-pkeyopt", "ec_paramgen_curve:P-256"], "curve");
    root(&["rsa:2048"], "long");
    root(&["rsa:1024"], "short");
    shop.make("bycurve", Some("curve"), "basicConstraints=CA:FALSE\n", "30");
    shop.make("bylong", Some("long"), "basicConstraints=CA:FALSE\n", "30");
    shop.make("byshort", Some("short"), "basicConstraints=CA:FALSE\n", "30");
    for (leaf, trusted, code) in
        [("bycurve", "curve", 0), ("bycurve", "long", 21), ("bylong", "long", 0), ("bylong", "curve", 21), ("byshort", "short", 67)]
    {
        let read = |name: &str| certificates(&shop.read(&format!("{name}.crt"))).unwrap();
        let clients = ClientVerifier::new(Arc::new(Trust::new(read(trusted), 9)), &[]);
        assert_eq!(clients.verify(&read(leaf)).unwrap().code, code, "{leaf} {trusted}");
    }
}

#[test]
fn lists_of_revoked_certificates_are_found_by_their_issuer() {
    let shop = Shop::open("lists");
    shop.make("root", None, AUTHORITY, "30");
    shop.make("int", Some("root"), AUTHORITY, "30");
    shop.make("end", Some("int"), END, "30");
    let conf = "[ca]\ndefault_ca=my\n[my]\ndatabase=index\ndefault_md=sha256\npolicy=any\nserial=serial\n[any]\ncommonName=supplied\n";
    std::fs::write(shop.0.join("ca.conf"), conf).unwrap();
    let list = |issuer: &str, out: &str, revoked: &[&str]| {
        std::fs::write(shop.0.join("index"), "").unwrap();
        let (key, certificate) = (format!("{issuer}.key"), format!("{issuer}.crt"));
        let own = ["-config", "ca.conf", "-keyfile", &key, "-cert", &certificate];
        for name in revoked {
            assert!(shop.run("ca", &[&own[..], &["-revoke", name]].concat()));
        }
        assert!(shop.run("ca", &[&own[..], &["-gencrl", "-crldays", "1", "-out", out]].concat()));
    };
    list("root", "root.crl", &[]);
    list("root", "revoked.crl", &["int.crt"]);
    list("int", "int.crl", &[]);
    list("int", "endrevoked.crl", &["end.crt"]);
    let chain = [certificates(&shop.read("end.crt")).unwrap(), certificates(&shop.read("int.crt")).unwrap()].concat();
    for (files, code) in [
        (&["root.crl", "int.crl"][..], 0),
        (&["root.crl"], 3),
        (&["int.crl"], 3),
        (&["root.crl", "endrevoked.crl"], 23),
        (&["revoked.crl", "int.crl"], 23),
    ] {
        let lists: Vec<Crl> = files.iter().flat_map(|file| Crl::from_pem(&shop.read(file)).unwrap()).collect();
        let trust = Trust::new(certificates(&shop.read("root.crt")).unwrap(), 1).with_crls(lists);
        let verdict = ClientVerifier::new(Arc::new(trust), &[]).verify(&chain).unwrap();
        assert_eq!(verdict.code, code, "{files:?}");
    }
    lists_tell_of_some_certificates(&shop);
    // Those of an authority that nobody knows are looked for too: the last of the findings counts, as in nginx.
    shop.make("self", None, AUTHORITY, "30");
    shop.make("selfend", Some("self"), END, "30");
    for (files, first, last) in [(&["self.crt"][..], 18, 3), (&["selfend.crt"], 20, 21), (&["selfend.crt", "self.crt"], 19, 3)] {
        let chain: Vec<_> = files.iter().flat_map(|file| certificates(&shop.read(file)).unwrap()).collect();
        let trust = Trust::new(certificates(&shop.read("root.crt")).unwrap(), 1).with_crls(Crl::from_pem(&shop.read("root.crl")).unwrap());
        let clients = ClientVerifier::new(Arc::new(trust), &[]);
        assert_eq!((clients.findings(&chain)[0].code, clients.verify(&chain).unwrap().code), (first, last), "{files:?}");
    }
}

/// Lists whose extensions say of which certificates they tell, and what is found first and last with each.
fn lists_tell_of_some_certificates(shop: &Shop) {
    let conf = "[ca]\ndefault_ca=my\n[my]\ndatabase=index\ndefault_md=sha256\nserial=serial\npolicy=any\n";
    shop.make("pointed", Some("root"), "crlDistributionPoints=URI:http://a/\n", "30");
    let sections = "[any]\ncommonName=supplied\n[p]\nfullname=URI:http://a/\n[o]\nfullname=URI:http://b/\n[u]\nonlyuser=TRUE\n\
        [s]\nonlysomereasons=keyCompromise\n";
    let make = |extensions: &str| {
        std::fs::write(shop.0.join("index"), "").unwrap();
        std::fs::write(shop.0.join("scope.conf"), format!("{conf}crl_extensions=e\n[e]\n{extensions}\n{sections}")).unwrap();
        let made = ["-config", "scope.conf", "-keyfile", "root.key", "-cert", "root.crt", "-gencrl", "-crldays", "1", "-out", "scope.crl"];
        assert!(shop.run("ca", &made), "{extensions}");
        Crl::from_pem(&shop.read("scope.crl")).unwrap()
    };
    for (extensions, codes) in [
        ("2.5.29.20=DER:020101", (0, 0)),
        ("authorityKeyIdentifier=keyid", (0, 0)),
        ("issuingDistributionPoint=critical,@p", (44, 3)),
        ("issuingDistributionPoint=critical,@o", (44, 3)),
        ("issuingDistributionPoint=critical,@u", (44, 3)),
        ("issuingDistributionPoint=@s", (3, 3)),
        ("2.5.29.27=critical,DER:020101", (3, 3)),
        ("2.5.29.27=DER:020101", (3, 3)),
        ("1.2.3.4=critical,ASN1:NULL", (36, 36)),
        ("1.2.3.4=ASN1:NULL", (0, 0)),
    ] {
        let list = make(extensions);
        let trust = Trust::new(certificates(&shop.read("root.crt")).unwrap(), 1).with_crls(list);
        let found = ClientVerifier::new(Arc::new(trust), &[]).findings(&certificates(&shop.read("pointed.crt")).unwrap());
        let code = |verdict: Option<&tls::verify::Verdict>| verdict.map_or(0, |verdict| verdict.code);
        assert_eq!((code(found.first()), code(found.last())), codes, "{extensions}");
    }
}

#[test]
fn keys_of_every_kind_load_and_mistakes_are_told_in_nginxs_words() {
    let shop = Shop::open("keys");
    assert!(shop.run("genrsa", &["-out", "rsa.key", "2048"]));
    assert!(shop.run("ecparam", &["-name", "prime256v1", "-genkey", "-out", "ec.key"]));
    assert!(shop.run("genpkey", &["-algorithm", "ed25519", "-out", "ed25519.key"]));
    let kinds = ["rsa", "ec", "ed25519"];
    for kind in kinds {
        let (key, out) = (format!("{kind}.key"), format!("{kind}.crt"));
        assert!(shop.run("req", &["-x509", "-new", "-key", &key, "-subj", "/CN=localhost", "-out", &out]));
        Pair::load(&Files::new(), &shop.at(&out), &shop.at(&key), &[]).unwrap();
        let text = String::from_utf8(shop.read(&key)).unwrap();
        Key::load(&Files::new(), &format!("data:{text}"), &[]).unwrap();
    }
    let error = Pair::load(&Files::new(), &shop.at("rsa.crt"), &shop.at("ec.key"), &[]).unwrap_err().to_string();
    assert!(error.ends_with("failed (SSL: error:05800074:x509 certificate routines::key values mismatch)"), "{error}");
    let error = Chain::load(&Files::new(), "/no/such").unwrap_err().to_string();
    let expected = "cannot load certificate \"/no/such\": BIO_new_file() failed (SSL: error:80000002:system library::\
        No such file or directory:calling fopen(/no/such, r) error:10000080:BIO routines::no such file)";
    assert_eq!(error, expected);
}
