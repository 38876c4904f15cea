//! Events: the trait, and the macro that declares one.

mod index;
mod text;

pub(crate) use index::{Index, Indexed, Segments};
pub(crate) use text::Text;

/// A type of events whose values are of a few kinds, each with a subject.
///
/// The **kind** is a number, which a table of handlers is indexed by. The **subject** is the name of the
/// kind, which patterns match and brokers see. Usually [`events!`](crate::events) implements this trait for
/// an enum, with one kind for each variant.
///
/// Implement it by hand for a type that is not an enum, or whose kinds are not its variants. Then make sure
/// that every element of [`SUBJECTS`](Self::SUBJECTS) is a valid subject and occurs once, and that
/// [`kind`](Self::kind) is less than [`KINDS`](Self::KINDS).
///
/// # Examples
///
/// A struct with two kinds. `from_static` has the compiler check the subjects:
///
/// ```
/// use tickbus::{Event, Subject};
///
/// struct Button {
///     id: u8,
///     down: bool,
/// }
///
/// impl Event for Button {
///     const SUBJECTS: &'static [&'static str] = &[
///         Subject::from_static("input.button.released").as_str(),
///         Subject::from_static("input.button.pressed").as_str(),
///     ];
///
///     fn kind(&self) -> usize {
///         usize::from(self.down)
///     }
/// }
///
/// assert_eq!(Button::KINDS, 2);
/// assert_eq!(Button { id: 7, down: true }.subject(), "input.button.pressed");
/// ```
///
/// A kind outside the table has no subject, and asking for it panics:
///
/// ```should_panic
/// # use tickbus::Event;
/// struct Level(u16);
///
/// impl Event for Level {
///     const SUBJECTS: &'static [&'static str] = &["level.low", "level.high"];
///
///     fn kind(&self) -> usize {
///         usize::from(self.0 / 1000)
///     }
/// }
///
/// assert_eq!(Level(1999).subject(), "level.high");
/// Level(2000).subject(); // kind 2 of 2
/// ```
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an event",
    label = "not an event",
    note = "declare the enum inside `tickbus::events! {{ .. }}`, \
            with a `#[subject = \"..\"]` on each variant",
    note = "for a type that is not an enum, implement `tickbus::Event` by hand"
)]
pub trait Event: Sized {
    /// The subject of each kind. The index is the kind.
    const SUBJECTS: &'static [&'static str];

    /// The number of kinds, and of rows in a table of handlers.
    ///
    /// Do not set it in an implementation.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Event;
    ///
    /// tickbus::events! {
    ///     enum Lamp {
    ///         #[subject = "lamp.on"]  On,
    ///         #[subject = "lamp.off"] Off,
    ///     }
    /// }
    ///
    /// let seen = [0_u32; Lamp::KINDS]; // a counter for each
    /// assert_eq!(seen.len(), 2);
    /// ```
    const KINDS: usize = Self::SUBJECTS.len();

    /// Returns the kind of this event: an index into [`SUBJECTS`](Self::SUBJECTS).
    ///
    /// It is less than [`KINDS`](Self::KINDS), and the same at every call.
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Event;
    ///
    /// tickbus::events! {
    ///     enum Lamp {
    ///         #[subject = "lamp.on"]  On = 200,
    ///         #[subject = "lamp.off"] Off = 100,
    ///     }
    /// }
    ///
    /// assert_eq!(Lamp::On.kind(), 0); // the order counts, not the discriminant
    /// assert_eq!(Lamp::Off.kind(), 1);
    /// ```
    fn kind(&self) -> usize;

    /// Returns the subject of this event's kind.
    ///
    /// # Panics
    ///
    /// Panics if a hand-written [`kind`](Self::kind) is not less than [`KINDS`](Self::KINDS).
    ///
    /// # Examples
    ///
    /// ```
    /// use tickbus::Event;
    ///
    /// tickbus::events! {
    ///     enum Lamp {
    ///         #[subject = "lamp.dimmed"] Dimmed { percent: u8 },
    ///     }
    /// }
    ///
    /// // The kind decides, not what the event holds.
    /// assert_eq!(Lamp::Dimmed { percent: 5 }.subject(), Lamp::Dimmed { percent: 95 }.subject());
    /// ```
    fn subject(&self) -> &'static str {
        Self::SUBJECTS[self.kind()]
    }
}

