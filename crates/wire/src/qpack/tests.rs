use super::*;
use crate::hpack::{Fields, Limits};

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn decode(decoder: &Decoder, section: &[u8]) -> Result<(Section, Pairs), SectionError> {
    let mut fields = Fields::default();
    let section = decoder.decode(section, &Limits::default(), &mut fields)?;
    Ok((section, fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect()))
}

fn pairs(lines: &[(&str, &str)]) -> Pairs {
    lines.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
}

/// RFC 9204, appendix B: what comes on the encoder stream, a section, its meaning, and what goes out on the decoder stream.
#[test]
fn the_standards_examples() {
    let mut decoder = Decoder::new(220);
    assert_eq!(decode(&decoder, &bytes("0000510b2f696e6465782e68746d6c")).unwrap().1, pairs(&[(":path", "/index.html")]));
    let section = bytes("03811011");
    assert_eq!(decode(&decoder, &section).unwrap().0, Section::Blocked { required: 2 });
    let mut told = Vec::new();
    let insert = bytes("3fbd01c00f7777772e6578616d706c652e636f6dc10c2f73616d706c652f70617468");
    for piece in insert.chunks(5) {
        decoder.instructions(piece, &Limits::default()).unwrap();
    }
    let (done, fields) = decode(&decoder, &section).unwrap();
    assert_eq!(fields, pairs(&[(":authority", "www.example.com"), (":path", "/sample/path")]));
    assert_eq!(done, Section::Decoded { required: 2 });
    decoder.acknowledge(4, 2, &mut told);
    decoder.increment(&mut told);
    assert_eq!(told, bytes("84"));
    told.clear();
    decoder.instructions(&bytes("4a637573746f6d2d6b65790c637573746f6d2d76616c7565"), &Limits::default()).unwrap();
    decoder.increment(&mut told);
    assert_eq!(told, bytes("01"));
    told.clear();
    decoder.instructions(&bytes("02"), &Limits::default()).unwrap();
    let expected = pairs(&[(":authority", "www.example.com"), (":path", "/"), ("custom-key", "custom-value")]);
    assert_eq!(decode(&decoder, &bytes("050080c181")).unwrap().1, expected);
    decoder.cancel(8, &mut told);
    assert_eq!(told, bytes("48"));
    decoder.instructions(&bytes("810d637573746f6d2d76616c756532"), &Limits::default()).unwrap();
    assert_eq!(decode(&decoder, &bytes("060080")).unwrap().1, pairs(&[("custom-key", "custom-value2")]));
    // The first entry has left.
    assert!(decode(&decoder, &bytes("060084")).is_err());
}

#[test]
fn sections_that_are_wrong() {
    let mut decoder = Decoder::new(100);
    decoder.instructions(&bytes("3f 45 41 61 01 62"), &Limits::default()).unwrap();
    assert_eq!(decoder.inserted(), 1);
    for section in [
        "",
        "00",
        "ff",
        "07 00 80",             // a Required Insert Count above what can be
        "00 80 80",             // a negative base
        "02 81 c1",             // another one
        "00 00 80",             // a dynamic entry without a Required Insert Count
        "02 00 81",             // an entry before the first
        "02 00 10",             // an entry behind what is required
        "00 00 ff 24",          // static 99
        "00 00 5f 54 00",       // static name 99
        "00 00 20 01 61",       // an empty name
        "00 00 51",             // no value
        "00 00 51 05 61",       // half of one
        "00 00 51 82 ff ff ff", // no Huffman code
        "00 00 ff ff ff ff ff ff ff ff ff ff ff ff",
    ] {
        let result = decode(&decoder, &bytes(section));
        assert!(matches!(result, Err(SectionError::Failed(_))), "{section}: {result:?}");
    }
    for (section, value) in
        [("02 00 80", "b"), ("02 80 10", "b"), ("02 00 40 01 63", "c"), ("02 80 00 01 64", "d"), ("02 80 08 01 64", "d")]
    {
        assert_eq!(decode(&decoder, &bytes(section)).unwrap().1, pairs(&[("a", value)]), "{section}");
    }
}

