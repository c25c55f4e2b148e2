// The cluster, live: one stream of events, applied to a copy of the cluster's data, drawn at most ten times a second.
// Credentials stay in a variable, text goes into the page as text, nothing is loaded from elsewhere.

const el = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "class") node.className = value;
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child != null && child !== false));
  return node;
};
const $ = (id) => document.getElementById(id);
const base = "/";
const RETRY = [500, 1000, 2000, 5000, 10000];
const FRAME = 100;

const state = {
  data: null, lost: null, lastId: null, patchId: null, user: null, authorization: null, tries: 0, stream: null,
  filter: "", namespace: "", worst: false, events: [], theme: null, seen: 0,
};

// --- requests ---

class Refused extends Error {
  constructor(status, text) { super(text); this.status = status; }
}

const headers = (more = {}) => ({
  accept: "application/json",
  ...(state.authorization ? { authorization: state.authorization } : {}),
  ...more,
});

async function ask(method, action, options = {}, node = null) {
  const request = { method, headers: headers(node ? { "o-node": node } : {}), cache: "no-store" };
  let url = base + action;
  if (method === "GET") {
    const query = new URLSearchParams(Object.entries(options).filter(([, value]) => value != null));
    if ([...query].length) url += `?${query}`;
  } else {
    request.body = JSON.stringify(options);
    request.headers["content-type"] = "application/json";
  }
  const response = await fetch(url, request);
  const text = await response.text();
  let body;
  try { body = JSON.parse(text || "{}"); } catch { body = text; }
  const error = body && body.error;
  if (!response.ok || error) {
    const told = Array.isArray(error) ? error.join("\n") : error || response.statusText || `status ${response.status}`;
    if (response.status === 401) login();
    throw new Refused(response.status, told);
  }
  return body;
}

/** Items of a stream of server-sent events, until it ends or is given up. */
async function* follow(action, options, signal, more = {}) {
  const query = new URLSearchParams(options);
  const response = await fetch(`${base}${action}?${query}`, {
    headers: headers({ accept: "text/event-stream", ...more }), signal, cache: "no-store",
  });
  const kind = response.headers.get("content-type") || "";
  if (!response.ok || !kind.startsWith("text/event-stream")) {
    throw new Refused(response.ok ? 501 : response.status, `${action}: no stream`);
  }
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    state.seen = Date.now();
    rest += value;
    let end;
    while ((end = rest.indexOf("\n\n")) >= 0) {
      const item = { data: "" };
      for (const line of rest.slice(0, end).split("\n")) {
        if (line.startsWith("id:")) item.id = line.slice(3).trim();
        else if (line.startsWith("data:")) item.data += line.slice(5).trimStart();
      }
      rest = rest.slice(end + 2);
      // An id alone tells where the stream is.
      if (item.data || item.id) yield { id: item.id, data: item.data ? JSON.parse(item.data) : null };
    }
  }
}

// --- the data ---

function apply(target, changes) {
  for (const [path, ...rest] of changes) {
    if (!path.length) { if (rest.length) state.data = rest[0]; continue; }
    let at = target;
    for (const key of path.slice(0, -1)) {
      if (at[key] === null || typeof at[key] !== "object") at[key] = {};
      at = at[key];
    }
    const last = path[path.length - 1];
    if (rest.length) at[last] = rest[0];
    else if (Array.isArray(at)) at.splice(last, 1);
    else delete at[last];
  }
}

const nodesOf = (data) => {
  const names = new Set(data?.cluster?.nodes || []);
  Object.keys(data?.monitor?.nodes || {}).forEach((name) => names.add(name));
  return [...names].sort();
};
const nodeData = (name) => state.data?.monitor?.nodes?.[name];
const instanceOf = (node, path) => nodeData(node)?.services?.status?.[path];
const configOf = (node, path) => nodeData(node)?.services?.config?.[path];
const namespaceOf = (path) => (path.split("/").length === 3 ? path.split("/")[0] : "root");
const kindOf = (path) => (path === "cluster" ? "ccfg" : path.split("/").length === 1 ? "svc" : path.split("/").at(-2));
const tone = (word = "") => {
  if (/^(up|stdby up|running|idle|ok|O)$/.test(word)) return "good";
  if (/failed|^(down|stdby down|error|X|stopped)$/.test(word)) return "bad";
  if (/^(warn|undef|unknown|warning)/.test(word)) return "warn";
  return "";
};

function can(role, path) {
  const grant = state.user?.grant || {};
  if ("root" in grant) return true;
  const order = ["guest", "operator", "admin"];
  const namespace = namespaceOf(path);
  return order.slice(order.indexOf(role)).some((each) => (grant[each] || []).includes(namespace));
}
const isRoot = () => "root" in (state.user?.grant || {});

// --- the stream ---

async function live() {
  state.stream?.abort();
  const own = (state.stream = new AbortController());
  try {
    const more = state.lastId && state.data ? { "last-event-id": state.lastId } : {};
    const options = state.lastId && state.data ? {} : { full: "true" };
    for await (const { id, data: item } of follow("events", options, own.signal, more)) {
      if (state.stream !== own) return;
      if (id && id.includes(".")) state.lastId = id;
      take(item);
    }
    throw new Error("the stream ended");
  } catch (error) {
    if (state.stream !== own || own.signal.aborted) return;
    if (error.status === 401 || error.status === 403) return login();
    lose(error);
  }
}

function take(item) {
  if (state.lost) { state.lost = null; banner(); }
  state.tries = 0;
  if (item.kind === "full") {
    state.data = item.data;
    state.patchId = null;
  } else if (item.kind === "patch") {
    if (!state.data || (state.patchId !== null && item.id !== state.patchId + 1)) {
      state.lastId = null;
      state.data = null;
      return live();
    }
    state.patchId = item.id;
    apply(state.data, item.data || []);
  } else if (item.kind === "gap") {
    state.patchId = null;
  }
  if (item.kind !== "patch" && item.kind !== "full") {
    state.events.unshift(item);
    state.events.length = Math.min(state.events.length, 500);
  }
  draw();
}

