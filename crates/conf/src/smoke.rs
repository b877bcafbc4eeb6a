//! The fuzz target's invariants, checked with a small deterministic mutator for machines without a fuzzer.

use crate::check;
use base::xorshift::Xorshift;

const SEEDS: &[&str] = &[
    "user a;\nhttp { server { listen 80; location ~ \\.php$ { return 200 'a;b'; } } }",
    "types { text/html html; }\nif ($a = \"b\") { set $x ${y}z; } # comment }\n",
    "l { content_by_lua_block { local t = {'}', [=[ ] ]=], --[[ } ]] } } }",
    "set_by_lua_block $r { return 1 -- }\n}\ninclude x;",
    "a \"\\\"\\t\\x\" '\\'' b\\ c;",
];
const SPICE: &[u8] = b"\0\r\n\t ;{}#\"'\\$[]=-z)(\xff";

#[test]
fn conf() {
    let mut random = Xorshift::new(0x2545_f491_4f6c_dd1d);
    for seed in SEEDS {
        check::conf(seed.as_bytes());
    }
    for _ in 0..10_000 {
        let mut data = SEEDS[random.below(SEEDS.len())].as_bytes().to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(data.len() + 1);
            match random.below(5) {
                0 => data.insert(at, SPICE[random.below(SPICE.len())]),
                1 if at < data.len() => data[at] = SPICE[random.below(SPICE.len())],
                2 if at < data.len() => drop(data.remove(at)),
                3 => data.truncate(at),
                _ => {
                    let other = SEEDS[random.below(SEEDS.len())].as_bytes();
                    let cut = random.below(other.len() + 1);
                    data.splice(at..at, other[cut..].iter().copied());
                }
            }
        }
        check::conf(&data);
    }
}
