//! What a pruned model may cost.

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use onnxpress::passes::Amount;
use onnxpress::verbs::{Remaining, Spreading};

use super::compare::share;
use super::quantization::Named;

/// What is kept; exactly one of the first five.
#[derive(Debug, Clone, Args)]
pub struct BudgetArgs {
    /// Share of the channels, hidden units and heads that stays: of each group, or of all together when
    /// `--allocation` says so; with 100%, only those go that give nothing.
    #[arg(long, value_name = "SHARE", value_parser = kept, allow_negative_numbers = true, group = "budget", required_unless_present_any = ["macs", "params", "size", "latency", "unstructured"])]
    pub ratio: Option<f64>,
    /// Multiply-accumulates that stay at most: a share of the original's, or a number such as 120M.
    #[arg(long, value_name = "SHARE|N", value_parser = amount, allow_negative_numbers = true, group = "budget")]
    pub macs: Option<Amount>,
    /// Parameters that stay at most: a share, or a number such as 1.5M.
    #[arg(long, value_name = "SHARE|N", value_parser = amount, allow_negative_numbers = true, group = "budget")]
    pub params: Option<Amount>,
    /// Size of the file at most: a share, or a number of bytes such as 800K.
    #[arg(long, value_name = "SHARE|BYTES", value_parser = amount, allow_negative_numbers = true, group = "budget")]
    pub size: Option<Amount>,
    /// Share of the time of one run at most, measured in this engine on a few prunings; it needs --data.
    #[arg(long, value_name = "SHARE", value_parser = kept, allow_negative_numbers = true, group = "budget", requires = "data")]
    pub latency: Option<f64>,
    /// Which groups give how much: each the same share; wherever importance is least for what it costs;
    /// or by what cutting each group alone does to the outputs on some samples (needs --data). By default
    /// `uniform` for --ratio, else `sensitivity` with --data and `global` without.
    #[arg(long, value_name = "HOW", value_enum)]
    pub allocation: Option<Named<Spreading>>,
    /// Least share of the channels of each group that stays, whatever a budget asks for.
    #[arg(long = "min-share", alias = "floor", value_name = "SHARE", value_parser = share, default_value = "12.5%")]
    pub floor: f64,
    /// Prune in N steps, each judged on --test or --data; with --max-drop or --min-sqnr, the last model is written
    /// that keeps them.
    #[arg(long, value_name = "N", requires = "data", conflicts_with = "latency", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub steps: Option<u32>,
}

impl ValueEnum for Named<Spreading> {
    fn value_variants<'a>() -> &'a [Self] {
        &[Named(Spreading::Uniform), Named(Spreading::Global), Named(Spreading::Sensitivity)]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.0.name()))
    }
}

impl BudgetArgs {
    /// What may stay; all channels where weights become zero instead.
    pub fn remaining(&self) -> Remaining {
        let ratio = Remaining::Channels(self.ratio.unwrap_or(1.0));
        let given = [
            self.macs.map(Remaining::Macs),
            self.params.map(Remaining::Parameters),
            self.size.map(Remaining::Size),
            self.latency.map(Remaining::Latency),
        ];
        given.into_iter().flatten().next().unwrap_or(ratio)
    }
}

/// `50%`, `0.5`, `120M`: shares up to 1, or numbers in powers of 1000. A small number without a unit is asked back:
/// `75` is more likely 75 % than 75 of anything.
pub fn amount(text: &str) -> Result<Amount, String> {
    const UNITS: &[(char, f64)] = &[('K', 1e3), ('M', 1e6), ('G', 1e9), ('T', 1e12)];
    let text = text.trim();
    let plain_number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    match plain_number {
        _ if text.ends_with('%') => return kept(text).map(Amount::Share),
        Some(number) if number <= 1.0 => return kept(text).map(Amount::Share),
        Some(number) if number <= MOST_PERCENT => return Err(asked_back(text)),
        _ => {}
    }
    let plain = text.trim_end_matches(['B', 'b']);
    let unit = UNITS.iter().find_map(|&(unit, factor)| {
        Some((plain.strip_suffix([unit, unit.to_ascii_lowercase()])?, factor))
    });
    let (number, factor) = unit.unwrap_or((plain, 1.0));
    let number = number.trim().parse::<f64>().ok().map(|number| number * factor);
    let number = number.filter(|number| number.is_finite() && *number >= 1.0);
    number
        .map(|number| Amount::Number(number as u64))
        .ok_or_else(|| format!("`{text}`; expected a share such as 50%, or a number such as 120M"))
}

/// Numbers up to this are likely percents.
const MOST_PERCENT: f64 = 100.0;

/// That a number may be meant as percents.
fn asked_back(text: &str) -> String {
    format!(
        "`{text}` is no share; for {text} percent write {text}%, for a number add its unit, e.g. {text}K"
    )
}

/// A share that is kept: `50%` or `0.5`, above 0 and at most the whole.
pub fn kept(text: &str) -> Result<f64, String> {
    let plain = text.trim().parse::<f64>().ok();
    match (share(text.trim()), plain) {
        (Ok(share), _) if share > 0.0 => Ok(share),
        (Ok(_), _) => Err(format!("`{text}`; nothing would be left: expected a share such as 50%")),
        (Err(_), Some(number)) if number > 1.0 && number <= MOST_PERCENT => {
            Err(format!("`{text}` is more than the whole; for {text} percent write {text}%"))
        }
        _ => Err(format!(
            "`{text}`; expected the share that is kept, such as 50% or 0.5, at most 100%"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_shares_or_numbers() {
        let found = ["50%", "0.5", "1", "120M", "1.5k", "700"].map(|text| amount(text).unwrap());
        let [share, number] = [Amount::Share, |x| Amount::Number(x as u64)];
        let expected =
            [share(0.5), share(0.5), share(1.0), number(120e6), number(1500.0), number(700.0)];
        assert_eq!(found, expected);
        let nonsense = ["150%", "-1", "-50%", "0", "0%", "x", "", "infK", "nan", "%"];
        for text in nonsense {
            assert!(amount(text).is_err(), "{text}");
            assert!(kept(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percents_without_a_sign_are_asked_back() {
        for text in ["75", "10", "1.5", "100"] {
            let hint = format!("write {text}%");
            assert!(amount(text).unwrap_err().contains(&hint), "{text}");
            assert!(kept(text).unwrap_err().contains(&hint), "{text}");
        }
        assert_eq!([kept("75%"), kept("0.75"), kept("1")], [Ok(0.75), Ok(0.75), Ok(1.0)]);
    }
}
