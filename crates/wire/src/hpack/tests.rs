use super::tables::STATIC;
use super::*;
use base::xorshift::Xorshift;

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn decode(decoder: &mut Decoder, block: &[u8]) -> Result<Pairs, HpackError> {
    let mut fields = Fields::default();
    let used = decoder.decode(block, true, &Limits::default(), &mut fields)?;
    assert_eq!(used, block.len());
    Ok(fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect())
}

fn pairs(lines: &str) -> Pairs {
    let split = |line: &str| {
        let at = line[1..].find(": ").unwrap() + 1;
        (line.as_bytes()[..at].to_vec(), line.as_bytes()[at + 2..].to_vec())
    };
    lines.lines().map(|line| split(line.trim())).collect()
}

/// RFC 7541, C.3 to C.6: the bytes, plain and with Huffman code, and what they mean.
#[test]
fn the_standards_examples() {
    let requests = [
        (
            "828684410f7777772e6578616d706c652e636f6d",
            "828684418cf1e3c2e5f23a6ba0ab90f4ff",
            ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com",
        ),
        (
            "828684be58086e6f2d6361636865",
            "828684be5886a8eb10649cbf",
            ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com\ncache-control: no-cache",
        ),
        (
            "828785bf400a637573746f6d2d6b65790c637573746f6d2d76616c7565",
            "828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf",
            ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value",
        ),
    ];
    let responses = [
        (
            "4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d",
            "488264025885aec3771a4b6196d07abe941054d444a8200595040b8166e082a62d1bff6e919d29ad171863c78f0b97c8e9ae82ae43d3",
            ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
        ),
        (
            "4803333037c1c0bf",
            "4883640effc1c0bf",
            ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com",
        ),
        (
            "88c1611d4d6f6e2c203231204f637420323031332032303a31333a323220474d54c05a04677a69707738666f6f3d4153444a4b48514b425a584f5157454f50495541585157454f49553b206d61782d6167653d333630303b2076657273696f6e3d31",
            "88c16196d07abe941054d444a8200595040b8166e084a62d1bffc05a839bd9ab77ad94e7821dd7f2e6c7b335dfdfcd5b3960d5af27087f3672c1ab270fb5291f9587316065c003ed4ee5b1063d5007",
            ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\ncontent-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1",
        ),
    ];
    for (size, examples) in [(4096, requests), (256, responses)] {
        let (mut plain, mut packed) = (Decoder::new(size), Decoder::new(size));
        for (first, second, meaning) in examples {
            assert_eq!(decode(&mut plain, &bytes(first)), Ok(pairs(meaning)));
            assert_eq!(decode(&mut packed, &bytes(second)), Ok(pairs(meaning)));
        }
    }
}

#[test]
fn literals() {
    // RFC 7541, C.2, and what else has the same meaning.
    let never = |block: &str| {
        let mut fields = Fields::default();
        Decoder::new(4096).decode(&bytes(block), true, &Limits::default(), &mut fields).unwrap();
        fields.list()[0].never_indexed
    };
    let one = |block: &str| decode(&mut Decoder::new(4096), &bytes(block));
    assert_eq!(one("400a637573746f6d2d6b65790d637573746f6d2d686561646572"), Ok(pairs("custom-key: custom-header")));
    assert_eq!(one("040c2f73616d706c652f70617468"), Ok(pairs(":path: /sample/path")));
    assert_eq!(one("100870617373776f726406736563726574"), Ok(pairs("password: secret")));
    assert!(never("100870617373776f726406736563726574") && !never("040c2f73616d706c652f70617468"));
}

