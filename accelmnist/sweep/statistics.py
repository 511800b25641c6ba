"""Which differences between networks are more than the luck of a seed.

What is compared is the logarithm of the error rate: the luck of a seed changes the number of mistakes by a few percent,
whether a network makes many or few, while the spread of the accuracies themselves differs by a factor of ten. What a
seed does to all candidates alike, such as by its order of images, is taken off first (a two-way layout); for two
candidates the test is then the paired t test.

Three seeds leave a candidate two degrees of freedom, and a t test of two tells nothing apart once it is corrected for a
hundred comparisons. So the variances are shrunk towards the one that all candidates share, as far as they agree on it,
and gain its degrees of freedom: Smyth's moderated t ("Linear models and empirical Bayes methods for assessing
differential expression in microarray experiments", Statistical Applications in Genetics and Molecular Biology 3,
2004). If candidates are as noisy as each other, that is nearly a pooled t test; if they are not, each keeps its
own variance. The degrees of freedom are never more than all candidates have together.

The best mean is the best by luck too, so it is not enough to test each candidate against it at 5 %. A candidate counts
as worse if the one-sided p value, times the number of comparisons (Bonferroni), is below 5 %. Then the truly best
one is wrongly called worse with a chance of 5 % at most, whichever it is and whichever looked best (Hsu, "Constrained
simultaneous confidence intervals for multiple comparisons with the best", Annals of Statistics 12, 1984). Holm's
correction would promise that only for a candidate that was named beforehand.

The noise is that of the seeds alone. All candidates are judged on the same validation images; other images would move
all of them, most of it together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import digamma, polygamma, stdtr, stdtrit

Floats = NDArray[np.float64]

CONFIDENCE = 0.95
_SIGNIFICANCE = 1 - CONFIDENCE
_LEAST_POOL = 3  # variances, fewer say nothing of how much they differ
_FLOOR = 1e-5  # of the median variance: a variance of exactly zero is an accident of whole numbers


@dataclass(frozen=True)
class Moderated:
    """Variances (n,) after the shrinkage; `prior_df` is what the pool lends each, besides the `own_df` that it has."""

    variances: Floats
    pooled: float
    own_df: float
    prior_df: float

    @property
    def df(self) -> float:
        """Degrees of freedom of every variance."""
        return min(self.own_df + self.prior_df, len(self.variances) * self.own_df)

    def quantile(self, probability: float) -> float:
        """Student's t at `probability` for these degrees of freedom."""
        return float(stdtrit(self.df, probability))


@dataclass(frozen=True)
class AgainstBest:
    """Each candidate beside the best one (n,): ratio of the error rates, and the corrected p value of "not worse"."""

    error_ratios: Floats
    p_values: Floats
    least_ratio: float  # the smallest typical ratio that counts as worse

    @property
    def is_worse(self) -> NDArray[np.bool_]:
        """Whether the difference is more than the noise of the seeds."""
        return self.p_values < _SIGNIFICANCE


def log_errors(accuracies: Floats, images: int) -> Floats:
    """Logarithms of the error rates of accuracies on `images`; half a mistake is added, so that none is infinite."""
    return np.asarray(np.log((np.round((1 - accuracies) * images) + 0.5) / (images + 1)))


def moderate(variances: Floats, own_df: float) -> Moderated:
    """Shrink sample `variances` (n,), each of `own_df` degrees of freedom, towards what they share."""
    positive = np.maximum(variances, _FLOOR * np.median(variances))
    if len(variances) < _LEAST_POOL or not positive.all():
        return Moderated(variances, float(np.mean(variances)), own_df, 0.0)
    prior, prior_df = _prior(positive, own_df)
    if math.isinf(prior_df):
        return Moderated(np.full(len(variances), prior), prior, own_df, prior_df)
    shrunk = (prior_df * prior + own_df * variances) / (prior_df + own_df)
    return Moderated(shrunk, prior, own_df, prior_df)


def _prior(variances: Floats, own_df: float) -> tuple[float, float]:
    """The shared variance and its degrees of freedom, from mean and spread of the logarithms (Smyth, section 6.2)."""
    half = own_df / 2
    logs = np.log(variances) - digamma(half) + math.log(half)
    excess = float(logs.var(ddof=1) - polygamma(1, half))  # of the spread, over that of equal variances
    if excess <= 0:
        return math.exp(float(logs.mean())), math.inf
    prior_df = 2 * _inverse_trigamma(excess)
    return math.exp(float(logs.mean() + digamma(prior_df / 2)) - math.log(prior_df / 2)), prior_df


def _inverse_trigamma(value: float) -> float:
    """The number whose trigamma is `value`, by Newton's method from below, where it converges monotonically."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(polygamma(1, x))
        step = trigamma * (1 - trigamma / value) / float(polygamma(2, x))
        x += step
        if abs(step) < 1e-9 * x:
            break
    return x


def own_noise(logs: Floats) -> Moderated:
    """The variances of the rows (n, seeds) over the seeds; two seeds or more."""
    seeds = logs.shape[1]
    return moderate(logs.var(axis=1, ddof=1), seeds - 1)


def paired_noise(logs: Floats) -> Moderated:
    """The same without what a seed does to all rows alike: the noise of differences; two rows or more."""
    rows, seeds = logs.shape
    residuals = logs - logs.mean(axis=1, keepdims=True) - logs.mean(axis=0, keepdims=True) + logs.mean()
    own_df = (seeds - 1) * (rows - 1) / rows
    variances = (residuals**2).sum(axis=1) / own_df
    if rows == 2:  # the residuals are each other's mirror image: one variance, with the degrees of freedom of both
        return Moderated(variances, float(variances[0]), own_df, math.inf)
    return moderate(variances, own_df)


def relative_half_widths(noise: Moderated, seeds: int) -> Floats:
    """95 % half widths (n,) of the means of error rates over so many seeds, as a share of each, by `own_noise`."""
    return np.asarray(noise.quantile(1 - _SIGNIFICANCE / 2) * np.sqrt(noise.variances / seeds))


def against_best(logs: Floats, best: int, noise: Moderated) -> AgainstBest:
    """Compare every row of logarithms (n, seeds) with row `best`, by the `paired_noise` of both."""
    others, seeds = np.delete(np.arange(len(logs)), best), logs.shape[1]
    means = (logs[others] - logs[best]).mean(axis=1)
    errors = np.sqrt((noise.variances[others] + noise.variances[best]) / seeds)
    certain = np.select([means > 0, means < 0], [np.inf, -np.inf], 0.0)  # where the seeds never differ
    t_values = np.divide(means, errors, out=certain, where=errors > 0)
    p_values, ratios = np.ones(len(logs)), np.ones(len(logs))
    p_values[others] = np.minimum(stdtr(noise.df, -t_values) * len(others), 1.0)
    ratios[others] = np.exp(means)
    critical = noise.quantile(1 - _SIGNIFICANCE / len(others))
    return AgainstBest(ratios, p_values, math.exp(critical * math.sqrt(2 * noise.pooled / seeds)))


def paired_gap(differences: Floats) -> tuple[float, float, float] | None:
    """Mean of `differences` (n,) with its 95 % interval by Student's t; None for fewer than two."""
    if len(differences) < 2:
        return None
    mean, number = float(differences.mean()), len(differences)
    half = float(stdtrit(number - 1, 1 - _SIGNIFICANCE / 2) * differences.std(ddof=1) / number**0.5)
    return mean, mean - half, mean + half