#[test]
fn never_indexed_is_kept() {
    let mut decoder = Decoder::new(100);
    decoder.instructions(&bytes("3f 45 41 61 01 62"), &Limits::default()).unwrap();
    for (section, never) in [("00 00 71 01 61", true), ("00 00 51 01 61", false), ("00 00 31 61 01 61", true), ("02 80 08 01 64", true)] {
        let mut fields = Fields::default();
        decoder.decode(&bytes(section), &Limits::default(), &mut fields).unwrap();
        assert_eq!(fields.list()[0].never_indexed, never, "{section}");
    }
}

#[test]
fn limits_hold() {
    let limits = Limits { string: 10, total: 20, fields: 2 };
    let decoder = Decoder::new(0);
    let mut fields = Fields::default();
    let long = [&bytes("00 00 51 0b")[..], &[b'a'; 11]].concat();
    assert_eq!(decoder.decode(&long, &limits, &mut fields), Err(SectionError::StringTooLarge));
    fields.reset(false);
    let much = bytes("00 00 d1 d1 d1 d1 d1 d1 d1 d1 d1 d1");
    assert_eq!(decoder.decode(&much, &limits, &mut fields), Err(SectionError::TooLarge));
    fields.reset(false);
    let many = bytes("00 00 21 61 00 21 61 00 21 61 00");
    assert_eq!(decoder.decode(&many, &limits, &mut fields), Ok(Section::Decoded { required: 0 }));
    assert!(fields.overflowed() && fields.list().len() == 2);
}

#[test]
fn instructions_that_are_wrong() {
    let limits = Limits { string: 100, ..Limits::default() };
    for instructions in [
        // An empty name, plain and as Huffman code that pads nothing.
        "3f 45 40 01 61",
        "3f 45 60 01 61",
        "3f 46",             // more capacity than allowed
        "41 61 01 62",       // no capacity
        "3f 45 80 01 61",    // an entry that is not there
        "3f 45 ff 24 01 61", // static 99
        "3f 45 00",          // nothing to duplicate
        "3f 45 61 ff 00",    // no Huffman code
        "3f ff ff ff ff ff ff ff ff ff ff ff",
        "3f 45 c0 60",
    ] {
        let mut decoder = Decoder::new(100);
        let whole = bytes(instructions);
        let result = decoder.instructions(&[&whole[..], &[b'x'; 96][..]].concat(), &limits);
        assert!(matches!(result, Err(StreamError::Encoder(_))), "{instructions}: {result:?}");
    }
    let mut decoder = Decoder::new(4096);
    assert_eq!(decoder.instructions(&bytes("3f e1 1f c0 66"), &limits), Err(StreamError::TooLarge));
}

#[test]
fn the_required_insert_count_wraps() {
    let mut decoder = Decoder::new(100);
    decoder.instructions(&bytes("3f 45"), &Limits::default()).unwrap();
    for round in 0..50_u64 {
        decoder.instructions(&bytes("41 61 01 62"), &Limits::default()).unwrap();
        let encoded = (round + 1) % 6 + 1;
        let section = [encoded as u8, 0, 0x80];
        assert_eq!(decode(&decoder, &section).unwrap().0, Section::Decoded { required: round + 1 });
    }
}

/// Both sides of a connection, whose streams arrive at once or much later.
#[test]
fn what_is_encoded_is_decoded() {
    for (capacity, late) in [(0, 1), (4096, 1), (4096, 7), (200, 1), (300, 3)] {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::new(capacity));
        let (mut instructions, mut told) = (Vec::new(), Vec::new());
        encoder.set_max(capacity as u64, &mut instructions);
        let mut shortest = usize::MAX;
        for round in 0..200_u64 {
            let date = format!("Mon, 0{} Jan", round / 40);
            let lines: [(&[u8], &[u8]); 6] = [
                (b"server", b"lunette"),
                (b"date", date.as_bytes()),
                (b"x-own", b"the same"),
                (b"content-length", b"0"),
                (b"set-cookie", b"id=1"),
                (b"x-round", if round % 2 == 0 { b"even" } else { b"odd" }),
            ];
            encoder.begin();
            encoder.status(if round % 3 == 0 { 200 } else { 418 });
            lines.iter().for_each(|(name, value)| encoder.field(name, value, &mut instructions));
            let mut section = Vec::new();
            encoder.finish(round * 4, &mut section);
            shortest = shortest.min(section.len());
            // The section never waits for instructions, however late they are.
            let mut fields = Fields::default();
            let Ok(Section::Decoded { required }) = decoder.decode(&section, &Limits::default(), &mut fields) else {
                unreachable!("round {round}");
            };
            let expected = lines.iter().copied();
            assert!(fields.iter().skip(1).eq(expected), "round {round}");
            if round % 5 == 4 {
                decoder.cancel(round * 4, &mut told);
            } else {
                decoder.acknowledge(round * 4, required, &mut told);
            }
            if round % late == 0 {
                decoder.instructions(&std::mem::take(&mut instructions), &Limits::default()).unwrap();
                decoder.increment(&mut told);
                encoder.acknowledgements(&std::mem::take(&mut told)).unwrap();
            }
        }
        assert_eq!(decoder.inserted() > 2, capacity > 0);
        assert!(capacity < 4096 || shortest < 20, "{shortest}");
        assert!(encoder.memory() < 32_768 && decoder.memory() < 16_384);
    }
}

