//! How values become bytes and come back.
//!
//! Messages are decoded by a process that has every privilege and cannot allocate, so decoding copies nothing, checks
//! every length against what is left, and never panics: integers are little-endian, a string is its length, its bytes
//! and a NUL, a list is its count, its length in bytes and its items one after another.

use core::ffi::CStr;

/// The message cannot be decoded: it ends early, or has a value that nothing encodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Takes values off the front of a message.
#[derive(Clone)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// Reads from the beginning of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader(bytes)
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Malformed> {
        let (head, tail) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn length(&mut self) -> Result<usize, Malformed> {
        usize::try_from(u32::get(self)?).map_err(|_| Malformed)
    }

    /// Whether everything was taken.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where encoded bytes go.
pub trait Sink {
    /// Appends `bytes`.
    fn put(&mut self, bytes: &[u8]);
}

/// A value that can be said.
pub trait Wire<'a>: Sized {
    /// Decodes one from the front of `reader`.
    fn get(reader: &mut Reader<'a>) -> Result<Self, Malformed>;
    /// Encodes it.
    fn put(&self, sink: &mut impl Sink);
}

macro_rules! integers {
    ($($int:ty),*) => {$(
        impl Wire<'_> for $int {
            fn get(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
                Ok(<$int>::from_le_bytes(reader.array()?))
            }
            fn put(&self, sink: &mut impl Sink) {
                sink.put(&self.to_le_bytes());
            }
        }
    )*};
}
integers!(u8, u16, u32, u64, i32, i64);

impl Wire<'_> for bool {
    fn get(reader: &mut Reader<'_>) -> Result<bool, Malformed> {
        match u8::get(reader)? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(Malformed),
        }
    }
    fn put(&self, sink: &mut impl Sink) {
        sink.put(&[u8::from(*self)]);
    }
}

impl<'a> Wire<'a> for &'a CStr {
    fn get(reader: &mut Reader<'a>) -> Result<&'a CStr, Malformed> {
        let length = reader.length()?.checked_add(1).ok_or(Malformed)?;
        CStr::from_bytes_with_nul(reader.take(length)?).map_err(|_| Malformed)
    }
    fn put(&self, sink: &mut impl Sink) {
        length(self.count_bytes(), sink);
        sink.put(self.to_bytes_with_nul());
    }
}

impl<'a> Wire<'a> for &'a [u8] {
    fn get(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
        let length = reader.length()?;
        reader.take(length)
    }
    fn put(&self, sink: &mut impl Sink) {
        length(self.len(), sink);
        sink.put(self);
    }
}

impl<'a, T: Wire<'a>> Wire<'a> for Option<T> {
    fn get(reader: &mut Reader<'a>) -> Result<Option<T>, Malformed> {
        Ok(if bool::get(reader)? { Some(T::get(reader)?) } else { None })
    }
    fn put(&self, sink: &mut impl Sink) {
        self.is_some().put(sink);
        if let Some(value) = self {
            value.put(sink);
        }
    }
}

/// Lengths above 4 GiB saturate: such a message could not be sent, and the decoder refuses it.
fn length(count: usize, sink: &mut impl Sink) {
    u32::try_from(count).unwrap_or(u32::MAX).put(sink);
}

/// A list whose items are decoded as it is walked.
pub struct List<'a, T> {
    count: u32,
    items: &'a [u8],
    of: core::marker::PhantomData<T>,
}

impl<T> Clone for List<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for List<'_, T> {}

impl<'a, T: Wire<'a>> List<'a, T> {
    /// A list of `count` items, encoded one after another in `items`.
    pub fn encoded(count: u32, items: &'a [u8]) -> List<'a, T> {
        List { count, items, of: core::marker::PhantomData }
    }

    /// How many items it has.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The items; they were all decoded once when the list was, so none is malformed.
    pub fn iter(&self) -> impl Iterator<Item = T> + Clone + use<'a, T> {
        let mut reader = Reader(self.items);
        (0..self.count).map_while(move |_| T::get(&mut reader).ok())
    }
}

impl<'a, T: Wire<'a>> Wire<'a> for List<'a, T> {
    fn get(reader: &mut Reader<'a>) -> Result<List<'a, T>, Malformed> {
        let count = u32::get(reader)?;
        let items: &'a [u8] = Wire::get(reader)?;
        let mut walk = Reader(items);
        for _ in 0..count {
            T::get(&mut walk)?;
        }
        if walk.is_empty() { Ok(List::encoded(count, items)) } else { Err(Malformed) }
    }
    fn put(&self, sink: &mut impl Sink) {
        self.count.put(sink);
        self.items.put(sink);
    }
}

/// A struct whose fields go over the wire in order.
macro_rules! wire_struct {
    ($(#[$doc:meta])* $name:ident $(<$life:lifetime>)? { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy)]
        pub struct $name $(<$life>)? { $($(#[$field_doc])* pub $field: $type,)* }

        wire_struct!(@impl $name ($($life)?) { $($field: $type,)* });
    };
    (@impl $name:ident () { $($field:ident: $type:ty,)* }) => {
        impl Wire<'_> for $name {
            fn get(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
                Ok($name { $($field: <$type as Wire<'_>>::get(reader)?,)* })
            }
            fn put(&self, sink: &mut impl Sink) {
                $(self.$field.put(sink);)*
            }
        }
    };
    (@impl $name:ident ($life:lifetime) { $($field:ident: $type:ty,)* }) => {
        impl<$life> Wire<$life> for $name<$life> {
            fn get(reader: &mut Reader<$life>) -> Result<Self, Malformed> {
                Ok($name { $($field: <$type as Wire<$life>>::get(reader)?,)* })
            }
            fn put(&self, sink: &mut impl Sink) {
                $(self.$field.put(sink);)*
            }
        }
    };
}

/// An enum without data that goes over the wire as its number.
macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every variant, in order.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
        }

        impl Wire<'_> for $name {
            fn get(reader: &mut Reader<'_>) -> Result<Self, Malformed> {
                $name::ALL.get(usize::from(u8::get(reader)?)).copied().ok_or(Malformed)
            }
            fn put(&self, sink: &mut impl Sink) {
                (*self as u8).put(sink);
            }
        }
    };
}
