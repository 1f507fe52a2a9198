"use strict";
(function () {
  const S = JSON.parse(document.getElementById("summary").textContent);
  const BASE = S.protection.base, DITHERED = S.protection.method === "dithered";
  const PAGE = 25, HIDE = S.protection.sensitive_max;
  const $ = (id) => document.getElementById(id);
  const number = new Intl.NumberFormat("en");
  const titles = { participants: "Participants", sex: "Sex", age_band: "Age", race: "Race", ethnicity: "Ethnicity", ancestry: "Predicted genetic ancestry", data: "Kind of data" };
  const groups = { afr: "African", amr: "Admixed American", eas: "East Asian", eur: "European", mid: "Middle Eastern", sas: "South Asian", oth: "Other" };
  const words = { condition_occurrence: "Conditions", device_exposure: "Devices", drug_exposure: "Drugs", measurement: "Measurements", observation: "Observations", procedure_occurrence: "Procedures", visit_occurrence: "Visits", ehr: "Any health record", genomics: "Any genome or array" };
  const label = (s) => groups[s] || words[s] || (s.startsWith("callset ") ? "Callset " + s.slice(8) : s.charAt(0).toUpperCase() + s.slice(1));

  // Everything goes in as text: nothing of the data is ever parsed as HTML.
  function el(tag, attributes, ...children) {
    const node = document.createElement(tag);
    for (const [k, v] of Object.entries(attributes || {})) {
      if (v === undefined || v === null) continue;
      if (k === "class") node.className = v; else if (k.startsWith("on")) node.addEventListener(k.slice(2), v); else node.setAttribute(k, v);
    }
    node.append(...children.filter((c) => c !== null && c !== undefined));
    return node;
  }
  const SVG = "http://www.w3.org/2000/svg";
  function svg(tag, attributes, ...children) {
    const node = document.createElementNS(SVG, tag);
    for (const [k, v] of Object.entries(attributes)) node.setAttribute(k, v);
    node.append(...children);
    return node;
  }
  const count = (n) => (n === 0 && DITHERED ? "< " + BASE : number.format(n));
  function meaning(n) {
    if (!DITHERED) return n === 0 ? "0 people" : (n - BASE + 1) + " to " + n + " people";
    return n === 0 ? "0 to " + (BASE - 1) + " people" : number.format(n - BASE + 1) + " to " + number.format(n + BASE - 1) + " people";
  }
  function bars(cells) {
    const most = Math.max(1, ...cells.map((c) => c.n));
    const list = el("dl", { class: "bars" });
    for (const c of cells) {
      const fill = el("span", { class: "fill" });
      fill.style.width = (100 * c.n) / most + "%";
      if (c.color) fill.style.background = c.color;
      list.append(el("dt", {}, c.name), el("dd", { "aria-hidden": "true" }, el("div", { class: "track" }, fill)), el("dd", { class: "n", title: meaning(c.n) }, count(c.n)));
    }
    return list;
  }

  // Light and dark: the system's choice until the reader makes one.
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  const paint = () => { document.documentElement.dataset.theme = chosen || (dark.matches ? "dark" : "light"); };
  dark.addEventListener("change", paint);
  $("theme").addEventListener("click", () => { chosen = document.documentElement.dataset.theme === "dark" ? "light" : "dark"; paint(); });
  paint();

  // Key numbers and demographics.
  const cells = Object.fromEntries(S.dimensions.map((d) => [d.dimension, d.cells]));
  const find = (d, name) => (cells[d] || []).find((c) => c.name === name);
  const tile = (name, text, title) => $("tiles").append(el("div", {}, el("dt", {}, name), el("dd", { title }, text)));
  const people = (name, cell) => cell && tile(name, count(cell.n), meaning(cell.n));
  people("participants", find("participants", "all"));
  people("with health records", find("data", "ehr"));
  people("with genomic data", find("data", "genomics"));
  tile("concepts listed", number.format(S.concepts.published));
  if (S.callsets.length) tile("variants listed", number.format(S.callsets.reduce((n, c) => n + c.published, 0)));
  for (const d of S.dimensions) {
    if (d.dimension === "participants" || !d.cells.length) continue;
    const shown = d.cells.map((c) => ({ name: label(c.name), n: c.n }));
    if (["data", "race", "ethnicity"].includes(d.dimension)) shown.sort((a, b) => (a.name === "Not stated") - (b.name === "Not stated") || b.n - a.n || (a.name < b.name ? -1 : 1));
    $("charts").append(el("section", { class: "card", "aria-label": titles[d.dimension] }, el("h3", {}, titles[d.dimension]), bars(shown)));
  }

  // A searchable, sortable, paged table.
  function table(o) {
    const body = $(o.id + "-table").tBodies[0], heads = [...$(o.id + "-table").tHead.querySelectorAll("th[data-key]")];
    let rows = [], found = [], page = 0, key = o.key, down = o.down;
    function draw() {
      const pages = Math.max(1, Math.ceil(found.length / PAGE));
      page = Math.min(page, pages - 1);
      body.replaceChildren(...found.slice(page * PAGE, page * PAGE + PAGE).flatMap(o.row));
      if (!found.length) body.append(el("tr", {}, el("td", { colspan: "9" }, el("span", { class: "na" }, rows.length ? o.none : "Nothing to show in this release."))));
      for (const h of heads) {
        if (h.dataset.key === key) h.setAttribute("aria-sort", down ? "descending" : "ascending"); else h.removeAttribute("aria-sort");
      }
      const turn = (text, by, off) => { const b = el("button", { type: "button", onclick: () => { page += by; draw(); } }, text); b.disabled = off; return b; };
      $(o.id + "-pager").replaceChildren(turn("Previous", -1, page === 0), el("span", {}, "Page " + number.format(page + 1) + " of " + number.format(pages)), turn("Next", 1, page >= pages - 1));
      $(o.id + "-status").textContent = number.format(found.length) + " " + o.what + (found.length === 1 ? "" : "s");
    }
    function select() {
      found = rows.filter(o.filter($(o.id + "-search").value.trim().toLowerCase()));
      const value = o.keys[key];
      found.sort((a, b) => { const x = value(a), y = value(b); return (x === y ? 0 : x === null ? 1 : y === null ? -1 : (x < y ? -1 : 1) * (down ? -1 : 1)) || o.tie(a, b); });
      page = 0;
      draw();
    }
    for (const h of heads) h.firstElementChild.addEventListener("click", () => { down = key === h.dataset.key ? !down : o.numeric.includes(h.dataset.key); key = h.dataset.key; select(); });
    let waiting;
    $(o.id + "-search").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(select, 120); });
    return { add(more) { rows = rows.concat(more); select(); }, set(all) { rows = all; select(); }, select };
  }
  function chips(id, options, pick) {
    if (options.length < 2) return;
    const buttons = options.map(([value, text], i) => el("button", { type: "button", "aria-pressed": String(i === 0), onclick: (e) => { for (const b of buttons) b.setAttribute("aria-pressed", String(b === e.currentTarget)); pick(value); } }, text));
    $(id).append(...buttons);
  }

  // Concepts.
  const sexColor = ["var(--s0)", "var(--s1)", "var(--s2)"];
  $("sex-keys").append(...S.sexes.slice(0, 2).map((s, i) => { const k = el("i", {}); k.style.background = sexColor[i]; return el("span", {}, k, s); }));
  function sexBar(c) {
    const all = c.sex[0] + c.sex[1] + c.sex[2], w = 130;
    const said = S.sexes.map((s, i) => s + " " + count(c.sex[i])).join(", ");
    const g = svg("svg", { width: w, height: 12, role: "img", "aria-label": said });
    g.append(svg("rect", { width: w, height: 12, rx: 3, fill: "var(--track)" }));
    let x = 0;
    c.sex.forEach((n, i) => { const part = all ? (w * n) / all : 0; if (part) g.append(svg("rect", { x, width: Math.max(0, part - 1), height: 12, rx: 2, fill: sexColor[i] })); x += part; });
    const t = svg("title", {}); t.textContent = said; g.append(t);
    return g;
  }
  function ageBars(c) {
    const bands = S.age_bands.slice(0, -1), step = 15, h = 28, most = Math.max(1, ...c.age);
    const said = bands.map((b, i) => b + ": " + count(c.age[i])).join(", ");
    const g = svg("svg", { width: step * bands.length, height: h, role: "img", "aria-label": said });
    bands.forEach((b, i) => { const y = Math.max(1.5, (h * c.age[i]) / most); g.append(svg("rect", { x: i * step, y: h - y, width: step - 3, height: y, rx: 1.5, fill: c.age[i] ? "var(--age)" : "var(--line)" })); });
    const t = svg("title", {}); t.textContent = said; g.append(t);
    return g;
  }
  let domain = -1;
  const concepts = table({
    id: "concept", what: "concept", key: "total", down: true, numeric: ["total"], none: "No concept matches. A concept with fewer people than can be shown is not listed.",
    keys: { name: (c) => c.sort, domain: (c) => words[S.domains[c.domain]], total: (c) => c.total },
    tie: (a, b) => b.total - a.total || a.id - b.id || a.domain - b.domain,
    filter: (q) => { const parts = q.split(/\s+/); return (c) => (domain < 0 || c.domain === domain) && parts.every((p) => c.text.includes(p)); },
    row(c) {
      const open = el("button", { class: "open", type: "button", "aria-expanded": "false" }, el("span", { class: "name" }, c.name), el("small", {}, (c.vocabulary ? c.vocabulary + " · " : "") + "concept " + c.id));
      const row = el("tr", { class: "row" }, el("td", {}, open), el("td", { class: "tag" }, words[S.domains[c.domain]]), el("td", { class: "num", title: meaning(c.total) }, count(c.total)), el("td", {}, sexBar(c)), el("td", {}, ageBars(c)));
      let detail = null;
      open.addEventListener("click", () => {
        if (detail) { detail.remove(); detail = null; open.setAttribute("aria-expanded", "false"); return; }
        const pane = (title, names, values, colors) => el("div", {}, el("h4", {}, title), bars(names.map((name, i) => ({ name, n: values[i], color: colors && colors[i] }))));
        detail = el("tr", { class: "detail" }, el("td", { colspan: "5" }, el("div", { class: "panes" }, pane("People by sex", S.sexes.map(label), c.sex, sexColor), pane("People by age at first occurrence", S.age_bands.map(label), c.age, S.age_bands.map(() => "var(--age)")))));
        row.after(detail);
        open.setAttribute("aria-expanded", "true");
      });
      return [row];
    },
  });
  chips("domains", [[-1, "All"]].concat(S.domains.map((d, i) => [i, words[d]]).filter(([i]) => find("data", S.domains[i]))), (d) => { domain = d; concepts.select(); });
  $("concepts-note").textContent = "How many people have each concept in their record at least once, in all, by sex and by age when it first occurred. Select a concept for its numbers." + (S.concepts.shown < S.concepts.published ? " This page has the " + number.format(S.concepts.shown) + " most frequent of " + number.format(S.concepts.published) + " concepts; the table has all." : "");

  // Variants.
  const sets = Object.fromEntries(S.callsets.map((c) => [c.name, { about: c, rows: [] }]));
  let callset = S.callsets.length ? S.callsets[0].name : null;
  const withheld = (why) => el("span", { class: "na", title: why || "Not shown: it would reveal a count of 1 to " + HIDE + " people" }, "withheld");
  const af = (c) => (c[0] === null || c[1] === null || !c[1] ? null : c[0] / c[1]);
  const shown = (f) => (f === 0 ? "0" : f >= 0.001 ? f.toFixed(4) : f.toExponential(2));
  const rank = (c) => { const n = c.replace(/^chr/, ""); return n === "X" ? 23 : n === "Y" ? 24 : n === "M" || n === "MT" ? 25 : Number(n) || 26; };
  const variants = table({
    id: "variant", what: "variant", key: "pos", down: false, numeric: ["ac", "an", "af"], none: "No variant matches. A variant that is not listed may or may not exist.",
    keys: { pos: (v) => v.order, ac: (v) => v.all[0], an: (v) => v.all[1], af: (v) => af(v.all) },
    tie: (a, b) => a.order - b.order || (a.id < b.id ? -1 : 1),
    filter(q) {
      if (!q) return () => true;
      const region = q.replace(/,/g, "").match(/^(?:chr)?([0-9a-z]+):(\d+)(?:-(\d+))?$/);
      if (region) { const from = Number(region[2]), to = Number(region[3] || region[2]); return (v) => v.bare === region[1] && v.pos >= from && v.pos <= to; }
      return (v) => v.text.includes(q);
    },
    row(v) {
      const cell = (n) => el("td", { class: "num" }, n === null ? withheld() : number.format(n));
      const f = af(v.all), pops = el("div", { class: "pops" });
      const none = v.groups.every((c) => c[0] === null);
      if (none && v.groups.length) pops.append(el("span", { class: "na" }, "withheld in each group"));
      sets[callset].about.groups.forEach((g, i) => {
        if (none) return;
        const x = af(v.groups[i]), fill = el("span", { class: "fill" });
        fill.style.width = x === null ? "0" : 100 * x + "%";
        const said = label(g) + ": " + (x === null ? "withheld" : shown(x) + " (" + number.format(v.groups[i][0]) + " of " + number.format(v.groups[i][1]) + ")");
        pops.append(el("div", { class: "pop", title: said }, g.toUpperCase(), el("div", { class: "track" }, fill), x === null ? withheld(said) : el("b", {}, shown(x))));
      });
      return [el("tr", { class: "row" }, el("td", {}, el("span", { class: "allele" }, v.id), el("small", {}, [v.rsid, v.type].filter(Boolean).join(" · "))), cell(v.all[0]), cell(v.all[1]), el("td", { class: "num" }, f === null ? withheld() : shown(f)), cell(v.all[2]), el("td", {}, pops))];
    },
  });
  function note() {
    if (!callset) { $("variants-note").textContent = "This release has no allele frequencies."; return; }
    const a = sets[callset].about;
    $("variants-note").textContent = "Allele counts and frequencies in all and by predicted genetic ancestry; a bar spans 0 to 1." + (a.shown < a.published ? " This page has the first " + number.format(S.variants_per_chromosome) + " variants of each chromosome: " + number.format(a.shown) + " of " + number.format(a.published) + " listed. The tables have all." : "");
  }
  chips("callsets", S.callsets.map((c) => [c.name, "Callset " + c.name]), (c) => { callset = c; note(); variants.set(sets[c].rows); });
  note();

  // Called by the data files.
  window.strataData = function (name, rows) {
    if (name === "concepts") {
      concepts.add(rows.map((r) => { const shownName = r[2] || "Concept " + r[1]; return { domain: r[0], id: r[1], name: shownName, sort: shownName.toLowerCase(), vocabulary: r[3], total: r[4], sex: r.slice(5, 8), age: r.slice(8), text: (shownName + " " + r[1] + " " + (r[3] || "")).toLowerCase() }; }));
    } else {
      const set = sets[name.slice("alleles-".length)];
      set.rows = set.rows.concat(rows.map((r) => { const id = [r[0], r[1], r[2], r[3]].join("-"); return { id, bare: r[0].replace(/^chr/, "").toLowerCase(), pos: r[1], order: rank(r[0]) * 1e10 + r[1], rsid: r[4], type: r[5], all: r[6], groups: r[7], text: (id + " " + (r[4] || "")).toLowerCase() }; }));
      if (set.about.name === callset) variants.set(set.rows);
    }
  };
  concepts.add([]);
  variants.set([]);
})();
