//! Request methods that nginx knows by name, as bits, so that sets of them are cheap.

use bitset::MethodBits;

/// A method, or an unknown one whose name stands in the request line.
pub type Method = MethodBits;

mod bitset {
    /// One method or a set of methods.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct MethodBits(u32);

    macro_rules! methods {
        ($($name:ident = $text:literal, $bit:literal;)+) => {
            impl MethodBits {
                $(#[doc = concat!("`", $text, "`")] pub const $name: MethodBits = MethodBits(1 << $bit);)+

                /// Every known method with its name.
                pub const ALL: &[(&'static str, MethodBits)] = &[$(($text, MethodBits::$name)),+];
            }
        };
    }

    methods! {
        GET = "GET", 1;
        HEAD = "HEAD", 2;
        POST = "POST", 3;
        PUT = "PUT", 4;
        DELETE = "DELETE", 5;
        MKCOL = "MKCOL", 6;
        COPY = "COPY", 7;
        MOVE = "MOVE", 8;
        OPTIONS = "OPTIONS", 9;
        PROPFIND = "PROPFIND", 10;
        PROPPATCH = "PROPPATCH", 11;
        LOCK = "LOCK", 12;
        UNLOCK = "UNLOCK", 13;
        PATCH = "PATCH", 14;
        TRACE = "TRACE", 15;
        CONNECT = "CONNECT", 16;
    }

    impl MethodBits {
        /// A method without a bit of its own.
        pub const UNKNOWN: MethodBits = MethodBits(1);
        /// No method.
        pub const NONE: MethodBits = MethodBits(0);

        /// The method called `name` (case matters, RFC 9110 section 9.1).
        pub fn from_name(name: &[u8]) -> MethodBits {
            MethodBits::ALL.iter().find(|(text, _)| text.as_bytes() == name).map_or(MethodBits::UNKNOWN, |(_, bit)| *bit)
        }

        /// nginx's number for the method (`ngx.HTTP_GET` is 2).
        pub fn bits(self) -> u32 {
            self.0
        }

        /// The method with nginx's number.
        pub fn from_bits(bits: u32) -> Option<(&'static str, MethodBits)> {
            MethodBits::ALL.iter().find(|(_, m)| m.0 == bits).copied()
        }

        /// The union of two sets of methods.
        pub const fn or(self, other: MethodBits) -> MethodBits {
            MethodBits(self.0 | other.0)
        }

        /// Whether the sets have a method in common.
        pub const fn intersects(self, other: MethodBits) -> bool {
            self.0 & other.0 != 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_nginxs() {
        let rows = [("GET", 2), ("HEAD", 4), ("POST", 8), ("PUT", 16), ("DELETE", 32), ("MKCOL", 64), ("PATCH", 16_384), ("TRACE", 32_768)];
        for (name, bits) in rows {
            let method = Method::from_name(name.as_bytes());
            assert_eq!(method.bits(), bits, "{name}");
            assert_eq!(Method::from_bits(bits), Some((name, method)));
        }
        for (name, method) in Method::ALL {
            assert_eq!(Method::from_name(name.as_bytes()), *method);
        }
    }

    #[test]
    fn what_is_no_method_is_unknown() {
        for name in ["get", "GETS", "GE", "", "G T"] {
            assert_eq!(Method::from_name(name.as_bytes()), Method::UNKNOWN, "{name:?}");
        }
        for bits in [0, 1, 3, 6, 1 << 20] {
            assert_eq!(Method::from_bits(bits), None, "{bits}: none, no method, or several");
        }
    }

    #[test]
    fn sets() {
        let reading = Method::GET.or(Method::HEAD);
        for (method, is_in) in
            [(Method::GET, true), (Method::HEAD, true), (Method::POST, false), (Method::UNKNOWN, false), (Method::NONE, false)]
        {
            assert_eq!(reading.intersects(method), is_in, "{method:?}");
        }
    }
}
