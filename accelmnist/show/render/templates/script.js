// What a reader can do with the page: choose a theme, sort tables, open cells of the confusion matrix, look at neurons.
// Without this script everything is there all the same, but for the images behind the cells and the neurons' details.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("report-data").textContent);

  const element = (tag, attributes = {}, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };

  const tile = (image) => {
    const made = element("span", { class: `tile sheet-${image.sheet}`, role: "img", "aria-label": image.alt });
    made.style.setProperty("--x", image.place % data.columns);
    made.style.setProperty("--y", Math.floor(image.place / data.columns));
    return made;
  };

  // --- theme

  const themes = [["auto", "automatic"], ["light", "light"], ["dark", "dark"]];
  const root = document.documentElement;
  const switcher = document.getElementById("theme");
  const storage = (() => { try { return window.localStorage; } catch { return null; } })();

  const setTheme = (name) => {
    const known = themes.find(([theme]) => theme === name) ?? themes[0];
    root.dataset.theme = known[0];
    switcher.querySelector("span").textContent = known[1];
  };
  const nextTheme = () => {
    const place = themes.findIndex(([theme]) => theme === root.dataset.theme);
    const next = themes[(place + 1) % themes.length][0];
    setTheme(next);
    try { storage?.setItem("accelmnist-theme", next); } catch { /* a browser may forbid it: the choice lasts one visit */ }
  };
  switcher.hidden = false;
  switcher.addEventListener("click", nextTheme);
  setTheme((() => { try { return storage?.getItem("accelmnist-theme"); } catch { return null; } })());

  // --- tables

  const collator = new Intl.Collator("en", { numeric: true });

  const compareCells = (one, other) => {
    const [first, second] = [one.dataset.value, other.dataset.value];
    if (first !== undefined && second !== undefined) return Number(first) - Number(second);
    return collator.compare(one.textContent.trim(), other.textContent.trim());
  };

  // What is not known comes last, whichever way is sorted.
  const isUnknown = (cell) => cell.dataset.value === undefined && /^[–∞]?$/.test(cell.textContent.trim());

  const sortBy = (header) => {
    const body = header.closest("table").tBodies[0];
    const isNumber = header.classList.contains("number");
    const before = header.getAttribute("aria-sort");
    const descending = before === null ? isNumber : before === "ascending";
    for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", descending ? "descending" : "ascending");
    const rows = [...body.rows].map((row) => [row, row.cells[header.cellIndex]]);
    rows.sort(([, one], [, other]) => {
      if (isUnknown(one) || isUnknown(other)) return isUnknown(one) - isUnknown(other);
      return descending ? compareCells(other, one) : compareCells(one, other);
    });
    body.append(...rows.map(([row]) => row));
  };

  for (const button of document.querySelectorAll("table.sortable .sort")) {
    button.addEventListener("click", () => sortBy(button.closest("th")));
  }

  // --- arrow keys: one of many buttons is in the order of the Tab key, the others are reached from it

  const roam = (buttons, step) => {
    const focus = (place) => {
      for (const button of buttons) button.tabIndex = -1;
      buttons[place].tabIndex = 0;
      buttons[place].focus();
    };
    buttons.forEach((button, place) => {
      button.tabIndex = place === 0 ? 0 : -1;
      button.addEventListener("keydown", (event) => {
        const next = step(place, event.key);
        if (next === undefined) return;
        event.preventDefault();
        if (next !== null) focus(next);
      });
    });
  };

  // --- the confusion matrix

  const table = document.getElementById("confusion");
  const drawer = document.getElementById("confusion-images");

  const fillDrawer = (cell) => {
    const left = cell.count - cell.tiles.length;
    const more = left > 0 ? `; ${cell.tiles.length} are shown` : "";
    const order = "the figure is the score of the answer";
    const tiles = cell.tiles.map(({ image, caption }) =>
      element("span", { class: "captioned" }, tile(image), element("span", { "aria-hidden": "true" }, caption)));
    drawer.replaceChildren(element("p", {}, `${cell.label}${more}; ${order}.`), element("div", { class: "tiles" }, ...tiles));
  };

  const toggleCell = (button, buttons) => {
    const opens = button.getAttribute("aria-expanded") === "false";
    for (const other of buttons) other.setAttribute("aria-expanded", "false");
    button.setAttribute("aria-expanded", String(opens));
    drawer.hidden = !opens;
    if (opens) fillDrawer(data.cells.flat()[Number(button.dataset.cell)]);
  };

  // The nearest button in the direction of the key: cells without mistakes have none.
  const cellStep = (buttons, classes) => (place, key) => {
    const [row, column] = [Math.floor(Number(buttons[place].dataset.cell) / classes), Number(buttons[place].dataset.cell) % classes];
    const at = (button) => [Math.floor(Number(button.dataset.cell) / classes), Number(button.dataset.cell) % classes];
    const fits = {
      ArrowRight: ([y, x]) => y === row && x > column, ArrowLeft: ([y, x]) => y === row && x < column,
      ArrowDown: ([y, x]) => x === column && y > row, ArrowUp: ([y, x]) => x === column && y < row,
    }[key];
    if (key === "Home") return 0;
    if (key === "End") return buttons.length - 1;
    if (fits === undefined) return undefined;
    const found = buttons.map((button, index) => [index, at(button)]).filter(([, where]) => fits(where));
    const distance = ([, [y, x]]) => Math.abs(y - row) + Math.abs(x - column);
    return found.length ? found.reduce((best, other) => (distance(other) < distance(best) ? other : best))[0] : null;
  };

  if (table && drawer) {
    const buttons = [...table.querySelectorAll("button[data-cell]")];
    for (const button of buttons) button.addEventListener("click", () => toggleCell(button, buttons));
    if (buttons.length) roam(buttons, cellStep(buttons, data.cells.length));
    drawer.addEventListener("keydown", (event) => { if (event.key === "Escape") drawer.hidden = true; });
  }

  // --- the atlas

  const detail = document.getElementById("neuron");
  const cards = [...document.querySelectorAll("button[data-card]")];

  const barRow = (bar) => {
    const fill = element("span", { class: "fill" });
    fill.style.setProperty("--share", bar.share);
    return element("div", { class: bar.is_own ? "row own" : "row" },
      element("span", {}, bar.label), element("span", { class: "track" }, fill), element("span", {}, bar.text));
  };

  const showCard = (button) => {
    for (const other of cards) other.removeAttribute("aria-current");
    button.setAttribute("aria-current", "true");
    const card = data.cards[Number(button.dataset.card)];
    const facts = card.facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value)));
    const images = card.exciting.length
      ? [element("h4", {}, "excites it most"), element("div", { class: "tiles" }, ...card.exciting.map(tile))] : [];
    detail.replaceChildren(
      element("h3", {}, card.name),
      element("div", { class: "pair" }, tile(card.grey), tile(card.signed)),
      element("p", {}, card.sentence),
      element("h4", {}, detail.dataset.bars), ...card.bars.map(barRow),
      ...images,
      element("dl", { class: "facts" }, ...facts),
    );
  };

  const columnsOf = () => {
    const top = cards[0].offsetTop;
    const next = cards.findIndex((card) => card.offsetTop > top);
    return next < 0 ? cards.length : next;
  };

  const cardStep = (place, key) => {
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: columnsOf(), ArrowUp: -columnsOf() };
    if (key === "Home") return 0;
    if (key === "End") return cards.length - 1;
    if (!(key in steps)) return undefined;
    const next = place + steps[key];
    return next >= 0 && next < cards.length ? next : null;
  };

  if (detail && cards.length) {
    for (const button of cards) {
      for (const kind of ["focus", "pointerenter", "click"]) button.addEventListener(kind, () => showCard(button));
    }
    roam(cards, cardStep);
    showCard(cards[0]);
  }
})();
