//! The one description of a ported schedule's settings: from a list of fields with their types and defaults come the
//! struct, the strict reader, the resolved table and the registry entry, so that these four cannot disagree.

use strict_config::{ConfigError, Fields};
use toml::{Table, Value};

use crate::strategy::{ScheduleFields, Scope, array};
use crate::{Clock, Duration, Interval, PlateauMode, Schedule, ScheduleConfig, ThresholdMode};

/// What the settings of a ported schedule do; [`settings!`] makes a [`Strategy`](crate::Strategy) of it.
pub(super) trait Port {
    /// Refuses settings that are wrong whatever the run is.
    fn verify(&self) -> Result<(), ConfigError>;

    /// The schedule on `clock`.
    fn schedule(&self, clock: &Clock) -> Result<Box<dyn Schedule>, ConfigError>;

    /// What a tick is unless the config says so, where that depends on the settings.
    fn clock(&self) -> Option<Interval> {
        None
    }

    /// The metric a reactive schedule, or a part of this one, watches.
    fn watches(&self) -> Option<&str> {
        None
    }

    /// Whether a part gives a momentum.
    fn has_momentum(&self) -> bool {
        false
    }
}

/// A type of setting: how it is read and written.
pub(super) trait Setting: Sized {
    /// What is expected, in words.
    const EXPECTED: &'static str;

    /// Reads the field, if it is there.
    fn read(fields: &Fields<'_>, field: &str, scope: &Scope<'_>) -> Result<Option<Self>, ConfigError>;

    /// As a config writes it; `None` where it leaves it out.
    fn write(&self) -> Option<Value>;
}

impl Setting for f64 {
    const EXPECTED: &'static str = "a number";

    fn read(fields: &Fields<'_>, field: &str, _: &Scope<'_>) -> Result<Option<Self>, ConfigError> {
        fields.f64(field)
    }

    fn write(&self) -> Option<Value> {
        Some(Value::Float(*self))
    }
}

impl Setting for u64 {
    const EXPECTED: &'static str = "a whole number of at least 0";

    fn read(fields: &Fields<'_>, field: &str, _: &Scope<'_>) -> Result<Option<Self>, ConfigError> {
        fields.u64(field)
    }

    fn write(&self) -> Option<Value> {
        Some(Value::Integer(i64::try_from(*self).unwrap_or(i64::MAX)))
    }
}

impl Setting for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(fields: &Fields<'_>, field: &str, _: &Scope<'_>) -> Result<Option<Self>, ConfigError> {
        fields.bool(field)
    }

    fn write(&self) -> Option<Value> {
        Some(Value::Boolean(*self))
    }
}

impl Setting for String {
    const EXPECTED: &'static str = "a string";

    fn read(fields: &Fields<'_>, field: &str, _: &Scope<'_>) -> Result<Option<Self>, ConfigError> {
        Ok(fields.str(field)?.map(str::to_owned))
    }

    fn write(&self) -> Option<Value> {
        Some(Value::String(self.clone()))
    }
}

impl Setting for Duration {
    const EXPECTED: &'static str = "a duration: ticks, \"5ep\", \"500it\", \"20%\" or \"rest\"";

    fn read(fields: &Fields<'_>, field: &str, _: &Scope<'_>) -> Result<Option<Self>, ConfigError> {
        fields.duration(field)
    }

    fn write(&self) -> Option<Value> {
        Some(self.to_value())
    }
}

impl Setting for Vec<Duration> {
    const EXPECTED: &'static str = "an array of durations";

    fn read(fields: &Fields<'_>, field: &str, _: &Scope<'_>) -> Result<Option<Self>, ConfigError> {
        if fields.has(field) { fields.need_durations(field).map(Some) } else { Ok(None) }
    }

    fn write(&self) -> Option<Value> {
        Some(array(self, Duration::to_value))
    }
}

impl Setting for ScheduleConfig {
    const EXPECTED: &'static str = "a schedule: a table with a `type` of its own";

    fn read(fields: &Fields<'_>, field: &str, scope: &Scope<'_>) -> Result<Option<Self>, ConfigError> {
        fields.table(field)?.map(|table| scope.schedule(table, &fields.path_of(field))).transpose()
    }

    fn write(&self) -> Option<Value> {
        Some(Value::Table(self.part_table()))
    }
}

impl Setting for Vec<ScheduleConfig> {
    const EXPECTED: &'static str = "an array of schedule tables";

    fn read(fields: &Fields<'_>, field: &str, scope: &Scope<'_>) -> Result<Option<Self>, ConfigError> {
        if fields.has(field) { scope.schedules(fields, field).map(Some) } else { Ok(None) }
    }

    fn write(&self) -> Option<Value> {
        Some(array(self, |part| Value::Table(part.part_table())))
    }
}

impl<T: Setting> Setting for Option<T> {
    const EXPECTED: &'static str = T::EXPECTED;

    fn read(fields: &Fields<'_>, field: &str, scope: &Scope<'_>) -> Result<Option<Self>, ConfigError> {
        Ok(T::read(fields, field, scope)?.map(Some))
    }

    fn write(&self) -> Option<Value> {
        self.as_ref().and_then(T::write)
    }
}

impl Setting for PlateauMode {
    const EXPECTED: &'static str = "\"min\" or \"max\"";

    fn read(fields: &Fields<'_>, field: &str, _: &Scope<'_>) -> Result<Option<Self>, ConfigError> {
        fields.choice(field, &[Self::Min, Self::Max].map(|mode| (mode.name(), mode)))
    }

    fn write(&self) -> Option<Value> {
        Some(Value::String(self.name().to_owned()))
    }
}

