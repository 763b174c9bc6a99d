//! Enums whose values have names that users type: parsing, display and serde derive from one list.

use crate::error::{Error, Result};

/// A closed list of named values. Implemented by `named_enum!`.
pub trait Named: Copy + 'static {
    /// Noun for a value in messages (`schedule`, `device` ...).
    const WHAT: &'static str;
    /// Every value with its name.
    const ALL: &'static [(Self, &'static str)];

    /// The value of this name; `field` is the request field that the message names.
    ///
    /// # Errors
    /// An unknown name, with the closest known one as a hint.
    fn parse(field: &str, name: &str) -> Result<Self> {
        Self::ALL
            .iter()
            .find(|(_, known)| *known == name)
            .map(|(value, _)| *value)
            .ok_or_else(|| {
                Error::unknown(field, Self::WHAT, name, Self::ALL.iter().map(|row| row.1))
            })
    }
}

/// Declares an enum and its names: `named_enum! { /// docs  pub enum X("what") { A = "a", B = "b" }
/// }`.
macro_rules! named_enum {
    ($(#[$meta:meta])* pub enum $name:ident($what:literal) { $($(#[$value_meta:meta])* $value:ident = $text:literal),+ $(,)? }) => {
        $(#[$meta])*
        #[allow(unreachable_pub, reason = "the macro cannot know how far its module is seen")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
        pub enum $name { $($(#[$value_meta])* #[serde(rename = $text)] $value),+ }

        impl $crate::named_enum::Named for $name {
            const WHAT: &'static str = $what;
            const ALL: &'static [(Self, &'static str)] = &[$((Self::$value, $text)),+];
        }

        impl $name {
            /// The name that users type.
            #[allow(unreachable_pub, reason = "as above")]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$value => $text),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.name())
            }
        }
    };
}
pub(crate) use named_enum;

#[cfg(test)]
mod tests {
    use super::*;

    named_enum! {
        /// Two fruits.
        pub enum Fruit("fruit") { Apple = "apple", Pear = "pear" }
    }

    #[test]
    fn names_parse_display_and_serialise_alike() {
        let pear = Fruit::parse("snack", "pear").unwrap();
        assert_eq!((pear, pear.to_string()), (Fruit::Pear, "pear".to_owned()));
        assert_eq!(serde_json::to_string(&pear).unwrap(), "\"pear\"");
        let error = Fruit::parse("snack", "aple").unwrap_err();
        assert_eq!(error.to_string(), "snack: unknown fruit `aple`");
        assert!(error.hints()[0].contains("did you mean `apple`?"));
    }
}
