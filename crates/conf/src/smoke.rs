//! The fuzz target's invariants, checked with a small deterministic mutator for machines without a fuzzer.

use crate::check;

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
    base::mutation::fuzz(SEEDS, SPICE, 10_000, check::conf);
}