impl Setting for ThresholdMode {
    const EXPECTED: &'static str = "\"rel\" or \"abs\"";

    fn read(fields: &Fields<'_>, field: &str, _: &Scope<'_>) -> Result<Option<Self>, ConfigError> {
        fields.choice(field, &[Self::Rel, Self::Abs].map(|mode| (mode.name(), mode)))
    }

    fn write(&self) -> Option<Value> {
        Some(Value::String(self.name().to_owned()))
    }
}

/// Adds a setting to a resolved table, unless it is left out.
pub(super) fn put(table: &mut Table, field: &str, setting: &impl Setting) {
    if let Some(value) = setting.write() {
        table.insert(field.to_owned(), value);
    }
}

/// Describes the settings of a ported schedule, which implements [`Port`].
macro_rules! settings {
    (
        $(#[$doc:meta])*
        $name:ident = $type_name:literal, $summary:literal, $interval:expr;
        required { $( $(#[$need_doc:meta])* $need:ident: $need_type:ty, )+ }
        optional { $( $(#[$opt_doc:meta])* $opt:ident: $opt_type:ty = $default:expr, )* }
        example $example:literal
    ) => {
        $crate::port::settings::settings! {
            @common $(#[$doc])* $name, $type_name, $summary, $interval,
            { $( $(#[$need_doc])* $need: $need_type, )+ }
            { $( $(#[$opt_doc])* $opt: $opt_type = $default, )* }
            $example
        }

        impl $name {
            /// The reference's defaults for everything that is not given here.
            pub fn new($( $need: impl Into<$need_type> ),+) -> Self {
                Self { $( $need: $need.into(), )+ $( $opt: $default, )* }
            }
        }
    };
    (
        $(#[$doc:meta])*
        $name:ident = $type_name:literal, $summary:literal, $interval:expr;
        optional { $( $(#[$opt_doc:meta])* $opt:ident: $opt_type:ty = $default:expr, )* }
        example $example:literal
    ) => {
        $crate::port::settings::settings! {
            @common $(#[$doc])* $name, $type_name, $summary, $interval,
            { }
            { $( $(#[$opt_doc])* $opt: $opt_type = $default, )* }
            $example
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $opt: $default, )* }
            }
        }
    };
    (
        @common $(#[$doc:meta])* $name:ident, $type_name:literal, $summary:literal, $interval:expr,
        { $( $(#[$need_doc:meta])* $need:ident: $need_type:ty, )* }
        { $( $(#[$opt_doc:meta])* $opt:ident: $opt_type:ty = $default:expr, )* }
        $example:literal
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[$need_doc])* pub $need: $need_type, )*
            $( $(#[$opt_doc])* pub $opt: $opt_type, )*
        }

        impl $name {
            pub(crate) fn entry() -> $crate::Entry {
                const FIELDS: &[&str] = &[$( stringify!($need), )* $( stringify!($opt), )*];
                $crate::Entry::new($type_name, $summary, $interval, FIELDS, $example, Self::read)
            }

            fn read(
                fields: &strict_config::Fields<'_>,
                scope: &$crate::Scope<'_>,
            ) -> Result<Self, strict_config::ConfigError> {
                use $crate::port::settings::Setting;
                Ok(Self {
                    $( $need: <$need_type as Setting>::read(fields, stringify!($need), scope)?
                        .ok_or_else(|| fields.missing(stringify!($need), <$need_type as Setting>::EXPECTED))?, )*
                    $( $opt: <$opt_type as Setting>::read(fields, stringify!($opt), scope)?
                        .unwrap_or_else(|| $default), )*
                })
            }
        }

        impl $crate::Strategy for $name {
            fn type_name(&self) -> &'static str {
                $type_name
            }

            fn fields(&self) -> toml::Table {
                let mut table = toml::Table::new();
                $( $crate::port::settings::put(&mut table, stringify!($need), &self.$need); )*
                $( $crate::port::settings::put(&mut table, stringify!($opt), &self.$opt); )*
                table
            }

            fn check(&self) -> Result<(), strict_config::ConfigError> {
                $crate::port::settings::Port::verify(self)
            }

            fn assemble(
                &self,
                clock: &$crate::Clock,
            ) -> Result<Box<dyn $crate::Schedule>, strict_config::ConfigError> {
                $crate::port::settings::Port::schedule(self, clock)
            }

            fn default_interval(&self) -> $crate::Interval {
                $crate::port::settings::Port::clock(self).unwrap_or($interval)
            }

            fn sets_momentum(&self) -> bool {
                $crate::port::settings::Port::has_momentum(self)
            }

            fn monitor(&self) -> Option<&str> {
                $crate::port::settings::Port::watches(self)
            }
        }
    };
}
pub(super) use settings;

/// Describes a setting that is one of a few words.
macro_rules! choice {
    (
        $(#[$doc:meta])*
        $name:ident, $expected:literal { $( $(#[$variant_doc:meta])* $variant:ident = $word:literal, )+ }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name {
            $( $(#[$variant_doc])* $variant, )+
        }

        impl $name {
            /// The name in a config.
            pub fn name(self) -> &'static str {
                match self {
                    $( Self::$variant => $word, )+
                }
            }
        }

        impl $crate::port::settings::Setting for $name {
            const EXPECTED: &'static str = $expected;

            fn read(
                fields: &strict_config::Fields<'_>,
                field: &str,
                _: &$crate::Scope<'_>,
            ) -> Result<Option<Self>, strict_config::ConfigError> {
                fields.choice(field, &[$( ($word, Self::$variant), )+])
            }

            fn write(&self) -> Option<toml::Value> {
                Some(toml::Value::String(self.name().to_owned()))
            }
        }
    };
}
pub(super) use choice;
