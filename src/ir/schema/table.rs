//! Parser of `operators.txt`; the format is described in its first lines.

use std::collections::HashMap;
use std::ops::RangeInclusive;

use crate::ir::schema::{AttrKind, AttrSpec, Formal, Role, Schema, Types};

/// All operators of all domains.
pub(super) struct Table {
    domains: Vec<Domain>,
}

/// The operators of a domain.
pub(super) struct Domain {
    name: &'static str,
    /// The newest version that changed something.
    pub(super) latest: i64,
    /// All versions of each operator, oldest first.
    pub(super) operators: HashMap<&'static str, Vec<Schema>>,
}

impl Table {
    /// Lines that are not understood are left out; a test shows that there are none.
    pub(super) fn parse(text: &'static str) -> Self {
        let mut domains: Vec<Domain> = Vec::new();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            if let Some(name) = line.strip_prefix("@ ") {
                domains.push(Domain { name, latest: 0, operators: HashMap::new() });
            } else if let (Some(domain), Some(schema)) = (domains.last_mut(), schema(line)) {
                domain.latest = domain.latest.max(schema.since);
                domain.operators.entry(schema.op).or_default().push(schema);
            }
        }
        Self { domains }
    }

    pub(super) fn domain(&self, name: &str) -> Option<&Domain> {
        self.domains.iter().find(|domain| domain.name == name)
    }
}

fn schema(line: &'static str) -> Option<Schema> {
    let mut columns = line.split('\t');
    let op = columns.next()?;
    let since = columns.next()?;
    let (inputs, outputs) = columns.next()?.split_once('>')?;
    let (input_count, output_count) = (count(inputs)?, count(outputs)?);
    let mut column = || Some(columns.next()?.split(' ').filter(|item| !item.is_empty()));
    let (inputs, outputs, attributes, variables) = (column()?, column()?, column()?, column()?);
    let variables: HashMap<&str, Types> = variables
        .map(|item| item.split_once('=').and_then(|(name, set)| Some((name, types(set)?))))
        .collect::<Option<_>>()?;
    Some(Schema {
        op,
        since: since.trim_end_matches('x').parse().ok()?,
        deprecated: since.ends_with('x'),
        input_count,
        output_count,
        inputs: inputs.map(|item| formal(item, &variables)).collect::<Option<_>>()?,
        outputs: outputs.map(|item| formal(item, &variables)).collect::<Option<_>>()?,
        attributes: attributes.map(attribute).collect::<Option<_>>()?,
    })
}

fn count(text: &str) -> Option<RangeInclusive<usize>> {
    let (lowest, highest) = text.split_once('-')?;
    let highest = if highest == "*" { usize::MAX } else { highest.parse().ok()? };
    Some(lowest.parse().ok()?..=highest)
}

fn types(set: &str) -> Option<Types> {
    u64::from_str_radix(set, 16).ok().map(Types)
}

fn formal(item: &'static str, variables: &HashMap<&str, Types>) -> Option<Formal> {
    let (name, ty) = item.split_once(':')?;
    let (variable, types) = match ty.strip_prefix('=') {
        Some(set) => (None, types(set)?),
        None => (Some(ty), *variables.get(ty)?),
    };
    let role = match name.chars().last()? {
        '?' => Role::Optional,
        '*' => Role::Variadic,
        '~' => Role::Mixed,
        _ => Role::Required,
    };
    Some(Formal { name: name.trim_end_matches(['?', '*', '~']), role, variable, types })
}

fn attribute(item: &'static str) -> Option<AttrSpec> {
    let (name, code) = item.split_once(':')?;
    Some(AttrSpec {
        name: name.trim_end_matches('!'),
        kind: AttrKind::from_code(code)?,
        required: name.ends_with('!'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_understood_and_versions_ascend() {
        let text = include_str!("operators.txt");
        let lines = text.lines().filter(|line| !line.starts_with(['#', '@'])).count();
        let table = Table::parse(text);
        let histories = || table.domains.iter().flat_map(|domain| domain.operators.values());
        assert_eq!(histories().map(Vec::len).sum::<usize>(), lines);
        for history in histories() {
            assert!(history.is_sorted_by_key(|schema| schema.since));
            for schema in history {
                let variadic = schema.inputs.iter().rposition(|formal| !formal.is_variadic());
                assert!(variadic.is_none_or(|last| last + 2 >= schema.inputs.len()));
            }
        }
    }
}
