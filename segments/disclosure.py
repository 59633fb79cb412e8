"""Disclosure control: which groups of customers may be described at all, with which numbers, in which form.

Here, as pure functions: the least size k, dominance and the p% rule, complementary suppression, the difference
to what was last released, folding of small cells, rounding. Not here: what the groups are (`segments.release`).
Sources: no cell of 1 to 10, nor anything it can be derived from (US CMS, https://resdac.org/node/1506); dominance
and p% for sums (https://sdctools.github.io/HandbookSDC/04-magnitude-tabular-data.html). k-anonymity alone does
not prevent that a property which all members share becomes known of each.
"""

__all__: list[str] = []
