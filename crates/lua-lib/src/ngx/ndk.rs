//! `ndk.set_var`: the functions of set-misc's directives (lua-nginx-module's README, "ndk.set_var.DIRECTIVE").

use lua::Group;

/// The part's glue.
#[must_use]
pub fn group() -> Group {
    Group { name: "ndk", rows: Vec::new(), glue: include_str!("ndk.lua") }
}

#[cfg(test)]
mod tests {
    use crate::ngx::tests::evaluate;

    #[test]
    fn functions_by_name() {
        assert_eq!(
            evaluate("require 'ndk'.set_var.set_escape_uri(' '), ndk.set_var.set_md5('hello')"),
            "%20 5d41402abc4b2a76b9719d911017c592"
        );
        assert_eq!(
            evaluate("ndk.set_var.set_encode_hex('a/'), ndk.set_var.set_decode_hex('612F'), ndk.set_var.set_decode_base32('?')"),
            "612f a/ "
        );
        for call in ["set_decode_hex('6')", "set_decode_hex('xx')", "set_decode_base64('?')"] {
            let name = call.split('(').next().unwrap_or_default();
            let error = format!("select(2, pcall(function() local s = ndk.set_var.{call} return s end))");
            assert_eq!(evaluate(&error), format!("test:1: calling directive {name} failed with code -1"));
        }
        assert_eq!(evaluate("ndk.set_var.set_sha1('hello')"), "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434d");
        let error = "select(2, pcall(function() return ndk.set_var.nothing end))";
        assert_eq!(evaluate(error), "test:1: ndk.set_var: directive \"nothing\" not found or does not use ndk_set_var_value");
    }
}
