// The page: connects to agents, says what is wrong, and keeps the graph and the panel up to date. Whatever comes from
// an agent is set as text, never as markup.
"use strict";

const $ = id => document.getElementById(id);
const narrow = matchMedia("(max-width: 640px)");
const rests = component => component.reason === "nothing to deliver" || (component.reason || "").startsWith("standing by");
const agents = [];
let graph = null, drawn = "", opened = null, spoken = "", chosen = "";

function el(tag, attributes, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (name === "on") node.addEventListener("click", value); else node.setAttribute(name, value);
  }
  node.append(...children.filter(child => child !== null && child !== undefined));
  return node;
}

// ---- words

const rate = value => value >= 1e6 ? (value / 1e6).toFixed(1) + "M/s" : value >= 1e4 ? (value / 1e3).toFixed(0) + "k/s"
  : value >= 1e3 ? (value / 1e3).toFixed(1) + "k/s" : value >= 10 || value === 0 ? value.toFixed(0) + "/s" : value.toFixed(1) + "/s";
const count = value => Math.round(value).toLocaleString("en");

function span(seconds) {
  if (!isFinite(seconds)) return "?";
  seconds = Math.max(0, seconds);
  if (seconds < 1) return seconds.toFixed(2) + " s";
  if (seconds < 90) return seconds.toFixed(0) + " s";
  if (seconds < 5400) return (seconds / 60).toFixed(0) + " min";
  return seconds < 129600 ? (seconds / 3600).toFixed(0) + " h" : (seconds / 86400).toFixed(0) + " d";
}

const many = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
const since = time => span((Date.now() - Date.parse(time)) / 1000);
const clock = time => new Date(time).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });

function fill(component) {
  const held = component.channel;
  return held ? Math.min(1, (held.events + held.in_flight) / Math.max(1, held.capacity)) : 0;
}

// How a component stands: the class of its node.
function standing(component) {
  if (!component) return "starting";
  if (component.channel && fill(component) >= 0.99 && component.state === "running") return "full";
  if (component.state === "waiting" && !rests(component)) return "stuck";
  // Between two batches a sink of a slow flow has nothing to deliver.
  if (component.state === "waiting" && rests(component) && component.events_per_second > 0) return "running";
  return component.state;
}

// The second line of a node.
function says(component) {
  if (!component) return ["no news", false];
  const now = standing(component);
  const held = component.channel;
  if (["failing", "refused", "stuck"].includes(now)) return [`${now === "stuck" ? "waits" : now}: ${component.reason || ""}`, true];
  if (held) {
    const times = [];
    if (held.oldest && held.events) times.push(`oldest ${since(held.oldest)}`);
    if (held.seconds_to_full && held.seconds_to_full < 86400) times.push(`full in ${span(held.seconds_to_full)}`);
    return [`${count(held.events + held.in_flight)} of ${count(held.capacity)}`, now === "full", times];
  }
  if (now === "waiting") return [`${component.reason.startsWith("standing") ? "stands by" : "idle"} for ${since(component.since)}`, false];
  return [`${now} · ${rate(component.events_per_second)}`, false];
}

// ---- agents

function start(key) {
  let host = "";
  try { host = new URL(key || location.href).hostname; } catch { return; }
  const agent = { key, host, name: key, components: new Map(), flow: null, status: null, lost: 0, source: null, timer: 0 };
  agents.push(agent);
  listen(agent);
}

function listen(agent) {
  const source = new EventSource(agent.key + "/api/events");
  agent.source = source;
  source.onopen = () => load(agent);
  source.onmessage = message => take(agent, message.data);
  source.onerror = () => {
    agent.lost = agent.lost || Date.now();
    // There are too many readers, or the agent does not allow this page: ask now and then, and try again later.
    if (source.readyState === EventSource.CLOSED) {
      let asked = 0;
      clearInterval(agent.timer);
      agent.timer = setInterval(() => {
        if (++asked > 12) { clearInterval(agent.timer); listen(agent); } else poll(agent);
      }, 5000);
      poll(agent);
    }
    render();
  };
}

