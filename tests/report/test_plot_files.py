from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from markupsafe import Markup

from dfpg.report.plot_files import write_plots
from dfpg.report.svg import draw_chart

SVG = "{http://www.w3.org/2000/svg}"


def chart(name: str) -> Markup:
    return draw_chart(name, "a < b & c", lambda axes: axes.plot([0, 1], [0, 1], "o"))


def test_a_chart_is_a_picture_of_its_own_that_loads_nothing(tmp_path):
    write_plots(tmp_path, [chart("one")])
    root = ElementTree.parse(tmp_path / "one.svg").getroot()
    assert root.tag == f"{SVG}svg"
    assert [int(root.attrib[side]) for side in ("width", "height")] == [324, 238]
    assert root.findtext(f"{SVG}title") == "a < b & c"
    links = [value for part in root.iter() for key, value in part.attrib.items() if "href" in key]
    assert links
    assert all(link.startswith("#one-") for link in links)


def test_charts_that_are_no_more_are_removed(tmp_path):
    write_plots(tmp_path, [chart("one"), chart("two")])
    write_plots(tmp_path, [chart("two")])
    assert [path.name for path in tmp_path.iterdir()] == ["two.svg"]


def test_what_is_no_chart_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not a chart"):
        write_plots(tmp_path, [Markup("<svg>")])


def test_the_report_draws_its_columns_and_the_runs_that_there_are(made, config):
    names = {path.stem for path in Path(made / "artifacts" / "plots").iterdir()}
    assert {"table1-shen-helen-psnr", "table3-shen-celeba-detection_pct", "ablation-psnr"} <= names
    trained = {path.stem for path in (made / "artifacts" / "history").glob("*.csv")}
    drawn = {name.split("-")[-1] for name in names if name.startswith("training-")}
    assert drawn == trained & {*config.runs}