#[test]
fn bad_blocks() {
    for (block, error) in [
        ("80", HpackError::ZeroIndex),
        ("be", HpackError::Index(0)),
        ("7f0001 61", HpackError::Index(1)),
        ("3fe21f", HpackError::TableSize(4097)),
        ("8220", HpackError::LateTableSize),
        ("ffffffffff", HpackError::LongIndex),
        ("3fffffffff", HpackError::LongTableSize),
        ("42ffffffffff", HpackError::LongLength),
        ("ff", HpackError::TruncatedInteger),
        ("42ff", HpackError::TruncatedInteger),
        ("40", HpackError::Truncated),
        ("4003616263", HpackError::Truncated),
        ("42056162", HpackError::Truncated),
        ("4000", HpackError::EmptyName),
        ("4080", HpackError::EmptyName),
        ("4284ffffffff", HpackError::Huffman),
        ("42811e", HpackError::Huffman),
        ("427f813f", HpackError::Truncated),
        ("427f8140", HpackError::StringTooLarge),
    ] {
        assert_eq!(decode(&mut Decoder::new(4096), &bytes(block)), Err(error), "{block}");
    }
}

#[test]
fn a_bomb_of_references_is_bounded() {
    // One large entry, then references to it.
    let mut decoder = Decoder::new(4096);
    let mut block = bytes("400161");
    integer::encode(3000, 7, 0, &mut block);
    block.extend(std::iter::repeat_n(b'x', 3000));
    block.extend(std::iter::repeat_n(0xbe, 10_000));
    let mut fields = Fields::default();
    for dropping in [false, true] {
        fields.reset(dropping);
        assert_eq!(decoder.decode(&block, true, &Limits::default(), &mut fields), Err(HpackError::TooLarge));
        assert!(fields.bytes().len() <= 4 * 8192 + 3001);
    }
}

#[test]
fn fields_above_the_limit_are_read_and_dropped() {
    let limits = Limits { fields: 2, ..Limits::default() };
    let mut decoder = Decoder::new(4096);
    let mut fields = Fields::default();
    decoder.decode(&bytes("828684 0001610161 0001610162"), true, &limits, &mut fields).unwrap();
    assert!(!fields.overflowed(), "pseudo-headers are not counted");
    fields.reset(false);
    decoder.decode(&bytes("828684 0001610161 0001610162 4001620163"), true, &limits, &mut fields).unwrap();
    assert!(fields.overflowed());
    assert_eq!(fields.list().len(), 5);
    // The table has what was dropped.
    assert_eq!(decode(&mut decoder, &[0xbe]), Ok(pairs("b: c")));
    fields.reset(true);
    decoder.decode(&[0xbe, 0x82], true, &limits, &mut fields).unwrap();
    assert!(fields.list().is_empty() && !fields.overflowed());
}

fn random_fields(random: &mut Xorshift) -> Pairs {
    let text = |random: &mut Xorshift, max: usize| -> Vec<u8> {
        let letters = random.below(2) == 0;
        (0..random.below(max)).map(|_| if letters { b'a' + random.below(26) as u8 } else { random.below(256) as u8 }).collect()
    };
    let field = |random: &mut Xorshift| match random.below(4) {
        0 => {
            let (name, value) = STATIC[random.below(61)];
            (name.as_bytes().to_vec(), value.as_bytes().to_vec())
        }
        1 => (STATIC[random.below(61)].0.as_bytes().to_vec(), text(random, 40)),
        2 => (format!("x-{}", random.below(9)).into_bytes(), format!("v{}", random.below(9)).into_bytes()),
        _ => ([b"n".to_vec(), text(random, 20)].concat(), text(random, 300)),
    };
    (0..random.below(12)).map(|_| field(random)).collect()
}

#[test]
fn what_is_encoded_comes_back() {
    let mut random = Xorshift::new(0x1234_5678_9abc_def1);
    for _ in 0..20 {
        let (mut encoder, mut decoder) = (Encoder::default(), Decoder::new(4096));
        for _ in 0..200 {
            if random.below(20) == 0 {
                // A peer that changes its table, even twice before it is told.
                for _ in 0..=random.below(2) {
                    encoder.set_max(random.below(5000));
                }
            }
            let all = random_fields(&mut random);
            let mut block = vec![];
            encoder.begin(&mut block);
            for (name, value) in &all {
                encoder.field(name, value, &mut block);
            }
            assert_eq!(decode(&mut decoder, &block), Ok(all));
        }
    }
}

