use super::*;

/// A hello with some of everything.
fn sample() -> Vec<u8> {
    let extension = |number: u16, content: &[u8]| {
        let mut bytes = number.to_be_bytes().to_vec();
        bytes.extend(u16::try_from(content.len()).unwrap().to_be_bytes());
        bytes.extend(content);
        bytes
    };
    let extensions = [
        extension(extension::SERVER_NAME, b"\0\x0e\0\0\x0bexample.com"),
        extension(extension::GROUPS, &[0, 4, 0, 0x1d, 0, 0x17]),
        extension(extension::ALPN, b"\0\x0c\x02h2\x08http/1.1"),
        extension(extension::VERSIONS, &[4, 3, 4, 3, 3]),
        extension(extension::SIGNATURE_ALGORITHMS, &[0, 2, 4, 3]),
        extension(extension::KEY_SHARE, &[0, 10, 0, 0x1d, 0, 1, 9, 0, 0x17, 0, 1, 9]),
        extension(extension::RENEGOTIATION, &[0]),
    ]
    .concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([4, 1, 2, 3, 4]);
    body.extend([0, 4, 0x13, 1, 0xc0, 0x2f]);
    body.extend([1, 0]);
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1, 0];
    message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    message.extend(body);
    message
}

/// Records of at most `size` bytes each.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[22, 3, 1], &u16::try_from(part.len()).unwrap().to_be_bytes()[..], part].concat();
    message.chunks(size).flat_map(record).collect()
}

#[test]
fn a_hello_is_read_from_records_of_any_size_byte_by_byte() {
    let message = sample();
    for size in [1, 3, 50, 16_384] {
        let data = records(&message, size);
        let mut hello = Hello::new();
        for end in 0..data.len() {
            assert_eq!(hello.parse(&data[..end]), Ok(Status::Partial));
        }
        let more = [&data[..], b"more"].concat();
        assert_eq!(hello.parse(&more), Ok(Status::Complete { len: data.len() }));
        assert_eq!(hello.message(), message);
        assert_eq!((hello.version, hello.random.of(hello.message())), (0x0303, &[7; 32][..]));
        assert_eq!(hello.session_id.of(hello.message()), [1, 2, 3, 4]);
        assert_eq!(hello.server_name(), Some(&b"example.com"[..]));
        assert_eq!(hello.alpn().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
        assert_eq!(hello.suites().collect::<Vec<_>>(), [0x1301, 0xc02f]);
        assert_eq!(hello.versions().collect::<Vec<_>>(), [0x0304, 0x0303]);
        assert_eq!(hello.groups().collect::<Vec<_>>(), [0x1d, 0x17]);
        assert_eq!(hello.key_shares().collect::<Vec<_>>(), [0x1d, 0x17]);
        assert_eq!(hello.signature_algorithms().collect::<Vec<_>>(), [0x0403]);
        let numbers: Vec<_> = hello.extensions.iter().map(|extension| extension.number).collect();
        assert_eq!(numbers, [0, 10, 16, 43, 13, 51, 0xff01]);
    }
}

#[test]
fn what_is_no_hello_is_refused_as_soon_as_that_can_be_seen() {
    let message = sample();
    let mut twice = message.clone();
    let place = twice.len() - 5;
    twice[place..place + 2].copy_from_slice(&[0, 10]);
    let mut short = message.clone();
    short[3] -= 1;
    for (data, error) in [
        (&b"GET / HTTP/1.1\r\n"[..], HelloError::NotHandshake),
        (b"\x16\x02", HelloError::WrongVersion),
        (b"\x16\x03\x01\x00\x00", HelloError::RecordLength),
        (b"\x16\x03\x01\x40\x01", HelloError::RecordLength),
        (b"\x16\x03\x01\x00\x01\x02", HelloError::UnexpectedMessage),
        (b"\x16\x03\x01\x00\x01\x01\x17", HelloError::UnexpectedRecord),
        (b"\x16\x03\x01\x00\x04\x01\x01\x00\x01", HelloError::TooLong),
        (b"\x16\x03\x01\x00\x04\x01\x00\x00\x00", HelloError::Malformed),
        (&records(&twice, 99), HelloError::DuplicateExtension),
        (&records(&short, 99), HelloError::Malformed),
    ] {
        assert_eq!(Hello::new().parse(data), Err(error), "{data:?}");
    }
}

#[test]
fn what_a_server_has_to_refuse_is_seen_only_by_who_answers() {
    let message = sample();
    let end = message.len();
    // The legacy version, the content of renegotiation_info, the group of the second key.
    for (place, value, error) in
        [(4, 2, HelloError::LegacyVersion), (end - 1, 12, HelloError::Renegotiation), (end - 9, 0x18, HelloError::KeyShare)]
    {
        let mut changed = message.clone();
        changed[place] = value;
        let data = records(&changed, 99);
        assert_eq!(Hello::new().parse(&data), Err(error));
        assert_eq!(Hello::lenient().parse(&data), Ok(Status::Complete { len: data.len() }));
    }
}

#[test]
fn who_only_looks_waits_for_records_and_hellos_of_any_length() {
    for data in [&b"\x16\x03\x01\x00\x00"[..], b"\x16\x03\x01\xff\xff", b"\x16\x03\x01\x00\x04\x01\x01\x00\x01"] {
        assert_eq!(Hello::lenient().parse(data), Ok(Status::Partial), "{data:?}");
    }
    let mut twice = sample();
    let place = twice.len() - 5;
    twice[place..place + 2].copy_from_slice(&[0, 10]);
    let twice = records(&twice, 99);
    assert_eq!(Hello::lenient().parse(&twice), Ok(Status::Complete { len: twice.len() }));
    let empty = [b"\x16\x03\x01\x00\x00", &*records(&sample(), 99)].concat();
    assert_eq!(Hello::lenient().parse(&empty), Ok(Status::Complete { len: empty.len() }));
}

#[test]
fn one_byte_records_are_bounded() {
    let mut long = vec![1, 0, 0xff, 0xff];
    long.resize(20_000, 0);
    assert_eq!(Hello::new().parse(&records(&long, 1)), Err(HelloError::TooLong));
}

#[test]
fn the_first_byte_tells_tls_from_plain_text() {
    use crate::tls::{First, first};
    assert_eq!([0x16, 0x80, b'G', b'P', 0].map(first), [First::Tls, First::Sslv2, First::Plain, First::Plain, First::Plain]);
}
