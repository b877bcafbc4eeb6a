use super::*;

/// An answer with these bytes behind its question for `a.b`.
fn message(flags: u16, answers: u16, kind: Kind, rest: &[u8]) -> Vec<u8> {
    let mut out = question(7, &Name::from_text(b"a.b").unwrap(), kind);
    out[2..4].copy_from_slice(&flags.to_be_bytes());
    out[6..8].copy_from_slice(&answers.to_be_bytes());
    out.extend_from_slice(rest);
    out
}

fn rr(owner: &[u8], kind: Kind, ttl: u32, data: &[u8]) -> Vec<u8> {
    let mut out = owner.to_vec();
    out.extend_from_slice(&kind.0.to_be_bytes());
    out.extend_from_slice(&[0, 1]);
    out.extend_from_slice(&ttl.to_be_bytes());
    out.extend_from_slice(&u16::try_from(data.len()).unwrap().to_be_bytes());
    out.extend_from_slice(data);
    out
}

const SELF: &[u8] = &[0xc0, 12];

fn name(text: &str) -> Name {
    Name::from_text(text.as_bytes()).unwrap()
}

#[test]
fn names() {
    assert_eq!(name("WWW.Example.com.").wire(), b"\x03www\x07example\x03com\0");
    assert_eq!(name("a.b").to_string(), "a.b");
    for bad in ["", ".", "a..b", ".a", "a b", "a\tb.c", "a.b\x7f", &"x".repeat(64), &"abcdefg.".repeat(40)] {
        assert_eq!(Name::from_text(bad.as_bytes()), None, "{bad}");
    }
}

#[test]
fn a_question_is_asked_for_recursion() {
    assert_eq!(question(0x0102, &name("a.b"), Kind::AAAA), b"\x01\x02\x01\0\0\x01\0\0\0\0\0\0\x01a\x01b\0\0\x1c\0\x01");
}

#[test]
fn addresses_by_aliases_in_any_order() {
    let rest = [
        rr(b"\x01c\0", Kind::A, 60, &[10, 0, 0, 1]),
        rr(b"\x01d\0", Kind::A, 5, &[6, 6, 6, 6]),
        rr(SELF, Kind::CNAME, 30, b"\x01C\0"),
        rr(SELF, Kind(99), 1, b"?"),
    ]
    .concat();
    let answer = parse(&message(0x8180, 4, Kind::A, &rest)).unwrap();
    assert_eq!((answer.id, answer.code, answer.name.to_string(), answer.kind), (7, 0, "a.b".to_owned(), Kind::A));
    let found = answer.found();
    assert_eq!(found, Resolved { addresses: vec!["10.0.0.1".parse().unwrap()], services: vec![], ttl: 30, alias: None });
}

#[test]
fn an_alias_without_an_address_is_asked_for_next() {
    let answer = parse(&message(0x8180, 1, Kind::A, &rr(SELF, Kind::CNAME, 9, b"\x01c\xc0\x0e"))).unwrap();
    assert_eq!(answer.found(), Resolved { addresses: vec![], services: vec![], ttl: 9, alias: Some(name("c.b")) });
}

#[test]
fn a_circle_of_aliases_ends() {
    let rest = [rr(SELF, Kind::CNAME, 9, b"\x01c\0"), rr(b"\x01c\0", Kind::CNAME, 9, SELF)].concat();
    let found = parse(&message(0x8180, 2, Kind::A, &rest)).unwrap().found();
    assert_eq!(found.alias, Some(name("c")));
    let many: Vec<u8> = (0..200u8).flat_map(|i| rr(&[1, i, 0], Kind::CNAME, 9, &[1, i + 1, 0])).collect();
    let rest = [rr(SELF, Kind::CNAME, 9, &[1, 0, 0]), many].concat();
    assert!(parse(&message(0x8180, 201, Kind::A, &rest)).unwrap().found().addresses.is_empty());
}

