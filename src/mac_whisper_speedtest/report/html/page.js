"use strict";
(() => {
  const root = document.documentElement;

  // Light or dark: as the system prefers, until the button is used. Nothing is stored.
  const theme = document.querySelector("button.theme");
  const isDark = () =>
    root.dataset.theme
      ? root.dataset.theme === "dark"
      : matchMedia("(prefers-color-scheme: dark)").matches;
  const nameTheme = () => {
    theme.textContent = isDark() ? "Light" : "Dark";
    theme.setAttribute("aria-label", isDark() ? "Show it light" : "Show it dark");
  };
  theme.addEventListener("click", () => {
    root.dataset.theme = isDark() ? "light" : "dark";
    nameTheme();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", nameTheme);
  nameTheme();
  theme.hidden = false;

  // Sorting: up, down, and back to the order in which the page came.
  const collator = new Intl.Collator("en", { numeric: true });
  const valueOf = (row, index) => {
    const cell = row.cells[index];
    if (!cell) return "";
    const text = cell.dataset.value ?? cell.textContent.trim();
    return text === "\u2013" ? "" : text;
  };
  const compare = (a, b) => {
    const [x, y] = [Number(a), Number(b)];
    return Number.isNaN(x) || Number.isNaN(y) ? collator.compare(a, b) : x - y;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const headings = [...table.tHead.rows[table.tHead.rows.length - 1].cells];
    const original = new Map();
    for (const body of table.tBodies) original.set(body, [...body.rows]);
    const sort = (heading, index) => {
      const next = { ascending: "descending", descending: "none" };
      const direction = next[heading.getAttribute("aria-sort")] ?? "ascending";
      for (const each of headings) each.removeAttribute("aria-sort");
      if (direction !== "none") heading.setAttribute("aria-sort", direction);
      const sign = direction === "descending" ? -1 : 1;
      for (const [body, rows] of original) {
        const ordered = [...rows];
        if (direction !== "none") {
          const values = new Map(rows.map((row) => [row, valueOf(row, index)]));
          ordered.sort((one, other) => {
            const [a, b] = [values.get(one), values.get(other)];
            if (a === "" || b === "") return (a === "") - (b === "");
            return sign * compare(a, b);
          });
        }
        body.append(...ordered);
      }
    };
    headings.forEach((heading, index) => {
      if (heading.classList.contains("unsortable")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      button.addEventListener("click", () => sort(heading, index));
      heading.append(button);
    });
  }

  // Filtering: every word must stand in the row, and every choice must be the row's own.
  for (const box of document.querySelectorAll(".filters")) {
    const tables = box.dataset.for.split(" ").map((id) => document.getElementById(id));
    const search = box.querySelector("input[type=search]");
    const choices = [...box.querySelectorAll("select[data-key]")];
    const output = box.querySelector("output");
    const apply = () => {
      const words = search ? search.value.toLowerCase().split(/\s+/).filter(Boolean) : [];
      let shown = 0;
      let all = 0;
      for (const table of tables) {
        for (const body of table.tBodies) {
          let here = 0;
          for (const row of body.rows) {
            const text = words.length ? row.textContent.toLowerCase() : "";
            const matches =
              choices.every((each) => !each.value || row.getAttribute(`data-${each.dataset.key}`) === each.value) &&
              words.every((word) => text.includes(word));
            row.hidden = !matches;
            here += matches;
            all += 1;
          }
          body.hidden = here === 0;
          shown += here;
        }
      }
      if (output) output.textContent = shown === all ? `${all} rows` : `${shown} of ${all} rows`;
    };
    box.addEventListener("input", apply);
    apply();
    box.hidden = false;
  }

  // On paper nothing can be unfolded.
  const opened = [];
  addEventListener("beforeprint", () => {
    for (const each of document.querySelectorAll("details:not([open]):not(.long)")) {
      each.open = true;
      opened.push(each);
    }
  });
  addEventListener("afterprint", () => {
    for (const each of opened.splice(0)) each.open = false;
  });
})();
