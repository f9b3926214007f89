// The graph: which nodes and edges there are, where they stand, and how they are drawn.
"use strict";

const SVG = "http://www.w3.org/2000/svg";
const WIDE = 212, PART = 138, GAP_X = 66, PAD = 22;
const MANY = 60;

function shape(tag, attributes, text) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes || {})) node.setAttribute(name, value);
  if (text !== undefined) node.textContent = text;
  return node;
}

function cut(text, most) {
  const letters = Array.from(String(text));
  return letters.length > most ? letters.slice(0, most - 1).join("") + "…" : letters.join("");
}

// Nodes and edges of all agents. A node is {id, agent, kind, name, column, label, type}.
function graphOf(agents) {
  const nodes = [], edges = [], byId = new Map();
  const add = (agent, kind, name, column, more) => {
    const id = agent.key + " " + kind + " " + name;
    if (!byId.has(id)) {
      const node = Object.assign({ id, agent, kind, name, column }, more);
      byId.set(id, node);
      nodes.push(node);
    }
    return byId.get(id);
  };
  const link = (from, to, more) => { if (from && to) edges.push(Object.assign({ from, to }, more)); };
  for (const agent of agents) {
    const flow = agent.flow;
    if (!flow) continue;
    for (const channel of flow.channels) add(agent, "channel", channel.name, 3, { part: channel });
    for (const refused of flow.refused) {
      add(agent, refused.kind, refused.name, { source: 0, channel: 3 }[refused.kind] ?? 5, { part: refused });
    }
    const channelOf = name => byId.get(agent.key + " channel " + name);
    for (const source of flow.sources) {
      let last = add(agent, "source", source.name, 0, { part: source });
      const first = last;
      if (source.interceptors.length) {
        const label = source.interceptors.map(part => part.name + " " + part.type).join(" → ");
        const chain = add(agent, "interceptors", source.name, 1, { label, parts: source.interceptors });
        link(last, chain, { source: first });
        last = chain;
      }
      if (source.channels.length > 1 || source.selector.type !== "replicating") {
        const selector = add(agent, "selector", source.name, 2, { label: source.selector.type, parts: [source.selector] });
        link(last, selector, { source: first });
        last = selector;
      }
      for (const name of source.channels) link(last, channelOf(name), { source: first, route: name });
    }
    for (const group of flow.groups) {
      let processor;
      if (group.type) processor = add(agent, "group", group.name, 4, { label: group.name + " " + group.type, parts: [group] });
      const fed = new Set();
      for (const sink of group.sinks) {
        const node = add(agent, "sink", sink.name, 5, { part: sink });
        const channel = channelOf(sink.channel);
        if (processor) {
          if (!fed.has(sink.channel)) link(channel, processor, { group: group.sinks });
          fed.add(sink.channel);
        }
        link(processor || channel, node, { sink: node });
        if (sink.dead_letters) link(node, channelOf(sink.dead_letters), { side: true });
      }
    }
    for (const refused of flow.refused) {
      if (refused.channel) link(channelOf(refused.channel), byId.get(agent.key + " " + refused.kind + " " + refused.name), { side: true });
    }
  }
  hops(agents, nodes, edges);
  return { nodes, edges, byId };
}

// A sink that sends to a source of another agent.
function hops(agents, nodes, edges) {
  for (const sink of nodes) {
    const settings = sink.kind === "sink" && sink.part.settings;
    if (!settings || !settings.hostname || !settings.port) continue;
    for (const source of nodes) {
      if (source.kind !== "source" || source.agent === sink.agent) continue;
      const address = (source.agent.components.get("source " + source.name) || {}).address || "";
      if (!address.endsWith(":" + settings.port)) continue;
      const host = settings.hostname.toLowerCase();
      const here = ["localhost", "127.0.0.1", "::1"].includes(host);
      const other = source.agent.host, same = other === sink.agent.host;
      if (host === other || address.startsWith(host + ":") || (here && same)) {
        edges.push({ from: sink, to: source, hop: true, sink });
      }
    }
  }
}

// The flows that hang together, as lists of nodes.
function flowsOf(nodes, edges) {
  const root = new Map(nodes.map(node => [node, node]));
  const find = node => { while (root.get(node) !== node) node = root.get(node); return node; };
  for (const edge of edges) root.set(find(edge.from), find(edge.to));
  const flows = new Map();
  for (const node of nodes) {
    const key = find(node);
    if (!flows.has(key)) flows.set(key, []);
    flows.get(key).push(node);
  }
  return [...flows.values()];
}