#[test]
fn other_types() {
    let rest = [
        rr(SELF, Kind::AAAA, u32::MAX, &[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]),
        rr(SELF, Kind::SRV, u32::MAX / 4, b"\0\x01\0\x02\0\x50\x01t\0"),
        rr(SELF, Kind::PTR, 0, b"\x01p\0"),
    ]
    .concat();
    let answer = parse(&message(0x8180, 3, Kind::AAAA, &rest)).unwrap();
    assert_eq!(answer.found(), Resolved { addresses: vec!["::1".parse().unwrap()], services: vec![], ttl: 0, alias: None });
    assert_eq!(answer.records[1].ttl, LONGEST_TTL);
    assert_eq!(answer.records[1].data, Data::Service(Service { priority: 1, weight: 2, port: 80, target: name("t") }));
    assert_eq!(answer.records[2].data, Data::Pointer(name("p")));
}

#[test]
fn hostile_answers_are_refused() {
    let good = rr(SELF, Kind::A, 1, &[1, 2, 3, 4]);
    let cases: Vec<(&str, Vec<u8>, MessageError)> = vec![
        ("nothing", vec![], MessageError::Short),
        ("half a head", message(0x8180, 0, Kind::A, b"")[..9].to_vec(), MessageError::Short),
        ("a question", message(0x0100, 1, Kind::A, &good), MessageError::Unexpected),
        ("an update", message(0xa980, 1, Kind::A, &good), MessageError::Unexpected),
        ("a promise of more", message(0x8180, 2, Kind::A, &good), MessageError::Short),
        ("three bytes of address", message(0x8180, 1, Kind::A, &rr(SELF, Kind::A, 1, &[1, 2, 3])), MessageError::Data),
        ("four bytes of IPv6", message(0x8180, 1, Kind::AAAA, &rr(SELF, Kind::AAAA, 1, &[1, 2, 3, 4])), MessageError::Data),
        ("a pointer to itself", message(0x8180, 1, Kind::A, &rr(&[0xc0, 21], Kind::A, 1, &[1, 2, 3, 4])), MessageError::Name),
        ("a pointer ahead", message(0x8180, 1, Kind::A, &rr(&[0xc1, 0], Kind::A, 1, &[1, 2, 3, 4])), MessageError::Name),
        ("a pointer into the head", message(0x8180, 1, Kind::A, &rr(&[0xc0, 1], Kind::A, 1, &[1, 2, 3, 4])), MessageError::Name),
        ("a reserved label", message(0x8180, 1, Kind::A, &rr(&[0x80, 0], Kind::A, 1, &[1, 2, 3, 4])), MessageError::Name),
        ("an alias longer than its data", message(0x8180, 1, Kind::A, &rr(SELF, Kind::CNAME, 1, b"\x05c")), MessageError::Short),
        ("an alias shorter than its data", message(0x8180, 1, Kind::A, &rr(SELF, Kind::CNAME, 1, b"\x01c\0xx")), MessageError::Data),
        ("a service cut short", message(0x8180, 1, Kind::A, &rr(SELF, Kind::SRV, 1, b"\0\x01\0")), MessageError::Short),
        ("a name without an end", message(0x8180, 1, Kind::A, &b"\x3fxxxx".repeat(80)), MessageError::Name),
    ];
    for (what, bytes, flaw) in cases {
        assert_eq!(parse(&bytes).unwrap_err(), flaw, "{what}");
    }
    let mut two = message(0x8180, 1, Kind::A, &good);
    two[5] = 2;
    assert_eq!(parse(&two).unwrap_err(), MessageError::Unexpected);
    let mut chaos = message(0x8180, 1, Kind::A, &good);
    chaos[20] = 3;
    assert_eq!(parse(&chaos).unwrap_err(), MessageError::Unexpected);
}

#[test]
fn pointers_through_pointers_are_few() {
    let at = message(0x8180, 0, Kind::A, b"").len();
    let mut rest = vec![0xc0, 12];
    for i in 0..20 {
        let place = u16::try_from(at + 2 * i).unwrap() | 0xc000;
        rest.extend_from_slice(&place.to_be_bytes());
    }
    let bytes = message(0x8180, 1, Kind::A, &rest);
    assert!(Name::read(&bytes, at + 6).is_ok());
    assert_eq!(Name::read(&bytes, at + 30).unwrap_err(), MessageError::Name);
}

#[test]
fn a_truncated_answer_says_so() {
    let answer = parse(&message(0x8380, 5, Kind::A, b"\xc0")).unwrap();
    assert!(answer.truncated && answer.records.is_empty());
}