#[test]
fn acknowledgements_that_are_wrong() {
    let prepared = || {
        let (mut encoder, mut out) = (Encoder::default(), Vec::new());
        encoder.set_max(4096, &mut out);
        for stream in 0..2 {
            encoder.begin();
            encoder.field(b"server", b"x", &mut out);
            encoder.finish(stream * 4, &mut Vec::new());
            if stream == 0 {
                encoder.acknowledgements(&[1]).unwrap();
            }
        }
        encoder
    };
    for (bytes, good) in [
        (&[0x84][..], true),
        (&[0x84, 0x84], false),
        (&[0x80], false),
        (&[0], false),
        (&[1], false),
        (&[0x44, 0x44], true),
        (&[0xff; 12], false),
    ] {
        assert_eq!(prepared().acknowledgements(bytes).is_ok(), good, "{bytes:?}");
    }
    // In pieces.
    let mut encoder = prepared();
    assert!(
        encoder.acknowledgements(&[0x7f]).is_ok() && encoder.acknowledgements(&[0x80]).is_ok() && encoder.acknowledgements(&[1]).is_ok()
    );
}

/// A head that is remembered is the one that would be made, whatever was received from the peer in between.
#[test]
fn heads_that_come_again_are_the_same_bytes() {
    for (capacity, late) in [(0, 1), (4096, 1), (4096, 3), (300, 5)] {
        let (mut heads, mut fields, mut decoder) = (Encoder::default(), Encoder::default(), Decoder::new(capacity));
        let (mut instructions, mut others, mut told) = (Vec::new(), Vec::new(), Vec::new());
        for (encoder, out) in [(&mut heads, &mut instructions), (&mut fields, &mut others)] {
            encoder.set_max(capacity as u64, out);
        }
        for round in 0..600_u64 {
            let own = if round / 8 % 3 == 0 { "x-one" } else { "x-other" };
            let date = (round / 50).to_string();
            let lines = [("server", "lunette"), ("date", &*date), (own, "value"), ("set-cookie", "id=1")];
            let lines = pairs(lines.get(..2 + (round / 20 % 3) as usize).unwrap());
            let mut list = crate::hpack::FieldList::default();
            lines.iter().for_each(|(name, value)| list.push_with(|out| out.extend_from_slice(name), |out| out.extend_from_slice(value)));
            let (mut one, mut other) = (Vec::new(), Vec::new());
            let status = if round % 16 == 15 { 404 } else { 200 };
            heads.head(round * 4, status, &list, &mut instructions, &mut one);
            fields.begin();
            fields.status(status);
            lines.iter().for_each(|(name, value)| fields.field(name, value, &mut others));
            fields.finish(round * 4, &mut other);
            assert_eq!((&one, &instructions), (&other, &others), "round {round}");
            let (Section::Decoded { required }, _) = decode(&decoder, &one).unwrap() else { unreachable!("round {round}") };
            match round % 7 {
                6 => decoder.cancel(round * 4, &mut told),
                // Never acknowledged, until there are as many as may be.
                5 if capacity == 4096 => {}
                _ => decoder.acknowledge(round * 4, required, &mut told),
            }
            if round % late == 0 {
                decoder.instructions(&std::mem::take(&mut instructions), &Limits::default()).unwrap();
                others.clear();
                decoder.increment(&mut told);
                let told = std::mem::take(&mut told);
                heads.acknowledgements(&told).unwrap();
                fields.acknowledgements(&told).unwrap();
            }
            if round % 100 == 99 {
                heads.shrink();
            }
        }
    }
}
