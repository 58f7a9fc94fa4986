"use strict";
(() => {
  const box = document.querySelector(".filters");
  if (!box) return;
  const search = box.querySelector("input[type=search]");
  const choices = [...box.querySelectorAll("select[data-key]")];
  const tables = [...document.querySelectorAll("table.sortable[id]")];
  const controls = new Map([["q", search], ...choices.map((each) => [each.dataset.key, each])]);

  // A board without a row left goes, and so does a kind of machine without a board. A drawing shows
  // all rows of its board or nothing.
  const fold = () => {
    let left = 0;
    for (const kind of document.querySelectorAll("section.kind")) {
      let here = 0;
      for (const board of kind.querySelectorAll("section.board")) {
        const rows = [...board.querySelectorAll("tbody tr")];
        const shown = rows.filter((row) => !row.hidden).length;
        board.hidden = shown === 0;
        for (const figure of board.querySelectorAll("figure")) figure.hidden = shown < rows.length;
        here += shown;
      }
      kind.hidden = here === 0;
      left += here;
    }
    document.getElementById("nothing").hidden = left > 0;
  };

  const sorted = () =>
    tables.flatMap((table) =>
      [...table.tHead.rows[0].cells].flatMap((heading, index) => {
        const direction = heading.getAttribute("aria-sort");
        return direction ? [`${table.id}.${index}.${direction}`] : [];
      }),
    );

  // What is chosen stands in the address, so that it can be passed on.
  const write = () => {
    const state = new URLSearchParams();
    for (const [key, control] of controls) if (control.value) state.set(key, control.value);
    const order = sorted().join(",");
    if (order) state.set("sort", order);
    const text = state.toString();
    history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
  };

  const read = () => {
    const text = location.hash.slice(1);
    if (text && !text.includes("=")) return; // a place on the page
    const state = new URLSearchParams(text);
    for (const [key, control] of controls) {
      control.value = state.get(key) ?? "";
      if (control.tagName === "SELECT" && control.selectedIndex < 0) control.value = "";
    }
    const requested = new Map();
    for (const each of (state.get("sort") ?? "").split(",")) {
      const [id, index, direction] = each.split(".");
      requested.set(id, [Number(index), direction]);
    }
    for (const table of tables) {
      const [index, direction] = requested.get(table.id) ?? [];
      [...table.tHead.rows[0].cells].forEach((heading, place) => {
        const goal = place === index && /^(as|des)cending$/.test(direction) ? direction : null;
        const button = heading.querySelector("button");
        // A heading goes from unsorted to up, down, and back.
        for (let tries = 0; button && tries < 3; tries += 1) {
          if (heading.getAttribute("aria-sort") === goal) break;
          if (goal === null && place !== index && requested.has(table.id)) break;
          button.click();
        }
      });
    }
    box.dispatchEvent(new Event("input", { bubbles: true }));
  };

  let reading = false;
  const restore = () => {
    reading = true;
    read();
    reading = false;
    fold();
  };
  box.addEventListener("input", () => {
    fold();
    if (!reading) write();
  });
  for (const table of tables) {
    table.tHead.addEventListener("click", () => {
      if (!reading) write();
    });
  }
  addEventListener("hashchange", restore);
  restore();
})();
