"use strict";

const FEW = 6; // rows that need no filter

// Tables: a heading sorts, a box under it filters. Rows stay in the page's order where they tie.

/** The number that a cell begins with, "1,024" or "0.91 [0.88, 0.93]"; null where it has none. */
function numberOf(text) {
  const digits = text.replace(/,/g, "").replace("\u2212", "-");
  const number = parseFloat(digits);
  return Number.isNaN(number) || !/^[-.\d]/.test(digits) ? null : number;
}

/** Ascending, numbers as numbers; a cell that holds nothing comes last in either direction. */
function compare(first, second, direction) {
  const missing = "–";
  if (first === missing || second === missing) {
    return (first === missing) - (second === missing);
  }
  const [low, high] = [numberOf(first), numberOf(second)];
  if (low !== null && high !== null && low !== high) {
    return direction * (low - high);
  }
  return direction * first.localeCompare(second, "en", { numeric: true });
}

/** Whether a cell is what was asked for: a word in it, or a comparison such as ">0.9". */
function matches(text, asked) {
  const [, sign, limit] = asked.match(/^\s*(<=|>=|<|>|=)\s*(-?[\d.,]+(?:e-?\d+)?)\s*$/i) || [];
  if (sign === undefined) {
    return text.toLowerCase().includes(asked.trim().toLowerCase());
  }
  const [value, bound] = [numberOf(text), parseFloat(limit.replace(/,/g, ""))];
  if (value === null) {
    return false;
  }
  return { "<": value < bound, ">": value > bound, "<=": value <= bound, ">=": value >= bound, "=": value === bound }[sign];
}

function makeSortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row) => ({ row, texts: [...row.cells].map((cell) => cell.textContent.trim()) }));
  const caption = table.caption.textContent;
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const ascending = heading.getAttribute("aria-sort") !== "ascending";
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
      const sorted = [...rows].sort((first, second) => compare(first.texts[column], second.texts[column], ascending ? 1 : -1));
      body.append(...sorted.map(({ row }) => row));
    });
  });
  if (rows.length < FEW) {
    return;
  }
  const filters = table.tHead.insertRow();
  filters.className = "filters";
  const boxes = headings.map((heading) => {
    const box = document.createElement("input");
    box.type = "search";
    box.setAttribute("aria-label", `filter ${heading.textContent.trim()}`);
    box.addEventListener("input", filter);
    filters.appendChild(document.createElement("td")).append(box);
    return box;
  });

  function filter() {
    const asked = boxes.flatMap((box, column) => (box.value.trim() ? [[column, box.value]] : []));
    let kept = 0;
    for (const { row, texts } of rows) {
      row.hidden = !asked.every(([column, value]) => matches(texts[column], value));
      kept += row.hidden ? 0 : 1;
    }
    table.caption.textContent = asked.length ? `${caption}: ${kept} of ${rows.length} rows` : caption;
  }
}

// Figures: the numbers of the mark that is nearest to the pointer, or chosen by the arrow keys.

const REACH = 14; // in the figure's points
const tip = document.createElement("div");
tip.id = "tip";
tip.setAttribute("role", "status");
tip.hidden = true;

function hide(plot) {
  tip.hidden = true;
  plot.querySelector(".ring")?.remove();
}

function show(plot, data, [series, x, y, saidX, saidY]) {
  const svg = plot.querySelector("svg");
  const [panel, name, labelX, labelY] = data.series[series];
  hide(plot);
  const ring = document.createElementNS(svg.namespaceURI, "circle");
  for (const [key, value] of Object.entries({ class: "ring", cx: x, cy: y, r: 5 })) {
    ring.setAttribute(key, value);
  }
  svg.append(ring);
  const title = document.createElement("b");
  title.textContent = [name, panel].filter(Boolean).join(" · ");
  const lines = [[labelX, saidX], [labelY, saidY]].map(([label, said]) => {
    const line = document.createElement("span");
    line.textContent = label ? `${label}: ${said}` : said;
    return line;
  });
  tip.replaceChildren(title, ...lines);
  tip.hidden = false;
  const place = ring.getBoundingClientRect();
  const [width, height] = [tip.offsetWidth, tip.offsetHeight];
  const left = place.right + 8 + width > innerWidth ? place.left - 8 - width : place.right + 8;
  const within = (value, most) => Math.min(Math.max(4, value), Math.max(4, most - 4));
  tip.style.left = `${scrollX + within(left, innerWidth - width)}px`;
  tip.style.top = `${scrollY + within(place.top - 8, innerHeight - height)}px`;
}

function makeReadable(figure) {
  const plot = figure.querySelector(".plot");
  const svg = plot.querySelector("svg");
  const data = JSON.parse(figure.querySelector("script").textContent);
  let chosen = -1;

  function nearest(event) {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let [best, reach] = [-1, REACH];
    data.points.forEach(([, x, y], place) => {
      const distance = Math.hypot(x - at.x, y - at.y);
      if (distance < reach) {
        [best, reach] = [place, distance];
      }
    });
    return best;
  }

  function choose(place) {
    chosen = place;
    if (place < 0) {
      hide(plot);
    } else {
      show(plot, data, data.points[place]);
    }
  }

  plot.addEventListener("pointermove", (event) => choose(nearest(event)));
  plot.addEventListener("pointerdown", (event) => choose(nearest(event)));
  plot.addEventListener("pointerleave", () => hide(plot));
  plot.addEventListener("blur", () => hide(plot));
  plot.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (event.key === "Escape") {
      hide(plot);
    } else if (step && data.points.length) {
      event.preventDefault();
      const from = chosen < 0 && step < 0 ? 0 : chosen;
      choose((from + step + data.points.length) % data.points.length);
      plot.querySelector(".ring").scrollIntoView({ block: "nearest", inline: "nearest" });
      show(plot, data, data.points[chosen]); // where it now is
    }
  });
}

document.documentElement.classList.add("has-script");
document.body.append(tip);
document.querySelectorAll("table[data-sortable]").forEach(makeSortable);
document.querySelectorAll("figure").forEach(makeReadable);
