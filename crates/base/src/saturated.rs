//! Numbers in smaller types: what does not fit becomes the type's nearest bound, instead of another number.

/// Conversion that ends at the bounds of the type.
pub trait Saturated<From> {
    /// `value`, or the bound that is nearest to it. A fraction is cut off, and what is no number is 0.
    fn saturated(value: From) -> Self;
}

macro_rules! from_floats {
    ($($to:ty),*) => {$(
        impl Saturated<f64> for $to {
            #[inline]
            #[expect(clippy::cast_possible_truncation, reason = "a cast from a float saturates")]
            fn saturated(value: f64) -> Self {
                value as $to
            }
        }
    )*};
}
from_floats!(u8, u16, u32, u64, usize, i32, i64);

macro_rules! from_unsigned {
    ($($from:ty => $($to:ty),*;)*) => {$($(
        impl Saturated<$from> for $to {
            #[inline]
            fn saturated(value: $from) -> Self {
                Self::try_from(value).unwrap_or(Self::MAX)
            }
        }
    )*)*};
}
from_unsigned! {
    u64 => usize, u32, u16, u8;
    usize => u32, u16, u8;
    u32 => u16, u8;
    u16 => u8;
}

#[cfg(test)]
mod tests {
    use super::Saturated;

    #[test]
    fn what_does_not_fit_is_a_bound() {
        for (value, expected) in [(-1.0, 0), (0.9, 0), (255.9, 255), (256.0, 255), (f64::INFINITY, 255), (f64::NAN, 0)] {
            assert_eq!(u8::saturated(value), expected);
        }
        assert_eq!(i32::saturated(-1e12), i32::MIN);
        assert_eq!(u16::saturated(65_536u64), u16::MAX);
        assert_eq!(u32::saturated(7usize), 7);
        assert_eq!(usize::saturated(u64::MAX), usize::MAX);
    }
}