async function poll(agent) {
  try {
    const answer = await fetch(agent.key + "/api/status", { credentials: "omit" });
    if (!answer.ok) return;
    if (!agent.flow) await load(agent);
    take(agent, await answer.text());
  } catch { render(); }
}

async function load(agent) {
  try {
    const answer = await fetch(agent.key + "/api/flow", { credentials: "omit" });
    if (!answer.ok) return;
    const news = await answer.json();
    agent.flow = news.flow;
    agent.hidden = !news.settings_shown;
    agent.reloads = news.reloads;
    render();
  } catch { /* The stream says that it is gone. */ }
}

function take(agent, text) {
  let status;
  try { status = JSON.parse(text); } catch { return; }
  const known = agent.status;
  agent.lost = 0;
  agent.status = status;
  agent.name = status.agent;
  agent.components = new Map(status.components.map(one => [one.kind + " " + one.name, one]));
  const mark = one => one && JSON.stringify([one.last_reload, one.started, one.components.map(part => part.name)]);
  if (known && mark(known) !== mark(status)) load(agent);
  render();
}

// ---- what is wrong

function problems() {
  const list = [];
  for (const agent of agents) {
    if (agent.lost && Date.now() - agent.lost > 3000) {
      list.push({ agent, severity: "error", component: "agent", what: `Agent ${agent.name || "of this page"} does not answer`,
        why: agent.status ? "it has ended, or the network is down" : "it is not there, or it does not name this page in flume.monitoring.origins",
        since: new Date(agent.lost).toISOString(), remedy: "Look whether the agent runs; this page goes on trying." });
    }
    for (const problem of (agent.status && !agent.lost && agent.status.problems) || []) list.push(Object.assign({ agent }, problem));
  }
  return list.sort((a, b) => a.severity < b.severity ? -1 : a.severity > b.severity ? 1 : 0);
}

function show_problems(list) {
  const cards = [];
  const several = agents.length > 1;
  for (const problem of list.slice(0, 20)) {
    const [kind, name] = problem.component.split(" ");
    const heading = el("h2", {}, el("span", { class: "sign", "aria-hidden": "true" }, problem.severity === "error" ? "✖" : "▲"),
      problem.what + (several ? ` (agent ${problem.agent.name})` : "") + ".", el("span", { class: "since" }, `for ${since(problem.since)}, since ${clock(problem.since)}`));
    const list = el("dl", {}, el("dt", {}, "Why"), el("dd", {}, problem.why), el("dt", {}, "What to do"), el("dd", {}, problem.remedy));
    const more = name ? el("button", { class: "link", type: "button", on: () => open_panel(problem.agent, kind, name) }, `Show ${kind} ${name}`) : null;
    cards.push(el("article", { class: "problem " + problem.severity }, heading, list, more));
  }
  if (list.length > 20) cards.push(el("p", {}, `and ${list.length - 20} more`));
  const known = agents.some(agent => agent.status);
  if (!list.length && known) {
    const all = agents.flatMap(agent => [...agent.components.values()]);
    const number = kind => all.filter(one => one.kind === kind).length;
    const sum = kind => all.filter(one => one.kind === kind).reduce((total, one) => total + one.events_per_second, 0);
    const heading = el("h2", {}, el("span", { class: "sign", "aria-hidden": "true" }, "✔"), "All is well.");
    cards.push(el("article", { class: "problem well" }, heading,
      el("p", {}, `${many(number("source"), "source")}: ${rate(sum("source"))} in. ${many(number("channel"), "channel")}. ${many(number("sink"), "sink")}: ${rate(sum("sink"))} out.`)));
  }
  const text = cards.map(card => card.textContent).join("|");
  if (show_problems.text !== text) {
    const focused = document.activeElement && document.activeElement.closest("#problems") && document.activeElement.textContent;
    show_problems.text = text;
    $("problems").replaceChildren(...cards);
    for (const button of $("problems").querySelectorAll("button")) if (button.textContent === focused) button.focus();
  }
  const say = list.map(problem => problem.what).join(". ");
  if (say !== spoken) { spoken = say; $("spoken").textContent = say || "All is well."; }
}

