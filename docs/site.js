// The theme puts wide tables into boxes that scroll, which a keyboard then has to reach.
const reach = () => {
  for (const box of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) {
    const heading = box.querySelector("th")?.textContent.trim();
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", heading ? `Table: ${heading}` : "Table");
  }
};
new MutationObserver(reach).observe(document.documentElement, { childList: true, subtree: true });