/// Declares enums and makes them events: one variant is one kind, with the subject written on it.
///
/// The macro writes each enum without its `#[subject = ".."]` attributes, and implements
/// [`Event`](trait@crate::Event) for it. Kinds are numbered from 0 in the order of the variants. Their
/// discriminants do not matter.
///
/// The subject may stand anywhere among the attributes of its variant. The macro keeps all other attributes, on
/// the enum, the variants and the fields. A variant that `#[cfg(..)]` leaves out leaves no gap in the numbers.
/// The enums cannot be generic.
///
/// The enum gets constants `KINDS` and `SUBJECTS` of its own, so you need not import the trait.
///
/// An enum may have a thousand variants. On variants, the macro knows the attributes `allow`, `cfg`,
/// `cfg_attr`, `default`, `deny`, `deprecated`, `display`, `doc`, `error`, `expect`, `forbid`, `from`,
/// `non_exhaustive`, `reflect`, `rustfmt`, `serde`, `strum` and `warn`. Any other works too, but the
/// compiler may ask for a higher `recursion_limit` if there are more than about fifty variants. Then write
/// `#[cfg_attr(all(), name)]` instead of `#[name]`.
///
/// # Compile errors
///
/// These do not compile: a variant without a subject or with two, a malformed subject, and two variants of one
/// enum with the same subject. Two enums may share a subject.
///
/// # Examples
///
/// ```
/// use tickbus::Event;
///
/// tickbus::events! {
///     /// What the board tells the game.
///     #[derive(Clone, Copy, Debug, PartialEq)]
///     pub enum Input {
///         /// A button went down.
///         #[subject = "input.button.pressed"]
///         Pressed(u8),
///         #[subject = "input.tilt"]
///         /// How the board is held.
///         Tilt { x: i16, y: i16 },
///     }
///
///     /// What the game tells the board.
///     enum Output {
///         #[subject = "output.beep"] Beep,
///     }
/// }
///
/// assert_eq!(Input::SUBJECTS, ["input.button.pressed", "input.tilt"]);
/// assert_eq!(Input::Tilt { x: 3, y: -4 }.kind(), 1);
/// assert_eq!(Output::Beep.kind(), 0); // each enum counts for itself
/// ```
///
/// A subject belongs to one variant. This does not compile:
///
/// ```compile_fail
/// tickbus::events! {
///     enum Input {
///         #[subject = "input.button"] Pressed,
///         #[subject = "input.button"] Released,
///     }
/// }
/// ```
// The subject attribute has to go, wherever it stands, and everything else has to stay. A macro
// cannot match "any attribute but `subject`", so each attribute has to be told by its first word:
// `cfg`, which goes on everything made of the variant; `subject`; others that are common; and those
// that `@mark` has put an `@` before. A step of `@mark` looks at one attribute, and the recursion
// limit counts steps: without it there are two steps for 64 variants.
//
// A matcher with alternatives copies what it has matched so far, again and again. That is why one
// step does not take all variants: a thousand would take seconds.
//
// Names from outside come through `__private`: the caller may have a type `usize`, or a crate `core`.
#[macro_export]
macro_rules! events {
    // Makes each variant one token tree.
    (@enum $name:ident $head:tt
        $(
            $(#$attribute:tt)*
            $variant:ident
            $({ $($named:tt)* })?
            $(( $($unnamed:tt)* ))?
            $(= $discriminant:expr)?
        ),* $(,)?
    ) => {
        $crate::events! {
            @take $name $head []
            $({
                [$($attribute)*]
                $variant $({ $($named)* })? $(( $($unnamed)* ))? $(= $discriminant)?
            })*
        }
    };

    // `@take Name { enum } [parts done] { [attributes] variant }*` takes 64 variants, or the rest.
    (@take $name:ident { $($head:tt)* } [$({
        { $($variant:tt)* }
        { $($subject:tt)* }
        { $($kind:tt)* }
        { $($arm:tt)* }
    })*]) => {
        $($head)* {
            $($($variant)*)*
        }

        impl $name {
            /// The number of kinds, as in `tickbus::Event`.
            pub const KINDS: $crate::event::__private::core::primitive::usize =
                <Self as $crate::event::Event>::KINDS;

            /// The subject of each kind, as in `tickbus::Event`; the index is the kind.
            pub const SUBJECTS: &'static [&'static $crate::event::__private::core::primitive::str] =
                <Self as $crate::event::Event>::SUBJECTS;
        }

        impl $crate::event::Event for $name {
            const SUBJECTS: &'static [&'static $crate::event::__private::core::primitive::str] = &[
                $($($subject)*)*
            ];

            #[inline]
            fn kind(&self) -> $crate::event::__private::core::primitive::usize {
                enum Kind {
                    $($($kind)*)*
                }
                match *self {
                    $($($arm)*)*
                }
            }
        }

        const _: &$crate::event::__private::Index<{ <$name as $crate::event::Event>::KINDS }> =
            $crate::event::__private::Indexed::<$name, { <$name as $crate::event::Event>::KINDS }>::get();
    };
    (@take $name:ident $head:tt $done:tt
        $v00:tt $v01:tt $v02:tt $v03:tt $v04:tt $v05:tt $v06:tt $v07:tt $v08:tt $v09:tt $v10:tt
        $v11:tt $v12:tt $v13:tt $v14:tt $v15:tt $v16:tt $v17:tt $v18:tt $v19:tt $v20:tt $v21:tt
        $v22:tt $v23:tt $v24:tt $v25:tt $v26:tt $v27:tt $v28:tt $v29:tt $v30:tt $v31:tt $v32:tt
        $v33:tt $v34:tt $v35:tt $v36:tt $v37:tt $v38:tt $v39:tt $v40:tt $v41:tt $v42:tt $v43:tt
        $v44:tt $v45:tt $v46:tt $v47:tt $v48:tt $v49:tt $v50:tt $v51:tt $v52:tt $v53:tt $v54:tt
        $v55:tt $v56:tt $v57:tt $v58:tt $v59:tt $v60:tt $v61:tt $v62:tt $v63:tt
        $($rest:tt)*
    ) => {
        $crate::events! {
            @chunk $name $head $done
            [
                $v00 $v01 $v02 $v03 $v04 $v05 $v06 $v07 $v08 $v09 $v10 $v11 $v12 $v13 $v14 $v15 $v16
                $v17 $v18 $v19 $v20 $v21 $v22 $v23 $v24 $v25 $v26 $v27 $v28 $v29 $v30 $v31 $v32 $v33
                $v34 $v35 $v36 $v37 $v38 $v39 $v40 $v41 $v42 $v43 $v44 $v45 $v46 $v47 $v48 $v49 $v50
                $v51 $v52 $v53 $v54 $v55 $v56 $v57 $v58 $v59 $v60 $v61 $v62 $v63
            ]
            $($rest)*
        }
    };
    (@take $name:ident $head:tt $done:tt $($chunk:tt)*) => {
        $crate::events! { @chunk $name $head $done [$($chunk)*] }
    };

    // `@chunk Name { enum } [parts done] [{ [attributes] variant }*] rest` makes a part.
    (@chunk $name:ident $head:tt [$($done:tt)*]
        [$({
            [$([
                $(cfg $($cfg:tt)*)?
                $(deprecated $($deprecated:tt)*)?
                $(allow $($allow:tt)*)?
                $(cfg_attr $($cfg_attr:tt)*)?
                $(default $($default:tt)*)?
                $(deny $($deny:tt)*)?
                $(display $($display:tt)*)?
                $(error $($error:tt)*)?
                $(expect $($expect:tt)*)?
                $(forbid $($forbid:tt)*)?
                $(from $($from:tt)*)?
                $(non_exhaustive $($non_exhaustive:tt)*)?
                $(reflect $($reflect:tt)*)?
                $(rustfmt $($rustfmt:tt)*)?
                $(serde $($serde:tt)*)?
                $(strum $($strum:tt)*)?
                $(warn $($warn:tt)*)?
                $(@ $($other:tt)*)?
                $(subject = $subject:literal)?
                $(doc $($doc:tt)*)?
            ])*]
            $variant:ident $($shape:tt)*
        })*]
        $($rest:tt)*
    ) => {
        $crate::events! {
            @take $name $head
            [
                $($done)*
                {
                    {$(
                        $(
                            $(#[doc $($doc)*])?
                            $(#[cfg $($cfg)*])?
                            $(#[deprecated $($deprecated)*])?
                            $(#[allow $($allow)*])?
                            $(#[cfg_attr $($cfg_attr)*])?
                            $(#[default $($default)*])?
                            $(#[deny $($deny)*])?
                            $(#[display $($display)*])?
                            $(#[error $($error)*])?
                            $(#[expect $($expect)*])?
                            $(#[forbid $($forbid)*])?
                            $(#[from $($from)*])?
                            $(#[non_exhaustive $($non_exhaustive)*])?
                            $(#[reflect $($reflect)*])?
                            $(#[rustfmt $($rustfmt)*])?
                            $(#[serde $($serde)*])?
                            $(#[strum $($strum)*])?
                            $(#[warn $($warn)*])?
                            $(#[$($other)*])?
                        )*
                        $variant $($shape)*,
                    )*}
                    {$(
                        $($(#[cfg $($cfg)*])?)*
                        $crate::events!(@subject $name $variant $($($subject)?)*),
                    )*}
                    {$(
                        $($(#[cfg $($cfg)*])?)*
                        $variant,
                    )*}
                    {$(
                        $(
                            $(#[cfg $($cfg)*])?
                            $(
                                #[allow(deprecated, reason = "a number for a variant is no use of it")]
                                #[cfg_attr(any(), deprecated $($deprecated)*)]
                            )?
                        )*
                        Self::$variant { .. } => Kind::$variant as $crate::event::__private::core::primitive::usize,
                    )*}
                }
            ]
            $($rest)*
        }
    };
    // One of them has an attribute that is not known.
    (@chunk $name:ident $head:tt $done:tt
        [$({ [$($attribute:tt)*] $($variant:tt)* })*] $($rest:tt)*
    ) => {
        $crate::events! {
            @mark $name $head $done [] [$([] [$($attribute)*] { $($variant)* })*] $($rest)*
        }
    };

    // `@mark .. [variants done] [([attributes done] [attributes to do] { variant })*] rest`
    (@mark $name:ident $head:tt $done:tt $marked:tt [] $($rest:tt)*) => {
        $crate::events! { @chunk $name $head $done $marked $($rest)* }
    };
    // What is left of this variant is known.
    (@mark $name:ident $head:tt $done:tt [$($marked:tt)*]
        [
            [$($sorted:tt)*]
            [$([
                $(cfg $($cfg:tt)*)?
                $(deprecated $($deprecated:tt)*)?
                $(allow $($allow:tt)*)?
                $(cfg_attr $($cfg_attr:tt)*)?
                $(default $($default:tt)*)?
                $(deny $($deny:tt)*)?
                $(display $($display:tt)*)?
                $(error $($error:tt)*)?
                $(expect $($expect:tt)*)?
                $(forbid $($forbid:tt)*)?
                $(from $($from:tt)*)?
                $(non_exhaustive $($non_exhaustive:tt)*)?
                $(reflect $($reflect:tt)*)?
                $(rustfmt $($rustfmt:tt)*)?
                $(serde $($serde:tt)*)?
                $(strum $($strum:tt)*)?
                $(warn $($warn:tt)*)?
                $(subject = $subject:literal)?
                $(doc $($doc:tt)*)?
            ])*]
            { $($variant:tt)* }
            $($todo:tt)*
        ]
        $($rest:tt)*
    ) => {
        $crate::events! {
            @mark $name $head $done
            [
                $($marked)*
                {
                    [
                        $($sorted)*
                        $([
                            $(doc $($doc)*)?
                            $(cfg $($cfg)*)?
                            $(deprecated $($deprecated)*)?
                            $(allow $($allow)*)?
                            $(cfg_attr $($cfg_attr)*)?
                            $(default $($default)*)?
                            $(deny $($deny)*)?
                            $(display $($display)*)?
                            $(error $($error)*)?
                            $(expect $($expect)*)?
                            $(forbid $($forbid)*)?
                            $(from $($from)*)?
                            $(non_exhaustive $($non_exhaustive)*)?
                            $(reflect $($reflect)*)?
                            $(rustfmt $($rustfmt)*)?
                            $(serde $($serde)*)?
                            $(strum $($strum)*)?
                            $(warn $($warn)*)?
                            $(subject = $subject)?
                        ])*
                    ]
                    $($variant)*
                }
            ]
            [$($todo)*]
            $($rest)*
        }
    };
    (@mark $name:ident $head:tt $done:tt $marked:tt
        [[$($sorted:tt)*] [[cfg $($cfg:tt)*] $($attribute:tt)*] $($todo:tt)*]
        $($rest:tt)*
    ) => {
        $crate::events! {
            @mark $name $head $done $marked
            [[$($sorted)* [cfg $($cfg)*]] [$($attribute)*] $($todo)*]
            $($rest)*
        }
    };
    (@mark $name:ident $head:tt $done:tt $marked:tt
        [[$($sorted:tt)*] [[deprecated $($deprecated:tt)*] $($attribute:tt)*] $($todo:tt)*]
        $($rest:tt)*
    ) => {
        $crate::events! {
            @mark $name $head $done $marked
            [[$($sorted)* [deprecated $($deprecated)*]] [$($attribute)*] $($todo)*]
            $($rest)*
        }
    };
    (@mark $name:ident $head:tt $done:tt $marked:tt
        [[$($sorted:tt)*] [[subject = $subject:literal] $($attribute:tt)*] $($todo:tt)*]
        $($rest:tt)*
    ) => {
        $crate::events! {
            @mark $name $head $done $marked
            [[$($sorted)* [subject = $subject]] [$($attribute)*] $($todo)*]
            $($rest)*
        }
    };
    (@mark $name:ident $head:tt $done:tt $marked:tt
        [$sorted:tt [[subject $($other:tt)*] $($attribute:tt)*] { $variant:ident $($shape:tt)* } $($todo:tt)*]
        $($rest:tt)*
    ) => {
        $crate::event::__private::core::compile_error!($crate::event::__private::core::concat!(
            "the subject of the variant `",
            $crate::event::__private::core::stringify!($name),
            "::",
            $crate::event::__private::core::stringify!($variant),
            "` is not a string: write `#[subject = \"a.subject\"]`"
        ));
    };
    (@mark $name:ident $head:tt $done:tt $marked:tt
        [[$($sorted:tt)*] [[$($other:tt)*] $($attribute:tt)*] $($todo:tt)*]
        $($rest:tt)*
    ) => {
        $crate::events! {
            @mark $name $head $done $marked
            [[$($sorted)* [@ $($other)*]] [$($attribute)*] $($todo)*]
            $($rest)*
        }
    };

    (@subject $name:ident $variant:ident $subject:literal) => {
        $subject
    };
    (@subject $name:ident $variant:ident) => {
        $crate::event::__private::core::compile_error!($crate::event::__private::core::concat!(
            "the variant `",
            $crate::event::__private::core::stringify!($name),
            "::",
            $crate::event::__private::core::stringify!($variant),
            "` has no subject: write `#[subject = \"a.subject\"]` above it"
        ))
    };
    (@subject $name:ident $variant:ident $($subject:literal)+) => {
        $crate::event::__private::core::compile_error!($crate::event::__private::core::concat!(
            "the variant `",
            $crate::event::__private::core::stringify!($name),
            "::",
            $crate::event::__private::core::stringify!($variant),
            "` has more than one subject: keep one, or make it several variants"
        ))
    };

    ($(
        $(#[$($outer:tt)*])*
        $vis:vis enum $name:ident { $($variants:tt)* }
    )+) => {
        $($crate::events! { @enum $name { $(#[$($outer)*])* $vis enum $name } $($variants)* })+
    };

    // What is none of that, and why.
    ($(#[$($outer:tt)*])* $vis:vis enum $name:ident < $($rest:tt)*) => {
        $crate::event::__private::core::compile_error!($crate::event::__private::core::concat!(
            "the events `",
            $crate::event::__private::core::stringify!($name),
            "` have generic parameters, which `events!` does not take: name the types and lifetimes, or \
             implement `Event` by hand"
        ));
    };
    ($(#[$($outer:tt)*])* $vis:vis struct $name:ident $($rest:tt)*) => {
        $crate::event::__private::core::compile_error!($crate::event::__private::core::concat!(
            "`",
            $crate::event::__private::core::stringify!($name),
            "` is a struct, and `events!` takes enums alone: put it in a variant, or implement `Event` by hand"
        ));
    };
    () => {
        $crate::event::__private::core::compile_error!(
            "`events!` is empty: write an enum in it, as in `enum Input { #[subject = \"key\"] Key }`"
        );
    };
}

/// The names that [`events!`](crate::events) expands to.
#[doc(hidden)]
pub mod __private {
    pub use super::index::{Index, Indexed};
    pub use ::core;
}
