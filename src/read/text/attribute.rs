//! `name: type = value` -> `AttributeProto`.

use crate::error::Result;
use crate::proto::AttributeProto;
use crate::proto::attribute_proto::AttributeType as Type;
use crate::read::text::cursor::{Literal, is_float_word, real};
use crate::read::text::{Parser, tensor, types};

impl Parser<'_> {
    /// The type may be left out where the value shows it; an empty list needs it.
    pub(super) fn attribute(&mut self) -> Result<AttributeProto> {
        let name = Some(self.cursor.name("the name of an attribute")?);
        let mut attribute = AttributeProto { name, ..AttributeProto::default() };
        let mut expected = None;
        if self.cursor.eat(':') {
            let start = self.cursor;
            let named = self.cursor.identifier().and_then(type_of);
            expected = Some(named.ok_or_else(|| start.expected("an attribute type, e.g. `ints`"))?);
        }
        self.cursor.expect('=')?;
        let start = self.cursor;
        let found = if self.cursor.eat('[') {
            self.list(&mut attribute, expected)?
        } else {
            self.single(&mut attribute, expected)?
        };
        match expected.or(found) {
            Some(kind) if found.is_none_or(|found| found == kind) => {
                attribute.r#type = Some(kind as i32);
                Ok(attribute)
            }
            Some(kind) => Err(start.error(format_args!(
                "expected a value of type {}, found one of another type",
                kind.as_str_name()
            ))),
            None => Err(start.error("a reference to a function's attribute needs its type")),
        }
    }

    fn list(&mut self, to: &mut AttributeProto, expected: Option<Type>) -> Result<Option<Type>> {
        let start = self.cursor;
        if self.cursor.eat(']') {
            return match expected {
                Some(kind) if element(kind).is_some() => Ok(None),
                _ => Err(start.error("an empty list needs a list type, e.g. `axes: ints = []`")),
            };
        }
        let mut kind = expected.and_then(element);
        loop {
            let place = self.cursor;
            let mut one = AttributeProto::default();
            let found = self.single(&mut one, kind)?;
            let first = kind.or(found);
            if found.is_none() || found != first {
                return Err(place.expected("an element of the same type as the first"));
            }
            kind = first;
            to.floats.extend(one.f);
            to.ints.extend(one.i);
            to.strings.extend(one.s);
            to.tensors.extend(one.t);
            to.graphs.extend(one.g);
            to.type_protos.extend(one.tp);
            if !self.cursor.eat(',') {
                break;
            }
        }
        self.cursor.expect(']')?;
        Ok(kind.and_then(list_of))
    }

    /// The type found; `None` for a reference to an attribute of the function around the node.
    fn single(&mut self, to: &mut AttributeProto, expected: Option<Type>) -> Result<Option<Type>> {
        let start = self.cursor;
        if self.cursor.eat('@') {
            to.ref_attr_name = Some(self.cursor.name("the name of an attribute")?);
            return Ok(None);
        }
        if expected == Some(Type::Graph) {
            to.g = Some(self.graph()?);
            return Ok(Some(Type::Graph));
        }
        if let Some(word) = self.cursor.peek_identifier() {
            if types::is_type(word) {
                return self.typed(to).map(Some);
            }
            if !is_float_word(word) {
                to.g = Some(self.graph()?);
                return Ok(Some(Type::Graph));
            }
        }
        match self.cursor.literal()? {
            Literal::Text(_) if self.cursor.peek() == Some('(') => {
                self.cursor = start;
                to.g = Some(self.graph()?);
                Ok(Some(Type::Graph))
            }
            Literal::Text(text) => {
                to.s = Some(text);
                Ok(Some(Type::String))
            }
            Literal::Int(text) if expected != Some(Type::Float) => {
                let number = text.parse().ok();
                to.i = Some(number.ok_or_else(|| start.expected("an integer of 64 bits"))?);
                Ok(Some(Type::Int))
            }
            Literal::Int(text) | Literal::Float(text) => {
                to.f = Some(real(text).ok_or_else(|| start.expected("a number of type float"))?);
                Ok(Some(Type::Float))
            }
        }
    }

    /// A tensor, or a type alone.
    fn typed(&mut self, to: &mut AttributeProto) -> Result<Type> {
        let start = self.cursor;
        let ty = types::value_type(&mut self.cursor)?;
        let name = self.cursor.optional_name()?;
        if !self.cursor.eat('=') && name.is_none() && self.cursor.peek() != Some('{') {
            to.tp = Some(ty);
            return Ok(Type::TypeProto);
        }
        let mut tensor = tensor::elements(&mut self.cursor, &start, Some(&ty))?;
        tensor.name = name;
        to.t = Some(tensor);
        Ok(Type::Tensor)
    }
}

fn type_of(word: &str) -> Option<Type> {
    Some(match word {
        "float" => Type::Float,
        "int" => Type::Int,
        "string" => Type::String,
        "tensor" => Type::Tensor,
        "graph" => Type::Graph,
        "sparse_tensor" => Type::SparseTensor,
        "type_proto" => Type::TypeProto,
        "floats" => Type::Floats,
        "ints" => Type::Ints,
        "strings" => Type::Strings,
        "tensors" => Type::Tensors,
        "graphs" => Type::Graphs,
        "sparse_tensors" => Type::SparseTensors,
        "type_protos" => Type::TypeProtos,
        _ => return None,
    })
}

/// List types with the types of their elements.
const LISTS: [(Type, Type); 6] = [
    (Type::Floats, Type::Float),
    (Type::Ints, Type::Int),
    (Type::Strings, Type::String),
    (Type::Tensors, Type::Tensor),
    (Type::Graphs, Type::Graph),
    (Type::TypeProtos, Type::TypeProto),
];

fn element(list: Type) -> Option<Type> {
    LISTS.iter().find(|(of, _)| *of == list).map(|(_, element)| *element)
}

fn list_of(element: Type) -> Option<Type> {
    LISTS.iter().find(|(_, of)| *of == element).map(|(list, _)| *list)
}
