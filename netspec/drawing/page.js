"use strict";
// Draws the cards of #data, each group laid out by itself. All texts are set as text, never as markup.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const byId = (id) => document.getElementById(id);
  const cards = new Map(), parents = new Map();
  const walk = (list, parent) => {
    for (const card of list) {
      cards.set(card.path, card);
      parents.set(card.path, parent);
      walk(card.inner, card.path);
    }
  };
  walk(data.cards, "");

  const state = { open: new Set(), at: "", measure: "parameters", find: "" };
  const readHash = () => {
    const given = new URLSearchParams(location.hash.slice(1));
    state.open = new Set((given.get("open") || "").split(",").filter((path) => cards.has(path)));
    state.at = cards.has(given.get("at")) ? given.get("at") : "";
    state.measure = ["parameters", "flops", "held"].find((m) => m === given.get("bar")) || "parameters";
  };
  const writeHash = () => {
    const told = new URLSearchParams();
    if (state.open.size) told.set("open", [...state.open].join(","));
    if (state.at) told.set("at", state.at);
    if (state.measure !== "parameters") told.set("bar", state.measure);
    try { history.replaceState(null, "", `#${told}`); } catch { /* a frame in a notebook has no address */ }
  };

  const units = (number, base, names) => {
    let at = 0;
    while (number >= base && at < names.length - 1) { number /= base; at += 1; }
    return `${at && number < 100 ? number.toFixed(1) : Math.round(number)} ${names[at]}`;
  };
  const shown = {
    parameters: (n) => n.toLocaleString("en"),
    flops: (n) => `${units(n, 1000, ["", "k", "M", "G", "T", "P"])}FLOPs`,
    held: (n) => units(n, 1024, ["B", "KiB", "MiB", "GiB", "TiB"]),
  };
  const figure = (card) => (card[state.measure] || 0) * (state.measure === "parameters" ? card.times : 1);
  const most = () => Math.max(1, ...[...cards.values()].filter((c) => !c.inner.length).map(figure));

  const element = (name, attributes, parent) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (parent) parent.append(made);
    return made;
  };
  const html = (name, text, parent) => {
    const made = document.createElement(name);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.append(made);
    return made;
  };
  const pen = document.createElement("canvas").getContext("2d");
  const width = (text, size) => { pen.font = `${size}px system-ui, sans-serif`; return pen.measureText(text).width; };
  const cut = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);

  const own = (card) => {
    const around = parents.get(card.path);
    return around ? card.path.slice(around.length + 1) : card.path;
  };
  const head = (card) => cut(own(card), 40) + (card.times > 1 ? ` × ${card.times}` : "");
  const second = (card) => cut(card.what || card.kind, 44);
  const badge = (card) => (card.inPlace ? (card.inPlace.taken ? " · in place" : " · out of place") : "");
  const third = (card) => (card.state === "absent" ? "not there" : cut(card.output || "?", 56)) + badge(card);

  // The card of one group in which a path lies; nothing if it lies outside of it.
  const within = (path, group) => {
    let at = path;
    while (cards.has(at) && parents.get(at) !== group) at = parents.get(at);
    return cards.has(at) ? at : "";
  };
  const joined = (() => {
    const found = new Map();
    for (const [source, target, argument, same] of data.lines) {
      if (`${target}.`.startsWith(`${source}.`) || `${source}.`.startsWith(`${target}.`)) continue;
      let group = parents.get(source) ?? "";
      while (group && !within(target, group)) group = parents.get(group);
      const from = within(source, group), to = within(target, group);
      if (!from || !to || from === to) continue;
      if (!found.has(group)) found.set(group, new Map());
      const key = JSON.stringify([from, to, same]);
      const deep = from !== source || to !== target;
      if (!found.get(group).has(key)) found.get(group).set(key, { from, to, same, label: deep ? "" : argument });
    }
    return found;
  })();

  const isOpen = (card) => card.inner.length > 0 && state.open.has(card.path);
  const laidOut = (list, group) => {
    const graph = new dagre.graphlib.Graph();
    graph.setGraph({ rankdir: "TB", nodesep: 26, ranksep: 34, marginx: 10, marginy: 10 });
    graph.setDefaultEdgeLabel(() => ({}));
    const inner = new Map();
    for (const card of list) {
      const marked = card.change && card.change !== "affected" ? width(`  ${card.change}`, 11.5) : 0;
      const size = { width: 40 + Math.max(90, width(head(card), 13) + marked, width(second(card), 11.5), width(third(card), 11.5)),
                     height: 66 + (card.mistakes ? 16 : 0) };
      if (card.mistakes) size.width = Math.max(size.width, 40 + width(cut(card.mistakes[0], 70), 11.5));
      if (isOpen(card)) {
        const made = laidOut(card.inner, card.path);
        inner.set(card.path, made);
        size.width = Math.max(size.width, made.width + 20);
        size.height = made.height + size.height + 2;
      }
      graph.setNode(card.path, size);
    }
    for (const line of joined.get(group)?.values() || []) graph.setEdge(line.from, line.to, { line });
    dagre.layout(graph);
    if (!group && data.sideBySide) for (const key of graph.nodes()) graph.node(key).y = graph.node(key).height / 2 + 10;
    return { graph, inner, width: graph.graph().width || 0, height: graph.graph().height || 0, list };
  };

  const draw = (made, parent, top) => {
    for (const key of made.graph.edges()) {
      const edge = made.graph.edge(key);
      const points = edge.points.map((p) => `${p.x.toFixed(1)},${p.y.toFixed(1)}`);
      const line = element("path", { class: edge.line.same ? "line same" : "line", d: `M${points.join("L")}` }, parent);
      if (!edge.line.same) line.setAttribute("marker-end", "url(#arrow)");
      const source = cards.get(key.v);
      element("title", {}, line).textContent = `${key.v} → ${key.w} ${source.output}`;
    }
    for (const card of made.list) {
      const at = made.graph.node(card.path);
      const classes = ["card"];
      if (isOpen(card)) classes.push("open");
      if (card.mistakes) classes.push("refused");
      if (card.state === "open" || card.state === "refused") classes.push("unknown");
      if (card.state === "absent") classes.push("absent");
      if (card.change) classes.push(card.change);
      if (card.path === state.at) classes.push("chosen");
      if (state.find && card.path.toLowerCase().includes(state.find)) classes.push("hit");
      const group = element("g", { class: classes.join(" "), tabindex: 0, role: "button",
        "data-path": card.path, transform: `translate(${at.x - at.width / 2},${at.y - at.height / 2})` }, parent);
      element("title", {}, group).textContent = card.path;
      element("rect", { class: "box", width: at.width, height: at.height, rx: 8 }, group);
      const put = (text, y, name) => { element("text", { x: 12, y, class: name }, group).textContent = text; };
      put(head(card) + (card.inner.length ? (isOpen(card) ? "  ▾" : "  ▸") : ""), 20, "name");
      put(second(card), 37, "soft");
      put(third(card), 53, "soft");
      if (card.mistakes) put(cut(card.mistakes[0], 70), 70, "fact");
      if (card.change && card.change !== "affected") element("text", { x: at.width - 10, y: 20, class: "change" }, group).textContent = card.change;
      const part = Math.min(1, figure(card) / top);
      if (part > 0) element("rect", { class: "bar", x: 12, y: at.height - 7, height: 3, width: Math.max(1, part * (at.width - 24)) }, group);
      const inner = made.inner.get(card.path);
      if (inner) {
        const x = (at.width - inner.width) / 2;
        draw(inner, element("g", { transform: `translate(${x},${card.mistakes ? 76 : 60})` }, group), top);
      }
    }
  };

  const panel = (card) => {
    const made = byId("panel");
    made.replaceChildren();
    made.hidden = !card;
    if (!card) return;
    html("h2", card.path + (card.times > 1 ? ` × ${card.times}` : ""), made);
    for (const text of card.mistakes || []) html("p", text, made).className = "bad";
    for (const text of card.facts || []) html("p", text, made).className = "differs";
    if (card.twin && cards.has(card.twin)) {
      const link = html("button", `${card.twin} on the other side`, made);
      link.type = "button";
      link.addEventListener("click", () => { reveal(card.twin); choose(card.twin, true); });
    }
    const list = html("dl", undefined, made);
    const tell = (term, text) => { if (text) { html("dt", term, list); html("dd", text, list); } };
    tell("is", [card.kind, card.what].filter(Boolean).join(" "));
    tell("takes", card.inputs.join(" × "));
    tell("gives", card.output);
    tell("parameters", card.parameters ? shown.parameters(card.parameters) : "");
    tell("each", card.shapes.map(([name, shape]) => `${name || "itself"} [${shape.join(", ")}]`).join(", "));
    const at = Object.entries(data.at).map(([name, size]) => `${name} = ${size}`).join(", ");
    tell("FLOPs", card.flops ? `${shown.flops(card.flops)}${at ? ` at ${at}` : ""}` : "");
    tell("held", card.held ? `${shown.held(card.held)} for backward` : "");
    tell("in place", card.inPlace ? card.inPlace.reason : "");
    const lines = data.texts[card.file];
    if (!card.line || !lines) return;
    const place = html("p", undefined, made);
    const path = data.paths[card.file];
    if (path) {
      const link = html("a", `${card.file}:${card.line}`, place);
      link.href = `vscode://file${path.split(/[\\/]/).map(encodeURIComponent).join("/")}:${card.line}`;
    } else html("span", `${card.file}:${card.line}`, place);
    const text = html("pre", undefined, made);
    const first = Math.max(0, card.line - 4);
    lines.slice(first, card.line + 8).forEach((line, i) => {
      html(first + i + 1 === card.line ? "b" : "span", `${String(first + i + 1).padStart(4)}  ${line}`, text);
      text.append("\n");
    });
  };

  const render = () => {
    writeHash();
    byId("measure").value = state.measure;
    const made = laidOut(data.cards, "");
    const svg = element("svg", { width: Math.ceil(made.width), height: Math.ceil(made.height), role: "img" });
    const arrow = element("marker", { id: "arrow", viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" }, element("defs", {}, svg));
    element("path", { d: "M0,0L8,4L0,8z" }, arrow);
    draw(made, svg, most());
    byId("picture").replaceChildren(svg);
    panel(cards.get(state.at));
  };
  const focusOn = (path) => {
    const found = [...document.querySelectorAll(".card")].find((each) => each.dataset.path === path);
    if (found) { found.focus({ preventScroll: true }); found.scrollIntoView({ block: "nearest", inline: "nearest" }); }
  };
  const choose = (path, asItIs) => {
    const card = cards.get(path);
    if (card.inner.length && !asItIs) {
      if (state.open.has(path)) state.open.delete(path); else state.open.add(path);
    }
    state.at = path;
    render();
    focusOn(path);
  };
  const reveal = (path) => {
    for (let at = parents.get(path); at; at = parents.get(at)) state.open.add(at);
  };

  byId("picture").addEventListener("click", (event) => {
    const card = event.target.closest(".card");
    if (card) choose(card.dataset.path);
  });
  byId("picture").addEventListener("keydown", (event) => {
    const card = event.target.closest(".card");
    if (card && (event.key === "Enter" || event.key === " ")) { event.preventDefault(); choose(card.dataset.path); }
  });
  byId("measure").addEventListener("change", (event) => { state.measure = event.target.value; render(); });
  byId("all").addEventListener("click", () => { for (const card of cards.values()) if (card.inner.length && state.open.size < 300) state.open.add(card.path); render(); });
  byId("none").addEventListener("click", () => { state.open.clear(); render(); });
  byId("tools").addEventListener("submit", (event) => event.preventDefault());
  byId("search").addEventListener("input", (event) => {
    state.find = event.target.value.trim().toLowerCase();
    const hits = state.find ? [...cards.keys()].filter((path) => path.toLowerCase().includes(state.find)).slice(0, 50) : [];
    hits.forEach(reveal);
    if (hits.length) state.at = hits[0];
    render();
    if (hits.length) document.querySelector(".chosen")?.scrollIntoView({ block: "nearest" });
  });
  window.addEventListener("hashchange", () => { readHash(); render(); });

  byId("name").textContent = data.name;
  const sum = data.cards.reduce((total, card) => total + card.times * card.parameters, 0);
  // What is tied counts once; a wrong spec has no total, and what is known of it is added up.
  byId("totals").textContent = data.totals ? data.totals : data.parameters === null
    ? `${sum.toLocaleString("en")} parameters are known` : `${data.parameters.toLocaleString("en")} parameters`;
  for (const mistake of data.mistakes) {
    const item = html("li", undefined, byId("mistakes"));
    html("b", `${mistake.code} `, item);
    html("span", `${mistake.fact}${mistake.help ? `: ${mistake.help}` : ""} (${mistake.file}:${mistake.line})`, item);
  }
  byId("mistakes").hidden = !data.mistakes.length;
  readHash();
  const whole = (card) => card.change !== "added" && card.change !== "removed";
  const worthALook = [...cards.values()].filter((card) => card.mistakes
    || (card.change && card.change !== "affected" && (!parents.get(card.path) || whole(cards.get(parents.get(card.path))))));
  if (!location.hash) {
    if (data.sideBySide) data.cards.forEach((card) => state.open.add(card.path));
    worthALook.slice(0, 200).forEach((card) => reveal(card.path));
  }
  render();
})();
