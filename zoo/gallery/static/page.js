// What every page does: sort tables, copy commands, and fill in the address of this hub.

const root = document.body.dataset.root;
const hub = new URL(root || "./", location.href).href.replace(/\/$/, "");
for (const place of document.querySelectorAll(".hub")) place.textContent = hub;

for (const table of document.querySelectorAll("table.sortable")) makeSortable(table);
for (const block of document.querySelectorAll(".copy")) makeCopyable(block);
// A drawing begins in its middle, where its first box is.
for (const box of document.querySelectorAll(".drawing")) box.scrollLeft = (box.scrollWidth - box.clientWidth) / 2;

// On a phone rows become blocks, for which browsers forget that they are a table's.
const ROLES = { table: "table", thead: "rowgroup", tbody: "rowgroup", tr: "row", td: "cell" };
for (const table of document.querySelectorAll("table.stacked")) {
  table.setAttribute("role", "table");
  for (const part of table.querySelectorAll(Object.keys(ROLES).join())) {
    part.setAttribute("role", ROLES[part.localName]);
  }
  for (const head of table.querySelectorAll("th")) {
    head.setAttribute("role", head.scope === "col" ? "columnheader" : "rowheader");
  }
}

function makeSortable(table) {
  const headers = [...table.tHead.rows[0].cells];
  headers.forEach((header, column) => {
    header.querySelector("button")?.addEventListener("click", () => {
      const down = header.getAttribute("aria-sort") === "ascending";
      for (const other of headers) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", down ? "descending" : "ascending");
      sort(table.tBodies[0], column, header.dataset.sort === "number", down);
    });
  });
}

function sort(body, column, numeric, down) {
  const key = (row) => {
    const cell = row.cells[column];
    if (!numeric) return cell.textContent.trim();
    return cell.dataset.value === undefined ? null : Number(cell.dataset.value);
  };
  const compare = (a, b) => {
    // Rows without a number stay at the end, whichever way it is sorted.
    if (a === null || b === null) return (a === null) - (b === null);
    const order = numeric ? a - b : a.localeCompare(b);
    return down ? -order : order;
  };
  const rows = [...body.rows].map((row) => [key(row), row]);
  rows.sort(([a], [b]) => compare(a, b));
  body.append(...rows.map(([, row]) => row));
}

function makeCopyable(block) {
  const button = document.createElement("button");
  button.type = "button";
  button.className = "copy-button";
  button.textContent = "Copy";
  button.setAttribute("aria-label", block.matches("pre") ? "Copy the code" : "Copy the SHA-256");
  const text = block.textContent;
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(block);
      button.textContent = "Selected";
    }
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  if (block.matches("pre")) {
    const holder = document.createElement("div");
    holder.className = "copy-holder";
    block.replaceWith(holder);
    holder.append(block, button);
  } else {
    block.after(button);
  }
}
