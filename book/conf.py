"""Sphinx' settings for the book; ``book/build.py`` makes what it reads."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

project = "crackviz"
html_title = "crackviz"
author = "crackviz contributors"
extensions = ["myst_nb", "formulas"]
html_math_renderer = "mathml"
nb_execution_mode = "off"  # the committed outputs are shown
nb_merge_streams = True
nb_ipywidgets_js: dict[str, object] = {}  # they would be fetched from the net
nb_number_source_lines = False
myst_enable_extensions = ["dollarmath", "amsmath"]
myst_heading_anchors = 0  # every anchor is written out in the text
suppress_warnings = ["mystnb.unknown_mime_type"]
html_theme = "sphinx_book_theme"
html_theme_options = {
    "use_download_button": False,
    "use_fullscreen_button": False,
    "show_navbar_depth": 1,
    "show_toc_level": 2,
    "home_page_in_toc": True,
}
html_copy_source = False
html_show_sourcelink = False
