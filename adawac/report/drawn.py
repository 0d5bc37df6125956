"""The chapter on what the network was shown: how often slices were drawn, and what they held."""

from collections.abc import Iterable
from statistics import fmean

from adawac.report.blocks import Block, Table
from adawac.report.contents import Contents
from adawac.report.details import Columns, method_table, subheading
from adawac.report.runs import nouns
from adawac.report.wording import number, spread


def drawn(report: Contents) -> Iterable[Block]:
    """Tables of the draws of each method, where runs have recorded them."""
    one, many = nouns(report.runs)
    for subset in report.subsets:
        methods = [method for method in subset.methods if method.draws]
        if not methods:
            continue
        yield from subheading(report, subset)
        columns: Columns = {
            "label-dense": lambda method: number(fmean(each.dense for each in method.draws)),
            "least": lambda method: spread([each.least for each in method.draws]),
            "median": lambda method: spread([each.median for each in method.draws]),
            "most": lambda method: spread([each.most for each in method.draws]),
            f"effective {many}": lambda method: spread([round(each.effective) for each in method.draws]),
        }
        yield method_table(
            "draws",
            methods,
            columns,
            f"Share of the draws that were of label-dense {many}; draws of the {one} that came least often, of the one "
            f"in the middle and of the one that came most often; so many {many}, drawn equally often, would vary as "
            "much. Shares are means over runs, counts from the least run to the most.",
        )
        classes = tuple(dict.fromkeys(name for method in methods for each in method.draws for name in each.of_class))
        yield Table(
            ("draws", *classes),
            tuple(
                (method.name, *(number(fmean(each.of_class.get(name, 0) for each in method.draws)) for name in classes))
                for method in methods
            ),
            f"Share of the draws that held each class; a {one} may hold several.",
        )
