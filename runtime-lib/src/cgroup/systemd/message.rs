//! D-Bus messages (the D-Bus specification, *Message Protocol*): just the types that systemd's manager is spoken to with.

use crate::plan::cgroup::Value;

/// `METHOD_CALL`, `METHOD_RETURN`, `ERROR`, `SIGNAL`.
pub(super) const CALL: u8 = 1;
pub(super) const RETURN: u8 = 2;
pub(super) const ERROR: u8 = 3;
pub(super) const SIGNAL: u8 = 4;

/// The fixed part of a message, up to and including the length of the header fields.
pub(super) const FIXED: usize = 16;
/// A longer message is not one that we asked for.
pub(super) const LONGEST: usize = 1 << 20;

/// Values in the wire format, in this machine's byte order, which is little endian (both architectures).
#[derive(Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    fn align(&mut self, to: usize) {
        self.bytes.resize(self.bytes.len().next_multiple_of(to), 0);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.align(4);
        self.bytes.extend(value.to_le_bytes());
    }

    fn u64(&mut self, value: u64) {
        self.align(8);
        self.bytes.extend(value.to_le_bytes());
    }

    /// A string or an object path.
    pub(super) fn text(&mut self, text: &str) {
        self.u32(text.len() as u32);
        self.bytes.extend(text.bytes());
        self.bytes.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.bytes.push(text.len() as u8);
        self.bytes.extend(text.bytes());
        self.bytes.push(0);
    }

    /// An array, whose elements begin at multiples of `alignment`.
    pub(super) fn array(&mut self, alignment: usize, elements: impl FnOnce(&mut Writer)) {
        self.u32(0);
        let length_at = self.bytes.len() - 4;
        self.align(alignment);
        let begin = self.bytes.len();
        elements(self);
        let length = (self.bytes.len() - begin) as u32;
        if let Some(place) = self.bytes.get_mut(length_at..length_at + 4) {
            place.copy_from_slice(&length.to_le_bytes());
        }
    }

    fn variant(&mut self, value: &Value) {
        match value {
            Value::Text(text) => {
                self.signature("s");
                self.text(text);
            }
            Value::Bool(value) => {
                self.signature("b");
                self.u32((*value).into());
            }
            Value::I32(value) => {
                self.signature("i");
                self.u32(*value as u32);
            }
            Value::U32(value) => {
                self.signature("u");
                self.u32(*value);
            }
            Value::I64(value) => {
                self.signature("x");
                self.u64(*value as u64);
            }
            Value::U64(value) => {
                self.signature("t");
                self.u64(*value);
            }
            Value::Texts(texts) => {
                self.signature("as");
                self.array(4, |w| texts.iter().for_each(|text| w.text(text)));
            }
            Value::Bytes(bytes) => {
                self.signature("ay");
                self.array(1, |w| w.bytes.extend(bytes));
            }
            Value::Pids(pids) => {
                self.signature("au");
                self.array(4, |w| pids.iter().for_each(|pid| w.u32(*pid)));
            }
            Value::Rates(rates) => {
                self.signature("a(st)");
                self.array(8, |w| {
                    for (path, rate) in rates {
                        w.align(8);
                        w.text(path);
                        w.u64(*rate);
                    }
                });
            }
            Value::Pairs(pairs) => {
                self.signature("a(ss)");
                self.array(8, |w| {
                    for (first, second) in pairs {
                        w.align(8);
                        w.text(first);
                        w.text(second);
                    }
                });
            }
        }
    }

    /// `a(sv)`
    pub(super) fn properties(&mut self, properties: &[(String, Value)]) {
        self.array(8, |w| {
            for (name, value) in properties {
                w.align(8);
                w.text(name);
                w.variant(value);
            }
        });
    }
}

/// What is called.
pub(super) struct Method<'a> {
    pub(super) destination: &'a str,
    pub(super) path: &'a str,
    pub(super) interface: &'a str,
    pub(super) member: &'a str,
    /// The types of the arguments.
    pub(super) signature: &'a str,
}

/// A whole method call.
pub(super) fn call(serial: u32, method: &Method<'_>, body: &[u8]) -> Vec<u8> {
    let mut w = Writer { bytes: vec![b'l', CALL, 0, 1] };
    w.u32(body.len() as u32);
    w.u32(serial);
    w.array(8, |w| {
        let fields =
            [(1, "o", method.path), (2, "s", method.interface), (3, "s", method.member), (6, "s", method.destination)];
        for (code, kind, text) in fields {
            w.align(8);
            w.bytes.push(code);
            w.signature(kind);
            w.text(text);
        }
        if !method.signature.is_empty() {
            w.align(8);
            w.bytes.push(8);
            w.signature("g");
            w.signature(method.signature);
        }
    });
    w.align(8);
    w.bytes.extend(body);
    w.bytes
}

/// Takes values out of bytes that somebody else wrote: every step may fail.
pub(super) struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Reader<'a> {
        Reader { bytes, at: 0 }
    }

    fn align(&mut self, to: usize) {
        self.at = self.at.next_multiple_of(to);
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let end = self.at.checked_add(count)?;
        let piece = self.bytes.get(self.at..end)?;
        self.at = end;
        Some(piece)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.align(4);
        self.take(4)?.try_into().ok().map(u32::from_le_bytes)
    }

    pub(super) fn text(&mut self) -> Option<&'a str> {
        let length = self.u32()? as usize;
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        (self.byte()? == 0).then_some(text)
    }

    fn signature(&mut self) -> Option<&'a str> {
        let length = self.byte()?.into();
        let text = std::str::from_utf8(self.take(length)?).ok()?;
        (self.byte()? == 0).then_some(text)
    }

    /// A variant that holds a string.
    pub(super) fn variant_text(&mut self) -> Option<&'a str> {
        matches!(self.signature()?, "s" | "o").then(|| self.text()).flatten()
    }
}

/// A message that came in.
#[derive(Debug, Default)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) reply_to: Option<u32>,
    pub(super) member: String,
    pub(super) error: String,
    pub(super) body: Vec<u8>,
}

/// How long a message is of which `fixed` are the first [`FIXED`] bytes.
pub(super) fn length(fixed: &[u8]) -> Option<usize> {
    if fixed.first() != Some(&b'l') {
        return None;
    }
    let at = |place: usize| Some(u32::from_le_bytes(fixed.get(place..place + 4)?.try_into().ok()?) as usize);
    let header = FIXED.checked_add(at(12)?)?.checked_next_multiple_of(8)?;
    header.checked_add(at(4)?).filter(|length| *length <= LONGEST)
}

/// Reads a whole message.
pub(super) fn read(bytes: &[u8]) -> Option<Message> {
    let mut message = Message { kind: *bytes.get(1)?, ..Message::default() };
    let mut r = Reader { bytes, at: 12 };
    let end = FIXED + r.u32()? as usize;
    while r.at < end {
        r.align(8);
        if r.at >= end {
            break;
        }
        let code = r.byte()?;
        match r.signature()? {
            "s" | "o" => {
                let text = r.text()?;
                match code {
                    3 => message.member = text.to_owned(),
                    4 => message.error = text.to_owned(),
                    _ => {}
                }
            }
            "u" => {
                let number = r.u32()?;
                if code == 5 {
                    message.reply_to = Some(number);
                }
            }
            "g" => drop(r.signature()?),
            _ => return None,
        }
    }
    r.at = end;
    r.align(8);
    message.body = bytes.get(r.at..)?.to_owned();
    Some(message)
}