function lose() {
  state.lost ??= Date.now();
  banner();
  const pause = RETRY[Math.min(state.tries, RETRY.length - 1)];
  state.tries += 1;
  setTimeout(() => { if (state.lost) live(); }, pause);
}

function banner() {
  const box = $("banner");
  box.hidden = !state.lost;
  document.body.classList.toggle("stale", !!state.lost);
  if (!state.lost) return box.replaceChildren();
  const age = Math.round((Date.now() - Math.max(state.seen, 0)) / 1000);
  const others = nodesOf(state.data).filter((node) => node !== location.hostname);
  const links = location.protocol === "https:" ? others.flatMap((node) => {
    const url = new URL(location.href);
    url.hostname = node;
    return [" ", el("a", { href: url.href }, url.host)];
  }) : [];
  box.replaceChildren(
    el("strong", {}, "This node does not answer."),
    ` What you see is ${state.seen ? `${age} s` : "long"} old. It is tried again.`,
    links.length ? " The page of another node:" : "", ...links,
  );
}

// --- drawing ---

let wanted = null;
let drawn = 0;
function draw() {
  if (wanted) return;
  const pause = Math.max(0, FRAME - (performance.now() - drawn));
  wanted = setTimeout(() => requestAnimationFrame(() => {
    wanted = null;
    drawn = performance.now();
    paint();
  }), pause);
}

let view = null;
function paint() {
  if (!state.data) return;
  const cluster = state.data.cluster || {};
  $("cluster-name").textContent = cluster.name || "om";
  document.title = cluster.name ? `${cluster.name} – om` : "om";
  $("state").textContent = summary();
  view?.update?.();
}

const services = () => Object.keys(state.data?.monitor?.services || {}).filter((path) => path !== "cluster");
function summary() {
  const counts = {};
  const paths = services().filter((path) => ["svc", "vol"].includes(kindOf(path)));
  for (const path of paths) {
    const avail = state.data.monitor.services[path].avail || "n/a";
    counts[avail] = (counts[avail] || 0) + 1;
  }
  const nodes = nodesOf(state.data).length;
  const told = Object.entries(counts).sort().map(([word, count]) => `${count} ${word}`).join(", ");
  return `${nodes} node${nodes === 1 ? "" : "s"}, ${paths.length} service${paths.length === 1 ? "" : "s"}${told ? `: ${told}` : ""}`;
}

