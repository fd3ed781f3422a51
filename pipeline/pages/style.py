"""The page's style and its script, which sorts tables."""

STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --muted: #57606a; --line: #d0d7de; --soft: #f4f6f8;
  --link: #0b57b0; --complete: #1f5fa8; --pruned: #7c858f; --best: #c8344a; --grid: #e6e9ec; --bad: #a4262c;
  --conv: #dbe9f8; --pool: #dcefe0; --dense: #eae2f7; --attend: #fdebcf; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e6e9ed; --muted: #a3adb8; --line: #39424d;
  --soft: #1d232a; --link: #7db8ff; --complete: #69aefc; --pruned: #8d97a3; --best: #ff7b8a; --grid: #2b333c;
  --bad: #ff938f; --conv: #1d3a5a; --pool: #1f4230; --dense: #3a2e57; --attend: #50401f; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif;
  overflow-wrap: break-word; }
main, header, footer { max-width: 70rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 1.5rem; }
footer { padding: 1rem 1rem 3rem; color: var(--muted); }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .5rem; }
h2 { font-size: 1.3rem; margin: 2.5rem 0 .75rem; padding-top: .75rem; border-top: 1px solid var(--line); }
h3 { font-size: 1.05rem; margin: 1.5rem 0 .5rem; }
a { color: var(--link); }
:focus-visible { outline: 2px solid var(--link); outline-offset: 2px; }
.verdict { font-size: 1.1rem; max-width: 48rem; margin: .5rem 0; }
nav ul { display: flex; flex-wrap: wrap; gap: .25rem 1.1rem; list-style: none; margin: 1rem 0 0; padding: 0; }
figure { margin: 0 0 1.5rem; } .scroll + figure { margin-top: 1.5rem; }
figcaption, .note { color: var(--muted); font-size: .92rem; max-width: 48rem; }
.scroll { overflow: auto; max-width: 100%; background: linear-gradient(90deg, var(--paper) 30%, transparent) left,
  linear-gradient(270deg, var(--paper) 30%, transparent) right, linear-gradient(90deg, var(--line), transparent) left,
  linear-gradient(270deg, var(--line), transparent) right; background-repeat: no-repeat;
  background-size: 2rem 100%, 2rem 100%, .8rem 100%, .8rem 100%; background-attachment: local, local, scroll, scroll; }
.tall { max-height: 85vh; }
figure .scroll > img { max-width: none; }
svg.plot { display: block; max-width: 100%; min-width: min(40rem, var(--wide)); height: auto; fill: currentColor; }
svg.plot * { stroke-linejoin: round; stroke-linecap: butt; }
svg.plot text { font-family: system-ui, sans-serif !important; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--muted); padding: 0 0 .4rem; }
th, td { padding: .3rem .6rem; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th.number, td.number { text-align: right; white-space: nowrap; }
thead th.number { white-space: normal; }
thead th { position: sticky; top: 0; background: var(--soft); z-index: 1; vertical-align: bottom; }
tfoot th, tfoot td { font-weight: 600; }
tbody th { font-weight: 600; }
td.words { min-width: 11rem; }
td.chosen, th.chosen { background: var(--conv); }
td.failed { color: var(--bad); font-weight: 600; }
td.complete { color: var(--complete); font-weight: 600; }
th button { font: inherit; color: inherit; background: none; border: 0; padding: 0; cursor: pointer; }
th button::after { content: "\\2195"; opacity: .45; padding-left: .3em; display: inline-block; width: 1.2em; }
th[aria-sort=ascending] button::after { content: "\\2191"; opacity: 1; }
th[aria-sort=descending] button::after { content: "\\2193"; opacity: 1; }
.outline { display: flex; flex-wrap: wrap; gap: 1rem .25rem; list-style: none; margin: 0 0 .75rem; padding: 0; }
.outline li { position: relative; padding-left: 1.1rem; max-width: 100%; }
.outline li + li::before { content: "\\2192"; position: absolute; left: 0; top: -.2rem; color: var(--muted); }
svg.card { display: block; max-width: 100%; height: auto; font: 12px system-ui, sans-serif; fill: var(--ink); }
svg.card text { text-anchor: middle; }
svg.card .heading { font-weight: 700; font-size: 14px; text-anchor: start; }
svg.card .title { font-weight: 600; font-size: 13px; }
svg.card .shape { text-anchor: start; fill: var(--muted); }
svg.card .aside { fill: var(--best); font-size: 11px; }
svg.card rect { stroke: var(--line); fill: var(--soft); }
svg.card rect.conv { fill: var(--conv); }
svg.card rect.pool { fill: var(--pool); }
svg.card rect.dense { fill: var(--dense); }
svg.card rect.attend { fill: var(--attend); }
svg.card .flow { stroke: var(--muted); fill: none; }
svg.card .tip { fill: var(--muted); }
svg.card .arc { stroke: var(--best); stroke-width: 1.5; fill: none; }
svg.card .arc-tip { fill: var(--best); }
@media (max-width: 40rem) { svg.plot { min-width: min(22rem, 100%, var(--wide)); }
  svg.plot.wide { min-width: min(40rem, var(--wide)); }
  table { font-size: .8rem; } th, td { padding: .25rem .35rem; } td.words { min-width: 11rem; }
  .tall:has(table.stacked) { max-height: none; } table.stacked caption { display: block; }
  table.stacked thead { display: none; } table.stacked, table.stacked tbody { display: block; }
  table.stacked tr { display: block; border-bottom: 1px solid var(--line); padding: .4rem 0; }
  table.stacked tbody :is(th, td) { display: block; border: 0; padding: .05rem 0; text-align: left; }
  table.stacked td:not(:empty)::before { content: attr(data-label) ": "; color: var(--muted); font-weight: 400; } }
@media print { .scroll { overflow: visible; max-height: none; } }
"""

SCRIPT = """
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, place) => head.querySelector("button").addEventListener("click", () => {
    const first = head.dataset.first, other = first === "ascending" ? "descending" : "ascending";
    const order = head.getAttribute("aria-sort") === first ? other : first;
    for (const each of heads) each.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", order);
    const keyed = [...body.rows].map(row => {
      const cell = row.cells[place];
      return [cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value), row];
    });
    const sign = order === "ascending" ? 1 : -1;
    keyed.sort(([a], [b]) => (a === "") - (b === "") || sign * (a > b ? 1 : a < b ? -1 : 0));
    body.append(...keyed.map(([, row]) => row));
  }));
}
"""