// ---- the flow

function troubled(node) {
  const component = node.agent.components.get(node.kind + " " + node.name);
  return Boolean(node.part) && ["failing", "refused", "stuck", "full"].includes(standing(component));
}

function wanted(all) {
  const words = $("filter").value.toLowerCase().trim();
  const only = $("trouble").checked;
  if (!words && !only) return all;
  const fits = node => (!words || `${node.name} ${(node.part || {}).type || ""} ${node.label || ""}`.toLowerCase().includes(words)) && (!only || troubled(node));
  // A node is shown with what leads to it and from it.
  const keep = new Set(all.nodes.filter(fits));
  for (const next of [edge => [edge.to, edge.from], edge => [edge.from, edge.to]]) {
    const seen = new Set(all.nodes.filter(fits));
    for (let more = true; more;) {
      more = false;
      for (const edge of all.edges) {
        const [to, from] = next(edge);
        if (seen.has(from) && !seen.has(to)) { seen.add(to); more = true; }
      }
    }
    seen.forEach(node => keep.add(node));
  }
  return { nodes: all.nodes.filter(node => keep.has(node)), edges: all.edges.filter(edge => keep.has(edge.from) && keep.has(edge.to)) };
}

function render_flow() {
  const fresh = wanted(graphOf(agents));
  const compact = fresh.nodes.filter(node => node.part).length > MANY;
  const mark = JSON.stringify([narrow.matches, compact, fresh.nodes.map(node => [node.id, node.label, node.part && node.part.type]),
    fresh.edges.map(edge => [edge.from.id, edge.to.id])]);
  if (mark !== drawn) {
    const focused = document.activeElement && document.activeElement.dataset ? document.activeElement.dataset.id : "";
    drawn = mark;
    graph = fresh;
    if (!graph.nodes.length) {
      $("flow").replaceChildren(el("p", { class: "empty" }, agents.some(agent => agent.flow) ? "Nothing fits." : "Waiting for the agent."));
    } else if (narrow.matches) {
      $("flow").replaceChildren(cards());
    } else {
      const size = layout(graph, troubled, compact);
      // What is a little too wide is drawn a little smaller.
      const room = $("flow").clientWidth / size.width;
      size.scale = room < 1 && room > 0.72 ? room : 1;
      $("flow").replaceChildren(draw(graph, size, compact, agents.length > 1));
    }
    for (const node of graph.nodes) {
      if (!node.element) continue;
      node.element.dataset.id = node.id;
      node.element.addEventListener("click", () => { chosen = node.id; rove(); open_node(node); });
    }
    rove();
    const again = focused && graph.nodes.find(node => node.id === focused);
    if (again && again.element) again.element.focus();
  }
  for (const node of graph.nodes) refresh(node);
  for (const edge of graph.edges) refresh_edge(edge);
}

// On a narrow screen: a list, each flow from its sources to its sinks.
function cards() {
  const list = el("ul", { class: "cards" });
  for (const flow of flowsOf(graph.nodes, graph.edges).sort((a, b) => b.some(troubled) - a.some(troubled))) {
    flow.sort((a, b) => a.column - b.column);
    for (const node of flow.filter(node => node.part)) {
      node.title = el("b", {}, node.name);
      node.line = el("span", { class: "dim" });
      node.meter = node.kind === "channel" ? el("meter", { min: 0, max: 1, low: 0.9, high: 0.9, optimum: 0, "aria-label": "filled part" }) : null;
      node.element = el("button", { type: "button" }, node.title, el("span", { class: "dim" }, `${node.kind} · ${(node.part.type || "").slice(0, 60)}`), el("br"), node.line, node.meter);
      list.append(el("li", { class: { source: "d0", channel: "d1" }[node.kind] || "d2" }, node.element));
    }
  }
  return list;
}

