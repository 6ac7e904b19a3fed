// Asks the model, and shows how the server does. What is measured comes from /metrics, for all workers and all clients.

const EVERY_MS = 1000;
const POINTS = 120;
const EXAMPLES = {
  "application/json": '"hello"',
  "application/jsonlines": '"hello"\n"world"\n',
  "text/csv": "1,2,3\n4,5,6\n",
  "text/plain": "hello\nworld\n",
};

const $ = (id) => document.getElementById(id);

// --- the model -----------------------------------------------------------------------------------

async function about() {
  const description = await (await fetch("page/about.json")).json();
  for (const [term, value] of Object.entries(description.about)) {
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = term;
    dd.textContent = Array.isArray(value) ? value.join(", ") : value;
    $("about").append(dt, dd);
  }
  choices($("content-type"), description.accepts);
  choices($("accept"), ["*/*", ...description.answers]);
  $("name-label").hidden = !description.many;
  if (description.many) await names();
  $("payload").value = EXAMPLES[$("content-type").value] ?? "";
}

function choices(select, values) {
  const chosen = select.value;
  select.replaceChildren(...values.map((value) => new Option(value, value)));
  if (values.includes(chosen)) select.value = chosen;
}

async function names() {
  const found = [];
  let token = "";
  do {
    const page = await (await fetch(`models?next_page_token=${encodeURIComponent(token)}`)).json();
    found.push(...page.models.map((model) => model.modelName));
    token = page.nextPageToken;
  } while (token);
  choices($("name"), found);
}

// --- asking it -----------------------------------------------------------------------------------

function address() {
  return $("name-label").hidden ? "invocations" : `models/${encodeURIComponent($("name").value)}/invoke`;
}

async function send() {
  const body = $("file").files[0] ?? $("payload").value;
  const headers = { "Content-Type": $("content-type").value, Accept: $("accept").value };
  const start = performance.now();
  const took = () => `${(performance.now() - start).toFixed(1)} ms`;
  try {
    const answer = await fetch(address(), { method: "POST", body, headers });
    const type = answer.headers.get("Content-Type") ?? "";
    $("outcome").classList.toggle("bad", !answer.ok);
    $("answer").textContent = "";
    const parts = await show(answer, type);
    $("outcome").textContent = `${answer.status} in ${took()}, ${type}${parts > 1 ? `, ${parts} parts` : ""}`;
  } catch (error) {
    $("outcome").classList.add("bad");
    $("outcome").textContent = `no whole answer after ${took()}: ${error.message}`;
  }
}

// Shows each part of an answer as it comes, and returns how many there were.
async function show(answer, type) {
  if (!/json|text|xml/.test(type)) {
    $("answer").textContent = `${(await answer.arrayBuffer()).byteLength} bytes of ${type || "no type"}`;
    return 1;
  }
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let parts = 0;
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    $("answer").append(part.value);
    parts += 1;
  }
  return parts;
}

async function submit(event) {
  event.preventDefault();
  do await send();
  while ($("repeat").checked);
}

// --- how the server does -------------------------------------------------------------------------

function parse(text) {
  const found = { requests: 0, errors: 0, buckets: new Map(), ready: 0 };
  for (const line of text.split("\n")) {
    const [, name, labels = "", value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (name === "byo_requests_total") {
      found.requests += Number(value);
      if (/status="[45]/.test(labels)) found.errors += Number(value);
    } else if (name === "byo_request_seconds_bucket") {
      found.buckets.set(Number(/le="([^"]+)"/.exec(labels)[1].replace("+Inf", "Infinity")), Number(value));
    } else if (name === "byo_workers_ready") {
      found.ready = Number(value);
    }
  }
  return found;
}

// Milliseconds below which a share of the requests between two looks at the histogram were answered.
function quantile(share, before, now) {
  const counts = [...now.buckets].map(([bound, count]) => [bound, count - (before.buckets.get(bound) ?? 0)]);
  const total = counts.at(-1)?.[1] ?? 0;
  if (!total) return null;
  let [lower, below] = [0, 0];
  for (const [bound, count] of counts) {
    if (count >= share * total) {
      const upper = Number.isFinite(bound) ? bound : lower;
      return 1000 * (lower + (upper - lower) * ((share * total - below) / (count - below || 1)));
    }
    [lower, below] = [bound, count];
  }
  return null;
}

const history = [];
let last = null;

async function look() {
  try {
    const now = { ...parse(await (await fetch("metrics")).text()), at: performance.now() };
    $("state").textContent = `${now.ready} ${now.ready === 1 ? "worker is" : "workers are"} ready`;
    if (last) add(last, now);
    last = now;
  } catch {
    $("state").textContent = "the server does not answer";
    last = null;
  }
}

function add(before, now) {
  const seconds = (now.at - before.at) / 1000;
  const point = {
    rate: Math.max(0, now.requests - before.requests) / seconds,
    errors: Math.max(0, now.errors - before.errors) / seconds,
    p50: quantile(0.5, before, now),
    p99: quantile(0.99, before, now),
  };
  history.push(point);
  if (history.length > POINTS) history.shift();
  for (const name of ["rate", "errors", "p50", "p99"]) $(name).textContent = point[name]?.toFixed(1) ?? "–";
  plot($("throughput"), [["rate", "--one"], ["errors", "--two"]]);
  plot($("latency"), [["p50", "--one"], ["p99", "--two"]]);
}

function plot(canvas, lines) {
  const draw = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => resolved(style.getPropertyValue(name));
  const top = Math.max(1e-9, ...lines.flatMap(([name]) => history.map((point) => point[name] ?? 0)));
  const x = (n) => (canvas.width * (POINTS - history.length + n)) / (POINTS - 1);
  const y = (value) => canvas.height - 6 - ((canvas.height - 26) * value) / top;
  draw.clearRect(0, 0, canvas.width, canvas.height);
  draw.font = "12px system-ui, sans-serif";
  draw.fillStyle = colour("--faint");
  draw.fillText(top < 1e-6 ? "" : top.toPrecision(3), 6, 15);
  for (const [name, ink] of lines) {
    draw.strokeStyle = colour(ink);
    draw.lineWidth = 2;
    draw.beginPath();
    let drawing = false;
    history.forEach((point, n) => {
      if (point[name] === null) drawing = false;
      else if (drawing) draw.lineTo(x(n), y(point[name]));
      else {
        draw.moveTo(x(n), y(point[name]));
        drawing = true;
      }
    });
    draw.stroke();
  }
}

// light-dark(a, b) as the canvas needs it: one of the two.
function resolved(value) {
  const [, light, dark] = /light-dark\((#\w+), (#\w+)\)/.exec(value) ?? [null, value, value];
  return matchMedia("(prefers-color-scheme: dark)").matches ? dark : light;
}

$("ask").addEventListener("submit", submit);
$("content-type").addEventListener("change", () => ($("payload").value = EXAMPLES[$("content-type").value] ?? ""));
$("name").addEventListener("focus", names);
await about();
await look();
setInterval(look, EVERY_MS);