// Gives every node x, y and height. Columns follow from the kind of node; agents that are fed by others stand right
// of them. Flows with problems come first.
function layout(graph, troubled, compact) {
  const height = node => node.kind === "channel" ? (compact ? 46 : 80) : node.part ? (compact ? 40 : 50) : 30;
  const tier = tiers(graph);
  const flows = flowsOf(graph.nodes, graph.edges);
  flows.sort((a, b) => b.some(troubled) - a.some(troubled));
  for (const node of graph.nodes) {
    node.h = height(node);
    node.rank = tier.get(node.agent) * 6 + node.column;
    node.out = []; node.in = [];
  }
  for (const edge of graph.edges) {
    if (edge.to.rank <= edge.from.rank) continue;
    edge.from.out.push(edge.to);
    edge.to.in.push(edge.from);
  }
  const used = [...new Set(graph.nodes.map(node => node.rank))].sort((a, b) => a - b);
  const place = new Map(used.map((rank, index) => [rank, index]));
  const left = new Map();
  let end = PAD;
  for (const rank of used) {
    left.set(rank, end);
    end += ([1, 2, 4].includes(rank % 6) ? PART : WIDE) + GAP_X;
  }
  for (const node of graph.nodes) {
    node.x = left.get(node.rank);
    node.w = node.part ? WIDE : PART;
  }
  let top = PAD + 18;
  for (const flow of flows) top = place_flow(flow, place, top, compact ? 9 : 16) + (compact ? 14 : 26);
  return { width: end - GAP_X + PAD, height: top + 4, used, left };
}

function tiers(graph) {
  const tier = new Map();
  for (const node of graph.nodes) tier.set(node.agent, 0);
  const between = graph.edges.filter(edge => edge.hop);
  for (let round = 0; round < Math.min(tier.size, 20); round++) {
    for (const edge of between) {
      const next = Math.min(tier.get(edge.from.agent) + 1, 20);
      if (tier.get(edge.to.agent) < next && edge.to.agent !== edge.from.agent) tier.set(edge.to.agent, next);
    }
  }
  return tier;
}

// Orders the nodes of a flow so that few edges cross, and puts each beside its neighbours.
function place_flow(flow, place, top, gap) {
  const columns = [];
  for (const node of flow) {
    const at = place.get(node.rank);
    (columns[at] = columns[at] || []).push(node);
  }
  const filled = columns.filter(Boolean);
  const mean = (list, of) => list.reduce((sum, node) => sum + of(node), 0) / list.length;
  const number = () => filled.forEach(column => column.forEach((node, index) => { node.order = index / column.length; }));
  number();
  for (let sweep = 0; sweep < 6; sweep++) {
    const forward = sweep % 2 === 0;
    for (const column of forward ? filled : [...filled].reverse()) {
      for (const node of column) {
        const near = forward ? node.in : node.out;
        node.wish = near.length ? mean(near, other => other.order) : node.order;
      }
      column.sort((a, b) => a.wish - b.wish);
      column.forEach((node, index) => { node.order = index / column.length; });
    }
  }
  for (const column of filled) {
    let y = 0;
    for (const node of column) { node.y = y; y += node.h + gap; }
  }
  for (let sweep = 0; sweep < 6; sweep++) {
    for (const column of sweep % 2 ? [...filled].reverse() : filled) {
      let least = -Infinity;
      const wishes = column.map(node => {
        const near = node.in.concat(node.out);
        return near.length ? mean(near, other => other.y + other.h / 2) - node.h / 2 : node.y;
      });
      column.forEach((node, index) => {
        node.y = Math.max(wishes[index], least);
        least = node.y + node.h + gap;
      });
      // What was pushed down goes back up by half of it, all together.
      const pushed = mean(column.map((node, index) => ({ d: node.y - wishes[index] })), entry => entry.d);
      column.forEach(node => { node.y -= pushed; });
    }
  }
  const first = Math.min(...flow.map(node => node.y));
  let end = top;
  for (const node of flow) {
    node.y = Math.round(node.y - first + top);
    end = Math.max(end, node.y + node.h);
  }
  return end;
}

// Draws a graph that is laid out. What changes every second is left to `refresh`.
function draw(graph, size, compact, several) {
  const svg = shape("svg", {
    width: size.width * size.scale, height: size.height * size.scale, viewBox: `0 0 ${size.width} ${size.height}`, role: "group",
    "aria-label": `${graph.nodes.filter(node => node.part).length} components`,
  });
  if (compact) svg.setAttribute("class", "many");
  const heads = ["Sources", "Interceptors", "Selectors", "Channels", "Groups", "Sinks"];
  for (const rank of size.used) {
    svg.append(shape("text", { class: "head", x: size.left.get(rank), y: 22 }, heads[rank % 6]));
  }
  if (several) lanes(svg, graph);
  const back = shape("g", { "aria-hidden": "true" }), front = shape("g", { "aria-hidden": "true" });
  svg.append(back, front);
  for (const edge of graph.edges) draw_edge(edge, back, front);
  for (const node of graph.nodes) svg.append(draw_node(node, compact));
  return svg;
}

