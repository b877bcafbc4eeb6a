//! Numbers in the small types of tables that are made when the program is compiled. One that does not fit ends the compilation.

macro_rules! narrow {
    ($name:ident, $to:ty) => {
        #[expect(clippy::cast_possible_truncation, reason = "checked before")]
        pub(crate) const fn $name(number: usize) -> $to {
            assert!(number <= <$to>::MAX as usize);
            number as $to
        }
    };
}
narrow!(byte, u8);
narrow!(short, u16);
narrow!(word, u32);
