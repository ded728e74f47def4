//! A struct whose fields all have defaults.

/// A struct of settings whose fields all have defaults, each written at its field: with serde's derives, refusing unknown
/// fields, and with the `Default` that they give. The crate that calls it depends on serde.
///
/// A struct some of whose fields must be given has serde's derives itself, and `#[serde(default = "...")]` at the others.
///
/// ```
/// strict_config::settings! {
///     /// How long to wait.
///     #[derive(Copy)]
///     pub struct Patience {
///         /// Validations. Default 3.
///         pub validations: u64 = 3,
///         /// What counts as better. Default 0.
///         pub min_delta: f64 = 0.0,
///     }
/// }
///
/// impl strict_config::Settings for Patience {}
///
/// let read = strict_config::read::<Patience>(&"validations = 5".parse().unwrap(), "")?;
/// assert_eq!(read, Patience { validations: 5, ..Patience::default() });
/// # Ok::<(), strict_config::ConfigError>(())
/// ```
#[macro_export]
macro_rules! settings {
    (
        $(#[$about:meta])*
        $visible:vis struct $name:ident {
            $($(#[$of_field:meta])* $field_visible:vis $field:ident: $type:ty = $default:expr,)*
        }
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, ::serde::Serialize, ::serde::Deserialize)]
        #[serde(default, deny_unknown_fields)]
        $visible struct $name {
            $($(#[$of_field])* $field_visible $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default,)* }
            }
        }
    };
}