function route() {
  if (!state.user || state.user.name === "nobody") return;
  const [, kind, ...rest] = decodeURI(location.hash || "#/").split("/");
  const name = rest.join("/");
  for (const link of document.querySelectorAll("#nav a")) {
    const is = link.getAttribute("href") === `#/${["logs", "events"].includes(kind) ? kind : ""}`;
    if (is) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  view?.end?.();
  const views = { object: objectView, node: nodeView, logs: logsView, events: eventsView };
  const main = $("main");
  main.replaceChildren();
  view = (views[kind] || clusterView)(main, name);
  paint();
}

/** Rows by key, of which only those are drawn anew that changed. */
function rows(body) {
  const known = new Map();
  return (items) => {
    const gone = new Set(known.keys());
    let before = body.firstChild;
    for (const { key, sign, make } of items) {
      gone.delete(key);
      let row = known.get(key);
      if (!row || row.sign !== sign) {
        const node = make();
        if (row) { if (before === row.node) before = node; row.node.replaceWith(node); }
        row = { sign, node };
        known.set(key, row);
      }
      if (row.node !== before) body.insertBefore(row.node, before); else before = before.nextSibling;
    }
    for (const key of gone) { known.get(key).node.remove(); known.delete(key); }
  };
}

// --- the cluster ---

const SIGNS = { up: "O", down: "X", warn: "!", "stdby up": "S", "stdby down": "s", undef: "?", unknown: "?" };
function instanceSigns(node, path) {
  const instance = instanceOf(node, path);
  if (!instance) return configOf(node, path) ? [el("span", { class: "warn" }, "?")] : [];
  const monitor = instance.monitor || {};
  const parts = [el("span", { class: tone(instance.avail) }, SIGNS[instance.avail] || "/")];
  const add = (sign, title, kind = "quiet") => parts.push(el("span", { class: kind, title }, sign));
  if (instance.overall === "warn") add("!", "a warning", "warn");
  if (monitor.placement === "leader") add("^", "leader");
  if (instance.frozen) add("*", "frozen");
  if (instance.provisioned === false) add("P", "not provisioned", "warn");
  if (monitor.status && monitor.status !== "idle") add(` ${monitor.status}`, "", tone(monitor.status) || "quiet");
  if (monitor.global_expect) add(` >${monitor.global_expect}`, "target");
  return parts;
}

const failureOf = (node, path) => instanceOf(node, path)?.last_failure;
const failureText = (failure) => {
  const tries = failure.tries > 1 ? `, ${failure.tries} tries` : "";
  const where = failure.rid ? `${failure.rid}: ` : "";
  return `${where}${failure.reason || failure.action} (${clock(failure.at)}${tries})`;
};
const clock = (seconds) => (seconds ? new Date(seconds * 1000).toLocaleTimeString() : "");

function severity(path) {
  const object = state.data.monitor.services[path];
  const failed = nodesOf(state.data).some((node) => /failed/.test(instanceOf(node, path)?.monitor?.status || ""));
  const order = { down: 2, warn: 2, undef: 3, "stdby down": 3, up: 6, "stdby up": 6 };
  return (failed ? 0 : order[object.avail] ?? 7) - (object.overall === "warn" || object.placement === "non-optimal" ? 1 : 0);
}

function alertsOf() {
  const alerts = new Map();
  const add = (who, thread, alert) => {
    const message = alert.message || String(alert);
    const key = `${thread}\n${message}`;
    const known = alerts.get(key) || { thread, message, severity: alert.severity || "warning", who: [] };
    if (who && !known.who.includes(who)) known.who.push(who);
    alerts.set(key, known);
  };
  for (const node of nodesOf(state.data)) {
    for (const [thread, list] of Object.entries(nodeData(node)?.alerts || {})) for (const alert of list) add(node, thread, alert);
  }
  for (const [thread, block] of Object.entries(state.data)) for (const alert of block?.alerts || []) add(null, thread, alert);
  // The monitor repeats what others tell, for commands of deployed agents.
  const told = [...alerts.values()];
  return told.filter((one) => one.thread !== "monitor" || !told.some((other) => other.thread !== "monitor" && other.message === one.message));
}

function clusterView(main) {
  const alerts = el("div");
  const threads = el("tbody");
  const nodeRows = el("tbody");
  const objects = el("tbody");
  const heads = [el("tr"), el("tr"), el("tr")];
  const table = (label, head, body) => el("div", { class: "scroll" }, el("table", { "aria-label": label }, el("thead", {}, head), body));
  const spaces = el("select", { "aria-label": "Namespace", onchange: () => { state.namespace = spaces.value; paint(); } });
  const filter = el("input", { type: "search", placeholder: "Filter objects", "aria-label": "Filter objects", value: state.filter, oninput: () => { state.filter = filter.value; paint(); } });
  const worst = el("input", { type: "checkbox", onchange: () => { state.worst = worst.checked; paint(); } });
  worst.checked = state.worst;
  main.append(
    alerts,
    el("h2", {}, "Objects"),
    el("div", { class: "bar" }, filter, spaces, el("label", {}, worst, " worst first")),
    table("Objects", heads[2], objects),
    el("h2", {}, "Nodes"), table("Nodes", heads[1], nodeRows),
    el("h2", {}, "Threads"), table("Threads", heads[0], threads),
  );
  const drawRows = { threads: rows(threads), nodes: rows(nodeRows), objects: rows(objects) };
  let names = "";
  const update = () => {
    const nodes = nodesOf(state.data);
    if (names !== nodes.join()) {
      names = nodes.join();
      const links = () => nodes.map((node) => el("th", { scope: "col" }, el("a", { href: `#/node/${node}` }, node)));
      heads[0].replaceChildren(el("th", {}, "thread"), el("th", {}, "state"), el("th", { class: "wide" }, "where"), ...links());
      heads[1].replaceChildren(el("th"), ...links());
      heads[2].replaceChildren(el("th", {}, "object"), el("th", {}, "state"), el("th", { class: "wide" }, "mode"), el("th", { class: "wide" }, "up"), ...links());
    }
    const list = alertsOf();
    alerts.replaceChildren(...list.map((alert) => el("div", { class: `alert ${alert.severity}` },
      el("strong", {}, `${[alert.who.join(","), alert.thread].filter(Boolean).join(" ")}: `), alert.message)));
    const all = [...new Set(services().map(namespaceOf))].sort();
    if (spaces.dataset.all !== all.join()) {
      spaces.dataset.all = all.join();
      spaces.replaceChildren(el("option", { value: "" }, "all namespaces"), ...all.map((name) => el("option", { value: name }, name)));
      spaces.value = state.namespace;
    }
    drawRows.objects(objectRows(nodes));
    drawRows.nodes(nodeRowsOf(nodes));
    drawRows.threads(threadRows(nodes));
  };
  return { update };
}

function objectRows(nodes) {
  const needle = state.filter.toLowerCase();
  let paths = services().filter((path) => path.toLowerCase().includes(needle) && (!state.namespace || namespaceOf(path) === state.namespace));
  paths.sort();
  if (state.worst) paths = paths.map((path) => [severity(path), path]).sort((a, b) => a[0] - b[0] || (a[1] < b[1] ? -1 : 1)).map(([, path]) => path);
  return paths.map((path) => {
    const object = state.data.monitor.services[path];
    const instances = nodes.map((node) => instanceOf(node, path));
    const first = (name) => instances.find((instance) => instance?.[name])?.[name] || "";
    const failures = nodes.filter((node) => failureOf(node, path));
    const sign = JSON.stringify([object, nodes.map((node, at) => {
      const i = instances[at];
      return i ? [i.avail, i.overall, !!i.frozen, i.provisioned, i.monitor?.status, i.monitor?.placement, i.monitor?.global_expect, i.last_failure] : !!configOf(node, path);
    })]);
    return { key: path, sign, make: () => {
      const topology = first("topology");
      const up = instances.filter((instance) => ["up", "warn"].includes(instance?.avail)).length;
      const target = topology === "flex" ? first("flex_target") || 1 : 1;
      return el("tr", {},
        el("th", { scope: "row" }, el("a", { href: `#/object/${path}` }, path),
          ...failures.map((node) => el("div", { class: "bad quiet" }, `${node}: ${failureText(failureOf(node, path))}`))),
        el("td", {}, stateBadge(object)),
        el("td", { class: "wide" }, first("orchestrate")),
        el("td", { class: "wide" }, topology ? `${up}/${target}` : ""),
        ...nodes.map((node) => el("td", { class: "sign" }, ...instanceSigns(node, path))));
    } };
  });
}

const stateBadge = (object) => {
  const avail = object?.avail || "n/a";
  const extra = (object?.overall === "warn" ? " !" : "") + (object?.placement === "non-optimal" ? " ^" : "");
  const title = (object?.overall === "warn" ? "an instance warns. " : "") + (object?.placement === "non-optimal" ? "not where it belongs" : "");
  return el("span", { class: `badge ${tone(avail)}`, title }, avail + extra);
};

function nodeRowsOf(nodes) {
  const row = (name, cell) => ({ key: name, sign: JSON.stringify(nodes.map((node) => cell(node, true))), make: () =>
    el("tr", {}, el("th", { scope: "row" }, name), ...nodes.map((node) => el("td", { class: "sign" }, cell(node)))) });
  const stats = (node) => nodeData(node)?.stats || {};
  const used = (kind) => (node) => {
    const total = stats(node)[`${kind}_total`];
    return total > 0 ? `${100 - (stats(node)[`${kind}_avail`] ?? 0)} %` : "–";
  };
  return [
    row("state", (node) => {
      const data = nodeData(node);
      const monitor = data?.monitor;
      if (!monitor?.status) return "? not heard";
      const words = [monitor.status === "idle" ? "O" : monitor.status];
      if (data.frozen) words.push("* frozen");
      for (const target of [monitor.local_expect, monitor.global_expect]) if (target) words.push(`>${target}`);
      return words.join(" ");
    }),
    row("score", (node) => String(stats(node).score ?? "")),
    row("load 15m", (node) => String(stats(node).load_15m ?? "")),
    row("memory", used("mem")),
    row("swap", used("swap")),
    row("version", (node) => nodeData(node)?.agent || nodeData(node)?.release || ""),
  ];
}

const FIELD = /^(daemon|listener|monitor|scheduler|collector|dns|hb#)/;
function threadRows(nodes) {
  const threads = Object.entries(state.data).filter(([id, block]) => typeof block?.state === "string" && (FIELD.test(id) || block.state !== "running"));
  return threads.map(([id, block]) => {
    const peers = nodes.map((node) => {
      const peer = block.peers?.[node];
      if (!id.startsWith("hb#") || !peer || (peer.beating === undefined && id.endsWith(".rx"))) return "";
      return peer.beating === false ? "X" : "O";
    });
    const config = block.config || {};
    const where = config.port ? `${config.addr || ""}:${config.port}` : config.relay || config.dev || "";
    return { key: id, sign: JSON.stringify([block.state, peers, where, !!block.alerts?.length]), make: () => el("tr", {},
      el("th", { scope: "row" }, id),
      el("td", { class: tone(block.state) }, block.state + (block.alerts?.length ? " !" : "")),
      el("td", { class: "wide" }, where),
      ...peers.map((sign) => el("td", { class: `sign ${tone(sign)}` }, sign))) };
  });
}

// --- an object ---

const ACTIONS = [
  { name: "Start", target: "started", role: "operator" },
  { name: "Stop", target: "stopped", role: "operator" },
  { name: "Restart", target: "restarted", role: "admin" },
  { name: "Switch", target: "placed@", role: "operator" },
  { name: "Giveback", target: "placed", role: "operator" },
  { name: "Freeze", target: "frozen", role: "operator" },
  { name: "Thaw", target: "thawed", role: "operator" },
  { name: "Provision", target: "provisioned", role: "admin" },
  { name: "Unprovision", target: "unprovisioned", role: "admin", loses: true },
  { name: "Purge", target: "purged", role: "admin", loses: true },
  { name: "Delete", target: "deleted", role: "admin", loses: true },
];
const DATA_KINDS = ["cfg", "sec", "usr", "nscfg", "ccfg"];

function objectView(main, path) {
  const title = el("h1", {}, path);
  const badge = el("span");
  const progress = el("div");
  const buttons = el("div", { class: "bar", role: "group", "aria-label": "Actions" });
  const isData = DATA_KINDS.includes(kindOf(path));
  const offered = ACTIONS.filter((action) => can(action.role, path) && (!isData || action.target === "deleted") && path !== "cluster");
  for (const action of offered) buttons.append(el("button", { type: "button", onclick: () => act(path, action) }, action.name));
  if (!isData && can("operator", path)) buttons.append(el("button", { type: "button", onclick: () => clear(path) }, "Clear"));
  const tabs = [
    ["Status", statusTab], ["Log", logTab], ["History", historyTab],
    ...(can("admin", path) && (path !== "cluster" || isRoot()) ? [["Configuration", configTab]] : []),
    ...(["cfg", "sec", "usr"].includes(kindOf(path)) ? [["Keys", keysTab]] : []),
  ];
  const panel = el("div", { role: "tabpanel" });
  let tab = null;
  const bar = el("div", { class: "tabs", role: "tablist" });
  const choose = (at) => {
    tab?.end?.();
    [...bar.children].forEach((button, index) => { button.setAttribute("aria-selected", index === at); button.tabIndex = index === at ? 0 : -1; });
    panel.replaceChildren();
    tab = tabs[at][1](panel, path) || {};
    tab.update?.();
  };
  tabs.forEach(([name], at) => bar.append(el("button", { type: "button", role: "tab", onclick: () => choose(at), onkeydown: (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const next = (at + step + tabs.length) % tabs.length;
    choose(next);
    bar.children[next].focus();
  } }, name)));
  main.append(el("div", { class: "bar" }, title, badge), progress, buttons, bar, panel);
  choose(0);
  let sign = "";
  const update = () => {
    const object = state.data.monitor?.services?.[path];
    const pursued = nodesOf(state.data).map((node) => [node, instanceOf(node, path)?.monitor]).filter(([, monitor]) => monitor?.global_expect || (monitor?.status && monitor.status !== "idle"));
    const now = JSON.stringify([object, pursued.map(([node, m]) => [node, m.status, m.global_expect])]);
    if (now !== sign) {
      sign = now;
      badge.replaceChildren(object ? stateBadge(object) : el("span", { class: "badge warn" }, "is gone"));
      progress.replaceChildren(...(pursued.length ? [el("div", { class: "alert" },
        pursued.map(([node, m]) => `${node}: ${m.status}${m.global_expect ? ` >${m.global_expect}` : ""}`).join(", "), " ",
        can("operator", path) ? el("button", { type: "button", onclick: () => set(path, "aborted") }, "Abort") : "")] : []));
    }
    tab?.update?.();
  };
  return { update, end: () => tab?.end?.() };
}

function statusTab(panel, path) {
  const tree = el("div", { class: "card" });
  const why = el("div", { class: "card" });
  panel.append(el("div", { class: "cards" }, tree, why));
  let sign = "";
  let pending = null;
  const explain = async () => {
    pending = null;
    try {
      const { data } = await ask("GET", "object_explain", { path });
      if (!why.isConnected) return;
      why.replaceChildren(el("h2", {}, "Why"), el("p", {}, data.summary || ""), ...explained(data));
    } catch (error) { why.replaceChildren(el("h2", {}, "Why"), el("p", { class: "quiet" }, error.message)); }
  };
  return {
    update: () => {
      const nodes = nodesOf(state.data).filter((node) => instanceOf(node, path) || configOf(node, path));
      const now = JSON.stringify(nodes.map((node) => [node, instanceOf(node, path)]));
      if (now === sign) return;
      sign = now;
      tree.replaceChildren(el("h2", {}, "Instances"), ...nodes.map((node) => instanceTree(node, path)));
      pending ??= setTimeout(explain, 150);
    },
    end: () => clearTimeout(pending),
  };
}

function explained(data) {
  const list = (title, items) => (items.length ? [el("h2", {}, title), el("ul", { class: "plain" }, ...items.map((item) => el("li", {}, item)))] : []);
  const weight = { blocking: "bad", stuck: "bad", normal: "" };
  return [
    ...list("What holds", (data.blockers || []).map((blocker) => el("span", { class: weight[blocker.weight] || "" }, `${(blocker.nodes || []).join(", ")}: ${blocker.text}`))),
    ...list("Next", (data.next || []).map((step) => (typeof step === "string" ? step : step.text || JSON.stringify(step)))),
    ...list("Timers", (data.timers || []).map((timer) => timer.text || `${timer.id || timer.name || ""} ${timer.node || ""} ${Math.round(timer.remaining ?? timer.after ?? 0)} s`)),
    ...list("Targets", (data.targets || []).map((target) => `${(target.nodes || []).join(", ")}: ${target.target}`)),
    ...list("Candidates", (data.candidates || []).map((candidate) => `${candidate.rank}. ${candidate.node}: ${candidate.avail}${candidate.is_leader ? ", leader" : ""}${candidate.discarded ? `, ${candidate.discarded}` : ""}`)),
  ];
}

function instanceTree(node, path) {
  const instance = instanceOf(node, path);
  if (!instance) return el("div", {}, el("strong", {}, node), " not evaluated yet");
  const failure = instance.last_failure;
  const flags = (resource) => [
    resource.disable && "disabled", resource.optional && "optional", resource.standby && "standby", resource.monitor && "monitored",
    resource.restart ? `restart ${resource.restart}` : null,
  ].filter(Boolean).join(", ");
  const resources = Object.entries(instance.resources || {}).sort();
  return el("div", {},
    el("div", {}, el("a", { href: `#/node/${node}` }, node), " ", el("span", { class: "sign" }, ...instanceSigns(node, path)), " ",
      el("span", { class: tone(instance.avail) }, instance.avail || "")),
    failure ? el("div", { class: "bad" }, failureText(failure)) : "",
    el("div", { class: "tree" }, ...resources.map(([rid, resource]) => el("div", {},
      el("span", { class: `mono ${tone(resource.status)}` }, `${SIGNS[resource.status] || "/"} ${rid}`), ` ${resource.label || resource.type || ""} `,
      el("span", { class: "quiet" }, flags(resource)),
      ...(resource.log || []).map((line) => el("div", { class: `quiet ${/^error/.test(line) ? "bad" : /^warn/.test(line) ? "warn" : ""}` }, line))))));
}

async function act(path, action) {
  let target = action.target;
  if (target === "placed@") {
    const nodes = nodesOf(state.data).filter((node) => instanceOf(node, path));
    const up = nodes.filter((node) => instanceOf(node, path)?.avail === "up");
    target = await choose(`Switch ${path} to`, nodes.filter((node) => !up.includes(node)));
    if (!target) return;
    target = `placed@${target}`;
  }
  let forecast;
  try {
    forecast = (await ask("GET", "object_explain", { path, global_expect: target })).data;
  } catch (error) { return toast(error.message, true); }
  const steps = forecast.steps || [];
  const named = el("input", { type: "text", autocomplete: "off", "aria-label": `Type ${path} to confirm` });
  const go = el("button", { type: "button", class: action.loses ? "danger" : "primary", id: "confirm" }, action.name);
  if (action.loses) {
    go.disabled = true;
    named.addEventListener("input", () => { go.disabled = named.value !== path; });
  }
  const is = await ask2(`${action.name} ${path}`, [
    el("p", {}, forecast.outcome || forecast.summary || ""),
    steps.length ? el("ol", { id: "steps" }, ...steps.map((step) => el("li", {}, `${step.node || ""}: ${step.what} ${step.object && step.object !== path ? step.object : ""}`, el("span", { class: "quiet" }, step.after ? ` after ${Math.round(step.after)} s` : "")))) : el("p", { class: "quiet" }, "Nothing would be started or stopped."),
    ...(forecast.info || []).map((text) => el("p", { class: "quiet" }, text)),
    action.loses ? el("label", { class: "field" }, `Data may be lost. Type ${path} to confirm.`, named) : "",
  ], go);
  if (is) await set(path, target);
}

async function set(path, target) {
  try {
    const answer = await ask("POST", "object_monitor", { path, global_expect: target });
    toast([answer.info].flat().filter(Boolean).join("\n") || `${path}: ${target}`);
  } catch (error) { toast(error.message, true); }
}

async function clear(path) {
  try {
    await ask("POST", "object_clear", { path }, "*");
    toast(`${path}: failures are forgotten`);
  } catch (error) { toast(error.message, true); }
}

/** A question with a button; whether it was pressed. */
function ask2(title, content, go) {
  const dialog = $("dialog");
  return new Promise((resolve) => {
    let is = false;
    go.addEventListener("click", () => { is = true; dialog.close(); });
    dialog.replaceChildren(el("h1", { id: "dialog-title" }, title), ...content, el("div", { class: "bar" },
      el("button", { type: "button", id: "cancel", onclick: () => dialog.close() }, "Cancel"), go));
    dialog.addEventListener("close", () => resolve(is), { once: true });
    dialog.showModal();
  });
}

async function choose(title, options) {
  if (!options.length) { toast("There is no other node.", true); return null; }
  const select = el("select", { "aria-label": title }, ...options.map((option) => el("option", {}, option)));
  const go = el("button", { type: "button", class: "primary", id: "chosen" }, "Look");
  return (await ask2(title, [el("p", {}, select)], go)) ? select.value : null;
}

function toast(text, isBad = false) {
  const node = el("div", { class: `toast ${isBad ? "bad" : ""}` }, text);
  $("toasts").append(node);
  setTimeout(() => node.remove(), isBad ? 12000 : 6000);
}

// --- logs, history, configuration, keys ---

function entryLine(entry) {
  const extra = entry.x || {};
  const where = [extra.n, extra.o, extra.r].filter(Boolean).join(" ");
  const text = Array.isArray(entry.m) ? entry.m.join("\n") : typeof entry.m === "string" ? entry.m : JSON.stringify(entry.m);
  const level = { ERROR: "bad", CRITICAL: "bad", WARNING: "warn" }[entry.l] || "";
  return el("div", { class: level }, el("time", {}, `${clock(entry.t)} `), el("span", { class: "who" }, `${where} `), text);
}

/** The last lines of all nodes, followed. */
function logPanel(panel, logs) {
  const box = el("div", { class: "log scroll", tabindex: "0", "aria-label": "Log" });
  const text = el("input", { type: "search", placeholder: "Filter lines", "aria-label": "Filter lines", oninput: () => show() });
  const level = el("select", { "aria-label": "Level", onchange: () => show() }, el("option", { value: "" }, "all levels"), el("option", { value: "WARNING" }, "warnings and errors"), el("option", { value: "ERROR" }, "errors"));
  const follows = el("input", { type: "checkbox", onchange: () => show() });
  follows.checked = true;
  panel.append(el("div", { class: "bar" }, text, level, el("label", {}, follows, " follow")), box);
  let entries = [];
  let last = null;
  let isOver = false;
  const giveUp = new AbortController();
  const rank = { DEBUG: 0, INFO: 1, WARNING: 2, ERROR: 3, CRITICAL: 4 };
  const show = () => {
    const needle = text.value.toLowerCase();
    const least = rank[level.value] ?? 0;
    const isAtEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    const shown = entries.filter((entry) => (rank[entry.l] ?? 1) >= least && (!needle || JSON.stringify(entry).toLowerCase().includes(needle))).slice(-1000);
    box.replaceChildren(...(shown.length ? shown.map(entryLine) : [el("p", { class: "quiet" }, "No line.")]));
    if (isAtEnd || !box.dataset.shown) box.scrollTop = box.scrollHeight;
    box.dataset.shown = "1";
  };
  // What comes is put in order, and goes on where it broke off; what is lost is read anew.
  const read = async () => {
    const from = last ? {} : { backlog: "10k" };
    if (!last) entries = [];
    for await (const { id, data } of follow(logs, from, giveUp.signal, { "o-node": "*", ...(last ? { "last-event-id": last } : {}) })) {
      last = id || last;
      if (data?.kind === "gap") { last = null; return; }
      if (data?.length) entries = [...entries, ...data].sort((a, b) => a.t - b.t).slice(-5000);
      if (follows.checked) show();
    }
  };
  const stay = async () => {
    while (!isOver) {
      try { await read(); } catch (error) {
        if (!isOver && !entries.length) box.replaceChildren(el("p", { class: "bad" }, error.message));
      }
      await new Promise((done) => setTimeout(done, 1000));
    }
  };
  stay();
  return { end: () => { isOver = true; giveUp.abort(); } };
}

const logTab = (panel, path) => logPanel(panel, `object/${path}/logs`);

/** A record of a history in words; none for what is a detail. */
function happened(record) {
  const detail = ["overall", "begun", "local_target"].includes(record.what) || (["avail", "frozen", "provisioned"].includes(record.what) && !record.from);
  if (detail) return null;
  const took = record.took == null ? "" : ` ${record.what === "ended" ? "in" : "after"} ${record.took.toFixed(1)} s`;
  const on = (record.on || []).length ? ` ${record.what === "object" ? "on " : ""}${record.on.join(", ")}` : "";
  const change = record.from && record.to ? `${record.from} → ${record.to}` : record.to || "";
  const words = [record.what.replaceAll("_", " "), record.action, record.rid, change].filter(Boolean).join(" ");
  return `${words}${on}${took}${record.by ? ` by ${record.by}` : ""}${record.why ? `: ${record.why}` : ""}`;
}

function historyTab(panel, path) {
  const box = el("div", { class: "card" }, el("p", { class: "quiet" }, "Loading .."));
  panel.append(box);
  ask("GET", "object_history", { path }, "*").then((answer) => {
    const all = Object.entries(answer.nodes || { "": answer }).flatMap(([node, each]) => (each?.data || []).map((record) => ({ node, record })));
    all.sort((a, b) => a.record.t - b.record.t);
    let seen = "";
    const shown = all.filter(({ record }) => {
      // Each node tells how it sees the object: once is enough.
      if (record.what !== "object") return true;
      const view = JSON.stringify([record.to, record.on]);
      const is = view !== seen;
      seen = view;
      return is;
    }).map(({ node, record }) => [node, record, happened(record)]).filter(([, , words]) => words).slice(-500).reverse();
    box.replaceChildren(shown.length ? el("ul", { class: "plain mono" }, ...shown.map(([node, record, words]) => el("li", { class: /failure|peer_lost/.test(record.what) || record.to === "failed" ? "bad" : "" }, el("time", { class: "quiet" }, `${new Date(record.t * 1000).toLocaleString()} `), el("span", { class: "who" }, `${node} `), words))) : el("p", { class: "quiet" }, "Nothing happened yet."));
  }).catch((error) => box.replaceChildren(el("p", { class: "quiet" }, error.message)));
  return {};
}

function configTab(panel, path) {
  const text = el("pre", { tabindex: "0" });
  const help = el("div", { class: "card", "aria-live": "polite" }, el("p", { class: "quiet" }, "Choose a keyword: here stands what it is for."));
  panel.append(el("div", { class: "cards" }, el("div", { class: "card" }, text), help));
  let keywords = null;
  const about = async (section, keyword) => {
    keywords ??= ask("GET", "keywords", { kind: kindOf(path) }, "ANY").then((answer) => Object.values(answer.nodes || { own: answer })[0]).catch(() => []);
    const list = await keywords;
    const all = Array.isArray(list) ? list : list?.data || [];
    const group = section.split("#")[0];
    const name = keyword.split("@")[0];
    const found = all.find((each) => each.keyword === name && (each.section === group || each.section === section)) || all.find((each) => each.keyword === name);
    help.replaceChildren(el("h2", {}, `${section}.${keyword}`), el("p", {}, found?.text || "No text."), el("p", { class: "quiet" }, found ? `${found.convert || "text"}${found.default != null ? `, default ${found.default}` : ""}` : ""));
  };
  ask("GET", "object_config", { path }, "ANY").then((answer) => {
    const config = Object.values(answer.nodes || { own: answer })[0];
    let section = "DEFAULT";
    text.replaceChildren(...(config?.data || "").split("\n").flatMap((line) => {
      const head = line.match(/^\[(.*)\]/);
      if (head) section = head[1];
      const word = line.match(/^([^\s=#[]+)(\s*=.*)$/);
      const own = section;
      return word ? [el("a", { href: location.hash, onclick: (event) => { event.preventDefault(); about(own, word[1]); } }, word[1]), word[2], "\n"] : [line, "\n"];
    }));
  }).catch((error) => text.replaceChildren(error.message));
  return {};
}

function keysTab(panel, path) {
  const list = el("ul", { class: "plain" });
  const value = el("pre", { tabindex: "0" });
  panel.append(el("div", { class: "cards" }, el("div", { class: "card" }, list), el("div", { class: "card" }, value)));
  const role = kindOf(path) === "cfg" ? "guest" : "admin";
  const show = async (key) => {
    try {
      const answer = await ask("GET", "key", { path, key }, "ANY");
      value.textContent = Object.values(answer.nodes || { own: answer })[0]?.data ?? "";
    } catch (error) { value.textContent = error.message; }
  };
  ask("GET", "object_keys", { path }, "ANY").then((answer) => {
    const first = Object.values(answer.nodes || { own: answer })[0];
    const keys = Array.isArray(first) ? first : first?.data || [];
    list.replaceChildren(...(keys.length ? keys.map((key) => el("li", {}, can(role, path) ? el("button", { type: "button", onclick: () => show(key) }, key) : key)) : [el("li", { class: "quiet" }, "No key.")]));
  }).catch((error) => list.replaceChildren(el("li", { class: "bad" }, error.message)));
  return {};
}

// --- a node ---

function nodeView(main, name) {
  const stateLine = el("div");
  const buttons = el("div", { class: "bar", role: "group", "aria-label": "Actions" });
  const beats = el("tbody");
  const assets = el("tbody");
  const plans = el("tbody");
  const card = (title, body) => el("div", { class: "card" }, el("h2", {}, title), el("div", { class: "scroll" }, el("table", {}, body)));
  const log = el("div");
  main.append(el("h1", {}, name), stateLine, buttons, el("div", { class: "cards" }, card("Heartbeats", beats), card("Assets", assets), card("Schedules", plans)), el("h2", {}, "Log"), log);
  const action = (label, what) => el("button", { type: "button", onclick: async () => {
    const go = el("button", { type: "button", class: "primary", id: "confirm" }, label);
    if (!await ask2(`${label} ${name}`, [el("p", {}, what)], go)) return;
    try {
      if (label === "Drain") await ask("POST", "node_drain", {}, name);
      else await ask("POST", "node_action", { action: label.toLowerCase(), options: {}, sync: false }, name);
      toast(`${name}: ${label.toLowerCase()}`);
    } catch (error) { toast(error.message, true); }
  } }, label);
  if (isRoot()) buttons.append(action("Freeze", "Nothing is started or moved there by itself."), action("Thaw", "Orchestration goes on there."), action("Drain", "It is frozen, and its instances are stopped: what may run elsewhere moves."));
  ask("GET", "node", {}, name).then((answer) => {
    const data = Object.values(answer.nodes || { own: answer })[0] || {};
    assets.replaceChildren(...Object.entries(data).filter(([, value]) => value !== "" && value != null && typeof value !== "object" || value?.value).map(([key, value]) => el("tr", {}, el("th", { scope: "row" }, value?.title || key), el("td", { class: "wrap" }, String(value?.value ?? value)))));
  }).catch((error) => assets.replaceChildren(el("tr", {}, el("td", {}, error.message))));
  ask("GET", "schedules", {}, name).then((answer) => {
    const list = Object.values(answer.nodes || { own: answer })[0]?.data || [];
    plans.replaceChildren(...list.slice(0, 200).map((plan) => el("tr", {}, el("th", { scope: "row" }, [plan.path, plan.action].filter(Boolean).join(" ")), el("td", {}, plan.schedule_definition || ""), el("td", {}, plan.next_run ? `next ${new Date(plan.next_run * 1000).toLocaleString()}` : ""))));
  }).catch(() => {});
  const lines = isRoot() ? logPanel(log, `node/${name}/logs`) : null;
  let sign = "";
  return {
    update: () => {
      const data = nodeData(name);
      const threads = Object.entries(state.data).filter(([id, block]) => id.startsWith("hb#") && block?.peers?.[name]);
      const now = JSON.stringify([data?.monitor, data?.frozen, threads.map(([id, block]) => [id, block.peers[name].beating])]);
      if (now === sign) return;
      sign = now;
      const monitor = data?.monitor || {};
      stateLine.replaceChildren(el("span", { class: `badge ${tone(monitor.status)}` }, monitor.status || "not heard"), " ", data?.frozen ? el("span", { class: "badge warn" }, "frozen") : "");
      beats.replaceChildren(...threads.map(([id, block]) => el("tr", {}, el("th", { scope: "row" }, id), el("td", { class: block.peers[name].beating === false ? "bad" : "good" }, block.peers[name].beating === false ? "X silent" : "O"))));
    },
    end: () => lines?.end(),
  };
}

// --- logs and events ---

function logsView(main) {
  main.append(el("h1", {}, "Logs"));
  const panel = el("div");
  main.append(panel);
  if (isRoot()) return logPanel(panel, "node_logs");
  const path = el("select", { "aria-label": "Object" }, ...services().sort().map((each) => el("option", {}, each)));
  const below = el("div");
  let lines = null;
  const show = () => { lines?.end(); below.replaceChildren(); if (path.value) lines = logPanel(below, `object/${path.value}/logs`); };
  path.addEventListener("change", show);
  panel.append(el("div", { class: "bar" }, path), below);
  show();
  return { end: () => lines?.end() };
}

function eventsView(main) {
  const box = el("div", { class: "log scroll", "aria-label": "Events" });
  main.append(el("h1", {}, "Events"), box);
  let shown = null;
  return { update: () => {
    if (shown === state.events[0]) return;
    shown = state.events[0];
    box.replaceChildren(...state.events.slice(0, 200).map((event) => el("div", {}, el("time", {}, `${clock(event.ts)} `), el("span", { class: "who" }, `${event.nodename || ""} `), `${event.data?.id || event.kind} `, el("span", { class: "quiet" }, JSON.stringify(event.data)))));
  } };
}

// --- who is there ---

async function begin() {
  try {
    state.user = await ask("GET", "whoami");
  } catch (error) {
    if (error.status === 401) return login();
    state.seen = state.seen || 0;
    state.lost ??= Date.now();
    banner();
    return setTimeout(begin, RETRY[Math.min(state.tries++, RETRY.length - 1)]);
  }
  state.lost = null;
  banner();
  if (!state.user.name || state.user.name === "nobody") return login();
  $("who").textContent = state.user.name;
  $("logout").hidden = !state.authorization;
  state.lastId = null;
  state.data = null;
  route();
  live();
}

async function login(told = "") {
  state.stream?.abort();
  state.stream = null;
  state.user = null;
  view?.end?.();
  view = null;
  $("logout").hidden = true;
  $("who").textContent = "";
  const info = await ask("GET", "authinfo").catch(() => ({ methods: ["basic"] }));
  const name = el("input", { type: "text", autocomplete: "username", name: "username", required: true });
  const password = el("input", { type: "password", autocomplete: "current-password", name: "password" });
  const token = el("textarea", { rows: "3", name: "token", "aria-label": "Bearer token" });
  const problem = el("p", { class: "bad", role: "alert" }, told);
  const enter = async (authorization) => {
    state.authorization = authorization;
    let who;
    try { who = await fetch(`${base}whoami`, { headers: headers(), cache: "no-store" }).then((response) => response.json()); } catch { who = {}; }
    if (who.name && who.name !== "nobody") return begin();
    state.authorization = null;
    problem.textContent = "This is not accepted.";
    password.value = "";
  };
  const encoded = () => {
    const bytes = new TextEncoder().encode(`${name.value}:${password.value}`);
    return `Basic ${btoa(String.fromCharCode(...bytes))}`;
  };
  $("main").replaceChildren(el("div", { class: "card login" },
    el("h1", {}, "Log in"), problem,
    el("form", { onsubmit: (event) => { event.preventDefault(); enter(encoded()); } },
      el("label", { class: "field" }, "Name", name), el("label", { class: "field" }, "Password", password),
      el("div", { class: "bar" }, el("button", { type: "submit", class: "primary" }, "Log in"))),
    (info.methods || []).includes("openid") ? el("form", { onsubmit: (event) => { event.preventDefault(); enter(`Bearer ${token.value.trim()}`); } },
      el("label", { class: "field" }, "Or a token", token), el("div", { class: "bar" }, el("button", { type: "submit" }, "Use the token"))) : "",
    el("p", { class: "quiet" }, "A certificate of your browser needs no login: load the page again once it is installed.")));
  name.focus();
}

$("logout").addEventListener("click", () => { state.authorization = null; login(); });
$("theme").addEventListener("click", () => {
  const isDark = state.theme ? state.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  state.theme = isDark ? "light" : "dark";
  document.documentElement.dataset.theme = state.theme;
});
addEventListener("hashchange", route);
setInterval(() => { if (state.lost) banner(); }, 1000);
begin();
