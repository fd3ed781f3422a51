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