// A frame around each agent.
function lanes(svg, graph) {
  const agents = new Map();
  for (const node of graph.nodes) {
    const box = agents.get(node.agent) || { x: Infinity, y: Infinity, right: 0, end: 0 };
    agents.set(node.agent, {
      x: Math.min(box.x, node.x), y: Math.min(box.y, node.y),
      right: Math.max(box.right, node.x + node.w), end: Math.max(box.end, node.y + node.h),
    });
  }
  for (const [agent, box] of agents) {
    svg.append(shape("rect", {
      class: "lane", x: box.x - 12, y: box.y - 12, width: box.right - box.x + 24, height: box.end - box.y + 24, rx: 12,
    }));
    svg.append(shape("text", { class: "dim", x: box.x - 6, y: box.end + 24 }, "agent " + cut(agent.name, 40)));
  }
}

function draw_edge(edge, back, front) {
  const from = { x: edge.from.x + edge.from.w, y: edge.from.y + edge.from.h / 2 };
  const to = { x: edge.to.x, y: edge.to.y + edge.to.h / 2 };
  let path, at;
  if (to.x > from.x) {
    const bend = (to.x - from.x) / 2;
    path = `M${from.x} ${from.y}C${from.x + bend} ${from.y} ${to.x - bend} ${to.y} ${to.x} ${to.y}`;
    // Near the end that has fewer edges, so that the numbers do not meet.
    const t = edge.from.out.length > edge.to.in.length ? 0.8 : edge.to.in.length > 1 ? 0.2 : 0.5;
    const u = 1 - t;
    at = {
      x: u * u * u * from.x + 3 * u * u * t * (from.x + bend) + 3 * u * t * t * (to.x - bend) + t * t * t * to.x,
      y: (u * u * u + 3 * u * u * t) * from.y + (3 * u * t * t + t * t * t) * to.y,
    };
  } else {
    const low = Math.max(edge.from.y + edge.from.h, edge.to.y + edge.to.h) + 12;
    path = `M${edge.from.x + WIDE / 2} ${edge.from.y + edge.from.h}C${edge.from.x + WIDE / 2} ${low + 14} ` +
      `${edge.to.x + WIDE / 2} ${low + 14} ${edge.to.x + WIDE / 2} ${edge.to.y + edge.to.h}`;
  }
  edge.line = shape("path", { d: path, class: "edge" });
  back.append(edge.line);
  if (at && !edge.side) {
    edge.plate = shape("rect", { class: "plate", x: at.x - 21, y: at.y - 9, width: 42, height: 18, rx: 4 });
    edge.text = shape("text", { class: "dim", x: at.x, y: at.y + 4, "text-anchor": "middle" });
    front.append(edge.plate, edge.text);
  }
}

function draw_node(node, compact) {
  const group = shape("g", { transform: `translate(${node.x} ${node.y})`, tabindex: -1, role: "button", "aria-roledescription": node.kind });
  node.element = group;
  group.append(shape("rect", { class: "box", width: node.w, height: node.h, rx: 8 }));
  if (!node.part) {
    group.setAttribute("class", "node part");
    group.append(shape("text", { x: 10, y: 20 }, cut(node.label, 18)));
    return group;
  }
  node.sign = shape("g", { transform: `translate(10 ${compact ? 9 : 11})` });
  node.title = shape("text", { class: "name", x: 28, y: compact ? 17 : 20 }, cut(node.name, 20));
  node.line = shape("text", { class: "dim", x: 10, y: compact ? 33 : 39 });
  group.append(node.sign, node.title, node.line);
  const room = 24 - Math.min(Array.from(node.name).length, 20);
  if (room > 3) {
    group.append(shape("text", { class: "dim", x: WIDE - 10, y: compact ? 17 : 20, "text-anchor": "end" }, cut(node.part.type || "", room)));
  }
  if (node.kind === "channel") {
    const y = compact ? 38 : 64;
    node.more = compact ? null : shape("text", { class: "dim", x: 10, y: 55 });
    if (node.more) group.append(node.more);
    group.append(shape("rect", { class: "track", x: 10, y, width: WIDE - 20, height: compact ? 4 : 8, rx: 3 }));
    node.level = shape("rect", { class: "level", x: 10, y, width: 0, height: compact ? 4 : 8, rx: 3 });
    group.append(node.level);
  }
  return group;
}
