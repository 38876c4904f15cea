//! What an event is, and the macro that declares one.

/// What a bus carries: a type whose values are of a few kinds, each with a subject.
///
/// The **kind** is a number, the place of the event in a table of handlers; the **subject** is the
/// name of that kind, which patterns match and brokers see. [`events!`](crate::events) implements
/// this trait for an enum, one kind per variant, and that is the usual way.
///
/// Implement it by hand for a type that is no enum, or whose kinds are not its variants. Then two
/// things are yours to keep: every element of [`SUBJECTS`](Self::SUBJECTS) is a valid subject and
/// stands there once, and [`kind`](Self::kind) is less than [`KINDS`](Self::KINDS).
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
    note = "for a type that is no enum, implement `tickbus::Event` by hand"
)]
pub trait Event: Sized {
    /// The subject of each kind; the index is the kind.
    const SUBJECTS: &'static [&'static str];

    /// How many kinds there are.
    ///
    /// Tables of handlers have this many rows. Leave it as it is.
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

    /// The kind of this event: an index into [`SUBJECTS`](Self::SUBJECTS).
    ///
    /// Always less than [`KINDS`](Self::KINDS), and the same at every call.
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

    /// The name of this kind of event.
    ///
    /// # Panics
    ///
    /// If a hand-written [`kind`](Self::kind) is not less than [`KINDS`](Self::KINDS).
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
/// Each enum comes out as it was written, less the `#[subject = ".."]` attributes, together with
/// its [`Event`](trait@crate::Event) implementation. Kinds are numbered from 0 in the order of the
/// variants, whatever their discriminants.
///
/// The subject may stand anywhere among the attributes of its variant; the others stay where they
/// are, on the enum, the variants and the fields. A variant that `#[cfg(..)]` leaves out leaves no
/// gap in the numbers. Enums are not generic.
///
/// Several hundred variants are fine. If there are more than a hundred and one of them has an
/// attribute that is neither `doc` nor `cfg`, the compiler may ask for a higher `recursion_limit`.
///
/// # Compile errors
///
/// A variant without a subject, or with two, a malformed subject, and two variants of one enum
/// with the same subject do not compile. Two enums may share a subject.
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
//
// - `@enum` takes an enum whose attributes on variants are all `doc`, `cfg`, `subject`, or marked
//   with an `@`. It does all variants in one step: however many, the recursion limit is far.
// - Any other enum takes a turn through `@sort`, which looks at one variant at a time, and in a
//   variant with unknown attributes at one attribute at a time, and marks the unknown ones.
//
// `cfg` is told apart because it goes on everything made of the variant, not only on the variant.
#[macro_export]
macro_rules! events {
    (@enum
        { $(#[$($outer:tt)*])* $vis:vis enum $name:ident }
        $(
            $(#[
                $(doc $($doc:tt)*)?
                $(cfg $($cfg:tt)*)?
                $(subject = $subject:literal)?
                $(@ $($other:tt)*)?
            ])*
            $variant:ident
            $({ $($named:tt)* })?
            $(( $($unnamed:tt)* ))?
            $(= $discriminant:expr)?
        ),* $(,)?
    ) => {
        $(#[$($outer)*])*
        $vis enum $name {
            $(
                $($(#[doc $($doc)*])? $(#[cfg $($cfg)*])? $(#[$($other)*])?)*
                $variant $({ $($named)* })? $(( $($unnamed)* ))? $(= $discriminant)?,
            )*
        }

        impl $crate::Event for $name {
            const SUBJECTS: &'static [&'static str] = &[
                $(
                    $($(#[cfg $($cfg)*])?)*
                    $crate::events!(@subject $name $variant $($($subject)?)*),
                )*
            ];

            #[inline]
            #[allow(deprecated, reason = "a number for a variant is no use of it")]
            fn kind(&self) -> usize {
                enum Kind {
                    $($($(#[cfg $($cfg)*])?)* $variant,)*
                }
                match *self {
                    $($($(#[cfg $($cfg)*])?)* Self::$variant { .. } => Kind::$variant as usize,)*
                }
            }
        }

        const _: () = $crate::__private::check_subjects(<$name as $crate::Event>::SUBJECTS);
    };

    (@enum { $($head:tt)* }
        $(
            $(#[$($attribute:tt)*])*
            $variant:ident
            $({ $($named:tt)* })?
            $(( $($unnamed:tt)* ))?
            $(= $discriminant:expr)?
        ),* $(,)?
    ) => {
        $crate::events! {
            @sort { $($head)* } []
            $(
                [] [$([$($attribute)*])*]
                { $variant $({ $($named)* })? $(( $($unnamed)* ))? $(= $discriminant)? }
            )*
        }
    };

    // `@sort { enum } [variants done] ([attributes done] [attributes to do] { variant })*`
    (@sort { $($head:tt)* } [$($done:tt)*]) => {
        $crate::events! { @enum { $($head)* } $($done)* }
    };
    // What is left of this variant is known.
    (@sort $head:tt [$($done:tt)*]
        [$($sorted:tt)*]
        [$([$(doc $($doc:tt)*)? $(cfg $($cfg:tt)*)? $(subject = $subject:literal)?])*]
        { $($variant:tt)* }
        $($rest:tt)*
    ) => {
        $crate::events! {
            @sort $head
            [
                $($done)*
                $($sorted)*
                $(#[$(doc $($doc)*)? $(cfg $($cfg)*)? $(subject = $subject)?])*
                $($variant)*,
            ]
            $($rest)*
        }
    };
    (@sort $head:tt $done:tt
        [$($sorted:tt)*] [[cfg $($cfg:tt)*] $($todo:tt)*] $($rest:tt)*
    ) => {
        $crate::events! { @sort $head $done [$($sorted)* #[cfg $($cfg)*]] [$($todo)*] $($rest)* }
    };
    (@sort $head:tt $done:tt
        [$($sorted:tt)*] [[subject = $subject:literal] $($todo:tt)*] $($rest:tt)*
    ) => {
        $crate::events! {
            @sort $head $done [$($sorted)* #[subject = $subject]] [$($todo)*] $($rest)*
        }
    };
    (@sort $head:tt $done:tt
        $sorted:tt [[subject $($other:tt)*] $($todo:tt)*] { $variant:ident $($body:tt)* }
        $($rest:tt)*
    ) => {
        ::core::compile_error!(::core::concat!(
            "the subject of the variant `",
            ::core::stringify!($variant),
            "` is not a string: write `#[subject = \"a.subject\"]`"
        ));
    };
    (@sort $head:tt $done:tt
        [$($sorted:tt)*] [[$($other:tt)*] $($todo:tt)*] $($rest:tt)*
    ) => {
        $crate::events! { @sort $head $done [$($sorted)* #[@ $($other)*]] [$($todo)*] $($rest)* }
    };

    (@subject $name:ident $variant:ident $subject:literal) => {
        $subject
    };
    (@subject $name:ident $variant:ident) => {
        ::core::compile_error!(::core::concat!(
            "the variant `",
            ::core::stringify!($name),
            "::",
            ::core::stringify!($variant),
            "` has no subject: write `#[subject = \"a.subject\"]` above it"
        ))
    };
    (@subject $name:ident $variant:ident $($subject:literal)+) => {
        ::core::compile_error!(::core::concat!(
            "the variant `",
            ::core::stringify!($name),
            "::",
            ::core::stringify!($variant),
            "` has more than one subject: keep one, or make it several variants"
        ))
    };

    ($(
        $(#[$($outer:tt)*])*
        $vis:vis enum $name:ident { $($variants:tt)* }
    )+) => {
        $($crate::events! { @enum { $(#[$($outer)*])* $vis enum $name } $($variants)* })+
    };
}

/// What the expansion of [`events!`](crate::events) calls.
#[doc(hidden)]
pub mod __private {
    use crate::subject::check_subject;

    /// Panics unless each of `subjects` is one, and stands there once.
    #[track_caller]
    pub const fn check_subjects(subjects: &[&str]) {
        let mut at = 0;
        while at < subjects.len() {
            let subject = subjects[at];
            if let Err(invalid) = check_subject(subject) {
                refuse(&["`", subject, "`: ", invalid.message()]);
            }
            let mut other = 0;
            while other < at {
                if same(subject.as_bytes(), subjects[other].as_bytes()) {
                    refuse(&[
                        "`",
                        subject,
                        "`: two variants have this subject: give each one of its own",
                    ]);
                }
                other += 1;
            }
            at += 1;
        }
    }

    // From the end: subjects of one enum begin alike, and the compiler counts the steps.
    const fn same(left: &[u8], right: &[u8]) -> bool {
        let mut at = left.len();
        if at != right.len() {
            return false;
        }
        while at > 0 {
            at -= 1;
            if left[at] != right[at] {
                return false;
            }
        }
        true
    }

    // `panic!` does not format at compile time; this puts the parts together by hand. A part that
    // does not fit is left out whole.
    #[track_caller]
    const fn refuse(parts: &[&str]) -> ! {
        let mut text = [0; 1280];
        let mut len = 0;
        let mut part = 0;
        while part < parts.len() {
            let bytes = parts[part].as_bytes();
            if bytes.len() <= text.len() - len {
                text.split_at_mut(len).1.split_at_mut(bytes.len()).0.copy_from_slice(bytes);
                len += bytes.len();
            }
            part += 1;
        }
        match core::str::from_utf8(text.split_at(len).0) {
            Ok(text) => panic!("{}", text),
            Err(_) => unreachable!(), // whole parts, each UTF-8
        }
    }
}
