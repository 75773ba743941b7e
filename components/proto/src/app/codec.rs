//! Codecs from lists of fields.

/// Both codecs of a type, from one list of its fields: the field, how it is read from the struct of the schema and how it is
/// written there. Fields that are structs, groups, lists of structs, or structs that may be missing, are listed apart. `as CODEC` says that a field's form is not the usual one of its type ([`crate::app::Field`]).
macro_rules! codec {
    (@codec, $method:ident, $value:expr) => { <$crate::app::field::Plain as $crate::app::field::As<_>>::$method($value) };
    (@codec $codec:ident, $method:ident, $value:expr) => { <$crate::app::field::$codec as $crate::app::field::As<_>>::$method($value) };
    (
        $type:ty as $($wire:ident)::+ {
            $(fields { $($field:ident $(as $codec:ident)?: $get:ident, $set:ident;)* })?
            $(groups { $($group:ident: $get_group:ident, $init_group:ident;)* })?
            $(structs { $($part:ident: $get_part:ident, $init_part:ident;)* })?
            $(options { $($option:ident: $has_option:ident, $get_option:ident, $init_option:ident;)* })?
            $(lists { $($list:ident: $get_list:ident, $init_list:ident, $max:expr, $what:literal;)* })?
        }
    ) => {
        impl $crate::app::message::Message for $type {
            type Wire = $crate::wire::app_capnp::$($wire)::+::Owned;

            #[allow(unused_mut, reason = "not every type has a field of every kind")]
            fn write(&self, mut builder: $crate::wire::app_capnp::$($wire)::+::Builder<'_>) {
                $($(builder.$set($crate::app::codec::codec!(@codec $($codec)?, write, &self.$field));)*)?
                $($($crate::app::message::Message::write(&self.$group, builder.reborrow().$init_group());)*)?
                $($($crate::app::message::Message::write(&self.$part, builder.reborrow().$init_part());)*)?
                $($(if let Some(value) = &self.$option {
                    $crate::app::message::Message::write(value, builder.reborrow().$init_option());
                })*)?
                $($(
                    let length = $crate::app::message::length(&self.$list);
                    $crate::app::message::write_list(&self.$list, builder.reborrow().$init_list(length));
                )*)?
            }

            fn read(
                reader: $crate::wire::app_capnp::$($wire)::+::Reader<'_>,
            ) -> Result<Self, $crate::app::message::MessageError> {
                Ok(Self {
                    $($($field: $crate::app::codec::codec!(@codec $($codec)?, read, reader.$get())?,)*)?
                    $($($group: $crate::app::message::Message::read(reader.$get_group())?,)*)?
                    $($($part: $crate::app::message::Message::read(reader.$get_part()?)?,)*)?
                    $($($option: if reader.$has_option() {
                        Some($crate::app::message::Message::read(reader.$get_option()?)?)
                    } else {
                        None
                    },)*)?
                    $($($list: $crate::app::message::read_bounded_list(reader.$get_list()?, $max, $what)?,)*)?
                })
            }
        }
    };
}
pub(crate) use codec;
