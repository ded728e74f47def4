//! A [`ConfigError`] through serde's door, which lets only text through.

use std::cell::RefCell;
use std::fmt;

use serde::de;

use crate::ConfigError;

thread_local! {
    /// The error that is being made into a deserializer's error on this thread, between [`raise`] and
    /// `ConfigError::custom`.
    static RAISED: RefCell<Option<ConfigError>> = const { RefCell::new(None) };
}

/// An error of this crate as the error of any deserializer, for a `Deserialize` written by hand.
///
/// Read by this crate it arrives whole, with its path inside the value at hand; any other deserializer gets its text.
pub fn raise<E: de::Error>(error: ConfigError) -> E {
    struct Raised(RefCell<Option<ConfigError>>);

    impl fmt::Display for Raised {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            if let Some(error) = self.0.take() {
                write!(f, "{error}")?;
                RAISED.set(Some(error));
            }
            Ok(())
        }
    }

    let error = E::custom(Raised(RefCell::new(Some(error))));
    // Another deserializer's error has taken the text alone.
    RAISED.take();
    error
}

/// What [`raise`] has just written, if the text came from there.
pub(crate) fn raised() -> Option<ConfigError> {
    RAISED.take()
}
