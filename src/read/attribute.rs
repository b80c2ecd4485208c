//! `AttributeProto` -> attribute.

use bytes::Bytes;

use crate::error::{Result, err};
use crate::ir::schema::AttrKind;
use crate::ir::{AttrValue, Attribute, GraphId};
use crate::proto::attribute_proto::AttributeType;
use crate::read::{Folder, tensor};
use crate::wire::{Field, Message, Rest};

/// The value fields of an attribute, as far as they are present.
#[derive(Default)]
struct Values {
    f: Option<f32>,
    i: Option<i64>,
    s: Option<Bytes>,
    t: Vec<Message>,
    g: Vec<Message>,
    floats: Vec<[u8; 4]>,
    ints: Vec<i64>,
    strings: Vec<Bytes>,
    tensors: Vec<Message>,
    graphs: Vec<Message>,
}

/// Numbers of the value fields that are modelled, with the type each belongs to.
const FIELDS: &[(u32, AttributeType)] = &[
    (2, AttributeType::Float),
    (3, AttributeType::Int),
    (4, AttributeType::String),
    (5, AttributeType::Tensor),
    (6, AttributeType::Graph),
    (7, AttributeType::Floats),
    (8, AttributeType::Ints),
    (9, AttributeType::Strings),
    (10, AttributeType::Tensors),
    (11, AttributeType::Graphs),
];

/// Field `ref_attr_name`: the value is that of an attribute of the function around.
const REFERENCE: u32 = 21;

/// Reads one attribute; `body` reads the graphs it holds.
pub(super) fn read(
    message: &Message,
    folder: &mut Folder,
    body: &mut dyn FnMut(&Message, &mut Folder) -> Result<GraphId>,
) -> Result<Attribute> {
    let fields = message.fields().collect::<Result<Vec<_>>>()?;
    let (mut name, mut declared, mut reference) = (String::new(), None, None);
    for field in &fields {
        match field.number {
            1 => name = field.text()?,
            20 => declared = Some(field.i32()?),
            REFERENCE => reference = Some(field.text()?).filter(|name| !name.is_empty()),
            _ => {}
        }
    }
    if name.is_empty() {
        return Err(err!(Invalid, "an attribute has no name"));
    }
    let present = |number: u32| fields.iter().any(|field| field.number == number);
    let kind = match declared {
        Some(number) => AttributeType::try_from(number)
            .map_err(|_| err!(Unsupported, "unknown attribute type {number}")),
        // Writers of the first IR versions left the type out: the field that is set tells.
        None => Ok(FIELDS
            .iter()
            .find(|(number, _)| present(*number))
            .map_or(AttributeType::Undefined, |(_, kind)| *kind)),
    };
    let kind = kind.map_err(|error| error.at(format_args!("attribute `{name}`")))?;
    let own =
        FIELDS.iter().find(|(_, k)| *k == kind && reference.is_none()).map(|(number, _)| *number);
    let filled = FIELDS.iter().filter(|(number, _)| present(*number) && Some(*number) != own);
    if let (Some(_), Some((other, _))) = (own, filled.into_iter().next()) {
        return Err(err!(
            Invalid,
            "its type is {}, but field {other} holds a value, too",
            kind.as_str_name()
        )
        .at(format_args!("attribute `{name}`")));
    }
    let implicit = own.is_some_and(|number| !present(number));
    let (mut values, mut rest) = (Values::default(), Rest::default());
    for field in fields {
        match field.number {
            1 => {}
            20 if own.is_some() || reference.is_some() => {}
            REFERENCE if reference.is_some() => {}
            number if Some(number) == own => values.take(field)?,
            _ => rest.keep(&field),
        }
    }
    let value = match reference {
        Some(name) => AttrValue::Reference { name, kind: AttrKind::from_name(kind.as_str_name()) },
        None => values
            .build(own.map_or(AttributeType::Undefined, |_| kind), folder, body)
            .map_err(|error| error.at(format_args!("attribute `{name}`")))?,
    };
    let untyped = declared.is_none();
    Ok(Attribute { name, value, implicit, untyped, carried: rest.finish() })
}

impl Values {
    fn take(&mut self, field: Field<'_>) -> Result<()> {
        match field.number {
            2 => self.f = Some(field.f32()?),
            3 => self.i = Some(field.i64()?),
            4 => self.s = Some(field.bytes()?),
            5 => self.t.push(field.message()?),
            6 => self.g.push(field.message()?),
            7 => field.append_fixed32(&mut self.floats)?,
            8 => field.append_varints(&mut self.ints, |x| x as i64)?,
            9 => self.strings.push(field.bytes()?),
            10 => self.tensors.push(field.message()?),
            _ => self.graphs.push(field.message()?),
        }
        Ok(())
    }

    fn build(
        self,
        kind: AttributeType,
        folder: &mut Folder,
        body: &mut dyn FnMut(&Message, &mut Folder) -> Result<GraphId>,
    ) -> Result<AttrValue> {
        Ok(match kind {
            AttributeType::Float => AttrValue::Float(self.f.unwrap_or_default()),
            AttributeType::Int => AttrValue::Int(self.i.unwrap_or_default()),
            AttributeType::String => AttrValue::String(self.s.unwrap_or_default()),
            AttributeType::Tensor => match Message::merged(self.t) {
                Some(t) => AttrValue::Tensor(tensor::stored(&t, folder)?.1),
                None => return Err(err!(Invalid, "its type is TENSOR, but it holds no tensor")),
            },
            AttributeType::Graph => match Message::merged(self.g) {
                Some(g) => AttrValue::Graph(body(&g, folder)?),
                None => return Err(err!(Invalid, "its type is GRAPH, but it holds no graph")),
            },
            AttributeType::Floats => {
                AttrValue::Floats(self.floats.into_iter().map(f32::from_le_bytes).collect())
            }
            AttributeType::Ints => AttrValue::Ints(self.ints),
            AttributeType::Strings => AttrValue::Strings(self.strings),
            AttributeType::Tensors => {
                let tensors = self.tensors.iter().map(|t| Ok(tensor::stored(t, folder)?.1));
                AttrValue::Tensors(tensors.collect::<Result<_>>()?)
            }
            AttributeType::Graphs => AttrValue::Graphs(
                self.graphs.iter().map(|g| body(g, folder)).collect::<Result<_>>()?,
            ),
            _ => AttrValue::Opaque,
        })
    }
}
