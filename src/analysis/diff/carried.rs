//! Fields that the IR carries as encoded bytes: told apart by their number, nothing more.

use super::{Item, What};

/// A message whose remainder is carried: the numbers of fields that are documentation or metadata,
/// those compared elsewhere, and names of others.
pub(super) struct Message {
    metadata: &'static [u64],
    elsewhere: &'static [u64],
    names: &'static [(u64, &'static str)],
}

pub(super) const MODEL: Message = Message {
    metadata: &[6, 14],
    elsewhere: &[2],
    names: &[
        (3, "producer_version"),
        (4, "domain"),
        (5, "model_version"),
        (6, "doc_string"),
        (14, "metadata_props"),
        (20, "training_info"),
        (26, "configuration"),
    ],
};
pub(super) const GRAPH: Message = Message {
    metadata: &[10, 16],
    elsewhere: &[],
    names: &[(10, "doc_string"), (14, "quantization_annotation"), (16, "metadata_props")],
};
pub(super) const NODE: Message = Message {
    metadata: &[6, 9],
    elsewhere: &[],
    names: &[(6, "doc_string"), (10, "device_configurations")],
};
pub(super) const TENSOR: Message = Message {
    metadata: &[12, 16],
    elsewhere: &[],
    names: &[(8, "name"), (12, "doc_string"), (16, "metadata_props")],
};
pub(super) const VALUE: Message =
    Message { metadata: &[3, 4], elsewhere: &[], names: &[(3, "doc_string")] };
pub(super) const ATTRIBUTE: Message =
    Message { metadata: &[13], elsewhere: &[], names: &[(13, "doc_string"), (14, "type_proto")] };
pub(super) const FUNCTION: Message = Message {
    metadata: &[8, 14],
    elsewhere: &[],
    names: &[(8, "doc_string"), (14, "metadata_props")],
};

/// Longest text that is shown, in characters.
const SHOWN: usize = 80;

/// The fields of `a` and `b` that differ, one change for each, in the order of their numbers.
pub(super) fn changes(message: &Message, a: &[u8], b: &[u8], metadata: bool) -> Vec<What> {
    if a == b {
        return Vec::new();
    }
    let (a, b) = (fields(a), fields(b));
    let mut numbers: Vec<u64> = a.iter().chain(&b).map(|field| field.number).collect();
    numbers.sort_unstable();
    numbers.dedup();
    let wanted = |number: &u64| {
        (metadata || !message.metadata.contains(number)) && !message.elsewhere.contains(number)
    };
    let pick = |fields: &[Field<'_>], number: u64| -> Vec<String> {
        fields.iter().filter(|f| f.number == number).map(Field::shown).collect()
    };
    let raw = |fields: &[Field<'_>], number: u64| -> Vec<u8> {
        fields.iter().filter(|f| f.number == number).flat_map(|f| f.whole.to_vec()).collect()
    };
    let differ = numbers.into_iter().filter(wanted).filter(|&n| raw(&a, n) != raw(&b, n));
    let change = |number: u64| {
        let known = message.names.iter().find(|(known, _)| *known == number);
        let name = known.map_or_else(|| format!("field {number}"), |(_, name)| (*name).to_owned());
        let (old, new) = (pick(&a, number).join(", "), pick(&b, number).join(", "));
        let some = |text: String| (!text.is_empty()).then_some(text);
        match old == new {
            true => What::changed(Item::Field(name), None, None),
            false => What::changed(Item::Field(name), some(old), some(new)),
        }
    };
    differ.map(change).collect()
}

/// One field of an encoded message.
struct Field<'a> {
    number: u64,
    /// Key and payload.
    whole: &'a [u8],
    payload: Payload<'a>,
}

enum Payload<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Other,
}

impl Field<'_> {
    fn shown(&self) -> String {
        match self.payload {
            Payload::Number(number) => (number as i64).to_string(),
            Payload::Bytes(bytes) => match std::str::from_utf8(bytes) {
                Ok(text)
                    if text.chars().count() <= SHOWN && !text.chars().any(char::is_control) =>
                {
                    format!("{text:?}")
                }
                _ => format!("({} bytes)", bytes.len()),
            },
            Payload::Other => format!("({} bytes)", self.whole.len()),
        }
    }
}

/// The fields in order. What is not well-formed becomes one last field of number 0.
fn fields(mut bytes: &[u8]) -> Vec<Field<'_>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let Some((field, rest)) = first(bytes) else {
            fields.push(Field { number: 0, whole: bytes, payload: Payload::Other });
            break;
        };
        fields.push(field);
        bytes = rest;
    }
    fields
}

fn first(bytes: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (key, rest) = varint(bytes)?;
    let (payload, rest) = match key & 7 {
        0 => {
            let (number, rest) = varint(rest)?;
            (Payload::Number(number), rest)
        }
        1 => (Payload::Other, rest.get(8..)?),
        2 => {
            let (length, rest) = varint(rest)?;
            let (inner, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            (Payload::Bytes(inner), rest)
        }
        5 => (Payload::Other, rest.get(4..)?),
        _ => return None,
    };
    let whole = bytes.get(..bytes.len() - rest.len())?;
    Some((Field { number: key >> 3, whole, payload }, rest))
}

fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (i, &byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            return Some((number, bytes.get(i + 1..)?));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{NODE, changes};

    #[test]
    fn damaged_bytes_differ_and_do_not_panic() {
        for damaged in [&[0x80][..], &[0x32, 9, 1], &[0x0b, 1], &[0x09, 1], &[0xff; 12]] {
            assert_eq!(changes(&NODE, damaged, damaged, false), []);
            assert_eq!(changes(&NODE, damaged, &[], false).len(), 1, "{damaged:x?}");
        }
    }

    #[test]
    fn documentation_counts_only_when_asked() {
        let documented = [0x32, 1, b'x'];
        assert_eq!(changes(&NODE, &documented, &[], false), []);
        assert_eq!(changes(&NODE, &documented, &[], true).len(), 1);
    }
}
