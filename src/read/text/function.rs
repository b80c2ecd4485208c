//! Model-local functions.

use crate::error::Result;
use crate::proto::FunctionProto;
use crate::read::text::{Parser, imports, names, values};

impl Parser<'_> {
    /// `<domain: …> name <attributes> (inputs) => (outputs) <types> { nodes }`.
    pub(super) fn function(&mut self) -> Result<FunctionProto> {
        let mut function = FunctionProto::default();
        if self.cursor.peek() != Some('<') {
            return Err(self.cursor.expected("a function, or the end of the text"));
        }
        self.cursor.expect('<')?;
        loop {
            self.function_header(&mut function)?;
            if !self.cursor.eat(',') {
                break;
            }
        }
        self.cursor.expect('>')?;
        function.name = Some(self.cursor.name("the name of a function")?);
        self.declared_attributes(&mut function)?;
        let cursor = &mut self.cursor;
        cursor.expect('(')?;
        function.input = names(cursor)?;
        cursor.expect(')')?;
        cursor.arrow()?;
        cursor.expect('(')?;
        function.output = names(cursor)?;
        cursor.expect(')')?;
        if cursor.eat('<') {
            let before = *cursor;
            let mut initialized = false;
            values(cursor, '>', |value, elements| {
                function.value_info.push(value);
                initialized |= elements.is_some();
            })?;
            if initialized {
                return Err(before.error(
                    "expected types of values, found elements: functions have no initializers",
                ));
            }
        }
        function.node = self.nodes()?;
        Ok(function)
    }

    fn function_header(&mut self, function: &mut FunctionProto) -> Result<()> {
        let cursor = &mut self.cursor;
        let start = *cursor;
        let key = cursor.identifier().unwrap_or_default();
        cursor.expect(':')?;
        match key {
            "domain" => function.domain = Some(cursor.string()?),
            "overload" => function.overload = Some(cursor.string()?),
            "doc_string" => function.doc_string = Some(cursor.string()?),
            "opset_import" => imports(cursor, &mut function.opset_import)?,
            _ => {
                return Err(start.expected(
                    "`domain`, `overload`, `opset_import` or `doc_string` of a function",
                ));
            }
        }
        Ok(())
    }

    /// Names, and attributes with their defaults.
    fn declared_attributes(&mut self, function: &mut FunctionProto) -> Result<()> {
        if !self.cursor.eat('<') || self.cursor.eat('>') {
            return Ok(());
        }
        loop {
            let start = self.cursor;
            let name = self.cursor.name("the name of an attribute")?;
            if matches!(self.cursor.peek(), Some(':' | '=')) {
                self.cursor = start;
                let default = self.attribute()?;
                function.attribute_proto.push(default);
            } else {
                function.attribute.push(name);
            }
            if !self.cursor.eat(',') {
                break;
            }
        }
        self.cursor.expect('>')
    }
}
