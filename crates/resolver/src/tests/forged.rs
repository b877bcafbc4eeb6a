//! Packets that are malformed, or answers to other queries, and that arrive before the real one.

use super::*;

/// A packet of an attacker who knows the question, which he knows only from the wire; 6.6.6.6 is his.
type Forge = fn(Vec<u8>) -> Vec<u8>;

const EVIL: [u8; 4] = [6, 6, 6, 6];

/// A record behind the message, owned by `owner`.
fn owned(mut message: Vec<u8>, owner: &[u8], kind: u8, data: &[u8]) -> Vec<u8> {
    message.extend_from_slice(owner);
    message.extend_from_slice(&[0, kind, 0, 1, 0, 0, 0, 60, 0, data.len() as u8]);
    message.extend_from_slice(data);
    message[2] = 0x81;
    message[7] += 1;
    message
}

fn evil(message: Vec<u8>) -> Vec<u8> {
    owned(message, &[0xc0, 12], 1, &EVIL)
}

fn with(mut message: Vec<u8>, at: usize, byte: u8) -> Vec<u8> {
    message[at] = byte;
    message
}

/// What is passed over: the true answer still counts. The question is `a.test`, 24 bytes.
const PASSED_OVER: [(&str, Forge); 25] = [
    ("nothing", |_| Vec::new()),
    ("one byte", |query| query[..1].to_vec()),
    ("half a head", |query| query[..7].to_vec()),
    ("a head alone", |query| evil(query)[..12].to_vec()),
    ("half a question", |query| evil(query)[..17].to_vec()),
    ("a question without its class", |query| evil(query)[..22].to_vec()),
    ("another number", |query| with(evil(query.clone()), 0, query[0] ^ 1)),
    ("the number turned around", |query| {
        let number = [query[1], query[0] ^ 0x80];
        [&number, &evil(query)[2..]].concat()
    }),
    ("a question, not an answer", |query| with(evil(query), 2, 0x01)),
    ("another operation", |query| with(evil(query), 2, 0x91)),
    ("no question", |query| with(evil(query), 5, 0)),
    ("two questions", |query| with(evil(query), 5, 2)),
    ("another name", |query| with(evil(query), 13, b'b')),
    ("a shorter name", |query| with(evil(query), 12, 0)),
    ("another type", |query| with(evil(query), 21, 28)),
    ("another class", |query| with(evil(query), 23, 3)),
    ("a question that is a pointer", |query| with(with(evil(query), 12, 0xc0), 13, 12)),
    ("a label that is too long", |query| with(evil(query), 12, 0x7f)),
    ("a record that is cut", |query| {
        let message = evil(query);
        message[..message.len() - 3].to_vec()
    }),
    ("more records than there are", |query| with(evil(query), 7, 200)),
    ("an address of three bytes", |query| owned(query, &[0xc0, 12], 1, &EVIL[..3])),
    ("an address of five bytes", |query| owned(query, &[0xc0, 12], 1, &[6, 6, 6, 6, 6])),
    ("an owner that points to itself", |query| owned(query, &[0xc0, 24], 1, &EVIL)),
    ("an owner that points ahead", |query| owned(query, &[0xc0, 40], 1, &EVIL)),
    ("an owner that points out", |query| owned(query, &[0xff, 0xff], 1, &EVIL)),
];

/// Answers to the question in which the attacker's address belongs to something else.
const UNRELATED: [(&str, Forge); 7] = [
    ("an owner that was not asked for", |query| owned(query, b"\x01b\x04test\0", 1, &EVIL)),
    ("the root as the owner", |query| owned(query, &[0], 1, &EVIL)),
    ("the owner's parent", |query| owned(query, &[0xc0, 14], 1, &EVIL)),
    ("an address of the other family", |query| owned(query, &[0xc0, 12], 28, &[6; 16])),
    ("an alias to itself", |query| owned(query, &[0xc0, 12], 5, &[0xc0, 12])),
    ("an alias and an address for a third name", |query| {
        let alias = owned(query, &[0xc0, 12], 5, b"\x01c\0");
        owned(alias, b"\x01d\0", 1, &EVIL)
    }),
    ("an address where nothing is found", |query| with(evil(query), 3, 0x83)),
];

/// Answers each question with `forge` of it and then truly.
async fn attacked(forge: Forge) -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::task::spawn_local(async move {
        let mut packet = [0; 600];
        loop {
            let (length, from) = socket.recv_from(&mut packet).await.unwrap();
            let query = packet[..length].to_vec();
            assert!(length == 24 || query[13] != b'a', "{query:?}");
            for message in [forge(query.clone()), answer(&query, &Does::Addresses(vec![[10, 0, 0, 1]]))] {
                socket.send_to(&message, from).await.unwrap();
            }
        }
    });
    address
}

#[test]
fn what_is_no_answer_to_the_question_is_passed_over() {
    run(async {
        for (what, forge) in PASSED_OVER {
            let resolver = resolver(vec![attacked(forge).await]);
            let found = resolver.resolve(b"a.test", SECOND).await;
            assert_eq!(texts(&found.unwrap_or_else(|failure| panic!("{what}: {failure:?}"))), ["10.0.0.1"], "{what}");
        }
    });
}

#[test]
fn what_belongs_to_another_name_is_not_taken() {
    run(async {
        for (what, forge) in UNRELATED {
            let resolver = resolver(vec![attacked(forge).await]);
            let all = resolver.resolve(b"a.test", SECOND).await.as_ref().map(texts).unwrap_or_default();
            assert!(!all.iter().any(|address| address.starts_with('6')), "{what}: {all:?}");
        }
    });
}

/// The number and the port of a question are not those of the one before.
#[test]
fn numbers_and_ports_cannot_be_guessed_from_the_last() {
    run(async {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let resolver = resolver(vec![socket.local_addr().unwrap()]);
        let seen = tokio::task::spawn_local(async move {
            let (mut seen, mut packet) = (Vec::new(), [0; 600]);
            while seen.len() < 32 {
                let (length, from) = socket.recv_from(&mut packet).await.unwrap();
                seen.push((u16::from_be_bytes([packet[0], packet[1]]), from.port()));
                socket.send_to(&answer(&packet[..length], &Does::Code(3)), from).await.unwrap();
            }
            seen
        });
        for number in 0..32 {
            let name = format!("n{number}.test");
            assert_eq!(resolver.resolve(name.as_bytes(), SECOND).await.unwrap_err(), Failure::NOT_FOUND);
        }
        let seen = seen.await.unwrap();
        let steps = |of: fn(&(u16, u16)) -> u16| {
            let all: std::collections::HashSet<_> = seen.windows(2).map(|pair| of(&pair[1]).wrapping_sub(of(&pair[0]))).collect();
            all.len()
        };
        assert!(steps(|(number, _)| *number) > 24, "{seen:?}");
        assert!(steps(|(_, port)| *port) > 8, "{seen:?}");
    });
}
