//! Arguments that are a value or `off`.

/// What a directive says that takes a value or `off`. A field that holds an `Option` of it tells `off` from nothing said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch<T> {
    /// `off`
    Off,
    /// The value.
    On(T),
}

impl<T> Switch<T> {
    /// The value; `None` for `off`.
    pub fn on(self) -> Option<T> {
        match self {
            Switch::Off => None,
            Switch::On(value) => Some(value),
        }
    }

    /// As [`Switch::on`], by reference.
    pub fn as_on(&self) -> Option<&T> {
        match self {
            Switch::Off => None,
            Switch::On(value) => Some(value),
        }
    }
}

/// `None` is `off`.
impl<T> From<Option<T>> for Switch<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Switch::Off, Switch::On)
    }
}

#[cfg(test)]
mod tests {
    use super::Switch;

    /// `off` in a block is not nothing said: it does not inherit.
    #[test]
    fn off_is_something_said() {
        struct Conf {
            cache: Option<Switch<u8>>,
        }
        for (own, value) in [(None, Some(7)), (Some(None), None), (Some(Some(9)), Some(9))] {
            let (mut own, parent) = (Conf { cache: own.map(Switch::from) }, Conf { cache: Some(Switch::On(7)) });
            crate::inherit!(own, parent; cache);
            assert_eq!((own.cache.as_ref().and_then(Switch::as_on), own.cache.and_then(Switch::on)), (value.as_ref(), value));
        }
    }
}
