//! From gradients to steps: Adam or descent with momentum, each parameter at a rate of its own.

use crate::grad::Real;

/// How gradients become steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Method {
    /// Adam (Kingma and Ba, 2015) with its usual constants.
    #[default]
    Adam,
    /// Descent with momentum.
    Descent,
}

/// How slowly the mean of gradients moves.
const BETA_1: f64 = 0.9;
/// How slowly the mean of their squares moves.
const BETA_2: f64 = 0.999;
/// Keeps a quotient finite.
const EPSILON: f64 = 1e-8;
/// Root mean square of the weights at which a rate is what it says; that of usual layers.
const USUAL_SIZE: f64 = 0.05;
/// Weights this small, biases of 0 among them, take steps as if they were of this size.
const LEAST_SIZE: f64 = 0.01;

/// The state of an optimizer.
#[derive(Debug, Clone)]
pub struct Optimizer<T> {
    method: Method,
    first: Vec<Vec<T>>,
    second: Vec<Vec<T>>,
    /// What the rate is multiplied with, for each parameter.
    factors: Vec<f64>,
    /// Which elements stay 0, for each parameter that has such.
    zeros: Vec<Option<Vec<bool>>>,
    steps: i32,
}

impl<T: Real> Optimizer<T> {
    /// An optimizer of `parameters`, which begin as they are. A rate is scaled by the size of each, so that one
    /// rate suits weights of very different size, and by its pace. Elements of `zeros` stay 0.
    pub fn new(
        method: Method,
        parameters: &[Vec<T>],
        zeros: Vec<Option<Vec<bool>>>,
        paces: &[f64],
    ) -> Self {
        let empty = || parameters.iter().map(|p| vec![T::ZERO; p.len()]).collect();
        let second = match method {
            Method::Adam => empty(),
            Method::Descent => Vec::new(),
        };
        let sized = |(p, pace): (&Vec<T>, &f64)| pace * size(p).max(LEAST_SIZE) / USUAL_SIZE;
        let factors = parameters.iter().zip(paces).map(sized).collect();
        Self { method, first: empty(), second, factors, zeros, steps: 0 }
    }

    /// Forgets all gradients.
    pub fn restart(&mut self) {
        let moments = self.first.iter_mut().chain(&mut self.second);
        moments.for_each(|moment| moment.fill(T::ZERO));
        self.steps = 0;
    }

    /// Moves parameters against their gradients; an empty gradient leaves its parameter alone.
    pub fn step(&mut self, rate: f64, parameters: &mut [Vec<T>], gradients: &[Vec<T>]) {
        self.steps += 1;
        let (bias_1, bias_2) = (1.0 - BETA_1.powi(self.steps), 1.0 - BETA_2.powi(self.steps));
        let (beta_1, beta_2) = (T::of(BETA_1), T::of(BETA_2));
        let (rest_1, rest_2) = (T::of(1.0 - BETA_1), T::of(1.0 - BETA_2));
        let root = T::of(bias_2.sqrt());
        let epsilon = T::of(EPSILON);
        for (at, gradient) in gradients.iter().enumerate() {
            let rate = rate * self.factors[at];
            let zeros = self.zeros[at].as_deref();
            let numbers = parameters[at].iter_mut().zip(gradient).enumerate();
            let stays = |i: usize| zeros.is_some_and(|zeros| zeros[i]);
            match self.method {
                Method::Adam => {
                    let rate = T::of(rate / bias_1);
                    let moments = self.first[at].iter_mut().zip(&mut self.second[at]);
                    for ((i, (number, &g)), (first, second)) in numbers.zip(moments) {
                        if stays(i) {
                            continue;
                        }
                        *first = beta_1 * *first + rest_1 * g;
                        *second = beta_2 * *second + rest_2 * g * g;
                        *number -= rate * *first / (second.sqrt() / root + epsilon);
                    }
                }
                Method::Descent => {
                    let rate = T::of(rate);
                    for ((i, (number, &g)), first) in numbers.zip(&mut self.first[at]) {
                        if !stays(i) {
                            *first = beta_1 * *first + g;
                            *number -= rate * *first;
                        }
                    }
                }
            }
        }
    }
}

/// Root mean square.
fn size<T: Real>(numbers: &[T]) -> f64 {
    let sum: f64 = numbers.iter().map(|x| x.wide() * x.wide()).sum();
    (sum / numbers.len().max(1) as f64).sqrt()
}

/// Makes gradients no longer than `most` together, and gives their length before.
pub fn clip<T: Real>(gradients: &mut [Vec<T>], most: f64) -> f64 {
    let square = |g: &T| g.wide() * g.wide();
    let length = gradients.iter().flatten().map(square).sum::<f64>().sqrt();
    if length > most {
        let factor = T::of(most / length);
        gradients.iter_mut().flatten().for_each(|g| *g *= factor);
    }
    length
}

/// The share of the rate at a share of all steps: rising for `warm_up` of them, then along a cosine to 0.
pub fn schedule(done: f64, warm_up: f64) -> f64 {
    if done < warm_up {
        return (done / warm_up).max(1e-3);
    }
    let left = (done - warm_up) / (1.0 - warm_up).max(f64::EPSILON);
    0.5 * (1.0 + (std::f64::consts::PI * left.min(1.0)).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bowl_is_walked_down_by_both_methods() {
        for method in [Method::Adam, Method::Descent] {
            let mut parameters = vec![vec![3.0f64, -2.0], vec![0.0, 1.0]];
            let zeros = vec![None, Some(vec![true, false])];
            let mut optimizer = Optimizer::new(method, &parameters, zeros, &[1.0; 2]);
            for i in 0..400 {
                let gradients: Vec<Vec<f64>> = parameters
                    .iter()
                    .map(|p| p.iter().map(|x| 2.0 * (x - 1.5)).collect())
                    .collect();
                optimizer.step(
                    0.01 * schedule(f64::from(i) / 400.0, 0.1),
                    &mut parameters,
                    &gradients,
                );
            }
            assert!(parameters[0].iter().all(|x| (x - 1.5).abs() < 0.05), "{parameters:?}");
            assert_eq!(parameters[1][0], 0.0);
            assert!((parameters[1][1] - 1.5).abs() < 0.05);
        }
    }

    #[test]
    fn long_gradients_are_shortened() {
        let mut gradients = vec![vec![3.0f32], vec![], vec![4.0]];
        assert_eq!(clip(&mut gradients, 1.0), 5.0);
        assert!((gradients[0][0] - 0.6).abs() < 1e-6 && (gradients[2][0] - 0.8).abs() < 1e-6);
        assert_eq!(clip(&mut gradients, 2.0).round(), 1.0);
    }
}
