//! What each layer becomes, so that all of them cost no more than they may.

/// What a layer can become: what that costs and what it loses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Choice {
    /// In whatever unit a budget counts.
    pub cost: f64,
    /// Losses of layers add up.
    pub loss: f64,
}

/// For each layer the choice with which the sum of the costs is at most `most` and the sum of the losses
/// small; `None` where a layer stays whole, which costs `wholes`. When nothing is cheap enough, the
/// cheapest of all.
///
/// Layers go down the lower convex hulls of their choices, always that next which loses least for what it
/// saves: the best choice for every budget that it meets exactly. What is left over comes back.
pub fn allocate(wholes: &[f64], choices: &[Vec<Choice>], most: f64) -> Vec<Option<usize>> {
    let mut steps: Vec<(f64, usize, usize)> = Vec::new();
    for (layer, (&whole, choices)) in wholes.iter().zip(choices).enumerate() {
        let mut at = Choice { cost: whole, loss: 0.0 };
        while let Some((slope, next)) = steepest(at, choices) {
            steps.push((slope, layer, next));
            at = choices[next];
        }
    }
    // Slopes of one layer rise, so that its steps stay in order.
    steps.sort_by(|a, b| a.0.total_cmp(&b.0));
    let mut chosen = vec![None; wholes.len()];
    let mut total: f64 = wholes.iter().sum();
    for (_, layer, next) in steps {
        if total <= most {
            break;
        }
        total += choices[layer][next].cost - cost(wholes, choices, &chosen, layer);
        chosen[layer] = Some(next);
    }
    give_back(wholes, choices, most - total, &mut chosen);
    chosen
}

/// The next step down the hull: least loss for each unit saved, and of equal ones the longest.
fn steepest(at: Choice, choices: &[Choice]) -> Option<(f64, usize)> {
    let cheaper = choices.iter().enumerate().filter(|(_, choice)| choice.cost < at.cost);
    let slope = |choice: &Choice| ((choice.loss - at.loss) / (at.cost - choice.cost)).max(0.0);
    let step = |(i, choice): (usize, &Choice)| (slope(choice), i);
    cheaper.map(step).min_by(|a, b| {
        let length = |i: usize| choices[i].cost;
        a.0.total_cmp(&b.0).then(length(a.1).total_cmp(&length(b.1)))
    })
}

fn cost(wholes: &[f64], choices: &[Vec<Choice>], chosen: &[Option<usize>], layer: usize) -> f64 {
    chosen[layer].map_or(wholes[layer], |choice| choices[layer][choice].cost)
}

/// Spends what is left where it wins most.
fn give_back(wholes: &[f64], choices: &[Vec<Choice>], mut room: f64, chosen: &mut [Option<usize>]) {
    loop {
        let mut best: Option<(f64, usize, Option<usize>, f64)> = None;
        for layer in 0..wholes.len() {
            let now = cost(wholes, choices, chosen, layer);
            let Some(loss) = chosen[layer].map(|choice| choices[layer][choice].loss) else {
                continue;
            };
            let whole = (None, Choice { cost: wholes[layer], loss: 0.0 });
            let others = choices[layer].iter().enumerate().map(|(i, &choice)| (Some(i), choice));
            for (next, choice) in others.chain([whole]) {
                let gain = loss - choice.loss;
                let more = choice.cost - now;
                if gain > 0.0 && more <= room && best.is_none_or(|(most, ..)| gain > most) {
                    best = Some((gain, layer, next, more));
                }
            }
        }
        let Some((_, layer, next, more)) = best else { return };
        chosen[layer] = next;
        room -= more;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choices(points: &[(f64, f64)]) -> Vec<Choice> {
        points.iter().map(|&(cost, loss)| Choice { cost, loss }).collect()
    }

    #[test]
    fn what_loses_least_for_what_it_saves_goes_first() {
        let wholes = [100.0, 100.0];
        let layers = [choices(&[(80.0, 0.1), (50.0, 1.0)]), choices(&[(60.0, 0.1), (20.0, 9.0)])];
        let at = |most| allocate(&wholes, &layers, most);
        assert_eq!(at(200.0), [None, None]);
        assert_eq!(at(160.0), [None, Some(0)]);
        assert_eq!(at(140.0), [Some(0), Some(0)]);
        assert_eq!(at(110.0), [Some(1), Some(0)]);
        // The cheapest of all when nothing is cheap enough.
        assert_eq!(at(0.0), [Some(1), Some(1)]);
        // One step takes more than it must; a smaller loss that fits is taken back.
        assert_eq!(at(185.0), [None, Some(0)]);
        assert_eq!(allocate(&[100.0], &[choices(&[(90.0, 5.0), (40.0, 6.0)])], 95.0), [Some(0)]);
    }
}