function refresh(node) {
  // The nodes that are drawn keep the agent, whose components are new every second.
  if (!node.element || !node.part) return;
  const component = node.agent.components.get(node.kind + " " + node.name);
  const [text, bad, times] = says(component);
  const now = standing(component);
  if (node.meter !== undefined) {
    node.element.className = now;
    node.line.className = bad ? "why" : "dim";
    node.line.textContent = [text, ...(times || [])].join(" · ") + (component && component.channel ? ` · in ${rate(component.put_per_second || 0)}, out ${rate(component.events_per_second)}` : "");
    if (node.meter && component) node.meter.value = fill(component);
    return;
  }
  node.element.setAttribute("class", "node " + now);
  node.line.setAttribute("class", bad ? "why" : "dim");
  // A small node has one line: what comes last is what presses.
  node.line.textContent = cut(node.more || !times ? text : [text, ...times.slice(-1)].join(" · "), 29);
  if (node.more) node.more.textContent = (times || []).join(" · ");
  if (node.level && component) node.level.setAttribute("width", ((WIDE - 20) * fill(component)).toFixed(1));
  if (node.shown !== now) {
    node.shown = now;
    const triangle = ["failing", "refused", "stuck", "full"].includes(now);
    node.sign.replaceChildren(triangle ? shape("path", { class: "sign", d: "M6 0L12.5 11H-.5Z" }) : shape("circle", { cx: 6, cy: 6, r: now === "waiting" ? 4 : 5.5 }));
  }
}

function refresh_edge(edge) {
  if (!edge.line) return;
  const of = (agent, key) => agent.components.get(key);
  let value = 0;
  if (edge.hop || edge.sink) value = (of(edge.from.agent, "sink " + edge.sink.name) || {}).events_per_second || 0;
  else if (edge.group) value = edge.group.reduce((sum, sink) => sum + ((of(edge.from.agent, "sink " + sink.name) || {}).events_per_second || 0), 0);
  else if (edge.source) {
    const source = of(edge.from.agent, "source " + edge.source.name) || {};
    value = edge.route ? (source.routes || {})[edge.route] || 0 : source.events_per_second || 0;
  }
  const kind = edge.hop ? " hop" : edge.side ? " side" : "";
  edge.line.setAttribute("class", "edge" + kind + (value > 0 ? " flows" : ""));
  if (edge.text) edge.text.textContent = rate(value);
}

// ---- the keyboard: one node can be reached by Tab, arrows lead to the others

function rove() {
  const nodes = graph ? graph.nodes.filter(node => node.element && node.x !== undefined) : [];
  if (!nodes.length || narrow.matches) return;
  const current = nodes.find(node => node.id === chosen) || nodes[0];
  for (const node of nodes) node.element.setAttribute("tabindex", node === current ? 0 : -1);
}

$("flow").addEventListener("keydown", event => {
  const id = document.activeElement && document.activeElement.dataset.id;
  const node = id && graph && graph.nodes.find(one => one.id === id);
  if (!node || narrow.matches) return;
  if (event.key === "Enter" || event.key === " ") { event.preventDefault(); open_node(node); return; }
  const column = graph.nodes.filter(one => one.x === node.x).sort((a, b) => a.y - b.y);
  const near = { ArrowRight: node.out, ArrowLeft: node.in }[event.key];
  let next;
  if (near) next = [...near].sort((a, b) => Math.abs(a.y - node.y) - Math.abs(b.y - node.y))[0];
  else if (event.key === "ArrowDown") next = column[column.indexOf(node) + 1];
  else if (event.key === "ArrowUp") next = column[column.indexOf(node) - 1];
  else return;
  event.preventDefault();
  if (next) { chosen = next.id; rove(); next.element.focus(); next.element.scrollIntoView({ block: "nearest", inline: "nearest" }); }
});

// ---- the panel

function open_node(node) {
  if (node.part) return open_panel(node.agent, node.kind, node.name);
  opened = null;
  $("panel-title").textContent = `${node.kind} of ${node.name}`;
  $("panel-body").replaceChildren(...node.parts.flatMap(part => [el("h3", {}, `${part.name} ${part.type}`), pairs(part.settings)]));
  if (!$("panel").open) $("panel").showModal();
}

function open_panel(agent, kind, name) {
  opened = { agent, kind, name };
  $("panel-title").textContent = `${kind} ${name}`;
  $("panel-body").replaceChildren(el("p", {}, "Loading…"));
  if (!$("panel").open) $("panel").showModal();
  fill_panel();
}

