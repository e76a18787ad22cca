"""report.html: what came of a run or a sweep, on one page that opens anywhere, offline."""

FIGURES = "figures.json"  # what the page draws and report.json has no room for
PAGE = "report.html"
