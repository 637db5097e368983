"use strict";
(() => {
  const number = (n) => n.toLocaleString("en-US");
  const tip = document.getElementById("tip");
  const maps = [...document.querySelectorAll("svg.map")];
  const turns = document.getElementById("turns");
  const layers = [...document.querySelectorAll("#layers tbody tr")];

  const showTip = (event, lines) => {
    tip.replaceChildren(...lines.map((line, i) => {
      const part = document.createElement(i ? "div" : "b");
      part.textContent = line;
      return part;
    }));
    tip.style.display = "block";
    const x = Math.min(event.clientX + 14, innerWidth - tip.offsetWidth - 8);
    const below = event.clientY + 16 + tip.offsetHeight < innerHeight;
    tip.style.left = `${Math.max(8, x)}px`;
    tip.style.top = `${below ? event.clientY + 16 : Math.max(8, event.clientY - tip.offsetHeight - 12)}px`;
  };
  const hideTip = () => { tip.style.display = "none"; };

  const highlightLayer = (index) => {
    for (const row of layers) row.classList.toggle("on", index !== null && row.dataset.layer === String(index));
    for (const box of document.querySelectorAll(".graph g"))
      box.classList.toggle("on", index !== null && box.dataset.layer === String(index));
  };

  if (turns) {
    const width = turns.viewBox.baseVal.width;
    const owners = [];
    for (const run of turns.dataset.order.split(" ")) {
      const [layer, calls] = run.split(":").map(Number);
      for (let i = 0; i < calls; i++) owners.push(layer);
    }
    // The rectangles are read back from the paths: one source for what is seen and what is told.
    const spans = [];
    const shapes = [...document.querySelectorAll("svg.map path.shape")];
    shapes.forEach((shape, s) => {
      const map = shape.ownerSVGElement, arena = map.viewBox.baseVal.height;
      const rows = shape.dataset.rows.split(" ");
      let i = 0;
      for (const m of shape.getAttribute("d").matchAll(/M(\d+) (\d+)h(\d+)v(\d+)/g)) {
        const [x, y, w, h] = m.slice(1).map(Number);
        const [row, count] = rows[i++].split(":").map(Number);
        spans.push({ s, map, row, count, start: x, end: x + w, at: arena - y - h, size: h });
      }
    });
    const cursors = [...document.querySelectorAll(".plot .cursor")];
    const names = layers.map((row) => row.dataset.name);
    const entries = [...document.querySelectorAll("#tensors tbody tr")];

    const highlight = (s) => {
      for (const map of maps) map.classList.toggle("dim", s !== null);
      shapes.forEach((shape, i) => shape.classList.toggle("on", i === s));
      entries.forEach((row, i) => row.classList.toggle("on", i === s));
    };
    const when = (time) => {
      if (time <= 0) return "the caller writes the input";
      if (time > owners.length) return "the caller reads the output";
      return `call ${number(time)} of ${number(owners.length)}: layer ${owners[time - 1]} ${names[owners[time - 1]] ?? ""}`;
    };
    const clear = () => {
      hideTip(); highlight(null); highlightLayer(null);
      for (const c of cursors) c.style.display = "none";
    };
    const point = (event) => {
      const map = event.currentTarget, box = map.getBoundingClientRect();
      const part = (event.clientX - box.left) / box.width;
      const time = Math.min(width - 1, Math.max(0, Math.floor(part * width)));
      for (const c of cursors) { c.style.display = "block"; c.style.left = `${part * 100}%`; }
      const alive = spans.filter((p) => p.start <= time && time < p.end);
      const bytes = alive.reduce((sum, p) => sum + p.size, 0);
      highlightLayer(time > 0 && time <= owners.length ? owners[time - 1] : null);
      if (!maps.includes(map)) {
        highlight(null);
        showTip(event, [`${number(bytes)} bytes alive`, when(time)]);
        return;
      }
      const address = map.viewBox.baseVal.height * (1 - (event.clientY - box.top) / box.height);
      const hit = alive.find((p) => p.map === map && p.at <= address && address < p.at + p.size);
      if (!hit) {
        highlight(null);
        showTip(event, ["free here", when(time), `${number(bytes)} bytes alive in all`]);
        return;
      }
      highlight(hit.s);
      const mine = alive.filter((p) => p.s === hit.s);
      const held = mine.reduce((sum, p) => sum + p.size, 0), kept = mine.reduce((sum, p) => sum + p.count, 0);
      const rows = hit.row < 0 ? "working memory of the layer"
        : hit.count > 1 ? `rows ${hit.row}–${hit.row + hit.count - 1}` : `row ${hit.row}`;
      const { tensor, maker } = shapes[hit.s].dataset;
      showTip(event, [tensor, maker ? `made by ${maker}` : "",
        `${rows}: ${number(hit.size)} bytes at ${number(hit.at)}`,
        hit.row < 0 ? "" : `${number(kept)} rows alive, ${number(held)} bytes`,
        `from call ${number(hit.start)} to ${number(hit.end - 1)}`, when(time)].filter(Boolean));
    };
    for (const svg of document.querySelectorAll(".plot svg")) {
      svg.addEventListener("pointermove", point);
      svg.addEventListener("pointerdown", point);
      svg.addEventListener("pointerleave", clear);
    }
    entries.forEach((row, i) => {
      row.addEventListener("pointerenter", () => highlight(i));
      row.addEventListener("focus", () => highlight(i));
      row.addEventListener("pointerleave", () => highlight(null));
      row.addEventListener("blur", () => highlight(null));
    });
    addEventListener("scroll", clear, { passive: true });
  }

  for (const row of layers) {
    row.addEventListener("pointerenter", () => highlightLayer(row.dataset.layer));
    row.addEventListener("pointerleave", () => highlightLayer(null));
  }

  for (const table of document.querySelectorAll("table.sortable")) {
    const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = head.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const numeric = head.classList.contains("n");
        const was = head.getAttribute("aria-sort");
        const down = was ? was === "ascending" : numeric;
        for (const h of heads) h.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const value = (row) => row.cells[column].dataset.v ?? row.cells[column].textContent;
        const rows = [...body.rows].sort((a, b) =>
          numeric ? Number(value(a)) - Number(value(b)) : value(a).localeCompare(value(b)));
        if (down) rows.reverse();
        body.append(...rows);
      });
    });
  }
})();