async function fill_panel() {
  if (!opened || !$("panel").open) return;
  const { agent, kind, name } = opened;
  let report;
  try {
    const answer = await fetch(`${agent.key}/api/components/${kind}/${encodeURIComponent(name)}`, { credentials: "omit" });
    if (!answer.ok) throw new Error("it is gone from the configuration");
    report = await answer.json();
  } catch (error) {
    $("panel-body").replaceChildren(el("p", { class: "why" }, "No news: " + error.message));
    return;
  }
  if (!opened || opened.name !== name || opened.kind !== kind) return;
  const part = find_part(agent, kind, name);
  const now = standing(report);
  const facts = { type: report.type, state: `${report.state} for ${since(report.since)}` };
  if (report.attempts) facts.attempts = `${report.attempts} failed, the next in ${span((Date.parse(report.next_try) - Date.now()) / 1000)}`;
  if (report.address) facts.address = report.address;
  facts.rate = kind === "channel" ? `in ${rate(report.put_per_second || 0)}, out ${rate(report.events_per_second)}` : rate(report.events_per_second);
  const held = report.channel;
  if (held) {
    facts.holds = `${count(held.events)} of ${count(held.capacity)} events, ${count(held.bytes)} bytes, ${count(held.in_flight)} in flight`;
    facts.oldest = held.oldest && held.events ? since(held.oldest) : "none";
    facts["full in"] = held.seconds_to_full ? span(held.seconds_to_full) : "not at this rate";
  }
  Object.assign(facts, report.facts);
  const body = [];
  if (report.reason && now !== "waiting") body.push(el("p", { class: "why" }, report.reason));
  body.push(el("h3", {}, "Now"), pairs(facts), ...charts(kind, report.history));
  body.push(el("h3", {}, "Last errors"), log(report.errors, "none since the agent was started"));
  body.push(el("h3", {}, "Last changes of state"), log(report.changes, "none"));
  if (part && part.settings) body.push(el("h3", {}, "Settings"), agent.hidden ? el("p", {}, "This agent does not show them.") : pairs(part.settings));
  body.push(el("h3", {}, "Numbers"), pairs(Object.fromEntries(Object.entries(report.metrics || {}).map(([key, value]) => [key, count(value)]))));
  $("panel-body").replaceChildren(...body);
}

function find_part(agent, kind, name) {
  const flow = agent.flow;
  if (!flow) return null;
  const all = kind === "source" ? flow.sources : kind === "channel" ? flow.channels : flow.groups.flatMap(group => group.sinks);
  return all.find(part => part.name === name) || null;
}

function pairs(values) {
  return el("dl", { class: "pairs" }, ...Object.entries(values || {}).flatMap(([key, value]) => [el("dt", {}, key), el("dd", {}, String(value))]));
}

function log(entries, none) {
  if (!entries.length) return el("p", {}, none);
  return el("ul", { class: "log" }, ...[...entries].reverse().map(entry => el("li", {},
    el("span", { class: "dim" }, clock(entry.at)), `${entry.state}${entry.reason ? ": " + entry.reason : ""}${entry.times > 1 ? ` (${count(entry.times)} times)` : ""}`)));
}

function charts(kind, history) {
  const coarse = history[1] || {}, fine = history[0] || {};
  const series = (coarse.rate || []).length >= 12 ? coarse : fine;
  const range = span(series.seconds * Math.max(1, (series.rate || []).length));
  const rows = [["Events per second" + (kind === "channel" ? " out" : ""), series.rate, rate]];
  if (kind === "channel") rows.push(["Events per second in", series.put_rate, rate], ["Filled", series.fill, value => (value * 100).toFixed(0) + " %"], ["Age of the oldest event", series.latency, span]);
  if (kind === "sink") rows.push(["Time of a delivery", series.latency, span]);
  rows.push(["Failed attempts", series.errors, count]);
  return [el("h3", {}, "Last " + range), ...rows.map(([title, values, unit]) => chart(title, values || [], unit))];
}

