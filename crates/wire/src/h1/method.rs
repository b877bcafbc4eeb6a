//! Request methods (RFC 9110 section 9, RFC 4918, RFC 5789).

macro_rules! methods {
    ($($variant:ident = $name:literal,)*) => {
        /// The methods nginx knows by name; the `limit_except` and `proxy_method` directives and
        /// the `ngx.HTTP_*` constants speak of these.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
        pub enum Method {
            /// A method made of capitals, `_` and `-` with no meaning here; its text is
            /// [`crate::h1::request::Head::method_span`].
            #[default]
            Other,
            $(
                #[doc = concat!("`", $name, "`")]
                $variant,
            )*
        }

        impl Method {
            /// The method with exactly this name; names are case-sensitive (RFC 9110, 9.1).
            #[must_use]
            pub fn of(name: &[u8]) -> Self {
                $(
                    if name == $name.as_bytes() {
                        return Self::$variant;
                    }
                )*
                Self::Other
            }

            /// The method's name; empty for [`Method::Other`].
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    Self::Other => "",
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

methods! {
    Get = "GET",
    Head = "HEAD",
    Post = "POST",
    Put = "PUT",
    Delete = "DELETE",
    Options = "OPTIONS",
    Patch = "PATCH",
    Trace = "TRACE",
    Connect = "CONNECT",
    Mkcol = "MKCOL",
    Copy = "COPY",
    Move = "MOVE",
    Lock = "LOCK",
    Unlock = "UNLOCK",
    Propfind = "PROPFIND",
    Proppatch = "PROPPATCH",
}

#[cfg(test)]
mod tests {
    use super::Method;

    #[test]
    fn names_are_case_sensitive() {
        assert_eq!(Method::of(b"PROPPATCH"), Method::Proppatch);
        assert_eq!(Method::of(b"get"), Method::Other);
        assert_eq!(Method::of(b"GETT"), Method::Other);
        assert_eq!(Method::Mkcol.name(), "MKCOL");
    }
}