#[test]
fn blocks_in_pieces_are_the_same() {
    let mut random = Xorshift::new(0x1234_5678_9abc_def2);
    let (mut encoder, mut whole, mut pieces) = (Encoder::default(), Decoder::new(4096), Decoder::new(4096));
    for _ in 0..100 {
        let all = random_fields(&mut random);
        let mut block = vec![];
        encoder.begin(&mut block);
        for (name, value) in &all {
            encoder.field(name, value, &mut block);
        }
        let mut fields = Fields::default();
        let mut rest: Vec<u8> = vec![];
        for (at, byte) in block.iter().enumerate() {
            rest.push(*byte);
            let used = pieces.decode(&rest, at + 1 == block.len(), &Limits::default(), &mut fields).unwrap();
            rest.drain(..used);
        }
        let second: Pairs = fields.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect();
        assert_eq!(decode(&mut whole, &block), Ok(second));
    }
}

fn list(all: &Pairs) -> FieldList {
    let mut list = FieldList::default();
    all.iter().for_each(|(name, value)| list.push_with(|out| out.extend_from_slice(name), |out| out.extend_from_slice(value)));
    list
}

#[test]
fn heads_that_come_again_say_the_same() {
    let mut random = Xorshift::new(0x0bad_cafe_1234_5678);
    let heads: Vec<Pairs> = (0..4).map(|_| random_fields(&mut random)).collect();
    let (mut encoder, mut decoder) = (Encoder::default(), Decoder::new(4096));
    let mut known = 0;
    for round in 0..2000 {
        let (all, status) = (&heads[random.below(40) / 10], [200, 404, 418][random.below(30) / 25]);
        match random.below(50) {
            0 => encoder.set_max(random.below(4000)),
            1 => encoder.shrink(),
            _ => {}
        }
        // They come in rows.
        for _ in 0..3 {
            let mut block = vec![];
            encoder.head(status, &list(all), &mut block);
            known += usize::from(block.len() == all.len() + 1);
            let mut expected = vec![(b":status".to_vec(), status.to_string().into_bytes())];
            expected.extend(all.iter().cloned());
            assert_eq!(decode(&mut decoder, &block), Ok(expected), "{round}");
        }
    }
    assert!(known > 0);
}

#[test]
fn what_repeats_is_short() {
    let mut encoder = Encoder::default();
    let mut sizes = vec![];
    for _ in 0..3 {
        let mut block = vec![];
        encoder.begin(&mut block);
        encoder.status(200, &mut block);
        encoder.field(b"server", b"lunette", &mut block);
        encoder.field(b"date", b"Mon, 21 Oct 2013 20:13:21 GMT", &mut block);
        encoder.field(b"content-type", b"text/plain", &mut block);
        encoder.field(b"x-powered-by", b"lua", &mut block);
        sizes.push(block.len());
    }
    // The last field is indexed when it comes for the second time.
    assert_eq!(sizes[2], 5, "{sizes:?}");
    let mut block = vec![];
    for _ in 0..3 {
        block.clear();
        encoder.field(b"set-cookie", b"id=secret", &mut block);
    }
    assert!(block.len() > 5);
}

/// 990 lines of ten bytes each, as HTTP/1 has them.
#[test]
fn many_short_fields_cost_little_and_are_not_kept() {
    const LINES: usize = 990;
    let limits = Limits { string: 8192, total: 32_768, fields: 1000 };
    let literal = b"\x00\x03x-1\x03abc".repeat(LINES);
    let indexed = [&b"\x40\x03x-1\x03abc"[..], &[0xbe; LINES - 1]].concat();
    for block in [literal, indexed] {
        let mut fields = Fields::default();
        let mut decoder = Decoder::new(4096);
        decoder.decode(&block, true, &limits, &mut fields).unwrap();
        assert_eq!(fields.iter().filter(|field| *field == (b"x-1", b"abc")).count(), LINES);
        assert!(fields.memory() <= 3 * 10 * LINES, "{}", fields.memory());
        assert!(fields.read() && fields.memory() == 0);
        // What is usual stays.
        decoder.decode(&block[..1], false, &limits, &mut fields).unwrap();
        decoder.decode(&[0x82, 0x84], true, &limits, &mut fields).unwrap();
        assert!(!fields.read() && fields.list().len() == 2);
    }
}