function chart(title, values, unit) {
  const most = Math.max(...values, 1e-9), last = values.length ? values[values.length - 1] : 0;
  const svg = shape("svg", { viewBox: "0 0 300 44", preserveAspectRatio: "none", role: "img", "aria-label": `${title}: now ${unit(last)}, at most ${unit(values.length ? most : 0)}` });
  const x = index => (values.length > 1 ? index / (values.length - 1) * 300 : 0).toFixed(1);
  const line = values.map((value, index) => `${x(index)} ${(41 - value / most * 38).toFixed(1)}`).join("L");
  if (values.length > 1) svg.append(shape("path", { class: "area", d: `M0 44L${line}L300 44Z` }), shape("path", { d: "M" + line }));
  const now = most > 1e-8 ? `now ${unit(last)}, at most ${unit(most)}` : "none";
  return el("div", { class: "chart" }, el("p", {}, el("span", {}, title), el("span", {}, now)), svg);
}

$("close").addEventListener("click", () => $("panel").close());
$("panel").addEventListener("close", () => {
  opened = null;
  const back = graph && graph.nodes.find(node => node.id === chosen);
  if (back && back.element) back.element.focus();
});
$("panel").addEventListener("click", event => { if (event.target === $("panel")) $("panel").close(); });

// ---- more agents

const KEPT = "flume-agents";

function kept() {
  try {
    const list = JSON.parse(localStorage.getItem(KEPT) || "[]");
    return Array.isArray(list) ? list.filter(one => typeof one === "string" && /^https?:\/\/[^/]+$/.test(one)).slice(0, 50) : [];
  } catch { return []; }
}

function keep(list) {
  try { localStorage.setItem(KEPT, JSON.stringify(list)); } catch { /* The list lasts as long as the page. */ }
  $("agents").replaceChildren(...list.map(address => el("li", {}, address, el("button", { type: "button", "aria-label": "Remove " + address, on: () => remove(address) }, "Remove"))));
}

function remove(address) {
  const at = agents.findIndex(agent => agent.key === address);
  if (at >= 0) { agents[at].source.close(); clearInterval(agents[at].timer); agents.splice(at, 1); }
  keep(agents.filter(agent => agent.key).map(agent => agent.key));
  render();
}

$("add").addEventListener("submit", event => {
  event.preventDefault();
  $("wrong").textContent = "";
  let address;
  try { address = new URL($("address").value.trim()).origin; } catch { address = "null"; }
  if (!/^https?:/.test(address)) { $("wrong").textContent = "An address is http://host:port"; return; }
  if (address !== location.origin && !agents.some(agent => agent.key === address)) start(address);
  keep(agents.filter(agent => agent.key).map(agent => agent.key));
  $("address").value = "";
});

// ---- all together

let waiting = false;

function render() {
  if (waiting) return;
  waiting = true;
  setTimeout(() => {
    waiting = false;
    const here = agents[0];
    const lost = agents.filter(agent => agent.lost && Date.now() - agent.lost > 3000);
    $("agent").textContent = agents.length > 1 ? `Flume, ${agents.length} agents` : here.status ? `Agent ${here.status.agent}` : "Flume";
    document.title = (problems().some(problem => problem.severity === "error") ? "✖ " : "") + $("agent").textContent;
    if (here.status) $("facts").textContent = `Flume ${here.status.version} · up ${since(here.status.started)}` + reloaded(here.status.last_reload);
    $("link").className = lost.length ? "lost" : "";
    $("link").textContent = lost.length ? "no connection" : here.status ? "live" : "connecting";
    show_problems(problems());
    render_flow();
  }, 50);
}

const reloaded = reload => reload ? ` · configuration reloaded ${since(reload.at)} ago` + (reload.error ? ", which changed nothing" : "") : "";

$("filter").addEventListener("input", render);
$("trouble").addEventListener("change", render);
narrow.addEventListener("change", render);
setInterval(fill_panel, 2000);
setInterval(render, 1000);
start("");
for (const address of kept()) start(address);
keep(agents.filter(agent => agent.key).map(agent => agent.key));
render();
