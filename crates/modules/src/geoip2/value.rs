//! A database value as text: scalars only.

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;
use std::io::Write;

/// Text of a scalar; none for maps and lists.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Text(pub(super) Option<Vec<u8>>);

struct TextVisitor;

fn as_text<E>(text: impl Into<Vec<u8>>) -> Result<Text, E> {
    Ok(Text(Some(text.into())))
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TextVisitor)
    }
}

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Text, E> {
        as_text(if value { "1" } else { "0" })
    }

    fn visit_i64<E>(self, value: i64) -> Result<Text, E> {
        as_text(value.to_string())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Text, E> {
        as_text(value.to_string())
    }

    fn visit_u128<E>(self, value: u128) -> Result<Text, E> {
        as_text(format!("0x{value:032x}"))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Text, E> {
        let mut text = Vec::new();
        // Writing to a Vec cannot fail.
        let _ = write!(text, "{value:.5}");
        as_text(text)
    }

    fn visit_str<E>(self, value: &str) -> Result<Text, E> {
        as_text(value)
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Text, E> {
        as_text(value)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Text, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Text, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Text(None))
    }
}
